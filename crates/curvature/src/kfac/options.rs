//! What Kronecker factors are made of, and how they are damped.

use crate::output_factors::Factors;
use crate::seed::Seed;
use serde::{Deserialize, Serialize};

/// How a weight that is used at several positions (of a sentence, under a convolution's windows) gets its factors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightSharing {
    /// Each position counts as an example: exact for a linear layer whose loss sums over positions.
    #[default]
    Expand,
    /// Activations are averaged and gradients summed over positions first: exact for a linear layer whose outputs are averaged over
    /// positions before the loss, and cheaper.
    Reduce,
}

/// What the parameters that belong to no layer get: norm scales, embeddings, recurrent weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Others {
    /// Nothing: only the damping acts on them.
    Zero,
    /// The identity: a step as of gradient descent.
    Identity,
    /// The diagonal of the Gauss-Newton matrix: exact if there are at most `samples` vectors u of all examples together, else an
    /// unbiased estimate from that many.
    Diagonal {
        /// Backward passes.
        samples: usize,
        /// Where the signs come from.
        seed: Seed,
    },
}

impl Default for Others {
    fn default() -> Self {
        Self::Diagonal {
            samples: 32,
            seed: Seed::new(0),
        }
    }
}

/// What Kronecker factors are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KfacOptions {
    /// The vectors that stand for the loss.
    pub factors: Factors,
    /// What weights that are used at several positions get.
    pub sharing: WeightSharing,
    /// What parameters that belong to no layer get.
    pub others: Others,
}

impl Others {
    /// The same with signs of its own for a batch of several.
    fn of_batch(self, index: usize) -> Self {
        match self {
            Self::Diagonal { samples, seed } => Self::Diagonal {
                samples,
                seed: seed.index(index as u64),
            },
            without_chance => without_chance,
        }
    }
}

impl KfacOptions {
    /// The same with signs of their own for a batch of several.
    pub(crate) fn of_batch(&self, index: usize) -> Self {
        Self {
            factors: self.factors.of_batch(index),
            others: self.others.of_batch(index),
            sharing: self.sharing,
        }
    }
}

/// How a damping λ enters the inverse of A ⊗ B.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damping {
    /// (A ⊗ B + λ I)⁻¹, through the eigenbases.
    #[default]
    Exact,
    /// (A + π √λ I)⁻¹ ⊗ (B + √λ/π I)⁻¹ with π² the ratio of the mean eigenvalues of A and B: no eigenvalue is damped less.
    ///
    /// Martens and Grosse (2015), section 6.3.
    Factored,
}
