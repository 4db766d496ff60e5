use crate::eigen::{LanczosOptions, Which, lanczos_top_k_observed};
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::operators::Damped;
use crate::progress::{Observer, Watch, unobserved};
use crate::seed::Seed;
use serde::{Deserialize, Serialize};

/// max |λ| / min |λ| of an operator, with what is certain of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConditionNumber {
    /// The eigenvalue of largest absolute value, damping included.
    pub largest: f64,
    /// The smallest eigenvalue, damping included.
    pub smallest: f64,
    /// The quotient of their absolute values; infinite for a singular matrix. Below the truth where `resolved` is false.
    pub value: f64,
    /// The interval that the residuals of the two eigenpairs leave, provided that they belong to the ends of the spectrum.
    pub bounds: (f64, f64),
    /// Whether the smallest absolute value is known: the matrix is definite, and the residual of its smallest eigenpair is small beside
    /// its value. Otherwise an eigenvalue nearer to zero may exist.
    pub resolved: bool,
    /// Operator applications.
    pub applications: usize,
    /// Whether an observer stopped it: what is known of the ends is there, and nothing is `resolved`.
    #[serde(default)]
    pub stopped: bool,
}

/// The condition number of A + λI from both ends of its spectrum, by Lanczos iterations.
///
/// The smallest eigenvalue of an ill-conditioned matrix is what Lanczos finds last: give `options` enough iterations and a tolerance
/// below the reciprocal of the condition number that is expected; the result says whether it was enough.
///
/// # Cost
///
/// Two Lanczos iterations.
///
/// # Errors
///
/// As [`lanczos_top_k`](crate::eigen::lanczos_top_k); [`CurvatureError::Argument`] for an operator of dimension 0.
///
/// # References
///
/// Parlett (1998), The symmetric eigenvalue problem, theorem 4.5.1 (an eigenvalue lies within the residual).
pub fn condition_number(
    operator: &dyn LinearOperator,
    damping: f64,
    options: &LanczosOptions,
    seed: Seed,
) -> Result<ConditionNumber, CurvatureError> {
    condition_number_observed(operator, damping, options, seed, &mut unobserved)
}

/// As [`condition_number`], and calls `observer` every few steps of both iterations.
///
/// Stopped while it seeks the smallest eigenvalue, it takes the few products that Lanczos needs to say anything of the largest.
///
/// # Errors
///
/// As [`condition_number`].
pub fn condition_number_observed(
    operator: &dyn LinearOperator,
    damping: f64,
    options: &LanczosOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<ConditionNumber, CurvatureError> {
    let damped = Damped::new(operator, damping);
    let most = 2 * options.max_iterations.saturating_add(1);
    let mut watch = Watch::new(observer, most);
    let mut end = |which, name: &str| {
        let options = LanczosOptions {
            pairs: 1,
            which,
            ..*options
        };
        let (before, seed) = (watch.applications, seed.stream(name));
        let found = lanczos_top_k_observed(&damped, &options, &[], seed, &mut watch.part())?;
        watch.applications = before + found.applications;
        let pair = found.pairs.into_iter().next();
        pair.map(|pair| (pair.value, pair.residual))
            .ok_or(CurvatureError::Argument {
                name: "the dimension",
                value: 0.0,
                requirement: "an empty matrix has no condition number",
            })
    };
    let (low, low_residual) = end(Which::SmallestAlgebraic, "smallest")?;
    let (high, high_residual) = end(Which::LargestAlgebraic, "largest")?;
    let (largest, largest_residual) = match low.abs() > high.abs() {
        true => (low, low_residual),
        false => (high, high_residual),
    };
    // a definite matrix has its smallest absolute value at an end
    let (smallest, smallest_residual) = match high < 0.0 {
        true => (high, high_residual),
        false => (low, low_residual),
    };
    let definite = low * high > 0.0 && !watch.stopped;
    let resolved = definite && smallest_residual < 0.1 * smallest.abs();
    let quotient = |above: f64, below: f64| match below > 0.0 {
        true => above / below,
        false => f64::INFINITY,
    };
    let (above, below) = (largest.abs(), smallest.abs());
    Ok(ConditionNumber {
        largest,
        smallest,
        value: quotient(above, below),
        bounds: (
            quotient(above - largest_residual, below + smallest_residual).max(1.0),
            quotient(above + largest_residual, below - smallest_residual),
        ),
        resolved,
        applications: watch.applications,
        stopped: watch.stopped,
    })
}
