use crate::error::CurvatureError;
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use serde::{Deserialize, Serialize};

/// What is known of the signs of an operator's eigenvalues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Definiteness {
    /// Nothing.
    Unknown,
    /// No eigenvalue is negative.
    PositiveSemidefinite,
    /// All eigenvalues are positive.
    PositiveDefinite,
}

/// A symmetric linear map of flat vectors, known by its products only.
///
/// Algorithms take `&dyn LinearOperator`. One required method does the work: [`apply`](LinearOperator::apply).
pub trait LinearOperator {
    /// Dimension n of the vectors.
    fn dim(&self) -> usize;

    /// Where the products are computed.
    fn device(&self) -> Device;

    /// The dtype of the products.
    fn dtype(&self) -> DType;

    /// The product A v.
    ///
    /// # Shapes
    ///
    /// `v` and the result `[n]`.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a vector of another length; what the computation behind it reports.
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError>;

    /// The products with k vectors; by default one after the other.
    ///
    /// # Shapes
    ///
    /// `vs` and the result `[k, n]`, a vector a row.
    ///
    /// # Errors
    ///
    /// As [`apply`](LinearOperator::apply).
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        row_by_row(&|v: &Tensor<1>| self.apply(v), vs)
    }

    /// How many vectors to hand to [`apply_block`](LinearOperator::apply_block) at once: more only need more memory.
    fn block_size(&self) -> usize {
        1
    }

    /// What is known of the signs of its eigenvalues.
    fn definiteness(&self) -> Definiteness {
        Definiteness::Unknown
    }
}

/// A linear map between flat vectors of two spaces, known by its products and those of its transpose.
///
/// A Jacobian is one; least-squares solvers take `&dyn LinearMap`.
pub trait LinearMap {
    /// Length of the results.
    fn rows(&self) -> usize;

    /// Length of the vectors that it is applied to.
    fn columns(&self) -> usize;

    /// Where the products are computed.
    fn device(&self) -> Device;

    /// The dtype of the products.
    fn dtype(&self) -> DType;

    /// The product A v.
    ///
    /// # Shapes
    ///
    /// `v` `[columns]`, the result `[rows]`.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for a vector of another length; what the computation behind it reports.
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError>;

    /// The product Aᵀ u.
    ///
    /// # Shapes
    ///
    /// `u` `[rows]`, the result `[columns]`.
    ///
    /// # Errors
    ///
    /// As [`apply`](LinearMap::apply).
    fn apply_transposed(&self, u: &Tensor<1>) -> Result<Tensor<1>, CurvatureError>;
}

/// One product after the other.
pub(crate) fn row_by_row(
    apply: &dyn Fn(&Tensor<1>) -> Result<Tensor<1>, CurvatureError>,
    vs: &Tensor<2>,
) -> Result<Tensor<2>, CurvatureError> {
    let [count, dim] = vs.dims();
    if count == 0 {
        return Ok(vs.clone());
    }
    let rows = (0..count)
        .map(|row| {
            let v = vs.clone().slice([row..row + 1, 0..dim]).reshape([dim]);
            Ok(apply(&v)?.reshape([1, dim]))
        })
        .collect::<Result<Vec<_>, CurvatureError>>()?;
    Ok(Tensor::cat(rows, 0))
}
