//! Newton's method within a radius that follows how well the quadratic model foretells the loss.

mod radius;

use burn::prelude::*;
use ravine_curvature::solve::{
    LanczosTrustRegionOptions, SteihaugOptions, TrustRegionEnding, TrustRegionStep,
    lanczos_trust_region,
};
use ravine_curvature::{steihaug, vector};
use serde::{Deserialize, Serialize};

pub use radius::RadiusRule;

use crate::error::in_range;
use crate::gain::{Trial, Verdict};
use crate::method::{Move, Start};
use crate::newton_cg::Forced;
use crate::quadratic_model::{QuadraticModel, or_ending};
use crate::{Forcing, Method, MethodState, OptimError, Oracle, Quantity, Step, StepEnding};

/// A trust region: s minimises m(s) = gᵀs + ½ sᵀHs over ‖s‖ ≤ Δ, more or less, and is taken where the loss follows.
///
/// One step solves the subproblem ([`RegionSubproblem`]) once and tries its solution once, with
/// ρ = (f(θ + s) − f(θ) − δ) / (m(s) − δ), δ = 10 ε |f(θ)| (ε = 2.2e-16 in f64, 1.2e-7 in f32: what rounding leaves of a difference of
/// losses; ρ = −∞ when f(θ + s) is not finite). θ ← θ + s when ρ > η; then Δ follows ρ ([`RadiusRule`]), whether the step was taken or
/// not. A step that is not taken counts as a step, keeps θ, and ends with [`StepEnding::Rejected`]. Where Δ has shrunk until θ + s
/// is θ, the step ends with [`StepEnding::NoDecrease`] without a trial.
///
/// A step whose solve met nonpositive curvature ends with [`StepEnding::NegativeCurvature`]: with the direction of conjugate gradients
/// (Steihaug), with s itself when sᵀHs < 0 (Lanczos), with the lowest eigenpair (dense). A solve that ran out of iterations before its
/// tolerance ends with [`StepEnding::SolverStopped`]. The promise is m(s).
///
/// # Cost
///
/// One gradient and one loss per step, and the products of the subproblem: one an iteration, or dim for the dense one. After a
/// rejection the gradient is known, the products are paid again.
///
/// # References
///
/// J. Nocedal and S. J. Wright, Numerical Optimization, 2006, Algorithms 4.1 and 7.2; A. R. Conn, N. I. M. Gould and P. L. Toint,
/// Trust-region methods, 2000, sections 7.3 to 7.5 and 17.4.2 (rounding).
///
/// # Example
///
/// ```
/// use ravine_optim::{Method, RadiusRule, RegionSubproblem, TrustRegion};
///
/// let method = TrustRegion::new(RegionSubproblem::Lanczos { max_iterations: 50 })
///     .radius(RadiusRule { initial: 0.1, ..RadiusRule::default() });
/// assert_eq!(method.name(), "trust-region");
/// assert_eq!(method.current_radius(), 0.1);
/// ```
#[derive(Clone, Debug)]
pub struct TrustRegion {
    name: String,
    subproblem: RegionSubproblem,
    rule: RadiusRule,
    forcing: Forcing,
    memory: Memory,
}

/// How the minimum of the model within the region is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum RegionSubproblem {
    /// Conjugate gradients from 0, to the boundary where they leave the region or meet nonpositive curvature, or until ‖g + Hs‖ ≤ η_k ‖g‖
    /// ([`Forcing`]).
    Steihaug {
        /// Products at most, at least 1; as many as dimensions when not given.
        #[serde(default)]
        max_iterations: Option<usize>,
    },
    /// The minimiser on growing Krylov spaces of g, until ‖g + (H + λI)s‖ ≤ η_k ‖g‖: better than Steihaug's on the boundary. It is looked
    /// for in the spaces of dimension 1, 2, … 10, 15, 20, …, the last one allowed, and one that is invariant to rounding.
    Lanczos {
        /// Products at most, at least 1; the vectors of all of them are kept.
        max_iterations: usize,
    },
    /// The global minimiser, the hard case included: for models of up to a few thousand parameters.
    Dense,
}

impl Default for RegionSubproblem {
    /// Steihaug's, with as many products as dimensions.
    fn default() -> Self {
        Self::Steihaug {
            max_iterations: None,
        }
    }
}

/// What is remembered from step to step.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Memory {
    /// Δ.
    radius: Option<f64>,
    /// What the last step that was taken was forced to.
    last: Option<Forced>,
}

/// A solution of the subproblem.
struct Solution {
    step: Tensor<1>,
    norm: f64,
    /// m(s).
    promised: f64,
    ending: StepEnding,
}

impl Default for TrustRegion {
    /// With Steihaug's subproblem.
    fn default() -> Self {
        Self::new(RegionSubproblem::default())
    }
}

impl TrustRegion {
    /// With [`RadiusRule::default`] and η_k = min(½, √‖g‖).
    pub fn new(subproblem: RegionSubproblem) -> Self {
        Self {
            name: "trust-region".to_string(),
            subproblem,
            rule: RadiusRule::default(),
            forcing: Forcing::default(),
            memory: Memory::default(),
        }
    }

    /// With other numbers for the radius.
    pub fn radius(self, rule: RadiusRule) -> Self {
        Self { rule, ..self }
    }

    /// With another rule for the residual of the iterative subproblems; what Eisenstat and Walker's remembers is the last step that was taken.
    pub fn forcing(self, forcing: Forcing) -> Self {
        Self { forcing, ..self }
    }

