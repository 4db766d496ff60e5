//! What is minimised: each problem with model, data, initial parameters, batches, budget and target.

mod assembled;
mod build;
mod models;

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow, ensure};
use burn::prelude::*;
use ravine_curvature::Point;
use ravine_model::datasets::Standardisation;
use ravine_model::models::Activation;
use ravine_optim::Batches;
use serde::{Deserialize, Serialize};

pub use build::build;
pub use models::{CharacterLstm, RowTransformer};

/// The table of problems that ships with ravine, as text.
pub const TABLE: &str = include_str!("problems/table.toml");

/// A problem: what is minimised, what may be spent, and when it is solved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Model and data.
    pub model: Model,
    /// Examples of a batch; all of them in every step by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Gradients that a run may spend; a gradient is one over a batch.
    pub budget: f64,
    /// Seconds that a run may spend; by default those of as many gradients as the budget allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The training loss, over all examples, at which the problem counts as solved.
    pub target: f64,
    /// How the target was set.
    pub target_source: String,
}

/// Model and data of a problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Model {
    /// ½ (x − x*)ᵀA(x − x*) with log-uniform eigenvalues from 1/κ to 1 in one random basis for all seeds, evaluated in f64; each seed starts
    /// from x* + Q s with its own signs s.
    Quadratic {
        /// Parameters.
        dim: usize,
        /// κ.
        condition_number: f64,
    },
    /// Rosenbrock's valley in f64, from its usual start with normal noise of 0.1 by the seed.
    Rosenbrock {
        /// Parameters.
        dim: usize,
    },
    /// Logistic regression on the breast cancer data in f64, with an L2 penalty on all parameters; a fifth is for validation.
    BreastCancer {
        /// Features as they are, or standardised.
        features: Standardisation,
        /// l in the penalty ½ l ‖θ‖².
        penalty: f64,
    },
    /// Mean squared error of a product of matrices against one matrix with a condition number, on normal inputs.
    DeepLinear {
        /// Inputs, hidden widths, outputs; inputs and outputs are equal.
        widths: Vec<usize>,
        /// Condition number of the matrix to be learnt.
        condition_number: f64,
        /// Training examples; a quarter as many again is for validation.
        examples: usize,
    },
    /// A multilayer perceptron on the digits.
    DigitsMlp {
        /// Width of each hidden layer.
        hidden: Vec<usize>,
        /// After each hidden layer.
        activation: Activation,
        /// Training examples; the rest is for validation.
        examples: usize,
    },
    /// A convolutional network with average pooling on the digits.
    DigitsCnn {
        /// Channels after each convolution.
        channels: Vec<usize>,
        /// After each convolution.
        activation: Activation,
        /// Training examples; the rest is for validation.
        examples: usize,
    },
    /// A deep autoencoder of the digits in the unit interval, mean cross entropy of the pixels.
    DigitsAutoencoder {
        /// Widths down to the code; the decoder mirrors them.
        encoder: Vec<usize>,
        /// Training examples; the rest is for validation.
        examples: usize,
    },
    /// An LSTM that predicts the next character of a text.
    CharacterLstm {
        /// Units.
        hidden: usize,
        /// Characters of a window.
        length: usize,
        /// Characters between the starts of windows; the last fifth of the windows is for validation.
        stride: usize,
    },
    /// One block of a transformer on the digits, a token for each row of pixels.
    Transformer {
        /// Width of a token.
        width: usize,
        /// Attention heads.
        heads: usize,
        /// Width inside the feed-forward part.
        feed_forward: usize,
        /// Training examples; the rest is for validation.
        examples: usize,
    },
}

/// A problem in memory, recorded and ready for runs on any thread.
pub trait Ready: Send + Sync {
    /// The training loss over all examples.
    fn train(&self) -> &Point;

    /// The loss over the validation examples, where the problem has such.
    fn validation(&self) -> Option<&Point>;

    /// The initial parameters of a seed.
    ///
    /// # Errors
    ///
    /// When the model cannot be built.
    fn start(&self, seed: u64) -> anyhow::Result<Tensor<1>>;

    /// What the steps of a run see, in the order of a seed; on batches the training loss is evaluated once in `every` steps.
    ///
    /// # Errors
    ///
    /// When a batch is larger than the data.
    fn batches(&self, seed: u64, every: usize) -> anyhow::Result<Batches<'_>>;

    /// A point on which one loss, gradient and product cost what they cost in a step.
    ///
    /// # Errors
    ///
    /// When a batch is larger than the data.
    fn step_point(&self) -> anyhow::Result<Point>;
}

impl Problem {
    /// Refuses budgets and targets that make no sense.
    ///
    /// # Errors
    ///
    /// A sentence that names the problem.
    pub fn check(&self, name: &str) -> anyhow::Result<()> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        ensure!(
            positive(self.budget),
            "problem `{name}`: budget = {} must be positive",
            self.budget
        );
        ensure!(
            self.seconds.is_none_or(positive),
            "problem `{name}`: seconds must be positive"
        );
        ensure!(
            self.target.is_finite(),
            "problem `{name}`: target = {} must be a number",
            self.target
        );
        ensure!(
            self.batch != Some(0),
            "problem `{name}`: a batch has at least one example"
        );
        Ok(())
    }
}

/// The problems that ship with ravine, by name.
///
/// # Errors
///
/// Never for the table that was compiled in.
pub fn shipped() -> anyhow::Result<BTreeMap<String, Problem>> {
    toml::from_str(TABLE).context("the table of problems")
}

/// The chosen problems: names from the table, and the configuration's own, which go first where a name is in both.
///
/// # Errors
///
/// When there is no problem of a name, a name is there twice, or a problem makes no sense.
pub fn chosen(
    names: &[String],
    own: &BTreeMap<String, Problem>,
) -> anyhow::Result<Vec<(String, Problem)>> {
    let shipped = shipped()?;
    ensure!(
        !names.is_empty(),
        "problems = [] leaves nothing to compare on"
    );
    let mut chosen: Vec<(String, Problem)> = Vec::new();
    for name in names {
        let problem = own.get(name).or_else(|| shipped.get(name));
        let problem = problem.ok_or_else(|| {
            let known: Vec<&str> = own
                .keys()
                .chain(shipped.keys())
                .map(String::as_str)
                .collect();
            anyhow!(
                "there is no problem `{name}`; there are {}",
                known.join(", ")
            )
        })?;
        problem.check(name)?;
        ensure!(
            chosen.iter().all(|(other, _)| other != name),
            "the problem `{name}` is there twice"
        );
        chosen.push((name.clone(), problem.clone()));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests;
