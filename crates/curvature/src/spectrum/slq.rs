use crate::eigen::basis::HostVector;
use crate::eigen::kernels::is_short;
use crate::eigen::krylov::{Krylov, Orthogonality, Step};
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use crate::progress::{Observer, Progress, unobserved};
use crate::seed::Seed;
use crate::tridiagonal::Row;
use burn::prelude::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Numbers of all Lanczos vectors that are held at once: 1 GiB of f32.
const HELD: usize = 1 << 28;

/// Which Lanczos vectors a quadrature keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LanczosVectors {
    /// All, each new one made orthogonal to all of them: the quadrature is Gauss's up to rounding.
    #[default]
    All,
    /// The last two, for vectors of which few fit into memory: copies of converged eigenvalues turn up and share their weight. Traces of
    /// functions hardly suffer; lists of outliers do.
    LastTwo,
}

/// How a stochastic Lanczos quadrature is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlqOptions {
    /// Independent random vectors; two are the fewest that show an error.
    pub probes: usize,
    /// Lanczos steps for each: the quadrature is exact for polynomials of degree 2 · steps − 1.
    pub steps: usize,
    /// Which vectors are kept.
    pub vectors: LanczosVectors,
}

impl Default for SlqOptions {
    /// 10 vectors, 80 steps.
    fn default() -> Self {
        Self {
            probes: 10,
            steps: 80,
            vectors: LanczosVectors::All,
        }
    }
}

/// The quadrature of one random vector v of norm one: Σ wᵢ f(θᵢ) ≈ vᵀ f(A) v.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeMeasure {
    /// The Ritz values θ₁ ≤ θ₂ ≤ …
    pub nodes: Vec<f64>,
    /// Their weights, which sum to one.
    pub weights: Vec<f64>,
    /// An eigenvalue of A lies within this distance of each node: |β_m s_m|, or the rounding of the products.
    pub residuals: Vec<f64>,
    /// The diagonal of the Jacobi matrix that the rule comes from: vᵀAv of the Lanczos vectors.
    pub alpha: Vec<f64>,
    /// The entries beside it, and behind them the one that leads to the vector after the last: 0 where the Krylov space became invariant
    /// and the rule is exact.
    pub beta: Vec<f64>,
    /// Eigenvalues closer to each other than this are one to the products: the rounding unit times the size of the operator.
    pub rounding: f64,
}

/// The spectral measure of an operator as random vectors see it; see [`slq`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpectralMeasure {
    /// Dimension n of the operator.
    pub dim: usize,
    /// What the operator knew of the signs of its eigenvalues.
    pub definiteness: Definiteness,
    /// One quadrature for each random vector.
    pub probes: Vec<ProbeMeasure>,
    /// Operator applications.
    pub applications: usize,
    /// Whether an observer stopped it before all steps were done.
    pub stopped: bool,
}

/// Stochastic Lanczos quadrature: the spectral measure of A by Lanczos iterations from random vectors.
///
/// Each vector v, uniform on the unit sphere, has E[vᵀ f(A) v] = tr f(A) / n, and m Lanczos steps from it give nodes θᵢ and weights wᵢ
/// with Σ wᵢ f(θᵢ) = vᵀ f(A) v for polynomials f of degree up to 2m − 1. From the result come densities
/// ([`SpectralMeasure::density`]), outliers, traces of functions, log-determinants.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::spectrum::{SlqOptions, slq};
/// use ravine_curvature::{Objective, Seed};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 1).init(&device);
/// let objective = Objective::new(
///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
/// );
/// let batch = (Tensor::<2>::ones([8, 3], &device), Tensor::<2>::ones([8, 1], &device));
/// let point = objective.at(&model, &batch)?;
/// let measure = slq(&point.hessian(), &SlqOptions::default(), Seed::new(0))?;
/// // H = 2 · 1 1ᵀ: one eigenvalue 8 and three zeros
/// let trace = measure.trace_of_function(|t| t);
/// let (low, high) = trace.interval(0.99);
/// assert!(low < 8.0 && 8.0 < high);
/// assert!((measure.largest() - 8.0).abs() < 1e-4);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Cost
///
/// probes · steps operator applications, in blocks of several probes; memory for the Lanczos vectors of the probes that go together (at
/// most 1 GiB of f32, or those of one probe).
///
/// # Errors
///
/// [`CurvatureError::Argument`] for no probes or steps or an operator of dimension 0, [`CurvatureError::NonFinite`] if a product is not
/// finite, what the operator reports.
///
/// # References
///
/// Ubaru, Chen and Saad (2017), Fast estimation of tr(f(A)) via stochastic Lanczos quadrature, algorithm 1; Ghorbani, Krishnan and Xiao
/// (2019), An investigation into neural net optimization via Hessian eigenvalue density, section 2.
pub fn slq(
    operator: &dyn LinearOperator,
    options: &SlqOptions,
    seed: Seed,
) -> Result<SpectralMeasure, CurvatureError> {
    slq_observed(operator, options, seed, &mut unobserved)
}

