use super::profile::ending;
use super::{
    Evaluations, Grid, Quadratic, QuadraticModel, SliceEnding, direction_of, null_as_nan,
    quadratic_model,
};
use crate::error::CurvatureError;
use crate::point::Point;
use crate::progress::{Observer, unobserved};
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};

/// Where to evaluate a [`surface`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SurfaceOptions {
    /// Multiples of the two directions.
    pub grids: [Grid; 2],
    /// Whether the quadratic model comes with it.
    pub quadratic: Quadratic,
}

impl Default for SurfaceOptions {
    /// 25 × 25 points from −1 to 1, with the quadratic model.
    fn default() -> Self {
        Self {
            grids: [Grid::symmetric(1.0, 25); 2],
            quadratic: Quadratic::default(),
        }
    }
}

/// The loss on a plane: L(θ + x d₁ + y d₂) over a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// Multiples of the first direction.
    pub x: Vec<f64>,
    /// Multiples of the second direction.
    pub y: Vec<f64>,
    /// A row for each y, row after row, as far as it was evaluated; may hold NaN and infinities.
    #[serde(deserialize_with = "null_as_nan")]
    pub losses: Vec<f64>,
    /// The quadratic model at x = y = 0, unless it was left out.
    pub quadratic: Option<QuadraticModel>,
    /// Whether all losses are there.
    pub ending: SliceEnding,
}

impl Surface {
    /// The loss at (`x[column]`, `y[row]`), if it was evaluated.
    pub fn loss(&self, column: usize, row: usize) -> Option<f64> {
        match column < self.x.len() {
            true => self.losses.get(row * self.x.len() + column).copied(),
            false => None,
        }
    }

    /// L − q at each point, in the order of the losses; empty without the quadratic model.
    pub fn deviations(&self) -> Vec<f64> {
        let Some(model) = &self.quadratic else {
            return Vec::new();
        };
        let at = |index: usize| [self.x[index % self.x.len()], self.y[index / self.x.len()]];
        let losses = self.losses.iter().enumerate();
        losses
            .map(|(index, loss)| loss - model.at(&at(index)))
            .collect()
    }
}

/// The loss on the plane of two directions: L(θ + x d₁ + y d₂) over a grid.
///
/// Parameters are formed in the dtype of the evaluation.
///
/// # Shapes
///
/// The directions are `[n]`, of any norms and any angle.
///
/// # Cost
///
/// A forward pass for each pair of coordinates; a gradient and two products with the Hessian for the quadratic model.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] for a direction of another length, [`CurvatureError::Argument`] for an empty grid; what the
/// evaluation reports. Losses that are not finite are data.
///
/// # References
///
/// H. Li et al., Visualizing the loss landscape of neural nets, NeurIPS 2018, section 3.
pub fn surface(
    point: &Point,
    directions: [&Tensor<1>; 2],
    options: &SurfaceOptions,
) -> Result<Surface, CurvatureError> {
    surface_observed(point, directions, options, &mut unobserved)
}

/// As [`surface`], and shows an observer each loss evaluated (`applications` counts them), which may stop it.
///
/// # Errors
///
/// As [`surface`].
pub fn surface_observed(
    point: &Point,
    directions: [&Tensor<1>; 2],
    options: &SurfaceOptions,
    observer: &mut Observer<'_>,
) -> Result<Surface, CurvatureError> {
    let [first, second] = directions;
    let first = direction_of(point, "the first direction", first)?;
    let second = direction_of(point, "the second direction", second)?;
    let [x, y] = options.grids;
    let (x, y) = (x.coordinates()?, y.coordinates()?);
    let wanted = x.len() * y.len();
    let span = tracing::debug_span!("surface", dim = point.dim(), losses = wanted);
    let _entered = span.enter();
    let quadratic = match options.quadratic {
        Quadratic::Computed => Some(quadratic_model(point, &[first.clone(), second.clone()])?),
        Quadratic::Omitted => None,
    };
    let mut evaluations = Evaluations::new(point, wanted, observer);
    let mut losses = Vec::with_capacity(wanted);
    'rows: for &y in &y {
        let row = point.theta().clone() + second.clone().mul_scalar(y);
        for &x in &x {
            let (loss, flow) = evaluations.loss(row.clone() + first.clone().mul_scalar(x))?;
            losses.push(loss);
            if flow.is_break() {
                break 'rows;
            }
        }
    }
    Ok(Surface {
        ending: ending(losses.len(), wanted),
        x,
        y,
        losses,
        quadratic,
    })
}
