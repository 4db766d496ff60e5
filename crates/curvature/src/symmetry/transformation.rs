//! Permutations, sign flips and scales of hidden units.

use super::layers::{HiddenLayers, Places};
use crate::error::CurvatureError;
use crate::point::Point;
use crate::seed::Seed;
use crate::vector::{from_f64, standard_normal, to_f64};
use burn::prelude::Tensor;
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// What happens to the units of one layer: unit j of the result is unit `permutation[j]` of the original, with what comes in times
/// `scales[j]` and what goes out divided by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitMap {
    /// Which unit comes to each place.
    pub permutation: Vec<usize>,
    /// Sign and scale of each place's unit; ±1 without scales.
    pub scales: Vec<f64>,
}

impl UnitMap {
    pub(super) fn identity(units: usize) -> Self {
        Self {
            permutation: (0..units).collect(),
            scales: vec![1.0; units],
        }
    }

    fn then(&self, next: &Self) -> Self {
        let places = next.permutation.iter().zip(&next.scales);
        let scales = places.map(|(&from, scale)| self.scales[from] * scale);
        Self {
            permutation: next
                .permutation
                .iter()
                .map(|&from| self.permutation[from])
                .collect(),
            scales: scales.collect(),
        }
    }

    fn inverse(&self) -> Self {
        let mut inverse = Self::identity(self.permutation.len());
        for (place, &from) in self.permutation.iter().enumerate() {
            inverse.permutation[from] = place;
            inverse.scales[from] = 1.0 / self.scales[place];
        }
        inverse
    }
}

/// A linear map T of parameters that leaves the network the same function: a permutation, sign and scale for each hidden unit.
///
/// The loss stays, L(Tθ) = L(θ), and so derivatives transform: g(Tθ) = T⁻ᵀ g(θ) and H(Tθ) = T⁻ᵀ H(θ) T⁻¹. Permutations and signs are
/// orthogonal (T⁻ᵀ = T), so that they keep the spectrum of H, and eigenvectors transform as parameters do; scales keep only the
/// numbers of positive, negative and zero eigenvalues.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transformation {
    /// One for each hidden layer.
    pub layers: Vec<UnitMap>,
}

impl Transformation {
    /// First this one, then `next`; both must be of the same network.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for another number of layers or units.
    pub fn then(&self, next: &Self) -> Result<Self, CurvatureError> {
        if self.units() != next.units() {
            let total = |units: Vec<usize>| units.iter().sum();
            return Err(CurvatureError::Dimension {
                what: "the units of the second transformation",
                expected: total(self.units()),
                found: total(next.units()),
            });
        }
        let pairs = self.layers.iter().zip(&next.layers);
        Ok(Self {
            layers: pairs.map(|(first, next)| first.then(next)).collect(),
        })
    }

    /// The transformation that undoes this one.
    pub fn inverse(&self) -> Self {
        Self {
            layers: self.layers.iter().map(UnitMap::inverse).collect(),
        }
    }

    /// Whether it is a permutation with signs, and so keeps norms, angles and spectra.
    pub fn is_orthogonal(&self) -> bool {
        let scales = self.layers.iter().flat_map(|layer| &layer.scales);
        scales.into_iter().all(|scale| scale.abs() == 1.0)
    }

    fn units(&self) -> Vec<usize> {
        self.layers
            .iter()
            .map(|layer| layer.permutation.len())
            .collect()
    }
}

/// How a vector transforms.
#[derive(Clone, Copy)]
enum Variance {
    /// As parameters: T v.
    Vector,
    /// As gradients: T⁻ᵀ v.
    Covector,
}

impl HiddenLayers {
    /// The transformation that does nothing.
    pub fn identity(&self) -> Transformation {
        let maps = self
            .places()
            .iter()
            .map(|places| UnitMap::identity(places.units()));
        Transformation {
            layers: maps.collect(),
        }
    }

    /// Unit `permutation[j]` of a layer (from 0) comes to place j.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoSymmetry`] if this is no permutation of the layer's units or there is no such layer.
    pub fn permute(
        &self,
        layer: usize,
        permutation: &[usize],
    ) -> Result<Transformation, CurvatureError> {
        let scales = vec![1.0; permutation.len()];
        self.with(layer, permutation.to_vec(), scales)
    }

    /// These units of a layer change sign.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoSymmetry`] if the activation is not odd or there is no such layer or unit.
    pub fn flip_signs(
        &self,
        layer: usize,
        units: &[usize],
    ) -> Result<Transformation, CurvatureError> {
        let mut map = self.identity_of(layer)?;
        for &unit in units {
            let Some(scale) = map.scales.get_mut(unit) else {
                let requirement = "it has fewer units";
                return Err(CurvatureError::NoSymmetry { layer, requirement });
            };
            *scale = -1.0;
        }
        self.with(layer, map.permutation, map.scales)
    }

    /// What comes into each unit of a layer is multiplied by its scale, what goes out is divided by it.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoSymmetry`] if the activation is not homogeneous, a scale is not positive and finite, their number is not that of
    /// the units, or there is no such layer.
    pub fn rescale(&self, layer: usize, scales: &[f64]) -> Result<Transformation, CurvatureError> {
        let map = self.identity_of(layer)?;
        self.with(layer, map.permutation, scales.to_vec())
    }

    /// A random transformation: uniform permutations and signs, and scales exp(N(0, ½²)) where the activations allow them.
    pub fn random_transformation(&self, seed: Seed) -> Transformation {
        let mut rng = seed.stream("transformation").rng();
        let mut map = |(places, activation): (&Places, super::UnitActivation)| {
            let mut map = UnitMap::identity(places.units());
            map.permutation.shuffle(&mut rng);
            let logs = standard_normal(places.units(), &mut rng);
            for (scale, log) in map.scales.iter_mut().zip(logs) {
                if activation.scales() {
                    *scale *= (0.5 * log).exp();
                }
                if activation.flips() && rng.random::<bool>() {
                    *scale = -*scale;
                }
            }
            map
        };
        let layers = self.places().iter().zip(self.activations());
        Transformation {
            layers: layers.map(&mut map).collect(),
        }
    }

