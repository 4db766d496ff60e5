//! Matrix products and convolutions.

use super::blocks::Fold;
use super::{Batcher, Operand};
use crate::graph::{Node, ValueId};
use crate::op::{Kind, Op};

impl Batcher<'_> {
    /// A block times one matrix is a product with more rows; other products broadcast their leading dimensions.
    pub(super) fn matmul(&mut self, node: &Node, x: Operand, y: Operand) -> Vec<ValueId> {
        let out = self.old.dims(node.outputs[0]);
        if !y.batched
            && let Some([inner, columns]) = matrix(self.new.dims(y.id))
        {
            let rows = self.count * out[..out.len() - 1].iter().product::<usize>();
            let tall = self.reshape(x.id, vec![rows, inner]);
            let factor = self.reshape(y.id, vec![inner, columns]);
            let product = (self.new).push(Op::Matmul, [tall, factor], Kind::Float, [rows, columns]);
            return vec![self.reshape(product, self.lead(out))];
        }
        let inputs = vec![self.aligned(x, out.len()), self.aligned(y, out.len())];
        self.emit(Op::Matmul, inputs, node)
    }

    /// A block in one factor goes where this factor and the result share a dimension; a block in both becomes groups.
    pub(super) fn convolution(
        &mut self,
        node: &Node,
        roles: &Roles,
        operands: &[Operand],
    ) -> Vec<ValueId> {
        let mut op = node.op.clone();
        let groups = groups_mut(&mut op).expect("a convolution has groups");
        let shared = roles.place_of_block(operands);
        let out = roles.result.place(shared, *groups);
        let inputs = (roles.operands.iter().zip(operands))
            .map(|(&role, &x)| match (role == roles.result, x.batched) {
                (true, _) => self.blank(x, self.folded_shape(node.outputs[0], out)),
                (false, true) => self.fold(x.id, role.place(shared, *groups)),
                (false, false) => x.id,
            })
            .collect();
        if shared == Shared::Groups {
            *groups *= self.count;
        }
        self.emit_folded(op, inputs, node, out)
    }
}

/// The two dimensions of a matrix, if all others have length one.
fn matrix(shape: &[usize]) -> Option<[usize; 2]> {
    let (leading, matrix) = shape.split_at(shape.len() - 2);
    leading
        .iter()
        .all(|&length| length == 1)
        .then(|| [matrix[0], matrix[1]])
}

/// The three tensors of a convolution: each of its products and derivatives makes one of them from the two others.
///
/// A transposed convolution is the derivative of a convolution by its input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Role {
    /// `[examples, inputs, ..]`
    Input,
    /// `[outputs, inputs of a group, ..]`
    Weight,
    /// `[examples, outputs, ..]`
    Output,
}

/// A dimension that two of the tensors share, or that all share.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shared {
    Examples,
    Inputs,
    Outputs,
    Groups,
}

impl Shared {
    fn between(one: Role, other: Role) -> Self {
        match (one, other) {
            (Role::Input, Role::Weight) | (Role::Weight, Role::Input) => Self::Inputs,
            (Role::Weight, Role::Output) | (Role::Output, Role::Weight) => Self::Outputs,
            _ => Self::Examples,
        }
    }
}

impl Role {
    /// Where a block lies in this tensor, next to the channels of each of its groups.
    fn place(self, shared: Shared, groups: usize) -> Fold {
        let (dim, outer) = match (self, shared) {
            (_, Shared::Examples) => (0, 1),
            (Self::Weight, Shared::Groups) => (0, 1),
            (Self::Weight, Shared::Outputs) => (0, groups),
            (Self::Weight, Shared::Inputs) => (1, 1),
            (_, Shared::Groups) => (1, 1),
            (_, Shared::Inputs | Shared::Outputs) => (1, groups),
        };
        Fold { dim, outer }
    }
}

/// What the operands and the result of a convolution are. An operand in the role of the result gives only its shape.
pub(super) struct Roles {
    operands: &'static [Role],
    result: Role,
}

impl Roles {
    pub(super) fn shape_only(&self) -> Option<usize> {
        self.operands.iter().position(|&role| role == self.result)
    }

    fn place_of_block(&self, operands: &[Operand]) -> Shared {
        let mut factors = (self.operands.iter().zip(operands))
            .filter(|(role, x)| x.batched && **role != self.result)
            .map(|(&role, _)| role);
        match (factors.next(), factors.next()) {
            (Some(factor), None) => Shared::between(factor, self.result),
            _ => Shared::Groups,
        }
    }
}

pub(super) fn roles(op: &Op) -> Option<Roles> {
    use Role::{Input, Output, Weight};
    let (operands, result): (&'static [Role], Role) = match op {
        Op::Conv1d(_) | Op::Conv2d(_) | Op::Conv3d(_) => (&[Input, Weight], Output),
        Op::Conv1dXBackward(_) | Op::Conv2dXBackward(_) | Op::Conv3dXBackward(_) => {
            (&[Input, Weight, Output], Input)
        }
        Op::Conv1dWeightBackward(_) | Op::Conv2dWeightBackward(_) | Op::Conv3dWeightBackward(_) => {
            (&[Input, Weight, Output], Weight)
        }
        Op::ConvTranspose1d(_) | Op::ConvTranspose2d(_) | Op::ConvTranspose3d(_) => {
            (&[Output, Weight], Input)
        }
        Op::ConvTranspose1dWeightBackward(_)
        | Op::ConvTranspose2dWeightBackward(_)
        | Op::ConvTranspose3dWeightBackward(_) => (&[Output, Weight, Input], Weight),
        _ => return None,
    };
    Some(Roles { operands, result })
}

fn groups_mut(op: &mut Op) -> Option<&mut usize> {
    match op {
        Op::Conv1d(o) | Op::Conv1dXBackward(o) | Op::Conv1dWeightBackward(o) => Some(&mut o.groups),
        Op::Conv2d(o) | Op::Conv2dXBackward(o) | Op::Conv2dWeightBackward(o) => Some(&mut o.groups),
        Op::Conv3d(o) | Op::Conv3dXBackward(o) | Op::Conv3dWeightBackward(o) => Some(&mut o.groups),
        Op::ConvTranspose1d(o) | Op::ConvTranspose1dWeightBackward(o) => Some(&mut o.groups),
        Op::ConvTranspose2d(o) | Op::ConvTranspose2dWeightBackward(o) => Some(&mut o.groups),
        Op::ConvTranspose3d(o) | Op::ConvTranspose3dWeightBackward(o) => Some(&mut o.groups),
        _ => None,
    }
}
