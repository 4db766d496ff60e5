//! Newton's method with a cubic term in place of a radius.

mod weight;

use burn::prelude::*;
use ravine_curvature::LinearOperator;
use serde::{Deserialize, Serialize};

pub use weight::CubicWeight;

use crate::error::in_range;
use crate::gain::{Trial, Verdict};
use crate::krylov::{Krylov, dot};
use crate::method::Start;
use crate::quadratic_model::{QuadraticModel, or_ending};
use crate::{Method, MethodState, OptimError, Oracle, Step, StepEnding};

/// Adaptive regularisation by cubics (ARC): s minimises m(s) = gᵀs + ½ sᵀHs + σ/3 ‖s‖³, more or less, and is taken where the loss follows.
///
/// One step minimises the model ([`CubicSubproblem`]) once and tries its minimiser once, with
/// ρ = (f(θ + s) − f(θ) − δ) / (m(s) − δ), δ = 10 ε |f(θ)| (ε = 2.2e-16 in f64, 1.2e-7 in f32: what rounding leaves of a difference of
/// losses; ρ = −∞ when f(θ + s) is not finite). θ ← θ + s when ρ > η₁; then σ follows ρ ([`CubicWeight`]), whether the step was taken
/// or not. A step that is not taken counts as a step, keeps θ, and ends with [`StepEnding::Rejected`]. Where σ has grown until
/// θ + s is θ, the step ends with [`StepEnding::NoDecrease`] without a trial.
///
/// - [`CubicSubproblem::Dense`]: the global minimiser, (H + νI) s = −g with ν = σ‖s‖ and H + νI positive semidefinite, from all
///   eigenpairs, the hard case included (there either sign along the lowest eigenvector is as good);
/// - [`CubicSubproblem::Krylov`]: the global minimiser over the Krylov spaces of g of dimension k = 1, 2, … (Lanczos from g with full
///   reorthogonalisation), s = V y with (T + νI) y = −‖g‖e₁, ν = σ‖y‖: the first k is taken for which
///   ‖∇m(s)‖ = β_k |y_k| ≤ θ_k ‖g‖ ([`CubicStop`]), or the last one allowed, or one that is invariant (β_k ≤ 1e-13 max(|α|, |β|); 1e-6
///   in f32).
///
/// A step that met λ < 0 (by more than k ε max |λ| of the k eigenvalues of H or T) ends with [`StepEnding::NegativeCurvature`], which
/// holds the lowest pair; one whose minimiser is not accurate enough with [`StepEnding::SolverStopped`]. The promise is m(s).
///
/// # Cost
///
/// One gradient and one loss per step; dim products (dense), or k (Krylov), with k vectors in f64, 4 k² dim operations and k
/// decompositions of order k³. After a rejection the gradient is known, the products are paid again.
///
/// # References
///
/// C. Cartis, N. I. M. Gould and P. L. Toint, Adaptive cubic regularisation methods for unconstrained optimization, Part I: motivation,
/// convergence and numerical results, 2011, Algorithm 2.1, section 3.2 (TC.h) and section 6; Y. Nesterov and B. Polyak, Cubic
/// regularization of Newton method and its global performance, 2006.
///
/// # Example
///
/// ```
/// use ravine_optim::{CubicNewton, CubicStop, CubicSubproblem, CubicWeight, Method};
///
/// let stop = CubicStop::Step { kappa: 0.01 };
/// let method = CubicNewton::new(CubicSubproblem::Krylov { max_iterations: 50, stop })
///     .weight(CubicWeight { initial: 0.1, ..CubicWeight::default() });
/// assert_eq!(method.name(), "cubic-newton");
/// assert_eq!(method.sigma(), 0.1);
/// ```
#[derive(Clone, Debug)]
pub struct CubicNewton {
    name: String,
    subproblem: CubicSubproblem,
    weight: CubicWeight,
    /// The current σ.
    sigma: Option<f64>,
}

/// How the minimum of the cubic model is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CubicSubproblem {
    /// The global minimiser: for models of up to a few thousand parameters.
    Dense,
    /// The global minimiser over growing Krylov spaces of g.
    Krylov {
        /// Products at most, at least 1.
        max_iterations: usize,
        /// When the space is large enough.
        #[serde(default)]
        stop: CubicStop,
    },
}

impl Default for CubicSubproblem {
    /// Krylov spaces of up to 100 dimensions, with [`CubicStop::default`].
    fn default() -> Self {
        Self::Krylov {
            max_iterations: 100,
            stop: CubicStop::default(),
        }
    }
}

/// When the model is minimised well enough: ‖∇m(s)‖ ≤ θ_k ‖g‖.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CubicStop {
    /// θ_k = κ min(1, √‖g‖): superlinear convergence. Depends on the scale of the loss.
    Gradient {
        /// κ, in (0, 1).
        kappa: f64,
    },
    /// θ_k = κ min(1, ‖s‖): quadratic convergence. Depends on the scale of θ.
    Step {
        /// κ, in (0, 1).
        kappa: f64,
    },
}

impl Default for CubicStop {
    /// κ min(1, √‖g‖) with κ = 0.1.
    fn default() -> Self {
        Self::Gradient { kappa: 0.1 }
    }
}

