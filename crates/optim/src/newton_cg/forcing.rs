use serde::{Deserialize, Serialize};

use crate::OptimError;
use crate::error::in_range;

/// How exactly the Newton equations are solved: conjugate gradients stop at ‖Hd + g‖ ≤ η ‖g‖.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Forcing {
    /// η_k = min(½, √‖g_k‖): superlinear convergence. Depends on the scale of the loss.
    #[default]
    SquareRoot,
    /// η_k = min(½, ‖g_k‖): quadratic convergence. Depends on the scale of the loss.
    Linear,
    /// The same η in every step: linear convergence.
    Constant {
        /// η, in (0, 1).
        eta: f64,
    },
    /// η_k = γ (‖g_k‖/‖g_{k−1}‖)^α, at most 0.9 and at least γ η_{k−1}^α where that exceeds 0.1; η₀ = ½. Does not depend on the
    /// scale of the loss.
    ///
    /// # References
    ///
    /// S. C. Eisenstat and H. F. Walker, Choosing the forcing terms in an inexact Newton method, 1996, choice 2 with its
    /// safeguard.
    EisenstatWalker {
        /// γ, in (0, 1]; 0.9 is usual.
        gamma: f64,
        /// α, in (1, 2]; 2 is usual.
        alpha: f64,
    },
}

impl Forcing {
    pub(crate) fn check(&self) -> Result<(), OptimError> {
        match *self {
            Self::SquareRoot | Self::Linear => Ok(()),
            Self::Constant { eta } => {
                in_range("eta", eta, "between 0 and 1", eta > 0.0 && eta < 1.0)
            }
            Self::EisenstatWalker { gamma, alpha } => {
                let inside = gamma > 0.0 && gamma <= 1.0;
                in_range("gamma", gamma, "above 0 and at most 1", inside)?;
                let inside = alpha > 1.0 && alpha <= 2.0;
                in_range("alpha", alpha, "above 1 and at most 2", inside)
            }
        }
    }

    /// η of a step.
    pub(crate) fn eta(&self, gradient_norm: f64, last: Option<Forced>) -> f64 {
        match *self {
            Self::SquareRoot => gradient_norm.sqrt().min(0.5),
            Self::Linear => gradient_norm.min(0.5),
            Self::Constant { eta } => eta,
            Self::EisenstatWalker { gamma, alpha } => {
                let Some(last) = last else { return 0.5 };
                let eta = gamma * (gradient_norm / last.gradient_norm).powf(alpha);
                let memory = gamma * last.eta.powf(alpha);
                match memory > 0.1 {
                    true => eta.max(memory).min(0.9),
                    false => eta.min(0.9),
                }
            }
        }
    }
}

/// What the last step was forced to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Forced {
    pub(crate) gradient_norm: f64,
    pub(crate) eta: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas() {
        assert_eq!(Forcing::SquareRoot.eta(0.01, None), 0.1);
        assert_eq!(Forcing::SquareRoot.eta(4.0, None), 0.5);
        assert_eq!(Forcing::Linear.eta(0.01, None), 0.01);
        assert_eq!(Forcing::Constant { eta: 0.2 }.eta(4.0, None), 0.2);
        let walker = Forcing::EisenstatWalker {
            gamma: 0.9,
            alpha: 2.0,
        };
        let last = |eta| {
            Some(Forced {
                gradient_norm: 1.0,
                eta,
            })
        };
        assert_eq!(walker.eta(1.0, None), 0.5);
        assert!((walker.eta(0.1, last(0.1)) - 0.009).abs() < 1e-15);
        // The safeguard: 0.9 · 0.5² exceeds 0.1.
        assert!((walker.eta(0.1, last(0.5)) - 0.225).abs() < 1e-15);
        assert_eq!(walker.eta(100.0, last(0.1)), 0.9);
    }
}
