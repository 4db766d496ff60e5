use super::*;
use crate::dense::DenseSymmetric;
use crate::test_operators::{Counted, Nothing, diagonal, operator, with_spectrum};
use crate::vector::{dot, from_f64};
use burn::prelude::Device;
use burn::tensor::DType;
use std::ops::ControlFlow;

fn at(target: f64, pairs: usize) -> InteriorOptions {
    InteriorOptions {
        pairs,
        target,
        tolerance: 1e-10,
        max_applications: 30_000,
        ..Default::default()
    }
}

/// Distances to the target, ascending: what is found may lie on either side where two are equally near.
fn distances(values: &[f64], target: f64, count: usize) -> Vec<f64> {
    let mut apart: Vec<f64> = values.iter().map(|x| (x - target).abs()).collect();
    apart.sort_by(f64::total_cmp);
    apart.truncate(count);
    apart
}

fn assert_nearest(
    what: &str,
    found: &Eigenpairs,
    values: &[f64],
    options: &InteriorOptions,
    near: f64,
) {
    let expected = distances(values, options.target, options.pairs);
    assert_eq!(found.pairs.len(), expected.len(), "{what}");
    for (pair, expected) in found.pairs.iter().zip(&expected) {
        let apart = (pair.value - options.target).abs();
        assert!(
            (apart - expected).abs() <= near,
            "{what}: {:?} {expected}",
            found.values()
        );
        let nearest = distances(values, pair.value, 1)[0];
        assert!(nearest <= pair.residual + near, "{what}: {nearest}");
    }
    for (i, a) in found.pairs.iter().enumerate() {
        for b in &found.pairs[..i] {
            assert!(dot(&a.vector, &b.vector).abs() < 1e-5, "{what}");
        }
    }
}

/// Spectra with targets inside of them.
fn cases() -> Vec<(&'static str, Vec<f64>, f64)> {
    let n = 90;
    let uniform: Vec<f64> = (0..n).map(|i| f64::from(i) - 30.0).collect();
    let gap: Vec<f64> = (0..n)
        .map(|i| {
            if i < 40 {
                -1.0 - 0.1 * f64::from(i)
            } else {
                2.0 + 0.1 * f64::from(i - 40)
            }
        })
        .collect();
    let mut multiple: Vec<f64> = (0..n - 9).map(|i| 0.1 * f64::from(i)).collect();
    multiple.extend([3.04; 6]);
    multiple.extend([3.06; 3]);
    let clustered: Vec<f64> = (0..n)
        .map(|i| [1.0, 2.0, 5.0][i as usize % 3] + 1e-3 * f64::from(i))
        .collect();
    let mut rank_one: Vec<f64> = (0..n).map(|i| 0.01 * f64::from(i)).collect();
    rank_one[0] = 100.0;
    let conditioned: Vec<f64> = (0..n)
        .map(|i| 10_f64.powf(-12.0 * f64::from(i) / 89.0))
        .collect();
    vec![
        ("uniform", uniform.clone(), 7.3),
        ("an eigenvalue", uniform.clone(), 7.0),
        ("half way", uniform.clone(), 7.5),
        ("zero of an indefinite one", uniform.clone(), 0.0),
        ("beyond the end", uniform, 200.0),
        ("in a gap", gap, 0.3),
        ("a multiple one", multiple.clone(), 3.04),
        ("beside a multiple one", multiple, 3.051),
        ("in a cluster", clustered, 2.03),
        ("in the bulk of rank one", rank_one, 0.333),
        ("condition 1e12", conditioned, 0.02),
    ]
}

#[test]
fn the_nearest_are_those_of_the_dense_matrix() {
    for (what, values, target) in cases() {
        let op = operator(&with_spectrum(&values, 3));
        for (pairs, seed) in [(1, 0), (7, 1)] {
            let options = at(target, pairs);
            let counted = Counted::new(&op);
            let found = interior_eigenpairs(&counted, &options, Seed::new(seed)).unwrap();
            println!(
                "{what} {pairs}: {} products, {} solves",
                found.applications, found.iterations
            );
            assert_eq!(found.ending, EigenEnding::Converged, "{what}");
            assert_eq!(found.applications, counted.applications());
            let scale = values.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            assert!(
                found.worst_residual() <= options.tolerance * scale,
                "{what}"
            );
            assert_nearest(what, &found, &values, &options, 1e-8 * scale);
            let dense = InteriorOptions {
                method: InteriorMethod::Dense { limit: 90 },
                ..options
            };
            let counted = Counted::new(&op);
            let exact = interior_eigenpairs(&counted, &dense, Seed::new(seed)).unwrap();
            assert_eq!(exact.ending, EigenEnding::Converged, "{what}");
            assert_eq!(exact.applications, 90 + pairs);
            assert_eq!(exact.applications, counted.applications());
            assert_nearest(what, &exact, &values, &options, 1e-12 * scale);
        }
    }
}

