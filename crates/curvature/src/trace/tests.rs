use super::*;
use crate::dense::DenseSymmetric;
use crate::error::CurvatureError;
use crate::seed::Seed;
use crate::test_operators::{Counted, diagonal, operator, with_spectrum};
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

const PROBES: [Probe; 3] = [Probe::Rademacher, Probe::Gaussian, Probe::Sphere];

#[test]
fn intervals_of_independent_samples_cover_the_truth_as_often_as_they_say() {
    for (name, matrix) in matrices() {
        let op = operator(&matrix);
        let (trace, diagonal) = (matrix.trace(), matrix.diagonal());
        let values = matrix.eigenvalues().unwrap();
        let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
        for probe in PROBES {
            let options = hutchinson(probe, 30);
            let share = coverage(trace, |seed| {
                let estimate = hutchinson_trace(&op, &options, seed).unwrap();
                estimate.interval(0.95)
            });
            assert_honest("Hutchinson", name, share);
            let share = coverage(norm, |seed| {
                frobenius_norm(&op, &options, seed).unwrap().interval(0.95)
            });
            assert_honest("Frobenius norm", name, share);
            let share = coverage(diagonal[7], |seed| {
                let estimate = diagonal_estimate(&op, &options, seed).unwrap();
                estimate.entry(7).unwrap().interval(0.95)
            });
            assert_honest("diagonal", name, share);
            let products = SketchOptions {
                products: 18,
                probe,
            };
            let share = coverage(trace, |seed| {
                hutch_plus_plus(&op, &products, seed)
                    .unwrap()
                    .interval(0.95)
            });
            assert_honest("Hutch++", name, share);
        }
        let stopping = StoppingRule::RelativeError {
            tolerance: 0.1,
            least: 10,
            most: 1000,
        };
        let options = HutchinsonOptions {
            probe: Probe::Rademacher,
            stopping,
        };
        let share = coverage(trace, |seed| {
            let estimate = hutchinson_trace(&op, &options, seed).unwrap();
            estimate.interval(0.95)
        });
        assert_honest("Hutchinson to a tolerance", name, share);
    }
}

/// As [`matrices`], and what sketches see best: powers, a step, and outliers over a bulk of both signs.
fn more_matrices() -> Vec<(&'static str, DenseSymmetric)> {
    let n = 60;
    let power = (0..n).map(|i| (1.0 + f64::from(i)).powi(-2));
    let steep = (0..n).map(|i| 0.6_f64.powi(i));
    let step = (0..n).map(|i| match i {
        0..10 => 1.0,
        _ => 1e-3 * (1.0 + 0.3 * f64::from(i).sin()),
    });
    let outliers = (0..n).map(|i| match i {
        0..10 => 10.0 * 0.6_f64.powi(i),
        _ => 0.1 * (1.0 - 0.03 * f64::from(i)),
    });
    let mut all = matrices();
    all.push(("power", with_spectrum(&power.collect::<Vec<_>>(), 4)));
    all.push(("steep", with_spectrum(&steep.collect::<Vec<_>>(), 5)));
    all.push(("step", with_spectrum(&step.collect::<Vec<_>>(), 6)));
    all.push(("outliers", with_spectrum(&outliers.collect::<Vec<_>>(), 7)));
    all
}

