//! Approximations of A⁻¹ that are operators themselves.

use super::host::norm;
use crate::dense::DenseSymmetric;
use crate::error::{CurvatureError, argument};
use crate::operator::LinearOperator;
use crate::operators::{Diagonal, LowRankPlusDiagonal, Shift};
use crate::progress::{Observer, Watch, unobserved};
use crate::rounding::rounding_unit;
use crate::row_blocks::{block_from_f64, block_to_f64};
use crate::seed::Seed;
use crate::vector::{from_f64, standard_normal, to_f64};
use burn::prelude::Tensor;
use faer::Mat;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// How a diagonal becomes a preconditioner.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JacobiOptions {
    /// λ, added to |dᵢ|.
    pub damping: f64,
    /// α in (|dᵢ| + λ)^−α: 1 is Jacobi's, 0.75 that of Martens (2010), which is careful with estimates.
    pub exponent: f64,
    /// |dᵢ| + λ is at least this times its largest: an entry near zero, or an estimate that is, must not blow up.
    pub floor: f64,
}

impl Default for JacobiOptions {
    /// No damping, exponent 1, a floor of 1e-8.
    fn default() -> Self {
        Self {
            damping: 0.0,
            exponent: 1.0,
            floor: 1e-8,
        }
    }
}

/// diag((|d| + λ)^−α), from the diagonal d of an operator or an estimate of it.
///
/// Signs are dropped, so that it is positive definite whatever the estimate; a diagonal of zeros gives the identity.
///
/// # Errors
///
/// [`CurvatureError::NonFinite`] for an entry that is not finite, [`CurvatureError::Argument`] for damping that is negative, a floor outside
/// (0, 1] or an exponent that is not finite.
///
/// # References
///
/// Martens (2010), Deep learning via Hessian-free optimization, section 4.7.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::Diagonal;
/// use ravine_curvature::solve::{JacobiOptions, jacobi};
/// use ravine_curvature::{CgOptions, conjugate_gradient, vector};
///
/// let tensor = |values: &[f64]| vector::from_f64(values, &Device::flex(), DType::F64);
/// let a = Diagonal::new(tensor(&[1.0, 10.0, 1e4, 1e6]));
/// let inverse = jacobi(a.entries(), &JacobiOptions::default())?;
/// let options = CgOptions { preconditioner: Some(&inverse), ..Default::default() };
/// assert_eq!(conjugate_gradient(&a, &tensor(&[1.0; 4]), &options)?.iterations, 1);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub fn jacobi(diagonal: &Tensor<1>, options: &JacobiOptions) -> Result<Diagonal, CurvatureError> {
    if options.damping.is_nan() || options.damping < 0.0 {
        return Err(argument(
            "damping",
            options.damping,
            "it must not be negative",
        ));
    }
    if !(options.floor > 0.0 && options.floor <= 1.0) {
        return Err(argument("floor", options.floor, "it must be in (0, 1]"));
    }
    if !options.exponent.is_finite() {
        return Err(argument("exponent", options.exponent, "it must be finite"));
    }
    let mut entries = to_f64(diagonal);
    if let Some(&value) = entries.iter().find(|entry| !entry.is_finite()) {
        let what = "an entry of the diagonal of a preconditioner";
        return Err(CurvatureError::NonFinite { what, value });
    }
    entries
        .iter_mut()
        .for_each(|d| *d = d.abs() + options.damping);
    let largest = entries.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        entries.fill(1.0);
    }
    let least = options.floor * largest;
    let inverse = |d: f64| d.max(least).powf(-options.exponent);
    let entries: Vec<f64> = entries.into_iter().map(inverse).collect();
    Ok(Diagonal::new(from_f64(
        &entries,
        &diagonal.device(),
        diagonal.dtype(),
    )))
}

