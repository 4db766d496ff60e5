//! The straight line between two solutions, and the barrier on it.

use super::profile::ending;
use super::{Evaluations, Grid, SliceEnding, null_as_nan, null_as_nan_number};
use crate::error::CurvatureError;
use crate::point::Point;
use crate::progress::{Observer, unobserved};
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// Where to evaluate an interpolation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InterpolationOptions {
    /// Points on the segment, both ends included; at least 2.
    pub points: usize,
    /// Losses that the search for the highest point may cost beyond the grid; 0 leaves the grid's maximum.
    pub refinements: usize,
    /// The search ends when it knows t to this.
    pub tolerance: f64,
}

impl Default for InterpolationOptions {
    /// 25 points, and at most 20 losses to find the maximum to 1e-4.
    fn default() -> Self {
        Self {
            points: 25,
            refinements: 20,
            tolerance: 1e-4,
        }
    }
}

/// The highest point above the chord between two solutions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Barrier {
    /// max over t of L(t) − [(1 − t) L(0) + t L(1)], never below 0; infinite if a loss between the ends is not finite, NaN if one at
    /// the ends is not.
    #[serde(deserialize_with = "null_as_nan_number")]
    pub height: f64,
    /// Where, from 0 to 1.
    pub t: f64,
    /// L there.
    #[serde(deserialize_with = "null_as_nan_number")]
    pub loss: f64,
}

/// The loss between two solutions: L((1 − t) θ₀ + t θ₁).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interpolation {
    /// t of the grid and of the search for the maximum, ascending.
    pub coordinates: Vec<f64>,
    /// The losses there; may hold NaN and infinities.
    #[serde(deserialize_with = "null_as_nan")]
    pub losses: Vec<f64>,
    /// The highest point above the chord.
    pub barrier: Barrier,
    /// ‖θ₁ − θ₀‖.
    pub distance: f64,
    /// Whether grid and search came to their end.
    pub ending: SliceEnding,
}

/// The loss on the segment between two solutions and its barrier, refined by golden section around the highest point of the grid.
///
/// L(t) = L((1 − t) θ₀ + t θ₁); the barrier is max over t of L(t) − [(1 − t) L(0) + t L(1)]. Two maxima closer than the grid are
/// not told apart.
///
/// # Shapes
///
/// `theta_0` and `theta_1` are `[n]`; the point gives the loss and the batch, its own parameters do not matter.
///
/// # Cost
///
/// At most `points` + `refinements` forward passes.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] for vectors of another length, [`CurvatureError::Argument`] for fewer than 2 points; what the
/// evaluation reports. Losses that are not finite are data.
///
/// # References
///
/// J. Frankle et al., Linear mode connectivity and the lottery ticket hypothesis, ICML 2020, section 2 (there relative to the mean of
/// the ends); R. Entezari et al., The role of permutation invariance in linear mode connectivity of neural networks, ICLR 2022,
/// definition 2.1.
pub fn interpolate(
    point: &Point,
    theta_0: &Tensor<1>,
    theta_1: &Tensor<1>,
    options: &InterpolationOptions,
) -> Result<Interpolation, CurvatureError> {
    interpolate_observed(point, theta_0, theta_1, options, &mut unobserved)
}

/// As [`interpolate`], and shows an observer each loss evaluated (`applications` counts them), which may stop it.
///
/// # Errors
///
/// As [`interpolate`].
pub fn interpolate_observed(
    point: &Point,
    theta_0: &Tensor<1>,
    theta_1: &Tensor<1>,
    options: &InterpolationOptions,
    observer: &mut Observer<'_>,
) -> Result<Interpolation, CurvatureError> {
    if options.points < 2 {
        return Err(CurvatureError::Argument {
            name: "points",
            value: options.points as f64,
            requirement: "a segment has two ends",
        });
    }
    let ends = [
        super::direction_of(point, "the first solution", theta_0)?,
        super::direction_of(point, "the second solution", theta_1)?,
    ];
    let span = tracing::debug_span!("interpolate", dim = point.dim(), points = options.points);
    let _entered = span.enter();
    let most = options.points + options.refinements;
    let mut segment = Segment {
        ends,
        evaluations: Evaluations::new(point, most, observer),
        samples: Vec::with_capacity(most),
    };
    // the ends first: without them a stopped interpolation would have no chord
    let grid = Grid {
        low: 0.0,
        high: 1.0,
        points: options.points,
    }
    .coordinates()?;
    let inner = &grid[1..grid.len() - 1];
    let flow = [0.0, 1.0]
        .iter()
        .chain(inner)
        .try_for_each(|&t| segment.add(t));
    let flow = match flow {
        Ok(()) => segment.refine(options),
        stopped => stopped,
    };
    segment.finish(flow)
}

