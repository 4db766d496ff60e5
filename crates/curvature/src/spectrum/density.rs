use super::slq::{ProbeMeasure, SpectralMeasure};
use super::sphere::mean_on_sphere;
use crate::error::CurvatureError;
use crate::estimate::{Estimate, quantile, student_quantile};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The axis that a density is drawn over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Scale {
    /// Eigenvalues as they are.
    Linear,
    /// u = asinh(λ / threshold): linear within ±threshold, logarithmic beyond, for spectra with outliers of very different size.
    SymmetricLog {
        /// Where the logarithm begins.
        threshold: f64,
    },
}

impl Scale {
    /// The place of an eigenvalue on the axis.
    pub fn forward(self, eigenvalue: f64) -> f64 {
        match self {
            Self::Linear => eigenvalue,
            Self::SymmetricLog { threshold } => (eigenvalue / threshold).asinh(),
        }
    }

    /// The eigenvalue at a place of the axis.
    pub fn backward(self, place: f64) -> f64 {
        match self {
            Self::Linear => place,
            Self::SymmetricLog { threshold } => place.sinh() * threshold,
        }
    }

    pub(super) fn check(self) -> Result<(), CurvatureError> {
        match self {
            Self::SymmetricLog { threshold } if threshold.is_nan() || threshold <= 0.0 => {
                Err(CurvatureError::Argument {
                    name: "threshold",
                    value: threshold,
                    requirement: "the scale of a symmetric logarithm must be positive",
                })
            }
            _ => Ok(()),
        }
    }
}

/// A function of the eigenvalue with its standard error over random vectors, on a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Eigenvalues, ascending.
    pub eigenvalues: Vec<f64>,
    /// The values there; a density is per unit of the axis, so that it integrates to one over it.
    pub values: Vec<f64>,
    /// Their standard errors.
    pub standard_errors: Vec<f64>,
    /// Number of independent random vectors.
    pub samples: usize,
    /// Degrees of freedom of the standard errors; none stand for `samples` − 1.
    #[serde(default)]
    pub freedoms: Vec<f64>,
}

impl Curve {
    pub(super) fn from_estimates(eigenvalues: Vec<f64>, estimates: &[Estimate]) -> Self {
        Self {
            eigenvalues,
            values: estimates.iter().map(|point| point.value).collect(),
            standard_errors: estimates.iter().map(|point| point.standard_error).collect(),
            samples: estimates.first().map_or(0, |point| point.samples),
            freedoms: estimates.iter().map(Estimate::freedom).collect(),
        }
    }

    /// The pointwise confidence band, by Student's distribution.
    pub fn band(&self, confidence: f64) -> Vec<(f64, f64)> {
        let of_samples = student_quantile(confidence, self.samples);
        let points = self.values.iter().zip(&self.standard_errors);
        let band = |(place, (value, error)): (usize, (&f64, &f64))| {
            let freedom = self.freedoms.get(place);
            let reach = freedom.map_or(of_samples, |freedom| quantile(confidence, *freedom));
            (value - reach * error, value + reach * error)
        };
        points.enumerate().map(band).collect()
    }
}

impl SpectralMeasure {
    /// The density smoothed by a Gaussian of standard deviation `width` (in units of the axis) at `points` places.
    ///
    /// φ_σ(u) = Σ wᵢ N(u; u(θᵢ), σ²), mean over the random vectors. Choose the width not much below the spacing of the nodes, about the
    /// range over the number of steps.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for a width or a threshold that is not positive, or less than two points.
    ///
    /// # References
    ///
    /// Lin, Saad and Yang (2016), Approximating spectral densities of large matrices, section 3.2; Ghorbani et al. (2019), equation 6.
    pub fn density(
        &self,
        scale: Scale,
        width: f64,
        points: usize,
    ) -> Result<Curve, CurvatureError> {
        scale.check()?;
        positive("width", width)?;
        let (low, high) = (
            scale.forward(self.smallest()),
            scale.forward(self.largest()),
        );
        let grid = grid(low - 4.0 * width, high + 4.0 * width, points)?;
        let peak = 1.0 / (width * (2.0 * std::f64::consts::PI).sqrt());
        let nodes = |probe: &ProbeMeasure| -> Vec<(f64, f64)> {
            let nodes = probe.nodes.iter().map(|t| scale.forward(*t));
            nodes.zip(probe.weights.iter().copied()).collect()
        };
        let rules: Vec<Vec<(f64, f64)>> = self.probes.iter().map(nodes).collect();
        let at = |u: &f64| {
            let kernel = move |t: f64| peak * (-0.5 * ((u - t) / width).powi(2)).exp();
            let vectors = rules
                .iter()
                .map(|rule| rule.iter().map(move |(t, w)| (*w, kernel(*t))));
            mean_on_sphere(self.dim, vectors, self.applications)
        };
        let estimates: Vec<Estimate> = grid.iter().map(at).collect();
        let eigenvalues = grid.iter().map(|u| scale.backward(*u)).collect();
        Ok(Curve::from_estimates(eigenvalues, &estimates))
    }

