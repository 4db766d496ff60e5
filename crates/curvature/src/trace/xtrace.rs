use super::diagonal::exact_diagonal_observed;
use super::hutchinson::TraceEstimate;
use super::probe::Probe;
use super::sampling::{SamplingEnding, finite};
use super::sketch::{LeaveOneOut, Products, Sketch, column_dots, probe_columns};
use crate::error::CurvatureError;
use crate::estimate::Estimate;
use crate::operator::LinearOperator;
use crate::progress::{Observer, unobserved};
use crate::seed::Seed;
use faer::Mat;
use serde::{Deserialize, Serialize};

/// How many products [`xtrace`] and [`hutch_plus_plus`](crate::trace::hutch_plus_plus) may use, and how their probes are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SketchOptions {
    /// Operator applications at most; from n on, the result is computed exactly with n.
    pub products: usize,
    /// How random vectors are drawn.
    pub probe: Probe,
}

impl Default for SketchOptions {
    fn default() -> Self {
        Self {
            products: 60,
            probe: Probe::Sphere,
        }
    }
}

/// The trace by XTrace: as exact as the best low-rank approximation, every probe used for it and for the rest.
///
/// With a sketch Y = A Ω of m/2 probes and Qᵢ an orthonormal basis of the range of Y without its column i, the estimate is the mean of
///
/// tᵢ = tr(Qᵢᵀ A Qᵢ) + cᵢ uᵢᵀ A uᵢ,  uᵢ = (I − Qᵢ Qᵢᵀ) ωᵢ
///
/// with cᵢ = 1 for signs and cᵢ = (n − m/2 + 1)/‖uᵢ‖² otherwise, which removes what the length of uᵢ adds to the variance. Unbiased.
/// For spectra that decay its error falls as quickly as they do; for flat ones it is that of Hutchinson's estimate with as
/// many probes.
///
/// The standard error is that of the mean of the tᵢ, as if they were independent; they are only exchangeable.
///
/// ```
/// use burn::{prelude::*, tensor::DType};
/// use ravine_curvature::{DenseSymmetric, Seed, SketchOptions, xtrace};
///
/// // eigenvalues fall quickly
/// let matrix = faer::Mat::from_fn(100, 100, |i, j| 1.0 / (1.0 + i as f64 + j as f64));
/// let trace: f64 = (0..100).map(|i| matrix[(i, i)]).sum();
/// let operator = DenseSymmetric::from_matrix(matrix).operator(&Device::flex(), DType::F64);
/// let options = SketchOptions { products: 40, ..Default::default() };
/// let found = xtrace(&operator, &options, Seed::new(0))?;
/// assert!((found.estimate.value - trace).abs() < 1e-9);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Cost
///
/// At most `products` operator applications (an even number of them), O(n m²) operations on the processor, and memory of 16 n m bytes.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for fewer than four products, [`CurvatureError::NonFinite`] for a product that is not finite, what the
/// operator reports.
///
/// # References
///
/// Epperly, Tropp and Webber (2024), XTrace: making the most of every sample in stochastic trace estimation, sections 2.1 to 2.3.
pub fn xtrace(
    operator: &dyn LinearOperator,
    options: &SketchOptions,
    seed: Seed,
) -> Result<TraceEstimate, CurvatureError> {
    xtrace_observed(operator, options, seed, &mut unobserved)
}