/// As [`slq`], and calls `observer` after each step of a group of probes; a stopped group is used as far as it came.
///
/// # Errors
///
/// As [`slq`].
pub fn slq_observed(
    operator: &dyn LinearOperator,
    options: &SlqOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<SpectralMeasure, CurvatureError> {
    check(operator, options)?;
    let span = tracing::debug_span!("slq", dim = operator.dim(), probes = options.probes);
    let _entered = span.enter();
    let dim = operator.dim();
    let steps = options.steps.min(dim);
    let room = match options.vectors {
        LanczosVectors::All => HELD / (dim * steps),
        LanczosVectors::LastTwo => HELD / (3 * dim),
    };
    let group = operator.block_size().min(room).clamp(1, options.probes);
    let mut measure = SpectralMeasure {
        dim,
        definiteness: operator.definiteness(),
        probes: Vec::with_capacity(options.probes),
        applications: 0,
        stopped: false,
    };
    for first in (0..options.probes).step_by(group) {
        let count = group.min(options.probes - first);
        let mut runs: Vec<Krylov> = (first..first + count)
            .map(|probe| started(operator, options, steps, seed.index(probe as u64)))
            .collect();
        for _ in 0..steps {
            let taken = advance(operator, &mut runs)?;
            measure.applications += taken;
            let progress = Progress {
                applications: measure.applications,
                most: Some(options.probes * steps),
                measure: None,
            };
            if taken == 0 {
                break;
            }
            if observer(&progress).is_break() {
                measure.stopped = true;
                break;
            }
        }
        let found: Result<Vec<ProbeMeasure>, CurvatureError> =
            runs.par_iter().map(quadrature).collect();
        measure.probes.extend(found?);
        if measure.stopped {
            break;
        }
    }
    Ok(measure)
}

fn check(operator: &dyn LinearOperator, options: &SlqOptions) -> Result<(), CurvatureError> {
    let none = |name, value: usize, requirement| match value {
        0 => Err(CurvatureError::Argument {
            name,
            value: 0.0,
            requirement,
        }),
        _ => Ok(()),
    };
    none(
        "probes",
        options.probes,
        "at least one random vector is needed",
    )?;
    none(
        "steps",
        options.steps,
        "at least one Lanczos step is needed",
    )?;
    none(
        "the dimension",
        operator.dim(),
        "an empty matrix has no spectrum",
    )
}

fn started(
    operator: &dyn LinearOperator,
    options: &SlqOptions,
    steps: usize,
    seed: Seed,
) -> Krylov {
    let orthogonality = match options.vectors {
        LanczosVectors::All => Orthogonality::Full,
        LanczosVectors::LastTwo => Orthogonality::Local,
    };
    let (dim, dtype) = (operator.dim(), operator.dtype());
    let mut krylov = Krylov::new(dim, dtype, steps, orthogonality, 0.0);
    krylov.enter(HostVector::random_unit(dim, dtype, seed.stream("slq")));
    krylov
}

/// One step of all recurrences that go on; how many did.
fn advance(operator: &dyn LinearOperator, runs: &mut [Krylov]) -> Result<usize, CurvatureError> {
    let device = operator.device();
    let mut going = Vec::new();
    let mut vectors = Vec::new();
    for run in runs.iter_mut() {
        if let Some(vector) = run.next(&device) {
            going.push(run);
            vectors.push(vector);
        }
    }
    let products = match vectors.len() {
        0 => return Ok(0),
        1 => vec![HostVector::read(
            operator.apply(&vectors[0])?,
            operator.dtype(),
        )],
        _ => {
            let block = operator.apply_block(&Tensor::stack(vectors, 0))?;
            HostVector::rows(block, operator.dtype())
        }
    };
    let count = products.len();
    // an invariant space ends the recurrence: its quadrature is exact
    let absorb = |(run, product): (&mut Krylov, HostVector)| run.absorb(product).map(|_: Step| ());
    let held = going.iter().map(|run| run.basis().len()).sum::<usize>();
    match is_short(held * operator.dim()) {
        true => going.into_iter().zip(products).try_for_each(absorb)?,
        false => {
            let pairs = going.into_par_iter().zip(products);
            pairs.map(absorb).collect::<Result<(), CurvatureError>>()?;
        }
    }
    Ok(count)
}

fn quadrature(run: &Krylov) -> Result<ProbeMeasure, CurvatureError> {
    let eigen = run.tridiagonal(0).eigen([Row::First, Row::Last])?;
    let coupling = run.coupling(0).last().copied().unwrap_or(0.0);
    let [first, last] = &eigen.rows;
    // below this a residual says nothing
    let rounding = run.basis().unit() * run.scale();
    let residual = |s: &f64| (s * coupling).abs().max(rounding);
    let mut beta = run.beta();
    beta.push(coupling);
    Ok(ProbeMeasure {
        weights: first.iter().map(|s| s * s).collect(),
        residuals: last.iter().map(residual).collect(),
        nodes: eigen.values,
        alpha: run.alpha(),
        beta,
        rounding,
    })
}

impl SpectralMeasure {
    /// The largest node: λ_max once it has converged.
    pub fn largest(&self) -> f64 {
        let last = self.probes.iter().filter_map(|probe| probe.nodes.last());
        last.copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The smallest node.
    pub fn smallest(&self) -> f64 {
        let first = self.probes.iter().filter_map(|probe| probe.nodes.first());
        first.copied().fold(f64::INFINITY, f64::min)
    }

    /// ∫ tᵏ φ(t) dt, the k-th moment of the density: tr Aᵏ / n. Its quadrature is exact for 0 ≤ k < 2 · steps.
    pub fn moment(&self, order: i32) -> crate::Estimate {
        let power = |t: f64| t.powi(order);
        let steps = self.probes.iter().map(|probe| probe.nodes.len()).min();
        let exact = 0..2 * steps.unwrap_or(0);
        let quadrature_error = match usize::try_from(order) {
            Ok(order) if exact.contains(&order) => 0.0,
            _ => self.difference_to_shorter_rules(&power),
        };
        crate::Estimate {
            quadrature_error,
            ..self.mean_of(power)
        }
    }
}
