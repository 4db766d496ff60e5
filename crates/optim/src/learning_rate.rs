use serde::{Deserialize, Serialize};

use crate::error::in_range;
use crate::{Armijo, OptimError, Schedule};

/// How gradient descent chooses its rate: a schedule, then a cap by curvature, then backtracking, each on its own or together.
///
/// # Example
///
/// ```
/// use ravine_optim::{Armijo, CurvatureCap, LearningRate, Schedule};
///
/// let fixed = LearningRate::from(0.1);
/// let shrinking = LearningRate::from(Schedule::Exponential { initial: 0.5, factor: 0.99 });
/// let capped = shrinking.capped(CurvatureCap::default());
/// let searched = LearningRate::from(1.0).backtracking(Armijo::default());
/// # assert!(fixed.cap.is_none() && capped.cap.is_some() && searched.search.is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearningRate {
    /// The rate of each step, before anything lowers it.
    pub schedule: Schedule,
    /// Lowers the rate where the loss curves upwards too much.
    #[serde(default)]
    pub cap: Option<CurvatureCap>,
    /// Lowers the rate until the loss falls.
    #[serde(default)]
    pub search: Option<Armijo>,
}

impl LearningRate {
    /// With a cap by curvature.
    pub fn capped(self, cap: CurvatureCap) -> Self {
        Self {
            cap: Some(cap),
            ..self
        }
    }

    /// With backtracking.
    pub fn backtracking(self, search: Armijo) -> Self {
        Self {
            search: Some(search),
            ..self
        }
    }
}

impl<S: Into<Schedule>> From<S> for LearningRate {
    fn from(schedule: S) -> Self {
        Self {
            schedule: schedule.into(),
            cap: None,
            search: None,
        }
    }
}

/// ε ≤ c · gᵀg / gᵀHg: never more than a fraction of the step ε* = gᵀg / gᵀHg that the quadratic model likes best.
///
/// On a quadratic a step with c < 2 never goes uphill, since −εgᵀg + ½ε²gᵀHg ≤ −ε gᵀg (1 − c/2). Where gᵀHg ≤ 0 the
/// model has no best step and the rate of the schedule is used.
///
/// # Cost
///
/// One Hessian-vector product per step.
///
/// # References
///
/// A. Cauchy, Méthode générale pour la résolution des systèmes d'équations simultanées, 1847 (c = 1 on a quadratic);
/// I. Goodfellow, Y. Bengio and A. Courville, Deep Learning, 2016, section 4.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CurvatureCap {
    /// c, above 0 and at most 2.
    pub fraction: f64,
}

impl Default for CurvatureCap {
    /// c = 1: the best step of the quadratic model at most.
    fn default() -> Self {
        Self { fraction: 1.0 }
    }
}

impl CurvatureCap {
    /// The smaller of `rate` and c · gᵀg / gᵀHg.
    ///
    /// # Errors
    ///
    /// [`OptimError::Option`] when c is outside of its range.
    pub fn apply(&self, rate: f64, gtg: f64, gthg: f64) -> Result<f64, OptimError> {
        let c = self.fraction;
        in_range(
            "the fraction of the curvature cap",
            c,
            "above 0 and at most 2",
            c > 0.0 && c <= 2.0,
        )?;
        match gthg > 0.0 {
            true => Ok(rate.min(c * gtg / gthg)),
            false => Ok(rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_lowers_and_never_raises() {
        let cap = CurvatureCap { fraction: 0.5 };
        assert_eq!(cap.apply(1.0, 2.0, 4.0).unwrap(), 0.25);
        assert_eq!(cap.apply(0.1, 2.0, 4.0).unwrap(), 0.1);
        assert_eq!(cap.apply(1.0, 2.0, -4.0).unwrap(), 1.0);
        assert_eq!(cap.apply(1.0, 2.0, 0.0).unwrap(), 1.0);
        assert!(CurvatureCap { fraction: 2.5 }.apply(1.0, 1.0, 1.0).is_err());
    }

    #[test]
    fn configurations_are_readable() {
        let text = r#"{"schedule":{"kind":"constant","rate":1.0},"search":{"shrink":0.3}}"#;
        let rate: LearningRate = serde_json::from_str(text).unwrap();
        let search = Armijo {
            shrink: 0.3,
            ..Armijo::default()
        };
        assert_eq!(rate, LearningRate::from(1.0).backtracking(search));
    }
}
