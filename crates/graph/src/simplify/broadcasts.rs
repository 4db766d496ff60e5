//! Repeated entries: functions are taken before entries are repeated, and operations that broadcast repeat by themselves.

use super::rewrite::{Rewriter, axes, broadcast, rewrite};
use crate::graph::{Graph, Node, ValueId};
use crate::op::Op;

pub(super) fn run(graph: Graph) -> Graph {
    rewrite(graph, |rewriter, node| {
        let (out, rank) = (node.outputs[0], rewriter.dims(node.outputs[0]).len());
        match (&node.op, &node.inputs[..]) {
            (Op::Unary(_) | Op::BinaryScalar(..), &[x]) => {
                let x = rewriter.input_of(x, &Op::Expand)?;
                let small = rewriter.push(
                    node.op.clone(),
                    [x],
                    rewriter.kind(out),
                    rewriter.dims(x).to_vec(),
                );
                Some(rewriter.expanded(small, out))
            }
            (Op::Binary(_), &[x, y]) => of_two(rewriter, node, x, y),
            (Op::Matmul, &[x, y]) => product(rewriter, node, x, y),
            (op @ (Op::SwapDims(..) | Op::Permute(_)), &[x]) => {
                let small = expanded_from(rewriter, x)?;
                let dims = rewriter.dims(small);
                let moved: Vec<usize> = axes(op, rank)?.iter().map(|&axis| dims[axis]).collect();
                let small = rewriter.push(op.clone(), [small], rewriter.kind(out), moved);
                Some(rewriter.expanded(small, out))
            }
            _ => None,
        }
    })
}

/// What an expansion that adds no dimension expands.
fn expanded_from(rewriter: &Rewriter, x: ValueId) -> Option<ValueId> {
    let small = rewriter.input_of(x, &Op::Expand)?;
    (rewriter.dims(small).len() == rewriter.dims(x).len()).then_some(small)
}

/// An elementwise operation on what is expanded: the operation broadcasts, and what it does not is expanded afterwards.
fn of_two(rewriter: &mut Rewriter, node: &Node, x: ValueId, y: ValueId) -> Option<ValueId> {
    let out = node.outputs[0];
    let (small_x, small_y) = (expanded_from(rewriter, x), expanded_from(rewriter, y));
    if small_x.is_none() && small_y.is_none() {
        return None;
    }
    let (a, b) = (small_x.unwrap_or(x), small_y.unwrap_or(y));
    let dims = broadcast(rewriter.dims(a), rewriter.dims(b))?;
    let small = rewriter.push(node.op.clone(), [a, b], rewriter.kind(out), dims);
    Some(rewriter.expanded(small, out))
}

/// A matrix that is the same for a whole stack is not repeated.
fn product(rewriter: &mut Rewriter, node: &Node, x: ValueId, y: ValueId) -> Option<ValueId> {
    let out = node.outputs[0];
    let batch = rewriter.dims(out).len().checked_sub(2)?;
    let of_stack = |x: ValueId| {
        let small = expanded_from(rewriter, x)?;
        (rewriter.dims(small)[batch..] == rewriter.dims(x)[batch..]).then_some(small)
    };
    let (small_x, small_y) = (of_stack(x), of_stack(y));
    if small_x.is_none() && small_y.is_none() {
        return None;
    }
    let (a, b) = (small_x.unwrap_or(x), small_y.unwrap_or(y));
    let mut dims = broadcast(&rewriter.dims(a)[..batch], &rewriter.dims(b)[..batch])?;
    dims.extend_from_slice(&rewriter.dims(out)[batch..]);
    let small = rewriter.push(Op::Matmul, [a, b], rewriter.kind(out), dims);
    Some(rewriter.expanded(small, out))
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;
    use crate::op::{Binary, Kind, Unary};

    #[test]
    fn functions_are_taken_before_entries_are_repeated() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [1, 3]);
        let rows = graph.push(Op::Expand, [x], Kind::Float, [4, 3]);
        let exp = graph.push(Op::Unary(Unary::Exp), [rows], Kind::Float, [4, 3]);
        let swap = graph.push(Op::SwapDims(0, 1), [exp], Kind::Float, [3, 4]);
        graph.outputs = vec![swap];
        let simple = run(graph).without_dead_code();
        assert_eq!(names(&simple), ["exp", "swap_dims", "expand"]);
        assert_eq!(simple.dims(simple.nodes[1].outputs[0]), [3, 1]);
    }

    #[test]
    fn a_sum_broadcasts_by_itself() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [1, 3]);
        let y = graph.input(Kind::Float, [4, 3]);
        let rows = graph.push(Op::Expand, [x], Kind::Float, [4, 3]);
        let sum = graph.push(Op::Binary(Binary::Add), [y, rows], Kind::Float, [4, 3]);
        let square = graph.push(Op::Binary(Binary::Mul), [rows, rows], Kind::Float, [4, 3]);
        graph.outputs = vec![sum, square];
        let simple = run(graph).without_dead_code();
        assert_eq!(names(&simple), ["add", "mul", "expand"]);
        assert_eq!(simple.nodes[0].inputs, [y, x]);
    }

    #[test]
    fn a_stack_of_one_matrix_is_not_repeated() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [5, 2, 3]);
        let w = graph.input(Kind::Float, [1, 3, 4]);
        let stack = graph.push(Op::Expand, [w], Kind::Float, [5, 3, 4]);
        graph.outputs = vec![graph.push(Op::Matmul, [x, stack], Kind::Float, [5, 2, 4])];
        let simple = run(graph).without_dead_code();
        assert_eq!(names(&simple), ["matmul"]);
        assert_eq!(simple.nodes[0].inputs, [x, w]);
    }
}
