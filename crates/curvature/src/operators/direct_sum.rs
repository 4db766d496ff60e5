use super::block_diagonal::{check_subsets, covers};
use super::subset::Subset;
use super::{check_device, check_dimension, check_length};
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// Σ Sᵢᵀ Bᵢ Sᵢ: operators on disjoint subsets side by side, zeros elsewhere.
///
/// For the blocks of one operator see [`BlockDiagonal`](super::BlockDiagonal), which computes them at once.
///
/// # Cost
///
/// A product with each of the operators.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::{Diagonal, DirectSum, Subset};
/// use ravine_curvature::{LinearOperator, vector};
///
/// let device = Device::flex();
/// let tensor = |values: &[f64]| vector::from_f64(values, &device, DType::F64);
/// let sum = DirectSum::new(3, &device, DType::F64)
///     .with(Subset::of_range(3, 0..1)?, Diagonal::new(tensor(&[5.0])))?
///     .with(Subset::of_range(3, 1..2)?, Diagonal::new(tensor(&[7.0])))?;
/// assert_eq!(vector::to_f64(&sum.apply(&tensor(&[1.0, 1.0, 1.0]))?), [5.0, 7.0, 0.0]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub struct DirectSum<'a> {
    dim: usize,
    device: Device,
    dtype: DType,
    subsets: Vec<Subset>,
    blocks: Vec<Box<dyn LinearOperator + 'a>>,
}

impl<'a> DirectSum<'a> {
    /// No blocks yet: zero on vectors of length `dim`.
    pub fn new(dim: usize, device: &Device, dtype: DType) -> Self {
        Self {
            dim,
            device: device.clone(),
            dtype,
            subsets: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// With an operator on a subset.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] if operator, subset and sum do not fit, [`CurvatureError::Device`] for another device,
    /// [`CurvatureError::Argument`] for entries that another block has.
    pub fn with(
        mut self,
        subset: Subset,
        block: impl LinearOperator + 'a,
    ) -> Result<Self, CurvatureError> {
        check_dimension("the operator of a block", block.dim(), subset.dim())?;
        check_device("the operator of a block", &block.device(), &self.device)?;
        self.subsets.push(subset);
        check_subsets(&self.subsets, self.dim)?;
        self.blocks.push(Box::new(block));
        Ok(self)
    }

    /// The subsets of the blocks.
    pub fn subsets(&self) -> &[Subset] {
        &self.subsets
    }
}

impl LinearOperator for DirectSum<'_> {
    fn dim(&self) -> usize {
        self.dim
    }
    fn device(&self) -> Device {
        self.device.clone()
    }
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        check_length("a vector for a direct sum", v, self.dim)?;
        let mut sum = Tensor::zeros([self.dim], (&self.device, self.dtype));
        for (subset, block) in self.subsets.iter().zip(&self.blocks) {
            let product = block.apply(&subset.restrict(v)?)?.cast(self.dtype);
            sum = sum + subset.embed(&product)?;
        }
        Ok(sum)
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let [count, found] = vs.dims();
        check_dimension("a vector for a direct sum", found, self.dim)?;
        let mut sum = Tensor::zeros([count, found], (&self.device, self.dtype));
        for (subset, block) in self.subsets.iter().zip(&self.blocks) {
            let products = block.apply_block(&subset.restrict_block(vs)?)?;
            sum = sum + subset.embed_block(&products.cast(self.dtype))?;
        }
        Ok(sum)
    }
    fn block_size(&self) -> usize {
        let sizes = self.blocks.iter().map(|block| block.block_size());
        sizes.max().unwrap_or(1)
    }
    fn definiteness(&self) -> Definiteness {
        let mut signs = self.blocks.iter().map(|block| block.definiteness());
        if signs.clone().any(|sign| sign == Definiteness::Unknown) {
            return Definiteness::Unknown;
        }
        let definite = signs.all(|sign| sign == Definiteness::PositiveDefinite);
        match definite && covers(self.subsets.iter(), self.dim) {
            true => Definiteness::PositiveDefinite,
            false => Definiteness::PositiveSemidefinite,
        }
    }
}
