//! MINRES for symmetric systems of any sign, with the QLP factors that give the shortest solution where there are many.

use super::host::{Operand, axpy, check_preconditioner, norm, precondition, scaled, xpby};
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::progress::{Observer, Progress, unobserved};
use crate::rounding::rounding_unit;
use crate::vector::dot_f64;
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};

mod qlp;
#[cfg(test)]
mod tests;

use qlp::{Column, Qlp, reflection};

/// When MINRES stops, and what preconditions it.
///
/// Converged means ‖b − Ax‖ ≤ max(`relative_tolerance` · ‖b‖, `absolute_tolerance`), as for conjugate gradients.
#[derive(Clone, Copy)]
pub struct MinresOptions<'a> {
    /// Iterations allowed at most; `None` allows five times as many as there are dimensions.
    pub max_iterations: Option<usize>,
    /// Residual allowed, relative to ‖b‖.
    pub relative_tolerance: f64,
    /// Residual allowed, as it is.
    pub absolute_tolerance: f64,
    /// The residual r counts as that of least squares where ‖Ar‖ ≤ `normal_tolerance` · ‖A‖ ‖r‖; `None` takes √u of the operator's
    /// dtype (1e-8 in f64, 2e-4 in f32), which is what rounding lets inconsistent systems reach. A consistent system with a
    /// condition number above 1/√u needs a smaller one to be solved to the end.
    pub normal_tolerance: Option<f64>,
    /// The stopping rule of Newton-MR, ‖Ar‖ ≤ η ‖Ax‖, beside the others; where it holds nonpositive curvature of the same residual is not
    /// reported, as in the authors' algorithm.
    pub subproblem_tolerance: Option<f64>,
    /// What is done about directions of nonpositive curvature.
    pub curvature: MinresCurvature,
    /// An approximation of A⁻¹, symmetric and positive definite, applied once per iteration.
    pub preconditioner: Option<&'a dyn LinearOperator>,
    /// Where to start; `None` starts from zero. A start costs one more operator application.
    pub start: Option<&'a Tensor<1>>,
}

impl Default for MinresOptions<'_> {
    /// A relative tolerance of 1e-5, negative curvature taken as it comes, no preconditioner, from zero.
    fn default() -> Self {
        Self {
            max_iterations: None,
            relative_tolerance: 1e-5,
            absolute_tolerance: 0.0,
            normal_tolerance: None,
            subproblem_tolerance: None,
            curvature: MinresCurvature::Allow,
            preconditioner: None,
            start: None,
        }
    }
}

/// What MINRES does about directions of nonpositive curvature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MinresCurvature {
    /// Nothing: indefinite systems are solved like others.
    #[default]
    Allow,
    /// Stops at the first residual r with rᵀAr ≤ `floor` · rᵀr: −c γ ≤ floor in the recurrences, which costs nothing.
    Report {
        /// The curvature that still counts as nonpositive; 0 takes the sign alone.
        floor: f64,
    },
}

/// What MINRES found, whatever ended it.
#[derive(Clone, Debug)]
pub struct MinresResult {
    /// The last iterate x, flat.
    pub solution: Tensor<1>,
    /// b − Ax by the recurrence.
    pub residual: Tensor<1>,
    /// ‖b − Ax‖ by the recurrence, before the first iteration and after each; without a preconditioner it never grows.
    pub residual_norms: Vec<f64>,
    /// ‖Ar‖ (in the norm of the preconditioner M, ‖Ar‖²_M = (Ar)ᵀM(Ar)) of the last residual that it is known of: the one before the last
    /// product.
    pub normal_residual_norm: f64,
    /// A lower bound of ‖A‖ (of ‖M^½ A M^½‖ with a preconditioner).
    pub operator_norm: f64,
    /// An estimate of the condition number on the Krylov space, from the diagonal of L.
    pub condition: f64,
    /// Steps that were taken.
    pub iterations: usize,
    /// Applications of A: one more than iterations for a start, and where the last product showed that the iterate before it is final.
    pub applications: usize,
    /// Why it stopped.
    pub ending: MinresEnding,
}

impl MinresResult {
    /// ‖b − Ax‖ by the recurrence at the end.
    pub fn residual_norm(&self) -> f64 {
        self.residual_norms.last().copied().unwrap_or(0.0)
    }
}

