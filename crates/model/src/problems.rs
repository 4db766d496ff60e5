//! Test problems with a known minimum, most of them badly conditioned.
//!
//! Every problem is a Burn module with one trainable parameter `x` of shape `[d]`, initialised at its starting point. It knows its
//! minimiser and its minimum, so that an experiment can report f(x) − f* and ‖x − x*‖ instead of a bare loss.
//!
//! ```
//! use burn::prelude::*;
//! use ravine_model::problems::{Problem, QuadraticConfig};
//!
//! let device = Device::flex();
//! let quadratic = QuadraticConfig::new(10, 1e6).with_seed(3).init(&device)?;
//! let excess = quadratic.loss().into_scalar::<f64>() - quadratic.minimum();
//! assert!(excess > 0.0);
//! # Ok::<(), ravine_model::problems::ProblemError>(())
//! ```

mod beale;
mod quadratic;
mod ravine;
mod rosenbrock;

pub use crate::spectrum::Spectrum;
pub use beale::{Beale, BealeConfig};
pub use quadratic::{Basis, Quadratic, QuadraticConfig};
pub use ravine::{Ravine, RavineConfig};
pub use rosenbrock::{Rosenbrock, RosenbrockConfig};

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorCreationOptions, TensorData};

/// A function of one parameter vector, to be minimised, whose minimum is known.
pub trait Problem: Module {
    /// f(x) at the current parameter.
    ///
    /// # Shapes
    ///
    /// - output: `[1]`, in the dtype of the parameter
    fn loss(&self) -> Tensor<1>;

    /// The trainable parameter, shape `[d]`.
    fn x(&self) -> &Param<Tensor<1>>;

    /// The point where `init` puts the parameter.
    fn start(&self) -> &[f64];

    /// The global minimiser x*; the stationary point where f is unbounded below.
    fn minimiser(&self) -> &[f64];

    /// f(x*), or −∞ where f is unbounded below.
    fn minimum(&self) -> f64;
}

/// What can be wrong with the description of a problem.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemError {
    /// Too few dimensions.
    #[error("the problem needs at least {minimum} dimension(s), not {dim}")]
    Dimension {
        /// The dimension asked for.
        dim: usize,
        /// The smallest dimension that makes sense.
        minimum: usize,
    },
    /// Not a condition number.
    #[error("a condition number is a finite number of at least 1, not {condition_number}")]
    ConditionNumber {
        /// The value given.
        condition_number: f64,
    },
    /// One eigenvalue alone.
    #[error(
        "a single eigenvalue has condition number 1, so {condition_number} needs more dimensions"
    )]
    SingleEigenvalue {
        /// The condition number asked for.
        condition_number: f64,
    },
    /// An empty cluster.
    #[error(
        "two clusters need at least one eigenvalue each, but {large} of {dim} would be in the first"
    )]
    Cluster {
        /// Eigenvalues in the first cluster.
        large: usize,
        /// All eigenvalues.
        dim: usize,
    },
    /// Explicit eigenvalues do not fit the dimension.
    #[error("{found} eigenvalue(s) given for {dim} dimension(s)")]
    EigenvalueCount {
        /// Eigenvalues given.
        found: usize,
        /// The dimension.
        dim: usize,
    },
    /// An explicit eigenvalue is not a number.
    #[error("eigenvalues must be finite, but one is {value}")]
    Eigenvalue {
        /// The value given.
        value: f64,
    },
    /// Explicit eigenvalues and a condition number that disagree.
    #[error("the eigenvalues given have condition number {found}, but {asked} is asked for")]
    Contradiction {
        /// The condition number asked for.
        asked: f64,
        /// That of the eigenvalues.
        found: f64,
    },
    /// A vector (start, minimiser, reflection) of the wrong length.
    #[error("the {what} has {found} entries, but the problem has {dim} dimension(s)")]
    Length {
        /// Which vector.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The dimension.
        dim: usize,
    },
    /// A vector or number that must be finite (and, for a reflection, not zero) is not.
    #[error("the {what} must be finite and usable, but holds {value}")]
    Value {
        /// Which quantity.
        what: &'static str,
        /// The offending value.
        value: f64,
    },
}

/// A trainable parameter with the given values.
fn parameter(values: &[f64], options: &TensorCreationOptions) -> Param<Tensor<1>> {
    Param::from_tensor(constant(values.to_vec(), [values.len()], options))
}

/// A constant with the given values, rounded once from f64 to the dtype of `options` or the device's default.
fn constant<const D: usize>(
    values: Vec<f64>,
    shape: [usize; D],
    options: &TensorCreationOptions,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), options.clone())
}

fn check_vector(what: &'static str, values: &[f64], dim: usize) -> Result<(), ProblemError> {
    if values.len() != dim {
        return Err(ProblemError::Length {
            what,
            found: values.len(),
            dim,
        });
    }
    values.iter().try_for_each(|v| check_number(what, *v))
}

fn check_number(what: &'static str, value: f64) -> Result<(), ProblemError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(ProblemError::Value { what, value })
}

#[cfg(test)]
mod testing {
    use super::Problem;
    use burn::tensor::{DType, Device, TensorCreationOptions};

    /// First derivatives in f64, so that formulas can be checked to its precision.
    pub(super) fn autodiff_f64() -> TensorCreationOptions {
        (&Device::flex().autodiff(), DType::F64).into()
    }

    pub(super) fn loss(problem: &impl Problem) -> f64 {
        problem.loss().into_scalar()
    }

    pub(super) fn gradient(problem: &impl Problem) -> Vec<f64> {
        let gradients = problem.loss().backward();
        let gradient = problem.x().val().grad(&gradients).expect("x is trainable");
        gradient.into_data().iter::<f64>().collect()
    }

    /// Largest difference, relative to the largest entry of `expected` (or absolute when that is below 1).
    pub(super) fn difference(found: &[f64], expected: &[f64]) -> f64 {
        assert_eq!(found.len(), expected.len());
        let scale = expected.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
        let pairs = found.iter().zip(expected);
        pairs.fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / scale
    }
}
