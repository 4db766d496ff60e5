//! The exact identities behind the claims of `docs/claims.md`: they hold to rounding, and what breaks them is seen.

use crate::support::tensor;
use burn::module::Param;
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::activation::relu;
use ravine_curvature::*;

const INPUTS: usize = 5;
const UNITS: usize = 3;
const OUTPUTS: usize = 2;
const DIM: usize = UNITS * (INPUTS + 1 + OUTPUTS) + OUTPUTS;

#[derive(Clone, Copy, Debug)]
enum Activation {
    Tanh,
    Relu,
}

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
}

type Data = (Tensor<2>, Tensor<2>);

/// Squared error of a network with one hidden layer in f64, at numbers that depend on the seed.
fn network(activation: Activation, seed: u64) -> Point {
    let device = Device::flex();
    let model = Net {
        hidden: LinearConfig::new(INPUTS, UNITS).init(&device),
        output: LinearConfig::new(UNITS, OUTPUTS).init(&device),
    };
    let draw = |rows: usize, columns: usize, phase: f64| {
        tensor([rows, columns], &device, DType::F32, move |k| {
            (phase + seed as f64 + 2.7 * (k as f64).powf(1.1)).sin()
        })
    };
    let objective = Objective::new(
        move |model: &Net, (x, _): &Data| {
            let hidden = model.hidden.forward(x.clone());
            model.output.forward(match activation {
                Activation::Tanh => hidden.tanh(),
                Activation::Relu => relu(hidden),
            })
        },
        |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
    )
    .precision(Precision::F64);
    let batch = (draw(40, INPUTS, 0.3), draw(40, OUTPUTS, 1.9));
    let theta = vector::standard_normal(DIM, &mut Seed::new(seed).stream("theta").rng());
    let theta = vector::from_f64(&theta, &device, DType::F64);
    objective.at_theta(&model, &theta, &batch).unwrap()
}

fn incoming(unit: usize) -> impl Iterator<Item = usize> {
    (0..=INPUTS).map(move |row| row * UNITS + unit)
}

fn outgoing(unit: usize) -> impl Iterator<Item = usize> {
    let first = UNITS * (INPUTS + 1) + unit * OUTPUTS;
    first..first + OUTPUTS
}

/// Unit i becomes unit `from[i]` times `signs[i]`, its outgoing weights taken from `outgoing_from[i]`.
fn moved(
    theta: &[f64],
    from: [usize; UNITS],
    outgoing_from: [usize; UNITS],
    signs: [f64; UNITS],
) -> Vec<f64> {
    let mut moved = theta.to_vec();
    for unit in 0..UNITS {
        for (to, source) in incoming(unit).zip(incoming(from[unit])) {
            moved[to] = signs[unit] * theta[source];
        }
        for (to, source) in outgoing(unit).zip(outgoing(outgoing_from[unit])) {
            moved[to] = signs[unit] * theta[source];
        }
    }
    moved
}

fn at(point: &Point, theta: &[f64]) -> Point {
    let theta = vector::from_f64(theta, point.device(), DType::F64);
    point.move_to(theta).unwrap()
}

fn spectrum(point: &Point) -> Vec<f64> {
    dense(&point.hessian()).unwrap().eigenvalues().unwrap()
}

#[test]
fn permuted_and_sign_flipped_units_keep_loss_and_spectrum() {
    for seed in 0..3 {
        let point = network(Activation::Tanh, seed);
        let theta = vector::to_f64(point.theta());
        let (loss, before) = (point.loss().unwrap(), spectrum(&point));
        let largest = before[DIM - 1];
        for (from, signs) in [
            ([1, 2, 0], [1.0, 1.0, 1.0]),
            ([0, 1, 2], [-1.0, 1.0, -1.0]),
            ([2, 1, 0], [-1.0, -1.0, 1.0]),
        ] {
            let copy = at(&point, &moved(&theta, from, from, signs));
            assert!((copy.loss().unwrap() / loss - 1.0).abs() < 1e-13);
            let distance = vector::norm(&(copy.theta().clone() - point.theta().clone()));
            assert!(distance > 0.1, "the copy lies elsewhere");
            for (a, b) in before.iter().zip(spectrum(&copy)) {
                assert!((a - b).abs() < 1e-12 * largest, "{a} {b}");
            }
        }
    }
}

#[test]
fn moving_only_one_side_of_the_units_is_no_symmetry() {
    let point = network(Activation::Tanh, 0);
    let theta = vector::to_f64(point.theta());
    let copy = at(&point, &moved(&theta, [1, 2, 0], [0, 1, 2], [1.0; 3]));
    assert!((copy.loss().unwrap() / point.loss().unwrap() - 1.0).abs() > 1e-3);
    // the sign flip is a symmetry of tanh, not of ReLU
    let point = network(Activation::Relu, 0);
    let theta = vector::to_f64(point.theta());
    let flipped = at(
        &point,
        &moved(&theta, [0, 1, 2], [0, 1, 2], [-1.0, 1.0, 1.0]),
    );
    assert!((flipped.loss().unwrap() / point.loss().unwrap() - 1.0).abs() > 1e-3);
}

/// A v for the generator A of the rescaling of a unit.
fn generator(unit: usize, v: &[f64]) -> Vec<f64> {
    let mut result = vec![0.0; DIM];
    incoming(unit).for_each(|index| result[index] = v[index]);
    outgoing(unit).for_each(|index| result[index] = -v[index]);
    result
}

