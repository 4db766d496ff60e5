use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::in_range;
use crate::method::along;
use crate::{OptimError, Oracle};

/// Backtracking until the loss falls by a fraction of what its slope promises.
///
/// Tries α = α₀, βα₀, β²α₀ … and takes the first with f(θ + αd) ≤ f(θ) + c α gᵀd. A trial whose loss is NaN or infinite
/// is refused like one that goes uphill.
///
/// # References
///
/// L. Armijo, Minimization of functions having Lipschitz continuous first partial derivatives, 1966; J. Nocedal and
/// S. J. Wright, Numerical Optimization, 2006, Algorithm 3.1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Armijo {
    /// c, in (0, 1): the fraction of the slope's promise that must be kept.
    pub sufficient_decrease: f64,
    /// β, in (0, 1).
    pub shrink: f64,
    /// Steps tried at most.
    pub max_trials: usize,
}

impl Default for Armijo {
    /// c = 1e-4, β = ½, 40 trials: the last is 1e-12 of the first.
    fn default() -> Self {
        Self {
            sufficient_decrease: 1e-4,
            shrink: 0.5,
            max_trials: 40,
        }
    }
}

/// Where a line search starts.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// θ, flat.
    pub theta: &'a Tensor<1>,
    /// f(θ).
    pub loss: f64,
    /// d, flat, not normalised.
    pub direction: &'a Tensor<1>,
    /// gᵀd.
    pub slope: f64,
}

/// How a line search ended.
#[expect(
    clippy::large_enum_variant,
    reason = "one is made per search, next to whole vectors"
)]
#[derive(Clone, Debug)]
pub enum LineSearch {
    /// A step decreases the loss enough.
    Found {
        /// θ + αd.
        theta: Tensor<1>,
        /// α.
        alpha: f64,
        /// f(θ + αd).
        loss: f64,
        /// Steps that were tried.
        trials: usize,
    },
    /// No step was good enough.
    Exhausted {
        /// Steps that were tried, 0 when gᵀd is not negative.
        trials: usize,
    },
}

impl Armijo {
    /// Searches along the line, from α = `initial` down.
    ///
    /// # Cost
    ///
    /// One loss per trial.
    ///
    /// # Errors
    ///
    /// [`OptimError::Option`] when a number is outside of its range, and whatever the evaluations report.
    pub fn search(
        &self,
        oracle: &mut Oracle,
        line: Line<'_>,
        initial: f64,
    ) -> Result<LineSearch, OptimError> {
        self.check()?;
        // A slope that is NaN points nowhere.
        if line.slope.is_nan() || line.slope >= 0.0 {
            return Ok(LineSearch::Exhausted { trials: 0 });
        }
        let mut alpha = initial;
        for trials in 1..=self.max_trials {
            let theta = along(line.theta, line.direction, alpha);
            let loss = oracle.loss(&theta)?;
            let enough = line.loss + self.sufficient_decrease * alpha * line.slope;
            if loss.is_finite() && loss <= enough {
                return Ok(LineSearch::Found {
                    theta,
                    alpha,
                    loss,
                    trials,
                });
            }
            alpha *= self.shrink;
        }
        Ok(LineSearch::Exhausted {
            trials: self.max_trials,
        })
    }

    pub(crate) fn check(&self) -> Result<(), OptimError> {
        let inside = |value: f64| value > 0.0 && value < 1.0;
        let c = self.sufficient_decrease;
        in_range("sufficient_decrease", c, "between 0 and 1", inside(c))?;
        in_range(
            "shrink",
            self.shrink,
            "between 0 and 1",
            inside(self.shrink),
        )?;
        in_range(
            "max_trials",
            self.max_trials as f64,
            "at least 1",
            self.max_trials > 0,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_problems::{quadratic, vector32};

    #[test]
    fn the_first_step_that_keeps_the_promise_is_taken() {
        // f(x) = 2 x², from x = 1 along −f' = −4: f(1 − 4α) ≤ 2 − 16 c α holds for α ≤ (1 − c)/2.
        let mut oracle = Oracle::new(quadratic(&[4.0], &[0.0]));
        let theta = vector32(&[1.0]);
        let direction = vector32(&[-4.0]);
        let line = Line {
            theta: &theta,
            loss: 2.0,
            direction: &direction,
            slope: -16.0,
        };
        let found = Armijo::default().search(&mut oracle, line, 1.0).unwrap();
        let LineSearch::Found {
            alpha,
            trials,
            loss,
            ..
        } = found
        else {
            panic!("{found:?}");
        };
        assert_eq!((alpha, trials, loss), (0.25, 3, 0.0));
        assert_eq!(oracle.cost().losses, 3);
    }

    #[test]
    fn uphill_directions_are_not_tried_and_trials_are_bounded() {
        let mut oracle = Oracle::new(quadratic(&[4.0], &[0.0]));
        let theta = vector32(&[1.0]);
        let direction = vector32(&[4.0]);
        let uphill = Line {
            theta: &theta,
            loss: 2.0,
            direction: &direction,
            slope: 16.0,
        };
        let armijo = Armijo {
            max_trials: 5,
            ..Armijo::default()
        };
        assert!(matches!(
            armijo.search(&mut oracle, uphill, 1.0).unwrap(),
            LineSearch::Exhausted { trials: 0 }
        ));
        let lied_to = Line {
            slope: -16.0,
            ..uphill
        };
        assert!(matches!(
            armijo.search(&mut oracle, lied_to, 1.0).unwrap(),
            LineSearch::Exhausted { trials: 5 }
        ));
        assert_eq!(oracle.cost().losses, 5);
    }

    #[test]
    fn overflow_is_backed_away_from() {
        let mut oracle = Oracle::new(quadratic(&[4.0], &[0.0]));
        let theta = vector32(&[1.0]);
        let direction = vector32(&[-1.0]);
        let line = Line {
            theta: &theta,
            loss: 2.0,
            direction: &direction,
            slope: -4.0,
        };
        let armijo = Armijo {
            shrink: 1e-3,
            ..Armijo::default()
        };
        let found = armijo.search(&mut oracle, line, 1e30).unwrap();
        assert!(matches!(found, LineSearch::Found { loss, .. } if loss < 2.0));
    }
}
