use crate::error::{CurvatureError, check_dimension};
use crate::operator::LinearMap;
use crate::point::{Map, Point};
use crate::row_blocks::{as_row, as_vector};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// The Jacobian J = ∂z/∂θ of the outputs z of a model, and its transpose.
///
/// # Shapes
///
/// `[m, n]`: the m numbers of the outputs of all examples, flat and row-major, and the n parameters.
///
/// # Cost
///
/// About half a gradient for J v, one for Jᵀ u; one forward pass and its derivatives for the first product.
///
/// # References
///
/// Pearlmutter (1994), Fast exact multiplication by the Hessian, section 3 (forward products); here J v is the derivative of Jᵀ u by u.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::{LinearMap, Objective};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 1).with_bias(false).init(&device);
/// let objective = Objective::new(
///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
/// );
/// let batch = (Tensor::<2>::ones([5, 3], &device), Tensor::<2>::zeros([5, 1], &device));
/// let jacobian = objective.at(&model, &batch)?.jacobian()?;
/// assert_eq!((jacobian.rows(), jacobian.columns()), (5, 3));
/// let v = Tensor::<1>::from_data([1.0, 2.0, 3.0], &device);
/// let jv: Vec<f32> = jacobian.apply(&v)?.into_data().iter().collect();
/// assert_eq!(jv, [6.0; 5]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Jacobian {
    point: Point,
    rows: usize,
}

impl Jacobian {
    /// The products J v with several vectors `[k, n]`, a row `[k, m]` each: cheaper than one after the other.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for rows of another length.
    pub fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        check_dimension("a row of the block", vs.dims()[1], self.columns())?;
        self.point.map_rows(Map::Jacobian, vs)
    }

    /// The products Jᵀ u with several vectors `[k, m]`, a row `[k, n]` each.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for rows of another length.
    pub fn apply_transposed_block(&self, us: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        check_dimension("a row of the block", us.dims()[1], self.rows)?;
        self.point.map_rows(Map::TransposedJacobian, us)
    }
}

impl LinearMap for Jacobian {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.point.dim()
    }

    fn device(&self) -> Device {
        self.point.device().clone()
    }

    fn dtype(&self) -> DType {
        self.point.dtype()
    }

    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        Ok(as_vector(self.apply_block(&as_row(v))?))
    }

    fn apply_transposed(&self, u: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        Ok(as_vector(self.apply_transposed_block(&as_row(u))?))
    }
}

impl Point {
    /// The Jacobian of the outputs as a map.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoOutputs`] for an objective that is a loss only; [`CurvatureError::Graph`] if a derivative cannot be recorded.
    pub fn jacobian(&self) -> Result<Jacobian, CurvatureError> {
        self.shared_by(Map::Jacobian)?;
        self.shared_by(Map::TransposedJacobian)?;
        Ok(Jacobian {
            rows: self.outputs_shape()?.num_elements(),
            point: self.clone(),
        })
    }
}