/// The estimates of XTrace and XDiag share their probes: their standard errors hold the covariances.
#[test]
fn intervals_of_estimates_that_share_probes_cover_the_truth_as_often_as_they_say() {
    for (name, matrix) in more_matrices() {
        let op = operator(&matrix);
        for probe in PROBES {
            let options = SketchOptions {
                products: 30,
                probe,
            };
            let (mut errors, mut variances) = (Vec::new(), Vec::new());
            let mut held = 0.0;
            for seed in 0..SEEDS {
                let found = xtrace(&op, &options, Seed::new(seed)).unwrap();
                let (low, high) = found.interval(0.95);
                held += f64::from(u8::from(low <= matrix.trace() && matrix.trace() <= high));
                errors.push((found.estimate.value - matrix.trace()).powi(2));
                variances.push(found.estimate.standard_error.powi(2));
            }
            assert_honest("XTrace", name, held / SEEDS as f64);
            // where a few seeds do not carry the mean, as they do on steep spectra
            if ["flat", "indefinite", "decaying", "outliers", "step"].contains(&name) {
                let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
                let ratio = mean(&variances) / mean(&errors);
                assert!((0.65..=1.7).contains(&ratio), "{name} {probe:?} {ratio}");
            }
        }
        let truth = matrix.diagonal();
        for products in [18, 40] {
            let mut share = 0.0;
            for seed in 0..SEEDS {
                let found = xdiag(&op, &XDiagOptions { products }, Seed::new(seed)).unwrap();
                let pairs = found.intervals(0.95).zip(&truth);
                let held = pairs.filter(|((low, high), t)| low <= t && *t <= high);
                share += held.count() as f64 / (60.0 * SEEDS as f64);
            }
            assert_honest("XDiag", name, share);
        }
    }
}

