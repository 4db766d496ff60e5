use crate::error::{CurvatureError, check_dimension};
use crate::operator::{Definiteness, LinearOperator};
use crate::point::{Map, Point};
use crate::row_blocks::{as_row, as_vector};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// Jᵀ (⊕ₙ Uₙᵀ Uₙ) J: for each example n a positive semidefinite matrix of its outputs, as a sum of outer products.
#[derive(Clone, Debug)]
pub(super) struct OutputOuterProducts {
    point: Point,
    /// `[N, S, O]`: S vectors over the O outputs of each of the N examples.
    vectors: Tensor<3>,
}

impl OutputOuterProducts {
    /// Vectors `[N, S, O]` at a point whose outputs are laid out by examples.
    pub(super) fn new(point: &Point, vectors: Tensor<3>) -> Result<Self, CurvatureError> {
        point.shared_by(Map::Jacobian)?;
        point.shared_by(Map::TransposedJacobian)?;
        Ok(Self {
            point: point.clone(),
            vectors,
        })
    }

    pub(super) fn point(&self) -> &Point {
        &self.point
    }
}

impl LinearOperator for OutputOuterProducts {
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
        Ok(as_vector(self.apply_block(&as_row(v))?))
    }

    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let [count, found] = vs.dims();
        check_dimension("a row of the block", found, self.dim())?;
        if count == 0 {
            return Ok(vs.clone());
        }
        let [examples, _, width] = self.vectors.dims();
        let along = self.point.map_rows(Map::Jacobian, vs)?;
        // by example: [N, k, O] · [N, O, S] · [N, S, O]
        let along: Tensor<3> = along.reshape([count, examples, width]).swap_dims(0, 1);
        let coefficients = along.matmul(self.vectors.clone().swap_dims(1, 2));
        let back = coefficients.matmul(self.vectors.clone()).swap_dims(0, 1);
        self.point.map_rows(
            Map::TransposedJacobian,
            &back.reshape([count, examples * width]),
        )
    }

    fn block_size(&self) -> usize {
        let products = self.point.shared_by(Map::TransposedJacobian);
        products.map_or(1, |(products, _)| products.preferred())
    }

    fn definiteness(&self) -> Definiteness {
        Definiteness::PositiveSemidefinite
    }
}
