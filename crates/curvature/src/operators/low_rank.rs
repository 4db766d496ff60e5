use super::diagonal::Diagonal;
use super::{check_device, check_dimension, check_length};
use crate::dense::{DenseSymmetric, Eigen};
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use crate::row_blocks::{as_row, as_vector, block_from_f64, block_to_f64};
use crate::vector::{from_f64, to_f64};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use faer::Mat;
use std::sync::OnceLock;

/// The part of a [`LowRankPlusDiagonal`] that is diagonal.
#[expect(
    clippy::large_enum_variant,
    reason = "one is made per operator, next to whole vectors"
)]
#[derive(Clone, Debug)]
pub enum Shift {
    /// δ I.
    Scalar(f64),
    /// diag(d).
    Diagonal(Diagonal),
}

/// ln |det A| and its sign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogDeterminant {
    /// ln |det A|; −∞ for a singular matrix.
    pub ln_absolute: f64,
    /// 1, −1, or 0 for a singular matrix.
    pub sign: f64,
}

/// Uᵀ diag(s) U + D with few rows U and a diagonal D: a curvature matrix known by its leading eigenpairs and a rest.
///
/// The rows need not be orthonormal, the values may have any sign.
///
/// # Shapes
///
/// s of length k, U `[k, n]` (a vector a row), D a number or `[n]`; products have the dtype of U.
///
/// # Cost
///
/// A product: 4 k n operations. [`inverse`](Self::inverse), [`log_determinant`](Self::log_determinant) and, where values are
/// negative, [`definiteness`](LinearOperator::definiteness): k² n operations once. Memory for k + 1 vectors.
///
/// # References
///
/// Golub and Van Loan (2013), Matrix Computations, section 2.1.4 (Sherman-Morrison-Woodbury).
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::{LowRankPlusDiagonal, Shift};
/// use ravine_curvature::{LinearOperator, vector};
///
/// let device = Device::flex();
/// // A = diag(1, 1) + 3 e₁ e₁ᵀ
/// let u = vector::from_f64(&[1.0, 0.0], &device, DType::F64).reshape([1, 2]);
/// let a = LowRankPlusDiagonal::new(&[3.0], u, Shift::Scalar(1.0))?;
/// let b = vector::from_f64(&[8.0, 5.0], &device, DType::F64);
/// let x = vector::to_f64(&a.inverse()?.apply(&b)?);
/// assert!((x[0] - 2.0).abs() < 1e-14 && (x[1] - 5.0).abs() < 1e-14);
/// assert!((a.log_determinant()?.ln_absolute - 4.0_f64.ln()).abs() < 1e-14);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LowRankPlusDiagonal {
    values: Vec<f64>,
    vectors: Tensor<2>,
    shift: Shift,
    capacitance: OnceLock<Capacitance>,
}

/// M = J + E U D⁻¹ Uᵀ E, with E = |s|^½ and J the signs of s, both without the zeros: then A⁻¹ = D⁻¹ − D⁻¹UᵀE M⁻¹ EUD⁻¹.
#[derive(Clone, Debug)]
struct Capacitance {
    /// Rows with a value that is not zero.
    rows: Vec<usize>,
    eigen: Eigen,
}

impl LowRankPlusDiagonal {
    /// The operator of values, vectors and a diagonal.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for another number of values than vectors, or a diagonal of another length,
    /// [`CurvatureError::NonFinite`] for a value that is not finite.
    pub fn new(values: &[f64], vectors: Tensor<2>, shift: Shift) -> Result<Self, CurvatureError> {
        let [count, dim] = vectors.dims();
        check_dimension("the values of a low-rank operator", values.len(), count)?;
        if let Some(&value) = values.iter().find(|value| !value.is_finite()) {
            let what = "a value of a low-rank operator";
            return Err(CurvatureError::NonFinite { what, value });
        }
        match &shift {
            Shift::Diagonal(diagonal) => {
                const WHAT: &str = "the diagonal beside a low-rank operator";
                check_dimension(WHAT, diagonal.dim(), dim)?;
                check_device(WHAT, &diagonal.device(), &vectors.device())?;
            }
            Shift::Scalar(value) if !value.is_finite() => {
                let what = "the shift of a low-rank operator";
                return Err(CurvatureError::NonFinite {
                    what,
                    value: *value,
                });
            }
            Shift::Scalar(_) => {}
        }
        Ok(Self {
            values: values.to_vec(),
            vectors,
            shift,
            capacitance: OnceLock::new(),
        })
    }

