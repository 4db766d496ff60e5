use ravine_curvature::Factors;
use serde::{Deserialize, Serialize};

use crate::OptimError;
use crate::error::in_range;

/// The matrix B of the quadratic model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CurvatureMatrix {
    /// G = Jᵀ H_L J, positive semidefinite for a loss that is convex in the outputs.
    #[default]
    GaussNewton,
    /// The Hessian, indefinite in general: solves end where it curves downwards.
    Hessian,
}

/// The preconditioner M = diag(max(|d| + λ, 1e-8 max(|d| + λ))^−e) of conjugate gradients, d the diagonal of a matrix at θ on the batch
/// of the step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Preconditioning {
    /// M = I.
    #[default]
    None,
    /// d = 1/N Σ (∇ℓₙ)∘² for a mean loss, Σ (∇ℓₙ)∘² for a sum: Martens' choice, with e = 0.75.
    EmpiricalFisher {
        /// e, above 0 and at most 1.
        exponent: f64,
    },
    /// d = diag(G), exact.
    GaussNewton {
        /// e, above 0 and at most 1.
        exponent: f64,
    },
}

impl Preconditioning {
    pub(super) fn check(&self) -> Result<(), OptimError> {
        let Some((_, exponent)) = self.diagonal() else {
            return Ok(());
        };
        let inside = exponent > 0.0 && exponent <= 1.0;
        in_range("exponent", exponent, "above 0 and at most 1", inside)
    }

    /// The vectors whose squared gradients are d, and e.
    pub(super) fn diagonal(&self) -> Option<(Factors, f64)> {
        match *self {
            Self::None => None,
            Self::EmpiricalFisher { exponent } => Some((Factors::Empirical, exponent)),
            Self::GaussNewton { exponent } => Some((Factors::Exact, exponent)),
        }
    }
}
