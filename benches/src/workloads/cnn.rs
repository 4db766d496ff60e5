use super::{Case, Setting, of_outputs};
use crate::inputs::{cosines, cross_entropy, labels, waves};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::activation::tanh;
use ravine_curvature::CurvatureError;

#[derive(Module, Debug)]
struct Cnn {
    first: Conv2d,
    second: Conv2d,
    pool: AvgPool2d,
    head: Linear,
}

impl Cnn {
    fn new(device: &Device) -> Self {
        Self {
            first: Conv2dConfig::new([1, 8], [3, 3]).init(device),
            second: Conv2dConfig::new([8, 16], [3, 3]).init(device),
            pool: AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            head: LinearConfig::new(400, 10).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(tanh(self.first.forward(x)));
        let x = self.pool.forward(tanh(self.second.forward(x)));
        self.head.forward(x.flatten(1, 3))
    }
}

pub(super) fn workload(Setting { device, dtype }: Setting<'_>) -> Result<Case, CurvatureError> {
    let x = waves([64, 1, 28, 28], device, dtype);
    of_outputs(
        cosines(Cnn::new(device), dtype),
        (x, labels(64, 10, device)),
        |model, (x, _): &(Tensor<4>, Tensor<1, Int>)| model.forward(x.clone()),
        |z, (_, y)| cross_entropy(z, y),
    )
}
