use super::*;
use crate::operator::Definiteness;
use crate::operators::Damped;
use crate::solve::{CgEnding, CgOptions, conjugate_gradient};
use crate::test_operators::{Counted, operator, with_spectrum};
use burn::prelude::Device;
use burn::tensor::DType;
use std::ops::ControlFlow;

fn tensor(values: &[f64]) -> Tensor<1> {
    from_f64(values, &Device::flex(), DType::F64)
}

fn random(n: usize, seed: u64) -> Vec<f64> {
    standard_normal(n, &mut Seed::new(seed).stream("b").rng())
}

/// κ of P^½ A P^½.
fn condition(a: &dyn LinearOperator, inverse: &dyn LinearOperator) -> f64 {
    let root = crate::dense(inverse)
        .unwrap()
        .eigen()
        .unwrap()
        .function(f64::sqrt);
    let product = root.matrix() * crate::dense(a).unwrap().matrix() * root.matrix();
    DenseSymmetric::from_matrix(product)
        .condition_number()
        .unwrap()
}

fn iterations(a: &dyn LinearOperator, b: &[f64], inverse: Option<&dyn LinearOperator>) -> usize {
    let options = CgOptions {
        relative_tolerance: 1e-10,
        max_iterations: Some(5000),
        preconditioner: inverse,
        ..Default::default()
    };
    let solve = conjugate_gradient(a, &tensor(b), &options).unwrap();
    assert!(matches!(solve.ending, CgEnding::Converged));
    solve.iterations
}

#[test]
fn jacobi_is_safe_whatever_the_diagonal() {
    let inverse = |d: &[f64], options: &JacobiOptions| {
        jacobi(&tensor(d), options).map(|d| to_f64(d.entries()))
    };
    assert_eq!(
        inverse(&[2.0, -4.0], &JacobiOptions::default()).unwrap(),
        [0.5, 0.25]
    );
    let floored = inverse(
        &[0.0, 100.0],
        &JacobiOptions {
            floor: 0.01,
            ..Default::default()
        },
    )
    .unwrap();
    assert_eq!(floored, [1.0, 0.01]);
    let martens = JacobiOptions {
        damping: 1.0,
        exponent: 0.75,
        ..Default::default()
    };
    let found = inverse(&[15.0, 80.0], &martens).unwrap();
    assert!((found[0] - 0.125).abs() < 1e-15 && (found[1] - 1.0 / 27.0).abs() < 1e-15);
    assert_eq!(
        inverse(&[0.0, 0.0], &JacobiOptions::default()).unwrap(),
        [1.0, 1.0]
    );
    assert!(inverse(&[], &JacobiOptions::default()).unwrap().is_empty());
    assert!(inverse(&[f64::NAN, 1.0], &JacobiOptions::default()).is_err());
    for wrong in [
        JacobiOptions {
            damping: -1.0,
            ..Default::default()
        },
        JacobiOptions {
            floor: 0.0,
            ..Default::default()
        },
        JacobiOptions {
            exponent: f64::NAN,
            ..Default::default()
        },
    ] {
        assert!(matches!(
            inverse(&[1.0], &wrong),
            Err(CurvatureError::Argument { .. })
        ));
    }
}

#[test]
fn jacobi_undoes_bad_scales() {
    // D^½ R D^½ with a well-conditioned R
    let correlations = with_spectrum(
        &(0..40)
            .map(|i| 1.0 + f64::from(i) / 20.0)
            .collect::<Vec<_>>(),
        2,
    );
    let scale = |i: usize| 10.0_f64.powf(i as f64 / 10.0);
    let matrix = Mat::from_fn(40, 40, |i, j| {
        scale(i) * correlations.matrix()[(i, j)] * scale(j)
    });
    let matrix = DenseSymmetric::from_matrix(matrix);
    let (a, b) = (operator(&matrix), random(40, 2));
    let inverse = jacobi(&tensor(&matrix.diagonal()), &JacobiOptions::default()).unwrap();
    let (plain, preconditioned) = (iterations(&a, &b, None), iterations(&a, &b, Some(&inverse)));
    assert!(condition(&a, &inverse) < 5.0);
    assert!(10 * preconditioned < plain, "{preconditioned} {plain}");
}

