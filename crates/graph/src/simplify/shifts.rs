//! Maxima that cancel, as constants for every derivative.
//!
//! A softmax subtracts the maximum so that nothing overflows; its result does not depend on what is subtracted, and neither
//! does that of a log-softmax or of a log-sum-exp that adds the maximum again. Burn's autodiff differentiates through the
//! maximum all the same, twice for a Hessian, and the parts cancel. Here the outputs are proved to be functions that do not
//! change with the maximum: their derivative by it is zero, and a constant in its place has the same derivatives of every order.

use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Kind, Op, Reduce, Unary};

/// The graph with each maximum or minimum along a dimension detached whose value no output depends on.
pub(crate) fn with_shifts_detached(mut graph: Graph) -> Graph {
    let mut index = 0;
    while index < graph.nodes.len() {
        let node = &graph.nodes[index];
        let extreme = extreme_along(&node.op)
            .map(|dim| (node.outputs[0], dim))
            .filter(|&(id, _)| graph.values[id].kind == Kind::Float && !graph.is_detached(id));
        if let Some((id, dim)) = extreme
            && cancels(&graph, id, dim)
        {
            graph.detach(id, index);
        }
        index += 1;
    }
    graph
}

fn extreme_along(op: &Op) -> Option<usize> {
    match op {
        Op::ReduceDim(Reduce::Max | Reduce::Min, dim)
        | Op::MaxDimWithIndices(dim)
        | Op::MinDimWithIndices(dim) => Some(*dim),
        _ => None,
    }
}

impl Graph {
    /// Whether nothing but a detached copy is read.
    fn is_detached(&self, id: ValueId) -> bool {
        let mut readers = self.nodes.iter().filter(|node| node.inputs.contains(&id));
        readers.all(|node| node.op == Op::Detach)
    }

    /// Lets all readers of a value, which the node at `index` writes, read a constant.
    fn detach(&mut self, id: ValueId, index: usize) {
        let value = self.values[id].clone();
        let constant = self.value(value.kind, value.shape);
        let readers = self.nodes.iter_mut().flat_map(|node| &mut node.inputs);
        readers
            .filter(|input| **input == id)
            .for_each(|input| *input = constant);
        let node = Node {
            op: Op::Detach,
            inputs: vec![id],
            outputs: vec![constant],
        };
        self.nodes.insert(index + 1, node);
    }
}

/// How a value changes when δ, constant along a dimension, is added to the maximum.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// By k δ.
    Added(i32),
    /// By the factor exp(k δ).
    Scaled(i32),
}

use Change::{Added, Scaled};

/// Whether no output changes with the value `id`, which has length one along `dim`.
fn cancels(graph: &Graph, id: ValueId, dim: usize) -> bool {
    let mut changes = vec![Added(0); graph.values.len()];
    changes[id] = Added(1);
    for node in &graph.nodes {
        let inputs: Vec<Change> = node.inputs.iter().map(|&id| changes[id]).collect();
        if inputs.iter().all(|&change| change == Added(0)) {
            continue;
        }
        match change(&node.op, &inputs, dim) {
            Some(change) => changes[node.outputs[0]] = change,
            None => return false,
        }
    }
    graph.outputs.iter().all(|&id| changes[id] == Added(0))
}

/// The change of a result; none where it is of another kind.
fn change(op: &Op, inputs: &[Change], dim: usize) -> Option<Change> {
    let changed = match (op, inputs) {
        (Op::Unary(Unary::Neg), [Added(k)]) => Added(-k),
        (Op::Unary(Unary::Exp), [Added(k)]) => Scaled(*k),
        (Op::Unary(Unary::Log), [Scaled(k)]) => Added(*k),
        (Op::Unary(Unary::Recip), [Scaled(k)]) => Scaled(-k),
        (Op::BinaryScalar(Binary::Add | Binary::Sub, _), [Added(k)]) => Added(*k),
        (Op::Unary(Unary::Neg) | Op::BinaryScalar(Binary::Mul | Binary::Div, _), [Scaled(k)]) => {
            Scaled(*k)
        }
        (Op::ReduceDim(Reduce::Sum | Reduce::Mean, along), [Scaled(k)]) if *along == dim => {
            Scaled(*k)
        }
        (Op::ReduceDim(Reduce::Max | Reduce::Min, along), [change]) if *along == dim => *change,
        (Op::Binary(function), &[a, b]) => of_two(*function, a, b)?,
        _ => return None,
    };
    Some(match changed {
        Scaled(0) => Added(0),
        other => other,
    })
}