#[test]
fn f32_finds_them_to_its_rounding_and_says_where_it_ends() {
    let values: Vec<f64> = (0..90).map(|i| f64::from(i) - 30.0).collect();
    let op = with_spectrum(&values, 3).operator(&Device::flex(), DType::F32);
    let options = InteriorOptions {
        tolerance: 1e-5,
        ..at(7.3, 4)
    };
    let found = interior_eigenpairs(&op, &options, Seed::new(1)).unwrap();
    assert_eq!(found.ending, EigenEnding::Converged);
    assert_nearest("f32", &found, &values, &options, 1e-3);
    let below = interior_eigenpairs(&op, &at(7.3, 4), Seed::new(1)).unwrap();
    assert_eq!(below.ending, EigenEnding::Rounding);
    assert!(below.applications < 10_000);
    assert_nearest("f32 beyond rounding", &below, &values, &options, 1e-3);
}

#[test]
fn small_whole_zero_and_empty_operators() {
    let one = interior_eigenpairs(&diagonal(&[-7.0]), &at(3.0, 1), Seed::new(0)).unwrap();
    assert_eq!((one.ending, one.pairs.len()), (EigenEnding::Converged, 1));
    assert!((one.values()[0] + 7.0).abs() < 1e-14);
    let values = [1.0, 3.0, 3.0, -2.0];
    for pairs in [4, 9] {
        let all = interior_eigenpairs(&diagonal(&values), &at(2.9, pairs), Seed::new(0)).unwrap();
        let expected = if pairs == 4 {
            EigenEnding::Converged
        } else {
            EigenEnding::WholeSpace
        };
        assert_eq!(all.ending, expected);
        for (found, expected) in all.values().iter().zip([3.0, 3.0, 1.0, -2.0]) {
            assert!((found - expected).abs() < 1e-12, "{:?}", all.values());
        }
    }
    for target in [0.0, 1.0] {
        let zero =
            interior_eigenpairs(&diagonal(&[0.0; 40]), &at(target, 3), Seed::new(0)).unwrap();
        assert_eq!(
            (zero.ending, zero.values()),
            (EigenEnding::Converged, vec![0.0; 3])
        );
    }
    let nothing = interior_eigenpairs(&Nothing, &at(0.0, 2), Seed::new(0)).unwrap();
    assert_eq!(
        (nothing.ending, nothing.pairs.len()),
        (EigenEnding::WholeSpace, 0)
    );
}

#[test]
fn misuse_and_nan_are_errors() {
    let op = diagonal(&[1.0, 2.0, 3.0, 4.0]);
    let davidson = |vectors, solve_products| InteriorMethod::JacobiDavidson {
        vectors,
        solve_products,
    };
    for options in [
        at(0.0, 0),
        at(f64::NAN, 1),
        at(f64::INFINITY, 1),
        InteriorOptions {
            tolerance: -1.0,
            ..at(0.0, 1)
        },
        InteriorOptions {
            max_applications: 0,
            ..at(0.0, 1)
        },
        InteriorOptions {
            method: davidson(Some(3), 10),
            ..at(0.0, 1)
        },
        InteriorOptions {
            method: davidson(None, 0),
            ..at(0.0, 1)
        },
    ] {
        let refused = interior_eigenpairs(&op, &options, Seed::new(0));
        assert!(
            matches!(refused, Err(CurvatureError::Argument { .. })),
            "{options:?}"
        );
    }
    let small = InteriorOptions {
        method: InteriorMethod::Dense { limit: 3 },
        ..at(0.0, 1)
    };
    let refused = interior_eigenpairs(&op, &small, Seed::new(0));
    assert!(matches!(
        refused,
        Err(CurvatureError::TooLarge {
            dim: 4,
            limit: 3,
            ..
        })
    ));
    let nan = diagonal(&[1.0, f64::NAN, 2.0]);
    for method in [davidson(None, 10), InteriorMethod::Dense { limit: 10 }] {
        let options = InteriorOptions {
            method,
            ..at(0.0, 1)
        };
        let refused = interior_eigenpairs(&nan, &options, Seed::new(0));
        assert!(matches!(refused, Err(CurvatureError::NonFinite { .. })));
    }
    let short = [from_f64(&[1.0], &Device::flex(), DType::F64)];
    let refused =
        interior_eigenpairs_observed(&op, &at(0.0, 1), &short, Seed::new(0), &mut unobserved);
    assert!(matches!(
        refused,
        Err(CurvatureError::Dimension {
            expected: 4,
            found: 1,
            ..
        })
    ));
}

