use super::{Case, Setting, of_parameters};
use crate::inputs::{cosines, tensor};
use burn::module::{Module, Param};
use burn::prelude::*;
use ravine_curvature::CurvatureError;

const DIM: usize = 1000;
const CONDITION: f64 = 1e4;

#[derive(Module, Debug)]
struct Quadratic {
    x: Param<Tensor<1>>,
}

pub(super) fn workload(setting: Setting<'_>) -> Result<Case, CurvatureError> {
    let x = Param::from_tensor(Tensor::zeros([DIM], setting.device));
    let model = cosines(Quadratic { x }, setting.dtype);
    of_parameters(model, matrix(setting), |model, a: &Tensor<2>| {
        let x = model.x.val().reshape([1, -1]);
        (x.clone().matmul(a.clone()) * x).sum() * 0.5
    })
}

/// (I − 2uuᵀ) diag(λ) (I − 2uuᵀ) with eigenvalues from 1 down to the inverse of the condition number.
fn matrix(Setting { device, dtype }: Setting<'_>) -> Tensor<2> {
    let lambda: Vec<f64> = (0..DIM)
        .map(|k| CONDITION.powf(-(k as f64) / (DIM - 1) as f64))
        .collect();
    let raw: Vec<f64> = (0..DIM).map(|k| ((k + 1) as f64).sin()).collect();
    let norm = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
    let u: Vec<f64> = raw.iter().map(|x| x / norm).collect();
    let s: f64 = lambda.iter().zip(&u).map(|(l, u)| l * u * u).sum();
    tensor([DIM, DIM], device, dtype, |k| {
        let (i, j) = (k / DIM, k % DIM);
        let diagonal = if i == j { lambda[i] } else { 0.0 };
        diagonal - 2.0 * u[i] * u[j] * (lambda[i] + lambda[j] - 2.0 * s)
    })
}
