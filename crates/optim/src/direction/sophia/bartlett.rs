use ravine_curvature::{Likelihood, Seed};
use serde::{Deserialize, Serialize};

use super::super::remembers_memory;
use super::{Averages, Clipped, Estimate, clipped_options};
use crate::error::in_range;
use crate::{Direction, Heading, OptimError, Oracle, Place};

/// The labels of the Gauss-Newton-Bartlett estimates.
///
/// The estimates of a run are numbered from 0 on.
#[derive(Clone, Debug, PartialEq)]
pub enum SampledLabels {
    /// Estimate r draws its labels from `seed.stream("bartlett").index(r)`, as [`ravine_curvature::Point::sampled_gradient`] does.
    Seeded(Seed),
    /// Estimate r has entry r as its labels, as [`ravine_curvature::Point::gradient_with_labels`] wants them; a run that needs more ends
    /// with an error.
    Given(Vec<Vec<f64>>),
}

/// Sophia-G: a moving average of gradients over one of Gauss-Newton-Bartlett estimates of the curvatures, clipped entry by entry.
///
/// Step t = 1, 2, … with gradient g, m₀ = h₀ = 0:
///
/// - m ← β₁m + (1 − β₁)g;
/// - where (t − 1) mod k = 0: labels ŷ are drawn from the model's own distribution, ĝ is the gradient of the same loss with them,
///   ĥ = B · ĝ ⊙ ĝ, and h ← β₂h + (1 − β₂)ĥ;
/// - d = −clip(m / max(γh, ϵ), 1) − λθ, where clip(x, 1) = min(max(x, −1), 1) by entries.
///
/// B is 1/w with w the weight of one label in the loss, found in the first estimate by a product with its Hessian by the outputs: the
/// number of labels for a mean over them (of all positions for a sequence model, as in the authors' code), 1 for a sum. On batches of another
/// size it follows the [`ravine_curvature::Reduction`] of the objective. E\[ĥ\] is the diagonal of the
/// Gauss-Newton matrix in the reduction of the loss. Neither average is corrected for its start, as in algorithm 3.
///
/// The whole batch is used for ĝ; the authors take a smaller one. Their code has γ·B·h + 1e-15 instead of max(γh, ϵ), with the square
/// ĝ ⊙ ĝ in h and B in the denominator, and β₁ = 0.965, β₂ = 0.99.
///
/// # Shapes
///
/// Flat vectors in the dtype of the gradient. The outputs of the model need the examples along their first dimension.
///
/// # Cost
///
/// One more gradient in every k-th step, and once one loss for the weight of a label; two vectors of memory.
///
/// # Errors
///
/// [`OptimError::Option`] for numbers out of range and too few given labels;
/// [`ravine_curvature::CurvatureError::NoOutputs`] for an objective that is a loss only,
/// [`ravine_curvature::CurvatureError::NotThisLikelihood`] for a loss of another kind, or one whose outputs are certain from the start.
/// An estimate that is not finite ends the step with [`crate::StepEnding::NonFinite`] and leaves m and h as they were.
///
/// # References
///
/// H. Liu, Z. Li, D. Hall, P. Liang and T. Ma, Sophia: a scalable stochastic second-order optimizer for language model pre-training,
/// 2023, algorithms 2 and 3.
///
/// # Example
///
/// ```
/// use ravine_curvature::Likelihood;
/// use ravine_optim::{Descent, Method, SophiaG};
///
/// let method = Descent::new(SophiaG::new(Likelihood::Categorical).every(5), 1e-3);
/// assert_eq!(method.name(), "sophia-g");
/// ```
#[derive(Clone, Debug)]
pub struct SophiaG {
    rule: Clipped,
    likelihood: Likelihood,
    labels: SampledLabels,
    memory: Memory,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Memory {
    averages: Averages,
    /// Weight of a label over that of an example.
    weight: Option<f64>,
}

impl SophiaG {
    /// With β₁ = 0.96, β₂ = 0.99, γ = 0.05, ϵ = 1e-12, k = 10, no decay, and labels of seed 0.
    pub fn new(likelihood: Likelihood) -> Self {
        Self {
            rule: Clipped::new(0.05),
            likelihood,
            labels: SampledLabels::Seeded(Seed::new(0)),
            memory: Memory::default(),
        }
    }

    clipped_options!();

    /// With other labels.
    pub fn labels(self, labels: SampledLabels) -> Self {
        Self { labels, ..self }
    }

    /// The weight of one label in the loss of the batch: found in the first estimate, since outputs that have become certain show none.
    fn weight(&mut self, oracle: &mut Oracle, place: Place<'_>) -> Result<f64, OptimError> {
        let of_example = oracle.weight_of_example();
        let relative = match self.memory.weight {
            Some(relative) => relative,
            None => oracle.label_weight(place.theta, self.likelihood)? / of_example,
        };
        self.memory.weight = Some(relative);
        Ok(relative * of_example)
    }

    fn estimate(&mut self, oracle: &mut Oracle, place: Place<'_>) -> Result<Estimate, OptimError> {
        let number = self.memory.averages.drawn;
        let weight = self.weight(oracle, place)?;
        let (theta, likelihood) = (place.theta, self.likelihood);
        let sampled = match &self.labels {
            SampledLabels::Seeded(seed) => {
                let seed = seed.stream("bartlett").index(number);
                oracle.sampled_gradient(theta, likelihood, weight, seed)?
            }
            SampledLabels::Given(list) => {
                let labels = &list[number as usize];
                oracle.gradient_with_labels(theta, likelihood, weight, labels)?
            }
        };
        Ok(Estimate {
            diagonal: sampled.diagonal(),
            drawn: 1,
        })
    }

    /// That there are labels for the next estimate.
    fn check_labels(&self) -> Result<(), OptimError> {
        let SampledLabels::Given(list) = &self.labels else {
            return Ok(());
        };
        in_range(
            "the number of given labels",
            list.len() as f64,
            "at least one list for each estimate of the run",
            self.memory.averages.drawn < list.len() as u64,
        )
    }
}

impl Direction for SophiaG {
    fn name(&self) -> &str {
        "sophia-g"
    }

    fn heading(&mut self, oracle: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        self.rule.check()?;
        let mut estimate = None;
        if self.memory.averages.is_due(self.rule.every) {
            self.check_labels()?;
            estimate = Some(self.estimate(oracle, place)?);
        }
        self.rule
            .heading(&mut self.memory.averages, place, estimate)
    }

    remembers_memory!();
}
