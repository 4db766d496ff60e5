use super::hutchinson::{HutchinsonOptions, hutchinson_trace, relative_error};
use super::sampling::sample;
use crate::eigen::{LanczosOptions, Which, lanczos_top_k};
use crate::error::{CurvatureError, finite};
use crate::estimate::Estimate;
use crate::operator::{Definiteness, LinearOperator};
use crate::progress::{Observer, unobserved};
use crate::rows::Rows;
use crate::seed::Seed;

/// The Frobenius norm √Σ Aᵢⱼ² = √Σ λᵢ², from E‖Av‖² = ‖A‖²_F.
///
/// ‖A‖²_F is estimated without bias; the standard error of its root is the first-order one, σ/(2‖A‖_F), and the root itself is too
/// small by about half its squared relative standard error. Where one eigenvalue dominates, the interval of few probes is short, as that of
/// [`hutchinson_trace`](crate::trace::hutchinson_trace).
///
/// ```
/// use burn::{prelude::*, tensor::DType};
/// use ravine_curvature::{DenseSymmetric, HutchinsonOptions, Seed, frobenius_norm};
///
/// let matrix = faer::Mat::from_fn(50, 50, |i, j| if i == j { 1.0 } else { 0.01 });
/// let operator = DenseSymmetric::from_matrix(matrix).operator(&Device::flex(), DType::F64);
/// let norm = frobenius_norm(&operator, &HutchinsonOptions::default(), Seed::new(0))?;
/// assert!((norm.value - 50.245_f64.sqrt()).abs() < 5.0 * norm.standard_error);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Cost
///
/// One operator application per probe; memory of one block of probes.
///
/// # Errors
///
/// As [`hutchinson_trace`](crate::trace::hutchinson_trace).
///
/// # References
///
/// Gratton and Titley-Peloquin (2018), Improved bounds for small-sample estimation, section 1.
pub fn frobenius_norm(
    operator: &dyn LinearOperator,
    options: &HutchinsonOptions,
    seed: Seed,
) -> Result<Estimate, CurvatureError> {
    frobenius_norm_observed(operator, options, seed, &mut unobserved)
}

