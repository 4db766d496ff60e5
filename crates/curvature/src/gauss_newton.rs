use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use crate::point::{Map, Point};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// The Gauss-Newton matrix G = Jᵀ H_L J of a loss at a point, exact up to rounding.
///
/// J = ∂z/∂θ is the Jacobian of the outputs z, H_L = ∂²L/∂z² the Hessian of the loss by the outputs; both are recorded, so that any loss
/// serves. The reduction is the loss's own. For cross entropy, mean squared and binary cross entropy losses G is the Fisher matrix of
/// the model that the loss is the negative log-likelihood of (up to the reduction, and a factor ½ for the squared error).
///
/// # Shapes
///
/// Vectors `[n]` in the order of the point's [`ParameterLayout`](crate::ParameterLayout), in the dtype of the evaluation.
///
/// # Cost
///
/// One forward pass and its derivatives for the first product, then about as much as one gradient each.
///
/// # References
///
/// Schraudolph (2002), Fast curvature matrix-vector products for second-order gradient descent; Martens (2020), New insights and
/// perspectives on the natural gradient method, section 8.1.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::{LinearOperator, Objective};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 1).with_bias(false).init(&device);
/// let objective = Objective::new(
///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
/// );
/// let batch = (Tensor::<2>::ones([5, 3], &device), Tensor::<2>::zeros([5, 1], &device));
/// let point = objective.at(&model, &batch)?;
/// // the model is linear, so that G is the Hessian: 2/5 XᵀX
/// let v = Tensor::<1>::from_data([1.0, 0.0, 0.0], &device);
/// let product: Vec<f32> = point.gauss_newton()?.apply(&v)?.into_data().iter().collect();
/// assert_eq!(product, [2.0, 2.0, 2.0]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GaussNewton {
    point: Point,
}

impl GaussNewton {
    /// The point.
    pub fn point(&self) -> &Point {
        &self.point
    }
}

impl LinearOperator for GaussNewton {
    fn dim(&self) -> usize {
        self.point.dim()
    }

    fn device(&self) -> Device {
        self.point.device().clone()
    }

    fn dtype(&self) -> DType {
        self.point.dtype()
    }

    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        self.point.layout().check("the vector", v)?;
        let product = self
            .point
            .map(Map::GaussNewton, v.clone().into_dispatch())?;
        Ok(self.point.engine().vector(product))
    }

    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        self.point.map_block(Map::GaussNewton, vs)
    }

    fn block_size(&self) -> usize {
        let products = self.point.shared_by(Map::GaussNewton);
        products.map_or(1, |(products, _)| products.preferred())
    }

    fn definiteness(&self) -> Definiteness {
        // of a loss that is convex in the outputs, which is not known here
        Definiteness::Unknown
    }
}

impl Point {
    /// The Gauss-Newton matrix as an operator.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoOutputs`] for an objective that is a loss only; [`CurvatureError::Graph`] if a derivative cannot be recorded.
    pub fn gauss_newton(&self) -> Result<GaussNewton, CurvatureError> {
        self.shared_by(Map::GaussNewton)?;
        Ok(GaussNewton {
            point: self.clone(),
        })
    }

    /// J v: how the outputs change along v, to first order.
    ///
    /// # Shapes
    ///
    /// `v` `[n]`, the result of the shape of the outputs, whose rank is `D`.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoOutputs`], [`CurvatureError::Dimension`] for a vector of another length or outputs of another rank.
    pub fn jacobian_product<const D: usize>(
        &self,
        v: &Tensor<1>,
    ) -> Result<Tensor<D>, CurvatureError> {
        self.layout().check("the vector", v)?;
        let product = self.map(Map::Jacobian, v.clone().into_dispatch())?;
        self.of_outputs(product)
    }

    /// Jᵀ u: the gradient of ⟨outputs, u⟩ by the parameters.
    ///
    /// # Shapes
    ///
    /// `u` of the shape of the outputs, the result `[n]`.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoOutputs`]; [`CurvatureError::Graph`] for a tensor of another shape.
    pub fn transposed_jacobian_product<const D: usize>(
        &self,
        u: &Tensor<D>,
    ) -> Result<Tensor<1>, CurvatureError> {
        let product = self.map(Map::TransposedJacobian, u.clone().into_dispatch())?;
        Ok(self.engine().vector(product))
    }

    /// H_L w: the product with the Hessian of the loss by the outputs.
    ///
    /// # Shapes
    ///
    /// `w` and the result of the shape of the outputs, whose rank is `D`.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoOutputs`]; [`CurvatureError::Graph`] for a tensor of another shape.
    pub fn loss_hessian_product<const D: usize>(
        &self,
        w: &Tensor<D>,
    ) -> Result<Tensor<D>, CurvatureError> {
        let product = self.map(Map::LossHessian, w.clone().into_dispatch())?;
        self.of_outputs(product)
    }
}
