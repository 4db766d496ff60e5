//! Rewrites that change no result: repeated computations once, identities gone, uniform tensors as numbers.

use crate::graph::{Graph, Node, ValueId};
use crate::op::{Binary, Kind, Op, Unary};
use burn_ir::ScalarIr;
use std::collections::HashMap;

/// Applies all rewrites, then drops what nothing needs.
///
/// Constants (tensors of one repeated number, such as the ones that start a backward) are followed through layout
/// operations, so that products with ones and sums with zeros disappear.
pub fn simplify(graph: Graph) -> Graph {
    let mut graph = rewrite(graph.without_dead_code());
    graph = graph.without_dead_code();
    graph
}

struct Rewriter {
    out: Graph,
    /// Where each value of the old graph is found now.
    place: Vec<ValueId>,
    /// Values that hold one number everywhere.
    uniform: HashMap<ValueId, f64>,
    /// Nodes by what they compute.
    known: HashMap<String, Vec<ValueId>>,
}

fn rewrite(graph: Graph) -> Graph {
    let mut rewriter = Rewriter {
        place: (0..graph.values.len()).collect(),
        out: Graph {
            values: graph.values.clone(),
            nodes: Vec::with_capacity(graph.nodes.len()),
            inputs: graph.inputs.clone(),
            outputs: Vec::new(),
            constants: graph.constants.clone(),
        },
        uniform: HashMap::new(),
        known: HashMap::new(),
    };
    for node in graph.nodes {
        rewriter.node(node);
    }
    rewriter.out.outputs = graph.outputs.iter().map(|&id| rewriter.place[id]).collect();
    rewriter.out
}

impl Rewriter {
    fn node(&mut self, mut node: Node) {
        for input in &mut node.inputs {
            *input = self.place[*input];
        }
        if let [out] = node.outputs[..] {
            if let Some(same) = self.identity(&node, out) {
                self.place[out] = same;
                return;
            }
            node = self.with_scalar(node, out);
            if let Some(number) = self.uniform_result(&node, out) {
                node = Node {
                    op: Op::Full(ScalarIr::Float(number)),
                    inputs: Vec::new(),
                    outputs: vec![out],
                };
                self.uniform.insert(out, number);
            }
        }
        if matches!(node.op, Op::Random(_)) {
            self.out.nodes.push(node);
            return;
        }
        let shapes: Vec<_> = node
            .outputs
            .iter()
            .map(|&id| (&self.out.values[id].shape, self.out.values[id].kind))
            .collect();
        let key = format!("{:?} {:?} {shapes:?}", node.op, node.inputs);
        if let Some(same) = self.known.get(&key) {
            for (out, same) in node.outputs.iter().zip(same) {
                self.place[*out] = *same;
            }
            return;
        }
        self.known.insert(key, node.outputs.clone());
        self.out.nodes.push(node);
    }

    fn same_shape(&self, a: ValueId, b: ValueId) -> bool {
        self.out.values[a].shape == self.out.values[b].shape
    }

