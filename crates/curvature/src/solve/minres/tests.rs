use super::*;
use crate::dense::DenseSymmetric;
use crate::operators::Diagonal;
use crate::seed::Seed;
use crate::solve::{CgOptions, conjugate_gradient, true_residual};
use crate::test_operators::{Counted, diagonal, operator, with_spectrum};
use crate::vector::{from_f64, standard_normal, to_f64};
use burn::prelude::Device;
use burn::tensor::DType;
use faer::Mat;
use std::ops::ControlFlow;

fn tensor(values: &[f64]) -> Tensor<1> {
    from_f64(values, &Device::flex(), DType::F64)
}

fn random(n: usize, seed: u64) -> Vec<f64> {
    standard_normal(n, &mut Seed::new(seed).stream("b").rng())
}

fn tight() -> MinresOptions<'static> {
    MinresOptions {
        relative_tolerance: 1e-12,
        ..MinresOptions::default()
    }
}

/// A⁺ b by the eigenvalues.
fn pseudo_solution(matrix: &DenseSymmetric, b: &[f64]) -> Vec<f64> {
    let eigen = matrix.eigen().unwrap();
    let largest = eigen.values().iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    eigen.apply_function(
        |v| {
            if v.abs() > 1e-11 * largest {
                1.0 / v
            } else {
                0.0
            }
        },
        b,
    )
}

fn distance(x: &Tensor<1>, expected: &[f64]) -> f64 {
    let x = to_f64(x);
    let difference: f64 = x.iter().zip(expected).map(|(a, b)| (a - b).powi(2)).sum();
    difference.sqrt() / norm(expected)
}

fn image(matrix: &DenseSymmetric, x: &[f64]) -> Vec<f64> {
    let x = Mat::from_fn(x.len(), 1, |i, _| x[i]);
    let product = matrix.matrix() * x;
    (0..product.nrows()).map(|i| product[(i, 0)]).collect()
}

fn indefinite(n: usize) -> Vec<f64> {
    (0..n)
        .map(|i| {
            if i % 3 == 0 {
                -1.0 - i as f64
            } else {
                0.5 + i as f64
            }
        })
        .collect()
}

#[test]
fn solves_definite_and_indefinite_systems() {
    for seed in 0..5 {
        let definite: Vec<f64> = (1..=40).map(f64::from).collect();
        for values in [definite, indefinite(40), vec![-3.0; 4]] {
            let matrix = with_spectrum(&values, seed);
            let b = random(values.len(), seed);
            let a = operator(&matrix);
            let counted = Counted::new(&a);
            let solve = minres(&counted, &tensor(&b), &tight()).unwrap();
            assert!(
                matches!(solve.ending, MinresEnding::Converged),
                "{:?}",
                solve.ending
            );
            assert!(distance(&solve.solution, &pseudo_solution(&matrix, &b)) < 1e-9);
            assert_eq!(solve.applications, counted.applications());
            let norms = &solve.residual_norms;
            assert!(norms.windows(2).all(|pair| pair[1] <= pair[0]), "{norms:?}");
            let measured = true_residual(&a, &solve.solution, &tensor(&b)).unwrap();
            assert!((measured - solve.residual_norm()).abs() < 1e-11 * norm(&b));
        }
    }
}

/// The least residual over the Krylov space of k dimensions, by a basis that is kept orthonormal.
fn krylov_minimum(matrix: &DenseSymmetric, b: &[f64], k: usize) -> f64 {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let mut v = b.to_vec();
    for _ in 0..k {
        for _ in 0..2 {
            for other in &basis {
                let overlap = dot_f64(other, &v);
                axpy(&mut v, -overlap, other);
            }
        }
        let length = norm(&v);
        v.iter_mut().for_each(|v| *v /= length);
        basis.push(v.clone());
        v = image(matrix, &v);
    }
    let images: Vec<Vec<f64>> = basis.iter().map(|v| image(matrix, v)).collect();
    let q = Mat::from_fn(b.len(), k, |i, j| images[j][i])
        .qr()
        .compute_thin_Q();
    let mut rest = b.to_vec();
    for j in 0..k {
        let column: Vec<f64> = q.col(j).iter().copied().collect();
        let overlap = dot_f64(&column, &rest);
        axpy(&mut rest, -overlap, &column);
    }
    norm(&rest)
}

