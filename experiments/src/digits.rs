//! The handwritten digits and a network on them, ready for an experiment.

use burn::prelude::*;
use ravine_curvature::{Mode, Objective, Point, Seed};
use ravine_model::datasets::{Dataset, Digits, LabelledBatch, LabelledImages, Standardisation};
use ravine_model::losses::{accuracy, cross_entropy};
use ravine_model::models::{Activation, Initialisation, Mlp, MlpConfig};
use ravine_optim::{Batches, Budget, GradientDescent, LearningRate, Silent, run};
use serde::{Deserialize, Serialize};

use crate::Context;

/// A loss of a network on labelled images.
pub type DigitsObjective = Objective<Mlp, LabelledBatch<2>>;

/// A multilayer perceptron on the handwritten digits.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DigitsConfig {
    /// Width of each hidden layer.
    pub hidden: Vec<usize>,
    /// After each hidden layer: tanh, relu, gelu, silu, sigmoid, softplus or identity.
    pub activation: Activation,
    /// Pixels as they are (raw, 0 to 16), in the unit interval, centred by the training examples, or standardised.
    pub pixels: Standardisation,
    /// Training examples, drawn once for all seeds; the rest of the 1,797 is for testing.
    pub examples: usize,
    /// The share of training labels that are drawn at random, the same for all seeds.
    pub random_labels: f64,
}

impl Default for DigitsConfig {
    fn default() -> Self {
        Self {
            hidden: vec![16],
            activation: Activation::Tanh,
            pixels: Standardisation::Centred,
            examples: 1024,
            random_labels: 0.0,
        }
    }
}

/// Model, data and loss of one seed.
pub struct DigitsProblem {
    /// The network at its initial parameters.
    pub model: Mlp,
    /// Training images and labels.
    pub train: LabelledImages,
    /// Test images and labels.
    pub test: LabelledBatch<2>,
    /// Mean cross entropy.
    pub objective: DigitsObjective,
    device: Device,
}

impl DigitsProblem {
    /// The problem of one seed, which decides the initial parameters.
    ///
    /// Initial weights are normal with variance 1/fan-in
    /// (2/fan-in behind ReLU).
    ///
    /// # Errors
    ///
    /// When there are not so many examples, or the network cannot be built.
    pub fn new<C>(context: &Context<C>, config: &DigitsConfig, seed: u64) -> anyhow::Result<Self> {
        let device = context.device().clone();
        let all = Digits::load();
        let test_fraction = 1.0 - config.examples as f64 / all.len() as f64;
        let (train, test) = all.split(test_fraction, 0)?;
        let train = train.standardised(config.pixels);
        let test = test.scaled_like(&train)?.full_batch(&device);
        let train = train.with_random_labels(config.random_labels, 0)?;
        let gain = config.activation.gain();
        let model = MlpConfig::new(train.features(), config.hidden.clone(), train.classes())
            .with_activation(config.activation)
            .with_initialisation(Initialisation::KaimingNormal { gain })
            .with_seed(seed)
            .init(&device)?;
        let objective = context.objective(Objective::new(
            |model: &Mlp, (images, _): &LabelledBatch<2>| model.forward(images.clone()),
            |logits, (_, labels)| cross_entropy(logits, labels.clone()),
        ));
        Ok(Self {
            model,
            train,
            test,
            objective: objective.mode(Mode::Evaluation),
            device,
        })
    }

    /// The loss on all training examples at the initial parameters.
    ///
    /// # Errors
    ///
    /// When the loss cannot be recorded.
    pub fn full(&self) -> anyhow::Result<Point> {
        let batch = self.train.full_batch(&self.device);
        Ok(self.objective.at(&self.model, &batch)?)
    }

    /// The error on the test examples with these parameters, in 0..=1.
    ///
    /// # Errors
    ///
    /// When the parameters do not fit the network.
    pub fn test_error(&self, full: &Point, theta: &Tensor<1>) -> anyhow::Result<f64> {
        let model = full.layout().scatter(theta, self.model.clone())?;
        let (images, labels) = self.test.clone();
        Ok(1.0 - accuracy(model.forward(images), labels))
    }

    /// The batch of each step: shuffled anew in every epoch, as the seed says.
    ///
    /// # Errors
    ///
    /// When a batch is larger than the data.
    pub fn stream(
        &self,
        size: usize,
        seed: Seed,
    ) -> anyhow::Result<impl Iterator<Item = LabelledBatch<2>> + '_> {
        let batches = self.train.batches(size, seed.value(), &self.device)?;
        Ok(batches.endless())
    }

    /// θ after so many steps of gradient descent on the next of the batches; their rates by a schedule.
    ///
    /// # Errors
    ///
    /// When a batch cannot be recorded or a step fails.
    pub fn descend(
        &self,
        batches: &mut impl Iterator<Item = LabelledBatch<2>>,
        theta: &Tensor<1>,
        rate: impl Into<LearningRate>,
        steps: usize,
    ) -> anyhow::Result<Tensor<1>> {
        let stream = Batches::stream(|_| {
            let batch = batches.next().expect("batches never end");
            self.objective.at(&self.model, &batch)
        });
        let mut method = GradientDescent::new(rate);
        let budget = Budget::steps(steps);
        Ok(run(&mut method, stream, theta, &budget, &mut Silent)?.theta)
    }

    /// Batches of this size in an epoch.
    ///
    /// # Errors
    ///
    /// When a batch is larger than the data.
    pub fn batches_per_epoch(&self, size: usize) -> anyhow::Result<usize> {
        Ok(self.train.batches(size, 0, &self.device)?.per_epoch())
    }

    /// The loss at θ on each batch of an epoch that is the same at any time and for any seed.
    ///
    /// # Errors
    ///
    /// When a batch is larger than the data.
    pub fn fixed_batches(
        &self,
        size: usize,
        theta: &Tensor<1>,
    ) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Point>>> {
        let batches = self.train.batches(size, 0, &self.device)?.epoch(0);
        Ok(batches.map(|batch| Ok(self.objective.at_theta(&self.model, theta, &batch)?)))
    }
}
