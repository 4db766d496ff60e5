//! A training loop of one's own around a method of `ravine-optim`: mini-batches of two moons, a damped Newton step on each, and a run that
//! is cut in the middle and goes on from files, the module by Burn's record and the method by its state, bitwise as if it had not been cut.
//!
//! `cargo run --example training_loop`

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::activation::log_softmax;
use ravine_curvature::{Objective, vector};
use ravine_optim::{Damping, Method, MethodState, Newton, Oracle};

type Failure = Box<dyn std::error::Error>;

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
}

type Points = (Tensor<2>, Tensor<1, Int>);

/// The `index`-th of four parts of two moons.
fn moons(index: usize, device: &Device) -> Points {
    let count = 200;
    let place = |i: usize| {
        let angle = std::f32::consts::PI * (i / 2) as f32 / (count / 2) as f32;
        match i % 2 {
            0 => [angle.cos(), angle.sin()],
            _ => [1.0 - angle.cos(), 0.5 - angle.sin()],
        }
    };
    let part = || (0..count).filter(|i| (i / 2) % 4 == index % 4);
    let points: Vec<f32> = part().flat_map(place).collect();
    let labels: Vec<i32> = part().map(|i| (i % 2) as i32).collect();
    let rows = labels.len();
    (
        Tensor::from_data(TensorData::new(points, [rows, 2]), device),
        Tensor::from_data(TensorData::new(labels, [rows]), device),
    )
}

fn objective() -> Objective<Net, Points> {
    Objective::new(
        |net: &Net, (x, _): &Points| net.output.forward(net.hidden.forward(x.clone()).tanh()),
        |logits: Tensor<2>, (_, y)| {
            -log_softmax(logits, 1)
                .gather(1, y.clone().unsqueeze_dim(1))
                .mean()
        },
    )
}

/// Some steps of any method on any module: what a training loop has to do.
fn train(
    mut net: Net,
    objective: &Objective<Net, Points>,
    method: &mut dyn Method,
    steps: std::ops::Range<usize>,
) -> Result<Net, Failure> {
    let device = net.hidden.weight.val().device();
    let mut oracle = Oracle::new(objective.at(&net, &moons(0, &device))?);
    for number in steps {
        let point = objective.at(&net, &moons(number, &device))?;
        let theta = point.theta().clone();
        oracle.set_batch(point.clone());
        let step = method.step(&mut oracle, &theta)?;
        net = point.move_to(step.theta)?.write_back(net)?;
        println!(
            "step {number:2}: loss {:.4}, promised {:+.4}, {:?}, so far {:?}",
            step.loss_before,
            step.predicted_change.unwrap_or(f64::NAN),
            step.ending.kind(),
            oracle.cost(),
        );
    }
    Ok(net)
}

fn main() -> Result<(), Failure> {
    let device = Device::flex();
    device.seed(0);
    let start = Net {
        hidden: LinearConfig::new(2, 8).init(&device),
        output: LinearConfig::new(8, 2).init(&device),
    };
    let objective = objective();
    let newton = || Newton::new(Damping::adaptive());

    println!("in one piece");
    let whole = train(start.clone(), &objective, &mut newton(), 0..12)?;

    println!("cut after six steps");
    let folder = std::env::temp_dir().join(format!("ravine-training-loop-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let (net_file, method_file) = (folder.join("net.bpk"), folder.join("newton.cbor"));
    let mut first = newton();
    let half = train(start.clone(), &objective, &mut first, 0..6)?;
    half.save_file(&net_file)?;
    first.state()?.save(&method_file)?;

    println!("going on from the files");
    let restored = start.try_load_file(&net_file)?;
    let mut second = newton();
    second.load_state(&MethodState::load(&method_file)?)?;
    let resumed = train(restored, &objective, &mut second, 6..12)?;
    std::fs::remove_dir_all(&folder)?;

    let theta = |net: &Net| -> Result<Vec<f64>, Failure> {
        let point = objective.at(net, &moons(0, &device))?;
        Ok(vector::to_f64(point.theta()))
    };
    assert_eq!(theta(&whole)?, theta(&resumed)?);
    println!("the same parameters, bit for bit");
    Ok(())
}