/// Why MINRES stopped: a fact about the problem, not an error.
#[expect(
    clippy::large_enum_variant,
    reason = "one is made per solve, next to whole vectors"
)]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum MinresEnding {
    /// The residual is within the tolerance.
    Converged,
    /// Ar vanishes and r does not: the system has no solution; this is the shortest of those with the least residual, A⁺b.
    LeastSquares,
    /// ‖Ar‖ ≤ η ‖Ax‖, by [`MinresOptions::subproblem_tolerance`].
    Subproblem,
    /// A does not curve upwards along the residual; the solution is the iterate with that residual.
    NegativeCurvature {
        /// r (M r with a preconditioner M), not normalised.
        direction: Tensor<1>,
        /// dᵀAd / dᵀd of that direction d.
        rayleigh: f64,
    },
    /// The Krylov space is exhausted to rounding: the residual is as small as it gets.
    InvariantSubspace,
    /// The allowed iterations are spent; the solution has the least residual of the Krylov space so far.
    MaxIterations,
    /// A product is NaN or infinite; the solution is the iterate before it.
    NonFinite,
    /// The preconditioner M is not positive definite: uᵀMu is not positive for a Lanczos vector u.
    IndefinitePreconditioner {
        /// uᵀMu.
        product: f64,
    },
    /// The observer asked to stop.
    Stopped,
}

/// Solves A x = b for a symmetric A of any sign by MINRES-QLP.
///
/// xₖ has the least ‖b − Ax‖ of the Krylov space, and is the shortest such vector. Where A is singular, the result is A⁺b: for b within
/// the range of A, and for b outside of it ([`MinresEnding::LeastSquares`]; there the component along the residual, a null vector, is
/// taken out of the iterate). With a preconditioner M lengths are those of M⁻¹, with a start x₀ those of x − x₀.
///
/// # Shapes
///
/// `b` and the solution are flat, `op.dim()` long. Recurrences are in f64.
///
/// # Cost
///
/// One operator application (and one of the preconditioner) per iteration. Memory for eight vectors in f64.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] when `b`, the start or the preconditioner is not `op.dim()` long, and whatever the operator reports.
///
/// # References
///
/// Paige and Saunders (1975), Solution of sparse indefinite systems of linear equations; Choi, Paige and Saunders (2011),
/// MINRES-QLP, sections 3 to 5; Liu and Roosta (2022), MINRES: from negative curvature detection to monotonicity properties, theorem 1;
/// Liu, Milzarek and Roosta (2023), Obtaining pseudo-inverse solutions with MINRES, theorem 2 (lifting).
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::Diagonal;
/// use ravine_curvature::{MinresEnding, MinresOptions, minres, vector};
///
/// let tensor = |values: &[f64]| vector::from_f64(values, &Device::flex(), DType::F64);
/// let a = Diagonal::new(tensor(&[2.0, -1.0, 0.0]));
/// let solve = minres(&a, &tensor(&[1.0, 1.0, 1.0]), &MinresOptions::default())?;
/// assert!(matches!(solve.ending, MinresEnding::LeastSquares)); // nothing of A reaches the last entry
/// let x = vector::to_f64(&solve.solution);
/// assert!((x[0] - 0.5).abs() < 1e-12 && (x[1] + 1.0).abs() < 1e-12 && x[2].abs() < 1e-12);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub fn minres(
    op: &dyn LinearOperator,
    b: &Tensor<1>,
    options: &MinresOptions<'_>,
) -> Result<MinresResult, CurvatureError> {
    minres_observed(op, b, options, &mut unobserved)
}

/// As [`minres`], and calls `observer` after each iteration with ‖r‖ / ‖b‖.
///
/// # Errors
///
/// As [`minres`].
pub fn minres_observed(
    op: &dyn LinearOperator,
    b: &Tensor<1>,
    options: &MinresOptions<'_>,
    observer: &mut Observer<'_>,
) -> Result<MinresResult, CurvatureError> {
    let span = tracing::debug_span!("minres", dim = op.dim());
    let _entered = span.enter();
    check_preconditioner(options.preconditioner, op.dim())?;
    let mut operand = Operand::new(op);
    let b = operand.read("the right-hand side", b)?;
    let b_norm = norm(&b);
    let (start, residual) = match options.start {
        None => (None, b),
        Some(start) => {
            let start = operand.read("the start", start)?;
            let mut residual = b;
            axpy(&mut residual, -1.0, &operand.apply(&start)?);
            (Some(start), residual)
        }
    };
    let mut run = Run::new(operand, options, residual, b_norm);
    let ended = run.iterate(observer)?;
    run.finish(start, ended)
}

