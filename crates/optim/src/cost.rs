use std::hint::black_box;
use std::ops::{Add, AddAssign, Sub};
use std::time::Instant;

use ravine_curvature::{LinearOperator, Point, vector};
use serde::{Deserialize, Serialize};

use crate::OptimError;

/// What a method asked for: losses, gradients and Hessian-vector products, each over the whole of the current batch.
///
/// A gradient brings its loss along, which is not counted again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Evaluations of the loss alone.
    pub losses: u64,
    /// Evaluations of the gradient with its loss.
    pub gradients: u64,
    /// Hessian-vector products.
    pub products: u64,
}

impl Cost {
    /// losses · w_loss + gradients · w_gradient + products · w_product: the one number by which methods of different
    /// order are compared.
    pub fn gradient_equivalents(&self, weights: &CostWeights) -> f64 {
        self.losses as f64 * weights.loss
            + self.gradients as f64 * weights.gradient
            + self.products as f64 * weights.product
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            losses: self.losses + other.losses,
            gradients: self.gradients + other.gradients,
            products: self.products + other.products,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Cost {
    type Output = Self;

    /// The cost since `earlier`; a count that fell is 0.
    fn sub(self, earlier: Self) -> Self {
        Self {
            losses: self.losses.saturating_sub(earlier.losses),
            gradients: self.gradients.saturating_sub(earlier.gradients),
            products: self.products.saturating_sub(earlier.products),
        }
    }
}

/// What one loss, one gradient and one product cost, in gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CostWeights {
    /// Gradients per loss.
    pub loss: f64,
    /// Gradients per gradient: 1, unless another unit is wanted.
    pub gradient: f64,
    /// Gradients per Hessian-vector product.
    pub product: f64,
}

impl Default for CostWeights {
    /// What counting matrix products gives for a network: loss 1/3, gradient 1, product 2.
    ///
    /// A layer's forward pass takes one matrix product, its backward pass two, and a Hessian-vector product four once
    /// the gradient's intermediates are there, or six with them. [`CostWeights::measure`] says what it is in truth.
    ///
    /// # References
    ///
    /// B. A. Pearlmutter, Fast exact multiplication by the Hessian, 1994; A. Griewank and A. Walther, Evaluating
    /// Derivatives, 2008, chapter 4.
    fn default() -> Self {
        Self {
            loss: 1.0 / 3.0,
            gradient: 1.0,
            product: 2.0,
        }
    }
}

impl CostWeights {
    /// Times loss, gradient and product at `point`, turn and turn about, and takes the medians over the rounds.
    ///
    /// Every evaluation starts from a point that has evaluated nothing yet. The product is timed behind a first one that is
    /// not timed, as in a solve with many: what a point computes once for all its products is left out.
    ///
    /// # Cost
    ///
    /// Per round one loss, two gradients and two products, and as much once more to warm up.
    ///
    /// # Errors
    ///
    /// [`OptimError::Option`] when `rounds` is 0, and whatever the evaluations report.
    pub fn measure(point: &Point, rounds: usize) -> Result<Self, OptimError> {
        crate::error::in_range("rounds", rounds as f64, "at least 1", rounds > 0)?;
        let direction = point.gradient()?;
        time_round(point, &direction)?;
        let timings = (0..rounds)
            .map(|_| time_round(point, &direction))
            .collect::<Result<Vec<_>, _>>()?;
        let [loss, gradient, product] =
            [0, 1, 2].map(|column| median(timings.iter().map(|timing| timing[column]).collect()));
        tracing::debug!(loss, gradient, product, "seconds per evaluation");
        Ok(Self {
            loss: loss / gradient,
            gradient: 1.0,
            product: product / gradient,
        })
    }
}

/// Seconds of one loss, one gradient and one product, each read to the end.
fn time_round(point: &Point, direction: &burn::prelude::Tensor<1>) -> Result<[f64; 3], OptimError> {
    let fresh = || point.move_to(point.theta().clone());
    let at = fresh()?;
    let start = Instant::now();
    black_box(at.loss()?);
    let loss = start.elapsed().as_secs_f64();

    let at = fresh()?;
    let start = Instant::now();
    black_box(first_number(&at.gradient()?));
    black_box(at.loss()?);
    let gradient = start.elapsed().as_secs_f64();

    let hessian = at.hessian();
    black_box(first_number(&hessian.apply(direction)?));
    let start = Instant::now();
    black_box(first_number(&hessian.apply(direction)?));
    let product = start.elapsed().as_secs_f64();
    Ok([loss, gradient, product])
}

/// Reads one number, which waits for the device.
fn first_number(vector: &burn::prelude::Tensor<1>) -> f64 {
    match vector.dims()[0] {
        0 => 0.0,
        _ => vector::dot(
            &vector.clone().slice(0..1),
            &vector.clone().slice(0..1).ones_like(),
        ),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => 0.5 * (values[middle - 1] + values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_problems;

    #[test]
    fn a_weighted_sum() {
        let cost = Cost {
            losses: 6,
            gradients: 2,
            products: 5,
        };
        let weights = CostWeights::default();
        assert!((cost.gradient_equivalents(&weights) - 14.0).abs() < 1e-12);
        assert_eq!((cost + cost) - cost, cost);
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn measured_weights_are_positive_and_a_gradient_weighs_one() {
        let point = test_problems::quadratic(&[1.0, 10.0], &[1.0, 1.0]);
        let weights = CostWeights::measure(&point, 5).unwrap();
        assert_eq!(weights.gradient, 1.0);
        assert!(weights.loss > 0.0 && weights.product > 0.0, "{weights:?}");
        assert!(matches!(
            CostWeights::measure(&point, 0),
            Err(OptimError::Option {
                option: "rounds",
                ..
            })
        ));
    }
}
