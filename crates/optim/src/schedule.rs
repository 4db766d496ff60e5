use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::OptimError;
use crate::error::in_range;

/// A learning rate as a function of the step k = 0, 1, 2 … (and, for [`Schedule::Plateau`], of the losses).
///
/// # Example
///
/// ```
/// use ravine_optim::Schedule;
///
/// let mut rates = Schedule::InverseTime { initial: 1.0, decay: 1.0 }.start()?;
/// assert_eq!([rates.next_rate(9.0), rates.next_rate(9.0), rates.next_rate(9.0)], [1.0, 0.5, 1.0 / 3.0]);
/// # Ok::<(), ravine_optim::OptimError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// ε_k = ε.
    Constant {
        /// ε.
        rate: f64,
    },
    /// ε_k = ε₀ γ^⌊k/T⌋.
    StepDecay {
        /// ε₀.
        initial: f64,
        /// γ, in (0, 1].
        factor: f64,
        /// T, in steps.
        every: u64,
    },
    /// ε_k = ε₀ γᵏ.
    Exponential {
        /// ε₀.
        initial: f64,
        /// γ, in (0, 1].
        factor: f64,
    },
    /// ε_k = ε_T + ½ (ε₀ − ε_T)(1 + cos(π min(k, T)/T)), without restarts.
    ///
    /// # References
    ///
    /// I. Loshchilov and F. Hutter, SGDR: Stochastic gradient descent with warm restarts, 2017.
    Cosine {
        /// ε₀.
        initial: f64,
        /// ε_T, where it ends and stays.
        last: f64,
        /// T, in steps.
        steps: u64,
    },
    /// ε_k = ε₀ / (1 + a k): Σ ε_k = ∞ and Σ ε_k² < ∞, under which stochastic approximation converges.
    ///
    /// # References
    ///
    /// H. Robbins and S. Monro, A stochastic approximation method, 1951.
    InverseTime {
        /// ε₀.
        initial: f64,
        /// a.
        decay: f64,
    },
    /// ε is multiplied by γ when the loss has not fallen below (1 − threshold) times its best for more than `patience`
    /// steps in a row.
    ///
    /// For a best loss that is not positive the threshold is taken off its absolute value. The loss is the one the method
    /// sees, that of the current batch: on single batches choose a patience that outlasts their scatter.
    Plateau {
        /// ε₀.
        initial: f64,
        /// γ, in (0, 1).
        factor: f64,
        /// Steps without progress that are put up with.
        patience: u64,
        /// Relative progress that counts.
        threshold: f64,
        /// ε is never made smaller than this.
        minimum: f64,
    },
}

impl Schedule {
    /// The rate of step 0.
    pub fn initial(&self) -> f64 {
        match *self {
            Self::Constant { rate } => rate,
            Self::StepDecay { initial, .. }
            | Self::Exponential { initial, .. }
            | Self::Cosine { initial, .. }
            | Self::InverseTime { initial, .. }
            | Self::Plateau { initial, .. } => initial,
        }
    }

    /// The rates from step 0 on.
    ///
    /// # Errors
    ///
    /// [`OptimError::Option`] when a number is outside of its range.
    pub fn start(self) -> Result<Rates, OptimError> {
        self.check()?;
        Ok(Rates {
            schedule: self,
            step: 0,
            plateau: PlateauState {
                rate: self.initial(),
                best: f64::INFINITY,
                steps_without_progress: 0,
            },
        })
    }

    fn check(&self) -> Result<(), OptimError> {
        let initial = self.initial();
        in_range(
            "the learning rate",
            initial,
            "positive and finite",
            initial > 0.0 && initial.is_finite(),
        )?;
        match *self {
            Self::Constant { .. } => Ok(()),
            Self::StepDecay { factor, every, .. } => {
                shrinking(factor)?;
                in_range("every", every as f64, "at least 1", every > 0)
            }
            Self::Exponential { factor, .. } => shrinking(factor),
            Self::Cosine { last, steps, .. } => {
                in_range(
                    "last",
                    last,
                    "at least 0 and finite",
                    last >= 0.0 && last.is_finite(),
                )?;
                in_range("steps", steps as f64, "at least 1", steps > 0)
            }
            Self::InverseTime { decay, .. } => in_range(
                "decay",
                decay,
                "at least 0 and finite",
                decay >= 0.0 && decay.is_finite(),
            ),
            Self::Plateau {
                factor,
                threshold,
                minimum,
                ..
            } => {
                in_range(
                    "factor",
                    factor,
                    "between 0 and 1",
                    factor > 0.0 && factor < 1.0,
                )?;
                in_range(
                    "threshold",
                    threshold,
                    "at least 0 and below 1",
                    (0.0..1.0).contains(&threshold),
                )?;
                in_range(
                    "minimum",
                    minimum,
                    "between 0 and the initial rate",
                    (0.0..=initial).contains(&minimum),
                )
            }
        }
    }
}

