use ravine_curvature::vector;
use serde::{Deserialize, Serialize};

use crate::error::in_range;
use crate::method::along;
use crate::{Line, LineSearch, OptimError, Oracle};

/// A line search for the strong Wolfe conditions: f(θ + αd) ≤ f(θ) + c₁ α gᵀd and |g(θ + αd)ᵀd| ≤ c₂ |gᵀd|.
///
/// Doubles α until an interval holds a good step, then narrows it: by the cubic through the last three losses and the slope at the
/// better end, by the parabola where the cubic falls within a fifth of an end, by halves where the parabola falls within a tenth.
/// A trial whose loss is NaN or infinite counts as uphill. When the trials are spent the best step that keeps the first
/// condition is taken, if there is one.
///
/// # Cost
///
/// One loss per trial, and one gradient where the loss is low enough; the next step gets the accepted one for nothing.
///
/// # References
///
/// J. Nocedal and S. J. Wright, Numerical Optimization, 2006, algorithms 3.5 and 3.6; the safeguards are those of SciPy's
/// `scalar_search_wolfe2`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StrongWolfe {
    /// c₁, in (0, c₂).
    pub sufficient_decrease: f64,
    /// c₂, in (c₁, 1).
    pub curvature: f64,
    /// Steps tried at most.
    pub max_trials: usize,
}

impl Default for StrongWolfe {
    /// c₁ = 1e-4, c₂ = 0.9, 40 trials: for Newton and quasi-Newton directions.
    fn default() -> Self {
        Self {
            sufficient_decrease: 1e-4,
            curvature: 0.9,
            max_trials: 40,
        }
    }
}

/// A trial: α, the loss there, and its slope along d where the loss was low enough to ask.
#[derive(Clone, Copy)]
struct Trial {
    alpha: f64,
    loss: f64,
    slope: f64,
}

/// Whether the search goes on.
enum Verdict {
    TooHigh,
    Good(f64),
    Sloped(f64),
}

struct Search<'a, 'o> {
    rule: StrongWolfe,
    oracle: &'o mut Oracle,
    line: Line<'a>,
    trials: usize,
}

impl StrongWolfe {
    /// c₂ = 0.1, as conjugate gradients need.
    pub fn for_conjugate_gradients() -> Self {
        Self {
            curvature: 0.1,
            ..Self::default()
        }
    }

    /// Searches along the line, from α = `initial` on.
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
        if line.slope.is_nan() || line.slope >= 0.0 {
            return Ok(LineSearch::Exhausted { trials: 0 });
        }
        let mut search = Search {
            rule: *self,
            oracle,
            line,
            trials: 0,
        };
        let found = search.bracket(initial)?;
        let trials = search.trials;
        Ok(match found {
            Some(trial) => LineSearch::Found {
                theta: along(line.theta, line.direction, trial.alpha),
                alpha: trial.alpha,
                loss: trial.loss,
                trials,
            },
            None => LineSearch::Exhausted { trials },
        })
    }

    fn check(&self) -> Result<(), OptimError> {
        let (c1, c2) = (self.sufficient_decrease, self.curvature);
        in_range(
            "sufficient_decrease",
            c1,
            "above 0 and below curvature",
            c1 > 0.0 && c1 < c2,
        )?;
        in_range("curvature", c2, "below 1", c2 < 1.0)?;
        let most = self.max_trials;
        in_range("max_trials", most as f64, "at least 1", most > 0)
    }
}

impl Search<'_, '_> {
    /// Algorithm 3.5.
    fn bracket(&mut self, initial: f64) -> Result<Option<Trial>, OptimError> {
        let start = Trial {
            alpha: 0.0,
            loss: self.line.loss,
            slope: self.line.slope,
        };
        let (mut last, mut alpha) = (start, initial);
        while self.trials < self.rule.max_trials && alpha.is_finite() {
            let loss = self.loss(alpha)?;
            let trial = |slope| Trial { alpha, loss, slope };
            let rises = last.alpha > 0.0 && loss >= last.loss;
            match self.judge(alpha, loss, rises)? {
                Verdict::TooHigh => return self.zoom(last, trial(f64::NAN)),
                Verdict::Good(slope) => return Ok(Some(trial(slope))),
                Verdict::Sloped(slope) if slope >= 0.0 => return self.zoom(trial(slope), last),
                Verdict::Sloped(slope) => last = trial(slope),
            }
            alpha *= 2.0;
        }
        Ok((last.alpha > 0.0).then_some(last))
    }

    /// Algorithm 3.6: `low` keeps the first condition and slopes towards `high`.
    fn zoom(&mut self, mut low: Trial, mut high: Trial) -> Result<Option<Trial>, OptimError> {
        let mut third = None;
        while self.trials < self.rule.max_trials && low.alpha != high.alpha {
            let alpha = interpolate(low, high, third);
            let loss = self.loss(alpha)?;
            let trial = |slope| Trial { alpha, loss, slope };
            match self.judge(alpha, loss, loss >= low.loss)? {
                Verdict::TooHigh => {
                    third = Some(high);
                    high = trial(f64::NAN);
                }
                Verdict::Good(slope) => return Ok(Some(trial(slope))),
                Verdict::Sloped(slope) => {
                    let behind = slope * (high.alpha - low.alpha) >= 0.0;
                    third = Some(if behind { high } else { low });
                    high = if behind { low } else { high };
                    low = trial(slope);
                }
            }
        }
        Ok((low.alpha > 0.0).then_some(low))
    }

