use super::*;
use crate::test_operators::{Counted, Nothing, diagonal, operator, with_spectrum};
use crate::vector::{dot, from_f64};
use burn::prelude::Device;
use burn::tensor::DType;
use std::ops::ControlFlow;

/// A few large eigenvalues over a bulk, some negative: what Hessians of networks look like.
fn hessian_like(n: usize) -> Vec<f64> {
    (0..n)
        .map(|i| match i {
            0..20 => 10.0 * 0.8_f64.powi(i as i32),
            _ => 0.1 * (1.0 - 2.2 * i as f64 / n as f64),
        })
        .collect()
}

fn tight(pairs: usize) -> LanczosOptions {
    LanczosOptions {
        pairs,
        tolerance: 1e-11,
        max_iterations: 2000,
        ..Default::default()
    }
}

fn assert_values(found: &TopEigenpairs, expected: &[f64], tolerance: f64) {
    assert_eq!(found.pairs.len(), expected.len());
    for (pair, expected) in found.pairs.iter().zip(expected) {
        assert!(
            (pair.value - expected).abs() <= tolerance,
            "{:?} {expected}",
            found.ritz_values()
        );
    }
}

fn assert_orthonormal(found: &TopEigenpairs, tolerance: f64) {
    for (i, a) in found.pairs.iter().enumerate() {
        for (j, b) in found.pairs.iter().enumerate() {
            let expected = f64::from(u8::from(i == j));
            let overlap = dot(&a.vector, &b.vector);
            assert!((overlap - expected).abs() < tolerance, "{i} {j} {overlap}");
        }
    }
}

#[test]
fn all_ways_find_the_same_pairs_in_f64() {
    let mut values = hessian_like(300);
    let matrix = with_spectrum(&values, 1);
    values.sort_by(|a, b| b.total_cmp(a));
    let op = operator(&matrix);
    for reorthogonalisation in [Reorthogonalisation::Full, Reorthogonalisation::Selective] {
        for vectors in [None, Some(300), Some(14)] {
            for multiplicity in [Multiplicity::AsMet, Multiplicity::Searched] {
                // overlaps of √u spoil residuals, not values
                let tolerance = match reorthogonalisation {
                    Reorthogonalisation::Full => 1e-11,
                    Reorthogonalisation::Selective => 1e-7,
                };
                let options = LanczosOptions {
                    vectors,
                    reorthogonalisation,
                    multiplicity,
                    tolerance,
                    ..tight(10)
                };
                let counted = Counted::new(&op);
                let found = lanczos_top_k(&counted, &options, Seed::new(2)).unwrap();
                assert_eq!(found.ending, LanczosEnding::Converged, "{options:?}");
                assert_eq!(found.applications, counted.applications());
                assert_values(&found, &values[..10], 1e-9);
                assert_orthonormal(&found, 1e-7);
                println!(
                    "{reorthogonalisation:?} {vectors:?} {multiplicity:?}: {} products, {} restarts",
                    found.applications, found.restarts
                );
            }
        }
    }
}

#[test]
fn every_end_of_an_indefinite_spectrum() {
    let values: Vec<f64> = (0..120).map(|i| f64::from(i) - 50.5).collect();
    let op = operator(&with_spectrum(&values, 4));
    let cases = [
        (Which::LargestAlgebraic, [68.5, 67.5, 66.5, 65.5, 64.5]),
        (
            Which::SmallestAlgebraic,
            [-50.5, -49.5, -48.5, -47.5, -46.5],
        ),
        (Which::LargestMagnitude, [68.5, 67.5, 66.5, 65.5, 64.5]),
        (Which::BothEnds, [68.5, -50.5, 67.5, -49.5, 66.5]),
    ];
    for (which, expected) in cases {
        for vectors in [None, Some(12)] {
            let options = LanczosOptions {
                which,
                vectors,
                ..tight(5)
            };
            let found = lanczos_top_k(&op, &options, Seed::new(1)).unwrap();
            assert_values(&found, &expected, 1e-8);
        }
    }
}

#[test]
fn residuals_bound_the_error_whatever_the_tolerance() {
    let values = hessian_like(200);
    let op = operator(&with_spectrum(&values, 7));
    for seed in 0..3 {
        for tolerance in [1e-1, 1e-2, 1e-4] {
            let options = LanczosOptions {
                tolerance,
                ..Default::default()
            };
            let found = lanczos_top_k(&op, &options, Seed::new(seed)).unwrap();
            for pair in &found.pairs {
                let distance = values
                    .iter()
                    .fold(f64::INFINITY, |m, x| m.min((x - pair.value).abs()));
                assert!(distance <= pair.residual + 1e-12);
                assert!(pair.residual <= 1.0001 * tolerance * 10.0);
            }
        }
    }
}

