//! Every loss of Burn, of the outputs of a small network.

mod margin;
mod sequence;

use super::entry::{Entry, Family, floats, noise, spread};
use crate::support::labels;
use burn::module::Module;
use burn::nn::loss::*;
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::activation::{log_softmax, sigmoid, softmax, softplus, tanh};
use ravine_curvature::Batch;

pub(super) fn entries() -> Vec<Entry> {
    let mut all = classification();
    all.extend(binary());
    all.extend(regression());
    all.extend(likelihoods());
    all.extend(margin::entries());
    all.extend(sequence::entries());
    all
}

/// Why some losses are refused.
const READS_DATA: &str = "reads the data of a computed tensor";

/// Why the Gauss-Newton matrix of some losses is zero.
const LINEAR: &str = "the loss is linear in the outputs, piece by piece";

#[derive(Module, Debug)]
struct Network {
    first: Linear,
    second: Linear,
}

/// A loss of the `[6, width]` outputs of a network.
fn entry<T: Batch + 'static>(
    name: &str,
    width: usize,
    targets: impl Fn(&Device) -> T + Send + Sync + 'static,
    loss: impl Fn(Tensor<2>, &T) -> Tensor<1> + Send + Sync + 'static,
) -> Entry {
    Entry::new(
        Family::Loss,
        name,
        move |device| {
            let model = spread(Network {
                first: LinearConfig::new(3, 4).init(device),
                second: LinearConfig::new(4, width).init(device),
            });
            (model, (noise([6, 3], device), targets(device)))
        },
        |model: &Network, (x, _): &(Tensor<2>, T)| {
            model
                .second
                .forward(tanh(model.first.forward(x.clone() * 2.0)))
        },
        move |outputs, (_, targets)| loss(outputs * 2.0, targets),
    )
}

fn classes(device: &Device) -> Tensor<1, Int> {
    labels(6, 3, device)
}

/// A soft target of three classes for each example.
fn probabilities(device: &Device) -> Tensor<2> {
    floats([6, 3], device, probability)
}

fn probability(k: usize) -> f64 {
    [0.2, 0.5, 0.3, 0.7, 0.1, 0.2][k % 6]
}

fn classification() -> Vec<Entry> {
    type Labels = Tensor<1, Int>;
    let cross_entropy = |name, change: fn(CrossEntropyLossConfig) -> CrossEntropyLossConfig| {
        entry(name, 3, classes, move |logits, labels: &Labels| {
            let config = change(CrossEntropyLossConfig::new());
            config
                .init(&logits.device())
                .forward(logits, labels.clone())
        })
    };
    vec![
        cross_entropy("CrossEntropyLoss", |config| config),
        cross_entropy("CrossEntropyLoss, weighted", |config| {
            config.with_weights(Some(vec![0.5, 1.0, 2.0]))
        }),
        cross_entropy("CrossEntropyLoss, smoothed", |config| {
            config.with_smoothing(Some(0.1))
        }),
        cross_entropy("CrossEntropyLoss, smoothed, weighted", |config| {
            let config = config.with_weights(Some(vec![0.5, 1.0, 2.0]));
            config.with_smoothing(Some(0.2))
        }),
        cross_entropy("CrossEntropyLoss, padded", |config| {
            config.with_pad_tokens(Some(vec![0]))
        }),
        entry(
            "CrossEntropyLoss of probabilities",
            3,
            classes,
            |logits, labels: &Labels| {
                let config = CrossEntropyLossConfig::new().with_logits(false);
                let loss = config.init(&logits.device());
                loss.forward(softmax(logits, 1), labels.clone())
            },
        ),
        entry(
            "cross_entropy_with_logits",
            3,
            probabilities,
            |logits, targets| {
                burn::tensor::loss::cross_entropy_with_logits(logits, targets.clone())
            },
        ),
        entry(
            "cross entropy with one_hot labels",
            3,
            classes,
            |logits, labels: &Labels| {
                let targets = labels.clone().one_hot::<2>(3).float();
                (log_softmax(logits, 1) * targets).sum().neg()
            },
        )
        .refused(READS_DATA),
    ]
}

