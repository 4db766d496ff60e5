//! # strong-gradient: does the gradient shrink while a network learns, and what does gᵀHg do?
//!
//! Training is often thought to end at a critical point. Goodfellow, Bengio and Courville show a network that learns well while the norm
//! of its gradients grows. Here norms and gᵀHg of single mini-batches are averaged over all batches of an epoch, at the parameters
//! before each epoch, so that the averages of different epochs see the same data. A ReLU network that starts
//! with halved weights is held against a control: a tanh network that starts at its normal scale.
//!
//! - **Expected:** in the ReLU network the gradient norm at least doubles and gᵀHg grows by more than an order of magnitude while the test error falls to a few percent; in the control the gradient shrinks
//! - **Takes:** a few seconds
//! - **Command:** `just exp strong-gradient`
//! - **Claim:** a network can train to a low error while its gradient does not shrink and gᵀHg grows by more than an order of magnitude
//! - **Source:** Goodfellow, Bengio and Courville (2016), Deep Learning, section 8.2.1, figure 8.1

use std::process::ExitCode;

use burn::prelude::*;
use ravine_curvature::{Monitor, Seed};
use ravine_experiments::{
    Axis, Band, Context, Criterion, DigitsConfig, DigitsProblem, Dtype, Experiment, Plot, Report,
    RunOptions, Seeds, Series, Table, median, significant,
};
use ravine_model::datasets::Standardisation;
use ravine_model::models::Activation;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of each hidden layer.
    hidden: Vec<usize>,
    /// Training examples; the rest of the 1,797 is for testing.
    examples: usize,
    /// Learning rate of SGD.
    rate: f64,
    /// Examples in a mini-batch.
    batch_size: usize,
    /// Passes over the training examples.
    epochs: usize,
    /// The initial weights of the ReLU network are multiplied by this; those of the control are not.
    scale: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden: vec![64, 64, 64],
            examples: 1437,
            rate: 0.05,
            batch_size: 16,
            epochs: 12,
            scale: 0.5,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Arm {
    /// ReLU, weights scaled down.
    Strong,
    /// tanh, weights as they are.
    Control,
}

impl Arm {
    const ALL: [Self; 2] = [Self::Strong, Self::Control];

    fn name(self) -> &'static str {
        match self {
            Self::Strong => "ReLU, weights halved",
            Self::Control => "tanh (control)",
        }
    }

    fn activation(self) -> Activation {
        match self {
            Self::Strong => Activation::Relu,
            Self::Control => Activation::Tanh,
        }
    }
}

/// The parameters before an epoch: means over all mini-batches, and the whole data.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Seen {
    epoch: usize,
    /// Mean of ‖g‖ over mini-batches.
    gradient_norm: f64,
    /// Mean of gᵀHg over mini-batches.
    gthg: f64,
    /// Mean of gᵀg over mini-batches.
    gtg: f64,
    /// ‖g‖ of the whole training set.
    full_gradient_norm: f64,
    /// gᵀHg of the whole training set.
    full_gthg: f64,
    train_loss: f64,
    test_error: f64,
}

