//! Losses of sequences of different lengths.

use super::entry;
use crate::conformance::entry::Entry;
use burn::nn::loss::*;
use burn::prelude::*;
use burn::tensor::activation::log_softmax;

/// Symbols of the sequences, lengths of the inputs, and how many symbols each has.
type Aligned = (Tensor<2, Int>, (Tensor<1, Int>, Tensor<1, Int>));

fn aligned(symbols: &[i64], inputs: &[i64], counts: &[i64], device: &Device) -> Aligned {
    let numbers = |values: &[i64]| {
        Tensor::<1, Int>::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
    };
    let symbols = numbers(symbols).reshape([inputs.len() as i32, -1]);
    (symbols, (numbers(inputs), numbers(counts)))
}

pub(super) fn entries() -> Vec<Entry> {
    // over three symbols: three steps of two sequences, or six
    let ctc = |name, width: usize, targets: fn(&Device) -> Aligned| {
        entry(
            name,
            width,
            targets,
            |outputs, (symbols, (inputs, counts)): &Aligned| {
                let found = log_softmax(outputs.reshape([-1, 2, 3]), 2);
                let loss = CTCLossConfig::new().init();
                let (inputs, counts) = (inputs.clone(), counts.clone());
                loss.forward(found, symbols.clone(), inputs, counts).mean()
            },
        )
    };
    // over three symbols: three steps of one sequence with one symbol, or of two
    let rnnt = |name, width: usize, targets: fn(&Device) -> Aligned| {
        entry(
            name,
            width,
            targets,
            |outputs, (symbols, (inputs, counts)): &Aligned| {
                let loss = RNNTLossConfig::new().init();
                let (inputs, counts) = (inputs.clone(), counts.clone());
                let outputs = outputs.reshape([-1, 3, 2, 3]);
                loss.forward(outputs, symbols.clone(), inputs, counts)
                    .mean()
            },
        )
    };
    vec![
        ctc("CTCLoss", 3, |device| {
            aligned(&[1, 2], &[3, 3], &[1, 1], device)
        }),
        ctc("CTCLoss, lengths differ, a symbol repeats", 6, |device| {
            aligned(&[1, 1, 2, 0], &[6, 5], &[2, 1], device)
        }),
        rnnt("RNNTLoss", 3, |device| aligned(&[1], &[3], &[1], device)),
        rnnt("RNNTLoss, lengths differ", 6, |device| {
            aligned(&[1, 2], &[3, 2], &[1, 0], device)
        }),
    ]
}
