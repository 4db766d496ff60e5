//! A small convolutional network.

use super::initialise::initialise_as;
use super::{Activation, Initialisation, ModelError, blank_linear, check_widths, dtype};
use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, Linear, PaddingConfig2d};
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Tensor, TensorCreationOptions};
use serde::{Deserialize, Serialize};

/// Blocks of convolution, activation and pooling, then a linear layer on the flattened result.
#[derive(Module, Debug)]
pub struct SmallCnn {
    /// One convolution a block, stride 1.
    pub convolutions: Vec<Conv2d>,
    /// From the flattened features (channel, row, column) to the outputs.
    pub head: Linear,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    pooling: Pooling,
    #[module(skip)]
    image: [usize; 3],
}

/// How a block halves height and width, 2 × 2 with stride 2; an odd last row or column is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pooling {
    /// The mean: smooth.
    #[default]
    Average,
    /// The maximum: piecewise linear.
    Max,
    /// No pooling.
    Absent,
}

/// What a convolution does at the border.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Padding {
    /// Nothing: height and width shrink by the kernel less one.
    #[default]
    Valid,
    /// Zeros, so that height and width stay.
    Same,
}

/// Configuration of a [`SmallCnn`].
///
/// ```
/// use burn::prelude::*;
/// use ravine_model::models::{Padding, SmallCnnConfig};
///
/// let device = Device::flex();
/// // 8 × 8 digits leave no room for two unpadded convolutions.
/// let model = SmallCnnConfig::new([1, 8, 8], 10).with_padding(Padding::Same).init(&device)?;
/// assert_eq!(model.forward(Tensor::zeros([3, 1, 8, 8], &device)).dims(), [3, 10]);
/// assert_eq!(model.forward_flat(Tensor::zeros([3, 64], &device)).dims(), [3, 10]);
/// # Ok::<(), ravine_model::models::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallCnnConfig {
    /// Channels, height and width of an input image.
    pub image: [usize; 3],
    /// Outputs of an example.
    pub outputs: usize,
    /// Channels after each convolution; 8 and 16 by default.
    #[serde(default = "default_channels")]
    pub channels: Vec<usize>,
    /// Height and width of the kernels; 3 by default.
    #[serde(default = "default_kernel")]
    pub kernel: usize,
    /// What the convolutions do at the border; nothing by default.
    #[serde(default)]
    pub padding: Padding,
    /// After each convolution; tanh by default.
    #[serde(default)]
    pub activation: Activation,
    /// After each activation; the average by default.
    #[serde(default)]
    pub pooling: Pooling,
    /// The initial parameters; Burn's and PyTorch's default by default.
    #[serde(default)]
    pub initialisation: Initialisation,
    /// Decides the initial parameters.
    #[serde(default)]
    pub seed: u64,
}

fn default_channels() -> Vec<usize> {
    vec![8, 16]
}

fn default_kernel() -> usize {
    3
}

impl SmallCnnConfig {
    /// Two blocks with 8 and 16 channels, 3 × 3 kernels, tanh and average pooling, for images `[channels, height, width]`.
    pub fn new(image: [usize; 3], outputs: usize) -> Self {
        SmallCnnConfig {
            image,
            outputs,
            channels: default_channels(),
            kernel: default_kernel(),
            padding: Padding::default(),
            activation: Activation::default(),
            pooling: Pooling::default(),
            initialisation: Initialisation::default(),
            seed: 0,
        }
    }

    /// Sets the channels after each convolution, and with them the number of blocks.
    pub fn with_channels(mut self, channels: impl Into<Vec<usize>>) -> Self {
        self.channels = channels.into();
        self
    }

    /// Sets height and width of the kernels.
    pub fn with_kernel(mut self, kernel: usize) -> Self {
        self.kernel = kernel;
        self
    }

    /// Sets what the convolutions do at the border.
    pub fn with_padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Sets the activation after each convolution.
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Sets the pooling after each activation.
    pub fn with_pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = pooling;
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
    /// [`ModelError`] when a size is zero, the image is too small for the blocks, or the scale of the initialisation is
    /// not usable.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<SmallCnn, ModelError> {
        let options = options.into();
        let [channels, height, width] = self.image;
        let mut widths = vec![channels];
        widths.extend(&self.channels);
        check_widths(&[&[height, width], widths.as_slice(), &[self.outputs]].concat())?;
        let [height, width] = self.size_after_blocks([height, width])?;