/// As [`frobenius_norm`], and calls `observer` after each block.
///
/// # Errors
///
/// As [`frobenius_norm`].
pub fn frobenius_norm_observed(
    operator: &dyn LinearOperator,
    options: &HutchinsonOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<Estimate, CurvatureError> {
    let square = squared_frobenius_norm(operator, options, seed, observer)?;
    let value = square.value.sqrt();
    let standard_error = match square.standard_error == 0.0 {
        true => 0.0,
        false => square.standard_error / (2.0 * value),
    };
    Ok(Estimate {
        value,
        standard_error,
        ..square
    })
}

fn squared_frobenius_norm(
    operator: &dyn LinearOperator,
    options: &HutchinsonOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<Estimate, CurvatureError> {
    let span = tracing::debug_span!("frobenius_norm", dim = operator.dim());
    let _entered = span.enter();
    let mut samples = Vec::new();
    let mut visit = |blocks: &[(Rows, Rows)]| {
        for sample in blocks.iter().flat_map(|(_, av)| av.dots(av)) {
            samples.push(finite("a sample ‖Av‖² of the Frobenius norm", sample)?);
        }
        // of the norm itself: half that of its square
        Ok(relative_error(&samples).map(|error| 0.5 * error))
    };
    let HutchinsonOptions { probe, stopping } = *options;
    sample(operator, probe, stopping, seed, 1, observer, &mut visit)?;
    Ok(match samples.len() {
        0 => Estimate::exact(0.0, 0),
        count => Estimate::from_samples(&samples, count),
    })
}

/// The stable rank ‖A‖²_F / ‖A‖²₂: how many eigenvalues are of the size of the largest, counted by their squares.
///
/// Between 1 and the rank; `None` for the zero operator. The standard error holds that of ‖A‖²_F and the residual of the largest
/// eigenvalue.
///
/// # Cost
///
/// One operator application per probe and a Lanczos iteration of at most 100 for ‖A‖₂, whose vectors are kept.
///
/// # Errors
///
/// As [`hutchinson_trace`](crate::trace::hutchinson_trace).
///
/// # References
///
/// Rudelson and Vershynin (2007), Sampling from large matrices, section 1.
pub fn stable_rank(
    operator: &dyn LinearOperator,
    options: &HutchinsonOptions,
    seed: Seed,
) -> Result<Option<Estimate>, CurvatureError> {
    options.stopping.check()?;
    let norm = spectral_norm(operator, seed)?;
    if norm.value == 0.0 {
        return Ok(None);
    }
    let square = squared_frobenius_norm(operator, options, seed, &mut unobserved)?;
    let divided = Estimate {
        value: square.value / norm.value.powi(2),
        standard_error: square.standard_error / norm.value.powi(2),
        ..square
    };
    let from_norm = 2.0 * divided.value * norm.residual / norm.value;
    Ok(Some(with_another_error(
        divided,
        from_norm,
        norm.applications,
    )))
}

/// The intrinsic dimension tr A / ‖A‖₂ of a positive semidefinite operator: how many eigenvalues are of the size of the largest.
///
/// Between 1 and the rank; `None` for the zero operator. The standard error holds that of the trace and the residual of the
/// largest eigenvalue.
///
/// # Cost
///
/// One operator application per probe and a Lanczos iteration of at most 100 for ‖A‖₂, whose vectors are kept.
///
/// # Errors
///
/// [`CurvatureError::Indefinite`] if a Ritz value is negative beyond rounding; as
/// [`hutchinson_trace`](crate::trace::hutchinson_trace).
///
/// # References
///
/// Tropp (2015), An introduction to matrix concentration inequalities, section 7.1.
pub fn intrinsic_dimension(
    operator: &dyn LinearOperator,
    options: &HutchinsonOptions,
    seed: Seed,
) -> Result<Option<Estimate>, CurvatureError> {
    options.stopping.check()?;
    let norm = spectral_norm(operator, seed)?;
    if norm.value == 0.0 {
        return Ok(None);
    }
    let mut applications = norm.applications;
    if operator.definiteness() == Definiteness::Unknown {
        let lowest = extreme(operator, Which::SmallestAlgebraic, seed)?;
        applications += lowest.applications;
        if lowest.value < -1e-3 * norm.value - lowest.residual {
            return Err(CurvatureError::Indefinite {
                what: "the intrinsic dimension",
                eigenvalue: lowest.value,
            });
        }
    }
    let trace = hutchinson_trace(operator, options, seed)?.estimate;
    let divided = Estimate {
        value: trace.value / norm.value,
        standard_error: trace.standard_error / norm.value,
        ..trace
    };
    let from_norm = divided.value.abs() * norm.residual / norm.value;
    Ok(Some(with_another_error(divided, from_norm, applications)))
}

fn with_another_error(estimate: Estimate, error: f64, applications: usize) -> Estimate {
    Estimate {
        standard_error: estimate.standard_error.hypot(error),
        applications: estimate.applications + applications,
        ..estimate
    }
}

/// An eigenvalue at one end with its residual.
struct Extreme {
    value: f64,
    residual: f64,
    applications: usize,
}

fn spectral_norm(operator: &dyn LinearOperator, seed: Seed) -> Result<Extreme, CurvatureError> {
    let extreme = extreme(operator, Which::LargestMagnitude, seed)?;
    Ok(Extreme {
        value: extreme.value.abs(),
        ..extreme
    })
}

fn extreme(
    operator: &dyn LinearOperator,
    which: Which,
    seed: Seed,
) -> Result<Extreme, CurvatureError> {
    let nothing = Extreme {
        value: 0.0,
        residual: 0.0,
        applications: 0,
    };
    if operator.dim() == 0 {
        return Ok(nothing);
    }
    let options = LanczosOptions {
        pairs: 1,
        which,
        tolerance: 1e-3,
        max_iterations: 100,
        ..Default::default()
    };
    let top = lanczos_top_k(operator, &options, seed)?;
    let applications = top.applications;
    Ok(top.pairs.first().map_or(nothing, |pair| Extreme {
        value: pair.value,
        residual: pair.residual,
        applications,
    }))
}
