use super::*;
use crate::op::{Binary, Kind, Unary};
use burn_ir::Conv2dOptionsIr;

/// Inputs: a weight `[3, 4]`, a bias `[4]`, a batch `[5, 3]`.
fn linear() -> (Graph, ValueId) {
    let mut graph = Graph::default();
    let w = graph.input(Kind::Float, [3, 4]);
    let b = graph.input(Kind::Float, [4]);
    let x = graph.input(Kind::Float, [5, 3]);
    let product = graph.push(Op::Matmul, [x, w], Kind::Float, [5, 4]);
    let row = graph.push(Op::Reshape, [b], Kind::Float, [1, 4]);
    let sum = graph.push(Op::Binary(Binary::Add), [product, row], Kind::Float, [5, 4]);
    graph.outputs = vec![sum];
    (graph, w)
}

#[test]
fn a_product_and_a_sum_are_a_layer_with_a_bias() {
    let (graph, _) = linear();
    let found = find(&graph, 2);
    assert_eq!(found.len(), 1);
    let layer = &found[0].layer;
    assert_eq!((layer.weight, layer.bias), (0, Some(1)));
    assert_eq!((layer.groups, layer.inputs, layer.outputs), (1, 3, 4));
    assert_eq!(layer.strides, [0, 4, 1]);
    assert_eq!(layer.uses[0].rows, 5);
}

#[test]
fn a_weight_that_is_read_otherwise_is_no_layer() {
    let (mut graph, w) = linear();
    let exp = graph.push(Op::Unary(Unary::Exp), [w], Kind::Float, [3, 4]);
    graph.outputs.push(exp);
    assert!(find(&graph, 2).is_empty());
    let (mut graph, w) = linear();
    graph.outputs.push(w);
    assert!(find(&graph, 2).is_empty());
}

#[test]
fn a_bias_that_is_read_otherwise_stays_apart() {
    let (mut graph, _) = linear();
    let b = graph.inputs[1];
    let exp = graph.push(Op::Unary(Unary::Exp), [b], Kind::Float, [4]);
    graph.outputs.push(exp);
    assert_eq!(find(&graph, 2)[0].layer.bias, None);
}

#[test]
fn a_product_of_parameters_is_no_layer() {
    let mut graph = Graph::default();
    let w = graph.input(Kind::Float, [3, 4]);
    let v = graph.input(Kind::Float, [2, 3]);
    let x = graph.input(Kind::Float, [5, 2]);
    let product = graph.push(Op::Matmul, [v, w], Kind::Float, [2, 4]);
    let y = graph.push(Op::Matmul, [x, product], Kind::Float, [5, 4]);
    graph.outputs = vec![y];
    assert!(find(&graph, 2).is_empty());
}

#[test]
fn weights_through_views_on_either_side_and_twice_are_layers() {
    let mut graph = Graph::default();
    let w = graph.input(Kind::Float, [4, 3]);
    let x = graph.input(Kind::Float, [2, 5, 3]);
    let t = graph.push(Op::SwapDims(0, 1), [w], Kind::Float, [3, 4]);
    let t = graph.push(Op::Reshape, [t], Kind::Float, [1, 3, 4]);
    let t = graph.push(Op::Expand, [t], Kind::Float, [2, 3, 4]);
    let y = graph.push(Op::Matmul, [x, t], Kind::Float, [2, 5, 4]);
    let s = graph.push(Op::SwapDims(1, 2), [x], Kind::Float, [2, 3, 5]);
    let l = graph.push(Op::Reshape, [w], Kind::Float, [1, 4, 3]);
    let z = graph.push(Op::Matmul, [l, s], Kind::Float, [2, 4, 5]);
    graph.outputs = vec![y, z];
    let found = find(&graph, 1);
    assert_eq!(found.len(), 1);
    let layer = &found[0].layer;
    assert_eq!(
        (layer.inputs, layer.outputs, layer.strides),
        (3, 4, [0, 1, 3])
    );
    assert_eq!(layer.uses.len(), 2);
    assert_eq!(
        (found[0].places[0].side, found[0].places[1].side),
        (Side::Right, Side::Left)
    );
}

#[test]
fn a_convolution_is_a_layer_of_patches() {
    let mut graph = Graph::default();
    let w = graph.input(Kind::Float, [6, 2, 3, 3]);
    let b = graph.input(Kind::Float, [6]);
    let x = graph.input(Kind::Float, [5, 4, 7, 8]);
    let options = Conv2dOptionsIr {
        stride: [2, 1],
        padding: [(1, 1), (0, 0)],
        dilation: [1, 2],
        groups: 2,
    };
    let y = graph.push(Op::Conv2d(options), [x, w], Kind::Float, [5, 6, 4, 4]);
    let row = graph.push(Op::Reshape, [b], Kind::Float, [1, 6, 1, 1]);
    let sum = graph.push(Op::Binary(Binary::Add), [y, row], Kind::Float, [5, 6, 4, 4]);
    graph.outputs = vec![sum];
    let found = find(&graph, 2);
    let layer = &found[0].layer;
    assert_eq!((layer.groups, layer.inputs, layer.outputs), (2, 18, 3));
    assert_eq!((layer.strides, layer.bias), ([54, 1, 18], Some(1)));
    assert_eq!((layer.uses[0].rows, layer.uses[0].positions()), (5, 16));
}
