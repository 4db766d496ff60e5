//! Rosenbrock's banana in n dimensions.

use super::{Problem, ProblemError, check_number, check_vector, parameter};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorCreationOptions};
use serde::{Deserialize, Serialize};

/// f(x) = Σᵢ [s (xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)²], i = 1 … n−1, with s = 100: a curved ravine.
///
/// Minimum 0 at x = (1, …, 1). With n = 2 the Hessian there has condition number 2508; its floor follows a parabola, so that no
/// fixed rotation or scaling of the axes helps. From n = 4 on there is a second, local minimum near (−1, 1, …, 1).
///
/// # References
///
/// H. Rosenbrock, An automatic method for finding the greatest or least value of a function, Computer Journal 3 (1960).
/// Y.-W. Shang and Y.-H. Qiu, A note on the extended Rosenbrock function, Evolutionary Computation 14 (2006).
#[derive(Module, Debug)]
pub struct Rosenbrock {
    /// The parameter, shape `[n]`.
    pub x: Param<Tensor<1>>,
    steepness: f64,
    #[module(skip)]
    start: Vec<f64>,
    #[module(skip)]
    minimiser: Vec<f64>,
}

/// Configuration of a [`Rosenbrock`] function.
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::problems::{Problem, RosenbrockConfig};
///
/// let banana = RosenbrockConfig::new(2).init(&Device::flex())?;
/// assert_eq!(banana.start(), [-1.2, 1.0]);
/// assert!((banana.loss().into_scalar::<f64>() - 24.2).abs() < 1e-5);
/// # Ok::<(), ravine_model::problems::ProblemError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosenbrockConfig {
    /// The number of parameters n, at least 2.
    pub dim: usize,
    /// The height s of the walls; 100 by default.
    #[serde(default = "default_steepness")]
    pub steepness: f64,
    /// The starting point; (−1.2, 1, −1.2, 1, …) by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Vec<f64>>,
}

fn default_steepness() -> f64 {
    100.0
}

impl RosenbrockConfig {
    /// The function in `dim` dimensions with walls of height 100.
    pub fn new(dim: usize) -> Self {
        RosenbrockConfig {
            dim,
            steepness: default_steepness(),
            start: None,
        }
    }

    /// Sets the height of the walls, which scales the condition number at the minimum.
    pub fn with_steepness(mut self, steepness: f64) -> Self {
        self.steepness = steepness;
        self
    }

    /// Sets the starting point.
    pub fn with_start(mut self, start: impl Into<Vec<f64>>) -> Self {
        self.start = Some(start.into());
        self
    }

    /// Builds the problem on a device, in its default dtype or in that of `(&device, dtype)`.
    ///
    /// # Errors
    ///
    /// [`ProblemError`] for fewer than two dimensions, a steepness that is not positive, or an unusable starting point.
    pub fn init(
        &self,
        options: impl Into<TensorCreationOptions>,
    ) -> Result<Rosenbrock, ProblemError> {
        if self.dim < 2 {
            return Err(ProblemError::Dimension {
                dim: self.dim,
                minimum: 2,
            });
        }
        check_number("steepness", self.steepness)?;
        if self.steepness <= 0.0 {
            return Err(ProblemError::Value {
                what: "steepness",
                value: self.steepness,
            });
        }
        let start = self.start.clone().unwrap_or_else(|| {
            (0..self.dim)
                .map(|i| if i % 2 == 0 { -1.2 } else { 1.0 })
                .collect()
        });
        check_vector("start", &start, self.dim)?;
        Ok(Rosenbrock {
            x: parameter(&start, &options.into()),
            steepness: self.steepness,
            start,
            minimiser: vec![1.0; self.dim],
        })
    }
}

impl Problem for Rosenbrock {
    fn loss(&self) -> Tensor<1> {
        let x = self.x.val();
        let [dim] = x.dims();
        let head = x.clone().narrow(0, 0, dim - 1);
        let tail = x.narrow(0, 1, dim - 1);
        let across = tail - head.clone() * head.clone();
        let along = head.neg().add_scalar(1.0);
        let walls = (across.clone() * across).mul_scalar(self.steepness);
        (walls + along.clone() * along).sum()
    }

    fn x(&self) -> &Param<Tensor<1>> {
        &self.x
    }

    fn start(&self) -> &[f64] {
        &self.start
    }

    fn minimiser(&self) -> &[f64] {
        &self.minimiser
    }

    fn minimum(&self) -> f64 {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{autodiff_f64, difference, gradient, loss};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_classical_start_has_the_classical_loss_and_gradient() {
        let banana = RosenbrockConfig::new(2).init(autodiff_f64()).unwrap();
        assert!((loss(&banana) - 24.2).abs() < 1e-12);
        assert!(difference(&gradient(&banana), &[-215.6, -88.0]) < 1e-14);
    }

    #[test]
    fn the_minimum_is_flat_and_zero() {
        for dim in [2, 3, 10] {
            let config = RosenbrockConfig::new(dim).with_start(vec![1.0; dim]);
            let banana = config.init(autodiff_f64()).unwrap();
            assert_eq!(loss(&banana), banana.minimum());
            assert!(gradient(&banana).iter().all(|g| *g == 0.0));
        }
    }

    #[test]
    fn the_condition_number_at_the_minimum_is_2508() {
        // The Hessian from central differences of the gradient: exact up to rounding, since f is a quartic and h is small.
        let h = 1e-4;
        let column = |k: usize| {
            let at = |sign: f64| {
                let mut x = vec![1.0, 1.0];
                x[k] += sign * h;
                let config = RosenbrockConfig::new(2).with_start(x);
                gradient(&config.init(autodiff_f64()).unwrap())
            };
            let (up, down) = (at(1.0), at(-1.0));
            [(up[0] - down[0]) / (2.0 * h), (up[1] - down[1]) / (2.0 * h)]
        };
        let ([a, b], [_, d]) = (column(0), column(1));
        let (trace, determinant) = (a + d, a * d - b * b);
        let root = (trace * trace - 4.0 * determinant).sqrt();
        let ratio = (trace + root) / (trace - root);
        assert!((ratio / 2508.0 - 1.0).abs() < 1e-3, "{ratio}");
    }

    #[test]
    fn more_dimensions_sum_the_terms() {
        let config = RosenbrockConfig::new(4).with_steepness(10.0);
        let x = [0.3, -0.7, 1.1, 2.0];
        let banana = config.with_start(x).init(autodiff_f64()).unwrap();
        let term = |i: usize| 10.0 * (x[i + 1] - x[i] * x[i]).powi(2) + (1.0 - x[i]).powi(2);
        let expected: f64 = (0..3).map(term).sum();
        assert!((loss(&banana) / expected - 1.0).abs() < 1e-14);
    }

    #[test]
    fn impossible_configurations_are_errors() {
        let device = Device::flex();
        assert!(matches!(
            RosenbrockConfig::new(1).init(&device),
            Err(ProblemError::Dimension { dim: 1, minimum: 2 })
        ));
        let flat = RosenbrockConfig::new(2).with_steepness(0.0);
        assert!(matches!(
            flat.init(&device),
            Err(ProblemError::Value { .. })
        ));
    }
}
