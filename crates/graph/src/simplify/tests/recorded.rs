//! Gradients and Hessian-vector products as they are recorded, before anything is simplified.

use super::*;
use crate::differentiate::{Derivative, differentiate};
use crate::parameters::LayerBehaviour;
use crate::record::{Evaluated, Recording};
use burn::module::Module;
use burn::nn::transformer::{
    TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput,
};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::{Device, Int, Tensor};
use burn::tensor::activation::{log_softmax, tanh};

#[derive(Module, Debug)]
struct Perceptron {
    first: Linear,
    second: Linear,
}

impl Perceptron {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.second.forward(tanh(self.first.forward(x)))
    }
}

#[derive(Module, Debug)]
struct Attention {
    encoder: TransformerEncoder,
    head: Linear,
}

impl Attention {
    fn forward(&self, x: Tensor<3>) -> Tensor<2> {
        let [examples, _, width] = x.dims();
        let states = self.encoder.forward(TransformerEncoderInput::new(x));
        self.head
            .forward(states.mean_dim(1).reshape([examples, width]))
    }
}

fn cross_entropy(logits: Tensor<2>, labels: &Tensor<1, Int>) -> Tensor<1> {
    let all = log_softmax(logits, 1);
    let of_labels = all.gather(1, labels.clone().unsqueeze_dim::<2>(1));
    of_labels.mean().neg()
}

fn waves<const D: usize>(dims: [usize; D], device: &Device) -> Tensor<D> {
    let count = dims.iter().product();
    let values: Vec<f64> = (0..count).map(|k| (0.7 * k as f64).sin()).collect();
    Tensor::from_data(TensorData::new(values, dims), device)
}

fn recording<M: Module, const D: usize>(
    model: &M,
    dims: [usize; D],
    forward: fn(&M, Tensor<D>) -> Tensor<2>,
) -> Recording {
    let device = Device::flex();
    let labels = Tensor::<1, Int>::from_data(TensorData::from([0i64, 2, 1, 0]), &device);
    let batch = (waves(dims, &device), labels);
    let run = |model: &M, (x, labels): &(Tensor<D>, Tensor<1, Int>)| {
        let outputs = forward(model, x.clone());
        Evaluated {
            loss: cross_entropy(outputs.clone(), labels),
            outputs: Some(outputs.into_dispatch()),
        }
    };
    Recording::new(model, &batch, LayerBehaviour::Evaluation, &run).unwrap()
}

fn inputs_of(graph: &Graph) -> Vec<TensorData> {
    let value = |(position, &id): (usize, &usize)| {
        let (dims, kind) = (graph.dims(id).to_vec(), graph.values[id].kind);
        let count: usize = dims.iter().product();
        match kind {
            Kind::Int => TensorData::new((0..count as i64).map(|k| k % 3).collect(), dims),
            _ => {
                let number = |k| 0.5 * (0.9 * k as f64 + position as f64).sin();
                TensorData::new((0..count).map(number).collect::<Vec<f64>>(), dims)
            }
        }
    };
    graph.inputs.iter().enumerate().map(value).collect()
}

/// Checks the recorded derivatives, and gives their nodes as recorded and as simplified.
fn check_derivatives(what: &str, recording: &Recording) -> [(usize, usize); 2] {
    let parameters = recording.counts().parameters;
    let by: Vec<usize> = (0..parameters).collect();
    let gradient = differentiate(recording.forward(), &by, Derivative::OfLoss).unwrap();
    let first = recording.first_gradient();
    let directions = Derivative::OfProducts(first..first + parameters);
    let product = differentiate(recording.gradient(), &by, directions).unwrap();
    [gradient, product].map(|graph| {
        let graph = graph.without_detach().without_dead_code();
        check(what, &graph, &inputs_of(&graph), &mut Found::new());
        (graph.nodes.len(), simplify(graph).nodes.len())
    })
}

#[test]
fn derivatives_of_a_perceptron_are_not_changed() {
    let device = Device::flex();
    let model = Perceptron {
        first: LinearConfig::new(5, 4).init(&device),
        second: LinearConfig::new(4, 3).init(&device),
    };
    let recording = recording(&model, [4, 5], Perceptron::forward);
    let [gradient, product] = check_derivatives("perceptron", &recording);
    // the recorded gradient still marks its constants
    let without_marks = recording.gradient().clone().without_detach();
    assert_eq!(gradient.1, without_marks.nodes.len());
    assert!(product.1 < product.0, "{product:?}");
    // neither the maximum of the softmax nor ones for broadcasts are left
    for graph in [recording.gradient(), recording.product().unwrap()] {
        let counts = graph.operation_counts();
        assert_eq!(counts.get("max_dim_with_indices"), None, "{graph}");
        assert_eq!(counts.get("scatter"), Some(&1), "{graph}");
    }
    let matmuls = |graph: &Graph| graph.operation_counts()["matmul"];
    assert_eq!(matmuls(recording.gradient()), 5);
}

#[test]
fn derivatives_of_attention_are_not_changed() {
    let device = Device::flex();
    let model = Attention {
        encoder: TransformerEncoderConfig::new(8, 12, 2, 1).init(&device),
        head: LinearConfig::new(8, 3).init(&device),
    };
    let recording = recording(&model, [4, 3, 8], Attention::forward);
    check_derivatives("attention", &recording);
}
