//! Newton's method with minimal residuals.

mod search;

use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::{
    MinresCurvature, MinresEnding, MinresOptions, MinresResult, minres, vector,
};
use serde::{Deserialize, Serialize};

use search::{Found, by_gradient_norm, by_loss, forward};

use crate::error::in_range;
use crate::gain::epsilon;
use crate::method::{Move, Start};
use crate::newton_cg::Forced;
use crate::{
    Armijo, Forcing, Line, Method, MethodState, OptimError, Oracle, Quantity, Step, StepEnding,
};

/// Newton-MR: θ ← θ + α s with s ≈ −H⁺g by MINRES-QLP, for Hessians of any sign and rank.
///
/// [`Merit`] says what has to fall:
/// - [`Merit::GradientNorm`], the method of 2018, for losses whose stationary points are minima (invex): MINRES runs until
///   ‖g + Hs‖ ≤ η_k ‖g‖ ([`NewtonMr::forcing`]) or, where g is not in the range of H, until ‖Hr‖ ≤ τ ‖H‖ ‖r‖
///   ([`NewtonMr::normal_tolerance`]), where it returns −H⁺g. α = 1, β, β² … is the first with
///   ‖∇f(θ + αs)‖² ≤ ‖g‖² + 2 c α gᵀHs. It goes to the nearest stationary point, be it a saddle;
/// - [`Merit::Loss`], the method of 2022, for any loss: MINRES runs until ‖Hr‖ ≤ η_k ‖Hs‖ (or ‖r‖ ≤ 10 ε ‖g‖: rounding), or
///   until its residual r = −g − Hs has rᵀHr ≤ 0, which counts only where the first rule is not fulfilled as well. In the first case d = s, and α = 1, β, β² … is the first with f(θ + αd) ≤ f(θ) + c α gᵀd. In the second d = r,
///   the step ends with [`StepEnding::NegativeCurvature`], and if α = 1 satisfies the same condition, α grows, 1/β, 1/β² …, as
///   long as it does.
///
/// c, β and the number of trials are those of the [`Armijo`] of [`NewtonMr::line_search`]. A solve that ran out of iterations ends
/// with [`StepEnding::SolverStopped`]; a search that found nothing with [`StepEnding::NoDecrease`], whose slope is that of what has to
/// fall (2 gᵀHs for the squared norm of the gradient). The promise is that of the quadratic model of the loss, α gᵀd + ½ α² dᵀHd: for
/// [`Merit::GradientNorm`] it may be an increase.
///
/// # Cost
///
/// One product per iteration of MINRES. [`Merit::GradientNorm`]: one gradient per trial, of which the last is that of the next step.
/// [`Merit::Loss`]: one gradient per step, one loss per trial.
///
/// # References
///
/// F. Roosta, Y. Liu, P. Xu and M. W. Mahoney, Newton-MR: inexact Newton method with minimum residual sub-problem solver, 2018 and
/// 2022, Algorithm 1 and (10); Y. Liu and F. Roosta, A Newton-MR algorithm with complexity guarantees for nonconvex smooth
/// unconstrained optimization, 2022; Y. Liu and F. Roosta, MINRES: from negative curvature detection to monotonicity properties, 2022.
///
/// # Example
///
/// ```
/// use ravine_optim::{Forcing, Merit, Method, NewtonMr};
///
/// let invex = NewtonMr::new(Merit::GradientNorm).forcing(Forcing::Constant { eta: 0.1 });
/// let any = NewtonMr::new(Merit::Loss).max_iterations(100);
/// assert_eq!(invex.name(), any.name());
/// ```
#[derive(Clone, Debug)]
pub struct NewtonMr {
    name: String,
    merit: Merit,
    forcing: Forcing,
    max_iterations: Option<usize>,
    normal_tolerance: Option<f64>,
    search: Armijo,
    last: Option<Forced>,
}

/// What a step of [`NewtonMr`] has to make smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Merit {
    /// ‖∇f‖²: for invex losses.
    #[default]
    GradientNorm,
    /// f, with directions of negative curvature where MINRES meets them.
    Loss,
}

impl Default for NewtonMr {
    /// By the norm of the gradient.
    fn default() -> Self {
        Self::new(Merit::default())
    }
}

impl NewtonMr {
    /// With η = 0.01, five times as many iterations as there are parameters, τ of the dtype, and [`Armijo::default`].
    pub fn new(merit: Merit) -> Self {
        Self {
            name: "newton-mr".to_string(),
            merit,
            forcing: Forcing::Constant { eta: 0.01 },
            max_iterations: None,
            normal_tolerance: None,
            search: Armijo::default(),
            last: None,
        }
    }

    /// With another rule for η_k.
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

    /// With another τ: the residual counts as orthogonal to the range of H where ‖Hr‖ ≤ τ ‖H‖ ‖r‖; by default 1e-8 in f64 and 2e-4 in
    /// f32. A Hessian with a condition number above 1/τ needs a smaller one.
    pub fn normal_tolerance(self, tolerance: f64) -> Self {
        Self {
            normal_tolerance: Some(tolerance),
            ..self
        }
    }

