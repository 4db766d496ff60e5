use super::density::{Curve, grid};
use super::slq::{LanczosVectors, ProbeMeasure, SlqOptions, slq_observed};
use crate::eigen::basis::HostVector;
use crate::error::{CurvatureError, argument};
use crate::estimate::Estimate;
use crate::operator::LinearOperator;
use crate::progress::{Observer, Watch, unobserved};
use crate::rows::Rows;
use crate::seed::Seed;
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// The interval that Chebyshev polynomials are stretched over; all eigenvalues must lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Interval {
    /// Known bounds.
    Given {
        /// Below the smallest eigenvalue.
        low: f64,
        /// Above the largest.
        high: f64,
    },
    /// The extreme Ritz values of so many Lanczos steps, each moved outwards by its residual and a hundredth of the range.
    Lanczos {
        /// Steps.
        steps: usize,
    },
}

/// How the kernel polynomial method is done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KpmOptions {
    /// Independent random vectors.
    pub probes: usize,
    /// Chebyshev moments; the resolution is π times half the interval over their number.
    pub moments: usize,
    /// Where the spectrum lies.
    pub interval: Interval,
}

impl Default for KpmOptions {
    /// 10 vectors, 160 moments, an interval from 30 Lanczos steps.
    fn default() -> Self {
        Self {
            probes: 10,
            moments: 160,
            interval: Interval::Lanczos { steps: 30 },
        }
    }
}

/// A density by its Chebyshev moments; see [`kpm`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChebyshevDensity {
    /// The interval.
    pub interval: (f64, f64),
    /// μ_k = vᵀ T_k(Ã) v for each random vector, a row each.
    pub moments: Vec<Vec<f64>>,
    /// Operator applications.
    pub applications: usize,
    /// Whether an observer stopped it before all moments of all vectors were there.
    #[serde(default)]
    pub stopped: bool,
}

/// The kernel polynomial method: the spectral density from Chebyshev moments, smoothed by Jackson's kernel.
///
/// φ(t) = 1/(π √(1 − x²)) (μ₀ + 2 Σ g_k μ_k T_k(x)) dx/dt, x the place of t in the interval, μ_k = vᵀ T_k v over random vectors v of norm
/// one, g_k Jackson's factors, which keep the density from going negative. Two moments come from each product.
///
/// # Cost
///
/// probes · moments / 2 operator applications in blocks, and memory for three vectors a probe; an interval by Lanczos as many more as it
/// has steps.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for no probes, less than two moments, an empty interval or one that the spectrum leaves,
/// [`CurvatureError::NonFinite`] for a product that is not finite, what the operator reports.
///
/// # References
///
/// Weiße, Wellein, Alvermann and Fehske (2006), The kernel polynomial method, equations 25, 34, 71 and 81; Lin, Saad and Yang (2016),
/// Approximating spectral densities of large matrices, section 3.1.
pub fn kpm(
    operator: &dyn LinearOperator,
    options: &KpmOptions,
    seed: Seed,
) -> Result<ChebyshevDensity, CurvatureError> {
    kpm_observed(operator, options, seed, &mut unobserved)
}