    /// s.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// U `[k, n]`.
    pub fn vectors(&self) -> &Tensor<2> {
        &self.vectors
    }

    /// D.
    pub fn shift(&self) -> &Shift {
        &self.shift
    }

    /// A⁻¹ by the formula of Woodbury, of the same form.
    ///
    /// In f32 a product with it is exact to about 1e-7 ‖D⁻¹‖ ‖v‖: what A stretches most comes out of a difference.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for a diagonal with a zero, or a singular matrix, [`CurvatureError::Decomposition`] if faer does
    /// not converge.
    pub fn inverse(&self) -> Result<Self, CurvatureError> {
        let shift = self.inverse_shift()?;
        let Capacitance { rows, eigen } = self.capacitance()?;
        let largest = eigen.values().iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        let zero = rows.len() as f64 * f64::EPSILON * largest;
        if let Some(&value) = eigen.values().iter().find(|v| v.abs() <= zero) {
            return Err(CurvatureError::Argument {
                name: "an eigenvalue of 1 + sUD⁻¹Uᵀ",
                value,
                requirement: "it must not be zero: the matrix is singular, damp it first",
            });
        }
        let values: Vec<f64> = eigen.values().iter().map(|mu| -1.0 / mu).collect();
        // rows of (E Q)ᵀ U D⁻¹
        let mut mixing = vec![0.0; rows.len() * self.values.len()];
        for (column, _) in values.iter().enumerate() {
            for (position, &row) in rows.iter().enumerate() {
                mixing[column * self.values.len() + row] =
                    self.values[row].abs().sqrt() * eigen.vectors()[(position, column)];
            }
        }
        let vectors = match values.is_empty() {
            true => Tensor::zeros([0, self.dim()], (&self.device(), self.dtype())),
            false => {
                let shape = [values.len(), self.values.len()];
                let mixing = block_from_f64(mixing, shape, &self.device(), self.dtype());
                shifted(&shift, &mixing.matmul(self.vectors.clone()))
            }
        };
        Self::new(&values, vectors, shift)
    }

    /// ln |det A| and its sign.
    ///
    /// # Errors
    ///
    /// As [`inverse`](Self::inverse); a singular matrix with a diagonal without zeros is no error.
    pub fn log_determinant(&self) -> Result<LogDeterminant, CurvatureError> {
        self.inverse_shift()?;
        let Capacitance { rows, eigen } = self.capacitance()?;
        let (mut ln_absolute, mut sign) = match &self.shift {
            Shift::Scalar(delta) => {
                let odd = self.dim() % 2 == 1;
                let sign = if odd { delta.signum() } else { 1.0 };
                (self.dim() as f64 * delta.abs().ln(), sign)
            }
            Shift::Diagonal(diagonal) => {
                let entries = to_f64(diagonal.entries());
                let ln = entries.iter().map(|d| d.abs().ln()).sum();
                (ln, entries.iter().map(|d| d.signum()).product())
            }
        };
        for mu in eigen.values() {
            ln_absolute += mu.abs().ln();
            sign *= if *mu == 0.0 { 0.0 } else { mu.signum() };
        }
        sign *= rows
            .iter()
            .map(|&row| self.values[row].signum())
            .product::<f64>();
        Ok(LogDeterminant { ln_absolute, sign })
    }

