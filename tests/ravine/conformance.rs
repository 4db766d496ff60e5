//! Products of many layers and losses in f64: against central differences, by both methods, and symmetric.

use crate::support::{
    devices, direction, gradient_difference, labels, loss_difference, relative, tensor,
};
use burn::module::{Module, ModuleDisplay, ModuleMapper, Param};
use burn::nn::attention::{
    MhaInput, MultiHeadAttention, MultiHeadAttentionConfig, generate_autoregressive_mask,
};
use burn::nn::conv::{Conv1d, Conv1dConfig, Conv2d, Conv2dConfig};
use burn::nn::loss::{BinaryCrossEntropyLossConfig, CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::pool::{
    AdaptiveAvgPool1d, AdaptiveAvgPool1dConfig, AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig,
    AvgPool1d, AvgPool1dConfig, AvgPool2d, AvgPool2dConfig, MaxPool1d, MaxPool1dConfig, MaxPool2d,
    MaxPool2dConfig,
};
use burn::nn::{
    BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear,
    LinearConfig, Lstm, LstmConfig, PaddingConfig2d,
};
use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::activation;
use ravine_curvature::{Batch, HvpMethod, LinearOperator, Mode, Objective, Seed, vector};

/// Deterministic f64 parameters near their usual initial values: ones stay near one, the rest is small.
struct Spread {
    at: usize,
}

impl ModuleMapper for Spread {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, old, mapper) = param.consume();
        let dims = old.dims();
        let count: usize = dims.iter().product();
        let ones = old.to_data().iter::<f64>().all(|x| x == 1.0);
        let values: Vec<f64> = (self.at..self.at + count)
            .map(|i| (1.0 + 7.31 * i as f64).sin() * 0.4 + if ones { 1.0 } else { 0.0 })
            .collect();
        self.at += count;
        let value =
            Tensor::<D>::from_data(TensorData::new(values, dims), (&old.device(), DType::F64));
        Param::from_mapped_value(id, value, mapper)
    }
}

fn spread<M: Module>(module: M) -> M {
    module.map(&mut Spread { at: 0 })
}

fn noise<const D: usize>(dims: [usize; D], device: &Device) -> Tensor<D> {
    tensor(dims, device, DType::F64, |k| (0.7 + 3.17 * k as f64).sin())
}

/// All checks at one point, on both devices.
fn conforms<M: Module, B: Batch>(name: &str, case: impl Fn(&Device) -> (Objective<M, B>, M, B)) {
    // a maximum has kinks: the differences must stay on one side of them
    let h = if name.contains("max") { 2e-6 } else { 2e-4 };
    for device in devices() {
        let (objective, model, batch) = case(&device);
        let point = objective
            .at(&model, &batch)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(point.dtype(), DType::F64, "{name}");
        let (u, v) = (direction(&point, 0.3), direction(&point, 1.9));
        let gradient = point.gradient().unwrap();
        let slope = loss_difference(&point, &v, h);
        let error = (vector::dot(&gradient, &v) - slope).abs() / vector::norm(&gradient);
        assert!(
            error < 1e-8,
            "{name}: gradient off by {error:e} on {device:?}"
        );
        let hessian = point.hessian();
        let hv = hessian
            .apply(&v)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = gradient_difference(&point, &v, h);
        let error = relative(&hv, &expected);
        assert!(error < 1e-7, "{name}: Hv off by {error:e} on {device:?}");
        let hu = hessian.apply(&u).unwrap();
        let (a, b) = (vector::dot(&u, &hv), vector::dot(&v, &hu));
        let asymmetry = (a - b).abs() / vector::norm(&hv).max(vector::norm(&hu));
        assert!(
            asymmetry < 1e-12,
            "{name}: asymmetric by {asymmetry:e} on {device:?}"
        );
        let tape = hessian
            .by(HvpMethod::Tape)
            .apply(&v)
            .unwrap_or_else(|error| panic!("{name} by tape: {error}"));
        let error = relative(&tape, &hv);
        assert!(
            error < 1e-10,
            "{name}: methods differ by {error:e} on {device:?}"
        );
    }
}

#[derive(Module, Debug)]
struct Mlp {
    first: Linear,
    second: Linear,
    third: Linear,
}

impl Mlp {
    fn new(outputs: usize, device: &Device) -> Self {
        spread(Self {
            first: LinearConfig::new(4, 6).init(device),
            second: LinearConfig::new(6, 5).init(device),
            third: LinearConfig::new(5, outputs).init(device),
        })
    }
    fn forward(&self, x: Tensor<2>, activation: fn(Tensor<2>) -> Tensor<2>) -> Tensor<2> {
        let x = activation(self.first.forward(x));
        self.third.forward(activation(self.second.forward(x)))
    }
}

