//! Deep linear networks.

use super::initialise::initialise_as;
use super::{Initialisation, ModelError, check_widths, dtype};
use burn::module::Module;
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{Tensor, TensorCreationOptions};
use serde::{Deserialize, Serialize};

/// y = x W₁ W₂ ⋯ W_N without biases: a linear map whose loss is not convex in its factors.
///
/// With squared loss every local minimum is global and all other stationary points are saddles, and the Gauss-Newton matrix has a closed
/// form: the testing ground for theories of depth.
///
/// # References
///
/// A. Saxe, J. McClelland and S. Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural
/// networks, ICLR 2014. K. Kawaguchi, Deep learning without poor local minima, NeurIPS 2016.
#[derive(Module, Debug)]
pub struct DeepLinear {
    /// The factors W₁ … W_N, each `[in, out]`; never empty.
    layers: Vec<Linear>,
}

/// Configuration of a [`DeepLinear`] network.
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::models::DeepLinearConfig;
///
/// let device = Device::flex();
/// let model = DeepLinearConfig::new([8, 4, 4, 3]).init(&device)?;
/// assert_eq!(model.product().dims(), [8, 3]);
/// assert_eq!(model.num_params(), 8 * 4 + 4 * 4 + 4 * 3);
/// # Ok::<(), ravine_model::models::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeepLinearConfig {
    /// Inputs, hidden widths, outputs.
    pub widths: Vec<usize>,
    /// The initial factors; orthogonal with gain 1 by default, which keeps the product's singular values near 1 at any
    /// depth.
    #[serde(default = "orthogonal")]
    pub initialisation: Initialisation,
    /// Decides the initial factors.
    #[serde(default)]
    pub seed: u64,
}

fn orthogonal() -> Initialisation {
    Initialisation::Orthogonal { gain: 1.0 }
}

impl DeepLinearConfig {
    /// A network with the given inputs, hidden widths and outputs.
    pub fn new(widths: impl Into<Vec<usize>>) -> Self {
        DeepLinearConfig {
            widths: widths.into(),
            initialisation: orthogonal(),
            seed: 0,
        }
    }

    /// Sets the distribution of the initial factors.
    pub fn with_initialisation(mut self, initialisation: Initialisation) -> Self {
        self.initialisation = initialisation;
        self
    }

    /// Sets the seed of the initial factors.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Builds the model on a device, in its default dtype or in that of `(&device, dtype)`.
    ///
    /// # Errors
    ///
    /// [`ModelError`] for fewer than two widths, a width of zero, or an unusable scale of the initialisation.
    pub fn init(
        &self,
        options: impl Into<TensorCreationOptions>,
    ) -> Result<DeepLinear, ModelError> {
        let options = options.into();
        check_widths(&self.widths)?;
        let layer = |pair: &[usize]| {
            LinearConfig::new(pair[0], pair[1])
                .with_bias(false)
                .with_initializer(Initializer::Zeros)
                .init(&options.device)
        };
        let blank = DeepLinear {
            layers: self.widths.windows(2).map(layer).collect(),
        };
        initialise_as(blank, self.initialisation, self.seed, dtype(&options))
    }
}

impl DeepLinear {
    /// x W₁ W₂ ⋯ W_N.
    ///
    /// # Shapes
    ///
    /// - inputs: `[n, inputs]`
    /// - output: `[n, outputs]`
    pub fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        self.layers.iter().fold(inputs, |x, layer| layer.forward(x))
    }

    /// The map that the network computes, W₁ W₂ ⋯ W_N.
    ///
    /// # Shapes
    ///
    /// - output: `[inputs, outputs]`
    pub fn product(&self) -> Tensor<2> {
        let weights = self.layers.iter().map(|layer| layer.weight.val());
        weights
            .reduce(|product, weight| product.matmul(weight))
            .expect("two widths make a layer, and nothing removes one")
    }

    /// The factors W₁ … W_N.
    pub fn layers(&self) -> &[Linear] {
        &self.layers
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f64_device, values};
    use super::*;

    #[test]
    fn the_network_is_its_product() {
        let model = DeepLinearConfig::new([5, 4, 6, 2]).with_seed(1);
        let model = model.init(f64_device()).unwrap();
        let x = Tensor::<1>::from_data([0.3, -1.0, 2.0, 0.0, 0.7], f64_device());
        let x = x.unsqueeze_dim::<2>(0);
        let (layered, at_once) = (model.forward(x.clone()), x.matmul(model.product()));
        for (a, b) in values(layered).iter().zip(values(at_once)) {
            assert!((a - b).abs() < 1e-15);
        }
    }

    #[test]
    fn square_orthogonal_factors_have_an_orthogonal_product() {
        let model = DeepLinearConfig::new([6; 20]).init(f64_device()).unwrap();
        let product = model.product();
        let gram = values(product.clone().transpose().matmul(product));
        for (k, entry) in gram.iter().enumerate() {
            let expected = if k / 6 == k % 6 { 1.0 } else { 0.0 };
            assert!((entry - expected).abs() < 1e-13);
        }
    }

    #[test]
    fn a_network_needs_inputs_and_outputs() {
        let error = DeepLinearConfig::new([3]).init(f64_device()).unwrap_err();
        let expected = ModelError::Depth {
            found: 1,
            minimum: 2,
        };
        assert_eq!(error, expected);
    }
}