    fn loss(&mut self, alpha: f64) -> Result<f64, OptimError> {
        self.trials += 1;
        let theta = along(self.line.theta, self.line.direction, alpha);
        self.oracle.loss(&theta)
    }

    fn judge(&mut self, alpha: f64, loss: f64, rises: bool) -> Result<Verdict, OptimError> {
        let enough = self.line.loss + self.rule.sufficient_decrease * alpha * self.line.slope;
        if !loss.is_finite() || loss > enough || rises {
            return Ok(Verdict::TooHigh);
        }
        let theta = along(self.line.theta, self.line.direction, alpha);
        let (_, gradient) = self.oracle.gradient(&theta)?;
        let slope = vector::dot(
            &gradient,
            &self.line.direction.clone().cast(gradient.dtype()),
        );
        Ok(
            match slope.abs() <= -self.rule.curvature * self.line.slope {
                true => Verdict::Good(slope),
                false if slope.is_nan() => Verdict::TooHigh,
                false => Verdict::Sloped(slope),
            },
        )
    }
}

/// A step between the ends that is neither too near to one of them nor NaN.
fn interpolate(low: Trial, high: Trial, third: Option<Trial>) -> f64 {
    let width = high.alpha - low.alpha;
    let (left, right) = (low.alpha.min(high.alpha), low.alpha.max(high.alpha));
    let inside = |alpha: f64, margin: f64| {
        alpha >= left + margin * width.abs() && alpha <= right - margin * width.abs()
    };
    if let Some(cubic) = third.map(|third| cubic_minimum(low, high, third))
        && inside(cubic, 0.2)
    {
        return cubic;
    }
    let bend = (high.loss - low.loss - low.slope * width) / (width * width);
    let parabola = low.alpha - low.slope / (2.0 * bend);
    match inside(parabola, 0.1) {
        true => parabola,
        false => low.alpha + 0.5 * width,
    }
}

/// The minimum of the cubic with the slope of `low` through three losses, NaN when it has none.
fn cubic_minimum(low: Trial, high: Trial, third: Trial) -> f64 {
    let (b, c) = (high.alpha - low.alpha, third.alpha - low.alpha);
    let rest = |trial: Trial, x: f64| trial.loss - low.loss - low.slope * x;
    let (fb, fc) = (rest(high, b), rest(third, c));
    let denominator = (b * c).powi(2) * (b - c);
    let cube = (c * c * fb - b * b * fc) / denominator;
    let square = (-c.powi(3) * fb + b.powi(3) * fc) / denominator;
    let radical = square * square - 3.0 * cube * low.slope;
    low.alpha + (-square + radical.sqrt()) / (3.0 * cube)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_problems::{quadratic, rosenbrock, vector32};

    #[test]
    fn both_conditions_hold_where_it_stops() {
        let theta = vector32(&[-1.2, 1.0]);
        for (c2, initial) in [(0.9, 1.0), (0.1, 1.0), (0.1, 1e-6), (0.01, 100.0)] {
            let mut oracle = Oracle::new(rosenbrock());
            let (loss, gradient) = oracle.gradient(&theta).unwrap();
            let direction = -gradient.clone();
            let slope = -vector::dot(&gradient, &gradient);
            let line = Line {
                theta: &theta,
                loss,
                direction: &direction,
                slope,
            };
            let rule = StrongWolfe {
                curvature: c2,
                ..StrongWolfe::default()
            };
            let found = rule.search(&mut oracle, line, initial).unwrap();
            let LineSearch::Found {
                theta,
                alpha,
                loss: after,
                ..
            } = found
            else {
                panic!("{found:?}");
            };
            assert!(after <= loss + 1e-4 * alpha * slope);
            let before = oracle.cost();
            let (_, gradient) = oracle.gradient(&theta).unwrap();
            assert_eq!(oracle.cost(), before, "the accepted gradient is paid");
            assert!(vector::dot(&gradient, &direction).abs() <= c2 * slope.abs());
        }
    }

    #[test]
    fn the_parabola_of_a_quadratic_is_found_in_one_interpolation() {
        let mut oracle = Oracle::new(quadratic(&[4.0], &[0.0]));
        let (theta, direction) = (vector32(&[1.0]), vector32(&[-4.0]));
        let line = Line {
            theta: &theta,
            loss: 2.0,
            direction: &direction,
            slope: -16.0,
        };
        let rule = StrongWolfe {
            curvature: 1e-3,
            ..StrongWolfe::default()
        };
        let found = rule.search(&mut oracle, line, 1.0).unwrap();
        assert!(matches!(found, LineSearch::Found { alpha, trials: 2, .. } if alpha == 0.25));
    }

    #[test]
    fn uphill_is_not_tried_and_a_lie_is_given_up() {
        let mut oracle = Oracle::new(quadratic(&[4.0], &[0.0]));
        let (theta, direction) = (vector32(&[1.0]), vector32(&[4.0]));
        let line = |slope| Line {
            theta: &theta,
            loss: 2.0,
            direction: &direction,
            slope,
        };
        let rule = StrongWolfe {
            max_trials: 6,
            ..StrongWolfe::default()
        };
        let tried = rule.search(&mut oracle, line(1.0), 1.0).unwrap();
        assert!(matches!(tried, LineSearch::Exhausted { trials: 0 }));
        let lied_to = rule.search(&mut oracle, line(-1.0), 1.0).unwrap();
        assert!(matches!(lied_to, LineSearch::Exhausted { trials: 6 }));
        let wrong = StrongWolfe {
            curvature: 1.5,
            ..rule
        };
        assert!(wrong.search(&mut oracle, line(-1.0), 1.0).is_err());
    }
}
