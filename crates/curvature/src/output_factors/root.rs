//! Products with a square root of the Hessian of the loss by the outputs.

use crate::vector::dot_f64;

/// S with S Sᵀ = H_L, block diagonal over runs of outputs.
#[derive(Clone, Debug)]
pub(super) enum Root {
    /// Independent outputs, such as those of a squared error.
    Diagonal(Vec<f64>),
    /// D − v vᵀ in each block, such as diag(p) − p pᵀ of a cross entropy: S = D^½ (I − γ w wᵀ) with D^½ w = v.
    RankOne {
        block: usize,
        /// D^½ of all outputs.
        diagonal: Vec<f64>,
        w: Vec<f64>,
        /// One for each block.
        gamma: Vec<f64>,
    },
    /// Rows of `block` numbers, one for each output, and how many columns at the end of a block are not zero.
    Dense {
        block: usize,
        rows: Vec<f64>,
        rank: usize,
    },
}

impl Root {
    /// Columns that an example of so many outputs has.
    pub(super) fn columns(&self, outputs: usize) -> usize {
        match self {
            Self::Dense { block, rank, .. } => outputs / block * rank,
            _ => outputs,
        }
    }

    /// S x, with a number of x for each column of each example.
    pub(super) fn apply(&self, x: &[f64]) -> Vec<f64> {
        match self {
            Self::Diagonal(roots) => roots.iter().zip(x).map(|(root, x)| root * x).collect(),
            Self::RankOne {
                block,
                diagonal,
                w,
                gamma,
            } => {
                let mut product = x.to_vec();
                let blocks = product.chunks_exact_mut(*block).zip(w.chunks_exact(*block));
                for ((own, w), gamma) in blocks.zip(gamma) {
                    let along = gamma * dot_f64(w, own);
                    own.iter_mut().zip(w).for_each(|(x, w)| *x -= along * w);
                }
                product.iter_mut().zip(diagonal).for_each(|(x, d)| *x *= d);
                product
            }
            Self::Dense { block, rows, rank } => {
                let rows = rows.chunks_exact(*block).enumerate();
                rows.map(|(row, numbers)| {
                    let own = &x[row / block * rank..][..*rank];
                    dot_f64(&numbers[block - rank..], own)
                })
                .collect()
            }
        }
    }
}
