use burn::tensor::DType;

use super::*;
use crate::test_operators::rows;
use crate::vector;

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
    let op = rows([[4.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.0]]);
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
    let op = rows([
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
    let op = rows([[1.0, 0.0], [0.0, -2.0]]);
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
    let op = rows([[4.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.0]]);
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
    let op = rows([[100.0, 0.0], [0.0, 0.01]]);
    let inverse = rows([[0.01, 0.0], [0.0, 100.0]]);
    let options = CgOptions {
        preconditioner: Some(&inverse),
        ..tight()
    };
    let result = conjugate_gradient(&op, &vector64([1.0, 1.0]), &options).unwrap();
    assert_eq!(result.iterations, 1);
    assert!(matches!(result.ending, CgEnding::Converged));
    let negative = rows([[-1.0, 0.0], [0.0, -1.0]]);
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
    let op = rows([[2.0, 0.0], [0.0, 1.0]]);
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
    let op = rows([[4.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.0]]);
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

/// A system of 60 dimensions with a condition number of 1e4.
fn stiff() -> (crate::DenseOperator, Tensor<1>) {
    let values: Vec<f64> = (0..60)
        .map(|i| 10.0_f64.powf(f64::from(i) / 14.75))
        .collect();
    let a = crate::test_operators::operator(&crate::test_operators::with_spectrum(&values, 1));
    let b = vector::standard_normal(60, &mut crate::Seed::new(1).rng());
    (a, vector::from_f64(&b, &Device::flex(), DType::F64))
}

fn model(a: &dyn LinearOperator, b: &Tensor<1>, x: &Tensor<1>) -> f64 {
    0.5 * vector::dot(x, &a.apply(x).unwrap()) - vector::dot(b, x)
}

#[test]
fn the_model_value_is_that_of_the_iterate_and_falls() {
    let (a, b) = stiff();
    for start in [None, Some(b.clone())] {
        let options = CgOptions {
            start: start.as_ref(),
            iterates: Iterates::Geometric { ratio: 1.0 },
            ..tight()
        };
        let result = conjugate_gradient(&a, &b, &options).unwrap();
        assert_eq!(result.iterates.len(), result.iterations);
        assert!(result.model_values.windows(2).all(|v| v[1] <= v[0]));
        for kept in &result.iterates {
            let expected = model(&a, &b, &kept.solution);
            assert!((kept.model_value - expected).abs() < 1e-9 * expected.abs().max(1.0));
            assert_eq!(kept.model_value, result.model_values[kept.iteration]);
        }
    }
}

#[test]
fn little_progress_ends_by_the_rule_of_martens() {
    let (a, b) = stiff();
    let options = CgOptions {
        stop: CgStop::MARTENS,
        relative_tolerance: 0.0,
        max_iterations: Some(1000),
        ..CgOptions::default()
    };
    let result = conjugate_gradient(&a, &b, &options).unwrap();
    let CgEnding::LittleProgress { progress, over } = result.ending else {
        panic!("{result:?}");
    };
    let values = &result.model_values;
    let rule = |i: usize| {
        let k = 10.max((0.1 * i as f64).ceil() as usize);
        i > k && values[i] < 0.0 && (values[i] - values[i - k]) / values[i] < k as f64 * 5e-4
    };
    // the rule holds at the last iteration, and at none before
    assert!(rule(result.iterations) && (0..result.iterations).all(|i| !rule(i)));
    assert!(over == 10.max(result.iterations.div_ceil(10)) && progress < over as f64 * 5e-4);
    let options = CgOptions {
        max_iterations: Some(1000),
        ..tight()
    };
    let whole = conjugate_gradient(&a, &b, &options).unwrap();
    assert!(result.iterations < whole.iterations);
}

#[test]
fn a_start_saves_iterations_and_costs_a_product() {
    let (a, b) = stiff();
    let options = CgOptions {
        max_iterations: Some(500),
        ..tight()
    };
    let whole = conjugate_gradient(&a, &b, &options).unwrap();
    let near = whole.solution.clone() * (1.0 + 1e-6);
    let options = CgOptions {
        start: Some(&near),
        ..options
    };
    let result = conjugate_gradient(&a, &b, &options).unwrap();
    assert!(matches!(result.ending, CgEnding::Converged));
    assert_eq!(result.applications, result.iterations + 1);
    assert!(result.iterations < whole.iterations);
    let options = CgOptions {
        start: Some(&whole.solution),
        relative_tolerance: 1e-10,
        ..options
    };
    assert_eq!(conjugate_gradient(&a, &b, &options).unwrap().iterations, 0);
}

#[test]
fn iterates_are_kept_on_a_geometric_grid() {
    let (a, b) = stiff();
    let options = CgOptions {
        max_iterations: Some(30),
        iterates: Iterates::Geometric { ratio: 1.3 },
        ..tight()
    };
    let result = conjugate_gradient(&a, &b, &options).unwrap();
    let kept: Vec<usize> = result.iterates.iter().map(|kept| kept.iteration).collect();
    // ⌈1.3ʲ⌉ below 30, and the last
    assert_eq!(kept, [1, 2, 3, 4, 5, 7, 9, 11, 14, 18, 24, 30]);
    for (kept, count) in result.iterates.iter().zip(kept) {
        let options = CgOptions {
            max_iterations: Some(count),
            ..tight()
        };
        let again = conjugate_gradient(&a, &b, &options).unwrap();
        assert_eq!(
            vector::to_f64(&again.solution),
            vector::to_f64(&kept.solution)
        );
    }
}

#[test]
fn many_solves_are_the_single_ones() {
    let (a, b) = stiff();
    let inverse = crate::Diagonal::new(vector64([0.5; 60]));
    // a null right-hand side ends at once, the others by themselves
    let rows = [
        b.clone(),
        b.zeros_like(),
        b.clone().powi_scalar(2),
        b.clone() * 1e-3,
    ];
    let block = Tensor::stack::<2>(rows.to_vec(), 0);
    let start = b.clone() * 0.1;
    for preconditioner in [None, Some(&inverse as &dyn LinearOperator)] {
        for start in [None, Some(&start)] {
            let counted = crate::test_operators::Counted::new(&a);
            let options = CgOptions {
                preconditioner,
                start,
                relative_tolerance: 1e-9,
                max_iterations: Some(300),
                ..CgOptions::default()
            };
            let results = conjugate_gradient_many(&counted, &block, &options).unwrap();
            assert_eq!(results.len(), 4);
            for (result, b) in results.iter().zip(&rows) {
                let single = conjugate_gradient(&a, b, &options).unwrap();
                assert!(result.iterations.abs_diff(single.iterations) <= 2);
                let apart = vector::norm(&(result.solution.clone() - single.solution.clone()));
                assert!(apart <= 1e-7 * vector::norm(&single.solution) + 1e-12);
            }
            let spent: usize = results.iter().map(|result| result.applications).sum();
            // the product with a start is shared
            let shared = if start.is_some() { 3 } else { 0 };
            assert_eq!(spent, counted.applications() + shared);
        }
    }
    let none = Tensor::<2>::zeros([0, 60], (&Device::flex(), DType::F64));
    assert!(
        conjugate_gradient_many(&a, &none, &tight())
            .unwrap()
            .is_empty()
    );
    assert!(conjugate_gradient_many(&a, &vector64([1.0, 2.0]).reshape([1, 2]), &tight()).is_err());
}

#[test]
fn f32_products_reach_the_residual_that_they_can() {
    let values: Vec<f64> = (1..=50).map(f64::from).collect();
    let matrix = crate::test_operators::with_spectrum(&values, 2);
    let a = matrix.operator(&Device::flex(), DType::F32);
    let numbers = vector::standard_normal(50, &mut crate::Seed::new(2).rng());
    let b = vector::from_f64(&numbers, &Device::flex(), DType::F32);
    let options = CgOptions {
        relative_tolerance: 1e-6,
        max_iterations: Some(200),
        ..CgOptions::default()
    };
    let result = conjugate_gradient(&a, &b, &options).unwrap();
    assert!(matches!(result.ending, CgEnding::Converged));
    let measured = crate::true_residual(&a, &result.solution, &b).unwrap() / vector::norm(&b);
    assert!(measured < 1e-5, "{measured}");
}

#[test]
fn no_dimensions_at_all() {
    let none = crate::Diagonal::new(vector64([]));
    let result = conjugate_gradient(&none, &vector64([]), &CgOptions::default()).unwrap();
    assert!(matches!(result.ending, CgEnding::Converged));
    assert_eq!(result.solution.dims(), [0]);
}
