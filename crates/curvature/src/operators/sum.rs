use super::scaled::scaled;
use super::{check_device, check_dimension, check_length};
use crate::error::CurvatureError;
use crate::operator::{Definiteness, LinearOperator};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;

/// Σ cᵢ Aᵢ, a weighted sum of operators of any kinds.
///
/// Products have the dtype of the first operator.
///
/// # Cost
///
/// A product with each of the operators.
///
/// ```
/// use burn::prelude::*;
/// use burn::tensor::DType;
/// use ravine_curvature::operators::{Diagonal, Sum};
/// use ravine_curvature::{LinearOperator, vector};
///
/// let device = Device::flex();
/// let tensor = |values: &[f64]| vector::from_f64(values, &device, DType::F64);
/// let a = Diagonal::new(tensor(&[1.0, 2.0]));
/// let b = Diagonal::new(tensor(&[0.0, 1.0]));
/// let sum = Sum::new(2.0, &a).plus(-1.0, b)?;
/// assert_eq!(vector::to_f64(&sum.apply(&tensor(&[1.0, 1.0]))?), [2.0, 3.0]);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
pub struct Sum<'a> {
    first: Term<'a>,
    others: Vec<Term<'a>>,
}

struct Term<'a> {
    weight: f64,
    operator: Box<dyn LinearOperator + 'a>,
}

impl<'a> Sum<'a> {
    /// The sum of one operator with a weight.
    pub fn new(weight: f64, operator: impl LinearOperator + 'a) -> Self {
        Self {
            first: Term::new(weight, operator),
            others: Vec::new(),
        }
    }

    /// With one more operator.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::Dimension`] and [`CurvatureError::Device`] for an operator that does not fit the first.
    pub fn plus(
        mut self,
        weight: f64,
        operator: impl LinearOperator + 'a,
    ) -> Result<Self, CurvatureError> {
        const WHAT: &str = "an operator of a sum";
        check_dimension(WHAT, operator.dim(), self.dim())?;
        check_device(WHAT, &operator.device(), &self.device())?;
        self.others.push(Term::new(weight, operator));
        Ok(self)
    }

    fn terms(&self) -> impl Iterator<Item = &Term<'a>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl<'a> Term<'a> {
    fn new(weight: f64, operator: impl LinearOperator + 'a) -> Self {
        Self {
            weight,
            operator: Box::new(operator),
        }
    }
}

impl LinearOperator for Sum<'_> {
    fn dim(&self) -> usize {
        self.first.operator.dim()
    }
    fn device(&self) -> Device {
        self.first.operator.device()
    }
    fn dtype(&self) -> DType {
        self.first.operator.dtype()
    }
    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        check_length("a vector for a sum of operators", v, self.dim())?;
        let mut sum = self.first.operator.apply(v)?.mul_scalar(self.first.weight);
        for term in &self.others {
            let product = term.operator.apply(v)?.cast(self.dtype());
            sum = sum + product.mul_scalar(term.weight);
        }
        Ok(sum)
    }
    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        check_dimension("a vector for a sum of operators", vs.dims()[1], self.dim())?;
        let first = self.first.operator.apply_block(vs)?;
        let mut sum = first.mul_scalar(self.first.weight);
        for term in &self.others {
            let products = term.operator.apply_block(vs)?.cast(self.dtype());
            sum = sum + products.mul_scalar(term.weight);
        }
        Ok(sum)
    }
    fn block_size(&self) -> usize {
        let sizes = self.terms().map(|term| term.operator.block_size());
        sizes.max().unwrap_or(1)
    }
    fn definiteness(&self) -> Definiteness {
        let signs = |term: &Term<'_>| scaled(term.operator.definiteness(), term.weight);
        let all: Vec<Definiteness> = self.terms().map(signs).collect();
        if all.contains(&Definiteness::Unknown) {
            return Definiteness::Unknown;
        }
        match all.contains(&Definiteness::PositiveDefinite) {
            true => Definiteness::PositiveDefinite,
            false => Definiteness::PositiveSemidefinite,
        }
    }
}
