//! What is timed computes the right thing: against frozen f64 references where there are any, by two executions elsewhere.

use burn::prelude::*;
use burn::tensor::DType;
use ravine_benches::inputs::probe;
use ravine_benches::{Checksum, Execution, Operation, Repeatable, Workload, workloads};
use ravine_curvature::vector;
use serde_json::Value;

/// In f32.
const TOLERANCE: f64 = 2e-4;

fn workload(name: &str) -> Workload {
    Workload::new(name, &Device::flex(), DType::F32).unwrap()
}

fn checksum(workload: &Workload, operation: Operation, execution: Execution) -> Checksum {
    let repeatable = Repeatable::new(workload, operation, execution)
        .unwrap_or_else(|error| panic!("{}: {error}", workload.name()));
    let v = vector::to_f64(&probe(workload.point()));
    repeatable.run().unwrap().checksum(&v)
}

fn near(what: &str, found: Option<f64>, expected: f64, scale: f64) {
    let found = found.unwrap_or_else(|| panic!("{what} is missing"));
    let error = (found - expected).abs() / scale.abs();
    assert!(
        error < TOLERANCE,
        "{what}: {found:e}, expected {expected:e}"
    );
}

#[test]
fn timed_operations_agree_with_the_references() {
    let text = include_str!("../../tests/reference/reference_f64.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    for (name, entry) in reference["cos"].as_object().unwrap() {
        let workload = workload(name);
        let number = |key: &str| entry[key].as_f64().unwrap();
        assert_eq!(workload.point().dim() as f64, number("n_params"), "{name}");
        assert_eq!(workload.batch() as f64, number("batch"), "{name}");
        let gradient = checksum(&workload, Operation::Grad, Execution::Recorded);
        near(name, gradient.loss, number("loss"), number("loss"));
        near(name, gradient.g_norm, number("g_norm"), number("g_norm"));
        for execution in [Execution::Recorded, Execution::Tape] {
            let product = checksum(&workload, Operation::Hvp, execution);
            let norm = number("Hv_norm");
            near(name, product.norm, norm, norm);
            near(name, product.vav, number("vHv"), number("v_norm") * norm);
        }
    }
}

#[test]
fn estimates_are_near_the_references() {
    let text = include_str!("../../tests/reference/reference_f64.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    for name in ["mlp_small", "logreg_illcond"] {
        let workload = workload(name);
        let trace = reference["cos"][name]["H_trace"].as_f64().unwrap();
        let estimate = checksum(&workload, Operation::Trace100, Execution::Recorded).trace;
        let sum = checksum(&workload, Operation::Diag100, Execution::Recorded).sum;
        // the deviation of an estimate from 100 vectors is some percent here; both come from the same vectors
        assert!((estimate.unwrap() / trace - 1.0).abs() < 0.2, "{name}");
        near(name, sum, estimate.unwrap(), trace);
    }
}

#[test]
fn workloads_without_references_agree_between_executions() {
    for name in workloads::OWN {
        let workload = workload(name);
        let gradient = checksum(&workload, Operation::Grad, Execution::Recorded);
        assert!(gradient.loss.unwrap().is_finite(), "{name}");
        assert!(gradient.g_norm.unwrap().is_finite(), "{name}");
        let recorded = checksum(&workload, Operation::Hvp, Execution::Recorded);
        let tape = checksum(&workload, Operation::Hvp, Execution::Tape);
        let norm = tape.norm.unwrap();
        assert!(norm > 0.0, "{name}");
        near(name, recorded.norm, norm, norm);
        let v_norm = vector::norm(&probe(workload.point()));
        near(name, recorded.vav, tape.vav.unwrap(), v_norm * norm);
    }
}

#[test]
fn every_name_can_be_built_and_others_are_refused() {
    for name in workloads::names() {
        assert_eq!(workload(name).name(), name);
    }
    let error = Workload::new("mlp", &Device::flex(), DType::F32).err();
    assert!(error.unwrap().to_string().contains("mlp_small"));
}

#[test]
fn matrix_products_are_counted() {
    // forward 2·128·(64·32 + 32·10); backward the same again for the weights, and 2·128·32·10 for the hidden values
    let forward = 2 * 128 * (64 * 32 + 32 * 10);
    let flops = workload("mlp_small").flops().unwrap().unwrap();
    assert_eq!(flops.gradient, 2 * forward + 2 * 128 * 32 * 10);
    assert!((1.0..2.5).contains(&flops.ratio()), "{}", flops.ratio());
    assert_eq!(workload("resnet").flops().unwrap(), None);
}

#[test]
fn a_point_keeps_a_few_times_what_a_gradient_keeps() {
    for name in workloads::names() {
        let workload = workload(name);
        workload.point().prepare().unwrap();
        let kept = workload.point().bytes_kept() as f64 / 4.0;
        let activations = workload.activations().unwrap() as f64;
        // the quadratic is its own Hessian: nothing is kept
        assert!(
            kept <= 4.0 * activations,
            "{name}: {kept} numbers kept, {activations} by the gradient"
        );
    }
}
