//! The quadratic model gᵀs + ½ sᵀHs, on the whole space or on a Krylov space, in the coordinates in which it is diagonal.

use burn::prelude::*;
use ravine_curvature::{CurvatureError, DenseSymmetric, Eigen, vector};

use crate::gain::epsilon;
use crate::krylov::{Krylov, dot};
use crate::{OptimError, Quantity, StepEnding};

/// Σ cᵢ yᵢ + ½ λᵢ yᵢ²: the model in the coordinates yᵢ = (V uᵢ)ᵀs, with V = I or a basis of a Krylov space.
pub(crate) struct QuadraticModel<'a> {
    eigen: Eigen,
    slopes: Vec<f64>,
    space: Space<'a>,
    gradient: &'a Tensor<1>,
}

enum Space<'a> {
    Whole,
    Krylov(&'a Krylov<'a>),
}

impl<'a> QuadraticModel<'a> {
    /// The model on the whole space.
    pub(crate) fn whole(
        hessian: &DenseSymmetric,
        gradient: &'a Tensor<1>,
    ) -> Result<Self, OptimError> {
        let eigen = hessian.eigen()?;
        let g = vector::to_f64(gradient);
        let overlap = |index| eigen.vectors().col(index).iter().zip(&g);
        let slopes = (0..g.len()).map(|index| overlap(index).map(|(u, g)| u * g).sum());
        Ok(Self {
            slopes: slopes.collect(),
            eigen,
            space: Space::Whole,
            gradient,
        })
    }

    /// The model on a Krylov space that starts at the gradient: Vᵀg = ‖g‖ e₁, VᵀHV = T.
    pub(crate) fn on(krylov: &'a Krylov<'a>, gradient: &'a Tensor<1>) -> Result<Self, OptimError> {
        let eigen = krylov.tridiagonal().eigen()?;
        let norm = vector::norm(gradient);
        let slopes = (0..krylov.size()).map(|index| norm * eigen.vectors()[(0, index)]);
        Ok(Self {
            slopes: slopes.collect(),
            eigen,
            space: Space::Krylov(krylov),
            gradient,
        })
    }

    /// λᵢ, ascending.
    pub(crate) fn values(&self) -> &[f64] {
        self.eigen.values()
    }

    /// cᵢ.
    pub(crate) fn slopes(&self) -> &[f64] {
        &self.slopes
    }

    /// cᵀy.
    pub(crate) fn slope(&self, y: &[f64]) -> f64 {
        dot(&self.slopes, y)
    }

    /// Σ λᵢ yᵢ².
    pub(crate) fn curvature(&self, y: &[f64]) -> f64 {
        let pairs = self.values().iter().zip(y);
        pairs.map(|(value, y)| value * y * y).sum()
    }

    /// U y: coordinates in V.
    pub(crate) fn inner(&self, y: &[f64]) -> Vec<f64> {
        let u = self.eigen.vectors();
        (0..y.len())
            .map(|row| {
                (0..y.len())
                    .map(|column| u[(row, column)] * y[column])
                    .sum()
            })
            .collect()
    }

    /// s = V U y, like the gradient.
    pub(crate) fn step(&self, y: &[f64]) -> Tensor<1> {
        let inner = self.inner(y);
        let step = match self.space {
            Space::Whole => inner,
            Space::Krylov(krylov) => krylov.combine(&inner),
        };
        vector::from_f64(&step, &self.gradient.device(), self.gradient.dtype())
    }

    /// The global minimiser over ‖y‖ ≤ Δ.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for a radius that is not positive.
    pub(crate) fn within(&self, radius: f64) -> Result<Vec<f64>, OptimError> {
        let found = self.eigen.trust_region_step(&self.around(), radius)?;
        Ok(self.coordinates(&found.step))
    }

