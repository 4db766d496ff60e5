use crate::eigen::lanczos::{LanczosEnding, TopEigenpairs};
use crate::eigen::tracking::matching::Continuity;
use serde::{Deserialize, Serialize};

/// What a step of a [`Tracker`](super::Tracker) found.
#[derive(Clone, Debug)]
pub struct Tracked {
    /// The eigenpairs, the most wanted first, in the order of [`TrackedSummary::directions`].
    pub top: TopEigenpairs,
    /// What became of the directions.
    pub summary: TrackedSummary,
}

/// What became of the tracked directions in one step, without their vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackedSummary {
    /// The step, from 0.
    pub step: u64,
    /// The directions, the most wanted first.
    pub directions: Vec<Direction>,
    /// |⟨uᵢ(t−1), uⱼ(t)⟩| of the eigenvectors: a row for each earlier pair, a column for each of now, in their orders.
    pub overlaps: Vec<Vec<f64>>,
    /// ‖UᵀV‖²_F / k, k the smaller of both numbers of pairs: 1 for the same subspace, about k / n for unrelated ones. `None` without
    /// earlier pairs.
    pub subspace_overlap: Option<f64>,
    /// Pairs of directions whose eigenvalues have changed places.
    pub crossings: Vec<LevelCrossing>,
    /// Pairs of directions that have turned into each other without their eigenvalues meeting.
    pub exchanges: Vec<Exchange>,
    /// Numbers of the directions that are new.
    pub entered: Vec<u64>,
    /// Directions that are not among the pairs any more.
    pub lost: Vec<LostDirection>,
    /// How the iteration ended.
    pub ending: LanczosEnding,
    /// Operator applications of this step.
    pub applications: usize,
    /// Operator applications of all steps so far.
    pub total_applications: usize,
}

impl TrackedSummary {
    /// The direction with this number.
    pub fn direction(&self, id: u64) -> Option<&Direction> {
        self.directions.iter().find(|direction| direction.id == id)
    }
}

/// A direction that keeps its number over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Direction {
    /// Its number; numbers are never used again.
    pub id: u64,
    /// The step in which it entered.
    pub since: u64,
    /// Its eigenvalue; inside a near-degenerate group one of the group's.
    pub value: f64,
    /// The residual of the eigenpair.
    pub residual: f64,
    /// |⟨·,·⟩| with what it was in the step before, directions inside near-degenerate groups being carried along with the least turning.
    pub overlap: Option<f64>,
    /// By what it was known again.
    pub continuity: Continuity,
    /// Number of its near-degenerate group in this step: directions with the same number are defined up to a rotation only.
    pub group: usize,
}

/// Two directions whose eigenvalues have changed places.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelCrossing {
    /// The direction that is above now.
    pub rising: u64,
    /// The direction that is below now.
    pub falling: u64,
    /// λ(rising) − λ(falling) when they were last apart in the old order: negative.
    pub before: f64,
    /// The same now: positive.
    pub after: f64,
    /// The step in which they were last apart in the old order; in the steps between they were near-degenerate.
    pub since: u64,
    /// Overlaps of the rising and the falling direction with what they were in the step before.
    pub overlaps: [f64; 2],
}

/// An avoided crossing: two directions that have turned into each other while their eigenvalues kept their order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// One direction.
    pub first: u64,
    /// The other.
    pub second: u64,
    /// Angle in their plane, in radians, summed over the steps since they were first seen together or last exchanged: π/3 or more, and π/2 is a
    /// whole exchange. The sum is that of small rotations; when more directions turn together it depends on their path.
    pub turn: f64,
}

/// A direction that is not among the pairs any more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LostDirection {
    /// Its number.
    pub id: u64,
    /// Its last eigenvalue.
    pub value: f64,
    /// The step in which it had entered.
    pub since: u64,
    /// Length of its part in the span of the new vectors: near 0 its eigenvalue has left the wanted ones, near 1 it was mixed with others in
    /// one step.
    pub within: f64,
}
