//! A walk over a graph in which a rule may put another value in place of a node's result.

use crate::graph::{Graph, Node, ValueId};
use crate::op::{Kind, Op};
use burn::tensor::Shape;
use burn_ir::ScalarIr;

/// A graph of which the nodes so far are rewritten.
pub(super) struct Rewriter {
    graph: Graph,
    /// Where each value of the old graph is found now.
    place: Vec<ValueId>,
    /// The node that writes a value.
    writer: Vec<Option<usize>>,
    /// Readers of a value, outputs included: never less than there will be.
    readers: Vec<usize>,
}

/// Walks over the nodes in order. A rule sees each node with one result, its inputs already rewritten, and gives the value
/// that replaces the result, or nothing to keep the node.
pub(super) fn rewrite(
    mut graph: Graph,
    mut rule: impl FnMut(&mut Rewriter, &Node) -> Option<ValueId>,
) -> Graph {
    let nodes = std::mem::take(&mut graph.nodes);
    let outputs = std::mem::take(&mut graph.outputs);
    let count = graph.values.len();
    let mut readers = vec![0; count];
    let inputs = nodes.iter().flat_map(|node| &node.inputs);
    for &id in inputs.chain(&outputs) {
        readers[id] += 1;
    }
    let mut rewriter = Rewriter {
        graph,
        place: (0..count).collect(),
        writer: vec![None; count],
        readers,
    };
    rewriter.graph.nodes.reserve(nodes.len());
    for mut node in nodes {
        for input in &mut node.inputs {
            *input = rewriter.place[*input];
        }
        let replaced = match node.outputs[..] {
            [out] => rule(&mut rewriter, &node).map(|new| (out, new)),
            _ => None,
        };
        match replaced {
            Some((out, new)) => rewriter.replace(out, new),
            None => rewriter.keep(node),
        }
    }
    let place = rewriter.place;
    let mut graph = rewriter.graph;
    graph.outputs = outputs.into_iter().map(|id| place[id]).collect();
    graph
}

impl Rewriter {
    fn replace(&mut self, out: ValueId, new: ValueId) {
        self.place[out] = new;
        self.readers[new] += self.readers[out];
    }

    fn keep(&mut self, node: Node) {
        for &out in &node.outputs {
            self.writer[out] = Some(self.graph.nodes.len());
        }
        self.graph.nodes.push(node);
    }

    /// Adds a node and returns its result.
    pub(super) fn push(
        &mut self,
        op: Op,
        inputs: impl Into<Vec<ValueId>>,
        kind: Kind,
        shape: impl Into<Shape>,
    ) -> ValueId {
        let inputs = inputs.into();
        for &id in &inputs {
            self.readers[id] += 1;
        }
        let out = self.graph.push(op, inputs, kind, shape);
        self.writer.push(Some(self.graph.nodes.len() - 1));
        self.readers.push(0);
        out
    }

    /// Adds a node whose result has the kind and the shape of `like`.
    pub(super) fn push_like(
        &mut self,
        op: Op,
        inputs: impl Into<Vec<ValueId>>,
        like: ValueId,
    ) -> ValueId {
        let value = self.graph.values[like].clone();
        self.push(op, inputs, value.kind, value.shape)
    }

    /// `x` in the shape of `like`, along whose dimensions it is repeated.
    pub(super) fn expanded(&mut self, x: ValueId, like: ValueId) -> ValueId {
        match self.same_shape(x, like) {
            true => x,
            false => self.push_like(Op::Expand, [x], like),
        }
    }

    /// `x` in the shape of `like`, with as many elements.
    pub(super) fn reshaped(&mut self, x: ValueId, like: ValueId) -> ValueId {
        match self.same_shape(x, like) {
            true => x,
            false => self.push_like(Op::Reshape, [x], like),
        }
    }

    pub(super) fn dims(&self, id: ValueId) -> &[usize] {
        self.graph.dims(id)
    }

    pub(super) fn elements(&self, id: ValueId) -> usize {
        self.dims(id).iter().product()
    }

    pub(super) fn same_shape(&self, a: ValueId, b: ValueId) -> bool {
        self.dims(a) == self.dims(b)
    }

    pub(super) fn kind(&self, id: ValueId) -> Kind {
        self.graph.values[id].kind
    }

    pub(super) fn is_float(&self, id: ValueId) -> bool {
        self.kind(id) == Kind::Float
    }

    /// The node that writes a value; none for inputs, constants and nodes with several results.
    pub(super) fn producer(&self, id: ValueId) -> Option<&Node> {
        let node = &self.graph.nodes[self.writer[id]?];
        (node.outputs.len() == 1).then_some(node)
    }

    /// What the value is computed from, if `op` does it.
    pub(super) fn input_of(&self, id: ValueId, op: &Op) -> Option<ValueId> {
        let node = self.producer(id)?;
        (node.op == *op).then(|| node.inputs[0])
    }

    /// Whether one reader at most is left, so that the value is not computed if that reader does without.
    pub(super) fn read_once(&self, id: ValueId) -> bool {
        self.readers[id] <= 1
    }

    /// The number that a float tensor holds everywhere.
    pub(super) fn number(&self, id: ValueId) -> Option<f64> {
        match self.producer(id)?.op {
            Op::Full(number) if self.is_float(id) => Some(number.elem()),
            _ => None,
        }
    }
}

/// A number as the scalar of an operation.
pub(super) fn scalar(number: f64) -> ScalarIr {
    ScalarIr::Float(number)
}

/// The shape of two operands of one rank broadcast against each other.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    if a.len() != b.len() {
        return None;
    }
    let lengths = a.iter().zip(b).map(|(&a, &b)| match (a, b) {
        (1, length) | (length, 1) => Some(length),
        _ => (a == b).then_some(a),
    });
    lengths.collect()
}

/// How a permutation names the dimensions: result dimension `i` is dimension `axes[i]` of the input.
pub(super) fn axes(op: &Op, rank: usize) -> Option<Vec<usize>> {
    match op {
        Op::SwapDims(a, b) => {
            let mut axes: Vec<usize> = (0..rank).collect();
            axes.swap(*a, *b);
            Some(axes)
        }
        Op::Permute(axes) => Some(axes.clone()),
        _ => None,
    }
}

/// Whether a permutation leaves all but dimensions of length one in their order.
pub(super) fn moves_only_ones(axes: &[usize], dims: &[usize]) -> bool {
    let moved: Vec<usize> = axes.iter().copied().filter(|&a| dims[a] != 1).collect();
    moved.is_sorted()
}
