//! Newton's method with conjugate gradients.

mod forcing;

use burn::prelude::*;
use ravine_curvature::{CgEnding, CgOptions, CgResult, conjugate_gradient, vector};

pub(crate) use forcing::Forced;
pub use forcing::Forcing;

use crate::error::in_range;
use crate::method::{Move, Start};
use crate::{Armijo, Line, LineSearch, Method, MethodState, OptimError, Oracle, Step, StepEnding};

/// Line-search Newton-CG: conjugate gradients on H d = −g until the residual is small enough or the loss curves downwards, then
/// backtracking along what they found.
///
/// When the first direction already curves downwards the step goes along −g; when a later one does, along the iterate so
/// far. Both end with [`StepEnding::NegativeCurvature`], which holds the direction; a solve that ran out of iterations ends
/// with [`StepEnding::SolverStopped`]. The promise is α gᵀd + ½ α² dᵀHd.
///
/// # Cost
///
/// One gradient, one product per iteration of conjugate gradients, one loss per trial of the line search.
///
/// # References
///
/// J. Nocedal and S. J. Wright, Numerical Optimization, 2006, Algorithm 7.1; R. S. Dembo, S. C. Eisenstat and T. Steihaug,
/// Inexact Newton methods, 1982.
///
/// # Example
///
/// ```
/// use ravine_optim::{Forcing, Method, NewtonCg};
///
/// let method = NewtonCg::new().forcing(Forcing::Constant { eta: 0.1 }).max_iterations(50);
/// assert_eq!(method.name(), "newton-cg");
/// ```
#[derive(Clone, Debug)]
pub struct NewtonCg {
    name: String,
    forcing: Forcing,
    max_iterations: Option<usize>,
    search: Armijo,
    last: Option<Forced>,
}

impl Default for NewtonCg {
    fn default() -> Self {
        Self::new()
    }
}

impl NewtonCg {
    /// With η = min(½, √‖g‖), as many iterations as there are parameters, and [`Armijo::default`].
    pub fn new() -> Self {
        Self {
            name: "newton-cg".to_string(),
            forcing: Forcing::default(),
            max_iterations: None,
            search: Armijo::default(),
            last: None,
        }
    }

    /// With another rule for the residual.
    pub fn forcing(self, forcing: Forcing) -> Self {
        Self { forcing, ..self }
    }

    /// With at most this many products per step.
    pub fn max_iterations(self, max_iterations: usize) -> Self {
        Self {
            max_iterations: Some(max_iterations),
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
}

/// A search direction, its curvature and how its solve ended.
struct Direction {
    d: Tensor<1>,
    /// dᵀHd.
    curvature: f64,
    ending: StepEnding,
}

impl Direction {
    /// What the solve H d = −g left, with right-hand side `b` = −g.
    fn from_solve(b: &Tensor<1>, gtg: f64, solve: CgResult) -> Self {
        let relative_residual = solve.residual_norm() / gtg.sqrt();
        // H x = b − r, so that the curvature of x costs no product.
        let curvature = vector::dot(&solve.solution, &(b.clone() - solve.residual.clone()));
        let ending = match solve.ending {
            CgEnding::NegativeCurvature {
                direction,
                rayleigh,
            } if solve.iterations == 0 => {
                return Self {
                    d: b.clone(),
                    curvature: rayleigh * gtg,
                    ending: StepEnding::NegativeCurvature {
                        rayleigh,
                        direction,
                    },
                };
            }
            other => StepEnding::of_solve(other, solve.iterations, relative_residual),
        };
        Self {
            d: solve.solution,
            curvature,
            ending,
        }
    }
}

impl Method for NewtonCg {
    fn name(&self) -> &str {
        &self.name
    }

    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        self.forcing.check()?;
        if let Some(allowed) = self.max_iterations {
            in_range("max_iterations", allowed as f64, "at least 1", allowed > 0)?;
        }
        let start = Start::with_products(oracle, theta)?;
        if let Some(obstacle) = start.obstacle() {
            return Ok(start.stay(oracle, obstacle));
        }
        let gradient_norm = start.gtg.sqrt();
        let eta = self.forcing.eta(gradient_norm, self.last);
        self.last = Some(Forced { gradient_norm, eta });
        let options = CgOptions {
            max_iterations: self.max_iterations,
            relative_tolerance: eta,
            ..CgOptions::default()
        };
        let hessian = oracle.hessian(theta)?;
        let b = -start.gradient.clone();
        let solve = conjugate_gradient(&hessian, &b, &options)?;
        let direction = Direction::from_solve(&b, start.gtg, solve);
        if !direction.ending.moved() {
            return Ok(start.stay(oracle, direction.ending));
        }
        let slope = vector::dot(&start.gradient, &direction.d);
        let line = Line {
            theta,
            loss: start.loss,
            direction: &direction.d,
            slope,
        };
        let to = match self.search.search(oracle, line, 1.0)? {
            LineSearch::Found { theta, alpha, .. } => Move {
                theta,
                learning_rate: Some(alpha),
                predicted_change: Some(alpha * slope + 0.5 * alpha * alpha * direction.curvature),
                ending: direction.ending,
            },
            LineSearch::Exhausted { trials } => {
                Move::nowhere(&start, StepEnding::NoDecrease { trials, slope })
            }
        };
        Ok(start.finish(oracle, to))
    }

    fn state(&self) -> Result<MethodState, OptimError> {
        MethodState::new(KIND, &self.last)
    }

    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        self.last = state.memory(KIND)?;
        Ok(())
    }
}

/// What its states are called.
const KIND: &str = "newton-cg";

#[cfg(test)]
mod tests;
