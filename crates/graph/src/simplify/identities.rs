//! Operations that give back their input: x · 1, x + 0, layouts that move nothing, reductions of one element.

use super::rewrite::{Rewriter, rewrite};
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Op, Reduce};
use burn::tensor::Slice;

pub(super) fn run(graph: Graph) -> Graph {
    rewrite(graph, |rewriter, node| {
        let out = node.outputs[0];
        if let Op::Reduce(function) = node.op {
            let alone = rewriter.elements(*node.inputs.first()?) == 1;
            return (alone && keeps_one(function)).then(|| rewriter.reshaped(node.inputs[0], out));
        }
        repeated(rewriter, node)
            .filter(|&x| rewriter.same_shape(x, out) && rewriter.kind(x) == rewriter.kind(out))
    })
}

/// The input that a node gives back, if its shape is that of the result.
fn repeated(rewriter: &Rewriter, node: &Node) -> Option<ValueId> {
    let x = *node.inputs.first()?;
    let gives_back = match &node.op {
        Op::Reshape | Op::Expand | Op::Cast | Op::RepeatDim { .. } | Op::Cat { .. } => true,
        Op::SwapDims(a, b) => a == b,
        Op::Permute(axes) => axes.is_sorted(),
        Op::Flip(axes) => axes.iter().all(|&axis| rewriter.dims(x)[axis] == 1),
        Op::Slice(ranges) => forward(ranges),
        Op::SliceAssign(ranges) => {
            // a part of the shape of the whole is the whole
            return forward(ranges).then_some(node.inputs[1]);
        }
        Op::Pad { padding, .. } => padding.iter().all(|&(before, after)| before + after == 0),
        Op::MaskWhere => return (node.inputs[2] == x).then_some(x),
        Op::ReduceDim(function, dim) => keeps_one(*function) && rewriter.dims(x)[*dim] == 1,
        Op::Cumulative(_, dim) => rewriter.dims(x)[*dim] == 1,
        Op::BinaryScalar(function, scalar) => match function {
            Binary::Mul | Binary::Div | Binary::Pow => scalar.elem::<f64>() == 1.0,
            Binary::Add | Binary::Sub => scalar.elem::<f64>() == 0.0,
            _ => false,
        },
        Op::Binary(function) => return neutral(rewriter, *function, x, node.inputs[1]),
        _ => false,
    };
    gives_back.then_some(x)
}

/// The operand beside a tensor of ones or zeros that changes nothing.
fn neutral(rewriter: &Rewriter, function: Binary, x: ValueId, y: ValueId) -> Option<ValueId> {
    let (left, right) = (rewriter.number(x), rewriter.number(y));
    let is = |number: Option<f64>, neutral: f64| number == Some(neutral);
    match function {
        Binary::Mul | Binary::Div if is(right, 1.0) => Some(x),
        Binary::Add | Binary::Sub if is(right, 0.0) => Some(x),
        Binary::Mul if is(left, 1.0) => Some(y),
        Binary::Add if is(left, 0.0) => Some(y),
        _ => None,
    }
}

fn keeps_one(function: Reduce) -> bool {
    use Reduce::{Max, Mean, Min, Prod, Sum};
    matches!(function, Sum | Mean | Prod | Max | Min)
}

fn forward(ranges: &[Slice]) -> bool {
    ranges.iter().all(|range| range.step == 1)
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;
    use crate::op::{Kind, Unary};
    use burn_ir::ScalarIr;

    #[test]
    fn neutral_elements_and_layouts_that_move_nothing_disappear() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [2, 1]);
        let ops = [
            Op::BinaryScalar(Binary::Mul, ScalarIr::Int(1)),
            Op::BinaryScalar(Binary::Sub, ScalarIr::Float(0.0)),
            Op::BinaryScalar(Binary::Pow, ScalarIr::Float(1.0)),
            Op::Reshape,
            Op::Cast,
            Op::Permute(vec![0, 1]),
            Op::Flip(vec![1]),
            Op::Slice(vec![Slice::from(0..2)]),
            Op::ReduceDim(Reduce::Sum, 1),
        ];
        let out = (ops.into_iter()).fold(x, |x, op| graph.push(op, [x], Kind::Float, [2, 1]));
        graph.outputs = vec![out];
        let simple = run(graph);
        assert!(simple.nodes.is_empty());
        assert_eq!(simple.outputs, [x]);
    }

    #[test]
    fn what_changes_something_stays() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [1, 3]);
        let ones = graph.push(Op::Full(ScalarIr::Int(1)), [], Kind::Float, [2, 3]);
        // a broadcast, a reversal, a power
        let a = graph.push(Op::Binary(Binary::Mul), [x, ones], Kind::Float, [2, 3]);
        let backwards = Slice::new(0, None, -1);
        let b = graph.push(Op::Slice(vec![backwards]), [a], Kind::Float, [2, 3]);
        let zero = Op::BinaryScalar(Binary::Pow, ScalarIr::Int(0));
        let c = graph.push(zero, [b], Kind::Float, [2, 3]);
        graph.outputs = vec![c];
        assert_eq!(names(&run(graph)), ["full", "mul", "slice", "pow_scalar"]);
    }

    #[test]
    fn a_sum_of_one_element_is_a_reshape() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [1, 1]);
        let sum = graph.push(Op::Reduce(Reduce::Sum), [x], Kind::Float, [1]);
        let out = graph.push(Op::Unary(Unary::Exp), [sum], Kind::Float, [1]);
        graph.outputs = vec![out];
        assert_eq!(names(&run(graph)), ["reshape", "exp"]);
    }
}
