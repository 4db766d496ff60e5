//! LSMR: least squares with a rectangular map, damped or not, of any rank.

use super::host::norm;
use crate::error::CurvatureError;
use crate::operator::LinearMap;
use crate::progress::{Observer, Progress, unobserved};
use crate::vector::{from_f64, to_f64};
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// When LSMR stops.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LsmrOptions {
    /// λ in ‖Ax − b‖² + λ² ‖x‖².
    pub damping: f64,
    /// Iterations allowed at most; `None` allows twice the smaller dimension.
    pub max_iterations: Option<usize>,
    /// ‖Āᵀr̄‖ ≤ `normal_tolerance` · ‖Ā‖ ‖r̄‖ ends the solve: the relative accuracy of A.
    pub normal_tolerance: f64,
    /// ‖r̄‖ ≤ `residual_tolerance` · ‖b‖ + `normal_tolerance` · ‖Ā‖ ‖x‖ ends the solve: the relative accuracy of b.
    pub residual_tolerance: f64,
    /// The solve ends where the estimated condition number exceeds this.
    pub condition_limit: f64,
}

impl Default for LsmrOptions {
    /// No damping, tolerances of 1e-6, a condition number of 1e8.
    fn default() -> Self {
        Self {
            damping: 0.0,
            max_iterations: None,
            normal_tolerance: 1e-6,
            residual_tolerance: 1e-6,
            condition_limit: 1e8,
        }
    }
}

/// Why LSMR stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LsmrEnding {
    /// x = 0 is the solution: b = 0 or Aᵀb = 0.
    Zero,
    /// Ax = b to the tolerances.
    Consistent,
    /// Āᵀr̄ = 0 to the tolerance: x solves the least-squares problem.
    LeastSquares,
    /// The estimated condition number exceeds the limit.
    ConditionLimit,
    /// The allowed iterations are spent.
    MaxIterations,
    /// A product is NaN or infinite; the solution is the iterate before it.
    NonFinite,
    /// The observer asked to stop.
    Stopped,
}

/// What LSMR found, whatever ended it.
#[derive(Clone, Debug)]
pub struct LsmrResult {
    /// x `[columns]`.
    pub solution: Tensor<1>,
    /// ‖r̄‖ = √(‖b − Ax‖² + λ² ‖x‖²), before the first iteration and after each.
    pub residual_norms: Vec<f64>,
    /// ‖Āᵀr̄‖ = ‖Aᵀ(b − Ax) − λ² x‖, before the first iteration and after each: it never grows.
    pub normal_residual_norms: Vec<f64>,
    /// An estimate of the Frobenius norm of Ā = [A; λI].
    pub map_norm: f64,
    /// An estimate of the condition number of Ā.
    pub condition: f64,
    /// Steps that were taken.
    pub iterations: usize,
    /// Products with A and with its transpose, together.
    pub applications: usize,
    /// Why it stopped.
    pub ending: LsmrEnding,
}

