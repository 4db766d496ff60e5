//! Deep autoencoders.

use super::initialise::initialise_as;
use super::{Activation, Initialisation, ModelError, blank_chain, check_widths, dtype};
use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, TensorCreationOptions};
use serde::{Deserialize, Serialize};

/// An encoder, its mirror image as decoder, and a sigmoid at the end, for inputs in [0, 1].
///
/// Deep autoencoders are the classical test of curvature-aware optimisers: plain gradient descent stalls on them.
///
/// # References
///
/// G. Hinton and R. Salakhutdinov, Reducing the dimensionality of data with neural networks, Science 313 (2006).
/// J. Martens, Deep learning via Hessian-free optimization, ICML 2010.
#[derive(Module, Debug)]
pub struct Autoencoder {
    /// From the inputs to the code.
    pub encoder: Vec<Linear>,
    /// From the code back to the inputs.
    pub decoder: Vec<Linear>,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    code_activation: Activation,
}

/// Configuration of an [`Autoencoder`].
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::models::AutoencoderConfig;
///
/// let device = Device::flex();
/// let model = AutoencoderConfig::new(64, [32, 16, 4]).init(&device)?;
/// let images = Tensor::zeros([5, 64], &device);
/// assert_eq!(model.encode(images.clone()).dims(), [5, 4]);
/// assert_eq!(model.forward(images).dims(), [5, 64]);
/// # Ok::<(), ravine_model::models::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoencoderConfig {
    /// Features of an example.
    pub inputs: usize,
    /// Widths of the encoder's layers, the code last; the decoder mirrors them.
    pub encoder: Vec<usize>,
    /// After each hidden layer but the code; tanh by default.
    #[serde(default)]
    pub activation: Activation,
    /// After the code layer; tanh by default, the identity in Hinton's and Martens' networks.
    #[serde(default)]
    pub code_activation: Activation,
    /// The initial parameters; Burn's and PyTorch's default by default.
    #[serde(default)]
    pub initialisation: Initialisation,
    /// Decides the initial parameters.
    #[serde(default)]
    pub seed: u64,
}

impl AutoencoderConfig {
    /// A tanh autoencoder; `encoder` holds the widths down to the code.
    pub fn new(inputs: usize, encoder: impl Into<Vec<usize>>) -> Self {
        AutoencoderConfig {
            inputs,
            encoder: encoder.into(),
            activation: Activation::default(),
            code_activation: Activation::default(),
            initialisation: Initialisation::default(),
            seed: 0,
        }
    }

    /// Sets the activation of the hidden layers.
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Sets the activation of the code.
    pub fn with_code_activation(mut self, activation: Activation) -> Self {
        self.code_activation = activation;
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
    /// [`ModelError`] for an encoder without layers, a width of zero, or an unusable scale of the initialisation.
    pub fn init(
        &self,
        options: impl Into<TensorCreationOptions>,
    ) -> Result<Autoencoder, ModelError> {
        let options = options.into();
        let mut widths = vec![self.inputs];
        widths.extend(&self.encoder);
        check_widths(&widths)?;
        let encoder = blank_chain(&widths, &options.device);
        widths.reverse();
        let blank = Autoencoder {
            encoder,
            decoder: blank_chain(&widths, &options.device),
            activation: self.activation,
            code_activation: self.code_activation,
        };
        initialise_as(blank, self.initialisation, self.seed, dtype(&options))
    }
}

impl Autoencoder {
    /// The code of each example, after its activation.
    ///
    /// # Shapes
    ///
    /// - inputs: `[n, inputs]`
    /// - output: `[n, code]`
    pub fn encode(&self, inputs: Tensor<2>) -> Tensor<2> {
        self.code_activation
            .apply(self.chain(&self.encoder, inputs))
    }

    /// The decoder's outputs before the sigmoid, for
    /// [`binary_cross_entropy_with_logits`](crate::losses::binary_cross_entropy_with_logits).
    ///
    /// # Shapes
    ///
    /// - inputs: `[n, inputs]`
    /// - output: `[n, inputs]`
    pub fn logits(&self, inputs: Tensor<2>) -> Tensor<2> {
        self.chain(&self.decoder, self.encode(inputs))
    }

    /// The reconstruction in (0, 1), for [`mse`](crate::losses::mse) against the inputs.
    ///
    /// # Shapes
    ///
    /// - inputs: `[n, inputs]`
    /// - output: `[n, inputs]`
    pub fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        sigmoid(self.logits(inputs))
    }

    /// Layers with the hidden activation between them.
    fn chain(&self, layers: &[Linear], inputs: Tensor<2>) -> Tensor<2> {
        let [first, rest @ ..] = layers else {
            return inputs;
        };
        rest.iter().fold(first.forward(inputs), |x, layer| {
            layer.forward(self.activation.apply(x))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f64_device, parameters, values};
    use super::*;

    #[test]
    fn the_classical_network_has_2837314_parameters() {
        let config = AutoencoderConfig::new(784, [1000, 500, 250, 30])
            .with_initialisation(Initialisation::Zeros);
        let model = config.init(f64_device()).unwrap();
        assert_eq!(model.num_params(), 2_837_314);
        assert_eq!((model.encoder.len(), model.decoder.len()), (4, 4));
    }

    #[test]
    fn forward_is_the_formula() {
        for code_activation in [Activation::Tanh, Activation::Identity] {
            let config = AutoencoderConfig::new(1, [1, 1])
                .with_code_activation(code_activation)
                .with_seed(3);
            let model = config.init(f64_device()).unwrap();
            let p = parameters(&model);
            let hidden = (0.7 * p[0] + p[1]).tanh();
            let code = match code_activation {
                Activation::Tanh => (hidden * p[2] + p[3]).tanh(),
                _ => hidden * p[2] + p[3],
            };
            let logit = (code * p[4] + p[5]).tanh() * p[6] + p[7];
            let input = Tensor::<2>::from_data([[0.7]], f64_device());
            assert!((values(model.encode(input.clone()))[0] - code).abs() < 1e-15);
            assert!((values(model.logits(input.clone()))[0] - logit).abs() < 1e-15);
            let reconstruction = 1.0 / (1.0 + (-logit).exp());
            assert!((values(model.forward(input))[0] - reconstruction).abs() < 1e-15);
        }
    }

    #[test]
    fn an_encoder_needs_a_layer() {
        let error = AutoencoderConfig::new(4, []).init(f64_device());
        assert!(matches!(error, Err(ModelError::Depth { found: 1, .. })));
    }
}
