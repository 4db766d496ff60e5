//! Small problems with known answers, as Burn modules in f32 on Flex.

use burn::module::{Module, Param};
use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::{Objective, Point, Precision, vector};

/// A module of nothing but a vector.
#[derive(Module, Debug)]
pub(crate) struct Coordinates {
    pub(crate) theta: Param<Tensor<1>>,
}

impl Coordinates {
    pub(crate) fn new(theta: &[f32]) -> Self {
        Self {
            theta: Param::from_tensor(vector32(theta)),
        }
    }
}

pub(crate) fn vector32(values: &[f32]) -> Tensor<1> {
    Tensor::from_data(values, &Device::flex())
}

pub(crate) fn vector64(values: &[f64]) -> Tensor<1> {
    vector::from_f64(values, &Device::flex(), DType::F64)
}

/// ½ Σ λᵢ (θᵢ − mᵢ)²: eigenvalues λ, minimum m.
pub(crate) fn quadratic(eigenvalues: &[f32], minimum: &[f32]) -> Point {
    let objective = Objective::of_loss(
        |model: &Coordinates, (eigenvalues, minimum): &(Tensor<1>, Tensor<1>)| {
            let error = model.theta.val() - minimum.clone();
            (error.clone() * error * eigenvalues.clone()).sum() * 0.5
        },
    );
    let batch = (vector32(eigenvalues), vector32(minimum));
    objective.at(&Coordinates::new(minimum), &batch).unwrap()
}

/// ½ Σ λᵢ θᵢ², evaluated in f64; λ must be exact in f32.
pub(crate) fn quadratic_in_f64(eigenvalues: &[f32]) -> Point {
    let objective = Objective::of_loss(|model: &Coordinates, eigenvalues: &Tensor<1>| {
        let theta = model.theta.val();
        (theta.clone() * theta * eigenvalues.clone()).sum() * 0.5
    })
    .precision(Precision::F64);
    let start = vec![1.0; eigenvalues.len()];
    objective
        .at(&Coordinates::new(&start), &vector32(eigenvalues))
        .unwrap()
}

/// ½ θᵀAθ with A = [[500.5, 499.5], [499.5, 500.5]], eigenvalues 1000 and 1, evaluated in f64.
pub(crate) fn coupled_in_f64() -> Point {
    let objective = Objective::of_loss(|model: &Coordinates, matrix: &Tensor<2>| {
        let theta = model.theta.val().reshape([2, 1]);
        (matrix.clone().matmul(theta.clone()) * theta).sum() * 0.5
    })
    .precision(Precision::F64);
    let matrix = Tensor::<2>::from_data([[500.5, 499.5], [499.5, 500.5]], &Device::flex());
    objective
        .at(&Coordinates::new(&[3.0, -1.0]), &matrix)
        .unwrap()
}

/// ½ (θ₀² − θ₁²): a saddle at 0.
pub(crate) fn saddle() -> Point {
    quadratic(&[1.0, -1.0], &[0.0, 0.0])
}

/// 100 (θ₁ − θ₀²)² + (1 − θ₀)²: Rosenbrock's valley, minimum 0 at (1, 1).
pub(crate) fn rosenbrock() -> Point {
    rosenbrock_with(Precision::Model)
}

/// Rosenbrock's valley, evaluated in f64.
pub(crate) fn rosenbrock_in_f64() -> Point {
    rosenbrock_with(Precision::F64)
}

fn rosenbrock_with(precision: Precision) -> Point {
    let objective = Objective::of_loss(|model: &Coordinates, (): &()| {
        let theta = model.theta.val();
        let x = theta.clone().slice(0..1);
        let y = theta.slice(1..2);
        let ravine = y - x.clone() * x.clone();
        let slope = x.neg() + 1.0;
        (ravine.clone() * ravine) * 100.0 + slope.clone() * slope
    })
    .precision(precision);
    objective.at(&Coordinates::new(&[-1.2, 1.0]), &()).unwrap()
}

/// Value, gradient and Hessian of a function of the plane, in closed form.
pub(crate) struct ByHand {
    pub(crate) loss: f64,
    pub(crate) gradient: [f64; 2],
    pub(crate) hessian: [[f64; 2]; 2],
}