    /// With another name for tables and plots.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// Δ of the next step.
    pub fn current_radius(&self) -> f64 {
        self.memory.radius.unwrap_or(self.rule.initial)
    }

    fn check(&self) -> Result<(), OptimError> {
        self.rule.check()?;
        self.forcing.check()?;
        let most = match self.subproblem {
            RegionSubproblem::Steihaug { max_iterations } => max_iterations.unwrap_or(1),
            RegionSubproblem::Lanczos { max_iterations } => max_iterations,
            RegionSubproblem::Dense => 1,
        };
        in_range("max_iterations", most as f64, "at least 1", most > 0)
    }

    fn solve(
        &self,
        oracle: &mut Oracle,
        start: &Start<'_>,
        relative_tolerance: f64,
    ) -> Result<Result<Solution, StepEnding>, OptimError> {
        let radius = self.current_radius();
        let gradient = &start.gradient;
        let solved = match self.subproblem {
            RegionSubproblem::Dense => return dense(oracle, start, radius),
            RegionSubproblem::Steihaug { max_iterations } => {
                let options = SteihaugOptions {
                    max_iterations,
                    relative_tolerance,
                    ..SteihaugOptions::default()
                };
                steihaug(&oracle.hessian(start.theta)?, gradient, radius, &options)?
            }
            RegionSubproblem::Lanczos { max_iterations } => {
                let options = LanczosTrustRegionOptions {
                    max_iterations,
                    relative_tolerance,
                    ..LanczosTrustRegionOptions::default()
                };
                lanczos_trust_region(&oracle.hessian(start.theta)?, gradient, radius, &options)?
            }
        };
        Ok(iterative(start, solved))
    }
}

/// What an iterative solve left; nothing to try when its first product was not finite.
#[expect(
    clippy::result_large_err,
    reason = "one is made per step, next to whole vectors"
)]
fn iterative(start: &Start<'_>, solved: TrustRegionStep) -> Result<Solution, StepEnding> {
    let (iterations, norm) = (solved.iterations, solved.norm);
    if matches!(solved.ending, TrustRegionEnding::NonFinite) && norm == 0.0 {
        let (quantity, value) = (Quantity::Hessian, f64::NAN);
        return Err(StepEnding::NonFinite { quantity, value });
    }
    let promised = -solved.predicted_decrease;
    let curvature = 2.0 * (promised - vector::dot(&start.gradient, &solved.step));
    let ending = match (solved.ending, solved.downward) {
        (TrustRegionEnding::NegativeCurvature { rayleigh }, Some(direction)) => {
            StepEnding::NegativeCurvature {
                rayleigh,
                direction,
            }
        }
        (TrustRegionEnding::MaxIterations | TrustRegionEnding::NonFinite, _) => {
            let residual_norm = solved.residual_norms.last().copied().unwrap_or(0.0);
            StepEnding::SolverStopped {
                iterations,
                relative_residual: residual_norm / start.gtg.sqrt(),
            }
        }
        _ if curvature < 0.0 => StepEnding::NegativeCurvature {
            rayleigh: curvature / (norm * norm),
            direction: solved.step.clone(),
        },
        _ => StepEnding::Accepted,
    };
    Ok(Solution {
        step: solved.step,
        norm,
        promised,
        ending,
    })
}

fn dense(
    oracle: &mut Oracle,
    start: &Start<'_>,
    radius: f64,
) -> Result<Result<Solution, StepEnding>, OptimError> {
    let hessian = match or_ending(oracle.dense_hessian(start.theta))? {
        Ok(hessian) => hessian,
        Err(ending) => return Ok(Err(ending)),
    };
    let model = QuadraticModel::whole(&hessian, &start.gradient)?;
    let y = model.within(radius)?;
    Ok(Ok(Solution {
        step: model.step(&y),
        norm: y.iter().map(|y| y * y).sum::<f64>().sqrt(),
        promised: model.slope(&y) + 0.5 * model.curvature(&y),
        ending: model.negative_curvature().unwrap_or(StepEnding::Accepted),
    }))
}

impl Method for TrustRegion {
    fn name(&self) -> &str {
        &self.name
    }

    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        self.check()?;
        let start = Start::with_products(oracle, theta)?;
        if let Some(obstacle) = start.obstacle() {
            return Ok(start.stay(oracle, obstacle));
        }
        let gradient_norm = start.gtg.sqrt();
        let eta = self.forcing.eta(gradient_norm, self.memory.last);
        let solution = match self.solve(oracle, &start, eta)? {
            Ok(solution) => solution,
            Err(ending) => return Ok(start.stay(oracle, ending)),
        };
        let norm = solution.norm;
        let trial = Trial {
            step: solution.step,
            promised: solution.promised,
            ending: solution.ending,
        };
        let to: Move = match trial.judge(oracle, &start, self.rule.accept)? {
            Verdict::Taken { gain, to } => {
                let radius = self.rule.after(self.current_radius(), norm, gain);
                self.memory = Memory {
                    radius: Some(radius),
                    last: Some(Forced { gradient_norm, eta }),
                };
                to
            }
            Verdict::Rejected { gain, to } => {
                let radius = self.rule.after(self.current_radius(), norm, gain);
                self.memory.radius = Some(radius);
                to
            }
            Verdict::Nothing { to } => to,
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
const KIND: &str = "trust-region";

#[cfg(test)]
mod tests;
