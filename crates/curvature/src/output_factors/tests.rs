use super::*;
use crate::{Objective, Precision};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::{TensorData, activation::log_softmax};

type Sentences = (Tensor<3>, Tensor<3, Int>);

/// A linear layer on `[examples, words, 3]`, with logits `[examples, words, classes]` of some size.
fn point(
    classes: usize,
    scale: f32,
    precision: Precision,
    loss: impl Fn(Tensor<3>, &Sentences) -> Tensor<1> + Send + Sync + 'static,
) -> Point {
    let device = Device::flex();
    let numbers = |dims: &[usize], phase: f64| {
        let count: usize = dims.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|k| (phase + 3.7 * k as f64).sin() as f32)
            .collect();
        TensorData::new(values, dims.to_vec())
    };
    let model = LinearConfig::new(3, classes).with_bias(false).init(&device);
    let layout = crate::ParameterLayout::of(&model).unwrap();
    let theta = Tensor::from_data(numbers(&[3 * classes], 0.2), &device) * scale;
    let model: Linear = layout.scatter(&theta, model).unwrap();
    let labels: Vec<i64> = (0..8).map(|k| k * k % classes as i64).collect();
    let batch = (
        Tensor::from_data(numbers(&[4, 2, 3], 1.0), &device),
        Tensor::from_data(TensorData::new(labels, [4, 2, 1]), &device),
    );
    let forward = |model: &Linear, (x, _): &Sentences| model.forward(x.clone());
    let objective = Objective::new(forward, loss).precision(precision);
    objective.at(&model, &batch).unwrap()
}

fn cross_entropy(z: Tensor<3>, (_, labels): &Sentences) -> Tensor<1> {
    log_softmax(z, 2).gather(2, labels.clone()).neg().mean()
}

/// ‖(Σ u uᵀ − H_L) r‖ / ‖H_L r‖ for a random r.
fn error(point: &Point, factors: &OutputFactors) -> f64 {
    let (total, examples) = (factors.elements(), factors.examples());
    let mut rng = Seed::new(3).rng();
    let r = crate::vector::standard_normal(total, &mut rng);
    let mut found = vec![0.0; total];
    for column in 0..factors.columns() {
        let u = factors.column(column);
        let width = total / examples;
        for example in 0..examples {
            let own = example * width..(example + 1) * width;
            let along: f64 = own.clone().map(|i| u[i] * r[i]).sum();
            own.for_each(|i| found[i] += along * u[i]);
        }
    }
    let shape = point.outputs_shape().unwrap().to_vec();
    let direction = from_f64(&r, point.device(), point.dtype());
    let direction: Tensor<3> = direction.reshape([shape[0], shape[1], shape[2]]);
    let expected = point.loss_hessian_product(&direction).unwrap();
    let expected = crate::vector::to_f64(&expected.reshape([total]));
    let difference: f64 = found
        .iter()
        .zip(&expected)
        .map(|(a, b)| (a - b).powi(2))
        .sum();
    let size: f64 = expected.iter().map(|x| x * x).sum();
    (difference / size).sqrt()
}

fn root(factors: &OutputFactors) -> &Root {
    match &factors.columns {
        Columns::Root(root) => root,
        Columns::Vectors(_) => panic!("a root is expected"),
    }
}

#[test]
fn independent_outputs_have_a_diagonal_root() {
    let point = point(5, 1.0, Precision::F64, |z, _| z.exp().sum());
    let factors = OutputFactors::exact(&point).unwrap();
    assert!(matches!(root(&factors), Root::Diagonal(_)));
    assert_eq!((factors.examples(), factors.columns()), (4, 10));
    assert!(error(&point, &factors) < 1e-12);
}