/// As [`kpm`], and calls `observer` after each product of a block of vectors, and in the search for an interval as
/// [`slq_observed`](super::slq_observed) does.
///
/// Stopped in its first block, it has all vectors of the block with the moments so far, a coarser density; in a later one, the whole
/// series of the blocks before, since shorter ones would blur their mean; in the search for an interval, the moments of the one vector
/// that this began with, by its quadrature.
///
/// # Errors
///
/// As [`kpm`].
pub fn kpm_observed(
    operator: &dyn LinearOperator,
    options: &KpmOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<ChebyshevDensity, CurvatureError> {
    if options.probes == 0 {
        return Err(argument(
            "probes",
            0.0,
            "at least one random vector is needed",
        ));
    }
    if options.moments < 2 {
        let value = options.moments as f64;
        return Err(argument("moments", value, "a density needs at least two"));
    }
    let span = tracing::debug_span!("kpm", dim = operator.dim(), moments = options.moments);
    let _entered = span.enter();
    let search = match options.interval {
        Interval::Given { .. } => 0,
        Interval::Lanczos { steps } => steps.min(operator.dim()),
    };
    let most = search + options.probes * (options.moments / 2);
    let mut watch = Watch::new(observer, most);
    let (interval, met) = interval(operator, options.interval, seed, &mut watch)?;
    if interval.0.is_nan() || interval.1.is_nan() || interval.0 >= interval.1 {
        let width = interval.1 - interval.0;
        return Err(argument(
            "the width of the interval",
            width,
            "it must be positive",
        ));
    }
    let mut moments = Vec::with_capacity(options.probes);
    if let Some(probe) = met.filter(|_| watch.stopped) {
        moments.push(moments_of(&probe, interval, options.moments));
        return Ok(ChebyshevDensity {
            interval,
            moments,
            applications: watch.applications,
            stopped: true,
        });
    }
    let block = operator.block_size().max(1);
    for first in (0..options.probes).step_by(block) {
        let count = block.min(options.probes - first);
        let vectors: Vec<Tensor<1>> = (first..first + count)
            .map(|probe| {
                let seed = seed.stream("kpm").index(probe as u64);
                HostVector::random_unit(operator.dim(), operator.dtype(), seed)
                    .into_tensor(&operator.device(), operator.dtype())
            })
            .collect();
        let found = chebyshev(
            operator,
            Tensor::stack(vectors, 0),
            interval,
            options.moments,
            &mut watch,
        )?;
        if moments.is_empty() || found[0].len() == options.moments {
            moments.extend(found);
        }
        if watch.stopped {
            break;
        }
    }
    // |T_k| ≤ 1 on the interval, so that a moment beyond one betrays an eigenvalue outside
    let largest = moments
        .iter()
        .flatten()
        .fold(0.0_f64, |m, x| m.max(x.abs()));
    if largest > 1.0 + 1e-3 {
        return Err(argument(
            "the largest Chebyshev moment",
            largest,
            "beyond 1 the spectrum leaves the interval: widen it",
        ));
    }
    Ok(ChebyshevDensity {
        interval,
        moments,
        applications: watch.applications,
        stopped: watch.stopped,
    })
}

/// The interval, and the quadrature that it comes from.
fn interval(
    operator: &dyn LinearOperator,
    interval: Interval,
    seed: Seed,
    watch: &mut Watch<'_, '_>,
) -> Result<((f64, f64), Option<ProbeMeasure>), CurvatureError> {
    let steps = match interval {
        Interval::Given { low, high } => return Ok(((low, high), None)),
        Interval::Lanczos { steps } => steps,
    };
    let options = SlqOptions {
        probes: 1,
        steps,
        vectors: LanczosVectors::All,
    };
    let seed = seed.stream("interval");
    let mut measure = slq_observed(operator, &options, seed, &mut watch.part())?;
    watch.applications = measure.applications;
    let probe = measure.probes.remove(0);
    let last = probe.nodes.len() - 1;
    let margin = (0.01 * (probe.nodes[last] - probe.nodes[0])).max(1e-6 * probe.nodes[last].abs());
    let margin = margin.max(f64::MIN_POSITIVE);
    let low = probe.nodes[0] - probe.residuals[0] - margin;
    let high = probe.nodes[last] + probe.residuals[last] + margin;
    Ok(((low, high), Some(probe)))
}

/// The moments that a quadrature knows exactly, at most `most` of them: those below twice its nodes.
fn moments_of(probe: &ProbeMeasure, (low, high): (f64, f64), most: usize) -> Vec<f64> {
    let (centre, half) = (0.5 * (low + high), 0.5 * (high - low));
    let angles = probe
        .nodes
        .iter()
        .map(|t| ((t - centre) / half).clamp(-1.0, 1.0).acos());
    let pairs: Vec<(f64, f64)> = angles.zip(probe.weights.iter().copied()).collect();
    let moment = |k: usize| -> f64 {
        let terms = pairs.iter().map(|(angle, w)| w * (k as f64 * angle).cos());
        terms.sum()
    };
    (0..most.min(2 * pairs.len())).map(moment).collect()
}

/// The moments of some vectors: T_{2k} = 2 T_k² − 1 and T_{2k+1} = 2 T_k T_{k+1} − x give two for a product. Fewer for a stopped watch.
fn chebyshev(
    operator: &dyn LinearOperator,
    start: Tensor<2>,
    (low, high): (f64, f64),
    count: usize,
    watch: &mut Watch<'_, '_>,
) -> Result<Vec<Vec<f64>>, CurvatureError> {
    let vectors = start.dims()[0];
    let (centre, half) = (0.5 * (low + high), 0.5 * (high - low));
    let shifted = |v: &Tensor<2>| -> Result<Tensor<2>, CurvatureError> {
        let product = operator.apply_block(v)?;
        Ok((product - v.clone().mul_scalar(centre)).div_scalar(half))
    };
    let dots = |a: &Tensor<2>, b: &Tensor<2>| {
        Rows::from_tensor(a.clone()).dots(&Rows::from_tensor(b.clone()))
    };
    let (mut before, mut now) = (start.clone(), shifted(&start)?);
    let mut flow = watch.tell(vectors);
    let norms = dots(&before, &before);
    let first = dots(&before, &now);
    let mut moments: Vec<Vec<f64>> = norms
        .iter()
        .zip(&first)
        .map(|(a, b)| vec![*a, *b])
        .collect();
    let mut order = 1;
    while moments[0].len() < count {
        // `before` is T_{order−1} v, `now` T_order v
        let even = dots(&now, &now);
        if let Some(value) = even.iter().find(|x| !x.is_finite()) {
            return Err(CurvatureError::NonFinite {
                what: "a Chebyshev moment",
                value: *value,
            });
        }
        for ((moments, even), norm) in moments.iter_mut().zip(even).zip(&norms) {
            moments.push(2.0 * even - norm);
        }
        if moments[0].len() == count || flow.is_break() {
            break;
        }
        let next = shifted(&now)?.mul_scalar(2.0) - before;
        flow = watch.tell(vectors);
        let odd = dots(&next, &now);
        for ((moments, odd), first) in moments.iter_mut().zip(odd).zip(&first) {
            moments.push(2.0 * odd - first);
        }
        (before, now) = (now, next);
        order += 1;
    }
    debug_assert!(2 * order + 1 >= count || flow.is_break());
    Ok(moments)
}

impl ChebyshevDensity {
    /// The density at `points` places inside the interval, with its standard error over the random vectors.
    ///
    /// The band is about the density as Jackson's kernel smooths it. It comes from the samples alone: beside an eigenvalue that stands by
    /// itself they are as skewed as χ² with one degree of freedom, and the band of fewer than about 30 vectors covers less often than it
    /// says.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for less than two points.
    pub fn density(&self, points: usize) -> Result<Curve, CurvatureError> {
        let (low, high) = self.interval;
        let half = 0.5 * (high - low);
        // the ends themselves are poles of the weight
        let edge = half / points.max(1) as f64;
        let eigenvalues = grid(low + edge, high - edge, points)?;
        let factors = jackson(self.moments[0].len());
        let at = |moments: &Vec<f64>, t: &f64| {
            let x = ((t - 0.5 * (low + high)) / half).clamp(-1.0, 1.0);
            let angle = x.acos();
            let terms = moments.iter().zip(&factors).enumerate().skip(1);
            let terms =
                terms.map(|(k, (moment, factor))| 2.0 * factor * moment * (k as f64 * angle).cos());
            let series = factors[0] * moments[0] + terms.sum::<f64>();
            series / (PI * (1.0 - x * x).sqrt() * half)
        };
        let estimate = |t: &f64| {
            let samples: Vec<f64> = self.moments.iter().map(|moments| at(moments, t)).collect();
            Estimate::from_samples(&samples, self.applications)
        };
        let estimates: Vec<Estimate> = eigenvalues.iter().map(estimate).collect();
        Ok(Curve::from_estimates(eigenvalues, &estimates))
    }
}

/// Jackson's factors for n moments.
fn jackson(n: usize) -> Vec<f64> {
    let size = (n + 1) as f64;
    (0..n)
        .map(|k| {
            let angle = PI * k as f64 / size;
            let first = (size - k as f64) * angle.cos();
            (first + angle.sin() / (PI / size).tan()) / size
        })
        .collect()
}
