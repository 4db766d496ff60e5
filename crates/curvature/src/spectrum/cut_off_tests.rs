//! Coverage over 200 seeds of rules that are cut off: bounds stand in the intervals, which may cover more often than they say.

use super::*;
use crate::test_coverage::{
    Case, Coverage, Judge, SEEDS, count, coverages_over, seeds_for, smooth, sum,
};
use crate::test_operators::{operator, with_spectrum};

fn options(probes: usize, steps: usize) -> SlqOptions {
    SlqOptions {
        probes,
        steps,
        ..Default::default()
    }
}

fn for_all(
    probes: &[usize],
    steps: &[usize],
    seeds: impl Fn(usize) -> u64,
    cases: impl Fn(&[f64], &SpectralMeasure) -> Vec<Case>,
    mut judge: impl FnMut(&str, &[Coverage]),
) {
    for (name, values) in smooth() {
        let op = operator(&with_spectrum(&values, 23));
        for (&probes, &steps) in probes
            .iter()
            .flat_map(|p| steps.iter().map(move |s| (p, s)))
        {
            let found = coverages_over(seeds(probes), |seed| {
                let measure = slq(&op, &options(probes, steps), seed).unwrap();
                cases(&values, &measure)
            });
            judge(&format!("{name}, {probes} vectors, {steps} steps"), &found);
        }
    }
}

#[test]
fn moments_within_the_degree_of_the_rule_are_honest() {
    let mut judge = Judge::default();
    let cases = |values: &[f64], measure: &SpectralMeasure| -> Vec<Case> {
        let moment = |order: i32| {
            let truth = sum(values, |t| t.powi(order)) / values.len() as f64;
            let found = measure.moment(order);
            assert_eq!(found.quadrature_error, 0.0);
            (format!("moment {order}"), truth, found)
        };
        [1, 2, 3, 5].map(moment).to_vec()
    };
    for_all(&[4, 10, 30], &[3, 8], seeds_for, cases, |setting, found| {
        judge.honest(setting, found);
    });
    judge.finish();
}

#[test]
fn counts_and_masses_are_covered() {
    let mut judge = Judge::default();
    let cases = |values: &[f64], measure: &SpectralMeasure| -> Vec<Case> {
        let mut cases = Vec::new();
        for cut in [0.02, 0.55] {
            let rank = measure.numerical_rank(cut);
            let truth = count(values, |t| t.abs() > cut);
            cases.push((format!("rank {cut}"), truth, rank));
            let signs = measure.inertia(cut);
            let truth = count(values, |t| t < -cut);
            cases.push((format!("negative {cut}"), truth, signs.negative));
            let truth = count(values, |t| t.abs() <= cut);
            cases.push((format!("zero {cut}"), truth, signs.zero));
            let truth = count(values, |t| t > cut);
            cases.push((format!("positive {cut}"), truth, signs.positive));
        }
        let bins = measure.histogram(Scale::Linear, 5).unwrap();
        for (bin, (low, high, mass)) in bins.into_iter().enumerate() {
            let low = if bin == 0 { f64::NEG_INFINITY } else { low };
            let high = if bin == 4 { f64::INFINITY } else { high };
            let truth = count(values, |t| low <= t && t < high) / values.len() as f64;
            cases.push((format!("bin {bin}"), truth, mass));
        }
        cases
    };
    for_all(
        &[4, 30],
        &[3, 8, 20],
        |_| SEEDS,
        cases,
        |setting, found| {
            judge.covering(setting, found, 0.9);
        },
    );
    judge.finish();
}

type Function = fn(f64) -> f64;

#[test]
fn functions_are_covered() {
    let mut judge = Judge::default();
    let cases = |values: &[f64], measure: &SpectralMeasure| -> Vec<Case> {
        let functions: [(&str, Function); 3] = [
            ("exp", |t| (0.5 * t).exp()),
            ("cos", |t| (2.0 * t).cos()),
            ("square", |t| t * t),
        ];
        let of_function = |(what, f): (&str, Function)| {
            (what.into(), sum(values, f), measure.trace_of_function(f))
        };
        let mut cases: Vec<Case> = functions.map(of_function).to_vec();
        let truth = sum(values, |t| t.abs() / (t.abs() + 0.1));
        let found = measure.effective_dimension(0.1).unwrap();
        cases.push(("effective dimension".into(), truth, found));
        cases
    };
    for_all(
        &[4, 10, 30],
        &[4, 8],
        |_| SEEDS,
        cases,
        |setting, found| {
            judge.covering(setting, found, 0.9);
        },
    );
    judge.finish();
}