#[test]
fn exact_eigenpairs_leave_the_condition_of_the_rest() {
    let values: Vec<f64> = (0..50)
        .map(|i| 10.0_f64.powf(4.0 - f64::from(i) / 5.0))
        .collect();
    let matrix = with_spectrum(&values, 3);
    let damping = 1e-3;
    let undamped = operator(&matrix);
    let a = Damped::new(&undamped, damping);
    let eigen = matrix.eigen().unwrap();
    let pairs = 15;
    let vectors: Vec<f64> = (0..pairs)
        .flat_map(|i| {
            eigen
                .vectors()
                .col(49 - i)
                .iter()
                .copied()
                .collect::<Vec<_>>()
        })
        .collect();
    let vectors = tensor(&vectors).reshape([pairs, 50]);
    let inverse = spectral_preconditioner(&values[..pairs], vectors, damping).unwrap();
    assert_eq!(inverse.definiteness(), Definiteness::PositiveDefinite);
    let expected = (values[pairs - 1] + damping) / (values[49] + damping);
    let found = condition(&a, &inverse);
    assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
    let b = random(50, 3);
    let (plain, preconditioned) = (iterations(&a, &b, None), iterations(&a, &b, Some(&inverse)));
    assert!(2 * preconditioned < plain, "{preconditioned} {plain}");
    // the bound of conjugate gradients, with room for the norm
    let rate = (found.sqrt() - 1.0) / (found.sqrt() + 1.0);
    assert!((preconditioned as f64) < (1e-10 / found.sqrt() / 2.0).ln() / rate.ln());
}

#[test]
fn nystrom_is_exact_for_a_low_rank_and_says_so() {
    for seed in 0..4 {
        let mut values = vec![0.0; 30];
        values[..4].copy_from_slice(&[9.0, 4.0, 1.0, 1e-3]);
        let matrix = with_spectrum(&values, seed);
        let a = operator(&matrix);
        let counted = Counted::new(&a);
        let found = nystrom(&counted, &NystromOptions { rank: 8 }, Seed::new(seed)).unwrap();
        assert_eq!(
            (found.values.len(), found.left_out, found.applications),
            (4, 4, 8)
        );
        assert_eq!(counted.applications(), 8);
        for (found, expected) in found.values.iter().zip(&values) {
            assert!((found - expected).abs() < 1e-10, "{found} {expected}");
        }
        let again = crate::dense(&found.operator(0.0).unwrap()).unwrap();
        assert!((again.matrix() - matrix.matrix()).norm_l2() < 1e-10);
    }
}

#[test]
fn nystrom_with_the_effective_dimension_makes_the_condition_a_small_constant() {
    // Frangella, Tropp and Udell (2023), theorem 1.1: rank 2 ⌈1.5 d_eff⌉ + 1 gives κ < 28 on average
    let values: Vec<f64> = (1..=150).map(|i| 1e3 * f64::from(i).powi(-3)).collect();
    let damping = 0.1;
    let effective: f64 = values.iter().map(|v| v / (v + damping)).sum();
    let rank = 2 * (1.5 * effective).ceil() as usize + 1;
    assert!(rank < 100);
    let undamped = operator(&with_spectrum(&values, 5));
    let a = Damped::new(&undamped, damping);
    let conditions: Vec<f64> = (0..5)
        .map(|seed| {
            let found = nystrom(&undamped, &NystromOptions { rank }, Seed::new(seed)).unwrap();
            condition(&a, &found.preconditioner(damping).unwrap())
        })
        .collect();
    assert!(
        conditions.iter().sum::<f64>() / 5.0 < 28.0,
        "{conditions:?}"
    );
    let found = nystrom(&undamped, &NystromOptions { rank }, Seed::new(1)).unwrap();
    let inverse = found.preconditioner(damping).unwrap();
    let b = random(150, 5);
    let (plain, preconditioned) = (iterations(&a, &b, None), iterations(&a, &b, Some(&inverse)));
    assert!(3 * preconditioned < plain, "{preconditioned} {plain}");
}

#[test]
fn nystrom_lies_below_and_repeats_itself() {
    let values: Vec<f64> = (1..=40).map(|i| f64::from(i).powi(-2)).collect();
    let matrix = with_spectrum(&values, 6);
    let a = operator(&matrix);
    let options = NystromOptions { rank: 10 };
    let found = nystrom(&a, &options, Seed::new(3)).unwrap();
    let below = crate::dense(&found.operator(0.0).unwrap()).unwrap();
    let rest = DenseSymmetric::from_matrix(matrix.matrix() - below.matrix());
    assert!(rest.eigenvalues().unwrap()[0] > -1e-12);
    assert_eq!(
        found.values,
        nystrom(&a, &options, Seed::new(3)).unwrap().values
    );
    assert_ne!(
        found.values,
        nystrom(&a, &options, Seed::new(4)).unwrap().values
    );
}

