use super::hutchinson::HutchinsonOptions;
use super::moments::Moments;
use super::sampling::{SamplingEnding, sample};
use crate::error::{CurvatureError, finite};
use crate::estimate::{Estimate, student_quantile};
use crate::operator::LinearOperator;
use crate::progress::{Observer, Progress, unobserved};
use crate::rows::Rows;
use crate::seed::Seed;
use crate::vector::from_f64;
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};

/// A diagonal with a standard error for each entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiagonalEstimate {
    /// Aᵢᵢ.
    pub values: Vec<f64>,
    /// Their standard errors; 0 where exact, infinite after a single sample.
    pub standard_errors: Vec<f64>,
    /// Number of samples of each entry; 0 for exact values.
    pub samples: usize,
    /// Operator applications that it cost.
    pub applications: usize,
    /// How the sampling ended.
    pub ending: SamplingEnding,
}

impl DiagonalEstimate {
    /// One entry as an estimate; `None` beyond the last.
    pub fn entry(&self, index: usize) -> Option<Estimate> {
        Some(Estimate {
            value: *self.values.get(index)?,
            standard_error: *self.standard_errors.get(index)?,
            samples: self.samples,
            applications: self.applications,
            quadrature_error: 0.0,
            freedom: None,
        })
    }

    /// The interval of each entry, each with this probability of its own.
    pub fn intervals(&self, confidence: f64) -> impl Iterator<Item = (f64, f64)> + '_ {
        let quantile = student_quantile(confidence, self.samples);
        let entries = self.values.iter().zip(&self.standard_errors);
        entries.map(move |(value, error)| match *error == 0.0 {
            true => (*value, *value),
            false => (value - quantile * error, value + quantile * error),
        })
    }

    /// The root of the summed squares of the standard errors, relative to the length of the diagonal.
    pub fn relative_error(&self) -> f64 {
        let squares = |numbers: &[f64]| numbers.iter().map(|x| x * x).sum::<f64>();
        let errors = squares(&self.standard_errors);
        match errors == 0.0 {
            true => 0.0,
            false => (errors / squares(&self.values)).sqrt(),
        }
    }

    /// What was computed exactly; the entries that were not reached are unknown.
    pub(super) fn from_exact(diagonal: ExactDiagonal, dim: usize) -> Self {
        let known = diagonal.values.len();
        let mut values = diagonal.values;
        values.resize(dim, 0.0);
        let mut standard_errors = vec![0.0; known];
        standard_errors.resize(dim, f64::INFINITY);
        Self {
            values,
            standard_errors,
            samples: 0,
            applications: diagonal.applications,
            ending: diagonal.ending,
        }
    }
}

/// A diagonal computed without chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExactDiagonal {
    /// Aᵢᵢ: all n of them, or the first ones when the observer stopped.
    pub values: Vec<f64>,
    /// Operator applications that it cost.
    pub applications: usize,
    /// [`SamplingEnding::Exact`] or [`SamplingEnding::Stopped`].
    pub ending: SamplingEnding,
}

/// Probes of long vectors that are taken in together, since all sums go through the memory once for them …
const TOGETHER: usize = 8;

/// … if they have no more numbers than these: 64 MiB of f32.
const GATHERED: usize = 1 << 24;

/// The estimate of Bekas, Kokiopoulou and Saad of the diagonal: Σ v ∘ Av / Σ v ∘ v, entry by entry, over random vectors v.
///
/// It is the slope of a regression of (Av)ᵢ on vᵢ through the origin, and its standard error is that of the slope. With signs it is
/// unbiased, with a variance of Σ_{j≠i} Aᵢⱼ² / m after m probes.
///
/// ```
/// use burn::{prelude::*, tensor::DType};
/// use ravine_curvature::{DenseSymmetric, HutchinsonOptions, Seed, diagonal_estimate};
///
/// let matrix = faer::Mat::from_fn(50, 50, |i, j| if i == j { i as f64 } else { 0.01 });
/// let operator = DenseSymmetric::from_matrix(matrix).operator(&Device::flex(), DType::F64);
/// let diagonal = diagonal_estimate(&operator, &HutchinsonOptions::default(), Seed::new(0))?;
/// assert!((diagonal.values[30] - 30.0).abs() < 5.0 * diagonal.standard_errors[30]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Cost
///
/// One operator application per probe; memory of one block of probes (eight of long vectors) and their products, and of three vectors in
/// f64.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for a rule without probes, [`CurvatureError::NonFinite`] for a product that is not finite, what the
/// operator reports.
///
/// # References
///
/// Bekas, Kokiopoulou and Saad (2007), An estimator for the diagonal of a matrix, section 2.
pub fn diagonal_estimate(
    operator: &dyn LinearOperator,
    options: &HutchinsonOptions,
    seed: Seed,
) -> Result<DiagonalEstimate, CurvatureError> {
    diagonal_estimate_observed(operator, options, seed, &mut unobserved)
}

