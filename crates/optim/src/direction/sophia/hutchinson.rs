use ravine_curvature::Seed;

use super::super::{HutchinsonProbes, remembers_memory};
use super::{Averages, Clipped, Estimate, clipped_options};
use crate::error::in_range;
use crate::{Direction, Heading, OptimError, Oracle, Place};

/// Sophia-H: a moving average of gradients over one of Hutchinson's estimates of the Hessian's diagonal, clipped entry by entry.
///
/// Step t = 1, 2, … with gradient g, m₀ = h₀ = 0:
///
/// - m ← β₁m + (1 − β₁)g;
/// - where (t − 1) mod k = 0: ĥ = u ⊙ Hu, the mean over the samples, and h ← β₂h + (1 − β₂)ĥ;
/// - d = −clip(m / max(γh, ϵ), 1) − λθ, where clip(x, 1) = min(max(x, −1), 1) by entries.
///
/// Neither average is corrected for its start, as in algorithm 3. Where γh is below ϵ, as where the loss curves downwards, the step is the
/// sign of m. The estimate of the first step has the weight 1 − β₂: the first k steps are long.
///
/// The authors' code corrects m by 1 − β₁ᵗ, has relu(γh) + ϵ instead of max(γh, ϵ), and β₁ = 0.9, γ = 10; `pytorch_optimizer` 4.1 clips
/// m / max(h, ϵ) to ±p with p = 0.01, which is γ = p with the rate multiplied by p.
///
/// # Shapes
///
/// Flat vectors in the dtype of the gradient.
///
/// # Cost
///
/// One product a sample in every k-th step; two vectors of memory.
///
/// # Errors
///
/// [`OptimError::Option`] for numbers out of range and too few given probes. A product that is not finite ends the step with
/// [`crate::StepEnding::NonFinite`] and leaves m and h as they were.
///
/// # References
///
/// H. Liu, Z. Li, D. Hall, P. Liang and T. Ma, Sophia: a scalable stochastic second-order optimizer for language model pre-training,
/// 2023, algorithms 1 and 3.
///
/// # Example
///
/// ```
/// use ravine_optim::{Descent, Method, Schedule, SophiaH};
///
/// let rate = Schedule::Cosine { initial: 1e-3, last: 5e-5, steps: 1000 };
/// assert_eq!(Descent::new(SophiaH::new().weight_decay(0.2), rate).name(), "sophia-h");
/// ```
#[derive(Clone, Debug)]
pub struct SophiaH {
    rule: Clipped,
    samples: usize,
    probes: HutchinsonProbes,
    memory: Averages,
}

impl Default for SophiaH {
    fn default() -> Self {
        Self::new()
    }
}

impl SophiaH {
    /// With β₁ = 0.96, β₂ = 0.99, γ = 0.01, ϵ = 1e-12, k = 10, no decay, and one Gaussian probe of seed 0 in an estimate.
    pub fn new() -> Self {
        Self {
            rule: Clipped::new(0.01),
            samples: 1,
            probes: HutchinsonProbes::gaussian(Seed::new(0)),
            memory: Averages::default(),
        }
    }

    clipped_options!();

    /// With the mean over so many probes in an estimate, at least 1.
    pub fn samples(self, samples: usize) -> Self {
        Self { samples, ..self }
    }

    /// With other probes.
    pub fn probes(self, probes: HutchinsonProbes) -> Self {
        Self { probes, ..self }
    }
}

impl Direction for SophiaH {
    fn name(&self) -> &str {
        "sophia-h"
    }

    fn asks_for_products(&self) -> bool {
        self.memory.is_due(self.rule.every)
    }

    fn heading(&mut self, oracle: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        self.rule.check()?;
        let samples = self.samples;
        in_range("samples", samples as f64, "at least 1", samples > 0)?;
        let mut estimate = None;
        if self.memory.is_due(self.rule.every) {
            let first = self.memory.drawn;
            estimate = Some(Estimate {
                diagonal: self.probes.diagonal(oracle, place.theta, first, samples)?,
                drawn: samples as u64,
            });
        }
        self.rule.heading(&mut self.memory, place, estimate)
    }

    remembers_memory!();
}
