//! Recurrent layers in both directions, over all their states.

use super::entry::{Entry, Family};
use super::surround::{Layer, surrounded};
use burn::nn::{
    BiGru, BiGruConfig, BiLstm, BiLstmConfig, BiRnn, BiRnnConfig, Gru, GruConfig, Lstm, LstmConfig,
    Rnn, RnnConfig,
};
use burn::prelude::*;

fn entry<L: Layer>(
    name: &str,
    layer: impl Fn(&Device) -> L + Send + Sync + 'static,
    forward: fn(&L, Tensor<3>) -> Tensor<3>,
) -> Entry {
    surrounded(Family::Recurrent, name, [2, 3, 3], layer, forward)
}

pub(super) fn entries() -> Vec<Entry> {
    let lstm = |layer: &Lstm, x: Tensor<3>| layer.forward(x, None).0;
    let gru = |layer: &Gru, x: Tensor<3>| layer.forward(x, None);
    vec![
        entry(
            "Rnn",
            |device| RnnConfig::new(3, 2, true).init(device),
            |layer: &Rnn, x| layer.forward(x, None).0,
        ),
        entry(
            "BiRnn",
            |device| BiRnnConfig::new(3, 2, true).init(device),
            |layer: &BiRnn, x| layer.forward(x, None).0,
        ),
        entry(
            "Lstm",
            |device| LstmConfig::new(3, 2, true).init(device),
            lstm,
        ),
        entry(
            "Lstm, coupled gates, backwards, without bias",
            |device| {
                LstmConfig::new(3, 2, false)
                    .with_input_forget(true)
                    .with_reverse(true)
                    .init(device)
            },
            lstm,
        ),
        entry(
            "Lstm, last state and cell only",
            |device| LstmConfig::new(3, 2, true).init(device),
            |layer: &Lstm, x| {
                let (_, state) = layer.forward(x, None);
                Tensor::cat(vec![state.hidden, state.cell], 1).unsqueeze_dim(1)
            },
        ),
        entry(
            "Lstm, clipped states",
            |device| {
                let config = LstmConfig::new(3, 2, true).with_clip(Some(0.1));
                config.init(device)
            },
            lstm,
        )
        .piecewise(),
        entry(
            "BiLstm",
            |device| BiLstmConfig::new(3, 2, true).init(device),
            |layer: &BiLstm, x| layer.forward(x, None).0,
        ),
        entry("Gru", |device| GruConfig::new(3, 2, true).init(device), gru),
        entry(
            "Gru, reset before the product",
            |device| {
                let config = GruConfig::new(3, 2, true).with_reset_after(false);
                config.init(device)
            },
            gru,
        ),
        entry(
            "BiGru",
            |device| BiGruConfig::new(3, 2, true).init(device),
            |layer: &BiGru, x| layer.forward(x, None).0,
        ),
    ]
}
