use super::*;
use crate::eigen::LanczosOptions;
use crate::error::CurvatureError;
use crate::estimate::Estimate;
use crate::progress::Progress;
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

/// Stops at this many products.
fn at(limit: usize) -> impl FnMut(&Progress) -> ControlFlow<()> {
    move |progress| match progress.applications >= limit {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// The first moments of the first vectors.
fn shortened(whole: &ChebyshevDensity, vectors: usize, moments: usize) -> Vec<Vec<f64>> {
    let rows = whole.moments[..vectors].iter();
    rows.map(|row| row[..moments].to_vec()).collect()
}

#[test]
fn kernel_polynomials_stop_with_the_moments_that_are_there() {
    let values: Vec<f64> = (0..60).map(|i| -1.0 + 0.05 * f64::from(i)).collect();
    let op = operator(&with_spectrum(&values, 2));
    let kpm_options = KpmOptions {
        probes: 40,
        moments: 24,
        interval: Interval::Lanczos { steps: 10 },
    };
    let whole = kpm(&op, &kpm_options, Seed::new(1)).unwrap();
    assert!(!whole.stopped);
    let mut seen = Vec::new();
    let watched = kpm_observed(&op, &kpm_options, Seed::new(1), &mut |progress| {
        assert_eq!(progress.most, Some(10 + 40 * 12));
        seen.push(progress.applications);
        ControlFlow::Continue(())
    });
    assert_eq!(watched.unwrap(), whole);
    // ten steps of Lanczos, twelve products with a block of 32 vectors, twelve with one of 8
    let blocks = (1..=12)
        .map(|k| 10 + 32 * k)
        .chain((1..=12).map(|k| 394 + 8 * k));
    assert!(seen.into_iter().eq((1..=10).chain(blocks)));
    let counted = Counted::new(&op);
    let stop = |limit| {
        let before = counted.applications();
        let found = kpm_observed(&counted, &kpm_options, Seed::new(1), &mut at(limit)).unwrap();
        assert_eq!(found.applications, counted.applications() - before);
        found
    };
    // three products of the first block: μ₀ to μ₆
    let first = stop(100);
    assert!(first.stopped && first.applications == 106);
    assert_eq!(first.moments, shortened(&whole, 32, 7));
    let density = first.density(50).unwrap();
    assert!(density.values.iter().all(|value| *value >= 0.0));
    // in the second block: the first one is whole
    let second = stop(400);
    assert!(second.stopped && second.applications == 402);
    assert_eq!(second.moments, shortened(&whole, 32, 24));
    // after the last product nothing is left to be stopped
    assert_eq!(stop(10 + 40 * 12), whole);
}

#[test]
fn kernel_polynomials_stopped_in_the_search_for_an_interval_have_its_moments() {
    let values: Vec<f64> = (0..30).map(|i| -1.0 + 0.1 * f64::from(i)).collect();
    let op = operator(&with_spectrum(&values, 2));
    let kpm_options = KpmOptions {
        probes: 3,
        moments: 40,
        interval: Interval::Lanczos { steps: 20 },
    };
    let found = kpm_observed(&op, &kpm_options, Seed::new(1), &mut at(8)).unwrap();
    assert!(found.stopped && found.applications == 8);
    assert_eq!((found.moments.len(), found.moments[0].len()), (1, 16));
    // the same moments by the recurrence, from the vector that the search starts from
    let (low, high) = found.interval;
    let seed = Seed::new(1).stream("interval").index(0).stream("slq");
    let start = crate::eigen::basis::HostVector::random_unit(30, DType::F64, seed);
    let start = start.into_tensor(&Device::flex(), DType::F64);
    let scaled = |v: &burn::tensor::Tensor<1>| {
        let product = op.apply(v).unwrap() - v.clone() * (0.5 * (low + high));
        product / (0.5 * (high - low))
    };
    let (mut before, mut now) = (start.clone(), scaled(&start));
    for moment in &found.moments[0] {
        let expected = crate::vector::dot(&start, &before);
        assert!((moment - expected).abs() < 1e-12, "{moment} {expected}");
        let next = scaled(&now) * 2.0 - before;
        (before, now) = (now, next);
    }
    assert!(
        found
            .density(20)
            .unwrap()
            .values
            .iter()
            .all(|x| x.is_finite())
    );
}

#[test]
fn condition_numbers_stop_with_what_is_known_of_the_ends() {
    let values: Vec<f64> = (0..80)
        .map(|i| 10f64.powf(-3.0 * f64::from(i) / 79.0))
        .collect();
    let op = operator(&with_spectrum(&values, 4));
    let lanczos = LanczosOptions {
        tolerance: 1e-10,
        max_iterations: 400,
        vectors: Some(80),
        ..Default::default()
    };
    let whole = condition_number(&op, 0.0, &lanczos, Seed::new(0)).unwrap();
    assert!(whole.resolved && !whole.stopped);
    let mut last = 0;
    let mut watch = |progress: &Progress| {
        assert!(progress.applications > last && progress.most == Some(802));
        last = progress.applications;
        ControlFlow::Continue(())
    };
    let watched = condition_number_observed(&op, 0.0, &lanczos, Seed::new(0), &mut watch);
    assert_eq!(watched.unwrap(), whole);
    assert!(last <= whole.applications);
    let counted = Counted::new(&op);
    for limit in [1, 10, whole.applications - 6] {
        let before = counted.applications();
        let found =
            condition_number_observed(&counted, 0.0, &lanczos, Seed::new(0), &mut at(limit));
        let found = found.unwrap();
        assert!(found.stopped && !found.resolved, "{limit}");
        assert_eq!(found.applications, counted.applications() - before);
        // three steps and a residual for each end, beyond what came before
        assert!(found.applications <= limit + 8, "{limit} {found:?}");
        // Rayleigh quotients lie within the spectrum
        assert!(
            found.value >= 1.0 && found.value <= 1e3 * (1.0 + 1e-9),
            "{found:?}"
        );
        assert!(found.largest <= 1.0 + 1e-12 && found.smallest >= 1e-3 - 1e-12);
    }
}
