//! Conjugate gradients for H x = b, with negative curvature reported instead of divided by.

use std::ops::ControlFlow;

use burn::prelude::*;

use crate::{CurvatureError, LinearOperator, vector};

/// When conjugate gradients stop, and what preconditions them.
///
/// Converged means ‖b − Hx‖ ≤ max(`relative_tolerance` · ‖b‖, `absolute_tolerance`).
#[derive(Clone, Copy)]
pub struct CgOptions<'a> {
    /// Operator applications allowed at most; `None` allows as many as there are dimensions.
    pub max_iterations: Option<usize>,
    /// Residual allowed, relative to ‖b‖.
    pub relative_tolerance: f64,
    /// Residual allowed, as it is.
    pub absolute_tolerance: f64,
    /// Negative curvature is reported where pᵀHp ≤ `curvature_floor` · pᵀp; 0 takes the sign alone.
    ///
    /// In f32 a direction of the null space shows a Rayleigh quotient near 1e-7 ‖H‖ of either sign: a floor of that size
    /// keeps CG from dividing by noise.
    pub curvature_floor: f64,
    /// An approximation of H⁻¹, symmetric and positive definite, applied once per iteration.
    pub preconditioner: Option<&'a dyn LinearOperator>,
}

impl Default for CgOptions<'_> {
    /// As many iterations as dimensions, a relative tolerance of 1e-5, the sign alone, no preconditioner.
    fn default() -> Self {
        Self {
            max_iterations: None,
            relative_tolerance: 1e-5,
            absolute_tolerance: 0.0,
            curvature_floor: 0.0,
            preconditioner: None,
        }
    }
}

/// What conjugate gradients found, whatever ended them.
#[derive(Clone, Debug)]
pub struct CgResult {
    /// The last iterate x, flat; zeros when nothing was done.
    pub solution: Tensor<1>,
    /// b − Hx by the recurrence, so that xᵀHx = xᵀ(b − residual) costs no product.
    pub residual: Tensor<1>,
    /// ‖b − Hx‖ by the recurrence, before the first iteration and after each: `iterations + 1` numbers.
    pub residual_norms: Vec<f64>,
    /// Steps that were taken; applications of H are one more when negative curvature ended the solve.
    pub iterations: usize,
    /// Why it stopped.
    pub ending: CgEnding,
}

impl CgResult {
    /// ‖b − Hx‖ by the recurrence at the end.
    pub fn residual_norm(&self) -> f64 {
        self.residual_norms.last().copied().unwrap_or(0.0)
    }
}

/// Why conjugate gradients stopped: a fact about the problem, not an error.
#[expect(
    clippy::large_enum_variant,
    reason = "one is made per solve, next to whole vectors"
)]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CgEnding {
    /// The residual is within the tolerance.
    Converged,
    /// The allowed iterations are spent; the solution is the best of the Krylov space so far.
    MaxIterations,
    /// H curves downwards (or not at all) along a search direction; the solution is the iterate before it.
    NegativeCurvature {
        /// The search direction p with pᵀHp ≤ floor · pᵀp, not normalised.
        direction: Tensor<1>,
        /// pᵀHp / pᵀp.
        rayleigh: f64,
    },
    /// A product or a residual is NaN or infinite; the solution is the iterate before it.
    NonFinite,
    /// The preconditioner M is not positive definite: rᵀMr is not positive for a residual r that is not zero.
    IndefinitePreconditioner {
        /// rᵀMr.
        product: f64,
    },
    /// The observer asked to stop.
    Stopped,
}

/// What an observer of conjugate gradients sees after each iteration.
#[derive(Clone, Copy, Debug)]
pub struct CgProgress<'a> {
    /// Iterations done.
    pub iteration: usize,
    /// ‖b − Hx‖ by the recurrence.
    pub residual_norm: f64,
    /// pᵀHp / pᵀp of the direction just used.
    pub rayleigh: f64,
    /// The iterate x.
    pub solution: &'a Tensor<1>,
}

/// Solves H x = b by conjugate gradients from x = 0.
///
/// Scalars are f64 whatever the dtype of H; vectors have the dtype of H. The residual is the recurrence's: in f32 the true
/// one stops falling near 1e-7 κ(H) ‖b‖, however small the recurrence gets.
///
/// # Shapes
///
/// `b` and the solution are flat, `op.dim()` long.
///
/// # Cost
///
/// One operator application per iteration, and one more when negative curvature ends the solve.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] when `b` is not `op.dim()` long, and whatever the operator reports.
///
/// # References
///
/// M. R. Hestenes and E. Stiefel, Methods of conjugate gradients for solving linear systems, 1952; J. Nocedal and
/// S. J. Wright, Numerical Optimization, 2006, Algorithms 5.3 and 7.1.
pub fn conjugate_gradient(
    op: &dyn LinearOperator,
    b: &Tensor<1>,
    options: &CgOptions<'_>,
) -> Result<CgResult, CurvatureError> {
    conjugate_gradient_observed(op, b, options, &mut |_| ControlFlow::Continue(()))
}