/// What ends an evaluation early.
enum Interrupted {
    Stopped,
    Failed(CurvatureError),
}

struct Segment<'a, 'b> {
    ends: [Tensor<1>; 2],
    evaluations: Evaluations<'a, 'b>,
    /// (t, L(t)), the ends first.
    samples: Vec<(f64, f64)>,
}

impl Segment<'_, '_> {
    fn add(&mut self, t: f64) -> Result<(), Interrupted> {
        let [first, second] = self.ends.clone();
        let theta = first.mul_scalar(1.0 - t) + second.mul_scalar(t);
        let (loss, flow) = self.evaluations.loss(theta).map_err(Interrupted::Failed)?;
        self.samples.push((t, loss));
        match flow {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Interrupted::Stopped),
        }
    }

    /// L(t) − [(1 − t) L(0) + t L(1)].
    fn excess(&self, (t, loss): (f64, f64)) -> f64 {
        let (first, second) = (self.samples[0].1, self.samples[1].1);
        loss - ((1.0 - t) * first + t * second)
    }

    fn new_excess(&mut self, t: f64) -> Result<f64, Interrupted> {
        self.add(t)?;
        Ok(self.excess(self.samples[self.samples.len() - 1]))
    }

    /// Golden section between the neighbours of the highest sample; nothing to do where a loss is not finite.
    fn refine(&mut self, options: &InterpolationOptions) -> Result<(), Interrupted> {
        let barrier = self.barrier();
        if !barrier.height.is_finite() || barrier.height <= 0.0 {
            return Ok(());
        }
        let spacing = 1.0 / (options.points - 1) as f64;
        let (mut low, mut high) = (barrier.t - spacing, barrier.t + spacing);
        (low, high) = (low.max(0.0), high.min(1.0));
        let golden = 0.5 * (5f64.sqrt() - 1.0);
        let mut left = high - golden * (high - low);
        let mut right = low + golden * (high - low);
        if options.refinements < 2 {
            return Ok(());
        }
        let mut at_left = self.new_excess(left)?;
        let mut at_right = self.new_excess(right)?;
        for _ in 2..options.refinements {
            // written so that NaN ends the search, too
            let open = high - low > options.tolerance.max(f64::EPSILON);
            if !(open && at_left.is_finite() && at_right.is_finite()) {
                break;
            }
            if at_left > at_right {
                (high, right, at_right) = (right, left, at_left);
                left = high - golden * (high - low);
                at_left = self.new_excess(left)?;
            } else {
                (low, left, at_left) = (left, right, at_right);
                right = low + golden * (high - low);
                at_right = self.new_excess(right)?;
            }
        }
        Ok(())
    }

    fn barrier(&self) -> Barrier {
        let mut barrier = Barrier {
            height: 0.0,
            t: 0.0,
            loss: self.samples[0].1,
        };
        let ends = &self.samples[..self.samples.len().min(2)];
        if let Some(&(t, loss)) = ends.iter().find(|(_, loss)| !loss.is_finite()) {
            let height = f64::NAN;
            return Barrier { height, t, loss };
        }
        for &(t, loss) in self.samples.iter().skip(2) {
            let height = match loss.is_finite() {
                true => self.excess((t, loss)),
                false => f64::INFINITY,
            };
            if height > barrier.height {
                barrier = Barrier { height, t, loss };
            }
        }
        barrier
    }

    fn finish(self, flow: Result<(), Interrupted>) -> Result<Interpolation, CurvatureError> {
        let complete = match flow {
            Ok(()) => true,
            Err(Interrupted::Stopped) => false,
            Err(Interrupted::Failed(error)) => return Err(error),
        };
        let barrier = self.barrier();
        let mut samples = self.samples;
        samples.sort_by(|a, b| a.0.total_cmp(&b.0));
        let [first, second] = self.ends;
        Ok(Interpolation {
            coordinates: samples.iter().map(|sample| sample.0).collect(),
            losses: samples.iter().map(|sample| sample.1).collect(),
            barrier,
            distance: crate::vector::norm(&(second - first)),
            ending: ending(usize::from(complete), 1),
        })
    }
}
