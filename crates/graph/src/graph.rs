//! A recorded computation: nodes in the order of their evaluation, over a table of values.

use crate::op::{Kind, Op};
use burn::tensor::{Shape, TensorData};
use std::collections::{BTreeMap, HashMap};

/// Index of a value in [`Graph::values`].
pub type ValueId = usize;

/// Kind and shape of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// What its elements are.
    pub kind: Kind,
    /// Its shape.
    pub shape: Shape,
}

/// One operation with the values that it reads and writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is done.
    pub op: Op,
    /// Values read, in the operation's order.
    pub inputs: Vec<ValueId>,
    /// Values written.
    pub outputs: Vec<ValueId>,
}

/// A computation with explicit inputs, constants and outputs.
///
/// Nodes are in an order in which they can be evaluated; each value is written at most once.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// All values.
    pub values: Vec<Value>,
    /// All nodes, in order.
    pub nodes: Vec<Node>,
    /// Values handed in, in order.
    pub inputs: Vec<ValueId>,
    /// Values handed out, in order; one value may stand at several places.
    pub outputs: Vec<ValueId>,
    /// Values known when the graph was recorded.
    pub constants: BTreeMap<ValueId, TensorData>,
}

impl Graph {
    /// Adds a value.
    pub fn value(&mut self, kind: Kind, shape: impl Into<Shape>) -> ValueId {
        self.values.push(Value {
            kind,
            shape: shape.into(),
        });
        self.values.len() - 1
    }

    /// Adds an input.
    pub fn input(&mut self, kind: Kind, shape: impl Into<Shape>) -> ValueId {
        let id = self.value(kind, shape);
        self.inputs.push(id);
        id
    }

    /// Adds a node with one result and returns it.
    pub fn push(
        &mut self,
        op: Op,
        inputs: impl Into<Vec<ValueId>>,
        kind: Kind,
        shape: impl Into<Shape>,
    ) -> ValueId {
        let out = self.value(kind, shape);
        self.nodes.push(Node {
            op,
            inputs: inputs.into(),
            outputs: vec![out],
        });
        out
    }

    /// The dimensions of a value.
    pub fn dims(&self, id: ValueId) -> &[usize] {
        &self.values[id].shape
    }

    /// Removes what no output needs; inputs stay.
    pub fn without_dead_code(mut self) -> Self {
        let mut needed = vec![false; self.values.len()];
        for &id in &self.outputs {
            needed[id] = true;
        }
        for node in self.nodes.iter().rev() {
            if node.outputs.iter().any(|&id| needed[id]) {
                for &id in &node.inputs {
                    needed[id] = true;
                }
            }
        }
        (self.nodes).retain(|node| node.outputs.iter().any(|&id| needed[id]));
        self.constants.retain(|&id, _| needed[id]);
        self
    }

    /// The graph with every detached value read directly: right once nothing is differentiated any more.
    pub fn without_detach(mut self) -> Self {
        let mut place: Vec<ValueId> = (0..self.values.len()).collect();
        self.nodes.retain_mut(|node| {
            for input in &mut node.inputs {
                *input = place[*input];
            }
            if node.op != Op::Detach {
                return true;
            }
            place[node.outputs[0]] = node.inputs[0];
            false
        });
        for output in &mut self.outputs {
            *output = place[*output];
        }
        self
    }

    /// For each value, whether it depends on one of `sources`.
    pub fn dependent_on(&self, sources: &[ValueId]) -> Vec<bool> {
        let mut depends = vec![false; self.values.len()];
        for &id in sources {
            depends[id] = true;
        }
        for node in &self.nodes {
            if node.inputs.iter().any(|&id| depends[id]) {
                for &id in &node.outputs {
                    depends[id] = true;
                }
            }
        }
        depends
    }

    /// For each value, the node that writes it.
    pub fn producers(&self) -> HashMap<ValueId, usize> {
        let mut producers = HashMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            for &id in &node.outputs {
                producers.insert(id, index);
            }
        }
        producers
    }

    /// How often each operation occurs, by name.
    pub fn operation_counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for node in &self.nodes {
            *counts.entry(node.op.name()).or_insert(0) += 1;
        }
        counts
    }

    /// Elements of all values that the nodes write.
    pub fn written_elements(&self) -> usize {
        let written = self.nodes.iter().flat_map(|node| &node.outputs);
        written
            .map(|&id| self.values[id].shape.num_elements())
            .sum()
    }

    /// Floating point operations of the matrix products: 2mnk for an m×k by k×n product, times the batch.
    pub fn matmul_flops(&self) -> u64 {
        self.nodes
            .iter()
            .filter(|node| node.op == Op::Matmul)
            .map(|node| {
                let k = self.dims(node.inputs[0]).last().copied().unwrap_or(1) as u64;
                2 * k * self.values[node.outputs[0]].shape.num_elements() as u64
            })
            .sum()
    }
}

impl std::fmt::Display for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for node in &self.nodes {
            for &out in &node.outputs {
                write!(f, "%{out}{:?} ", self.dims(out))?;
            }
            write!(f, "= {}", node.op.name())?;
            for &input in &node.inputs {
                write!(f, " %{input}")?;
            }
            writeln!(f)?;
        }
        write!(f, "inputs {:?}, outputs {:?}", self.inputs, self.outputs)
    }
}
