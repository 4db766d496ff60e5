//! Tensor functions that models call outside of layers, above all those that are lowered.

use super::entry::{Entry, Family, noise, spread};
use super::surround::surrounded;
use burn::module::{Module, Param};
use burn::nn::Identity;
use burn::prelude::*;
use burn::tensor::activation::tanh;
use burn::tensor::module::attention;
use burn::tensor::ops::{AttentionModuleOptions, InterpolateMode, PadMode};
use burn::tensor::{IndexingUpdateOp, s};

pub(super) fn entries() -> Vec<Entry> {
    let mut all = attentions();
    all.extend(indexing());
    all.extend(elementwise());
    all.extend(reductions().into_iter().map(Entry::piecewise));
    all
}

fn entry<const I: usize, const O: usize>(
    name: &str,
    input: [usize; I],
    forward: fn(Tensor<I>) -> Tensor<O>,
) -> Entry {
    let layer = |_: &Device| Identity::new();
    let forward = move |_: &Identity, x| forward(x);
    surrounded(Family::TensorOperation, name, input, layer, forward)
}

fn capped() -> AttentionModuleOptions {
    AttentionModuleOptions {
        scale: Some(0.8),
        softcap: Some(0.5),
        is_causal: true,
    }
}

/// The first query may see nothing: its result is zero.
fn first_row_masked(device: &Device) -> Tensor<4, Bool> {
    let mask = [true, true, true, false, true, false, false, false, false];
    Tensor::from_data(TensorData::new(mask.into(), [1, 1, 3, 3]), device)
}

fn attentions() -> Vec<Entry> {
    vec![
        entry("attention", [1, 2, 3, 4], |x: Tensor<4>| {
            let options = AttentionModuleOptions::default();
            attention(x.clone(), x.clone().flip([2]), x, None, None, options)
        }),
        entry(
            "attention, causal, soft-capped, biased",
            [1, 2, 3, 4],
            |x: Tensor<4>| {
                let bias = x.clone().slice(s![.., .., .., 0..3]);
                attention(x.clone(), x.clone(), x, None, Some(bias), capped())
            },
        ),
        entry(
            "attention with a row of nothing but masked places",
            [1, 1, 3, 4],
            |x: Tensor<4>| {
                let mask = first_row_masked(&x.device());
                let options = AttentionModuleOptions::default();
                attention(x.clone(), x.clone(), x, Some(mask), None, options)
            },
        )
        .only_in_f64(
            "Burn keeps the empty sum of its softmax at the smallest normal number, whose square is zero in f32: use `Precision::F64`",
        ),
        frozen_attention(),
    ]
}

#[derive(Module, Debug)]
struct Frozen {
    frozen: Param<Tensor<4>>,
    trained: Param<Tensor<4>>,
}

/// Where nothing is trained, Burn records attention as one operation.
fn frozen_attention() -> Entry {
    Entry::new(
        Family::TensorOperation,
        "attention of frozen tensors, causal, soft-capped, masked",
        |device| {
            let mut model = spread(Frozen {
                frozen: Param::from_tensor(noise([1, 2, 3, 4], device)),
                trained: Param::from_tensor(noise([1, 2, 3, 4], device)),
            });
            model.frozen = model.frozen.no_grad();
            (model, noise([1, 2, 3, 4], device))
        },
        |model: &Frozen, _| {
            let x = model.frozen.val();
            let mask = first_row_masked(&x.device()).expand([1, 2, 3, 3]);
            let mixed = attention(
                x.clone(),
                x.clone().flip([2]),
                x,
                Some(mask),
                None,
                capped(),
            );
            tanh(model.trained.val() * (mixed + 1.0))
        },
        |outputs: Tensor<4>, targets| (outputs - targets.clone()).square().mean(),
    )
}

fn places<const D: usize>(values: &[i64], dims: [usize; D], device: &Device) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), dims), device)
}

