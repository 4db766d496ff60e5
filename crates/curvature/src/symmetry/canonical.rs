//! One representative of all equivalent parameters.

use super::balance::{balance, finite_values};
use super::layers::{HiddenLayers, Places};
use super::transformation::{Transformation, UnitMap, transform_layer};
use crate::error::CurvatureError;
use crate::vector::from_f64;
use burn::prelude::Tensor;
use std::cmp::Ordering;

/// The canonical representative of θ among all parameters of the same network, and the transformation that makes it.
///
/// Scales are [balanced](super::balanced); then, from the first hidden layer to the last, units with an odd activation take the sign that makes
/// the first number coming in positive that is not zero (the bias first, then the weights in order), and units are sorted by these
/// numbers, lexicographically. Two parameter vectors of generic networks are equivalent exactly if their representatives agree to
/// rounding. Units whose biases agree to rounding can change places: to compare networks that are only close, use
/// [`distance_modulo_symmetry`](super::distance_modulo_symmetry).
///
/// # Shapes
///
/// `theta` and the result are `[n]`.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] for a vector of another length, [`CurvatureError::NonFinite`] for numbers that are not finite.
///
/// # References
///
/// R. Hecht-Nielsen, On the algebraic structure of feedforward network weight spaces, 1990.
pub fn canonical(
    layers: &HiddenLayers,
    theta: &Tensor<1>,
) -> Result<(Tensor<1>, Transformation), CurvatureError> {
    let mut values = finite_values(layers, theta)?;
    let mut total = balance(layers, &mut values);
    let mut maps = Vec::new();
    for (places, activation) in layers.places().iter().zip(layers.activations()) {
        let map = sorted(&values, places, activation.flips());
        transform_layer(&mut values, places, &map);
        maps.push(map);
    }
    total = total.then(&Transformation { layers: maps })?;
    Ok((from_f64(&values, &theta.device(), theta.dtype()), total))
}

fn sorted(values: &[f64], places: &Places, flips: bool) -> UnitMap {
    let entries = |unit: usize| {
        // the bias first: it tells units apart at one glance
        let views = places.bias.into_iter().chain([places.weight]);
        views.flat_map(move |view| view.runs(unit)).flatten()
    };
    let sign = |unit: usize| {
        let first = entries(unit).map(|i| values[i]).find(|x| *x != 0.0);
        match first {
            Some(first) if flips && first < 0.0 => -1.0,
            _ => 1.0,
        }
    };
    let signs: Vec<f64> = (0..places.units()).map(sign).collect();
    // + 0 makes −0 and 0 the same number
    let signed = |unit: usize, i: usize| signs[unit] * values[i] + 0.0;
    let compare = |&a: &usize, &b: &usize| {
        let pairs = entries(a).zip(entries(b));
        pairs
            .map(|(i, j)| signed(a, i).total_cmp(&signed(b, j)))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    };
    let mut permutation: Vec<usize> = (0..places.units()).collect();
    permutation.sort_by(compare);
    UnitMap {
        scales: permutation.iter().map(|&unit| signs[unit]).collect(),
        permutation,
    }
}
