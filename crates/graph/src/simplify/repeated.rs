//! The same computation is done once. Random numbers are drawn as often as they were.

use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Op};
use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};

pub(super) fn run(mut graph: Graph) -> Graph {
    let mut place: Vec<ValueId> = (0..graph.values.len()).collect();
    let mut known: HashMap<(Discriminant<Op>, Vec<ValueId>), Vec<usize>> = HashMap::new();
    let mut nodes: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    for mut node in std::mem::take(&mut graph.nodes) {
        for input in &mut node.inputs {
            *input = place[*input];
        }
        if matches!(node.op, Op::Random(_)) {
            nodes.push(node);
            continue;
        }
        let alike = known
            .entry((discriminant(&node.op), operands(&node)))
            .or_default();
        let same = (alike.iter()).find(|&&other| computes_the_same(&graph, &nodes[other], &node));
        match same {
            Some(&same) => {
                for (&out, &same) in node.outputs.iter().zip(&nodes[same].outputs) {
                    place[out] = same;
                }
            }
            None => {
                alike.push(nodes.len());
                nodes.push(node);
            }
        }
    }
    graph.nodes = nodes;
    for output in &mut graph.outputs {
        *output = place[*output];
    }
    graph
}

/// The inputs, in one order where the order does not matter.
fn operands(node: &Node) -> Vec<ValueId> {
    let mut inputs = node.inputs.clone();
    if matches!(node.op, Op::Binary(Binary::Add | Binary::Mul)) {
        inputs.sort_unstable();
    }
    inputs
}

fn computes_the_same(graph: &Graph, a: &Node, b: &Node) -> bool {
    let mut outputs = a.outputs.iter().zip(&b.outputs);
    // as text too: 0 and −0 are equal, their reciprocals are not
    a.op == b.op
        && outputs.all(|(&a, &b)| graph.values[a] == graph.values[b])
        && format!("{:?}", a.op) == format!("{:?}", b.op)
}

#[cfg(test)]
mod tests {
    use super::super::tests::names;
    use super::*;
    use crate::op::{Kind, Unary};
    use burn_ir::ScalarIr;

    #[test]
    fn the_same_computation_is_done_once_but_random_numbers_are_drawn_twice() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [2]);
        let a = graph.push(Op::Unary(Unary::Exp), [x], Kind::Float, [2]);
        let b = graph.push(Op::Unary(Unary::Exp), [x], Kind::Float, [2]);
        let sum = graph.push(Op::Binary(Binary::Add), [a, b], Kind::Float, [2]);
        let noise = Op::Random(burn::tensor::Distribution::Default);
        let r = graph.push(noise.clone(), [], Kind::Float, [2]);
        let s = graph.push(noise, [], Kind::Float, [2]);
        graph.outputs = vec![sum, r, s];
        assert_eq!(names(&run(graph)), ["exp", "add", "random", "random"]);
    }

    #[test]
    fn factors_may_be_in_any_order_and_divisors_may_not() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [2]);
        let y = graph.input(Kind::Float, [2]);
        for function in [Binary::Mul, Binary::Div] {
            for inputs in [[x, y], [y, x]] {
                let out = graph.push(Op::Binary(function), inputs, Kind::Float, [2]);
                graph.outputs.push(out);
            }
        }
        assert_eq!(names(&run(graph)), ["mul", "div", "div"]);
    }

    #[test]
    fn zero_is_not_minus_zero() {
        let mut graph = Graph::default();
        for number in [0.0, -0.0, 0.0] {
            let full = Op::Full(ScalarIr::Float(number));
            let out = graph.push(full, [], Kind::Float, [2]);
            graph.outputs.push(out);
        }
        assert_eq!(run(graph).nodes.len(), 2);
    }
}
