use crate::eigen::block::{
    EigenEnding, Eigenpairs, Products, Stall, beside, chosen, norms, orthonormalised, residuals,
    rounding_floor, start, worst,
};
use crate::eigen::pairs::{Eigenpair, Which, check as check_common, small_eigen, sorted};
use crate::error::{CurvatureError, argument};
use crate::operator::LinearOperator;
use crate::progress::{Observer, Progress, unobserved};
use crate::seed::Seed;
use burn::prelude::Tensor;
use faer::Mat;
use serde::{Deserialize, Serialize};

/// One end of a spectrum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpectrumEnd {
    /// The largest eigenvalues.
    #[default]
    Largest,
    /// The smallest (most negative) eigenvalues.
    Smallest,
}

impl SpectrumEnd {
    fn which(self) -> Which {
        match self {
            Self::Largest => Which::LargestAlgebraic,
            Self::Smallest => Which::SmallestAlgebraic,
        }
    }
}

/// How far LOBPCG goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LobpcgOptions {
    /// Number k of eigenpairs.
    pub pairs: usize,
    /// Which end of the spectrum.
    pub end: SpectrumEnd,
    /// A pair is converged when ‖Av − λv‖ ≤ tolerance · max |λ|.
    pub tolerance: f64,
    /// Most iterations, of a block product each.
    pub max_iterations: usize,
    /// Vectors b ≥ k of a block; `None` takes k + 2. More of them part the wanted values from the others: fewer iterations of more products.
    pub block: Option<usize>,
}

impl Default for LobpcgOptions {
    fn default() -> Self {
        Self {
            pairs: 10,
            end: SpectrumEnd::Largest,
            tolerance: 1e-4,
            max_iterations: 200,
            block: None,
        }
    }
}

/// What is known beforehand of the eigenvectors.
#[derive(Clone, Copy, Default)]
pub struct LobpcgKnowledge<'a> {
    /// A symmetric positive definite operator near (A − λI)⁻¹ up to sign, which turns residuals into search directions.
    pub preconditioner: Option<&'a dyn LinearOperator>,
    /// Earlier eigenvectors to start from, the most wanted first; those beyond the block are not used.
    pub earlier: &'a [Tensor<1>],
}

/// k eigenpairs of one end of the spectrum, by the locally optimal block preconditioned conjugate gradient method.
///
/// X ← the best Ritz vectors of A in span [X, M (AX − XΘ), P], P the part of the last step outside X. The basis is kept orthonormal (P by
/// its coefficients, the residuals by projection and SVQB), so that ill-conditioned bases do no harm; residuals below the tolerance
/// bring no further directions while their vectors stay in the basis (soft locking). Multiple eigenvalues are found with all their
/// copies as far as the block is wide enough.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use faer::Mat;
/// use ravine_curvature::eigen::{LobpcgOptions, SpectrumEnd, lobpcg};
/// use ravine_curvature::{DenseSymmetric, Seed};
///
/// let matrix = Mat::from_fn(50, 50, |i, j| if i == j { i as f64 - 9.0 } else { 0.0 });
/// let operator = DenseSymmetric::from_matrix(matrix).operator(&Device::flex(), DType::F64);
/// let options = LobpcgOptions { pairs: 2, end: SpectrumEnd::Smallest, ..Default::default() };
/// let found = lobpcg(&operator, &options, Seed::new(0))?;
/// assert!((found.pairs[0].value + 9.0).abs() < 1e-4 && (found.pairs[1].value + 8.0).abs() < 1e-4);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
///
/// # Cost
///
/// At most b products an iteration, through [`apply_block`](LinearOperator::apply_block), b at the start and k for the residuals at the
/// end; about 12 b vectors of n numbers in f64 on the host.
///
/// # Errors
///
/// [`CurvatureError::Argument`] for k = 0, a tolerance that is not positive or a block smaller than k, [`CurvatureError::NonFinite`] if a
/// product is not finite, what the operator reports. Not converging is no error: see [`Eigenpairs::ending`].
///
/// # References
///
/// Knyazev (2001), Toward the optimal preconditioned eigensolver, SIAM J. Sci. Comput. 23, section 5 (the block method); Hetmaniuk and
/// Lehoucq (2006), Basis selection in LOBPCG, J. Comput. Phys. 218; Duersch, Shao, Yang and Gu (2018), A robust and efficient
/// implementation of LOBPCG, SIAM J. Sci. Comput. 40, section 3 (P by its coefficients); Stathopoulos and Wu (2002), A block
/// orthogonalization procedure with constant synchronization requirements, SIAM J. Sci. Comput. 23 (SVQB).
pub fn lobpcg(
    operator: &dyn LinearOperator,
    options: &LobpcgOptions,
    seed: Seed,
) -> Result<Eigenpairs, CurvatureError> {
    let knowledge = LobpcgKnowledge::default();
    lobpcg_observed(operator, options, &knowledge, seed, &mut unobserved)
}

