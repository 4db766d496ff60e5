#![expect(
    clippy::needless_range_loop,
    reason = "indices as the formulas have them"
)]

use super::*;
use crate::direction::plain::{
    along, assert_close, gram, jacobi, network, network_point, product, ravine, shaped, transposed,
};
use crate::test_problems::{quadratic, vector32};
use crate::{Budget, Descent, Ending, EndingKind, LearningRate, Method, Silent, run};
use ravine_curvature::Precision;

type Matrix = Vec<Vec<f64>>;

/// SOAP on plain numbers, with sums over all indices, Jacobi's eigenvectors and Gram and Schmidt's orthogonalisation.
struct Plain {
    betas: [f64; 3],
    epsilon: f64,
    every: usize,
    rotate_vectors: bool,
    most: usize,
    shapes: Vec<Vec<usize>>,
    averages: Vec<Vec<Matrix>>,
    bases: Vec<Vec<Option<Matrix>>>,
    m: Vec<f64>,
    v: Vec<f64>,
}

impl Plain {
    fn new(shapes: Vec<Vec<usize>>) -> Self {
        let dim = shapes.iter().map(|s| s.iter().product::<usize>()).sum();
        Self {
            betas: [0.95, 0.95, 0.95],
            epsilon: 1e-8,
            every: 10,
            rotate_vectors: false,
            most: usize::MAX,
            shapes,
            averages: Vec::new(),
            bases: Vec::new(),
            m: vec![0.0; dim],
            v: vec![0.0; dim],
        }
    }

    fn prepare(&mut self, g: &[f64]) {
        let mut from = 0;
        for shape in &self.shapes {
            let count: usize = shape.iter().product();
            let g = &g[from..from + count];
            from += count;
            let (mut averages, mut bases) = (Vec::new(), Vec::new());
            for (axis, &n) in shape.iter().enumerate() {
                let mut average = gram(g, shape, axis);
                let weight = 1.0 - self.betas[2];
                average.iter_mut().flatten().for_each(|x| *x *= weight);
                let plain = shape.len() == 1 && !self.rotate_vectors || n > self.most;
                bases.push((!plain).then(|| descending(&average)));
                averages.push(average);
            }
            self.averages.push(averages);
            self.bases.push(bases);
        }
    }

    /// N of all parameters in step t of the updates, times the corrections.
    fn update(&mut self, t: usize, g: &[f64]) -> Vec<f64> {
        let [beta1, beta2, beta] = self.betas;
        let mut from = 0;
        let mut all = Vec::new();
        for p in 0..self.shapes.len() {
            let shape = &self.shapes[p];
            let count: usize = shape.iter().product();
            let g = &g[from..from + count];
            let into = |x: &[f64], bases: &[Option<Matrix>], back: bool| {
                let mut x = x.to_vec();
                for (axis, basis) in bases.iter().enumerate() {
                    if let Some(q) = basis {
                        let q = if back { q.clone() } else { transposed(q) };
                        x = along(&x, shape, axis, &q);
                    }
                }
                x
            };
            let rotated = into(g, &self.bases[p], false);
            for i in 0..count {
                let (m, v) = (&mut self.m[from + i], &mut self.v[from + i]);
                *m = beta1 * *m + (1.0 - beta1) * g[i];
                *v = beta2 * *v + (1.0 - beta2) * rotated[i] * rotated[i];
            }
            let m = into(&self.m[from..from + count], &self.bases[p], false);
            let n: Vec<f64> = (0..count)
                .map(|i| m[i] / (self.v[from + i].sqrt() + self.epsilon))
                .collect();
            let correction = (1.0 - beta2.powi(t as i32)).sqrt() / (1.0 - beta1.powi(t as i32));
            let n = into(&n, &self.bases[p], true);
            all.extend(n.iter().map(|n| n * correction));
            for (axis, &n) in shape.iter().enumerate() {
                let new = gram(g, shape, axis);
                for i in 0..n {
                    for j in 0..n {
                        let entry = &mut self.averages[p][axis][i][j];
                        *entry = beta * *entry + (1.0 - beta) * new[i][j];
                    }
                }
                let Some(old) = &self.bases[p][axis] else {
                    continue;
                };
                if !t.is_multiple_of(self.every) {
                    continue;
                }
                let powered = product(&self.averages[p][axis], old);
                let value = |j: usize| (0..n).map(|i| old[i][j] * powered[i][j]).sum::<f64>();
                let mut order: Vec<usize> = (0..n).collect();
                order.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
                let columns: Matrix = order
                    .iter()
                    .map(|&j| (0..n).map(|i| powered[i][j]).collect())
                    .collect();
                self.bases[p][axis] = Some(transposed(&orthonormal(columns)));
                let permutation: Matrix = order
                    .iter()
                    .map(|&from| (0..n).map(|j| f64::from(u8::from(from == j))).collect())
                    .collect();
                let v = &mut self.v[from..from + count];
                let sorted = along(v, shape, axis, &permutation);
                v.copy_from_slice(&sorted);
            }
            from += count;
        }
        all
    }
}