/// The least-squares solution of min ‖Ax − b‖² + λ² ‖x‖², the shortest where there are many.
///
/// It is MINRES on the normal equations without forming them: ‖Āᵀr̄‖ falls with every iteration, so that it can be stopped early.
///
/// # Shapes
///
/// `b` `[rows]`, the solution `[columns]`. Recurrences are in f64.
///
/// # Cost
///
/// One product with A and one with Aᵀ per iteration, and one with Aᵀ before the first. Memory for four vectors of columns and one of
/// rows, in f64.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] for a `b` of another length, [`CurvatureError::Argument`] for damping that is negative or NaN, what the
/// map reports.
///
/// # References
///
/// Fong and Saunders (2011), LSMR: an iterative algorithm for sparse least-squares problems, sections 2 and 3, 5 for damping.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::{CurvatureError, LinearMap, LsmrOptions, lsmr, vector};
///
/// /// A matrix as a map.
/// struct Rows(Tensor<2>);
///
/// impl LinearMap for Rows {
///     fn rows(&self) -> usize { self.0.dims()[0] }
///     fn columns(&self) -> usize { self.0.dims()[1] }
///     fn device(&self) -> Device { self.0.device() }
///     fn dtype(&self) -> DType { self.0.dtype() }
///     fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
///         Ok(self.0.clone().matmul(v.clone().reshape([self.columns(), 1])).reshape([self.rows()]))
///     }
///     fn apply_transposed(&self, u: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
///         Ok(u.clone().reshape([1, self.rows()]).matmul(self.0.clone()).reshape([self.columns()]))
///     }
/// }
///
/// let tensor = |values: &[f64]| vector::from_f64(values, &Device::flex(), DType::F64);
/// let line = Rows(tensor(&[1.0, 1.0, 1.0]).reshape([3, 1]));
/// let fit = lsmr(&line, &tensor(&[1.0, 2.0, 6.0]), &LsmrOptions::default())?;
/// assert!((vector::to_f64(&fit.solution)[0] - 3.0).abs() < 1e-12); // the mean
/// # Ok::<(), CurvatureError>(())
/// ```
pub fn lsmr(
    map: &dyn LinearMap,
    b: &Tensor<1>,
    options: &LsmrOptions,
) -> Result<LsmrResult, CurvatureError> {
    lsmr_observed(map, b, options, &mut unobserved)
}

/// As [`lsmr`], and calls `observer` after each iteration with ‖Āᵀr̄‖ / (‖Ā‖ ‖r̄‖).
///
/// # Errors
///
/// As [`lsmr`].
pub fn lsmr_observed(
    map: &dyn LinearMap,
    b: &Tensor<1>,
    options: &LsmrOptions,
    observer: &mut Observer<'_>,
) -> Result<LsmrResult, CurvatureError> {
    let (rows, columns) = (map.rows(), map.columns());
    let span = tracing::debug_span!("lsmr", rows, columns);
    let _entered = span.enter();
    if b.dims()[0] != rows {
        return Err(CurvatureError::Dimension {
            what: "the right-hand side of least squares",
            expected: rows,
            found: b.dims()[0],
        });
    }
    if options.damping.is_nan() || options.damping < 0.0 {
        return Err(CurvatureError::Argument {
            name: "damping",
            value: options.damping,
            requirement: "it must not be negative",
        });
    }
    let mut bidiagonal = Bidiagonal::start(map, to_f64(b))?;
    let mut run = Run::new(&bidiagonal, columns);
    let ending = run.iterate(&mut bidiagonal, options, observer)?;
    Ok(LsmrResult {
        solution: from_f64(&run.x, &map.device(), map.dtype()),
        map_norm: run.map_norm_squared.sqrt(),
        condition: run.condition(),
        iterations: run.residual_norms.len() - 1,
        residual_norms: run.residual_norms,
        normal_residual_norms: run.normal_residual_norms,
        applications: bidiagonal.applications,
        ending,
    })
}

/// The process of Golub and Kahan: A v = β u, Aᵀ u = α v.
struct Bidiagonal<'a> {
    map: &'a dyn LinearMap,
    u: Vec<f64>,
    v: Vec<f64>,
    alpha: f64,
    beta: f64,
    applications: usize,
}

impl<'a> Bidiagonal<'a> {
    fn start(map: &'a dyn LinearMap, b: Vec<f64>) -> Result<Self, CurvatureError> {
        let mut start = Self {
            map,
            beta: norm(&b),
            u: b,
            v: vec![0.0; map.columns()],
            alpha: 0.0,
            applications: 0,
        };
        if start.beta > 0.0 {
            start.next_v()?;
        }
        Ok(start)
    }

    fn advance(&mut self) -> Result<(), CurvatureError> {
        self.applications += 1;
        let image = from_f64(&self.v, &self.map.device(), self.map.dtype());
        let image = to_f64(&self.map.apply(&image)?);
        for (u, image) in self.u.iter_mut().zip(image) {
            *u = image - self.alpha * *u;
        }
        self.beta = norm(&self.u);
        if self.beta > 0.0 {
            self.next_v()?;
        } else {
            self.alpha = 0.0;
        }
        Ok(())
    }

