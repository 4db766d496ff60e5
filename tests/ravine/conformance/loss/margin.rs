//! Losses with margins, of scores and of embeddings.

use super::{LINEAR, classes, entry};
use crate::conformance::entry::{Entry, floats};
use burn::nn::loss::*;
use burn::prelude::*;

pub(super) fn entries() -> Vec<Entry> {
    let mut all = margins();
    all.extend(embeddings());
    all.into_iter().map(Entry::piecewise).collect()
}

/// Ones and minus ones.
fn signs(device: &Device) -> Tensor<2> {
    floats([6, 2], device, |k| if k % 3 == 0 { 1.0 } else { -1.0 })
}

fn margins() -> Vec<Entry> {
    let multi = |name, p| {
        entry(name, 3, classes, move |scores, labels: &Tensor<1, Int>| {
            let loss = MultiMarginLossConfig::new()
                .with_margin(0.8)
                .with_p(p)
                .init();
            loss.forward(scores, labels.clone(), Reduction::Mean)
        })
    };
    vec![
        entry("SoftMarginLoss", 2, signs, |scores, signs| {
            SoftMarginLoss::new().forward(scores, signs.clone(), Reduction::Mean)
        }),
        entry("HingeEmbeddingLoss", 2, signs, |scores, signs| {
            let loss = HingeEmbeddingLossConfig::new().init();
            loss.forward(scores, signs.clone(), Reduction::Mean)
        })
        .flat(LINEAR),
        entry("MarginRankingLoss", 2, signs, |scores, signs| {
            let loss = MarginRankingLossConfig::new().with_margin(0.3).init();
            let others = scores.clone().roll_dim(1, 0);
            loss.forward(scores, others, signs.clone(), Reduction::Mean)
        })
        .flat(LINEAR),
        multi("MultiMarginLoss, p = 1", 1).flat(LINEAR),
        multi("MultiMarginLoss, p = 2", 2),
    ]
}

fn embeddings() -> Vec<Entry> {
    let triplet = |name, p| {
        entry(
            name,
            3,
            |_| (),
            move |found, ()| {
                let (positive, negative) =
                    (found.clone().roll_dim(1, 0), found.clone().roll_dim(2, 0));
                let loss = TripletMarginLossConfig::new().with_p(p).init();
                loss.forward(found, positive, negative, Reduction::Mean)
            },
        )
    };
    vec![
        entry(
            "CosineEmbeddingLoss",
            3,
            |device| {
                let signs = [1i64, -1, 1, -1, -1, 1];
                Tensor::from_data(TensorData::new(signs.to_vec(), [6]), device)
            },
            |found, signs: &Tensor<1, Int>| {
                let others = found.clone().roll_dim(1, 0);
                let loss = CosineEmbeddingLossConfig::new().with_margin(-0.5).init();
                loss.forward(found, others, signs.clone())
            },
        ),
        triplet("TripletMarginLoss", 2.0),
        triplet("TripletMarginLoss, p = 1", 1.0).flat(LINEAR),
        triplet("TripletMarginLoss, p = 4", 4.0),
    ]
}
