use super::subset::Subset;
use super::{check_dimension, check_length};
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use crate::rows::{as_row, as_vector};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// Σ Sᵢᵀ Sᵢ A Sᵢᵀ Sᵢ: the blocks of one operator on disjoint subsets, zeros elsewhere.
///
/// For blocks that are operators of their own see [`DirectSum`](super::DirectSum).
///
/// # Cost
///
/// As many products with A as there are blocks, computed at once.
#[derive(Clone, Debug)]
pub struct BlockDiagonal<A> {
    operator: A,
    subsets: Vec<Subset>,
}

impl<A: LinearOperator> BlockDiagonal<A> {
    /// The blocks of an operator.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a subset of vectors of another length, [`CurvatureError::Argument`] for subsets that share
    /// entries.
    pub fn new(
        operator: A,
        subsets: impl IntoIterator<Item = Subset>,
    ) -> Result<Self, CurvatureError> {
        let subsets: Vec<Subset> = subsets.into_iter().collect();
        check_subsets(&subsets, operator.dim())?;
        Ok(Self { operator, subsets })
    }

    /// The subsets.
    pub fn subsets(&self) -> &[Subset] {
        &self.subsets
    }
}

/// Refuses subsets of another dimension, and subsets that share entries.
pub(super) fn check_subsets(subsets: &[Subset], dim: usize) -> Result<(), CurvatureError> {
    for (index, subset) in subsets.iter().enumerate() {
        check_dimension(
            "the full vector of a block's subset",
            subset.full_dim(),
            dim,
        )?;
        if !subsets[..index]
            .iter()
            .all(|other| other.is_disjoint(subset))
        {
            return Err(CurvatureError::Argument {
                name: "the number of the block",
                value: index as f64,
                requirement: "it must not share entries with the blocks before it",
            });
        }
    }
    Ok(())
}

/// Whether every entry belongs to a block.
pub(super) fn covers<'a>(subsets: impl Iterator<Item = &'a Subset>, dim: usize) -> bool {
    subsets.map(Subset::dim).sum::<usize>() == dim
}

impl<A: LinearOperator> LinearOperator for BlockDiagonal<A> {
    fn dim(&self) -> usize {
        self.operator.dim()
    }
    fn device(&self) -> Device {
        self.operator.device()
    }
    fn dtype(&self) -> DType {
        self.operator.dtype()
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        check_length("a vector for block-diagonal parts", v, self.dim())?;
        let product = self.apply_block(&as_row(v))?;
        Ok(as_vector(product))
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let [count, found] = vs.dims();
        check_dimension("a vector for block-diagonal parts", found, self.dim())?;
        let mut sum = Tensor::zeros([count, found], (&self.device(), self.dtype()));
        if count == 0 {
            return Ok(sum);
        }
        // parts of several blocks in one call, as many as the operator likes
        let at_once = (self.operator.block_size() / count).max(1);
        for subsets in self.subsets.chunks(at_once) {
            let mut parts = Vec::with_capacity(subsets.len());
            for subset in subsets {
                parts.push(subset.embed_block(&subset.restrict_block(vs)?)?);
            }
            let products = self.operator.apply_block(&Tensor::cat(parts, 0))?;
            for (index, subset) in subsets.iter().enumerate() {
                let rows = index * count..(index + 1) * count;
                let product = products.clone().slice([rows, 0..found]);
                sum = sum + subset.embed_block(&subset.restrict_block(&product)?)?;
            }
        }
        Ok(sum)
    }
    fn block_size(&self) -> usize {
        (self.operator.block_size() / self.subsets.len().max(1)).max(1)
    }
    fn definiteness(&self) -> Definiteness {
        match self.operator.definiteness() {
            Definiteness::PositiveDefinite if !covers(self.subsets.iter(), self.dim()) => {
                Definiteness::PositiveSemidefinite
            }
            other => other,
        }
    }
}
