use super::{Case, Setting, of_outputs};
use crate::inputs::{cosines, cross_entropy, labels, waves};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig, Lstm, LstmConfig};
use burn::prelude::*;
use ravine_curvature::CurvatureError;

const EXAMPLES: usize = 32;
const STEPS: usize = 32;
const INPUTS: usize = 16;
const WIDTH: usize = 32;

#[derive(Module, Debug)]
struct Recurrent {
    lstm: Lstm,
    head: Linear,
}

impl Recurrent {
    fn new(device: &Device) -> Self {
        Self {
            lstm: LstmConfig::new(INPUTS, WIDTH, true).init(device),
            head: LinearConfig::new(WIDTH, 10).init(device),
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<2> {
        let (_, last) = self.lstm.forward(x, None);
        self.head.forward(last.hidden)
    }
}

pub(super) fn workload(Setting { device, dtype }: Setting<'_>) -> Result<Case, CurvatureError> {
    let x = waves([EXAMPLES, STEPS, INPUTS], device, dtype);
    of_outputs(
        cosines(Recurrent::new(device), dtype),
        (x, labels(EXAMPLES, 10, device)),
        |model, (x, _): &(Tensor<3>, Tensor<1, Int>)| model.forward(x.clone()),
        |z, (_, y)| cross_entropy(z, y),
    )
}