#[test]
fn each_iterate_has_the_least_residual_of_its_krylov_space() {
    let matrix = with_spectrum(&indefinite(12), 3);
    let (a, b) = (operator(&matrix), random(12, 3));
    for k in 1..=10 {
        let options = MinresOptions {
            max_iterations: Some(k),
            ..tight()
        };
        let solve = minres(&a, &tensor(&b), &options).unwrap();
        let expected = krylov_minimum(&matrix, &b, k);
        assert!(
            (solve.residual_norm() - expected).abs() < 1e-11 * norm(&b),
            "{k}"
        );
        let measured = true_residual(&a, &solve.solution, &tensor(&b)).unwrap();
        assert!(
            (measured - expected).abs() < 1e-11 * norm(&b),
            "{k}: {measured} {expected}"
        );
        let own = norm(&to_f64(&solve.residual));
        assert!((own - expected).abs() < 1e-11 * norm(&b));
    }
}

#[test]
fn a_zero_pivot_in_between_does_no_harm() {
    // T₁ = 0 is singular, T₂ is not
    let exchange =
        DenseSymmetric::from_matrix(Mat::from_fn(2, 2, |i, j| if i == j { 0.0 } else { 1.0 }));
    let solve = minres(&operator(&exchange), &tensor(&[1.0, 0.0]), &tight()).unwrap();
    assert!(
        distance(&solve.solution, &[0.0, 1.0]) < 1e-14,
        "{:?}",
        to_f64(&solve.solution)
    );
}

#[test]
fn singular_systems_have_the_shortest_solution() {
    for seed in 0..8 {
        let mut values = indefinite(25);
        values[..6].fill(0.0);
        let matrix = with_spectrum(&values, seed);
        let a = operator(&matrix);
        let inconsistent = random(25, seed);
        let consistent = image(&matrix, &inconsistent);
        let solve = minres(&a, &tensor(&consistent), &tight()).unwrap();
        assert!(
            matches!(solve.ending, MinresEnding::Converged),
            "{:?}",
            solve.ending
        );
        assert!(distance(&solve.solution, &pseudo_solution(&matrix, &consistent)) < 1e-9);

        let solve = minres(&a, &tensor(&inconsistent), &tight()).unwrap();
        assert!(
            matches!(solve.ending, MinresEnding::LeastSquares),
            "{seed} {:?}",
            solve.ending
        );
        let error = distance(&solve.solution, &pseudo_solution(&matrix, &inconsistent));
        assert!(error < 1e-6, "{seed} {error}");
        // the residual is the part of b in the null space
        let outside = norm(&image(&matrix, &to_f64(&solve.residual)));
        assert!(outside < 1e-6 * norm(&inconsistent), "{outside}");
        assert!(norm(&inconsistent) > solve.residual_norm() && solve.residual_norm() > 0.1);
    }
}

#[test]
fn a_right_hand_side_in_the_null_space_gives_zero() {
    let solve = minres(&diagonal(&[1.0, 0.0]), &tensor(&[0.0, 2.0]), &tight()).unwrap();
    assert!(matches!(solve.ending, MinresEnding::LeastSquares));
    assert_eq!(to_f64(&solve.solution), [0.0, 0.0]);
    let zero = minres(
        &diagonal(&[0.0, 0.0, 0.0]),
        &tensor(&[1.0, 2.0, 3.0]),
        &tight(),
    )
    .unwrap();
    assert!(matches!(zero.ending, MinresEnding::LeastSquares));
    assert_eq!(to_f64(&zero.solution), [0.0; 3]);
}

