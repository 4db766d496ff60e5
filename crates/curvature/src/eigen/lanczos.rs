use crate::eigen::basis::HostVector;
use crate::eigen::krylov::{Krylov, Orthogonality, Step};
use crate::eigen::pairs::{
    Eigenpair, Which, check as check_common, columns, measured, small_eigen,
};
use crate::error::{CurvatureError, argument};
use crate::operator::LinearOperator;
use crate::progress::{Observer, Progress, unobserved};
use crate::seed::Seed;
use crate::tridiagonal::Row;
use burn::prelude::Tensor;
use faer::Mat;
use serde::{Deserialize, Serialize};

/// How the vectors of a Lanczos iteration are kept orthogonal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reorthogonalisation {
    /// Against all vectors in every step.
    #[default]
    Full,
    /// Only when Simon's recurrence foretells an overlap above √u (u the unit of rounding): Ritz values as good as with `Full`, vectors
    /// orthogonal to √u, so that residuals may stop falling at √u max |λ|. It saves arithmetic, never products: worth it where the basis costs as much as the products.
    /// Beside the pairs that [`Multiplicity::Searched`] sets aside it is `Full`: they are eigenvectors to the tolerance only.
    Selective,
}

/// What is done about eigenvalues of higher multiplicity, of which a Krylov space holds one vector only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Multiplicity {
    /// Other copies are looked for where the Krylov space became invariant, which shows that there are some; otherwise they are found
    /// only as rounding brings them in.
    #[default]
    AsMet,
    /// Converged pairs are set aside and the search goes on from new random directions orthogonal to them, until one converges to
    /// nothing better: about as many products more as one pair takes, and as many again for each round that finds something.
    Searched,
}

/// How far a Lanczos iteration goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LanczosOptions {
    /// Number k of eigenpairs.
    pub pairs: usize,
    /// Which part of the spectrum.
    pub which: Which,
    /// A pair is converged when ‖Av − λv‖ ≤ tolerance · max |λ|.
    pub tolerance: f64,
    /// Most operator applications, those that measure the residuals not counted.
    pub max_iterations: usize,
    /// Most basis vectors kept, at least k + 2: when they are there, the iteration restarts from the best Ritz vectors.
    /// `None` keeps 3 k + 30, and of short vectors as many as 2¹⁸ numbers hold. More vectors need fewer products.
    pub vectors: Option<usize>,
    /// How the vectors are kept orthogonal.
    pub reorthogonalisation: Reorthogonalisation,
    /// What is done about multiple eigenvalues.
    pub multiplicity: Multiplicity,
}

impl Default for LanczosOptions {
    fn default() -> Self {
        Self {
            pairs: 10,
            which: Which::LargestAlgebraic,
            tolerance: 1e-4,
            max_iterations: 300,
            vectors: None,
            reorthogonalisation: Reorthogonalisation::Full,
            multiplicity: Multiplicity::AsMet,
        }
    }
}

/// How a Lanczos iteration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LanczosEnding {
    /// All pairs have residuals below the tolerance.
    Converged,
    /// The vectors span the whole space: the pairs are exact, and fewer than asked for since there are no more.
    InvariantSubspace,
    /// The iterations were spent first.
    MaxIterations,
    /// By the recurrence all pairs have converged, by their true products they have not: the tolerance is below the rounding of the
    /// operator's products.
    Rounding,
    /// The observer asked to stop.
    Stopped,
}

/// The result of [`lanczos_top_k`].
#[derive(Clone, Debug)]
pub struct TopEigenpairs {
    /// The pairs, the most wanted first.
    pub pairs: Vec<Eigenpair>,
    /// How the iteration ended.
    pub ending: LanczosEnding,
    /// Diagonal of the tridiagonal matrix, up to the first restart.
    pub alpha: Vec<f64>,
    /// Its off-diagonal.
    pub beta: Vec<f64>,
    /// Operator applications, those for the residuals included.
    pub applications: usize,
    /// How often the basis was full and was restarted from its best Ritz vectors.
    pub restarts: usize,
}

