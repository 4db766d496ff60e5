//! Where to go: directions that compose with every rule for the rate.

mod ada_hessian;
mod conjugate;
#[cfg(test)]
mod frozen;
mod gradient;
mod hutchinson_probes;
mod lbfgs;
mod modes;
mod momentum;
#[cfg(test)]
mod plain;
mod shampoo;
mod soap;
mod sophia;

use burn::prelude::*;

pub use ada_hessian::{AdaHessian, Averaged, SpatialAveraging};
pub use conjugate::NonlinearCg;
pub use gradient::Gradient;
pub use hutchinson_probes::HutchinsonProbes;
pub use lbfgs::Lbfgs;
pub use momentum::{Chebyshev, HeavyBall, Nesterov};
pub use shampoo::{Grafting, Oversized, Shampoo, Statistics};
pub use soap::{Normalisation, Soap, Vectors};
pub use sophia::{SampledLabels, SophiaG, SophiaH};

use crate::{MethodState, OptimError, Oracle, Quantity, StepEnding};

/// Where a direction is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// θ, flat.
    pub theta: &'a Tensor<1>,
    /// The loss at θ.
    pub loss: f64,
    /// Its gradient g, flat.
    pub gradient: &'a Tensor<1>,
}

/// A direction d, of which a step goes ε d.
#[derive(Clone, Debug)]
pub struct Heading {
    /// d, flat.
    pub d: Tensor<1>,
    /// dᵀHd, where the direction knows it anyway.
    pub curvature: Option<f64>,
    /// What was met on the way; an ending that does not move keeps θ where it is.
    pub ending: StepEnding,
}

impl Heading {
    /// A direction about which nothing else is known.
    pub fn plain(d: Tensor<1>) -> Self {
        Self {
            d,
            curvature: None,
            ending: StepEnding::Accepted,
        }
    }

    /// No direction: the step stays where it is, with this ending.
    pub(crate) fn stopped(gradient: &Tensor<1>, ending: StepEnding) -> Self {
        Self {
            ending,
            ..Self::plain(gradient.zeros_like())
        }
    }

    /// No direction, since something is NaN or infinite.
    pub(crate) fn non_finite(gradient: &Tensor<1>, quantity: Quantity, value: f64) -> Self {
        Self::stopped(gradient, StepEnding::NonFinite { quantity, value })
    }

    /// d − λθ.
    pub(crate) fn decayed(d: Tensor<1>, theta: &Tensor<1>, weight_decay: f64) -> Self {
        match weight_decay == 0.0 {
            true => Self::plain(d),
            false => Self::plain(d.clone() - theta.clone().cast(d.dtype()) * weight_decay),
        }
    }
}

/// Where to go from a point; how far is the matter of a [`crate::LearningRate`], and [`crate::Descent`] makes a method of both.
///
/// # Example
///
/// Gradients scaled by a fixed diagonal, with strong Wolfe conditions.
///
/// ```
/// use burn::prelude::*;
/// use ravine_optim::{Descent, Direction, Heading, LearningRate, OptimError, Oracle, Place, StrongWolfe};
///
/// struct Scaled(Tensor<1>);
///
/// impl Direction for Scaled {
///     fn name(&self) -> &str {
///         "scaled-gradient"
///     }
///
///     fn heading(&mut self, _: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
///         Ok(Heading::plain(-place.gradient.clone() * self.0.clone()))
///     }
/// }
///
/// let scaled = Scaled(Tensor::from_data([1.0, 0.01], &Device::flex()));
/// let method = Descent::new(scaled, LearningRate::from(1.0).searching(StrongWolfe::default()));
/// # let _ = method;
/// ```
pub trait Direction {
    /// Name for tables and plots.
    fn name(&self) -> &str;

    /// Whether it asks for products at θ: the gradient is then evaluated together with what they share.
    fn asks_for_products(&self) -> bool {
        false
    }

    /// The direction at a place. Called once per step, in the order of the steps.
    ///
    /// # Errors
    ///
    /// Misuse and failed evaluations.
    fn heading(&mut self, oracle: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError>;

    /// What it remembers; nothing by default.
    ///
    /// # Errors
    ///
    /// [`OptimError::State`] when it cannot be written.
    fn state(&self) -> Result<MethodState, OptimError> {
        MethodState::new(self.name(), &())
    }

    /// Goes on from what it remembered.
    ///
    /// # Errors
    ///
    /// [`OptimError::StateOfAnother`] and [`OptimError::State`].
    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        state.memory(self.name())
    }
}

impl<D: Direction + ?Sized> Direction for Box<D> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn asks_for_products(&self) -> bool {
        (**self).asks_for_products()
    }

    fn heading(&mut self, oracle: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        (**self).heading(oracle, place)
    }

    fn state(&self) -> Result<MethodState, OptimError> {
        (**self).state()
    }

    fn load_state(&mut self, state: &MethodState) -> Result<(), OptimError> {
        (**self).load_state(state)
    }
}

/// `state` and `load_state` of a direction that keeps everything it remembers in `self.memory`.
macro_rules! remembers_memory {
    () => {
        fn state(&self) -> Result<crate::MethodState, crate::OptimError> {
            crate::MethodState::new(self.name(), &self.memory)
        }

        fn load_state(&mut self, state: &crate::MethodState) -> Result<(), crate::OptimError> {
            self.memory = state.memory(self.name())?;
            Ok(())
        }
    };
}
pub(crate) use remembers_memory;

#[cfg(test)]
mod tests;
