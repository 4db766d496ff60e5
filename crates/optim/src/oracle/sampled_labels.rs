//! Gradients with labels drawn from the model.

use burn::prelude::*;
use ravine_curvature::{Likelihood, SampledGradient, Seed};

use super::ledger::Kind;
use crate::{OptimError, Oracle};

impl Oracle {
    /// The gradient at `theta` on the current batch with labels drawn from the model instead of its own.
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
        seed: Seed,
    ) -> Result<SampledGradient, OptimError> {
        let sampled = self
            .expand(theta)?
            .point
            .sampled_gradient(likelihood, seed)?;
        self.ledger.count(Kind::Gradient, 1);
        Ok(sampled)
    }

    /// The gradient at `theta` on the current batch with labels of the caller's.
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
        labels: &[f64],
    ) -> Result<SampledGradient, OptimError> {
        let sampled = self
            .expand(theta)?
            .point
            .gradient_with_labels(likelihood, labels)?;
        self.ledger.count(Kind::Gradient, 1);
        Ok(sampled)
    }
}
