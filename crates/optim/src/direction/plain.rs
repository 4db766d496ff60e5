//! Problems with matrices and kernels among their parameters, and the formulas of papers written out on plain numbers: what directions
//! are compared with.

#![expect(
    clippy::needless_range_loop,
    reason = "indices as the formulas have them"
)]

use burn::module::{Module, Param};
use burn::prelude::*;
use burn::tensor::activation::log_softmax;
use ravine_curvature::{LinearOperator, Objective, Point, Precision, vector};

use crate::test_problems::quadratic_in_f64;
use crate::{Method, Oracle, StepEnding};

type Gradient = Box<dyn Fn(&[f64]) -> Vec<f64>>;
type Product = Box<dyn Fn(&[f64], &[f64]) -> Vec<f64>>;

/// A problem whose derivatives are at hand without an oracle.
pub(super) struct Twin {
    pub(super) point: Point,
    pub(super) gradient: Gradient,
    pub(super) product: Product,
}

impl Twin {
    pub(super) fn start(&self) -> Vec<f64> {
        vector::to_f64(self.point.theta())
    }

    pub(super) fn dim(&self) -> usize {
        self.point.dim()
    }

    /// Shapes of the parameters.
    pub(super) fn shapes(&self) -> Vec<Vec<usize>> {
        let entries = self.point.layout().entries().iter();
        entries.map(|e| e.shape.as_slice().to_vec()).collect()
    }

    /// Steps of a method beside those of a loop on plain numbers, which gets the number of the step from 1 on and θ.
    pub(super) fn compare(
        &self,
        method: &mut dyn Method,
        steps: usize,
        mut plain: impl FnMut(usize, &[f64]) -> Vec<f64>,
    ) {
        let mut oracle = Oracle::new(self.point.clone());
        let mut theta = self.point.theta().clone();
        let mut expected = self.start();
        for t in 1..=steps {
            let step = method.step(&mut oracle, &theta).unwrap();
            let fine = step.ending.moved() || matches!(step.ending, StepEnding::Prepared);
            assert!(fine, "{t} {:?}", step.ending);
            theta = step.theta;
            expected = plain(t, &expected);
            assert_close(&vector::to_f64(&theta), &expected, 1e-10);
        }
        assert!(expected != self.start());
    }
}

pub(super) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let bound = tolerance * expected.abs().max(1.0);
        assert!(
            (found - expected).abs() <= bound,
            "entry {index}: {found} {expected}"
        );
    }
}

pub(super) fn twins() -> Vec<Twin> {
    vec![ravine(), shaped(), network()]
}

/// ½ Σ λᵢ θᵢ² from ones.
pub(super) fn ravine() -> Twin {
    let eigenvalues = [0.5_f32, 1.0, 8.0, 64.0];
    let along = move |x: &[f64]| -> Vec<f64> {
        let pairs = x.iter().zip(eigenvalues);
        pairs.map(|(x, l)| x * f64::from(l)).collect()
    };
    Twin {
        point: quadratic_in_f64(&eigenvalues),
        gradient: Box::new(along),
        product: Box::new(move |_, z| along(z)),
    }
}

#[derive(Module, Debug)]
struct Shaped {
    kernel: Param<Tensor<4>>,
    matrix: Param<Tensor<2>>,
    vector: Param<Tensor<1>>,
}

const SHAPED: usize = 16 + 9 + 2;

/// The coupling of parameters i and j: exact in f32.
fn coupling(i: usize, j: usize) -> f64 {
    match i == j {
        true => 1.0 + (i % 4) as f64,
        false => ((i * j + i + j) % 5) as f64 / 32.0 - 0.0625,
    }
}

