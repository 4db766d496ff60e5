//! How many parameter vectors are the same network.

use super::layers::HiddenLayers;
use super::transformation::{Transformation, UnitMap};
use crate::error::CurvatureError;
use serde::{Deserialize, Serialize};

/// The number of parameter vectors that permutations and signs make of one: Π m! over the hidden layers, times 2ᵐ where the activation is
/// odd.
///
/// It is the number of equivalent minima of a minimum whose units differ and matter; units that are alike, or that nothing reads,
/// make it smaller. Where units can be rescaled, each of them is a whole manifold ([`Generators`](super::Generators)).
///
/// # References
///
/// H. J. Sussmann, Uniqueness of the weights for minimal feedforward nets with a given input-output map, 1992; A. M. Chen, H. Lu and
/// R. Hecht-Nielsen, On the geometry of feedforward neural network error surfaces, 1993; C. M. Bishop, Pattern Recognition and Machine
/// Learning, 2006, section 5.1.1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EquivalentMinima {
    /// The number, where 128 bits hold it.
    pub exact: Option<u128>,
    /// Its logarithm to base 10.
    pub log10: f64,
    /// All factors above 1 that it is the product of.
    factors: Vec<u64>,
}

impl EquivalentMinima {
    /// The count for a network.
    pub fn of(layers: &HiddenLayers) -> Self {
        let of_layer = |layer: &super::HiddenLayer| {
            let units = layer.units as u64;
            let signs = match layer.activation.flips() {
                true => units,
                false => 0,
            };
            (2..=units).chain((0..signs).map(|_| 2))
        };
        let factors: Vec<u64> = layers.layers().iter().flat_map(of_layer).collect();
        let exact = factors
            .iter()
            .try_fold(1u128, |product, &factor| product.checked_mul(factor.into()));
        Self {
            exact,
            log10: factors.iter().map(|&factor| (factor as f64).log10()).sum(),
            factors,
        }
    }

    /// All digits of the number.
    ///
    /// Costs time quadratic in the number of units: milliseconds for a thousand.
    pub fn decimal(&self) -> String {
        const BASE: u64 = 1_000_000_000;
        // groups of nine digits, the lowest first
        let mut groups = vec![1u64];
        for factor in &self.factors {
            let mut carry = 0u128;
            for group in &mut groups {
                let product = u128::from(*group) * u128::from(*factor) + carry;
                *group = (product % u128::from(BASE)) as u64;
                carry = product / u128::from(BASE);
            }
            while carry > 0 {
                groups.push((carry % u128::from(BASE)) as u64);
                carry /= u128::from(BASE);
            }
        }
        let mut groups = groups.iter().rev();
        let first = groups.next().map(u64::to_string).unwrap_or_default();
        groups.fold(first, |digits, group| digits + &format!("{group:09}"))
    }
}

/// All permutations and signs of a small network, the identity among them.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for more than `limit`.
pub fn discrete_transformations(
    layers: &HiddenLayers,
    limit: usize,
) -> Result<Vec<Transformation>, CurvatureError> {
    let count = EquivalentMinima::of(layers);
    let few = count.exact.is_some_and(|exact| exact <= limit as u128);
    if !few {
        return Err(CurvatureError::Argument {
            name: "the number of transformations",
            value: count.exact.map_or(f64::INFINITY, |exact| exact as f64),
            requirement: "the limit allows fewer: raise it, or draw random ones with `random_transformation`",
        });
    }
    let mut all = vec![Vec::new()];
    for layer in layers.layers() {
        let maps = unit_maps(layer.units, layer.activation.flips());
        let extended = all.iter().flat_map(|begun: &Vec<UnitMap>| {
            maps.iter().map(|map| {
                let mut longer = begun.clone();
                longer.push(map.clone());
                longer
            })
        });
        all = extended.collect();
    }
    let all = all.into_iter().map(|layers| Transformation { layers });
    Ok(all.collect())
}

fn unit_maps(units: usize, flips: bool) -> Vec<UnitMap> {
    let masks = match flips {
        true => 1u64 << units,
        false => 1,
    };
    let with_signs = |permutation: Vec<usize>| {
        (0..masks).map(move |mask| {
            let sign = |unit: usize| if mask >> unit & 1 == 1 { -1.0 } else { 1.0 };
            UnitMap {
                permutation: permutation.clone(),
                scales: (0..units).map(sign).collect(),
            }
        })
    };
    permutations(units)
        .into_iter()
        .flat_map(with_signs)
        .collect()
}

fn permutations(units: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for unit in 0..units {
        let inserted = all.iter().flat_map(|shorter: &Vec<usize>| {
            (0..=unit).map(move |place| {
                let mut longer = shorter.clone();
                longer.insert(place, unit);
                longer
            })
        });
        all = inserted.collect();
    }
    all
}
