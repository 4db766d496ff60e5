//! The trust-region step of a whole Krylov space, which goes on where Steihaug's stops.

use super::host::{Operand, axpy, norm};
use super::steihaug::{TrustRegionEnding, TrustRegionStep};
use crate::dense::DenseSymmetric;
use crate::error::CurvatureError;
use crate::matrix_functions::{DenseTrustRegionStep, check_radius};
use crate::operator::LinearOperator;
use crate::progress::{Observer, Progress, unobserved};
use crate::rounding::rounding_unit;
use crate::vector::dot_f64;
use burn::prelude::Tensor;
use faer::Mat;
use serde::{Deserialize, Serialize};

/// How far [`lanczos_trust_region`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LanczosTrustRegionOptions {
    /// Operator applications at most; the vectors of all of them are kept.
    pub max_iterations: usize,
    /// ‖g + (H + λI) s‖ allowed, relative to ‖g‖.
    pub relative_tolerance: f64,
    /// ‖g + (H + λI) s‖ allowed, as it is.
    pub absolute_tolerance: f64,
}

impl Default for LanczosTrustRegionOptions {
    /// 100 iterations, a relative tolerance of 1e-5.
    fn default() -> Self {
        Self {
            max_iterations: 100,
            relative_tolerance: 1e-5,
            absolute_tolerance: 0.0,
        }
    }
}

/// The minimiser of gᵀs + ½ sᵀHs over ‖s‖ ≤ Δ in the Krylov space of H and g, by Lanczos iteration with full reorthogonalisation.
///
/// Where H is positive definite and the step interior, it is that of conjugate gradients; on the boundary it is better than
/// [`steihaug`](super::steihaug)'s, and converges to the global minimiser (but for the hard case: a g orthogonal to the lowest
/// eigenvectors hides them). The ending is [`Interior`](TrustRegionEnding::Interior) or [`Boundary`](TrustRegionEnding::Boundary)
/// once the residual of (H + λI) s = −g is within the tolerance.
///
/// # Shapes
///
/// `gradient` and the step are flat, `hessian.dim()` long.
///
/// # Cost
///
/// One operator application per iteration, 4 k² n operations and memory for k vectors in f64 after k iterations.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] for a gradient of another length, [`CurvatureError::Argument`] for a radius that is not positive, and
/// whatever the operator reports.
///
/// # References
///
/// Gould, Lucidi, Roma and Toint (1999), Solving the trust-region subproblem using the Lanczos method; Conn, Gould and Toint (2000),
/// Trust-region methods, section 7.5.4.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::Diagonal;
/// use ravine_curvature::solve::{LanczosTrustRegionOptions, lanczos_trust_region};
/// use ravine_curvature::vector;
///
/// let tensor = |values: &[f64]| vector::from_f64(values, &Device::flex(), DType::F64);
/// let bowl = Diagonal::new(tensor(&[1.0, 3.0]));
/// let options = LanczosTrustRegionOptions::default();
/// let step = lanczos_trust_region(&bowl, &tensor(&[2.0, 4.0]), 2.0_f64.sqrt(), &options)?;
/// // (1 + λ) s₁ = −2, (3 + λ) s₂ = −4: λ = 1 gives s = (−1, −1)
/// assert!((step.multiplier.unwrap() - 1.0).abs() < 1e-12 && (step.norm - 2.0_f64.sqrt()).abs() < 1e-12);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub fn lanczos_trust_region(
    hessian: &dyn LinearOperator,
    gradient: &Tensor<1>,
    radius: f64,
    options: &LanczosTrustRegionOptions,
) -> Result<TrustRegionStep, CurvatureError> {
    lanczos_trust_region_observed(hessian, gradient, radius, options, &mut unobserved)
}

/// As [`lanczos_trust_region`], and calls `observer` whenever the small problem is solved, with the relative residual.
///
/// # Errors
///
/// As [`lanczos_trust_region`].
pub fn lanczos_trust_region_observed(
    hessian: &dyn LinearOperator,
    gradient: &Tensor<1>,
    radius: f64,
    options: &LanczosTrustRegionOptions,
    observer: &mut Observer<'_>,
) -> Result<TrustRegionStep, CurvatureError> {
    let span = tracing::debug_span!("lanczos trust region", dim = hessian.dim(), radius);
    let _entered = span.enter();
    check_radius(radius)?;
    let mut operand = Operand::new(hessian);
    let gradient = operand.read("the gradient", gradient)?;
    let mut krylov = Krylov::new(gradient, radius);
    let ending = krylov.search(&mut operand, options, observer)?;
    let Krylov {
        basis,
        best,
        g_norm,
        alpha,
        ..
    } = &krylov;
    let mut step = vec![0.0; hessian.dim()];
    for (y, v) in best.step.iter().zip(basis) {
        axpy(&mut step, *y, v);
    }
    // −gᵀs − ½ sᵀHs with g = ‖g‖ v₁ and H on the Krylov space
    let product = krylov.small_product(&best.step);
    let first = best.step.first().copied().unwrap_or(0.0);
    Ok(TrustRegionStep {
        step: operand.tensor(&step),
        norm: norm(&best.step),
        predicted_decrease: -g_norm * first - 0.5 * dot_f64(&best.step, &product),
        multiplier: Some(best.multiplier),
        residual_norms: krylov.residual_norms.clone(),
        iterations: alpha.len(),
        applications: operand.applications,
        downward: None,
        ending,
    })
}

