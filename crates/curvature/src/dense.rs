use crate::error::{CurvatureError, check_dimension};
use crate::operator::LinearOperator;
use crate::progress::{Observer, Watch, unobserved};
use crate::row_blocks::{as_row, as_vector};
use crate::vector::{from_f64, to_f64};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use faer::linalg::solvers::SelfAdjointEigen;
use faer::{Mat, Side};

/// A symmetric operator written out as a matrix in f64.
#[derive(Clone, Debug)]
pub struct DenseSymmetric {
    matrix: Mat<f64>,
    asymmetry: f64,
}

/// Eigenvalues in ascending order with their eigenvectors.
#[derive(Clone, Debug)]
pub struct Eigen {
    values: Vec<f64>,
    vectors: Mat<f64>,
}

impl Eigen {
    /// λ₁ ≤ … ≤ λₙ.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The eigenvectors as columns, in the order of the values.
    pub fn vectors(&self) -> &Mat<f64> {
        &self.vectors
    }

    pub(crate) fn into_vectors(self) -> Mat<f64> {
        self.vectors
    }

    /// Σ f(λᵢ) (uᵢᵀ b) uᵢ: a function of the matrix times a vector.
    pub fn apply_function(&self, f: impl Fn(f64) -> f64, b: &[f64]) -> Vec<f64> {
        let mut result = vec![0.0; b.len()];
        for (index, &value) in self.values.iter().enumerate() {
            let column = self.vectors.col(index);
            let coefficient: f64 = column.iter().zip(b).map(|(u, b)| u * b).sum();
            let scale = f(value) * coefficient;
            for (out, u) in result.iter_mut().zip(column.iter()) {
                *out += scale * u;
            }
        }
        result
    }
}

/// A dense symmetric matrix on a device, made by [`DenseSymmetric::operator`].
#[derive(Clone, Debug)]
pub struct DenseOperator {
    rows: Tensor<2>,
}

impl LinearOperator for DenseOperator {
    fn dim(&self) -> usize {
        self.rows.dims()[0]
    }

    fn device(&self) -> Device {
        self.rows.device()
    }

    fn dtype(&self) -> DType {
        self.rows.dtype()
    }

    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        Ok(as_vector(self.apply_block(&as_row(v))?))
    }

    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        check_dimension("a vector for a dense matrix", vs.dims()[1], self.dim())?;
        Ok(vs.clone().cast(self.dtype()).matmul(self.rows.clone()))
    }

    fn block_size(&self) -> usize {
        32
    }
}

/// Largest dimension that [`dense`] writes out unasked: 800 MB.
pub const DENSE_LIMIT: usize = 10_000;

/// Writes a symmetric operator out, column by column, and symmetrises it.
///
/// # Cost
///
/// n operator applications and 8 n² bytes.
///
/// # Errors
///
/// [`CurvatureError::TooLarge`] above [`DENSE_LIMIT`]; [`CurvatureError::NonFinite`] if a product is not finite; what the operator reports.
pub fn dense(operator: &dyn LinearOperator) -> Result<DenseSymmetric, CurvatureError> {
    dense_up_to(operator, DENSE_LIMIT)
}

/// As [`dense`], with a limit of the caller's.
///
/// # Errors
///
/// As [`dense`].
pub fn dense_up_to(
    operator: &dyn LinearOperator,
    limit: usize,
) -> Result<DenseSymmetric, CurvatureError> {
    let whole = dense_observed(operator, limit, &mut unobserved)?;
    Ok(whole.expect("nobody stops it"))
}

/// As [`dense_up_to`], and calls `observer` after each block of columns; `None` when it stops, since some columns are no matrix.
///
/// # Errors
///
/// As [`dense`].
pub fn dense_observed(
    operator: &dyn LinearOperator,
    limit: usize,
    observer: &mut Observer<'_>,
) -> Result<Option<DenseSymmetric>, CurvatureError> {
    let n = operator.dim();
    if n > limit {
        return Err(CurvatureError::TooLarge {
            dim: n,
            limit,
            gigabytes: 8.0 * (n as f64).powi(2) / 1e9,
        });
    }
    let span = tracing::debug_span!("dense", dim = n);
    let _entered = span.enter();
    let (device, dtype) = (operator.device(), operator.dtype());
    let mut matrix = Mat::zeros(n, n);
    let mut watch = Watch::new(observer, n);
    let block = operator.block_size().max(1);
    for first in (0..n).step_by(block) {
        let count = block.min(n - first);
        let mut basis = vec![0.0; count * n];
        for row in 0..count {
            basis[row * n + first + row] = 1.0;
        }
        let basis = from_f64(&basis, &device, dtype).reshape([count, n]);
        let products = operator.apply_block(&basis)?.reshape([count * n]);
        for (index, value) in to_f64(&products).into_iter().enumerate() {
            if !value.is_finite() {
                return Err(CurvatureError::NonFinite {
                    what: "an entry of the matrix",
                    value,
                });
            }
            matrix[(index % n, first + index / n)] = value;
        }
        if watch.tell(count).is_break() {
            return Ok(None);
        }
    }
    Ok(Some(DenseSymmetric::from_matrix(matrix)))
}

impl DenseSymmetric {
    /// ½ (A + Aᵀ) of a square matrix.
    pub fn from_matrix(mut matrix: Mat<f64>) -> Self {
        let n = matrix.nrows();
        let (mut difference, mut size) = (0.0_f64, 0.0_f64);
        for column in 0..n {
            for row in 0..=column {
                let (upper, lower) = (matrix[(row, column)], matrix[(column, row)]);
                difference += (upper - lower).powi(2);
                size += upper * upper + lower * lower;
                let mean = 0.5 * (upper + lower);
                matrix[(row, column)] = mean;
                matrix[(column, row)] = mean;
            }
        }
        let asymmetry = match size > 0.0 {
            true => (2.0 * difference / size).sqrt(),
            false => 0.0,
        };
        Self { matrix, asymmetry }
    }

