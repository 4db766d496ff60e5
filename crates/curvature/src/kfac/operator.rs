//! Block diagonal operators whose blocks are Kronecker products, or diagonal in Kronecker products of eigenbases.

use super::entries::Entries;
use super::tensors::Tensors;
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use faer::Mat;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// A symmetric operator that is block diagonal over the layers of a model.
///
/// The block of a layer acts on the matrix V `[inputs, outputs]` of its weight (with the bias as a last row) as A V B, or as
/// U_A (Λ ∘ (U_Aᵀ V U_B)) U_Bᵀ; the parameters that belong to no layer have a diagonal. Made by [`Kfac`](crate::Kfac) and
/// [`EkFac`](crate::EkFac): as their inverses, square roots and themselves.
///
/// # Shapes
///
/// Vectors `[n]` in the order of the [`ParameterLayout`](crate::ParameterLayout). Factors are made in f64, and
/// rounded to the operator's dtype for the products on its device.
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
    definiteness: Definiteness,
    /// Everything on the device, once it is needed.
    tensors: OnceLock<Arc<Tensors>>,
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

impl Block {
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

    pub(super) fn new(
        space: Space,
        blocks: Vec<Block>,
        others: Vec<Vec<f64>>,
        definiteness: Definiteness,
    ) -> Self {
        Self {
            space,
            blocks,
            others,
            definiteness,
            tensors: OnceLock::new(),
        }
    }

    fn tensors(&self) -> &Tensors {
        self.tensors
            .get_or_init(|| Arc::new(Tensors::of(&self.space, &self.blocks, &self.others)))
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
        Ok(self.tensors().apply(&self.space, vs.clone()))
    }

    fn block_size(&self) -> usize {
        16
    }

    fn definiteness(&self) -> Definiteness {
        self.definiteness
    }
}
