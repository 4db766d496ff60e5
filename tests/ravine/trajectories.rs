//! Every method, step by step in f64, against an implementation that is not ours: `tests/fixtures` holds its θ after each step, and
//! names it in the field `by`.

mod burn_optimizers;
mod diagonal;
mod first_order;
mod gauss_newton;
mod line_searches;
mod newton;
mod saddles;

use std::sync::OnceLock;

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::{Objective, Point, vector};
use ravine_optim::{Method, Oracle};
use serde_json::Value;

use crate::support::{cross_entropy, tensor};

/// ‖θ − reference‖_∞ / ‖reference‖_∞ that is tolerated after any step; the worst found was 5e-10, of the longer rate of
/// Barzilai and Borwein, which amplifies rounding; most lie below 1e-13.
const TOLERANCE: f64 = 1e-8;

fn fixture() -> &'static Value {
    static FIXTURE: OnceLock<Value> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        serde_json::from_str(include_str!("../fixtures/trajectories.json")).unwrap()
    })
}

/// The numbers of an array, row by row.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn tensor_of<const D: usize>(dims: [usize; D], values: &[f64]) -> Tensor<D> {
    tensor(dims, &Device::flex(), DType::F64, |i| values[i])
}

/// Runs a method from the start of its problem and compares θ after each step.
fn follow(name: &str, method: impl Method) {
    follow_within(name, method, TOLERANCE);
}

fn follow_within(name: &str, mut method: impl Method, tolerance: f64) {
    let entry = &fixture()["trajectories"][name];
    let by = entry["by"].as_str().unwrap();
    let references = entry["theta"].as_array().unwrap();
    assert!(references.len() >= 10, "{name}");
    let problem = problem(entry["problem"].as_str().unwrap());
    let mut theta = problem.theta().clone();
    let mut oracle = Oracle::new(problem);
    let mut worst = 0.0_f64;
    for (index, reference) in references.iter().enumerate() {
        let step = method.step(&mut oracle, &theta).unwrap();
        theta = step.theta;
        let error = distance(&vector::to_f64(&theta), &numbers(reference));
        worst = worst.max(error);
        assert!(
            error <= tolerance,
            "{name} leaves {by} in step {index}: {error:e}"
        );
    }
    println!("{name}: {worst:.1e} from {by}");
}

/// In the maximum norm, relative to the reference.
fn distance(found: &[f64], reference: &[f64]) -> f64 {
    assert_eq!(found.len(), reference.len());
    let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    let error = largest(&mut found.iter().zip(reference).map(|(a, b)| (a - b).abs()));
    match error.is_nan() || found.iter().any(|x| x.is_nan()) {
        true => f64::NAN,
        false => error / largest(&mut reference.iter().map(|x| x.abs())),
    }
}

fn problem(name: &str) -> Point {
    let data = &fixture()["problems"][name];
    match name {
        "quadratic" => quadratic(data),
        "rosenbrock" => rosenbrock(data),
        "regression" => regression(data),
        "network" => network(data),
        _ => panic!("no problem {name}"),
    }
}

#[derive(Module, Debug)]
struct Coordinates {
    theta: Param<Tensor<1>>,
}

impl Coordinates {
    fn new(data: &Value) -> Self {
        let start = numbers(&data["start"]);
        Self {
            theta: Param::from_tensor(tensor_of([start.len()], &start)),
        }
    }
}

/// ½ (θ − m)ᵀA(θ − m).
fn quadratic(data: &Value) -> Point {
    let minimum = numbers(&data["minimum"]);
    let dim = minimum.len();
    let batch = (
        tensor_of([dim, dim], &numbers(&data["matrix"])),
        tensor_of([1, dim], &minimum),
    );
    Objective::of_loss(
        |model: &Coordinates, (matrix, minimum): &(Tensor<2>, Tensor<2>)| {
            let error = model.theta.val().unsqueeze::<2>() - minimum.clone();
            (error.clone().matmul(matrix.clone()) * error).sum() * 0.5
        },
    )
    .at(&Coordinates::new(data), &batch)
    .unwrap()
}

