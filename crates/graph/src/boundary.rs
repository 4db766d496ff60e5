//! Many inputs or outputs as one flat vector, and graphs put together.

use crate::graph::{Graph, Node, ValueId};
use crate::op::{Kind, Op};
use burn::tensor::Slice;
use std::ops::Range;

impl Graph {
    /// The graph with the inputs of `range` as parts of one vector, in order, each row-major.
    pub fn with_joined_inputs(mut self, range: Range<usize>) -> Self {
        let parts: Vec<ValueId> = self.inputs[range.clone()].to_vec();
        let total: usize = parts
            .iter()
            .map(|&id| self.values[id].shape.num_elements())
            .sum();
        let whole = self.value(Kind::Float, [total]);
        let mut nodes = Vec::with_capacity(2 * parts.len() + self.nodes.len());
        let mut start = 0;
        for &part in &parts {
            let length = self.values[part].shape.num_elements();
            let end = start + length;
            let mut piece = whole;
            if length != total {
                piece = self.value(Kind::Float, [length]);
                let slice = Slice::new(start as isize, Some(end as isize), 1);
                nodes.push(node(Op::Slice(vec![slice]), whole, piece));
            }
            nodes.push(node(Op::Reshape, piece, part));
            start = end;
        }
        nodes.append(&mut self.nodes);
        self.nodes = nodes;
        self.inputs.splice(range, [whole]);
        self
    }

    /// The graph with the outputs of `range` as parts of one vector, in order, each row-major.
    pub fn with_joined_outputs(mut self, range: Range<usize>) -> Self {
        let parts: Vec<ValueId> = self.outputs[range.clone()].to_vec();
        let flat: Vec<ValueId> = parts
            .iter()
            .map(|&id| {
                let length = self.values[id].shape.num_elements();
                self.push(Op::Reshape, [id], Kind::Float, [length])
            })
            .collect();
        let total: usize = flat.iter().map(|&id| self.dims(id)[0]).sum();
        let whole = match flat[..] {
            [one] => one,
            _ => self.push(Op::Cat { dim: 0 }, flat, Kind::Float, [total]),
        };
        self.outputs.splice(range, [whole]);
        self
    }

    /// The graph with one of its outputs `count` times, along a new first dimension.
    pub fn with_repeated_output(mut self, position: usize, count: usize) -> Self {
        let out = self.outputs[position];
        let kind = self.values[out].kind;
        let mut dims = vec![1];
        dims.extend_from_slice(self.dims(out));
        let one = self.push(Op::Reshape, [out], kind, dims.clone());
        dims[0] = count;
        self.outputs[position] = self.push(Op::Expand, [one], kind, dims);
        self
    }

    /// Adds the nodes of `other`, with these values in place of its inputs; returns its outputs.
    pub(crate) fn append(&mut self, other: &Graph, inputs: &[ValueId]) -> Vec<ValueId> {
        let mut place: Vec<Option<ValueId>> = vec![None; other.values.len()];
        for (&id, &value) in other.inputs.iter().zip(inputs) {
            place[id] = Some(value);
        }
        for (&id, data) in &other.constants {
            let known = self.constants.iter().find(|(_, known)| *known == data);
            let value = match known {
                Some((&known, _)) => known,
                None => {
                    let value = self.value(other.values[id].kind, other.values[id].shape.clone());
                    self.constants.insert(value, data.clone());
                    value
                }
            };
            place[id] = Some(value);
        }
        let at = |place: &[Option<ValueId>], id: ValueId| {
            place[id].expect("a value is computed before it is used")
        };
        for node in &other.nodes {
            let inputs = node.inputs.iter().map(|&id| at(&place, id)).collect();
            let outputs: Vec<ValueId> = node
                .outputs
                .iter()
                .map(|&id| self.value(other.values[id].kind, other.values[id].shape.clone()))
                .collect();
            for (&id, &value) in node.outputs.iter().zip(&outputs) {
                place[id] = Some(value);
            }
            self.nodes.push(Node {
                op: node.op.clone(),
                inputs,
                outputs,
            });
        }
        other.outputs.iter().map(|&id| at(&place, id)).collect()
    }
}

fn node(op: Op, input: ValueId, output: ValueId) -> Node {
    Node {
        op,
        inputs: vec![input],
        outputs: vec![output],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Binary, Unary};

    #[test]
    fn parameters_become_one_vector_and_back() {
        let mut graph = Graph::default();
        let a = graph.input(Kind::Float, [2, 2]);
        let b = graph.input(Kind::Float, [3]);
        let x = graph.input(Kind::Float, [2, 2]);
        let sum = graph.push(Op::Binary(Binary::Add), [a, x], Kind::Float, [2, 2]);
        let exp = graph.push(Op::Unary(Unary::Exp), [b], Kind::Float, [3]);
        graph.outputs = vec![sum, exp];
        let flat = graph.with_joined_inputs(0..2).with_joined_outputs(0..2);
        assert_eq!(flat.inputs.len(), 2);
        assert_eq!(flat.dims(flat.inputs[0]), [7]);
        assert_eq!(flat.dims(flat.outputs[0]), [7]);
        assert_eq!(flat.operation_counts()["slice"], 2);
    }

    #[test]
    fn appended_graphs_share_constants() {
        let mut inner = Graph::default();
        let x = inner.input(Kind::Float, [2]);
        let c = inner.value(Kind::Float, [2]);
        inner
            .constants
            .insert(c, burn::tensor::TensorData::from([1.0f32, 2.0]));
        let out = inner.push(Op::Binary(Binary::Mul), [x, c], Kind::Float, [2]);
        inner.outputs = vec![out];
        let mut graph = Graph::default();
        let y = graph.input(Kind::Float, [2]);
        let once = graph.append(&inner, &[y]);
        let twice = graph.append(&inner, &once);
        graph.outputs = twice;
        assert_eq!((graph.nodes.len(), graph.constants.len()), (2, 1));
        assert_eq!(graph.nodes[1].inputs[0], graph.nodes[0].outputs[0]);
    }
}
