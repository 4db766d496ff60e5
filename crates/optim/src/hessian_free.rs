//! Hessian-free optimisation.

mod backtracking;
mod options;
mod solve;

use burn::prelude::*;
use ravine_curvature::{CgEnding, CgResult, CgStop, LinearOperator, Point, vector};
use serde::{Deserialize, Serialize};

pub use options::{CurvatureMatrix, Preconditioning};
use solve::candidates;

use crate::error::in_range;
use crate::method::{Move, Start, not_finite};
use crate::state::Held;
use crate::{
    Armijo, LevenbergMarquardt, Line, LineSearch, Method, MethodState, OptimError, Oracle,
    Quantity, Step, StepEnding,
};

/// Hessian-free optimisation: conjugate gradients on (B + λI) x = −g with the Gauss-Newton matrix B, a damping λ that follows the gain
/// ratio, warm starts, and backtracking through the iterates before the one along the line.
///
/// With f and g the loss and its gradient on the batch, one step from θ is:
///
/// 1. A = B + λI, b = −g; B on the batch of the step, or on [`curvature_batches`](Self::curvature_batches). λ starts at
///    [`LevenbergMarquardt::initial`], 1 by default.
/// 2. Preconditioned conjugate gradients on A x = b from x₀ = ξ x̂, x̂ the last iterate of the step before (0 in the first step), with
///    φ(x) = ½ xᵀAx − bᵀx. They stop after iteration i ≥ 1 when ‖b − Ax‖ ≤ `tolerance` ‖b‖, or when i > k, φ(xᵢ) < 0 and
///    (φ(xᵢ) − φ(xᵢ₋ₖ))/φ(xᵢ) < k ε with k = max(10, ⌈i/10⌉), ε = 5e-4, or when i = `max_iterations`. The residual is the
///    recurrence's. A start that already fulfils the first rule is x. When x does not point downhill (gᵀx ≥ 0), or the first direction
///    from x₀ ≠ 0 curves downwards, they start again from 0.
/// 3. Kept are the iterates after ⌈γʲ⌉ iterations, j = 0, 1, …, γ = 1.3, and the last. From the last one on backwards: as long as
///    f(θ + x) of the one before is not larger, go to it. (A loss that is not finite counts as +∞.) Call the result d.
/// 4. m(α) = α gᵀd + ½ α² dᵀBd, without damping; dᵀBd = 2(φ(d) + bᵀd) − λ‖d‖² costs no product. ρ = (f(θ + d) − f(θ))/m(1), −∞
///    when f(θ + d) > f(θ). λ ← [`LevenbergMarquardt::after`].
/// 5. θ ← θ + αd with the first α = 1, 0.8, 0.8², … for which f(θ + αd) ≤ f(θ) + 0.01 α gᵀd, 60 at most. Where there is none θ stays,
///    the next solve starts from zero, and the step ends with [`StepEnding::Rejected`], or [`StepEnding::NoDecrease`] if nothing has changed for the next. The promise is m(α).
///
/// x̂ of the next step is the last iterate of conjugate gradients, not d. The preconditioner of [`Preconditioning`] is made at
/// each θ. With [`CurvatureMatrix::Hessian`] a direction p with pᵀAp ≤ 0 ends the solve and the step
/// ([`StepEnding::NegativeCurvature`]) goes on with the iterates so far; the first direction, where there are none, is d itself.
///
/// An unfinished solve amplifies rounding, and a choice between iterates that are equal but for rounding is arbitrary: two
/// implementations agree step by step from the same θ, λ and x̂, and along a trajectory where solves are short.
///
/// # Cost
///
/// One gradient, one Gauss-Newton product (or Hessian-vector product) per iteration of conjugate gradients and one for a warm start,
/// one loss per iterate and step length tried.
///
/// # Errors
///
/// Numbers out of range; [`ravine_curvature::CurvatureError::NoOutputs`] for an objective without outputs, unless the matrix is the
/// Hessian.
///
/// # References
///
/// J. Martens, Deep learning via Hessian-free optimization, 2010, algorithm 2 and section 4; J. Martens and I. Sutskever, Training deep
/// and recurrent networks with Hessian-free optimization, 2012.
///
/// # Example
///
/// ```
/// use ravine_optim::{HessianFree, LevenbergMarquardt, Method, Preconditioning};
///
/// let damping = LevenbergMarquardt { initial: 0.1, ..LevenbergMarquardt::default() };
/// let method = HessianFree::new()
///     .damping(damping)
///     .preconditioned(Preconditioning::EmpiricalFisher { exponent: 0.75 });
/// assert_eq!(method.name(), "hessian-free");
/// ```
#[derive(Clone, Debug)]
pub struct HessianFree {
    name: String,
    matrix: CurvatureMatrix,
    batches: Vec<Point>,
    damping: LevenbergMarquardt,
    decay: f64,
    tolerance: f64,
    stop: CgStop,
    max_iterations: usize,
    iterate_ratio: f64,
    preconditioning: Preconditioning,
    search: Armijo,
    memory: Memory,
}

