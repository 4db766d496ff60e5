//! Which layers a quadratic form, a trace or an eigenvector comes from.

use crate::error::{CurvatureError, check_dimension};
use crate::estimate::Estimate;
use crate::layout::ParameterLayout;
use crate::operator::LinearOperator;
use crate::progress::{Observer, Watch, unobserved};
use crate::seed::Seed;
use crate::vector::{dot_f64, from_f64, to_f64};
use burn::prelude::Tensor;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Parts of the flat vector that are looked at together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// All parameters of a layer: those whose names agree up to the last point.
    #[default]
    Layer,
    /// Each parameter tensor by itself.
    Parameter,
}

impl ParameterLayout {
    /// Names and ranges of the groups, in order. Layers whose parameters are not neighbours have several ranges.
    pub fn groups(&self, grouping: Grouping) -> Vec<(String, Vec<Range<usize>>)> {
        let mut groups: Vec<(String, Vec<Range<usize>>)> = Vec::new();
        for entry in self.entries() {
            let name = match grouping {
                Grouping::Parameter => entry.name.as_str(),
                Grouping::Layer => entry.name.rsplit_once('.').map_or("", |(layer, _)| layer),
            };
            match groups.iter_mut().find(|(known, _)| known == name) {
                Some((_, ranges)) => ranges.push(entry.range.clone()),
                None => groups.push((name.to_string(), vec![entry.range.clone()])),
            }
        }
        groups
    }
}

/// vᵀAv, taken apart by groups of parameters: entry (i, j) is vᵢᵀ Aᵢⱼ vⱼ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuadraticShares {
    /// Names of the groups.
    pub groups: Vec<String>,
    /// ‖vᵢ‖² of each group.
    pub norms_squared: Vec<f64>,
    /// vᵢᵀ Aᵢⱼ vⱼ, a row for each i; symmetric up to rounding.
    pub shares: Vec<Vec<f64>>,
    /// Operator applications.
    pub applications: usize,
}

impl QuadraticShares {
    /// vᵀAv, the sum of all shares.
    pub fn total(&self) -> f64 {
        self.shares.iter().flatten().sum()
    }

    /// The part of each group, half of each cross term counted for either: they sum to the total.
    pub fn by_group(&self) -> Vec<f64> {
        let count = self.groups.len();
        let row = |i: usize| self.shares[i].iter().sum::<f64>();
        let column = |j: usize| (0..count).map(|i| self.shares[i][j]).sum::<f64>();
        (0..count).map(|i| 0.5 * (row(i) + column(i))).collect()
    }

    /// The sum of the diagonal: what is left when layers do not act on each other.
    pub fn within_groups(&self) -> f64 {
        (0..self.groups.len()).map(|i| self.shares[i][i]).sum()
    }
}

/// Takes vᵀAv apart by groups of parameters; with v = g the curvature along the gradient, with an eigenvector its eigenvalue.
///
/// # Shapes
///
/// `v` `[n]`.
///
/// # Cost
///
/// One operator application for each group, in blocks.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] when layout, operator and vector do not fit; what the operator reports.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::{Grouping, Objective, quadratic_shares};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 1).init(&device);
/// let objective = Objective::new(
///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
/// );
/// let batch = (Tensor::<2>::ones([8, 3], &device), Tensor::<2>::ones([8, 1], &device));
/// let point = objective.at(&model, &batch)?;
/// let v = Tensor::<1>::ones([4], &device);
/// let shares = quadratic_shares(&point.hessian(), point.layout(), Grouping::Parameter, &v)?;
/// assert_eq!(shares.groups, ["weight", "bias"]);
/// assert_eq!(shares.shares, [[18.0, 6.0], [6.0, 2.0]]); // H = 2 · 1 1ᵀ
/// assert_eq!(shares.by_group(), [24.0, 8.0]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub fn quadratic_shares(
    operator: &dyn LinearOperator,
    layout: &ParameterLayout,
    grouping: Grouping,
    v: &Tensor<1>,
) -> Result<QuadraticShares, CurvatureError> {
    layout.check("the vector", v)?;
    check_dimension("the operator", operator.dim(), layout.dim())?;
    let groups = layout.groups(grouping);
    let values = to_f64(v);
    let dim = values.len();
    let mut shares = Vec::with_capacity(groups.len());
    for chunk in groups.chunks(operator.block_size().max(1)) {
        let mut rows = vec![0.0; chunk.len() * dim];
        for (row, (_, ranges)) in rows.chunks_mut(dim).zip(chunk) {
            for range in ranges {
                row[range.clone()].copy_from_slice(&values[range.clone()]);
            }
        }
        let flat = from_f64(&rows, &operator.device(), operator.dtype());
        let products = operator.apply_block(&flat.reshape([chunk.len(), dim]))?;
        let products = to_f64(&products.reshape([chunk.len() * dim]));
        for product in products.chunks(dim) {
            shares.push(by_group(&groups, &values, product));
        }
    }
    Ok(QuadraticShares {
        norms_squared: by_group(&groups, &values, &values),
        applications: groups.len(),
        groups: groups.into_iter().map(|(name, _)| name).collect(),
        shares,
    })
}

