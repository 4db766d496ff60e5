use serde::{Deserialize, Serialize};

use crate::OptimError;
use crate::error::in_range;

/// A damping λ that follows the gain ratio ρ = (f(θ + d) − f(θ)) / m(d) of a step d, m(d) the change that the quadratic model
/// promised: λ ← `increase` · λ where ρ < ¼, λ ← `decrease` · λ where ρ > ¾, the same λ between; never below `minimum` nor above
/// `maximum`.
///
/// A ρ that is NaN counts as below ¼. Unlike [`AdaptiveDamping`](crate::AdaptiveDamping) no step is taken back.
///
/// # References
///
/// J. Martens, Deep learning via Hessian-free optimization, 2010, section 4.1; J. Martens and R. Grosse, Optimizing neural networks
/// with Kronecker-factored approximate curvature, 2015, section 6.5.
///
/// ```
/// use ravine_optim::LevenbergMarquardt;
///
/// let rule = LevenbergMarquardt::default();
/// assert_eq!((rule.after(1.0, 0.1), rule.after(1.0, 0.5), rule.after(3.0, 0.9)), (1.5, 1.0, 2.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LevenbergMarquardt {
    /// λ of the first step, in the unit of the matrix that it is added to.
    pub initial: f64,
    /// Factor by which λ grows, above 1.
    pub increase: f64,
    /// Factor by which λ falls, in (0, 1).
    pub decrease: f64,
    /// λ is never smaller; not negative.
    pub minimum: f64,
    /// λ is never larger.
    pub maximum: f64,
}

impl Default for LevenbergMarquardt {
    /// Martens' 3/2 and 2/3 from λ = 1, between 1e-12 and 1e12.
    fn default() -> Self {
        Self {
            initial: 1.0,
            increase: 1.5,
            decrease: 2.0 / 3.0,
            minimum: 1e-12,
            maximum: 1e12,
        }
    }
}

impl LevenbergMarquardt {
    /// λ after a step with a gain ratio of `gain`.
    pub fn after(&self, lambda: f64, gain: f64) -> f64 {
        self.after_steps(lambda, gain, 1)
    }

    /// λ where it changes only once in so many steps, by that power of its factors.
    pub(crate) fn after_steps(&self, lambda: f64, gain: f64, steps: u64) -> f64 {
        let power = i32::try_from(steps).unwrap_or(i32::MAX);
        let changed = match gain {
            _ if gain > 0.75 => lambda * self.decrease.powi(power),
            _ if gain >= 0.25 => lambda,
            _ => lambda * self.increase.powi(power),
        };
        changed.clamp(self.minimum, self.maximum)
    }

    pub(crate) fn check(&self) -> Result<(), OptimError> {
        let (minimum, maximum) = (self.minimum, self.maximum);
        let inside = minimum >= 0.0 && minimum.is_finite();
        in_range("minimum", minimum, "at least 0", inside)?;
        let above = maximum >= minimum && maximum.is_finite();
        in_range(
            "maximum",
            maximum,
            "finite and not below the minimum",
            above,
        )?;
        let inside = (minimum..=maximum).contains(&self.initial);
        let expected = "between minimum and maximum";
        in_range("initial", self.initial, expected, inside)?;
        let grows = self.increase > 1.0 && self.increase.is_finite();
        in_range("increase", self.increase, "above 1", grows)?;
        let falls = self.decrease > 0.0 && self.decrease < 1.0;
        in_range("decrease", self.decrease, "between 0 and 1", falls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_follows_the_gain_between_its_bounds() {
        let rule = LevenbergMarquardt::default();
        let gains = [f64::NEG_INFINITY, f64::NAN, 0.25, 0.75, 0.76, f64::INFINITY];
        let found = gains.map(|gain| rule.after(1.0, gain));
        assert_eq!(found, [1.5, 1.5, 1.0, 1.0, 2.0 / 3.0, 2.0 / 3.0]);
        assert_eq!(rule.after(1e12, 0.0), 1e12);
        assert_eq!(rule.after(1e-12, 1.0), 1e-12);
        assert_eq!(rule.after_steps(1.0, 0.0, 2), 2.25);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let with = |change: fn(&mut LevenbergMarquardt)| {
            let mut rule = LevenbergMarquardt::default();
            change(&mut rule);
            match rule.check() {
                Err(OptimError::Option { option, .. }) => option,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(with(|rule| rule.increase = 1.0), "increase");
        assert_eq!(with(|rule| rule.decrease = 1.0), "decrease");
        assert_eq!(with(|rule| rule.initial = f64::NAN), "initial");
        assert_eq!(with(|rule| rule.minimum = -1.0), "minimum");
        assert_eq!(with(|rule| rule.maximum = 0.0), "maximum");
    }
}
