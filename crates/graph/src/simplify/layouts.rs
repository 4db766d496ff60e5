//! Layouts that follow each other as one, and permutations that only move dimensions of length one as none.

use super::rewrite::{Rewriter, axes, moves_only_ones, rewrite};
use crate::graph::{Graph, Node, ValueId};
use crate::op::Op;
use burn::tensor::Slice;
use std::ops::Range;

pub(super) fn run(graph: Graph) -> Graph {
    rewrite(graph, |rewriter, node| match &node.op {
        Op::Reshape => reshape(rewriter, node),
        Op::SwapDims(..) | Op::Permute(_) => permutation(rewriter, node),
        Op::Expand => {
            let x = rewriter.input_of(node.inputs[0], &Op::Expand)?;
            Some(rewriter.push_like(Op::Expand, [x], node.outputs[0]))
        }
        // one entry repeated is a view, not a copy
        Op::RepeatDim { dim, .. } if rewriter.dims(node.inputs[0])[*dim] == 1 => {
            Some(rewriter.push_like(Op::Expand, [node.inputs[0]], node.outputs[0]))
        }
        Op::Flip(_) => rewriter.input_of(node.inputs[0], &node.op),
        Op::Slice(ranges) => slice(rewriter, node, ranges),
        _ => None,
    })
}

fn reshape(rewriter: &mut Rewriter, node: &Node) -> Option<ValueId> {
    let before = rewriter.producer(node.inputs[0])?;
    let x = *before.inputs.first()?;
    let in_order = match &before.op {
        Op::Reshape => true,
        op => {
            let dims = rewriter.dims(x);
            axes(op, dims.len()).is_some_and(|axes| moves_only_ones(&axes, dims))
        }
    };
    in_order.then(|| rewriter.reshaped(x, node.outputs[0]))
}

fn permutation(rewriter: &mut Rewriter, node: &Node) -> Option<ValueId> {
    let (x, out) = (node.inputs[0], node.outputs[0]);
    let rank = rewriter.dims(x).len();
    let outer = axes(&node.op, rank)?;
    let before = rewriter.producer(x);
    let inner = before.and_then(|before| Some((axes(&before.op, rank)?, before.inputs[0])));
    if let Some((inner, x)) = inner {
        let composed: Vec<usize> = outer.iter().map(|&axis| inner[axis]).collect();
        return Some(match composed.is_sorted() {
            true => x,
            false => rewriter.push_like(named(composed), [x], out),
        });
    }
    if let Some(x) = rewriter.input_of(x, &Op::Reshape)
        && moves_only_ones(&outer, rewriter.dims(node.inputs[0]))
    {
        return Some(rewriter.reshaped(x, out));
    }
    let op = named(outer);
    (op != node.op).then(|| rewriter.push_like(op, [x], out))
}

/// One name for each permutation: a swap, the lower dimension first, where it is one.
fn named(axes: Vec<usize>) -> Op {
    let moved: Vec<usize> = (0..axes.len()).filter(|&axis| axes[axis] != axis).collect();
    match moved[..] {
        [a, b] => Op::SwapDims(a, b),
        _ => Op::Permute(axes),
    }
}

/// A part of a part.
fn slice(rewriter: &mut Rewriter, node: &Node, outer: &[Slice]) -> Option<ValueId> {
    let part = node.inputs[0];
    let before = rewriter.producer(part)?;
    let Op::Slice(inner) = &before.op else {
        return None;
    };
    let x = before.inputs[0];
    let inner = ranges(inner, rewriter.dims(x))?;
    let outer = ranges(outer, rewriter.dims(part))?;
    let both = (inner.iter().zip(outer))
        .map(|(inner, outer)| inner.start + outer.start..inner.start + outer.end)
        .map(Slice::from)
        .collect();
    Some(rewriter.push_like(Op::Slice(both), [x], node.outputs[0]))
}

/// The ranges of all dimensions, if they are without steps.
pub(super) fn ranges(slices: &[Slice], dims: &[usize]) -> Option<Vec<Range<usize>>> {
    let whole = Slice::from(..);
    let all = slices.iter().chain(std::iter::repeat(&whole));
    let range = |(&length, slice): (&usize, &Slice)| {
        let place = |index: isize| match index < 0 {
            true => length.saturating_add_signed(index),
            false => length.min(index as usize),
        };
        let end = slice.end.map_or(length, place);
        (slice.step == 1).then(|| place(slice.start)..end)
    };
    dims.iter().zip(all).map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;
    use crate::op::Kind;

    fn chain(dims: &[usize], steps: Vec<(Op, &[usize])>) -> Graph {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, dims);
        let push = |x, (op, dims): (Op, &[usize])| graph.push(op, [x], Kind::Float, dims);
        let out = steps.into_iter().fold(x, push);
        graph.outputs = vec![out];
        run(graph).without_dead_code()
    }

    #[test]
    fn permutations_are_composed() {
        let twice = vec![
            (Op::SwapDims(0, 1), &[3, 2][..]),
            (Op::SwapDims(1, 0), &[2, 3][..]),
        ];
        assert!(chain(&[2, 3], twice).nodes.is_empty());
        let around = vec![
            (Op::SwapDims(0, 1), &[3, 2, 4][..]),
            (Op::Permute(vec![2, 0, 1]), &[4, 3, 2][..]),
        ];
        assert_eq!(chain(&[2, 3, 4], around).nodes[0].op, Op::SwapDims(0, 2));
    }

    #[test]
    fn a_permutation_of_ones_joins_a_reshape() {
        let steps = vec![
            (Op::Reshape, &[1, 6][..]),
            (Op::SwapDims(0, 1), &[6, 1][..]),
            (Op::Reshape, &[3, 2][..]),
        ];
        assert_eq!(names(&chain(&[2, 3], steps)), ["reshape"]);
        let moves = vec![(Op::SwapDims(0, 1), &[3, 2][..]), (Op::Reshape, &[6][..])];
        assert_eq!(names(&chain(&[2, 3], moves)), ["swap_dims", "reshape"]);
    }

    #[test]
    fn expansions_and_parts_are_joined() {
        let steps = vec![(Op::Expand, &[1, 3][..]), (Op::Expand, &[2, 3][..])];
        assert_eq!(names(&chain(&[1, 1], steps)), ["expand"]);
        let parts = vec![
            (Op::Slice(vec![Slice::from(1..5)]), &[4, 2][..]),
            (
                Op::Slice(vec![Slice::new(-3, None, 1), Slice::from(1..2)]),
                &[3, 1][..],
            ),
        ];
        let expected = Op::Slice(vec![Slice::from(2..5), Slice::from(1..2)]);
        assert_eq!(chain(&[6, 2], parts).nodes[0].op, expected);
    }
}
