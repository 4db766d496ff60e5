use super::*;
use crate::eigen::LanczosOptions;
use crate::error::CurvatureError;
use crate::estimate::Estimate;
use crate::seed::Seed;
use crate::test_operators::{Counted, diagonal, operator, with_spectrum};
use crate::vector::standard_normal;
use crate::{DenseSymmetric, LinearOperator};
use burn::prelude::Device;
use burn::tensor::DType;
use faer::Mat;
use std::ops::ControlFlow;

fn options(probes: usize, steps: usize) -> SlqOptions {
    SlqOptions {
        probes,
        steps,
        ..Default::default()
    }
}

fn spectra() -> Vec<(&'static str, Vec<f64>)> {
    let clustered = (0..60).map(|i| [1.0, 2.0, 5.0][i % 3] + 1e-6 * i as f64);
    let multiple = (0..60).map(|i| [-1.0, 0.0, 0.0, 3.0][i % 4]);
    let indefinite = (0..60).map(|i| -1.0 + 0.05 * i as f64);
    let mut rank_one = vec![0.01; 60];
    rank_one[0] = 100.0;
    let conditioned = (0..60).map(|i| 10f64.powf(-12.0 * i as f64 / 59.0));
    vec![
        ("clustered", clustered.collect()),
        ("multiple", multiple.collect()),
        ("indefinite", indefinite.collect()),
        ("rank one and bulk", rank_one),
        ("condition 1e12", conditioned.collect()),
    ]
}

