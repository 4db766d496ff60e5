use super::{Case, Setting, of_outputs};
use crate::inputs::{cosines, cross_entropy, labels, waves};
use burn::module::Module;
use burn::nn::transformer::{
    TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput,
};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use ravine_curvature::CurvatureError;

const EXAMPLES: usize = 16;
const POSITIONS: usize = 16;
const WIDTH: usize = 64;

#[derive(Module, Debug)]
struct Classifier {
    encoder: TransformerEncoder,
    head: Linear,
}

impl Classifier {
    fn new(device: &Device) -> Self {
        Self {
            encoder: TransformerEncoderConfig::new(WIDTH, 128, 4, 2).init(device),
            head: LinearConfig::new(WIDTH, 10).init(device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<2> {
        let states = self.encoder.forward(TransformerEncoderInput::new(x));
        self.head
            .forward(states.mean_dim(1).reshape([EXAMPLES, WIDTH]))
    }
}

pub(super) fn workload(Setting { device, dtype }: Setting<'_>) -> Result<Case, CurvatureError> {
    let x = waves([EXAMPLES, POSITIONS, WIDTH], device, dtype);
    of_outputs(
        cosines(Classifier::new(device), dtype),
        (x, labels(EXAMPLES, 10, device)),
        |model, (x, _): &(Tensor<3>, Tensor<1, Int>)| model.forward(x.clone()),
        |z, (_, y)| cross_entropy(z, y),
    )
}