#[test]
fn copies_are_found_where_they_are_asked_for() {
    // three copies of the largest, two of the next, above a bulk in which nothing is invariant
    let mut values: Vec<f64> = (0..200).map(|i| f64::from(i) / 200.0).collect();
    values.extend([5.0, 5.0, 5.0, 3.0, 3.0, 2.0]);
    let expected = [5.0, 5.0, 5.0, 3.0, 3.0, 2.0];
    for (dtype, tolerance, near) in [(DType::F64, 1e-10, 1e-9), (DType::F32, 1e-4, 1e-4)] {
        let op = with_spectrum(&values, 6).operator(&Device::flex(), dtype);
        for reorthogonalisation in [Reorthogonalisation::Full, Reorthogonalisation::Selective] {
            for seed in 0..3 {
                let options = LanczosOptions {
                    tolerance,
                    multiplicity: Multiplicity::Searched,
                    reorthogonalisation,
                    max_iterations: 600,
                    ..tight(6)
                };
                let found = lanczos_top_k(&op, &options, Seed::new(seed)).unwrap();
                assert_values(&found, &expected, near);
                assert_orthonormal(&found, 1e-3);
            }
        }
    }
}

#[test]
fn invariance_alone_leads_to_the_copies() {
    let mut values = vec![5.0, 5.0, 3.0];
    values.resize(60, 1.0);
    let op = operator(&with_spectrum(&values, 2));
    let found = lanczos_top_k(&op, &tight(4), Seed::new(3)).unwrap();
    assert_eq!(found.ending, LanczosEnding::Converged);
    assert_values(&found, &[5.0, 5.0, 3.0, 1.0], 1e-10);
    assert!(found.applications < 20, "{}", found.applications);
}

#[test]
fn zero_one_and_small_dimensions() {
    let zero = diagonal(&[0.0; 40]);
    let found = lanczos_top_k(&zero, &tight(3), Seed::new(0)).unwrap();
    assert_values(&found, &[0.0; 3], 0.0);
    assert_orthonormal(&found, 1e-12);
    assert!(found.applications <= 8);
    let one = lanczos_top_k(&diagonal(&[-7.0]), &tight(1), Seed::new(0)).unwrap();
    assert_eq!(one.ending, LanczosEnding::Converged);
    assert_values(&one, &[-7.0], 1e-15);
    let small = lanczos_top_k(&diagonal(&[1.0, 3.0, 3.0]), &tight(10), Seed::new(0)).unwrap();
    assert_eq!(small.ending, LanczosEnding::InvariantSubspace);
    assert_values(&small, &[3.0, 3.0, 1.0], 1e-14);
    let rank_one = diagonal(&[0.0, 0.0, 4.0, 0.0, 0.0]);
    let found = lanczos_top_k(&rank_one, &tight(3), Seed::new(0)).unwrap();
    assert_values(&found, &[4.0, 0.0, 0.0], 1e-14);
    let found = lanczos_top_k(&Nothing, &tight(1), Seed::new(0)).unwrap();
    assert!(found.pairs.is_empty());
}

#[test]
fn a_condition_number_of_1e12() {
    let values: Vec<f64> = (0..100)
        .map(|i| 10_f64.powf(-12.0 * f64::from(i) / 99.0))
        .collect();
    let op = operator(&with_spectrum(&values, 5));
    let options = LanczosOptions {
        tolerance: 1e-13,
        ..tight(10)
    };
    let found = lanczos_top_k(&op, &options, Seed::new(1)).unwrap();
    assert_values(&found, &values[..10], 1e-13);
}

#[test]
fn f32_reaches_its_rounding_and_says_so() {
    let values = hessian_like(400);
    let op = with_spectrum(&values, 9).operator(&Device::flex(), DType::F32);
    let found = lanczos_top_k(&op, &LanczosOptions::default(), Seed::new(1)).unwrap();
    assert_eq!(found.ending, LanczosEnding::Converged);
    assert_values(&found, &values[..10], 1e-5);
    let below = lanczos_top_k(&op, &tight(10), Seed::new(1)).unwrap();
    assert_eq!(below.ending, LanczosEnding::Rounding);
    assert_values(&below, &values[..10], 1e-5);
    assert!(below.pairs.iter().all(|pair| pair.residual < 2e-5));
}

#[test]
fn a_warm_start_needs_fewer_products() {
    let values = hessian_like(400);
    let before = operator(&with_spectrum(&values, 11));
    let cold = lanczos_top_k(&before, &LanczosOptions::default(), Seed::new(1)).unwrap();
    let earlier = cold.vectors();
    let options = LanczosOptions::default();
    let warm =
        lanczos_top_k_observed(&before, &options, &earlier, Seed::new(1), &mut unobserved).unwrap();
    assert_values(&warm, &values[..10], 1e-3);
    println!("cold {} warm {}", cold.applications, warm.applications);
    assert!(warm.applications + 5 < cold.applications);
    let wrong = from_f64(&[1.0], &Device::flex(), DType::F64);
    let wrong = lanczos_top_k_observed(&before, &options, &[wrong], Seed::new(1), &mut unobserved);
    assert!(matches!(
        wrong,
        Err(CurvatureError::Dimension {
            expected: 400,
            found: 1,
            ..
        })
    ));
}

