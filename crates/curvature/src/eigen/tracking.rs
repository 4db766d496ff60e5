//! Eigenpairs followed through training: who is who, who crosses whom.

mod couples;
mod matching;
mod summary;

pub use matching::Continuity;
pub use summary::{Direction, Exchange, LevelCrossing, LostDirection, Tracked, TrackedSummary};

use crate::eigen::basis::{Basis, HostVector};
use crate::eigen::file::{FileProblem, SavedEigenpairs};
use crate::eigen::lanczos::{LanczosOptions, Multiplicity, TopEigenpairs, lanczos_top_k_observed};
use crate::eigen::pairs::{Eigenpair, Which, check as check_common};
use crate::error::{CurvatureError, argument};
use crate::operator::LinearOperator;
use crate::progress::{Observer, unobserved};
use crate::seed::Seed;
use burn::prelude::{Device, Tensor};
use couples::Couples;
use faer::Mat;
use matching::{Matching, groups, matching};
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_1_SQRT_2;
use std::path::Path;

/// Where the search of a step starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrackerStart {
    /// Near the span of the vectors of the step before.
    #[default]
    Warm,
    /// In a random direction, as if each step were the first.
    Cold,
}

/// What a [`Tracker`] follows, and when it takes two directions for the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrackerOptions {
    /// Number k of eigenpairs.
    pub pairs: usize,
    /// Which part of the spectrum.
    pub which: Which,
    /// A pair is converged when ‖Av − λv‖ ≤ tolerance · max |λ|.
    pub tolerance: f64,
    /// Most operator applications of a step, those that measure the residuals not counted.
    pub max_iterations: usize,
    /// Most basis vectors kept; see [`LanczosOptions::vectors`].
    pub vectors: Option<usize>,
    /// What is done about multiple eigenvalues. A warm start from vectors of one eigenspace sees that space as one direction: search
    /// where eigenvalues meet exactly.
    pub multiplicity: Multiplicity,
    /// Where the search starts.
    pub start: TrackerStart,
    /// Least overlap of a direction with what it was in the step before, in (0, 1]. Above 1/√2, the default, no other can have as much.
    pub least_overlap: f64,
    /// Eigenvalues no further apart than this times max |λ|, or than their residuals, count as near-degenerate.
    pub degenerate_gap: f64,
}

impl Default for TrackerOptions {
    fn default() -> Self {
        Self {
            pairs: 10,
            which: Which::LargestAlgebraic,
            tolerance: 1e-4,
            max_iterations: 300,
            vectors: None,
            multiplicity: Multiplicity::AsMet,
            start: TrackerStart::Warm,
            least_overlap: FRAC_1_SQRT_2,
            degenerate_gap: 1e-3,
        }
    }
}

impl TrackerOptions {
    fn lanczos(&self) -> LanczosOptions {
        LanczosOptions {
            pairs: self.pairs,
            which: self.which,
            tolerance: self.tolerance,
            max_iterations: self.max_iterations,
            vectors: self.vectors,
            multiplicity: self.multiplicity,
            ..Default::default()
        }
    }

    fn check(&self) -> Result<(), CurvatureError> {
        check_common(self.pairs, self.tolerance)?;
        if !(self.least_overlap > 0.0 && self.least_overlap <= 1.0) {
            let requirement = "it must be above 0 and at most 1";
            return Err(argument("least_overlap", self.least_overlap, requirement));
        }
        if !(self.degenerate_gap >= 0.0 && self.degenerate_gap.is_finite()) {
            let requirement = "it must be finite and not negative";
            return Err(argument("degenerate_gap", self.degenerate_gap, requirement));
        }
        Ok(())
    }
}

/// Follows the top-k eigenpairs of an operator that changes, from step to step.
///
/// Each step finds the pairs from the earlier vectors, and matches new vectors V to old directions U by the assignment with the largest
/// Σ ⟨uᵢ, vⱼ⟩². A direction keeps its number as long as its overlap stays. Inside near-degenerate groups, where single vectors
/// are arbitrary, directions are carried along by the rotation with the least turning (the polar factor of VᵀU), so that they come out of a
/// meeting of eigenvalues as they went in. A [`LevelCrossing`] is told when two directions are apart again in another order; an
/// [`Exchange`] when two have turned into each other without their eigenvalues meeting, an avoided crossing. Whether a step sees the one or the
/// other depends on its length: one that jumps across a narrow gap sees a crossing.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use faer::Mat;
/// use ravine_curvature::{DenseSymmetric, Seed};
/// use ravine_curvature::eigen::{Tracker, TrackerOptions};
///
/// let mut tracker = Tracker::new(TrackerOptions { pairs: 2, ..Default::default() }, Seed::new(0));
/// let mut crossings = Vec::new();
/// for step in 0..4 {
///     // two levels, one falling, one rising: 8, 7, 6, 5 and 5.5, 6, 6.5, 7
///     let values = [8.0 - step as f64, 5.5 + 0.5 * step as f64, 1.0, 0.5, 0.0];
///     let matrix = Mat::from_fn(5, 5, |i, j| if i == j { values[i] } else { 0.0 });
///     let operator = DenseSymmetric::from_matrix(matrix).operator(&Device::flex(), DType::F64);
///     let tracked = tracker.step(&operator)?;
///     crossings.extend(tracked.summary.crossings.into_iter().map(|found| (step, found.rising)));
/// }
/// assert_eq!(crossings, [(2, 1)]); // direction 1 has passed direction 0 in step 2
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Cost
///
/// A step costs a [`lanczos_top_k`](crate::lanczos_top_k), started warm; k vectors are kept between steps, twice that is needed on top of
/// the solver's result while they are compared. Matching costs O(k² n + k³).
///
/// # References
///
/// Crouse (2016), On implementing 2D rectangular assignment algorithms; Björck and Golub (1973), Numerical methods for computing angles
/// between linear subspaces; von Neumann and Wigner (1929), on crossings and avoided crossings.
#[derive(Clone, Debug)]
pub struct Tracker {
    state: State,
    pairs: Vec<Eigenpair>,
}

