use burn::prelude::*;
use serde::{Deserialize, Serialize};

use super::Limit;
use crate::{Cost, EndingKind};

/// What a run did.
#[derive(Clone, Debug)]
pub struct Trajectory {
    /// A row per step.
    pub rows: Vec<Row>,
    /// Why it ended.
    pub ending: Ending,
    /// The last parameters, flat.
    pub theta: Tensor<1>,
    /// The loss at them: on the data of evaluation where there are such, on the whole data otherwise; `None` on a stream that was
    /// not evaluated there.
    pub final_loss: Option<f64>,
    /// ‖∇loss‖ at them, on the whole data; `None` on a stream.
    pub final_gradient_norm: Option<f64>,
    /// What the method asked for.
    pub cost: Cost,
    /// Time in steps.
    pub seconds: f64,
}

/// One step of a run, flat, for a table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Number of the step, from 0.
    pub step: usize,
    /// The loss before the step, on its batch.
    #[serde(with = "null_is_nan")]
    pub loss: f64,
    /// The loss before the step on the data of evaluation, where it was evaluated; on the whole data the same as `loss`.
    pub evaluation: Option<f64>,
    /// ‖∇loss‖ before the step, on its batch.
    pub gradient_norm: Option<f64>,
    /// The rate, or the fraction of the direction that a Newton-type method went.
    pub learning_rate: Option<f64>,
    /// The change of the loss that the method's own model promised.
    pub predicted_change: Option<f64>,
    /// The change of the loss by the step, on its batch; `None` on a stream that does not measure it.
    pub measured_change: Option<f64>,
    /// How the step ended.
    pub ending: EndingKind,
    /// What the method asked for so far, this step included.
    pub cost: Cost,
    /// The same in gradients.
    pub gradient_equivalents: f64,
    /// Time in steps so far, this step included.
    pub seconds: f64,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ending {
    /// The loss is not above the target.
    TargetReached {
        /// Steps that were taken.
        step: usize,
        /// The loss.
        loss: f64,
    },
    /// The budget allows no further step.
    BudgetSpent {
        /// Steps that were taken.
        step: usize,
        /// The limit that was met.
        limit: Limit,
    },
    /// The loss, the gradient or the parameters are NaN or infinite, or the loss is above the largest allowed.
    Diverged {
        /// Steps that were taken.
        step: usize,
        /// The loss.
        #[serde(with = "null_is_nan")]
        loss: f64,
    },
    /// A step did not move, and on the whole data none would.
    Stalled {
        /// Steps that were taken before it.
        step: usize,
        /// Why it did not move.
        ending: EndingKind,
    },
    /// The observer stopped the run.
    Stopped {
        /// Steps that were taken.
        step: usize,
    },
}

/// JSON knows no NaN and writes null; read back it is NaN again.
mod null_is_nan {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(*value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_readable() {
        let ending = Ending::BudgetSpent {
            step: 7,
            limit: Limit::GradientEquivalents,
        };
        let text = r#"{"kind":"budget-spent","step":7,"limit":"gradient-equivalents"}"#;
        assert_eq!(serde_json::to_string(&ending).unwrap(), text);
        assert_eq!(serde_json::from_str::<Ending>(text).unwrap(), ending);
        let diverged = Ending::Diverged {
            step: 3,
            loss: f64::NAN,
        };
        let text = serde_json::to_string(&diverged).unwrap();
        let read = serde_json::from_str(&text).unwrap();
        assert!(matches!(read, Ending::Diverged { step: 3, loss } if loss.is_nan()));
    }
}