/// An ending without vectors.
enum Ended {
    Converged,
    LeastSquares,
    Subproblem,
    NegativeCurvature { metric_rayleigh: f64 },
    InvariantSubspace,
    MaxIterations,
    NonFinite,
    IndefinitePreconditioner { product: f64 },
    Stopped,
}

struct Run<'a> {
    operand: Operand<'a>,
    options: &'a MinresOptions<'a>,
    b_norm: f64,
    tolerance: f64,
    rounding: f64,
    residual: Vec<f64>,
    residual_norms: Vec<f64>,
    /// ‖r‖ in the norm of M, first and now.
    phi_first: f64,
    phi: f64,
    normal_residual_norm: f64,
    operator_norm: f64,
    qlp: Qlp,
}

impl<'a> Run<'a> {
    fn new(
        operand: Operand<'a>,
        options: &'a MinresOptions<'a>,
        residual: Vec<f64>,
        b_norm: f64,
    ) -> Self {
        let dim = residual.len();
        Self {
            b_norm,
            tolerance: options
                .absolute_tolerance
                .max(options.relative_tolerance * b_norm),
            rounding: rounding_unit(operand.dtype()),
            residual_norms: vec![norm(&residual)],
            residual,
            phi_first: 0.0,
            phi: 0.0,
            normal_residual_norm: f64::NAN,
            operator_norm: 0.0,
            qlp: Qlp::new(dim),
            operand,
            options,
        }
    }

    fn residual_norm(&self) -> f64 {
        self.residual_norms.last().copied().unwrap_or(0.0)
    }

    /// The preconditioned Lanczos process with the QR factors of its tridiagonal matrix.
    fn iterate(&mut self, observer: &mut Observer<'_>) -> Result<Ended, CurvatureError> {
        let dim = self.residual.len();
        let most = self.options.max_iterations.unwrap_or(5 * dim);
        if let Some(ended) = self.before_the_first(most) {
            return Ok(ended);
        }
        // u are the Lanczos vectors times beta, z = M u
        let mut u_before: Vec<f64> = Vec::new();
        let mut u = self.residual.clone();
        let mut z = precondition(self.options.preconditioner, &u)?;
        let squared = dot_f64(&u, z.as_deref().unwrap_or(&u));
        if !(squared > 0.0 && squared.is_finite()) {
            return Ok(refused(squared));
        }
        let (mut beta, mut beta_before) = (squared.sqrt(), 0.0);
        (self.phi_first, self.phi) = (beta, beta);
        let (mut c, mut s, mut delta_bar, mut epsilon) = (-1.0, 0.0, 0.0, 0.0);
        for iteration in 1..=most {
            let v = scaled(z.as_deref().unwrap_or(&u), 1.0 / beta);
            let mut next = self.operand.apply(&v)?;
            if iteration > 1 {
                axpy(&mut next, -beta / beta_before, &u_before);
            }
            let alpha = dot_f64(&v, &next);
            axpy(&mut next, -alpha / beta, &u);
            let z_next = precondition(self.options.preconditioner, &next)?;
            let squared = dot_f64(&next, z_next.as_deref().unwrap_or(&next));
            if !(alpha.is_finite() && squared.is_finite()) {
                return Ok(Ended::NonFinite);
            }
            if squared < 0.0 {
                return Ok(Ended::IndefinitePreconditioner { product: squared });
            }
            let beta_next = squared.sqrt();
            let coupled = if iteration > 1 { beta } else { 0.0 };
            let column = alpha.hypot(beta_next).hypot(coupled);
            self.operator_norm = self.operator_norm.max(column);

            // the reflection before this one, on the new column
            let delta = c * delta_bar + s * alpha;
            let gamma_bar = s * delta_bar - c * alpha;
            let epsilon_now = epsilon;
            epsilon = s * beta_next;
            delta_bar = -c * beta_next;
            let normal = gamma_bar.hypot(delta_bar);
            self.normal_residual_norm = self.phi * normal;
            // what is known now is about the residual before this step
            if let Some(ended) = self.final_before_step(normal, -c * gamma_bar) {
                return Ok(ended);
            }

            let (c_now, s_now, gamma) = reflection(gamma_bar, beta_next);
            (c, s) = (c_now, s_now);
            let zero = 8.0 * self.rounding * self.operator_norm;
            self.qlp.step(
                &Column {
                    epsilon: epsilon_now,
                    delta,
                    gamma,
                    tau: c * self.phi,
                },
                &v,
                zero,
            );
            self.phi *= s;
            let exhausted = beta_next <= zero;
            // r ← s² r − φ c u/β
            let along = if exhausted {
                0.0
            } else {
                -self.phi * c / beta_next
            };
            self.residual.iter_mut().for_each(|r| *r *= s * s);
            axpy(&mut self.residual, along, &next);
            let residual_norm = match self.options.preconditioner {
                None => self.phi,
                Some(_) => norm(&self.residual),
            };
            self.residual_norms.push(residual_norm);
            let flow = observer(&Progress {
                applications: self.operand.applications,
                most: Some(most),
                measure: Some(residual_norm / self.b_norm),
            });
            if residual_norm <= self.tolerance {
                return Ok(Ended::Converged);
            }
            if exhausted {
                return Ok(Ended::InvariantSubspace);
            }
            if flow.is_break() {
                return Ok(Ended::Stopped);
            }
            (u_before, u, z) = (u, next, z_next);
            (beta_before, beta) = (beta, beta_next);
        }
        Ok(Ended::MaxIterations)
    }