/// All of a tracker but its vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct State {
    options: TrackerOptions,
    seed: Seed,
    step: u64,
    next_id: u64,
    applications: usize,
    directions: Vec<Direction>,
    /// The directions in the basis of the vectors, column by column.
    frame: Vec<f64>,
    couples: Couples,
}

impl Tracker {
    /// A tracker that has seen nothing. The options are checked by its steps.
    pub fn new(options: TrackerOptions, seed: Seed) -> Self {
        let state = State {
            options,
            seed,
            step: 0,
            next_id: 0,
            applications: 0,
            directions: Vec::new(),
            frame: Vec::new(),
            couples: Couples::default(),
        };
        let pairs = Vec::new();
        Self { state, pairs }
    }

    /// The options.
    pub fn options(&self) -> &TrackerOptions {
        &self.state.options
    }

    /// Steps made.
    pub fn steps(&self) -> u64 {
        self.state.step
    }

    /// The pairs of the last step, the most wanted first.
    pub fn pairs(&self) -> &[Eigenpair] {
        &self.pairs
    }

    /// The directions of the last step, in the order of [`pairs`](Self::pairs).
    pub fn directions(&self) -> &[Direction] {
        &self.state.directions
    }

    /// The pairs of the operator as it is now, and what became of the directions. After an error the tracker is as it was.
    ///
    /// # Errors
    ///
    /// As [`lanczos_top_k_observed`]; [`CurvatureError::Dimension`] for an operator of another dimension than before,
    /// [`CurvatureError::Argument`] for options without meaning.
    pub fn step(&mut self, operator: &dyn LinearOperator) -> Result<Tracked, CurvatureError> {
        self.step_observed(operator, &mut unobserved)
    }

