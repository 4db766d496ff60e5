//! Layers that draw in training: their masks and noise are fixed at a point.

use super::entry::{Entry, Family};
use super::surround::surrounded;
use burn::nn::activation::{RRelu, RReluConfig};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::transformer::{
    TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput,
};
use burn::nn::{Dropout, DropoutConfig, GaussianNoise, GaussianNoiseConfig};
use burn::prelude::*;

pub(super) fn entries() -> Vec<Entry> {
    vec![
        surrounded(
            Family::Random,
            "Dropout",
            [5, 4],
            |_| DropoutConfig::new(0.4).init(),
            |layer: &Dropout, x: Tensor<2>| layer.forward(x),
        ),
        surrounded(
            Family::Random,
            "GaussianNoise",
            [5, 4],
            |_| GaussianNoiseConfig::new(0.3).init(),
            |layer: &GaussianNoise, x: Tensor<2>| layer.forward(x),
        ),
        surrounded(
            Family::Random,
            "RRelu, training",
            [5, 4],
            |_| RReluConfig::new().init(),
            |layer: &RRelu, x: Tensor<2>| layer.forward(x),
        )
        .piecewise(),
        surrounded(
            Family::Random,
            "MultiHeadAttention, dropout",
            [2, 3, 4],
            |device| {
                MultiHeadAttentionConfig::new(4, 2)
                    .with_dropout(0.3)
                    .init(device)
            },
            |layer: &MultiHeadAttention, x| layer.forward(MhaInput::self_attn(x)).context,
        ),
        surrounded(
            Family::Random,
            "TransformerEncoder, dropout",
            [2, 3, 4],
            |device| TransformerEncoderConfig::new(4, 5, 2, 1).init(device),
            |layer: &TransformerEncoder, x| layer.forward(TransformerEncoderInput::new(x)),
        ),
    ]
    .into_iter()
    .map(Entry::training)
    .collect()
}
