use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// A + λ I, the damped operator.
///
/// # Cost
///
/// A product with A, and one pass over the vector.
#[derive(Clone, Debug)]
pub struct Damped<A> {
    operator: A,
    damping: f64,
}

impl<A: LinearOperator> Damped<A> {
    /// Adds `damping` to the diagonal.
    pub fn new(operator: A, damping: f64) -> Self {
        Self { operator, damping }
    }

    /// The operator without damping.
    pub fn operator(&self) -> &A {
        &self.operator
    }

    /// λ.
    pub fn damping(&self) -> f64 {
        self.damping
    }
}

impl<A: LinearOperator> LinearOperator for Damped<A> {
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
        let product = self.operator.apply(v)?;
        Ok(product + v.clone().cast(self.dtype()).mul_scalar(self.damping))
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let products = self.operator.apply_block(vs)?;
        Ok(products + vs.clone().cast(self.dtype()).mul_scalar(self.damping))
    }
    fn block_size(&self) -> usize {
        self.operator.block_size()
    }
    fn definiteness(&self) -> Definiteness {
        match self.operator.definiteness() {
            Definiteness::Unknown => Definiteness::Unknown,
            _ if self.damping > 0.0 => Definiteness::PositiveDefinite,
            other if self.damping == 0.0 => other,
            _ => Definiteness::Unknown,
        }
    }
}