/// As [`xtrace`], and calls `observer` after each block; when it stops, the estimate is Hutchinson's from the probes of the sketch.
///
/// # Errors
///
/// As [`xtrace`].
pub fn xtrace_observed(
    operator: &dyn LinearOperator,
    options: &SketchOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<TraceEstimate, CurvatureError> {
    check_products(options.products, 4)?;
    let span = tracing::debug_span!("xtrace", dim = operator.dim(), products = options.products);
    let _entered = span.enter();
    let dim = operator.dim();
    if options.products >= dim {
        return exact_trace(operator, observer);
    }
    let count = options.products / 2;
    let omega = probe_columns(operator, options.probe, count, seed);
    let mut products = Products::new(operator, observer, 2 * count);
    match LeaveOneOut::sketch(omega, &mut products)? {
        Sketch::Stopped { omega, y } => Ok(from_sketch(&omega, &y, products.applications)),
        Sketch::Whole(sketch) => {
            let samples = leave_one_out_traces(&sketch, options.probe);
            for &sample in &samples {
                finite("a leave-one-out estimate of the trace", sample)?;
            }
            let ending = SamplingEnding::Finished;
            let applications = products.applications;
            Ok(TraceEstimate::from_samples(samples, applications, ending))
        }
    }
}

/// The estimates tᵢ from matrices of the size of the sketch only.
fn leave_one_out_traces(sketch: &LeaveOneOut, probe: Probe) -> Vec<f64> {
    let LeaveOneOut {
        omega,
        q,
        r,
        z,
        left_out,
    } = sketch;
    let (dim, count) = (omega.nrows() as f64, omega.ncols());
    let h = q.transpose() * z;
    let h = Mat::from_fn(count, count, |i, j| 0.5 * (h[(i, j)] + h[(j, i)]));
    let trace: f64 = (0..count).map(|i| h[(i, i)]).sum();
    let w = q.transpose() * omega;
    let overlaps = column_dots(left_out, &w);
    // coefficients of the part of ωᵢ within the range of the others
    let x = Mat::from_fn(count, count, |j, i| {
        w[(j, i)] - left_out[(j, i)] * overlaps[i]
    });
    let removed = column_dots(left_out, &(&h * left_out));
    let inside = column_dots(&x, &(&h * &x));
    // Qᵀ A ωᵢ is column i of R
    let whole = upper_dots(&w, r);
    let mixed = upper_dots(&x, r);
    let lengths = column_dots(omega, omega);
    let parts = column_dots(&x, &x);
    (0..count)
        .map(|i| {
            let outside = whole[i] - 2.0 * mixed[i] + inside[i];
            let length = lengths[i] - parts[i];
            let scale = match probe {
                Probe::Rademacher => 1.0,
                _ if length > 0.0 => (dim - count as f64 + 1.0) / length,
                _ => 0.0,
            };
            trace - removed[i] + scale * outside
        })
        .collect()
}

/// Σⱼ Mⱼᵢ Rⱼᵢ over the upper triangle.
fn upper_dots(m: &Mat<f64>, r: &Mat<f64>) -> Vec<f64> {
    (0..r.ncols())
        .map(|i| (0..=i).map(|j| m[(j, i)] * r[(j, i)]).sum())
        .collect()
}

/// Hutchinson's estimate from the part of a sketch that was computed.
pub(super) fn from_sketch(omega: &Mat<f64>, y: &Mat<f64>, applications: usize) -> TraceEstimate {
    let samples = column_dots(omega, y);
    TraceEstimate::from_samples(samples, applications, SamplingEnding::Stopped)
}

/// The trace from the whole diagonal.
pub(super) fn exact_trace(
    operator: &dyn LinearOperator,
    observer: &mut Observer<'_>,
) -> Result<TraceEstimate, CurvatureError> {
    let diagonal = exact_diagonal_observed(operator, observer)?;
    let sum: f64 = diagonal.values.iter().sum();
    let estimate = match diagonal.ending {
        SamplingEnding::Stopped => Estimate {
            // the entries seen say nothing of the others
            value: sum * operator.dim() as f64 / diagonal.values.len().max(1) as f64,
            standard_error: f64::INFINITY,
            samples: 1,
            applications: diagonal.applications,
        },
        _ => Estimate::exact(sum, diagonal.applications),
    };
    Ok(TraceEstimate {
        estimate,
        samples: Vec::new(),
        ending: diagonal.ending,
    })
}

pub(super) fn check_products(products: usize, least: usize) -> Result<(), CurvatureError> {
    match products < least {
        true => Err(CurvatureError::Argument {
            name: "products",
            value: products as f64,
            requirement: "too few to show a standard error: XTrace and XDiag need 4, Hutch++ needs 6",
        }),
        false => Ok(()),
    }
}
