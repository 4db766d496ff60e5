//! One call that says whether an operator can be trusted.

use crate::dense::{DENSE_LIMIT, dense_observed};
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use crate::point::Point;
use crate::progress::{Observer, Watch, unobserved};
use crate::rounding::rounding_unit;
use crate::row_blocks::{block_from_f64, block_to_f64};
use crate::seed::Seed;
use crate::solve::{CgEnding, CgOptions, CgProgress, conjugate_gradient_observed};
use crate::vector::{dot_f64, from_f64, standard_normal, to_f64};
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};
use std::fmt;

mod differences;
#[cfg(test)]
mod tests;

/// What [`verify`] spends, and how strict it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VerifyOptions {
    /// Pairs of random vectors.
    pub probes: usize,
    /// Rounding that is allowed for, in rounding units of the dtype relative to the size of the products.
    pub slack: f64,
    /// Operators up to this dimension are written out as a matrix and checked as a whole.
    pub dense_limit: usize,
    /// Products in search of negative curvature where the operator claims that there is none.
    pub curvature_steps: usize,
    /// Disagreement with central differences that is allowed, relative to the product: beside what the differences disagree by
    /// among themselves.
    pub difference_tolerance: f64,
}

impl Default for VerifyOptions {
    /// 3 pairs, 4096 rounding units (2e-4 in f32, 5e-13 in f64), matrices up to 64, 20 steps, differences to 1e-7.
    fn default() -> Self {
        Self {
            probes: 3,
            slack: 4096.0,
            dense_limit: 64,
            curvature_steps: 20,
            difference_tolerance: 1e-7,
        }
    }
}

/// What was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Property {
    /// Products hold no NaN and no infinity; measured: entries that do.
    Finite,
    /// The same product twice is the same; measured: ‖difference‖ / ‖Av‖.
    Repeatable,
    /// A(αu + βv) = αAu + βAv; measured: ‖difference‖ over the sizes of its parts.
    Linear,
    /// uᵀAv = vᵀAu; measured: √n |difference| / (‖u‖ ‖Av‖ + ‖v‖ ‖Au‖).
    Symmetric,
    /// `apply_block` gives what `apply` gives; measured: the largest ‖difference‖ / ‖Av‖ of a row.
    Block,
    /// No Rayleigh quotient is negative where the operator claims so; measured: the least, relative to the largest ‖Av‖ / ‖v‖.
    Definite,
    /// The whole matrix is symmetric; measured: ‖A − Aᵀ‖ / ‖A‖.
    DenseSymmetric,
    /// The whole matrix has no negative eigenvalue where the operator claims so; measured: the least, relative to the largest.
    DenseDefinite,
    /// Products are derivatives of the gradient; measured: ‖Av − central difference‖ / ‖Av‖.
    Derivative,
}

impl Property {
    fn describe(self) -> &'static str {
        match self {
            Self::Finite => "finite products",
            Self::Repeatable => "repeatability",
            Self::Linear => "linearity",
            Self::Symmetric => "symmetry",
            Self::Block => "block against single products",
            Self::Definite => "definiteness by Rayleigh quotients",
            Self::DenseSymmetric => "symmetry of the whole matrix",
            Self::DenseDefinite => "definiteness of the whole matrix",
            Self::Derivative => "central differences of the gradient",
        }
    }
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Within what is allowed.
    Passed,
    /// Beyond it.
    Failed,
    /// The measurement is too coarse to tell.
    Inconclusive,
}

/// One property with its measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What was checked.
    pub property: Property,
    /// The worst of all probes.
    pub measured: f64,
    /// What is allowed: at most this, or at least this for [`Property::Definite`] and [`Property::DenseDefinite`].
    pub allowed: f64,
    /// How it came out.
    pub outcome: Outcome,
}

impl Check {
    fn at_most(property: Property, measured: f64, allowed: f64) -> Self {
        // NaN fails
        let outcome = match measured <= allowed {
            true => Outcome::Passed,
            false => Outcome::Failed,
        };
        Self {
            property,
            measured,
            allowed,
            outcome,
        }
    }

