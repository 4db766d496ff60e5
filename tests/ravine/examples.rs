//! Gradients of single examples against the gradients of batches of one.

use crate::support::{cosines, cross_entropy, labels, relative, tensor};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Dropout, DropoutConfig, Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::{DType, activation};
use ravine_curvature::{Execution, Mode, Objective, Precision, Seed, vector};

/// A convolution, an embedding of integers and a linear layer.
#[derive(Module, Debug)]
struct Mixed {
    convolution: Conv2d,
    embedding: Embedding,
    linear: Linear,
    dropout: Dropout,
}

type Images = (Tensor<4>, Tensor<1, Int>, Tensor<2, Int>, Tensor<2>);

fn model(device: &Device) -> Mixed {
    let model = Mixed {
        convolution: Conv2dConfig::new([1, 2], [3, 3]).init(device),
        embedding: EmbeddingConfig::new(5, 4).init(device),
        linear: LinearConfig::new(8, 3).init(device),
        dropout: DropoutConfig::new(0.5).init(),
    };
    cosines(model, DType::F32)
}

fn logits(model: &Mixed, (x, _, words, shift): &Images) -> Tensor<2> {
    let features = activation::tanh(model.convolution.forward(x.clone()))
        .mean_dim(3)
        .mean_dim(2);
    let features: Tensor<2> = features.reshape([-1, 2]);
    let spoken = model.embedding.forward(words.clone()).mean_dim(1);
    let spoken: Tensor<2> = spoken.reshape([-1, 4]);
    let shift = shift.clone().expand([features.dims()[0], 2]);
    let all = Tensor::cat(vec![features, spoken, shift], 1);
    model.linear.forward(model.dropout.forward(all))
}

fn data(range: std::ops::Range<usize>, device: &Device) -> Images {
    let all = 6;
    let x = tensor([all, 1, 5, 5], device, DType::F32, |k| {
        (0.3 + 1.7 * k as f64).sin()
    });
    let words = Tensor::<1, Int>::arange(0..all as i64 * 3, device)
        .remainder_scalar(5)
        .reshape([all, 3]);
    // shared by all examples: its first dimension does not count them
    let shift = tensor([1, 2], device, DType::F32, |k| 0.1 + k as f64);
    let part = range.clone();
    (
        x.slice([part.clone()]),
        labels(all, 3, device).slice([part.clone()]),
        words.slice([part]),
        shift,
    )
}

fn objective() -> Objective<Mixed, Images> {
    Objective::new(logits, |logits, batch: &Images| {
        cross_entropy(logits, &batch.1)
    })
    .precision(Precision::F64)
}

#[test]
fn rows_are_the_gradients_of_batches_of_one() {
    let device = Device::flex();
    let model = model(&device);
    for execution in [Execution::Native, Execution::Device] {
        let objective = objective().execution(execution);
        let each = objective.per_example(&model, &data(0..6, &device)).unwrap();
        let n = each.layout.dim();
        assert_eq!(each.gradients.dims(), [6, n]);
        for example in 0..6 {
            let alone = data(example..example + 1, &device);
            let point = objective.at(&model, &alone).unwrap();
            let row = each
                .gradients
                .clone()
                .slice([example..example + 1, 0..n])
                .reshape([n]);
            let error = relative(&row, &point.gradient().unwrap());
            assert!(error < 1e-12, "example {example} by {execution:?}: {error}");
            let loss = vector::to_f64(&each.losses)[example];
            assert!((loss - point.loss().unwrap()).abs() < 1e-12);
        }
    }
}

#[test]
fn the_mean_of_the_rows_is_the_gradient_of_the_mean() {
    let device = Device::flex();
    let (model, batch) = (model(&device), data(0..6, &device));
    let objective = objective();
    let each = objective.per_example(&model, &batch).unwrap();
    let n = each.layout.dim();
    let mean = each.gradients.mean_dim(0).reshape([n]);
    let gradient = objective.at(&model, &batch).unwrap().gradient().unwrap();
    assert!(relative(&mean, &gradient) < 1e-12);
}

#[test]
fn each_example_has_masks_of_its_own_and_the_same_ones_again() {
    let device = Device::flex();
    let model = model(&device);
    let objective = objective().mode(Mode::Training { seed: Seed::new(3) });
    let one = data(0..1, &device);
    let same = |t: Tensor<4>| t.repeat_dim(0, 4);
    let batch = (
        same(one.0.clone()),
        one.1.clone().repeat_dim(0, 4),
        one.2.clone().repeat_dim(0, 4),
        one.3.clone(),
    );
    let first = vector::to_f64(&objective.per_example(&model, &batch).unwrap().losses);
    let again = vector::to_f64(&objective.per_example(&model, &batch).unwrap().losses);
    assert_eq!(first, again);
    assert!(
        first.iter().any(|loss| (loss - first[0]).abs() > 1e-6),
        "{first:?}"
    );
}
