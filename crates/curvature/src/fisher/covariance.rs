use super::empirical::EmpiricalFisher;
use crate::error::{CurvatureError, check_dimension};
use crate::examples::PerExample;
use crate::operator::{Definiteness, LinearOperator};
use crate::point::Point;
use crate::row_blocks::{as_row, as_vector};
use burn::prelude::{Device, Tensor};
use burn::tensor::DType;
use serde::{Deserialize, Serialize};

/// Where second moments are taken about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Centring {
    /// About the mean ḡ: a covariance.
    Mean,
    /// About zero: the second moment.
    Zero,
}

/// The covariance of the gradients of the examples: C = 1/N Σ (∇ℓᵢ − ḡ)(∇ℓᵢ − ḡ)ᵀ, ḡ = 1/N Σ ∇ℓᵢ, whatever the reduction of the loss.
///
/// The gradient of a batch of b independent examples has the covariance C/b.
///
/// # Shapes
///
/// Vectors `[n]`, the dtype of the evaluation.
///
/// # Cost
///
/// One J v and one Jᵀ u for a product, one gradient to begin with. The mean is subtracted from the product: where the gradients hardly
/// differ, rounding of the order of ‖ḡ‖² stays.
///
/// # References
///
/// Zhu, Wu, Yu, Wu and Ma (2019), The anisotropic noise in stochastic gradient descent, equation 3.
#[derive(Clone, Debug)]
pub struct GradientCovariance<M = EmpiricalFisher> {
    second_moment: M,
    /// To the mean over examples.
    scale: f64,
    mean: Tensor<1>,
}

impl<M: LinearOperator> GradientCovariance<M> {
    /// `scale` times the empirical Fisher matrix is the second moment about zero.
    pub(crate) fn new(second_moment: M, scale: f64, gradient: &Tensor<1>) -> Self {
        Self {
            second_moment,
            scale,
            mean: gradient.clone().mul_scalar(scale),
        }
    }
}

impl Point {
    /// The covariance of the gradients of the examples, as an operator that forms none of them.
    ///
    /// # Errors
    ///
    /// As [`empirical_fisher`](Point::empirical_fisher).
    pub fn gradient_covariance(&self) -> Result<GradientCovariance, CurvatureError> {
        let scale = self.reduction().to_mean(self.examples());
        let second_moment = self.empirical_fisher()?;
        Ok(GradientCovariance::new(
            second_moment,
            scale,
            &self.gradient()?,
        ))
    }
}

impl<M: LinearOperator> LinearOperator for GradientCovariance<M> {
    fn dim(&self) -> usize {
        self.second_moment.dim()
    }

    fn device(&self) -> Device {
        self.second_moment.device()
    }

    fn dtype(&self) -> DType {
        self.second_moment.dtype()
    }

    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        Ok(as_vector(self.apply_block(&as_row(v))?))
    }

    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let moment = self.second_moment.apply_block(vs)?.mul_scalar(self.scale);
        let mean: Tensor<2> = self.mean.clone().unsqueeze();
        let along = vs
            .clone()
            .cast(self.dtype())
            .matmul(mean.clone().transpose());
        Ok(moment - along.matmul(mean))
    }

    fn block_size(&self) -> usize {
        self.second_moment.block_size()
    }

    fn definiteness(&self) -> Definiteness {
        Definiteness::PositiveSemidefinite
    }
}

/// 1/N Σ rᵢ rᵢᵀ of the rows rᵢ of a matrix: second moment or covariance of gradients that are held in memory.
///
/// # Shapes
///
/// N rows of length n; vectors `[n]` in the dtype of the rows.
///
/// # Cost
///
/// Two products with an N × n matrix.
#[derive(Clone, Debug)]
pub struct SampleCovariance {
    rows: Tensor<2>,
}

impl SampleCovariance {
    /// Of the rows of a matrix `[N, n]`.
    pub fn new(rows: Tensor<2>, centring: Centring) -> Self {
        let rows = match centring {
            Centring::Zero => rows,
            Centring::Mean => {
                let mean = rows.clone().mean_dim(0);
                rows - mean
            }
        };
        Self { rows }
    }
}

impl PerExample {
    /// Covariance or second moment of the gradients of the examples: products with what is in memory, for any loss.
    pub fn covariance(&self, centring: Centring) -> SampleCovariance {
        SampleCovariance::new(self.gradients.clone(), centring)
    }
}

impl LinearOperator for SampleCovariance {
    fn dim(&self) -> usize {
        self.rows.dims()[1]
    }

    fn device(&self) -> Device {
        self.rows.device()
    }

    fn dtype(&self) -> DType {
        self.rows.dtype()
    }

    fn apply(&self, v: &Tensor<1>) -> Result<Tensor<1>, CurvatureError> {
        Ok(as_vector(self.apply_block(&as_row(v))?))
    }

    fn apply_block(&self, vs: &Tensor<2>) -> Result<Tensor<2>, CurvatureError> {
        let [examples, dim] = self.rows.dims();
        check_dimension("a vector for a sample covariance", vs.dims()[1], dim)?;
        let along = vs
            .clone()
            .cast(self.dtype())
            .matmul(self.rows.clone().transpose());
        Ok(along
            .matmul(self.rows.clone())
            .div_scalar(examples.max(1) as f64))
    }

    fn block_size(&self) -> usize {
        32
    }

    fn definiteness(&self) -> Definiteness {
        Definiteness::PositiveSemidefinite
    }
}