/// As [`conjugate_gradient`], and calls `observer` after each iteration, which may stop the solve.
///
/// # Errors
///
/// As [`conjugate_gradient`].
pub fn conjugate_gradient_observed(
    op: &dyn LinearOperator,
    b: &Tensor<1>,
    options: &CgOptions<'_>,
    observer: &mut dyn FnMut(CgProgress<'_>) -> ControlFlow<()>,
) -> Result<CgResult, CurvatureError> {
    let dim = op.dim();
    if b.dims()[0] != dim {
        return Err(CurvatureError::Dimension {
            what: "the right-hand side",
            expected: dim,
            found: b.dims()[0],
        });
    }
    let b = b.clone().cast(op.dtype());
    let b_norm = vector::norm(&b);
    let tolerance = options
        .absolute_tolerance
        .max(options.relative_tolerance * b_norm);
    let mut state = CgResult {
        solution: b.zeros_like(),
        residual: b,
        residual_norms: vec![b_norm],
        iterations: 0,
        ending: CgEnding::MaxIterations,
    };
    if !b_norm.is_finite() {
        return Ok(state.ended(CgEnding::NonFinite));
    }
    if b_norm <= tolerance {
        return Ok(state.ended(CgEnding::Converged));
    }
    let mut z = precondition(options, &state.residual)?;
    let mut rz = vector::dot(&state.residual, &z);
    if rz <= 0.0 {
        return Ok(state.ended(CgEnding::IndefinitePreconditioner { product: rz }));
    }
    let mut direction = z;
    while state.iterations < options.max_iterations.unwrap_or(dim) {
        let product = op.apply(&direction)?;
        let curvature = vector::dot(&direction, &product);
        let rayleigh = curvature / vector::dot(&direction, &direction);
        if !rayleigh.is_finite() {
            return Ok(state.ended(CgEnding::NonFinite));
        }
        if rayleigh <= options.curvature_floor {
            return Ok(state.ended(CgEnding::NegativeCurvature {
                direction,
                rayleigh,
            }));
        }
        let alpha = rz / curvature;
        let residual = state.residual.clone() - product * alpha;
        let residual_norm = vector::norm(&residual);
        if !residual_norm.is_finite() {
            return Ok(state.ended(CgEnding::NonFinite));
        }
        state.solution = state.solution + direction.clone() * alpha;
        state.residual = residual;
        state.residual_norms.push(residual_norm);
        state.iterations += 1;
        let progress = CgProgress {
            iteration: state.iterations,
            residual_norm,
            rayleigh,
            solution: &state.solution,
        };
        let flow = observer(progress);
        if residual_norm <= tolerance {
            return Ok(state.ended(CgEnding::Converged));
        }
        if flow.is_break() {
            return Ok(state.ended(CgEnding::Stopped));
        }
        z = precondition(options, &state.residual)?;
        let rz_next = vector::dot(&state.residual, &z);
        if rz_next <= 0.0 {
            return Ok(state.ended(CgEnding::IndefinitePreconditioner { product: rz_next }));
        }
        direction = z + direction * (rz_next / rz);
        rz = rz_next;
    }
    Ok(state)
}

impl CgResult {
    fn ended(self, ending: CgEnding) -> Self {
        Self { ending, ..self }
    }
}

/// M r, or r itself without a preconditioner.
fn precondition(
    options: &CgOptions<'_>,
    residual: &Tensor<1>,
) -> Result<Tensor<1>, CurvatureError> {
    match options.preconditioner {
        Some(inverse) => Ok(inverse.apply(residual)?.cast(residual.dtype())),
        None => Ok(residual.clone()),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;

    use super::*;
    use crate::Definiteness;

    /// A dense symmetric matrix in f64, so that the algebra is tested without graphs.
    struct Dense {
        rows: Tensor<2>,
    }

    impl Dense {
        fn new<const N: usize>(rows: [[f64; N]; N]) -> Self {
            let options = (&Device::flex(), DType::F64);
            Self {
                rows: Tensor::from_data(rows, options),
            }
        }
    }

    impl LinearOperator for Dense {
        fn dim(&self) -> usize {
            self.rows.dims()[0]
        }
        fn device(&self) -> Device {
            self.rows.device()
        }
        fn dtype(&self) -> DType {
            self.rows.dtype()
        }
        fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
            let column = v.clone().reshape([self.dim(), 1]);
            Ok(self.rows.clone().matmul(column).reshape([self.dim()]))
        }
        fn definiteness(&self) -> Definiteness {
            Definiteness::Unknown
        }
    }

    fn vector64<const N: usize>(values: [f64; N]) -> Tensor<1> {
        Tensor::from_data(values, (&Device::flex(), DType::F64))
    }

    fn tight() -> CgOptions<'static> {
        CgOptions {
            relative_tolerance: 1e-12,
            ..CgOptions::default()
        }
    }

    #[test]
    fn solves_a_definite_system_in_as_many_iterations_as_dimensions() {
        let op = Dense::new([[4.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.0]]);
        let expected = [1.0, -2.0, 0.5];
        let b = op.apply(&vector64(expected)).unwrap();
        let result = conjugate_gradient(&op, &b, &tight()).unwrap();
        assert!(matches!(result.ending, CgEnding::Converged), "{result:?}");
        assert_eq!(result.iterations, 3);
        for (x, e) in vector::to_f64(&result.solution).iter().zip(expected) {
            assert!((x - e).abs() < 1e-12, "{x} {e}");
        }
    }

    #[test]
    fn clustered_eigenvalues_take_one_iteration_a_cluster() {
        let op = Dense::new([
            [5.0, 0.0, 0.0, 0.0],
            [0.0, 5.0, 0.0, 0.0],
            [0.0, 0.0, 5.0, 0.0],
            [0.0, 0.0, 0.0, 0.1],
        ]);
        let result = conjugate_gradient(&op, &vector64([1.0, 2.0, 3.0, 4.0]), &tight()).unwrap();
        assert_eq!(result.iterations, 2);
    }

    #[test]
    fn negative_curvature_is_returned_with_its_direction() {
        let op = Dense::new([[1.0, 0.0], [0.0, -2.0]]);
        let result = conjugate_gradient(&op, &vector64([1.0, 0.1]), &tight()).unwrap();
        let CgEnding::NegativeCurvature {
            direction,
            rayleigh,
        } = &result.ending
        else {
            panic!("{result:?}");
        };
        let product = op.apply(direction).unwrap();
        let again = vector::dot(direction, &product) / vector::dot(direction, direction);
        assert!(*rayleigh < 0.0);
        assert!((again - rayleigh).abs() < 1e-12);
        assert_eq!(result.iterations, 1);
    }

    #[test]
    fn the_recurrence_residual_gives_the_curvature_of_the_solution() {
        let op = Dense::new([[4.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.0]]);
        let options = CgOptions {
            max_iterations: Some(2),
            ..tight()
        };
        let b = vector64([1.0, 2.0, 3.0]);
        let result = conjugate_gradient(&op, &b, &options).unwrap();
        assert!(matches!(result.ending, CgEnding::MaxIterations));
        assert_eq!(result.residual_norms.len(), 3);
        let by_product = vector::dot(&result.solution, &op.apply(&result.solution).unwrap());
        let by_residual = vector::dot(&result.solution, &(b - result.residual.clone()));
        assert!((by_product - by_residual).abs() < 1e-12);
    }

    #[test]
    fn the_exact_inverse_as_preconditioner_needs_one_iteration() {
        let op = Dense::new([[100.0, 0.0], [0.0, 0.01]]);
        let inverse = Dense::new([[0.01, 0.0], [0.0, 100.0]]);
        let options = CgOptions {
            preconditioner: Some(&inverse),
            ..tight()
        };
        let result = conjugate_gradient(&op, &vector64([1.0, 1.0]), &options).unwrap();
        assert_eq!(result.iterations, 1);
        assert!(matches!(result.ending, CgEnding::Converged));
        let negative = Dense::new([[-1.0, 0.0], [0.0, -1.0]]);
        let options = CgOptions {
            preconditioner: Some(&negative),
            ..tight()
        };
        let result = conjugate_gradient(&op, &vector64([1.0, 1.0]), &options).unwrap();
        assert!(matches!(
            result.ending,
            CgEnding::IndefinitePreconditioner { product } if product < 0.0
        ));
    }

    #[test]
    fn zero_nan_and_wrong_dimension() {
        let op = Dense::new([[2.0, 0.0], [0.0, 1.0]]);
        let zero = conjugate_gradient(&op, &vector64([0.0, 0.0]), &tight()).unwrap();
        assert!(matches!(zero.ending, CgEnding::Converged));
        assert_eq!(zero.iterations, 0);
        let nan = conjugate_gradient(&op, &vector64([f64::NAN, 0.0]), &tight()).unwrap();
        assert!(matches!(nan.ending, CgEnding::NonFinite));
        let wrong = conjugate_gradient(&op, &vector64([1.0, 2.0, 3.0]), &tight());
        assert!(matches!(
            wrong,
            Err(CurvatureError::Dimension {
                expected: 2,
                found: 3,
                ..
            })
        ));
    }

    #[test]
    fn the_observer_sees_each_iteration_and_can_stop() {
        let op = Dense::new([[4.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.0]]);
        let mut seen = Vec::new();
        let result = conjugate_gradient_observed(
            &op,
            &vector64([1.0, 2.0, 3.0]),
            &tight(),
            &mut |progress| {
                seen.push(progress.iteration);
                match progress.iteration {
                    2 => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }
            },
        )
        .unwrap();
        assert_eq!(seen, [1, 2]);
        assert!(matches!(result.ending, CgEnding::Stopped));
        assert_eq!(result.residual_norms.len(), 3);
    }
}