/// vᵀAᵏv of the vector that a probe starts from, by the dense matrix.
#[test]
fn moments_up_to_twice_the_steps_are_exact_for_each_probe() {
    for (name, values) in spectra() {
        let matrix = with_spectrum(&values, 3);
        let op = operator(&matrix);
        let few = slq(&op, &options(4, 6), Seed::new(1)).unwrap();
        // the whole space: the measure of the same vectors, exactly
        let all = slq(&op, &options(4, 60), Seed::new(1)).unwrap();
        let scale = values.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        for (few, all) in few.probes.iter().zip(&all.probes) {
            for order in 0..=11 {
                let moment = |probe: &ProbeMeasure| -> f64 {
                    let terms = probe.nodes.iter().zip(&probe.weights);
                    terms.map(|(t, w)| w * (t / scale).powi(order)).sum()
                };
                let error = (moment(few) - moment(all)).abs();
                assert!(error < 1e-10, "{name} {order} {error}");
            }
            assert!((all.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }
}

/// Wasserstein's distance of the mean measure to the true one falls as 1/√(probes · n), and the nodes lie within the spectrum.
#[test]
fn measures_are_near_the_true_spectra() {
    for (name, values) in spectra() {
        let op = operator(&with_spectrum(&values, 5));
        let measure = slq(&op, &options(300, 60), Seed::new(2)).unwrap();
        let (low, high) = values
            .iter()
            .fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(*x), h.max(*x)));
        let range = high - low;
        assert!(measure.smallest() > low - 1e-9 * range, "{name}");
        assert!((measure.largest() - high).abs() < 1e-9 * range, "{name}");
        let steps = 2000;
        let distance: f64 = (0..steps)
            .map(|i| low + range * (f64::from(i) + 0.5) / f64::from(steps))
            .map(|t| {
                let truth = values.iter().filter(|x| **x <= t).count() as f64 / 60.0;
                let found = measure.mean_of(|node| f64::from(node <= t)).value;
                (truth - found).abs() / f64::from(steps)
            })
            .sum();
        // about the square root of 1 / (60 · 300)
        assert!(distance < 0.015, "{name} {distance}");
    }
}

fn wigner(n: usize) -> DenseSymmetric {
    let numbers = standard_normal(n * n, &mut Seed::new(11).rng());
    let scale = 1.0 / (2.0 * n as f64).sqrt();
    DenseSymmetric::from_matrix(Mat::from_fn(n, n, |i, j| {
        scale * (numbers[i * n + j] + numbers[j * n + i])
    }))
}

fn wishart(n: usize, samples: usize) -> DenseSymmetric {
    let numbers = standard_normal(n * samples, &mut Seed::new(12).rng());
    let x = Mat::from_fn(n, samples, |i, j| numbers[i * samples + j]);
    let product = &x * x.transpose();
    DenseSymmetric::from_matrix(Mat::from_fn(n, n, |i, j| product[(i, j)] / samples as f64))
}

fn semicircle(t: f64) -> f64 {
    (4.0 - t * t).max(0.0).sqrt() / (2.0 * std::f64::consts::PI)
}

fn marchenko_pastur(t: f64, ratio: f64) -> f64 {
    let (low, high) = ((1.0 - ratio.sqrt()).powi(2), (1.0 + ratio.sqrt()).powi(2));
    ((high - t) * (t - low)).max(0.0).sqrt() / (2.0 * std::f64::consts::PI * ratio * t)
}

/// Largest difference of a density to a law away from the edges, where smoothing rounds the law off.
fn apart(curve: &Curve, law: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    let points = curve.eigenvalues.iter().zip(&curve.values);
    let inner = points.filter(|(t, _)| **t > low && **t < high);
    inner.fold(0.0_f64, |m, (t, value)| m.max((value - law(*t)).abs()))
}

#[test]
fn wigner_and_wishart_matrices_have_the_densities_of_the_laws() {
    let ratio = 0.25;
    let (goe, covariance) = (operator(&wigner(600)), operator(&wishart(500, 2000)));
    let slq_of = |op: &dyn LinearOperator| {
        let measure = slq(op, &options(40, 60), Seed::new(3)).unwrap();
        measure.density(Scale::Linear, 0.12, 200).unwrap()
    };
    let kpm_of = |op: &dyn LinearOperator| {
        let options = KpmOptions {
            probes: 40,
            moments: 60,
            ..Default::default()
        };
        let found = kpm(op, &options, Seed::new(3)).unwrap();
        found.density(200).unwrap()
    };
    for curve in [slq_of(&goe), kpm_of(&goe)] {
        let error = apart(&curve, semicircle, -1.7, 1.7);
        assert!(error < 0.03, "semicircle {error}");
    }
    for curve in [slq_of(&covariance), kpm_of(&covariance)] {
        let law = |t| marchenko_pastur(t, ratio);
        let error = apart(&curve, law, 0.5, 2.0);
        assert!(error < 0.07, "Marchenko-Pastur {error}");
    }
    // a density integrates to one
    let curve = slq_of(&goe);
    let step = curve.eigenvalues[1] - curve.eigenvalues[0];
    let mass = step * curve.values.iter().sum::<f64>();
    assert!((mass - 1.0).abs() < 1e-3, "{mass}");
}

fn coverage(truth: f64, estimate: impl Fn(Seed) -> Estimate) -> f64 {
    let covered = (0..200).filter(|&seed| {
        let (low, high) = estimate(Seed::new(seed)).interval(0.95);
        low <= truth && truth <= high
    });
    covered.count() as f64 / 200.0
}

#[test]
fn intervals_cover_the_truth_as_often_as_they_say() {
    let psd: Vec<f64> = (0..50)
        .map(|i| 10f64.powf(-3.0 * f64::from(i) / 49.0))
        .collect();
    let mixed: Vec<f64> = (0..50).map(|i| -1.0 + 0.061 * f64::from(i)).collect();
    let trace = |values: &[f64], f: &dyn Fn(f64) -> f64| values.iter().map(|x| f(*x)).sum::<f64>();
    for (name, values) in [("decaying", &psd), ("indefinite", &mixed)] {
        let op = operator(&with_spectrum(values, 7));
        // all steps: no error of the quadrature
        let measure = |seed| slq(&op, &options(8, 50), seed).unwrap();
        type Case<'a> = (&'a str, f64, Box<dyn Fn(Seed) -> Estimate + 'a>);
        let mut cases: Vec<Case<'_>> = vec![
            (
                "square",
                trace(values, &|x| x * x),
                Box::new(|seed| measure(seed).trace_of_function(|t| t * t)),
            ),
            (
                "negative",
                trace(values, &|x| f64::from(x < 0.0)),
                Box::new(|seed| measure(seed).inertia(0.0).negative),
            ),
            (
                "effective dimension",
                trace(values, &|x| x.abs() / (x.abs() + 0.1)),
                Box::new(|seed| measure(seed).effective_dimension(0.1).unwrap()),
            ),
        ];
        if name == "decaying" {
            cases.push((
                "log-determinant",
                trace(values, &|x| (x + 1e-3).ln()),
                Box::new(|seed| measure(seed).log_determinant(1e-3).unwrap()),
            ));
            drop(cases.remove(1));
        }
        for (what, truth, estimate) in cases {
            let share = coverage(truth, estimate);
            assert!((0.9..=0.99).contains(&share), "{name} {what}: {share}");
        }
    }
}

