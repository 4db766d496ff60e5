//! Positional encodings and distances.

use super::entry::{Entry, Family};
use super::surround::{Layer, surrounded};
use burn::nn::{
    CosineSimilarityConfig, Identity, PairwiseDistanceConfig, PositionalEncoding,
    PositionalEncodingConfig, RotaryEncoding, RotaryEncodingConfig,
};
use burn::prelude::*;

fn entry<L: Layer, const I: usize, const O: usize>(
    name: &str,
    input: [usize; I],
    layer: impl Fn(&Device) -> L + Send + Sync + 'static,
    forward: fn(&L, Tensor<I>) -> Tensor<O>,
) -> Entry {
    surrounded(Family::Encoding, name, input, layer, forward)
}

/// The rows, and the same rows shifted by one.
fn pairs(x: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    (x.clone(), x.roll_dim(1, 0))
}

pub(super) fn entries() -> Vec<Entry> {
    let none = |_: &Device| Identity::new();
    vec![
        entry(
            "PositionalEncoding",
            [2, 3, 4],
            |device| {
                let config = PositionalEncodingConfig::new(4).with_max_sequence_size(5);
                config.init(device)
            },
            |layer: &PositionalEncoding, x: Tensor<3>| layer.forward(x),
        ),
        entry(
            "RotaryEncoding",
            [2, 3, 4],
            |device| RotaryEncodingConfig::new(5, 4).init(device),
            |layer: &RotaryEncoding, x: Tensor<3>| layer.forward(x),
        ),
        entry("CosineSimilarity", [5, 4], none, |_, x| {
            let (a, b) = pairs(x);
            let similarity = CosineSimilarityConfig::new().init();
            similarity.forward(a, b).unsqueeze_dim::<2>(1)
        }),
        entry("PairwiseDistance", [5, 4], none, |_, x| {
            let (a, b) = pairs(x);
            let distance = PairwiseDistanceConfig::new().init();
            distance.forward(a, b).unsqueeze_dim::<2>(1)
        }),
        entry("PairwiseDistance, p = 3", [5, 4], none, |_, x| {
            let (a, b) = pairs(x);
            let distance = PairwiseDistanceConfig::new().with_p(3.0).init();
            distance.forward(a, b).unsqueeze_dim::<2>(1)
        })
        .piecewise(),
    ]
}
