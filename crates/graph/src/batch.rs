//! What a loss is evaluated on: any struct or tuple of tensors.

use crate::evaluate::kind_of;
use crate::op::Kind;
use burn::backend::ops::{BoolTensorOps, FloatTensorOps, IntTensorOps};
use burn::backend::{Dispatch, DispatchTensor, TensorMetadata};
use burn::tensor::kind::Basic;
use burn::tensor::{Slice, Tensor};
use std::ops::Range;

/// A function applied to each tensor of a batch, whatever its rank and kind.
pub struct TensorMap<'a> {
    apply: &'a mut dyn FnMut(DispatchTensor) -> DispatchTensor,
}

impl<'a> TensorMap<'a> {
    pub(crate) fn new(apply: &'a mut dyn FnMut(DispatchTensor) -> DispatchTensor) -> Self {
        Self { apply }
    }

    /// The image of one tensor.
    pub fn tensor<const D: usize, K: Basic>(&mut self, tensor: &Tensor<D, K>) -> Tensor<D, K> {
        Tensor::from_dispatch((self.apply)(tensor.clone().into_dispatch()))
    }

    /// The image of anything that is a batch itself, for structs in structs.
    pub fn batch<B: Batch>(&mut self, batch: &B) -> B {
        batch.map(self)
    }
}

/// Tensors that a loss is evaluated on, with the number of examples that they hold.
///
/// [`map`](Batch::map) must hand **every** tensor to the map, always in the same order, and rebuild the batch from the
/// results: so a recording finds its inputs. What is not a tensor (numbers, names) is copied, and its value is part of the
/// recording: a number that changes from batch to batch belongs into a tensor.
///
/// ```
/// use burn::prelude::*;
/// use ravine_graph::{Batch, TensorMap};
///
/// #[derive(Clone)]
/// struct Digits {
///     images: Tensor<2>,
///     labels: Tensor<1, Int>,
/// }
///
/// impl Batch for Digits {
///     fn examples(&self) -> usize {
///         self.images.dims()[0]
///     }
///     fn map(&self, map: &mut TensorMap<'_>) -> Self {
///         Digits { images: map.tensor(&self.images), labels: map.tensor(&self.labels) }
///     }
/// }
/// ```
///
/// Tensors, tuples of up to four batches, `Option`, `Vec` and `()` (for a loss without data, such as a quadratic) are
/// batches already; the first part of a tuple counts the examples.
pub trait Batch: Sized {
    /// How many examples the batch holds: the weight of its mean loss in a sum over batches.
    fn examples(&self) -> usize;

    /// The batch with every tensor replaced by its image.
    fn map(&self, map: &mut TensorMap<'_>) -> Self;

    /// Every tensor, in order.
    #[doc(hidden)]
    fn tensors(&self) -> Vec<DispatchTensor> {
        let mut tensors = Vec::new();
        let mut collect = |tensor: DispatchTensor| {
            tensors.push(tensor.clone());
            tensor
        };
        self.map(&mut TensorMap::new(&mut collect));
        tensors
    }
}

/// The batch with its first example only: each tensor whose first dimension counts the examples is cut to its first entry.
pub fn first_example<B: Batch>(batch: &B) -> B {
    let count = batch.examples();
    let mut first = |tensor: DispatchTensor| match tensor.shape().first() {
        Some(&length) if length == count => {
            let kind = kind_of(tensor.dtype());
            rows(tensor, kind, 0..1)
        }
        _ => tensor,
    };
    batch.map(&mut TensorMap::new(&mut first))
}

/// Some entries of the first dimension.
pub(crate) fn rows(tensor: DispatchTensor, kind: Kind, range: Range<usize>) -> DispatchTensor {
    let mut ranges = vec![Slice::new(
        range.start as isize,
        Some(range.end as isize),
        1,
    )];
    let shape = tensor.shape();
    let rest = shape.iter().skip(1);
    ranges.extend(rest.map(|&length| Slice::new(0, Some(length as isize), 1)));
    match kind {
        Kind::Float => Dispatch::float_slice(tensor, &ranges),
        Kind::Int => Dispatch::int_slice(tensor, &ranges),
        Kind::Bool => Dispatch::bool_slice(tensor, &ranges),
    }
}

/// Tensors one after the other along the first dimension.
pub(crate) fn stacked(tensors: Vec<DispatchTensor>, kind: Kind) -> DispatchTensor {
    match kind {
        Kind::Float => Dispatch::float_cat(tensors, 0),
        Kind::Int => Dispatch::int_cat(tensors, 0),
        Kind::Bool => Dispatch::bool_cat(tensors, 0),
    }
}

impl Batch for () {
    fn examples(&self) -> usize {
        1
    }
    fn map(&self, _: &mut TensorMap<'_>) -> Self {}
}

impl<const D: usize, K: Basic> Batch for Tensor<D, K> {
    fn examples(&self) -> usize {
        self.dims()[0]
    }
    fn map(&self, map: &mut TensorMap<'_>) -> Self {
        map.tensor(self)
    }
}

impl<B: Batch> Batch for Option<B> {
    fn examples(&self) -> usize {
        self.as_ref().map_or(0, Batch::examples)
    }
    fn map(&self, map: &mut TensorMap<'_>) -> Self {
        self.as_ref().map(|batch| batch.map(map))
    }
}

impl<B: Batch> Batch for Vec<B> {
    fn examples(&self) -> usize {
        self.first().map_or(0, Batch::examples)
    }
    fn map(&self, map: &mut TensorMap<'_>) -> Self {
        self.iter().map(|batch| batch.map(map)).collect()
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Batch),+> Batch for ($($name,)+) {
            fn examples(&self) -> usize {
                self.0.examples()
            }
            fn map(&self, map: &mut TensorMap<'_>) -> Self {
                ($(self.$index.map(map),)+)
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