    /// Normalises u, and takes v a step on.
    fn next_v(&mut self) -> Result<(), CurvatureError> {
        self.applications += 1;
        self.u.iter_mut().for_each(|u| *u /= self.beta);
        let image = from_f64(&self.u, &self.map.device(), self.map.dtype());
        let image = to_f64(&self.map.apply_transposed(&image)?);
        for (v, image) in self.v.iter_mut().zip(image) {
            *v = image - self.beta * *v;
        }
        self.alpha = norm(&self.v);
        if self.alpha > 0.0 {
            self.v.iter_mut().for_each(|v| *v /= self.alpha);
        }
        Ok(())
    }
}

/// The rotation (c, s, r) with c a + s b = r, −s a + c b = 0.
fn rotation(a: f64, b: f64) -> (f64, f64, f64) {
    let r = a.hypot(b);
    match r > 0.0 {
        true => (a / r, b / r, r),
        false => (1.0, 0.0, 0.0),
    }
}

/// The recurrences, named as in the paper.
struct Run {
    x: Vec<f64>,
    h: Vec<f64>,
    h_bar: Vec<f64>,
    zeta_bar: f64,
    alpha_bar: f64,
    rho: f64,
    rho_bar: f64,
    c_bar: f64,
    s_bar: f64,
    beta_dd: f64,
    beta_d: f64,
    rho_d_before: f64,
    tau_before: f64,
    theta_tilde: f64,
    zeta: f64,
    d: f64,
    map_norm_squared: f64,
    largest_rho_bar: f64,
    smallest_rho_bar: f64,
    rho_pair: f64,
    b_norm: f64,
    residual_norms: Vec<f64>,
    normal_residual_norms: Vec<f64>,
}

impl Run {
    fn new(start: &Bidiagonal<'_>, columns: usize) -> Self {
        Self {
            x: vec![0.0; columns],
            h: start.v.clone(),
            h_bar: vec![0.0; columns],
            zeta_bar: start.alpha * start.beta,
            alpha_bar: start.alpha,
            rho: 1.0,
            rho_bar: 1.0,
            c_bar: 1.0,
            s_bar: 0.0,
            beta_dd: start.beta,
            beta_d: 0.0,
            rho_d_before: 1.0,
            tau_before: 0.0,
            theta_tilde: 0.0,
            zeta: 0.0,
            d: 0.0,
            map_norm_squared: start.alpha * start.alpha,
            largest_rho_bar: 0.0,
            smallest_rho_bar: f64::INFINITY,
            rho_pair: 0.0,
            b_norm: start.beta,
            residual_norms: vec![start.beta],
            normal_residual_norms: vec![start.alpha * start.beta],
        }
    }

    fn condition(&self) -> f64 {
        match self.rho_pair > 0.0 {
            true => {
                self.largest_rho_bar.max(self.rho_pair) / self.smallest_rho_bar.min(self.rho_pair)
            }
            false => 1.0,
        }
    }

