use super::{Case, Setting, of_outputs};
use crate::inputs::{cosines, tensor};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::activation::log_sigmoid;
use ravine_curvature::CurvatureError;

const EXAMPLES: usize = 1000;
const FEATURES: usize = 200;

pub(super) fn workload(Setting { device, dtype }: Setting<'_>) -> Result<Case, CurvatureError> {
    let x = tensor([EXAMPLES, FEATURES], device, dtype, |k| {
        let (i, j) = (k / FEATURES, k % FEATURES);
        let scale = 10f64.powf(-3.0 * j as f64 / (FEATURES - 1) as f64);
        scale * (((i + 1) * (j + 1)) as f64).sin()
    });
    let y = tensor([EXAMPLES, 1], device, dtype, |i| (i % 2) as f64);
    let model = cosines(LinearConfig::new(FEATURES, 1).init(device), dtype);
    of_outputs(
        model,
        (x, y),
        |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
        |z, (_, y)| {
            let positive = log_sigmoid(z.clone()) * y.clone();
            let negative = log_sigmoid(z.neg()) * (y.clone().neg() + 1.0);
            (positive + negative).mean().neg()
        },
    )
}