/// Rosenbrock's valley by hand.
pub(crate) fn rosenbrock_by_hand([x, y]: [f64; 2]) -> ByHand {
    let (ravine, slope) = (y - x * x, 1.0 - x);
    let mixed = -400.0 * x;
    ByHand {
        loss: 100.0 * ravine * ravine + slope * slope,
        gradient: [mixed * ravine - 2.0 * slope, 200.0 * ravine],
        hessian: [[1200.0 * x * x - 400.0 * y + 2.0, mixed], [mixed, 200.0]],
    }
}

/// φ(H) v of a symmetric matrix of the plane, by the projections on its two eigenvectors.
pub(crate) fn function_by_hand(
    [[a, b], [_, c]]: [[f64; 2]; 2],
    phi: impl Fn(f64) -> f64,
    [v, w]: [f64; 2],
) -> [f64; 2] {
    let (middle, radius) = (0.5 * (a + c), (0.5 * (a - c)).hypot(b));
    if radius == 0.0 {
        return [phi(middle) * v, phi(middle) * w];
    }
    let (low, high) = (middle - radius, middle + radius);
    // The projection on the upper eigenvector: (H − low I) / (high − low).
    let upper = [
        ((a - low) * v + b * w) / (high - low),
        (b * v + (c - low) * w) / (high - low),
    ];
    let of = |upper: f64, whole: f64| phi(high) * upper + phi(low) * (whole - upper);
    [of(upper[0], v), of(upper[1], w)]
}

/// The lower eigenvalue.
pub(crate) fn lowest_by_hand([[a, b], [_, c]]: [[f64; 2]; 2]) -> f64 {
    0.5 * (a + c) - (0.5 * (a - c)).hypot(b)
}

pub(crate) fn times([[a, b], [c, d]]: [[f64; 2]; 2], [v, w]: [f64; 2]) -> [f64; 2] {
    [a * v + b * w, c * v + d * w]
}

pub(crate) fn inner([a, b]: [f64; 2], [v, w]: [f64; 2]) -> f64 {
    a * v + b * w
}

/// a + t b.
pub(crate) fn plus([a, b]: [f64; 2], t: f64, [v, w]: [f64; 2]) -> [f64; 2] {
    [a + t * v, b + t * w]
}

/// Compares a method on Rosenbrock's valley in f64, from a place where it curves downwards and from the usual start, with a loop that was
/// written by hand; a step that stays must stay in both.
pub(crate) fn assert_follows(
    mut method: impl FnMut() -> Box<dyn crate::Method>,
    steps: usize,
    mut by_hand: impl FnMut() -> Box<dyn FnMut([f64; 2]) -> [f64; 2]>,
) {
    for begin in [[0.1, 1.0], [-1.2, 1.0]] {
        let (mut method, mut by_hand) = (method(), by_hand());
        let mut oracle = crate::Oracle::new(rosenbrock_in_f64());
        let (mut theta, mut expected) = (vector64(&begin), begin);
        for step in 0..steps {
            theta = method.step(&mut oracle, &theta).unwrap().theta;
            expected = by_hand(expected);
            for (found, expected) in vector::to_f64(&theta).iter().zip(expected) {
                let error = (found - expected).abs() / expected.abs().max(1.0);
                assert!(error < 1e-10, "{begin:?}, step {step}: {found} {expected}");
            }
        }
    }
}

/// θ₀² − θ₁² + θ₁⁴, evaluated in f64: a saddle at 0, minima −¼ at (0, ±√½).
pub(crate) fn double_well() -> Point {
    let objective = Objective::of_loss(|model: &Coordinates, (): &()| {
        let theta = model.theta.val();
        let x = theta.clone().slice(0..1);
        let y = theta.slice(1..2);
        let square = y.clone() * y;
        x.clone() * x - square.clone() + square.clone() * square
    })
    .precision(Precision::F64);
    objective.at(&Coordinates::new(&[0.5, 0.01]), &()).unwrap()
}

/// Two hidden units and no biases: tanh(x W₁) w₂.
#[derive(Module, Debug)]
pub(crate) struct Bottleneck {
    pub(crate) first: Param<Tensor<2>>,
    pub(crate) second: Param<Tensor<2>>,
}

