//! Loss, gradient and products against frozen f64 values of two other frameworks, for each workload, device, dtype and method.

use crate::support::devices;
use burn::prelude::*;
use burn::tensor::DType;
use ravine_benches::Workload;
use ravine_benches::inputs::probe;
use ravine_curvature::{HvpMethod, LinearOperator, Point, vector};
use serde_json::Value;

/// Compares everything that the reference holds about products with the Hessian.
fn check(name: &str, point: &Point, method: HvpMethod, tolerance: f64) {
    let text = include_str!("../reference/reference_f64.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    let entry = &reference["cos"][name];
    let number = |key: &str| {
        entry[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} has no {key}"))
    };
    let numbers = |key: &str| -> Vec<f64> {
        entry[key]
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect()
    };
    let near = |what: &str, found: f64, expected: f64, scale: f64| {
        let error = (found - expected).abs() / scale;
        assert!(
            error <= tolerance,
            "{name} {what}: {found:e}, expected {expected:e}, error {error:e}"
        );
    };
    assert_eq!(point.dim(), number("n_params") as usize, "{name}");
    let hessian = point.hessian().by(method);
    let (g, v) = (point.gradient().unwrap(), probe(point));
    let hg = hessian.apply(&g).unwrap();
    let hv = hessian.apply(&v).unwrap();
    near(
        "loss",
        point.loss().unwrap(),
        number("loss"),
        number("loss"),
    );
    near("‖g‖", vector::norm(&g), number("g_norm"), number("g_norm"));
    near("gᵀg", vector::dot(&g, &g), number("gTg"), number("gTg"));
    near("gᵀHg", vector::dot(&g, &hg), number("gHg"), number("gHg"));
    near(
        "‖Hg‖",
        vector::norm(&hg),
        number("Hg_norm"),
        number("Hg_norm"),
    );
    near(
        "‖Hv‖",
        vector::norm(&hv),
        number("Hv_norm"),
        number("Hv_norm"),
    );
    let scale = number("v_norm") * number("Hv_norm");
    near("vᵀHv", vector::dot(&v, &hv), number("vHv"), scale);
    near(
        "gᵀHv",
        vector::dot(&g, &hv),
        number("gHv"),
        number("g_norm") * number("Hv_norm"),
    );
    for (what, found, norm) in [
        ("g", &g, "g_norm"),
        ("Hv", &hv, "Hv_norm"),
        ("Hg", &hg, "Hg_norm"),
    ] {
        let found = vector::to_f64(found);
        let places = numbers("sample_idx");
        for (place, expected) in places.iter().zip(numbers(&format!("{what}_sample"))) {
            near(what, found[*place as usize], expected, number(norm));
        }
    }
}

fn check_everywhere(name: &str) {
    for device in devices() {
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-4)] {
            for method in [HvpMethod::Recorded, HvpMethod::Tape] {
                let workload = Workload::new(name, &device, dtype).unwrap();
                check(name, workload.point(), method, tolerance);
            }
        }
    }
}

#[test]
fn mlp_small() {
    check_everywhere("mlp_small");
}

#[test]
fn mlp_digits() {
    check_everywhere("mlp_digits");
}

#[test]
fn logreg_illcond() {
    check_everywhere("logreg_illcond");
}

#[test]
fn quad_1000() {
    check_everywhere("quad_1000");
}

#[test]
fn cnn_small() {
    check_everywhere("cnn_small");
}

/// The top of the spectrum by Lanczos and the whole of it by a dense matrix.
#[test]
fn spectra() {
    let text = include_str!("../reference/reference_f64.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    let device = Device::flex();
    let workload = Workload::new("mlp_small", &device, DType::F64).unwrap();
    let point = workload.point();
    let entry = &reference["cos"]["mlp_small"];
    let top: Vec<f64> = entry["H_top10"]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect();
    let options = ravine_curvature::LanczosOptions {
        pairs: 10,
        tolerance: 1e-9,
        ..Default::default()
    };
    let found =
        ravine_curvature::lanczos_top_k(&point.hessian(), &options, ravine_curvature::Seed::new(1))
            .unwrap();
    let largest = top.iter().fold(f64::MIN, |m, x| m.max(*x));
    let mut expected = top.clone();
    expected.sort_by(|a, b| b.total_cmp(a));
    for (pair, expected) in found.pairs.iter().zip(&expected) {
        assert!(
            (pair.value - expected).abs() < 1e-8 * largest,
            "{} {expected}",
            pair.value
        );
        assert!(pair.residual < 1e-7 * largest, "{}", pair.residual);
    }
    let dense = ravine_curvature::dense(&point.hessian()).unwrap();
    let trace = entry["H_trace"].as_f64().unwrap();
    assert!((dense.trace() - trace).abs() < 1e-10 * trace.abs());
    assert!(dense.asymmetry() < 1e-12);
}
