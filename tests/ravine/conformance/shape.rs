//! Layers that resize or rearrange.

use super::entry::{Entry, Family};
use super::surround::surrounded;
use burn::nn::interpolate::{Interpolate1dConfig, Interpolate2dConfig, InterpolateMode};
use burn::nn::{Fold4dConfig, Identity, PixelShuffleConfig, PixelUnshuffleConfig, Unfold4dConfig};
use burn::prelude::*;

pub(super) fn entries() -> Vec<Entry> {
    let mut all = resizing();
    all.extend(rearranging());
    all
}

fn entry<const I: usize, const O: usize>(
    name: &str,
    input: [usize; I],
    forward: impl Fn(Tensor<I>) -> Tensor<O> + Clone + Send + Sync + 'static,
) -> Entry {
    let layer = |_: &Device| Identity::new();
    let forward = move |_: &Identity, x| forward(x);
    surrounded(Family::Shape, name, input, layer, forward)
}

/// From 3 × 4 to 5 × 3: one axis grows, the other shrinks.
fn image(name: &str, mode: InterpolateMode, align_corners: bool) -> Entry {
    entry(name, [1, 2, 3, 4], move |x: Tensor<4>| {
        Interpolate2dConfig::new()
            .with_output_size(Some([5, 3]))
            .with_mode(mode.clone())
            .with_align_corners(align_corners)
            .init()
            .forward(x)
    })
}

fn resizing() -> Vec<Entry> {
    vec![
        image("Interpolate2d, nearest", InterpolateMode::Nearest, true),
        image(
            "Interpolate2d, linear, corners aligned",
            InterpolateMode::Linear,
            true,
        ),
        image("Interpolate2d, linear", InterpolateMode::Linear, false),
        image(
            "Interpolate2d, cubic, corners aligned",
            InterpolateMode::Cubic,
            true,
        ),
        image("Interpolate2d, cubic", InterpolateMode::Cubic, false),
        image("Interpolate2d, Lanczos", InterpolateMode::Lanczos, false),
        entry("Interpolate1d, linear, twice", [2, 2, 4], |x: Tensor<3>| {
            Interpolate1dConfig::new()
                .with_scale_factor(Some(2.0))
                .with_mode(InterpolateMode::Linear)
                .init()
                .forward(x)
        }),
    ]
}

fn rearranging() -> Vec<Entry> {
    vec![
        entry("PixelShuffle", [1, 4, 2, 3], |x: Tensor<4>| {
            PixelShuffleConfig::new(2).init().forward(x)
        }),
        entry("PixelUnshuffle", [1, 1, 4, 2], |x: Tensor<4>| {
            PixelUnshuffleConfig::new(2).init().forward(x)
        }),
        entry("Unfold4d", [1, 2, 4, 3], |x: Tensor<4>| {
            Unfold4dConfig::new([2, 2]).init().forward(x)
        }),
        entry(
            "Unfold4d, stride, padding, dilation",
            [1, 2, 4, 3],
            |x: Tensor<4>| {
                Unfold4dConfig::new([2, 2])
                    .with_stride([2, 1])
                    .with_padding([1, 0])
                    .with_dilation([1, 2])
                    .init()
                    .forward(x)
            },
        ),
        entry("Fold4d", [1, 8, 6], |x: Tensor<3>| {
            Fold4dConfig::new([4, 3], [2, 2]).init().forward(x)
        }),
    ]
}
