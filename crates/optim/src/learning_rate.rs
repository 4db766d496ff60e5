use ravine_curvature::Seed;
use serde::{Deserialize, Serialize};

use crate::error::in_range;
use crate::{Armijo, OptimError, RateRule, Schedule, StrongWolfe};

/// How the rate of a direction is chosen: a warm-up, a schedule, a rule, caps by curvature and sharpness, then a line search, each on
/// its own or together and in this order.
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
    /// Chooses the step along the direction, from the rate on.
    #[serde(default)]
    pub search: Option<Search>,
    /// Steps that lead up to the schedule's first rate: step k of W goes at (k + 1)/(W + 1) of it.
    #[serde(default)]
    pub warmup: u64,
    /// Sets the rate by what the steps show.
    #[serde(default)]
    pub rule: Option<RateRule>,
    /// Lowers the rate below a multiple of 1/λ_max.
    #[serde(default)]
    pub sharpness: Option<SharpnessCap>,
}

/// How a step along the direction is chosen, from the rate on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Search {
    /// Backtracking.
    Armijo(Armijo),
    /// Strong Wolfe conditions.
    StrongWolfe(StrongWolfe),
    /// Backtracking from the worst of the last losses.
    Nonmonotone(Nonmonotone),
}

impl Search {
    /// Trials of a search that found nothing.
    pub(crate) fn most_trials(&self, slope: f64) -> usize {
        match self {
            _ if slope.is_nan() || slope >= 0.0 => 0,
            Self::Armijo(rule) => rule.max_trials,
            Self::StrongWolfe(rule) => rule.max_trials,
            Self::Nonmonotone(rule) => rule.max_trials,
        }
    }
}

impl From<Armijo> for Search {
    fn from(rule: Armijo) -> Self {
        Self::Armijo(rule)
    }
}

impl From<StrongWolfe> for Search {
    fn from(rule: StrongWolfe) -> Self {
        Self::StrongWolfe(rule)
    }
}

impl From<Nonmonotone> for Search {
    fn from(rule: Nonmonotone) -> Self {
        Self::Nonmonotone(rule)
    }
}

/// Backtracking that compares with the largest of the last M losses: a loss may rise for a while, as Barzilai-Borwein rates need.
///
/// # References
///
/// L. Grippo, F. Lampariello and S. Lucidi, A nonmonotone line search technique for Newton's method, 1986; M. Raydan, The Barzilai
/// and Borwein gradient method for the large scale unconstrained minimization problem, 1997.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nonmonotone {
    /// M, at least 1; 1 is [`Armijo`].
    pub memory: usize,
    /// c, in (0, 1).
    pub sufficient_decrease: f64,
    /// β, in (0, 1).
    pub shrink: f64,
    /// Steps tried at most.
    pub max_trials: usize,
}

impl Default for Nonmonotone {
    /// Raydan's M = 10 and c = 1e-4, β = ½, 40 trials.
    fn default() -> Self {
        let armijo = Armijo::default();
        Self {
            memory: 10,
            sufficient_decrease: armijo.sufficient_decrease,
            shrink: armijo.shrink,
            max_trials: armijo.max_trials,
        }
    }
}

impl Nonmonotone {
    pub(crate) fn armijo(&self) -> Armijo {
        Armijo {
            sufficient_decrease: self.sufficient_decrease,
            shrink: self.shrink,
            max_trials: self.max_trials,
        }
    }
}

/// ε ≤ c/λ_max: below c = 2 gradient descent is stable on the quadratic model in every direction, not only along the gradient.
///
/// λ_max is the largest Ritz value of a few Lanczos steps from the last Ritz vector, refreshed now and then; between two refreshes the
/// last value holds. It is a lower bound of λ_max. Where it is not positive the rate is left as it is. For directions other than −g it
/// is the curvature of the loss, not that of the preconditioned problem.
///
/// # Cost
///
/// `iterations` products every `every` steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SharpnessCap {
    /// c, above 0 and at most 2.
    pub fraction: f64,
    /// Steps from one estimate to the next, at least 1.
    pub every: u64,
    /// Lanczos steps of an estimate, at least 1.
    pub iterations: usize,
    /// Of the first start vector.
    pub seed: Seed,
}

impl Default for SharpnessCap {
    /// c = 1, five Lanczos steps every tenth step.
    fn default() -> Self {
        Self {
            fraction: 1.0,
            every: 10,
            iterations: 5,
            seed: Seed::new(0),
        }
    }
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
        self.searching(search)
    }

    /// With a line search.
    pub fn searching(self, search: impl Into<Search>) -> Self {
        Self {
            search: Some(search.into()),
            ..self
        }
    }

    /// With a linear warm-up over `steps` steps in front of the schedule.
    pub fn warmed_up(self, steps: u64) -> Self {
        Self {
            warmup: steps,
            ..self
        }
    }

    /// With a rule that sets the rate by what the steps show.
    pub fn by(self, rule: RateRule) -> Self {
        Self {
            rule: Some(rule),
            ..self
        }
    }

    /// With a cap by the sharpness.
    pub fn below_sharpness(self, cap: SharpnessCap) -> Self {
        Self {
            sharpness: Some(cap),
            ..self
        }
    }

    pub(crate) fn check(&self) -> Result<(), OptimError> {
        if let Some(rule) = self.rule {
            rule.check()?;
        }
        if let Some(Search::Nonmonotone(rule)) = self.search {
            in_range("memory", rule.memory as f64, "at least 1", rule.memory > 0)?;
        }
        let Some(cap) = self.sharpness else {
            return Ok(());
        };
        let c = cap.fraction;
        let inside = c > 0.0 && c <= 2.0;
        in_range(
            "the fraction of the sharpness cap",
            c,
            "above 0 and at most 2",
            inside,
        )?;
        in_range("every", cap.every as f64, "at least 1", cap.every > 0)?;
        in_range(
            "iterations",
            cap.iterations as f64,
            "at least 1",
            cap.iterations > 0,
        )
    }
}

impl<S: Into<Schedule>> From<S> for LearningRate {
    fn from(schedule: S) -> Self {
        Self {
            schedule: schedule.into(),
            cap: None,
            search: None,
            warmup: 0,
            rule: None,
            sharpness: None,
        }
    }
}

/// ε ≤ c · gᵀg / gᵀHg: never more than a fraction of the step ε* = gᵀg / gᵀHg that the quadratic model likes best; along another
/// direction d, ε ≤ c · (−gᵀd) / dᵀHd.
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
        let text = r#"{"schedule":{"kind":"constant","rate":1.0},"search":{"kind":"armijo","shrink":0.3}}"#;
        let rate: LearningRate = serde_json::from_str(text).unwrap();
        let search = Armijo {
            shrink: 0.3,
            ..Armijo::default()
        };
        assert_eq!(rate, LearningRate::from(1.0).backtracking(search));
    }
}
