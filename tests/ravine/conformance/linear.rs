//! Linear layers and embeddings.

use super::entry::{Entry, Family, noise, spread};
use super::surround::surrounded;
use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, LinearLayout};
use burn::prelude::*;
use burn::tensor::activation::tanh;

pub(super) fn entries() -> Vec<Entry> {
    vec![
        surrounded(
            Family::Linear,
            "Linear",
            [5, 4],
            |device| LinearConfig::new(4, 3).init(device),
            |layer: &Linear, x: Tensor<2>| layer.forward(x),
        ),
        surrounded(
            Family::Linear,
            "Linear without bias, weight in columns, on [2, 3, 4]",
            [2, 3, 4],
            |device| {
                LinearConfig::new(4, 3)
                    .with_bias(false)
                    .with_layout(LinearLayout::Col)
                    .init(device)
            },
            |layer: &Linear, x: Tensor<3>| layer.forward(x),
        ),
        embedding(),
        tied(),
    ]
}

/// Words with repetitions, so that rows of the embedding meet several times.
pub(super) fn words<const D: usize>(
    dims: [usize; D],
    words: usize,
    device: &Device,
) -> Tensor<D, Int> {
    let count = dims.iter().product::<usize>();
    let values: Vec<i64> = (0..count).map(|i| ((i * i + 1) % words) as i64).collect();
    Tensor::from_data(TensorData::new(values, dims), device)
}

fn embedding() -> Entry {
    Entry::new(
        Family::Linear,
        "Embedding",
        |device| {
            let model: Embedding = spread(EmbeddingConfig::new(6, 4).init(device));
            let batch = (words([3, 4], 6, device), noise([3, 16], device));
            (model, batch)
        },
        |model, (x, _): &(Tensor<2, Int>, Tensor<2>)| tanh(model.forward(x.clone())).flatten(1, 2),
        |outputs, (_, targets)| (outputs - targets.clone()).square().mean(),
    )
}

#[derive(Module, Debug)]
struct Tied {
    embedding: Embedding,
    hidden: Linear,
}

/// One weight at the input and the output: its gradient is a sum of two.
fn tied() -> Entry {
    Entry::new(
        Family::Linear,
        "Embedding, tied with the output layer",
        |device| {
            let model = spread(Tied {
                embedding: EmbeddingConfig::new(5, 3).init(device),
                hidden: LinearConfig::new(3, 3).init(device),
            });
            (model, (words([6], 5, device), noise([6, 5], device)))
        },
        |model: &Tied, (x, _): &(Tensor<1, Int>, Tensor<2>)| {
            let x = model.embedding.forward(x.clone().reshape([6, 1]));
            let hidden = tanh(model.hidden.forward(x.flatten::<2>(1, 2)));
            hidden.matmul(model.embedding.weight.val().transpose())
        },
        |outputs, (_, targets)| (outputs - targets.clone()).square().mean(),
    )
}