    /// The value that `node` merely repeats.
    fn identity(&self, node: &Node, out: ValueId) -> Option<ValueId> {
        let x = *node.inputs.first()?;
        let number = |scalar: &ScalarIr| scalar.elem::<f64>();
        let float = self.out.values[out].kind == Kind::Float;
        match &node.op {
            Op::Reshape | Op::Expand => self.same_shape(x, out).then_some(x),
            Op::Cast => (self.out.values[x].kind == self.out.values[out].kind).then_some(x),
            Op::SwapDims(a, b) => {
                if a == b {
                    return Some(x);
                }
                let before = self.producer(x)?;
                match before.op {
                    Op::SwapDims(c, d) if (c, d) == (*a, *b) || (d, c) == (*a, *b) => {
                        Some(before.inputs[0])
                    }
                    _ => None,
                }
            }
            Op::Permute(axes) => axes.iter().copied().eq(0..axes.len()).then_some(x),
            Op::ReduceDim(crate::op::Reduce::Sum | crate::op::Reduce::Mean, dim) => {
                (float && self.out.dims(x)[*dim] == 1).then_some(x)
            }
            Op::Unary(Unary::Neg) => {
                let before = self.producer(x)?;
                (before.op == Op::Unary(Unary::Neg)).then(|| before.inputs[0])
            }
            Op::BinaryScalar(Binary::Mul | Binary::Div | Binary::Pow, scalar) => {
                (float && number(scalar) == 1.0).then_some(x)
            }
            Op::BinaryScalar(Binary::Add | Binary::Sub, scalar) => {
                (number(scalar) == 0.0).then_some(x)
            }
            Op::Binary(function) if float => {
                let y = node.inputs[1];
                match (function, self.uniform.get(&x), self.uniform.get(&y)) {
                    (Binary::Mul | Binary::Div, _, Some(1.0)) if self.same_shape(x, out) => Some(x),
                    (Binary::Mul, Some(1.0), _) if self.same_shape(y, out) => Some(y),
                    (Binary::Add | Binary::Sub, _, Some(0.0)) if self.same_shape(x, out) => Some(x),
                    (Binary::Add, Some(0.0), _) if self.same_shape(y, out) => Some(y),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn producer(&self, id: ValueId) -> Option<&Node> {
        // nodes are few and the producer is recent: a search from the end
        self.out
            .nodes
            .iter()
            .rev()
            .find(|node| node.outputs.contains(&id))
    }

    /// An operation with a uniform tensor as one with a number.
    fn with_scalar(&self, node: Node, out: ValueId) -> Node {
        let Op::Binary(function) = node.op else {
            return node;
        };
        if self.out.values[out].kind != Kind::Float {
            return node;
        }
        let (x, y) = (node.inputs[0], node.inputs[1]);
        let scalar = |number: f64, x: ValueId| Node {
            op: Op::BinaryScalar(function, ScalarIr::Float(number)),
            inputs: vec![x],
            outputs: vec![out],
        };
        let usual = !matches!(function, Binary::ArcTan2 | Binary::Rem | Binary::Pow);
        if let Some(&number) = self.uniform.get(&y)
            && self.same_shape(x, out)
            && usual
        {
            return scalar(number, x);
        }
        if let Some(&number) = self.uniform.get(&x)
            && self.same_shape(y, out)
            && matches!(function, Binary::Add | Binary::Mul)
        {
            return scalar(number, y);
        }
        node
    }

    /// The number that `node` repeats everywhere, if it does.
    fn uniform_result(&self, node: &Node, out: ValueId) -> Option<f64> {
        if self.out.values[out].kind != Kind::Float {
            return None;
        }
        let of = |id: &ValueId| self.uniform.get(id).copied();
        match &node.op {
            Op::Full(number) => Some(number.elem()),
            Op::Reshape
            | Op::Expand
            | Op::SwapDims(..)
            | Op::Permute(_)
            | Op::Flip(_)
            | Op::Slice(_)
            | Op::RepeatDim { .. }
            | Op::Detach => of(node.inputs.first()?),
            Op::Unary(Unary::Neg) => of(&node.inputs[0]).map(|x| -x),
            Op::BinaryScalar(function, scalar) => {
                let (x, y) = (of(&node.inputs[0])?, scalar.elem::<f64>());
                match function {
                    Binary::Add => Some(x + y),
                    Binary::Sub => Some(x - y),
                    Binary::Mul => Some(x * y),
                    Binary::Div => Some(x / y),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(graph: &Graph) -> Vec<String> {
        graph.nodes.iter().map(|node| node.op.name()).collect()
    }

    #[test]
    fn products_with_expanded_ones_disappear() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [2, 3]);
        let one = graph.push(Op::Full(ScalarIr::Int(1)), [], Kind::Float, [1, 1]);
        let ones = graph.push(Op::Expand, [one], Kind::Float, [2, 3]);
        let product = graph.push(Op::Binary(Binary::Mul), [x, ones], Kind::Float, [2, 3]);
        let out = graph.push(Op::Unary(Unary::Exp), [product], Kind::Float, [2, 3]);
        graph.outputs = vec![out];
        assert_eq!(names(&simplify(graph)), ["exp"]);
    }

    #[test]
    fn a_broadcast_by_a_uniform_tensor_is_kept() {
        // x [1, 3] times ones [2, 3] is not x
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [1, 3]);
        let ones = graph.push(Op::Full(ScalarIr::Int(1)), [], Kind::Float, [2, 3]);
        let out = graph.push(Op::Binary(Binary::Mul), [x, ones], Kind::Float, [2, 3]);
        graph.outputs = vec![out];
        assert_eq!(names(&simplify(graph)), ["full", "mul"]);
    }

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
        assert_eq!(names(&simplify(graph)), ["exp", "add", "random", "random"]);
    }

    #[test]
    fn double_negation_and_double_transposition_cancel() {
        let mut graph = Graph::default();
        let x = graph.input(Kind::Float, [2, 3]);
        let a = graph.push(Op::SwapDims(0, 1), [x], Kind::Float, [3, 2]);
        let b = graph.push(Op::SwapDims(1, 0), [a], Kind::Float, [2, 3]);
        let c = graph.push(Op::Unary(Unary::Neg), [b], Kind::Float, [2, 3]);
        let d = graph.push(Op::Unary(Unary::Neg), [c], Kind::Float, [2, 3]);
        graph.outputs = vec![d];
        let simple = simplify(graph);
        assert!(simple.nodes.is_empty());
        assert_eq!(simple.outputs, [x]);
    }
}