/// What is remembered from step to step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Memory {
    steps: u64,
    lambda: Option<f64>,
    /// x̂.
    solution: Option<Held>,
}

impl Default for HessianFree {
    fn default() -> Self {
        Self::new()
    }
}

impl HessianFree {
    /// Martens' numbers: [`LevenbergMarquardt::default`], ξ = 0.95, [`CgStop::MARTENS`] with at most 250 iterations and a tolerance of
    /// 1e-10, γ = 1.3, no preconditioner, and backtracking with c = 0.01 by 0.8, 60 times at most.
    pub fn new() -> Self {
        Self {
            name: KIND.to_string(),
            matrix: CurvatureMatrix::GaussNewton,
            batches: Vec::new(),
            damping: LevenbergMarquardt::default(),
            decay: 0.95,
            tolerance: 1e-10,
            stop: CgStop::MARTENS,
            max_iterations: 250,
            iterate_ratio: 1.3,
            preconditioning: Preconditioning::None,
            search: Armijo {
                sufficient_decrease: 0.01,
                shrink: 0.8,
                max_trials: 60,
            },
            memory: Memory::default(),
        }
    }

    /// With another matrix B.
    pub fn matrix(self, matrix: CurvatureMatrix) -> Self {
        Self { matrix, ..self }
    }

    /// With B on batches of its own, such as a part of the data where loss and gradient are on all of it: step k takes number k mod n.
    /// Their products are counted by their examples. None: B is on the batch of the step.
    pub fn curvature_batches(self, batches: Vec<Point>) -> Self {
        Self { batches, ..self }
    }

    /// With other numbers for λ.
    pub fn damping(self, damping: LevenbergMarquardt) -> Self {
        Self { damping, ..self }
    }

    /// With another ξ in [0, 1], by which the last solution is shortened to start the next solve; 0 starts from zero.
    pub fn decay(self, decay: f64) -> Self {
        Self { decay, ..self }
    }

    /// With another residual ‖b − Ax‖/‖b‖ at which a solve ends, not negative.
    pub fn tolerance(self, tolerance: f64) -> Self {
        Self { tolerance, ..self }
    }

    /// With another rule that ends a solve beside the residual.
    pub fn stop(self, stop: CgStop) -> Self {
        Self { stop, ..self }
    }

    /// With at most this many iterations of conjugate gradients a step.
    pub fn max_iterations(self, max_iterations: usize) -> Self {
        Self {
            max_iterations,
            ..self
        }
    }

    /// With another γ by which the iterates that are kept lie apart; 1 keeps all.
    pub fn iterate_ratio(self, iterate_ratio: f64) -> Self {
        Self {
            iterate_ratio,
            ..self
        }
    }

    /// With a preconditioner for conjugate gradients.
    pub fn preconditioned(self, preconditioning: Preconditioning) -> Self {
        Self {
            preconditioning,
            ..self
        }
    }

    /// With other numbers for the line search.
    pub fn line_search(self, search: Armijo) -> Self {
        Self { search, ..self }
    }

    /// With another name for tables and plots.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// λ of the next step.
    pub fn lambda(&self) -> f64 {
        self.memory.lambda.unwrap_or(self.damping.initial)
    }

    fn check(&self) -> Result<(), OptimError> {
        self.damping.check()?;
        self.preconditioning.check()?;
        let inside = (0.0..=1.0).contains(&self.decay);
        in_range("decay", self.decay, "at least 0 and at most 1", inside)?;
        let inside = self.tolerance >= 0.0 && self.tolerance.is_finite();
        in_range("tolerance", self.tolerance, "at least 0", inside)?;
        let inside = self.iterate_ratio >= 1.0;
        in_range("iterate_ratio", self.iterate_ratio, "at least 1", inside)?;
        let most = self.max_iterations;
        in_range("max_iterations", most as f64, "at least 1", most > 0)
    }