/// The two residuals of the identities gᵀAθ = 0 and HAθ = −Ag, relative to their terms.
fn residuals(point: &Point, unit: usize) -> (f64, f64) {
    let tensor = |values: &[f64]| vector::from_f64(values, point.device(), DType::F64);
    let gradient = point.gradient().unwrap();
    let along = tensor(&generator(unit, &vector::to_f64(point.theta())));
    let turned = tensor(&generator(unit, &vector::to_f64(&gradient)));
    let scale = vector::norm(&gradient) * vector::norm(&along);
    let product = point.hessian().apply(&along).unwrap();
    let left = vector::norm(&(product + turned.clone()));
    (
        vector::dot(&gradient, &along).abs() / scale,
        left / vector::norm(&turned),
    )
}

#[test]
fn rescaled_relu_units_obey_both_identities_of_their_generator() {
    for seed in 0..3 {
        let point = network(Activation::Relu, seed);
        for unit in 0..UNITS {
            let (slope, curvature) = residuals(&point, unit);
            assert!(slope < 1e-12 && curvature < 1e-12, "{slope} {curvature}");
        }
    }
}

#[test]
fn tanh_units_cannot_be_rescaled() {
    let (slope, curvature) = residuals(&network(Activation::Tanh, 0), 0);
    assert!(slope > 1e-3 && curvature > 1e-3, "{slope} {curvature}");
}

#[test]
fn rescaling_changes_the_sharpness_at_equal_loss() {
    let point = network(Activation::Relu, 1);
    let mut theta = vector::to_f64(point.theta());
    for unit in 0..UNITS {
        incoming(unit).for_each(|index| theta[index] *= 4.0);
        outgoing(unit).for_each(|index| theta[index] /= 4.0);
    }
    let copy = at(&point, &theta);
    assert!((copy.loss().unwrap() / point.loss().unwrap() - 1.0).abs() < 1e-13);
    let sharpness = |point: &Point| spectrum(point)[DIM - 1];
    assert!(sharpness(&copy) > 2.0 * sharpness(&point));
}

#[derive(Module, Debug)]
struct Bowl {
    x: Param<Tensor<1>>,
}

/// ½ Σ λᵢ xᵢ² with eigenvalues from 1 to 1/κ.
fn bowl(kappa: f64, x: &[f64]) -> (Point, Vec<f64>) {
    let device = Device::flex();
    let last = (x.len() - 1) as f64;
    let lambda: Vec<f64> = (0..x.len())
        .map(|i| kappa.powf(-(i as f64) / last))
        .collect();
    let model = Bowl {
        x: Param::from_tensor(vector::from_f64(x, &device, DType::F64)),
    };
    let weights = vector::from_f64(&lambda, &device, DType::F64);
    let objective = Objective::of_loss(|model: &Bowl, weights: &Tensor<1>| {
        (model.x.val().powi_scalar(2) * weights.clone()).sum() * 0.5
    });
    (objective.at(&model, &weights).unwrap(), lambda)
}

/// L(θ − εg) − L(θ).
fn change(point: &Point, epsilon: f64) -> f64 {
    let step = point.gradient().unwrap().mul_scalar(epsilon);
    let there = point.move_to(point.theta().clone() - step).unwrap();
    there.loss().unwrap() - point.loss().unwrap()
}

#[test]
fn on_a_quadratic_a_gradient_step_goes_uphill_exactly_beyond_twice_the_best() {
    for kappa in [10.0, 1e4, 1e8] {
        let (point, _) = bowl(kappa, &[0.7, -1.3, 0.4, 2.0, -0.9]);
        let monitor = Monitor::at(&point).unwrap();
        let uphill = monitor.uphill_step.unwrap();
        assert!(change(&point, uphill * (1.0 - 1e-6)) < 0.0);
        assert!(change(&point, uphill * (1.0 + 1e-6)) > 0.0);
        for fraction in [0.01, 0.5, 1.0, 1.7, 3.0] {
            let predicted = monitor.predicted_change(fraction * uphill);
            let error = (change(&point, fraction * uphill) - predicted).abs();
            assert!(error < 1e-14 * monitor.loss.max(predicted.abs()), "{error}");
        }
    }
}

#[test]
fn gradient_descent_contracts_by_its_condition_number_and_newton_does_not() {
    for kappa in [10.0, 1e3, 1e6] {
        // the worst case: equal weight on the stiffest and the flattest direction
        let (start, lambda) = bowl(kappa, &[1.0, 0.0, 0.0, 1.0]);
        let rate = 2.0 / (lambda[0] + lambda[3]);
        let mut point = start.clone();
        for _ in 0..50 {
            let theta = point.theta().clone() - point.gradient().unwrap().mul_scalar(rate);
            let before = vector::norm(point.theta());
            point = point.move_to(theta).unwrap();
            let contraction = vector::norm(point.theta()) / before;
            assert!((contraction - (kappa - 1.0) / (kappa + 1.0)).abs() < 1e-12);
        }
        let gradient = vector::to_f64(&start.gradient().unwrap());
        let eigen = dense(&start.hessian()).unwrap().eigen().unwrap();
        let step = eigen.apply_function(|value| -1.0 / value, &gradient);
        let theta = vector::to_f64(start.theta());
        let error: f64 = theta.iter().zip(&step).map(|(a, b)| (a + b).abs()).sum();
        assert!(error < 1e-12 * kappa.sqrt(), "κ = {kappa:e}: {error:e}");
    }
}
