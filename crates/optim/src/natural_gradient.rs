use ravine_curvature::{CgEnding, CgOptions, Damped, Likelihood, conjugate_gradient, vector};
use serde::{Deserialize, Serialize};

use crate::error::in_range;
use crate::method::not_finite;
use crate::{Direction, Heading, OptimError, Oracle, Place, StepEnding};

/// The natural gradient: d = −(F + λI)⁻¹ g with the exact Fisher matrix F of the loss's likelihood, by conjugate gradients.
///
/// With N examples, outputs zₙ and Jacobians Jₙ = ∂zₙ/∂θ, F = Σₙ w Jₙᵀ F_z(zₙ) Jₙ, F_z the Fisher matrix of p(y|z) and w the weight of
/// an example in the loss (1/N for a mean). For the losses of [`Likelihood`] this is the Gauss-Newton matrix of the loss, which is what
/// is used; [`NaturalGradient::of`] checks on the first batch that the loss is one of them.
///
/// 1. Conjugate gradients on (F + λI) x = −g from 0, until ‖b − Ax‖ ≤ `tolerance` ‖g‖ or `max_iterations`.
/// 2. [`KlRegion`]: c = dᵀFd = dᵀ(b − r) − λ‖d‖², r the residual; to second order the step d changes the distribution by KL = ½ c, in
///    the unit of the loss. `AtMost`: d ← min(1, √(2δ/c)) d, `Exactly`: d ← √(2δ/c) d; d as it is where c ≤ 0.
///
/// A [`LearningRate`](crate::LearningRate) takes it from there ([`Descent`](crate::Descent)): 1 for the step as it is. The curvature that
/// it hands on is that of F, dᵀFd, so that caps and promises are those of the model gᵀd + ½ dᵀFd.
///
/// # Cost
///
/// One Gauss-Newton product per iteration.
///
/// # Errors
///
/// Numbers out of range; [`ravine_curvature::CurvatureError::NotThisLikelihood`] when the loss is not the negative log-likelihood that
/// it should be; [`ravine_curvature::CurvatureError::NoOutputs`].
///
/// # References
///
/// S. Amari, Natural gradient works efficiently in learning, 1998; J. Martens, New insights and perspectives on the natural gradient
/// method, 2020, sections 6 and 9; J. Schulman, S. Levine, P. Moritz, M. Jordan and P. Abbeel, Trust region policy optimization, 2015,
/// appendix C.
///
/// # Example
///
/// ```
/// use ravine_curvature::Likelihood;
/// use ravine_optim::{Descent, KlRegion, Method, NaturalGradient};
///
/// let direction = NaturalGradient::new(1e-3)
///     .of(Likelihood::Categorical)
///     .within(KlRegion::AtMost { delta: 0.01 });
/// assert_eq!(Descent::new(direction, 1.0).name(), "natural-gradient");
/// ```
#[derive(Clone, Debug)]
pub struct NaturalGradient {
    damping: f64,
    tolerance: f64,
    max_iterations: Option<usize>,
    region: KlRegion,
    likelihood: Option<Likelihood>,
    checked: bool,
}

/// How far a natural gradient may change the distribution of the labels, by the Kullback-Leibler divergence to second order, ½ dᵀFd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum KlRegion {
    /// As far as d goes.
    #[default]
    Unbounded,
    /// Not further than δ.
    AtMost {
        /// δ, in the unit of the loss.
        delta: f64,
    },
    /// To δ exactly, however short d is: the step of TRPO.
    Exactly {
        /// δ, in the unit of the loss.
        delta: f64,
    },
}

impl KlRegion {
    fn check(&self) -> Result<(), OptimError> {
        match *self {
            Self::Unbounded => Ok(()),
            Self::AtMost { delta } | Self::Exactly { delta } => {
                let inside = delta > 0.0 && delta.is_finite();
                in_range("delta", delta, "above 0 and finite", inside)
            }
        }
    }