#[test]
fn stopped_or_spent_it_has_what_is_there_with_honest_residuals() {
    let values: Vec<f64> = (0..120).map(|i| f64::from(i) - 60.3).collect();
    let op = operator(&with_spectrum(&values, 5));
    let spent = InteriorOptions {
        max_applications: 150,
        ..at(0.0, 3)
    };
    let found = interior_eigenpairs(&op, &spent, Seed::new(0)).unwrap();
    assert_eq!(
        (found.ending, found.pairs.len()),
        (EigenEnding::MaxIterations, 3)
    );
    assert!(found.applications <= 150, "{}", found.applications);
    for pair in &found.pairs {
        assert!(distances(&values, pair.value, 1)[0] <= pair.residual + 1e-9);
    }
    let mut stop = |_: &Progress| ControlFlow::Break(());
    let found =
        interior_eigenpairs_observed(&op, &at(0.0, 3), &[], Seed::new(0), &mut stop).unwrap();
    assert_eq!((found.ending, found.pairs.len()), (EigenEnding::Stopped, 3));
}

#[test]
fn earlier_vectors_save_products_and_the_same_seed_repeats() {
    let values: Vec<f64> = (0..120).map(|i| f64::from(i) - 60.3).collect();
    let matrix = with_spectrum(&values, 5);
    let op = operator(&matrix);
    let run = |earlier: &[Tensor<1>]| {
        interior_eigenpairs_observed(&op, &at(0.0, 3), earlier, Seed::new(4), &mut unobserved)
            .unwrap()
    };
    let cold = run(&[]);
    assert_eq!(cold.values(), run(&[]).values());
    let warm = run(&cold.vectors());
    assert!(
        2 * warm.applications < cold.applications,
        "{} {}",
        warm.applications,
        cold.applications
    );
    // the matrix moved a little
    let moved =
        DenseSymmetric::from_matrix(matrix.matrix() + with_spectrum(&[0.01; 120], 1).matrix());
    let moved = operator(&moved);
    let found = interior_eigenpairs_observed(
        &moved,
        &at(0.0, 3),
        &cold.vectors(),
        Seed::new(4),
        &mut unobserved,
    );
    for (found, before) in found.unwrap().values().iter().zip(cold.values()) {
        assert!((found - before - 0.01).abs() < 1e-8);
    }
}

#[test]
fn isolated_ones_beside_a_crowded_bulk_are_not_missed() {
    let n = 300;
    let values: Vec<f64> = (0..n)
        .map(|i| match i {
            0..10 => 10.0 * 0.6_f64.powi(i),
            _ => 0.1 * (1.0 - 2.0 * f64::from(i) / f64::from(n)),
        })
        .collect();
    let matrix = with_spectrum(&values, 3);
    for (dtype, near) in [(DType::F64, 1e-6), (DType::F32, 1e-5)] {
        let op = matrix.operator(&Device::flex(), dtype);
        // between the outliers and the bulk, at its edge, and in its middle
        for (target, pairs) in [(0.3, 3), (0.3, 4), (0.12, 4), (-0.12, 3), (0.02, 2)] {
            for seed in 0..3 {
                let options = InteriorOptions {
                    pairs,
                    target,
                    ..Default::default()
                };
                let found = interior_eigenpairs(&op, &options, Seed::new(seed)).unwrap();
                println!(
                    "{dtype:?} {target} {pairs}: {} products",
                    found.applications
                );
                assert_eq!(found.ending, EigenEnding::Converged, "{dtype:?} {target}");
                assert_nearest("bulk", &found, &values, &options, near);
            }
        }
    }
}

