//! A small network with a cross entropy as a Burn module, and the same network written out in plain f64: loss, gradient, Gauss-Newton
//! matrix, Kronecker factors.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::prelude::*;
use burn::tensor::activation::log_softmax;
use ravine_curvature::{Objective, Point, Precision};

use crate::test_problems::vector32;

const INPUTS: usize = 3;
const HIDDEN: usize = 4;
const CLASSES: usize = 3;
const EXAMPLES: usize = 8;
/// Place of the first bias, the second weight and the second bias.
const PLACES: [usize; 3] = [12, 16, 28];
pub(crate) const DIM: usize = 31;

pub(crate) type Matrix = Vec<Vec<f64>>;

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
}

type Labelled = (Tensor<2>, Tensor<2>);

/// A number in [-1, 1] that is exact in f32.
fn number(i: usize) -> f32 {
    ((i * 29 + 7) % 33) as f32 / 16.0 - 1.0
}

fn input(example: usize, column: usize) -> f32 {
    number(100 + example * INPUTS + column)
}

fn label(example: usize) -> usize {
    (example * 7 + example / 3) % CLASSES
}

/// The network at its initial parameters on examples `0..examples`, evaluated in f64 or as it is.
fn network(examples: usize, precision: Option<Precision>) -> Point {
    let device = Device::flex();
    let matrix = |numbers: Vec<f32>, columns: usize| {
        let rows = numbers.len() / columns;
        vector32(&numbers).reshape([rows, columns])
    };
    let theta = |from: usize, to: usize| (from..to).map(number).collect::<Vec<f32>>();
    let linear = |weight: Vec<f32>, columns: usize, bias: Vec<f32>| Linear {
        weight: Param::from_tensor(matrix(weight, columns)),
        bias: Some(Param::from_tensor(vector32(&bias))),
    };
    let model = Net {
        hidden: linear(theta(0, PLACES[0]), HIDDEN, theta(PLACES[0], PLACES[1])),
        output: linear(theta(PLACES[1], PLACES[2]), CLASSES, theta(PLACES[2], DIM)),
    };
    let objective = Objective::new(
        |model: &Net, (x, _): &Labelled| {
            model.output.forward(model.hidden.forward(x.clone()).tanh())
        },
        |logits: Tensor<2>, (_, y)| {
            let examples = y.dims()[0] as f64;
            (log_softmax(logits, 1) * y.clone()).sum() / -examples
        },
    );
    let objective = match precision {
        Some(precision) => objective.precision(precision),
        None => objective,
    };
    let inputs = (0..examples).flat_map(|n| (0..INPUTS).map(move |i| input(n, i)));
    let labels = (0..examples)
        .flat_map(|n| (0..CLASSES).map(move |class| if class == label(n) { 1.0 } else { 0.0 }));
    let batch = (
        matrix(inputs.collect(), INPUTS).to_device(&device),
        matrix(labels.collect(), CLASSES).to_device(&device),
    );
    objective.at(&model, &batch).unwrap()
}

/// In f64.
pub(crate) fn net() -> Point {
    network(EXAMPLES, Some(Precision::F64))
}

/// In f32.
pub(crate) fn net32() -> Point {
    network(EXAMPLES, None)
}

/// The first half of the examples, in f64.
pub(crate) fn half_net() -> Point {
    network(EXAMPLES / 2, Some(Precision::F64))
}

/// The network in plain f64, on its first examples.
pub(crate) struct Twin {
    pub(crate) examples: usize,
}

/// What a forward pass of one example leaves.
struct Pass {
    x: [f64; INPUTS],
    h: [f64; HIDDEN],
    p: [f64; CLASSES],
}

impl Twin {
    pub(crate) fn new() -> Self {
        Self { examples: EXAMPLES }
    }

    pub(crate) fn theta() -> Vec<f64> {
        (0..DIM).map(|i| f64::from(number(i))).collect()
    }

    fn weight(theta: &[f64], hidden: usize, class: usize) -> f64 {
        theta[PLACES[1] + hidden * CLASSES + class]
    }

    fn pass(theta: &[f64], example: usize) -> Pass {
        let x: [f64; INPUTS] = std::array::from_fn(|i| f64::from(input(example, i)));
        let h: [f64; HIDDEN] = std::array::from_fn(|j| {
            let s: f64 = (0..INPUTS).map(|i| x[i] * theta[i * HIDDEN + j]).sum();
            (s + theta[PLACES[0] + j]).tanh()
        });
        let z: [f64; CLASSES] = std::array::from_fn(|c| {
            let s: f64 = (0..HIDDEN).map(|j| h[j] * Self::weight(theta, j, c)).sum();
            s + theta[PLACES[2] + c]
        });
        let sum: f64 = z.iter().map(|z| z.exp()).sum();
        let p = z.map(|z| z.exp() / sum);
        Pass { x, h, p }
    }

