//! Devices, vectors and comparisons.

use burn::prelude::*;
use ravine_curvature::{CurvatureError, Point, vector};

pub(crate) use ravine_benches::inputs::{cosines, cross_entropy, labels, tensor};

/// The devices that are built by default.
#[allow(deprecated)] // upstream ends burn-ndarray after this release; the pin keeps it
pub(crate) fn devices() -> [Device; 2] {
    [Device::flex(), Device::ndarray()]
}

/// A pseudo-random vector of norm one.
pub(crate) fn direction(point: &Point, phase: f64) -> Tensor<1> {
    let values: Vec<f64> = (0..point.dim())
        .map(|i| (phase + 12.9898 * i as f64).sin() * 43758.5453)
        .map(|x| x - x.floor() - 0.5)
        .collect();
    let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let unit: Vec<f64> = values.iter().map(|x| x / norm).collect();
    vector::from_f64(&unit, point.device(), point.dtype())
}

/// The fourth-order central difference of f along v: (8 (f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h.
pub(crate) fn difference(
    point: &Point,
    v: &Tensor<1>,
    h: f64,
    f: impl Fn(&Point) -> Result<Tensor<1>, CurvatureError>,
) -> Tensor<1> {
    let f = |step: f64| {
        let theta = point.theta().clone() + v.clone().mul_scalar(step);
        f(&point.move_to(theta).unwrap()).unwrap()
    };
    ((f(h) - f(-h)).mul_scalar(8.0) - (f(2.0 * h) - f(-2.0 * h))).div_scalar(12.0 * h)
}

/// The same of the gradient: H v.
pub(crate) fn gradient_difference(point: &Point, v: &Tensor<1>, h: f64) -> Tensor<1> {
    difference(point, v, h, Point::gradient)
}

/// The same of the loss: gᵀv.
pub(crate) fn loss_difference(point: &Point, v: &Tensor<1>, h: f64) -> f64 {
    let loss = |step: f64| {
        let theta = point.theta().clone() + v.clone().mul_scalar(step);
        point.move_to(theta).unwrap().loss().unwrap()
    };
    (8.0 * (loss(h) - loss(-h)) - (loss(2.0 * h) - loss(-2.0 * h))) / (12.0 * h)
}

/// ‖a − b‖ / ‖b‖.
pub(crate) fn relative(a: &Tensor<1>, b: &Tensor<1>) -> f64 {
    vector::norm(&(a.clone() - b.clone())) / vector::norm(b).max(f64::MIN_POSITIVE)
}