/// The preconditioner (λ_k + μ) U (|Λ| + μ)⁻¹ Uᵀ + (I − UUᵀ) of A + μI, from the leading eigenpairs of A.
///
/// It takes the leading eigenvalues down to λ_k, the smallest of them in size, and leaves the rest: the condition number falls from
/// (λ₁ + μ)/(λ_n + μ) to about (λ_k + μ)/(λ_n + μ). In f32 it shrinks no direction by more than about 1e-7.
///
/// # Shapes
///
/// k values, orthonormal `vectors` `[k, n]`, a vector a row, as Lanczos iterations give them.
///
/// # Errors
///
/// [`CurvatureError::Argument`] where |λ_k| + μ is not positive, as [`LowRankPlusDiagonal::new`].
///
/// # References
///
/// Frangella, Tropp and Udell (2023), Randomized Nyström preconditioning, section 5; Morales and Nocedal (2000) for limited memory.
pub fn spectral_preconditioner(
    values: &[f64],
    vectors: Tensor<2>,
    damping: f64,
) -> Result<LowRankPlusDiagonal, CurvatureError> {
    let smallest = values.iter().map(|v| v.abs()).fold(f64::INFINITY, f64::min);
    let tail = smallest + damping;
    if !values.is_empty() && (tail.is_nan() || tail <= 0.0 || damping < 0.0) {
        return Err(CurvatureError::Argument {
            name: "the smallest eigenvalue in size, and the damping",
            value: tail,
            requirement: "their sum must be positive, and the damping not negative: leave out eigenvalues of zero",
        });
    }
    let weights: Vec<f64> = values
        .iter()
        .map(|value| tail / (value.abs() + damping) - 1.0)
        .collect();
    LowRankPlusDiagonal::new(&weights, vectors, Shift::Scalar(1.0))
}

/// How a Nyström approximation is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NystromOptions {
    /// Number of random vectors, and the rank at most.
    pub rank: usize,
}

impl Default for NystromOptions {
    /// Rank 20.
    fn default() -> Self {
        Self { rank: 20 }
    }
}

/// A low-rank approximation U Λ Uᵀ of a positive semidefinite operator.
#[derive(Clone, Debug)]
pub struct Nystrom {
    /// λ̂, in descending order.
    pub values: Vec<f64>,
    /// Orthonormal vectors `[k, n]`, a vector a row.
    pub vectors: Tensor<2>,
    /// Random directions that were left out because their curvature was not positive beyond rounding: all of those beyond the rank of
    /// A, and a sign that A is indefinite where its rank is larger.
    pub left_out: usize,
    /// Operator applications.
    pub applications: usize,
    /// Whether an observer stopped it before all random vectors were multiplied.
    pub stopped: bool,
}

impl Nystrom {
    /// The preconditioner of A + μI.
    ///
    /// # Errors
    ///
    /// As [`spectral_preconditioner`].
    pub fn preconditioner(&self, damping: f64) -> Result<LowRankPlusDiagonal, CurvatureError> {
        spectral_preconditioner(&self.values, self.vectors.clone(), damping)
    }

    /// U Λ Uᵀ + μI, the approximation itself.
    ///
    /// # Errors
    ///
    /// As [`LowRankPlusDiagonal::new`].
    pub fn operator(&self, damping: f64) -> Result<LowRankPlusDiagonal, CurvatureError> {
        let shift = Shift::Scalar(damping);
        LowRankPlusDiagonal::new(&self.values, self.vectors.clone(), shift)
    }
}

/// The randomised Nyström approximation (AΩ)(ΩᵀAΩ)⁺(AΩ)ᵀ of a positive semidefinite operator, Ω random and orthonormal.
///
/// It needs one block of products and no iteration; A − Â is positive semidefinite.
///
/// # Cost
///
/// As many operator applications as the rank k, in blocks; k² n operations, and 3 k vectors in f64 for a while.
///
/// # Errors
///
/// [`CurvatureError::NonFinite`] for a product that is not finite, [`CurvatureError::Decomposition`] if faer does not converge, what the
/// operator reports.
///
/// # References
///
/// Frangella, Tropp and Udell (2023), Randomized Nyström preconditioning, algorithm 2.1; ΩᵀAΩ is inverted through its
/// eigenvalues instead of shifted.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::Diagonal;
/// use ravine_curvature::solve::{NystromOptions, nystrom};
/// use ravine_curvature::{Seed, vector};
///
/// let a = Diagonal::new(vector::from_f64(&[9.0, 4.0, 0.0, 0.0, 0.0], &Device::flex(), DType::F64));
/// let approximation = nystrom(&a, &NystromOptions { rank: 3 }, Seed::new(0))?;
/// assert_eq!((approximation.values.len(), approximation.left_out), (2, 1));
/// assert!((approximation.values[0] - 9.0).abs() < 1e-10);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub fn nystrom(
    op: &dyn LinearOperator,
    options: &NystromOptions,
    seed: Seed,
) -> Result<Nystrom, CurvatureError> {
    nystrom_observed(op, options, seed, &mut unobserved)
}

