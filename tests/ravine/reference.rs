//! Loss, gradient and products against frozen f64 values of two other frameworks, for each workload, device, dtype and method.

use crate::support::{cosines, cross_entropy, devices, labels, probe, tensor};
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{AvgPool2d, AvgPool2dConfig};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::activation::{log_sigmoid, tanh};
use ravine_curvature::{HvpMethod, LinearOperator, Objective, Point, vector};
use serde_json::Value;

#[derive(Module, Debug)]
struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    fn new(widths: &[usize], device: &Device, dtype: DType) -> Self {
        let layers = widths
            .windows(2)
            .map(|pair| LinearConfig::new(pair[0], pair[1]).init(device))
            .collect();
        cosines(Self { layers }, dtype)
    }

    fn forward(&self, mut x: Tensor<2>) -> Tensor<2> {
        for (index, layer) in self.layers.iter().enumerate() {
            x = layer.forward(x);
            if index + 1 < self.layers.len() {
                x = tanh(x);
            }
        }
        x
    }
}

#[derive(Module, Debug)]
struct Cnn {
    first: Conv2d,
    second: Conv2d,
    pool: AvgPool2d,
    head: Linear,
}

impl Cnn {
    fn new(device: &Device, dtype: DType) -> Self {
        let cnn = Self {
            first: Conv2dConfig::new([1, 8], [3, 3]).init(device),
            second: Conv2dConfig::new([8, 16], [3, 3]).init(device),
            pool: AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            head: LinearConfig::new(400, 10).init(device),
        };
        cosines(cnn, dtype)
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(tanh(self.first.forward(x)));
        let x = self.pool.forward(tanh(self.second.forward(x)));
        self.head.forward(x.flatten(1, 3))
    }
}

#[derive(Module, Debug)]
struct Quadratic {
    x: Param<Tensor<1>>,
}

fn mlp(widths: &[usize], batch: usize, device: &Device, dtype: DType, method: HvpMethod) -> Point {
    let objective = Objective::new(
        |model: &Mlp, (x, _): &(Tensor<2>, Tensor<1, Int>)| model.forward(x.clone()),
        |logits, (_, y)| cross_entropy(logits, y),
    )
    .hvp_method(method);
    let x = tensor([batch, widths[0]], device, dtype, |k| {
        (0.1 * k as f64).sin()
    });
    let model = Mlp::new(widths, device, dtype);
    objective
        .at(&model, &(x, labels(batch, 10, device)))
        .unwrap()
}

fn logreg(device: &Device, dtype: DType, method: HvpMethod) -> Point {
    let objective = Objective::new(
        |model: &Linear, (x, _): &(Tensor<2>, Tensor<2>)| model.forward(x.clone()),
        |z, (_, y)| {
            let positive = log_sigmoid(z.clone()) * y.clone();
            let negative = log_sigmoid(z.neg()) * (y.clone().neg() + 1.0);
            (positive + negative).mean().neg()
        },
    )
    .hvp_method(method);
    let d = 200;
    let x = tensor([1000, d], device, dtype, |k| {
        let (i, j) = (k / d, k % d);
        10f64.powf(-3.0 * j as f64 / (d - 1) as f64) * (((i + 1) * (j + 1)) as f64).sin()
    });
    let y = tensor([1000, 1], device, dtype, |i| (i % 2) as f64);
    let model = cosines(LinearConfig::new(d, 1).init(device), dtype);
    objective.at(&model, &(x, y)).unwrap()
}

fn quadratic(device: &Device, dtype: DType, method: HvpMethod) -> Point {
    let d = 1000;
    let lambda: Vec<f64> = (0..d)
        .map(|k| 1e4f64.powf(-(k as f64) / (d - 1) as f64))
        .collect();
    let raw: Vec<f64> = (0..d).map(|k| ((k + 1) as f64).sin()).collect();
    let norm = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
    let u: Vec<f64> = raw.iter().map(|x| x / norm).collect();
    let s: f64 = lambda.iter().zip(&u).map(|(l, u)| l * u * u).sum();
    let a = tensor([d, d], device, dtype, |k| {
        let (i, j) = (k / d, k % d);
        let diagonal = if i == j { lambda[i] } else { 0.0 };
        diagonal - 2.0 * u[i] * u[j] * (lambda[i] + lambda[j] - 2.0 * s)
    });
    let objective = Objective::of_loss(|model: &Quadratic, a: &Tensor<2>| {
        let x = model.x.val().reshape([1, -1]);
        (x.clone().matmul(a.clone()) * x).sum() * 0.5
    })
    .hvp_method(method);
    let model = cosines(
        Quadratic {
            x: Param::from_tensor(Tensor::zeros([d], device)),
        },
        dtype,
    );
    objective.at(&model, &a).unwrap()
}

