use serde::{Deserialize, Serialize};

use super::Batches;
use crate::{Cost, CostWeights, OptimError};

/// When a run ends. Limits are looked at between steps: the last step may overshoot.
///
/// # Example
///
/// ```
/// use ravine_optim::{Budget, CostWeights};
///
/// let budget = Budget::gradient_equivalents(500.0, CostWeights::default()).target_loss(1e-3);
/// assert_eq!(budget.target_loss, Some(1e-3));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Steps at most.
    pub steps: Option<usize>,
    /// Cost at most, in gradients by `weights`.
    pub gradient_equivalents: Option<f64>,
    /// Seconds in steps at most.
    pub seconds: Option<f64>,
    /// The run ends when the loss is not above.
    pub target_loss: Option<f64>,
    /// The run counts as diverged when the loss is above, and always when it is not finite.
    pub max_loss: Option<f64>,
    /// What losses and products cost, in gradients.
    pub weights: CostWeights,
}

/// A limit of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Limit {
    /// [`Budget::steps`].
    Steps,
    /// [`Budget::gradient_equivalents`].
    GradientEquivalents,
    /// [`Budget::seconds`].
    Seconds,
}

impl Budget {
    /// So many steps.
    pub fn steps(steps: usize) -> Self {
        Self {
            steps: Some(steps),
            ..Self::default()
        }
    }

    /// A cost of so many gradients.
    pub fn gradient_equivalents(gradients: f64, weights: CostWeights) -> Self {
        Self {
            gradient_equivalents: Some(gradients),
            weights,
            ..Self::default()
        }
    }

    /// With a limit of seconds.
    pub fn seconds(self, seconds: f64) -> Self {
        Self {
            seconds: Some(seconds),
            ..self
        }
    }

    /// With a loss that ends the run when it is reached.
    pub fn target_loss(self, loss: f64) -> Self {
        Self {
            target_loss: Some(loss),
            ..self
        }
    }

    /// With a loss above which the run counts as diverged.
    pub fn max_loss(self, loss: f64) -> Self {
        Self {
            max_loss: Some(loss),
            ..self
        }
    }

    /// With other weights of losses and products.
    pub fn weights(self, weights: CostWeights) -> Self {
        Self { weights, ..self }
    }

    pub(super) fn check(&self, batches: &Batches<'_>) -> Result<(), OptimError> {
        let limited =
            self.steps.is_some() || self.gradient_equivalents.is_some() || self.seconds.is_some();
        if !limited {
            return Err(OptimError::Unbounded);
        }
        let judged = batches.are_fixed() || batches.have_evaluation();
        match self.target_loss {
            Some(_) if !judged => Err(OptimError::TargetWithoutEvaluation),
            _ => Ok(()),
        }
    }

    /// The limit that allows no further step, if there is one.
    pub(super) fn spent(&self, steps: usize, cost: Cost, seconds: f64) -> Option<Limit> {
        if self.steps.is_some_and(|most| steps >= most) {
            return Some(Limit::Steps);
        }
        let gradients = cost.gradient_equivalents(&self.weights);
        if self
            .gradient_equivalents
            .is_some_and(|most| gradients >= most)
        {
            return Some(Limit::GradientEquivalents);
        }
        self.seconds
            .is_some_and(|most| seconds >= most)
            .then_some(Limit::Seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let budget = Budget::gradient_equivalents(10.0, CostWeights::default()).seconds(1.0);
        let cost = |products| Cost {
            gradients: 4,
            products,
            ..Cost::default()
        };
        assert_eq!(budget.spent(100, cost(2), 0.5), None);
        assert_eq!(
            budget.spent(100, cost(3), 0.5),
            Some(Limit::GradientEquivalents)
        );
        assert_eq!(budget.spent(100, cost(2), 1.5), Some(Limit::Seconds));
        assert_eq!(
            Budget::steps(3).spent(3, Cost::default(), 0.0),
            Some(Limit::Steps)
        );
    }

    #[test]
    fn configurations_are_readable() {
        let budget: Budget = serde_json::from_str(r#"{"steps":5,"target_loss":0.1}"#).unwrap();
        assert_eq!(budget, Budget::steps(5).target_loss(0.1));
    }
}
