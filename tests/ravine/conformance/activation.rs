//! Activations, over inputs that reach both sides of their kinks.

use super::entry::{Entry, Family};
use super::surround::surrounded;
use burn::nn::activation::*;
use burn::nn::{Identity, PRelu, PReluConfig};
use burn::prelude::*;
use burn::tensor::activation;

pub(super) fn entries() -> Vec<Entry> {
    let mut all = smooth();
    all.extend(piecewise().into_iter().map(Entry::piecewise));
    all.extend(with_parameters());
    all
}

/// An activation without parameters, of inputs between −3 and 3.
fn entry(name: &str, forward: fn(Tensor<2>) -> Tensor<2>) -> Entry {
    surrounded(
        Family::Activation,
        name,
        [5, 4],
        |_| Identity::new(),
        move |_: &Identity, x: Tensor<2>| forward(x * 3.0),
    )
}

fn smooth() -> Vec<Entry> {
    vec![
        entry("Tanh", |x| Tanh::new().forward(x)),
        entry("Sigmoid", |x| Sigmoid::new().forward(x)),
        entry("LogSigmoid", |x| LogSigmoid::new().forward(x)),
        entry("Gelu, exact", |x| Gelu::new().forward(x)),
        entry("Gelu, tanh approximation", |x| {
            Gelu::new_approximate().forward(x)
        }),
        entry("SiLU", |x| SiLU::new().forward(x)),
        entry("Mish", |x| Mish::new().forward(x)),
        entry("Tanhshrink", |x| Tanhshrink::new().forward(x)),
        entry("GLU", |x| GLU::new(1).forward(x)),
        entry("softmax", |x| activation::softmax(x, 1)),
        entry("softmin", |x| activation::softmin(x, 1)),
        entry("log_softmax", |x| activation::log_softmax(x, 1)),
        entry("quiet_softmax", |x| activation::quiet_softmax(x, 1)),
        // a threshold within reach makes it piecewise, but with a smooth join up to rounding
        entry("Softplus", |x| SoftplusConfig::new().init().forward(x)),
        entry("Softplus, beta 2", |x| {
            SoftplusConfig::new().with_beta(2.0).init().forward(x)
        }),
    ]
}

fn piecewise() -> Vec<Entry> {
    vec![
        entry("Relu", |x| Relu::new().forward(x)),
        entry("Relu6", |x| Relu6::new().forward(x * 2.0)),
        entry("LeakyRelu", |x| LeakyReluConfig::new().init().forward(x)),
        entry("HardSigmoid", |x| {
            HardSigmoidConfig::new().init().forward(x)
        }),
        entry("HardSwish", |x| HardSwish::new().forward(x)),
        entry("Hardtanh", |x| HardtanhConfig::new().init().forward(x)),
        entry("Elu", |x| EluConfig::new().init().forward(x)),
        entry("Celu, alpha 0.7", |x| {
            CeluConfig::new().with_alpha(0.7).init().forward(x)
        }),
        entry("Selu", |x| Selu::new().forward(x)),
        entry("Softsign", |x| Softsign::new().forward(x)),
        entry("HardShrink", |x| HardShrinkConfig::new().init().forward(x)),
        entry("SoftShrink", |x| SoftShrinkConfig::new().init().forward(x)),
        entry("Shrink", |x| ShrinkConfig::new().init().forward(x)),
        entry("Threshold", |x| {
            ThresholdConfig::new(0.3, -0.2).init().forward(x)
        }),
        entry("ThresholdedRelu", |x| {
            ThresholdedReluConfig::new()
                .with_alpha(0.4)
                .init()
                .forward(x)
        }),
    ]
}

fn with_parameters() -> Vec<Entry> {
    let prelu = |layer: &PRelu, x: Tensor<3>| layer.forward(x);
    vec![
        surrounded(
            Family::Activation,
            "PRelu, one slope",
            [2, 3, 4],
            |device| PReluConfig::new().init(device),
            prelu,
        )
        .piecewise(),
        surrounded(
            Family::Activation,
            "PRelu, a slope for each channel",
            [2, 3, 4],
            |device| PReluConfig::new().with_num_parameters(3).init(device),
            prelu,
        )
        .piecewise(),
        surrounded(
            Family::Activation,
            "RRelu, evaluation",
            [5, 4],
            |_| RReluConfig::new().init(),
            |layer: &RRelu, x: Tensor<2>| layer.forward(x),
        )
        .piecewise(),
        surrounded(
            Family::Activation,
            "SwiGlu",
            [2, 3, 4],
            |device| SwiGluConfig::new(4, 3).with_bias(true).init(device),
            |layer: &SwiGlu, x: Tensor<3>| layer.forward(x),
        ),
    ]
}
