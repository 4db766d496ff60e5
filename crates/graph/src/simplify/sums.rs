//! Sums and means of less: what is the same along the sum is taken out of it, repeated entries are counted, sums of sums are one.

use super::rewrite::{Rewriter, rewrite, scalar};
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Op, Reduce, Unary};

pub(super) fn run(graph: Graph) -> Graph {
    rewrite(graph, |rewriter, node| {
        let linear = matches!(
            node.op,
            Op::Reduce(Reduce::Sum | Reduce::Mean) | Op::ReduceDim(Reduce::Sum | Reduce::Mean, _)
        );
        // means of integers are rounded
        if !linear || !rewriter.is_float(node.outputs[0]) {
            return None;
        }
        let before = rewriter.producer(node.inputs[0])?.clone();
        of_expansion(rewriter, node, &before)
            .or_else(|| of_layout(rewriter, node, &before))
            .or_else(|| of_product(rewriter, node, &before))
    })
}

fn is_sum(op: &Op) -> bool {
    matches!(op, Op::Reduce(Reduce::Sum) | Op::ReduceDim(Reduce::Sum, _))
}

/// The dimensions of a result of reducing `dims`.
fn reduced(op: &Op, dims: &[usize]) -> Vec<usize> {
    let mut dims = dims.to_vec();
    match op {
        Op::ReduceDim(_, dim) => dims[*dim] = 1,
        _ => dims = vec![1],
    }
    dims
}

/// Reduces another value in the same way.
fn reduce(rewriter: &mut Rewriter, op: &Op, x: ValueId) -> ValueId {
    let dims = reduced(op, rewriter.dims(x));
    let along_one = matches!(op, Op::ReduceDim(_, dim) if rewriter.dims(x)[*dim] == 1);
    match along_one {
        true => x,
        false => rewriter.push(op.clone(), [x], rewriter.kind(x), dims),
    }
}

/// Of repeated entries: each as often as it is repeated.
fn of_expansion(rewriter: &mut Rewriter, node: &Node, before: &Node) -> Option<ValueId> {
    let (large, out) = (node.inputs[0], node.outputs[0]);
    if before.op != Op::Expand {
        return None;
    }
    let small = before.inputs[0];
    let repeats = match &node.op {
        Op::ReduceDim(_, dim) => {
            if rewriter.dims(small).len() != rewriter.dims(large).len() {
                return None;
            }
            rewriter.dims(large)[*dim].checked_div(rewriter.dims(small)[*dim])?
        }
        _ => rewriter
            .elements(large)
            .checked_div(rewriter.elements(small))?,
    };
    let mut sum = reduce(rewriter, &node.op, small);
    if is_sum(&node.op) && repeats != 1 {
        let times = Op::BinaryScalar(Binary::Mul, scalar(repeats as f64));
        sum = rewriter.push_like(times, [sum], sum);
    }
    Some(rewriter.expanded(sum, out))
}

/// Of all elements, wherever they stand and however they were added up before.
fn of_layout(rewriter: &mut Rewriter, node: &Node, before: &Node) -> Option<ValueId> {
    let Op::Reduce(function) = node.op else {
        return None;
    };
    let keeps_sum = match before.op {
        Op::Reshape | Op::SwapDims(..) | Op::Permute(_) | Op::Flip(_) => true,
        Op::ReduceDim(inner, _) => inner == function && rewriter.read_once(node.inputs[0]),
        _ => false,
    };
    keeps_sum.then(|| rewriter.push_like(node.op.clone(), [before.inputs[0]], node.outputs[0]))
}