fn binary() -> Vec<Entry> {
    let many = |device: &Device| labels(12, 2, device).reshape([6, 2]);
    vec![
        entry(
            "BinaryCrossEntropyLoss of logits",
            1,
            |device| labels(6, 2, device),
            |logits, labels: &Tensor<1, Int>| {
                let config = BinaryCrossEntropyLossConfig::new().with_logits(true);
                let loss = config.init(&logits.device());
                loss.forward(logits.squeeze_dim(1), labels.clone())
            },
        ),
        entry(
            "BinaryCrossEntropyLoss of probabilities",
            2,
            many,
            |logits, labels: &Tensor<2, Int>| {
                let loss = BinaryCrossEntropyLossConfig::new().init(&logits.device());
                loss.forward(sigmoid(logits), labels.clone())
            },
        ),
        entry(
            "BinaryCrossEntropyLoss, weighted, smoothed",
            2,
            many,
            |logits, labels: &Tensor<2, Int>| {
                let loss = BinaryCrossEntropyLossConfig::new()
                    .with_logits(true)
                    .with_weights(Some(vec![0.5, 2.0]))
                    .with_smoothing(Some(0.1))
                    .init(&logits.device());
                loss.forward(logits, labels.clone())
            },
        ),
    ]
}

fn regression() -> Vec<Entry> {
    let targets = |device: &Device| noise([6, 2], device);
    let smooth = |name, loss: fn(Tensor<2>, Tensor<2>) -> Tensor<1>| {
        entry(name, 2, targets, move |outputs, targets: &Tensor<2>| {
            loss(outputs, targets.clone())
        })
    };
    let piecewise = |name, loss| smooth(name, loss).piecewise();
    vec![
        smooth("MseLoss", |x, y| {
            MseLoss::new().forward(x, y, Reduction::Mean)
        }),
        smooth("MseLoss, sum", |x, y| {
            MseLoss::new().forward(x, y, Reduction::Sum)
        }),
        piecewise("HuberLoss", |x, y| {
            HuberLossConfig::new(0.5)
                .init()
                .forward(x, y, Reduction::Mean)
        }),
        piecewise("SmoothL1Loss", |x, y| {
            let loss = SmoothL1LossConfig::new().with_beta(0.5).init();
            loss.forward_with_reduction(x, y, Reduction::Mean)
        }),
        piecewise("LpLoss, p = 1", |x, y| {
            LpLossConfig::l1().forward(x, y, Reduction::Mean)
        })
        .flat(LINEAR),
        smooth("LpLoss, p = 2", |x, y| {
            LpLossConfig::l2().forward(x, y, Reduction::Sum)
        }),
        piecewise("LpLoss, p = 3", |x, y| {
            LpLossConfig::new(3.0).init().forward(x, y, Reduction::Mean)
        }),
        piecewise("LpLoss, p = 1.5", |x, y| {
            LpLossConfig::new(1.5).init().forward(x, y, Reduction::Mean)
        }),
    ]
}

/// Whole numbers from 0 to 3.
fn counts(device: &Device) -> Tensor<2> {
    floats([6, 2], device, |k| (k % 4) as f64)
}

fn likelihoods() -> Vec<Entry> {
    let gaussian = |name, full| {
        entry(
            name,
            2,
            |device| noise([6, 1], device),
            move |outputs: Tensor<2>, targets: &Tensor<2>| {
                let mean = outputs.clone().slice([0..6, 0..1]);
                let variance = softplus(outputs.slice([0..6, 1..2]), 1.0);
                let loss = GaussianNLLLossConfig::new().with_full(full).init();
                loss.forward(mean, targets.clone(), variance, Reduction::Mean)
            },
        )
    };
    vec![
        entry("KLDivLoss", 3, probabilities, |logits, targets| {
            let loss = KLDivLossConfig::new().init();
            let found = log_softmax(logits, 1);
            loss.forward(found, targets.clone(), Reduction::BatchMean)
        }),
        entry(
            "KLDivLoss of logarithmic targets",
            3,
            |device| floats([6, 3], device, |k| probability(k).ln()),
            |logits, targets: &Tensor<2>| {
                let loss = KLDivLossConfig::new().with_log_target(true).init();
                let found = log_softmax(logits, 1);
                loss.forward(found, targets.clone(), Reduction::Mean)
            },
        ),
        gaussian("GaussianNLLLoss", false),
        gaussian("GaussianNLLLoss, full", true),
        entry("PoissonNllLoss", 2, counts, |outputs, targets| {
            let loss = PoissonNllLossConfig::new().init();
            loss.forward(outputs, targets.clone(), Reduction::Mean)
        })
        .refused(READS_DATA),
        entry(
            "PoissonNllLoss of rates, full",
            2,
            counts,
            |outputs, targets| {
                let config = PoissonNllLossConfig::new().with_log_input(false);
                let loss = config.with_full(true).init();
                loss.forward(softplus(outputs, 1.0), targets.clone(), Reduction::Mean)
            },
        )
        .refused(READS_DATA),
        entry(
            "Poisson likelihood written out",
            2,
            counts,
            |outputs, targets: &Tensor<2>| {
                (outputs.clone().exp() - targets.clone() * outputs).mean()
            },
        ),
    ]
}
