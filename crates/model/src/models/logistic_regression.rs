//! Logistic regression, binary or multinomial.

use super::initialise::initialise_as;
use super::{Initialisation, ModelError, blank_linear, check_widths, dtype};
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorCreationOptions};
use serde::{Deserialize, Serialize};

/// z = xW + b: the logits of a linear classifier, whose loss is convex in the parameters.
///
/// With one output it is binary logistic regression, for
/// [`binary_cross_entropy_with_logits`](crate::losses::binary_cross_entropy_with_logits). With K outputs it is softmax regression, for
/// [`cross_entropy`](crate::losses::cross_entropy); its Hessian then has at least `inputs + 1` zero eigenvalues, since a constant
/// added to all logits changes nothing.
#[derive(Module, Debug)]
pub struct LogisticRegression {
    /// W `[inputs, outputs]` and b `[outputs]`.
    pub linear: Linear,
}

/// Configuration of a [`LogisticRegression`].
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::models::LogisticRegressionConfig;
///
/// let device = Device::flex();
/// let model = LogisticRegressionConfig::new(30, 1).init(&device)?;
/// assert_eq!(model.forward(Tensor::zeros([4, 30], &device)).dims(), [4, 1]);
/// # Ok::<(), ravine_model::models::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogisticRegressionConfig {
    /// Features of an example.
    pub inputs: usize,
    /// 1 for two classes, otherwise the number of classes.
    pub outputs: usize,
    /// The initial parameters; zeros by default, the usual start of a convex problem.
    #[serde(default = "zeros")]
    pub initialisation: Initialisation,
    /// Decides the initial parameters.
    #[serde(default)]
    pub seed: u64,
}

fn zeros() -> Initialisation {
    Initialisation::Zeros
}

impl LogisticRegressionConfig {
    /// A model that starts at zero.
    pub fn new(inputs: usize, outputs: usize) -> Self {
        LogisticRegressionConfig {
            inputs,
            outputs,
            initialisation: zeros(),
            seed: 0,
        }
    }

    /// Sets the distribution of the initial parameters.
    pub fn with_initialisation(mut self, initialisation: Initialisation) -> Self {
        self.initialisation = initialisation;
        self
    }

    /// Sets the seed of the initial parameters.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Builds the model on a device, in its default dtype or in that of `(&device, dtype)`.
    ///
    /// # Errors
    ///
    /// [`ModelError`] when a width is zero or the scale of the initialisation is not usable.
    pub fn init(
        &self,
        options: impl Into<TensorCreationOptions>,
    ) -> Result<LogisticRegression, ModelError> {
        let options = options.into();
        check_widths(&[self.inputs, self.outputs])?;
        let blank = LogisticRegression {
            linear: blank_linear(self.inputs, self.outputs, &options.device),
        };
        initialise_as(blank, self.initialisation, self.seed, dtype(&options))
    }
}

impl LogisticRegression {
    /// The logits.
    ///
    /// # Shapes
    ///
    /// - features: `[n, inputs]`
    /// - output: `[n, outputs]`
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        self.linear.forward(features)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f64_device, parameters};
    use super::*;

    #[test]
    fn it_starts_at_zero_and_in_the_dtype_asked_for() {
        let model = LogisticRegressionConfig::new(3, 2)
            .init(f64_device())
            .unwrap();
        assert_eq!(parameters(&model), [0.0; 8]);
        assert_eq!(model.linear.weight.val().dtype(), burn::tensor::DType::F64);
    }

    #[test]
    fn a_missing_width_is_an_error() {
        let error = LogisticRegressionConfig::new(3, 0).init(f64_device());
        let expected = ModelError::Width {
            position: 1,
            widths: vec![3, 0],
        };
        assert_eq!(error.unwrap_err(), expected);
    }
}
