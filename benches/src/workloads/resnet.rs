use super::{Case, Setting, of_outputs};
use crate::inputs::{cosines, cross_entropy, labels, waves};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::prelude::*;
use burn::tensor::activation::relu;
use ravine_curvature::CurvatureError;

const EXAMPLES: usize = 32;
const CHANNELS: usize = 8;

/// x + conv(relu(conv(x))), then relu.
#[derive(Module, Debug)]
struct Block {
    first: Conv2d,
    second: Conv2d,
}

impl Block {
    fn new(device: &Device) -> Self {
        Self {
            first: convolution(CHANNELS, device),
            second: convolution(CHANNELS, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let change = self.second.forward(relu(self.first.forward(x.clone())));
        relu(x + change)
    }
}

#[derive(Module, Debug)]
struct ResNet {
    stem: Conv2d,
    blocks: Vec<Block>,
    head: Linear,
}

impl ResNet {
    fn new(device: &Device) -> Self {
        Self {
            stem: convolution(1, device),
            blocks: (0..2).map(|_| Block::new(device)).collect(),
            head: LinearConfig::new(CHANNELS, 10).init(device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let stem = relu(self.stem.forward(x));
        let x = self.blocks.iter().fold(stem, |x, block| block.forward(x));
        self.head
            .forward(x.flatten::<3>(2, 3).mean_dim(2).flatten(1, 2))
    }
}

/// 3x3, with a border of zeros that keeps the size.
fn convolution(channels: usize, device: &Device) -> Conv2d {
    Conv2dConfig::new([channels, CHANNELS], [3, 3])
        .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
        .init(device)
}

pub(super) fn workload(Setting { device, dtype }: Setting<'_>) -> Result<Case, CurvatureError> {
    let x = waves([EXAMPLES, 1, 16, 16], device, dtype);
    of_outputs(
        cosines(ResNet::new(device), dtype),
        (x, labels(EXAMPLES, 10, device)),
        |model, (x, _): &(Tensor<4>, Tensor<1, Int>)| model.forward(x.clone()),
        |z, (_, y)| cross_entropy(z, y),
    )
}