fn descending(matrix: &Matrix) -> Matrix {
    let (values, vectors) = jacobi(matrix);
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let row = |row: &Vec<f64>| order.iter().map(|&j| row[j]).collect();
    vectors.iter().map(row).collect()
}

/// Rows made orthonormal, one after the other and twice.
fn orthonormal(mut rows: Matrix) -> Matrix {
    for i in 0..rows.len() {
        for _ in 0..2 {
            for j in 0..i {
                let overlap: f64 = rows[i].iter().zip(&rows[j]).map(|(a, b)| a * b).sum();
                let other = rows[j].clone();
                rows[i]
                    .iter_mut()
                    .zip(other)
                    .for_each(|(a, b)| *a -= overlap * b);
            }
            let norm = rows[i].iter().map(|x| x * x).sum::<f64>().sqrt();
            rows[i].iter_mut().for_each(|x| *x /= norm);
        }
    }
    rows
}

fn stepped(theta: &[f64], u: &[f64], rate: f64) -> Vec<f64> {
    theta.iter().zip(u).map(|(x, u)| x - rate * u).collect()
}

/// In the basis that it made a gradient is diagonal but for rounding, and so is that of an output layer whose scores sum to zero: a small ϵ
/// turns the rounding into steps.
const ABOVE_ROUNDING: f64 = 1e-4;

#[test]
fn it_takes_the_steps_of_the_reference_code() {
    for (twin, epsilon) in [
        (ravine(), 1e-8),
        (shaped(), ABOVE_ROUNDING),
        (network(), ABOVE_ROUNDING),
    ] {
        let mut plain = Plain::new(twin.shapes());
        (plain.every, plain.epsilon) = (3, epsilon);
        let mut method = Descent::new(Soap::new().every(3).epsilon(epsilon), 0.05);
        twin.compare(&mut method, 16, |t, theta| {
            let g = (twin.gradient)(theta);
            if t == 1 {
                plain.prepare(&g);
                return theta.to_vec();
            }
            stepped(theta, &plain.update(t - 1, &g), 0.05)
        });
    }
}

#[test]
fn rates_of_decay_limits_and_weight_decay_enter_as_documented() {
    for twin in [shaped(), network()] {
        let direction = Soap::new()
            .betas(0.9, 0.99)
            .shampoo_beta(0.8)
            .epsilon(ABOVE_ROUNDING)
            .max_dimension(2)
            .weight_decay(0.1);
        let mut plain = Plain::new(twin.shapes());
        (plain.betas, plain.most) = ([0.9, 0.99, 0.8], 2);
        plain.epsilon = ABOVE_ROUNDING;
        twin.compare(&mut Descent::new(direction, 0.02), 14, |t, theta| {
            let g = (twin.gradient)(theta);
            if t == 1 {
                plain.prepare(&g);
                return theta.to_vec();
            }
            let u = plain.update(t - 1, &g);
            let step: Vec<f64> = u.iter().zip(theta).map(|(u, x)| u + 0.1 * x).collect();
            stepped(theta, &step, 0.02)
        });
    }
}

#[test]
fn normalised_steps_have_the_mean_square_of_one_in_each_parameter() {
    let twin = network();
    let direction = Soap::new()
        .normalisation(Normalisation::RootMeanSquare)
        .epsilon(ABOVE_ROUNDING);
    let mut plain = Plain::new(twin.shapes());
    plain.epsilon = ABOVE_ROUNDING;
    twin.compare(&mut Descent::new(direction, 0.02), 12, |t, theta| {
        let g = (twin.gradient)(theta);
        if t == 1 {
            plain.prepare(&g);
            return theta.to_vec();
        }
        let mut u = plain.update(t - 1, &g);
        let age = (t - 1) as i32;
        let correction = (1.0 - 0.95_f64.powi(age)).sqrt() / (1.0 - 0.95_f64.powi(age));
        for range in [0..9, 9..12, 12..21] {
            let part = &mut u[range];
            let mean = part.iter().map(|u| u * u).sum::<f64>() / part.len() as f64;
            part.iter_mut().for_each(|u| *u *= correction / mean.sqrt());
        }
        stepped(theta, &u, 0.02)
    });
}

