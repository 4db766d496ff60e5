//! A recorded graph for many values of some inputs at once.
//!
//! [`batch_over`] rewrites a graph so that chosen inputs, and all that follows from them, have a leading dimension: the
//! *block*. One Hessian-vector product becomes `count` of them in one evaluation, with larger matrix products in place of
//! more of them. What does not depend on these inputs is computed once and never repeated; next to a block it gets a
//! leading dimension of length one, or is expanded (a view) where Burn asks for equal shapes.
//!
//! Every operation has a rule that takes the whole block in one pass; none is applied member by member. The rules rest on
//! three facts:
//!
//! - most operations act the same way one dimension further in;
//! - a product with one matrix takes the block as more rows;
//! - convolutions and poolings take the block as more examples, more channels, or (if both factors are in the block) more
//!   groups, of which Burn's kernel gradients take one at a time. Operations that ask for an operand only to know its shape
//!   get one that holds no memory.

mod blocks;
mod indexing;
mod products;
#[cfg(test)]
pub(crate) mod tests;

use crate::graph::{Graph, Node, ValueId};
use crate::op::{Op, Pool, Reduce};
use blocks::Fold;
use burn::tensor::Slice;

/// A graph with some inputs as blocks.
#[derive(Clone, Debug)]
pub struct Batched {
    /// Inputs in the block have a leading dimension `count`; so do the outputs that depend on them.
    pub graph: Graph,
    /// For each output, whether it has the leading dimension.
    pub batched_outputs: Vec<bool>,
}

/// `graph` for `count` values of some inputs at once.
///
/// `batched_inputs` are positions in [`Graph::inputs`]; inputs and outputs keep their order. Random numbers are drawn once
/// for all members. Some reshapes and expansions occur more than once in the result; [`simplify`](crate::simplify) keeps one.
///
/// ```
/// use ravine_graph::{Graph, Kind, Op, batch_over};
///
/// let mut product = Graph::default();
/// let matrix = product.input(Kind::Float, [5, 4]);
/// let vector = product.input(Kind::Float, [4, 1]);
/// product.outputs = vec![product.push(Op::Matmul, [matrix, vector], Kind::Float, [5, 1])];
///
/// let products = batch_over(&product, &[1], 8);
/// assert_eq!(products.graph.dims(products.graph.outputs[0]), [8, 5, 1]);
/// assert_eq!(products.batched_outputs, [true]);
/// ```
///
/// # Rules
///
/// The nodes that do the work, beside reshapes, expansions, transpositions and slices. ● is an operand in the block, ○ one
/// outside of it; *itself* is the recorded operation, with its dimensions moved and its groups multiplied where needed.
/// `full` and `random` have no operands.
///
#[doc = include_str!("batching/rules.md")]
pub fn batch_over(graph: &Graph, batched_inputs: &[usize], count: usize) -> Batched {
    let mut batcher = Batcher::new(graph, batched_inputs, count);
    for node in &graph.nodes {
        batcher.node(node);
    }
    let outputs: Vec<Operand> = graph.outputs.iter().map(|&id| batcher.place[id]).collect();
    batcher.new.outputs = outputs.iter().map(|output| output.id).collect();
    Batched {
        graph: batcher.new,
        batched_outputs: outputs.iter().map(|output| output.batched).collect(),
    }
}

/// A value of the new graph.
#[derive(Clone, Copy, Debug)]
struct Operand {
    id: ValueId,
    /// Whether it has the leading dimension.
    batched: bool,
}

struct Batcher<'a> {
    old: &'a Graph,
    new: Graph,
    count: usize,
    /// Where each value of the old graph is found.
    place: Vec<Operand>,
}

impl<'a> Batcher<'a> {
    fn new(old: &'a Graph, batched_inputs: &[usize], count: usize) -> Self {
        let place = (0..old.values.len()).map(|id| Operand { id, batched: false });
        let mut batcher = Self {
            old,
            new: Graph {
                values: old.values.clone(),
                nodes: Vec::with_capacity(old.nodes.len()),
                inputs: old.inputs.clone(),
                outputs: Vec::new(),
                constants: old.constants.clone(),
            },
            count,
            place: place.collect(),
        };
        for (position, &id) in old.inputs.iter().enumerate() {
            if batched_inputs.contains(&position) {
                batcher.new.values[id].shape = batcher.lead(old.dims(id)).into();
                batcher.place[id].batched = true;
            }
        }
        batcher
    }

    fn node(&mut self, node: &Node) {
        let operands: Vec<Operand> = node.inputs.iter().map(|&id| self.place[id]).collect();
        let shape_only = shape_only(&node.op);
        let depends = (operands.iter().enumerate())
            .any(|(position, operand)| operand.batched && Some(position) != shape_only);
        if !depends {
            return self.once(node, &operands);
        }
        let results = match &node.op {
            Op::Reshape => vec![self.reshape_members(node, operands[0])],
            Op::Expand => self.expand_members(node, operands[0]),
            Op::Reduce(function) => vec![self.reduce(node, *function, operands[0])],
            Op::Gather { dim } => self.gather(node, *dim, operands[0], operands[1]),
            Op::Select { dim } => self.select(node, *dim, operands[0], operands[1]),
            Op::SelectAssign { dim, update } => self.select_assign(
                node,
                (*dim, *update),
                [operands[0], operands[1], operands[2]],
            ),
            Op::Matmul => self.matmul(node, operands[0], operands[1]),
            Op::Pool(_) => self.pool(node, &operands),
            op if is_elementwise(op) => {
                let rank = self.old.dims(node.outputs[0]).len();
                let inputs = self.each(&operands, |batcher, x| batcher.aligned(x, rank));
                self.emit(op.clone(), inputs, node)
            }
            op => match products::roles(op) {
                Some(roles) => self.convolution(node, &roles, &operands),
                None => {
                    let inputs = self.each(&operands, Self::stacked);
                    self.emit(one_dimension_further(op), inputs, node)
                }
            },
        };
        self.keep(node, &results, true);
    }

