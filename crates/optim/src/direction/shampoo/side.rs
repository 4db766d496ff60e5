use faer::Mat;
use ravine_curvature::DenseSymmetric;
use serde::{Deserialize, Serialize};

use super::super::modes::{Mode, numbers, square};
use super::{Oversized, Statistics};
use crate::OptimError;

/// What is remembered for one dimension of a parameter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Side {
    /// Σ X Xᵀ of the unfolded gradients and its inverse root, row by row.
    Full { sum: Vec<f64>, root: Vec<f64> },
    /// The diagonal of both.
    Diagonal { sum: Vec<f64>, root: Vec<f64> },
    /// No preconditioner.
    Identity,
}

impl Side {
    pub(super) fn new(mode: Mode, most: usize, oversized: Oversized) -> Self {
        let n = mode.length;
        match oversized {
            _ if n <= most => Self::Full {
                sum: vec![0.0; n * n],
                root: Vec::new(),
            },
            Oversized::Diagonal => Self::Diagonal {
                sum: vec![0.0; n],
                root: Vec::new(),
            },
            Oversized::Identity => Self::Identity,
        }
    }

    pub(super) fn preconditions(&self) -> bool {
        !matches!(self, Self::Identity)
    }

    /// Takes in a gradient.
    pub(super) fn learn(&mut self, mode: Mode, gradient: &[f64], statistics: Statistics) {
        let (sum, new) = match self {
            Self::Full { sum, .. } => (sum, mode.gram(gradient)),
            Self::Diagonal { sum, .. } => (sum, mode.squares(gradient)),
            Self::Identity => return,
        };
        let (old, weight) = match statistics {
            Statistics::Sum => (1.0, 1.0),
            Statistics::Average { beta } => (beta, 1.0 - beta),
        };
        for (sum, new) in sum.iter_mut().zip(new) {
            *sum = old * *sum + weight * new;
        }
    }

    /// Renews the inverse root (S + ϵI)^power.
    pub(super) fn invert(&mut self, epsilon: f64, power: f64) -> Result<(), OptimError> {
        let inverse = |value: f64| (value.max(0.0) + epsilon).powf(power);
        match self {
            Self::Full { sum, root } => {
                let eigen = DenseSymmetric::from_matrix(square(sum).to_owned()).eigen()?;
                let (vectors, values) = (eigen.vectors(), eigen.values());
                let scaled = Mat::from_fn(vectors.nrows(), vectors.ncols(), |i, j| {
                    vectors[(i, j)] * inverse(values[j])
                });
                *root = numbers(&(scaled * vectors.transpose()));
            }
            Self::Diagonal { sum, root } => {
                *root = sum.iter().map(|&value| inverse(value)).collect();
            }
            Self::Identity => {}
        }
        Ok(())
    }

    /// The tensor multiplied by the inverse root along the dimension.
    pub(super) fn apply(&self, mode: Mode, x: Vec<f64>) -> Vec<f64> {
        match self {
            Self::Full { root, .. } => mode.product(square(root), &x),
            Self::Diagonal { root, .. } => mode.scaled(root, x),
            Self::Identity => x,
        }
    }
}
