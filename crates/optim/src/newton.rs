//! Newton's method with the whole Hessian.

mod damping;
mod equations;
mod factor;

use burn::prelude::*;
use ravine_curvature::{CurvatureError, vector};

pub use damping::{AdaptiveDamping, Damping};
use equations::Equations;
use factor::Factored;

use crate::method::{Move, Start, along};
use crate::{
    Armijo, Line, LineSearch, Method, MethodState, OptimError, Oracle, Quantity, Step, StepEnding,
};

/// Newton's method with a dense Hessian: θ ← θ + α d with (H + λI) d = −g, solved in f64.
///
/// For models of up to a few thousand parameters: the Hessian is formed column by column and factorised (Bunch-Kaufman,
/// dim³/3 operations), and once more for each λ that an adaptive damping tries. The promise is that of the undamped
/// quadratic model, α gᵀd + ½ α² dᵀHd.
///
/// Where H + λI is not positive definite:
/// - undamped or with a fixed λ the step to the stationary point is taken all the same, be it uphill, and ends with
///   [`StepEnding::NegativeCurvature`]; with backtracking it is not taken when it points uphill
///   ([`StepEnding::NoDecrease`]);
/// - an adaptive λ grows until it is, and the step ends with [`StepEnding::NegativeCurvature`] too.
///
/// A matrix that is singular to working precision ends with [`StepEnding::Singular`].
///
/// # Cost
///
/// One gradient and dim products per step; one loss per trial of a line search or of an adaptive λ.
///
/// # Example
///
/// ```
/// use ravine_optim::{Armijo, Damping, Newton};
///
/// let pure = Newton::new(Damping::None);
/// let damped = Newton::new(Damping::Fixed { lambda: 1e-3 }).backtracking(Armijo::default());
/// let levenberg_marquardt = Newton::new(Damping::adaptive());
/// # let _ = (pure, damped, levenberg_marquardt);
/// ```
#[derive(Clone, Debug)]
pub struct Newton {
    name: String,
    damping: Damping,
    search: Option<Armijo>,
    singular_below: Option<f64>,
    /// The current λ of an adaptive damping.
    lambda: Option<f64>,
}

impl Newton {
    /// Newton's method with a damping.
    pub fn new(damping: Damping) -> Self {
        Self {
            name: "newton".to_string(),
            damping,
            search: None,
            singular_below: None,
            lambda: None,
        }
    }

    /// With backtracking along the Newton direction, from α = 1; an adaptive damping ignores it, since it searches itself.
    pub fn backtracking(self, search: Armijo) -> Self {
        Self {
            search: Some(search),
            ..self
        }
    }

    /// With another ratio of pivots below which the matrix counts as singular; by default dim · 2.2e-16.
    ///
    /// A Hessian evaluated in f32 carries noise of 1e-7 of its norm: a ratio of that size keeps Newton from following it.
    pub fn singular_below(self, pivot_ratio: f64) -> Self {
        Self {
            singular_below: Some(pivot_ratio),
            ..self
        }
    }

    /// With another name for tables and plots.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// The λ that the next step of an adaptive damping starts with, or the fixed one.
    pub fn lambda(&self) -> f64 {
        self.damping.current(self.lambda)
    }

    /// Undamped or with a fixed λ.
    fn direct(
        &self,
        oracle: &mut Oracle,
        start: &Start<'_>,
        equations: &Equations<'_>,
    ) -> Result<Move, OptimError> {
        let lambda = self.lambda();
        let factored = Factored::new(equations.hessian, lambda);
        let dim = equations.gradient.len();
        let limit = self.singular_below.unwrap_or(dim as f64 * f64::EPSILON);
        let pivot_ratio = factored.pivot_ratio();
        if pivot_ratio.is_nan() || pivot_ratio <= limit {
            return Ok(Move::nowhere(start, StepEnding::Singular { pivot_ratio }));
        }
        let direction = equations.solve(&factored, lambda);
        let ending = equations
            .negative_curvature(&factored)
            .unwrap_or(StepEnding::Accepted);
        let Some(armijo) = self.search else {
            let theta = along(start.theta, &direction.d, 1.0);
            return Ok(direction.step_to(theta, 1.0, ending));
        };
        let line = Line {
            theta: start.theta,
            loss: start.loss,
            direction: &direction.d,
            slope: direction.slope,
        };
        match armijo.search(oracle, line, 1.0)? {
            LineSearch::Found { theta, alpha, .. } => Ok(direction.step_to(theta, alpha, ending)),
            LineSearch::Exhausted { trials } => {
                let slope = direction.slope;
                Ok(Move::nowhere(
                    start,
                    StepEnding::NoDecrease { trials, slope },
                ))
            }
        }
    }

    /// λ by the gain ratio.
    fn adaptive(
        &mut self,
        oracle: &mut Oracle,
        start: &Start<'_>,
        equations: &Equations<'_>,
        rule: AdaptiveDamping,
    ) -> Result<Move, OptimError> {
        let mut lambda = self.lambda.unwrap_or(rule.initial);
        let mut ending = StepEnding::Accepted;
        let mut trials = 0;
        let mut slope = 0.0;
        while lambda <= rule.maximum {
            let factored = Factored::new(equations.hessian, lambda);
            if !factored.is_positive_definite() {
                ending = equations.negative_curvature(&factored).unwrap_or(ending);
                lambda *= rule.increase;
                continue;
            }
            let direction = equations.solve(&factored, lambda);
            slope = direction.slope;
            let theta = along(start.theta, &direction.d, 1.0);
            let change = oracle.loss(&theta)? - start.loss;
            trials += 1;
            let gain = change / direction.predicted_change(1.0);
            // A gain that is NaN accepts nothing; −∞/−p would be a gain of +∞.
            if change.is_finite() && gain > rule.accept {
                self.lambda = Some(rule.after(lambda, gain));
                return Ok(direction.step_to(theta, 1.0, ending));
            }
            lambda *= rule.increase;
        }
        Ok(Move::nowhere(
            start,
            StepEnding::NoDecrease { trials, slope },
        ))
    }
}

impl Method for Newton {
    fn name(&self) -> &str {
        &self.name
    }

    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        self.damping.check()?;
        let start = Start::with_products(oracle, theta)?;
        if let Some(obstacle) = start.obstacle() {
            return Ok(start.stay(oracle, obstacle));
        }
        let dense = match oracle.dense_hessian(theta) {
            Ok(dense) => dense,
            Err(OptimError::Curvature(CurvatureError::NonFinite { value, .. })) => {
                let quantity = Quantity::Hessian;
                return Ok(start.stay(oracle, StepEnding::NonFinite { quantity, value }));
            }
            Err(error) => return Err(error),
        };
        let equations = Equations {
            hessian: dense.matrix().as_ref(),
            gradient: vector::to_f64(&start.gradient),
            like: theta,
        };
        let to = match self.damping {
            Damping::None | Damping::Fixed { .. } => self.direct(oracle, &start, &equations)?,
            Damping::Adaptive(rule) => self.adaptive(oracle, &start, &equations, rule)?,
        };
        Ok(start.finish(oracle, to))
    }

    fn state(&self) -> Result<MethodState, OptimError> {
        MethodState::new(KIND, &self.lambda)
    }

    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        self.lambda = state.memory(KIND)?;
        Ok(())
    }
}

/// What its states are called.
const KIND: &str = "newton";

#[cfg(test)]
mod tests;