/// The trace of A by groups of parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceShares {
    /// Names of the groups.
    pub groups: Vec<String>,
    /// tr Aᵢᵢ of each group.
    pub traces: Vec<Estimate>,
    /// tr A; its value is the sum of the groups'.
    pub total: Estimate,
    /// Whether an observer stopped it before all probes were used.
    #[serde(default)]
    pub stopped: bool,
}

/// The trace of A by groups of parameters, by Hutchinson's estimator with one set of probes for all groups.
///
/// tr Aᵢᵢ = E[zᵢᵀ (Az)ᵢ] for random signs z. The estimates of the groups sum to that of the whole. Where one eigenvalue
/// dominates, the intervals of few probes are short, as that of [`hutchinson_trace`](crate::trace::hutchinson_trace).
///
/// # Cost
///
/// One operator application for each probe, in blocks.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for less than two probes, [`CurvatureError::Dimension`] when layout and operator do not fit.
///
/// # References
///
/// Hutchinson (1990), A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines, section 2.
pub fn trace_shares(
    operator: &dyn LinearOperator,
    layout: &ParameterLayout,
    grouping: Grouping,
    probes: usize,
    seed: Seed,
) -> Result<TraceShares, CurvatureError> {
    trace_shares_observed(operator, layout, grouping, probes, seed, &mut unobserved)
}

/// As [`trace_shares`], and calls `observer` after each block; when it stops, the estimates are those of the probes so far.
///
/// # Errors
///
/// As [`trace_shares`].
pub fn trace_shares_observed(
    operator: &dyn LinearOperator,
    layout: &ParameterLayout,
    grouping: Grouping,
    probes: usize,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<TraceShares, CurvatureError> {
    check_dimension("the operator", operator.dim(), layout.dim())?;
    if probes < 2 {
        return Err(CurvatureError::Argument {
            name: "probes",
            value: probes as f64,
            requirement: "a standard error needs at least two",
        });
    }
    let groups = layout.groups(grouping);
    let dim = operator.dim();
    let block = operator.block_size().max(1);
    let mut watch = Watch::new(observer, probes);
    let mut samples = vec![Vec::with_capacity(probes); groups.len()];
    let mut totals = Vec::with_capacity(probes);
    for first in (0..probes).step_by(block) {
        let count = block.min(probes - first);
        let mut signs = Vec::with_capacity(count * dim);
        for probe in first..first + count {
            let mut rng = seed.stream("trace shares").index(probe as u64).rng();
            signs.extend((0..dim).map(|_| match rng.random::<bool>() {
                true => 1.0,
                false => -1.0,
            }));
        }
        let flat = from_f64(&signs, &operator.device(), operator.dtype());
        let products = operator.apply_block(&flat.reshape([count, dim]))?;
        let products = to_f64(&products.reshape([count * dim]));
        for (z, az) in signs.chunks(dim).zip(products.chunks(dim)) {
            let parts = by_group(&groups, z, az);
            totals.push(parts.iter().sum());
            for (samples, part) in samples.iter_mut().zip(parts) {
                samples.push(part);
            }
        }
        if watch.tell(count).is_break() {
            break;
        }
    }
    let probes = totals.len();
    Ok(TraceShares {
        groups: groups.into_iter().map(|(name, _)| name).collect(),
        traces: samples
            .iter()
            .map(|samples| Estimate::from_samples(samples, probes))
            .collect(),
        total: Estimate::from_samples(&totals, probes),
        stopped: watch.stopped,
    })
}

fn by_group(groups: &[(String, Vec<Range<usize>>)], a: &[f64], b: &[f64]) -> Vec<f64> {
    groups
        .iter()
        .map(|(_, ranges)| {
            let parts = ranges
                .iter()
                .map(|range| dot_f64(&a[range.clone()], &b[range.clone()]));
            parts.sum()
        })
        .collect()
}

#[cfg(test)]
mod tests;