#[test]
fn a_cross_entropy_has_a_rank_of_one_beside_its_diagonal() {
    for (scale, precision, tolerance) in [
        (1.0, Precision::F64, 1e-12),
        // probabilities down to 1e-20
        (30.0, Precision::F64, 1e-10),
        (1.0, Precision::Model, 1e-5),
        (10.0, Precision::Model, 1e-4),
    ] {
        let point = point(5, scale, precision, cross_entropy);
        let factors = OutputFactors::exact(&point).unwrap();
        assert!(matches!(root(&factors), Root::RankOne { block: 5, .. }));
        let error = error(&point, &factors);
        assert!(error < tolerance, "{scale} {error:e}");
    }
}

#[test]
fn many_classes_need_no_dense_blocks() {
    // dense blocks would have 8 · 4000² numbers
    let point = point(4000, 1.0, Precision::Model, cross_entropy);
    let factors = OutputFactors::exact(&point).unwrap();
    assert!(matches!(root(&factors), Root::RankOne { block: 4000, .. }));
    let samples = Factors::MonteCarlo {
        samples: 2,
        seed: Seed::new(1),
    };
    assert_eq!(OutputFactors::of(&point, &samples).unwrap().columns(), 2);
}

#[test]
fn two_classes_have_dense_blocks_of_rank_one() {
    let point = point(2, 1.0, Precision::F64, cross_entropy);
    let factors = OutputFactors::exact(&point).unwrap();
    assert!(matches!(
        root(&factors),
        Root::Dense {
            block: 2,
            rank: 1,
            ..
        }
    ));
    assert_eq!(factors.columns(), 2);
    assert!(error(&point, &factors) < 1e-12);
}

#[test]
fn words_that_are_coupled_share_a_block() {
    let point = point(3, 1.0, Precision::F64, |z, _| {
        let sums = z.clone().sum_dim(1).powi_scalar(4).sum();
        sums + z.powi_scalar(4).sum()
    });
    let factors = OutputFactors::exact(&point).unwrap();
    assert!(matches!(root(&factors), Root::Dense { block: 6, .. }));
    assert!(error(&point, &factors) < 1e-12);
}

#[test]
fn a_linear_loss_has_no_curvature() {
    let point = point(3, 1.0, Precision::F64, |z, _| z.sum());
    let factors = OutputFactors::exact(&point).unwrap();
    assert!(factors.column(0).iter().all(|x| *x == 0.0));
}

#[test]
fn random_signs_have_the_hessian_as_their_second_moment() {
    let point = point(3, 1.0, Precision::F64, cross_entropy);
    let exact = OutputFactors::exact(&point).unwrap();
    let second = |i: usize, j: usize| -> f64 {
        let columns = (0..exact.columns()).map(|column| exact.column(column));
        columns.map(|u| u[i] * u[j]).sum()
    };
    let draws: Vec<Vec<f64>> = (0..2000)
        .map(|index| exact.signed(Seed::new(5).index(index)))
        .collect();
    // inside of a block, between words, between examples
    for (i, j, expected) in [
        (0, 0, second(0, 0)),
        (0, 1, second(0, 1)),
        (0, 4, 0.0),
        (1, 7, 0.0),
    ] {
        let samples: Vec<f64> = draws.iter().map(|u| u[i] * u[j]).collect();
        let estimate = crate::Estimate::from_samples(&samples, 0);
        let score = (estimate.value - expected) / estimate.standard_error;
        assert!(score.abs() < 4.0, "{i} {j} {score}");
    }
}

#[test]
fn the_empirical_vector_holds_the_gradients_of_the_examples() {
    let point = point(3, 1.0, Precision::F64, cross_entropy);
    let mean = OutputFactors::of(&point, &Factors::Empirical).unwrap();
    // four examples, whose gradients hold a quarter each
    let sum: Vec<f64> = mean.column(0).iter().map(|x| 0.5 * x).collect();
    // Jᵀ ∂L/∂z is the gradient
    let u: Tensor<3> = from_f64(&sum, point.device(), point.dtype()).reshape([4, 2, 3]);
    let found = point.transposed_jacobian_product(&u).unwrap();
    let difference = found - point.gradient().unwrap();
    assert!(difference.abs().max().into_scalar::<f64>() < 1e-14);
}
