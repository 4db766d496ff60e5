use serde::{Deserialize, Serialize};

use crate::OptimError;
use crate::error::in_range;

/// How the weight σ of the cubic term follows the gain ratio ρ.
///
/// - very successful, ρ > η₂: σ ← max(min(σ, ‖g‖), `minimum`) with g the gradient before the step;
/// - successful, η₁ ≤ ρ ≤ η₂: σ stays;
/// - unsuccessful, 0 ≤ ρ < η₁: σ ← γ₁ σ; ρ < 0: σ ← γ₂ σ.
///
/// # References
///
/// C. Cartis, N. I. M. Gould and P. L. Toint, Adaptive cubic regularisation methods for unconstrained optimization, Part I, 2011,
/// (2.5) in Algorithm 2.1; the choice within its intervals is that of section 7.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CubicWeight {
    /// σ₀ of the first step, not below `minimum`.
    pub initial: f64,
    /// σ is never smaller, positive.
    pub minimum: f64,
    /// η₁, in (0, 1): ρ that a step must exceed to be taken.
    pub eta1: f64,
    /// η₂, in [η₁, 1): ρ above which σ falls.
    pub eta2: f64,
    /// γ₁ > 1: the factor of σ after a decrease that was too small.
    pub gamma1: f64,
    /// γ₂ ≥ γ₁: the factor of σ after an increase.
    pub gamma2: f64,
}

impl Default for CubicWeight {
    /// σ₀ = 1, at least 2.2e-16, η₁ = 0.1, η₂ = 0.9, γ₁ = γ₂ = 2.
    fn default() -> Self {
        Self {
            initial: 1.0,
            minimum: f64::EPSILON,
            eta1: 0.1,
            eta2: 0.9,
            gamma1: 2.0,
            gamma2: 2.0,
        }
    }
}

impl CubicWeight {
    /// σ after a trial.
    pub(super) fn after(&self, sigma: f64, gradient_norm: f64, gain: f64) -> f64 {
        match gain {
            _ if gain > self.eta2 => sigma.min(gradient_norm).max(self.minimum),
            _ if gain >= self.eta1 => sigma,
            _ if gain >= 0.0 => self.gamma1 * sigma,
            _ => self.gamma2 * sigma,
        }
    }

    pub(super) fn check(&self) -> Result<(), OptimError> {
        let positive = self.minimum > 0.0 && self.minimum.is_finite();
        in_range("minimum", self.minimum, "positive", positive)?;
        let inside = self.initial >= self.minimum && self.initial.is_finite();
        let expected = "finite and not below the minimum";
        in_range("initial", self.initial, expected, inside)?;
        let inside = self.eta1 > 0.0 && self.eta1 < 1.0;
        in_range("eta1", self.eta1, "between 0 and 1", inside)?;
        let inside = self.eta2 >= self.eta1 && self.eta2 < 1.0;
        in_range("eta2", self.eta2, "below 1 and not below eta1", inside)?;
        let grows = self.gamma1 > 1.0 && self.gamma1.is_finite();
        in_range("gamma1", self.gamma1, "above 1", grows)?;
        let grows = self.gamma2 >= self.gamma1 && self.gamma2.is_finite();
        in_range("gamma2", self.gamma2, "not below gamma1", grows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigma_follows_the_gain() {
        let rule = CubicWeight {
            gamma2: 10.0,
            ..CubicWeight::default()
        };
        assert_eq!(rule.after(1.0, 0.5, 0.95), 0.5);
        assert_eq!(rule.after(1.0, 5.0, 0.95), 1.0);
        assert_eq!(rule.after(1.0, 0.0, 0.95), f64::EPSILON);
        assert_eq!(rule.after(1.0, 0.5, 0.5), 1.0);
        assert_eq!(rule.after(1.0, 0.5, 0.05), 2.0);
        assert_eq!(rule.after(1.0, 0.5, f64::NEG_INFINITY), 10.0);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        assert!(CubicWeight::default().check().is_ok());
        let usual = CubicWeight::default();
        let wrong = [
            (
                CubicWeight {
                    minimum: 0.0,
                    ..usual
                },
                "minimum",
            ),
            (
                CubicWeight {
                    initial: 0.0,
                    ..usual
                },
                "initial",
            ),
            (CubicWeight { eta1: 0.0, ..usual }, "eta1"),
            (
                CubicWeight {
                    eta2: 0.05,
                    ..usual
                },
                "eta2",
            ),
            (
                CubicWeight {
                    gamma1: 1.0,
                    ..usual
                },
                "gamma1",
            ),
            (
                CubicWeight {
                    gamma2: 1.5,
                    ..usual
                },
                "gamma2",
            ),
        ];
        for (rule, expected) in wrong {
            assert!(
                matches!(rule.check(), Err(OptimError::Option { option, .. }) if option == expected)
            );
        }
    }
}
