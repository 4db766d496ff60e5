use super::probe::Probe;
use super::sampling::{SamplingEnding, StoppingRule, sample};
use crate::error::{CurvatureError, finite};
use crate::estimate::Estimate;
use crate::operator::LinearOperator;
use crate::progress::{Observer, unobserved};
use crate::rows::Rows;
use crate::seed::Seed;
use serde::{Deserialize, Serialize};

/// How a trace, a diagonal or a norm is sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HutchinsonOptions {
    /// How random vectors are drawn.
    pub probe: Probe,
    /// When there are enough of them.
    pub stopping: StoppingRule,
}

impl HutchinsonOptions {
    /// A fixed number of probes.
    pub fn with_probes(self, probes: usize) -> Self {
        Self {
            stopping: StoppingRule::Probes(probes),
            ..self
        }
    }
}

/// A trace with its standard error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceEstimate {
    /// The value with its standard error and cost.
    pub estimate: Estimate,
    /// What it is the mean of: vᵀAv for every probe, or the leave-one-out estimates of [`xtrace`](crate::trace::xtrace); empty for an
    /// exact value.
    pub samples: Vec<f64>,
    /// How the sampling ended.
    pub ending: SamplingEnding,
}

impl TraceEstimate {
    /// The interval that covers the trace with this probability.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        self.estimate.interval(confidence)
    }

    pub(super) fn from_samples(
        samples: Vec<f64>,
        applications: usize,
        ending: SamplingEnding,
    ) -> Self {
        let estimate = match ending {
            // an operator without dimensions
            SamplingEnding::Exact => Estimate::exact(0.0, applications),
            _ => Estimate::from_samples(&samples, applications),
        };
        Self {
            estimate,
            samples,
            ending,
        }
    }
}

/// Hutchinson's estimate of the trace: the mean of vᵀAv over random vectors v with E\[v vᵀ\] = I.
///
/// Unbiased. Its standard error falls as ‖A‖_F √(2/m) with m probes: for a relative error of one in a hundred it needs thousands
/// where the trace comes from few eigenvalues; see [`xtrace`](crate::trace::xtrace) for those.
///
/// Where one eigenvalue dominates, vᵀAv is as skewed as χ² with one degree of freedom, and the interval of 95 % of few probes covers less
/// often than it says: of four in 82 of 100 cases, of ten in 87, of thirty in 91.
///
/// ```
/// use burn::{prelude::*, tensor::DType};
/// use ravine_curvature::{DenseSymmetric, HutchinsonOptions, Seed, hutchinson_trace};
///
/// let matrix = faer::Mat::from_fn(50, 50, |i, j| if i == j { 2.0 } else { 0.01 });
/// let operator = DenseSymmetric::from_matrix(matrix).operator(&Device::flex(), DType::F64);
/// let trace = hutchinson_trace(&operator, &HutchinsonOptions::default(), Seed::new(0))?;
/// assert_eq!(trace.estimate.applications, 100);
/// assert!((trace.estimate.value - 100.0).abs() < 5.0 * trace.estimate.standard_error);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Cost
///
/// One operator application per probe; memory of one block of probes.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for a rule without probes, [`CurvatureError::NonFinite`] for a product that is not finite, what the
/// operator reports.
///
/// # References
///
/// Hutchinson (1990), A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines.
pub fn hutchinson_trace(
    operator: &dyn LinearOperator,
    options: &HutchinsonOptions,
    seed: Seed,
) -> Result<TraceEstimate, CurvatureError> {
    hutchinson_trace_observed(operator, options, seed, &mut unobserved)
}

/// As [`hutchinson_trace`], and calls `observer` after each block.
///
/// # Errors
///
/// As [`hutchinson_trace`].
pub fn hutchinson_trace_observed(
    operator: &dyn LinearOperator,
    options: &HutchinsonOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<TraceEstimate, CurvatureError> {
    let span = tracing::debug_span!("hutchinson_trace", dim = operator.dim());
    let _entered = span.enter();
    let mut samples = Vec::new();
    let mut visit = |blocks: &[(Rows, Rows)]| {
        for sample in blocks.iter().flat_map(|(v, av)| v.dots(av)) {
            samples.push(finite("a sample vᵀAv of the trace", sample)?);
        }
        Ok(relative_error(&samples))
    };
    let HutchinsonOptions { probe, stopping } = *options;
    let ending = sample(operator, probe, stopping, seed, 1, observer, &mut visit)?;
    let applications = samples.len();
    Ok(TraceEstimate::from_samples(samples, applications, ending))
}

/// The relative standard error of a mean, where it has one.
pub(super) fn relative_error(samples: &[f64]) -> Option<f64> {
    let estimate = Estimate::from_samples(samples, 0);
    match (estimate.standard_error, estimate.value) {
        (error, _) if !error.is_finite() => None,
        (0.0, _) => Some(0.0),
        (error, value) => Some(error / value.abs()),
    }
}
