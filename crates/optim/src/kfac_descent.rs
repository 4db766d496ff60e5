//! Descent with Kronecker-factored curvature.

mod memory;
mod model;
mod options;
mod proposal;

use burn::prelude::*;
use ravine_curvature::{Damping, Factors, KfacOptions, Seed, vector};

use memory::Memory;
pub use options::{KfacDamping, KfacGamma, KfacLength, ModelMomentum};

use crate::error::in_range;
use crate::method::{Move, Start, along, not_finite};
use crate::state::Held;
use crate::{Method, MethodState, OptimError, Oracle, Quantity, Schedule, Step, StepEnding};

/// Descent along −F̆⁻¹g with the Kronecker-factored Fisher matrix F̆ (K-FAC): the algorithm of Martens and Grosse, or with a fixed
/// damping and a learning rate as in practice.
///
/// Step k = 1, 2, … from θ, with f and g on the batch of the step and factors A, B of each layer as in
/// [`KfacFactors`](ravine_curvature::KfacFactors) (the weight of an example in the loss is in B):
///
/// 1. If (k − 1) mod `factors_every` = 0: factors at θ, Â ← ε Â + (1 − ε) A and B̂ alike, ε = min(1 − 1/j, `decay`) the j-th
///    time. With [`Factors::MonteCarlo`] step k draws with the seed `seed.stream("kfac").index(k)`, and the same for
///    [`Others::Diagonal`](ravine_curvature::Others::Diagonal).
/// 2. γ = √λ, or as [`KfacGamma::Search`] says: one γ, or the three γ, ω₂γ, γ/ω₂ where k mod T₂ = 0. Inverses are made if k ≤ 3,
///    or k mod `inverse_every` = 0, or there are three γ; otherwise the last one is used again. By factors
///    ([`Damping::Factored`]) F̆⁻¹ = (Â + πγI)⁻¹ ⊗ (B̂ + γ/π I)⁻¹, π² = (tr Â/dim Â)/(tr B̂/dim B̂), and exactly
///    ([`Damping::Exact`]) (Â ⊗ B̂ + γ²I)⁻¹; 1/(x + γ²) for a parameter of no layer with the diagonal x.
/// 3. Δ = −F̆⁻¹g. The step, [`KfacLength::Model`]: with M(δ) = gᵀδ + ½ δᵀ(G + λI)δ, δ₀ the step before,
///    a = Δᵀ(G + λI)Δ, b = Δᵀ(G + λI)δ₀, c = δ₀ᵀ(G + λI)δ₀, p = gᵀΔ, q = gᵀδ₀:
///    α = (bq − cp)/(ac − b²), μ = (bp − aq)/(ac − b²), δ = αΔ + μδ₀; α = −p/a, μ = 0 without δ₀ or when ac − b² ≤ 1e-12 ac
///    (1e-6 in f32); α = 1, μ = 0 when a ≤ 0 ([`StepEnding::NegativeCurvature`]). [`KfacLength::Rate`]: ν = min(1, √(κ/(ε²|gᵀΔ|))),
///    v ← μv + νΔ, δ = εv. Of several γ that with the smallest M(δ), the first of equal ones.
/// 4. θ ← θ + δ, whatever the loss does.
/// 5. Adaptive damping, if k mod T₁ = 0: ρ = (f(θ + δ) − f(θ))/M(δ) on the same batch; λ ← ω₁λ if ρ > ¾, λ/ω₁ if ρ < ¼,
///    ω₁ = (19/20)^T₁, by [`LevenbergMarquardt`](crate::LevenbergMarquardt).
///
/// There is no weight decay in the model: η = 0. The promise is M(δ) where it was computed, gᵀδ otherwise; the learning rate of the
/// step α or ε. A gradient of zero ends with [`StepEnding::Stationary`].
///
/// # Cost
///
/// One gradient; [`KfacFactors::passes`](ravine_curvature::KfacFactors::passes) whenever factors are made: two with the default of one
/// random vector, one more than the outputs of an example with [`Factors::Exact`]. [`KfacLength::Model`]: one Gauss-Newton product,
/// two with momentum, and one for each further γ; [`KfacLength::Rate`]: none, but one where λ adapts. One loss every T₁ steps.
///
/// # Errors
///
/// Numbers out of range; what [`KfacFactors::at`](ravine_curvature::KfacFactors::at) and [`Kfac::inverse`](ravine_curvature::Kfac::inverse)
/// report, such as a damping of zero where a factor is singular.
///
/// # References
///
/// J. Martens and R. Grosse, Optimizing neural networks with Kronecker-factored approximate curvature, 2015, algorithm 2 and sections 5 to
/// 8; J. Ba, R. Grosse and J. Martens, Distributed second-order optimization using Kronecker-factored approximations, 2017 (clipping).
///
/// # Example
///
/// ```
/// use ravine_optim::{KfacDescent, Method};
///
/// let paper = KfacDescent::new();
/// let practice = KfacDescent::plain(0.1, 1e-3).named("kfac-plain");
/// assert_eq!((paper.name(), practice.name()), ("kfac", "kfac-plain"));
/// ```
#[derive(Clone, Debug)]
pub struct KfacDescent {
    name: String,
    options: KfacOptions,
    decay: f64,
    length: KfacLength,
    damping: KfacDamping,
    factors_every: u64,
    inverse_every: u64,
    memory: Memory,
}

