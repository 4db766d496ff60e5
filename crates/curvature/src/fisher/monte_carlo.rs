use super::likelihood::Likelihood;
use super::outer_products::OutputOuterProducts;
use crate::error::CurvatureError;
use crate::operator::LinearOperator;
use crate::operators::forward::forward_operator;
use crate::point::Point;
use crate::seed::Seed;
use serde::{Deserialize, Serialize};

/// How a Monte Carlo Fisher matrix is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonteCarloOptions {
    /// The likelihood behind the loss.
    pub likelihood: Likelihood,
    /// Labels drawn for each example.
    pub samples: usize,
}

/// The Fisher matrix with labels drawn from the model: F̂ = Σₙ Jₙᵀ (w/S Σₛ uₙₛ uₙₛᵀ) Jₙ, uₙₛ = −∂ log p(yₙₛ|zₙ)/∂z, yₙₛ ~ p(y|zₙ).
///
/// Over the draws its mean is the Gauss-Newton matrix of the loss in its own reduction (w), which for these likelihoods is the Fisher
/// matrix. Its rank is at most N · S: [`Point::gauss_newton`] is exact at the same cost, so that this is for what is built from
/// gradients, and to see what sampling does. Labels are drawn once; products are repeatable.
///
/// # Shapes
///
/// Vectors `[n]`, the dtype of the evaluation.
///
/// # Cost
///
/// One J v and one Jᵀ u for a product.
///
/// # References
///
/// Kunstner, Balles and Hennig (2019), Limitations of the empirical Fisher approximation, section 2; Martens (2020), New insights
/// and perspectives on the natural gradient method, section 5.
///
/// ```
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use ravine_curvature::{Likelihood, LinearOperator, MonteCarloOptions, Objective, Seed};
///
/// let device = Device::flex();
/// let model = LinearConfig::new(3, 1).init(&device);
/// let objective = Objective::new(
///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
/// );
/// let batch = (Tensor::<2>::ones([5, 3], &device), Tensor::<2>::zeros([5, 1], &device));
/// let point = objective.at(&model, &batch)?;
/// let options = MonteCarloOptions { likelihood: Likelihood::Gaussian, samples: 100 };
/// let fisher = point.monte_carlo_fisher(options, Seed::new(0))?;
/// let v = Tensor::<1>::ones([4], &device);
/// let sampled: f32 = fisher.apply(&v)?.sum().into_scalar();
/// let exact: f32 = point.gauss_newton()?.apply(&v)?.sum().into_scalar();
/// assert!((sampled / exact - 1.0).abs() < 0.3);
/// # Ok::<(), ravine_curvature::CurvatureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MonteCarloFisher(OutputOuterProducts);

impl Point {
    /// The Fisher matrix with sampled labels, as an operator.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NotThisLikelihood`] for a loss of another kind, [`CurvatureError::OutputsPerExample`],
    /// [`CurvatureError::NoOutputs`], [`CurvatureError::Argument`] for no samples.
    pub fn monte_carlo_fisher(
        &self,
        options: MonteCarloOptions,
        seed: Seed,
    ) -> Result<MonteCarloFisher, CurvatureError> {
        if options.samples == 0 {
            return Err(CurvatureError::Argument {
                name: "samples",
                value: 0.0,
                requirement: "at least one label must be drawn for each example",
            });
        }
        let vectors = options.likelihood.sampled(self, options.samples, seed)?;
        Ok(MonteCarloFisher(OutputOuterProducts::new(self, vectors)?))
    }
}

impl LinearOperator for MonteCarloFisher {
    forward_operator!(self => self.0);
}
