use serde::{Deserialize, Serialize};

use crate::OptimError;
use crate::error::in_range;

/// What is added to the Hessian before the Newton equations (H + λI) d = −g are solved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Damping {
    /// λ = 0: Newton's method as it is, which goes to the stationary point of the quadratic model, be it a minimum, a saddle
    /// or a maximum.
    #[default]
    None,
    /// The same λ in every step.
    Fixed {
        /// λ, not negative.
        lambda: f64,
    },
    /// λ follows the gain ratio: Levenberg and Marquardt's method.
    Adaptive(AdaptiveDamping),
}

/// How λ follows the gain ratio ρ = (f(θ + d) − f(θ)) / (gᵀd + ½ dᵀHd).
///
/// λ grows until H + λI is positive definite and ρ exceeds `accept`; no other step is taken. After the step λ grows once
/// more when ρ < ¼ and falls when ρ > ¾. λ is absolute, in the unit of the Hessian's eigenvalues.
///
/// # References
///
/// K. Levenberg, A method for the solution of certain non-linear problems in least squares, 1944; D. W. Marquardt, An
/// algorithm for least-squares estimation of nonlinear parameters, 1963; J. Nocedal and S. J. Wright, Numerical
/// Optimization, 2006, chapter 4 (the gain ratio and its thresholds).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveDamping {
    /// λ of the first step, positive.
    pub initial: f64,
    /// Factor by which λ grows, above 1.
    pub increase: f64,
    /// Factor by which λ falls, in (0, 1).
    pub decrease: f64,
    /// λ is never smaller.
    pub minimum: f64,
    /// A step that needs a larger λ is given up.
    pub maximum: f64,
    /// ρ that a step must exceed to be taken, at least 0 and below ¼.
    pub accept: f64,
}

impl Default for AdaptiveDamping {
    /// Marquardt's numbers: λ starts at 1e-2 and moves by powers of ten, between 1e-12 and 1e12; ρ must exceed 1e-4.
    fn default() -> Self {
        Self {
            initial: 1e-2,
            increase: 10.0,
            decrease: 0.1,
            minimum: 1e-12,
            maximum: 1e12,
            accept: 1e-4,
        }
    }
}

impl Damping {
    /// [`Damping::Adaptive`] with the default numbers.
    pub fn adaptive() -> Self {
        Self::Adaptive(AdaptiveDamping::default())
    }

    /// λ of the next step, `kept` being what an adaptive damping has come to.
    pub(crate) fn current(&self, kept: Option<f64>) -> f64 {
        match *self {
            Self::None => 0.0,
            Self::Fixed { lambda } => lambda,
            Self::Adaptive(rule) => kept.unwrap_or(rule.initial),
        }
    }

    pub(crate) fn check(&self) -> Result<(), OptimError> {
        match self {
            Self::None => Ok(()),
            Self::Fixed { lambda } => in_range(
                "lambda",
                *lambda,
                "at least 0 and finite",
                *lambda >= 0.0 && lambda.is_finite(),
            ),
            Self::Adaptive(rule) => rule.check(),
        }
    }
}

impl AdaptiveDamping {
    /// λ after a step that was taken with a gain ratio of `gain`.
    pub(crate) fn after(&self, lambda: f64, gain: f64) -> f64 {
        match gain {
            _ if gain < 0.25 => (lambda * self.increase).min(self.maximum),
            _ if gain > 0.75 => (lambda * self.decrease).max(self.minimum),
            _ => lambda,
        }
    }

    fn check(&self) -> Result<(), OptimError> {
        let (minimum, maximum) = (self.minimum, self.maximum);
        let positive = minimum > 0.0 && minimum.is_finite();
        in_range("minimum", minimum, "positive", positive)?;
        let above = maximum >= minimum && maximum.is_finite();
        in_range(
            "maximum",
            maximum,
            "finite and not below the minimum",
            above,
        )?;
        let inside = (minimum..=maximum).contains(&self.initial);
        in_range(
            "initial",
            self.initial,
            "between minimum and maximum",
            inside,
        )?;
        let grows = self.increase > 1.0 && self.increase.is_finite();
        in_range("increase", self.increase, "above 1", grows)?;
        let falls = self.decrease > 0.0 && self.decrease < 1.0;
        in_range("decrease", self.decrease, "between 0 and 1", falls)?;
        let below = (0.0..0.25).contains(&self.accept);
        in_range("accept", self.accept, "at least 0 and below 1/4", below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_named() {
        assert!(Damping::None.check().is_ok());
        assert!(Damping::adaptive().check().is_ok());
        assert!(Damping::Fixed { lambda: -1.0 }.check().is_err());
        let shrinking = AdaptiveDamping {
            increase: 0.5,
            ..AdaptiveDamping::default()
        };
        assert!(matches!(
            Damping::Adaptive(shrinking).check(),
            Err(OptimError::Option {
                option: "increase",
                ..
            })
        ));
    }

    #[test]
    fn lambda_follows_the_gain() {
        let rule = AdaptiveDamping::default();
        let after = [0.1, 0.5, 0.9].map(|gain| rule.after(1.0, gain));
        assert_eq!(after, [10.0, 1.0, 0.1]);
        assert_eq!(rule.after(1e-12, 1.0), 1e-12);
    }

    #[test]
    fn configurations_are_readable() {
        let text = r#"{"kind":"adaptive","initial":1.0}"#;
        let damping: Damping = serde_json::from_str(text).unwrap();
        let expected = AdaptiveDamping {
            initial: 1.0,
            ..AdaptiveDamping::default()
        };
        assert_eq!(damping, Damping::Adaptive(expected));
        assert_eq!(
            serde_json::from_str::<Damping>(r#"{"kind":"none"}"#).unwrap(),
            Damping::None
        );
    }
}
