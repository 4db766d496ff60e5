//! Models filled by formulas, vectors, and comparisons.

use burn::module::{Module, ModuleMapper, Param};
use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::{Point, vector};

/// The devices that are built by default.
#[allow(deprecated)] // upstream ends burn-ndarray after this release; the pin keeps it
pub(crate) fn devices() -> [Device; 2] {
    [Device::flex(), Device::ndarray()]
}

/// Fills every float of a module from a function of the running index, in a dtype.
pub(crate) struct Fill<F> {
    pub(crate) at: usize,
    pub(crate) dtype: DType,
    pub(crate) value: F,
}

impl<F: Fn(usize) -> f64> ModuleMapper for Fill<F> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let dims = tensor.dims();
        let count: usize = dims.iter().product();
        let values: Vec<f64> = (self.at..self.at + count).map(&self.value).collect();
        self.at += count;
        let value = Tensor::<D>::from_data(
            TensorData::new(values, dims).convert_dtype(self.dtype),
            (&tensor.device(), self.dtype),
        );
        Param::from_mapped_value(id, value, mapper)
    }
}

/// A module with the parameters 0.1 cos(0.37 i).
pub(crate) fn cosines<M: Module>(module: M, dtype: DType) -> M {
    module.map(&mut Fill {
        at: 0,
        dtype,
        value: |i| 0.1 * (0.37 * i as f64).cos(),
    })
}

/// A tensor from a function of the flat index.
pub(crate) fn tensor<const D: usize>(
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

/// Labels i mod classes.
pub(crate) fn labels(count: usize, classes: usize, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = (0..count).map(|i| (i % classes) as i64).collect();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// sin(i + 1).
pub(crate) fn probe(point: &Point) -> Tensor<1> {
    let values: Vec<f64> = (0..point.dim()).map(|i| ((i + 1) as f64).sin()).collect();
    vector::from_f64(&values, point.device(), point.dtype())
}

/// A pseudo-random vector of norm one.
pub(crate) fn direction(point: &Point, phase: f64) -> Tensor<1> {
    let values: Vec<f64> = (0..point.dim())
        .map(|i| (phase + 12.9898 * i as f64).sin() * 43758.5453)
        .map(|x| x - x.floor() - 0.5)
        .collect();
    let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
    let unit: Vec<f64> = values.iter().map(|x| x / norm).collect();
    vector::from_f64(&unit, point.device(), point.dtype())
}

/// Mean softmax cross entropy.
pub(crate) fn cross_entropy(logits: Tensor<2>, labels: &Tensor<1, Int>) -> Tensor<1> {
    let count = labels.dims()[0];
    let log_probabilities = burn::tensor::activation::log_softmax(logits, 1);
    log_probabilities
        .gather(1, labels.clone().reshape([count, 1]))
        .mean()
        .neg()
}

/// The fourth-order central difference of the gradient along v: (8 (g(h) − g(−h)) − (g(2h) − g(−2h))) / 12h.
pub(crate) fn gradient_difference(point: &Point, v: &Tensor<1>, h: f64) -> Tensor<1> {
    let gradient = |step: f64| {
        let theta = point.theta().clone() + v.clone().mul_scalar(step);
        point.move_to(theta).unwrap().gradient().unwrap()
    };
    ((gradient(h) - gradient(-h)).mul_scalar(8.0) - (gradient(2.0 * h) - gradient(-2.0 * h)))
        .div_scalar(12.0 * h)
}

/// The same of the loss: gᵀv.
pub(crate) fn loss_difference(point: &Point, v: &Tensor<1>, h: f64) -> f64 {
    let loss = |step: f64| {
        let theta = point.theta().clone() + v.clone().mul_scalar(step);
        point.move_to(theta).unwrap().loss().unwrap()
    };
    (8.0 * (loss(h) - loss(-h)) - (loss(2.0 * h) - loss(-2.0 * h))) / (12.0 * h)
}

/// ‖a − b‖ / ‖b‖.
pub(crate) fn relative(a: &Tensor<1>, b: &Tensor<1>) -> f64 {
    vector::norm(&(a.clone() - b.clone())) / vector::norm(b).max(f64::MIN_POSITIVE)
}
