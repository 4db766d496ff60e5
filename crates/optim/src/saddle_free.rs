//! Newton's method with the absolute values of the Hessian's eigenvalues.

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::in_range;
use crate::gain::gain;
use crate::krylov::Krylov;
use crate::method::{Move, Start, along};
use crate::newton::{AdaptiveDamping, Damping};
use crate::quadratic_model::{QuadraticModel, or_ending};
use crate::{Armijo, Line, LineSearch, Method, MethodState, OptimError, Oracle, Step, StepEnding};

/// Saddle-free Newton: θ ← θ + α d with d = −Σ (uᵢᵀg) / (max(|λᵢ|, δ) + λ) uᵢ, over eigenpairs (λᵢ, uᵢ) of the Hessian.
///
/// Newton's step along every eigendirection, but always downhill: where the loss curves downwards the step goes away from the
/// stationary point, so that saddles repel. [`Spectrum::Dense`] takes all eigenpairs; [`Spectrum::Krylov`] those of T = VᵀHV with V the
/// basis of k Lanczos iterations from g (fully reorthogonalised), so that d = −V (|T| + λI)⁻¹ ‖g‖e₁ without the floor δ. The
/// iterations end early when β_k ≤ 1e-13 max(|α|, |β|) (1e-6 in f32): the space is invariant.
///
/// The damping λ follows [`Damping`]:
/// - [`Damping::None`] and [`Damping::Fixed`]: α = 1, or [`Armijo`] from α = 1 with [`SaddleFreeNewton::backtracking`]. A smallest
///   max(|λᵢ|, δ) + λ that is not above n ε times the largest (n the number of eigenpairs, ε = 2.2e-16) ends with
///   [`StepEnding::Singular`].
/// - [`Damping::Adaptive`] (the default): the first of λ, λ·increase, λ·increase² … is taken for which
///   ρ = (f(θ + d) − f(θ) − δ_f) / (gᵀd + ½ dᵀHd − δ_f) > accept, δ_f = 10 ε |f(θ)|; then λ is multiplied by `increase` when ρ < ¼, by
///   `decrease` when ρ > ¾, and kept within its bounds. [`StepEnding::NoDecrease`] when none is up to `maximum`.
///
/// A step that met λᵢ < 0 (by more than n ε max |λ| in the dtype of the products) ends with [`StepEnding::NegativeCurvature`], which
/// holds the lowest pair. The promise is α gᵀd + ½ α² dᵀHd.
///
/// # Cost
///
/// One gradient and dim (dense) or at most k products per step; one loss per trial of a line search or of an adaptive λ. Dense: a
/// decomposition of order dim³; Krylov: 4 k² dim operations and k vectors in f64.
///
/// # References
///
/// Y. Dauphin, R. Pascanu, C. Gulcehre, K. Cho, S. Ganguli and Y. Bengio, Identifying and attacking the saddle point problem in
/// high-dimensional non-convex optimization, 2014, Algorithm 1 (with Lanczos vectors from g; one step in each Krylov space, where the
/// algorithm allows several); S. Paternain, A. Mokhtari and A. Ribeiro, A Newton-based method for nonconvex optimization with fast
/// evasion of saddle points, 2019, definition 2 (the floor δ).
///
/// # Example
///
/// ```
/// use ravine_optim::{Armijo, Damping, Method, SaddleFreeNewton, Spectrum};
///
/// let large = SaddleFreeNewton::new(Spectrum::Krylov { dimension: 50 });
/// let small = SaddleFreeNewton::new(Spectrum::Dense)
///     .damping(Damping::None)
///     .floor(1e-6)
///     .backtracking(Armijo::default());
/// assert_eq!(large.name(), small.name());
/// ```
#[derive(Clone, Debug)]
pub struct SaddleFreeNewton {
    name: String,
    spectrum: Spectrum,
    damping: Damping,
    floor: f64,
    search: Option<Armijo>,
    /// The current λ of an adaptive damping.
    lambda: Option<f64>,
}

/// Which eigenpairs of the Hessian [`SaddleFreeNewton`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Spectrum {
    /// All: for models of up to a few thousand parameters.
    Dense,
    /// Those of the Hessian on the Krylov space of the gradient.
    Krylov {
        /// k, at least 1; the space is smaller when it becomes invariant.
        dimension: usize,
    },
}

impl Default for Spectrum {
    /// A Krylov space of 20 dimensions.
    fn default() -> Self {
        Self::Krylov { dimension: 20 }
    }
}

impl Default for SaddleFreeNewton {
    /// On a Krylov space of 20 dimensions.
    fn default() -> Self {
        Self::new(Spectrum::default())
    }
}

/// d in the coordinates of the model.
struct Direction {
    y: Vec<f64>,
    d: Tensor<1>,
}

impl SaddleFreeNewton {
    /// With [`Damping::adaptive`], no floor and no line search.
    pub fn new(spectrum: Spectrum) -> Self {
        Self {
            name: "saddle-free-newton".to_string(),
            spectrum,
            damping: Damping::adaptive(),
            floor: 0.0,
            search: None,
            lambda: None,
        }
    }

    /// With another damping.
    pub fn damping(self, damping: Damping) -> Self {
        Self { damping, ..self }
    }

    /// With |λᵢ| raised to at least δ, in the unit of the Hessian's eigenvalues; 0 by default.
    pub fn floor(self, floor: f64) -> Self {
        Self { floor, ..self }
    }

