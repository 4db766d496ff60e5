use ravine_curvature::Damping;
use serde::{Deserialize, Serialize};

use crate::error::in_range;
use crate::{LevenbergMarquardt, OptimError, Schedule};

/// How far a K-FAC step goes along Δ = −F̆⁻¹ g.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum KfacLength {
    /// δ = α Δ + μ δ₀ that minimises M(δ) = gᵀδ + ½ δᵀ(G + λI)δ with the exact Gauss-Newton matrix G of the batch.
    Model {
        /// Whether δ₀ is there.
        momentum: ModelMomentum,
    },
    /// v ← μ v + ν Δ, δ = ε v.
    Rate {
        /// ε.
        schedule: Schedule,
        /// μ, at least 0 and below 1.
        momentum: f64,
        /// κ: ν = min(1, √(κ/(ε² |gᵀΔ|))), so that the step ε ν Δ changes the distribution by no more than about κ; ν = 1 for none.
        clipping: Option<f64>,
    },
}

/// Whether the step before takes part in the quadratic model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelMomentum {
    /// μ = 0.
    None,
    /// δ₀ is the step before; α and μ solve the 2 × 2 system.
    #[default]
    Previous,
}

/// The damping of a K-FAC step: λ of the quadratic model, γ of the inverse factors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum KfacDamping {
    /// The same λ in every step, γ² = λ.
    Fixed {
        /// λ, not negative.
        lambda: f64,
        /// How it enters the inverse.
        form: Damping,
    },
    /// λ follows the gain ratio, and enters the inverse by factors ([`Damping::Factored`]).
    Adaptive {
        /// The rule; its factors are to the power of `every`.
        lambda: LevenbergMarquardt,
        /// T₁, steps from one change of λ to the next.
        every: u64,
        /// γ.
        gamma: KfacGamma,
    },
}

/// How γ, the damping of the inverse factors, is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum KfacGamma {
    /// γ = √λ whenever inverses are made.
    Root,
    /// γ starts at √λ; every T₂ steps the best by M(δ) of γ, ω₂γ and γ/ω₂, ω₂ = `decrease`^(T₂/2) of the rule for λ.
    Search {
        /// T₂.
        every: u64,
    },
}

impl Default for KfacLength {
    /// The quadratic model with momentum.
    fn default() -> Self {
        Self::Model {
            momentum: ModelMomentum::Previous,
        }
    }
}

impl Default for KfacDamping {
    /// The numbers of Martens and Grosse: λ starts at 150 and changes by (19/20)^T₁ every T₁ = 5 steps, γ is searched every T₂ = 20.
    ///
    /// λ has the unit of the loss's curvature: 150 is meant for losses that are sums over hundreds of outputs, and takes hundreds of
    /// steps to fall to what a mean over outputs needs. Start with 1 or less there.
    fn default() -> Self {
        Self::Adaptive {
            lambda: LevenbergMarquardt {
                initial: 150.0,
                increase: 20.0 / 19.0,
                decrease: 19.0 / 20.0,
                ..LevenbergMarquardt::default()
            },
            every: 5,
            gamma: KfacGamma::Search { every: 20 },
        }
    }
}

impl KfacLength {
    pub(super) fn check(&self) -> Result<(), OptimError> {
        let &Self::Rate {
            momentum, clipping, ..
        } = self
        else {
            return Ok(());
        };
        let inside = (0.0..1.0).contains(&momentum);
        in_range("momentum", momentum, "at least 0 and below 1", inside)?;
        match clipping {
            Some(kappa) => {
                let inside = kappa > 0.0 && kappa.is_finite();
                in_range("clipping", kappa, "above 0 and finite", inside)
            }
            None => Ok(()),
        }
    }
}

impl KfacDamping {
    pub(super) fn check(&self) -> Result<(), OptimError> {
        match *self {
            Self::Fixed { lambda, .. } => {
                let inside = lambda >= 0.0 && lambda.is_finite();
                in_range("lambda", lambda, "at least 0 and finite", inside)
            }
            Self::Adaptive {
                lambda,
                every,
                gamma,
            } => {
                lambda.check()?;
                in_range("every", every as f64, "at least 1", every > 0)?;
                match gamma {
                    KfacGamma::Root => Ok(()),
                    KfacGamma::Search { every } => {
                        in_range("every", every as f64, "at least 1", every > 0)
                    }
                }
            }
        }
    }

    /// λ of the first step.
    pub(super) fn initial(&self) -> f64 {
        match self {
            Self::Fixed { lambda, .. } => *lambda,
            Self::Adaptive { lambda, .. } => lambda.initial,
        }
    }

    /// How γ² enters the inverse.
    pub(super) fn form(&self) -> Damping {
        match self {
            Self::Fixed { form, .. } => *form,
            Self::Adaptive { .. } => Damping::Factored,
        }
    }

    /// The γ that step k tries, the present one first.
    pub(super) fn gammas(&self, k: u64, lambda: f64, gamma: Option<f64>) -> Vec<f64> {
        match *self {
            Self::Adaptive {
                lambda: rule,
                gamma: KfacGamma::Search { every },
                ..
            } => {
                let gamma = gamma.unwrap_or(rule.initial.sqrt());
                let omega = rule.decrease.powf(every as f64 / 2.0);
                match k.is_multiple_of(every) {
                    true => vec![gamma, omega * gamma, gamma / omega],
                    false => vec![gamma],
                }
            }
            _ => vec![lambda.sqrt()],
        }
    }
}
