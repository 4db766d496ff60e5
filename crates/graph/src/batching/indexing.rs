//! Selections: a block of indices is a longer selection from one tensor; a block of both is a gather.

use super::blocks::Fold;
use super::{Batcher, Operand};
use crate::graph::{Node, ValueId};
use crate::op::Op;
use burn::tensor::IndexingUpdateOp;

impl Batcher<'_> {
    pub(super) fn gather(
        &mut self,
        node: &Node,
        dim: usize,
        x: Operand,
        indices: Operand,
    ) -> Vec<ValueId> {
        if x.batched {
            let indices = self.stacked(indices);
            return self.emit(Op::Gather { dim: dim + 1 }, vec![x.id, indices], node);
        }
        let along = Fold { dim, outer: 1 };
        let longer = self.fold(indices.id, along);
        self.emit_folded(Op::Gather { dim }, vec![x.id, longer], node, along)
    }

    pub(super) fn select(
        &mut self,
        node: &Node,
        dim: usize,
        x: Operand,
        indices: Operand,
    ) -> Vec<ValueId> {
        if !indices.batched {
            return self.emit(Op::Select { dim: dim + 1 }, vec![x.id, indices.id], node);
        }
        if x.batched {
            let indices = self.spread(indices, dim, self.old.dims(node.outputs[0]));
            return self.emit(Op::Gather { dim: dim + 1 }, vec![x.id, indices], node);
        }
        let along = Fold { dim, outer: 1 };
        let longer = self.fold(indices.id, Fold { dim: 0, outer: 1 });
        self.emit_folded(Op::Select { dim }, vec![x.id, longer], node, along)
    }

    pub(super) fn select_assign(
        &mut self,
        node: &Node,
        (dim, update): (usize, IndexingUpdateOp),
        [x, indices, value]: [Operand; 3],
    ) -> Vec<ValueId> {
        let dim_of_block = dim + 1;
        let (op, indices) = match indices.batched {
            true => {
                let spread = self.spread(indices, dim, &self.member(value));
                (
                    Op::Scatter {
                        dim: dim_of_block,
                        update,
                    },
                    spread,
                )
            }
            false => (
                Op::SelectAssign {
                    dim: dim_of_block,
                    update,
                },
                indices.id,
            ),
        };
        let (x, value) = (self.stacked(x), self.stacked(value));
        self.emit(op, vec![x, indices, value], node)
    }

    /// Indices along `dim` for each element of a block of members of this shape.
    fn spread(&mut self, indices: Operand, dim: usize, member: &[usize]) -> ValueId {
        let mut shape = vec![1; member.len() + 1];
        (shape[0], shape[dim + 1]) = (self.count, member[dim]);
        let column = self.reshape(indices.id, shape);
        self.expand(column, self.lead(member))
    }
}