    fn before_the_first(&self, most: usize) -> Option<Ended> {
        match self.residual_norm() {
            norm if !norm.is_finite() => Some(Ended::NonFinite),
            norm if norm <= self.tolerance => Some(Ended::Converged),
            _ if most == 0 => Some(Ended::MaxIterations),
            _ => None,
        }
    }

    /// Whether the iterate before the step turns out to be the last, from ‖Ar‖ / ‖r‖ and rᵀAr / rᵀr in the metric of M.
    fn final_before_step(&self, normal: f64, rayleigh: f64) -> Option<Ended> {
        let tolerance = self
            .options
            .normal_tolerance
            .unwrap_or(self.rounding.sqrt());
        if normal <= tolerance * self.operator_norm {
            return Some(Ended::LeastSquares);
        }
        let image = (self.phi_first.powi(2) - self.phi.powi(2)).max(0.0).sqrt();
        if let Some(eta) = self.options.subproblem_tolerance
            && self.phi * normal <= eta * image
        {
            return Some(Ended::Subproblem);
        }
        match self.options.curvature {
            MinresCurvature::Report { floor } if rayleigh <= floor => {
                Some(Ended::NegativeCurvature {
                    metric_rayleigh: rayleigh,
                })
            }
            _ => None,
        }
    }

    fn finish(self, start: Option<Vec<f64>>, ended: Ended) -> Result<MinresResult, CurvatureError> {
        let condition = self.qlp.condition();
        let mut solution = self.qlp.solution();
        let residual = self.residual;
        let image = || -> Result<Vec<f64>, CurvatureError> {
            let image = precondition(self.options.preconditioner, &residual)?;
            Ok(image.unwrap_or_else(|| residual.clone()))
        };
        let ending = match ended {
            Ended::Converged => MinresEnding::Converged,
            Ended::LeastSquares => {
                // lifting: what lies along the null vector Mr only makes the solution longer
                let image = image()?;
                let along = dot_f64(&residual, &solution) / dot_f64(&residual, &image);
                axpy(&mut solution, -along, &image);
                MinresEnding::LeastSquares
            }
            Ended::Subproblem => MinresEnding::Subproblem,
            Ended::NegativeCurvature { metric_rayleigh } => {
                let image = image()?;
                let metric = dot_f64(&residual, &image) / dot_f64(&image, &image);
                MinresEnding::NegativeCurvature {
                    direction: self.operand.tensor(&image),
                    rayleigh: metric_rayleigh * metric,
                }
            }
            Ended::InvariantSubspace => MinresEnding::InvariantSubspace,
            Ended::MaxIterations => MinresEnding::MaxIterations,
            Ended::NonFinite => MinresEnding::NonFinite,
            Ended::IndefinitePreconditioner { product } => {
                MinresEnding::IndefinitePreconditioner { product }
            }
            Ended::Stopped => MinresEnding::Stopped,
        };
        if let Some(start) = start {
            xpby(&mut solution, &start, 1.0);
        }
        Ok(MinresResult {
            solution: self.operand.tensor(&solution),
            residual: self.operand.tensor(&residual),
            iterations: self.residual_norms.len() - 1,
            residual_norms: self.residual_norms,
            normal_residual_norm: self.normal_residual_norm,
            operator_norm: self.operator_norm,
            condition,
            applications: self.operand.applications,
            ending,
        })
    }
}

/// The ending for a first uᵀMu that is no positive number.
fn refused(product: f64) -> Ended {
    match product.is_finite() {
        true => Ended::IndefinitePreconditioner { product },
        false => Ended::NonFinite,
    }
}
