//! Central differences of a gradient, with an estimate of their own error.

use super::{Check, Outcome, Property, VerifyOptions, difference, norm, ratio};
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::rounding::rounding_unit;
use crate::seed::Seed;
use crate::vector::{from_f64, standard_normal, to_f64};
use burn::prelude::Tensor;

/// Steps tried: h, h/2, …
const STEPS: usize = 6;

/// Differences whose own error exceeds this decide nothing.
const TOO_COARSE: f64 = 5e-3;

type Gradient<'a> = dyn FnMut(&Tensor<1>) -> Result<Tensor<1>, CurvatureError> + 'a;

/// The check along a random direction, and the products it cost; none for no parameters.
pub(super) fn check(
    operator: &dyn LinearOperator,
    theta: &Tensor<1>,
    gradient: &mut Gradient<'_>,
    options: &VerifyOptions,
    seed: Seed,
) -> Result<(Option<Check>, usize), CurvatureError> {
    let dim = operator.dim();
    if dim == 0 {
        return Ok((None, 0));
    }
    let (device, dtype) = (operator.device(), operator.dtype());
    let mut rng = seed.stream("verify").stream("differences").rng();
    let direction = from_f64(&standard_normal(dim, &mut rng), &device, dtype);
    let product = to_f64(&operator.apply(&direction)?);
    let size = norm(&product);

    let theta = to_f64(theta);
    let spread = (norm(&theta) / (dim as f64).sqrt()).max(1e-2);
    let mut step = 2.0 * rounding_unit(dtype).powf(0.2) * spread;
    let direction = to_f64(&direction);
    let mut at = |factor: f64| {
        let moved: Vec<f64> = theta
            .iter()
            .zip(&direction)
            .map(|(t, v)| t + factor * v)
            .collect();
        let moved = from_f64(&moved, &device, dtype);
        Ok::<_, CurvatureError>(to_f64(&gradient(&moved)?))
    };
    // what rounding of θ and of the gradients may amount to, times the step: two steps can agree better than that by chance
    let through_theta = ratio(size, norm(&direction)) * norm(&theta);
    let mut before: Option<Vec<f64>> = None;
    let (mut measured, mut own_error) = (f64::NAN, f64::INFINITY);
    for _ in 0..STEPS {
        let (near, near_back) = (at(step)?, at(-step)?);
        let (far, far_back) = (at(2.0 * step)?, at(-2.0 * step)?);
        let derivative: Vec<f64> = (0..dim)
            .map(|i| (8.0 * (near[i] - near_back[i]) - (far[i] - far_back[i])) / (12.0 * step))
            .collect();
        if let Some(before) = &before {
            let largest = norm(&near).max(norm(&near_back));
            let rounding = rounding_unit(dtype) * (largest + through_theta) / step;
            let error = difference(before, &derivative).max(rounding);
            if error < own_error {
                own_error = error;
                measured = difference(&derivative, &product);
            }
        }
        before = Some(derivative);
        step *= 0.5;
    }
    let relative = ratio(own_error, size);
    let rounding = options.slack.sqrt() * rounding_unit(dtype);
    let allowed = 3.0 * relative + options.difference_tolerance.max(rounding);
    let mut check = Check::at_most(Property::Derivative, ratio(measured, size), allowed);
    // what is far beyond their error is wrong, however coarse they are
    if relative > TOO_COARSE && check.outcome == Outcome::Passed {
        check.outcome = Outcome::Inconclusive;
    }
    Ok((Some(check), 1))
}
