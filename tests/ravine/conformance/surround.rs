//! A layer between a linear layer and a squared error, for all layers that map a tensor to a tensor.

use super::entry::{Entry, Family, noise, spread};
use burn::module::{Module, ModuleDisplay};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::activation::tanh;

/// A linear layer over the last dimension, so that the layer's input depends on parameters, and the layer.
#[derive(Module, Debug)]
pub(super) struct Surrounded<L: Module> {
    before: Linear,
    layer: L,
}

/// What stands in the model: a module that can be built anew.
pub(super) trait Layer: Module + ModuleDisplay + Clone + 'static {}

impl<L: Module + ModuleDisplay + Clone + 'static> Layer for L {}

/// ½ (tanh(layer(x W + b)) − target)², averaged.
pub(super) fn surrounded<L: Layer, const I: usize, const O: usize>(
    family: Family,
    name: &str,
    input: [usize; I],
    layer: impl Fn(&Device) -> L + Send + Sync + 'static,
    forward: impl Fn(&L, Tensor<I>) -> Tensor<O> + Clone + Send + Sync + 'static,
) -> Entry {
    let run = move |model: &Surrounded<L>, x: &Tensor<I>| {
        let out = forward(&model.layer, model.before.forward(x.clone()));
        let examples = out.dims()[0];
        tanh(out).reshape([examples as i32, -1])
    };
    let forward = run.clone();
    Entry::new(
        family,
        name,
        move |device| {
            let width = input[I - 1];
            let model = spread(Surrounded {
                before: LinearConfig::new(width, width).init(device),
                layer: layer(device),
            });
            let x = noise(input, device);
            // in evaluation mode, so that no running statistics move
            let out = run(&model.valid(), &x.clone().without_autodiff());
            let targets = noise(out.dims(), device);
            (model, (x, targets))
        },
        move |model, (x, _): &(Tensor<I>, Tensor<2>)| forward(model, x),
        |outputs, (_, targets)| (outputs - targets.clone()).square().mean() * 0.5,
    )
}