#[test]
fn a_condition_number_of_1e12() {
    for seed in 0..4 {
        let values: Vec<f64> = (0..30)
            .map(|i| 10.0_f64.powf(-12.0 * f64::from(i) / 29.0))
            .collect();
        let signed: Vec<f64> = values
            .iter()
            .enumerate()
            .map(|(i, v)| if i % 2 == 0 { *v } else { -v })
            .collect();
        for values in [values, signed] {
            let matrix = with_spectrum(&values, seed);
            let a = operator(&matrix);
            let b = image(&matrix, &random(30, seed));
            let options = MinresOptions {
                relative_tolerance: 1e-10,
                normal_tolerance: Some(1e-15),
                max_iterations: Some(2000),
                ..MinresOptions::default()
            };
            let solve = minres(&a, &tensor(&b), &options).unwrap();
            assert!(
                matches!(solve.ending, MinresEnding::Converged),
                "{:?}",
                solve.ending
            );
            let measured = true_residual(&a, &solve.solution, &tensor(&b)).unwrap() / norm(&b);
            assert!(measured < 2e-10, "{measured}");
        }
    }
}

#[test]
fn negative_curvature_is_found_at_the_first_residual_that_has_it() {
    for seed in 0..6 {
        let mut values: Vec<f64> = (1..=20).map(f64::from).collect();
        values[0] = -0.5;
        let matrix = with_spectrum(&values, seed);
        let (a, b) = (operator(&matrix), random(20, seed));
        let options = MinresOptions {
            curvature: MinresCurvature::Report { floor: 0.0 },
            ..tight()
        };
        let solve = minres(&a, &tensor(&b), &options).unwrap();
        let MinresEnding::NegativeCurvature {
            direction,
            rayleigh,
        } = &solve.ending
        else {
            panic!("{:?}", solve.ending);
        };
        let d = to_f64(direction);
        let expected = dot_f64(&d, &image(&matrix, &d)) / dot_f64(&d, &d);
        assert!(
            *rayleigh <= 0.0 && (rayleigh - expected).abs() < 1e-10,
            "{rayleigh} {expected}"
        );
        // it is the residual of the solution, and those before it curve upwards
        assert!(distance(&solve.residual, &d) < 1e-14);
        for k in 0..solve.iterations {
            let options = MinresOptions {
                max_iterations: Some(k),
                ..tight()
            };
            let r = to_f64(&minres(&a, &tensor(&b), &options).unwrap().residual);
            assert!(dot_f64(&r, &image(&matrix, &r)) > 0.0);
        }
    }
    // and a definite matrix has none
    let definite = with_spectrum(&[1.0, 2.0, 3.0], 1);
    let options = MinresOptions {
        curvature: MinresCurvature::Report { floor: 0.0 },
        ..tight()
    };
    let solve = minres(&operator(&definite), &tensor(&[1.0, 2.0, 3.0]), &options).unwrap();
    assert!(matches!(solve.ending, MinresEnding::Converged));
}

#[test]
fn the_rule_of_newton_mr_ends_early() {
    let values: Vec<f64> = (1..=50).map(|i| f64::from(i * i)).collect();
    let matrix = with_spectrum(&values, 2);
    let (a, b) = (operator(&matrix), random(50, 2));
    let options = MinresOptions {
        subproblem_tolerance: Some(0.5),
        ..tight()
    };
    let solve = minres(&a, &tensor(&b), &options).unwrap();
    assert!(matches!(solve.ending, MinresEnding::Subproblem));
    let of = |v: &Tensor<1>| norm(&image(&matrix, &to_f64(v)));
    assert!(of(&solve.residual) <= 0.5 * of(&solve.solution) * (1.0 + 1e-9));
    assert!((of(&solve.residual) - solve.normal_residual_norm).abs() < 1e-8 * of(&solve.residual));
    let whole = minres(&a, &tensor(&b), &tight()).unwrap();
    assert!(
        solve.iterations + 10 < whole.iterations,
        "{} {}",
        solve.iterations,
        whole.iterations
    );
}