    /// As [`step`](Self::step), and calls `observer` every few products; stopped early it goes on with the pairs that are there.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub fn step_observed(
        &mut self,
        operator: &dyn LinearOperator,
        observer: &mut Observer<'_>,
    ) -> Result<Tracked, CurvatureError> {
        let options = self.state.options;
        options.check()?;
        self.check_dim(operator.dim())?;
        let span = tracing::debug_span!("track", step = self.state.step, pairs = options.pairs);
        let _entered = span.enter();
        let earlier: Vec<Tensor<1>> = match options.start {
            TrackerStart::Warm => self.pairs.iter().map(|pair| pair.vector.clone()).collect(),
            TrackerStart::Cold => Vec::new(),
        };
        let seed = self.state.seed.stream("tracker").index(self.state.step);
        let top = lanczos_top_k_observed(operator, &options.lanczos(), &earlier, seed, observer)?;
        let overlaps = self.overlaps(operator, &top.pairs);
        let scale = top.pairs.iter().fold(0.0_f64, |m, p| m.max(p.value.abs()));
        let groups = groups(&top.pairs, options.degenerate_gap * scale);
        let old_groups: Vec<usize> = self.state.directions.iter().map(|d| d.group).collect();
        let carried = self.frame().transpose() * &overlaps;
        let matching = matching(&carried, &old_groups, &groups, options.least_overlap)?;
        let summary = self.summary(&top, &overlaps, &carried, &matching, &groups);
        self.pairs = top.pairs.clone();
        Ok(Tracked { top, summary })
    }

    fn check_dim(&self, found: usize) -> Result<(), CurvatureError> {
        match self.pairs.first().map(|pair| pair.vector.dims()[0]) {
            Some(expected) if expected != found => Err(CurvatureError::Dimension {
                what: "the operator of a tracker",
                expected,
                found,
            }),
            _ => Ok(()),
        }
    }

    fn frame(&self) -> Mat<f64> {
        let size = self.pairs.len();
        Mat::from_fn(size, size, |i, j| self.state.frame[j * size + i])
    }

    /// ⟨uᵢ, vⱼ⟩ of the earlier vectors with these.
    fn overlaps(&self, operator: &dyn LinearOperator, pairs: &[Eigenpair]) -> Mat<f64> {
        let (dim, dtype) = (operator.dim(), operator.dtype());
        let basis = |pairs: &[Eigenpair]| {
            let mut basis = Basis::new(dim, dtype, pairs.len());
            for pair in pairs {
                basis.push(&HostVector::read(pair.vector.clone(), dtype));
            }
            basis
        };
        match self.pairs.is_empty() || pairs.is_empty() {
            true => Mat::zeros(self.pairs.len(), pairs.len()),
            false => basis(&self.pairs).gram(&basis(pairs)),
        }
    }

    /// Advances the state, all but the vectors.
    fn summary(
        &mut self,
        top: &TopEigenpairs,
        overlaps: &Mat<f64>,
        carried: &Mat<f64>,
        matching: &Matching,
        groups: &[usize],
    ) -> TrackedSummary {
        let state = &mut self.state;
        let (old, new) = (overlaps.nrows(), overlaps.ncols());
        let mut directions = Vec::with_capacity(new);
        let mut entered = Vec::new();
        for (j, pair) in top.pairs.iter().enumerate() {
            let earlier = matching.from[j].map(|i| (i, &state.directions[i]));
            let (id, since) = match earlier {
                Some((_, direction)) => (direction.id, direction.since),
                None => {
                    entered.push(state.next_id);
                    state.next_id += 1;
                    (state.next_id - 1, state.step)
                }
            };
            directions.push(Direction {
                id,
                since,
                value: pair.value,
                residual: pair.residual,
                overlap: earlier.map(|(i, _)| matching.overlaps[(i, j)].abs()),
                continuity: matching.continuity[j],
                group: groups[j],
            });
        }
        let within = |i: usize| {
            (0..new)
                .map(|j| carried[(i, j)].powi(2))
                .sum::<f64>()
                .sqrt()
        };
        let lost = (0..old).filter(|&i| !matching.from.contains(&Some(i)));
        let lost = lost.map(|i| LostDirection {
            id: state.directions[i].id,
            value: state.directions[i].value,
            since: state.directions[i].since,
            within: within(i),
        });
        let lost = lost.collect();
        let (crossings, exchanges) = state.couples.observe(
            state.step,
            &directions,
            &matching.from,
            &matching.overlaps,
            state.options.least_overlap,
        );
        let squares: f64 = (0..old).map(|i| within(i).powi(2)).sum();
        let fewer = old.min(new);
        state.applications += top.applications;
        state.directions = directions;
        state.frame = (0..new * new)
            .map(|index| matching.frame[(index % new, index / new)])
            .collect();
        state.step += 1;
        let row = |i: usize| (0..new).map(|j| overlaps[(i, j)].abs()).collect();
        TrackedSummary {
            step: state.step - 1,
            directions: state.directions.clone(),
            overlaps: (0..old).map(row).collect(),
            subspace_overlap: (fewer > 0).then(|| squares / fewer as f64),
            crossings,
            exchanges,
            entered,
            lost,
            ending: top.ending,
            applications: top.applications,
            total_applications: state.applications,
        }
    }

    /// The pairs of the last step and all that is remembered, to be saved in one file with a label.
    ///
    /// # Errors
    ///
    /// As [`SavedEigenpairs::save`].
    pub fn save(
        &self,
        label: impl Into<String>,
        path: impl AsRef<Path>,
    ) -> Result<(), CurvatureError> {
        let path = path.as_ref();
        let mut state = Vec::new();
        ciborium::into_writer(&self.state, &mut state)
            .map_err(|_| FileProblem::Damaged { part: "tracker" }.at(path))?;
        let saved = SavedEigenpairs::new(label, &self.pairs)?;
        saved.with_attachment(state).save(path)
    }

    /// A tracker that goes on exactly as the saved one would have.
    ///
    /// # Errors
    ///
    /// As [`SavedEigenpairs::load`]; [`CurvatureError::File`] if the file holds eigenpairs only.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self, CurvatureError> {
        let path = path.as_ref();
        let saved = SavedEigenpairs::load(path, device)?;
        if saved.attachment().is_empty() {
            return Err(FileProblem::NoTracker.at(path));
        }
        let damaged = || FileProblem::Damaged { part: "tracker" }.at(path);
        let state: State = ciborium::from_reader(saved.attachment()).map_err(|_| damaged())?;
        let pairs = saved.pairs().to_vec();
        let size = pairs.len();
        if state.directions.len() != size || state.frame.len() != size * size {
            return Err(damaged());
        }
        Ok(Self { state, pairs })
    }
}

#[cfg(test)]
mod tests;
