use super::diagonal::{DiagonalEstimate, exact_diagonal_observed};
use super::moments::Moments;
use super::probe::Probe;
use super::sampling::SamplingEnding;
use super::sketch::{LeaveOneOut, Products, Sketch, probe_columns};
use super::xtrace::{check_products, sine, with_covariance};
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
/// Unbiased. The standard errors count what the dᵢ have in common, entry by entry, as that of [`xtrace`](crate::trace::xtrace) does:
/// s²/k and the mean of the products of their changes by each other's probes.
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
            let (samples, covariances) = leave_one_out_diagonals(&sketch);
            let applications = products.applications;
            let mut estimate = samples.estimate(applications, SamplingEnding::Finished);
            let errors = estimate.standard_errors.iter_mut().zip(covariances);
            errors.for_each(|(error, sum)| *error = with_covariance(*error, sum, count));
            Ok(estimate)
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

/// The dᵢ, and for each entry the sum of their covariances over all pairs.
fn leave_one_out_diagonals(sketch: &LeaveOneOut) -> (Moments, Vec<f64>) {
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
    let (qs, zs) = (q * left_out, z * left_out);
    let cosines = left_out.transpose() * left_out;
    // (I − Qᵢ Qᵢᵀ) A ωᵢ = Q s (sᵀ rᵢ), since s is orthogonal to the other columns of R
    let outside = |i: usize| (0..=i).map(|j| left_out[(j, i)] * r[(j, i)]).sum::<f64>();
    let outside: Vec<f64> = (0..count).map(outside).collect();
    // dᵢ less the diagonal of Q Qᵀ A
    let own = |row: usize, i: usize| qs[(row, i)] * (omega[(row, i)] * outside[i] - zs[(row, i)]);
    let mut samples = Moments::new(dim);
    for i in 0..count {
        samples.add((0..dim).map(|row| (1.0, whole[row] + own(row, i))));
    }
    let mut covariances = vec![0.0; dim];
    for i in 0..count {
        for j in 0..i {
            let cosine = cosines[(i, j)];
            let sine = sine(cosine);
            // the two directions cannot be told apart: neither changes the other's estimate
            if sine == 0.0 {
                continue;
            }
            let stretch = 1.0 / (sine * sine);
            let change = |row: usize, i: usize, j: usize| {
                let q = qs[(row, i)] - cosine * qs[(row, j)];
                let z = zs[(row, i)] - cosine * zs[(row, j)];
                let without = stretch * q * (omega[(row, i)] * outside[i] - z);
                own(row, i) - without + qs[(row, j)] * zs[(row, j)]
            };
            for (row, sum) in covariances.iter_mut().enumerate() {
                *sum += change(row, i, j) * change(row, j, i);
            }
        }
    }
    (samples, covariances)
}
