//! Gradients with labels drawn from the model.

use burn::prelude::*;
use ravine_curvature::{Likelihood, Reduction, SampledGradient, Seed};

use super::ledger::Kind;
use crate::{OptimError, Oracle};

impl Oracle {
    /// The weight of the negative log-likelihood of one label in the loss of the current batch, found at `theta`.
    ///
    /// # Cost
    ///
    /// Counted as one loss.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`], and what [`ravine_curvature::Point::label_weight`] reports.
    pub fn label_weight(
        &mut self,
        theta: &Tensor<1>,
        likelihood: Likelihood,
    ) -> Result<f64, OptimError> {
        let weight = self.expand(theta)?.point.label_weight(likelihood)?;
        self.ledger.count(Kind::Loss, 1);
        Ok(weight)
    }

    /// The weight of one example in the loss of the current batch: 1/N for a mean over its N examples, 1 for a sum.
    pub(crate) fn weight_of_example(&self) -> f64 {
        match self.batch.reduction() {
            Reduction::Mean => 1.0 / self.batch.examples().max(1) as f64,
            Reduction::Sum => 1.0,
        }
    }

    /// The gradient at `theta` on the current batch with labels drawn from the model instead of its own, given the weight of a
    /// label.
    ///
    /// # Cost
    ///
    /// Counted as one gradient: the outputs are pulled back as those of a gradient are.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`], and what [`ravine_curvature::Point::sampled_gradient`] reports.
    pub fn sampled_gradient(
        &mut self,
        theta: &Tensor<1>,
        likelihood: Likelihood,
        weight: f64,
        seed: Seed,
    ) -> Result<SampledGradient, OptimError> {
        let sampled = self
            .expand(theta)?
            .point
            .sampled_gradient(likelihood, weight, seed)?;
        self.ledger.count(Kind::Gradient, 1);
        Ok(sampled)
    }

    /// The gradient at `theta` on the current batch with labels of the caller's, given the weight of a label.
    ///
    /// # Cost
    ///
    /// Counted as one gradient.
    ///
    /// # Errors
    ///
    /// [`OptimError::Dimension`], and what [`ravine_curvature::Point::gradient_with_labels`] reports.
    pub fn gradient_with_labels(
        &mut self,
        theta: &Tensor<1>,
        likelihood: Likelihood,
        weight: f64,
        labels: &[f64],
    ) -> Result<SampledGradient, OptimError> {
        let sampled = self
            .expand(theta)?
            .point
            .gradient_with_labels(likelihood, weight, labels)?;
        self.ledger.count(Kind::Gradient, 1);
        Ok(sampled)
    }
}
