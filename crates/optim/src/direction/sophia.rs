//! Sophia: clipped steps along an average of gradients over an average of estimated curvatures.

mod bartlett;
mod hutchinson;

use burn::prelude::*;
use ravine_curvature::vector;
use serde::{Deserialize, Serialize};

use crate::error::{fraction, in_range, not_negative};
use crate::state::{Held, held_or_zeros};
use crate::{Heading, OptimError, Place, Quantity};

pub use bartlett::{SampledLabels, SophiaG};
pub use hutchinson::SophiaH;

/// The numbers that both variants share.
#[derive(Clone, Copy, Debug)]
struct Clipped {
    beta1: f64,
    beta2: f64,
    gamma: f64,
    epsilon: f64,
    weight_decay: f64,
    every: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Averages {
    /// Steps so far.
    t: u64,
    /// Random choices so far.
    drawn: u64,
    m: Option<Held>,
    h: Option<Held>,
}

impl Averages {
    /// Whether this step estimates curvatures.
    fn is_due(&self, every: u64) -> bool {
        self.t.is_multiple_of(every)
    }
}

/// What a step learns of the curvature.
struct Estimate {
    diagonal: Tensor<1>,
    drawn: u64,
}

impl Clipped {
    fn new(gamma: f64) -> Self {
        Self {
            beta1: 0.96,
            beta2: 0.99,
            gamma,
            epsilon: 1e-12,
            weight_decay: 0.0,
            every: 10,
        }
    }

    fn check(&self) -> Result<(), OptimError> {
        fraction("beta1", self.beta1)?;
        fraction("beta2", self.beta2)?;
        for (option, value) in [("gamma", self.gamma), ("epsilon", self.epsilon)] {
            let inside = value > 0.0 && value.is_finite();
            in_range(option, value, "positive and finite", inside)?;
        }
        not_negative("weight_decay", self.weight_decay)?;
        in_range("every", self.every as f64, "at least 1", self.every > 0)
    }

    /// d = −clip(m / max(γh, ϵ), 1) − λθ, after the averages took in what is new.
    fn heading(
        &self,
        memory: &mut Averages,
        place: Place<'_>,
        estimate: Option<Estimate>,
    ) -> Result<Heading, OptimError> {
        let g = place.gradient;
        let m = held_or_zeros(&memory.m, g)? * self.beta1 + g.clone() * (1.0 - self.beta1);
        let mut h = held_or_zeros(&memory.h, g)?;
        if let Some(Estimate { diagonal, drawn }) = estimate {
            let size = vector::norm(&diagonal);
            if !size.is_finite() {
                return Ok(Heading::non_finite(g, Quantity::Hessian, size));
            }
            h = h * self.beta2 + diagonal.cast(g.dtype()) * (1.0 - self.beta2);
            memory.drawn += drawn;
        }
        let scale = (h.clone() * self.gamma).clamp_min(self.epsilon);
        let step = (m.clone() / scale).clamp(-1.0, 1.0);
        memory.t += 1;
        memory.m = Some(Held::new(m));
        memory.h = Some(Held::new(h));
        Ok(Heading::decayed(-step, place.theta, self.weight_decay))
    }
}

/// The builder methods that both variants share.
macro_rules! clipped_options {
    () => {
        /// With other decay rates β₁ of gradients and β₂ of curvatures, in [0, 1).
        pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
            (self.rule.beta1, self.rule.beta2) = (beta1, beta2);
            self
        }

        /// With another γ, positive: the smaller, the more entries are clipped.
        pub fn gamma(mut self, gamma: f64) -> Self {
            self.rule.gamma = gamma;
            self
        }

        /// With another ϵ, positive.
        pub fn epsilon(mut self, epsilon: f64) -> Self {
            self.rule.epsilon = epsilon;
            self
        }

        /// With a decoupled weight decay λ.
        pub fn weight_decay(mut self, weight_decay: f64) -> Self {
            self.rule.weight_decay = weight_decay;
            self
        }

        /// With a new estimate every so many steps, at least 1.
        pub fn every(mut self, every: u64) -> Self {
            self.rule.every = every;
            self
        }
    };
}
use clipped_options;

#[cfg(test)]
mod tests;