    /// With backtracking along d, from α = 1; an adaptive damping ignores it, since it searches itself.
    pub fn backtracking(self, search: Armijo) -> Self {
        Self {
            search: Some(search),
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

    fn check(&self) -> Result<(), OptimError> {
        self.damping.check()?;
        let holds = self.floor >= 0.0 && self.floor.is_finite();
        in_range("floor", self.floor, "at least 0 and finite", holds)?;
        match self.spectrum {
            Spectrum::Dense => Ok(()),
            Spectrum::Krylov { dimension } => {
                in_range("dimension", dimension as f64, "at least 1", dimension > 0)
            }
        }
    }

    /// max(|λᵢ|, δ) + λ.
    fn sizes(&self, model: &QuadraticModel<'_>, lambda: f64) -> Vec<f64> {
        let size = |value: &f64| value.abs().max(self.floor) + lambda;
        model.values().iter().map(size).collect()
    }

    fn direction(&self, model: &QuadraticModel<'_>, lambda: f64) -> Direction {
        let sizes = self.sizes(model, lambda);
        let y: Vec<f64> = model
            .slopes()
            .iter()
            .zip(sizes)
            .map(|(c, size)| -c / size)
            .collect();
        let d = model.step(&y);
        Direction { y, d }
    }

    fn step_with(
        &mut self,
        oracle: &mut Oracle,
        start: &Start<'_>,
        model: &QuadraticModel<'_>,
    ) -> Result<Move, OptimError> {
        match self.damping {
            Damping::None | Damping::Fixed { .. } => self.direct(oracle, start, model),
            Damping::Adaptive(rule) => self.adaptive(oracle, start, model, rule),
        }
    }

    /// Undamped or with a fixed λ.
    fn direct(
        &self,
        oracle: &mut Oracle,
        start: &Start<'_>,
        model: &QuadraticModel<'_>,
    ) -> Result<Move, OptimError> {
        let lambda = self.lambda();
        let sizes = self.sizes(model, lambda);
        let largest = sizes.iter().fold(0.0_f64, |m, size| m.max(*size));
        let smallest = sizes.iter().fold(f64::INFINITY, |m, size| m.min(*size));
        let pivot_ratio = smallest / largest;
        let limit = sizes.len() as f64 * f64::EPSILON;
        if pivot_ratio.is_nan() || pivot_ratio <= limit {
            return Ok(Move::nowhere(start, StepEnding::Singular { pivot_ratio }));
        }
        let direction = self.direction(model, lambda);
        let Some(armijo) = self.search else {
            let theta = along(start.theta, &direction.d, 1.0);
            return Ok(taken(model, &direction, theta, 1.0));
        };
        let slope = model.slope(&direction.y);
        let line = Line {
            theta: start.theta,
            loss: start.loss,
            direction: &direction.d,
            slope,
        };
        Ok(match armijo.search(oracle, line, 1.0)? {
            LineSearch::Found { theta, alpha, .. } => taken(model, &direction, theta, alpha),
            LineSearch::Exhausted { trials } => {
                Move::nowhere(start, StepEnding::NoDecrease { trials, slope })
            }
        })
    }

    /// λ by the gain ratio.
    fn adaptive(
        &mut self,
        oracle: &mut Oracle,
        start: &Start<'_>,
        model: &QuadraticModel<'_>,
        rule: AdaptiveDamping,
    ) -> Result<Move, OptimError> {
        let mut lambda = self.lambda();
        let mut trials = 0;
        let mut slope = 0.0;
        while lambda <= rule.maximum {
            let direction = self.direction(model, lambda);
            slope = model.slope(&direction.y);
            let promised = slope + 0.5 * model.curvature(&direction.y);
            let theta = along(start.theta, &direction.d, 1.0);
            let after = oracle.loss(&theta)?;
            trials += 1;
            let gain = gain(start.loss, after, promised, start.gradient.dtype());
            if gain > rule.accept {
                self.lambda = Some(rule.after(lambda, gain));
                return Ok(taken(model, &direction, theta, 1.0));
            }
            lambda *= rule.increase;
        }
        Ok(Move::nowhere(
            start,
            StepEnding::NoDecrease { trials, slope },
        ))
    }
}

/// The move to `theta`, which lies at α along the direction.
fn taken(model: &QuadraticModel<'_>, direction: &Direction, theta: Tensor<1>, alpha: f64) -> Move {
    let (slope, curvature) = (model.slope(&direction.y), model.curvature(&direction.y));
    Move {
        theta,
        learning_rate: Some(alpha),
        predicted_change: Some(alpha * slope + 0.5 * alpha * alpha * curvature),
        ending: model.negative_curvature().unwrap_or(StepEnding::Accepted),
    }
}

impl Method for SaddleFreeNewton {
    fn name(&self) -> &str {
        &self.name
    }

    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        self.check()?;
        let start = Start::with_products(oracle, theta)?;
        if let Some(obstacle) = start.obstacle() {
            return Ok(start.stay(oracle, obstacle));
        }
        let hessian = oracle.hessian(theta)?;
        let to = match self.spectrum {
            Spectrum::Dense => match or_ending(oracle.dense_hessian(theta))? {
                Ok(dense) => {
                    let model = QuadraticModel::whole(&dense, &start.gradient)?;
                    self.step_with(oracle, &start, &model)?
                }
                Err(ending) => Move::nowhere(&start, ending),
            },
            Spectrum::Krylov { dimension } => {
                match or_ending(Krylov::from(&hessian, &start.gradient, dimension))? {
                    Ok(krylov) => {
                        let model = QuadraticModel::on(&krylov, &start.gradient)?;
                        self.step_with(oracle, &start, &model)?
                    }
                    Err(ending) => Move::nowhere(&start, ending),
                }
            }
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
const KIND: &str = "saddle-free-newton";

#[cfg(test)]
mod tests;
