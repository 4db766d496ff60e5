//! Networks of the comparison that are assembled from Burn's own layers.

use burn::module::Module;
use burn::nn::transformer::{
    TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput,
};
use burn::nn::{Linear, LinearConfig, Lstm, LstmConfig};
use burn::prelude::*;
use ravine_model::models::{Initialisation, initialise};

/// An LSTM with a linear head at every position.
#[derive(Module, Debug)]
pub struct CharacterLstm {
    lstm: Lstm,
    head: Linear,
}

impl CharacterLstm {
    /// A network for a vocabulary, weights and biases from U(−1/√n_in, 1/√n_in) as the seed says.
    ///
    /// # Errors
    ///
    /// When a layer has no rule for its initial parameters.
    pub fn new(
        vocabulary: usize,
        hidden: usize,
        seed: u64,
        device: &Device,
    ) -> anyhow::Result<Self> {
        let blank = Self {
            lstm: LstmConfig::new(vocabulary, hidden, true).init(device),
            head: LinearConfig::new(hidden, vocabulary).init(device),
        };
        Ok(initialise(blank, Initialisation::FanIn, seed)?)
    }

    /// Logits of the next character at each position.
    ///
    /// # Shapes
    ///
    /// - input: `[n, length, vocabulary]`
    /// - output: the same
    pub fn forward(&self, characters: Tensor<3>) -> Tensor<3> {
        let (states, _) = self.lstm.forward(characters, None);
        self.head.forward(states)
    }
}

/// One encoder block on the rows of an image, and a linear head on the mean of its tokens.
#[derive(Module, Debug)]
pub struct RowTransformer {
    embedding: Linear,
    encoder: TransformerEncoder,
    head: Linear,
}

/// Rows and columns of a digit.
const SIDE: usize = 8;

impl RowTransformer {
    /// A classifier of ten digits without dropout; weights from Xavier's normal distribution as the seed says, biases zero.
    ///
    /// # Errors
    ///
    /// When a layer has no rule for its initial parameters.
    pub fn new(
        (width, heads, feed_forward): (usize, usize, usize),
        seed: u64,
        device: &Device,
    ) -> anyhow::Result<Self> {
        let encoder = TransformerEncoderConfig::new(width, feed_forward, heads, 1)
            .with_dropout(0.0)
            .init(device);
        let blank = Self {
            embedding: LinearConfig::new(2 * SIDE, width).init(device),
            encoder,
            head: LinearConfig::new(width, 10).init(device),
        };
        let rule = Initialisation::XavierNormal { gain: 1.0 };
        Ok(initialise(blank, rule, seed)?)
    }

    /// Logits of the digits. A token is a row of pixels with a unit vector for its position.
    ///
    /// # Shapes
    ///
    /// - pixels: `[n, 64]`
    /// - output: `[n, 10]`
    pub fn forward(&self, pixels: Tensor<2>) -> Tensor<2> {
        let [examples, _] = pixels.dims();
        let positions = Tensor::<2>::eye(SIDE, &pixels.device())
            .cast(pixels.dtype())
            .unsqueeze::<3>()
            .expand([examples, SIDE, SIDE]);
        let rows = pixels.reshape([examples, SIDE, SIDE]);
        let tokens = self
            .embedding
            .forward(Tensor::cat(vec![rows, positions], 2));
        let states = self.encoder.forward(TransformerEncoderInput::new(tokens));
        let [_, _, width] = states.dims();
        self.head
            .forward(states.mean_dim(1).reshape([examples, width]))
    }
}