impl TopEigenpairs {
    /// The Ritz values, the most wanted first.
    pub fn ritz_values(&self) -> Vec<f64> {
        self.pairs.iter().map(|pair| pair.value).collect()
    }

    /// The vectors, for a warm start.
    pub fn vectors(&self) -> Vec<Tensor<1>> {
        self.pairs.iter().map(|pair| pair.vector.clone()).collect()
    }
}

/// k eigenpairs at the ends of the spectrum, by Lanczos iteration with thick restart from a random direction.
///
/// A V = V T + β v eᵀ with V orthonormal; the eigenpairs (θ, s) of T give the Ritz pairs (θ, V s) with residual |β sₘ|.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use faer::Mat;
/// use ravine_curvature::{DenseSymmetric, LanczosOptions, Seed, lanczos_top_k};
///
/// let matrix = Mat::from_fn(50, 50, |i, j| if i == j { i as f64 } else { 0.0 });
/// let operator = DenseSymmetric::from_matrix(matrix).operator(&Device::flex(), DType::F64);
/// let options = LanczosOptions { pairs: 2, ..Default::default() };
/// let top = lanczos_top_k(&operator, &options, Seed::new(0))?;
/// assert!((top.pairs[0].value - 49.0).abs() < 1e-6 && (top.pairs[1].value - 48.0).abs() < 1e-6);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Cost
///
/// At most `max_iterations` + k operator applications; `vectors` + 3 vectors of memory, in the operator's precision (f32 below f64).
/// Residuals are measured with products of [`block_size`](LinearOperator::block_size) at once where that memory allows.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for k = 0, a tolerance that is not positive or too few `vectors`, [`CurvatureError::NonFinite`] if a
/// product is not finite, what the operator reports. Not converging is no error: see [`TopEigenpairs::ending`] and the residuals.
///
/// # References
///
/// Golub and Van Loan (2013), Matrix Computations, sections 10.1 (iteration) and 10.3 (reorthogonalisation, twice is enough);
/// Wu and Simon (2000), Thick-restart Lanczos method; Simon (1984), The Lanczos algorithm with partial reorthogonalization.
pub fn lanczos_top_k(
    operator: &dyn LinearOperator,
    options: &LanczosOptions,
    seed: Seed,
) -> Result<TopEigenpairs, CurvatureError> {
    lanczos_top_k_observed(operator, options, &[], seed, &mut unobserved)
}