/// ½ θᵀAθ + Σ (θᵢ⁴/4 − θᵢ²) with a kernel `[2, 2, 2, 2]`, a matrix `[3, 3]` and a vector `[2]`: not convex.
pub(super) fn shaped() -> Twin {
    let device = Device::flex();
    let start: Vec<f32> = (0..SHAPED)
        .map(|i| ((i * 11 + 3) % 17) as f32 / 16.0 - 0.5)
        .collect();
    let part = |from: usize, to: usize| Tensor::<1>::from_data(&start[from..to], &device);
    let model = Shaped {
        kernel: Param::from_tensor(part(0, 16).reshape([2, 2, 2, 2])),
        matrix: Param::from_tensor(part(16, 25).reshape([3, 3])),
        vector: Param::from_tensor(part(25, 27)),
    };
    let entries: Vec<f32> = (0..SHAPED * SHAPED)
        .map(|index| coupling(index / SHAPED, index % SHAPED) as f32)
        .collect();
    let matrix = Tensor::<1>::from_data(&entries[..], &device).reshape([SHAPED, SHAPED]);
    let objective = Objective::of_loss(|model: &Shaped, a: &Tensor<2>| {
        let parts = vec![
            model.kernel.val().reshape([16]),
            model.matrix.val().reshape([9]),
            model.vector.val(),
        ];
        let theta = Tensor::cat(parts, 0);
        let square = theta.clone() * theta.clone();
        let column = theta.reshape([SHAPED, 1]);
        let quadratic = (a.clone().matmul(column.clone()) * column).sum() * 0.5;
        quadratic + (square.clone() * square.clone() * 0.25 - square).sum()
    })
    .precision(Precision::F64);
    let along = |x: &[f64]| -> Vec<f64> {
        let row = |i: usize| (0..SHAPED).map(|j| coupling(i, j) * x[j]).sum();
        (0..SHAPED).map(row).collect()
    };
    Twin {
        point: objective.at(&model, &matrix).unwrap(),
        gradient: Box::new(move |x| {
            let pairs = along(x).into_iter().zip(x);
            pairs.map(|(ax, x)| ax + x.powi(3) - 2.0 * x).collect()
        }),
        product: Box::new(move |x, z| {
            let triples = along(z).into_iter().zip(x.iter().zip(z));
            triples
                .map(|(az, (x, z))| az + (3.0 * x * x - 2.0) * z)
                .collect()
        }),
    }
}

#[derive(Module, Debug)]
pub(super) struct Network {
    hidden: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
    output: Param<Tensor<2>>,
}

/// Inputs `[N, 3]` and one-hot labels `[N, 3]`.
type Labelled = (Tensor<2>, Tensor<2>);

/// Number of examples of the network.
pub(super) const EXAMPLES: usize = 6;

/// Softmax cross entropy, a mean over six examples, of a network 3-3-3 with tanh.
pub(super) fn network_point(precision: Precision) -> Point {
    let device = Device::flex();
    let filled = |count: usize, shift: usize| -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 7 + shift) % 13) as f32 / 8.0 - 0.75)
            .collect()
    };
    let square = |count: usize, shift: usize| {
        Tensor::<1>::from_data(&filled(count * 3, shift)[..], &device).reshape([count, 3])
    };
    let model = Network {
        hidden: Param::from_tensor(square(3, 1)),
        bias: Param::from_tensor(Tensor::from_data(&filled(3, 4)[..], &device)),
        output: Param::from_tensor(square(3, 5)),
    };
    let labels: Vec<f32> = (0..EXAMPLES * 3)
        .map(|i| f32::from(u8::from(i % 3 == (i / 3 * 2) % 3)))
        .collect();
    let labels = Tensor::<1>::from_data(&labels[..], &device).reshape([EXAMPLES, 3]);
    let objective = Objective::new(
        |model: &Network, (x, _): &Labelled| {
            let hidden = x.clone().matmul(model.hidden.val());
            let hidden = (hidden + model.bias.val().unsqueeze::<2>()).tanh();
            hidden.matmul(model.output.val())
        },
        |z: Tensor<2>, (_, y): &Labelled| {
            (log_softmax(z, 1) * y.clone()).sum() / -(EXAMPLES as f32)
        },
    )
    .precision(precision);
    objective
        .at(&model, &(square(EXAMPLES, 2), labels))
        .unwrap()
}

pub(super) fn network() -> Twin {
    let point = network_point(Precision::F64);
    let (at, there) = (point.clone(), point.clone());
    let tensor = |x: &[f64], like: &Point| vector::from_f64(x, like.device(), like.dtype());
    Twin {
        gradient: Box::new(move |x| {
            let moved = at.move_to(tensor(x, &at)).unwrap();
            vector::to_f64(&moved.gradient().unwrap())
        }),
        product: Box::new(move |x, z| {
            let moved = there.move_to(tensor(x, &there)).unwrap();
            let product = moved.hessian().apply(&tensor(z, &there)).unwrap();
            vector::to_f64(&product)
        }),
        point,
    }
}

