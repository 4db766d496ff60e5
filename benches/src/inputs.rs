//! Parameters, data and vectors from formulas in f64, cast to the dtype of the work: any program can build the same.

use burn::module::{Module, ModuleMapper, Param};
use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::{Point, vector};

/// Fills every float of a module from a function of the running index, in a dtype.
struct Fill<F> {
    at: usize,
    dtype: DType,
    value: F,
}

impl<F: Fn(usize) -> f64> ModuleMapper for Fill<F> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, old, mapper) = param.consume();
        let dims = old.dims();
        let first = self.at;
        self.at += dims.iter().product::<usize>();
        let value = tensor(dims, &old.device(), self.dtype, |i| (self.value)(first + i));
        Param::from_mapped_value(id, value, mapper)
    }
}

/// A module with the parameters 0.1 cos(0.37 i), i running over all parameters in order.
pub fn cosines<M: Module>(module: M, dtype: DType) -> M {
    module.map(&mut Fill {
        at: 0,
        dtype,
        value: |i| 0.1 * (0.37 * i as f64).cos(),
    })
}

/// A tensor from a function of the flat index.
pub fn tensor<const D: usize>(
    dims: [usize; D],
    device: &Device,
    dtype: DType,
    value: impl Fn(usize) -> f64,
) -> Tensor<D> {
    let count = dims.iter().product();
    let values: Vec<f64> = (0..count).map(value).collect();
    let data = TensorData::new(values, dims).convert_dtype(dtype);
    Tensor::from_data(data, (device, dtype))
}

/// Data sin(0.1 k), k the flat index.
pub fn waves<const D: usize>(dims: [usize; D], device: &Device, dtype: DType) -> Tensor<D> {
    tensor(dims, device, dtype, |k| (0.1 * k as f64).sin())
}

/// Labels i mod classes.
pub fn labels(count: usize, classes: usize, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = (0..count).map(|i| (i % classes) as i64).collect();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// The vector sin(i + 1) for products at a point.
pub fn probe(point: &Point) -> Tensor<1> {
    let values: Vec<f64> = (0..point.dim()).map(|i| ((i + 1) as f64).sin()).collect();
    vector::from_f64(&values, point.device(), point.dtype())
}

/// Mean softmax cross entropy, without reading data.
pub fn cross_entropy(logits: Tensor<2>, labels: &Tensor<1, Int>) -> Tensor<1> {
    let log_probabilities = burn::tensor::activation::log_softmax(logits, 1);
    log_probabilities
        .gather(1, labels.clone().unsqueeze_dim::<2>(1))
        .mean()
        .neg()
}