    fn at_least(property: Property, measured: f64, allowed: f64) -> Self {
        let outcome = match measured >= allowed {
            true => Outcome::Passed,
            false => Outcome::Failed,
        };
        Self {
            property,
            measured,
            allowed,
            outcome,
        }
    }
}

/// The verdict on an operator, a line per check when it is displayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Dimension of the operator.
    pub dim: usize,
    /// Its dtype.
    pub dtype: String,
    /// The largest ‖Av‖ / ‖v‖ seen: the scale of the operator.
    pub scale: f64,
    /// All checks that apply.
    pub checks: Vec<Check>,
    /// Operator applications (gradients are not among them).
    pub applications: usize,
    /// Whether an observer stopped it: checks that were not finished are not among the checks.
    #[serde(default)]
    pub stopped: bool,
}

impl Verification {
    /// Whether no check failed.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        let failed = |check: &&Check| check.outcome == Outcome::Failed;
        self.checks.iter().filter(failed)
    }

    /// The check of a property, where it applies.
    pub fn check(&self, property: Property) -> Option<&Check> {
        self.checks.iter().find(|check| check.property == property)
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.failures().count() {
            0 => "can be trusted as far as checked".to_owned(),
            count => format!("FAILED {count} of {} checks", self.checks.len()),
        };
        let stopped = if self.stopped { ", stopped" } else { "" };
        writeln!(
            f,
            "operator of dimension {} in {}, scale {:.3e}, {} products{stopped}: {verdict}",
            self.dim, self.dtype, self.scale, self.applications
        )?;
        for check in &self.checks {
            let sign = match check.property {
                Property::Definite | Property::DenseDefinite => ">=",
                _ => "<=",
            };
            let outcome = match check.outcome {
                Outcome::Passed => "pass",
                Outcome::Failed => "FAIL",
                Outcome::Inconclusive => "too coarse to tell",
            };
            writeln!(
                f,
                "  {:<36} measured {:>10.2e}, allowed {sign} {:>9.2e}: {outcome}",
                check.property.describe(),
                check.measured,
                check.allowed
            )?;
        }
        Ok(())
    }
}

/// Checks that an operator is finite, repeatable, linear, symmetric, the same in blocks, and as definite as it claims.
///
/// Tolerances are `slack` rounding units of the operator's dtype, relative to the size of its products; each is in the verdict.
/// Small operators are also written out and checked as a whole.
///
/// # Cost
///
/// About 6 products per pair of probes, a block of one more than the operator's block size (fewer for long vectors), `curvature_steps` where the
/// operator claims to be definite, and n where n ≤ `dense_limit`.
///
/// # Errors
///
/// What the operator reports, [`CurvatureError::Decomposition`] if faer does not converge. A failed check is no error.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::Diagonal;
/// use ravine_curvature::{Seed, VerifyOptions, vector, verify};
///
/// let a = Diagonal::new(vector::from_f64(&[1.0, 2.0, 3.0], &Device::flex(), DType::F64));
/// let verdict = verify(&a, &VerifyOptions::default(), Seed::new(0))?;
/// assert!(verdict.passed(), "{verdict}");
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub fn verify(
    operator: &dyn LinearOperator,
    options: &VerifyOptions,
    seed: Seed,
) -> Result<Verification, CurvatureError> {
    verify_observed(operator, options, seed, &mut unobserved)
}

/// As [`verify`], and calls `observer` every few products.
///
/// When it stops, the checks that were finished come back, those over random vectors with the pairs so far.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_observed(
    operator: &dyn LinearOperator,
    options: &VerifyOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<Verification, CurvatureError> {
    let mut watch = Watch::new(observer, most(operator, options));
    checked(operator, options, seed, &mut watch)
}

fn checked(
    operator: &dyn LinearOperator,
    options: &VerifyOptions,
    seed: Seed,
    watch: &mut Watch<'_, '_>,
) -> Result<Verification, CurvatureError> {
    let span = tracing::debug_span!("verify", dim = operator.dim());
    let _entered = span.enter();
    let mut run = Run {
        operator,
        options,
        seed: seed.stream("verify"),
        tolerance: options.slack * rounding_unit(operator.dtype()),
        scale: 0.0,
        watch,
        checks: Vec::new(),
    };
    run.checks()?;
    Ok(Verification {
        dim: operator.dim(),
        dtype: format!("{:?}", operator.dtype()),
        scale: run.scale,
        checks: run.checks,
        applications: run.watch.applications,
        stopped: run.watch.stopped,
    })
}

