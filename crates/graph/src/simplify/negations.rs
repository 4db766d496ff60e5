//! Signs move towards what takes them up without work: sums, differences, other signs and numbers.

use super::rewrite::{Rewriter, rewrite};
use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Op, Reduce, Unary};

const NEG: Op = Op::Unary(Unary::Neg);

pub(super) fn run(graph: Graph) -> Graph {
    let takes_sign = takes_sign(&graph);
    rewrite(graph, |rewriter, node| {
        let out = node.outputs[0];
        if !rewriter.is_float(out) {
            return None;
        }
        match (&node.op, &node.inputs[..]) {
            (&NEG, &[x]) => of_negation(rewriter, x),
            (Op::Binary(function), &[x, y]) => {
                of_two(rewriter, *function, (x, y), out, takes_sign[out])
            }
            _ if takes_sign[out] => moved(rewriter, node),
            _ => None,
        }
    })
}

/// Values whose readers all take up a sign, some after passing it on.
fn takes_sign(graph: &Graph) -> Vec<bool> {
    let mut takes = vec![true; graph.values.len()];
    for &id in &graph.outputs {
        takes[id] = false;
    }
    for node in graph.nodes.iter().rev() {
        for (position, &id) in node.inputs.iter().enumerate() {
            takes[id] &= match &node.op {
                &NEG | Op::BinaryScalar(Binary::Mul | Binary::Div, _) => true,
                Op::Binary(Binary::Add) => true,
                Op::Binary(Binary::Sub) => position == 1,
                Op::Binary(Binary::Mul | Binary::Div) | Op::Matmul => takes[node.outputs[0]],
                op => passes_sign(op) && takes[node.outputs[0]],
            };
        }
    }
    takes
}

/// Linear operations of one value.
fn passes_sign(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape
            | Op::Expand
            | Op::SwapDims(..)
            | Op::Permute(_)
            | Op::Slice(_)
            | Op::Reduce(Reduce::Sum | Reduce::Mean)
            | Op::ReduceDim(Reduce::Sum | Reduce::Mean, _)
    )
}

fn negated(rewriter: &Rewriter, x: ValueId) -> Option<ValueId> {
    rewriter.input_of(x, &NEG)
}

/// −(−x) is x, −(x − y) is y − x.
fn of_negation(rewriter: &mut Rewriter, x: ValueId) -> Option<ValueId> {
    let before = rewriter.producer(x)?;
    match (&before.op, &before.inputs[..]) {
        (&NEG, &[x]) => Some(x),
        (Op::Binary(Binary::Sub), &[a, b]) if rewriter.read_once(x) => {
            Some(rewriter.push_like(Op::Binary(Binary::Sub), [b, a], x))
        }
        _ => None,
    }
}

fn of_two(
    rewriter: &mut Rewriter,
    function: Binary,
    (x, y): (ValueId, ValueId),
    out: ValueId,
    takes_sign: bool,
) -> Option<ValueId> {
    let (a, b) = (negated(rewriter, x), negated(rewriter, y));
    let mut push = |function: Binary, inputs: [ValueId; 2]| {
        rewriter.push_like(Op::Binary(function), inputs, out)
    };
    use Binary::{Add, Div, Mul, Sub};
    let positive = match (function, a, b) {
        (Mul | Div, Some(a), Some(b)) => return Some(push(function, [a, b])),
        (Sub, Some(a), Some(b)) => return Some(push(Sub, [b, a])),
        (Add, None, Some(b)) => return Some(push(Sub, [x, b])),
        (Add, Some(a), None) => return Some(push(Sub, [y, a])),
        (Sub, None, Some(b)) => return Some(push(Add, [x, b])),
        (Add, Some(a), Some(b)) => push(Add, [a, b]),
        (Sub, Some(a), None) if takes_sign => push(Add, [a, y]),
        (Mul | Div, Some(a), None) if takes_sign => push(function, [a, y]),
        (Mul | Div, None, Some(b)) if takes_sign => push(function, [x, b]),
        _ => return None,
    };
    Some(rewriter.push_like(NEG, [positive], out))
}

/// A sign behind a linear operation in place of before it.
fn moved(rewriter: &mut Rewriter, node: &Node) -> Option<ValueId> {
    let out = node.outputs[0];
    let mut inputs = node.inputs.clone();
    let linear = passes_sign(&node.op) || node.op == Op::Matmul;
    let position = inputs
        .iter()
        .position(|&x| negated(rewriter, x).is_some())?;
    if !linear {
        return None;
    }
    inputs[position] = negated(rewriter, inputs[position])?;
    let positive = rewriter.push_like(node.op.clone(), inputs, out);
    Some(rewriter.push_like(NEG, [positive], out))
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;
    use crate::op::Kind;

    fn neg(graph: &mut Graph, x: ValueId) -> ValueId {
        graph.push(NEG, [x], Kind::Float, [2])
    }

    fn two(graph: &mut Graph, function: Binary, x: ValueId, y: ValueId) -> ValueId {
        graph.push(Op::Binary(function), [x, y], Kind::Float, [2])
    }

    fn inputs() -> (Graph, ValueId, ValueId) {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [2]);
        let y = graph.input(Kind::Float, [2]);
        (graph, x, y)
    }

    #[test]
    fn two_signs_cancel() {
        let (mut graph, x, y) = inputs();
        let (a, b) = (neg(&mut graph, x), neg(&mut graph, y));
        let product = two(&mut graph, Binary::Mul, a, b);
        let c = neg(&mut graph, product);
        graph.outputs = vec![neg(&mut graph, c)];
        assert_eq!(names(&run(graph).without_dead_code()), ["mul"]);
    }

    #[test]
    fn a_sum_takes_up_a_sign() {
        for (function, expected) in [(Binary::Add, "sub"), (Binary::Sub, "add")] {
            let (mut graph, x, y) = inputs();
            let b = neg(&mut graph, y);
            graph.outputs = vec![two(&mut graph, function, x, b)];
            assert_eq!(names(&run(graph).without_dead_code()), [expected]);
        }
    }

    #[test]
    fn a_sign_passes_through_factors_where_a_sum_follows() {
        let (mut graph, x, y) = inputs();
        let a = neg(&mut graph, x);
        let product = two(&mut graph, Binary::Mul, a, y);
        graph.outputs = vec![two(&mut graph, Binary::Add, y, product)];
        assert_eq!(names(&run(graph).without_dead_code()), ["mul", "sub"]);
        // and stays where nothing takes it up
        let (mut graph, x, y) = inputs();
        let a = neg(&mut graph, x);
        let product = two(&mut graph, Binary::Mul, a, y);
        graph.outputs = vec![graph.push(Op::Unary(Unary::Exp), [product], Kind::Float, [2])];
        assert_eq!(names(&run(graph)), ["neg", "mul", "exp"]);
    }
}
