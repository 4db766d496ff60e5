use burn::prelude::*;
use ravine_curvature::{CgEnding, CurvatureError, vector};
use serde::{Deserialize, Serialize};

use crate::{Cost, MethodState, OptimError, Oracle};

/// A way to improve parameters, one step at a time.
///
/// Everything a method wants to know it asks the [`Oracle`], which counts it; the state of a method (velocities, damping,
/// the age of a schedule) is its own. One step sees one batch.
pub trait Method {
    /// Name for tables and plots.
    fn name(&self) -> &str;

    /// One step from `theta` on the oracle's batch.
    ///
    /// # Errors
    ///
    /// Misuse and failed evaluations; how the step ended numerically is [`Step::ending`].
    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError>;

    /// What the method remembers, so that a run can be cut here and go on later, bitwise the same.
    ///
    /// # Errors
    ///
    /// [`OptimError::NoState`] for a method that does not implement it.
    fn state(&self) -> Result<MethodState, OptimError> {
        Err(OptimError::NoState {
            method: self.name().to_string(),
        })
    }

    /// Goes on from a state that a method with the same options saved.
    ///
    /// # Errors
    ///
    /// [`OptimError::StateOfAnother`] for a state of another kind of method, [`OptimError::State`] when it does not read,
    /// [`OptimError::NoState`] for a method that does not implement it. Whether the dimension fits shows at the next step
    /// ([`OptimError::StateDimension`]).
    fn load_state(&mut self, _state: &MethodState) -> Result<(), OptimError> {
        Err(OptimError::NoState {
            method: self.name().to_string(),
        })
    }
}

impl<M: Method + ?Sized> Method for Box<M> {
    fn state(&self) -> Result<MethodState, OptimError> {
        (**self).state()
    }

    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        (**self).load_state(state)
    }

    fn name(&self) -> &str {
        (**self).name()
    }

    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        (**self).step(oracle, theta)
    }
}

/// What one step did.
#[derive(Clone, Debug)]
pub struct Step {
    /// The parameters after the step, flat; those before it when [`StepEnding::moved`] is false.
    pub theta: Tensor<1>,
    /// The loss before the step, on the batch of the step.
    pub loss_before: f64,
    /// ‖∇loss‖ before the step.
    pub gradient_norm: Option<f64>,
    /// The rate ε of a first-order method, or the fraction of its direction that a Newton-type method went.
    pub learning_rate: Option<f64>,
    /// The change of the loss that the method's own model promised; negative when it promised a decrease.
    pub predicted_change: Option<f64>,
    /// How the step ended.
    pub ending: StepEnding,
    /// What the step asked of the oracle.
    pub cost: Cost,
}

/// How a step ended: a fact about the problem, not an error.
#[expect(
    clippy::large_enum_variant,
    reason = "one is made per step, next to whole vectors"
)]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StepEnding {
    /// The step was taken as the method intends.
    Accepted,
    /// The method made itself ready and takes its first step the next time; θ stays.
    Prepared,
    /// The loss curves downwards along a direction that the method met; the step was taken as its documentation says.
    NegativeCurvature {
        /// vᵀHv / vᵀv of that direction, not positive.
        rayleigh: f64,
        /// The direction v, flat, not normalised.
        direction: Tensor<1>,
    },
    /// The inner solver stopped before its tolerance; the step along what it had was taken.
    SolverStopped {
        /// Iterations of the solver.
        iterations: usize,
        /// Its relative residual ‖b − Hx‖ / ‖b‖.
        relative_residual: f64,
    },
    /// No step along the direction decreased the loss enough; θ stays.
    NoDecrease {
        /// Steps that were tried, 0 when the direction does not point downhill.
        trials: usize,
        /// gᵀd of the direction; not negative when it does not point downhill.
        slope: f64,
    },
    /// The loss did not follow the method's model; θ stays, and the next step tries less: a smaller radius, a heavier weight, more damping.
    Rejected {
        /// ρ = measured change / promised change; −∞ when the loss there is not finite.
        gain: f64,
    },
    /// The matrix of the Newton equations is singular to working precision; θ stays.
    Singular {
        /// Smallest over largest absolute pivot.
        pivot_ratio: f64,
    },
    /// The gradient is exactly zero; θ stays.
    Stationary,
    /// Something is NaN or infinite; θ stays.
    NonFinite {
        /// What.
        quantity: Quantity,
        /// Its value, or that of its norm.
        value: f64,
    },
}

