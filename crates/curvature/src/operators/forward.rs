//! Operators by another operator: references, smart pointers, and types that wrap one.

use crate::error::CurvatureError;
use crate::operator::{LinearMap, LinearOperator};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use std::rc::Rc;
use std::sync::Arc;

/// All methods of [`LinearOperator`] by those of another operator: `forward_operator!(self => self.operator);` inside an `impl`.
macro_rules! forward_operator {
    ($self:ident => $operator:expr) => {
        fn dim(&$self) -> usize {
            $operator.dim()
        }
        fn device(&$self) -> ::burn::prelude::Device {
            $operator.device()
        }
        fn dtype(&$self) -> ::burn::tensor::DType {
            $operator.dtype()
        }
        fn apply(
            &$self,
            v: &::burn::prelude::Tensor<1>,
        ) -> Result<::burn::prelude::Tensor<1>, $crate::CurvatureError> {
            $operator.apply(v)
        }
        fn apply_block(
            &$self,
            vs: &::burn::prelude::Tensor<2>,
        ) -> Result<::burn::prelude::Tensor<2>, $crate::CurvatureError> {
            $operator.apply_block(vs)
        }
        fn block_size(&$self) -> usize {
            $operator.block_size()
        }
        fn definiteness(&$self) -> $crate::Definiteness {
            $operator.definiteness()
        }
    };
}
pub(crate) use forward_operator;

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: LinearOperator + ?Sized> LinearOperator for $pointer {
            forward_operator!(self => (**self));
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
