//! Beale's function.

use super::{Problem, ProblemError, check_vector, parameter};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorCreationOptions};
use serde::{Deserialize, Serialize};

/// f(x, y) = (1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²: plateaus with a sharp, curved valley.
///
/// Minimum 0 at (3, ½). The Hessian is indefinite over large parts of the plane, the usual starting point (1, 1) among them.
///
/// # References
///
/// E. Beale, On an iterative method for finding a local minimum of a function of more than one variable, Princeton (1958).
/// J. Moré, B. Garbow and K. Hillstrom, Testing unconstrained optimization software, ACM TOMS 7 (1981), problem 5.
#[derive(Module, Debug)]
pub struct Beale {
    /// The parameter (x, y), shape `[2]`.
    pub x: Param<Tensor<1>>,
    #[module(skip)]
    start: Vec<f64>,
}

const MINIMISER: [f64; 2] = [3.0, 0.5];
const CONSTANTS: [f64; 3] = [1.5, 2.25, 2.625];

/// Configuration of [`Beale`]'s function.
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::problems::{BealeConfig, Problem};
///
/// let beale = BealeConfig::new().init(&Device::flex())?;
/// assert_eq!(beale.loss().into_scalar::<f64>(), 14.203125);
/// # Ok::<(), ravine_model::problems::ProblemError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BealeConfig {
    /// The starting point; (1, 1) by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Vec<f64>>,
}

impl BealeConfig {
    /// The function with its usual starting point.
    pub fn new() -> Self {
        BealeConfig::default()
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
    /// [`ProblemError`] when the starting point does not have two finite entries.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<Beale, ProblemError> {
        let start = self.start.clone().unwrap_or_else(|| vec![1.0, 1.0]);
        check_vector("start", &start, 2)?;
        Ok(Beale {
            x: parameter(&start, &options.into()),
            start,
        })
    }
}

impl Problem for Beale {
    fn loss(&self) -> Tensor<1> {
        let point = self.x.val();
        let (x, y) = (point.clone().narrow(0, 0, 1), point.narrow(0, 1, 1));
        let square = y.clone() * y.clone();
        let cube = square.clone() * y.clone();
        let term = |constant: f64, power: Tensor<1>| {
            let residual = (x.clone() * power.sub_scalar(1.0)).add_scalar(constant);
            residual.clone() * residual
        };
        term(CONSTANTS[0], y) + term(CONSTANTS[1], square) + term(CONSTANTS[2], cube)
    }

    fn x(&self) -> &Param<Tensor<1>> {
        &self.x
    }

    fn start(&self) -> &[f64] {
        &self.start
    }

    fn minimiser(&self) -> &[f64] {
        &MINIMISER
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
    fn loss_and_gradient_are_those_of_the_formula() {
        let (x, y) = (0.7, -1.3);
        let beale = BealeConfig::new().with_start([x, y]);
        let beale = beale.init(autodiff_f64()).unwrap();
        let (mut value, mut dx, mut dy) = (0.0, 0.0, 0.0);
        for (k, constant) in (1..).zip(CONSTANTS) {
            let residual = constant - x + x * f64::powi(y, k);
            value += residual * residual;
            dx += 2.0 * residual * (f64::powi(y, k) - 1.0);
            dy += 2.0 * residual * x * f64::from(k) * f64::powi(y, k - 1);
        }
        assert!((loss(&beale) / value - 1.0).abs() < 1e-14);
        assert!(difference(&gradient(&beale), &[dx, dy]) < 1e-14);
    }

    #[test]
    fn the_minimum_is_flat_and_zero() {
        let beale = BealeConfig::new().with_start(MINIMISER);
        let beale = beale.init(autodiff_f64()).unwrap();
        assert_eq!(loss(&beale), 0.0);
        assert_eq!(gradient(&beale), [0.0, 0.0]);
        assert_eq!(beale.loss().dims(), [1]);
    }

    #[test]
    fn a_start_needs_two_entries() {
        let start = BealeConfig::new().with_start([1.0, 1.0, 1.0]);
        assert!(matches!(
            start.init(&Device::flex()),
            Err(ProblemError::Length {
                found: 3,
                dim: 2,
                ..
            })
        ));
    }
}