    pub(crate) fn loss(&self, theta: &[f64]) -> f64 {
        let losses = (0..self.examples).map(|n| -Self::pass(theta, n).p[label(n)].ln());
        losses.sum::<f64>() / self.examples as f64
    }

    /// ∂z/∂s of the hidden layer, `[hidden][classes]`.
    fn through(theta: &[f64], pass: &Pass) -> Matrix {
        (0..HIDDEN)
            .map(|j| {
                let slope = 1.0 - pass.h[j] * pass.h[j];
                (0..CLASSES)
                    .map(|c| slope * Self::weight(theta, j, c))
                    .collect()
            })
            .collect()
    }

    /// The derivatives of the outputs of an example, `[classes][parameters]`.
    fn jacobian(theta: &[f64], pass: &Pass) -> Matrix {
        let through = Self::through(theta, pass);
        let mut rows = vec![vec![0.0; DIM]; CLASSES];
        for (c, row) in rows.iter_mut().enumerate() {
            for j in 0..HIDDEN {
                for i in 0..INPUTS {
                    row[i * HIDDEN + j] = pass.x[i] * through[j][c];
                }
                row[PLACES[0] + j] = through[j][c];
                row[PLACES[1] + j * CLASSES + c] = pass.h[j];
            }
            row[PLACES[2] + c] = 1.0;
        }
        rows
    }

    /// The gradient of the loss of an example.
    fn example_gradient(theta: &[f64], example: usize) -> Vec<f64> {
        let pass = Self::pass(theta, example);
        let mut sum = vec![0.0; DIM];
        for (c, row) in Self::jacobian(theta, &pass).iter().enumerate() {
            let error = pass.p[c] - f64::from(u8::from(c == label(example)));
            axpy(&mut sum, error, row);
        }
        sum
    }

    pub(crate) fn gradient(&self, theta: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; DIM];
        for n in 0..self.examples {
            let own = Self::example_gradient(theta, n);
            axpy(&mut sum, 1.0 / self.examples as f64, &own);
        }
        sum
    }

    /// 1/N Σ (∇ℓₙ)∘².
    pub(crate) fn empirical_fisher_diagonal(&self, theta: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; DIM];
        for n in 0..self.examples {
            let own = Self::example_gradient(theta, n);
            let squares: Vec<f64> = own.iter().map(|x| x * x).collect();
            axpy(&mut sum, 1.0 / self.examples as f64, &squares);
        }
        sum
    }

    /// (diag(p) − ppᵀ)/N.
    fn loss_hessian(&self, pass: &Pass) -> Matrix {
        let p = &pass.p;
        let entry = |c: usize, d: usize| {
            let diagonal = if c == d { p[c] } else { 0.0 };
            (diagonal - p[c] * p[d]) / self.examples as f64
        };
        (0..CLASSES)
            .map(|c| (0..CLASSES).map(|d| entry(c, d)).collect())
            .collect()
    }

    pub(crate) fn gauss_newton(&self, theta: &[f64]) -> Matrix {
        let mut sum = vec![vec![0.0; DIM]; DIM];
        for n in 0..self.examples {
            let pass = Self::pass(theta, n);
            let jacobian = Self::jacobian(theta, &pass);
            sandwich(&mut sum, &transposed(&jacobian), &self.loss_hessian(&pass));
        }
        sum
    }

    /// A and B of both layers.
    pub(crate) fn factors(&self, theta: &[f64]) -> [[Matrix; 2]; 2] {
        let zeros = |n: usize| vec![vec![0.0; n]; n];
        let mut a = [zeros(INPUTS + 1), zeros(HIDDEN + 1)];
        let mut b = [zeros(HIDDEN), zeros(CLASSES)];
        for n in 0..self.examples {
            let pass = Self::pass(theta, n);
            let curvature = self.loss_hessian(&pass);
            let share = vec![vec![1.0 / self.examples as f64]];
            let with_one = |numbers: &[f64]| -> Matrix {
                numbers.iter().chain(&[1.0]).map(|x| vec![*x]).collect()
            };
            sandwich(&mut a[0], &with_one(&pass.x), &share);
            sandwich(&mut a[1], &with_one(&pass.h), &share);
            sandwich(&mut b[0], &Self::through(theta, &pass), &curvature);
            for (sum, row) in b[1].iter_mut().zip(&curvature) {
                axpy(sum, 1.0, row);
            }
        }
        let ([a0, a1], [b0, b1]) = (a, b);
        [[a0, b0], [a1, b1]]
    }

    /// The entries of a flat vector as the matrices of both layers, biases as last rows.
    pub(crate) fn layers(v: &[f64]) -> [Matrix; 2] {
        let rows = |from: usize, to: usize, columns: usize| -> Matrix {
            v[from..to].chunks(columns).map(<[f64]>::to_vec).collect()
        };
        // A bias follows its weight, so that it is the next row.
        [rows(0, PLACES[1], HIDDEN), rows(PLACES[1], DIM, CLASSES)]
    }
}