#[derive(Serialize)]
struct Row<'a> {
    network: &'a str,
    seed: u64,
    #[serde(flatten)]
    seen: Seen,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("strong-gradient.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            dtype: Dtype::F64,
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.hidden = vec![8, 8];
            config.examples = 160;
            config.epochs = 2;
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    context.announce_cells(context.seeds().len() * Arm::ALL.len());
    let mut norm = Criterion::new("last/first gradient norm, ReLU", Band::at_least(2.0));
    let mut error = Criterion::new("test error at the end, ReLU", Band::at_most(0.05));
    let mut curvature = Criterion::new("last/first gᵀHg, ReLU", Band::at_least(10.0));
    let mut control = Criterion::new(
        "last/first gradient norm, tanh (control)",
        Band::at_most(1.0),
    );
    let mut plots: Vec<Plot> = [
        ("Norm of the gradients of mini-batches", "mean ‖g‖"),
        ("Curvature along them", "mean gᵀHg"),
        ("Norm of the gradient of the whole training set", "‖g‖"),
        ("Training loss", "mean cross entropy"),
    ]
    .into_iter()
    .map(|(title, label)| Plot::new(title, Axis::linear("epoch"), Axis::log(label)))
    .collect();
    let mut table = Table::new(
        "From the first parameters to the last, median over seeds",
        [
            "network",
            "‖g‖ first",
            "‖g‖ last",
            "gᵀHg first",
            "gᵀHg last",
            "whole-data ‖g‖ last/first",
            "training loss",
            "test error",
        ],
    );
    let mut grown = Vec::new();
    for arm in Arm::ALL {
        let mut curves: Vec<Vec<Vec<(f64, f64)>>> = vec![Vec::new(); plots.len()];
        let mut ends = Vec::new();
        for &seed in context.seeds() {
            let cell = context.cell(format!("network={}/seed={seed}", arm.name()), || {
                train(context, arm, seed)
            })?;
            let (first, last) = match cell.as_deref() {
                Ok([first, .., last]) => (*first, *last),
                _ => {
                    let missing = match arm {
                        Arm::Strong => [Some(&mut norm), Some(&mut error), Some(&mut curvature)],
                        Arm::Control => [Some(&mut control), None, None],
                    };
                    missing
                        .into_iter()
                        .flatten()
                        .for_each(|c| c.push(seed, f64::NAN));
                    continue;
                }
            };
            let ratio = last.gradient_norm / first.gradient_norm;
            match arm {
                Arm::Strong => {
                    norm.push(seed, ratio);
                    error.push(seed, last.test_error);
                    curvature.push(seed, last.gthg / first.gthg);
                    grown.push((ratio, last.gthg / first.gthg));
                }
                Arm::Control => control.push(seed, ratio),
            }
            ends.push((first, last));
            let values: [fn(&Seen) -> f64; 4] = [
                |seen| seen.gradient_norm,
                |seen| seen.gthg,
                |seen| seen.full_gradient_norm,
                |seen| seen.train_loss,
            ];
            for seen in cell.iter().flatten() {
                context.row(
                    "epochs",
                    &Row {
                        network: arm.name(),
                        seed,
                        seen: *seen,
                    },
                )?;
            }
            for (curves, value) in curves.iter_mut().zip(values) {
                let points = cell
                    .iter()
                    .flatten()
                    .map(|seen| (seen.epoch as f64, value(seen)));
                curves.push(points.collect());
            }
        }
        for (plot, curves) in plots.iter_mut().zip(curves) {
            plot.push(Series::over_seeds(arm.name(), curves));
        }
        let over = |value: fn(&(Seen, Seen)) -> f64| median(ends.iter().map(value));
        table.push([
            arm.name().into(),
            over(|(first, _)| first.gradient_norm).into(),
            over(|(_, last)| last.gradient_norm).into(),
            over(|(first, _)| first.gthg).into(),
            over(|(_, last)| last.gthg).into(),
            over(|(first, last)| last.full_gradient_norm / first.full_gradient_norm).into(),
            over(|(_, last)| last.train_loss).into(),
            over(|(_, last)| last.test_error).into(),
        ]);
    }
    let report = Report::new("Training with a gradient that stays strong")
        .finding(format!(
            "In the ReLU network with initial weights times {} the mean gradient norm of mini-batches grew {} times, their gᵀHg {} times (medians over seeds).",
            config.scale,
            significant(median(grown.iter().map(|g| g.0)), 3),
            significant(median(grown.iter().map(|g| g.1)), 3),
        ))
        .criterion(norm)
        .criterion(error)
        .criterion(curvature)
        .criterion(control)
        .section("Epoch by epoch");
    let mut plots = plots.into_iter();
    let report = plots.next().into_iter().fold(report, Report::plot);
    Ok(report.plots(plots).table(table))
}

fn train(context: &Context<Config>, arm: Arm, seed: u64) -> anyhow::Result<Vec<Seen>> {
    let config = context.config();
    let digits = DigitsConfig {
        hidden: config.hidden.clone(),
        activation: arm.activation(),
        pixels: Standardisation::Centred,
        examples: config.examples,
        ..DigitsConfig::default()
    };
    let problem = DigitsProblem::new(context, &digits, seed)?;
    let start = problem.full()?;
    let steps = problem.batches_per_epoch(config.batch_size)?;
    let mut theta = match arm {
        Arm::Strong => start.theta().clone().mul_scalar(config.scale),
        Arm::Control => start.theta().clone(),
    };
    let progress = context.progress(&format!("{}, seed {seed}", arm.name()), config.epochs);
    let mut seen = vec![look(context, &problem, &theta, 0)?];
    let mut batches = problem.stream(config.batch_size, Seed::new(seed).stream("batches"))?;
    for epoch in 1..=config.epochs {
        theta = problem.descend(&mut batches, &theta, config.rate, steps)?;
        let now = look(context, &problem, &theta, epoch)?;
        progress.tick(|| format!("training loss {:.3}", now.train_loss));
        seen.push(now);
    }
    Ok(seen)
}

/// All mini-batches of one fixed epoch, and the whole data.
fn look(
    context: &Context<Config>,
    problem: &DigitsProblem,
    theta: &Tensor<1>,
    epoch: usize,
) -> anyhow::Result<Seen> {
    let config = context.config();
    let full = problem.full()?.move_to(theta.clone())?;
    let whole = Monitor::at(&full)?;
    let mut monitors = Vec::new();
    for point in problem.fixed_batches(config.batch_size, theta)? {
        monitors.push(Monitor::at(&point?)?);
    }
    let mean = |value: fn(&Monitor) -> f64| {
        monitors.iter().map(value).sum::<f64>() / monitors.len() as f64
    };
    Ok(Seen {
        epoch,
        gradient_norm: mean(|m| m.gradient_norm),
        gthg: mean(|m| m.gthg),
        gtg: mean(|m| m.gtg),
        full_gradient_norm: whole.gradient_norm,
        full_gthg: whole.gthg,
        train_loss: whole.loss,
        test_error: problem.test_error(&full, theta)?,
    })
}