        let convolution = |pair: &[usize]| {
            let padding = match self.padding {
                Padding::Valid => PaddingConfig2d::Valid,
                Padding::Same => PaddingConfig2d::Same,
            };
            Conv2dConfig::new([pair[0], pair[1]], [self.kernel; 2])
                .with_padding(padding)
                .with_initializer(Initializer::Zeros)
                .init(&options.device)
        };
        let last = widths[widths.len() - 1];
        let blank = SmallCnn {
            convolutions: widths.windows(2).map(convolution).collect(),
            head: blank_linear(last * height * width, self.outputs, &options.device),
            activation: self.activation,
            pooling: self.pooling,
            image: self.image,
        };
        initialise_as(blank, self.initialisation, self.seed, dtype(&options))
    }

    fn size_after_blocks(&self, mut size: [usize; 2]) -> Result<[usize; 2], ModelError> {
        if self.kernel == 0 {
            return Err(ModelError::Kernel);
        }
        let lost = match self.padding {
            Padding::Valid => self.kernel - 1,
            Padding::Same => 0,
        };
        let pooled = match self.pooling {
            Pooling::Average | Pooling::Max => 2,
            Pooling::Absent => 1,
        };
        let needed = lost + pooled;
        for layer in 0..self.channels.len() {
            let [height, width] = size;
            if height.min(width) < needed {
                return Err(ModelError::Image {
                    layer,
                    height,
                    width,
                    needed,
                });
            }
            size = size.map(|side| (side - lost) / pooled);
        }
        Ok(size)
    }
}

impl SmallCnn {
    /// The outputs of the linear head.
    ///
    /// # Shapes
    ///
    /// - images: `[n, channels, height, width]`
    /// - output: `[n, outputs]`
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = self.convolutions.iter().fold(images, |x, convolution| {
            let x = self.activation.apply(convolution.forward(x));
            match self.pooling {
                Pooling::Average => avg_pool2d(x, AvgPoolOptions::new([2, 2]).with_stride([2, 2])),
                Pooling::Max => max_pool2d(x, MaxPoolOptions::new([2, 2]).with_stride([2, 2])),
                Pooling::Absent => x,
            }
        });
        self.head.forward(features.flatten(1, 3))
    }

    /// As [`forward`](SmallCnn::forward), for images that come as rows, as the datasets' batches have them.
    ///
    /// # Shapes
    ///
    /// - pixels: `[n, channels · height · width]`
    /// - output: `[n, outputs]`
    pub fn forward_flat(&self, pixels: Tensor<2>) -> Tensor<2> {
        let [examples, _] = pixels.dims();
        let [channels, height, width] = self.image;
        self.forward(pixels.reshape([examples, channels, height, width]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{f64_device, parameters, values};
    use super::*;

    #[test]
    fn the_default_on_28_by_28_has_5258_parameters() {
        let model = SmallCnnConfig::new([1, 28, 28], 10)
            .init(f64_device())
            .unwrap();
        assert_eq!(model.num_params(), 5258);
        let images = Tensor::zeros([2, 1, 28, 28], f64_device());
        assert_eq!(model.forward(images).dims(), [2, 10]);
    }

    #[test]
    fn forward_is_the_formula() {
        // One 2 × 2 kernel on a 3 × 3 image gives 2 × 2 features, pooled to one.
        let image = [0.1, -0.4, 0.9, 0.3, 0.8, -0.2, -0.7, 0.5, 0.6];
        for pooling in [Pooling::Average, Pooling::Max] {
            let config = SmallCnnConfig::new([1, 3, 3], 1)
                .with_channels([1])
                .with_kernel(2)
                .with_pooling(pooling)
                .with_seed(2);
            let model = config.init(f64_device()).unwrap();
            let p = parameters(&model);
            let feature = |i: usize, j: usize| {
                let at = |a: usize, b: usize| image[3 * (i + a) + j + b] * p[2 * a + b];
                (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1) + p[4]).tanh()
            };
            let features = [feature(0, 0), feature(0, 1), feature(1, 0), feature(1, 1)];
            let pooled = match pooling {
                Pooling::Max => features.into_iter().fold(f64::MIN, f64::max),
                _ => features.iter().sum::<f64>() / 4.0,
            };
            let input = Tensor::<2>::from_data([image], f64_device());
            let found = values(model.forward_flat(input))[0];
            assert!(
                (found - (pooled * p[5] + p[6])).abs() < 1e-15,
                "{pooling:?}"
            );
        }
    }

    #[test]
    fn sizes_follow_padding_and_pooling() {
        let features = |config: SmallCnnConfig| {
            let model = config.init(f64_device()).unwrap();
            let [_, h, w] = model.image;
            let output = model.forward(Tensor::ones([1, 1, h, w], f64_device()));
            assert_eq!(output.dims(), [1, 3]);
            model.head.weight.dims()[0]
        };
        let config = || SmallCnnConfig::new([1, 9, 8], 3).with_channels([2, 5]);
        assert_eq!(features(config().with_padding(Padding::Same)), 5 * 2 * 2);
        assert_eq!(features(config().with_pooling(Pooling::Absent)), 5 * 5 * 4);
        assert_eq!(features(config().with_channels([4])), 4 * 3 * 3);
    }

    #[test]
    fn an_image_that_shrinks_to_nothing_is_an_error() {
        let error = SmallCnnConfig::new([1, 8, 8], 10).init(f64_device());
        let expected = ModelError::Image {
            layer: 1,
            height: 3,
            width: 3,
            needed: 4,
        };
        assert_eq!(error.unwrap_err(), expected);
        let error = SmallCnnConfig::new([1, 8, 8], 10).with_kernel(0);
        assert_eq!(error.init(f64_device()).unwrap_err(), ModelError::Kernel);
    }
}
