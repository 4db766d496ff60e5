//! Layout, indexing, casts and boolean logic.

use super::Importer;
use crate::error::GraphError;
use crate::op::{Compare, Logic, Op, Reduce};
use burn_ir::{BaseOperationIr, BoolOperationIr, IntOperationIr, ScalarIr};

impl Importer {
    pub(super) fn base(&mut self, op: &BaseOperationIr) -> Result<(), GraphError> {
        use BaseOperationIr as B;
        match op {
            B::Reshape(o) => self.node(Op::Reshape, &[&o.input], &[&o.out]),
            B::SwapDims(o) => self.node(Op::SwapDims(o.dim1, o.dim2), &[&o.input], &[&o.out]),
            B::Permute(o) => self.node(Op::Permute(o.axes.clone()), &[&o.input], &[&o.out]),
            B::Flip(o) => self.node(Op::Flip(o.axes.clone()), &[&o.input], &[&o.out]),
            B::Expand(o) => self.node(Op::Expand, &[&o.input], &[&o.out]),
            B::Unfold(o) => {
                let op = Op::Unfold {
                    dim: o.dim,
                    size: o.size,
                    step: o.step,
                };
                self.node(op, &[&o.input], &[&o.out])
            }
            B::Slice(o) => self.node(Op::Slice(o.ranges.clone()), &[&o.tensor], &[&o.out]),
            B::SliceAssign(o) => {
                let op = Op::SliceAssign(o.ranges.clone());
                self.node(op, &[&o.tensor, &o.value], &[&o.out])
            }
            B::Select(o) => self.node(
                Op::Select { dim: o.dim },
                &[&o.tensor, &o.indices],
                &[&o.out],
            ),
            B::SelectAssign(o) => {
                let op = Op::SelectAssign {
                    dim: o.dim,
                    update: o.update,
                };
                self.node(op, &[&o.tensor, &o.indices, &o.value], &[&o.out])
            }
            B::Gather(o) => self.node(
                Op::Gather { dim: o.dim },
                &[&o.tensor, &o.indices],
                &[&o.out],
            ),
            B::Scatter(o) => {
                let op = Op::Scatter {
                    dim: o.dim,
                    update: o.update,
                };
                self.node(op, &[&o.tensor, &o.indices, &o.value], &[&o.out])
            }
            B::MaskWhere(o) => self.node(Op::MaskWhere, &[&o.tensor, &o.mask, &o.value], &[&o.out]),
            B::MaskFill(o) => self.node(Op::MaskFill(o.value), &[&o.tensor, &o.mask], &[&o.out]),
            B::Equal(o) => self.node(Op::Compare(Compare::Equal), &[&o.lhs, &o.rhs], &[&o.out]),
            B::NotEqual(o) => {
                self.node(Op::Compare(Compare::NotEqual), &[&o.lhs, &o.rhs], &[&o.out])
            }
            B::EqualElem(o) => self.node(
                Op::CompareScalar(Compare::Equal, o.rhs),
                &[&o.lhs],
                &[&o.out],
            ),
            B::NotEqualElem(o) => self.node(
                Op::CompareScalar(Compare::NotEqual, o.rhs),
                &[&o.lhs],
                &[&o.out],
            ),
            B::RepeatDim(o) => {
                let op = Op::RepeatDim {
                    dim: o.dim,
                    times: o.times,
                };
                self.node(op, &[&o.tensor], &[&o.out])
            }
            B::Cat(o) => {
                let inputs: Vec<_> = o.tensors.iter().collect();
                self.node(Op::Cat { dim: o.dim }, &inputs, &[&o.out])
            }
            B::Cast(o) => self.node(Op::Cast, &[&o.input], &[&o.out]),
            B::Empty(o) | B::Zeros(o) => self.node(Op::Full(ScalarIr::Int(0)), &[], &[&o.out]),
            B::Ones(o) => self.node(Op::Full(ScalarIr::Int(1)), &[], &[&o.out]),
            B::All(o) => self.node(Op::Reduce(Reduce::All), &[&o.input], &[&o.out]),
            B::Any(o) => self.node(Op::Reduce(Reduce::Any), &[&o.input], &[&o.out]),
            B::AllDim(o) => self.node(Op::ReduceDim(Reduce::All, o.axis), &[&o.input], &[&o.out]),
            B::AnyDim(o) => self.node(Op::ReduceDim(Reduce::Any, o.axis), &[&o.input], &[&o.out]),
            B::ScatterNd(o) => self.scatter_nd(o),
            B::GatherNd(o) => self.gather_nd(o),
        }
    }

    pub(super) fn boolean(&mut self, op: &BoolOperationIr) -> Result<(), GraphError> {
        use BoolOperationIr as B;
        match op {
            B::IntoFloat(o) | B::IntoInt(o) => self.node(Op::Cast, &[&o.input], &[&o.out]),
            B::Not(o) => self.node(Op::Not, &[&o.input], &[&o.out]),
            B::And(o) => self.node(Op::Logic(Logic::And), &[&o.lhs, &o.rhs], &[&o.out]),
            B::Or(o) => self.node(Op::Logic(Logic::Or), &[&o.lhs, &o.rhs], &[&o.out]),
            B::Xor(o) => self.node(Op::Logic(Logic::Xor), &[&o.lhs, &o.rhs], &[&o.out]),
        }
    }

    pub(super) fn int(&mut self, op: &IntOperationIr) -> Result<(), GraphError> {
        match op {
            IntOperationIr::IntoFloat(o) => self.node(Op::Cast, &[&o.input], &[&o.out]),
            other => {
                let text = format!("{other:?}");
                let name = text.split('(').next().unwrap_or("int operation");
                Err(self.unsupported(
                    name,
                    &[],
                    "bitwise and integer matrix operations are not recorded",
                ))
            }
        }
    }
}
