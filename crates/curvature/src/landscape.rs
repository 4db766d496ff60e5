//! Losses along lines and planes in the space of parameters.
//!
//! Everything starts at a [`Point`], whose recording serves all other parameters on the same batch: one loss costs one
//! forward pass.
//!
//! | | |
//! |---|---|
//! | [`profile`], [`surface`] | losses on a grid along one or two directions, beside the quadratic model there |
//! | [`random_direction`], [`normalised`], [`gradient_direction`] | directions, normalised by filters or layers |
//! | [`interpolate`] | the segment between two solutions and the [`Barrier`] on it |
//! | [`Plane`] | the plane through three solutions |
//!
//! Losses that are not finite are data. JSON has no NaN: it writes `null`, which is read back as NaN.
//!
//! ```
//! use burn::nn::{Linear, LinearConfig};
//! use burn::prelude::*;
//! use ravine_curvature::landscape::{DirectionOptions, ProfileOptions, profile, random_direction};
//! use ravine_curvature::{Objective, Seed};
//!
//! let device = Device::flex();
//! let model = LinearConfig::new(3, 2).init(&device);
//! let objective = Objective::of_loss(|model: &Linear, x: &Tensor<2>| {
//!     model.forward(x.clone()).powi_scalar(2).mean()
//! });
//! let point = objective.at(&model, &Tensor::<2>::ones([4, 3], &device))?;
//!
//! let direction = random_direction(&point, &DirectionOptions::default(), Seed::new(0))?;
//! let profile = profile(&point, &direction, &ProfileOptions::default())?;
//! // a quadratic loss is its quadratic model
//! assert!(profile.deviations().iter().all(|deviation| deviation.abs() < 1e-4));
//! # Ok::<(), ravine_curvature::CurvatureError>(())
//! ```

mod direction;
mod grid;
mod interpolation;
mod plane;
mod profile;
mod quadratic;
mod surface;

pub use direction::{
    DirectionOptions, FilterRule, Normalisation, Vectors, gradient_direction, normalised,
    random_direction,
};
pub use grid::Grid;
pub use interpolation::{
    Barrier, Interpolation, InterpolationOptions, interpolate, interpolate_observed,
};
pub use plane::Plane;
pub use profile::{Profile, ProfileOptions, SliceEnding, profile, profile_observed};
pub use quadratic::{Quadratic, QuadraticModel, quadratic_model};
pub use surface::{Surface, SurfaceOptions, surface, surface_observed};

use crate::error::CurvatureError;
use crate::point::Point;
use crate::progress::{Observer, Progress};
use burn::prelude::Tensor;
use serde::{Deserialize, Deserializer};
use std::ops::ControlFlow;

/// Evaluates losses and tells the observer.
struct Evaluations<'a, 'b> {
    point: &'a Point,
    observer: &'a mut Observer<'b>,
    done: usize,
    most: usize,
}

impl<'a, 'b> Evaluations<'a, 'b> {
    fn new(point: &'a Point, most: usize, observer: &'a mut Observer<'b>) -> Self {
        Self {
            point,
            observer,
            done: 0,
            most,
        }
    }

    /// The loss at these parameters, and whether to go on.
    fn loss(&mut self, theta: Tensor<1>) -> Result<(f64, ControlFlow<()>), CurvatureError> {
        let loss = self.point.move_to(theta)?.loss()?;
        self.done += 1;
        let flow = (self.observer)(&Progress {
            applications: self.done,
            most: Some(self.most),
            measure: None,
        });
        Ok((loss, flow))
    }
}

/// A direction in the dtype of the evaluation, of the right length.
fn direction_of(
    point: &Point,
    what: &'static str,
    direction: &Tensor<1>,
) -> Result<Tensor<1>, CurvatureError> {
    point.layout().check(what, direction)?;
    Ok(direction.clone().cast(point.dtype()))
}

/// Numbers among which JSON has written NaN and infinities as `null`.
fn null_as_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let numbers = Vec::<Option<f64>>::deserialize(deserializer)?;
    let numbers = numbers.into_iter().map(|x| x.unwrap_or(f64::NAN));
    Ok(numbers.collect())
}

/// A number that JSON has written as `null` where it was NaN or infinite.
fn null_as_nan_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests;
