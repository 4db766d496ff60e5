use super::{
    Evaluations, Grid, Quadratic, QuadraticModel, direction_of, null_as_nan, quadratic_model,
};
use crate::error::CurvatureError;
use crate::point::Point;
use crate::progress::{Observer, unobserved};
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};

/// Where to evaluate a [`profile`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProfileOptions {
    /// Multiples of the direction.
    pub grid: Grid,
    /// Whether the quadratic model comes with it.
    pub quadratic: Quadratic,
}

/// Whether a slice is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SliceEnding {
    /// Every coordinate has its loss.
    Complete,
    /// The observer asked to stop; the last coordinates have no losses.
    Stopped,
}

/// The loss along a line: L(θ + a d) over a grid of a.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The multiples a of the direction.
    pub coordinates: Vec<f64>,
    /// L(θ + a d), one for each coordinate that was reached; may hold NaN and infinities.
    #[serde(deserialize_with = "null_as_nan")]
    pub losses: Vec<f64>,
    /// L + a gᵀd + ½ a² dᵀHd at a = 0, unless it was left out.
    pub quadratic: Option<QuadraticModel>,
    /// Whether all losses are there.
    pub ending: SliceEnding,
}

impl Profile {
    /// L(θ + a d) − q(a), by how much the quadratic model is wrong; empty without the model.
    pub fn deviations(&self) -> Vec<f64> {
        let Some(model) = &self.quadratic else {
            return Vec::new();
        };
        let pairs = self.coordinates.iter().zip(&self.losses);
        pairs.map(|(&a, loss)| loss - model.at(&[a])).collect()
    }

    /// The coordinates around 0 between which the quadratic model is wrong by at most `tolerance`, as (lowest, highest).
    ///
    /// `None` without the model, or if it is wrong at the coordinate nearest to 0.
    pub fn quadratic_range(&self, tolerance: f64) -> Option<(f64, f64)> {
        let deviations = self.deviations();
        let holds = |index: &usize| deviations[*index].abs() <= tolerance;
        let by_distance = |&i: &usize, &j: &usize| {
            self.coordinates[i]
                .abs()
                .total_cmp(&self.coordinates[j].abs())
        };
        let centre = (0..deviations.len()).min_by(by_distance).filter(holds)?;
        let low = (0..=centre).rev().take_while(holds).last()?;
        let high = (centre..deviations.len()).take_while(holds).last()?;
        Some((self.coordinates[low], self.coordinates[high]))
    }
}

/// The loss along a direction d (an eigenvector, the gradient, a random one): L(θ + a d) over a grid of a.
///
/// Parameters are formed in the dtype of the evaluation.
///
/// # Shapes
///
/// `direction` is `[n]`, of any norm.
///
/// # Cost
///
/// A forward pass for each coordinate; a gradient and a product with the Hessian for the quadratic model.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] for a direction of another length, [`CurvatureError::Argument`] for an empty grid; what the
/// evaluation reports. Losses that are not finite are data.
pub fn profile(
    point: &Point,
    direction: &Tensor<1>,
    options: &ProfileOptions,
) -> Result<Profile, CurvatureError> {
    profile_observed(point, direction, options, &mut unobserved)
}

/// As [`profile`], and shows an observer each loss evaluated (`applications` counts them), which may stop it.
///
/// # Errors
///
/// As [`profile`].
pub fn profile_observed(
    point: &Point,
    direction: &Tensor<1>,
    options: &ProfileOptions,
    observer: &mut Observer<'_>,
) -> Result<Profile, CurvatureError> {
    let direction = direction_of(point, "the direction", direction)?;
    let coordinates = options.grid.coordinates()?;
    let span = tracing::debug_span!("profile", dim = point.dim(), losses = coordinates.len());
    let _entered = span.enter();
    let quadratic = match options.quadratic {
        Quadratic::Computed => Some(quadratic_model(point, std::slice::from_ref(&direction))?),
        Quadratic::Omitted => None,
    };
    let mut evaluations = Evaluations::new(point, coordinates.len(), observer);
    let mut losses = Vec::with_capacity(coordinates.len());
    for &a in &coordinates {
        let theta = point.theta().clone() + direction.clone().mul_scalar(a);
        let (loss, flow) = evaluations.loss(theta)?;
        losses.push(loss);
        if flow.is_break() {
            break;
        }
    }
    Ok(Profile {
        ending: ending(losses.len(), coordinates.len()),
        coordinates,
        losses,
        quadratic,
    })
}

pub(super) fn ending(done: usize, wanted: usize) -> SliceEnding {
    match done == wanted {
        true => SliceEnding::Complete,
        false => SliceEnding::Stopped,
    }
}
