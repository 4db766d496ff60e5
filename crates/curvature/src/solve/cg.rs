//! Conjugate gradients for H x = b, with negative curvature reported instead of divided by.

use std::ops::ControlFlow;

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use super::host::{Operand, check_preconditioner, precondition};
use crate::{CurvatureError, LinearOperator};

mod many;
mod state;
#[cfg(test)]
mod tests;

pub use many::conjugate_gradient_many;
use state::{Need, State};

/// When conjugate gradients stop, and what preconditions them.
///
/// Converged means ‖b − Hx‖ ≤ max(`relative_tolerance` · ‖b‖, `absolute_tolerance`).
#[derive(Clone, Copy)]
pub struct CgOptions<'a> {
    /// Operator applications allowed at most; `None` allows as many as there are dimensions.
    pub max_iterations: Option<usize>,
    /// Residual allowed, relative to ‖b‖.
    pub relative_tolerance: f64,
    /// Residual allowed, as it is.
    pub absolute_tolerance: f64,
    /// Negative curvature is reported where pᵀHp ≤ `curvature_floor` · pᵀp; 0 takes the sign alone.
    ///
    /// In f32 a direction of the null space shows a Rayleigh quotient near 1e-7 ‖H‖ of either sign: a floor of that size
    /// keeps CG from dividing by noise.
    pub curvature_floor: f64,
    /// An approximation of H⁻¹, symmetric and positive definite, applied once per iteration.
    pub preconditioner: Option<&'a dyn LinearOperator>,
    /// Where to start; `None` starts from zero. A start costs one more operator application.
    pub start: Option<&'a Tensor<1>>,
    /// What ends the solve beside the residual.
    pub stop: CgStop,
    /// Which iterates are kept.
    pub iterates: Iterates,
}

impl Default for CgOptions<'_> {
    /// As many iterations as dimensions, a relative tolerance of 1e-5, the sign alone, no preconditioner, from zero.
    fn default() -> Self {
        Self {
            max_iterations: None,
            relative_tolerance: 1e-5,
            absolute_tolerance: 0.0,
            curvature_floor: 0.0,
            preconditioner: None,
            start: None,
            stop: CgStop::Residual,
            iterates: Iterates::Last,
        }
    }
}

/// What ends conjugate gradients beside the residual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CgStop {
    /// Nothing: the residual alone.
    #[default]
    Residual,
    /// Little progress of φ(x) = ½ xᵀHx − bᵀx: at iteration i > k, φ(xᵢ) < 0 and
    /// (φ(xᵢ) − φ(xᵢ₋ₖ)) / φ(xᵢ) < k ε with k = max(`least`, ⌈`fraction` · i⌉).
    ///
    /// The residual still counts; set its tolerances to 0 for progress alone. Martens (2010), Deep learning via Hessian-free
    /// optimization, section 4.4.
    Progress {
        /// ε, the relative progress per iteration that is worth its cost.
        epsilon: f64,
        /// Smallest number of iterations to look back.
        least: usize,
        /// Iterations to look back, relative to those done.
        fraction: f64,
    },
}

impl CgStop {
    /// The rule with the numbers of Martens (2010): ε = 5e-4, k = max(10, 0.1 i).
    pub const MARTENS: Self = Self::Progress {
        epsilon: 5e-4,
        least: 10,
        fraction: 0.1,
    };
}

/// Which iterates conjugate gradients keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Iterates {
    /// The last alone, as [`CgResult::solution`].
    #[default]
    Last,
    /// Those after ⌈`ratio`ʲ⌉ iterations, j = 0, 1, …, and the last: for going back to an earlier one that is better on other data
    /// (Martens 2010, section 4.6, with a ratio of 1.3). A ratio of 1 or less keeps all.
    Geometric {
        /// How much later each kept iterate is than the one before.
        ratio: f64,
    },
}

/// An iterate that was kept.
#[derive(Clone, Debug)]
pub struct CgIterate {
    /// Iterations before it.
    pub iteration: usize,
    /// x, flat.
    pub solution: Tensor<1>,
    /// φ(x) = ½ xᵀHx − bᵀx.
    pub model_value: f64,
}

/// What conjugate gradients found, whatever ended them.
#[derive(Clone, Debug)]
pub struct CgResult {
    /// The last iterate x, flat; the start (or zeros) when nothing was done.
    pub solution: Tensor<1>,
    /// b − Hx by the recurrence, so that xᵀHx = xᵀ(b − residual) costs no product.
    pub residual: Tensor<1>,
    /// ‖b − Hx‖ by the recurrence, before the first iteration and after each: `iterations + 1` numbers.
    pub residual_norms: Vec<f64>,
    /// φ(x) = ½ xᵀHx − bᵀx, before the first iteration and after each: it falls with every iteration.
    pub model_values: Vec<f64>,
    /// The iterates that were asked for, in order.
    pub iterates: Vec<CgIterate>,
    /// Steps that were taken.
    pub iterations: usize,
    /// Applications of H: one more than iterations for a start, and for negative curvature.
    pub applications: usize,
    /// Why it stopped.
    pub ending: CgEnding,
}

impl CgResult {
    /// ‖b − Hx‖ by the recurrence at the end.
    pub fn residual_norm(&self) -> f64 {
        self.residual_norms.last().copied().unwrap_or(0.0)
    }

    /// φ(x) = ½ xᵀHx − bᵀx at the end.
    pub fn model_value(&self) -> f64 {
        self.model_values.last().copied().unwrap_or(0.0)
    }
}