/// Mean squared errors of a small network near the saddle where all its weights are 0, with weight decay, evaluated in f64.
pub(crate) fn bottleneck() -> Point {
    let device = Device::flex();
    let model = Bottleneck {
        first: Param::from_tensor(Tensor::from_data([[0.03, -0.02], [0.01, 0.04]], &device)),
        second: Param::from_tensor(Tensor::from_data([[0.02], [-0.03]], &device)),
    };
    let objective = Objective::of_loss(
        |model: &Bottleneck, (inputs, targets): &(Tensor<2>, Tensor<2>)| {
            let (first, second) = (model.first.val(), model.second.val());
            let hidden = inputs.clone().matmul(first.clone()).tanh();
            let error = hidden.matmul(second.clone()) - targets.clone();
            let decay = (first.clone() * first).sum() + (second.clone() * second).sum();
            (error.clone() * error).mean() + decay * 0.01
        },
    )
    .precision(Precision::F64);
    let inputs = Tensor::<2>::from_data(
        [[1.0, 0.5], [-0.5, 1.0], [0.3, -1.2], [-1.0, -0.4]],
        &device,
    );
    let targets = Tensor::<2>::from_data([[0.8], [-0.6], [0.7], [-0.5]], &device);
    objective.at(&model, &(inputs, targets)).unwrap()
}

/// A linear model with a logistic loss, mean over the examples of log(1 + exp(−y xᵀw − y b)) + ½ · 0.1 ‖w‖².
#[derive(Module, Debug)]
pub(crate) struct Logistic {
    pub(crate) weight: Param<Tensor<2>>,
    pub(crate) bias: Param<Tensor<1>>,
}

/// Inputs `[examples, 2]` and labels ±1 `[examples, 1]`.
pub(crate) type Labelled = (Tensor<2>, Tensor<2>);

pub(crate) fn logistic_model(device: &Device) -> Logistic {
    Logistic {
        weight: Param::from_tensor(Tensor::from_data([[0.3], [-0.2]], device)),
        bias: Param::from_tensor(Tensor::from_data([0.1], device)),
    }
}

pub(crate) fn logistic_batch(device: &Device) -> Labelled {
    let inputs = [
        [1.0, 2.0],
        [2.0, -1.0],
        [-1.5, 0.5],
        [-1.0, -2.0],
        [0.5, 1.0],
    ];
    let labels = [[1.0], [1.0], [-1.0], [-1.0], [-1.0]];
    (
        Tensor::from_data(inputs, device),
        Tensor::from_data(labels, device),
    )
}

pub(crate) fn logistic_loss(model: &Logistic, (inputs, labels): &Labelled) -> Tensor<1> {
    let scores = inputs.clone().matmul(model.weight.val()) + model.bias.val().unsqueeze::<2>();
    let margins = scores * labels.clone();
    let losses = (margins.neg().exp() + 1.0).log();
    let weight = model.weight.val();
    losses.mean() + (weight.clone() * weight).sum() * 0.05
}

/// The logistic problem at its initial parameters.
pub(crate) fn logistic() -> Point {
    let device = Device::flex();
    Objective::of_loss(logistic_loss)
        .at(&logistic_model(&device), &logistic_batch(&device))
        .unwrap()
}

/// The values of a tensor in f32, for comparisons.
pub(crate) trait ToVec {
    fn to_vec_f32(self) -> Vec<f32>;
}

impl<const D: usize> ToVec for Tensor<D> {
    fn to_vec_f32(self) -> Vec<f32> {
        self.into_data_as::<f32>().try_into_vec().unwrap()
    }
}

/// The numbers of [`least_squares`]: W from 0, X from 5, Y from 17, row by row.
pub(crate) fn least_squares_number(i: usize) -> f32 {
    ((i * 37 + 11) % 23) as f32 / 8.0 - 1.375
}

/// ½/N ‖X W + 1 bᵀ − Y‖² of one linear layer from 3 to 2 on 6 examples, evaluated in f64.
pub(crate) fn least_squares() -> Point {
    use burn::nn::Linear;
    let device = Device::flex();
    let number = least_squares_number;
    let numbers =
        |from: usize, count: usize| -> Vec<f32> { (from..from + count).map(number).collect() };
    let matrix = |from: usize, rows: usize, columns: usize| {
        Tensor::<1>::from_data(numbers(from, rows * columns).as_slice(), &device)
            .reshape([rows, columns])
    };
    let model = Linear {
        weight: Param::from_tensor(matrix(0, 3, 2)),
        bias: Some(Param::from_tensor(vector32(&[0.5, -0.25]))),
    };
    let objective = Objective::new(
        |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
        |outputs, (_, y)| (outputs - y.clone()).powi_scalar(2).sum() * (0.5 / 6.0),
    )
    .precision(Precision::F64);
    let batch = (matrix(5, 6, 3), matrix(17, 6, 2));
    objective.at(&model, &batch).unwrap()
}