/// Most products of [`verify`].
fn most(operator: &dyn LinearOperator, options: &VerifyOptions) -> usize {
    let (dim, pairs) = (operator.dim(), options.probes.max(1));
    let curvature = match operator.definiteness() {
        Definiteness::Unknown => 0,
        _ => pairs + options.curvature_steps,
    };
    let whole = if dim <= options.dense_limit { dim } else { 0 };
    4 * pairs + 2 * block_rows(operator) + curvature + whole
}

/// One more than the operator likes, so that a block has to be cut where it is.
fn block_rows(operator: &dyn LinearOperator) -> usize {
    const NUMBERS: usize = 1 << 25;
    let fit = (NUMBERS / operator.dim().max(1)).max(2);
    (operator.block_size() + 1).clamp(2, fit.min(65))
}

/// As [`verify`] for an operator that claims to be the derivative of a gradient, compared with its central differences.
///
/// The differences are of fourth order, along random directions, at steps that are halved from u^⅕ times the size of θ: the pair of
/// steps that agree best decides, and what they disagree by, at least the rounding of θ and gradient over the step, is allowed for. Where
/// that is more than 5e-3 of the product, the check is [`Outcome::Inconclusive`]: the gradient has kinks or is too noisy.
///
/// # Cost
///
/// As [`verify`], and 24 gradients.
///
/// # Errors
///
/// As [`verify`], what the gradient reports.
pub fn verify_derivative(
    operator: &dyn LinearOperator,
    theta: &Tensor<1>,
    gradient: &mut dyn FnMut(&Tensor<1>) -> Result<Tensor<1>, CurvatureError>,
    options: &VerifyOptions,
    seed: Seed,
) -> Result<Verification, CurvatureError> {
    verify_derivative_observed(operator, theta, gradient, options, seed, &mut unobserved)
}

/// As [`verify_derivative`], and calls `observer` every few products: before the differences, but not among their gradients.
///
/// # Errors
///
/// As [`verify_derivative`].
pub fn verify_derivative_observed(
    operator: &dyn LinearOperator,
    theta: &Tensor<1>,
    gradient: &mut dyn FnMut(&Tensor<1>) -> Result<Tensor<1>, CurvatureError>,
    options: &VerifyOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<Verification, CurvatureError> {
    if theta.dims()[0] != operator.dim() {
        return Err(CurvatureError::Dimension {
            what: "theta",
            expected: operator.dim(),
            found: theta.dims()[0],
        });
    }
    let mut watch = Watch::new(observer, most(operator, options) + 1);
    let mut verification = checked(operator, options, seed, &mut watch)?;
    if verification.stopped {
        return Ok(verification);
    }
    let (check, products) = differences::check(operator, theta, gradient, options, seed)?;
    verification.applications += products;
    verification.checks.extend(check);
    Ok(verification)
}

/// As [`verify_derivative`] for the Hessian of a point, whose parameters are moved and whose gradient is taken there.
///
/// # Errors
///
/// As [`verify_derivative`].
///
/// ```
/// use burn::nn::{Initializer, Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::{Objective, Seed, VerifyOptions, verify_hessian};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 1).with_initializer(Initializer::Constant { value: 0.3 }).init(&device);
/// let objective = Objective::of_loss(|model: &Linear, x: &Tensor<2>| model.forward(x.clone()).tanh().mean());
/// let point = objective.at(&model, &Tensor::<2>::ones([5, 3], &device))?;
/// let verdict = verify_hessian(&point, &VerifyOptions::default(), Seed::new(0))?;
/// assert!(verdict.passed(), "{verdict}");
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub fn verify_hessian(
    point: &Point,
    options: &VerifyOptions,
    seed: Seed,
) -> Result<Verification, CurvatureError> {
    verify_hessian_observed(point, options, seed, &mut unobserved)
}

/// As [`verify_hessian`], and calls `observer` as [`verify_derivative_observed`] does.
///
/// # Errors
///
/// As [`verify_hessian`].
pub fn verify_hessian_observed(
    point: &Point,
    options: &VerifyOptions,
    seed: Seed,
    observer: &mut Observer<'_>,
) -> Result<Verification, CurvatureError> {
    let mut gradient = |theta: &Tensor<1>| point.move_to(theta.clone())?.gradient();
    verify_derivative_observed(
        &point.hessian(),
        point.theta(),
        &mut gradient,
        options,
        seed,
        observer,
    )
}

struct Run<'a, 'b, 'c> {
    operator: &'a dyn LinearOperator,
    options: &'a VerifyOptions,
    seed: Seed,
    tolerance: f64,
    scale: f64,
    watch: &'a mut Watch<'b, 'c>,
    checks: Vec<Check>,
}