fn shrinking(factor: f64) -> Result<(), OptimError> {
    in_range(
        "factor",
        factor,
        "above 0 and at most 1",
        factor > 0.0 && factor <= 1.0,
    )
}

impl From<f64> for Schedule {
    fn from(rate: f64) -> Self {
        Self::Constant { rate }
    }
}

/// The running rates of a [`Schedule`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rates {
    schedule: Schedule,
    step: u64,
    plateau: PlateauState,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct PlateauState {
    rate: f64,
    best: f64,
    steps_without_progress: u64,
}

impl Rates {
    /// The rate of the next step, which starts from a loss of `loss`.
    pub fn next_rate(&mut self, loss: f64) -> f64 {
        let k = self.step;
        self.step += 1;
        match self.schedule {
            Schedule::Constant { rate } => rate,
            Schedule::StepDecay {
                initial,
                factor,
                every,
            } => initial * factor.powf((k / every) as f64),
            Schedule::Exponential { initial, factor } => initial * factor.powf(k as f64),
            Schedule::Cosine {
                initial,
                last,
                steps,
            } => {
                let phase = PI * k.min(steps) as f64 / steps as f64;
                last + 0.5 * (initial - last) * (1.0 + phase.cos())
            }
            Schedule::InverseTime { initial, decay } => initial / (1.0 + decay * k as f64),
            Schedule::Plateau {
                factor,
                patience,
                threshold,
                minimum,
                ..
            } => {
                let state = &mut self.plateau;
                state.tell(loss, threshold);
                if state.steps_without_progress > patience {
                    state.rate = (state.rate * factor).max(minimum);
                    state.steps_without_progress = 0;
                }
                state.rate
            }
        }
    }
}

impl PlateauState {
    fn tell(&mut self, loss: f64, threshold: f64) {
        let progress = self.best == f64::INFINITY || loss < self.best - threshold * self.best.abs();
        if progress {
            self.best = loss;
            self.steps_without_progress = 0;
            return;
        }
        self.steps_without_progress += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule, steps: usize) -> Vec<f64> {
        let mut rates = schedule.start().unwrap();
        (0..steps).map(|_| rates.next_rate(1.0)).collect()
    }

    #[test]
    fn formulas() {
        let step = Schedule::StepDecay {
            initial: 1.0,
            factor: 0.5,
            every: 2,
        };
        assert_eq!(rates(step, 5), [1.0, 1.0, 0.5, 0.5, 0.25]);
        let exponential = Schedule::Exponential {
            initial: 2.0,
            factor: 0.5,
        };
        assert_eq!(rates(exponential, 3), [2.0, 1.0, 0.5]);
        let cosine = Schedule::Cosine {
            initial: 1.0,
            last: 0.0,
            steps: 2,
        };
        for (rate, expected) in rates(cosine, 4).iter().zip([1.0, 0.5, 0.0, 0.0]) {
            assert!((rate - expected).abs() < 1e-15, "{rate} {expected}");
        }
        assert_eq!(rates(0.3.into(), 2), [0.3, 0.3]);
    }

    #[test]
    fn a_plateau_waits_out_its_patience_and_stops_at_the_minimum() {
        let plateau = Schedule::Plateau {
            initial: 1.0,
            factor: 0.1,
            patience: 1,
            threshold: 0.1,
            minimum: 0.05,
        };
        let mut rates = plateau.start().unwrap();
        let losses = [10.0, 9.5, 9.4, 8.0, 8.0, 8.0, 8.0, 8.0, f64::NAN];
        let seen: Vec<f64> = losses.map(|loss| rates.next_rate(loss)).to_vec();
        let expected = [1.0, 1.0, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05];
        for (rate, expected) in seen.iter().zip(expected) {
            assert!((rate - expected).abs() < 1e-15, "{seen:?}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let bad = [
            Schedule::Constant { rate: -1.0 },
            Schedule::Constant { rate: f64::NAN },
            Schedule::StepDecay {
                initial: 1.0,
                factor: 1.5,
                every: 3,
            },
            Schedule::StepDecay {
                initial: 1.0,
                factor: 0.5,
                every: 0,
            },
            Schedule::Cosine {
                initial: 1.0,
                last: 0.0,
                steps: 0,
            },
        ];
        for schedule in bad {
            assert!(
                matches!(schedule.start(), Err(OptimError::Option { .. })),
                "{schedule:?}"
            );
        }
    }

    #[test]
    fn configurations_are_readable() {
        let text = r#"{"kind":"step-decay","initial":0.5,"factor":0.1,"every":30}"#;
        let schedule: Schedule = serde_json::from_str(text).unwrap();
        assert_eq!(
            schedule,
            Schedule::StepDecay {
                initial: 0.5,
                factor: 0.1,
                every: 30
            }
        );
        assert_eq!(serde_json::to_string(&schedule).unwrap(), text);
        let wrong = r#"{"kind":"constant","rate":0.5,"factor":0.1}"#;
        assert!(serde_json::from_str::<Schedule>(wrong).is_err());
    }
}