    /// f(A) for a diagonal δI, of the same form: f(δ) I + W diag(f(δ + θ) − f(δ)) Wᵀ with the eigenpairs (δ + θ, W).
    ///
    /// # Cost
    ///
    /// k² n operations, and k vectors in f64 for a while.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for a diagonal that is not δI, [`CurvatureError::NonFinite`] where f is not finite,
    /// [`CurvatureError::Decomposition`] if faer does not converge.
    pub fn function(&self, f: impl Fn(f64) -> f64) -> Result<Self, CurvatureError> {
        let Shift::Scalar(delta) = self.shift else {
            return Err(CurvatureError::Argument {
                name: "the diagonal beside the low rank",
                value: f64::NAN,
                requirement: "it must be a multiple of the identity (`Shift::Scalar`) for a function of the matrix",
            });
        };
        let (theta, vectors) = self.orthonormalised()?;
        // no eigenvalue δ is left where the vectors span everything
        let rest = match theta.len() < self.dim() {
            true => f(delta),
            false => 0.0,
        };
        let values: Vec<f64> = theta.iter().map(|theta| f(delta + theta) - rest).collect();
        Self::new(&values, vectors, Shift::Scalar(rest))
    }

    /// The symmetric A^½ for a diagonal δI with δ ≥ 0 and no negative eigenvalue.
    ///
    /// Eigenvalues that are negative within rounding count as zero.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for an eigenvalue that is negative; as [`function`](Self::function).
    pub fn square_root(&self) -> Result<Self, CurvatureError> {
        let scale = self.values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        let zero = -1e-12 * scale;
        let worst = std::cell::Cell::new(0.0_f64);
        let root = |value: f64| {
            worst.set(worst.get().min(value));
            value.max(0.0).sqrt()
        };
        let result = self.function(root)?;
        match worst.get() < zero {
            true => Err(CurvatureError::Argument {
                name: "the smallest eigenvalue under a square root",
                value: worst.get(),
                requirement: "it must not be negative",
            }),
            false => Ok(result),
        }
    }

    /// Eigenvalues θ and orthonormal eigenvectors (rows) of Uᵀ diag(s) U.
    fn orthonormalised(&self) -> Result<(Vec<f64>, Tensor<2>), CurvatureError> {
        let (count, dim) = (self.values.len(), self.dim());
        if count == 0 || dim == 0 {
            let none = Tensor::zeros([0, dim], (&self.device(), self.dtype()));
            return Ok((Vec::new(), none));
        }
        let rows = block_to_f64(&self.vectors);
        let columns = Mat::from_fn(dim, count, |i, j| rows[j * dim + i]);
        let qr = columns.qr();
        let (q, r) = (qr.compute_thin_Q(), qr.thin_R());
        let scaled = Mat::from_fn(r.nrows(), count, |i, j| r[(i, j)] * self.values[j]);
        let eigen = DenseSymmetric::from_matrix(&scaled * r.transpose()).eigen()?;
        let vectors = q * eigen.vectors();
        let size = eigen.values().len();
        let flat: Vec<f64> = (0..size * dim)
            .map(|i| vectors[(i % dim, i / dim)])
            .collect();
        let vectors = block_from_f64(flat, [size, dim], &self.device(), self.dtype());
        Ok((eigen.values().to_vec(), vectors))
    }

    fn inverse_shift(&self) -> Result<Shift, CurvatureError> {
        match &self.shift {
            Shift::Scalar(0.0) => Err(CurvatureError::Argument {
                name: "the shift of a low-rank operator that is inverted",
                value: 0.0,
                requirement: "it must not be zero",
            }),
            Shift::Scalar(delta) => Ok(Shift::Scalar(1.0 / delta)),
            Shift::Diagonal(diagonal) => Ok(Shift::Diagonal(diagonal.inverse()?)),
        }
    }

    fn capacitance(&self) -> Result<&Capacitance, CurvatureError> {
        if let Some(known) = self.capacitance.get() {
            return Ok(known);
        }
        let rows: Vec<usize> = (0..self.values.len())
            .filter(|&i| self.values[i] != 0.0)
            .collect();
        let gram = self.gram(&self.inverse_shift()?);
        let matrix = Mat::from_fn(rows.len(), rows.len(), |i, j| {
            let (s, t) = (self.values[rows[i]], self.values[rows[j]]);
            let sign = if i == j { s.signum() } else { 0.0 };
            sign + (s.abs() * t.abs()).sqrt() * gram[(rows[i], rows[j])]
        });
        let eigen = DenseSymmetric::from_matrix(matrix).eigen()?;
        Ok(self.capacitance.get_or_init(|| Capacitance { rows, eigen }))
    }

