//! Stochastic Lanczos quadrature on spectra that are known and hard.

use super::*;
use crate::seed::Seed;
use crate::test_coverage::{count, sum};
use crate::test_operators::{operator, spiked, with_spectrum};
use burn::prelude::Device;
use burn::tensor::DType;

fn options(probes: usize, steps: usize) -> SlqOptions {
    SlqOptions {
        probes,
        steps,
        ..Default::default()
    }
}

fn clusters(gap: f64) -> Vec<f64> {
    let centres = [-1.0, 0.5, 2.0];
    (0..60)
        .map(|i| centres[i % 3] * (1.0 + gap * (i / 3) as f64))
        .collect()
}

fn hard() -> Vec<(&'static str, Vec<f64>)> {
    let multiple = (0..60).map(|i| [-1.0, 0.0, 0.0, 3.0][i % 4]);
    let conditioned = (0..60).map(|i| 10_f64.powf(-12.0 * f64::from(i) / 59.0));
    let indefinite = (0..60).map(|i| (f64::from(i) - 31.3) / 10.0);
    vec![
        ("gaps of 1e-6", clusters(1e-6)),
        ("gaps of 1e-9", clusters(1e-9)),
        ("multiple", multiple.collect()),
        ("condition 1e12", conditioned.collect()),
        ("indefinite", indefinite.collect()),
    ]
}

#[test]
fn an_eigenvalue_lies_within_the_residual_of_each_node() {
    for (name, values) in hard() {
        let matrix = with_spectrum(&values, 81);
        let scale = values.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        for (dtype, rounding) in [(DType::F64, 1e-13), (DType::F32, 1e-6)] {
            let op = matrix.operator(&Device::flex(), dtype);
            for (steps, vectors) in [
                (4, LanczosVectors::All),
                (15, LanczosVectors::All),
                (60, LanczosVectors::All),
                (15, LanczosVectors::LastTwo),
            ] {
                let options = SlqOptions {
                    vectors,
                    ..options(6, steps)
                };
                let measure = slq(&op, &options, Seed::new(1)).unwrap();
                for probe in &measure.probes {
                    assert!((probe.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                    for (node, residual) in probe.nodes.iter().zip(&probe.residuals) {
                        let distances = values.iter().map(|x| (x - node).abs());
                        let nearest = distances.fold(f64::INFINITY, f64::min);
                        assert!(
                            nearest <= residual + rounding * scale,
                            "{name} {dtype:?} {steps} {vectors:?}: {node} {nearest:e} {residual:e}"
                        );
                    }
                }
            }
        }
    }
}

/// A cluster that the steps cannot resolve is one node with the weight of all of it.
#[test]
fn clusters_share_a_node() {
    for (gap, dtype) in [(1e-6, DType::F64), (1e-9, DType::F64), (1e-9, DType::F32)] {
        let values = clusters(gap);
        let op = with_spectrum(&values, 82).operator(&Device::flex(), dtype);
        let measure = slq(&op, &options(200, 6), Seed::new(2)).unwrap();
        let exact = measure.trace_of_function(f64::cos);
        let (low, high) = exact.interval(0.999);
        let truth = sum(&values, f64::cos);
        assert!(low <= truth && truth <= high, "{gap:e} {exact:?}");
        assert!(exact.quadrature_error < 1e-3, "{exact:?}");
        let signs = measure.inertia(0.2);
        for (found, truth) in [(signs.negative, 20.0), (signs.positive, 40.0)] {
            let (low, high) = found.interval(0.999);
            assert!(low <= truth && truth <= high, "{gap:e} {found:?}");
            assert!(found.quadrature_error < 0.1, "{found:?}");
        }
        let outliers = measure.outliers(0.05);
        assert_eq!(outliers.len(), 3, "{outliers:?}");
        for outlier in outliers {
            let (low, high) = outlier.multiplicity.interval(0.999);
            assert!(low <= 20.0 && 20.0 <= high, "{outlier:?}");
        }
    }
}

/// As many nodes as different eigenvalues, and no error of the quadrature.
#[test]
fn multiple_eigenvalues_end_the_recurrence() {
    let (_, values) = &hard()[2];
    let op = operator(&with_spectrum(values, 83));
    let measure = slq(&op, &options(40, 30), Seed::new(3)).unwrap();
    for probe in &measure.probes {
        assert_eq!(probe.nodes.len(), 3);
        for (node, value) in probe.nodes.iter().zip([-1.0, 0.0, 3.0]) {
            assert!((node - value).abs() < 1e-12);
        }
    }
    let square = measure.trace_of_function(|t| t.powi(9));
    assert_eq!(square.quadrature_error, 0.0);
    assert_eq!(measure.applications, 40 * 3);
}

#[test]
fn one_outlier_over_a_semicircle() {
    let (n, spike) = (400, 4.0);
    let matrix = spiked(n, spike, 84);
    let values = matrix.eigenvalues().unwrap();
    assert!((values[n - 1] - spike - 1.0 / spike).abs() < 4.0 * (2.0 / n as f64).sqrt());
    for (dtype, near) in [(DType::F64, 1e-9), (DType::F32, 1e-5)] {
        let op = matrix.operator(&Device::flex(), dtype);
        let measure = slq(&op, &options(30, 60), Seed::new(4)).unwrap();
        let outliers = measure.outliers(0.5);
        assert_eq!(outliers.len(), 1, "{outliers:?}");
        assert!((outliers[0].value - values[n - 1]).abs() < outliers[0].residual + near);
        let (low, high) = outliers[0].multiplicity.interval(0.99);
        assert!(low <= 1.0 && 1.0 <= high, "{outliers:?}");
        assert!(outliers[0].multiplicity.standard_error < 0.5);
        // the edges: the outermost nodes but the outlier
        let below = |probe: &ProbeMeasure| probe.nodes[probe.nodes.len() - 2];
        let edge = measure.probes.iter().map(below).fold(f64::MIN, f64::max);
        assert!((edge - values[n - 2]).abs() < 1e-3, "{edge}");
        assert!((measure.smallest() - values[0]).abs() < 1e-3);
        // the bulk is the semicircle's, but for the one that left it
        let curve = measure.density(Scale::Linear, 0.12, 300).unwrap();
        for (t, density) in curve.eigenvalues.iter().zip(&curve.values) {
            if t.abs() < 1.7 {
                let law = (4.0 - t * t).sqrt() / (2.0 * std::f64::consts::PI);
                assert!((density - law).abs() < 0.035, "{t} {density} {law}");
            }
        }
    }
}

#[test]
fn a_condition_number_of_1e12_from_all_steps() {
    let (_, values) = &hard()[3];
    let matrix = with_spectrum(values, 85);
    let op = operator(&matrix);
    let measure = slq(&op, &options(200, 60), Seed::new(5)).unwrap();
    assert!((measure.largest() - 1.0).abs() < 1e-13);
    assert!(measure.smallest().abs() < 1e-12 + 1e-14);
    for cut in [2e-6, 2e-3, 0.2] {
        let found = measure.numerical_rank(cut);
        let truth = count(values, |t| t > cut);
        let (low, high) = found.interval(0.999);
        assert!(low <= truth && truth <= high, "{cut} {truth} {found:?}");
    }
    let found = measure.log_determinant(1e-9).unwrap();
    let truth = sum(values, |t| (t + 1e-9).ln());
    let (low, high) = found.interval(0.999);
    assert!(low <= truth && truth <= high, "{truth} {found:?}");
}
