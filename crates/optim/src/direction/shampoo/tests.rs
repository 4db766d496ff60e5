use super::*;
use crate::direction::plain::{
    along, assert_close, function, gram, network, network_point, shaped, twins,
};
use crate::test_problems::{quadratic, vector32};
use crate::{Cost, Descent, LearningRate, Method, StepEnding, StrongWolfe};
use ravine_curvature::Precision;

/// Shampoo on plain numbers, with sums over all indices and Jacobi's eigenvalues.
struct Plain {
    epsilon: f64,
    statistics: Statistics,
    every: usize,
    shapes: Vec<Vec<usize>>,
    sums: Vec<Vec<Vec<Vec<f64>>>>,
    roots: Vec<Vec<Vec<Vec<f64>>>>,
    /// Dimensions longer than this have a diagonal, or nothing.
    most: usize,
    oversized: Oversized,
}

impl Plain {
    fn new(shapes: Vec<Vec<usize>>) -> Self {
        let zeros = |shape: &Vec<usize>| -> Vec<Vec<Vec<f64>>> {
            shape.iter().map(|&n| vec![vec![0.0; n]; n]).collect()
        };
        let sums: Vec<_> = shapes.iter().map(zeros).collect();
        Self {
            epsilon: 1e-4,
            statistics: Statistics::Sum,
            every: 1,
            roots: sums.clone(),
            sums,
            shapes,
            most: usize::MAX,
            oversized: Oversized::Diagonal,
        }
    }

    fn update(&mut self, t: usize, g: &[f64]) -> Vec<f64> {
        let mut from = 0;
        let mut all = Vec::new();
        for (p, shape) in self.shapes.iter().enumerate() {
            let count: usize = shape.iter().product();
            let g = &g[from..from + count];
            from += count;
            let long = |n: usize| n > self.most;
            let left_out = |n: usize| long(n) && self.oversized == Oversized::Identity;
            let order = shape.iter().filter(|&&n| !left_out(n)).count();
            let mut u = g.to_vec();
            for (axis, &n) in shape.iter().enumerate() {
                if left_out(n) {
                    continue;
                }
                let new = gram(g, shape, axis);
                for i in 0..n {
                    for j in 0..n {
                        let entry = &mut self.sums[p][axis][i][j];
                        let new = if long(n) && i != j { 0.0 } else { new[i][j] };
                        *entry = match self.statistics {
                            Statistics::Sum => *entry + new,
                            Statistics::Average { beta } => beta * *entry + (1.0 - beta) * new,
                        };
                    }
                }
                if (t - 1).is_multiple_of(self.every) {
                    let power = -1.0 / (2.0 * order as f64);
                    let root = |x: f64| (x.max(0.0) + self.epsilon).powf(power);
                    self.roots[p][axis] = function(&self.sums[p][axis], root);
                }
                u = along(&u, shape, axis, &self.roots[p][axis]);
            }
            all.extend(u);
        }
        all
    }
}

fn stepped(theta: &[f64], u: &[f64], rate: f64) -> Vec<f64> {
    theta.iter().zip(u).map(|(x, u)| x - rate * u).collect()
}

#[test]
fn it_takes_the_steps_of_the_paper() {
    for twin in twins() {
        let mut plain = Plain::new(twin.shapes());
        twin.compare(&mut Descent::new(Shampoo::new(), 0.1), 12, |t, theta| {
            let u = plain.update(t, &(twin.gradient)(theta));
            stepped(theta, &u, 0.1)
        });
    }
}

#[test]
fn averages_intervals_and_epsilon_enter_as_documented() {
    for twin in [shaped(), network()] {
        let statistics = Statistics::Average { beta: 0.9 };
        let direction = Shampoo::new().statistics(statistics).every(4).epsilon(1e-3);
        let mut plain = Plain {
            epsilon: 1e-3,
            statistics,
            every: 4,
            ..Plain::new(twin.shapes())
        };
        twin.compare(&mut Descent::new(direction, 0.05), 13, |t, theta| {
            let u = plain.update(t, &(twin.gradient)(theta));
            stepped(theta, &u, 0.05)
        });
    }
}

#[test]
fn long_dimensions_keep_a_diagonal_or_nothing() {
    for oversized in [Oversized::Diagonal, Oversized::Identity] {
        let twin = shaped();
        let direction = Shampoo::new().max_dimension(2).oversized(oversized);
        let mut plain = Plain {
            most: 2,
            oversized,
            ..Plain::new(twin.shapes())
        };
        twin.compare(&mut Descent::new(direction, 0.05), 10, |t, theta| {
            let u = plain.update(t, &(twin.gradient)(theta));
            stepped(theta, &u, 0.05)
        });
    }
}

