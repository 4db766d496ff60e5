//! The transformation that brings one network closest to another, by matching weights.

use super::assignment::assignment;
use super::balance::{balance, finite_values};
use super::layers::{HiddenLayers, Places};
use super::transformation::{Transformation, UnitMap, transform_layer};
use crate::axis::AxisView;
use crate::error::CurvatureError;
use crate::landscape::{Interpolation, InterpolationOptions, interpolate};
use crate::point::Point;
use crate::progress::{Observer, Progress, unobserved};
use crate::seed::Seed;
use burn::prelude::Tensor;
use faer::Mat;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// A smaller gain, relative to the inner products it is the difference of, is rounding.
const LEAST_GAIN: f64 = 1e-12;

/// How hard to look for the best match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignmentOptions {
    /// Descents, of which the best is kept; one is exact for a single hidden layer. The first starts from a match of what comes in, layer
    /// by layer; the second from the networks as they are; the others, too, with layers in random order.
    pub starts: usize,
    /// Sweeps over the layers at most in each descent.
    pub max_sweeps: usize,
}

impl Default for AlignmentOptions {
    /// 5 starts, 100 sweeps.
    fn default() -> Self {
        Self {
            starts: 5,
            max_sweeps: 100,
        }
    }
}

/// Why the best descent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlignmentEnding {
    /// No layer can be matched better while the others stay.
    Converged,
    /// The allowed sweeps are spent.
    MaxSweeps,
    /// The observer asked to stop.
    Stopped,
}

/// How one network is brought close to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alignment {
    /// T, for the second network's parameters.
    pub transformation: Transformation,
    /// ‖θ_ref − θ‖.
    pub distance_before: f64,
    /// ‖θ_ref − Tθ‖.
    pub distance_after: f64,
    /// The same distance after both networks are balanced; equal to `distance_after` where no units can be rescaled.
    pub distance_modulo_symmetry: f64,
    /// Which descent was the best, from 0.
    pub best_start: usize,
    /// The distance modulo symmetry that each descent came to.
    pub distances: Vec<f64>,
    /// Assignment problems solved in all descents.
    pub assignments: usize,
    /// Why the best descent ended.
    pub ending: AlignmentEnding,
}

/// An alignment with the paths before and after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlignedBarriers {
    /// The alignment.
    pub alignment: Alignment,
    /// From the reference to the other network as it is.
    pub before: Interpolation,
    /// From the reference to the aligned network.
    pub after: Interpolation,
}

/// The transformation T that brings `theta` close to `reference`: min over T of ‖θ_ref − Tθ‖ by weight matching.
///
/// Coordinate descent over the hidden layers. With the others fixed, the best match of one layer's units is a linear assignment problem in the
/// inner products S of everything that belongs to a unit, incoming and outgoing; where units can change sign, in |S|, and the sign
/// of S is taken. Where units can be rescaled, both networks are [balanced](super::balanced) first, and T brings the second one to the
/// scales of the reference. Mixtures of linear units beyond permutations, signs and scales are not looked for.
///
/// Exact for one hidden layer. For several the problem is NP-hard: the distance is an upper bound, and exchanging the networks may give
/// another one.
///
/// ```
/// use burn::nn::LinearConfig;
/// use burn::prelude::*;
/// use ravine_curvature::symmetry::{AlignmentOptions, HiddenLayers, UnitActivation, align};
/// use ravine_curvature::{ParameterLayout, Seed};
///
/// let device = Device::flex();
/// let layers = vec![LinearConfig::new(4, 6).init(&device), LinearConfig::new(6, 2).init(&device)];
/// let layout = ParameterLayout::of(&layers)?;
/// let theta = layout.gather(&layers)?;
/// let hidden = HiddenLayers::of_layout(&layout, UnitActivation::Odd)?;
///
/// let copy = hidden.apply(&hidden.random_transformation(Seed::new(1)), &theta)?;
/// let alignment = align(&hidden, &theta, &copy, &AlignmentOptions::default(), Seed::new(2))?;
/// assert!(alignment.distance_before > 0.1 && alignment.distance_after == 0.0);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Shapes
///
/// `reference` and `theta` are `[n]`.
///
/// # Cost
///
/// For each layer of m units in each sweep, O(m · n) for S and O(m³) for the assignment.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] for vectors of another length, [`CurvatureError::NonFinite`] for numbers that are not finite,
/// [`CurvatureError::Argument`] for no starts.
///
/// # References
///
/// S. K. Ainsworth, J. Hayase, S. Srinivasa, Git Re-Basin: merging models modulo permutation symmetries, ICLR 2023, algorithm 1.
pub fn align(
    layers: &HiddenLayers,
    reference: &Tensor<1>,
    theta: &Tensor<1>,
    options: &AlignmentOptions,
    seed: Seed,
) -> Result<Alignment, CurvatureError> {
    align_observed(layers, reference, theta, options, seed, &mut unobserved)
}

