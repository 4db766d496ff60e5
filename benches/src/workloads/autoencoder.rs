use super::mlp::Mlp;
use super::{Case, Setting, of_outputs};
use crate::inputs::tensor;
use burn::prelude::*;
use burn::tensor::activation::{sigmoid, tanh};
use ravine_curvature::CurvatureError;

const WIDTHS: [usize; 9] = [784, 1000, 500, 250, 30, 250, 500, 1000, 784];

pub(super) fn workload(setting: Setting<'_>) -> Result<Case, CurvatureError> {
    let x = tensor([64, WIDTHS[0]], setting.device, setting.dtype, |k| {
        0.5 + 0.5 * (0.1 * k as f64).sin()
    });
    of_outputs(
        Mlp::new(&WIDTHS, setting),
        x,
        |model, x: &Tensor<2>| sigmoid(model.forward(x.clone(), tanh)),
        |outputs, x| {
            let difference = outputs - x.clone();
            (difference.clone() * difference).mean()
        },
    )
}
