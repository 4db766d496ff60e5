//! Parts that are cut out of what was put together: the part itself.

use super::layouts::ranges;
use super::rewrite::{Rewriter, rewrite};
use crate::graph::{Graph, Node, ValueId};
use crate::op::Op;
use burn::tensor::Slice;
use std::ops::Range;

pub(super) fn run(graph: Graph) -> Graph {
    rewrite(graph, |rewriter, node| {
        let Op::Slice(slices) = &node.op else {
            return None;
        };
        let before = rewriter.producer(node.inputs[0])?.clone();
        cut(rewriter, node, &before, slices)
    })
}

/// A part of a value that was put together from parts.
fn cut(rewriter: &mut Rewriter, node: &Node, before: &Node, slices: &[Slice]) -> Option<ValueId> {
    let whole = node.inputs[0];
    let wanted = ranges(slices, rewriter.dims(whole))?;
    match &before.op {
        Op::SliceAssign(slices) => {
            let written = ranges(slices, rewriter.dims(whole))?;
            if written == wanted {
                return Some(before.inputs[1]);
            }
            let apart =
                |(a, b): (&Range<usize>, &Range<usize>)| a.end <= b.start || b.end <= a.start;
            let elsewhere = written.iter().zip(&wanted).any(apart);
            elsewhere
                .then(|| rewriter.push_like(node.op.clone(), [before.inputs[0]], node.outputs[0]))
        }
        Op::Cat { dim } => {
            let mut start = 0;
            for &part in &before.inputs {
                let end = start + rewriter.dims(part)[*dim];
                if start <= wanted[*dim].start && wanted[*dim].end <= end {
                    return Some(part_of(
                        rewriter,
                        part,
                        *dim,
                        start,
                        wanted,
                        node.outputs[0],
                    ));
                }
                start = end;
            }
            None
        }
        _ => None,
    }
}

fn part_of(
    rewriter: &mut Rewriter,
    part: ValueId,
    dim: usize,
    start: usize,
    mut wanted: Vec<Range<usize>>,
    out: ValueId,
) -> ValueId {
    if rewriter.same_shape(part, out) {
        return part;
    }
    wanted[dim] = wanted[dim].start - start..wanted[dim].end - start;
    let slices = wanted.into_iter().map(Slice::from).collect();
    rewriter.push_like(Op::Slice(slices), [part], out)
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;
    use crate::op::Kind;

    #[test]
    fn a_part_is_read_where_it_was_put() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [2, 2]);
        let y = graph.input(Kind::Float, [3, 2]);
        let cat = graph.push(Op::Cat { dim: 0 }, [x, y], Kind::Float, [5, 2]);
        let put = Op::SliceAssign(vec![Slice::from(0..2)]);
        let put = graph.push(put, [cat, x], Kind::Float, [5, 2]);
        let mut part = |range: Range<usize>, of: ValueId| {
            let length = range.len();
            graph.push(
                Op::Slice(vec![range.into()]),
                [of],
                Kind::Float,
                [length, 2],
            )
        };
        let parts = vec![
            part(0..2, put),
            part(3..4, put),
            part(2..5, cat),
            part(1..3, cat),
        ];
        graph.outputs = parts;
        let once = run(graph).without_dead_code();
        let simple = run(once).without_dead_code();
        assert_eq!(names(&simple), ["cat", "slice", "slice"]);
        assert_eq!((simple.outputs[0], simple.outputs[2]), (x, y));
    }
}
