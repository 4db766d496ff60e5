//! Conjugate gradients within a trust region, stopped at its boundary.

use super::host::{Operand, axpy, check_preconditioner, norm, precondition, xpby};
use crate::error::CurvatureError;
use crate::matrix_functions::check_radius;
use crate::operator::LinearOperator;
use crate::progress::{Observer, Progress, unobserved};
use crate::vector::dot_f64;
use burn::prelude::Tensor;

#[cfg(test)]
mod tests;

/// When the search for a trust-region step stops, and what preconditions it.
#[derive(Clone, Copy)]
pub struct SteihaugOptions<'a> {
    /// Operator applications allowed at most; `None` allows as many as there are dimensions.
    pub max_iterations: Option<usize>,
    /// ‖g + Hs‖ allowed, relative to ‖g‖.
    pub relative_tolerance: f64,
    /// ‖g + Hs‖ allowed, as it is.
    pub absolute_tolerance: f64,
    /// M⁻¹, symmetric and positive definite, applied once per iteration: the region is then ‖s‖_M ≤ Δ.
    pub preconditioner: Option<&'a dyn LinearOperator>,
}

impl Default for SteihaugOptions<'_> {
    /// As many iterations as dimensions, a relative tolerance of 1e-5, no preconditioner.
    fn default() -> Self {
        Self {
            max_iterations: None,
            relative_tolerance: 1e-5,
            absolute_tolerance: 0.0,
            preconditioner: None,
        }
    }
}

/// A step within a trust region.
#[derive(Clone, Debug)]
pub struct TrustRegionStep {
    /// s, flat.
    pub step: Tensor<1>,
    /// ‖s‖_M ≤ Δ, the norm of the region.
    pub norm: f64,
    /// −gᵀs − ½ sᵀHs ≥ 0.
    pub predicted_decrease: f64,
    /// The multiplier λ of the constraint, where it is computed: (H + λI) s ≈ −g.
    pub multiplier: Option<f64>,
    /// ‖g + (H + λI) s‖, before the first iteration and after each that was looked at.
    pub residual_norms: Vec<f64>,
    /// Iterations done.
    pub iterations: usize,
    /// Operator applications.
    pub applications: usize,
    /// p with pᵀHp ≤ 0, flat, not normalised, where the ending is [`TrustRegionEnding::NegativeCurvature`].
    pub downward: Option<Tensor<1>>,
    /// Where and why it stopped.
    pub ending: TrustRegionEnding,
}

/// Where and why the search for a trust-region step stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum TrustRegionEnding {
    /// Inside the region, with a residual within the tolerance: a Newton step.
    Interior,
    /// On the boundary, where the path left the region.
    Boundary,
    /// On the boundary, along a direction of nonpositive curvature.
    NegativeCurvature {
        /// pᵀHp / pᵀp of that direction.
        rayleigh: f64,
    },
    /// The allowed iterations are spent, inside the region or not yet accurate.
    MaxIterations,
    /// A product is NaN or infinite; the step is the one before it.
    NonFinite,
    /// The preconditioner is not positive definite.
    IndefinitePreconditioner {
        /// rᵀM⁻¹r.
        product: f64,
    },
    /// The observer asked to stop.
    Stopped,
}

/// A step s with ‖s‖_M ≤ Δ that makes gᵀs + ½ sᵀHs small, by the method of Steihaug and Toint.
///
/// Conjugate gradients from zero, whose iterates grow in ‖·‖_M, until they converge, leave the region, or meet nonpositive curvature;
/// then to the boundary. The decrease is at least that of the Cauchy point.
///
/// # Shapes
///
/// `gradient` and the step are flat, `hessian.dim()` long. Recurrences are in f64.
///
/// # Cost
///
/// One operator application per iteration. Memory for four vectors in f64.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] when `gradient` or the preconditioner has another length, [`CurvatureError::Argument`] for a radius
/// that is not positive, and whatever the operator reports.
///
/// # References
///
/// Conn, Gould and Toint (2000), Trust-region methods, algorithm 7.5.1; Steihaug (1983); Toint (1981).
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::Diagonal;
/// use ravine_curvature::solve::{SteihaugOptions, TrustRegionEnding, steihaug};
/// use ravine_curvature::vector;
///
/// let tensor = |values: &[f64]| vector::from_f64(values, &Device::flex(), DType::F64);
/// let saddle = Diagonal::new(tensor(&[1.0, -2.0]));
/// let step = steihaug(&saddle, &tensor(&[0.0, 1.0]), 3.0, &SteihaugOptions::default())?;
/// assert_eq!(step.ending, TrustRegionEnding::NegativeCurvature { rayleigh: -2.0 });
/// assert_eq!((step.norm, step.predicted_decrease), (3.0, 3.0 + 9.0));
/// assert_eq!(vector::to_f64(&step.downward.unwrap()), [0.0, -1.0]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub fn steihaug(
    hessian: &dyn LinearOperator,
    gradient: &Tensor<1>,
    radius: f64,
    options: &SteihaugOptions<'_>,
) -> Result<TrustRegionStep, CurvatureError> {
    steihaug_observed(hessian, gradient, radius, options, &mut unobserved)
}

