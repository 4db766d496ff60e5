//! Directions for slices, normalised so that slices of different networks can be compared.

use crate::axis::AxisView;
use crate::error::CurvatureError;
use crate::layout::{LayoutEntry, ParameterLayout};
use crate::point::Point;
use crate::seed::Seed;
use crate::vector;
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a direction's parts are made as long as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// Each filter of the direction has the norm of the same filter of the parameters.
    #[default]
    Filter,
    /// Each parameter of the direction has the norm of the parameter.
    Layer,
    /// The direction stays as it is.
    Unnormalised,
}

/// What becomes of parameters of rank 1, biases and scales of normalisations, when others are normalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vectors {
    /// The direction is zero there, as Li et al. have it.
    #[default]
    Zero,
    /// Each is one filter.
    Whole,
}

/// How a parameter falls into filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterRule {
    /// A filter for each index of this axis.
    Axis(usize),
    /// The parameter is one filter.
    Whole,
    /// The direction is zero there.
    Zero,
}

/// How directions are normalised.
///
/// A parameter's filters follow from its rank, as Burn lays out weights: rank 2 is the weight `[in, out]` of a linear layer, a filter is a
/// column; rank 3 and more is a convolution's `[out, in, k, ..]`, a filter is a leading index; rank 1 (and 0) is as [`Vectors`] says.
/// What is laid out otherwise needs an entry in `overrides`: an embedding `[tokens, features]` has filters along axis 0, a transposed
/// convolution `[in, out, k, ..]` along axis 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DirectionOptions {
    /// Which parts get which norms.
    pub normalisation: Normalisation,
    /// What becomes of biases and the like.
    pub vectors: Vectors,
    /// Filters of single parameters, by their names in the layout; they hold under layer normalisation, too.
    pub overrides: BTreeMap<String, FilterRule>,
}

/// A random direction: standard normal numbers, normalised.
///
/// # Shapes
///
/// The result is `[n]`, in the dtype of the evaluation.
///
/// # Errors
///
/// As [`normalised`].
///
/// # References
///
/// H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, Visualizing the loss landscape of neural nets, NeurIPS 2018, section 4.
pub fn random_direction(
    point: &Point,
    options: &DirectionOptions,
    seed: Seed,
) -> Result<Tensor<1>, CurvatureError> {
    let mut rng = seed.stream("direction").rng();
    let mut direction = vector::standard_normal(point.dim(), &mut rng);
    let theta = vector::to_f64(point.theta());
    normalise(&mut direction, &theta, point.layout(), options)?;
    Ok(vector::from_f64(&direction, point.device(), point.dtype()))
}

/// d with each filter or parameter rescaled to the norm of the parameters θ there: d_f ← d_f ‖θ_f‖ / ‖d_f‖.
///
/// A filter of the direction that is zero stays zero.
///
/// # Shapes
///
/// `direction` and the result are `[n]`; the result is in the dtype of the evaluation.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] for a direction of another length; [`CurvatureError::UnknownParameter`] or
/// [`CurvatureError::ParameterShape`] for an override of a parameter or an axis that does not exist.
pub fn normalised(
    point: &Point,
    direction: &Tensor<1>,
    options: &DirectionOptions,
) -> Result<Tensor<1>, CurvatureError> {
    point.layout().check("the direction", direction)?;
    let mut direction = vector::to_f64(direction);
    let theta = vector::to_f64(point.theta());
    normalise(&mut direction, &theta, point.layout(), options)?;
    Ok(vector::from_f64(&direction, point.device(), point.dtype()))
}

/// g / ‖g‖, the direction of steepest ascent; zero at a stationary point.
///
/// # Cost
///
/// One gradient, or nothing if it is known.
///
/// # Errors
///
/// Those of [`Point::gradient`].
pub fn gradient_direction(point: &Point) -> Result<Tensor<1>, CurvatureError> {
    let gradient = point.gradient()?;
    let norm = vector::norm(&gradient);
    if norm == 0.0 {
        return Ok(gradient);
    }
    let unit: Vec<f64> = vector::to_f64(&gradient).iter().map(|g| g / norm).collect();
    Ok(vector::from_f64(&unit, point.device(), point.dtype()))
}

fn normalise(
    direction: &mut [f64],
    theta: &[f64],
    layout: &ParameterLayout,
    options: &DirectionOptions,
) -> Result<(), CurvatureError> {
    check_overrides(layout, &options.overrides)?;
    if options.normalisation == Normalisation::Unnormalised {
        return Ok(());
    }
    for entry in layout.entries() {
        let shape = entry.shape.as_slice();
        let filters = match rule(entry, options) {
            FilterRule::Zero => {
                direction[entry.range.clone()].fill(0.0);
                continue;
            }
            FilterRule::Whole => AxisView::whole(&entry.range),
            FilterRule::Axis(axis) => AxisView::along(entry.range.start, shape, axis),
        };
        let (found, wanted) = (filters.squares(direction), filters.squares(theta));
        let ratio = |(found, wanted): (f64, f64)| match found > 0.0 {
            true => (wanted / found).sqrt(),
            false => 0.0,
        };
        let factors: Vec<f64> = found.into_iter().zip(wanted).map(ratio).collect();
        filters.scale(direction, &factors);
    }
    Ok(())
}

fn rule(entry: &LayoutEntry, options: &DirectionOptions) -> FilterRule {
    if let Some(&rule) = options.overrides.get(&entry.name) {
        return rule;
    }
    match (entry.shape.num_dims(), options.normalisation) {
        (0 | 1, _) => match options.vectors {
            Vectors::Zero => FilterRule::Zero,
            Vectors::Whole => FilterRule::Whole,
        },
        (_, Normalisation::Layer) => FilterRule::Whole,
        (2, _) => FilterRule::Axis(1),
        _ => FilterRule::Axis(0),
    }
}

fn check_overrides(
    layout: &ParameterLayout,
    overrides: &BTreeMap<String, FilterRule>,
) -> Result<(), CurvatureError> {
    for (name, rule) in overrides {
        let entry = layout.entry(name)?;
        let rank = entry.shape.num_dims();
        match rule {
            FilterRule::Axis(axis) if *axis >= rank => {
                return Err(CurvatureError::ParameterShape {
                    name: name.clone(),
                    found: entry.shape.to_vec(),
                    requirement: format!("filters along axis {axis} need a rank above {axis}"),
                });
            }
            _ => {}
        }
    }
    Ok(())
}