#[test]
fn nystrom_in_f32_and_at_its_edges() {
    let values: Vec<f64> = (1..=40).map(|i| f64::from(i).powi(-2)).collect();
    let matrix = with_spectrum(&values, 6);
    let a = matrix.operator(&Device::flex(), DType::F32);
    let found = nystrom(&a, &NystromOptions { rank: 20 }, Seed::new(3)).unwrap();
    assert!(
        found.values[0] > 0.9 && found.values[0] < 1.0 + 1e-5,
        "{:?}",
        found.values
    );
    let damped = Damped::new(&a, 1e-2);
    let inverse = found.preconditioner(1e-2).unwrap();
    assert!(condition(&damped, &inverse) < 3.0);
    let all = nystrom(
        &operator(&matrix),
        &NystromOptions { rank: 99 },
        Seed::new(3),
    )
    .unwrap();
    assert_eq!(all.applications, 40);
    let none = nystrom(
        &operator(&matrix),
        &NystromOptions { rank: 0 },
        Seed::new(3),
    )
    .unwrap();
    assert_eq!(
        to_f64(
            &none
                .preconditioner(1.0)
                .unwrap()
                .apply(&tensor(&[2.0; 40]))
                .unwrap()
        ),
        [2.0; 40]
    );
    let zero = nystrom(
        &operator(&with_spectrum(&[0.0; 5], 1)),
        &NystromOptions { rank: 3 },
        Seed::new(3),
    )
    .unwrap();
    assert_eq!((zero.values.len(), zero.left_out), (0, 3));
    let nan = with_spectrum(&[1.0, 2.0], 1).operator(&Device::flex(), DType::F64);
    let nan = crate::operators::Scaled::new(nan, f64::NAN);
    assert!(matches!(
        nystrom(&nan, &NystromOptions { rank: 1 }, Seed::new(0)),
        Err(CurvatureError::NonFinite { .. })
    ));
    assert!(
        spectral_preconditioner(
            &[1.0, 0.0],
            tensor(&[1.0, 0.0, 0.0, 1.0]).reshape([2, 2]),
            0.0
        )
        .is_err()
    );
}

#[test]
fn nystrom_stops_with_the_vectors_so_far() {
    let values: Vec<f64> = (1..=90).map(|i| f64::from(i).powi(-2)).collect();
    let matrix = with_spectrum(&values, 6);
    let a = operator(&matrix);
    let options = NystromOptions { rank: 70 };
    let whole = nystrom(&a, &options, Seed::new(3)).unwrap();
    let mut seen = Vec::new();
    let watched = nystrom_observed(&a, &options, Seed::new(3), &mut |progress| {
        assert_eq!(progress.most, Some(70));
        seen.push(progress.applications);
        ControlFlow::Continue(())
    });
    let watched = watched.unwrap();
    assert_eq!(seen, [32, 64, 70]);
    assert!(!watched.stopped && watched.values == whole.values);
    let numbers = |found: &Nystrom| crate::row_blocks::block_to_f64(&found.vectors);
    assert_eq!(numbers(&watched), numbers(&whole));
    let counted = Counted::new(&a);
    let stopped = nystrom_observed(&counted, &options, Seed::new(3), &mut |_| {
        ControlFlow::Break(())
    });
    let stopped = stopped.unwrap();
    assert!(stopped.stopped && stopped.values.len() == 32);
    assert_eq!((stopped.applications, counted.applications()), (32, 32));
    // below A, and no better than with all vectors
    let rest = |found: &Nystrom| {
        let below = crate::dense(&found.operator(0.0).unwrap()).unwrap();
        DenseSymmetric::from_matrix(matrix.matrix() - below.matrix())
    };
    assert!(rest(&stopped).eigenvalues().unwrap()[0] > -1e-12);
    assert!(rest(&whole).trace() < rest(&stopped).trace());
    assert!(rest(&stopped).trace() < 0.1);
    let one = NystromOptions { rank: 20 };
    let last = nystrom_observed(&a, &one, Seed::new(3), &mut |_| ControlFlow::Break(())).unwrap();
    assert!(!last.stopped);
}