/// As [`align`], and shows an observer each assignment solved (`applications` counts them, `measure` is the distance relative to that of
/// the unmatched networks), which may stop it.
///
/// # Errors
///
/// As [`align`].
pub fn align_observed(
    layers: &HiddenLayers,
    reference: &Tensor<1>,
    theta: &Tensor<1>,
    options: &AlignmentOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<Alignment, CurvatureError> {
    if options.starts == 0 {
        return Err(CurvatureError::Argument {
            name: "starts",
            value: 0.0,
            requirement: "an alignment needs at least one descent",
        });
    }
    let fixed = finite_values(layers, reference)?;
    let moving = finite_values(layers, theta)?;
    let span = tracing::debug_span!("align", dim = layers.dim(), starts = options.starts);
    let _entered = span.enter();

    let (mut target, mut start) = (fixed.clone(), moving.clone());
    let fixed_scales = balance(layers, &mut target);
    let moving_scales = balance(layers, &mut start);
    let mut search = Search {
        layers,
        target: &target,
        unmatched: distance(&target, &start),
        assignments: 0,
        observer,
    };
    let mut best: Option<(f64, Descent, usize)> = None;
    let mut distances = Vec::new();
    for index in 0..options.starts {
        let order = match index {
            0 => Order::IncomingFirst,
            1 => Order::Natural,
            _ => Order::Random(seed.stream("alignment").index(index as u64)),
        };
        let descent = search.descend(start.clone(), order, options.max_sweeps)?;
        let found = distance(&target, &descent.values);
        distances.push(found);
        let stopped = descent.ending == AlignmentEnding::Stopped;
        if best.as_ref().is_none_or(|(least, ..)| found < *least) {
            best = Some((found, descent, index));
        }
        if stopped || layers.layers().is_empty() {
            break;
        }
    }
    let (least, descent, best_start) = best.expect("at least one start");
    let assignments = search.assignments;
    let transformation = moving_scales
        .then(&descent.total)?
        .then(&fixed_scales.inverse())?;
    let mut aligned = moving.clone();
    let maps = layers.places().iter().zip(&transformation.layers);
    maps.for_each(|(places, map)| transform_layer(&mut aligned, places, map));
    Ok(Alignment {
        transformation,
        distance_before: distance(&fixed, &moving),
        distance_after: distance(&fixed, &aligned),
        distance_modulo_symmetry: least,
        best_start,
        distances,
        assignments,
        ending: descent.ending,
    })
}

/// The distance of two networks, each in the place of its orbit that is nearest to the other: that of [`align`], after balancing.
///
/// # Errors
///
/// As [`align`].
pub fn distance_modulo_symmetry(
    layers: &HiddenLayers,
    theta_1: &Tensor<1>,
    theta_2: &Tensor<1>,
    options: &AlignmentOptions,
    seed: Seed,
) -> Result<f64, CurvatureError> {
    Ok(align(layers, theta_1, theta_2, options, seed)?.distance_modulo_symmetry)
}

/// Aligns the second network with the first and measures the barrier between them before and after.
///
/// The point gives the loss and the batch.
///
/// # Cost
///
/// That of [`align`] and two [interpolations](interpolate).
///
/// # Errors
///
/// As [`align`] and [`interpolate`].
///
/// # References
///
/// R. Entezari et al., The role of permutation invariance in linear mode connectivity of neural networks, ICLR 2022.
pub fn align_with_barrier(
    point: &Point,
    layers: &HiddenLayers,
    [reference, theta]: [&Tensor<1>; 2],
    options: &AlignmentOptions,
    path: &InterpolationOptions,
    seed: Seed,
) -> Result<AlignedBarriers, CurvatureError> {
    let alignment = align(layers, reference, theta, options, seed)?;
    let aligned = layers.apply(&alignment.transformation, theta)?;
    Ok(AlignedBarriers {
        alignment,
        before: interpolate(point, reference, theta, path)?,
        after: interpolate(point, reference, &aligned, path)?,
    })
}

/// In which order a descent goes through the layers.
#[derive(Clone, Copy)]
enum Order {
    /// Once by incoming weights alone, from inputs to outputs: exact for a copy. Then as `Natural`.
    IncomingFirst,
    Natural,
    Random(Seed),
}

/// What of a unit is compared.
#[derive(Clone, Copy, PartialEq)]
enum Compared {
    Incoming,
    Everything,
}

struct Search<'a, 'b> {
    layers: &'a HiddenLayers,
    target: &'a [f64],
    unmatched: f64,
    assignments: usize,
    observer: &'a mut Observer<'b>,
}

struct Descent {
    values: Vec<f64>,
    total: Transformation,
    ending: AlignmentEnding,
}

/// What one assignment did.
struct Matched {
    improved: bool,
    flow: ControlFlow<()>,
}

impl Search<'_, '_> {
    fn descend(
        &mut self,
        values: Vec<f64>,
        order: Order,
        max_sweeps: usize,
    ) -> Result<Descent, CurvatureError> {
        let count = self.layers.layers().len();
        let mut descent = Descent {
            values,
            total: self.layers.identity(),
            ending: AlignmentEnding::MaxSweeps,
        };
        if let Order::IncomingFirst = order {
            for layer in 0..count {
                let matched = self.match_layer(&mut descent, layer, Compared::Incoming)?;
                if matched.flow.is_break() {
                    descent.ending = AlignmentEnding::Stopped;
                    return Ok(descent);
                }
            }
        }
        let mut sequence: Vec<usize> = (0..count).collect();
        let mut rng = match order {
            Order::Random(seed) => Some(seed.rng()),
            _ => None,
        };
        for _ in 0..max_sweeps {
            if let Some(rng) = &mut rng {
                sequence.shuffle(rng);
            }
            let mut improved = false;
            for &layer in &sequence {
                let matched = self.match_layer(&mut descent, layer, Compared::Everything)?;
                improved |= matched.improved;
                if matched.flow.is_break() {
                    descent.ending = AlignmentEnding::Stopped;
                    return Ok(descent);
                }
            }
            if !improved {
                descent.ending = AlignmentEnding::Converged;
                break;
            }
        }
        Ok(descent)
    }

    fn match_layer(
        &mut self,
        descent: &mut Descent,
        layer: usize,
        compared: Compared,
    ) -> Result<Matched, CurvatureError> {
        let places = &self.layers.places()[layer];
        let flips = self.layers.layers()[layer].activation.flips();
        let similarity = similarity(places, compared, self.target, &descent.values);
        let (map, gain) = best_map(&similarity, flips)?;
        let scale = similarity.norm_l2() * (places.units() as f64).sqrt();
        let improved = gain > LEAST_GAIN * scale;
        if improved {
            transform_layer(&mut descent.values, places, &map);
            let mut step = self.layers.identity();
            step.layers[layer] = map;
            descent.total = descent.total.then(&step)?;
        }
        self.assignments += 1;
        let now = distance(self.target, &descent.values);
        let flow = (self.observer)(&Progress {
            applications: self.assignments,
            most: None,
            measure: (self.unmatched > 0.0).then_some(now / self.unmatched),
        });
        Ok(Matched { improved, flow })
    }
}

/// The map of the moving units to the target's with the largest total similarity, and by how much it beats leaving them.
fn best_map(similarity: &Mat<f64>, flips: bool) -> Result<(UnitMap, f64), CurvatureError> {
    let units = similarity.nrows();
    let worth = |i: usize, j: usize| match flips {
        true => similarity[(i, j)].abs(),
        false => similarity[(i, j)],
    };
    let costs: Vec<f64> = (0..units * units)
        .map(|k| -worth(k / units, k % units))
        .collect();
    let permutation = assignment(&costs, units)?;
    let gain = |(i, &j): (usize, &usize)| worth(i, j) - similarity[(i, i)];
    let total = permutation.iter().enumerate().map(gain).sum();
    let sign = |(i, &j): (usize, &usize)| match flips && similarity[(i, j)] < 0.0 {
        true => -1.0,
        false => 1.0,
    };
    let scales = permutation.iter().enumerate().map(sign).collect();
    let map = UnitMap {
        permutation,
        scales,
    };
    Ok((map, total))
}

/// S_ij = ⟨unit i of the target, unit j of the other⟩.
fn similarity(places: &Places, compared: Compared, target: &[f64], values: &[f64]) -> Mat<f64> {
    let outgoing = (compared == Compared::Everything).then_some(places.outgoing);
    let mut similarity = Mat::zeros(places.units(), places.units());
    for view in places.incoming().chain(outgoing) {
        similarity += by_unit(&view, target) * by_unit(&view, values).transpose();
    }
    similarity
}

/// The entries of each unit as a row.
fn by_unit(view: &AxisView, values: &[f64]) -> Mat<f64> {
    let AxisView {
        start,
        units,
        inner,
        ..
    } = *view;
    Mat::from_fn(units, view.width(), |unit, entry| {
        values[start + (entry / inner * units + unit) * inner + entry % inner]
    })
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f64>().sqrt()
}