    /// The global minimiser with σ/3 ‖y‖³ added.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Argument`] for σ that is not positive.
    pub(crate) fn cubic(&self, sigma: f64) -> Result<Vec<f64>, OptimError> {
        let found = self.eigen.cubic_step(&self.around(), sigma)?;
        Ok(self.coordinates(&found.step))
    }

    /// Vᵀg.
    fn around(&self) -> Vec<f64> {
        match self.space {
            Space::Whole => vector::to_f64(self.gradient),
            Space::Krylov(_) => self.inner(&self.slopes),
        }
    }

    /// Uᵀs.
    fn coordinates(&self, step: &[f64]) -> Vec<f64> {
        let u = self.eigen.vectors();
        let overlap = |index| u.col(index).iter().zip(step);
        (0..step.len())
            .map(|index| overlap(index).map(|(u, s)| u * s).sum())
            .collect()
    }

    /// The ending for a lowest λ below zero by more than rounding, n ε max |λ|, with its eigenvector.
    pub(crate) fn negative_curvature(&self) -> Option<StepEnding> {
        let values = self.values();
        let lowest = *values.first()?;
        let scale = values.iter().fold(0.0_f64, |m, value| m.max(value.abs()));
        let noise = values.len() as f64 * epsilon(self.gradient.dtype()) * scale;
        if lowest >= -noise {
            return None;
        }
        let mut first = vec![0.0; values.len()];
        first[0] = 1.0;
        Some(StepEnding::NegativeCurvature {
            rayleigh: lowest,
            direction: self.step(&first),
        })
    }
}

/// A Hessian that is not finite is an ending, whatever else fails an error.
pub(crate) fn or_ending<T>(
    result: Result<T, OptimError>,
) -> Result<Result<T, StepEnding>, OptimError> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(OptimError::Curvature(CurvatureError::NonFinite { value, .. })) => {
            let quantity = Quantity::Hessian;
            Ok(Err(StepEnding::NonFinite { quantity, value }))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_problems::vector64;
    use ravine_curvature::{Diagonal, LinearOperator, dense};

    #[test]
    fn whole_and_krylov_models_agree_where_the_space_is_the_whole() {
        let values = [1.0, -3.0, 0.5, 10.0];
        let operator = Diagonal::new(vector64(&values));
        let g = vector64(&[1.0, 2.0, -1.0, 0.5]);
        let matrix = dense(&operator).unwrap();
        let whole = QuadraticModel::whole(&matrix, &g).unwrap();
        let krylov = Krylov::from(&operator, &g, 4).unwrap();
        let inner = QuadraticModel::on(&krylov, &g).unwrap();
        for model in [whole, inner] {
            let pairs = model.slopes().iter().zip(model.values());
            let newton: Vec<f64> = pairs.map(|(c, value)| -c / value).collect();
            let step = model.step(&newton);
            let expected = [-1.0, 2.0 / 3.0, 2.0, -0.05];
            for (found, expected) in vector::to_f64(&step).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            }
            let image = operator.apply(&step).unwrap();
            let (slope, curvature) = (vector::dot(&g, &step), vector::dot(&step, &image));
            assert!((model.slope(&newton) - slope).abs() < 1e-12);
            assert!((model.curvature(&newton) - curvature).abs() < 1e-12);
            let Some(StepEnding::NegativeCurvature {
                rayleigh,
                direction,
            }) = model.negative_curvature()
            else {
                panic!("no negative curvature");
            };
            assert!((rayleigh + 3.0).abs() < 1e-12);
            assert!((vector::to_f64(&direction)[1].abs() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn rounding_is_no_negative_curvature() {
        let g = vector64(&[1.0, 1.0]);
        let curves = |lowest: f64| {
            let operator = Diagonal::new(vector64(&[1.0, lowest]));
            let matrix = dense(&operator).unwrap();
            let model = QuadraticModel::whole(&matrix, &g).unwrap();
            model.negative_curvature().is_some()
        };
        assert!(!curves(-1e-16) && curves(-1e-14));
    }
}
