//! Ways to the same numbers: native or Burn's operations, several directions at once, with and without what a point keeps.

use super::entry::{LossOfOutputs, PointOptions};
use super::figures::{Column, Figures, larger};
use super::measure::Sample;
use crate::support::{direction, relative};
use burn::prelude::*;
use ravine_curvature::{CurvatureError, Execution, Keep, LinearOperator, Point, vector};

/// Native against Burn's operations.
const EXECUTIONS: f64 = 1e-10;
/// A row of a block against the single product; what is computed again against what was kept.
const AGAIN: f64 = 1e-12;
/// The same in f32.
const AGAIN_F32: f64 = 2e-5;

pub(super) fn measure(sample: &Sample<'_>, figures: &mut Figures) -> Result<(), CurvatureError> {
    let native = &sample.point;
    let other = |execution, keep| {
        sample.entry.point(PointOptions {
            execution: Some(execution),
            keep,
            ..PointOptions::default()
        })
    };
    let device = other(Execution::Device, Keep::Everything)?;
    let lean = other(Execution::Native, Keep::Elements(0))?;
    figures.push(Column::Executions, EXECUTIONS, against(sample, &device)?);
    let kept = [
        ("Hv, nothing kept", hessian_error(sample, &lean)?),
        ("Gv, nothing kept", gauss_newton_error(sample, &lean)?),
    ];
    figures.push(Column::Executions, AGAIN, kept);
    let bytes = ("bytes kept in spite of the bound", lean.bytes_kept() as f64);
    figures.push(Column::Unlisted, 0.0, [bytes]);
    let blocks = [
        ("block of H", block_error(sample, &native.hessian())?),
        (
            "block of H on the device",
            block_error(sample, &device.hessian())?,
        ),
        (
            "block of H, nothing kept",
            block_error(sample, &lean.hessian())?,
        ),
        ("block of G", block_error(sample, &native.gauss_newton()?)?),
        (
            "block of G on the device",
            block_error(sample, &device.gauss_newton()?)?,
        ),
    ];
    figures.push(Column::Executions, AGAIN, blocks);
    Ok(())
}

/// Blocks of products in f32, natively and on the device.
pub(super) fn blocks_f32(
    sample: &Sample<'_>,
    [native, device]: [&Point; 2],
    figures: &mut Figures,
) -> Result<(), CurvatureError> {
    let blocks = [
        ("block of H in f32", block_error(sample, &native.hessian())?),
        (
            "block of H in f32 on the device",
            block_error(sample, &device.hessian())?,
        ),
    ];
    figures.push(Column::Single, AGAIN_F32, blocks);
    Ok(())
}

fn against(
    sample: &Sample<'_>,
    device: &Point,
) -> Result<[(&'static str, f64); 4], CurvatureError> {
    let (expected, found) = (device.loss()?, sample.point.loss()?);
    Ok([
        (
            "loss natively against the device",
            (found - expected).abs() / expected.abs(),
        ),
        (
            "gradient natively against the device",
            relative(&sample.point.gradient()?, &device.gradient()?),
        ),
        (
            "Hv natively against the device",
            hessian_error(sample, device)?,
        ),
        (
            "Gv natively against the device",
            gauss_newton_error(sample, device)?,
        ),
    ])
}

fn hessian_error(sample: &Sample<'_>, other: &Point) -> Result<f64, CurvatureError> {
    Ok(relative(&other.hessian().apply(&sample.v)?, &sample.hv))
}

fn gauss_newton_error(sample: &Sample<'_>, other: &Point) -> Result<f64, CurvatureError> {
    let expected = sample.point.gauss_newton()?.apply(&sample.v)?;
    let difference = other.gauss_newton()?.apply(&sample.v)? - expected.clone();
    let scale = match sample.entry.loss_of_outputs {
        LossOfOutputs::Curved => vector::norm(&expected),
        LossOfOutputs::Flat(_) => vector::norm(&sample.hv),
    };
    Ok(vector::norm(&difference) / scale)
}

/// The worst row of a block of three products against the single products, relative to their norms.
fn block_error(sample: &Sample<'_>, operator: &dyn LinearOperator) -> Result<f64, CurvatureError> {
    let third = direction(&sample.point, 4.1);
    let vs = [sample.u.clone(), sample.v.clone(), third];
    let block = operator.apply_block(&Tensor::stack(vs.to_vec(), 0))?;
    let dim = operator.dim();
    let mut worst = 0.0;
    for (row, v) in vs.iter().enumerate() {
        let row = block.clone().slice([row..row + 1, 0..dim]).reshape([dim]);
        worst = larger(worst, relative(&row, &operator.apply(v)?));
    }
    Ok(worst)
}