/// Of a product with a factor that is the same along the sum: the factor is taken out, if nobody else reads the product.
fn of_product(rewriter: &mut Rewriter, node: &Node, before: &Node) -> Option<ValueId> {
    let product = node.inputs[0];
    if !rewriter.read_once(product) || rewriter.elements(product) == 1 {
        return None;
    }
    match (&before.op, &before.inputs[..]) {
        (Op::Unary(Unary::Neg) | Op::BinaryScalar(Binary::Mul | Binary::Div, _), &[x]) => {
            let sum = reduce(rewriter, &node.op, x);
            Some(rewriter.push_like(before.op.clone(), [sum], sum))
        }
        (Op::Binary(function @ (Binary::Mul | Binary::Div)), &[x, y]) => {
            let same = |x: ValueId| match &node.op {
                Op::ReduceDim(_, dim) => rewriter.dims(x)[*dim] == 1,
                _ => rewriter.elements(x) == 1,
            };
            let (varying, same) = match (same(x), same(y)) {
                (false, true) => (x, y),
                (true, false) if *function == Binary::Mul => (y, x),
                _ => return None,
            };
            Some(taken_out(rewriter, node, *function, varying, same))
        }
        _ => None,
    }
}

/// The sum of what varies, times what does not: along other dimensions either may be shorter than their product.
fn taken_out(
    rewriter: &mut Rewriter,
    node: &Node,
    function: Binary,
    varying: ValueId,
    same: ValueId,
) -> ValueId {
    let out = node.outputs[0];
    let sum = reduce(rewriter, &node.op, varying);
    let same = match node.op {
        Op::ReduceDim(..) => same,
        _ => rewriter.reshaped(same, out),
    };
    rewriter.push_like(Op::Binary(function), [sum, same], out)
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;
    use crate::op::Kind;

    fn sum(graph: &mut Graph, x: ValueId, dims: [usize; 2]) -> ValueId {
        graph.push(Op::ReduceDim(Reduce::Sum, 0), [x], Kind::Float, dims)
    }

    #[test]
    fn repeated_entries_are_counted() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [1, 3]);
        let rows = graph.push(Op::Expand, [x], Kind::Float, [5, 3]);
        graph.outputs = vec![sum(&mut graph, rows, [1, 3])];
        let simple = run(graph).without_dead_code();
        let times = Op::BinaryScalar(Binary::Mul, scalar(5.0));
        assert_eq!(simple.nodes[0].op, times);
        assert_eq!(simple.nodes.len(), 1);
    }

    #[test]
    fn a_factor_that_is_the_same_along_the_sum_is_taken_out() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [5, 3]);
        let y = graph.input(Kind::Float, [1, 3]);
        let product = graph.push(Op::Binary(Binary::Mul), [y, x], Kind::Float, [5, 3]);
        let half = Op::BinaryScalar(Binary::Mul, scalar(0.5));
        let half = graph.push(half, [product], Kind::Float, [5, 3]);
        graph.outputs = vec![sum(&mut graph, half, [1, 3])];
        let simple = run(run(graph).without_dead_code()).without_dead_code();
        assert_eq!(names(&simple), ["sum_dim", "mul", "mul_scalar"]);
        assert_eq!(simple.nodes[0].inputs, [x]);
    }

    #[test]
    fn a_product_that_is_read_elsewhere_is_summed_as_it_is() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [5, 3]);
        let y = graph.input(Kind::Float, [1, 3]);
        let product = graph.push(Op::Binary(Binary::Mul), [x, y], Kind::Float, [5, 3]);
        graph.outputs = vec![sum(&mut graph, product, [1, 3]), product];
        assert_eq!(names(&run(graph)), ["mul", "sum_dim"]);
    }

    #[test]
    fn a_sum_of_sums_is_one_sum() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [5, 3]);
        let swap = graph.push(Op::SwapDims(0, 1), [x], Kind::Float, [3, 5]);
        let rows = sum(&mut graph, swap, [1, 5]);
        let flat = graph.push(Op::Reshape, [rows], Kind::Float, [5]);
        let all = graph.push(Op::Reduce(Reduce::Sum), [flat], Kind::Float, [1]);
        graph.outputs = vec![all];
        let mut simple = graph;
        for _ in 0..3 {
            simple = run(simple).without_dead_code();
        }
        assert_eq!(names(&simple), ["sum"]);
    }
}
