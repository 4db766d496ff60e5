//! AdaHessian: Adam with the diagonal of the Hessian in the place of the gradient's squares.

mod averaging;

use burn::prelude::*;
use ravine_curvature::{Seed, vector};
use serde::{Deserialize, Serialize};

use super::{HutchinsonProbes, remembers_memory};
use crate::error::{fraction, in_range, not_negative};
use crate::state::{Held, held_or_zeros};
use crate::{Direction, Heading, OptimError, Oracle, Place, Quantity};

pub use averaging::{Averaged, SpatialAveraging};

/// AdaHessian: a moving average of gradients over the root mean square of a randomly estimated diagonal of the Hessian.
///
/// Step t = 1, 2, … with gradient g, probe z, m₀ = v₀ = 0:
///
/// - D = z ⊙ Hz, the mean over the samples; D̄ = mean of |D| over each block ([`SpatialAveraging`], [`Averaged`]);
/// - m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂) D̄ ⊙ D̄;
/// - d = −(m/(1 − β₁ᵗ)) / ((v/(1 − β₂ᵗ))^{k/2} + ϵ) − λθ.
///
/// With [`AdaHessian::every`] = K, D̄ is computed in the steps t with (t − 1) mod K = 0 and used again, with its average going on, in
/// those between them. ϵ is added after the power, outside of the root. The decay λ is the decoupled one.
///
/// The paper's own learning rate is 0.15 for images, and its steps are Adam's otherwise. `torch-optimizer` 0.3 has ϵ = 1e-4 and
/// k = ½ by default, averages |z ⊙ Hz| over kernels of rank 4 alone, and fails for rank 3; `pytorch_optimizer` 4.1 has ϵ = 1e-16, does
/// not average, and leaves v as it is between two estimates.
///
/// # Shapes
///
/// Blocks are taken within each parameter, by its shape in the layout of the model. Everything is in the dtype of the gradient.
///
/// # Cost
///
/// One product a sample in every K-th step; two vectors of memory, three with K > 1.
///
/// # Errors
///
/// [`OptimError::Option`] for numbers out of range and too few given probes. A product that is not finite ends the step with
/// [`crate::StepEnding::NonFinite`] and leaves m and v as they were.
///
/// # References
///
/// Z. Yao, A. Gholami, S. Shen, M. Mustafa, K. Keutzer and M. Mahoney, AdaHessian: an adaptive second order optimizer for machine
/// learning, 2021, section 3 and algorithm 1.
///
/// # Example
///
/// ```
/// use ravine_optim::{AdaHessian, Descent, LearningRate, Method};
///
/// let method = Descent::new(AdaHessian::new().every(2), LearningRate::from(0.15).warmed_up(100));
/// assert_eq!(method.name(), "ada-hessian");
/// ```
#[derive(Clone, Debug)]
pub struct AdaHessian {
    beta1: f64,
    beta2: f64,
    power: f64,
    epsilon: f64,
    weight_decay: f64,
    every: u64,
    samples: usize,
    averaging: SpatialAveraging,
    averaged: Averaged,
    probes: HutchinsonProbes,
    memory: Moments,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Moments {
    /// Steps so far.
    t: u64,
    /// Probes so far.
    drawn: u64,
    m: Option<Held>,
    v: Option<Held>,
    /// D̄, where it is used again.
    diagonal: Option<Held>,
}

impl Default for AdaHessian {
    fn default() -> Self {
        Self::new()
    }
}

impl AdaHessian {
    /// With β₁ = 0.9, β₂ = 0.999, k = 1, ϵ = 1e-8, no decay, one Rademacher probe of seed 0 in every step, and means over kernels.
    pub fn new() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            power: 1.0,
            epsilon: 1e-8,
            weight_decay: 0.0,
            every: 1,
            samples: 1,
            averaging: SpatialAveraging::default(),
            averaged: Averaged::default(),
            probes: HutchinsonProbes::rademacher(Seed::new(0)),
            memory: Moments::default(),
        }
    }

    /// With other decay rates β₁ and β₂, in [0, 1).
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        Self {
            beta1,
            beta2,
            ..self
        }
    }

    /// With another Hessian power k, in [0, 1]: 1 divides by curvatures, ½ by their roots, 0 by 1.
    pub fn hessian_power(self, power: f64) -> Self {
        Self { power, ..self }
    }

    /// With another ϵ, positive.
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon, ..self }
    }

    /// With a decoupled weight decay λ.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self {
            weight_decay,
            ..self
        }
    }

    /// With a new estimate every so many steps only, at least 1.
    pub fn every(self, every: u64) -> Self {
        Self { every, ..self }
    }

    /// With the mean over so many probes in an estimate, at least 1.
    pub fn samples(self, samples: usize) -> Self {
        Self { samples, ..self }
    }

    /// With other blocks that share their mean.
    pub fn averaging(self, averaging: SpatialAveraging) -> Self {
        Self { averaging, ..self }
    }

    /// With another quantity averaged over a block.
    pub fn averaged(self, averaged: Averaged) -> Self {
        Self { averaged, ..self }
    }

    /// With other probes.
    pub fn probes(self, probes: HutchinsonProbes) -> Self {
        Self { probes, ..self }
    }

    fn check(&self) -> Result<(), OptimError> {
        fraction("beta1", self.beta1)?;
        fraction("beta2", self.beta2)?;
        let k = self.power;
        let inside = (0.0..=1.0).contains(&k);
        in_range("the Hessian power", k, "from 0 to 1", inside)?;
        let epsilon = self.epsilon;
        let inside = epsilon > 0.0 && epsilon.is_finite();
        in_range("epsilon", epsilon, "positive and finite", inside)?;
        not_negative("weight_decay", self.weight_decay)?;
        in_range("every", self.every as f64, "at least 1", self.every > 0)?;
        let samples = self.samples;
        in_range("samples", samples as f64, "at least 1", samples > 0)?;
        match self.averaging {
            SpatialAveraging::Blocks { size } => {
                in_range("the block size", size as f64, "at least 1", size > 0)
            }
            SpatialAveraging::Off | SpatialAveraging::Kernels => Ok(()),
        }
    }

    /// Whether this step estimates the diagonal.
    fn is_due(&self) -> bool {
        self.memory.diagonal.is_none() || self.memory.t.is_multiple_of(self.every)
    }

    /// D̄ of this step, and how many probes it took.
    fn diagonal(
        &self,
        oracle: &mut Oracle,
        place: Place<'_>,
    ) -> Result<(Tensor<1>, u64), OptimError> {
        if let (false, Some(last)) = (self.is_due(), &self.memory.diagonal) {
            return Ok((last.on(place.gradient)?, 0));
        }
        let (first, samples) = (self.memory.drawn, self.samples);
        let diagonal = self
            .probes
            .diagonal(oracle, place.theta, first, samples)?
            .cast(place.gradient.dtype());
        let averaged = self
            .averaging
            .apply(self.averaged, diagonal, oracle.layout());
        Ok((averaged, samples as u64))
    }
}