type NamedActivation = (&'static str, fn(Tensor<2>) -> Tensor<2>);

fn activations() -> [NamedActivation; 6] {
    [
        ("tanh", activation::tanh),
        ("relu", activation::relu),
        ("gelu", activation::gelu),
        ("silu", activation::silu),
        ("sigmoid", activation::sigmoid),
        ("softplus", |x| activation::softplus(x, 1.0)),
    ]
}

#[test]
fn mlp_with_cross_entropy() {
    for (name, function) in activations() {
        conforms(&format!("{name}, cross entropy"), |device| {
            let objective = Objective::new(
                move |model: &Mlp, (x, _): &(Tensor<2>, Tensor<1, Int>)| {
                    model.forward(x.clone(), function)
                },
                |logits, (_, y)| {
                    CrossEntropyLossConfig::new()
                        .init(&logits.device())
                        .forward(logits, y.clone())
                },
            );
            (
                objective,
                Mlp::new(3, device),
                (noise([7, 4], device), labels(7, 3, device)),
            )
        });
    }
}

#[test]
fn mlp_with_mse() {
    for (name, function) in activations() {
        conforms(&format!("{name}, mse"), |device| {
            let objective = Objective::new(
                move |model: &Mlp, (x, _): &(Tensor<2>, Tensor<2>)| {
                    model.forward(x.clone(), function)
                },
                |outputs, (_, y)| MseLoss::new().forward(outputs, y.clone(), Reduction::Mean),
            );
            (
                objective,
                Mlp::new(2, device),
                (noise([7, 4], device), noise([7, 2], device)),
            )
        });
    }
}

#[test]
fn mlp_with_binary_cross_entropy() {
    for (name, function) in activations() {
        conforms(&format!("{name}, binary cross entropy"), |device| {
            let objective = Objective::new(
                move |model: &Mlp, (x, _): &(Tensor<2>, Tensor<1, Int>)| {
                    model.forward(x.clone(), function)
                },
                |logits: Tensor<2>, (_, y)| {
                    BinaryCrossEntropyLossConfig::new()
                        .with_logits(true)
                        .init(&logits.device())
                        .forward(logits.squeeze_dim(1), y.clone())
                },
            );
            (
                objective,
                Mlp::new(1, device),
                (noise([9, 4], device), labels(9, 2, device)),
            )
        });
    }
}

#[derive(Module, Debug)]
struct Cnn<P: Module> {
    first: Conv2d,
    pool: P,
    second: Conv2d,
    head: Linear,
}

fn cnn<P: Module + ModuleDisplay + Clone + 'static>(
    name: &str,
    head: usize,
    pool: impl Fn() -> P,
    forward: fn(&P, Tensor<4>) -> Tensor<4>,
) {
    conforms(name, |device| {
        let model = spread(Cnn {
            first: Conv2dConfig::new([2, 3], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device),
            pool: pool(),
            second: Conv2dConfig::new([3, 2], [2, 2])
                .with_stride([2, 1])
                .init(device),
            head: LinearConfig::new(head, 3).init(device),
        });
        let objective = Objective::new(
            move |model: &Cnn<P>, (x, _): &(Tensor<4>, Tensor<1, Int>)| {
                let x = activation::tanh(model.first.forward(x.clone()));
                let x = activation::tanh(model.second.forward(forward(&model.pool, x)));
                model.head.forward(x.flatten(1, 3))
            },
            |logits, (_, y)| crate::support::cross_entropy(logits, y),
        );
        (
            objective,
            model,
            (noise([3, 2, 7, 6], device), labels(3, 3, device)),
        )
    });
}

#[test]
fn cnn_with_average_pooling() {
    let pool = || AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
    cnn("avg_pool2d", 4, pool, |pool: &AvgPool2d, x| pool.forward(x));
    let padded = || {
        AvgPool2dConfig::new([3, 2])
            .with_strides([2, 1])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_count_include_pad(false)
            .init()
    };
    cnn(
        "avg_pool2d, padded",
        2 * 2 * 6,
        padded,
        |pool: &AvgPool2d, x| pool.forward(x),
    );
}

#[test]
fn cnn_with_max_pooling() {
    let pool = || MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
    cnn("max_pool2d", 4, pool, |pool: &MaxPool2d, x| pool.forward(x));
    let padded = || {
        MaxPool2dConfig::new([3, 3])
            .with_strides([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .init()
    };
    cnn(
        "max_pool2d, padded",
        2 * 2 * 2,
        padded,
        |pool: &MaxPool2d, x| pool.forward(x),
    );
}

#[test]
fn cnn_with_adaptive_pooling() {
    let pool = || AdaptiveAvgPool2dConfig::new([4, 3]).init();
    cnn(
        "adaptive_avg_pool2d",
        2 * 2 * 2,
        pool,
        |pool: &AdaptiveAvgPool2d, x| pool.forward(x),
    );
}

#[derive(Module, Debug)]
struct Cnn1d<P: Module> {
    first: Conv1d,
    pool: P,
    head: Linear,
}

fn cnn1d<P: Module + ModuleDisplay + Clone + 'static>(
    name: &str,
    head: usize,
    pool: impl Fn() -> P,
    forward: fn(&P, Tensor<3>) -> Tensor<3>,
) {
    conforms(name, |device| {
        let model = spread(Cnn1d {
            first: Conv1dConfig::new(2, 3, 3).init(device),
            pool: pool(),
            head: LinearConfig::new(head, 2).init(device),
        });
        let objective = Objective::new(
            move |model: &Cnn1d<P>, (x, _): &(Tensor<3>, Tensor<2>)| {
                let x = activation::tanh(model.first.forward(x.clone()));
                model.head.forward(forward(&model.pool, x).flatten(1, 2))
            },
            |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).mean(),
        );
        (
            objective,
            model,
            (noise([4, 2, 10], device), noise([4, 2], device)),
        )
    });
}