pub(crate) fn axpy(y: &mut [f64], alpha: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += alpha * x);
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn transposed(a: &Matrix) -> Matrix {
    (0..a[0].len())
        .map(|j| a.iter().map(|row| row[j]).collect())
        .collect()
}

pub(crate) fn times(a: &Matrix, v: &[f64]) -> Vec<f64> {
    a.iter().map(|row| dot(row, v)).collect()
}

pub(crate) fn product(a: &Matrix, b: &Matrix) -> Matrix {
    let columns = transposed(b);
    a.iter().map(|row| times(&columns, row)).collect()
}

/// sum + X C Xᵀ.
fn sandwich(sum: &mut Matrix, x: &Matrix, c: &Matrix) {
    let all = product(&product(x, c), &transposed(x));
    for (sum, row) in sum.iter_mut().zip(&all) {
        axpy(sum, 1.0, row);
    }
}

pub(crate) fn damped(a: &Matrix, lambda: f64) -> Matrix {
    let mut damped = a.clone();
    for (i, row) in damped.iter_mut().enumerate() {
        row[i] += lambda;
    }
    damped
}

/// A⁻¹b by elimination with pivoting.
pub(crate) fn solved(a: &Matrix, b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut rows: Matrix = a
        .iter()
        .zip(b)
        .map(|(row, b)| [&row[..], &[*b]].concat())
        .collect();
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| rows[i][k].abs().total_cmp(&rows[j][k].abs()));
        rows.swap(k, pivot.unwrap());
        let own = rows[k].clone();
        for row in rows.iter_mut().skip(k + 1) {
            let factor = row[k] / own[k];
            axpy(row, -factor, &own);
        }
    }
    let mut x = vec![0.0; n];
    for k in (0..n).rev() {
        let known = dot(&rows[k][k + 1..n], &x[k + 1..]);
        x[k] = (rows[k][n] - known) / rows[k][k];
    }
    x
}

pub(crate) fn inverse(a: &Matrix) -> Matrix {
    let unit = |j: usize| {
        (0..a.len())
            .map(|i| f64::from(u8::from(i == j)))
            .collect::<Vec<_>>()
    };
    transposed(&(0..a.len()).map(|j| solved(a, &unit(j))).collect())
}

/// Asserts that vectors agree, relative to the size of the second one.
pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = dot(expected, expected).sqrt();
    for (found, expected) in found.iter().zip(expected) {
        let defect = (found - expected).abs() / size.max(1.0);
        assert!(defect < tolerance, "{what}: {found} {expected}");
    }
}

#[test]
fn the_twin_is_the_network() {
    use ravine_curvature::{KfacOptions, dense, vector};
    let (point, twin, theta) = (net(), Twin::new(), Twin::theta());
    assert_eq!(vector::to_f64(point.theta()), theta);
    assert!((point.loss().unwrap() - twin.loss(&theta)).abs() < 1e-14);
    let gradient = vector::to_f64(&point.gradient().unwrap());
    assert_close(&gradient, &twin.gradient(&theta), 1e-14, "gradient");
    let matrix = dense(&point.gauss_newton().unwrap()).unwrap();
    let expected = twin.gauss_newton(&theta);
    for (i, row) in expected.iter().enumerate() {
        for (j, expected) in row.iter().enumerate() {
            assert!((matrix.matrix()[(i, j)] - expected).abs() < 1e-14);
        }
    }
    let kfac = point.kfac(&KfacOptions::default()).unwrap();
    for (layer, [a, b]) in kfac.factors().layers().zip(twin.factors(&theta)) {
        for (found, expected) in [(layer.activations, a), (layer.gradients, b)] {
            for (i, row) in expected.iter().enumerate() {
                for (j, expected) in row.iter().enumerate() {
                    assert!((found[(i, j)] - expected).abs() < 1e-14, "{}", layer.weight);
                }
            }
        }
    }
}