#[test]
fn outliers_are_listed_with_their_multiplicity() {
    let mut values: Vec<f64> = (0..80).map(|i| 0.01 * f64::from(i)).collect();
    values.extend([10.0, 6.0, 6.0, -4.0]);
    let op = operator(&with_spectrum(&values, 9));
    let measure = slq(&op, &options(60, 40), Seed::new(4)).unwrap();
    let outliers = measure.outliers(0.5);
    let found: Vec<f64> = outliers.iter().map(|outlier| outlier.value).collect();
    assert_eq!(found.len(), 3, "{found:?}");
    for (outlier, (value, multiplicity)) in
        outliers.iter().zip([(10.0, 1.0), (6.0, 2.0), (-4.0, 1.0)])
    {
        assert!((outlier.value - value).abs() <= outlier.residual + 1e-9);
        let error = (outlier.multiplicity.value - multiplicity).abs();
        assert!(
            error < 4.0 * outlier.multiplicity.standard_error,
            "{outlier:?}"
        );
    }
}

#[test]
fn densities_on_either_scale_histograms_and_distributions_agree() {
    let values: Vec<f64> = (0..64)
        .map(|i| 10f64.powf(-4.0 + 8.0 * f64::from(i) / 63.0))
        .collect();
    let op = operator(&with_spectrum(&values, 2));
    let measure = slq(&op, &options(20, 64), Seed::new(5)).unwrap();
    let scale = Scale::SymmetricLog { threshold: 1e-4 };
    let curve = measure.density(scale, 0.5, 400).unwrap();
    let places: Vec<f64> = curve
        .eigenvalues
        .iter()
        .map(|t| scale.forward(*t))
        .collect();
    let mass: f64 = (places[1] - places[0]) * curve.values.iter().sum::<f64>();
    assert!((mass - 1.0).abs() < 1e-3, "{mass}");
    let histogram = measure.histogram(scale, 8).unwrap();
    let mass: f64 = histogram.iter().map(|(_, _, mass)| mass.value).sum();
    assert!((mass - 1.0).abs() < 1e-12);
    for (low, high, mass) in &histogram[1..7] {
        let truth = values.iter().filter(|x| low <= x && x < &high).count() as f64 / 64.0;
        assert!(
            (mass.value - truth).abs() < 4.0 * mass.standard_error + 0.02,
            "{low} {truth} {mass:?}"
        );
    }
    let cumulative = measure.cumulative(scale, 50).unwrap();
    assert!(
        cumulative
            .values
            .windows(2)
            .all(|pair| pair[0] <= pair[1] + 1e-12)
    );
    for (value, (low, high)) in cumulative.values.iter().zip(cumulative.band(0.95)) {
        assert!(low <= *value && *value <= high);
    }
}