impl CubicStop {
    fn kappa(&self) -> f64 {
        match *self {
            Self::Gradient { kappa } | Self::Step { kappa } => kappa,
        }
    }

    /// θ_k.
    fn tolerance(&self, gradient_norm: f64, step_norm: f64) -> f64 {
        match *self {
            Self::Gradient { kappa } => kappa * gradient_norm.sqrt().min(1.0),
            Self::Step { kappa } => kappa * step_norm.min(1.0),
        }
    }
}

impl Default for CubicNewton {
    /// On Krylov spaces.
    fn default() -> Self {
        Self::new(CubicSubproblem::default())
    }
}

impl CubicNewton {
    /// With [`CubicWeight::default`].
    pub fn new(subproblem: CubicSubproblem) -> Self {
        Self {
            name: "cubic-newton".to_string(),
            subproblem,
            weight: CubicWeight::default(),
            sigma: None,
        }
    }

    /// With other numbers for σ.
    pub fn weight(self, weight: CubicWeight) -> Self {
        Self { weight, ..self }
    }

    /// With another name for tables and plots.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// σ of the next step.
    pub fn sigma(&self) -> f64 {
        self.sigma.unwrap_or(self.weight.initial)
    }

    fn check(&self) -> Result<(), OptimError> {
        self.weight.check()?;
        let CubicSubproblem::Krylov {
            max_iterations,
            stop,
        } = self.subproblem
        else {
            return Ok(());
        };
        let most = max_iterations as f64;
        in_range("max_iterations", most, "at least 1", max_iterations > 0)?;
        let kappa = stop.kappa();
        let inside = kappa > 0.0 && kappa < 1.0;
        in_range("kappa", kappa, "between 0 and 1", inside)
    }

    fn solve(
        &self,
        oracle: &mut Oracle,
        start: &Start<'_>,
    ) -> Result<Result<Trial, StepEnding>, OptimError> {
        let sigma = self.sigma();
        match self.subproblem {
            CubicSubproblem::Dense => {
                let hessian = match or_ending(oracle.dense_hessian(start.theta))? {
                    Ok(hessian) => hessian,
                    Err(ending) => return Ok(Err(ending)),
                };
                let model = QuadraticModel::whole(&hessian, &start.gradient)?;
                let y = model.cubic(sigma)?;
                Ok(Ok(trial(&model, &y, sigma, StepEnding::Accepted)))
            }
            CubicSubproblem::Krylov {
                max_iterations,
                stop,
            } => {
                let hessian = oracle.hessian(start.theta)?;
                or_ending(on_krylov(&hessian, start, sigma, max_iterations, stop))
            }
        }
    }
}

/// The trial of a minimiser, with `ending` where no negative curvature was met.
fn trial(model: &QuadraticModel<'_>, y: &[f64], sigma: f64, ending: StepEnding) -> Trial {
    let cubic = sigma / 3.0 * dot(y, y).sqrt().powi(3);
    Trial {
        step: model.step(y),
        promised: model.slope(y) + 0.5 * model.curvature(y) + cubic,
        ending: model.negative_curvature().unwrap_or(ending),
    }
}

fn on_krylov(
    hessian: &dyn LinearOperator,
    start: &Start<'_>,
    sigma: f64,
    max_iterations: usize,
    stop: CubicStop,
) -> Result<Trial, OptimError> {
    let gradient_norm = start.gtg.sqrt();
    let mut krylov = Krylov::new(hessian, &start.gradient);
    loop {
        krylov.grow()?;
        let model = QuadraticModel::on(&krylov, &start.gradient)?;
        let y = model.cubic(sigma)?;
        let last = model.inner(&y).last().copied().unwrap_or(0.0);
        let relative_residual = krylov.last_beta() * last.abs() / gradient_norm;
        let tolerance = stop.tolerance(gradient_norm, dot(&y, &y).sqrt());
        if relative_residual <= tolerance || krylov.is_invariant() {
            return Ok(trial(&model, &y, sigma, StepEnding::Accepted));
        }
        if krylov.size() == max_iterations {
            let ending = StepEnding::SolverStopped {
                iterations: krylov.size(),
                relative_residual,
            };
            return Ok(trial(&model, &y, sigma, ending));
        }
    }
}

impl Method for CubicNewton {
    fn name(&self) -> &str {
        &self.name
    }

    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        self.check()?;
        let start = Start::with_products(oracle, theta)?;
        if let Some(obstacle) = start.obstacle() {
            return Ok(start.stay(oracle, obstacle));
        }
        let trial = match self.solve(oracle, &start)? {
            Ok(trial) => trial,
            Err(ending) => return Ok(start.stay(oracle, ending)),
        };
        let to = match trial.judge(oracle, &start, self.weight.eta1)? {
            Verdict::Taken { gain, to } | Verdict::Rejected { gain, to } => {
                let sigma = self.weight.after(self.sigma(), start.gtg.sqrt(), gain);
                self.sigma = Some(sigma);
                to
            }
            Verdict::Nothing { to } => to,
        };
        Ok(start.finish(oracle, to))
    }

    fn state(&self) -> Result<MethodState, OptimError> {
        MethodState::new(KIND, &self.sigma)
    }

    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        self.sigma = state.memory(KIND)?;
        Ok(())
    }
}

/// What its states are called.
const KIND: &str = "cubic-newton";

#[cfg(test)]
mod tests;
