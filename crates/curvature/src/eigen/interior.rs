use crate::dense::dense_observed;
use crate::eigen::block::{EigenEnding, Eigenpairs, Products, chosen, worst};
use crate::eigen::pairs::{Eigenpair, check as check_common};
use crate::error::{CurvatureError, argument, check_dimension};
use crate::operator::LinearOperator;
use crate::progress::{Observer, Progress, unobserved};
use crate::seed::Seed;
use burn::prelude::Tensor;
use davidson::Davidson;
use faer::MatRef;
use serde::{Deserialize, Serialize};

mod davidson;
#[cfg(test)]
mod tests;

/// How eigenpairs inside a spectrum are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum InteriorMethod {
    /// The method of Jacobi and Davidson: a basis grows by what MINRES solves of (A − τI) t = −r, r the residual of the pair that is
    /// nearest. No solve need be exact, for the pair is judged by its own residual.
    JacobiDavidson {
        /// Most basis vectors, at least k + 3; `None` takes 2 k + 20.
        vectors: Option<usize>,
        /// Most products of a solve.
        solve_products: usize,
    },
    /// Writes the matrix out with n products and decomposes it in O(n³): exact, and faster where n is small.
    Dense {
        /// Largest dimension that is written out; above it is an error.
        limit: usize,
    },
}

impl Default for InteriorMethod {
    /// Jacobi and Davidson's, with 2 k + 20 vectors and solves of 100 products.
    fn default() -> Self {
        Self::JacobiDavidson {
            vectors: None,
            solve_products: 100,
        }
    }
}

/// Which interior eigenpairs, and how far to go for them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InteriorOptions {
    /// Number k of eigenpairs.
    pub pairs: usize,
    /// σ: the pairs nearest to it are wanted.
    pub target: f64,
    /// A pair is converged when ‖Av − λv‖ ≤ tolerance · max |λ|. Below the distances of the eigenvalues near σ over max |λ|, or several of
    /// them are taken for one.
    pub tolerance: f64,
    /// Most operator applications, all of them: for max |λ|, for the basis, of the solves, and for the residuals at the end. At least
    /// 2 k + 4, and n + k in the dense way, which needs no more.
    pub max_applications: usize,
    /// How they are found.
    pub method: InteriorMethod,
}

impl Default for InteriorOptions {
    /// Five pairs nearest to zero, to 1e-6, with at most 5000 products.
    fn default() -> Self {
        Self {
            pairs: 5,
            target: 0.0,
            tolerance: 1e-6,
            max_applications: 5000,
            method: InteriorMethod::default(),
        }
    }
}