    /// B at θ.
    fn operator(
        &self,
        oracle: &mut Oracle,
        theta: &Tensor<1>,
    ) -> Result<Box<dyn LinearOperator>, OptimError> {
        let number = self.memory.steps as usize % self.batches.len().max(1);
        Ok(match (self.matrix, self.batches.get(number)) {
            (CurvatureMatrix::GaussNewton, None) => Box::new(oracle.gauss_newton(theta)?),
            (CurvatureMatrix::GaussNewton, Some(batch)) => {
                Box::new(oracle.gauss_newton_on(batch, theta)?)
            }
            (CurvatureMatrix::Hessian, None) => Box::new(oracle.hessian(theta)?),
            (CurvatureMatrix::Hessian, Some(batch)) => Box::new(oracle.hessian_on(batch, theta)?),
        })
    }
}

impl Method for HessianFree {
    fn name(&self) -> &str {
        &self.name
    }

    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        self.check()?;
        let own_hessian = self.matrix == CurvatureMatrix::Hessian && self.batches.is_empty();
        let start = match own_hessian {
            true => Start::with_products(oracle, theta)?,
            false => Start::at(oracle, theta)?,
        };
        if let Some(obstacle) = start.obstacle() {
            return Ok(start.stay(oracle, obstacle));
        }
        let lambda = self.lambda();
        let solve = match self.solve(oracle, &start, lambda) {
            Ok(solve) => solve,
            Err(error) => return Ok(start.stay(oracle, not_finite(error)?)),
        };
        self.memory.steps += 1;
        let (ending, solution) = (ending(&solve, start.gtg.sqrt()), solve.solution.clone());
        if !ending.moved() {
            return Ok(start.stay(oracle, ending));
        }
        let candidates = candidates(solve, lambda, &start.gradient);
        let Some((chosen, loss)) = Self::backtrack(oracle, theta, candidates)? else {
            return Ok(start.stay(oracle, ending));
        };
        let change = loss - start.loss;
        let gain = match change > 0.0 {
            true => f64::NEG_INFINITY,
            false => change / chosen.promise(1.0),
        };
        let next = self.damping.after(lambda, gain);
        self.memory.lambda = Some(next);
        let line = Line {
            theta,
            loss: start.loss,
            direction: &chosen.d,
            slope: chosen.slope,
        };
        let to = match self.search_from(oracle, line, loss)? {
            LineSearch::Found { theta, alpha, .. } => {
                self.memory.solution = Some(Held::new(solution));
                Move {
                    theta,
                    learning_rate: Some(alpha),
                    predicted_change: Some(chosen.promise(alpha)),
                    ending,
                }
            }
            LineSearch::Exhausted { trials } => {
                let slope = chosen.slope;
                // another damping, start or matrix makes the next step another one
                let learned = self.memory.solution.take().is_some()
                    || next != lambda
                    || self.batches.len() > 1;
                let ending = match learned {
                    true => StepEnding::Rejected { gain },
                    false => StepEnding::NoDecrease { trials, slope },
                };
                Move::nowhere(&start, ending)
            }
        };
        Ok(start.finish(oracle, to))
    }

    fn state(&self) -> Result<MethodState, OptimError> {
        MethodState::new(KIND, &self.memory)
    }

    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        self.memory = state.memory(KIND)?;
        Ok(())
    }
}

/// What its states are called.
const KIND: &str = "hessian-free";

/// How a step with this solve ends.
fn ending(solve: &CgResult, gradient_norm: f64) -> StepEnding {
    match &solve.ending {
        CgEnding::Converged | CgEnding::LittleProgress { .. } => StepEnding::Accepted,
        CgEnding::NegativeCurvature {
            direction,
            rayleigh,
        } => StepEnding::NegativeCurvature {
            rayleigh: *rayleigh,
            direction: direction.clone(),
        },
        CgEnding::NonFinite if solve.iterations == 0 => StepEnding::NonFinite {
            quantity: Quantity::Hessian,
            value: f64::NAN,
        },
        _ => StepEnding::SolverStopped {
            iterations: solve.iterations,
            relative_residual: solve.residual_norm() / gradient_norm,
        },
    }
}

/// Whether d points downhill.
fn is_downhill(gradient: &Tensor<1>, d: &Tensor<1>) -> bool {
    vector::dot(gradient, d) < 0.0
}

#[cfg(test)]
mod tests;
