use super::hutchinson::HutchinsonOptions;
use super::sampling::{SamplingEnding, sample};
use crate::eigen::basis::Numbers;
use crate::error::{CurvatureError, finite};
use crate::estimate::{Estimate, student_quantile};
use crate::operator::LinearOperator;
use crate::progress::{Observer, Progress, unobserved};
use crate::rows::Rows;
use crate::seed::Seed;
use crate::vector::from_f64;
use burn::prelude::Tensor;
use rayon::prelude::*;
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

/// Columns that a thread takes at once.
const COLUMNS: usize = 1024;

/// Sums of some samples (x, y) of some entries, with the deviations e = y − slope · x from the slopes before them.
struct Sums {
    xx: [f64; COLUMNS],
    xe: [f64; COLUMNS],
    ee: [f64; COLUMNS],
}

impl Sums {
    fn none() -> Self {
        let zeros = [0.0; COLUMNS];
        Self {
            xx: zeros,
            xe: zeros,
            ee: zeros,
        }
    }

    fn add<X: Copy + Into<f64>, Y: Copy + Into<f64>>(&mut self, slopes: &[f64], x: &[X], y: &[Y]) {
        let count = slopes.len();
        let (xx, xe, ee) = (
            &mut self.xx[..count],
            &mut self.xe[..count],
            &mut self.ee[..count],
        );
        let (x, y) = (&x[..count], &y[..count]);
        for i in 0..count {
            let (x, y): (f64, f64) = (x[i].into(), y[i].into());
            let e = y - slopes[i] * x;
            xx[i] += x * x;
            xe[i] += x * e;
            ee[i] += e * e;
        }
    }

    /// The regressions with these samples as well.
    fn merge(&self, slopes: &mut [f64], weights: &mut [f64], residuals: &mut [f64]) {
        for (i, slope) in slopes.iter_mut().enumerate() {
            weights[i] += self.xx[i];
            if weights[i] > 0.0 {
                let change = self.xe[i] / weights[i];
                *slope += change;
                residuals[i] += (self.ee[i] - change * self.xe[i]).max(0.0);
            }
        }
    }
}

/// Sums of a regression of y on x through the origin, for every entry; updated so that nothing cancels.
pub(super) struct Moments {
    slopes: Vec<f64>,
    weights: Vec<f64>,
    residuals: Vec<f64>,
    samples: usize,
}

impl Moments {
    pub(super) fn new(dim: usize) -> Self {
        Self {
            slopes: vec![0.0; dim],
            weights: vec![0.0; dim],
            residuals: vec![0.0; dim],
            samples: 0,
        }
    }

    /// One sample (x, y) of each entry.
    pub(super) fn add(&mut self, entries: impl Iterator<Item = (f64, f64)>) {
        let (x, y): (Vec<f64>, Vec<f64>) = entries.unzip();
        self.add_rows(&x, &y);
        self.samples += 1;
    }

    /// A sample (x, y) of each entry for each row of a block.
    fn add_block(&mut self, x: &Rows, y: &Rows) {
        match (&x.numbers, &y.numbers) {
            (Numbers::F32(x), Numbers::F32(y)) => self.add_rows(x, y),
            (Numbers::F32(x), Numbers::F64(y)) => self.add_rows(x, y),
            (Numbers::F64(x), Numbers::F32(y)) => self.add_rows(x, y),
            (Numbers::F64(x), Numbers::F64(y)) => self.add_rows(x, y),
        }
        self.samples += x.count;
    }

    fn add_rows<X, Y>(&mut self, x: &[X], y: &[Y])
    where
        X: Copy + Into<f64> + Sync,
        Y: Copy + Into<f64> + Sync,
    {
        let dim = self.slopes.len();
        // deviations are taken from the slope so far, which the first row of all gives
        let (first, rest) = match self.samples {
            0 => (0..1, 1..x.len() / dim),
            _ => (0..0, 0..x.len() / dim),
        };
        let parts = self.slopes.par_chunks_mut(COLUMNS);
        let parts = parts.zip(self.weights.par_chunks_mut(COLUMNS));
        let parts = parts.zip(self.residuals.par_chunks_mut(COLUMNS));
        // a thread takes some columns of all rows, so that their sums stay in its cache
        parts
            .enumerate()
            .for_each(|(part, ((slopes, weights), residuals))| {
                for rows in [first.clone(), rest.clone()] {
                    let mut sums = Sums::none();
                    for row in rows {
                        let start = row * dim + part * COLUMNS;
                        sums.add(slopes, &x[start..], &y[start..]);
                    }
                    sums.merge(slopes, weights, residuals);
                }
            });
    }

    fn standard_error(&self, index: usize) -> f64 {
        match self.samples {
            0 | 1 => f64::INFINITY,
            count => (self.residuals[index] / (count - 1) as f64 / self.weights[index]).sqrt(),
        }
    }

    fn relative_error(&self) -> Option<f64> {
        let errors = (0..self.slopes.len()).map(|i| self.standard_error(i).powi(2));
        let errors: f64 = errors.sum();
        let values: f64 = self.slopes.iter().map(|x| x * x).sum();
        match errors {
            _ if self.samples < 2 => None,
            0.0 => Some(0.0),
            _ => Some((errors / values).sqrt()),
        }
    }

    pub(super) fn estimate(self, applications: usize, ending: SamplingEnding) -> DiagonalEstimate {
        let errors = (0..self.slopes.len()).map(|i| self.standard_error(i));
        DiagonalEstimate {
            standard_errors: errors.collect(),
            values: self.slopes,
            samples: self.samples,
            applications,
            ending,
        }
    }
}

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
/// One operator application per probe; memory of one block of probes and of three vectors in f64.
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
    let mut visit = |probes: &Rows, products: &Rows| {
        moments.add_block(probes, products);
        let size = moments.slopes.iter().map(|x| x.abs()).sum();
        finite("a product for the diagonal", size)?;
        Ok(moments.relative_error())
    };
    let HutchinsonOptions { probe, stopping } = *options;
    let ending = sample(operator, probe, stopping, seed, observer, &mut visit)?;
    let applications = moments.samples;
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