    /// T θ, also for eigenvectors where T is [orthogonal](Transformation::is_orthogonal).
    ///
    /// # Shapes
    ///
    /// `theta` and the result are `[n]`, on the same device and in the same dtype.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a vector of another length, [`CurvatureError::NoSymmetry`] for a transformation that is none
    /// of this network.
    pub fn apply(
        &self,
        transformation: &Transformation,
        theta: &Tensor<1>,
    ) -> Result<Tensor<1>, CurvatureError> {
        self.apply_as(transformation, theta, Variance::Vector)
    }

    /// T⁻ᵀ g: how gradients and products with the Hessian transform.
    ///
    /// # Shapes
    ///
    /// As [`apply`](HiddenLayers::apply).
    ///
    /// # Errors
    ///
    /// As [`apply`](HiddenLayers::apply).
    pub fn apply_to_gradient(
        &self,
        transformation: &Transformation,
        gradient: &Tensor<1>,
    ) -> Result<Tensor<1>, CurvatureError> {
        self.apply_as(transformation, gradient, Variance::Covector)
    }

    /// |L(Tθ) − L(θ)| / max(|L(θ)|, smallest normal number): rounding if the description of the hidden layers is right.
    ///
    /// # Cost
    ///
    /// A forward pass.
    ///
    /// # Errors
    ///
    /// As [`apply`](HiddenLayers::apply); what the evaluation reports.
    pub fn invariance_defect(
        &self,
        point: &Point,
        transformation: &Transformation,
    ) -> Result<f64, CurvatureError> {
        let there = point.move_to(self.apply(transformation, point.theta())?)?;
        let (here, there) = (point.loss()?, there.loss()?);
        Ok((there - here).abs() / here.abs().max(f64::MIN_POSITIVE))
    }

    fn apply_as(
        &self,
        transformation: &Transformation,
        v: &Tensor<1>,
        variance: Variance,
    ) -> Result<Tensor<1>, CurvatureError> {
        self.check(v)?;
        self.check_transformation(transformation)?;
        let mut values = to_f64(v);
        for (places, map) in self.places().iter().zip(&transformation.layers) {
            transform(&mut values, places, map, variance);
        }
        Ok(from_f64(&values, &v.device(), v.dtype()))
    }

    fn identity_of(&self, layer: usize) -> Result<UnitMap, CurvatureError> {
        let requirement = "the network has fewer hidden layers";
        let places = self.places().get(layer);
        places
            .map(|places| UnitMap::identity(places.units()))
            .ok_or(CurvatureError::NoSymmetry { layer, requirement })
    }

    fn with(
        &self,
        layer: usize,
        permutation: Vec<usize>,
        scales: Vec<f64>,
    ) -> Result<Transformation, CurvatureError> {
        self.identity_of(layer)?;
        let mut transformation = self.identity();
        transformation.layers[layer] = UnitMap {
            permutation,
            scales,
        };
        self.check_transformation(&transformation)?;
        Ok(transformation)
    }

    fn check_transformation(&self, transformation: &Transformation) -> Result<(), CurvatureError> {
        if transformation.layers.len() != self.layers().len() {
            return Err(CurvatureError::Dimension {
                what: "the hidden layers of a transformation",
                expected: self.layers().len(),
                found: transformation.layers.len(),
            });
        }
        for (layer, map) in transformation.layers.iter().enumerate() {
            let described = &self.layers()[layer];
            if let Some(requirement) = fault(map, described.units, described.activation) {
                return Err(CurvatureError::NoSymmetry { layer, requirement });
            }
        }
        Ok(())
    }
}

/// What keeps a map from being a symmetry of a layer.
fn fault(map: &UnitMap, units: usize, activation: super::UnitActivation) -> Option<&'static str> {
    if map.permutation.len() != units || map.scales.len() != units {
        return Some("it maps each unit once");
    }
    let mut seen = vec![false; units];
    for &unit in &map.permutation {
        match seen.get_mut(unit) {
            Some(seen) if !*seen => *seen = true,
            _ => return Some("a permutation holds each unit once"),
        }
    }
    let usable = |scale: &f64| scale.is_finite() && *scale != 0.0 && scale.recip().is_finite();
    if !map.scales.iter().all(usable) {
        return Some("scales are finite and not zero");
    }
    if !activation.flips() && map.scales.iter().any(|scale| *scale < 0.0) {
        return Some("its activation is not odd, so that units keep their signs");
    }
    if !activation.scales() && map.scales.iter().any(|scale| scale.abs() != 1.0) {
        return Some("its activation is not homogeneous, so that units keep their scales");
    }
    None
}

/// T on the parameters of one layer.
pub(super) fn transform_layer(values: &mut [f64], places: &Places, map: &UnitMap) {
    transform(values, places, map, Variance::Vector);
}

fn transform(values: &mut [f64], places: &Places, map: &UnitMap, variance: Variance) {
    let inverse: Vec<f64> = map.scales.iter().map(|scale| 1.0 / scale).collect();
    let (incoming, outgoing) = match variance {
        Variance::Vector => (&map.scales, &inverse),
        Variance::Covector => (&inverse, &map.scales),
    };
    for view in places.incoming() {
        view.reorder(values, &map.permutation);
        view.scale(values, incoming);
    }
    places.outgoing.reorder(values, &map.permutation);
    places.outgoing.scale(values, outgoing);
}