#[test]
fn selective_reorthogonalisation_yields_no_ghosts() {
    // largest eigenvalues far apart: without reorthogonalisation they come back again and again
    let values: Vec<f64> = (0..250)
        .map(|i| 100.0 / (1.0 + f64::from(i)).powi(2))
        .collect();
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-6)] {
        let op = with_spectrum(&values, 3).operator(&Device::flex(), dtype);
        let options = LanczosOptions {
            tolerance,
            vectors: Some(120),
            reorthogonalisation: Reorthogonalisation::Selective,
            ..tight(25)
        };
        let found = lanczos_top_k(&op, &options, Seed::new(1)).unwrap();
        assert_values(&found, &values[..25], 1e3 * tolerance);
        let unit = if dtype == DType::F64 {
            1.1e-16_f64
        } else {
            6e-8
        };
        assert_orthonormal(&found, unit.sqrt());
    }
}

#[test]
fn the_observer_stops_with_what_is_there() {
    let op = operator(&with_spectrum(&hessian_like(200), 1));
    let mut seen = Vec::new();
    let mut observer = |progress: &Progress| {
        seen.push(*progress);
        match progress.applications > 12 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let found = lanczos_top_k_observed(&op, &tight(5), &[], Seed::new(1), &mut observer).unwrap();
    assert_eq!(found.ending, LanczosEnding::Stopped);
    assert_eq!(found.pairs.len(), 5);
    assert!(found.applications < 22 && seen.len() > 2);
    assert!(seen.last().unwrap().measure.unwrap() < seen[0].measure.unwrap());
    let spent = LanczosOptions {
        max_iterations: 12,
        ..tight(5)
    };
    let found = lanczos_top_k(&op, &spent, Seed::new(1)).unwrap();
    assert_eq!(
        (found.ending, found.applications),
        (LanczosEnding::MaxIterations, 17)
    );
}

#[test]
fn misuse_and_nan_are_errors() {
    let op = diagonal(&[1.0, 2.0, 3.0, 4.0]);
    let bad = [
        LanczosOptions {
            pairs: 0,
            ..tight(1)
        },
        LanczosOptions {
            tolerance: 0.0,
            ..tight(1)
        },
        LanczosOptions {
            tolerance: f64::NAN,
            ..tight(1)
        },
        LanczosOptions {
            max_iterations: 1,
            ..tight(2)
        },
        LanczosOptions {
            vectors: Some(3),
            ..tight(2)
        },
    ];
    for options in bad {
        let result = lanczos_top_k(&op, &options, Seed::new(1));
        assert!(
            matches!(result, Err(CurvatureError::Argument { .. })),
            "{options:?}"
        );
    }
    let nan = diagonal(&[1.0, f64::NAN]);
    let result = lanczos_top_k(&nan, &tight(1), Seed::new(1));
    assert!(matches!(result, Err(CurvatureError::NonFinite { .. })));
}

#[test]
fn the_same_seed_gives_the_same_numbers() {
    let op = operator(&with_spectrum(&hessian_like(100), 1));
    let run = |seed| lanczos_top_k(&op, &LanczosOptions::default(), Seed::new(seed)).unwrap();
    assert_eq!(run(1).ritz_values(), run(1).ritz_values());
    assert_eq!(run(1).alpha, run(1).alpha);
    assert_ne!(run(1).alpha, run(2).alpha);
}

/// Mean products of scipy 1.17.1's `eigsh(k=10, tol=1e-4, ncv=21)` over five starts on the same spectra. Its tolerance is relative to
/// each eigenvalue, so that it does more for the smaller ones, and it measures no residuals: our ten products for those are
/// not in the comparison.
#[test]
fn as_few_products_as_arpack() {
    let n = 1000;
    let power = |p: f64| {
        (0..n)
            .map(|i| (1.0 + i as f64).powf(-p))
            .collect::<Vec<f64>>()
    };
    let uniform = (0..n).map(|i| i as f64 / 1000.0).collect();
    let spectra = [
        (hessian_like(n), 23.2),
        (uniform, 286.2),
        (power(2.0), 23.2),
        (power(0.5), 38.0),
    ];
    for (values, arpack) in &spectra {
        let op = diagonal(values);
        for (vectors, most) in [(None, 1.0), (Some(21), 1.1)] {
            let options = LanczosOptions {
                vectors,
                max_iterations: 1000,
                ..Default::default()
            };
            let mut steps = 0;
            for seed in 0..3 {
                let found = lanczos_top_k(&op, &options, Seed::new(seed)).unwrap();
                assert_eq!(found.ending, LanczosEnding::Converged);
                steps += found.applications - found.pairs.len();
            }
            let mean = steps as f64 / 3.0;
            println!("{vectors:?}: {mean:.1} products, arpack {arpack}");
            assert!(mean <= most * arpack, "{vectors:?}: {mean} {arpack}");
        }
    }
}