/// All indices of a shape in row-major order.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for &length in shape {
        let longer =
            |index: Vec<usize>| (0..length).map(move |i| [index.clone(), vec![i]].concat());
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

/// Σ over all indices but the one at `axis`: the Gram matrix of the unfolding.
pub(super) fn gram(x: &[f64], shape: &[usize], axis: usize) -> Vec<Vec<f64>> {
    let mut gram = vec![vec![0.0; shape[axis]]; shape[axis]];
    let all = indices(shape);
    for (a, first) in all.iter().enumerate() {
        for (b, second) in all.iter().enumerate() {
            let same = (0..shape.len()).all(|i| i == axis || first[i] == second[i]);
            if same {
                gram[first[axis]][second[axis]] += x[a] * x[b];
            }
        }
    }
    gram
}

/// The product with a matrix along an axis.
pub(super) fn along(x: &[f64], shape: &[usize], axis: usize, matrix: &[Vec<f64>]) -> Vec<f64> {
    let all = indices(shape);
    let entry = |index: &Vec<usize>| -> f64 {
        let terms = all
            .iter()
            .zip(x)
            .filter(|(other, _)| (0..shape.len()).all(|i| i == axis || index[i] == other[i]));
        terms
            .map(|(other, x)| matrix[index[axis]][other[axis]] * x)
            .sum()
    };
    all.iter().map(entry).collect()
}

pub(super) fn transposed(matrix: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = matrix.len();
    (0..n)
        .map(|i| (0..n).map(|j| matrix[j][i]).collect())
        .collect()
}

pub(super) fn product(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = a.len();
    let entry = |i: usize, j: usize| (0..n).map(|k| a[i][k] * b[k][j]).sum();
    (0..n)
        .map(|i| (0..n).map(|j| entry(i, j)).collect())
        .collect()
}

/// Eigenvalues and eigenvectors (columns) by Jacobi rotations.
pub(super) fn jacobi(matrix: &[Vec<f64>]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = matrix.len();
    let mut a = matrix.to_vec();
    let mut vectors: Vec<Vec<f64>> = (0..n)
        .map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect())
        .collect();
    for _ in 0..60 {
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q].abs() < 1e-300 {
                    continue;
                }
                let angle = 0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p]);
                let (s, c) = angle.sin_cos();
                for row in a.iter_mut().chain(vectors.iter_mut()) {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                for column in 0..n {
                    let (x, y) = (a[p][column], a[q][column]);
                    (a[p][column], a[q][column]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    ((0..n).map(|i| a[i][i]).collect(), vectors)
}

/// f(A) of a symmetric matrix.
pub(super) fn function(matrix: &[Vec<f64>], f: impl Fn(f64) -> f64) -> Vec<Vec<f64>> {
    let (values, vectors) = jacobi(matrix);
    let mut scaled = vectors.clone();
    for row in &mut scaled {
        for (x, &value) in row.iter_mut().zip(&values) {
            *x *= f(value);
        }
    }
    product(&scaled, &transposed(&vectors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jacobi_takes_a_matrix_apart() {
        let matrix = gram(
            &[1.0, -2.0, 0.5, 3.0, 1.5, 0.25, 2.0, 1.0, -1.0],
            &[3, 3],
            0,
        );
        let back = function(&matrix, |x| x);
        let root = function(&matrix, f64::sqrt);
        let square = product(&root, &root);
        for i in 0..3 {
            assert_close(&back[i], &matrix[i], 1e-13);
            assert_close(&square[i], &matrix[i], 1e-13);
        }
    }

    #[test]
    fn the_derivatives_by_hand_are_those_of_the_point() {
        for twin in twins() {
            let x = twin.start();
            let point = twin.point.clone();
            let gradient = vector::to_f64(&point.gradient().unwrap());
            assert_close(&(twin.gradient)(&x), &gradient, 1e-12);
            let z = vector::from_f64(&gradient, point.device(), point.dtype());
            let product = vector::to_f64(&point.hessian().apply(&z).unwrap());
            assert_close(&(twin.product)(&x, &gradient), &product, 1e-12);
        }
    }
}
