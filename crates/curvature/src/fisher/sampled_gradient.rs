use super::likelihood::Likelihood;
use crate::error::{CurvatureError, argument};
use crate::point::{Map, Point};
use crate::row_blocks::as_vector;
use crate::seed::Seed;
use crate::vector::from_f64;
use burn::prelude::Tensor;

/// The gradient of a loss whose labels were drawn from the model, with the weight of one label in the loss.
///
/// ĝ = w Σₙ Jₙᵀ uₙ with uₙ = −∂ log p(yₙ|zₙ)/∂z and yₙ ~ p(y|zₙ). Over the draws its mean is zero, and ĝ ĝᵀ / w has the Gauss-Newton
/// matrix as its mean: for a mean over B labels w = 1/B, and [`SampledGradient::diagonal`] is B ĝ ⊙ ĝ, the Gauss-Newton-Bartlett
/// estimate.
///
/// # References
///
/// Liu, Li, Hall, Liang and Ma (2023), Sophia: a scalable stochastic second-order optimizer for language model pre-training,
/// algorithm 2; Wei, Kakade and Ma (2020), The implicit and explicit regularization effects of dropout.
#[derive(Clone, Debug)]
pub struct SampledGradient {
    /// ĝ `[n]`, in the reduction of the loss.
    pub gradient: Tensor<1>,
    /// w, the weight of the negative log-likelihood of one label in the loss: 1/B for a mean over B labels, 1 for a sum.
    pub weight: f64,
}

impl SampledGradient {
    /// ĝ ⊙ ĝ / w `[n]`: an unbiased estimate of the diagonal of the Gauss-Newton matrix, nowhere negative.
    pub fn diagonal(&self) -> Tensor<1> {
        let scaled = self.gradient.clone() / self.weight.sqrt();
        scaled.clone() * scaled
    }
}

impl Point {
    /// The weight w of the negative log-likelihood of one label in the loss: 1/B for a mean over B labels, 1 for a sum.
    ///
    /// It is found by a product with the Hessian of the loss by the outputs, so that a loss of another kind is refused.
    ///
    /// # Cost
    ///
    /// One forward pass and a product with the Hessian of the loss by the outputs.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::NotThisLikelihood`] for a loss of another kind, or one whose outputs are all so certain that their curvature
    /// vanishes; [`CurvatureError::OutputsPerExample`], [`CurvatureError::NoOutputs`].
    pub fn label_weight(&self, likelihood: Likelihood) -> Result<f64, CurvatureError> {
        // the seed draws the vector that finds the weight, which is the same for any
        likelihood.weight(self, Seed::new(0))
    }

    /// The gradient of the loss with one label a row of outputs drawn from the model, given the weight of a label.
    ///
    /// The labels are those of [`Point::monte_carlo_fisher`] with one sample and the same seed.
    ///
    /// # Cost
    ///
    /// One Jᵀ u, about a gradient.
    ///
    /// # Errors
    ///
    /// [`CurvatureError::OutputsPerExample`], [`CurvatureError::NoOutputs`].
    ///
    /// ```
    /// use burn::nn::{Linear, LinearConfig};
    /// use burn::prelude::*;
    /// use ravine_curvature::{Likelihood, Objective, Seed};
    ///
    /// let device = Device::flex();
    /// let model = LinearConfig::new(3, 1).init(&device);
    /// let objective = Objective::new(
    ///     |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
    ///     |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean() * 0.5,
    /// );
    /// let batch = (Tensor::<2>::ones([5, 3], &device), Tensor::<2>::zeros([5, 1], &device));
    /// let point = objective.at(&model, &batch)?;
    /// let weight = point.label_weight(Likelihood::Gaussian)?;
    /// assert!((weight - 1.0 / 5.0).abs() < 1e-6);
    /// let sampled = point.sampled_gradient(Likelihood::Gaussian, weight, Seed::new(0))?;
    /// assert_eq!(sampled.diagonal().dims(), [4]);
    /// # Ok::<(), ravine_curvature::CurvatureError>(())
    /// ```
    pub fn sampled_gradient(
        &self,
        likelihood: Likelihood,
        weight: f64,
        seed: Seed,
    ) -> Result<SampledGradient, CurvatureError> {
        let scores = likelihood.drawn_scores(self, 1, seed)?;
        self.pulled_back(&scores, weight)
    }

    /// The gradient of the loss with these labels instead of those of the batch, given the weight of a label.
    ///
    /// # Shapes
    ///
    /// Row-major over the outputs: for [`Likelihood::Categorical`] the number of the class, one for each row of the last dimension; for
    /// [`Likelihood::Bernoulli`] 0 or 1, and for [`Likelihood::Gaussian`] the target, one for each output.
    ///
    /// # Cost
    ///
    /// As [`Point::sampled_gradient`].
    ///
    /// # Errors
    ///
    /// As [`Point::sampled_gradient`]; [`CurvatureError::Dimension`] for another number of labels, [`CurvatureError::Argument`] for a
    /// class that there is not.
    pub fn gradient_with_labels(
        &self,
        likelihood: Likelihood,
        weight: f64,
        labels: &[f64],
    ) -> Result<SampledGradient, CurvatureError> {
        let scores = likelihood.given_scores(self, labels)?;
        self.pulled_back(&scores, weight)
    }