    /// U diag(w) Uᵀ in f64, some columns at a time.
    fn gram(&self, weights: &Shift) -> Mat<f64> {
        const COLUMNS: usize = 1 << 14;
        let [count, dim] = self.vectors.dims();
        let mut gram = Mat::zeros(count, count);
        if count == 0 {
            return gram;
        }
        for first in (0..dim).step_by(COLUMNS) {
            let range = first..dim.min(first + COLUMNS);
            let size = range.len();
            let part = self.vectors.clone().slice([0..count, range.clone()]);
            let part = block_to_f64(&part);
            let weights = match weights {
                Shift::Scalar(delta) => vec![*delta; size],
                Shift::Diagonal(d) => to_f64(&d.entries().clone().slice([range])),
            };
            let plain = Mat::from_fn(count, size, |i, j| part[i * size + j]);
            let weighted = Mat::from_fn(size, count, |i, j| weights[i] * part[j * size + i]);
            gram += plain * weighted;
        }
        gram
    }
}

/// The vectors (rows) times the diagonal.
fn shifted(shift: &Shift, vs: &Tensor<2>) -> Tensor<2> {
    match shift {
        Shift::Scalar(delta) => vs.clone().mul_scalar(*delta),
        Shift::Diagonal(diagonal) => vs.clone() * as_row(diagonal.entries()).cast(vs.dtype()),
    }
}

impl LinearOperator for LowRankPlusDiagonal {
    fn dim(&self) -> usize {
        self.vectors.dims()[1]
    }
    fn device(&self) -> Device {
        self.vectors.device()
    }
    fn dtype(&self) -> DType {
        self.vectors.dtype()
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        check_length("a vector for a low-rank operator", v, self.dim())?;
        Ok(as_vector(self.apply_block(&as_row(v))?))
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let [count, found] = vs.dims();
        check_dimension("a vector for a low-rank operator", found, self.dim())?;
        let vs = vs.clone().cast(self.dtype());
        let rest = shifted(&self.shift, &vs);
        if self.values.is_empty() || count == 0 || found == 0 {
            return Ok(rest);
        }
        let values = from_f64(&self.values, &self.device(), self.dtype());
        let overlaps = vs.matmul(self.vectors.clone().transpose());
        let overlaps = overlaps * as_row(&values);
        Ok(overlaps.matmul(self.vectors.clone()) + rest)
    }
    fn block_size(&self) -> usize {
        32
    }
    fn definiteness(&self) -> Definiteness {
        let smallest = match &self.shift {
            Shift::Scalar(delta) => *delta,
            Shift::Diagonal(diagonal) => diagonal.smallest(),
        };
        let no_negative = self.values.iter().all(|&value| value >= 0.0);
        if no_negative && smallest > 0.0 {
            return Definiteness::PositiveDefinite;
        }
        if no_negative && smallest >= 0.0 {
            return Definiteness::PositiveSemidefinite;
        }
        if smallest.is_nan() || smallest <= 0.0 {
            return Definiteness::Unknown;
        }
        // D > 0: as many negative eigenvalues as M has positive ones beyond the positive values (Haynsworth), none where M keeps clear of zero
        let Ok(Capacitance { rows, eigen }) = self.capacitance() else {
            return Definiteness::Unknown;
        };
        let largest = eigen.values().iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        let zero = rows.len() as f64 * f64::EPSILON * largest;
        let positive = rows.iter().filter(|&&row| self.values[row] > 0.0).count();
        let above = eigen.values().iter().filter(|&&mu| mu >= -zero).count();
        match above == positive {
            true => Definiteness::PositiveDefinite,
            false => Definiteness::Unknown,
        }
    }
}
