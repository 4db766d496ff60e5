//! The exact quadratic model of a K-FAC step.

use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::{LinearOperator, vector};

use crate::OptimError;

/// M(δ) = gᵀδ + ½ δᵀ(G + λI)δ.
pub(super) struct Model<'a> {
    pub(super) matrix: &'a dyn LinearOperator,
    pub(super) gradient: &'a Tensor<1>,
    pub(super) lambda: f64,
}

/// α and μ, and M(αΔ + μδ₀) where it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Length {
    pub(super) alpha: f64,
    pub(super) mu: f64,
    pub(super) change: f64,
    /// Δᵀ(G + λI)Δ / ΔᵀΔ where it is not positive, so that the model has no minimum.
    pub(super) downwards: Option<f64>,
}

/// δ₀ and G δ₀.
pub(super) struct Previous {
    pub(super) d: Tensor<1>,
    pub(super) product: Tensor<1>,
}

impl Model<'_> {
    /// M(δ), for one product.
    pub(super) fn change(&self, d: &Tensor<1>) -> Result<f64, OptimError> {
        let curvature = vector::dot(d, &self.matrix.apply(d)?);
        let damping = self.lambda * vector::dot(d, d);
        Ok(vector::dot(self.gradient, d) + 0.5 * (curvature + damping))
    }

    /// δ₀ with its product.
    pub(super) fn previous(&self, d: Tensor<1>) -> Result<Previous, OptimError> {
        let product = self.matrix.apply(&d)?;
        Ok(Previous { d, product })
    }

    /// The best α and μ, for one product.
    pub(super) fn best(
        &self,
        d: &Tensor<1>,
        previous: Option<&Previous>,
    ) -> Result<Length, OptimError> {
        let product = self.matrix.apply(d)?;
        let dtd = vector::dot(d, d);
        let a = vector::dot(d, &product) + self.lambda * dtd;
        let p = vector::dot(self.gradient, d);
        if a <= 0.0 {
            return Ok(Length {
                alpha: 1.0,
                mu: 0.0,
                change: p + 0.5 * a,
                downwards: Some(a / dtd),
            });
        }
        let of = |alpha: f64, mu: f64, q: f64| Length {
            alpha,
            mu,
            change: 0.5 * (alpha * p + mu * q),
            downwards: None,
        };
        let alone = of(-p / a, 0.0, 0.0);
        let Some(previous) = previous else {
            return Ok(alone);
        };
        let both = |x: &Tensor<1>| {
            vector::dot(x, &previous.product) + self.lambda * vector::dot(x, &previous.d)
        };
        let (b, c) = (both(d), both(&previous.d));
        let q = vector::dot(self.gradient, &previous.d);
        let determinant = a * c - b * b;
        let solvable = c > 0.0 && determinant > rounding(self.matrix.dtype()) * a * c;
        match solvable {
            true => Ok(of(
                (b * q - c * p) / determinant,
                (b * p - a * q) / determinant,
                q,
            )),
            false => Ok(alone),
        }
    }
}

/// The relative determinant below which two directions are one.
fn rounding(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-12,
        _ => 1e-6,
    }
}