#[test]
fn a_preconditioner_saves_iterations_and_keeps_the_solution() {
    let values: Vec<f64> = (0..60)
        .map(|i| 10.0_f64.powf(f64::from(i) / 15.0))
        .collect();
    // a diagonal plus a small rotation: the diagonal is a good preconditioner
    let small = with_spectrum(
        &vec![0.3; 59].into_iter().chain([-0.3]).collect::<Vec<_>>(),
        1,
    );
    let matrix = Mat::from_fn(60, 60, |i, j| {
        small.matrix()[(i, j)] + if i == j { values[i] } else { 0.0 }
    });
    let matrix = DenseSymmetric::from_matrix(matrix);
    let (a, b) = (operator(&matrix), random(60, 1));
    let inverse = Diagonal::new(tensor(&matrix.diagonal())).inverse().unwrap();
    let plain = minres(&a, &tensor(&b), &tight()).unwrap();
    let options = MinresOptions {
        preconditioner: Some(&inverse),
        ..tight()
    };
    let solve = minres(&a, &tensor(&b), &options).unwrap();
    assert!(matches!(solve.ending, MinresEnding::Converged));
    assert!(
        3 * solve.iterations < plain.iterations,
        "{} {}",
        solve.iterations,
        plain.iterations
    );
    assert!(distance(&solve.solution, &pseudo_solution(&matrix, &b)) < 1e-9);
    let measured = true_residual(&a, &solve.solution, &tensor(&b)).unwrap();
    assert!((measured - solve.residual_norm()).abs() < 1e-11 * norm(&b));
    let negative = Diagonal::new(tensor(&vec![-1.0; 60]));
    let options = MinresOptions {
        preconditioner: Some(&negative),
        ..tight()
    };
    let solve = minres(&a, &tensor(&b), &options).unwrap();
    assert!(
        matches!(solve.ending, MinresEnding::IndefinitePreconditioner { product } if product < 0.0)
    );
}

#[test]
fn preconditioned_curvature_is_that_of_its_direction() {
    let matrix = with_spectrum(&indefinite(20), 4);
    let (a, b) = (operator(&matrix), random(20, 4));
    let weights: Vec<f64> = (1..=20).map(|i| 1.0 / f64::from(i)).collect();
    let inverse = Diagonal::new(tensor(&weights));
    let options = MinresOptions {
        preconditioner: Some(&inverse),
        curvature: MinresCurvature::Report { floor: 0.0 },
        ..tight()
    };
    let solve = minres(&a, &tensor(&b), &options).unwrap();
    let MinresEnding::NegativeCurvature {
        direction,
        rayleigh,
    } = &solve.ending
    else {
        panic!("{:?}", solve.ending);
    };
    let d = to_f64(direction);
    let expected = dot_f64(&d, &image(&matrix, &d)) / dot_f64(&d, &d);
    assert!((rayleigh - expected).abs() < 1e-9, "{rayleigh} {expected}");
}

#[test]
fn a_start_is_corrected() {
    let matrix = with_spectrum(&indefinite(20), 5);
    let (a, b) = (operator(&matrix), random(20, 5));
    let exact = pseudo_solution(&matrix, &b);
    let near: Vec<f64> = exact.iter().map(|x| x + 1e-6).collect();
    let near = tensor(&near);
    let options = MinresOptions {
        start: Some(&near),
        relative_tolerance: 1e-9,
        ..MinresOptions::default()
    };
    let solve = minres(&a, &tensor(&b), &options).unwrap();
    assert!(distance(&solve.solution, &exact) < 1e-7);
    assert_eq!(solve.applications, solve.iterations + 1);
    let exact = tensor(&exact);
    let options = MinresOptions {
        start: Some(&exact),
        ..options
    };
    assert_eq!(minres(&a, &tensor(&b), &options).unwrap().iterations, 0);
}