/// As [`lanczos_top_k`], starting near the span of earlier vectors (none: a random direction), and calls `observer` every few steps.
///
/// The start is the sum of the vectors and a twentieth of its length in a random direction, so that nothing is excluded.
///
/// # Errors
///
/// As [`lanczos_top_k`]; [`CurvatureError::Dimension`] for an earlier vector of another length.
pub fn lanczos_top_k_observed(
    operator: &dyn LinearOperator,
    options: &LanczosOptions,
    earlier: &[Tensor<1>],
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<TopEigenpairs, CurvatureError> {
    check(options)?;
    let span = tracing::debug_span!("lanczos", dim = operator.dim(), pairs = options.pairs);
    let _entered = span.enter();
    let mut lanczos = Lanczos::new(operator, options, seed);
    let start = start(operator, earlier, seed)?;
    let ending = match lanczos.krylov.enter(start) {
        true => lanczos.run(observer)?,
        false => LanczosEnding::InvariantSubspace,
    };
    lanczos.finish(ending)
}

fn check(options: &LanczosOptions) -> Result<(), CurvatureError> {
    check_common(options.pairs, options.tolerance)?;
    if options.max_iterations < options.pairs {
        let value = options.max_iterations as f64;
        let requirement = "it must be at least the number of pairs";
        return Err(argument("max_iterations", value, requirement));
    }
    match options.vectors {
        Some(vectors) if vectors < options.pairs.saturating_add(2) => {
            let requirement = "it must be at least the number of pairs and two more";
            Err(argument("vectors", vectors as f64, requirement))
        }
        _ => Ok(()),
    }
}

/// Numbers of a basis that is no burden: 1 MB of f32.
const SHORT: usize = 1 << 18;

/// Share of a warm start that is random.
const RANDOM_SHARE: f64 = 0.05;

/// The random direction, behind the sum of the earlier vectors.
pub(crate) fn start(
    operator: &dyn LinearOperator,
    earlier: &[Tensor<1>],
    seed: Seed,
) -> Result<HostVector, CurvatureError> {
    let (dim, dtype) = (operator.dim(), operator.dtype());
    let mut start = HostVector::random_unit(dim, dtype, seed.stream("lanczos"));
    for vector in earlier {
        if vector.dims()[0] != dim {
            return Err(CurvatureError::Dimension {
                what: "an earlier eigenvector",
                expected: dim,
                found: vector.dims()[0],
            });
        }
        let vector = HostVector::read(vector.clone(), dtype);
        let norm = vector.norm();
        if norm > 0.0 && norm.is_finite() {
            start.add(1.0 / (RANDOM_SHARE * norm), &vector);
        }
    }
    Ok(start)
}

/// Ritz values of the newest Krylov space in ascending order, with what the recurrence says of the residuals of their pairs.
struct Ritz {
    values: Vec<f64>,
    residuals: Vec<f64>,
}

/// What a look at the Ritz pairs leads to.
enum Verdict {
    /// Further steps.
    Onwards,
    /// This Krylov space has given what it can; it holds something that was not known.
    Exhausted,
    /// Nothing better is left.
    Done,
}

struct Lanczos<'a> {
    operator: &'a dyn LinearOperator,
    options: &'a LanczosOptions,
    seed: Seed,
    krylov: Krylov,
    /// Most vectors to keep.
    room: usize,
    /// Values of the vectors in front of the basis that belong to earlier Krylov spaces and are done with.
    locked: Vec<f64>,
    /// Krylov spaces begun before this one.
    spaces: u64,
    applications: usize,
    restarts: usize,
    tridiagonal: Option<(Vec<f64>, Vec<f64>)>,
}

impl<'a> Lanczos<'a> {
    fn new(operator: &'a dyn LinearOperator, options: &'a LanczosOptions, seed: Seed) -> Self {
        let dim = operator.dim();
        let usual = (3 * options.pairs.min(dim) + 30).max(SHORT / dim.max(1));
        let wanted = options.vectors.unwrap_or(usual);
        let most = options.max_iterations.max(options.pairs + 2);
        let room = wanted.min(dim).min(most);
        let orthogonality = match options.reorthogonalisation {
            Reorthogonalisation::Full => Orthogonality::Full,
            Reorthogonalisation::Selective => Orthogonality::Partial,
        };
        let negligible = (1e-3 * options.tolerance).min(1e-6);
        let krylov = Krylov::new(dim, operator.dtype(), room, orthogonality, negligible);
        Self {
            operator,
            options,
            seed,
            krylov,
            room,
            locked: Vec::new(),
            spaces: 0,
            applications: 0,
            restarts: 0,
            tridiagonal: None,
        }
    }

    fn run(&mut self, observer: &mut Observer<'_>) -> Result<LanczosEnding, CurvatureError> {
        let dim = self.operator.dim();
        loop {
            let step = self.step()?;
            let size = self.krylov.size();
            let spent = self.applications >= self.options.max_iterations;
            let full = size >= self.room;
            // the small problem costs O(m²): look now and then
            let due = size >= self.options.pairs && self.applications.is_multiple_of(3);
            if !(due || spent || full || step == Step::Invariant) {
                continue;
            }
            let ritz = self.ritz()?;
            let verdict = self.judge(&ritz, step);
            if size >= dim {
                return Ok(match self.options.pairs > dim {
                    true => LanczosEnding::InvariantSubspace,
                    false => LanczosEnding::Converged,
                });
            }
            if matches!(verdict, Verdict::Done) {
                return Ok(LanczosEnding::Converged);
            }
            if observer(&self.progress(&ritz)).is_break() {
                return Ok(LanczosEnding::Stopped);
            }
            if spent {
                return Ok(LanczosEnding::MaxIterations);
            }
            match verdict {
                Verdict::Exhausted => self.leave(&ritz, step)?,
                _ if full => self.restart(&ritz)?,
                _ => {}
            }
        }
    }