#[test]
fn condition_numbers_say_what_is_certain() {
    let tight = LanczosOptions {
        tolerance: 1e-12,
        max_iterations: 400,
        vectors: Some(80),
        ..Default::default()
    };
    let values: Vec<f64> = (0..60)
        .map(|i| 10f64.powf(-6.0 * f64::from(i) / 59.0))
        .collect();
    let op = operator(&with_spectrum(&values, 4));
    let found = condition_number(&op, 0.0, &tight, Seed::new(0)).unwrap();
    assert!(
        found.resolved && (found.value / 1e6 - 1.0).abs() < 1e-4,
        "{found:?}"
    );
    assert!(found.bounds.0 <= 1e6 * (1.0 + 1e-9) && 1e6 * (1.0 - 1e-9) <= found.bounds.1);
    let damped = condition_number(&op, 0.1, &tight, Seed::new(0)).unwrap();
    assert!((damped.value - 1.1 / (0.1 + 1e-6)).abs() < 1e-5);
    let indefinite = condition_number(&diagonal(&[-1.0, 1e-3, 2.0]), 0.0, &tight, Seed::new(0));
    assert!(!indefinite.unwrap().resolved);
    let singular =
        condition_number(&diagonal(&[0.0, 1.0, 2.0]), 0.0, &tight, Seed::new(0)).unwrap();
    assert!(!singular.resolved && singular.bounds.1 == f64::INFINITY);
}

#[test]
fn f32_blocks_and_few_vectors_give_the_same_measures() {
    let values: Vec<f64> = (0..60).map(|i| -0.5 + 0.05 * f64::from(i)).collect();
    let matrix = with_spectrum(&values, 6);
    let op = operator(&matrix);
    let single = matrix.operator(&Device::flex(), DType::F32);
    let exact = slq(&op, &options(3, 20), Seed::new(8)).unwrap();
    let rounded = slq(&single, &options(3, 20), Seed::new(8)).unwrap();
    let local = SlqOptions {
        vectors: LanczosVectors::LastTwo,
        ..options(3, 20)
    };
    let local = slq(&op, &local, Seed::new(8)).unwrap();
    for (other, tolerance) in [(&rounded, 1e-4), (&local, 1e-9)] {
        let f = |t: f64| (t * 0.7).cos();
        let (a, b) = (exact.trace_of_function(f), other.trace_of_function(f));
        assert!((a.value - b.value).abs() < tolerance * a.value.abs());
    }
    let counted = Counted::new(&op);
    let measure = slq(&counted, &options(3, 20), Seed::new(8)).unwrap();
    assert_eq!((counted.applications(), measure.applications), (60, 60));
}

#[test]
fn small_cases_and_wrong_arguments() {
    let one = slq(&diagonal(&[3.0]), &SlqOptions::default(), Seed::new(0)).unwrap();
    assert!((one.trace_of_function(|t| t).value - 3.0).abs() < 1e-14);
    let zero = slq(&diagonal(&[0.0; 5]), &SlqOptions::default(), Seed::new(0)).unwrap();
    assert_eq!(zero.inertia(1e-12).zero.value, 5.0);
    assert!(zero.outliers(1.0).len() == 1);
    let op = diagonal(&[1.0, -2.0]);
    let none = slq(&op, &options(0, 5), Seed::new(0));
    assert!(matches!(
        none,
        Err(CurvatureError::Argument { name: "probes", .. })
    ));
    let measure = slq(&op, &options(2, 5), Seed::new(0)).unwrap();
    let error = measure.log_determinant(1.0).unwrap_err();
    assert!(matches!(error, CurvatureError::Indefinite { eigenvalue, .. } if eigenvalue < 0.0));
    assert!(measure.density(Scale::Linear, 0.0, 10).is_err());
    assert!(measure.effective_dimension(0.0).is_err());
    let nan = slq(
        &diagonal(&[f64::NAN, 1.0]),
        &SlqOptions::default(),
        Seed::new(0),
    );
    assert!(matches!(nan, Err(CurvatureError::NonFinite { .. })));
    let narrow = KpmOptions {
        interval: Interval::Given {
            low: -1.0,
            high: 1.0,
        },
        ..Default::default()
    };
    let outside = kpm(&op, &narrow, Seed::new(0)).unwrap_err();
    assert!(
        outside.to_string().contains("leaves the interval"),
        "{outside}"
    );
    let mut seen = 0;
    let stopped = slq_observed(
        &diagonal(&[1.0; 9]),
        &options(5, 9),
        Seed::new(0),
        &mut |_| {
            seen += 1;
            ControlFlow::Break(())
        },
    );
    assert!(stopped.unwrap().stopped && seen == 1);
}