#[test]
fn grafting_momentum_and_decay_enter_as_documented() {
    let twin = network();
    let direction = Shampoo::new()
        .grafting(Grafting::Gradient)
        .momentum(0.8)
        .weight_decay(0.1);
    let mut plain = Plain::new(twin.shapes());
    let mut velocity = vec![0.0; twin.dim()];
    twin.compare(&mut Descent::new(direction, 0.1), 12, |t, theta| {
        let g = (twin.gradient)(theta);
        let mut u = plain.update(t, &g);
        for range in [0..9, 9..12, 12..21] {
            let (target, length) = (length(&g[range.clone()]), length(&u[range.clone()]));
            u[range].iter_mut().for_each(|u| *u *= target / length);
        }
        for (v, u) in velocity.iter_mut().zip(&u) {
            *v = 0.8 * *v + u;
        }
        let decayed = theta.iter().zip(&velocity);
        let step: Vec<f64> = decayed.map(|(x, v)| v + 0.1 * x).collect();
        stepped(theta, &step, 0.1)
    });
}

#[test]
fn a_vector_has_the_full_matrix_of_adagrad() {
    // The first step: (ggᵀ + ϵI)^(−½) g = g/√(gᵀg + ϵ).
    let mut oracle = Oracle::new(quadratic(&[1.0, 2.0], &[0.0, 0.0]));
    let theta = vector32(&[3.0, 2.0]);
    let step = Descent::new(Shampoo::new().epsilon(11.0), 1.0)
        .step(&mut oracle, &theta)
        .unwrap();
    let change = vector::to_f64(&(theta - step.theta));
    assert_close(&change, &[0.5, 4.0 / 6.0], 1e-6);
    let cost = Cost {
        gradients: 1,
        ..Cost::default()
    };
    assert_eq!(step.cost, cost);
}

#[test]
fn in_f32_it_follows_the_steps_in_f64_and_searches_find_a_decrease() {
    let run = |precision| {
        let point = network_point(precision);
        let mut theta = point.theta().clone();
        let mut oracle = Oracle::new(point);
        let mut method = Descent::new(Shampoo::new(), 0.1);
        for _ in 0..12 {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
        }
        vector::to_f64(&theta)
    };
    assert_close(&run(Precision::Model), &run(Precision::F64), 1e-3);

    let point = network_point(Precision::Model);
    let mut theta = point.theta().clone();
    let mut oracle = Oracle::new(point);
    let rate = LearningRate::from(1.0).searching(StrongWolfe::default());
    let mut method = Descent::new(Shampoo::new(), rate);
    for _ in 0..8 {
        let step = method.step(&mut oracle, &theta).unwrap();
        theta = step.theta;
        assert!(oracle.loss(&theta).unwrap() < step.loss_before);
    }
}

#[test]
fn a_zero_gradient_is_stationary_and_nan_is_reported() {
    for direction in [Shampoo::new(), Shampoo::new().grafting(Grafting::Gradient)] {
        let mut oracle = Oracle::new(quadratic(&[1.0, 2.0], &[0.0, 0.0]));
        let mut method = Descent::new(direction, 0.1);
        let step = method.step(&mut oracle, &vector32(&[0.0, 0.0])).unwrap();
        assert!(matches!(step.ending, StepEnding::Stationary));
        let step = method
            .step(&mut oracle, &vector32(&[f32::NAN, 0.0]))
            .unwrap();
        assert!(matches!(step.ending, StepEnding::NonFinite { .. }));
    }
}

#[test]
fn options_out_of_range_and_states_of_other_models_are_named() {
    let wrong = [
        Shampoo::new().epsilon(0.0),
        Shampoo::new().every(0),
        Shampoo::new().max_dimension(0),
        Shampoo::new().statistics(Statistics::Average { beta: 1.0 }),
        Shampoo::new().momentum(1.0),
        Shampoo::new().weight_decay(f64::INFINITY),
    ];
    for direction in wrong {
        let mut oracle = Oracle::new(quadratic(&[1.0], &[0.0]));
        let step = Descent::new(direction, 0.1).step(&mut oracle, &vector32(&[1.0]));
        assert!(matches!(step, Err(OptimError::Option { .. })), "{step:?}");
    }
    let mut method = Descent::new(Shampoo::new(), 0.1);
    let mut small = Oracle::new(quadratic(&[1.0], &[0.0]));
    method.step(&mut small, &vector32(&[1.0])).unwrap();
    let mut large = Oracle::new(quadratic(&[1.0, 1.0], &[0.0, 0.0]));
    let step = method.step(&mut large, &vector32(&[1.0, 1.0]));
    assert!(matches!(step, Err(OptimError::StateDimension { .. })));
}
