//! Attention with and without masks, and transformers.

use super::entry::{Entry, Family, noise, spread};
use super::surround::{Layer, surrounded};
use burn::nn::attention::{
    CrossAttention, CrossAttentionConfig, MhaInput, MultiHeadAttention, MultiHeadAttentionConfig,
    generate_autoregressive_mask,
};
use burn::nn::transformer::{
    PositionWiseFeedForward, PositionWiseFeedForwardConfig, TransformerDecoder,
    TransformerDecoderConfig, TransformerDecoderInput, TransformerEncoder,
    TransformerEncoderConfig, TransformerEncoderInput,
};
use burn::prelude::*;
use burn::tensor::activation::tanh;

/// Sequences, in a batch of two, of three tokens of width four.
const INPUT: [usize; 3] = [2, 3, 4];

/// Masks of padding and of the future.
type Masks = (Tensor<2, Bool>, Tensor<3, Bool>);

pub(super) fn entries() -> Vec<Entry> {
    let mut all = heads();
    all.extend(transformers());
    all
}

/// A layer over sequences and their masks, which stand in the batch.
fn masked<L: Layer>(
    name: &str,
    layer: impl Fn(&Device) -> L + Send + Sync + 'static,
    forward: fn(&L, Tensor<3>, &Masks) -> Tensor<3>,
) -> Entry {
    Entry::new(
        Family::Attention,
        name,
        move |device| {
            let padding = TensorData::new([false, false, true, false, false, false].into(), [2, 3]);
            let masks = (
                Tensor::from_data(padding, device),
                generate_autoregressive_mask(2, 3, device),
            );
            let batch = (noise(INPUT, device), noise(INPUT, device), masks);
            (spread(layer(device)), batch)
        },
        move |model, (x, _, masks): &(Tensor<3>, Tensor<3>, Masks)| {
            tanh(forward(model, x.clone(), masks))
        },
        |outputs, (_, targets, _)| (outputs - targets.clone()).square().mean(),
    )
}

fn heads() -> Vec<Entry> {
    let attention = |device: &Device| MultiHeadAttentionConfig::new(4, 2).init(device);
    vec![
        surrounded(
            Family::Attention,
            "MultiHeadAttention",
            INPUT,
            attention,
            |layer: &MultiHeadAttention, x| layer.forward(MhaInput::self_attn(x)).context,
        ),
        masked(
            "MultiHeadAttention, causal mask",
            attention,
            |layer, x, (_, causal)| {
                let input = MhaInput::self_attn(x).mask_attn(causal.clone());
                layer.forward(input).context
            },
        ),
        masked(
            "MultiHeadAttention, padding mask",
            attention,
            |layer, x, (padding, _)| {
                let input = MhaInput::self_attn(x).mask_pad(padding.clone());
                layer.forward(input).context
            },
        ),
        masked(
            "MultiHeadAttention, both masks, quiet softmax",
            |device| {
                let config = MultiHeadAttentionConfig::new(4, 2).with_quiet_softmax(true);
                config.init(device)
            },
            |layer: &MultiHeadAttention, x, (padding, causal)| {
                let input = MhaInput::self_attn(x)
                    .mask_pad(padding.clone())
                    .mask_attn(causal.clone());
                layer.forward(input).context
            },
        ),
        masked(
            "CrossAttention, two query heads a key head, mask",
            |device| CrossAttentionConfig::new(4, 4, 2, 1, 3).init(device),
            |layer: &CrossAttention, x, (padding, _)| {
                layer.forward(x.clone(), x.flip([1]), Some(padding.clone()))
            },
        ),
    ]
}

fn transformers() -> Vec<Entry> {
    let encoder = |device: &Device| TransformerEncoderConfig::new(4, 5, 2, 1).init(device);
    vec![
        surrounded(
            Family::Attention,
            "PositionWiseFeedForward",
            INPUT,
            |device| PositionWiseFeedForwardConfig::new(4, 5).init(device),
            |layer: &PositionWiseFeedForward, x| layer.forward(x),
        ),
        surrounded(
            Family::Attention,
            "TransformerEncoder, norm last",
            INPUT,
            encoder,
            |layer: &TransformerEncoder, x| layer.forward(TransformerEncoderInput::new(x)),
        ),
        surrounded(
            Family::Attention,
            "TransformerEncoder, norm first, two layers",
            INPUT,
            |device| {
                TransformerEncoderConfig::new(4, 5, 2, 2)
                    .with_norm_first(true)
                    .init(device)
            },
            |layer: &TransformerEncoder, x| layer.forward(TransformerEncoderInput::new(x)),
        ),
        masked(
            "TransformerEncoder, both masks",
            encoder,
            |layer, x, (padding, causal)| {
                let input = TransformerEncoderInput::new(x)
                    .mask_pad(padding.clone())
                    .mask_attn(causal.clone());
                layer.forward(input)
            },
        ),
        masked(
            "TransformerDecoder, causal mask, padded memory",
            |device| TransformerDecoderConfig::new(4, 5, 2, 1).init(device),
            |layer: &TransformerDecoder, x, (padding, causal)| {
                let input = TransformerDecoderInput::new(x.clone(), x.flip([1]))
                    .target_mask_attn(causal.clone())
                    .memory_mask_pad(padding.clone());
                layer.forward(input)
            },
        ),
    ]
}
