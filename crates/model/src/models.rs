//! Models, each a Burn module made of Burn's own layers, with parameters drawn from a seed.
//!
//! A configuration is a plain serde struct with a builder: `MlpConfig::new(64, [32], 10).with_seed(1).init(&device)`. `init` takes a
//! device, or `(&device, DType::F64)` for another dtype than the device's default. The parameters are a function of the
//! configuration alone ([`initialise`]): Burn's process-wide generator is never asked.

mod activation;
mod autoencoder;
mod deep_linear;
mod initialisation;
mod initialise;
mod logistic_regression;
mod mlp;
mod small_cnn;

pub use activation::Activation;
pub use autoencoder::{Autoencoder, AutoencoderConfig};
pub use deep_linear::{DeepLinear, DeepLinearConfig};
pub use initialisation::Initialisation;
pub use initialise::initialise;
pub use logistic_regression::{LogisticRegression, LogisticRegressionConfig};
pub use mlp::{Mlp, MlpConfig};
pub use small_cnn::{Padding, Pooling, SmallCnn, SmallCnnConfig};

use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{DType, Device, TensorCreationOptions};

/// What can be wrong with the description of a model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A layer without units.
    #[error("every layer needs at least one unit, but number {position} of {widths:?} has none")]
    Width {
        /// Position in `widths`, from 0.
        position: usize,
        /// The widths asked for, inputs and outputs included.
        widths: Vec<usize>,
    },
    /// Too few layers.
    #[error("the model needs at least {minimum} widths, not {found}")]
    Depth {
        /// The widths given.
        found: usize,
        /// The fewest that make a model.
        minimum: usize,
    },
    /// A convolution kernel without entries.
    #[error("a convolution kernel needs a size of at least 1")]
    Kernel,
    /// An image that pooling and convolutions shrink to nothing.
    #[error(
        "the image is {height}x{width} at convolution {layer}, too small for what follows: \
         it needs {needed}x{needed}; use Padding::Same, a smaller kernel or fewer layers"
    )]
    Image {
        /// The convolution, from 0.
        layer: usize,
        /// The height that reaches it.
        height: usize,
        /// The width that reaches it.
        width: usize,
        /// The smallest height and width that would do.
        needed: usize,
    },
    /// A gain or standard deviation that is not usable.
    #[error("the scale of an initialisation must be finite and not negative, but is {scale}")]
    Scale {
        /// The value given.
        scale: f64,
    },
    /// A parameter of a layer that [`initialise`] has no rule for.
    #[error(
        "no rule to initialise parameter `{path}` of a {layer}; only linear, convolution and normalisation layers have one"
    )]
    NoRule {
        /// The parameter's path in the module.
        path: String,
        /// The layer's type.
        layer: String,
    },
}

/// A linear layer of zeros, to be filled by [`initialise`]: Burn's own initialisers would draw from its global generator.
fn blank_linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    LinearConfig::new(inputs, outputs)
        .with_initializer(Initializer::Zeros)
        .init(device)
}

/// Linear layers `widths[0] → widths[1] → …`, of zeros.
fn blank_chain(widths: &[usize], device: &Device) -> Vec<Linear> {
    widths
        .windows(2)
        .map(|pair| blank_linear(pair[0], pair[1], device))
        .collect()
}

fn check_widths(widths: &[usize]) -> Result<(), ModelError> {
    if widths.len() < 2 {
        return Err(ModelError::Depth {
            found: widths.len(),
            minimum: 2,
        });
    }
    match widths.iter().position(|width| *width == 0) {
        Some(position) => Err(ModelError::Width {
            position,
            widths: widths.to_vec(),
        }),
        None => Ok(()),
    }
}

/// The dtype asked for, or the device's default.
fn dtype(options: &TensorCreationOptions) -> DType {
    options.dtype_or(options.device.settings().float_dtype.into())
}

#[cfg(test)]
mod testing {
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::tensor::{DType, Device, Tensor, TensorCreationOptions};

    pub(super) fn f64_device() -> TensorCreationOptions {
        (&Device::flex(), DType::F64).into()
    }

    struct Values(Vec<f64>);

    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f64>());
        }
    }

    /// All parameters of a module, in the order of visit.
    pub(super) fn parameters(module: &impl Module) -> Vec<f64> {
        let mut values = Values(Vec::new());
        module.visit(&mut values);
        values.0
    }

    pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
        tensor.into_data().iter::<f64>().collect()
    }
}