/// Σ 100 (x_{i+1} − xᵢ²)² + (1 − xᵢ)².
fn rosenbrock(data: &Value) -> Point {
    Objective::of_loss(|model: &Coordinates, (): &()| {
        let x = model.theta.val();
        let [dim] = x.dims();
        let (low, high) = (x.clone().slice(0..dim - 1), x.slice(1..dim));
        let ravine = high - low.clone() * low.clone();
        let slope = low.neg() + 1.0;
        ((ravine.clone() * ravine) * 100.0 + slope.clone() * slope).sum()
    })
    .at(&Coordinates::new(data), &())
    .unwrap()
}

#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    output: Linear,
}

const INPUTS: usize = 5;
const HIDDEN: usize = 4;
const CLASSES: usize = 3;

/// Takes the next weight and bias of a layer off the numbers.
fn layer(rest: &mut &[f64], inputs: usize, outputs: usize) -> Linear {
    let (weight, after) = rest.split_at(inputs * outputs);
    let (bias, after) = after.split_at(outputs);
    *rest = after;
    Linear {
        weight: Param::from_tensor(tensor_of([inputs, outputs], weight)),
        bias: Some(Param::from_tensor(tensor_of([outputs], bias))),
    }
}

type Labelled = (Tensor<2>, Tensor<1, Int>);

fn labelled(data: &Value, width: usize) -> Labelled {
    let labels: Vec<i64> = numbers(&data["labels"]).iter().map(|&y| y as i64).collect();
    let examples = labels.len();
    (
        tensor_of([examples, width], &numbers(&data["inputs"])),
        Tensor::from_data(TensorData::new(labels, [examples]), &Device::flex()),
    )
}

/// Mean cross entropy of a linear model + 0.05 ‖θ‖².
fn regression(data: &Value) -> Point {
    let start = numbers(&data["start"]);
    let model = layer(&mut start.as_slice(), 4, CLASSES);
    Objective::of_loss(|model: &Linear, (x, y): &Labelled| {
        let weight = model.weight.val();
        let bias = model.bias.as_ref().unwrap().val();
        let squares = (weight.clone() * weight).sum() + (bias.clone() * bias).sum();
        cross_entropy(model.forward(x.clone()), y) + squares * 0.05
    })
    .at(&model, &labelled(data, 4))
    .unwrap()
}

/// Mean cross entropy of a tanh network.
fn network(data: &Value) -> Point {
    let start = numbers(&data["start"]);
    let mut rest = start.as_slice();
    let model = Network {
        hidden: layer(&mut rest, INPUTS, HIDDEN),
        output: layer(&mut rest, HIDDEN, CLASSES),
    };
    Objective::new(
        |model: &Network, (x, _): &Labelled| {
            model.output.forward(model.hidden.forward(x.clone()).tanh())
        },
        |outputs, (_, y)| cross_entropy(outputs, y),
    )
    .at(&model, &labelled(data, INPUTS))
    .unwrap()
}

/// Nothing in the fixture goes unread.
#[test]
fn every_trajectory_is_followed() {
    let sources = [
        include_str!("trajectories/burn_optimizers.rs"),
        include_str!("trajectories/diagonal.rs"),
        include_str!("trajectories/first_order.rs"),
        include_str!("trajectories/gauss_newton.rs"),
        include_str!("trajectories/line_searches.rs"),
        include_str!("trajectories/newton.rs"),
        include_str!("trajectories/saddles.rs"),
    ];
    for name in fixture()["trajectories"].as_object().unwrap().keys() {
        let quoted = format!("\"{name}\"");
        assert!(
            sources.iter().any(|source| source.contains(&quoted)),
            "no test follows {name}"
        );
    }
}

/// The comparison sees what it should: another rate leaves the trajectory at once.
#[test]
#[should_panic(expected = "leaves torch.optim.SGD in step 0")]
fn another_rate_is_noticed() {
    follow(
        "gradient-descent/constant",
        ravine_optim::GradientDescent::new(0.1),
    );
}