#[test]
fn the_mean_over_seeds_is_the_truth() {
    for (name, matrix) in matrices() {
        let op = operator(&matrix);
        let truth = matrix.trace();
        type Draw<'a> = Box<dyn Fn(Seed) -> f64 + 'a>;
        let sketch = SketchOptions {
            products: 12,
            probe: Probe::Gaussian,
        };
        let draws: [(&str, Draw<'_>); 3] = [
            (
                "Hutchinson",
                Box::new(|seed| {
                    let options = hutchinson(Probe::Sphere, 4);
                    hutchinson_trace(&op, &options, seed)
                        .unwrap()
                        .estimate
                        .value
                }),
            ),
            (
                "Hutch++",
                Box::new(|seed| hutch_plus_plus(&op, &sketch, seed).unwrap().estimate.value),
            ),
            (
                "XTrace",
                Box::new(|seed| xtrace(&op, &sketch, seed).unwrap().estimate.value),
            ),
        ];
        for (what, draw) in draws {
            let values: Vec<f64> = (0..SEEDS).map(|seed| draw(Seed::new(seed))).collect();
            let mean = crate::Estimate::from_samples(&values, 0);
            let error = (mean.value - truth).abs();
            assert!(
                error < 4.0 * mean.standard_error,
                "{what} {name} {error} {mean:?}"
            );
        }
    }
}

#[test]
fn sketches_are_exact_on_low_rank_and_better_than_hutchinson_on_decay() {
    let mut values = vec![0.0; 60];
    values[..5].copy_from_slice(&[5.0, -3.0, 2.0, 1.0, 0.5]);
    let op = operator(&with_spectrum(&values, 4));
    let sketch = SketchOptions {
        products: 24,
        probe: Probe::Gaussian,
    };
    for found in [
        hutch_plus_plus(&op, &sketch, Seed::new(1)).unwrap(),
        xtrace(&op, &sketch, Seed::new(1)).unwrap(),
    ] {
        assert!((found.estimate.value - 5.5).abs() < 1e-10, "{found:?}");
    }
    let decaying = operator(&matrices()[0].1);
    let truth = matrices()[0].1.trace();
    let error = |estimate: &dyn Fn(Seed) -> f64| -> f64 {
        let squares = (0..40).map(|seed| (estimate(Seed::new(seed)) - truth).powi(2));
        (squares.sum::<f64>() / 40.0).sqrt()
    };
    let plain = error(&|seed| {
        let options = hutchinson(Probe::Rademacher, 40);
        hutchinson_trace(&decaying, &options, seed)
            .unwrap()
            .estimate
            .value
    });
    let sketch = SketchOptions {
        products: 40,
        ..sketch
    };
    let better = error(&|seed| xtrace(&decaying, &sketch, seed).unwrap().estimate.value);
    assert!(better < 0.1 * plain, "{better} {plain}");
}

#[test]
fn diagonals_norms_and_ranks_against_the_dense_matrix() {
    for (name, matrix) in matrices() {
        let op = operator(&matrix);
        let counted = Counted::new(&op);
        let found = exact_diagonal(&counted).unwrap();
        assert_eq!((counted.applications(), found.applications), (60, 60));
        for (found, expected) in found.values.iter().zip(matrix.diagonal()) {
            assert!((found - expected).abs() < 1e-13, "{name}");
        }
        let values = matrix.eigenvalues().unwrap();
        let squares: f64 = values.iter().map(|x| x * x).sum();
        let largest = values.iter().fold(0.0_f64, |m, x| m.max(x * x));
        let rank = stable_rank(&op, &hutchinson(Probe::Rademacher, 2000), Seed::new(2)).unwrap();
        let rank = rank.expect("the matrix is not zero");
        let (low, high) = rank.interval(0.9999);
        assert!(
            low <= squares / largest * 1.001 && squares / largest * 0.999 <= high,
            "{name} {rank:?}"
        );
    }
    // signs see a diagonal matrix exactly
    let exact = hutchinson_trace(
        &diagonal(&[1.0, -2.0, 4.0]),
        &hutchinson(Probe::Rademacher, 3),
        Seed::new(0),
    );
    let exact = exact.unwrap().estimate;
    assert_eq!((exact.value, exact.standard_error), (3.0, 0.0));
}

#[test]
fn f32_agrees_with_f64_to_rounding() {
    let matrix = &matrices()[1].1;
    let single = matrix.operator(&Device::flex(), DType::F32);
    let options = hutchinson(Probe::Rademacher, 50);
    let a = hutchinson_trace(&operator(matrix), &options, Seed::new(3)).unwrap();
    let b = hutchinson_trace(&single, &options, Seed::new(3)).unwrap();
    assert!((a.estimate.value / b.estimate.value - 1.0).abs() < 1e-5);
    let a = diagonal_estimate(&operator(matrix), &options, Seed::new(3)).unwrap();
    let b = diagonal_estimate(&single, &options, Seed::new(3)).unwrap();
    for (a, b) in a.values.iter().zip(&b.values) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn small_matrices_nan_and_early_stops() {
    let one = diagonal(&[7.0]);
    let sketch = SketchOptions {
        products: 6,
        probe: Probe::Gaussian,
    };
    // as many products as dimensions: no chance is left
    assert!((xtrace(&one, &sketch, Seed::new(0)).unwrap().estimate.value - 7.0).abs() < 1e-12);
    let found = hutch_plus_plus(&one, &sketch, Seed::new(0)).unwrap();
    assert!((found.estimate.value - 7.0).abs() < 1e-12);
    assert_eq!(exact_diagonal(&one).unwrap().values, [7.0]);
    let zero = diagonal(&[0.0; 9]);
    assert_eq!(
        xtrace(&zero, &sketch, Seed::new(0)).unwrap().estimate.value,
        0.0
    );
    let options = hutchinson(Probe::Gaussian, 5);
    assert_eq!(
        diagonal_estimate(&zero, &options, Seed::new(0))
            .unwrap()
            .values,
        [0.0; 9]
    );
    let nan = diagonal(&[f64::NAN, 1.0]);
    assert!(matches!(
        hutchinson_trace(&nan, &options, Seed::new(0)),
        Err(CurvatureError::NonFinite { .. })
    ));
    assert!(matches!(
        diagonal_estimate(&nan, &options, Seed::new(0)),
        Err(CurvatureError::NonFinite { .. })
    ));
    let none = hutchinson_trace(&one, &hutchinson(Probe::Gaussian, 0), Seed::new(0));
    assert!(matches!(none, Err(CurvatureError::Argument { .. })));
    let values: Vec<f64> = (0..100).map(f64::from).collect();
    let stopped = hutchinson_trace_observed(
        &diagonal(&values),
        &hutchinson(Probe::Gaussian, 1000),
        Seed::new(0),
        &mut |_| ControlFlow::Break(()),
    );
    let stopped = stopped.unwrap();
    assert_eq!(stopped.ending, SamplingEnding::Stopped);
    assert!(stopped.estimate.samples < 1000);
}