/// A quantity that can cease to be finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Quantity {
    /// The loss at θ.
    Loss,
    /// The gradient at θ.
    Gradient,
    /// The Hessian or a product with it.
    Hessian,
    /// The parameters after the step.
    Theta,
}

impl StepEnding {
    /// How a step along what conjugate gradients left ends, by how they ended.
    pub(crate) fn of_solve(ending: CgEnding, iterations: usize, relative_residual: f64) -> Self {
        match ending {
            CgEnding::Converged => Self::Accepted,
            CgEnding::NegativeCurvature {
                direction,
                rayleigh,
            } => Self::NegativeCurvature {
                rayleigh,
                direction,
            },
            CgEnding::NonFinite if iterations == 0 => Self::NonFinite {
                quantity: Quantity::Hessian,
                value: f64::NAN,
            },
            _ => Self::SolverStopped {
                iterations,
                relative_residual,
            },
        }
    }

    /// Whether the step changed θ.
    pub fn moved(&self) -> bool {
        match self {
            Self::Accepted | Self::NegativeCurvature { .. } | Self::SolverStopped { .. } => true,
            Self::Prepared
            | Self::NoDecrease { .. }
            | Self::Rejected { .. }
            | Self::Singular { .. }
            | Self::Stationary
            | Self::NonFinite { .. } => false,
        }
    }

    /// Whether another step from the same θ on the same data would do the same: nothing moved, and the method learned nothing.
    pub fn repeats(&self) -> bool {
        !self.moved() && !matches!(self, Self::Prepared | Self::Rejected { .. })
    }

    /// The ending without its data, for rows of a table.
    pub fn kind(&self) -> EndingKind {
        match self {
            Self::Accepted => EndingKind::Accepted,
            Self::Prepared => EndingKind::Prepared,
            Self::NegativeCurvature { .. } => EndingKind::NegativeCurvature,
            Self::SolverStopped { .. } => EndingKind::SolverStopped,
            Self::NoDecrease { .. } => EndingKind::NoDecrease,
            Self::Rejected { .. } => EndingKind::Rejected,
            Self::Singular { .. } => EndingKind::Singular,
            Self::Stationary => EndingKind::Stationary,
            Self::NonFinite { .. } => EndingKind::NonFinite,
        }
    }
}

/// A [`StepEnding`] without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EndingKind {
    /// See [`StepEnding::Accepted`].
    Accepted,
    /// See [`StepEnding::Prepared`].
    Prepared,
    /// See [`StepEnding::NegativeCurvature`].
    NegativeCurvature,
    /// See [`StepEnding::SolverStopped`].
    SolverStopped,
    /// See [`StepEnding::NoDecrease`].
    NoDecrease,
    /// See [`StepEnding::Rejected`].
    Rejected,
    /// See [`StepEnding::Singular`].
    Singular,
    /// See [`StepEnding::Stationary`].
    Stationary,
    /// See [`StepEnding::NonFinite`].
    NonFinite,
}

/// Where a step starts: what every method asks first, and the bill at that time.
pub(crate) struct Start<'a> {
    pub(crate) theta: &'a Tensor<1>,
    pub(crate) loss: f64,
    pub(crate) gradient: Tensor<1>,
    /// gᵀg.
    pub(crate) gtg: f64,
    earlier: Cost,
}

/// How far a step goes and what it promises.
pub(crate) struct Move {
    pub(crate) theta: Tensor<1>,
    pub(crate) learning_rate: Option<f64>,
    pub(crate) predicted_change: Option<f64>,
    pub(crate) ending: StepEnding,
}