#[test]
fn in_f32_the_residual_reaches_the_rounding_of_the_operator() {
    let mut values = indefinite(60);
    values[5..12].fill(0.0);
    let matrix = with_spectrum(&values, 6);
    let a = matrix.operator(&Device::flex(), DType::F32);
    let wanted = random(60, 6);
    let consistent = image(&matrix, &wanted);
    let options = MinresOptions {
        relative_tolerance: 1e-5,
        ..MinresOptions::default()
    };
    let b = from_f64(&consistent, &Device::flex(), DType::F32);
    let solve = minres(&a, &b, &options).unwrap();
    assert!(
        matches!(solve.ending, MinresEnding::Converged),
        "{:?}",
        solve.ending
    );
    assert!(distance(&solve.solution, &pseudo_solution(&matrix, &consistent)) < 1e-3);
    let b = from_f64(&wanted, &Device::flex(), DType::F32);
    let solve = minres(&a, &b, &options).unwrap();
    assert!(
        matches!(solve.ending, MinresEnding::LeastSquares),
        "{:?}",
        solve.ending
    );
    let error = distance(&solve.solution, &pseudo_solution(&matrix, &wanted));
    assert!(error < 2e-2, "{error}");
}

#[test]
fn on_definite_systems_it_needs_no_more_iterations_than_conjugate_gradients() {
    let values: Vec<f64> = (1..=80).map(f64::from).collect();
    let (a, b) = (operator(&with_spectrum(&values, 9)), tensor(&random(80, 9)));
    let cg = conjugate_gradient(&a, &b, &CgOptions::default()).unwrap();
    let solve = minres(&a, &b, &MinresOptions::default()).unwrap();
    assert!(solve.iterations <= cg.iterations && cg.iterations < solve.iterations + 6);
}

#[test]
fn misuse_and_edges() {
    let a = diagonal(&[2.0, 1.0]);
    assert!(minres(&a, &tensor(&[1.0]), &tight()).is_err());
    let wrong = tensor(&[1.0]);
    let options = MinresOptions {
        start: Some(&wrong),
        ..tight()
    };
    assert!(minres(&a, &tensor(&[1.0, 1.0]), &options).is_err());
    let three = diagonal(&[1.0, 1.0, 1.0]);
    let options = MinresOptions {
        preconditioner: Some(&three),
        ..tight()
    };
    assert!(minres(&a, &tensor(&[1.0, 1.0]), &options).is_err());
    let nan = minres(&a, &tensor(&[f64::NAN, 1.0]), &tight()).unwrap();
    assert!(matches!(nan.ending, MinresEnding::NonFinite));
    let nan = minres(&diagonal(&[f64::NAN, 1.0]), &tensor(&[1.0, 1.0]), &tight()).unwrap();
    assert!(matches!(nan.ending, MinresEnding::NonFinite));
    let zero = minres(&a, &tensor(&[0.0, 0.0]), &tight()).unwrap();
    assert!(matches!(zero.ending, MinresEnding::Converged) && zero.iterations == 0);
    let one = minres(&diagonal(&[-4.0]), &tensor(&[2.0]), &tight()).unwrap();
    assert_eq!(to_f64(&one.solution), [-0.5]);
    let none = minres(&Diagonal::new(tensor(&[])), &tensor(&[]), &tight()).unwrap();
    assert_eq!(none.iterations, 0);
    // a tolerance of zero goes as far as rounding lets it
    let exact = MinresOptions {
        relative_tolerance: 0.0,
        ..tight()
    };
    let matrix = with_spectrum(&indefinite(10), 1);
    let b = random(10, 1);
    let solve = minres(&operator(&matrix), &tensor(&b), &exact).unwrap();
    assert!(
        distance(&solve.solution, &pseudo_solution(&matrix, &b)) < 1e-12,
        "{:?}",
        solve.ending
    );
}

#[test]
fn the_observer_stops() {
    let a = operator(&with_spectrum(&indefinite(20), 1));
    let mut seen = Vec::new();
    let solve = minres_observed(&a, &tensor(&random(20, 1)), &tight(), &mut |progress| {
        seen.push(progress.applications);
        match progress.applications {
            4 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    })
    .unwrap();
    assert!(matches!(solve.ending, MinresEnding::Stopped));
    assert_eq!((seen, solve.iterations), (vec![1, 2, 3, 4], 4));
}