    /// A node whose results are the same for all members.
    fn once(&mut self, node: &Node, operands: &[Operand]) {
        let inputs = self.each(operands, |batcher, x| match x.batched {
            true => batcher.blank(x, batcher.member(x)),
            false => x.id,
        });
        let outputs = node.outputs.clone();
        self.new.nodes.push(Node {
            op: node.op.clone(),
            inputs,
            outputs: outputs.clone(),
        });
        self.keep(node, &outputs, false);
    }

    fn keep(&mut self, node: &Node, results: &[ValueId], batched: bool) {
        for (&old, &id) in node.outputs.iter().zip(results) {
            self.place[old] = Operand { id, batched };
        }
    }

    fn each(
        &mut self,
        operands: &[Operand],
        mut prepare: impl FnMut(&mut Self, Operand) -> ValueId,
    ) -> Vec<ValueId> {
        operands.iter().map(|&x| prepare(self, x)).collect()
    }

    // ---- rules ----

    fn reshape_members(&mut self, node: &Node, x: Operand) -> ValueId {
        let shape = self.lead(self.old.dims(node.outputs[0]));
        self.reshape(x.id, shape)
    }

    fn expand_members(&mut self, node: &Node, x: Operand) -> Vec<ValueId> {
        let rank = self.old.dims(node.outputs[0]).len();
        let aligned = self.aligned(x, rank);
        self.emit(Op::Expand, vec![aligned], node)
    }

    /// Of all elements of each member: along the rows of a matrix.
    fn reduce(&mut self, node: &Node, function: Reduce, x: Operand) -> ValueId {
        let size = self.member(x).iter().product();
        let rows = self.reshape(x.id, vec![self.count, size]);
        let out = &self.old.values[node.outputs[0]];
        let op = Op::ReduceDim(function, 1);
        let reduced = self.new.push(op, [rows], out.kind, [self.count, 1]);
        self.reshape(reduced, self.lead(&out.shape))
    }

    /// The block as more examples.
    fn pool(&mut self, node: &Node, operands: &[Operand]) -> Vec<ValueId> {
        let examples = Fold { dim: 0, outer: 1 };
        let shape_only = shape_only(&node.op);
        let mut inputs = Vec::with_capacity(operands.len());
        for (position, &x) in operands.iter().enumerate() {
            inputs.push(match shape_only == Some(position) {
                true => self.blank(x, self.folded_shape(node.outputs[0], examples)),
                false => {
                    let stacked = self.stacked(x);
                    self.fold(stacked, examples)
                }
            });
        }
        self.emit_folded(node.op.clone(), inputs, node, examples)
    }
}

/// Whether operands of equal rank are broadcast against each other.
fn is_elementwise(op: &Op) -> bool {
    matches!(
        op,
        Op::Unary(_)
            | Op::Binary(_)
            | Op::BinaryScalar(..)
            | Op::Compare(_)
            | Op::CompareScalar(..)
            | Op::Logic(_)
            | Op::Not
            | Op::IsNan
            | Op::IsInf
            | Op::Cast
            | Op::Detach
    )
}

/// The operand that matters only by its shape, which is that of the result.
fn shape_only(op: &Op) -> Option<usize> {
    match op {
        Op::Pool(Pool::Max1dWithIndices(_) | Pool::Max2dWithIndices(_)) => None,
        Op::Pool(_) => Some(0),
        op => products::roles(op).and_then(|roles| roles.shape_only()),
    }
}

/// The operation on members that lie one dimension further in.
fn one_dimension_further(op: &Op) -> Op {
    let mut op = op.clone();
    match &mut op {
        Op::SwapDims(a, b) => (*a, *b) = (*a + 1, *b + 1),
        Op::Permute(axes) => {
            *axes = std::iter::once(0)
                .chain(axes.iter().map(|axis| axis + 1))
                .collect()
        }
        Op::Flip(axes) => axes.iter_mut().for_each(|axis| *axis += 1),
        Op::Slice(ranges) | Op::SliceAssign(ranges) => ranges.insert(0, Slice::from(..)),
        Op::Pad { padding, .. } => padding.insert(0, (0, 0)),
        Op::RepeatDim { dim, .. }
        | Op::Cat { dim }
        | Op::Unfold { dim, .. }
        | Op::Gather { dim }
        | Op::Scatter { dim, .. }
        | Op::Select { dim }
        | Op::SelectAssign { dim, .. }
        | Op::ReduceDim(_, dim)
        | Op::MaxDimWithIndices(dim)
        | Op::MinDimWithIndices(dim)
        | Op::Cumulative(_, dim)
        | Op::SortWithIndices { dim, .. } => *dim += 1,
        // masks have no dimension; every backend takes them in equal shapes, not every one broadcasts them
        _ => {}
    }
    op
}
