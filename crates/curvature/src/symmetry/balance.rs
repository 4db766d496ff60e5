//! The scales of homogeneous units, made unique.

use super::layers::HiddenLayers;
use super::transformation::{Transformation, UnitMap, transform_layer};
use crate::error::CurvatureError;
use crate::vector::{from_f64, to_f64};
use burn::prelude::Tensor;

/// Logarithm of a unit's ratio of norms at which it counts as balanced.
const BALANCED: f64 = 1e-14;

/// Sweeps over all layers at most; a few tens are the rule.
const MOST_SWEEPS: usize = 1000;

/// θ with the scales of its homogeneous units chosen so that ‖incoming‖ = ‖outgoing‖ for each, and the transformation that makes it.
///
/// Biases count as incoming. Of all rescalings of θ it is the one of least norm, which is unique; found by sweeps over the layers until
/// nothing changes. A unit without anything incoming or outgoing keeps its scale, and so do all units of other activations.
///
/// # Shapes
///
/// `theta` and the result are `[n]`.
///
/// # Cost
///
/// O(n) a sweep, a few tens of sweeps for several homogeneous layers in a row, two for one.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] for a vector of another length, [`CurvatureError::NonFinite`] for numbers that are not finite.
///
/// # References
///
/// B. Neyshabur, R. Salakhutdinov, N. Srebro, Path-SGD, NeurIPS 2015, section 2 (rescaling); P. Stock et al., Equi-normalization of
/// neural networks, ICLR 2019.
pub fn balanced(
    layers: &HiddenLayers,
    theta: &Tensor<1>,
) -> Result<(Tensor<1>, Transformation), CurvatureError> {
    let mut values = finite_values(layers, theta)?;
    let transformation = balance(layers, &mut values);
    Ok((
        from_f64(&values, &theta.device(), theta.dtype()),
        transformation,
    ))
}

/// The numbers of a parameter vector of this network, all of them finite.
pub(super) fn finite_values(
    layers: &HiddenLayers,
    theta: &Tensor<1>,
) -> Result<Vec<f64>, CurvatureError> {
    layers.check(theta)?;
    let values = to_f64(theta);
    match values.iter().find(|value| !value.is_finite()) {
        None => Ok(values),
        Some(&value) => Err(CurvatureError::NonFinite {
            what: "a parameter",
            value,
        }),
    }
}

pub(super) fn balance(layers: &HiddenLayers, values: &mut [f64]) -> Transformation {
    let mut total = layers.identity();
    for _ in 0..MOST_SWEEPS {
        let mut largest = 0.0_f64;
        for (layer, places) in layers.places().iter().enumerate() {
            if !layers.layers()[layer].activation.scales() {
                continue;
            }
            let mut incoming = vec![0.0; places.units()];
            for view in places.incoming() {
                let squares = view.squares(values);
                incoming.iter_mut().zip(squares).for_each(|(a, b)| *a += b);
            }
            let outgoing = places.outgoing.squares(values);
            let scale = |(incoming, outgoing): (&f64, f64)| {
                // fourth root of a ratio of squares, each root taken alone so that nothing overflows
                let scale = outgoing.sqrt().sqrt() / incoming.sqrt().sqrt();
                match *incoming > 0.0 && outgoing > 0.0 && scale.is_finite() && scale > 0.0 {
                    true => scale,
                    false => 1.0,
                }
            };
            let map = UnitMap {
                scales: incoming.iter().zip(outgoing).map(scale).collect(),
                ..UnitMap::identity(places.units())
            };
            let logs = map.scales.iter().map(|scale| scale.ln().abs());
            largest = logs.fold(largest, f64::max);
            transform_layer(values, places, &map);
            let scales = total.layers[layer].scales.iter_mut().zip(&map.scales);
            scales.for_each(|(total, scale)| *total *= scale);
        }
        if largest <= BALANCED {
            break;
        }
    }
    total
}
