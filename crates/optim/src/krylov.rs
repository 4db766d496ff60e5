//! The Krylov space of a symmetric operator from a start of the caller's, with full reorthogonalisation.

use burn::prelude::*;
use faer::Mat;
use ravine_curvature::{CurvatureError, DenseSymmetric, Eigen, LinearOperator, vector};

use crate::OptimError;

/// An orthonormal basis and the tridiagonal matrix of the operator in it.
pub(crate) struct Krylov {
    pub(crate) basis: Vec<Tensor<1>>,
    pub(crate) eigen: Eigen,
    /// ‖Av − θv‖ of each Ritz pair is this times the last component of its eigenvector.
    pub(crate) last_beta: f64,
}

impl Krylov {
    /// Up to `size` vectors from `start`, fewer when the space becomes invariant; [`CurvatureError::NonFinite`] for NaN.
    pub(crate) fn from(
        operator: &dyn LinearOperator,
        start: &Tensor<1>,
        size: usize,
    ) -> Result<Self, OptimError> {
        let mut next = start.clone().cast(operator.dtype()) / vector::norm(start);
        let (mut basis, mut alphas, mut betas) = (Vec::new(), Vec::new(), Vec::new());
        let mut scale = 0.0_f64;
        let most = size.clamp(1, operator.dim().max(1));
        let last_beta = loop {
            let v: Tensor<1> = next;
            let mut w = operator.apply(&v)?;
            let alpha = vector::dot(&v, &w);
            if !alpha.is_finite() {
                return Err(CurvatureError::NonFinite {
                    what: "vᵀHv in the Lanczos iteration",
                    value: alpha,
                }
                .into());
            }
            alphas.push(alpha);
            basis.push(v);
            // Twice is enough (Parlett).
            for _ in 0..2 {
                for q in &basis {
                    let overlap = vector::dot(q, &w);
                    w = w - q.clone() * overlap;
                }
            }
            let beta = vector::norm(&w);
            scale = scale.max(alpha.abs()).max(beta);
            let rounding = match w.dtype() {
                burn::tensor::DType::F64 => 1e-13,
                _ => 1e-6,
            };
            if basis.len() == most || beta <= rounding * scale {
                break beta;
            }
            betas.push(beta);
            next = w / beta;
        };
        let m = alphas.len();
        let matrix = Mat::from_fn(m, m, |i, j| match i.abs_diff(j) {
            0 => alphas[i],
            1 => betas[i.min(j)],
            _ => 0.0,
        });
        Ok(Self {
            basis,
            eigen: DenseSymmetric::from_matrix(matrix).eigen()?,
            last_beta,
        })
    }

    /// Σ yᵢ vᵢ.
    pub(crate) fn combine(&self, y: &[f64]) -> Tensor<1> {
        let mut sum = self.basis[0].clone() * y[0];
        for (v, &y) in self.basis.iter().zip(y).skip(1) {
            sum = sum + v.clone() * y;
        }
        sum
    }

    /// The Ritz value at an index, its vector and its residual; ascending.
    pub(crate) fn pair(&self, index: usize) -> (f64, Tensor<1>, f64) {
        let column: Vec<f64> = self.eigen.vectors().col(index).iter().copied().collect();
        let residual = self.last_beta * column.last().map_or(0.0, |x| x.abs());
        (self.eigen.values()[index], self.combine(&column), residual)
    }
}