    /// w Jᵀ u.
    fn pulled_back(&self, scores: &[f64], weight: f64) -> Result<SampledGradient, CurvatureError> {
        if !(weight > 0.0 && weight.is_finite()) {
            let requirement = "the weight of a label must be positive and finite";
            return Err(argument("weight", weight, requirement));
        }
        let row = from_f64(scores, self.device(), self.dtype()).reshape([1, scores.len()]);
        let back = self.map_rows(Map::TransposedJacobian, &row)?;
        Ok(SampledGradient {
            gradient: as_vector(back) * weight,
            weight,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::dense;
    use crate::objective::{Objective, Precision};
    use crate::vector::to_f64;
    use burn::nn::{Linear, LinearConfig};
    use burn::prelude::Device;
    use burn::tensor::activation::log_softmax;

    type Pair = (Tensor<2>, Tensor<2>);

    fn batch() -> Pair {
        let device = Device::flex();
        let x = [[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75], [0.5, 0.5]];
        let y = [
            [1.0, 0.0, 0.0],
            [0.0, 0.0, 1.0],
            [0.0, 1.0, 0.0],
            [1.0, 0.0, 0.0],
        ];
        (Tensor::from_data(x, &device), Tensor::from_data(y, &device))
    }

    fn point(loss: fn(Tensor<2>, Tensor<2>) -> Tensor<1>) -> Point {
        let device = Device::flex();
        let mut model = LinearConfig::new(2, 3).init(&device);
        let weight = Tensor::<2>::from_data([[0.5, -0.25, 1.0], [0.75, 0.5, -0.5]], &device);
        model.weight = burn::module::Param::from_tensor(weight);
        let objective = Objective::new(
            |model: &Linear, (x, _): &Pair| model.forward(x.clone()),
            move |z: Tensor<2>, (_, y): &Pair| loss(z, y.clone()),
        )
        .precision(Precision::F64);
        objective.at(&model, &batch()).unwrap()
    }

    fn cross_entropy(z: Tensor<2>, y: Tensor<2>) -> Tensor<1> {
        (log_softmax(z, 1) * y).sum() * -0.25
    }

    #[test]
    fn with_the_labels_of_the_batch_it_is_the_gradient() {
        let point = point(cross_entropy);
        let labels = [0.0, 2.0, 1.0, 0.0];
        let weight = point.label_weight(Likelihood::Categorical).unwrap();
        assert!((weight - 0.25).abs() < 1e-12);
        let found = point
            .gradient_with_labels(Likelihood::Categorical, weight, &labels)
            .unwrap();
        let expected = to_f64(&point.gradient().unwrap());
        for (found, expected) in to_f64(&found.gradient).iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn the_mean_of_the_diagonals_is_that_of_the_gauss_newton_matrix() {
        let sum_of_squares = |z: Tensor<2>, y: Tensor<2>| (z - y).powi_scalar(2).sum();
        for (likelihood, point) in [
            (Likelihood::Categorical, point(cross_entropy)),
            (Likelihood::Gaussian, point(sum_of_squares)),
        ] {
            let exact = dense(&point.gauss_newton().unwrap()).unwrap().diagonal();
            let weight = point.label_weight(likelihood).unwrap();
            let draws = 3000;
            let mut mean = vec![0.0; exact.len()];
            for draw in 0..draws {
                let seed = Seed::new(3).index(draw);
                let sampled = point.sampled_gradient(likelihood, weight, seed).unwrap();
                for (mean, x) in mean.iter_mut().zip(to_f64(&sampled.diagonal())) {
                    *mean += x / draws as f64;
                }
            }
            for (mean, exact) in mean.iter().zip(&exact) {
                // about five standard errors of a squared normal variable
                assert!((mean / exact - 1.0).abs() < 0.15, "{mean} {exact}");
            }
        }
    }

    #[test]
    fn labels_that_do_not_fit_are_named() {
        let point = point(cross_entropy);
        let few = point.gradient_with_labels(Likelihood::Categorical, 0.25, &[0.0]);
        assert!(matches!(few, Err(CurvatureError::Dimension { .. })));
        for class in [3.0, -1.0, 0.5, f64::NAN] {
            let labels = [0.0, 0.0, 0.0, class];
            let none = point.gradient_with_labels(Likelihood::Categorical, 0.25, &labels);
            assert!(matches!(none, Err(CurvatureError::Argument { .. })));
        }
        let other = point.label_weight(Likelihood::Gaussian);
        assert!(matches!(
            other,
            Err(CurvatureError::NotThisLikelihood { .. })
        ));
    }
}
