use super::{check_device, check_dimension, check_length};
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use crate::rounding::rounding_unit;
use crate::row_blocks::{as_row, as_vector, block_from_f64, block_to_f64};
use crate::vector::dot_f64;
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// P A P with the orthogonal projection P onto the span of some vectors, or onto its complement (deflation).
///
/// # Shapes
///
/// Vectors of the space as rows `[k, n]`, in any length and position; those that depend on the ones before them are left out.
///
/// # Cost
///
/// A product with A, and 8 k n operations. Memory for k vectors, k in f64 while it is made.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::{Diagonal, Projected};
/// use ravine_curvature::{LinearOperator, vector};
///
/// let device = Device::flex();
/// let tensor = |values: &[f64]| vector::from_f64(values, &device, DType::F64);
/// let a = Diagonal::new(tensor(&[100.0, 1.0]));
/// let deflated = Projected::complement(a, &tensor(&[2.0, 0.0]).reshape([1, 2]))?;
/// assert_eq!(vector::to_f64(&deflated.apply(&tensor(&[1.0, 1.0]))?), [0.0, 1.0]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Projected<A> {
    operator: A,
    /// Orthonormal rows.
    basis: Tensor<2>,
    kept: Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Span,
    Complement,
}

impl<A: LinearOperator> Projected<A> {
    /// The part of an operator on the span of the vectors.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] and [`CurvatureError::Device`] for vectors that do not fit, [`CurvatureError::NonFinite`].
    pub fn onto(operator: A, vectors: &Tensor<2>) -> Result<Self, CurvatureError> {
        Self::new(operator, vectors, Kept::Span)
    }

    /// The part of an operator that is orthogonal to the vectors: eigenvectors become null vectors.
    ///
    /// # Errors
    ///
    /// As [`onto`](Projected::onto).
    pub fn complement(operator: A, vectors: &Tensor<2>) -> Result<Self, CurvatureError> {
        Self::new(operator, vectors, Kept::Complement)
    }

    fn new(operator: A, vectors: &Tensor<2>, kept: Kept) -> Result<Self, CurvatureError> {
        const WHAT: &str = "the vectors of a projection";
        check_dimension(WHAT, vectors.dims()[1], operator.dim())?;
        check_device(WHAT, &vectors.device(), &operator.device())?;
        let basis = orthonormal(vectors, operator.dtype())?;
        Ok(Self {
            operator,
            basis,
            kept,
        })
    }

    /// The operator before the projection.
    pub fn operator(&self) -> &A {
        &self.operator
    }

    /// The orthonormal rows that span the vectors.
    pub fn basis(&self) -> &Tensor<2> {
        &self.basis
    }

    /// P v for several vectors, a row each.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] for vectors of another length.
    pub fn project_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let [count, found] = vs.dims();
        check_dimension("a vector for a projection", found, self.dim())?;
        let vs = vs.clone().cast(self.dtype());
        let span = match self.basis.dims()[0] == 0 || count == 0 {
            true => vs.zeros_like(),
            false => {
                let overlaps = vs.clone().matmul(self.basis.clone().transpose());
                overlaps.matmul(self.basis.clone())
            }
        };
        Ok(match self.kept {
            Kept::Span => span,
            Kept::Complement => vs - span,
        })
    }
}

/// Orthonormal rows with the span of the given ones, by Gram-Schmidt, twice.
fn orthonormal(vectors: &Tensor<2>, dtype: DType) -> Result<Tensor<2>, CurvatureError> {
    let [count, dim] = vectors.dims();
    let dependent = 64.0 * rounding_unit(vectors.dtype());
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for row in 0..count {
        let v = vectors.clone().slice([row..row + 1, 0..dim]);
        let mut v = block_to_f64(&v);
        let before = dot_f64(&v, &v).sqrt();
        if !before.is_finite() {
            let what = "the norm of a vector of a projection";
            return Err(CurvatureError::NonFinite {
                what,
                value: before,
            });
        }
        for _ in 0..2 {
            for b in &basis {
                let overlap = dot_f64(b, &v);
                v.iter_mut().zip(b).for_each(|(v, b)| *v -= overlap * b);
            }
        }
        let after = dot_f64(&v, &v).sqrt();
        if after > dependent * before {
            v.iter_mut().for_each(|v| *v /= after);
            basis.push(v);
        }
    }
    let rank = basis.len();
    let numbers = basis.concat();
    Ok(block_from_f64(
        numbers,
        [rank, dim],
        &vectors.device(),
        dtype,
    ))
}

impl<A: LinearOperator> LinearOperator for Projected<A> {
    fn dim(&self) -> usize {
        self.operator.dim()
    }
    fn device(&self) -> Device {
        self.operator.device()
    }
    fn dtype(&self) -> DType {
        self.operator.dtype()
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        check_length("a vector for a projection", v, self.dim())?;
        let projected = self.project_block(&as_row(v))?;
        let product = self.operator.apply(&as_vector(projected))?;
        Ok(as_vector(self.project_block(&as_row(&product))?))
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let products = self.operator.apply_block(&self.project_block(vs)?)?;
        self.project_block(&products)
    }
    fn block_size(&self) -> usize {
        self.operator.block_size()
    }
    fn definiteness(&self) -> Definiteness {
        match self.operator.definiteness() {
            Definiteness::Unknown => Definiteness::Unknown,
            _ => Definiteness::PositiveSemidefinite,
        }
    }
}