    /// With other numbers for the search along the step.
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

    fn check(&self) -> Result<(), OptimError> {
        self.forcing.check()?;
        self.search.check()?;
        if let Some(most) = self.max_iterations {
            in_range("max_iterations", most as f64, "at least 1", most > 0)?;
        }
        let Some(tolerance) = self.normal_tolerance else {
            return Ok(());
        };
        let inside = (0.0..1.0).contains(&tolerance);
        let expected = "at least 0 and below 1";
        in_range("normal_tolerance", tolerance, expected, inside)
    }

    fn options(&self, eta: f64, dtype: DType) -> MinresOptions<'_> {
        let options = MinresOptions {
            max_iterations: self.max_iterations,
            normal_tolerance: self.normal_tolerance,
            ..MinresOptions::default()
        };
        match self.merit {
            Merit::GradientNorm => MinresOptions {
                relative_tolerance: eta,
                ..options
            },
            Merit::Loss => MinresOptions {
                // Beyond rounding the residual is noise, and so is its curvature.
                relative_tolerance: 10.0 * epsilon(dtype),
                subproblem_tolerance: Some(eta),
                curvature: MinresCurvature::Report { floor: 0.0 },
                ..options
            },
        }
    }

    fn search(
        &self,
        oracle: &mut Oracle,
        start: &Start<'_>,
        direction: &Direction,
    ) -> Result<Found, OptimError> {
        let line = Line {
            theta: start.theta,
            loss: start.loss,
            direction: &direction.d,
            slope: direction.slope,
        };
        match (self.merit, &direction.ending) {
            (Merit::GradientNorm, _) => {
                by_gradient_norm(&self.search, oracle, line, start.gtg, direction.norm_slope)
            }
            (Merit::Loss, StepEnding::NegativeCurvature { .. }) => {
                forward(&self.search, oracle, line)
            }
            (Merit::Loss, _) => by_loss(&self.search, oracle, line),
        }
    }
}

/// What MINRES found, and what the models say about it.
struct Direction {
    d: Tensor<1>,
    /// gᵀd.
    slope: f64,
    /// dᵀHd.
    curvature: f64,
    /// 2 gᵀHd, the slope of ‖∇f‖².
    norm_slope: f64,
    ending: StepEnding,
}

impl Direction {
    /// What the solve H s = −g left; H s = −g − r costs no product.
    fn from_solve(start: &Start<'_>, solve: MinresResult) -> Self {
        let gradient = &start.gradient;
        let relative_residual = solve.residual_norm() / start.gtg.sqrt();
        let ending = match solve.ending {
            MinresEnding::NegativeCurvature {
                direction,
                rayleigh,
            } => return Self::downward(start, direction, rayleigh),
            MinresEnding::NonFinite if solve.iterations == 0 => StepEnding::NonFinite {
                quantity: Quantity::Hessian,
                value: f64::NAN,
            },
            MinresEnding::MaxIterations | MinresEnding::NonFinite => StepEnding::SolverStopped {
                iterations: solve.iterations,
                relative_residual,
            },
            _ => StepEnding::Accepted,
        };
        let image = -(gradient.clone() + solve.residual);
        Self {
            slope: vector::dot(gradient, &solve.solution),
            curvature: vector::dot(&image, &solve.solution),
            norm_slope: 2.0 * vector::dot(gradient, &image),
            d: solve.solution,
            ending,
        }
    }

    /// Along a residual r that does not curve upwards.
    fn downward(start: &Start<'_>, direction: Tensor<1>, rayleigh: f64) -> Self {
        Self {
            slope: vector::dot(&start.gradient, &direction),
            curvature: rayleigh * vector::dot(&direction, &direction),
            norm_slope: f64::NAN,
            d: direction.clone(),
            ending: StepEnding::NegativeCurvature {
                rayleigh,
                direction,
            },
        }
    }
}

impl Method for NewtonMr {
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
        let eta = self.forcing.eta(gradient_norm, self.last);
        self.last = Some(Forced { gradient_norm, eta });
        let hessian = oracle.hessian(theta)?;
        let options = self.options(eta, start.gradient.dtype());
        let solve = minres(&hessian, &-start.gradient.clone(), &options)?;
        let direction = Direction::from_solve(&start, solve);
        if !direction.ending.moved() {
            return Ok(start.stay(oracle, direction.ending));
        }
        let to = match self.search(oracle, &start, &direction)? {
            Found::Step { theta, alpha } => Move {
                theta,
                learning_rate: Some(alpha),
                predicted_change: Some(
                    alpha * direction.slope + 0.5 * alpha * alpha * direction.curvature,
                ),
                ending: direction.ending,
            },
            Found::Nothing { trials, slope } => {
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
const KIND: &str = "newton-mr";

#[cfg(test)]
mod tests;