#[test]
fn the_budget_holds_for_all_products() {
    let values: Vec<f64> = (0..120).map(|i| f64::from(i) - 60.3).collect();
    let matrix = with_spectrum(&values, 5);
    let op = operator(&matrix);
    let run = |budget, pairs, solve_products| {
        let options = InteriorOptions {
            max_applications: budget,
            method: InteriorMethod::JacobiDavidson {
                vectors: None,
                solve_products,
            },
            ..at(0.0, pairs)
        };
        let counted = Counted::new(&op);
        let mut watch = |progress: &Progress| {
            assert!(progress.most == Some(budget) && progress.applications <= budget);
            ControlFlow::Continue(())
        };
        let found = interior_eigenpairs_observed(&counted, &options, &[], Seed::new(0), &mut watch);
        (found, counted.applications())
    };
    for pairs in [1, 3, 5, 30] {
        let least = 2 * pairs + 4;
        for short in [0, 1, least / 2, least - 1] {
            let (refused, products) = run(short, pairs, 100);
            assert!(matches!(
                refused,
                Err(CurvatureError::Argument {
                    name: "max_applications",
                    ..
                })
            ));
            assert_eq!(products, 0);
        }
        for solve_products in [1, 7, 100] {
            for budget in (least..least + 12).chain([90, 151, 400, 1000]) {
                let (found, products) = run(budget, pairs, solve_products);
                let found = found.unwrap();
                assert!(
                    products <= budget,
                    "{pairs} {solve_products}: {products} of {budget}"
                );
                assert_eq!(found.applications, products);
                assert_eq!(found.pairs.len(), pairs);
                // what is unused does not suffice for a solve
                let spent = found.ending == EigenEnding::MaxIterations && products + 2 > budget;
                assert!(spent || found.ending == EigenEnding::Converged, "{found:?}");
                for pair in &found.pairs {
                    assert!(distances(&values, pair.value, 1)[0] <= pair.residual + 1e-9);
                }
            }
        }
    }
    // the whole spectrum of a small matrix, at the least that it needs
    let small = diagonal(&[1.0, 3.0, -2.0]);
    let options = InteriorOptions {
        max_applications: 8,
        ..at(2.9, 3)
    };
    let all = interior_eigenpairs(&small, &options, Seed::new(0)).unwrap();
    assert_eq!(all.ending, EigenEnding::Converged);
    assert!(all.applications <= 8);
}

#[test]
fn the_dense_way_keeps_to_the_budget_and_can_be_stopped() {
    let values: Vec<f64> = (0..70).map(|i| f64::from(i) - 30.3).collect();
    let op = operator(&with_spectrum(&values, 5));
    let options = InteriorOptions {
        method: InteriorMethod::Dense { limit: 70 },
        ..at(0.0, 4)
    };
    let within = |max_applications| InteriorOptions {
        max_applications,
        ..options
    };
    let refused = interior_eigenpairs(&op, &within(73), Seed::new(0));
    assert!(matches!(refused, Err(CurvatureError::Argument { .. })));
    let whole = interior_eigenpairs(&op, &within(74), Seed::new(0)).unwrap();
    assert_eq!(
        (whole.ending, whole.applications),
        (EigenEnding::Converged, 74)
    );
    let mut seen = Vec::new();
    let mut watch = |progress: &Progress| {
        seen.push((progress.applications, progress.most));
        ControlFlow::Continue(())
    };
    let watched = interior_eigenpairs_observed(&op, &options, &[], Seed::new(0), &mut watch);
    assert_eq!(watched.unwrap().values(), whole.values());
    assert_eq!(seen, [32, 64, 70].map(|done| (done, Some(74))));
    let mut stop = |_: &Progress| ControlFlow::Break(());
    let counted = Counted::new(&op);
    let found = interior_eigenpairs_observed(&counted, &options, &[], Seed::new(0), &mut stop);
    let found = found.unwrap();
    assert_eq!((found.ending, found.pairs.len()), (EigenEnding::Stopped, 0));
    assert_eq!((found.applications, counted.applications()), (32, 32));
}
