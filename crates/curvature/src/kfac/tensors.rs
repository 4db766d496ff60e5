//! Products of blocks with vectors on a device.

use super::entries::Entries;
use super::operator::{Block, Space};
use crate::vector::from_f64;
use burn::prelude::Tensor;
use faer::MatRef;

/// The blocks of an operator on its device.
#[derive(Clone, Debug)]
pub(super) struct Tensors {
    blocks: Vec<Sandwich>,
    others: Vec<Tensor<2>>,
}

/// V ↦ A V B, or V ↦ U_A (Λ ∘ (U_Aᵀ V U_B)) U_Bᵀ.
#[derive(Clone, Debug)]
enum Sandwich {
    Product {
        a: Tensor<2>,
        b: Tensor<2>,
    },
    Diagonal {
        a: Tensor<2>,
        b: Tensor<2>,
        values: Box<Tensor<3>>,
    },
}

impl Tensors {
    pub(super) fn of(space: &Space, blocks: &[Block], others: &[Vec<f64>]) -> Self {
        let tensor = |matrix: MatRef<'_, f64>| {
            let rows = matrix.row_iter().flat_map(|row| row.iter().copied());
            let numbers: Vec<f64> = rows.collect();
            from_f64(&numbers, &space.device, space.dtype).reshape([matrix.nrows(), matrix.ncols()])
        };
        let blocks = blocks.iter().map(|block| match block {
            Block::Product { a, b } => Sandwich::Product {
                a: tensor(a.as_ref()),
                b: tensor(b.as_ref()),
            },
            Block::Diagonal { bases, values } => Sandwich::Diagonal {
                a: tensor(bases.a.as_ref()),
                b: tensor(bases.b.as_ref()),
                values: Box::new(tensor(values.as_ref()).unsqueeze()),
            },
        });
        let others = others.iter().map(|diagonal| {
            from_f64(diagonal, &space.device, space.dtype).reshape([1, diagonal.len()])
        });
        Self {
            blocks: blocks.collect(),
            others: others.collect(),
        }
    }

    /// The products with vectors `[k, n]`.
    pub(super) fn apply(&self, space: &Space, vs: Tensor<2>) -> Tensor<2> {
        let vs = vs.cast(space.dtype);
        // every parameter belongs to a block or to the others
        let mut parts: Vec<(usize, Tensor<2>)> = Vec::new();
        for (entries, block) in space.entries.iter().zip(&self.blocks) {
            entries.put(block.apply(entries.take(&vs)), &mut parts);
        }
        for (range, diagonal) in space.others.iter().zip(&self.others) {
            let own = vs.clone().slice_dim(1, range.clone());
            parts.push((range.start, own * diagonal.clone()));
        }
        parts.sort_by_key(|(start, _)| *start);
        Tensor::cat(parts.into_iter().map(|(_, part)| part).collect(), 1)
    }
}

impl Sandwich {
    /// For each of `[k, inputs, outputs]`.
    fn apply(&self, matrices: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Product { a, b } => right(left(a.clone(), matrices), b.clone()),
            Self::Diagonal { a, b, values } => {
                let coordinates = right(left(a.clone().transpose(), matrices), b.clone());
                let scaled = coordinates * (**values).clone();
                right(left(a.clone(), scaled), b.clone().transpose())
            }
        }
    }
}

fn left(a: Tensor<2>, matrices: Tensor<3>) -> Tensor<3> {
    a.unsqueeze::<3>().matmul(matrices)
}

fn right(matrices: Tensor<3>, b: Tensor<2>) -> Tensor<3> {
    let [count, rows, columns] = matrices.dims();
    let product = matrices.reshape([count * rows, columns]).matmul(b);
    product.reshape([count, rows, columns])
}

impl Entries {
    /// The matrices `[k, inputs, outputs]` of vectors `[k, n]`.
    fn take(&self, vs: &Tensor<2>) -> Tensor<3> {
        let count = vs.dims()[0];
        let (rows, outputs) = (self.weight_rows(), self.outputs);
        let weight = vs
            .clone()
            .slice_dim(1, self.weight..self.weight + rows * outputs);
        let weight: Tensor<3> = match self.is_row_major() {
            true => weight.reshape([count, rows, outputs]),
            false => weight.reshape([count, outputs, rows]).swap_dims(1, 2),
        };
        let Some(start) = self.bias else {
            return weight;
        };
        let bias = vs.clone().slice_dim(1, start..start + outputs);
        Tensor::cat(vec![weight, bias.reshape([count, 1, outputs])], 1)
    }

    /// The parts of vectors that matrices hold, with their places.
    fn put(&self, matrices: Tensor<3>, parts: &mut Vec<(usize, Tensor<2>)>) {
        let [count, _, outputs] = matrices.dims();
        let rows = self.weight_rows();
        let mut weight = matrices.clone().slice_dim(1, 0..rows);
        if !self.is_row_major() {
            weight = weight.swap_dims(1, 2);
        }
        parts.push((self.weight, weight.reshape([count, rows * outputs])));
        if let Some(start) = self.bias {
            let bias = matrices.slice_dim(1, rows..rows + 1);
            parts.push((start, bias.reshape([count, outputs])));
        }
    }
}
