use std::hint::black_box;
use std::ops::{Add, AddAssign, Sub};
use std::time::Instant;

use burn::prelude::*;
use ravine_curvature::{
    CurvatureError, Factors, KfacFactors, KfacOptions, LinearOperator, Others, Point, Seed, vector,
};
use serde::{Deserialize, Serialize};

use crate::OptimError;

/// What a method asked for: losses, gradients, products and passes for factors, each over the whole of the current batch.
///
/// A gradient brings its loss along, which is not counted again. Linear algebra without data, such as the inverse of a matrix, is not
/// counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Evaluations of the loss alone.
    pub losses: u64,
    /// Evaluations of the gradient with its loss.
    pub gradients: u64,
    /// Hessian-vector products.
    pub products: u64,
    /// Products with the Gauss-Newton matrix.
    #[serde(default)]
    pub gauss_newton_products: u64,
    /// Passes for Kronecker factors and Gauss-Newton diagonals: a forward pass that takes the moments of all activations, or a
    /// backward pass of a vector at the outputs that takes those of all gradients by layer outputs.
    #[serde(default)]
    pub factor_passes: u64,
}

impl Cost {
    /// Σ count · weight over losses, gradients, products, Gauss-Newton products and factor passes: the one number by which methods
    /// of different order are compared.
    pub fn gradient_equivalents(&self, weights: &CostWeights) -> f64 {
        self.losses as f64 * weights.loss
            + self.gradients as f64 * weights.gradient
            + self.products as f64 * weights.product
            + self.gauss_newton_products as f64 * weights.gauss_newton_product
            + self.factor_passes as f64 * weights.factor_pass
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            losses: self.losses + other.losses,
            gradients: self.gradients + other.gradients,
            products: self.products + other.products,
            gauss_newton_products: self.gauss_newton_products + other.gauss_newton_products,
            factor_passes: self.factor_passes + other.factor_passes,
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
            gauss_newton_products: (self.gauss_newton_products)
                .saturating_sub(earlier.gauss_newton_products),
            factor_passes: self.factor_passes.saturating_sub(earlier.factor_passes),
        }
    }
}

/// What one evaluation of each kind costs, in gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CostWeights {
    /// Gradients per loss.
    pub loss: f64,
    /// Gradients per gradient: 1, unless another unit is wanted.
    pub gradient: f64,
    /// Gradients per Hessian-vector product.
    pub product: f64,
    /// Gradients per product with the Gauss-Newton matrix.
    pub gauss_newton_product: f64,
    /// Gradients per pass for Kronecker factors.
    pub factor_pass: f64,
}

impl Default for CostWeights {
    /// What counting matrix products gives for a network: loss 1/3, gradient 1, product 2, Gauss-Newton product 4/3, pass for factors
    /// 2/3.
    ///
    /// A layer's forward pass takes one matrix product, its backward pass two, and a Hessian-vector product four once
    /// the gradient's intermediates are there, or six with them. A Gauss-Newton product takes two forwards (J v) and two backwards
    /// (Jᵀ u), a pass for factors one through the layer and one for the outer products. [`CostWeights::measure`] says what it is in
    /// truth.
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
            gauss_newton_product: 4.0 / 3.0,
            factor_pass: 2.0 / 3.0,
        }
    }
}

impl CostWeights {
    /// Times every kind of evaluation at `point`, turn and turn about, and takes the medians over the rounds.
    ///
    /// Every evaluation starts from a point that has evaluated nothing yet. Products are timed behind a first one that is
    /// not timed, as in a solve with many: what a point computes once for all its products is left out. A pass for factors is half of
    /// what Kronecker factors from one random vector take, with all that makes them.
    ///
    /// Gauss-Newton products and factors need an objective with outputs, and factors layers and a convex loss: where there are
    /// none their weights are those of [`CostWeights::default`].
    ///
    /// # Cost
    ///
    /// Per round one loss, two gradients, two products of each kind and two passes, and as much once more to warm up.
    ///
    /// # Errors
    ///
    /// [`OptimError::Option`] when `rounds` is 0, and whatever losses, gradients and Hessian-vector products report.
    pub fn measure(point: &Point, rounds: usize) -> Result<Self, OptimError> {
        crate::error::in_range("rounds", rounds as f64, "at least 1", rounds > 0)?;
        let direction = point.gradient()?;
        let first = Timing::of_round(point, &direction)?;
        let timings = (0..rounds)
            .map(|_| Timing::of_round(point, &direction))
            .collect::<Result<Vec<_>, _>>()?;
        let median_of = |time: fn(&Timing) -> f64| median(timings.iter().map(time).collect());
        let (loss, product) = (median_of(|t| t.loss), median_of(|t| t.product));
        let gradient = median_of(|timing| timing.gradient);
        let or_default = |time: fn(&Timing) -> Option<f64>, default: f64| {
            let missing = time(&first).is_none();
            let times: Vec<f64> = timings.iter().filter_map(time).collect();
            match missing || times.is_empty() {
                true => default,
                false => median(times) / gradient,
            }
        };
        let default = Self::default();
        let weights = Self {
            loss: loss / gradient,
            gradient: 1.0,
            product: product / gradient,
            gauss_newton_product: or_default(|t| t.gauss_newton, default.gauss_newton_product),
            factor_pass: or_default(|t| t.factor_pass, default.factor_pass),
        };
        tracing::debug!(gradient, ?weights, "seconds per gradient, and weights");
        Ok(weights)
    }
}