    /// The factor of a direction with dᵀFd = `curvature`.
    fn factor(&self, curvature: f64) -> f64 {
        match *self {
            Self::AtMost { delta } if curvature > 0.0 => (2.0 * delta / curvature).sqrt().min(1.0),
            Self::Exactly { delta } if curvature > 0.0 => (2.0 * delta / curvature).sqrt(),
            _ => 1.0,
        }
    }
}

impl NaturalGradient {
    /// With a damping λ ≥ 0 in the unit of F, a tolerance of 1e-4, as many iterations as parameters, and no region; any loss that has
    /// outputs is taken for a likelihood.
    pub fn new(damping: f64) -> Self {
        Self {
            damping,
            tolerance: 1e-4,
            max_iterations: None,
            region: KlRegion::Unbounded,
            likelihood: None,
            checked: false,
        }
    }

    /// With a likelihood that the loss must have.
    pub fn of(self, likelihood: Likelihood) -> Self {
        Self {
            likelihood: Some(likelihood),
            ..self
        }
    }

    /// With another residual ‖(F + λI) d + g‖/‖g‖ at which a solve ends, above 0.
    pub fn tolerance(self, tolerance: f64) -> Self {
        Self { tolerance, ..self }
    }

    /// With at most this many Gauss-Newton products a step.
    pub fn max_iterations(self, max_iterations: usize) -> Self {
        Self {
            max_iterations: Some(max_iterations),
            ..self
        }
    }

    /// With a region.
    pub fn within(self, region: KlRegion) -> Self {
        Self { region, ..self }
    }

    fn check(&mut self, oracle: &mut Oracle, place: Place<'_>) -> Result<(), OptimError> {
        let (damping, tolerance) = (self.damping, self.tolerance);
        let inside = damping >= 0.0 && damping.is_finite();
        in_range("damping", damping, "at least 0 and finite", inside)?;
        let inside = tolerance > 0.0 && tolerance < 1.0;
        in_range("tolerance", tolerance, "between 0 and 1", inside)?;
        if let Some(allowed) = self.max_iterations {
            in_range("max_iterations", allowed as f64, "at least 1", allowed > 0)?;
        }
        self.region.check()?;
        if let (Some(likelihood), false) = (self.likelihood, self.checked) {
            // A look at the loss itself, once: no bill.
            let point = oracle.point(place.theta)?;
            point.label_weight(likelihood)?;
            self.checked = true;
        }
        Ok(())
    }
}

impl Direction for NaturalGradient {
    fn name(&self) -> &str {
        "natural-gradient"
    }

    fn heading(&mut self, oracle: &mut Oracle, place: Place<'_>) -> Result<Heading, OptimError> {
        self.check(oracle, place)?;
        let matrix = Damped::new(oracle.gauss_newton(place.theta)?, self.damping);
        let b = -place.gradient.clone();
        let options = CgOptions {
            max_iterations: self.max_iterations,
            relative_tolerance: self.tolerance,
            ..CgOptions::default()
        };
        let solve = match conjugate_gradient(&matrix, &b, &options) {
            Ok(solve) => solve,
            Err(error) => {
                return Ok(Heading {
                    d: b,
                    curvature: None,
                    ending: not_finite(error.into())?,
                });
            }
        };
        let relative_residual = solve.residual_norm() / vector::norm(&b);
        let d = solve.solution;
        let damped = vector::dot(&d, &(b.clone() - solve.residual));
        let curvature = damped - self.damping * vector::dot(&d, &d);
        let ending = match solve.ending {
            // No iterate yet: −g, of which the product said that F does not curve upwards.
            CgEnding::NegativeCurvature {
                direction,
                rayleigh,
            } if solve.iterations == 0 => {
                return Ok(Heading {
                    curvature: Some((rayleigh - self.damping) * vector::dot(&b, &b)),
                    d: b,
                    ending: StepEnding::NegativeCurvature {
                        rayleigh,
                        direction,
                    },
                });
            }
            other => StepEnding::of_solve(other, solve.iterations, relative_residual),
        };
        let factor = self.region.factor(curvature);
        Ok(Heading {
            d: d.mul_scalar(factor),
            curvature: Some(factor * factor * curvature),
            ending,
        })
    }
}

#[cfg(test)]
mod tests;