/// As [`lobpcg`], with a preconditioner and earlier vectors, and calls `observer` every iteration.
///
/// Applications of the preconditioner are not counted. Where all its directions lie in the span of the vectors that are there, or no
/// residual has fallen for twelve iterations, plain residuals take their place; where those do no better, it has its turn again.
///
/// # Errors
///
/// As [`lobpcg`]; [`CurvatureError::Dimension`] for a preconditioner or an earlier vector of another length.
pub fn lobpcg_observed(
    operator: &dyn LinearOperator,
    options: &LobpcgOptions,
    knowledge: &LobpcgKnowledge<'_>,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<Eigenpairs, CurvatureError> {
    check(operator, options, knowledge)?;
    let span = tracing::debug_span!("lobpcg", dim = operator.dim(), pairs = options.pairs);
    let _entered = span.enter();
    let dim = operator.dim();
    if dim == 0 {
        return Ok(Eigenpairs {
            pairs: Vec::new(),
            ending: EigenEnding::WholeSpace,
            applications: 0,
            iterations: 0,
        });
    }
    let block = options
        .block
        .unwrap_or(options.pairs.saturating_add(2))
        .min(dim);
    let x = start(operator, knowledge.earlier, block, seed.stream("lobpcg"))?;
    let mut products = Products::new(operator);
    let ax = products.apply(x.as_ref())?;
    let mut lobpcg = Lobpcg {
        operator,
        options,
        preconditioner: knowledge.preconditioner.map(Products::of_preconditioner),
        source: Source::Preconditioner,
        products,
        values: Vec::new(),
        p: Mat::zeros(dim, 0),
        ap: Mat::zeros(dim, 0),
        x,
        ax,
        iterations: 0,
        stall: Stall::default(),
    };
    let nothing = Mat::zeros(dim, 0);
    lobpcg.improve(nothing, &[])?;
    let (pairs, ending) = lobpcg.run(observer)?;
    Ok(Eigenpairs {
        pairs: sorted(pairs, options.end.which()),
        ending,
        applications: lobpcg.products.applications,
        iterations: lobpcg.iterations,
    })
}

fn check(
    operator: &dyn LinearOperator,
    options: &LobpcgOptions,
    knowledge: &LobpcgKnowledge<'_>,
) -> Result<(), CurvatureError> {
    check_common(options.pairs, options.tolerance)?;
    if let Some(block) = options.block.filter(|block| *block < options.pairs) {
        let requirement = "it must be at least the number of pairs";
        return Err(argument("block", block as f64, requirement));
    }
    let found = knowledge.preconditioner.map(LinearOperator::dim);
    match found {
        Some(found) if found != operator.dim() => Err(CurvatureError::Dimension {
            what: "the preconditioner",
            expected: operator.dim(),
            found,
        }),
        _ => Ok(()),
    }
}

/// Where directions come from, as far as there is a preconditioner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Preconditioner,
    Residuals,
}

impl Source {
    fn other(self) -> Self {
        match self {
            Self::Preconditioner => Self::Residuals,
            Self::Residuals => Self::Preconditioner,
        }
    }
}

struct Lobpcg<'a> {
    operator: &'a dyn LinearOperator,
    options: &'a LobpcgOptions,
    preconditioner: Option<Products<'a>>,
    source: Source,
    products: Products<'a>,
    /// Ritz values of the columns of X, the most wanted first.
    values: Vec<f64>,
    x: Mat<f64>,
    ax: Mat<f64>,
    p: Mat<f64>,
    ap: Mat<f64>,
    iterations: usize,
    stall: Stall,
}

