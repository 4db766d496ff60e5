//! Eigenvalues in Kronecker products of eigenbases, and functions of them.

use super::operator::{Bases, Block, KroneckerOperator, Space};
use crate::error::CurvatureError;
use crate::operator::Definiteness;
use faer::linalg::solvers::SelfAdjointEigen;
use faer::{Mat, Side};
use std::sync::Arc;

/// All eigenvalues of a block diagonal operator, with the eigenbases of its blocks.
#[derive(Clone, Debug)]
pub(super) struct Spectrum {
    pub(super) space: Space,
    pub(super) bases: Vec<Arc<Bases>>,
    /// `[inputs, outputs]` for each block.
    pub(super) values: Vec<Mat<f64>>,
    pub(super) others: Vec<Vec<f64>>,
}

/// Eigenvalues, negative ones as zeros, and eigenvectors of a positive semidefinite matrix.
pub(super) fn eigen(matrix: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>), CurvatureError> {
    let failed = |_| CurvatureError::Decomposition {
        dim: matrix.nrows(),
    };
    let eigen = SelfAdjointEigen::new(matrix.as_ref(), Side::Lower).map_err(failed)?;
    let values = eigen.S().column_vector().iter().map(|x| x.max(0.0));
    Ok((values.collect(), eigen.U().to_owned()))
}

impl Spectrum {
    /// The operator with f(λ) in place of each eigenvalue λ.
    pub(super) fn function(
        &self,
        definiteness: Definiteness,
        f: impl Fn(f64) -> f64,
    ) -> KroneckerOperator {
        let blocks = self.bases.iter().zip(&self.values).map(|(bases, values)| {
            let (rows, columns) = (values.nrows(), values.ncols());
            Block::Diagonal {
                bases: bases.clone(),
                values: Mat::from_fn(rows, columns, |i, o| f(values[(i, o)])),
            }
        });
        let others = self.others.iter();
        let diagonal = |diagonal: &Vec<f64>| diagonal.iter().map(|&x| f(x)).collect();
        let others = others.map(diagonal).collect();
        KroneckerOperator::new(self.space.clone(), blocks.collect(), others, definiteness)
    }

    /// (F + λ I)^p for a negative p.
    pub(super) fn damped_power(
        &self,
        damping: f64,
        power: f64,
    ) -> Result<KroneckerOperator, CurvatureError> {
        self.check_damping(damping)?;
        Ok(self.function(Definiteness::PositiveDefinite, |x| {
            (x + damping).powf(power)
        }))
    }

    /// Σ ln(λᵢ + damping).
    pub(super) fn log_determinant(&self, damping: f64) -> f64 {
        self.all().map(|x| (x + damping).ln()).sum()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = f64> + '_ {
        let blocks = self.values.iter().flat_map(|values| values.col_iter());
        let blocks = blocks.flat_map(|column| column.iter());
        blocks.chain(self.others.iter().flatten()).copied()
    }

    /// A damping must be a number that leaves no eigenvalue at zero.
    pub(super) fn check_damping(&self, damping: f64) -> Result<(), CurvatureError> {
        check_sign(damping)?;
        let (smallest, largest) = self.all().fold((f64::INFINITY, 0.0_f64), |(low, high), x| {
            (low.min(x), high.max(x))
        });
        // rounding of the eigenvalues
        if damping == 0.0 && smallest <= 1e-14 * largest {
            return Err(CurvatureError::Argument {
                name: "the damping",
                value: damping,
                requirement: "the matrix is singular up to rounding: a positive damping is needed for its inverse",
            });
        }
        Ok(())
    }
}

/// A damping is a finite number that is not negative.
pub(super) fn check_sign(damping: f64) -> Result<(), CurvatureError> {
    if damping.is_finite() && damping >= 0.0 {
        return Ok(());
    }
    Err(CurvatureError::Argument {
        name: "the damping",
        value: damping,
        requirement: "a finite number that is not negative is needed",
    })
}
