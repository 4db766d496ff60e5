use super::diagonal::{DiagonalEstimate, Moments, exact_diagonal_observed};
use super::probe::Probe;
use super::sampling::SamplingEnding;
use super::sketch::{LeaveOneOut, Products, Sketch, probe_columns};
use super::xtrace::check_products;
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::progress::{Observer, unobserved};
use crate::seed::Seed;
use faer::Mat;
use serde::{Deserialize, Serialize};

/// How many products [`xdiag`] may use; its probes are signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct XDiagOptions {
    /// Operator applications at most; from n on, the diagonal is computed exactly with n.
    pub products: usize,
}

impl Default for XDiagOptions {
    fn default() -> Self {
        Self { products: 60 }
    }
}

/// The diagonal by XDiag: the diagonal of a low-rank approximation, and Bekas' estimate of the rest, every probe used for both.
///
/// With the notation of [`xtrace`](crate::trace::xtrace), the estimate is the mean over i of
///
/// dᵢ = diag(Qᵢ Qᵢᵀ A) + ωᵢ ∘ (I − Qᵢ Qᵢᵀ) A ωᵢ.
///
/// Unbiased. The standard error of an entry is that of the mean of its dᵢ, as if they were independent; they are only exchangeable.
///
/// # Cost
///
/// At most `products` = m operator applications (an even number of them), O(n m²) operations on the processor, and memory of 20 n m
/// bytes.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for fewer than four products, [`CurvatureError::NonFinite`] for a product that is not finite, what the
/// operator reports.
///
/// # References
///
/// Epperly, Tropp and Webber (2024), XTrace: making the most of every sample in stochastic trace estimation, section 2.4.
pub fn xdiag(
    operator: &dyn LinearOperator,
    options: &XDiagOptions,
    seed: Seed,
) -> Result<DiagonalEstimate, CurvatureError> {
    xdiag_observed(operator, options, seed, &mut unobserved)
}

/// As [`xdiag`], and calls `observer` after each block; when it stops, the estimate is Bekas' from the probes of the sketch.
///
/// # Errors
///
/// As [`xdiag`].
pub fn xdiag_observed(
    operator: &dyn LinearOperator,
    options: &XDiagOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<DiagonalEstimate, CurvatureError> {
    check_products(options.products, 4)?;
    let span = tracing::debug_span!("xdiag", dim = operator.dim(), products = options.products);
    let _entered = span.enter();
    if options.products >= operator.dim() {
        return Ok(DiagonalEstimate::from_exact(
            exact_diagonal_observed(operator, observer)?,
            operator.dim(),
        ));
    }
    let count = options.products / 2;
    let omega = probe_columns(operator, Probe::Rademacher, count, seed);
    let mut products = Products::new(operator, observer, 2 * count);
    match LeaveOneOut::sketch(omega, &mut products)? {
        Sketch::Stopped { omega, y } => {
            let moments = bekas(&omega, &y);
            Ok(moments.estimate(products.applications, SamplingEnding::Stopped))
        }
        Sketch::Whole(sketch) => {
            let moments = leave_one_out_diagonals(&sketch);
            Ok(moments.estimate(products.applications, SamplingEnding::Finished))
        }
    }
}

fn bekas(omega: &Mat<f64>, y: &Mat<f64>) -> Moments {
    let mut moments = Moments::new(omega.nrows());
    for i in 0..y.ncols() {
        let entries = omega.col(i).iter().zip(y.col(i).iter());
        moments.add(entries.map(|(v, product)| (1.0, v * product)));
    }
    moments
}

fn leave_one_out_diagonals(sketch: &LeaveOneOut) -> Moments {
    let LeaveOneOut {
        omega,
        q,
        r,
        z,
        left_out,
    } = sketch;
    let (dim, count) = (omega.nrows(), omega.ncols());
    let mut whole = vec![0.0; dim];
    for j in 0..count {
        let entries = q.col(j).iter().zip(z.col(j).iter());
        for (sum, (q, z)) in whole.iter_mut().zip(entries) {
            *sum += q * z;
        }
    }
    let mut moments = Moments::new(dim);
    for i in 0..count {
        let s = left_out.col(i);
        let (qs, zs) = (q * s, z * s);
        // (I − Qᵢ Qᵢᵀ) A ωᵢ = Q s (sᵀ rᵢ)
        let outside: f64 = (0..=i).map(|j| s[j] * r[(j, i)]).sum();
        let entries = (0..dim).map(|row| {
            let low_rank = whole[row] - qs[row] * zs[row];
            (1.0, low_rank + omega[(row, i)] * qs[row] * outside)
        });
        moments.add(entries);
    }
    moments
}