#[test]
fn a_rotated_vector_goes_along_its_first_gradient() {
    // The first gradient spans one direction of the basis; what lies across it has an arbitrary one, so that dimension 1 and 2 are
    // compared: in two dimensions both directions are given.
    let mut oracle = Oracle::new(quadratic(&[1.0, 3.0], &[0.0, 0.0]));
    let mut method = Descent::new(Soap::new().vectors(Vectors::Rotated), 1e-3);
    let theta = vector32(&[1.0, 1.0]);
    let prepared = method.step(&mut oracle, &theta).unwrap();
    assert!(matches!(prepared.ending, StepEnding::Prepared));
    assert_eq!(prepared.learning_rate, None);
    let step = method.step(&mut oracle, &prepared.theta).unwrap();
    // The same gradient again: one sign along it.
    let change = vector::to_f64(&(theta - step.theta));
    let expected = [1.0, 3.0].map(|g| 1e-3 * g / 10.0_f64.sqrt());
    assert_close(&change, &expected, 1e-6);
}

#[test]
fn a_run_goes_on_after_the_first_step_and_the_warm_up_waits_for_it() {
    let twin = ravine();
    let rate = LearningRate::from(0.1).warmed_up(1);
    let mut method = Descent::new(Soap::new(), rate);
    let budget = Budget::steps(40);
    let start = twin.point.theta();
    let trajectory = run(&mut method, &twin.point, start, &budget, &mut Silent).unwrap();
    assert!(matches!(trajectory.ending, Ending::BudgetSpent { .. }));
    let rows = &trajectory.rows;
    assert_eq!(rows[0].ending, EndingKind::Prepared);
    let rates: Vec<_> = rows[..3].iter().map(|row| row.learning_rate).collect();
    assert_eq!(rates, [None, Some(0.05), Some(0.1)]);
    assert!(rows[39].loss < rows[0].loss);
}

#[test]
fn in_f32_it_follows_the_steps_in_f64() {
    let run = |precision| {
        let point = network_point(precision);
        let mut theta = point.theta().clone();
        let mut oracle = Oracle::new(point);
        let mut method = Descent::new(Soap::new().every(4).epsilon(ABOVE_ROUNDING), 0.02);
        for _ in 0..14 {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
        }
        vector::to_f64(&theta)
    };
    assert_close(&run(Precision::Model), &run(Precision::F64), 2e-3);
}

#[test]
fn matrices_that_are_not_square_get_whole_bases() {
    let mode = modes(&[2, 5])[1];
    let gradient: Vec<f64> = (0..10).map(|i| (i as f64).sin()).collect();
    let mut basis = Basis::first(mode, &gradient, 0.95).unwrap();
    for _ in 0..3 {
        let there = basis.forward(mode, &gradient);
        let back = basis.back(mode, &there);
        assert_close(&back, &gradient, 1e-12);
        basis.learn(mode, &gradient, 0.95);
        let mut order = basis.refresh();
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2, 3, 4]);
    }
}

#[test]
fn zero_gradients_and_nan_are_reported() {
    let mut oracle = Oracle::new(quadratic(&[1.0, 2.0], &[0.0, 0.0]));
    for vectors in [Vectors::Adam, Vectors::Rotated] {
        let mut method = Descent::new(Soap::new().vectors(vectors).every(1), 0.1);
        let zero = vector32(&[0.0, 0.0]);
        let step = method.step(&mut oracle, &zero).unwrap();
        assert!(matches!(step.ending, StepEnding::Prepared));
        for _ in 0..3 {
            let step = method.step(&mut oracle, &zero).unwrap();
            assert!(matches!(step.ending, StepEnding::Stationary));
        }
        let step = method.step(&mut oracle, &vector32(&[1.0, 1.0])).unwrap();
        assert!(step.ending.moved());
        let step = method
            .step(&mut oracle, &vector32(&[f32::NAN, 0.0]))
            .unwrap();
        assert!(matches!(step.ending, StepEnding::NonFinite { .. }));
    }
}

#[test]
fn options_out_of_range_and_states_of_other_models_are_named() {
    let wrong = [
        Soap::new().betas(1.0, 0.95),
        Soap::new().betas(0.95, 1.0),
        Soap::new().shampoo_beta(-0.5),
        Soap::new().epsilon(0.0),
        Soap::new().every(0),
        Soap::new().max_dimension(0),
        Soap::new().weight_decay(-0.1),
    ];
    for direction in wrong {
        let mut oracle = Oracle::new(quadratic(&[1.0], &[0.0]));
        let step = Descent::new(direction, 0.1).step(&mut oracle, &vector32(&[1.0]));
        assert!(matches!(step, Err(OptimError::Option { .. })), "{step:?}");
    }
    let mut method = Descent::new(Soap::new(), 0.1);
    let mut small = Oracle::new(quadratic(&[1.0], &[0.0]));
    method.step(&mut small, &vector32(&[1.0])).unwrap();
    let mut large = Oracle::new(quadratic(&[1.0, 1.0], &[0.0, 0.0]));
    let step = method.step(&mut large, &vector32(&[1.0, 1.0]));
    assert!(matches!(step, Err(OptimError::StateDimension { .. })));
}