/// Why conjugate gradients stopped: a fact about the problem, not an error.
#[expect(
    clippy::large_enum_variant,
    reason = "one is made per solve, next to whole vectors"
)]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CgEnding {
    /// The residual is within the tolerance.
    Converged,
    /// The quadratic model hardly falls any more, by [`CgStop::Progress`].
    LittleProgress {
        /// (φ(xᵢ) − φ(xᵢ₋ₖ)) / φ(xᵢ).
        progress: f64,
        /// The k iterations that it was made in.
        over: usize,
    },
    /// The allowed iterations are spent; the solution is the best of the Krylov space so far.
    MaxIterations,
    /// H curves downwards (or not at all) along a search direction; the solution is the iterate before it.
    NegativeCurvature {
        /// The search direction p with pᵀHp ≤ floor · pᵀp, not normalised.
        direction: Tensor<1>,
        /// pᵀHp / pᵀp.
        rayleigh: f64,
    },
    /// A product or a residual is NaN or infinite; the solution is the iterate before it.
    NonFinite,
    /// The preconditioner M is not positive definite: rᵀMr is not positive for a residual r that is not zero.
    IndefinitePreconditioner {
        /// rᵀMr.
        product: f64,
    },
    /// The observer asked to stop.
    Stopped,
}

/// What an observer of conjugate gradients sees after each iteration.
#[derive(Clone, Copy)]
pub struct CgProgress<'a> {
    /// Iterations done.
    pub iteration: usize,
    /// ‖b − Hx‖ by the recurrence.
    pub residual_norm: f64,
    /// pᵀHp / pᵀp of the direction just used.
    pub rayleigh: f64,
    /// φ(x) = ½ xᵀHx − bᵀx.
    pub model_value: f64,
    solution: &'a [f64],
    operand: &'a Operand<'a>,
}

impl CgProgress<'_> {
    /// The iterate x, copied to the operator's device.
    pub fn solution(&self) -> Tensor<1> {
        self.operand.tensor(self.solution)
    }
}

/// Solves H x = b by conjugate gradients.
///
/// Scalars and the vectors of the recurrences are f64 whatever the dtype of H; products and results have the dtype of H. The
/// residual is the recurrence's: in f32 the true one ([`true_residual`](super::true_residual)) stops falling near 1e-7 κ(H) ‖b‖, however
/// small the recurrence gets.
///
/// # Shapes
///
/// `b` and the solution are flat, `op.dim()` long.
///
/// # Cost
///
/// One operator application per iteration, one more for a start, and one more when negative curvature ends the solve. Memory
/// for four vectors in f64.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] when `b`, the start or the preconditioner is not `op.dim()` long, and whatever the operator reports.
///
/// # References
///
/// M. R. Hestenes and E. Stiefel, Methods of conjugate gradients for solving linear systems, 1952; J. Nocedal and
/// S. J. Wright, Numerical Optimization, 2006, Algorithms 5.3 and 7.1.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::Diagonal;
/// use ravine_curvature::{CgEnding, CgOptions, conjugate_gradient, vector};
///
/// let tensor = |values: &[f64]| vector::from_f64(values, &Device::flex(), DType::F64);
/// let a = Diagonal::new(tensor(&[1.0, 2.0, 4.0]));
/// let solve = conjugate_gradient(&a, &tensor(&[1.0, 1.0, 1.0]), &CgOptions::default())?;
/// assert!(matches!(solve.ending, CgEnding::Converged));
/// assert!((vector::to_f64(&solve.solution)[2] - 0.25).abs() < 1e-12);
/// assert!((solve.model_value() + 0.5 * (1.0 + 0.5 + 0.25)).abs() < 1e-12); // −½ bᵀA⁻¹b
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub fn conjugate_gradient(
    op: &dyn LinearOperator,
    b: &Tensor<1>,
    options: &CgOptions<'_>,
) -> Result<CgResult, CurvatureError> {
    conjugate_gradient_observed(op, b, options, &mut |_| ControlFlow::Continue(()))
}

/// As [`conjugate_gradient`], and calls `observer` after each iteration, which may stop the solve.
///
/// # Errors
///
/// As [`conjugate_gradient`].
pub fn conjugate_gradient_observed(
    op: &dyn LinearOperator,
    b: &Tensor<1>,
    options: &CgOptions<'_>,
    observer: &mut dyn FnMut(CgProgress<'_>) -> ControlFlow<()>,
) -> Result<CgResult, CurvatureError> {
    let span = tracing::debug_span!("conjugate gradient", dim = op.dim());
    let _entered = span.enter();
    check_preconditioner(options.preconditioner, op.dim())?;
    let mut operand = Operand::new(op);
    let b = operand.read("the right-hand side", b)?;
    let mut state = match options.start {
        None => State::from_zero(b, options),
        Some(start) => {
            let start = operand.read("the start", start)?;
            let product = operand.apply(&start)?;
            State::from_start(b, start, product, options)
        }
    };
    while let Some(need) = state.need() {
        match need {
            Need::Preconditioned(r) => {
                let z = precondition(options.preconditioner, r)?;
                state.preconditioned(z);
            }
            Need::Product(p) => {
                let product = operand.apply(p)?;
                if let Some(rayleigh) = state.advance(&product) {
                    let flow = observer(state.progress(rayleigh, &operand));
                    state.decide(flow);
                }
            }
        }
    }
    let applications = operand.applications;
    Ok(state.finish(&operand, applications))
}
