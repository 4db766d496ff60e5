//! Losses whose layouts meet those of the model: the Gauss-Newton matrix must not lose what a simplification looks through.

use crate::support::{cosines, cross_entropy, direction, labels, relative, tensor};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::{LinearOperator, Objective, Precision};

type Tokens = (Tensor<3>, Tensor<1, Int>);

fn data(device: &Device) -> Tokens {
    let x = tensor([2, 3, 4], device, DType::F32, |k| {
        (0.7 + 3.1 * k as f64).sin()
    });
    (x, labels(6, 5, device))
}

#[test]
fn a_loss_that_flattens_the_outputs_has_the_matrix_of_flat_outputs() {
    let device = Device::flex();
    let model: Linear = cosines(LinearConfig::new(4, 5).init(&device), DType::F32);
    // the model is linear in its parameters, so that G = H
    let objective = Objective::new(
        |model: &Linear, (x, _): &Tokens| model.forward(x.clone()),
        |outputs: Tensor<3>, (_, y)| cross_entropy(outputs.reshape([6, 5]), y),
    )
    .precision(Precision::F64);
    let point = objective.at(&model, &data(&device)).unwrap();
    let v = direction(&point, 1.0);
    let hv = point.hessian().apply(&v).unwrap();
    let gv = point.gauss_newton().unwrap().apply(&v).unwrap();
    let error = relative(&gv, &hv);
    assert!(error < 1e-10, "{error}");
}

#[test]
fn a_loss_that_cuts_a_concatenation_has_both_parts() {
    let device = Device::flex();
    let model: Linear = cosines(LinearConfig::new(4, 5).init(&device), DType::F32);
    let objective = Objective::new(
        |model: &Linear, (x, _): &Tokens| {
            let all: Tensor<2> = model.forward(x.clone()).reshape([6, 5]);
            Tensor::cat(
                vec![-all.clone().slice([0..6, 0..2]), all.slice([0..6, 2..5])],
                1,
            )
        },
        |outputs: Tensor<2>, _| {
            let first = outputs.clone().slice([0..6, 0..2]).powi_scalar(2).mean();
            first + outputs.slice([0..6, 2..5]).powi_scalar(4).mean()
        },
    )
    .precision(Precision::F64);
    let point = objective.at(&model, &data(&device)).unwrap();
    let v = direction(&point, 2.0);
    let hv = point.hessian().apply(&v).unwrap();
    let gv = point.gauss_newton().unwrap().apply(&v).unwrap();
    let error = relative(&gv, &hv);
    assert!(error < 1e-10, "{error}");
}
