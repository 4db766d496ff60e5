//! Vectors of solvers: in f64 on the processor, whatever the operator's dtype, changed in place.
//!
//! Each iteration brings one vector to the operator and one back; its reductions had to come to the processor anyway.

use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::row_blocks::{block_from_f64, block_to_f64};
use crate::vector::{dot_f64, from_f64, to_f64};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// An operator for vectors in f64 on the processor, that counts its products.
pub(crate) struct Operand<'a> {
    operator: &'a dyn LinearOperator,
    device: Device,
    dtype: DType,
    pub(crate) applications: usize,
}

impl<'a> Operand<'a> {
    pub(crate) fn new(operator: &'a dyn LinearOperator) -> Self {
        Self {
            operator,
            device: operator.device(),
            dtype: operator.dtype(),
            applications: 0,
        }
    }

    pub(crate) fn dim(&self) -> usize {
        self.operator.dim()
    }

    pub(crate) fn block_size(&self) -> usize {
        self.operator.block_size().max(1)
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(crate) fn apply(&mut self, v: &[f64]) -> Result<Vec<f64>, CurvatureError> {
        self.applications += 1;
        Ok(to_f64(&self.operator.apply(&self.tensor(v))?))
    }

    /// The products with several vectors, at once.
    pub(crate) fn apply_all(&mut self, vs: &[&[f64]]) -> Result<Vec<Vec<f64>>, CurvatureError> {
        let (count, dim) = (vs.len(), self.dim());
        if count == 0 {
            return Ok(Vec::new());
        }
        if count == 1 {
            return Ok(vec![self.apply(vs[0])?]);
        }
        self.applications += count;
        let block = block_from_f64(vs.concat(), [count, dim], &self.device, self.dtype);
        let products = block_to_f64(&self.operator.apply_block(&block)?);
        let row = |i: usize| products[i * dim..(i + 1) * dim].to_vec();
        Ok((0..count).map(row).collect())
    }

    pub(crate) fn tensor(&self, v: &[f64]) -> Tensor<1> {
        from_f64(v, &self.device, self.dtype)
    }

    /// Reads a vector of the caller's, whose length is checked.
    pub(crate) fn read(
        &self,
        what: &'static str,
        v: &Tensor<1>,
    ) -> Result<Vec<f64>, CurvatureError> {
        let (expected, found) = (self.dim(), v.dims()[0]);
        match found == expected {
            true => Ok(to_f64(v)),
            false => Err(CurvatureError::Dimension {
                what,
                expected,
                found,
            }),
        }
    }
}

/// M r, or nothing without a preconditioner M.
pub(crate) fn precondition(
    preconditioner: Option<&dyn LinearOperator>,
    r: &[f64],
) -> Result<Option<Vec<f64>>, CurvatureError> {
    preconditioner.map(|m| Operand::new(m).apply(r)).transpose()
}

/// Refuses a preconditioner of another dimension.
pub(crate) fn check_preconditioner(
    preconditioner: Option<&dyn LinearOperator>,
    expected: usize,
) -> Result<(), CurvatureError> {
    match preconditioner.map(LinearOperator::dim) {
        Some(found) if found != expected => Err(CurvatureError::Dimension {
            what: "the preconditioner",
            expected,
            found,
        }),
        _ => Ok(()),
    }
}

pub(crate) fn norm(v: &[f64]) -> f64 {
    dot_f64(v, v).sqrt()
}

/// y ← y + a x.
pub(crate) fn axpy(y: &mut [f64], a: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += a * x);
}

/// y ← x + b y.
pub(crate) fn xpby(y: &mut [f64], x: &[f64], b: f64) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = x + b * *y);
}

pub(crate) fn scaled(v: &[f64], a: f64) -> Vec<f64> {
    v.iter().map(|v| a * v).collect()
}
