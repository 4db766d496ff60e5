use burn::tensor::DType;

use super::*;
use crate::{Definiteness, vector};

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
    let result =
        conjugate_gradient_observed(&op, &vector64([1.0, 2.0, 3.0]), &tight(), &mut |progress| {
            seen.push(progress.iteration);
            match progress.iteration {
                2 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        })
        .unwrap();
    assert_eq!(seen, [1, 2]);
    assert!(matches!(result.ending, CgEnding::Stopped));
    assert_eq!(result.residual_norms.len(), 3);
}