/// The k eigenpairs of A nearest to a target σ, the nearest first.
///
/// min over v ⟂ found of ‖(A − σI) v‖: the singular vectors of (A − σI) V to its smallest singular values span what a basis V knows of the
/// neighbourhood of σ (no Ritz value turns up there that is none, as happens with those of A), and a Rayleigh-Ritz step in that span parts
/// the two sides of σ. The basis grows by solutions of the correction equation
///
/// (I − QQᵀ)(A − τI)(I − QQᵀ) t = −(A − θI) u,  Q = [found, u],
///
/// by MINRES to a tenth, τ = σ until the residual has fallen below |θ − σ| / 100, and τ = θ from then on. Where σ is an eigenvalue itself this
/// is as regular as elsewhere, which shift-and-invert is not: A − σI is singular, but not orthogonally to its null vector. A converged
/// pair is locked and a random direction enters, so that copies of multiple eigenvalues are found. One pair beyond the wanted ones is
/// looked for: the search is over when it is no nearer than those. That is evidence and no proof that none was missed.
///
/// Deep inside a dense spectrum all methods need many products: about the spread of the spectrum over the distance of the eigenvalues at σ
/// for each solve.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use faer::Mat;
/// use ravine_curvature::eigen::{EigenEnding, InteriorOptions, interior_eigenpairs};
/// use ravine_curvature::{DenseSymmetric, Seed};
///
/// let matrix = Mat::from_fn(50, 50, |i, j| if i == j { i as f64 } else { 0.0 });
/// let operator = DenseSymmetric::from_matrix(matrix).operator(&Device::flex(), DType::F64);
/// let options = InteriorOptions { pairs: 2, target: 20.2, ..Default::default() };
/// let found = interior_eigenpairs(&operator, &options, Seed::new(0))?;
/// assert_eq!(found.ending, EigenEnding::Converged);
/// assert!((found.pairs[0].value - 20.0).abs() < 1e-6 && (found.pairs[1].value - 21.0).abs() < 1e-6);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Cost
///
/// At most `max_applications` products with A: some twenty or fewer for max |λ|, k + 2 for the first basis, those of the solves, and k for
/// the residuals at the end; memory for 2 · `vectors` + 2 k vectors in f64 on the host and those of MINRES; O(n · vectors²) operations
/// for each solve. The dense way takes n + k products and 16 n² bytes.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for k = 0, a tolerance that is not positive, a target that is not finite, too few products or `vectors`;
/// [`CurvatureError::TooLarge`] from the dense way above its limit; [`CurvatureError::NonFinite`] if a product is not finite; what the
/// operator reports. Not converging is no error: see [`Eigenpairs::ending`]; what was found by then is there with its residuals.
///
/// # References
///
/// Sleijpen and van der Vorst (1996), A Jacobi-Davidson iteration method for linear eigenvalue problems, algorithm 1; Morgan (1991),
/// Computing interior eigenvalues of large matrices, for the use of (A − σI) V; Notay (2002), Combination of Jacobi-Davidson and
/// conjugate gradients, for inexact solves; Stathopoulos and McCombs (2010), PRIMME, for restarts and the choice of τ.
pub fn interior_eigenpairs(
    operator: &dyn LinearOperator,
    options: &InteriorOptions,
    seed: Seed,
) -> Result<Eigenpairs, CurvatureError> {
    interior_eigenpairs_observed(operator, options, &[], seed, &mut unobserved)
}