impl Default for KfacDescent {
    fn default() -> Self {
        Self::new()
    }
}

impl KfacDescent {
    /// The paper's algorithm: one random vector for each example, decay 0.95, factors in every step and inverses every T₃ = 20,
    /// [`KfacLength::default`] and [`KfacDamping::default`].
    pub fn new() -> Self {
        let factors = Factors::MonteCarlo {
            samples: 1,
            seed: Seed::new(0),
        };
        Self {
            name: KIND.to_string(),
            options: KfacOptions {
                factors,
                ..KfacOptions::default()
            },
            decay: 0.95,
            length: KfacLength::default(),
            damping: KfacDamping::default(),
            factors_every: 1,
            inverse_every: 20,
            memory: Memory::default(),
        }
    }

    /// As in practice: a learning rate without momentum, a fixed damping by factors, κ = 1e-3.
    pub fn plain(rate: impl Into<Schedule>, lambda: f64) -> Self {
        Self {
            length: KfacLength::Rate {
                schedule: rate.into(),
                momentum: 0.0,
                clipping: Some(1e-3),
            },
            damping: KfacDamping::Fixed {
                lambda,
                form: Damping::Factored,
            },
            ..Self::new()
        }
    }

    /// With other vectors that stand for the loss, weight sharing, or parameters of no layer.
    pub fn options(self, options: KfacOptions) -> Self {
        Self { options, ..self }
    }

    /// With another largest weight of the old factors, at least 0 and below 1.
    pub fn decay(self, decay: f64) -> Self {
        Self { decay, ..self }
    }

    /// With another length of the step.
    pub fn length(self, length: KfacLength) -> Self {
        Self { length, ..self }
    }

    /// With another damping.
    pub fn damping(self, damping: KfacDamping) -> Self {
        Self { damping, ..self }
    }

    /// With factors gathered every so many steps.
    pub fn factors_every(self, factors_every: u64) -> Self {
        Self {
            factors_every,
            ..self
        }
    }

    /// With inverses made every so many steps, T₃.
    pub fn inverse_every(self, inverse_every: u64) -> Self {
        Self {
            inverse_every,
            ..self
        }
    }

    /// With another name for tables and plots.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// λ of the next step.
    pub fn lambda(&self) -> f64 {
        self.memory.lambda.unwrap_or(self.damping.initial())
    }

    /// γ of the last step's inverse.
    pub fn gamma(&self) -> Option<f64> {
        self.memory.gamma
    }

    fn check(&self) -> Result<(), OptimError> {
        self.length.check()?;
        self.damping.check()?;
        let inside = (0.0..1.0).contains(&self.decay);
        in_range("decay", self.decay, "at least 0 and below 1", inside)?;
        let every = self.factors_every;
        in_range("factors_every", every as f64, "at least 1", every > 0)?;
        let every = self.inverse_every;
        in_range("inverse_every", every as f64, "at least 1", every > 0)
    }
}

impl Method for KfacDescent {
    fn name(&self) -> &str {
        &self.name
    }

    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        self.check()?;
        let start = Start::at(oracle, theta)?;
        if let Some(obstacle) = start.obstacle() {
            return Ok(start.stay(oracle, obstacle));
        }
        self.memory.steps += 1;
        let proposal = match self.propose(oracle, &start) {
            Ok(proposal) => proposal,
            Err(error) => return Ok(start.stay(oracle, not_finite(error)?)),
        };
        let size = vector::norm(&proposal.d);
        if !size.is_finite() {
            let (quantity, value) = (Quantity::Theta, size);
            return Ok(start.stay(oracle, StepEnding::NonFinite { quantity, value }));
        }
        self.memory.gamma = Some(proposal.inverse.gamma());
        self.memory.inverse = Some(proposal.inverse);
        self.memory.previous = proposal.previous.map(Held::new);
        let after = along(theta, &proposal.d, 1.0);
        if let (KfacDamping::Adaptive { lambda, every, .. }, true, Some(promise)) =
            (self.damping, self.adapts(), proposal.change)
        {
            let gain = (oracle.loss(&after)? - start.loss) / promise;
            self.memory.lambda = Some(lambda.after_steps(self.lambda(), gain, every));
        }
        let slope = vector::dot(&start.gradient, &proposal.d);
        let to = Move {
            theta: after,
            learning_rate: Some(proposal.learning_rate),
            predicted_change: Some(proposal.change.unwrap_or(slope)),
            ending: proposal.ending,
        };
        Ok(start.finish(oracle, to))
    }

    fn state(&self) -> Result<MethodState, OptimError> {
        MethodState::new(KIND, &self.memory)
    }

    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        self.memory = state.memory(KIND)?;
        Ok(())
    }
}

/// What its states are called.
const KIND: &str = "kfac";

#[cfg(test)]
mod tests;
