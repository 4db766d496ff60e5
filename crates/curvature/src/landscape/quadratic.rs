use super::direction_of;
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::point::Point;
use crate::vector;
use burn::prelude::Tensor;
use serde::{Deserialize, Serialize};

/// Whether the quadratic model is computed beside the losses of a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quadratic {
    /// Costs a gradient and a product with the Hessian for each direction.
    #[default]
    Computed,
    /// Only losses are evaluated.
    Omitted,
}

/// The loss to second order along directions dᵢ: q(a) = L + Σ aᵢ gᵀdᵢ + ½ Σ aᵢ aⱼ dᵢᵀHdⱼ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuadraticModel {
    /// L.
    pub loss: f64,
    /// gᵀdᵢ.
    pub slopes: Vec<f64>,
    /// dᵢᵀHdⱼ, symmetric.
    pub curvatures: Vec<Vec<f64>>,
}

impl QuadraticModel {
    /// q(a); entries beyond the number of directions count for nothing.
    pub fn at(&self, a: &[f64]) -> f64 {
        let linear: f64 = a.iter().zip(&self.slopes).map(|(a, slope)| a * slope).sum();
        let row = |row: &Vec<f64>| -> f64 { a.iter().zip(row).map(|(a, c)| a * c).sum() };
        let quadratic: f64 = a
            .iter()
            .zip(&self.curvatures)
            .map(|(a, c)| a * row(c))
            .sum();
        self.loss + linear + 0.5 * quadratic
    }
}

/// The quadratic model at a point along k directions.
///
/// # Shapes
///
/// Each direction is `[n]`; the model has k slopes and k × k curvatures.
///
/// # Cost
///
/// One gradient and k products with the Hessian, in one block.
///
/// # Errors
///
/// [`CurvatureError::Dimension`] for a direction of another length; what the evaluation reports.
pub fn quadratic_model(
    point: &Point,
    directions: &[Tensor<1>],
) -> Result<QuadraticModel, CurvatureError> {
    let directions = directions
        .iter()
        .map(|d| direction_of(point, "a direction", d))
        .collect::<Result<Vec<_>, _>>()?;
    let products = match directions.is_empty() {
        true => Vec::new(),
        false => {
            let products = point
                .hessian()
                .apply_block(&Tensor::stack::<2>(directions.clone(), 0))?;
            let products = vector::to_f64(&products.flatten::<1>(0, 1));
            products
                .chunks(point.dim())
                .map(<[f64]>::to_vec)
                .collect::<Vec<_>>()
        }
    };
    let gradient = vector::to_f64(&point.gradient()?);
    let directions: Vec<Vec<f64>> = directions.iter().map(vector::to_f64).collect();
    let slopes = directions
        .iter()
        .map(|d| vector::dot_f64(d, &gradient))
        .collect();
    let entry = |i: usize, j: usize| {
        let (upper, lower) = (
            vector::dot_f64(&directions[i], &products[j]),
            vector::dot_f64(&directions[j], &products[i]),
        );
        0.5 * (upper + lower)
    };
    let k = directions.len();
    Ok(QuadraticModel {
        loss: point.loss()?,
        slopes,
        curvatures: (0..k)
            .map(|i| (0..k).map(|j| entry(i, j)).collect())
            .collect(),
    })
}