/// As [`diagonal_estimate`], and calls `observer` after each block.
///
/// # Errors
///
/// As [`diagonal_estimate`].
pub fn diagonal_estimate_observed(
    operator: &dyn LinearOperator,
    options: &HutchinsonOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<DiagonalEstimate, CurvatureError> {
    let span = tracing::debug_span!("diagonal_estimate", dim = operator.dim());
    let _entered = span.enter();
    let mut moments = Moments::new(operator.dim());
    let mut visit = |blocks: &[(Rows, Rows)]| {
        moments.add_blocks(blocks);
        finite("a product for the diagonal", moments.size())?;
        Ok(moments.relative_error())
    };
    let HutchinsonOptions { probe, stopping } = *options;
    let gathered = (GATHERED / operator.dim().max(1)).clamp(1, TOGETHER);
    let ending = sample(
        operator, probe, stopping, seed, gathered, observer, &mut visit,
    )?;
    let applications = moments.samples();
    Ok(moments.estimate(applications, ending))
}

/// The diagonal, exactly: Aᵢᵢ = eᵢᵀ A eᵢ.
///
/// ```
/// use burn::{prelude::*, tensor::DType};
/// use ravine_curvature::{DenseSymmetric, exact_diagonal};
///
/// let matrix = faer::Mat::from_fn(3, 3, |i, j| (i + j) as f64);
/// let operator = DenseSymmetric::from_matrix(matrix).operator(&Device::flex(), DType::F64);
/// assert_eq!(exact_diagonal(&operator)?.values, [0.0, 2.0, 4.0]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Cost
///
/// n operator applications, memory of one block.
///
/// # Errors
///
/// [`CurvatureError::NonFinite`] for an entry that is not finite, what the operator reports.
pub fn exact_diagonal(operator: &dyn LinearOperator) -> Result<ExactDiagonal, CurvatureError> {
    exact_diagonal_observed(operator, &mut unobserved)
}

/// As [`exact_diagonal`], and calls `observer` after each block; when it stops, the entries so far come back.
///
/// # Errors
///
/// As [`exact_diagonal`].
pub fn exact_diagonal_observed(
    operator: &dyn LinearOperator,
    observer: &mut Observer<'_>,
) -> Result<ExactDiagonal, CurvatureError> {
    let n = operator.dim();
    let span = tracing::debug_span!("exact_diagonal", dim = n);
    let _entered = span.enter();
    let block_size = operator.block_size().max(1);
    let mut values = Vec::with_capacity(n);
    for first in (0..n).step_by(block_size) {
        let count = block_size.min(n - first);
        let products = operator.apply_block(&unit_vectors(operator, first, count))?;
        let entries = Rows::from_tensor(picked(products, first));
        let mut row = Vec::new();
        for index in 0..count {
            entries.read_row(index, &mut row);
            values.push(finite("an entry of the diagonal", row[index])?);
        }
        let progress = Progress {
            applications: values.len(),
            most: Some(n),
            measure: None,
        };
        if observer(&progress).is_break() && values.len() < n {
            return Ok(ExactDiagonal {
                applications: values.len(),
                values,
                ending: SamplingEnding::Stopped,
            });
        }
    }
    Ok(ExactDiagonal {
        values,
        applications: n,
        ending: SamplingEnding::Exact,
    })
}

/// Rows `first` to `first + count` of the identity: zeros are made on the device, ones put into them.
fn unit_vectors(operator: &dyn LinearOperator, first: usize, count: usize) -> Tensor<2> {
    let (device, dtype) = (operator.device(), operator.dtype());
    let zeros = Tensor::<2>::zeros([count, operator.dim()], (&device, dtype));
    let mut ones = vec![0.0; count * count];
    (0..count).for_each(|i| ones[i * count + i] = 1.0);
    let ones = from_f64(&ones, &device, dtype).reshape([count, count]);
    zeros.slice_assign([0..count, first..first + count], ones)
}

/// The square of a block of products that holds its diagonal entries.
fn picked(products: Tensor<2>, first: usize) -> Tensor<2> {
    let [count, _] = products.dims();
    products.slice([0..count, first..first + count])
}