    /// Dimension n.
    pub fn dim(&self) -> usize {
        self.matrix.nrows()
    }

    /// The matrix.
    pub fn matrix(&self) -> &Mat<f64> {
        &self.matrix
    }

    /// The matrix as an operator on a device; products are rounded to its dtype.
    pub fn operator(&self, device: &Device, dtype: DType) -> DenseOperator {
        let n = self.dim();
        let entries = (0..n * n).map(|index| self.matrix[(index / n, index % n)]);
        let entries: Vec<f64> = entries.collect();
        DenseOperator {
            rows: from_f64(&entries, device, dtype).reshape([n, n]),
        }
    }

    /// ‖A − Aᵀ‖ / ‖A‖ (Frobenius) before symmetrisation: rounding, or a sign that the operator is not symmetric.
    pub fn asymmetry(&self) -> f64 {
        self.asymmetry
    }

    /// Σ Aᵢᵢ.
    pub fn trace(&self) -> f64 {
        self.diagonal().iter().sum()
    }

    /// Aᵢᵢ.
    pub fn diagonal(&self) -> Vec<f64> {
        (0..self.dim()).map(|i| self.matrix[(i, i)]).collect()
    }

    /// Eigenvalues and eigenvectors (O(n³)).
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Decomposition`] if faer does not converge.
    pub fn eigen(&self) -> Result<Eigen, CurvatureError> {
        let failed = |_| CurvatureError::Decomposition { dim: self.dim() };
        let eigen = SelfAdjointEigen::new(self.matrix.as_ref(), Side::Lower).map_err(failed)?;
        Ok(Eigen {
            values: eigen.S().column_vector().iter().copied().collect(),
            vectors: eigen.U().to_owned(),
        })
    }

    /// λ₁ ≤ … ≤ λₙ (O(n³)).
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Decomposition`] if faer does not converge.
    pub fn eigenvalues(&self) -> Result<Vec<f64>, CurvatureError> {
        self.matrix
            .self_adjoint_eigenvalues(Side::Lower)
            .map_err(|_| CurvatureError::Decomposition { dim: self.dim() })
    }

    /// max |λ| / min |λ|: infinite for a singular matrix. An eigenvalue below n u max |λ| (u the rounding unit) counts as zero.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Decomposition`] if faer does not converge.
    pub fn condition_number(&self) -> Result<f64, CurvatureError> {
        let values = self.eigenvalues()?;
        let sizes = values.iter().map(|value| value.abs());
        let largest = sizes.clone().fold(0.0, f64::max);
        let smallest = sizes.fold(f64::INFINITY, f64::min);
        let zero = self.dim() as f64 * f64::EPSILON * largest;
        Ok(match smallest > zero {
            true => largest / smallest,
            false => f64::INFINITY,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Progress;
    use std::ops::ControlFlow;

    #[test]
    fn a_small_matrix_has_the_textbook_spectrum() {
        let mut matrix = Mat::zeros(2, 2);
        (matrix[(0, 0)], matrix[(1, 1)]) = (2.0, 2.0);
        (matrix[(0, 1)], matrix[(1, 0)]) = (1.0, 1.0);
        let dense = DenseSymmetric::from_matrix(matrix);
        let values = dense.eigenvalues().unwrap();
        assert!((values[0] - 1.0).abs() < 1e-14 && (values[1] - 3.0).abs() < 1e-14);
        assert!((dense.condition_number().unwrap() - 3.0).abs() < 1e-13);
        assert_eq!((dense.trace(), dense.asymmetry()), (4.0, 0.0));
        // A⁻¹ (3, 3) = (1, 1)
        let solution = dense
            .eigen()
            .unwrap()
            .apply_function(|x| 1.0 / x, &[3.0, 3.0]);
        assert!(solution.iter().all(|x| (x - 1.0).abs() < 1e-14));
    }

    #[test]
    fn an_observer_sees_the_columns_and_stops_them() {
        let n = 70;
        let matrix = Mat::from_fn(n, n, |i, j| 1.0 / (1 + i + j) as f64);
        let given = DenseSymmetric::from_matrix(matrix);
        let operator = given.operator(&Device::flex(), DType::F64);
        let mut seen = Vec::new();
        let mut watch = |progress: &Progress| {
            assert_eq!(progress.most, Some(n));
            seen.push(progress.applications);
            ControlFlow::Continue(())
        };
        let found = dense_observed(&operator, n, &mut watch).unwrap().unwrap();
        assert_eq!(found.matrix(), given.matrix());
        assert_eq!(found.matrix(), dense(&operator).unwrap().matrix());
        assert_eq!(seen, [32, 64, 70]);
        let mut calls = 0;
        let mut stop = |_: &Progress| {
            calls += 1;
            ControlFlow::Break(())
        };
        assert!(dense_observed(&operator, n, &mut stop).unwrap().is_none());
        assert_eq!(calls, 1);
    }

    #[test]
    fn a_singular_matrix_has_infinite_condition() {
        let mut matrix = Mat::zeros(3, 3);
        matrix[(0, 0)] = 1.0;
        let dense = DenseSymmetric::from_matrix(matrix);
        assert_eq!(dense.condition_number().unwrap(), f64::INFINITY);
    }
}