    fn step(&mut self) -> Result<Step, CurvatureError> {
        let next = self.krylov.next(&self.operator.device());
        let product = self
            .operator
            .apply(&next.expect("entered or extended before"))?;
        self.applications += 1;
        self.krylov
            .absorb(HostVector::read(product, self.operator.dtype()))
    }

    /// What a look needs, in O(m²): right after a step only the last vector is coupled to the next.
    fn ritz(&self) -> Result<Ritz, CurvatureError> {
        let first = self.locked.len();
        let found = self.krylov.tridiagonal(first).eigen([Row::Last])?;
        let beta = self.krylov.coupling(first).last().copied();
        let residual = |s: &f64| (s * beta.unwrap_or(0.0)).abs();
        Ok(Ritz {
            residuals: found.rows[0].iter().map(residual).collect(),
            values: found.values,
        })
    }

    /// The vectors of the newest space's Ritz pairs, as columns of weights of its basis, in the order of the values.
    fn ritz_weights(&self) -> Result<Mat<f64>, CurvatureError> {
        let eigen = small_eigen(self.krylov.projected(self.locked.len()))?;
        Ok(eigen.into_vectors())
    }

    /// Values of earlier spaces, then those of this one.
    fn all_values(&self, ritz: &Ritz) -> Vec<f64> {
        [self.locked.as_slice(), &ritz.values].concat()
    }

    fn allowed(&self, values: &[f64]) -> f64 {
        let scale = values.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        self.options.tolerance * scale
    }

    /// The largest residual of the wanted pairs.
    fn worst(&self, ritz: &Ritz) -> f64 {
        let chosen = self
            .options
            .which
            .select(&self.all_values(ritz), self.options.pairs);
        let active = chosen
            .iter()
            .filter_map(|index| index.checked_sub(self.locked.len()));
        active.fold(0.0, |m, index| m.max(ritz.residuals[index]))
    }

    fn judge(&self, ritz: &Ritz, step: Step) -> Verdict {
        let (which, pairs) = (self.options.which, self.options.pairs);
        let values = self.all_values(ritz);
        let allowed = self.allowed(&values);
        let best = which.select(&ritz.values, which.ends());
        let best = best.iter().all(|&index| ritz.residuals[index] <= allowed);
        let converged = values.len() >= pairs && best && self.worst(ritz) <= allowed;
        if !converged && step == Step::Extended {
            return Verdict::Onwards;
        }
        let simple = step == Step::Extended && self.options.multiplicity == Multiplicity::AsMet;
        if converged && self.spaces == 0 && simple {
            return Verdict::Done;
        }
        if self.locked.len() < pairs {
            return Verdict::Exhausted;
        }
        // does this space hold anything better than what was known?
        let now = which.select(&values, pairs);
        let known = which.select(&self.locked, pairs);
        let better = now
            .iter()
            .zip(&known)
            .any(|(&now, &known)| (values[now] - self.locked[known]).abs() > allowed);
        match better {
            true => Verdict::Exhausted,
            false => Verdict::Done,
        }
    }

    /// Locks what is known, and starts from a new direction.
    fn leave(&mut self, ritz: &Ritz, step: Step) -> Result<(), CurvatureError> {
        self.keep_tridiagonal();
        let values = self.all_values(ritz);
        let allowed = self.allowed(&values);
        let known = |index: &usize| match index.checked_sub(self.locked.len()) {
            Some(active) => step == Step::Invariant || ritz.residuals[active] <= allowed,
            None => true,
        };
        let order = self.options.which.select(&values, values.len());
        let limit = (self.room / 2)
            .max(self.options.pairs)
            .min(self.room.saturating_sub(2).max(1));
        let chosen: Vec<usize> = order.into_iter().filter(known).take(limit).collect();
        self.combine(ritz, &chosen)?;
        self.locked = chosen.iter().map(|&index| values[index]).collect();
        self.spaces += 1;
        let seed = self.seed.stream("lanczos").index(self.spaces);
        let (dim, dtype) = (self.operator.dim(), self.operator.dtype());
        // fewer vectors than dimensions are locked: a random direction has a part outside them
        self.krylov.enter(HostVector::random_unit(dim, dtype, seed));
        Ok(())
    }

