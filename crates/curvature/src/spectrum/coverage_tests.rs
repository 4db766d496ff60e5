//! Coverage over 200 seeds where the rules are exact, so that only the random vectors err.

use super::*;
use crate::seed::Seed;
use crate::test_coverage::{Case, Judge, RANK_ONE, count, coverages_over, seeds_for, stepped, sum};
use crate::test_operators::{operator, with_spectrum};

const PROBES: [usize; 3] = [4, 10, 30];

/// More steps than different eigenvalues: the Krylov spaces become invariant.
fn whole(probes: usize) -> SlqOptions {
    SlqOptions {
        probes,
        steps: 12,
        ..Default::default()
    }
}

/// Judges estimates of a measure on all stepped spectra.
fn judge(cases: impl Fn(&str, &[f64], &SpectralMeasure) -> Vec<Case>) {
    let mut judge = Judge::default();
    for (name, values) in stepped() {
        let op = operator(&with_spectrum(&values, 21));
        for probes in PROBES {
            let found = coverages_over(seeds_for(probes), |seed| {
                let measure = slq(&op, &whole(probes), seed).unwrap();
                let cases = cases(name, &values, &measure);
                assert!(cases.iter().all(|case| case.2.quadrature_error < 1e-4));
                cases
            });
            judge.honest(&format!("{name}, {probes} vectors"), &found);
        }
    }
    judge.finish();
}

#[test]
fn ranks_and_signs() {
    judge(|_, values, measure| {
        let mut cases = Vec::new();
        for cut in [0.05, 0.3] {
            let rank = count(values, |t| t.abs() > cut);
            let signs = measure.inertia(cut);
            let negative = count(values, |t| t < -cut);
            let positive = count(values, |t| t > cut);
            let zero = values.len() as f64 - negative - positive;
            let all = [
                ("rank", rank, measure.numerical_rank(cut)),
                ("negative", negative, signs.negative),
                ("zero", zero, signs.zero),
                ("positive", positive, signs.positive),
            ];
            cases.extend(all.map(|(what, truth, found)| (format!("{what} {cut}"), truth, found)));
        }
        cases
    });
}

#[test]
fn moments_and_traces_of_functions() {
    judge(|name, values, measure| {
        let n = values.len() as f64;
        let moments = [1, 2, 4].map(|order| {
            let truth = sum(values, |t| t.powi(order)) / n;
            (format!("moment {order}"), truth, measure.moment(order))
        });
        let mut cases = moments.to_vec();
        let exponential = measure.trace_of_function(f64::exp);
        cases.push(("exp".into(), sum(values, f64::exp), exponential));
        let dimension = measure.effective_dimension(0.05).unwrap();
        let truth = sum(values, |t| t.abs() / (t.abs() + 0.05));
        cases.push(("effective dimension".into(), truth, dimension));
        if ["flat", "decaying"].contains(&name) {
            let truth = sum(values, |t| (t + 1e-3).ln());
            let found = measure.log_determinant(1e-3).unwrap();
            cases.push(("log-determinant".into(), truth, found));
        }
        cases
    });
}

#[test]
fn masses_of_histograms() {
    judge(|_, values, measure| {
        let scales = [Scale::Linear, Scale::SymmetricLog { threshold: 0.02 }];
        let mut cases = Vec::new();
        for scale in scales {
            let bins = measure.histogram(scale, 3).unwrap();
            for (bin, (low, high, mass)) in bins.into_iter().enumerate() {
                // the outermost edges are eigenvalues up to rounding
                let low = if bin == 0 { f64::NEG_INFINITY } else { low };
                let high = if bin == 2 { f64::INFINITY } else { high };
                let truth = count(values, |t| low <= t && t < high) / values.len() as f64;
                cases.push((format!("bin {bin} {scale:?}"), truth, mass));
            }
        }
        cases
    });
}

/// As many steps as different eigenvalues: more would add nodes of no weight, which are not converged.
#[test]
fn multiplicities_of_outliers() {
    let mut judge = Judge::default();
    for (name, values) in stepped() {
        let op = operator(&with_spectrum(&values, 24));
        let (steps, gap, expected): (usize, f64, &[f64]) = match name {
            "flat" => (5, 0.05, &[1.2, 1.1, 1.0, 0.9, 0.8]),
            "decaying" => (5, 0.5, &[1.0]),
            RANK_ONE => (6, 0.4, &[10.0]),
            _ => (5, 0.4, &[3.0, 0.5, 0.0, -0.5, -2.0]),
        };
        for probes in PROBES {
            let options = SlqOptions {
                steps,
                ..whole(probes)
            };
            let found = coverages_over(seeds_for(probes), |seed| {
                let outliers = slq(&op, &options, seed).unwrap().outliers(gap);
                assert!(outliers.len() >= expected.len(), "{name} {outliers:?}");
                let cases = outliers.iter().zip(expected).map(|(outlier, value)| {
                    let error = (outlier.value - value).abs();
                    assert!(error <= outlier.residual + 1e-9, "{name} {outlier:?}");
                    let truth = count(&values, |t| t == *value);
                    (format!("outlier {value}"), truth, outlier.multiplicity)
                });
                cases.collect()
            });
            judge.honest(&format!("{name}, {probes} vectors"), &found);
        }
    }
    judge.finish();
}

/// The standard error is that of the values over seeds, also where one eigenvalue decides.
#[test]
fn the_standard_error_has_the_size_of_the_error() {
    for (name, values) in stepped() {
        let op = operator(&with_spectrum(&values, 22));
        for probes in [4, 10] {
            let truth = sum(&values, |t| t * t);
            let (mut errors, mut variances) = (0.0, 0.0);
            for seed in 0..400 {
                let measure = slq(&op, &whole(probes), Seed::new(seed)).unwrap();
                let found = measure.trace_of_function(|t| t * t);
                errors += (found.value - truth).powi(2);
                variances += found.standard_error.powi(2);
            }
            let ratio = variances / errors;
            println!("{name} {probes}: {ratio:.2}");
            assert!((0.75..=1.5).contains(&ratio), "{name} {probes} {ratio}");
        }
    }
}