/// Seconds of one evaluation of each kind, read to the end.
struct Timing {
    loss: f64,
    gradient: f64,
    product: f64,
    gauss_newton: Option<f64>,
    factor_pass: Option<f64>,
}

impl Timing {
    fn of_round(point: &Point, direction: &Tensor<1>) -> Result<Self, OptimError> {
        let fresh = || point.move_to(point.theta().clone());
        let at = fresh()?;
        let loss = seconds(|| Ok(black_box(at.loss()?)))?;
        let at = fresh()?;
        let gradient = seconds(|| {
            black_box(first_number(&at.gradient()?));
            Ok(black_box(at.loss()?))
        })?;
        let product = second_product(&at.hessian(), direction)?;
        let at = fresh()?;
        let gauss_newton = (at.gauss_newton().ok())
            .and_then(|gauss_newton| second_product(&gauss_newton, direction).ok());
        let options = KfacOptions {
            factors: Factors::MonteCarlo {
                samples: 1,
                seed: Seed::new(0),
            },
            others: Others::Zero,
            ..KfacOptions::default()
        };
        let at = fresh()?;
        let mut passes = 0;
        let factors = seconds(|| {
            passes = KfacFactors::at(&at, &options)?.passes();
            Ok(0.0)
        });
        Ok(Self {
            loss,
            gradient,
            product,
            gauss_newton,
            factor_pass: factors.ok().map(|seconds| seconds / passes as f64),
        })
    }
}

/// Seconds that an evaluation takes.
fn seconds(evaluate: impl FnOnce() -> Result<f64, CurvatureError>) -> Result<f64, CurvatureError> {
    let start = Instant::now();
    evaluate()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds of a product behind another one.
fn second_product(
    operator: &dyn LinearOperator,
    direction: &Tensor<1>,
) -> Result<f64, CurvatureError> {
    black_box(first_number(&operator.apply(direction)?));
    seconds(|| Ok(black_box(first_number(&operator.apply(direction)?))))
}

/// Reads one number, which waits for the device.
fn first_number(vector: &Tensor<1>) -> f64 {
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
            gauss_newton_products: 3,
            factor_passes: 6,
        };
        let weights = CostWeights::default();
        assert!((cost.gradient_equivalents(&weights) - 22.0).abs() < 1e-12);
        assert_eq!((cost + cost) - cost, cost);
    }

    #[test]
    fn records_from_before_still_read() {
        let old: Cost = serde_json::from_str(r#"{"losses":1,"gradients":2,"products":3}"#).unwrap();
        assert_eq!((old.products, old.gauss_newton_products), (3, 0));
        let old: CostWeights = serde_json::from_str(r#"{"product":3.0}"#).unwrap();
        assert_eq!(old.factor_pass, CostWeights::default().factor_pass);
    }

    #[test]
    fn an_objective_with_outputs_has_all_its_weights_measured() {
        let weights = CostWeights::measure(&test_problems::least_squares(), 3).unwrap();
        let default = CostWeights::default();
        assert!(weights.gauss_newton_product > 0.0 && weights.factor_pass > 0.0);
        assert_ne!(weights.gauss_newton_product, default.gauss_newton_product);
        assert_ne!(weights.factor_pass, default.factor_pass);
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
        let default = CostWeights::default();
        assert_eq!(weights.gauss_newton_product, default.gauss_newton_product);
        assert_eq!(weights.factor_pass, default.factor_pass);
        assert!(matches!(
            CostWeights::measure(&point, 0),
            Err(OptimError::Option {
                option: "rounds",
                ..
            })
        ));
    }
}