fn indexing() -> Vec<Entry> {
    vec![
        entry("gather_nd", [3, 4], |x: Tensor<2>| {
            let places = places(&[0, 1, 2, 3, 0, 1], [3, 2], &x.device());
            x.gather_nd::<2, 1>(places).unsqueeze_dim::<2>(1)
        }),
        entry("scatter_nd, sums", [3, 4], |x: Tensor<2>| {
            let places = places(&[0, 2, 0], [3, 1], &x.device());
            let values = x.clone().square();
            x.scatter_nd(places, values, IndexingUpdateOp::Add)
        }),
        entry("scatter_nd, assignment", [3, 4], |x: Tensor<2>| {
            let places = places(&[0, 2, 1], [3, 1], &x.device());
            let values = x.clone().square();
            x.scatter_nd(places, values, IndexingUpdateOp::Assign)
        })
        .refused("scatter_nd"),
        entry("grid_sample_2d", [1, 1, 3, 3], |x: Tensor<4>| {
            let grid = x.clone().reshape([1, 3, 3, 1]).repeat_dim(3, 2);
            x.grid_sample_2d(grid, InterpolateMode::Bilinear)
        })
        .piecewise(),
        entry("gather", [3, 4], |x: Tensor<2>| {
            let places = places(&[0, 1, 3, 3, 2, 2], [3, 2], &x.device());
            x.gather(1, places)
        }),
        entry("scatter, sums", [3, 4], |x: Tensor<2>| {
            let places = places(&[0, 1, 1, 3, 3, 2, 2, 2, 2, 0, 0, 0], [3, 4], &x.device());
            let values = x.clone().square();
            x.scatter(1, places, values, IndexingUpdateOp::Add)
        }),
        entry("select", [3, 4], |x: Tensor<2>| {
            let places = places(&[2, 0, 0], [3], &x.device());
            x.select(1, places)
        }),
        entry("slice_assign", [3, 4], |x: Tensor<2>| {
            let part = x.clone().slice([0..2, 1..3]).square();
            x.slice_assign([1..3, 0..2], part)
        }),
        entry("slice with steps, flip, roll", [4, 5], |x: Tensor<2>| {
            x.roll_dim(2, 0).flip([1]).slice(s![.., 0..5;2])
        }),
        entry("pad, reflecting", [1, 1, 4, 4], |x: Tensor<4>| {
            x.pad((1, 1, 1, 1), PadMode::Reflect)
        }),
        entry("pad, repeating the edge", [1, 1, 3, 4], |x: Tensor<4>| {
            x.pad((1, 0, 0, 2), PadMode::Edge)
        }),
        entry("unfold", [2, 6], |x: Tensor<2>| x.unfold::<3, _>(1, 3, 2)),
        entry("repeat, cat, permute", [2, 3], |x: Tensor<2>| {
            let twice = Tensor::cat(vec![x.clone().square(), x.repeat_dim(1, 2)], 1);
            twice.permute([1, 0])
        }),
    ]
}

fn elementwise() -> Vec<Entry> {
    vec![
        entry("exp, log, sqrt, recip", [3, 4], |x: Tensor<2>| {
            let positive = x.exp() + 0.5;
            positive.clone().log() + positive.clone().sqrt() + positive.recip()
        }),
        entry("log1p, erf", [3, 4], |x: Tensor<2>| {
            x.clone().square().log1p() + x.erf()
        }),
        entry("sin, cos, tan", [3, 4], |x: Tensor<2>| {
            x.clone().sin() * x.clone().cos() + x.mul_scalar(0.5).tan()
        }),
        entry("sinh, cosh", [3, 4], |x: Tensor<2>| {
            x.clone().sinh() * x.cosh()
        }),
        entry("asin, acos, atan", [3, 4], |x: Tensor<2>| {
            let small = x.mul_scalar(0.4);
            small.clone().asin() * small.clone().acos() + small.atan()
        }),
        entry("asinh, acosh, atanh", [3, 4], |x: Tensor<2>| {
            let small = x.clone().mul_scalar(0.4);
            x.clone().asinh() * (x.square() + 1.5).acosh() + small.atanh()
        }),
        entry("atan2, hypot", [3, 4], |x: Tensor<2>| {
            let y = x.clone().square() + 0.5;
            x.clone().atan2(y.clone()) + x.hypot(y)
        }),
        entry(
            "powers with a tensor as exponent",
            [3, 4],
            |x: Tensor<2>| {
                let exponent = x.clone().sin() + 1.5;
                (x.square() + 0.5).powf(exponent)
            },
        ),
        entry("powers with whole and broken exponents", [3, 4], |x| {
            let x: Tensor<2> = x;
            x.clone().powi_scalar(3) + (x.square() + 0.5).powf_scalar(1.7)
        }),
        entry("cross", [4, 3], |x: Tensor<2>| {
            let y = x.clone().square() + 0.3;
            x.cross(y, 1)
        }),
    ]
}

fn reductions() -> Vec<Entry> {
    vec![
        entry("topk", [3, 5], |x: Tensor<2>| x.topk(2, 1)),
        entry("topk_with_indices", [3, 5], |x: Tensor<2>| {
            let (values, places) = x.clone().topk_with_indices(2, 1);
            values * x.square().gather(1, places)
        }),
        entry("sort", [3, 4], |x: Tensor<2>| x.sort(1)),
        entry("max_dim, min_dim", [3, 4], |x: Tensor<2>| {
            x.clone().max_dim(1) * x.min_dim(1)
        }),
        entry("max, min, prod", [3, 2], |x: Tensor<2>| {
            let sum = x.clone().max() * x.clone().min() + x.prod();
            sum.unsqueeze_dim::<2>(1)
        }),
        entry("cumsum, cumprod", [3, 4], |x: Tensor<2>| {
            x.clone().cumsum(1) * (x + 1.5).cumprod(1)
        }),
        entry("prod_dim, var, mean", [3, 4], |x: Tensor<2>| {
            x.clone().prod_dim(1) + x.clone().var(1) * x.mean_dim(1)
        }),
        entry("abs, sign, clamp", [3, 4], |x: Tensor<2>| {
            x.clone().abs() * x.clone().sign() + x.clamp(-0.3, 0.4).square()
        }),
        entry("mask_where, mask_fill", [3, 4], |x: Tensor<2>| {
            let mask = x.clone().greater_scalar(0.1);
            let square = x.clone().square().mask_fill(mask.clone(), 0.2);
            x.mask_where(mask, square)
        }),
        entry("floor, round, remainder", [3, 4], |x: Tensor<2>| {
            let steps = x.clone().floor() + x.clone().mul_scalar(2.0).round();
            x.clone() * steps + x.remainder_scalar(0.7)
        }),
    ]
}
