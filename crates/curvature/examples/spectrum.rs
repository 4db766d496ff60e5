//! The spectrum of the Hessian of a small network on points of two moons: trace, saddle index, outliers, density, and a verdict on the
//! products.
//!
//! `cargo run --example spectrum`

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use ravine_curvature::spectrum::{Scale, SlqOptions, slq};
use ravine_curvature::{Objective, Seed, VerifyOptions, verify_hessian};

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
}

type Points = (Tensor<2>, Tensor<1, Int>);

fn moons(count: usize, device: &Device) -> Points {
    let place = |i: usize| {
        let angle = std::f32::consts::PI * (i / 2) as f32 / (count / 2) as f32;
        match i % 2 {
            0 => [angle.cos(), angle.sin()],
            _ => [1.0 - angle.cos(), 0.5 - angle.sin()],
        }
    };
    let points: Vec<f32> = (0..count).flat_map(place).collect();
    let labels: Vec<i32> = (0..count).map(|i| (i % 2) as i32).collect();
    (
        Tensor::from_data(TensorData::new(points, [count, 2]), device),
        Tensor::from_data(TensorData::new(labels, [count]), device),
    )
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex();
    device.seed(0);
    let model = Net {
        hidden: LinearConfig::new(2, 32).init(&device),
        output: LinearConfig::new(32, 2).init(&device),
    };
    let objective = Objective::new(
        |net: &Net, (x, _): &Points| net.output.forward(net.hidden.forward(x.clone()).tanh()),
        |logits: Tensor<2>, (_, y)| {
            let log_probabilities = burn::tensor::activation::log_softmax(logits, 1);
            -log_probabilities
                .gather(1, y.clone().unsqueeze_dim(1))
                .mean()
        },
    );
    let point = objective.at(&model, &moons(200, &device))?;

    let hessian = point.hessian();
    let measure = slq(&hessian, &SlqOptions::default(), Seed::new(0))?;
    println!(
        "trace {:?}",
        measure.trace_of_function(|t| t).interval(0.95)
    );
    println!("negative eigenvalues {:?}", measure.inertia(1e-6).negative);
    for outlier in measure.outliers(0.05 * measure.largest()) {
        println!(
            "λ = {:.4} ± {:.0e}, about {:.1} times",
            outlier.value, outlier.residual, outlier.multiplicity.value
        );
    }
    let density = measure.density(Scale::Linear, 0.01 * measure.largest(), 400)?;
    let peak = density.values.iter().fold(0.0_f64, |m, x| m.max(*x));
    println!("highest density {peak:.1}");
    println!(
        "{}",
        verify_hessian(&point, &VerifyOptions::default(), Seed::new(0))?
    );
    Ok(())
}
