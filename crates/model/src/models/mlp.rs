//! Multilayer perceptrons.

use super::initialise::initialise_as;
use super::{Activation, Initialisation, ModelError, blank_chain, check_widths, dtype};
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorCreationOptions};
use serde::{Deserialize, Serialize};

/// Linear layers with an activation after each but the last.
#[derive(Module, Debug)]
pub struct Mlp {
    /// The layers, from the inputs to the outputs.
    pub layers: Vec<Linear>,
    #[module(skip)]
    activation: Activation,
}

/// Configuration of an [`Mlp`].
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::models::{Activation, Initialisation, MlpConfig};
///
/// let device = Device::flex();
/// let config = MlpConfig::new(64, [32], 10)
///     .with_activation(Activation::Gelu)
///     .with_initialisation(Initialisation::KaimingNormal { gain: Activation::Gelu.gain() })
///     .with_seed(7);
/// let model = config.init(&device)?;
/// assert_eq!(model.num_params(), 2410);
/// assert_eq!(model.forward(Tensor::zeros([5, 64], &device)).dims(), [5, 10]);
/// # Ok::<(), ravine_model::models::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MlpConfig {
    /// Features of an example.
    pub inputs: usize,
    /// Width of each hidden layer; none makes a linear model.
    pub hidden: Vec<usize>,
    /// Outputs of an example.
    pub outputs: usize,
    /// After each hidden layer; tanh by default.
    #[serde(default)]
    pub activation: Activation,
    /// The initial parameters; Burn's and PyTorch's default by default.
    #[serde(default)]
    pub initialisation: Initialisation,
    /// Decides the initial parameters.
    #[serde(default)]
    pub seed: u64,
}

impl MlpConfig {
    /// A tanh network with the given widths.
    pub fn new(inputs: usize, hidden: impl Into<Vec<usize>>, outputs: usize) -> Self {
        MlpConfig {
            inputs,
            hidden: hidden.into(),
            outputs,
            activation: Activation::default(),
            initialisation: Initialisation::default(),
            seed: 0,
        }
    }

    /// Sets the activation of the hidden layers.
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
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
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<Mlp, ModelError> {
        let options = options.into();
        let mut widths = vec![self.inputs];
        widths.extend(&self.hidden);
        widths.push(self.outputs);
        check_widths(&widths)?;
        let blank = Mlp {
            layers: blank_chain(&widths, &options.device),
            activation: self.activation,
        };
        initialise_as(blank, self.initialisation, self.seed, dtype(&options))
    }
}

impl Mlp {
    /// The outputs of the last layer, without an activation.
    ///
    /// # Shapes
    ///
    /// - inputs: `[n, inputs]`
    /// - output: `[n, outputs]`
    pub fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        let mut layers = self.layers.iter();
        let Some(first) = layers.next() else {
            return inputs;
        };
        layers.fold(first.forward(inputs), |x, layer| {
            layer.forward(self.activation.apply(x))
        })
    }

    /// The activation of the hidden layers.
    pub fn activation(&self) -> Activation {
        self.activation
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f64_device, parameters, values};
    use super::*;

    #[test]
    fn forward_is_the_formula() {
        let model = MlpConfig::new(2, [3], 1).with_seed(4);
        let model = model.init(f64_device()).unwrap();
        let p = parameters(&model);
        let x = [0.4, -0.9];
        let hidden = |j: usize| (x[0] * p[j] + x[1] * p[3 + j] + p[6 + j]).tanh();
        let expected: f64 = (0..3).map(|j| hidden(j) * p[9 + j]).sum::<f64>() + p[12];
        let input = Tensor::<2>::from_data([x], f64_device());
        assert!((values(model.forward(input))[0] - expected).abs() < 1e-15);
    }

    #[test]
    fn depth_and_width_are_free() {
        let parameters = |hidden: &[usize]| {
            let model = MlpConfig::new(5, hidden, 2).init(f64_device()).unwrap();
            assert_eq!(
                model.forward(Tensor::ones([3, 5], f64_device())).dims(),
                [3, 2]
            );
            model.num_params()
        };
        assert_eq!(parameters(&[]), 12);
        assert_eq!(parameters(&[7, 3, 4]), 42 + 24 + 16 + 10);
    }

    #[test]
    fn without_hidden_layers_no_activation_is_applied() {
        let config = MlpConfig::new(1, [], 1).with_activation(Activation::Relu);
        let model = config
            .with_initialisation(Initialisation::Normal { std: 1.0 })
            .init(f64_device())
            .unwrap();
        let at = |x: f64| values(model.forward(Tensor::from_data([[x]], f64_device())))[0];
        assert_eq!(at(1.0), -at(-1.0));
        assert!(at(1.0) != 0.0);
    }

    #[test]
    fn a_hidden_layer_without_units_is_an_error() {
        let error = MlpConfig::new(3, [4, 0], 2).init(f64_device()).unwrap_err();
        assert!(matches!(error, ModelError::Width { position: 2, .. }));
    }

    #[test]
    fn a_configuration_needs_only_its_widths() {
        let text = r#"{"inputs": 64, "hidden": [32], "outputs": 10}"#;
        let config: MlpConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config, MlpConfig::new(64, [32], 10));
    }
}
