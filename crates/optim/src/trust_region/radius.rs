use serde::{Deserialize, Serialize};

use crate::OptimError;
use crate::error::in_range;

/// How the radius Δ of a trust region follows the gain ratio ρ.
///
/// ρ < `shrink_below`: Δ ← `shrink` · Δ. ρ > `grow_above` with a step on the boundary (‖s‖ ≥ (1 − 1e-9) Δ): Δ ← min(`grow` · Δ,
/// `maximum`). Otherwise Δ stays. The step is taken when ρ > `accept`.
///
/// # References
///
/// J. Nocedal and S. J. Wright, Numerical Optimization, 2006, Algorithm 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RadiusRule {
    /// Δ₀ of the first step, in (0, `maximum`].
    pub initial: f64,
    /// Δ̂, which Δ never exceeds.
    pub maximum: f64,
    /// η, in [0, `shrink_below`): ρ that a step must exceed to be taken.
    pub accept: f64,
    /// ρ below which Δ shrinks, ¼.
    pub shrink_below: f64,
    /// ρ above which Δ grows, ¾.
    pub grow_above: f64,
    /// Factor by which Δ shrinks, in (0, 1).
    pub shrink: f64,
    /// Factor by which Δ grows, above 1.
    pub grow: f64,
}

impl Default for RadiusRule {
    /// Δ₀ = 1, Δ̂ = 1000, η = 1e-4; a quarter of Δ below ρ = ¼, twice Δ above ρ = ¾.
    fn default() -> Self {
        Self {
            initial: 1.0,
            maximum: 1000.0,
            accept: 1e-4,
            shrink_below: 0.25,
            grow_above: 0.75,
            shrink: 0.25,
            grow: 2.0,
        }
    }
}

impl RadiusRule {
    /// Δ after a trial of a step of length `norm`.
    pub(super) fn after(&self, radius: f64, norm: f64, gain: f64) -> f64 {
        if gain < self.shrink_below {
            return self.shrink * radius;
        }
        let on_the_boundary = norm >= (1.0 - 1e-9) * radius;
        match gain > self.grow_above && on_the_boundary {
            true => (self.grow * radius).min(self.maximum),
            false => radius,
        }
    }

    pub(super) fn check(&self) -> Result<(), OptimError> {
        let maximum = self.maximum;
        let positive = maximum > 0.0 && maximum.is_finite();
        in_range("maximum", maximum, "positive and finite", positive)?;
        let inside = self.initial > 0.0 && self.initial <= maximum;
        let expected = "above 0 and at most the maximum";
        in_range("initial", self.initial, expected, inside)?;
        let (below, above) = (self.shrink_below, self.grow_above);
        let ordered = below > 0.0 && below < 1.0;
        in_range("shrink_below", below, "between 0 and 1", ordered)?;
        let ordered = above >= below && above < 1.0;
        let expected = "below 1 and not below shrink_below";
        in_range("grow_above", above, expected, ordered)?;
        let inside = self.accept >= 0.0 && self.accept < below;
        let expected = "at least 0 and below shrink_below";
        in_range("accept", self.accept, expected, inside)?;
        let falls = self.shrink > 0.0 && self.shrink < 1.0;
        in_range("shrink", self.shrink, "between 0 and 1", falls)?;
        let grows = self.grow > 1.0 && self.grow.is_finite();
        in_range("grow", self.grow, "above 1", grows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_radius_follows_the_gain() {
        let rule = RadiusRule {
            maximum: 3.0,
            ..RadiusRule::default()
        };
        assert_eq!(rule.after(2.0, 2.0, 0.1), 0.5);
        assert_eq!(rule.after(2.0, 2.0, f64::NEG_INFINITY), 0.5);
        assert_eq!(rule.after(2.0, 2.0, 0.5), 2.0);
        assert_eq!(rule.after(2.0, 1.0, 0.9), 2.0);
        assert_eq!(rule.after(2.0, 2.0, 0.9), 3.0);
        assert_eq!(rule.after(1.0, 1.0, 0.9), 2.0);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        assert!(RadiusRule::default().check().is_ok());
        let named = |rule: RadiusRule| match rule.check() {
            Err(OptimError::Option { option, .. }) => option,
            other => panic!("{other:?}"),
        };
        let usual = RadiusRule::default();
        let wrong = [
            (
                RadiusRule {
                    initial: 2e3,
                    ..usual
                },
                "initial",
            ),
            (
                RadiusRule {
                    maximum: f64::NAN,
                    ..usual
                },
                "maximum",
            ),
            (
                RadiusRule {
                    accept: 0.25,
                    ..usual
                },
                "accept",
            ),
            (
                RadiusRule {
                    grow_above: 0.2,
                    ..usual
                },
                "grow_above",
            ),
            (
                RadiusRule {
                    shrink_below: 0.0,
                    ..usual
                },
                "shrink_below",
            ),
            (
                RadiusRule {
                    shrink: 1.0,
                    ..usual
                },
                "shrink",
            ),
            (RadiusRule { grow: 1.0, ..usual }, "grow"),
        ];
        for (rule, expected) in wrong {
            assert_eq!(named(rule), expected);
        }
    }

    #[test]
    fn configurations_are_readable() {
        let rule: RadiusRule = serde_json::from_str(r#"{"initial":0.5}"#).unwrap();
        assert_eq!((rule.initial, rule.grow), (0.5, 2.0));
    }
}