struct Krylov {
    basis: Vec<Vec<f64>>,
    alpha: Vec<f64>,
    /// beta[j] couples vectors j and j + 1.
    beta: Vec<f64>,
    next: Vec<f64>,
    g_norm: f64,
    radius: f64,
    best: DenseTrustRegionStep,
    residual_norms: Vec<f64>,
}

impl Krylov {
    fn new(gradient: Vec<f64>, radius: f64) -> Self {
        let g_norm = norm(&gradient);
        Self {
            basis: Vec::new(),
            alpha: Vec::new(),
            beta: Vec::new(),
            next: gradient,
            g_norm,
            radius,
            best: DenseTrustRegionStep {
                step: Vec::new(),
                multiplier: 0.0,
            },
            residual_norms: vec![g_norm],
        }
    }

    fn search(
        &mut self,
        operand: &mut Operand<'_>,
        options: &LanczosTrustRegionOptions,
        observer: &mut Observer<'_>,
    ) -> Result<TrustRegionEnding, CurvatureError> {
        let tolerance = options
            .absolute_tolerance
            .max(options.relative_tolerance * self.g_norm);
        if !self.g_norm.is_finite() {
            return Ok(TrustRegionEnding::NonFinite);
        }
        if self.g_norm <= tolerance {
            return Ok(TrustRegionEnding::Interior);
        }
        let most = options.max_iterations.min(self.next.len());
        let rounding = 8.0 * rounding_unit(operand.dtype());
        self.next.iter_mut().for_each(|v| *v /= self.g_norm);
        for size in 1..=most {
            let Some(beta) = self.extend(operand)? else {
                return Ok(TrustRegionEnding::NonFinite);
            };
            let exhausted = beta <= rounding * self.scale() || size == self.next.len();
            // the small problem costs O(k³): look now and then
            if !(size <= 10 || size % 5 == 0 || size == most || exhausted) {
                continue;
            }
            self.best = self.small_step()?;
            let last = self.best.step.last().copied().unwrap_or(0.0);
            let residual_norm = beta * last.abs();
            self.residual_norms.push(residual_norm);
            let flow = observer(&Progress {
                applications: operand.applications,
                most: Some(most),
                measure: Some(residual_norm / self.g_norm),
            });
            if residual_norm <= tolerance || exhausted {
                return Ok(self.place());
            }
            if flow.is_break() {
                return Ok(TrustRegionEnding::Stopped);
            }
        }
        Ok(TrustRegionEnding::MaxIterations)
    }

    fn place(&self) -> TrustRegionEnding {
        match self.best.multiplier > 0.0 || norm(&self.best.step) >= self.radius {
            true => TrustRegionEnding::Boundary,
            false => TrustRegionEnding::Interior,
        }
    }

    /// One step of Lanczos; nothing if the product is not finite.
    fn extend(&mut self, operand: &mut Operand<'_>) -> Result<Option<f64>, CurvatureError> {
        let mut w = operand.apply(&self.next)?;
        let alpha = dot_f64(&w, &self.next);
        if !alpha.is_finite() {
            return Ok(None);
        }
        let v = std::mem::take(&mut self.next);
        self.basis.push(v);
        self.alpha.push(alpha);
        // twice is enough
        for _ in 0..2 {
            for v in &self.basis {
                let overlap = dot_f64(v, &w);
                axpy(&mut w, -overlap, v);
            }
        }
        let beta = norm(&w);
        self.beta.push(beta);
        w.iter_mut().for_each(|w| *w /= beta.max(f64::MIN_POSITIVE));
        self.next = w;
        Ok(Some(beta))
    }

    fn scale(&self) -> f64 {
        let all = self.alpha.iter().chain(&self.beta);
        all.fold(0.0, |m, x| m.max(x.abs()))
    }

    fn small_step(&self) -> Result<DenseTrustRegionStep, CurvatureError> {
        let size = self.alpha.len();
        let tridiagonal = Mat::from_fn(size, size, |i, j| match i.abs_diff(j) {
            0 => self.alpha[i],
            1 => self.beta[i.min(j)],
            _ => 0.0,
        });
        let mut g = vec![0.0; size];
        g[0] = self.g_norm;
        let eigen = DenseSymmetric::from_matrix(tridiagonal).eigen()?;
        eigen.trust_region_step(&g, self.radius)
    }

    /// T y.
    fn small_product(&self, y: &[f64]) -> Vec<f64> {
        let entry = |i: usize| {
            let before = if i > 0 {
                self.beta[i - 1] * y[i - 1]
            } else {
                0.0
            };
            let after = y.get(i + 1).map_or(0.0, |y| self.beta[i] * y);
            before + self.alpha[i] * y[i] + after
        };
        (0..y.len()).map(entry).collect()
    }
}

#[cfg(test)]
mod tests;