fn of_two(function: Binary, a: Change, b: Change) -> Option<Change> {
    let factor = |change: Change| match change {
        Scaled(k) => Some(k),
        Added(0) => Some(0),
        Added(_) => None,
    };
    match (function, a, b) {
        (Binary::Add, Added(a), Added(b)) => Some(Added(a + b)),
        (Binary::Sub, Added(a), Added(b)) => Some(Added(a - b)),
        (Binary::Add | Binary::Sub, Scaled(a), Scaled(b)) if a == b => Some(Scaled(a)),
        (Binary::Mul, a, b) => Some(Scaled(factor(a)? + factor(b)?)),
        (Binary::Div, a, b) => Some(Scaled(factor(a)? - factor(b)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: [usize; 2] = [4, 3];

    /// x − max(x), exp of it, and the sum of that.
    fn shifted() -> (Graph, [ValueId; 4]) {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, DIMS);
        let along = |function: Reduce| Op::ReduceDim(function, 1);
        let maximum = graph.push(along(Reduce::Max), [x], Kind::Float, [4, 1]);
        let shifted = graph.push(Op::Binary(Binary::Sub), [x, maximum], Kind::Float, DIMS);
        let exp = graph.push(Op::Unary(Unary::Exp), [shifted], Kind::Float, DIMS);
        let sum = graph.push(along(Reduce::Sum), [exp], Kind::Float, [4, 1]);
        (graph, [maximum, shifted, exp, sum])
    }

    fn detached(graph: Graph) -> usize {
        let nodes = with_shifts_detached(graph).nodes;
        nodes.iter().filter(|node| node.op == Op::Detach).count()
    }

    #[test]
    fn the_maximum_of_a_softmax_is_a_constant() {
        let (mut graph, [_, _, exp, sum]) = shifted();
        graph.outputs = vec![graph.push(Op::Binary(Binary::Div), [exp, sum], Kind::Float, DIMS)];
        let marked = with_shifts_detached(graph.clone());
        let names: Vec<String> = marked.nodes.iter().map(|node| node.op.name()).collect();
        assert_eq!(names, ["max_dim", "detach", "sub", "exp", "sum_dim", "div"]);
        // once
        assert_eq!(with_shifts_detached(marked.clone()).nodes, marked.nodes);
        // an exponential beside it depends on the maximum
        graph.outputs.push(exp);
        assert_eq!(detached(graph), 0);
    }

    #[test]
    fn the_maximum_of_a_log_softmax_is_a_constant() {
        let (mut graph, [maximum, shifted, _, sum]) = shifted();
        let log = graph.push(Op::Unary(Unary::Log), [sum], Kind::Float, [4, 1]);
        let out = graph.push(Op::Binary(Binary::Sub), [shifted, log], Kind::Float, DIMS);
        let total = graph.push(Op::Binary(Binary::Add), [log, maximum], Kind::Float, [4, 1]);
        graph.outputs = vec![out, total];
        assert_eq!(detached(graph.clone()), 1);
        graph.outputs = vec![log];
        assert_eq!(detached(graph), 0);
    }

    #[test]
    fn a_sum_along_another_dimension_does_not_cancel() {
        let (mut graph, [_, _, exp, _]) = shifted();
        let sum = Op::ReduceDim(Reduce::Sum, 0);
        let sum = graph.push(sum, [exp], Kind::Float, [1, 3]);
        graph.outputs = vec![graph.push(Op::Binary(Binary::Div), [exp, sum], Kind::Float, DIMS)];
        assert_eq!(detached(graph), 0);
    }

    #[test]
    fn a_maximum_that_is_used_by_itself_is_differentiated() {
        let (mut graph, [maximum, ..]) = shifted();
        graph.outputs = vec![maximum];
        assert_eq!(detached(graph), 0);
    }
}
