//! A dataset in three batches of different size against the same examples in one batch, and against dense matrices, in f64.

mod diagonals;
mod jacobians;
mod kronecker;
mod passes;

use super::*;
use crate::dense::dense;
use crate::kfac::KfacOptions;
use crate::output_factors::Factors;
use crate::test_operators::{mixed, numbers};
use crate::vector::to_f64;
use crate::{Estimate, PassEnding, Precision};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::prelude::*;
use faer::Mat;

type Pair = (Tensor<2>, Tensor<2>);

/// Examples of the batches.
const SIZES: [usize; 3] = [5, 2, 4];

fn device() -> Device {
    Device::flex()
}

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    norm: LayerNorm,
    output: Linear,
}

impl Net {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let h = self.norm.forward(self.hidden.forward(x).tanh());
        self.output.forward(h)
    }
}

/// With parameters that belong to no layer.
fn net() -> Net {
    let device = device();
    mixed(Net {
        hidden: LinearConfig::new(3, 4).init(&device),
        norm: LayerNormConfig::new(4).init(&device),
        output: LinearConfig::new(4, 2).init(&device),
    })
}

fn whole() -> Pair {
    let count = SIZES.iter().sum();
    (numbers([count, 3], 1.0), numbers([count, 2], 2.0))
}

fn batches() -> Vec<Pair> {
    let (x, y) = whole();
    let mut first = 0;
    let cut = SIZES.iter().map(|&size| {
        let batch = (
            x.clone().narrow(0, first, size),
            y.clone().narrow(0, first, size),
        );
        first += size;
        batch
    });
    cut.collect()
}

/// A loss whose Hessian by the outputs depends on them, as a mean or as a sum.
fn loss(z: Tensor<2>, y: &Tensor<2>, reduction: Reduction) -> Tensor<1> {
    let each = (z - y.clone()).powi_scalar(2).add_scalar(1.0).sqrt();
    let each = each.sum_dim(1);
    match reduction {
        Reduction::Mean => each.mean(),
        Reduction::Sum => each.sum(),
    }
}

fn objective(reduction: Reduction) -> Objective<Net, Pair> {
    Objective::new(
        |model: &Net, (x, _): &Pair| model.forward(x.clone()),
        move |z: Tensor<2>, (_, y)| loss(z, y, reduction),
    )
    .reduction(reduction)
    .precision(Precision::F64)
}

/// Checks the datasets of all kinds beside the point of all examples, for means and for sums.
fn for_each_dataset(check: impl Fn(&Dataset<'_>, &Point)) {
    let model = net();
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let objective = objective(reduction);
        let point = objective.at(&model, &whole()).unwrap();
        for memory in [Memory::Kept, Memory::Recomputed] {
            check(&objective.over(&model, &batches(), memory).unwrap(), &point);
        }
        let load = |index: usize| Ok::<_, std::io::Error>(batches()[index].clone());
        check(
            &objective.streamed(&model, SIZES.len(), load).unwrap(),
            &point,
        );
    }
}

fn kept(reduction: Reduction) -> Dataset<'static> {
    let objective = objective(reduction);
    objective.over(&net(), &batches(), Memory::Kept).unwrap()
}

fn matrix(operator: &dyn LinearOperator) -> Mat<f64> {
    dense(operator).unwrap().matrix().clone()
}

#[track_caller]
fn assert_same(found: &Mat<f64>, expected: &Mat<f64>) {
    let error = (found - expected).norm_l2() / expected.norm_l2().max(f64::MIN_POSITIVE);
    assert!(error < 1e-10, "{error:e}");
}

fn column(numbers: &[f64]) -> Mat<f64> {
    Mat::from_fn(numbers.len(), 1, |i, _| numbers[i])
}

#[track_caller]
fn assert_same_vector(found: &Tensor<1>, expected: &[f64]) {
    assert_same(&column(&to_f64(found)), &column(expected));
}

/// Values of many seeds have the truth as their mean: within 4 standard errors, which chance exceeds once in 16,000.
#[track_caller]
fn assert_unbiased(draw: impl Fn(Seed) -> f64, truth: f64) {
    let draws: Vec<f64> = (0..200).map(|seed| draw(Seed::new(seed))).collect();
    let estimate = Estimate::from_samples(&draws, draws.len());
    assert!(estimate.standard_error > 1e-6 * truth.abs(), "{estimate:?}");
    let error = (estimate.value - truth).abs();
    assert!(
        error < 4.0 * estimate.standard_error,
        "{estimate:?} {truth}"
    );
}

fn sampled(seed: Seed) -> Factors {
    Factors::MonteCarlo { samples: 1, seed }
}

/// Factors with exact diagonals for the parameters that belong to no layer.
fn options(factors: Factors) -> KfacOptions {
    KfacOptions {
        factors,
        others: crate::kfac::Others::Diagonal {
            samples: 1000,
            seed: Seed::new(0),
        },
        ..Default::default()
    }
}
