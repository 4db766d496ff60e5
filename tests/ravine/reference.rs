//! Loss, gradient and products against frozen f64 values of two other frameworks, for each workload, device, dtype and method.

use crate::support::devices;
use burn::tensor::DType;
use ravine_benches::Workload;
use ravine_benches::inputs::probe;
use ravine_curvature::{HvpMethod, LinearOperator, Point, vector};
use serde_json::Value;

/// What the reference holds about a workload.
pub(crate) fn entry(name: &str) -> Value {
    let text = include_str!("../reference/reference_f64.json");
    let mut reference: Value = serde_json::from_str(text).unwrap();
    reference["cos"][name].take()
}

/// Compares everything that the reference holds about products with the Hessian and the Gauss-Newton matrix.
fn check(name: &str, point: &Point, method: HvpMethod, tolerance: f64) {
    let entry = &entry(name);
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
    let mut samples = vec![
        ("g", g, "g_norm"),
        ("Hv", hv, "Hv_norm"),
        ("Hg", hg, "Hg_norm"),
    ];
    // the quadratic is a loss without outputs
    if method == HvpMethod::Recorded && entry["Gv_norm"].is_number() && name != "quad_1000" {
        let gv = point.gauss_newton().unwrap().apply(&v).unwrap();
        near(
            "‖Gv‖",
            vector::norm(&gv),
            number("Gv_norm"),
            number("Gv_norm"),
        );
        let scale = number("v_norm") * number("Gv_norm");
        near("vᵀGv", vector::dot(&v, &gv), number("vGv"), scale);
        samples.push(("Gv", gv, "Gv_norm"));
    }
    for (what, found, norm) in &samples {
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
