//! The Krylov space of a symmetric operator from a start of the caller's, with full reorthogonalisation.

use burn::prelude::*;
use burn::tensor::DType;
use faer::Mat;
use ravine_curvature::{CurvatureError, DenseSymmetric, LinearOperator, vector};

use crate::OptimError;

/// An orthonormal basis that grows by a product at a time, and the tridiagonal matrix T of the operator in it.
///
/// Both are in f64 on the processor, whatever the dtype of the products.
pub(crate) struct Krylov<'a> {
    operator: &'a dyn LinearOperator,
    basis: Vec<Vec<f64>>,
    alphas: Vec<f64>,
    /// `betas[j]` couples vectors j and j + 1; the last one leads out of the space.
    betas: Vec<f64>,
    next: Vec<f64>,
}

impl<'a> Krylov<'a> {
    /// No vector yet; the first will be `start`, whose length does not matter.
    pub(crate) fn new(operator: &'a dyn LinearOperator, start: &Tensor<1>) -> Self {
        let mut next = vector::to_f64(start);
        let norm = dot(&next, &next).sqrt();
        next.iter_mut().for_each(|x| *x /= norm);
        Self {
            operator,
            basis: Vec::new(),
            alphas: Vec::new(),
            betas: Vec::new(),
            next,
        }
    }

    /// `size` vectors from `start`, fewer when the space becomes invariant; at least one.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NonFinite`] for a product that is not finite, and whatever the operator reports.
    pub(crate) fn from(
        operator: &'a dyn LinearOperator,
        start: &Tensor<1>,
        size: usize,
    ) -> Result<Self, OptimError> {
        let mut krylov = Self::new(operator, start);
        krylov.grow()?;
        while krylov.size() < size && !krylov.is_invariant() {
            krylov.grow()?;
        }
        Ok(krylov)
    }

    /// One product: the basis and T grow by one. Not to be asked of an invariant space.
    ///
    /// # Errors
    ///
    /// As [`Krylov::from`].
    pub(crate) fn grow(&mut self) -> Result<(), OptimError> {
        let v = std::mem::take(&mut self.next);
        let on_device = vector::from_f64(&v, &self.operator.device(), self.operator.dtype());
        let mut w = vector::to_f64(&self.operator.apply(&on_device)?);
        let alpha = dot(&v, &w);
        if !alpha.is_finite() {
            return Err(CurvatureError::NonFinite {
                what: "vᵀHv in the Lanczos iteration",
                value: alpha,
            }
            .into());
        }
        self.alphas.push(alpha);
        self.basis.push(v);
        // Twice is enough (Parlett).
        for _ in 0..2 {
            for q in &self.basis {
                let overlap = dot(q, &w);
                w.iter_mut().zip(q).for_each(|(w, q)| *w -= overlap * q);
            }
        }
        let beta = dot(&w, &w).sqrt();
        self.betas.push(beta);
        w.iter_mut().for_each(|w| *w /= beta);
        self.next = w;
        Ok(())
    }

    /// Number of vectors.
    pub(crate) fn size(&self) -> usize {
        self.basis.len()
    }

    /// Whether the operator leads out of the space by no more than rounding: T is exact, and the basis cannot grow.
    pub(crate) fn is_invariant(&self) -> bool {
        let rounding = match self.operator.dtype() {
            DType::F64 => 1e-13,
            _ => 1e-6,
        };
        let sizes = self.alphas.iter().chain(&self.betas);
        let scale = sizes.fold(0.0_f64, |m, x| m.max(x.abs()));
        self.size() >= self.operator.dim() || self.last_beta() <= rounding * scale
    }

    /// ‖Av − θv‖ of each Ritz pair is this times the last component of its eigenvector.
    pub(crate) fn last_beta(&self) -> f64 {
        self.betas.last().copied().unwrap_or(0.0)
    }

    /// T.
    pub(crate) fn tridiagonal(&self) -> DenseSymmetric {
        let m = self.size();
        DenseSymmetric::from_matrix(Mat::from_fn(m, m, |i, j| match i.abs_diff(j) {
            0 => self.alphas[i],
            1 => self.betas[i.min(j)],
            _ => 0.0,
        }))
    }

    /// Σ yᵢ vᵢ.
    pub(crate) fn combine(&self, y: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; self.operator.dim()];
        for (v, y) in self.basis.iter().zip(y) {
            sum.iter_mut().zip(v).for_each(|(sum, v)| *sum += y * v);
        }
        sum
    }

    /// The highest Ritz value, its vector and its residual.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Decomposition`].
    pub(crate) fn highest(&self) -> Result<(f64, Tensor<1>, f64), OptimError> {
        let eigen = self.tridiagonal().eigen()?;
        let last = self.size() - 1;
        let column: Vec<f64> = eigen.vectors().col(last).iter().copied().collect();
        let residual = self.last_beta() * column[last].abs();
        let vector = self.combine(&column);
        let (device, dtype) = (self.operator.device(), self.operator.dtype());
        let vector = vector::from_f64(&vector, &device, dtype);
        Ok((eigen.values()[last], vector, residual))
    }
}

/// Σ aᵢ bᵢ.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_problems::vector64;
    use ravine_curvature::Diagonal;

    #[test]
    fn the_operator_is_tridiagonal_in_the_basis() {
        let values = [1.0, -3.0, 0.5, 10.0, 7.0];
        let operator = Diagonal::new(vector64(&values));
        let krylov = Krylov::from(&operator, &vector64(&[1.0, 2.0, -1.0, 0.5, 3.0]), 3).unwrap();
        let t = krylov.tridiagonal();
        for i in 0..3 {
            for j in 0..3 {
                let (q, r) = (&krylov.basis[i], &krylov.basis[j]);
                let image: Vec<f64> = r.iter().zip(values).map(|(r, value)| r * value).collect();
                let identity = if i == j { 1.0 } else { 0.0 };
                assert!((dot(q, r) - identity).abs() < 1e-14);
                assert!((dot(q, &image) - t.matrix()[(i, j)]).abs() < 1e-13);
            }
        }
        assert!(!krylov.is_invariant());
    }

    #[test]
    fn an_invariant_space_ends_the_growth_and_has_exact_values() {
        // Two eigenvalues are met: two vectors, and none of the third.
        let operator = Diagonal::new(vector64(&[2.0, 2.0, 5.0, 100.0]));
        let krylov = Krylov::from(&operator, &vector64(&[1.0, 1.0, 1.0, 0.0]), 9).unwrap();
        assert_eq!(krylov.size(), 2);
        let (value, vector, residual) = krylov.highest().unwrap();
        assert!((value - 5.0).abs() < 1e-13 && residual < 1e-12);
        assert!((vector::to_f64(&vector)[2].abs() - 1.0).abs() < 1e-13);
    }

    #[test]
    fn a_start_of_zeros_is_no_space() {
        let operator = Diagonal::new(vector64(&[1.0, 2.0]));
        let krylov = Krylov::from(&operator, &vector64(&[0.0, 0.0]), 2);
        assert!(matches!(
            krylov.err(),
            Some(OptimError::Curvature(CurvatureError::NonFinite { .. }))
        ));
    }
}
