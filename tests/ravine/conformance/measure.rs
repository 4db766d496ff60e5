//! Gradient and products with the Hessian of an entry, against central differences, by both methods, in both precisions.

use super::entry::{Entry, PointOptions, Smoothness};
use super::figures::{Column, Figures, larger};
use super::{executions, gauss_newton};
use crate::support::{direction, gradient_difference, loss_difference, relative};
use burn::prelude::*;
use ravine_curvature::{
    CurvatureError, Execution, HvpMethod, LinearOperator, Mode, Point, Precision, vector,
};

/// Gradient against central differences of the loss, relative to ‖g‖.
const GRADIENT: f64 = 1e-8;
/// Hv against central differences of the gradient, relative to ‖Hv‖.
const PRODUCT: f64 = 1e-7;
/// |uᵀHv − vᵀHu| relative to the larger of ‖Hu‖ and ‖Hv‖.
const SYMMETRY: f64 = 1e-12;
/// Products by recording and by tape, relative to ‖Hv‖.
const METHODS: f64 = 1e-10;
/// Products in f32 against those in f64, relative to ‖Hv‖.
const SINGLE: f64 = 2e-4;
/// The loss that Burn computes in f32 against ours in f64.
const LOSS: f64 = 1e-5;
/// ‖Hv‖ for a unit vector at least: the other figures say little where there is no curvature.
const CURVATURE: f64 = 1e-4;

/// What all figures of an entry start from.
pub(super) struct Sample<'a> {
    pub(super) entry: &'a Entry,
    /// In f64, natively.
    pub(super) point: Point,
    /// Unit vectors.
    pub(super) u: Tensor<1>,
    pub(super) v: Tensor<1>,
    pub(super) hv: Tensor<1>,
    /// The step of central differences.
    pub(super) step: f64,
}

pub(super) fn measure(entry: &Entry) -> Result<Figures, CurvatureError> {
    let point = entry.point(PointOptions {
        execution: Some(Execution::Native),
        ..PointOptions::default()
    })?;
    let v = direction(&point, 1.9);
    let sample = Sample {
        entry,
        u: direction(&point, 0.3),
        hv: point.hessian().apply(&v)?,
        v,
        point,
        step: match entry.smoothness {
            Smoothness::Smooth => 1e-3,
            Smoothness::Piecewise => 1e-4,
        },
    };
    let mut figures = Figures::default();
    double(&sample, &mut figures)?;
    single(&sample, &mut figures)?;
    gauss_newton::measure(&sample, &mut figures)?;
    executions::measure(&sample, &mut figures)?;
    Ok(figures)
}

fn double(sample: &Sample<'_>, figures: &mut Figures) -> Result<(), CurvatureError> {
    let Sample {
        entry,
        point,
        u,
        v,
        hv,
        step,
    } = sample;
    let hessian = point.hessian();
    let hu = hessian.apply(u)?;
    let tape = hessian.by(HvpMethod::Tape).apply(v)?;
    let slope = larger(slope_error(point, u, *step)?, slope_error(point, v, *step)?);
    let product = relative(hv, &gradient_difference(point, v, *step));
    let asymmetry = (vector::dot(u, hv) - vector::dot(v, &hu)).abs();
    let symmetry = asymmetry / vector::norm(hv).max(vector::norm(&hu));
    let column = Column::Double;
    figures.push(column, GRADIENT, [("gradient against differences", slope)]);
    figures.push(column, PRODUCT, [("Hv against differences", product)]);
    figures.push(column, SYMMETRY, [("symmetry of H", symmetry)]);
    let methods = relative(&tape, hv);
    figures.push(column, METHODS, [("recorded against tape", methods)]);
    let flatness = 1.0 / vector::norm(hv);
    figures.push(Column::Unlisted, 1.0 / CURVATURE, [("1 / ‖Hv‖", flatness)]);
    if entry.mode == Mode::Evaluation {
        // in training mode a plain Burn device does not follow
        let loss = point.loss()?;
        let error = (entry.burn_loss(point.device()) - loss).abs() / loss.abs();
        figures.push(Column::Unlisted, LOSS, [("loss against Burn's own", error)]);
    }
    Ok(())
}

fn single(sample: &Sample<'_>, figures: &mut Figures) -> Result<(), CurvatureError> {
    let point = |execution| {
        sample.entry.point(PointOptions {
            precision: Precision::Model,
            execution: Some(execution),
            ..PointOptions::default()
        })
    };
    let (native, device) = (point(Execution::Native)?, point(Execution::Device)?);
    let error = |point: &Point, method| -> Result<f64, CurvatureError> {
        let hv = point.hessian().by(method).apply(&sample.v)?;
        let widened = vector::from_f64(&vector::to_f64(&hv), point.device(), sample.point.dtype());
        Ok(relative(&widened, &sample.hv))
    };
    let against_f64 = [
        (
            "recorded f32 against f64",
            error(&native, HvpMethod::Recorded)?,
        ),
        (
            "recorded f32 on the device against f64",
            error(&device, HvpMethod::Recorded)?,
        ),
        ("tape f32 against f64", error(&native, HvpMethod::Tape)?),
    ];
    figures.push(Column::Single, SINGLE, against_f64);
    executions::blocks_f32(sample, [&native, &device], figures)
}

/// |gᵀv − the central difference of the loss along v| relative to ‖g‖.
fn slope_error(point: &Point, v: &Tensor<1>, step: f64) -> Result<f64, CurvatureError> {
    let gradient = point.gradient()?;
    let slope = vector::dot(&gradient, v);
    Ok((slope - loss_difference(point, v, step)).abs() / vector::norm(&gradient))
}
