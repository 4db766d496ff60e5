use super::outer_products::OutputOuterProducts;
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::operators::forward::forward_operator;
use crate::point::Point;

/// The empirical Fisher matrix: 1/N Σ ∇ℓᵢ ∇ℓᵢᵀ for a mean loss, Σ ∇ℓᵢ ∇ℓᵢᵀ for a sum, ∇ℓᵢ the gradient of the loss of example i.
///
/// It takes the observed labels, so that it is neither the Fisher matrix nor, away from a perfect fit, near it. No gradient of an example
/// is formed: ∇ℓᵢ = Jᵢᵀ ∂ℓᵢ/∂zᵢ.
///
/// # Shapes
///
/// Vectors `[n]`, the dtype of the evaluation.
///
/// # Cost
///
/// One J v and one Jᵀ u for a product. [`PerExample::covariance`](crate::PerExample::covariance) serves losses without outputs.
///
/// # References
///
/// Kunstner, Balles and Hennig (2019), Limitations of the empirical Fisher approximation for natural gradient descent, equation 3.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::{LinearOperator, Objective};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 1).init(&device);
/// let objective = Objective::new(
///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
/// );
/// // all examples alike: the matrix is g gᵀ
/// let batch = (Tensor::<2>::ones([5, 3], &device), Tensor::<2>::zeros([5, 1], &device));
/// let point = objective.at(&model, &batch)?;
/// let g = point.gradient()?;
/// let product = point.empirical_fisher()?.apply(&g)?;
/// let gtg: f32 = g.clone().powi_scalar(2).sum().into_scalar();
/// let defect: f32 = (product - g * gtg).abs().max().into_scalar();
/// assert!(defect < 1e-4 * gtg.max(1.0).powi(2));
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct EmpiricalFisher(OutputOuterProducts);

impl Point {
    /// The empirical Fisher matrix as an operator.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoOutputs`] for an objective that is a loss only; [`CurvatureError::OutputsPerExample`].
    pub fn empirical_fisher(&self) -> Result<EmpiricalFisher, CurvatureError> {
        let gradients = self.output_gradient_rows()?;
        let [examples, width] = gradients.dims();
        let scale = self.reduction().of_outer_products(examples);
        let vectors = gradients.mul_scalar(scale).reshape([examples, 1, width]);
        Ok(EmpiricalFisher(OutputOuterProducts::new(self, vectors)?))
    }
}

impl EmpiricalFisher {
    /// The point.
    pub fn point(&self) -> &Point {
        self.0.point()
    }
}

impl LinearOperator for EmpiricalFisher {
    forward_operator!(self => self.0);
}