    fn iterate(
        &mut self,
        bidiagonal: &mut Bidiagonal<'_>,
        options: &LsmrOptions,
        observer: &mut Observer<'_>,
    ) -> Result<LsmrEnding, CurvatureError> {
        let smaller = self.x.len().min(bidiagonal.u.len());
        let most = options.max_iterations.unwrap_or(2 * smaller);
        let normal = self.normal_residual_norms[0];
        if !normal.is_finite() {
            return Ok(LsmrEnding::NonFinite);
        }
        if normal == 0.0 {
            return Ok(LsmrEnding::Zero);
        }
        for iteration in 1..=most {
            bidiagonal.advance()?;
            if !(bidiagonal.alpha.is_finite() && bidiagonal.beta.is_finite()) {
                return Ok(LsmrEnding::NonFinite);
            }
            self.step(bidiagonal, options.damping, iteration);
            let residual_norm = self.residual_norms[iteration];
            let map_norm = self.map_norm_squared.sqrt();
            let relative = self.normal_residual_norms[iteration] / (map_norm * residual_norm);
            let flow = observer(&Progress {
                applications: bidiagonal.applications,
                most: Some(2 * most + 1),
                measure: Some(relative),
            });
            // a residual of zero divides into NaN, which is consistent below
            let allowed = options.residual_tolerance * self.b_norm
                + options.normal_tolerance * map_norm * norm(&self.x);
            if residual_norm <= allowed.max(f64::MIN_POSITIVE) {
                return Ok(LsmrEnding::Consistent);
            }
            if relative <= options.normal_tolerance.max(f64::EPSILON) {
                return Ok(LsmrEnding::LeastSquares);
            }
            if self.condition() >= options.condition_limit {
                return Ok(LsmrEnding::ConditionLimit);
            }
            if flow.is_break() {
                return Ok(LsmrEnding::Stopped);
            }
        }
        Ok(LsmrEnding::MaxIterations)
    }

    fn step(&mut self, bidiagonal: &Bidiagonal<'_>, damping: f64, iteration: usize) {
        let (alpha, beta) = (bidiagonal.alpha, bidiagonal.beta);
        let (c_hat, s_hat, alpha_hat) = rotation(self.alpha_bar, damping);
        let rho_before = self.rho;
        let (c, s, rho) = rotation(alpha_hat, beta);
        let theta = s * alpha;
        self.rho = rho;
        self.alpha_bar = c * alpha;
        let (rho_bar_before, zeta_before) = (self.rho_bar, self.zeta);
        let theta_bar = self.s_bar * rho;
        let rho_pair = self.c_bar * rho;
        let (c_bar, s_bar, rho_bar) = rotation(self.c_bar * rho, theta);
        (self.c_bar, self.s_bar, self.rho_bar) = (c_bar, s_bar, rho_bar);
        self.zeta = c_bar * self.zeta_bar;
        self.zeta_bar *= -s_bar;

        let back = theta_bar * rho / (rho_before * rho_bar_before);
        let (step, along) = (self.zeta / (rho * rho_bar), theta / rho);
        let vectors = self.x.iter_mut().zip(&bidiagonal.v);
        let directions = self.h.iter_mut().zip(&mut self.h_bar);
        for ((x, v), (h, h_bar)) in vectors.zip(directions) {
            *h_bar = *h - back * *h_bar;
            *x += step * *h_bar;
            *h = v - along * *h;
        }

        // ‖r̄‖ by the second set of rotations
        let (beta_acute, beta_check) = (c_hat * self.beta_dd, -s_hat * self.beta_dd);
        let beta_hat = c * beta_acute;
        self.beta_dd = -s * beta_acute;
        let theta_tilde_before = self.theta_tilde;
        let (c_tilde, s_tilde, rho_tilde) = rotation(self.rho_d_before, theta_bar);
        self.theta_tilde = s_tilde * rho_bar;
        self.rho_d_before = c_tilde * rho_bar;
        self.beta_d = -s_tilde * self.beta_d + c_tilde * beta_hat;
        self.tau_before = (zeta_before - theta_tilde_before * self.tau_before) / rho_tilde;
        let tau_d = (self.zeta - self.theta_tilde * self.tau_before) / self.rho_d_before;
        self.d += beta_check * beta_check;
        let open = (self.beta_d - tau_d).powi(2) + self.beta_dd.powi(2);
        self.residual_norms.push((self.d + open).sqrt());
        self.normal_residual_norms.push(self.zeta_bar.abs());

        // a column of the bidiagonal matrix, with λ below it
        self.map_norm_squared += alpha * alpha + beta * beta + damping * damping;
        self.largest_rho_bar = self.largest_rho_bar.max(rho_bar_before);
        if iteration > 1 {
            self.smallest_rho_bar = self.smallest_rho_bar.min(rho_bar_before);
        }
        self.rho_pair = rho_pair;
    }
}
