//! Rates that come from what the steps show, rather than from their number.

use serde::{Deserialize, Serialize};

use crate::OptimError;
use crate::error::in_range;

/// A rate by the losses and gradients that the steps see.
///
/// The schedule in front of it gives the first rate and the rate wherever the rule has none to offer; for the Polyak step it is the
/// largest rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum RateRule {
    /// ε = (f − f*)/(−gᵀd), for d = −g (f − f*)/‖g‖², and never more than the schedule's rate.
    ///
    /// # References
    ///
    /// B. T. Polyak, Introduction to Optimization, 1987, section 5.3.
    Polyak {
        /// f*, known or estimated.
        target: PolyakTarget,
    },
    /// The rate that fits the secant equation of the last step, s = Δθ and y = Δg, clipped to an interval; the schedule's where
    /// sᵀy ≤ 0. Meant for d = −g on the whole data, with a nonmonotone search ([`crate::Nonmonotone`]) where the loss is no
    /// quadratic.
    ///
    /// # References
    ///
    /// J. Barzilai and J. M. Borwein, Two-point step size gradient methods, 1988; M. Raydan, The Barzilai and Borwein gradient
    /// method for the large scale unconstrained minimization problem, 1997.
    BarzilaiBorwein {
        /// Which of the two.
        variant: BarzilaiBorwein,
        /// Smallest rate.
        minimum: f64,
        /// Largest rate.
        maximum: f64,
    },
    /// ε ← ε − β gᵀd₋ with the last direction d₋, for gradient descent ε + β gᵀg₋: descent on the rate itself. The schedule gives the
    /// first rate alone; a rate that would be negative is zero.
    ///
    /// # References
    ///
    /// A. G. Baydin, R. Cornish, D. Martínez Rubio, M. Schmidt and F. Wood, Online learning rate adaptation with hypergradient
    /// descent, 2018, algorithm 4.
    Hypergradient {
        /// β, not negative.
        beta: f64,
    },
}

/// Which secant equation a Barzilai-Borwein rate fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BarzilaiBorwein {
    /// sᵀs/sᵀy, the longer one.
    #[default]
    Long,
    /// sᵀy/yᵀy, the shorter one.
    Short,
}

/// The loss that a Polyak step aims at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PolyakTarget {
    /// The minimum is known: 0 for a model that can fit everything.
    Known {
        /// f*.
        loss: f64,
    },
    /// The best loss so far less a margin δ, which shrinks when a step does not reach the target; the step is γ times as long.
    ///
    /// γ must exceed 1 on smooth losses: a step of the bare length falls short of its target by the curvature, however small δ is, so
    /// that δ would shrink for good. Close to the minimum the loss settles within about the smallest δ.
    ///
    /// # References
    ///
    /// A. Nedić and D. P. Bertsekas, Incremental subgradient methods for nondifferentiable optimization, 2001, (2.19) and (2.20).
    Estimated {
        /// δ of the first step, positive.
        margin: f64,
        /// Factor of δ after a target that was reached, at least 1.
        grow: f64,
        /// Factor of δ after one that was missed, in (0, 1).
        shrink: f64,
        /// δ is never smaller.
        minimum: f64,
        /// γ, between 1 and 2.
        relaxation: f64,
    },
}

impl RateRule {
    pub(crate) fn check(&self) -> Result<(), OptimError> {
        match *self {
            Self::Polyak {
                target: PolyakTarget::Known { loss },
            } => in_range("the known minimum", loss, "finite", loss.is_finite()),
            Self::Polyak {
                target:
                    PolyakTarget::Estimated {
                        margin,
                        grow,
                        shrink,
                        minimum,
                        relaxation,
                    },
            } => {
                in_range(
                    "margin",
                    margin,
                    "positive",
                    margin > 0.0 && margin.is_finite(),
                )?;
                in_range("grow", grow, "at least 1", grow >= 1.0)?;
                in_range(
                    "shrink",
                    shrink,
                    "between 0 and 1",
                    shrink > 0.0 && shrink < 1.0,
                )?;
                in_range("minimum", minimum, "positive", minimum > 0.0)?;
                let inside = (1.0..2.0).contains(&relaxation);
                in_range("relaxation", relaxation, "at least 1 and below 2", inside)
            }
            Self::BarzilaiBorwein {
                minimum, maximum, ..
            } => {
                in_range("minimum", minimum, "positive", minimum > 0.0)?;
                in_range(
                    "maximum",
                    maximum,
                    "not below the minimum",
                    maximum >= minimum,
                )
            }
            Self::Hypergradient { beta } => in_range(
                "beta",
                beta,
                "at least 0 and finite",
                beta >= 0.0 && beta.is_finite(),
            ),
        }
    }
}

/// The state of an estimated f*.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Level {
    best: f64,
    margin: f64,
}

impl PolyakTarget {
    /// γ.
    pub(crate) fn relaxation(&self) -> f64 {
        match *self {
            Self::Known { .. } => 1.0,
            Self::Estimated { relaxation, .. } => relaxation,
        }
    }

    /// The target of a step from `loss`.
    pub(crate) fn aim(&self, level: &mut Option<Level>, loss: f64) -> f64 {
        let (margin, grow, shrink, minimum) = match *self {
            Self::Known { loss } => return loss,
            Self::Estimated {
                margin,
                grow,
                shrink,
                minimum,
                ..
            } => (margin, grow, shrink, minimum),
        };
        let now = match *level {
            None => Level { best: loss, margin },
            Some(last) => Level {
                margin: match loss <= last.best - last.margin {
                    true => last.margin * grow,
                    false => (last.margin * shrink).max(minimum),
                },
                best: last.best.min(loss),
            },
        };
        *level = Some(now);
        now.best - now.margin
    }
}
