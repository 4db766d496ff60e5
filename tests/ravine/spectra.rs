//! Spectra, traces and diagonals against frozen f64 values of two other frameworks.

use crate::reference::entry;
use burn::prelude::*;
use burn::tensor::DType;
use ravine_benches::Workload;
use ravine_curvature::{
    DenseSymmetric, LanczosOptions, LinearOperator, Seed, Which, dense, exact_diagonal,
    lanczos_top_k,
};
use serde_json::Value;

fn numbers(entry: &Value, key: &str) -> Vec<f64> {
    let list = entry[key].as_array().unwrap();
    list.iter().map(|x| x.as_f64().unwrap()).collect()
}

fn near(what: &str, found: f64, expected: f64, allowed: f64) {
    let error = (found - expected).abs();
    assert!(
        error <= allowed,
        "{what}: {found:e}, expected {expected:e}, error {error:e}"
    );
}

fn hessian(name: &str) -> Box<dyn LinearOperator> {
    let workload = Workload::new(name, &Device::flex(), DType::F64).unwrap();
    Box::new(workload.point().hessian())
}

fn check_diagonal(name: &str, matrix: &[f64], entry: &Value) {
    let trace = entry["H_trace"].as_f64().unwrap();
    near(name, matrix.iter().sum(), trace, 1e-10 * trace.abs());
    let norm = matrix.iter().map(|x| x * x).sum::<f64>().sqrt();
    let expected = entry["H_diag_norm"].as_f64().unwrap();
    near(name, norm, expected, 1e-10 * expected);
    let places = numbers(entry, "sample_idx");
    for (place, sample) in places.iter().zip(numbers(entry, "H_diag_sample")) {
        near(name, matrix[*place as usize], sample, 1e-10 * expected);
    }
}

/// Trace and diagonal where the whole matrix would take long.
fn check_exact_diagonal(name: &str) {
    let diagonal = exact_diagonal(hessian(name).as_ref()).unwrap();
    check_diagonal(name, &diagonal.values, &entry(name));
}

/// The whole spectrum of a matrix that is written out.
fn check_dense(name: &str) {
    let entry = entry(name);
    let matrix: DenseSymmetric = dense(hessian(name).as_ref()).unwrap();
    assert!(matrix.asymmetry() < 1e-12);
    check_diagonal(name, &matrix.diagonal(), &entry);
    let eigen = matrix.eigen().unwrap();
    let values = eigen.values();
    let largest = values.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    for (found, expected) in values.iter().rev().zip(numbers(&entry, "H_top10")) {
        near(name, *found, expected, 1e-12 * largest);
    }
    for (found, expected) in values.iter().zip(numbers(&entry, "H_bottom5")) {
        near(name, *found, expected, 1e-12 * largest);
    }
    let frobenius = values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let expected = entry["H_fro"].as_f64().unwrap();
    near(name, frobenius, expected, 1e-12 * expected);
    let rank = values.iter().filter(|x| x.abs() > 1e-10 * largest).count();
    assert_eq!(rank as u64, entry["H_rank_1e_10"].as_u64().unwrap());
    let negative = values.iter().filter(|x| **x < -1e-10 * largest).count();
    assert_eq!(negative as u64, entry["H_negative_eigs"].as_u64().unwrap());
}

/// Both ends of the spectrum by Lanczos iteration.
fn check_lanczos(name: &str, lowest: f64) {
    let entry = entry(name);
    let hessian = hessian(name);
    for (which, pairs, key, allowed) in [
        (Which::LargestAlgebraic, 10, "H_top10", 1e-8),
        (Which::SmallestAlgebraic, 5, "H_bottom5", lowest),
    ] {
        let options = LanczosOptions {
            pairs,
            which,
            tolerance: 1e-8,
            ..Default::default()
        };
        let found = lanczos_top_k(hessian.as_ref(), &options, Seed::new(1)).unwrap();
        let expected = numbers(&entry, key);
        let largest = numbers(&entry, "H_top10")[0];
        assert_eq!(found.pairs.len(), pairs, "{name} {:?}", found.ending);
        for (pair, expected) in found.pairs.iter().zip(expected) {
            near(name, pair.value, expected, allowed * largest);
            assert!(pair.residual < 2e-8 * largest, "{name} {}", pair.residual);
        }
    }
}

#[test]
fn logistic_regression() {
    check_dense("logreg_illcond");
}

#[test]
fn quadratic() {
    check_dense("quad_1000");
}

#[test]
fn small_perceptron() {
    check_dense("mlp_small");
    check_lanczos("mlp_small", 1e-8);
}

#[test]
fn convolutions() {
    check_exact_diagonal("cnn_small");
    check_lanczos("cnn_small", 1e-8);
}

#[test]
fn perceptron_on_digits() {
    check_exact_diagonal("mlp_digits");
    // the reference's lower end was computed to 1e-6
    check_lanczos("mlp_digits", 1e-6);
}
