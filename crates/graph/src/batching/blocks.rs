//! Blocks: putting the leading dimension before a value, into one of its dimensions, and back.

use super::{Batcher, Operand};
use crate::graph::{Node, Value, ValueId};
use crate::op::Op;
use burn::tensor::Slice;

/// Where a block goes when it becomes part of a dimension of its members: the dimension is read as `outer` runs, and the
/// members follow each other inside every run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fold {
    pub(super) dim: usize,
    pub(super) outer: usize,
}

impl Batcher<'_> {
    /// `shape` with the leading dimension of the block.
    pub(super) fn lead(&self, shape: &[usize]) -> Vec<usize> {
        [&[self.count], shape].concat()
    }

    /// The dimensions of one member.
    pub(super) fn member(&self, x: Operand) -> Vec<usize> {
        self.new.dims(x.id)[usize::from(x.batched)..].to_vec()
    }

    pub(super) fn reshape(&mut self, id: ValueId, shape: Vec<usize>) -> ValueId {
        if self.new.dims(id) == shape {
            return id;
        }
        let kind = self.new.values[id].kind;
        self.new.push(Op::Reshape, [id], kind, shape)
    }

    pub(super) fn expand(&mut self, id: ValueId, shape: Vec<usize>) -> ValueId {
        if self.new.dims(id) == shape {
            return id;
        }
        let kind = self.new.values[id].kind;
        self.new.push(Op::Expand, [id], kind, shape)
    }

    /// With a leading dimension, of length one if `x` is not in the block, before members of rank `rank`.
    pub(super) fn aligned(&mut self, x: Operand, rank: usize) -> ValueId {
        let member = self.member(x);
        let mut shape = vec![1; 1 + rank - member.len()];
        shape.extend(member);
        if x.batched {
            shape[0] = self.count;
        }
        self.reshape(x.id, shape)
    }

    /// With the leading dimension, for operations that do not broadcast.
    pub(super) fn stacked(&mut self, x: Operand) -> ValueId {
        let member = self.member(x);
        let aligned = self.aligned(x, member.len());
        self.expand(aligned, self.lead(&member))
    }

    /// A tensor of which only the shape matters, without memory of its own: one element of `x`, expanded.
    pub(super) fn blank(&mut self, x: Operand, shape: Vec<usize>) -> ValueId {
        let Value { kind, shape: from } = self.new.values[x.id].clone();
        let first = Op::Slice(vec![Slice::from(0..1); from.len()]);
        let element = self.new.push(first, [x.id], kind, vec![1; from.len()]);
        let element = self.reshape(element, vec![1; shape.len()]);
        self.expand(element, shape)
    }

    /// A node with the shapes of `node` for the whole block.
    pub(super) fn emit(&mut self, op: Op, inputs: Vec<ValueId>, node: &Node) -> Vec<ValueId> {
        let outputs: Vec<ValueId> = (node.outputs.iter())
            .map(|&id| {
                let Value { kind, shape } = &self.old.values[id];
                self.new.value(*kind, self.lead(shape))
            })
            .collect();
        self.new.nodes.push(Node {
            op,
            inputs,
            outputs: outputs.clone(),
        });
        outputs
    }

    /// A node whose results hold the block as `fold` says; the block is brought to the front again.
    pub(super) fn emit_folded(
        &mut self,
        op: Op,
        inputs: Vec<ValueId>,
        node: &Node,
        fold: Fold,
    ) -> Vec<ValueId> {
        let outputs: Vec<ValueId> = (node.outputs.iter())
            .map(|&id| {
                let kind = self.old.values[id].kind;
                self.new.value(kind, self.folded_shape(id, fold))
            })
            .collect();
        self.new.nodes.push(Node {
            op,
            inputs,
            outputs: outputs.clone(),
        });
        (node.outputs.iter().zip(outputs))
            .map(|(&old, id)| self.unfold(id, fold, self.old.dims(old)))
            .collect()
    }

    /// The shape of a value of the old graph that holds the block as `fold` says.
    pub(super) fn folded_shape(&self, old: ValueId, fold: Fold) -> Vec<usize> {
        let mut shape = self.old.dims(old).to_vec();
        shape[fold.dim] *= self.count;
        shape
    }

    /// Takes the leading dimension into a dimension of the members.
    pub(super) fn fold(&mut self, id: ValueId, fold: Fold) -> ValueId {
        let mut shape = self.new.dims(id)[1..].to_vec();
        let (runs, rest) = fold.split(&shape);
        shape[fold.dim] *= self.count;
        if runs == 1 {
            return self.reshape(id, shape);
        }
        let parts = self.reshape(id, vec![self.count, runs, rest]);
        let swapped = self.swap(parts);
        self.reshape(swapped, shape)
    }

    /// Brings a folded block to the front again.
    pub(super) fn unfold(&mut self, id: ValueId, fold: Fold, member: &[usize]) -> ValueId {
        let (runs, rest) = fold.split(member);
        if runs == 1 {
            return self.reshape(id, self.lead(member));
        }
        let parts = self.reshape(id, vec![runs, self.count, rest]);
        let swapped = self.swap(parts);
        self.reshape(swapped, self.lead(member))
    }

    pub(super) fn swap(&mut self, id: ValueId) -> ValueId {
        let Value { kind, shape } = self.new.values[id].clone();
        let swapped = [shape[1], shape[0], shape[2]];
        self.new.push(Op::SwapDims(0, 1), [id], kind, swapped)
    }
}

impl Fold {
    /// How many runs a member has before the place of the block, and how long each is: three dimensions are enough to move
    /// the block, whatever the rank.
    pub(super) fn split(self, member: &[usize]) -> (usize, usize) {
        let runs = member[..self.dim].iter().product::<usize>() * self.outer;
        let inside = member[self.dim] / self.outer;
        (
            runs,
            inside * member[self.dim + 1..].iter().product::<usize>(),
        )
    }
}