/// As [`steihaug`], and calls `observer` after each iteration with ‖g + Hs‖ / ‖g‖.
///
/// # Errors
///
/// As [`steihaug`].
pub fn steihaug_observed(
    hessian: &dyn LinearOperator,
    gradient: &Tensor<1>,
    radius: f64,
    options: &SteihaugOptions<'_>,
    observer: &mut Observer<'_>,
) -> Result<TrustRegionStep, CurvatureError> {
    let span = tracing::debug_span!("steihaug", dim = hessian.dim(), radius);
    let _entered = span.enter();
    check_radius(radius)?;
    check_preconditioner(options.preconditioner, hessian.dim())?;
    let operand = Operand::new(hessian);
    let gradient = operand.read("the gradient", gradient)?;
    let mut path = Path::new(operand, gradient, radius);
    let ending = path.follow(options, observer)?;
    let downward = matches!(ending, TrustRegionEnding::NegativeCurvature { .. })
        .then(|| path.operand.tensor(&path.direction));
    Ok(TrustRegionStep {
        step: path.operand.tensor(&path.step),
        norm: path.ss.max(0.0).sqrt(),
        predicted_decrease: -path.model,
        multiplier: None,
        iterations: path.residual_norms.len() - 1,
        residual_norms: path.residual_norms,
        applications: path.operand.applications,
        downward,
        ending,
    })
}

struct Path<'a> {
    operand: Operand<'a>,
    radius: f64,
    step: Vec<f64>,
    /// g + H s.
    residual: Vec<f64>,
    direction: Vec<f64>,
    /// ‖s‖², sᵀMp, ‖p‖² in the metric of the region.
    ss: f64,
    sp: f64,
    pp: f64,
    model: f64,
    residual_norms: Vec<f64>,
}

impl<'a> Path<'a> {
    fn new(operand: Operand<'a>, gradient: Vec<f64>, radius: f64) -> Self {
        Self {
            operand,
            radius,
            step: vec![0.0; gradient.len()],
            direction: Vec::new(),
            ss: 0.0,
            sp: 0.0,
            pp: 0.0,
            model: 0.0,
            residual_norms: vec![norm(&gradient)],
            residual: gradient,
        }
    }

    fn follow(
        &mut self,
        options: &SteihaugOptions<'_>,
        observer: &mut Observer<'_>,
    ) -> Result<TrustRegionEnding, CurvatureError> {
        let first = self.residual_norms[0];
        let tolerance = options
            .absolute_tolerance
            .max(options.relative_tolerance * first);
        if !first.is_finite() {
            return Ok(TrustRegionEnding::NonFinite);
        }
        if first <= tolerance {
            return Ok(TrustRegionEnding::Interior);
        }
        let most = options.max_iterations.unwrap_or(self.step.len());
        let mut rz = 0.0;
        for _ in 0..most {
            let z = precondition(options.preconditioner, &self.residual)?;
            let rz_next = dot_f64(&self.residual, z.as_deref().unwrap_or(&self.residual));
            if !rz_next.is_finite() {
                return Ok(TrustRegionEnding::NonFinite);
            }
            if rz_next <= 0.0 {
                return Ok(TrustRegionEnding::IndefinitePreconditioner { product: rz_next });
            }
            self.turn(z, rz_next, rz, options.preconditioner.is_some());
            rz = rz_next;

            let product = self.operand.apply(&self.direction)?;
            let curvature = dot_f64(&self.direction, &product);
            if !curvature.is_finite() {
                return Ok(TrustRegionEnding::NonFinite);
            }
            if curvature <= 0.0 {
                self.go(self.to_boundary(), rz, curvature, &product);
                let rayleigh = curvature / dot_f64(&self.direction, &self.direction);
                return Ok(TrustRegionEnding::NegativeCurvature { rayleigh });
            }
            let alpha = rz / curvature;
            let beyond = self.ss + alpha * (2.0 * self.sp + alpha * self.pp);
            if beyond >= self.radius * self.radius {
                self.go(self.to_boundary(), rz, curvature, &product);
                return Ok(TrustRegionEnding::Boundary);
            }
            self.go(alpha, rz, curvature, &product);
            let residual_norm = self.residual_norms.last().copied().unwrap_or(0.0);
            let flow = observer(&Progress {
                applications: self.operand.applications,
                most: Some(most),
                measure: Some(residual_norm / first),
            });
            if residual_norm <= tolerance {
                return Ok(TrustRegionEnding::Interior);
            }
            if flow.is_break() {
                return Ok(TrustRegionEnding::Stopped);
            }
            // of the new step with the direction before the turn
            self.sp += alpha * self.pp;
        }
        Ok(TrustRegionEnding::MaxIterations)
    }

    /// p ← −z + β p, with its products in the metric.
    fn turn(&mut self, z: Option<Vec<f64>>, rz: f64, rz_before: f64, preconditioned: bool) {
        let z = z.as_deref().unwrap_or(&self.residual);
        if self.direction.is_empty() {
            self.direction = z.iter().map(|z| -z).collect();
            (self.sp, self.pp) = (0.0, rz);
            return;
        }
        let beta = rz / rz_before;
        xpby(&mut self.direction, z, -beta);
        self.direction.iter_mut().for_each(|p| *p = -*p);
        if preconditioned {
            self.sp *= beta;
            self.pp = rz + beta * beta * self.pp;
        } else {
            self.sp = dot_f64(&self.step, &self.direction);
            self.pp = dot_f64(&self.direction, &self.direction);
        }
    }

    /// The τ ≥ 0 with ‖s + τ p‖ = Δ.
    fn to_boundary(&self) -> f64 {
        let rest = (self.radius * self.radius - self.ss).max(0.0);
        let root = (self.sp * self.sp + self.pp * rest).sqrt();
        // of the two forms the one without cancellation
        match self.sp > 0.0 {
            true => rest / (self.sp + root),
            false => (root - self.sp) / self.pp,
        }
    }

    fn go(&mut self, tau: f64, rz: f64, curvature: f64, product: &[f64]) {
        self.ss += tau * (2.0 * self.sp + tau * self.pp);
        self.model += tau * (0.5 * tau * curvature - rz);
        axpy(&mut self.step, tau, &self.direction);
        axpy(&mut self.residual, tau, product);
        self.residual_norms.push(norm(&self.residual));
    }
}
