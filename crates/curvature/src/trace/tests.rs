use super::*;
use crate::dense::DenseSymmetric;
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::seed::Seed;
use crate::test_operators::{Counted, diagonal, operator, with_spectrum};
use crate::vector::from_f64;
use burn::prelude::*;
use burn::tensor::DType;
use std::ops::ControlFlow;

const SEEDS: u64 = 200;

/// Matrices that are easy and hard for different estimators.
fn matrices() -> Vec<(&'static str, DenseSymmetric)> {
    let n = 60;
    let decaying: Vec<f64> = (0..n).map(|i| 0.8_f64.powi(i)).collect();
    let flat: Vec<f64> = (0..n).map(|i| 1.0 + 0.5 * (f64::from(i)).sin()).collect();
    let indefinite: Vec<f64> = (0..n)
        .map(|i| f64::from(i - 25) / 10.0 * if i == 0 { 4.0 } else { 1.0 })
        .collect();
    vec![
        ("decaying", with_spectrum(&decaying, 1)),
        ("flat", with_spectrum(&flat, 2)),
        ("indefinite", with_spectrum(&indefinite, 3)),
    ]
}

/// How often the interval of an estimator holds the truth, over seeds.
fn coverage(truth: f64, interval: impl Fn(Seed) -> (f64, f64)) -> f64 {
    let holds = (0..SEEDS).filter(|&seed| {
        let (low, high) = interval(Seed::new(seed));
        low <= truth && truth <= high
    });
    holds.count() as f64 / SEEDS as f64
}

fn assert_honest(what: &str, matrix: &str, coverage: f64) {
    println!("{what:28} {matrix:12} {coverage:.3}");
    assert!(
        (0.90..=0.99).contains(&coverage),
        "{what} on the {matrix} matrix covers {coverage}"
    );
}

fn hutchinson(probe: Probe, probes: usize) -> HutchinsonOptions {
    HutchinsonOptions {
        probe,
        stopping: StoppingRule::Probes(probes),
    }
}

#[test]
fn measure_coverage() {
    for (name, matrix) in matrices() {
        let op = operator(&matrix);
        let trace = matrix.trace();
        let line = |what: &str, c: f64| println!("{what:28} {name:12} {c:.3}");
        for probe in [Probe::Rademacher, Probe::Gaussian, Probe::Sphere] {
            for probes in [10, 30] {
                let options = hutchinson(probe, probes);
                let c = coverage(trace, |seed| {
                    hutchinson_trace(&op, &options, seed)
                        .unwrap()
                        .interval(0.95)
                });
                line(&format!("hutchinson {probe:?} {probes}"), c);
            }
            for products in [18, 30] {
                let options = SketchOptions { products, probe };
                let c = coverage(trace, |seed| {
                    hutch_plus_plus(&op, &options, seed).unwrap().interval(0.95)
                });
                line(&format!("hutch++ {probe:?} {products}"), c);
                let c = coverage(trace, |seed| {
                    xtrace(&op, &options, seed).unwrap().interval(0.95)
                });
                line(&format!("xtrace {probe:?} {products}"), c);
            }
            let values = matrix.eigenvalues().unwrap();
            let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
            let options = hutchinson(probe, 30);
            let c = coverage(norm, |seed| {
                frobenius_norm(&op, &options, seed).unwrap().interval(0.95)
            });
            line(&format!("frobenius {probe:?}"), c);
            for index in [0, 7] {
                let c = coverage(matrix.diagonal()[index], |seed| {
                    let d = diagonal_estimate(&op, &options, seed).unwrap();
                    d.entry(index).unwrap().interval(0.95)
                });
                line(&format!("diagonal {probe:?}"), c);
            }
        }
        for tolerance in [0.2, 0.1] {
            let options = HutchinsonOptions {
                probe: Probe::Rademacher,
                stopping: StoppingRule::RelativeError {
                    tolerance,
                    least: 10,
                    most: 1000,
                },
            };
            let c = coverage(trace, |seed| {
                hutchinson_trace(&op, &options, seed)
                    .unwrap()
                    .interval(0.95)
            });
            line(&format!("hutchinson rel {tolerance}"), c);
        }
        for products in [18, 30] {
            let options = XDiagOptions { products };
            let mut total = 0.0;
            for seed in 0..SEEDS {
                let d = xdiag(&op, &options, Seed::new(seed)).unwrap();
                let truth = matrix.diagonal();
                total += d
                    .intervals(0.95)
                    .zip(&truth)
                    .filter(|((l, h), t)| l <= t && *t <= h)
                    .count() as f64
                    / 60.0
                    / SEEDS as f64;
            }
            line(&format!("xdiag {products}"), total);
        }
    }
}
