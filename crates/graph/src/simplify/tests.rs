//! Each pass alone, and all of them, change no result: on every operation, on random chains, on recorded derivatives.

use super::*;
use crate::batching::tests::{self, examples};
use crate::op::{Binary, Kind, Op, Unary};
use burn::prelude::Device;
use burn::tensor::TensorData;
use burn_ir::ScalarIr;

mod chains;
mod recorded;

/// Passes that only move data, or leave it out: they change no bit, but for products, which the device adds up in an order that
/// depends on the layout of the factors.
const EXACT: [&str; 4] = [
    "repeated computations",
    "layouts in a row",
    "broadcasts",
    "parts",
];

pub(super) fn names(graph: &Graph) -> Vec<String> {
    graph.nodes.iter().map(|node| node.op.name()).collect()
}

/// All outputs in f64, with a check of every shape on the way.
fn evaluate(graph: &Graph, inputs: &[TensorData]) -> Vec<Vec<f64>> {
    let outputs = tests::evaluate(graph, inputs, &Device::flex());
    outputs.into_iter().map(|output| output.elements).collect()
}

fn assert_same(what: &str, found: &[Vec<f64>], expected: &[Vec<f64>], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (position, (found, expected)) in found.iter().zip(expected).enumerate() {
        let largest = expected
            .iter()
            .fold(0.0f64, |largest, x| largest.max(x.abs()));
        for (x, y) in found.iter().zip(expected) {
            let same = x == y
                || (x.is_nan() && y.is_nan())
                || (x - y).abs() <= tolerance * largest.max(1.0);
            assert!(same, "{what}: {x:e} is not {y:e} in output {position}");
        }
    }
}

/// How many nodes each pass changed or removed, all graphs together.
type Found = std::collections::BTreeMap<&'static str, usize>;

/// Runs each pass alone, and all of them together, and compares what is computed before and after.
fn check(what: &str, graph: &Graph, inputs: &[TensorData], found: &mut Found) {
    let expected = evaluate(graph, inputs);
    let has_products = graph.nodes.iter().any(|node| node.op == Op::Matmul);
    for pass in &PASSES {
        let after = (pass.run)(graph.clone()).without_dead_code();
        if after.nodes == graph.nodes && after.outputs == graph.outputs {
            continue;
        }
        *found.entry(pass.name).or_default() += 1;
        let exact = EXACT.contains(&pass.name) && !has_products;
        let tolerance = if exact { 0.0 } else { 1e-13 };
        let what = format!("{what}, {}, \n{graph}\nbecame\n{after}\n", pass.name);
        assert_same(&what, &evaluate(&after, inputs), &expected, tolerance);
    }
    let (after, report) = simplify_reported(graph.clone());
    let what = format!("{what}, all passes, \n{graph}\nbecame\n{after}\n");
    assert_same(&what, &evaluate(&after, inputs), &expected, 1e-13);
    assert_eq!(report.after, after.nodes.len());
    // nothing more to find
    let again = simplify(after.clone());
    assert_eq!(
        (&again.nodes, &again.outputs),
        (&after.nodes, &after.outputs),
        "{what}"
    );
}

#[test]
fn no_operation_alone_is_changed() {
    for (name, graph, inputs) in examples() {
        check(&name, &graph, &inputs, &mut Found::new());
    }
}

#[test]
fn a_report_accounts_for_every_node() {
    let mut graph = Graph::default();
    let x = graph.input(Kind::Float, [2, 3]);
    let one = graph.push(Op::Full(ScalarIr::Int(1)), [], Kind::Float, [1, 1]);
    let ones = graph.push(Op::Expand, [one], Kind::Float, [2, 3]);
    let product = graph.push(Op::Binary(Binary::Mul), [x, ones], Kind::Float, [2, 3]);
    graph.push(Op::Unary(Unary::Log), [product], Kind::Float, [2, 3]);
    let out = graph.push(Op::Unary(Unary::Exp), [product], Kind::Float, [2, 3]);
    graph.outputs = vec![out];
    let (simple, report) = simplify_reported(graph);
    assert_eq!(names(&simple), ["exp"]);
    assert_eq!((report.before, report.after, report.dead), (5, 1, 1));
    let removed: isize = report.passes.iter().map(|(_, removed)| removed).sum();
    assert_eq!(removed, 3);
    assert_eq!(
        report.to_string(),
        "1 operations of 5 are left; not needed: 1; uniform tensors: 2; identities: 1"
    );
}
