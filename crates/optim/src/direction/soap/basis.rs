use faer::Mat;
use ravine_curvature::DenseSymmetric;
use serde::{Deserialize, Serialize};

use super::super::modes::{Mode, numbers, square};
use crate::OptimError;

/// The statistics of one dimension and the basis that belongs to them, row by row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Basis {
    average: Vec<f64>,
    vectors: Vec<f64>,
}

impl Basis {
    /// All eigenvectors of (1 − β) X Xᵀ, the largest eigenvalue first.
    pub(super) fn first(mode: Mode, gradient: &[f64], beta: f64) -> Result<Self, OptimError> {
        let average: Vec<f64> = mode
            .gram(gradient)
            .iter()
            .map(|x| (1.0 - beta) * x)
            .collect();
        let eigen = DenseSymmetric::from_matrix(square(&average).to_owned()).eigen()?;
        let n = mode.length;
        let descending = Mat::from_fn(n, n, |i, j| eigen.vectors()[(i, n - 1 - j)]);
        Ok(Self {
            vectors: numbers(&descending),
            average,
        })
    }

    pub(super) fn learn(&mut self, mode: Mode, gradient: &[f64], beta: f64) {
        for (old, new) in self.average.iter_mut().zip(mode.gram(gradient)) {
            *old = beta * *old + (1.0 - beta) * new;
        }
    }

    /// One power iteration and a QR decomposition; the order in which the old vectors were taken.
    pub(super) fn refresh(&mut self) -> Vec<usize> {
        let old = square(&self.vectors);
        let powered = square(&self.average) * old;
        let n = powered.ncols();
        let rayleigh = |j: usize| -> f64 { (0..n).map(|i| old[(i, j)] * powered[(i, j)]).sum() };
        let values: Vec<f64> = (0..n).map(rayleigh).collect();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        let sorted = Mat::from_fn(n, n, |i, j| powered[(i, order[j])]);
        self.vectors = numbers(&sorted.qr().compute_Q());
        order
    }

    /// Into the basis.
    pub(super) fn forward(&self, mode: Mode, x: &[f64]) -> Vec<f64> {
        mode.product(square(&self.vectors).transpose(), x)
    }

    /// Out of the basis.
    pub(super) fn back(&self, mode: Mode, x: &[f64]) -> Vec<f64> {
        mode.product(square(&self.vectors), x)
    }
}