#[test]
fn pooling_in_one_dimension() {
    cnn1d(
        "max_pool1d",
        12,
        || MaxPool1dConfig::new(2).with_stride(2).init(),
        |pool: &MaxPool1d, x| pool.forward(x),
    );
    cnn1d(
        "avg_pool1d",
        12,
        || AvgPool1dConfig::new(2).with_stride(2).init(),
        |pool: &AvgPool1d, x| pool.forward(x),
    );
    cnn1d(
        "adaptive_avg_pool1d",
        9,
        || AdaptiveAvgPool1dConfig::new(3).init(),
        |pool: &AdaptiveAvgPool1d, x| pool.forward(x),
    );
}

#[derive(Module, Debug)]
struct Normalised<N: Module> {
    first: Linear,
    norm: N,
    second: Linear,
}

fn normalised<N: Module + ModuleDisplay + Clone + 'static>(
    name: &str,
    mode: Mode,
    norm: impl Fn(&Device) -> N,
    forward: fn(&N, Tensor<2>) -> Tensor<2>,
) {
    conforms(name, |device| {
        let model = spread(Normalised {
            first: LinearConfig::new(4, 5).init(device),
            norm: norm(device),
            second: LinearConfig::new(5, 3).init(device),
        });
        let objective = Objective::new(
            move |model: &Normalised<N>, (x, _): &(Tensor<2>, Tensor<1, Int>)| {
                let x = forward(&model.norm, model.first.forward(x.clone()));
                model.second.forward(activation::tanh(x))
            },
            |logits, (_, y)| crate::support::cross_entropy(logits, y),
        )
        .mode(mode);
        (
            objective,
            model,
            (noise([8, 4], device), labels(8, 3, device)),
        )
    });
}

#[test]
fn batch_norm_in_both_modes() {
    let norm = |device: &Device| BatchNormConfig::new(5).init(device);
    let forward = |norm: &BatchNorm, x: Tensor<2>| norm.forward(x);
    normalised("batch_norm, evaluation", Mode::Evaluation, norm, forward);
    let training = Mode::Training { seed: Seed::new(3) };
    normalised("batch_norm, training", training, norm, forward);
}

#[test]
fn layer_norm() {
    let norm = |device: &Device| LayerNormConfig::new(5).init(device);
    normalised(
        "layer_norm",
        Mode::Evaluation,
        norm,
        |norm: &LayerNorm, x| norm.forward(x),
    );
}

#[derive(Module, Debug)]
struct Attending {
    embedding: Embedding,
    attention: MultiHeadAttention,
    head: Linear,
}

#[test]
fn embedding_and_attention_with_a_mask() {
    conforms("embedding and attention", |device| {
        let model = spread(Attending {
            embedding: EmbeddingConfig::new(6, 4).init(device),
            attention: MultiHeadAttentionConfig::new(4, 2)
                .with_dropout(0.0)
                .init(device),
            head: LinearConfig::new(4, 6).init(device),
        });
        let objective = Objective::new(
            |model: &Attending,
             (tokens, _, mask): &(Tensor<2, Int>, Tensor<1, Int>, Tensor<3, Bool>)| {
                let x = model.embedding.forward(tokens.clone());
                let x = model
                    .attention
                    .forward(MhaInput::self_attn(x).mask_attn(mask.clone()))
                    .context;
                model.head.forward(x).flatten(0, 1)
            },
            |logits: Tensor<2>, (_, targets, _)| crate::support::cross_entropy(logits, targets),
        );
        let tokens: Vec<i64> = (0..15).map(|i| (i * i + 1) % 6).collect();
        let batch = (
            Tensor::from_data(TensorData::new(tokens, [3, 5]), device),
            labels(15, 6, device),
            generate_autoregressive_mask(3, 5, device),
        );
        (objective, model, batch)
    });
}

#[derive(Module, Debug)]
struct Recurrent {
    lstm: Lstm,
    head: Linear,
}

#[test]
fn lstm() {
    conforms("lstm", |device| {
        let model = spread(Recurrent {
            lstm: LstmConfig::new(3, 4, true).init(device),
            head: LinearConfig::new(4, 3).init(device),
        });
        let objective = Objective::new(
            |model: &Recurrent, (x, _): &(Tensor<3>, Tensor<1, Int>)| {
                let (states, _) = model.lstm.forward(x.clone(), None);
                let [batch, steps, width] = states.dims();
                model.head.forward(
                    states
                        .slice([0..batch, steps - 1..steps, 0..width])
                        .flatten::<2>(1, 2),
                )
            },
            |logits, (_, y)| crate::support::cross_entropy(logits, y),
        );
        (
            objective,
            model,
            (noise([4, 5, 3], device), labels(4, 3, device)),
        )
    });
}