    /// Replaces the basis by the chosen Ritz vectors, locked ones among them.
    fn combine(&mut self, ritz: &Ritz, chosen: &[usize]) -> Result<(), CurvatureError> {
        let (locked, values) = (self.locked.len(), self.all_values(ritz));
        let ritz_weights = self.ritz_weights()?;
        let weights = Mat::from_fn(self.krylov.size(), chosen.len(), |i, j| {
            match (i.checked_sub(locked), chosen[j].checked_sub(locked)) {
                (Some(i), Some(column)) => ritz_weights[(i, column)],
                (None, None) => f64::from(u8::from(i == chosen[j])),
                _ => 0.0,
            }
        });
        let values: Vec<f64> = chosen.iter().map(|&index| values[index]).collect();
        self.krylov.restart(0, weights.as_ref(), &values);
        Ok(())
    }

    /// Thick restart: the wanted Ritz vectors and some of those next to them stay.
    fn restart(&mut self, ritz: &Ritz) -> Result<(), CurvatureError> {
        self.keep_tridiagonal();
        let size = ritz.values.len();
        let first = self.locked.len();
        let all = self
            .options
            .which
            .select(&self.all_values(ritz), self.options.pairs);
        let wanted = all.iter().filter(|&&index| index >= first).count();
        let kept = (wanted + (size - wanted.min(size)) * 2 / 5)
            .max(1)
            .min(size - 1);
        let chosen = self.options.which.select(&ritz.values, kept);
        let values: Vec<f64> = chosen.iter().map(|&index| ritz.values[index]).collect();
        let weights = columns(&self.ritz_weights()?, &chosen);
        self.krylov.restart(first, weights.as_ref(), &values);
        self.restarts += 1;
        Ok(())
    }

    fn keep_tridiagonal(&mut self) {
        if self.tridiagonal.is_none() {
            self.tridiagonal = Some((self.krylov.alpha(), self.krylov.beta()));
        }
    }

    fn progress(&self, ritz: &Ritz) -> Progress {
        let scale = self.allowed(&self.all_values(ritz)) / self.options.tolerance;
        let known = self.locked.len() + ritz.values.len() >= self.options.pairs;
        Progress {
            applications: self.applications,
            most: Some(self.options.max_iterations + self.options.pairs),
            measure: (known && scale > 0.0).then(|| self.worst(ritz) / scale),
        }
    }

    fn finish(mut self, ending: LanczosEnding) -> Result<TopEigenpairs, CurvatureError> {
        self.keep_tridiagonal();
        let (alpha, beta) = self.tridiagonal.clone().unwrap_or_default();
        let mut scale = 0.0_f64;
        if self.krylov.size() > 0 {
            let ritz = self.ritz()?;
            let values = self.all_values(&ritz);
            scale = self.allowed(&values) / self.options.tolerance;
            let chosen = self.options.which.select(&values, self.options.pairs);
            self.combine(&ritz, &chosen)?;
        }
        let vectors = self.krylov.into_basis();
        let spare = self.room.saturating_sub(vectors.len()) / 2;
        let block = self.operator.block_size().min(spare.max(1));
        let pairs = measured(self.operator, &vectors, block, self.options.which)?;
        let allowed = 2.0 * self.options.tolerance * scale;
        let rounding = pairs.iter().any(|pair| pair.residual > allowed);
        Ok(TopEigenpairs {
            applications: self.applications + pairs.len(),
            ending: match ending {
                LanczosEnding::Converged if rounding => LanczosEnding::Rounding,
                other => other,
            },
            pairs,
            alpha,
            beta,
            restarts: self.restarts,
        })
    }
}

#[cfg(test)]
#[path = "lanczos_tests.rs"]
mod tests;