    /// The share of eigenvalues in each of `bins` equal intervals of the axis, as (from, to, mass).
    ///
    /// The outermost bins count what lies beyond the outermost nodes as well. The error of the quadrature is a bound: see
    /// [`inertia`](Self::inertia).
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for no bins or a threshold that is not positive.
    pub fn histogram(
        &self,
        scale: Scale,
        bins: usize,
    ) -> Result<Vec<(f64, f64, Estimate)>, CurvatureError> {
        scale.check()?;
        let (low, high) = (
            scale.forward(self.smallest()),
            scale.forward(self.largest()),
        );
        let edges = grid(low, high, bins + 1)?;
        let bin_of = |t: f64| {
            let place = (scale.forward(t) - low) / (high - low).max(f64::MIN_POSITIVE);
            ((place * bins as f64) as usize).min(bins - 1)
        };
        let edges = edges.iter().map(|u| scale.backward(*u)).collect::<Vec<_>>();
        let mass = |bin: usize| {
            let cuts = &edges[bin.max(1)..(bin + 2).min(bins)];
            Estimate {
                quadrature_error: self.count_error(cuts),
                ..self.mean_of(|t| f64::from(bin_of(t) == bin))
            }
        };
        let masses = (0..bins).map(mass);
        let bounds = edges.windows(2).map(|edge| (edge[0], edge[1]));
        Ok(bounds
            .zip(masses)
            .map(|((from, to), mass)| (from, to, mass))
            .collect())
    }

    /// The share of eigenvalues up to each of `points` places between the smallest and the largest node.
    ///
    /// The weight of a node is counted half at the node itself, as the bounds of Chebyshev, Markov and Stieltjes suggest: the distribution
    /// at a node lies between the sums of the weights before it and up to it.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for less than two points or a threshold that is not positive.
    pub fn cumulative(&self, scale: Scale, points: usize) -> Result<Curve, CurvatureError> {
        scale.check()?;
        let (low, high) = (
            scale.forward(self.smallest()),
            scale.forward(self.largest()),
        );
        let eigenvalues: Vec<f64> = grid(low, high, points)?
            .iter()
            .map(|u| scale.backward(*u))
            .collect();
        let at = |t: &f64| {
            let vectors = self.probes.iter().map(|probe| cumulated(probe, *t));
            mean_on_sphere(self.dim, vectors, self.applications)
        };
        let estimates: Vec<Estimate> = eigenvalues.iter().map(at).collect();
        Ok(Curve::from_estimates(eigenvalues, &estimates))
    }
}

/// The terms of the distribution function, linear between the middles of the steps at the nodes: each weight and the part of it that counts.
fn cumulated(probe: &ProbeMeasure, t: f64) -> impl Iterator<Item = (f64, f64)> + '_ {
    let nodes = &probe.nodes;
    let next = nodes.partition_point(|node| *node < t);
    let between = match next {
        0 => f64::from(u8::from(nodes.first() == Some(&t))),
        _ if next == nodes.len() => 1.0,
        _ => (t - nodes[next - 1]) / (nodes[next] - nodes[next - 1]),
    };
    let part = move |node: usize| match (node + 1).cmp(&next) {
        Ordering::Less => 1.0,
        Ordering::Equal => 0.5 + 0.5 * between,
        Ordering::Greater if node == next => 0.5 * between,
        Ordering::Greater => 0.0,
    };
    let weights = probe.weights.iter().enumerate();
    weights.map(move |(node, weight)| (*weight, part(node)))
}

pub(super) fn grid(low: f64, high: f64, points: usize) -> Result<Vec<f64>, CurvatureError> {
    if points < 2 {
        return Err(CurvatureError::Argument {
            name: "points",
            value: points as f64,
            requirement: "a grid needs at least two",
        });
    }
    let step = (high - low) / (points - 1) as f64;
    Ok((0..points).map(|i| low + step * i as f64).collect())
}

pub(super) fn positive(name: &'static str, value: f64) -> Result<(), CurvatureError> {
    match value > 0.0 {
        true => Ok(()),
        false => Err(CurvatureError::Argument {
            name,
            value,
            requirement: "it must be positive",
        }),
    }
}
