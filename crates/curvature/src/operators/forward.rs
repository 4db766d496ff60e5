//! References and smart pointers to operators are operators.

use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearMap, LinearOperator};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use std::rc::Rc;
use std::sync::Arc;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: LinearOperator + ?Sized> LinearOperator for $pointer {
            fn dim(&self) -> usize {
                (**self).dim()
            }
            fn device(&self) -> Device {
                (**self).device()
            }
            fn dtype(&self) -> DType {
                (**self).dtype()
            }
            fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
                (**self).apply(v)
            }
            fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
                (**self).apply_block(vs)
            }
            fn block_size(&self) -> usize {
                (**self).block_size()
            }
            fn definiteness(&self) -> Definiteness {
                (**self).definiteness()
            }
        }

        impl<T: LinearMap + ?Sized> LinearMap for $pointer {
            fn rows(&self) -> usize {
                (**self).rows()
            }
            fn columns(&self) -> usize {
                (**self).columns()
            }
            fn device(&self) -> Device {
                (**self).device()
            }
            fn dtype(&self) -> DType {
                (**self).dtype()
            }
            fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
                (**self).apply(v)
            }
            fn apply_transposed(&self, u: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
                (**self).apply_transposed(u)
            }
        }
    )*};
}

forward!(&T, Box<T>, Rc<T>, Arc<T>);