/// As [`nystrom`], and calls `observer` after each block of products; when it stops, the vectors so far give an approximation of their
/// number as rank.
///
/// # Errors
///
/// As [`nystrom`].
pub fn nystrom_observed(
    op: &dyn LinearOperator,
    options: &NystromOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<Nystrom, CurvatureError> {
    let (dim, rank) = (op.dim(), options.rank.min(op.dim()));
    let span = tracing::debug_span!("nystrom", dim, rank);
    let _entered = span.enter();
    let none = |left_out, stopped| Nystrom {
        values: Vec::new(),
        vectors: Tensor::zeros([0, dim], (&op.device(), op.dtype())),
        left_out,
        applications: left_out,
        stopped,
    };
    if rank == 0 {
        return Ok(none(0, false));
    }
    let mut rng = seed.stream("nystrom").rng();
    let numbers = standard_normal(dim * rank, &mut rng);
    let gaussian = Mat::from_fn(dim, rank, |i, j| numbers[j * dim + i]);
    let omega = gaussian.qr().compute_thin_Q();
    let mut watch = Watch::new(observer, rank);
    let image = products(op, &omega, &mut watch)?;
    let rank = image.ncols();
    let omega = omega.subcols(0, rank);

    let core = DenseSymmetric::from_matrix(omega.transpose() * &image).eigen()?;
    let largest = core.values().last().copied().unwrap_or(0.0);
    let zero = 16.0 * rank as f64 * rounding_unit(op.dtype()) * largest;
    let kept: Vec<usize> = (0..rank)
        .rev()
        .filter(|&i| core.values()[i] > zero && largest > 0.0)
        .collect();
    if kept.is_empty() {
        return Ok(none(rank, watch.stopped));
    }
    let root = Mat::from_fn(rank, kept.len(), |i, j| {
        core.vectors()[(i, kept[j])] / core.values()[kept[j]].sqrt()
    });
    let svd = (&image * root)
        .thin_svd()
        .map_err(|_| CurvatureError::Decomposition { dim: rank })?;
    let sizes = svd.S().column_vector();
    let values: Vec<f64> = sizes.iter().map(|sigma| sigma * sigma).collect();
    let u = svd.U();
    let flat: Vec<f64> = (0..kept.len() * dim)
        .map(|i| u[(i % dim, i / dim)])
        .collect();
    Ok(Nystrom {
        values,
        vectors: block_from_f64(flat, [kept.len(), dim], &op.device(), op.dtype()),
        left_out: rank - kept.len(),
        applications: rank,
        stopped: watch.stopped,
    })
}

/// A Ω, a block of columns at a time; its first columns for a watch that stops.
fn products(
    op: &dyn LinearOperator,
    omega: &Mat<f64>,
    watch: &mut Watch<'_, '_>,
) -> Result<Mat<f64>, CurvatureError> {
    let (dim, rank) = (omega.nrows(), omega.ncols());
    let mut image = Mat::zeros(dim, rank);
    let block = op.block_size().max(1);
    for first in (0..rank).step_by(block) {
        let count = block.min(rank - first);
        let flat: Vec<f64> = (0..count * dim)
            .map(|i| omega[(i % dim, first + i / dim)])
            .collect();
        let vs = block_from_f64(flat, [count, dim], &op.device(), op.dtype());
        let results = block_to_f64(&op.apply_block(&vs)?);
        let size = norm(&results);
        if !size.is_finite() {
            let what = "the norm of a block of products";
            return Err(CurvatureError::NonFinite { what, value: size });
        }
        for (i, value) in results.into_iter().enumerate() {
            image[(i % dim, first + i / dim)] = value;
        }
        if watch.tell(count).is_break() {
            return Ok(image.subcols(0, first + count).to_owned());
        }
    }
    Ok(image)
}
