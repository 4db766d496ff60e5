//! Coverage over 200 seeds with few probes and with many.

use super::*;
use crate::estimate::Estimate;
use crate::seed::Seed;
use crate::test_coverage::{
    Case, Judge, RANK_ONE, coverages, coverages_over, seeds_for, smooth, sum,
};
use crate::test_operators::{operator, with_spectrum};

const PROBES: [Probe; 3] = [Probe::Rademacher, Probe::Gaussian, Probe::Sphere];

fn case(what: &str, truth: f64, estimate: Estimate) -> Case {
    (what.into(), truth, estimate)
}

/// The interval of few samples is short where they are as skewed as χ² with one degree of freedom: see [`hutchinson_trace`].
fn least(name: &str, samples: usize) -> Option<f64> {
    let known = [(4, 0.8), (10, 0.84), (30, 0.87)];
    let known = known.into_iter().find(|(most, _)| samples <= *most);
    known.filter(|_| name == RANK_ONE).map(|(_, least)| least)
}

#[test]
fn independent_samples() {
    let mut judge = Judge::default();
    for (name, values) in smooth() {
        let matrix = with_spectrum(&values, 41);
        let (op, diagonal) = (operator(&matrix), matrix.diagonal());
        let trace = sum(&values, |t| t);
        let norm = sum(&values, |t| t * t).sqrt();
        for (probe, samples) in PROBES
            .into_iter()
            .flat_map(|p| [4, 10, 30, 100].map(|s| (p, s)))
        {
            let options = HutchinsonOptions {
                probe,
                stopping: StoppingRule::Probes(samples),
            };
            let seeds = seeds_for(samples);
            let found = coverages_over(seeds, |seed| {
                let found = hutchinson_trace(&op, &options, seed).unwrap();
                let length = frobenius_norm(&op, &options, seed).unwrap();
                vec![
                    case("trace", trace, found.estimate),
                    case("Frobenius norm", norm, length),
                ]
            });
            let setting = format!("{name}, {samples} {probe:?}");
            match least(name, samples) {
                Some(least) => judge.covering(&setting, &found, least),
                None => judge.honest(&setting, &found),
            }
            let found = coverages_over(seeds, |seed| {
                let found = diagonal_estimate(&op, &options, seed).unwrap();
                [0, 20, 59]
                    .map(|i| case("entry", diagonal[i], found.entry(i).unwrap()))
                    .to_vec()
            });
            judge.honest(&setting, &found);
        }
    }
    judge.finish();
}

#[test]
fn sketches() {
    let mut judge = Judge::default();
    for (name, values) in smooth() {
        let op = operator(&with_spectrum(&values, 42));
        let trace = sum(&values, |t| t);
        for (probe, products) in PROBES
            .into_iter()
            .flat_map(|p| [12, 30, 48].map(|s| (p, s)))
        {
            let options = SketchOptions { products, probe };
            let found = coverages_over(seeds_for(products / 3), |seed| {
                let plus = hutch_plus_plus(&op, &options, seed).unwrap();
                let x = xtrace(&op, &options, seed).unwrap();
                vec![
                    case("Hutch++", trace, plus.estimate),
                    case("XTrace", trace, x.estimate),
                ]
            });
            judge.honest(&format!("{name}, {products} {probe:?}"), &found);
        }
    }
    judge.finish();
}

#[test]
fn diagonals_by_sketches() {
    let mut judge = Judge::default();
    for (name, values) in smooth() {
        let matrix = with_spectrum(&values, 43);
        let (op, diagonal) = (operator(&matrix), matrix.diagonal());
        for products in [12, 30, 48] {
            let found = coverages(|seed: Seed| {
                let found = xdiag(&op, &XDiagOptions { products }, seed).unwrap();
                let entry = |i: usize| case("XDiag", diagonal[i], found.entry(i).unwrap());
                [0, 20, 59].map(entry).to_vec()
            });
            judge.honest(&format!("{name}, {products}"), &found);
        }
    }
    judge.finish();
}

#[test]
fn ranks_relative_to_the_largest_eigenvalue() {
    let mut judge = Judge::default();
    for (name, values) in smooth() {
        let op = operator(&with_spectrum(&values, 44));
        let largest = values.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        let stable = sum(&values, |t| t * t) / (largest * largest);
        let intrinsic = sum(&values, |t| t) / largest;
        for samples in [4, 10, 30, 100] {
            let options = HutchinsonOptions {
                probe: Probe::Sphere,
                stopping: StoppingRule::Probes(samples),
            };
            let found = coverages(|seed| {
                let rank = stable_rank(&op, &options, seed).unwrap().unwrap();
                let mut cases = vec![case("stable rank", stable, rank)];
                if ["flat", "decaying"].contains(&name) {
                    let found = intrinsic_dimension(&op, &options, seed).unwrap();
                    cases.push(case("intrinsic dimension", intrinsic, found.unwrap()));
                }
                cases
            });
            let setting = format!("{name}, {samples}");
            match least(name, samples) {
                Some(least) => judge.covering(&setting, &found, least),
                None => judge.honest(&setting, &found),
            }
        }
    }
    judge.finish();
}