fn norm(v: &[f64]) -> f64 {
    dot_f64(v, v).sqrt()
}

/// a / b, and 0 where both are 0.
fn ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 { 0.0 } else { a / b }
}

/// The larger of two measurements; NaN wins.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

fn difference(a: &[f64], b: &[f64]) -> f64 {
    let squares: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    squares.sqrt()
}

impl Run<'_, '_, '_> {
    /// All checks, or those before the observer stopped.
    fn checks(&mut self) -> Result<(), CurvatureError> {
        self.single_products()?;
        self.block()?;
        let finite = self
            .checks
            .iter()
            .all(|check| check.property != Property::Finite || check.outcome == Outcome::Passed);
        if finite && self.operator.dim() > 0 {
            self.curvature()?;
            self.whole_matrix()?;
        }
        Ok(())
    }

    fn apply(&self, v: &[f64]) -> Result<Vec<f64>, CurvatureError> {
        let v = from_f64(v, &self.operator.device(), self.operator.dtype());
        Ok(to_f64(&self.operator.apply(&v)?))
    }

    /// Random numbers as the dtype holds them.
    fn probe(&self, index: u64) -> Vec<f64> {
        let mut rng = self.seed.stream("probes").index(index).rng();
        let v = standard_normal(self.operator.dim(), &mut rng);
        to_f64(&from_f64(
            &v,
            &self.operator.device(),
            self.operator.dtype(),
        ))
    }

    fn single_products(&mut self) -> Result<(), CurvatureError> {
        let (mut infinite, mut repeat, mut linear, mut symmetric) = (0, 0.0, 0.0, 0.0);
        // sizes of different order show what is not linear
        let weights = [(2.0, -0.5), (1e-2, 3.0), (-7.0, 40.0)];
        let root = (self.operator.dim() as f64).sqrt();
        for pair in 0..self.options.probes.max(1) {
            let (u, v) = (self.probe(2 * pair as u64), self.probe(2 * pair as u64 + 1));
            let (alpha, beta) = weights[pair % weights.len()];
            let sum: Vec<f64> = u
                .iter()
                .zip(&v)
                .map(|(u, v)| alpha * u + beta * v)
                .collect();
            let (au, av, of_sum) = (self.apply(&u)?, self.apply(&v)?, self.apply(&sum)?);
            let again = self.apply(&u)?;
            let all = au.iter().chain(&av).chain(&of_sum);
            infinite += all.filter(|x| !x.is_finite()).count();
            let (au_norm, av_norm) = (norm(&au), norm(&av));
            self.scale = self
                .scale
                .max(ratio(au_norm, norm(&u)))
                .max(ratio(av_norm, norm(&v)));
            repeat = worse(ratio(difference(&au, &again), au_norm), repeat);
            let expected: Vec<f64> = au
                .iter()
                .zip(&av)
                .map(|(u, v)| alpha * u + beta * v)
                .collect();
            let size = alpha.abs() * au_norm + beta.abs() * av_norm;
            linear = worse(ratio(difference(&of_sum, &expected), size), linear);
            let size = norm(&u) * av_norm + norm(&v) * au_norm;
            let crossed = (dot_f64(&u, &av) - dot_f64(&v, &au)).abs();
            symmetric = worse(ratio(root * crossed, size), symmetric);
            if self.watch.tell(4).is_break() {
                break;
            }
        }
        let tolerance = self.tolerance;
        self.checks.extend([
            Check::at_most(Property::Finite, infinite as f64, 0.0),
            Check::at_most(Property::Repeatable, repeat, tolerance),
            Check::at_most(Property::Linear, linear, tolerance),
            Check::at_most(Property::Symmetric, symmetric, tolerance),
        ]);
        Ok(())
    }

    fn block(&mut self) -> Result<(), CurvatureError> {
        if self.watch.stopped {
            return Ok(());
        }
        let (dim, count) = (self.operator.dim(), block_rows(self.operator));
        let rows: Vec<Vec<f64>> = (0..count)
            .map(|row| self.probe(1000 + row as u64))
            .collect();
        let (device, dtype) = (self.operator.device(), self.operator.dtype());
        let block = block_from_f64(rows.concat(), [count, dim], &device, dtype);
        let products = self.operator.apply_block(&block)?;
        if self.watch.tell(count).is_break() {
            return Ok(());
        }
        let mut worst = match products.dims() == [count, dim] {
            true => 0.0,
            false => f64::INFINITY,
        };
        if worst == 0.0 {
            let products = block_to_f64(&products);
            for (row, v) in rows.iter().enumerate() {
                let single = self.apply(v)?;
                let apart = difference(&single, &products[row * dim..(row + 1) * dim]);
                worst = worse(ratio(apart, norm(&single)), worst);
                if self.watch.tell(1).is_break() && row + 1 < count {
                    return Ok(());
                }
            }
        }
        self.checks
            .push(Check::at_most(Property::Block, worst, self.tolerance));
        Ok(())
    }

    /// Rayleigh quotients of probes, and of the search directions of conjugate gradients, which seek out what is negative.
    fn curvature(&mut self) -> Result<(), CurvatureError> {
        if self.watch.stopped || self.operator.definiteness() == Definiteness::Unknown {
            return Ok(());
        }
        let mut least = f64::INFINITY;
        for pair in 0..self.options.probes.max(1) {
            let v = self.probe(2 * pair as u64);
            let product = self.apply(&v)?;
            least = least.min(dot_f64(&v, &product) / dot_f64(&v, &v));
            if self.watch.tell(1).is_break() {
                return Ok(());
            }
        }
        let allowed = -self.tolerance;
        let b = self.probe(1);
        let options = CgOptions {
            max_iterations: Some(self.options.curvature_steps),
            relative_tolerance: 0.0,
            curvature_floor: allowed * self.scale,
            ..CgOptions::default()
        };
        let b = from_f64(&b, &self.operator.device(), self.operator.dtype());
        let before = self.watch.applications;
        let mut told = |_: CgProgress<'_>| self.watch.tell(1);
        let solve = conjugate_gradient_observed(self.operator, &b, &options, &mut told)?;
        self.watch.applications = before + solve.applications;
        if matches!(solve.ending, CgEnding::Stopped) {
            return Ok(());
        }
        if let CgEnding::NegativeCurvature { rayleigh, .. } = solve.ending {
            least = least.min(rayleigh);
        }
        let measured = ratio(least, self.scale);
        self.checks
            .push(Check::at_least(Property::Definite, measured, allowed));
        Ok(())
    }

    fn whole_matrix(&mut self) -> Result<(), CurvatureError> {
        let dim = self.operator.dim();
        if self.watch.stopped || dim > self.options.dense_limit {
            return Ok(());
        }
        let matrix = match dense_observed(self.operator, DENSE_LIMIT, &mut self.watch.part()) {
            Ok(Some(matrix)) => matrix,
            Ok(None) => return Ok(()),
            // of unit vectors alone; the verdict says so
            Err(CurvatureError::NonFinite { .. }) => {
                self.checks.push(Check::at_most(
                    Property::DenseSymmetric,
                    f64::NAN,
                    self.tolerance,
                ));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let asymmetry = matrix.asymmetry();
        self.checks.push(Check::at_most(
            Property::DenseSymmetric,
            asymmetry,
            self.tolerance,
        ));
        if self.operator.definiteness() == Definiteness::Unknown {
            return Ok(());
        }
        let values = matrix.eigenvalues()?;
        let largest = values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        self.checks.push(Check::at_least(
            Property::DenseDefinite,
            ratio(values[0], largest),
            -self.tolerance,
        ));
        Ok(())
    }
}