fn cnn(device: &Device, dtype: DType, method: HvpMethod) -> Point {
    let objective = Objective::new(
        |model: &Cnn, (x, _): &(Tensor<4>, Tensor<1, Int>)| model.forward(x.clone()),
        |logits, (_, y)| cross_entropy(logits, y),
    )
    .hvp_method(method);
    let x = tensor([64, 1, 28, 28], device, dtype, |k| (0.1 * k as f64).sin());
    objective
        .at(&Cnn::new(device, dtype), &(x, labels(64, 10, device)))
        .unwrap()
}

/// Compares everything that the reference holds about products with the Hessian.
fn check(name: &str, point: &Point, tolerance: f64) {
    let text = include_str!("../reference/reference_f64.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    let entry = &reference["cos"][name];
    let number = |key: &str| {
        entry[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} has no {key}"))
    };
    let numbers = |key: &str| -> Vec<f64> {
        entry[key]
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect()
    };
    let near = |what: &str, found: f64, expected: f64, scale: f64| {
        let error = (found - expected).abs() / scale;
        assert!(
            error <= tolerance,
            "{name} {what}: {found:e}, expected {expected:e}, error {error:e}"
        );
    };
    assert_eq!(point.dim(), number("n_params") as usize, "{name}");
    let hessian = point.hessian();
    let (g, v) = (point.gradient().unwrap(), probe(point));
    let hg = hessian.apply(&g).unwrap();
    let hv = hessian.apply(&v).unwrap();
    near(
        "loss",
        point.loss().unwrap(),
        number("loss"),
        number("loss"),
    );
    near("‖g‖", vector::norm(&g), number("g_norm"), number("g_norm"));
    near("gᵀg", vector::dot(&g, &g), number("gTg"), number("gTg"));
    near("gᵀHg", vector::dot(&g, &hg), number("gHg"), number("gHg"));
    near(
        "‖Hg‖",
        vector::norm(&hg),
        number("Hg_norm"),
        number("Hg_norm"),
    );
    near(
        "‖Hv‖",
        vector::norm(&hv),
        number("Hv_norm"),
        number("Hv_norm"),
    );
    let scale = number("v_norm") * number("Hv_norm");
    near("vᵀHv", vector::dot(&v, &hv), number("vHv"), scale);
    near(
        "gᵀHv",
        vector::dot(&g, &hv),
        number("gHv"),
        number("g_norm") * number("Hv_norm"),
    );
    for (what, found, norm) in [
        ("g", &g, "g_norm"),
        ("Hv", &hv, "Hv_norm"),
        ("Hg", &hg, "Hg_norm"),
    ] {
        let found = vector::to_f64(found);
        let places = numbers("sample_idx");
        for (place, expected) in places.iter().zip(numbers(&format!("{what}_sample"))) {
            near(what, found[*place as usize], expected, number(norm));
        }
    }
}

fn check_everywhere(name: &str, point: impl Fn(&Device, DType, HvpMethod) -> Point) {
    for device in devices() {
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-4)] {
            for method in [HvpMethod::Recorded, HvpMethod::Tape] {
                check(name, &point(&device, dtype, method), tolerance);
            }
        }
    }
}

#[test]
fn mlp_small() {
    check_everywhere("mlp_small", |device, dtype, method| {
        mlp(&[64, 32, 10], 128, device, dtype, method)
    });
}

#[test]
fn mlp_digits() {
    check_everywhere("mlp_digits", |device, dtype, method| {
        mlp(&[64, 128, 128, 10], 256, device, dtype, method)
    });
}

#[test]
fn logreg_illcond() {
    check_everywhere("logreg_illcond", logreg);
}

#[test]
fn quad_1000() {
    check_everywhere("quad_1000", quadratic);
}

#[test]
fn cnn_small() {
    check_everywhere("cnn_small", cnn);
}

/// The top of the spectrum by Lanczos and the whole of it by a dense matrix.
#[test]
fn spectra() {
    let text = include_str!("../reference/reference_f64.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    let device = Device::flex();
    let point = mlp(&[64, 32, 10], 128, &device, DType::F64, HvpMethod::Recorded);
    let entry = &reference["cos"]["mlp_small"];
    let top: Vec<f64> = entry["H_top10"]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect();
    let options = ravine_curvature::LanczosOptions {
        pairs: 10,
        tolerance: 1e-9,
        ..Default::default()
    };
    let found =
        ravine_curvature::lanczos_top_k(&point.hessian(), &options, ravine_curvature::Seed::new(1))
            .unwrap();
    let largest = top.iter().fold(f64::MIN, |m, x| m.max(*x));
    let mut expected = top.clone();
    expected.sort_by(|a, b| b.total_cmp(a));
    for (pair, expected) in found.pairs.iter().zip(&expected) {
        assert!(
            (pair.value - expected).abs() < 1e-8 * largest,
            "{} {expected}",
            pair.value
        );
        assert!(pair.residual < 1e-7 * largest, "{}", pair.residual);
    }
    let dense = ravine_curvature::dense(&point.hessian()).unwrap();
    let trace = entry["H_trace"].as_f64().unwrap();
    assert!((dense.trace() - trace).abs() < 1e-10 * trace.abs());
    assert!(dense.asymmetry() < 1e-12);
}
