//! Poolings with padding, dilation and ceiling mode.

use super::entry::{Entry, Family};
use super::surround::surrounded;
use burn::nn::pool::{
    AdaptiveAvgPool1dConfig, AdaptiveAvgPool2dConfig, AdaptiveAvgPool3dConfig, AvgPool1dConfig,
    AvgPool2dConfig, MaxPool1dConfig, MaxPool2dConfig,
};
use burn::nn::{Identity, PaddingConfig1d, PaddingConfig2d};
use burn::prelude::*;

pub(super) fn entries() -> Vec<Entry> {
    let mut all = maxima();
    all.extend(means());
    all.extend(adaptive());
    all
}

/// Poolings have no parameters, so that the model need not hold them.
fn entry<const D: usize>(
    name: &str,
    input: [usize; D],
    forward: impl Fn(Tensor<D>) -> Tensor<D> + Clone + Send + Sync + 'static,
) -> Entry {
    let layer = |_: &Device| Identity::new();
    let forward = move |_: &Identity, x| forward(x);
    surrounded(Family::Pooling, name, input, layer, forward)
}

fn maxima() -> Vec<Entry> {
    vec![
        entry("MaxPool1d", [2, 2, 6], |x| {
            MaxPool1dConfig::new(2).init().forward(x)
        }),
        entry(
            "MaxPool1d, stride 2, uneven padding, dilation 2",
            [2, 2, 7],
            |x| {
                MaxPool1dConfig::new(3)
                    .with_stride(2)
                    .with_padding(PaddingConfig1d::Explicit(1, 0))
                    .with_dilation(2)
                    .init()
                    .forward(x)
            },
        ),
        entry("MaxPool1d, ceiling mode", [2, 2, 6], |x| {
            let pool = MaxPool1dConfig::new(3).with_stride(2).with_ceil_mode(true);
            pool.init().forward(x)
        }),
        entry("MaxPool2d", [2, 2, 4, 6], |x| {
            MaxPool2dConfig::new([2, 3]).init().forward(x)
        }),
        entry("MaxPool2d, overlapping, padding", [2, 2, 5, 4], |x| {
            MaxPool2dConfig::new([3, 3])
                .with_strides([2, 1])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init()
                .forward(x)
        }),
        entry("MaxPool2d, dilation, ceiling mode", [1, 2, 6, 5], |x| {
            MaxPool2dConfig::new([2, 2])
                .with_strides([2, 2])
                .with_dilation([2, 1])
                .with_ceil_mode(true)
                .init()
                .forward(x)
        }),
    ]
    .into_iter()
    .map(Entry::piecewise)
    .collect()
}

fn means() -> Vec<Entry> {
    vec![
        entry("AvgPool1d", [2, 2, 6], |x| {
            AvgPool1dConfig::new(2).init().forward(x)
        }),
        entry("AvgPool1d, padding counted, ceiling mode", [2, 2, 6], |x| {
            AvgPool1dConfig::new(3)
                .with_stride(2)
                .with_padding(PaddingConfig1d::Explicit(1, 1))
                .with_ceil_mode(true)
                .init()
                .forward(x)
        }),
        entry("AvgPool2d", [2, 2, 4, 4], |x| {
            AvgPool2dConfig::new([2, 2]).init().forward(x)
        }),
        entry("AvgPool2d, padding counted", [2, 2, 5, 4], |x| {
            AvgPool2dConfig::new([3, 2])
                .with_strides([2, 1])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init()
                .forward(x)
        }),
        entry(
            "AvgPool2d, padding not counted, ceiling mode",
            [2, 1, 6, 5],
            |x| {
                AvgPool2dConfig::new([3, 2])
                    .with_strides([2, 2])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_count_include_pad(false)
                    .with_ceil_mode(true)
                    .init()
                    .forward(x)
            },
        ),
        entry("AvgPool2d, uneven padding", [2, 1, 4, 4], |x| {
            AvgPool2dConfig::new([2, 2])
                .with_padding(PaddingConfig2d::Explicit(0, 1, 2, 1))
                .init()
                .forward(x)
        }),
    ]
}

fn adaptive() -> Vec<Entry> {
    vec![
        entry("AdaptiveAvgPool1d, 7 to 3", [2, 2, 7], |x| {
            AdaptiveAvgPool1dConfig::new(3).init().forward(x)
        }),
        entry(
            "AdaptiveAvgPool2d, [5, 4] to [3, 2]",
            [2, 2, 5, 4],
            |x: Tensor<4>| AdaptiveAvgPool2dConfig::new([3, 2]).init().forward(x),
        ),
        entry(
            "AdaptiveAvgPool3d, [3, 4, 3] to [2, 2, 1]",
            [1, 2, 3, 4, 3],
            |x: Tensor<5>| AdaptiveAvgPool3dConfig::new([2, 2, 1]).init().forward(x),
        ),
    ]
}