/// As [`interior_eigenpairs`], with earlier eigenvectors in the first basis, and calls `observer` before each solve.
///
/// The dense way uses no earlier vectors, and calls it after each block of columns; stopped, it has no pairs.
///
/// # Errors
///
/// As [`interior_eigenpairs`]; [`CurvatureError::Dimension`] for an earlier vector of another length.
pub fn interior_eigenpairs_observed(
    operator: &dyn LinearOperator,
    options: &InteriorOptions,
    earlier: &[Tensor<1>],
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<Eigenpairs, CurvatureError> {
    check(operator, options, earlier)?;
    let dim = operator.dim();
    let span = tracing::debug_span!("interior", dim, pairs = options.pairs);
    let _entered = span.enter();
    if dim == 0 {
        return Ok(Eigenpairs {
            pairs: Vec::new(),
            ending: EigenEnding::WholeSpace,
            applications: 0,
            iterations: 0,
        });
    }
    match options.method {
        InteriorMethod::Dense { limit } => by_decomposition(operator, options, limit, observer),
        InteriorMethod::JacobiDavidson {
            vectors,
            solve_products,
        } => {
            let wanted = options.pairs.min(dim);
            let room = vectors.unwrap_or(2 * wanted + 20).min(dim);
            let mut search = Davidson::new(operator, options, room, solve_products, earlier, seed)?;
            let ending = search.run(observer)?;
            let nearest = search.nearest(wanted)?;
            let (applications, iterations) = (search.applications(), search.iterations());
            finished(operator, options, nearest.as_ref(), ending, applications).map(|found| {
                Eigenpairs {
                    iterations,
                    ..found
                }
            })
        }
    }
}

fn check(
    operator: &dyn LinearOperator,
    options: &InteriorOptions,
    earlier: &[Tensor<1>],
) -> Result<(), CurvatureError> {
    check_common(options.pairs, options.tolerance)?;
    if !options.target.is_finite() {
        return Err(argument("target", options.target, "it must be finite"));
    }
    check_budget(operator.dim(), options)?;
    for vector in earlier {
        check_dimension("an earlier eigenvector", vector.dims()[0], operator.dim())?;
    }
    let InteriorMethod::JacobiDavidson {
        vectors,
        solve_products,
    } = options.method
    else {
        return Ok(());
    };
    if solve_products == 0 {
        let requirement = "a solve needs at least one product";
        return Err(argument("solve_products", 0.0, requirement));
    }
    match vectors {
        Some(vectors) if vectors < options.pairs.saturating_add(3) => {
            let requirement = "it must be at least the number of pairs and three more";
            Err(argument("vectors", vectors as f64, requirement))
        }
        _ => Ok(()),
    }
}

fn check_budget(dim: usize, options: &InteriorOptions) -> Result<(), CurvatureError> {
    let wanted = options.pairs.min(dim);
    let (least, requirement) = match options.method {
        InteriorMethod::JacobiDavidson { .. } => (
            davidson::ESTIMATE + davidson::first_block(wanted, dim) + wanted,
            "it must be at least twice the number of pairs and four more",
        ),
        InteriorMethod::Dense { limit } if dim <= limit => (
            dim + wanted,
            "the dense way needs as many products as dimensions and wanted pairs",
        ),
        // refused for its size
        InteriorMethod::Dense { .. } => return Ok(()),
    };
    match options.max_applications >= least {
        true => Ok(()),
        false => {
            let value = options.max_applications as f64;
            Err(argument("max_applications", value, requirement))
        }
    }
}

/// What a search over columns came to: measured pairs, the nearest first.
fn finished(
    operator: &dyn LinearOperator,
    options: &InteriorOptions,
    vectors: MatRef<'_, f64>,
    ended: davidson::Ended,
    applications: usize,
) -> Result<Eigenpairs, CurvatureError> {
    let mut products = Products::new(operator);
    let mut pairs = products.measured(vectors)?;
    let apart = |pair: &Eigenpair| (pair.value - options.target).abs();
    pairs.sort_by(|a, b| apart(a).total_cmp(&apart(b)));
    let allowed = options.tolerance * ended.scale.max(products.scale);
    let above = worst(&pairs) > allowed;
    Ok(Eigenpairs {
        ending: match ended.ending {
            EigenEnding::Converged if above => EigenEnding::Rounding,
            EigenEnding::Converged if options.pairs > operator.dim() => EigenEnding::WholeSpace,
            other => other,
        },
        applications: applications + products.applications,
        iterations: 0,
        pairs,
    })
}

fn by_decomposition(
    operator: &dyn LinearOperator,
    options: &InteriorOptions,
    limit: usize,
    observer: &mut Observer<'_>,
) -> Result<Eigenpairs, CurvatureError> {
    let dim = operator.dim();
    let mut applications = 0;
    let mut told = |progress: &Progress| {
        applications = progress.applications;
        observer(&Progress {
            most: Some(dim + options.pairs.min(dim)),
            ..*progress
        })
    };
    let Some(matrix) = dense_observed(operator, limit, &mut told)? else {
        return Ok(Eigenpairs {
            pairs: Vec::new(),
            ending: EigenEnding::Stopped,
            applications,
            iterations: 0,
        });
    };
    let eigen = matrix.eigen()?;
    let values = eigen.values();
    let apart = |index: &usize| (values[*index] - options.target).abs();
    let mut order: Vec<usize> = (0..dim).collect();
    order.sort_by(|a, b| apart(a).total_cmp(&apart(b)));
    order.truncate(options.pairs);
    let vectors = chosen(eigen.vectors().as_ref(), &order);
    let ended = davidson::Ended {
        ending: EigenEnding::Converged,
        scale: values.iter().fold(0.0, |m, x| m.max(x.abs())),
    };
    finished(operator, options, vectors.as_ref(), ended, dim)
}
