//! Normalisations, batch norm in both modes.

use super::entry::{Entry, Family};
use super::surround::{Layer, surrounded};
use burn::nn::{
    BatchNorm, BatchNormConfig, GroupNorm, GroupNormConfig, InstanceNorm, InstanceNormConfig,
    LayerNorm, LayerNormConfig, LocalResponseNorm, LocalResponseNormConfig, RmsNorm, RmsNormConfig,
};
use burn::prelude::*;

pub(super) fn entries() -> Vec<Entry> {
    let mut all = batch();
    all.extend(others());
    all
}

fn entry<L: Layer, const D: usize>(
    name: &str,
    input: [usize; D],
    layer: impl Fn(&Device) -> L + Send + Sync + 'static,
    forward: fn(&L, Tensor<D>) -> Tensor<D>,
) -> Entry {
    surrounded(Family::Normalisation, name, input, layer, forward)
}

fn batch() -> Vec<Entry> {
    let rows = |name: &str| {
        entry(
            name,
            [6, 4],
            |device| BatchNormConfig::new(4).init(device),
            |layer: &BatchNorm, x: Tensor<2>| layer.forward(x),
        )
    };
    let images = |name: &str| {
        entry(
            name,
            [2, 2, 3, 3],
            |device| BatchNormConfig::new(2).with_epsilon(1e-3).init(device),
            |layer: &BatchNorm, x: Tensor<4>| layer.forward(x),
        )
    };
    vec![
        rows("BatchNorm of rows, evaluation"),
        rows("BatchNorm of rows, training").training(),
        images("BatchNorm of images, evaluation"),
        images("BatchNorm of images, training").training(),
    ]
}

fn others() -> Vec<Entry> {
    let layer_norm = |layer: &LayerNorm, x: Tensor<3>| layer.forward(x);
    let group_norm = |layer: &GroupNorm, x: Tensor<4>| layer.forward(x);
    vec![
        entry(
            "LayerNorm",
            [2, 3, 5],
            |device| LayerNormConfig::new(5).init(device),
            layer_norm,
        ),
        entry(
            "LayerNorm without bias",
            [2, 3, 5],
            |device| LayerNormConfig::new(5).with_bias(false).init(device),
            layer_norm,
        ),
        entry(
            "GroupNorm",
            [2, 4, 2, 3],
            |device| GroupNormConfig::new(2, 4).init(device),
            group_norm,
        ),
        entry(
            "GroupNorm without parameters",
            [2, 4, 2, 3],
            |device| GroupNormConfig::new(2, 4).with_affine(false).init(device),
            group_norm,
        ),
        entry(
            "InstanceNorm",
            [2, 3, 2, 3],
            |device| InstanceNormConfig::new(3).init(device),
            |layer: &InstanceNorm, x: Tensor<4>| layer.forward(x),
        ),
        entry(
            "RmsNorm",
            [2, 3, 5],
            |device| RmsNormConfig::new(5).init(device),
            |layer: &RmsNorm, x: Tensor<3>| layer.forward(x),
        ),
        entry(
            "LocalResponseNorm",
            [2, 4, 2, 2],
            |_| LocalResponseNormConfig::new(3).with_alpha(0.5).init(),
            |layer: &LocalResponseNorm, x: Tensor<4>| layer.forward(x),
        ),
    ]
}
