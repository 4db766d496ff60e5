use super::check_dimension;
use super::subset::Subset;
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// S A Sᵀ, the principal submatrix of the entries of a [`Subset`].
///
/// # Shapes
///
/// Vectors `[m]` of the subset's dimension; [`Subset::embed`] brings them back.
///
/// # Cost
///
/// A product with A: the rest of the vector is zeros.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::operators::{Restricted, Subset};
/// use ravine_curvature::{Objective, dense};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 1).init(&device);
/// let objective = Objective::of_loss(|model: &Linear, x: &Tensor<2>| model.forward(x.clone()).powi_scalar(2).mean());
/// let point = objective.at(&model, &Tensor::<2>::ones([5, 3], &device))?;
/// let bias = Restricted::new(point.hessian(), Subset::of_parameter(point.layout(), "bias")?)?;
/// assert_eq!(dense(&bias)?.trace(), 2.0);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Restricted<A> {
    operator: A,
    subset: Subset,
}

impl<A: LinearOperator> Restricted<A> {
    /// The part of an operator on a subset.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a subset of vectors of another length.
    pub fn new(operator: A, subset: Subset) -> Result<Self, CurvatureError> {
        check_dimension(
            "the subset's full vector",
            subset.full_dim(),
            operator.dim(),
        )?;
        Ok(Self { operator, subset })
    }

    /// The operator on all entries.
    pub fn operator(&self) -> &A {
        &self.operator
    }

    /// The entries.
    pub fn subset(&self) -> &Subset {
        &self.subset
    }
}

impl<A: LinearOperator> LinearOperator for Restricted<A> {
    fn dim(&self) -> usize {
        self.subset.dim()
    }
    fn device(&self) -> Device {
        self.operator.device()
    }
    fn dtype(&self) -> DType {
        self.operator.dtype()
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        let product = self.operator.apply(&self.subset.embed(v)?)?;
        self.subset.restrict(&product)
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let products = self.operator.apply_block(&self.subset.embed_block(vs)?)?;
        self.subset.restrict_block(&products)
    }
    fn block_size(&self) -> usize {
        self.operator.block_size()
    }
    fn definiteness(&self) -> Definiteness {
        // principal submatrices inherit it, by interlacing
        self.operator.definiteness()
    }
}
