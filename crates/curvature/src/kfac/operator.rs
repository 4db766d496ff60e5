//! Block diagonal operators whose blocks are Kronecker products, or diagonal in Kronecker products of eigenbases.

use super::entries::Entries;
use super::product::product;
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use crate::vector::{from_f64, to_f64};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use faer::{Mat, MatRef};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// A symmetric operator that is block diagonal over the layers of a model.
///
/// The block of a layer acts on the matrix V `[inputs, outputs]` of its weight (with the bias as a last row) as A V B, or as
/// U_A (Λ ∘ (U_Aᵀ V U_B)) U_Bᵀ; the parameters that belong to no layer have a diagonal. Made by [`Kfac`](crate::Kfac) and
/// [`EkFac`](crate::EkFac): as their inverses, square roots and themselves.
///
/// # Shapes
///
/// Vectors `[n]` in the order of the [`ParameterLayout`](crate::ParameterLayout). The arithmetic is in f64 on the processor; products are
/// rounded to the operator's dtype.
///
/// # Cost
///
/// Two or four matrix products a layer: O(inputs · outputs · (inputs + outputs)).
#[derive(Clone, Debug)]
pub struct KroneckerOperator {
    pub(super) space: Space,
    pub(super) blocks: Vec<Block>,
    /// The diagonals of the parameters that belong to no layer, in the order of their ranges.
    pub(super) others: Vec<Vec<f64>>,
    pub(super) definiteness: Definiteness,
}

/// The vectors that blocks act on.
#[derive(Clone, Debug)]
pub(super) struct Space {
    pub(super) dim: usize,
    pub(super) device: Device,
    pub(super) dtype: DType,
    pub(super) entries: Arc<[Entries]>,
    /// The elements of the parameters that belong to no layer.
    pub(super) others: Arc<[Range<usize>]>,
}

/// Eigenvectors of both factors of a block, as columns.
#[derive(Clone, Debug)]
pub(crate) struct Bases {
    pub(super) a: Mat<f64>,
    pub(super) b: Mat<f64>,
}

/// The block of a layer.
#[derive(Clone, Debug)]
pub(super) enum Block {
    /// A ⊗ B.
    Product { a: Mat<f64>, b: Mat<f64> },
    /// Diagonal in the eigenbases, with these numbers `[inputs, outputs]`.
    Diagonal { bases: Arc<Bases>, values: Mat<f64> },
}

/// A V B.
fn sandwich(a: MatRef<'_, f64>, matrix: &Mat<f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    product(product(a, matrix.as_ref()).as_ref(), b)
}

impl Bases {
    /// Uₐᵀ V U_b.
    pub(super) fn coordinates(&self, matrix: &Mat<f64>) -> Mat<f64> {
        sandwich(self.a.transpose(), matrix, self.b.as_ref())
    }

    fn back(&self, coordinates: &Mat<f64>) -> Mat<f64> {
        sandwich(self.a.as_ref(), coordinates, self.b.transpose())
    }
}

impl Block {
    fn apply(&self, matrix: &Mat<f64>) -> Mat<f64> {
        match self {
            Self::Product { a, b } => sandwich(a.as_ref(), matrix, b.as_ref()),
            Self::Diagonal { bases, values } => {
                let mut coordinates = bases.coordinates(matrix);
                for (column, scales) in coordinates.col_iter_mut().zip(values.col_iter()) {
                    (column.iter_mut().zip(scales.iter())).for_each(|(x, scale)| *x *= scale);
                }
                bases.back(&coordinates)
            }
        }
    }

    fn trace(&self) -> f64 {
        let trace = |matrix: &Mat<f64>| (0..matrix.nrows()).map(|i| matrix[(i, i)]).sum::<f64>();
        match self {
            Self::Product { a, b } => trace(a) * trace(b),
            Self::Diagonal { values, .. } => values.col_iter().map(|c| c.iter().sum::<f64>()).sum(),
        }
    }

    fn squared_norm(&self) -> f64 {
        match self {
            Self::Product { a, b } => (a.norm_l2() * b.norm_l2()).powi(2),
            Self::Diagonal { values, .. } => values.norm_l2().powi(2),
        }
    }
}

impl KroneckerOperator {
    /// The sum of the eigenvalues.
    pub fn trace(&self) -> f64 {
        let blocks: f64 = self.blocks.iter().map(Block::trace).sum();
        blocks + self.others.iter().flatten().sum::<f64>()
    }

    /// The root of the sum of the squared entries.
    pub fn frobenius_norm(&self) -> f64 {
        let blocks: f64 = self.blocks.iter().map(Block::squared_norm).sum();
        let others: f64 = self.others.iter().flatten().map(|x| x * x).sum();
        (blocks + others).sqrt()
    }

    fn apply_row(&self, vector: &[f64]) -> Vec<f64> {
        let mut product = vec![0.0; vector.len()];
        for (entries, block) in self.space.entries.iter().zip(&self.blocks) {
            entries.scatter(&block.apply(&entries.gather(vector)), &mut product);
        }
        for (range, diagonal) in self.space.others.iter().zip(&self.others) {
            let own = product[range.clone()].iter_mut();
            let terms = vector[range.clone()].iter().zip(diagonal);
            own.zip(terms).for_each(|(out, (x, d))| *out = x * d);
        }
        product
    }
}

impl LinearOperator for KroneckerOperator {
    fn dim(&self) -> usize {
        self.space.dim
    }

    fn device(&self) -> Device {
        self.space.device.clone()
    }

    fn dtype(&self) -> DType {
        self.space.dtype
    }

    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        let found = v.dims()[0];
        let product = self.apply_block(&v.clone().reshape([1, found]))?;
        Ok(product.reshape([found]))
    }

    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let ([count, found], expected) = (vs.dims(), self.dim());
        if found != expected {
            return Err(CurvatureError::Dimension {
                what: "a vector for a Kronecker-factored operator",
                expected,
                found,
            });
        }
        if count == 0 {
            return Ok(vs.clone());
        }
        let numbers = to_f64(&vs.clone().reshape([count * found]));
        let rows = numbers.par_chunks_exact(found);
        let products: Vec<Vec<f64>> = rows.map(|row| self.apply_row(row)).collect();
        let flat = from_f64(&products.concat(), &self.space.device, self.space.dtype);
        Ok(flat.reshape([count, found]))
    }

    fn block_size(&self) -> usize {
        16
    }

    fn definiteness(&self) -> Definiteness {
        self.definiteness
    }
}