impl Direction for AdaHessian {
    fn name(&self) -> &str {
        "ada-hessian"
    }

    fn asks_for_products(&self) -> bool {
        self.is_due()
    }

    fn heading(&mut self, oracle: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        self.check()?;
        let g = place.gradient;
        let m = held_or_zeros(&self.memory.m, g)? * self.beta1 + g.clone() * (1.0 - self.beta1);
        let v = held_or_zeros(&self.memory.v, g)?;
        let (diagonal, drawn) = self.diagonal(oracle, place)?;
        let size = vector::norm(&diagonal);
        if !size.is_finite() {
            return Ok(Heading::non_finite(g, Quantity::Hessian, size));
        }
        let square = diagonal.clone() * diagonal.clone();
        let v = v * self.beta2 + square * (1.0 - self.beta2);
        let t = self.memory.t + 1;
        let [correction1, correction2] =
            [self.beta1, self.beta2].map(|beta| 1.0 - beta.powf(t as f64));
        let root = (v.clone() / correction2).sqrt();
        let scale = match self.power {
            1.0 => root,
            power => root.powf_scalar(power),
        };
        let step = m.clone() / correction1 / (scale + self.epsilon);
        self.memory = Moments {
            t,
            drawn: self.memory.drawn + drawn,
            m: Some(Held::new(m)),
            v: Some(Held::new(v)),
            diagonal: (self.every > 1).then(|| Held::new(diagonal)),
        };
        Ok(Heading::decayed(-step, place.theta, self.weight_decay))
    }

    remembers_memory!();
}

#[cfg(test)]
mod tests;