impl Move {
    /// No move at all.
    pub(crate) fn nowhere(start: &Start<'_>, ending: StepEnding) -> Self {
        Self {
            theta: start.theta.clone(),
            learning_rate: None,
            predicted_change: None,
            ending,
        }
    }
}

impl<'a> Start<'a> {
    /// Asks for loss and gradient at `theta`.
    pub(crate) fn at(oracle: &mut Oracle, theta: &'a Tensor<1>) -> Result<Self, OptimError> {
        let earlier = oracle.cost();
        let (loss, gradient) = oracle.gradient(theta)?;
        Ok(Self {
            theta,
            loss,
            gtg: vector::dot(&gradient, &gradient),
            gradient,
            earlier,
        })
    }

    /// As [`Start::at`], for a method that will ask for products at `theta`: one pass computes the gradient and what they share.
    pub(crate) fn with_products(
        oracle: &mut Oracle,
        theta: &'a Tensor<1>,
    ) -> Result<Self, OptimError> {
        oracle.prepare(theta)?;
        Self::at(oracle, theta)
    }

    /// The reason why no step can start here, if there is one.
    pub(crate) fn obstacle(&self) -> Option<StepEnding> {
        let non_finite = |quantity, value| Some(StepEnding::NonFinite { quantity, value });
        if !self.loss.is_finite() {
            return non_finite(Quantity::Loss, self.loss);
        }
        if !self.gtg.is_finite() {
            return non_finite(Quantity::Gradient, self.gtg.sqrt());
        }
        (self.gtg == 0.0).then_some(StepEnding::Stationary)
    }

    /// The step that stays where it started.
    pub(crate) fn stay(self, oracle: &Oracle, ending: StepEnding) -> Step {
        let to = Move::nowhere(&self, ending);
        self.finish(oracle, to)
    }

    /// The step to `to`.
    pub(crate) fn finish(self, oracle: &Oracle, to: Move) -> Step {
        Step {
            theta: to.theta,
            loss_before: self.loss,
            gradient_norm: Some(self.gtg.sqrt()),
            learning_rate: to.learning_rate,
            predicted_change: to.predicted_change,
            ending: to.ending,
            cost: oracle.cost() - self.earlier,
        }
    }
}

/// A curvature that is not finite as the ending that it is; any other error as it was.
pub(crate) fn not_finite(error: OptimError) -> Result<StepEnding, OptimError> {
    match error {
        OptimError::Curvature(CurvatureError::NonFinite { value, .. }) => {
            let quantity = Quantity::Hessian;
            Ok(StepEnding::NonFinite { quantity, value })
        }
        other => Err(other),
    }
}

/// θ + α d, in the dtype of θ.
pub(crate) fn along(theta: &Tensor<1>, direction: &Tensor<1>, alpha: f64) -> Tensor<1> {
    theta.clone() + direction.clone().cast(theta.dtype()) * alpha
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_that_move() {
        let moved = [
            StepEnding::Accepted,
            StepEnding::SolverStopped {
                iterations: 3,
                relative_residual: 0.1,
            },
        ];
        let stayed = [
            StepEnding::Stationary,
            StepEnding::NoDecrease {
                trials: 2,
                slope: -1.0,
            },
            StepEnding::NonFinite {
                quantity: Quantity::Loss,
                value: f64::NAN,
            },
        ];
        assert!(moved.iter().all(StepEnding::moved));
        assert!(!stayed.iter().any(StepEnding::moved));
        assert!(stayed.iter().all(StepEnding::repeats));
        // nothing moved, but the next step is another one
        for learned in [StepEnding::Prepared, StepEnding::Rejected { gain: -2.0 }] {
            assert!(!learned.moved() && !learned.repeats());
        }
        assert_eq!(
            serde_json::to_string(&stayed[1].kind()).unwrap(),
            "\"no-decrease\""
        );
    }
}
