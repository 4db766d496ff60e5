use super::Dataset;
use crate::error::{CurvatureError, check_dimension};
use crate::operator::LinearMap;
use crate::point::{Map, Point};
use crate::row_blocks::{as_row, as_vector};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use std::ops::Range;

/// The Jacobian J = ∂z/∂θ of the outputs z of a model on all batches of a [`Dataset`], one behind the other, and its transpose.
///
/// Nothing is weighted: a row is the gradient of an output, whatever the loss makes of it. Jᵀ H_L J is the Gauss-Newton matrix with the
/// weights of the batches in H_L.
///
/// # Shapes
///
/// `[m, n]`: the m numbers of the outputs of all batches in their order, each flat and row-major as in [`Jacobian`](crate::Jacobian), and
/// the n parameters. For outputs with the examples along their first dimension, that is the Jacobian of one batch of all examples.
///
/// # Cost
///
/// One product for each batch, with what [`Memory`](crate::Memory) says; only the direction that is asked for is prepared.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::{LinearMap, Memory, Objective};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 1).with_bias(false).init(&device);
/// let objective = Objective::new(
///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
/// );
/// let batch = |count| (Tensor::<2>::ones([count, 3], &device), Tensor::<2>::zeros([count, 1], &device));
/// let data = objective.over(&model, &[batch(5), batch(3)], Memory::Kept)?;
/// let jacobian = data.jacobian()?;
/// assert_eq!((jacobian.rows(), jacobian.columns()), (8, 3));
/// let v = Tensor::<1>::from_data([1.0, 2.0, 3.0], &device);
/// let jv: Vec<f32> = jacobian.apply(&v)?.into_data().iter().collect();
/// assert_eq!(jv, [6.0; 8]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub struct DatasetJacobian<'a> {
    data: &'a Dataset<'a>,
    /// Where the outputs of each batch begin, and their number at the end.
    first_rows: &'a [usize],
}

impl Dataset<'_> {
    /// The Jacobian of the outputs of all batches as a map.
    ///
    /// # Cost
    ///
    /// No evaluation. Batches that are loaded are loaded once to count their outputs, the first time.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NoOutputs`] for an objective that is a loss only; [`CurvatureError::Graph`] if a derivative cannot be recorded;
    /// [`CurvatureError::Load`].
    pub fn jacobian(&self) -> Result<DatasetJacobian<'_>, CurvatureError> {
        Ok(DatasetJacobian {
            data: self,
            first_rows: self.first_outputs()?,
        })
    }

    fn first_outputs(&self) -> Result<&[usize], CurvatureError> {
        if let Some(known) = self.first_outputs.get() {
            return Ok(known);
        }
        let (mut first, mut rows) = (vec![0], 0);
        for index in 0..self.batches() {
            let (point, _) = self.batch(index)?;
            rows += point.outputs_shape()?.num_elements();
            first.push(rows);
            // a derivative that cannot be recorded is told before the first product
            point.engine().jacobian()?;
            point.engine().transposed_jacobian()?;
        }
        Ok(self.first_outputs.get_or_init(|| first))
    }
}

impl DatasetJacobian<'_> {
    /// The products J v with several vectors `[k, n]`, a row `[k, m]` each: cheaper than one after the other.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for rows of another length, or for a batch that has other outputs when it is loaded again;
    /// [`CurvatureError::Load`].
    pub fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let [count, found] = vs.dims();
        check_dimension("a row of the block", found, self.columns())?;
        let mut products = Vec::new();
        for part in self.parts(count) {
            let (point, _) = part?;
            products.push(point.map_rows(Map::Jacobian, vs)?);
        }
        match products.is_empty() {
            true => Ok(self.zeros([count, self.rows()])),
            false => Ok(Tensor::cat(products, 1)),
        }
    }

    /// The products Jᵀ u with several vectors `[k, m]`, a row `[k, n]` each.
    ///
    /// # Errors
    ///
    /// As [`apply_block`](DatasetJacobian::apply_block).
    pub fn apply_transposed_block(&self, us: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let [count, found] = us.dims();
        check_dimension("a row of the block", found, self.rows())?;
        let mut sum = self.zeros([count, self.columns()]);
        for part in self.parts(count) {
            let (point, own) = part?;
            let us = us.clone().slice([0..count, own]);
            sum = sum + point.map_rows(Map::TransposedJacobian, &us)?;
        }
        Ok(sum)
    }

    /// The batches that have outputs, each with its rows; none for a block without vectors.
    fn parts(
        &self,
        count: usize,
    ) -> impl Iterator<Item = Result<(Point, Range<usize>), CurvatureError>> {
        let own = self.first_rows.windows(2).map(|ends| ends[0]..ends[1]);
        let needed = own
            .enumerate()
            .filter(move |(_, own)| count > 0 && !own.is_empty());
        needed.map(|(index, own)| {
            let (point, _) = self.data.batch(index)?;
            let found = point.outputs_shape()?.num_elements();
            check_dimension("a batch that was loaded again", found, own.len())?;
            Ok((point, own))
        })
    }

    fn zeros(&self, shape: [usize; 2]) -> Tensor<2> {
        Tensor::zeros(shape, (&self.data.device, self.data.dtype))
    }
}

impl LinearMap for DatasetJacobian<'_> {
    fn rows(&self) -> usize {
        self.first_rows[self.first_rows.len() - 1]
    }

    fn columns(&self) -> usize {
        self.data.layout.dim()
    }

    fn device(&self) -> Device {
        self.data.device.clone()
    }

    fn dtype(&self) -> DType {
        self.data.dtype
    }

    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        Ok(as_vector(self.apply_block(&as_row(v))?))
    }

    fn apply_transposed(&self, u: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        Ok(as_vector(self.apply_transposed_block(&as_row(u))?))
    }
}
