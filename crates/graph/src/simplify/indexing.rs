//! What is read where it was just written: gathered after it was scattered, selected after it was assigned. And places of
//! maxima that nobody reads.

use super::rewrite::{Rewriter, rewrite};
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Op, Reduce};
use burn::tensor::IndexingUpdateOp;

pub(super) fn run(graph: Graph) -> Graph {
    rewrite(without_unread_places(graph), |rewriter, node| {
        let before = rewriter.producer(*node.inputs.first()?)?.clone();
        match &node.op {
            Op::Gather { dim } => gathered(rewriter, node, &before, *dim),
            Op::Select { dim } => selected(rewriter, node, &before, *dim),
            Op::ReduceDim(Reduce::Sum, _) | Op::Reduce(Reduce::Sum) => {
                summed(rewriter, node, &before)
            }
            Op::MaskFill(_) if matches!(before.op, Op::MaskFill(_)) => {
                let same = before.inputs[1] == node.inputs[1];
                let inputs = [before.inputs[0], node.inputs[1]];
                same.then(|| rewriter.push_like(node.op.clone(), inputs, node.outputs[0]))
            }
            _ => None,
        }
    })
}

/// Maxima and minima without the places where they are found, if nobody reads these.
fn without_unread_places(mut graph: Graph) -> Graph {
    let mut read = vec![false; graph.values.len()];
    let inputs = graph.nodes.iter().flat_map(|node| &node.inputs);
    for &id in inputs.chain(&graph.outputs) {
        read[id] = true;
    }
    for node in &mut graph.nodes {
        let (function, dim) = match node.op {
            Op::MaxDimWithIndices(dim) => (Reduce::Max, dim),
            Op::MinDimWithIndices(dim) => (Reduce::Min, dim),
            _ => continue,
        };
        if !read[node.outputs[1]] {
            node.op = Op::ReduceDim(function, dim);
            node.outputs.truncate(1);
        }
    }
    graph
}

/// Whether what is written replaces what was there.
fn replaces(rewriter: &Rewriter, base: ValueId, update: IndexingUpdateOp) -> bool {
    match update {
        IndexingUpdateOp::Assign => true,
        IndexingUpdateOp::Add => rewriter.number(base) == Some(0.0),
        _ => false,
    }
}

/// The values scattered to these places, one to each.
fn gathered(rewriter: &Rewriter, node: &Node, before: &Node, dim: usize) -> Option<ValueId> {
    let Op::Scatter { dim: of, update } = before.op else {
        return None;
    };
    let (indices, values) = (before.inputs[1], before.inputs[2]);
    // several indices along the dimension may name one place
    let one_each = of == dim && rewriter.dims(indices)[dim] == 1;
    let same = indices == node.inputs[1] && rewriter.same_shape(values, node.outputs[0]);
    let whole = covers(rewriter, before, dim);
    (one_each && same && whole && replaces(rewriter, before.inputs[0], update)).then_some(values)
}

fn selected(rewriter: &Rewriter, node: &Node, before: &Node, dim: usize) -> Option<ValueId> {
    let Op::SelectAssign { dim: of, update } = before.op else {
        return None;
    };
    let (indices, values) = (before.inputs[1], before.inputs[2]);
    let one = of == dim && rewriter.elements(indices) == 1;
    let same = indices == node.inputs[1] && rewriter.same_shape(values, node.outputs[0]);
    (one && same && replaces(rewriter, before.inputs[0], update)).then_some(values)
}

/// Whether the indices of a scatter have an entry for each place outside of `dim`.
fn covers(rewriter: &Rewriter, scatter: &Node, dim: usize) -> bool {
    let (base, values) = (
        rewriter.dims(scatter.inputs[0]),
        rewriter.dims(scatter.inputs[2]),
    );
    let mut others = (0..base.len()).filter(|&other| other != dim);
    others.all(|other| base[other] == values[other])
}

/// The sum of what was added to zeros, wherever it was added along the sum.
fn summed(rewriter: &mut Rewriter, node: &Node, before: &Node) -> Option<ValueId> {
    let add = IndexingUpdateOp::Add;
    let along = match before.op {
        Op::Scatter { dim, update } if update == add && covers(rewriter, before, dim) => dim,
        Op::SelectAssign { dim, update } if update == add => dim,
        _ => return None,
    };
    let zeros =
        rewriter.is_float(node.outputs[0]) && rewriter.number(before.inputs[0]) == Some(0.0);
    let fits = match node.op {
        Op::ReduceDim(_, dim) => dim == along,
        _ => true,
    };
    let sum = || rewriter.push_like(node.op.clone(), [before.inputs[2]], node.outputs[0]);
    (zeros && fits).then(sum)
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;
    use crate::op::Kind;
    use burn_ir::ScalarIr;

    /// Values [4, n] scattered into zeros [4, 5], and the places.
    fn scattered(n: usize) -> (Graph, ValueId, ValueId, ValueId) {
        let mut graph = Graph::default();
        let values = graph.input(Kind::Float, [4, n]);
        let places = graph.input(Kind::Int, [4, n]);
        let zeros = graph.push(Op::Full(ScalarIr::Int(0)), [], Kind::Float, [4, 5]);
        let scatter = Op::Scatter {
            dim: 1,
            update: IndexingUpdateOp::Add,
        };
        let out = graph.push(scatter, [zeros, places, values], Kind::Float, [4, 5]);
        (graph, values, places, out)
    }

    #[test]
    fn what_is_gathered_where_it_was_scattered_is_itself() {
        for n in [1, 2] {
            let (mut graph, values, places, all) = scattered(n);
            let gather = Op::Gather { dim: 1 };
            graph.outputs = vec![graph.push(gather, [all, places], Kind::Float, [4, n])];
            let simple = run(graph).without_dead_code();
            // two values may have gone to one place
            assert_eq!(simple.outputs == [values], n == 1);
        }
    }

    #[test]
    fn a_maximum_is_without_its_place_if_nobody_reads_it() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [4, 3]);
        let maximum = graph.value(Kind::Float, [4, 1]);
        let place = graph.value(Kind::Int, [4, 1]);
        graph.nodes.push(Node {
            op: Op::MaxDimWithIndices(1),
            inputs: vec![x],
            outputs: vec![maximum, place],
        });
        graph.outputs = vec![maximum];
        assert_eq!(names(&run(graph.clone())), ["max_dim"]);
        graph.outputs.push(place);
        assert_eq!(names(&run(graph)), ["max_dim_with_indices"]);
    }

    #[test]
    fn a_sum_does_not_ask_where_values_were_added() {
        let (mut graph, values, _, all) = scattered(2);
        let sum = Op::ReduceDim(Reduce::Sum, 1);
        graph.outputs = vec![graph.push(sum, [all], Kind::Float, [4, 1])];
        let simple = run(graph).without_dead_code();
        assert_eq!(names(&simple), ["sum_dim"]);
        assert_eq!(simple.nodes[0].inputs, [values]);
    }
}
