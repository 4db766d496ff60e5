use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// c A, a multiple of an operator.
///
/// # Cost
///
/// A product with A, and one pass over the vector.
#[derive(Clone, Debug)]
pub struct Scaled<A> {
    operator: A,
    factor: f64,
}

impl<A: LinearOperator> Scaled<A> {
    /// `factor` times the operator; −1 turns the spectrum around.
    pub fn new(operator: A, factor: f64) -> Self {
        Self { operator, factor }
    }

    /// The operator without its factor.
    pub fn operator(&self) -> &A {
        &self.operator
    }

    /// c.
    pub fn factor(&self) -> f64 {
        self.factor
    }
}

impl<A: LinearOperator> LinearOperator for Scaled<A> {
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
        Ok(self.operator.apply(v)?.mul_scalar(self.factor))
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        Ok(self.operator.apply_block(vs)?.mul_scalar(self.factor))
    }
    fn block_size(&self) -> usize {
        self.operator.block_size()
    }
    fn definiteness(&self) -> Definiteness {
        scaled(self.operator.definiteness(), self.factor)
    }
}

/// What is known of c A from what is known of A.
pub(super) fn scaled(definiteness: Definiteness, factor: f64) -> Definiteness {
    match definiteness {
        // also of an operator that nothing is known of
        _ if factor == 0.0 => Definiteness::PositiveSemidefinite,
        known if factor > 0.0 => known,
        _ => Definiteness::Unknown,
    }
}
