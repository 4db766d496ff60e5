use super::{Case, Setting, of_outputs};
use crate::inputs::{cosines, cross_entropy, labels, waves};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::activation::{relu, tanh};
use ravine_curvature::CurvatureError;

/// What stands between two layers.
#[derive(Clone, Copy)]
pub(super) enum Activation {
    Tanh,
    Relu,
}

/// Linear layers in a row.
#[derive(Module, Debug)]
pub(super) struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    pub(super) fn new(widths: &[usize], Setting { device, dtype }: Setting<'_>) -> Self {
        let layers = widths
            .windows(2)
            .map(|pair| LinearConfig::new(pair[0], pair[1]).init(device))
            .collect();
        cosines(Self { layers }, dtype)
    }

    pub(super) fn forward(
        &self,
        mut x: Tensor<2>,
        activation: fn(Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x);
            if index + 1 < self.layers.len() {
                x = activation(x);
            }
        }
        x
    }
}

type Labelled = (Tensor<2>, Tensor<1, Int>);

pub(super) fn workload(
    widths: &[usize],
    batch: usize,
    activation: Activation,
    setting: Setting<'_>,
) -> Result<Case, CurvatureError> {
    let x = waves([batch, widths[0]], setting.device, setting.dtype);
    let y = labels(batch, widths[widths.len() - 1], setting.device);
    let outputs: fn(&Mlp, &Labelled) -> Tensor<2> = match activation {
        Activation::Tanh => |model, (x, _)| model.forward(x.clone(), tanh),
        Activation::Relu => |model, (x, _)| model.forward(x.clone(), relu),
    };
    of_outputs(Mlp::new(widths, setting), (x, y), outputs, |z, (_, y)| {
        cross_entropy(z, y)
    })
}
