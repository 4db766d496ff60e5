//! A straight ravine in the plane.

use super::{Problem, ProblemError, check_number, check_vector, parameter};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorCreationOptions};
use serde::{Deserialize, Serialize};

/// f(x) = ½ (u²/κ + w²), where (u, w) is x turned by −angle: a floor of curvature 1/κ between walls of curvature 1.
///
/// The smallest picture of ill-conditioning. u = cos(angle) x₁ + sin(angle) x₂ runs along the floor and w = −sin(angle) x₁ + cos(angle) x₂
/// across it. Gradient descent is stable for steps below 2, and at such a step it needs about κ of them to reach the
/// bottom. At angle 0 a diagonal preconditioner cures it; at π/4 none helps.
///
/// The Hessian has exactly the eigenvalues 1 and 1/κ, in f32 as well: f is evaluated in the turned coordinates.
#[derive(Module, Debug)]
pub struct Ravine {
    /// The parameter, shape `[2]`.
    pub x: Param<Tensor<1>>,
    condition_number: f64,
    angle: f64,
    #[module(skip)]
    start: Vec<f64>,
    #[module(skip)]
    minimiser: Vec<f64>,
}

/// Configuration of a [`Ravine`].
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::problems::{Problem, RavineConfig};
///
/// let ravine = RavineConfig::new(100.0).with_angle(0.3).init(&Device::flex())?;
/// assert!((ravine.loss().into_scalar::<f64>() - 0.505).abs() < 1e-6);
/// # Ok::<(), ravine_model::problems::ProblemError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RavineConfig {
    /// κ, the curvature of the walls over that of the floor.
    pub condition_number: f64,
    /// The direction of the floor against the first axis, in radians; π/4 by default.
    #[serde(default = "default_angle")]
    pub angle: f64,
    /// The starting point as (u, w), along and across the floor; (1, 1) by default.
    #[serde(default = "default_start")]
    pub start: [f64; 2],
}

fn default_angle() -> f64 {
    std::f64::consts::FRAC_PI_4
}

fn default_start() -> [f64; 2] {
    [1.0, 1.0]
}

impl RavineConfig {
    /// A ravine at 45° with the given condition number.
    pub fn new(condition_number: f64) -> Self {
        RavineConfig {
            condition_number,
            angle: default_angle(),
            start: default_start(),
        }
    }

    /// Sets the direction of the floor, in radians.
    pub fn with_angle(mut self, angle: f64) -> Self {
        self.angle = angle;
        self
    }

    /// Sets the starting point as (u, w): so far along the floor, so far up the wall.
    pub fn with_start(mut self, start: [f64; 2]) -> Self {
        self.start = start;
        self
    }

    /// Builds the problem on a device, in its default dtype or in that of `(&device, dtype)`.
    ///
    /// # Errors
    ///
    /// [`ProblemError`] when the condition number is below 1 or any number is not finite.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<Ravine, ProblemError> {
        let condition_number = self.condition_number;
        if !(condition_number.is_finite() && condition_number >= 1.0) {
            return Err(ProblemError::ConditionNumber { condition_number });
        }
        check_number("angle", self.angle)?;
        check_vector("start", &self.start, 2)?;
        let (sin, cos) = self.angle.sin_cos();
        let [u, w] = self.start;
        let start = vec![cos * u - sin * w, sin * u + cos * w];
        Ok(Ravine {
            x: parameter(&start, &options.into()),
            condition_number,
            angle: self.angle,
            start,
            minimiser: vec![0.0; 2],
        })
    }
}

impl Ravine {
    /// κ, the ratio of the Hessian's eigenvalues 1 and 1/κ.
    pub fn condition_number(&self) -> f64 {
        self.condition_number
    }

    /// The direction of the floor against the first axis, in radians.
    pub fn angle(&self) -> f64 {
        self.angle
    }
}

impl Problem for Ravine {
    fn loss(&self) -> Tensor<1> {
        let point = self.x.val();
        let (x, y) = (point.clone().narrow(0, 0, 1), point.narrow(0, 1, 1));
        let (sin, cos) = self.angle.sin_cos();
        let along = x.clone().mul_scalar(cos) + y.clone().mul_scalar(sin);
        let across = y.mul_scalar(cos) - x.mul_scalar(sin);
        let floor = (along.clone() * along).mul_scalar(0.5 / self.condition_number);
        floor + (across.clone() * across).mul_scalar(0.5)
    }

    fn x(&self) -> &Param<Tensor<1>> {
        &self.x
    }

    fn start(&self) -> &[f64] {
        &self.start
    }

    fn minimiser(&self) -> &[f64] {
        &self.minimiser
    }

    fn minimum(&self) -> f64 {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{autodiff_f64, difference, gradient, loss};
    use super::*;
    use burn::tensor::Device;

    /// ∇f is linear, so the gradient at a unit vector is a column of the Hessian.
    fn hessian(kappa: f64, angle: f64) -> [[f64; 2]; 2] {
        let (sin, cos) = angle.sin_cos();
        [[cos, -sin], [sin, cos]].map(|start| {
            let config = RavineConfig::new(kappa).with_angle(angle).with_start(start);
            let column = gradient(&config.init(autodiff_f64()).unwrap());
            [column[0], column[1]]
        })
    }

    #[test]
    fn floor_and_wall_have_the_curvatures_asked_for() {
        let (kappa, angle) = (1e4, 0.7f64);
        let h = hessian(kappa, angle);
        let apply = |v: [f64; 2]| {
            [
                h[0][0] * v[0] + h[1][0] * v[1],
                h[0][1] * v[0] + h[1][1] * v[1],
            ]
        };
        let (sin, cos) = angle.sin_cos();
        let (floor, wall) = ([cos, sin], [-sin, cos]);
        assert!(difference(&apply(floor), &floor.map(|v| v / kappa)) < 1e-15);
        assert!(difference(&apply(wall), &wall) < 1e-15);
    }

    #[test]
    fn the_start_is_given_along_and_across_the_floor() {
        let config = RavineConfig::new(10.0).with_start([3.0, 0.5]);
        let ravine = config.init(autodiff_f64()).unwrap();
        let expected = 0.5 * (9.0 / 10.0 + 0.25);
        assert!((loss(&ravine) - expected).abs() < 1e-15);
        assert_eq!(ravine.loss().dims(), [1]);
    }

    #[test]
    fn a_condition_number_below_one_is_an_error() {
        assert!(matches!(
            RavineConfig::new(0.5).init(&Device::flex()),
            Err(ProblemError::ConditionNumber { .. })
        ));
    }
}
