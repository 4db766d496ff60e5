use burn::prelude::*;

use crate::method::Start;
use crate::pace::{Memory, Pace};
use crate::{
    Direction, LearningRate, Method, MethodState, OptimError, Oracle, Place, Step, StepEnding,
};

/// A method of a direction and a rule for the rate: θ ← θ + ε d.
///
/// Every [`Direction`] goes with every [`LearningRate`]. The promise is ε gᵀd + ½ ε² dᵀHd where the curvature is known, ε gᵀd
/// otherwise. A direction of length zero ends with [`StepEnding::Stationary`].
///
/// # Cost
///
/// One gradient per step, and what direction and rule ask beyond that.
///
/// # Example
///
/// ```
/// use ravine_optim::{Descent, HeavyBall, LearningRate, Method, Schedule, SharpnessCap};
///
/// let rate = LearningRate::from(Schedule::Cosine { initial: 0.1, last: 0.0, steps: 900 })
///     .warmed_up(100)
///     .below_sharpness(SharpnessCap::default());
/// let method = Descent::new(HeavyBall::new(0.9), rate).named("careful-momentum");
/// assert_eq!(method.name(), "careful-momentum");
/// ```
#[derive(Clone, Debug)]
pub struct Descent<D> {
    name: String,
    direction: D,
    pace: Pace,
}

impl<D: Direction> Descent<D> {
    /// A direction with a rate, a [`crate::Schedule`] or a [`LearningRate`].
    pub fn new(direction: D, rate: impl Into<LearningRate>) -> Self {
        Self {
            name: direction.name().to_string(),
            direction,
            pace: Pace::new(rate.into()),
        }
    }

    /// With another name for tables and plots.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// The direction.
    pub fn direction(&self) -> &D {
        &self.direction
    }
}

/// What a [`Descent`] saves.
const KIND: &str = "descent";

impl<D: Direction> Method for Descent<D> {
    fn name(&self) -> &str {
        &self.name
    }

    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        let products = self.direction.asks_for_products() || self.pace.asks_for_products();
        let start = match products {
            true => Start::with_products(oracle, theta)?,
            false => Start::at(oracle, theta)?,
        };
        // A gradient that is zero does not stop a velocity, unlike a loss or a gradient that is not finite.
        if let Some(obstacle @ StepEnding::NonFinite { .. }) = start.obstacle() {
            return Ok(start.stay(oracle, obstacle));
        }
        let place = Place {
            theta,
            loss: start.loss,
            gradient: &start.gradient,
        };
        let heading = self.direction.heading(oracle, place)?;
        if !heading.ending.moved() {
            return Ok(start.stay(oracle, heading.ending));
        }
        let to = self.pace.go(oracle, &start, heading)?;
        Ok(start.finish(oracle, to))
    }

    fn state(&self) -> Result<MethodState, OptimError> {
        MethodState::new(KIND, &(self.direction.state()?, &self.pace.memory))
    }

    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        let (direction, pace): (MethodState, Memory) = state.memory(KIND)?;
        self.direction.load_state(&direction)?;
        self.pace.memory = pace;
        Ok(())
    }
}
