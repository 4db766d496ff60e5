//! Convolutions and transposed convolutions with stride, padding, dilation and groups.

use super::entry::{Entry, Family};
use super::surround::{Layer, surrounded};
use burn::module::{Module, Param};
use burn::nn::conv::{
    Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, Conv3d, Conv3dConfig, ConvTranspose1d,
    ConvTranspose1dConfig, ConvTranspose2d, ConvTranspose2dConfig, ConvTranspose3d,
    ConvTranspose3dConfig, DeformConv2d, DeformConv2dConfig,
};
use burn::nn::{PaddingConfig1d, PaddingConfig2d, PaddingConfig3d};
use burn::prelude::*;

pub(super) fn entries() -> Vec<Entry> {
    let mut all = plain();
    all.extend(transposed());
    all.push(deformable());
    all
}

fn entry<L: Layer, const D: usize>(
    name: &str,
    input: [usize; D],
    layer: impl Fn(&Device) -> L + Send + Sync + 'static,
    forward: fn(&L, Tensor<D>) -> Tensor<D>,
) -> Entry {
    surrounded(Family::Convolution, name, input, layer, forward)
}

fn plain() -> Vec<Entry> {
    let one = |layer: &Conv1d, x: Tensor<3>| layer.forward(x);
    let two = |layer: &Conv2d, x: Tensor<4>| layer.forward(x);
    let three = |layer: &Conv3d, x: Tensor<5>| layer.forward(x);
    vec![
        entry(
            "Conv1d",
            [2, 2, 6],
            |device| Conv1dConfig::new(2, 3, 3).init(device),
            one,
        ),
        entry(
            "Conv1d, stride 2, uneven padding, groups 2, no bias",
            [2, 4, 7],
            |device| {
                Conv1dConfig::new(4, 2, 3)
                    .with_stride(2)
                    .with_padding(PaddingConfig1d::Explicit(2, 1))
                    .with_groups(2)
                    .with_bias(false)
                    .init(device)
            },
            one,
        ),
        entry(
            "Conv1d, dilation 2, same padding",
            [2, 2, 6],
            |device| {
                Conv1dConfig::new(2, 2, 3)
                    .with_dilation(2)
                    .with_padding(PaddingConfig1d::Same)
                    .init(device)
            },
            one,
        ),
        entry(
            "Conv2d",
            [2, 2, 5, 4],
            |device| Conv2dConfig::new([2, 3], [3, 2]).init(device),
            two,
        ),
        entry(
            "Conv2d, stride [2, 1], padding, dilation [1, 2]",
            [2, 2, 6, 5],
            |device| {
                Conv2dConfig::new([2, 2], [3, 2])
                    .with_stride([2, 1])
                    .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                    .with_dilation([1, 2])
                    .init(device)
            },
            two,
        ),
        entry(
            "Conv2d, depthwise",
            [2, 3, 4, 4],
            |device| {
                Conv2dConfig::new([3, 3], [2, 2])
                    .with_groups(3)
                    .init(device)
            },
            two,
        ),
        entry(
            "Conv2d, uneven padding",
            [2, 1, 4, 4],
            |device| {
                Conv2dConfig::new([1, 2], [3, 3])
                    .with_padding(PaddingConfig2d::Explicit(0, 1, 2, 1))
                    .init(device)
            },
            two,
        ),
        entry(
            "Conv3d",
            [2, 1, 3, 4, 3],
            |device| Conv3dConfig::new([1, 2], [2, 2, 2]).init(device),
            three,
        ),
        entry(
            "Conv3d, stride, padding, groups 2",
            [1, 2, 4, 4, 3],
            |device| {
                Conv3dConfig::new([2, 2], [2, 3, 2])
                    .with_stride([2, 1, 1])
                    .with_padding(PaddingConfig3d::Explicit(1, 1, 0))
                    .with_groups(2)
                    .init(device)
            },
            three,
        ),
    ]
}

fn transposed() -> Vec<Entry> {
    let one = |layer: &ConvTranspose1d, x: Tensor<3>| layer.forward(x);
    let two = |layer: &ConvTranspose2d, x: Tensor<4>| layer.forward(x);
    vec![
        entry(
            "ConvTranspose1d",
            [2, 2, 4],
            |device| ConvTranspose1dConfig::new([2, 3], 3).init(device),
            one,
        ),
        entry(
            "ConvTranspose1d, stride 2, padding, output padding, groups 2",
            [2, 4, 4],
            |device| {
                ConvTranspose1dConfig::new([4, 2], 3)
                    .with_stride(2)
                    .with_padding(1)
                    .with_padding_out(1)
                    .with_groups(2)
                    .init(device)
            },
            one,
        ),
        entry(
            "ConvTranspose2d",
            [2, 2, 3, 3],
            |device| ConvTranspose2dConfig::new([2, 2], [2, 3]).init(device),
            two,
        ),
        entry(
            "ConvTranspose2d, stride [2, 1], padding, dilation [1, 2]",
            [2, 2, 3, 3],
            |device| {
                ConvTranspose2dConfig::new([2, 2], [3, 2])
                    .with_stride([2, 1])
                    .with_padding([1, 0])
                    .with_dilation([1, 2])
                    .init(device)
            },
            two,
        ),
        entry(
            "ConvTranspose3d, stride [1, 2, 1]",
            [1, 2, 2, 3, 2],
            |device| {
                ConvTranspose3dConfig::new([2, 2], [2, 2, 2])
                    .with_stride([1, 2, 1])
                    .init(device)
            },
            |layer: &ConvTranspose3d, x: Tensor<5>| layer.forward(x),
        ),
    ]
}

#[derive(Module, Debug)]
struct Deformable {
    convolution: DeformConv2d,
    offsets: Param<Tensor<4>>,
}

fn deformable() -> Entry {
    entry(
        "DeformConv2d",
        [1, 1, 4, 4],
        |device| Deformable {
            convolution: DeformConv2dConfig::new([1, 1], [2, 2]).init(device),
            offsets: Param::from_tensor(Tensor::zeros([1, 8, 3, 3], device)),
        },
        |layer: &Deformable, x: Tensor<4>| {
            let offsets = layer.offsets.val();
            layer.convolution.forward(x, offsets, None)
        },
    )
    .refused("deform_conv2d")
}