impl Lobpcg<'_> {
    fn run(
        &mut self,
        observer: &mut Observer<'_>,
    ) -> Result<(Vec<Eigenpair>, EigenEnding), CurvatureError> {
        let wanted = self.options.pairs.min(self.operator.dim());
        let floor = rounding_floor(self.operator.dtype(), self.operator.dim());
        let mut refreshed = 0;
        loop {
            let r = residuals(self.x.as_ref(), self.ax.as_ref(), &self.values);
            let sizes = norms(r.as_ref());
            let allowed = self.options.tolerance * self.products.scale;
            let worst_now = sizes[..wanted].iter().fold(0.0_f64, |m, x| m.max(*x));
            self.stall.seen(worst_now);
            // half of it is left for the rounding of the vectors that are handed out
            let active: Vec<usize> = (0..sizes.len())
                .filter(|&j| sizes[j] > 0.5 * allowed)
                .collect();
            let rounding = self.stall.stuck(worst_now <= floor * self.products.scale);
            if self.preconditioner.is_some() && self.stall.lasts() && !rounding {
                self.change_source();
            }
            let w = self.directions(&r, &active)?;
            let nothing_left = w.ncols() + self.p.ncols() == 0;
            if worst_now <= 0.5 * allowed || rounding || nothing_left {
                let pairs = self.products.measured(self.x.subcols(0, wanted))?;
                if worst(&pairs) <= allowed {
                    return Ok((pairs, self.success()));
                }
                if rounding || nothing_left || refreshed == 2 {
                    return Ok((pairs, EigenEnding::Rounding));
                }
                refreshed += 1;
                self.refresh()?;
                continue;
            }
            let stopped = observer(&self.progress(worst_now)).is_break();
            let spent = self.iterations >= self.options.max_iterations;
            if stopped || spent {
                let pairs = self.products.measured(self.x.subcols(0, wanted))?;
                let ending = match stopped {
                    true => EigenEnding::Stopped,
                    false => EigenEnding::MaxIterations,
                };
                return Ok((pairs, ending));
            }
            self.improve(w, &active)?;
            self.iterations += 1;
        }
    }

    fn success(&self) -> EigenEnding {
        match self.options.pairs > self.operator.dim() {
            true => EigenEnding::WholeSpace,
            false => EigenEnding::Converged,
        }
    }

    /// Residuals, preconditioned as long as that leads out of the span of X and P, orthonormal to both.
    fn directions(&mut self, r: &Mat<f64>, active: &[usize]) -> Result<Mat<f64>, CurvatureError> {
        let mut w = chosen(r.as_ref(), active);
        for (j, size) in norms(w.as_ref()).into_iter().enumerate() {
            // of norm one, so that nothing underflows in f32
            let unit = w.col(j) * faer::Scale(1.0 / size.max(f64::MIN_POSITIVE));
            w.col_mut(j).copy_from(unit);
        }
        let known = beside(&[self.x.as_ref(), self.p.as_ref()]);
        if let (Some(preconditioner), Source::Preconditioner) =
            (&mut self.preconditioner, self.source)
        {
            let preconditioned = preconditioner.apply(w.as_ref())?;
            let preconditioned = orthonormalised(known.as_ref(), preconditioned)?;
            if preconditioned.ncols() > 0 || active.is_empty() {
                return Ok(preconditioned);
            }
            self.change_source();
        }
        orthonormalised(known.as_ref(), w)
    }

    /// From preconditioned residuals to plain ones, or back.
    fn change_source(&mut self) {
        self.source = self.source.other();
        self.stall = Stall::default();
        tracing::debug!(iterations = self.iterations, source = ?self.source, "directions change");
    }

    /// Rayleigh-Ritz in span [X, P, W].
    fn improve(&mut self, w: Mat<f64>, active: &[usize]) -> Result<(), CurvatureError> {
        let aw = self.products.apply(w.as_ref())?;
        let s = beside(&[self.x.as_ref(), self.p.as_ref(), w.as_ref()]);
        let a_s = beside(&[self.ax.as_ref(), self.ap.as_ref(), aw.as_ref()]);
        let eigen = small_eigen(s.transpose() * &a_s)?;
        let block = self.x.ncols();
        let order = self.options.end.which().select(eigen.values(), block);
        let y = chosen(eigen.vectors().as_ref(), &order);
        self.values = order.iter().map(|&j| eigen.values()[j]).collect();
        // the part of the step outside X, made orthogonal to the new X by its coefficients
        let outside = Mat::from_fn(s.ncols(), active.len(), |i, j| match i < block {
            true => 0.0,
            false => y[(i, active[j])],
        });
        let z = orthonormalised(y.as_ref(), outside)?;
        (self.x, self.ax) = (&s * &y, &a_s * &y);
        (self.p, self.ap) = (&s * &z, &a_s * &z);
        Ok(())
    }

    /// Products of X afresh, for those that were carried along have gathered rounding.
    fn refresh(&mut self) -> Result<(), CurvatureError> {
        let dim = self.operator.dim();
        let nothing = Mat::zeros(dim, 0);
        self.x = orthonormalised(nothing.as_ref(), std::mem::replace(&mut self.x, Mat::new()))?;
        self.ax = self.products.apply(self.x.as_ref())?;
        (self.p, self.ap) = (Mat::zeros(dim, 0), Mat::zeros(dim, 0));
        self.improve(nothing, &[])
    }

    fn progress(&self, worst: f64) -> Progress {
        let block = self.x.ncols();
        let most = block.saturating_mul(self.options.max_iterations.saturating_add(2));
        Progress {
            applications: self.products.applications,
            most: Some(most),
            measure: (self.products.scale > 0.0).then(|| worst / self.products.scale),
        }
    }
}

#[cfg(test)]
#[path = "lobpcg_tests.rs"]
mod tests;
