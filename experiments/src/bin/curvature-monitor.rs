//! # curvature-monitor: how do gᵀg and gᵀHg move while a network learns the digits?
//!
//! Stochastic gradient descent on the handwritten digits, with gradient and curvature of the whole training loss measured along the way.
//! The learning rate may be no larger than 2 gᵀg/gᵀHg if a gradient step is to go downhill; where gᵀHg grows faster than gᵀg the rate has to
//! shrink although the gradient is strong.
//!
//! - **Expected:** gᵀg falls much less than gᵀHg/gᵀg would allow: the curvature along the gradient grows, and with it the smallest step that goes uphill shrinks
//! - **Takes:** about 25 s
//! - **Command:** `just exp curvature-monitor`

use std::ops::ControlFlow;
use std::process::ExitCode;

use ravine_curvature::{LanczosOptions, Monitor, Seed, lanczos_top_k};
use ravine_experiments::{
    Axis, Context, DigitsConfig, DigitsProblem, Experiment, Plot, Report, RunOptions, Seeds,
    Series, Table, median, significant,
};
use ravine_optim::{Batches, Budget, GradientDescent, Progress, run as descend};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Examples in a batch.
    batch_size: usize,
    /// The fixed learning rate.
    rate: f64,
    /// Passes over the training data.
    epochs: usize,
    /// Measurements in each epoch.
    per_epoch: usize,
    /// The network and its data.
    digits: DigitsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_size: 16,
            rate: 0.05,
            epochs: 12,
            per_epoch: 4,
            digits: DigitsConfig {
                hidden: vec![64, 64, 64],
                activation: ravine_model::models::Activation::Relu,
                examples: 1437,
                ..DigitsConfig::default()
            },
        }
    }
}

/// One measurement on the way.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Measured {
    epoch: f64,
    #[serde(flatten)]
    monitor: Monitor,
    lambda_max: f64,
    test_error: f64,
}

/// What a column of the table shows.
type Quantity = fn(&Measured) -> f64;

#[derive(Serialize)]
struct Row {
    seed: u64,
    #[serde(flatten)]
    measured: Measured,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("curvature-monitor.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.epochs = 1;
            config.per_epoch = 2;
            config.digits.hidden = vec![8];
            config.digits.examples = 160;
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    context.announce_cells(context.seeds().len());
    let mut runs: Vec<Vec<Measured>> = Vec::new();
    for &seed in context.seeds() {
        let cell = context.cell(format!("seed={seed}"), || train(context, seed))?;
        let Ok(measured) = cell else { continue };
        for &measured in &measured {
            context.row("monitor", &Row { seed, measured })?;
        }
        runs.push(measured);
    }
    anyhow::ensure!(!runs.is_empty(), "every seed failed: see rows and cells");
    let curves = |value: fn(&Measured) -> f64| -> Vec<Vec<(f64, f64)>> {
        runs.iter()
            .map(|run| run.iter().map(|m| (m.epoch, value(m))).collect())
            .collect()
    };
    let growth = |value: fn(&Measured) -> f64| {
        median(
            runs.iter()
                .filter_map(|run| Some(value(run.last()?) / value(run.first()?))),
        )
    };
    let gtg = growth(|m| m.monitor.gtg);
    let gthg = growth(|m| m.monitor.gthg);
    let rayleigh = growth(|m| m.monitor.rayleigh);
    let largest = median(runs.iter().map(|run| {
        let first = run.first().map_or(f64::NAN, |m| m.monitor.gthg);
        run.iter().map(|m| m.monitor.gthg).fold(0.0, f64::max) / first
    }));
    let test_error = median(runs.iter().filter_map(|run| Some(run.last()?.test_error)));
    context.summarize("growth of gtg", &gtg)?;
    context.summarize("growth of gthg", &gthg)?;
    context.summarize("largest gthg over its first", &largest)?;
    context.summarize("test error", &test_error)?;
    let mut table = Table::new(
        "First and last measurement, median over seeds",
        ["quantity", "first", "last", "last / first"],
    );
    let quantities: [(&str, Quantity); 6] = [
        ("training loss", |m| m.monitor.loss),
        ("‖g‖", |m| m.monitor.gradient_norm),
        ("gᵀg", |m| m.monitor.gtg),
        ("gᵀHg", |m| m.monitor.gthg),
        ("gᵀHg / gᵀg", |m| m.monitor.rayleigh),
        ("λ_max", |m| m.lambda_max),
    ];
    for (name, value) in quantities {
        let first = median(runs.iter().filter_map(|run| run.first().map(value)));
        let last = median(runs.iter().filter_map(|run| run.last().map(value)));
        table.push([
            name.into(),
            first.into(),
            last.into(),
            (last / first).into(),
        ]);
    }
    let report = Report::new("Gradient and curvature while a network learns the digits")
        .finding(format!(
            "Over {} epochs gᵀg changed by a factor of {} and gᵀHg by {}, so the curvature along the gradient, gᵀHg/gᵀg, changed by {} (medians over {} seeds). At its peak gᵀHg was {} times its first value.",
            config.epochs, significant(gtg, 3), significant(gthg, 3), significant(rayleigh, 3), runs.len(), significant(largest, 3)
        ))
        .finding(format!("The error on the test digits is {} % at the end.", significant(100.0 * test_error, 3)))
        .section("Gradient and curvature")
        .paragraph("All quantities are those of the mean loss over the whole training set, measured between the steps of stochastic gradient descent. Bands show the spread over seeds.")
        .plot(
            Plot::new("gᵀg and gᵀHg", Axis::linear("epoch"), Axis::log("value"))
                .series(Series::over_seeds("gᵀg", curves(|m| m.monitor.gtg)))
                .series(Series::over_seeds("gᵀHg", curves(|m| m.monitor.gthg))),
        )
        .plot(
            Plot::new("Steps that the curvature allows", Axis::linear("epoch"), Axis::log("step size"))
                .series(Series::over_seeds("2 gᵀg/gᵀHg: beyond it a gradient step goes uphill", curves(|m| m.monitor.uphill_step.unwrap_or(f64::NAN))))
                .series(Series::over_seeds("2/λ_max: beyond it gradient descent is unstable", curves(|m| 2.0 / m.lambda_max)))
                .horizontal("the learning rate", config.rate),
        )
        .plot(
            Plot::new("Loss", Axis::linear("epoch"), Axis::log("training loss"))
                .series(Series::over_seeds("training loss", curves(|m| m.monitor.loss))),
        )
        .table(table);
    Ok(report)
}

fn train(context: &Context<Config>, seed: u64) -> anyhow::Result<Vec<Measured>> {
    let config = context.config();
    let problem = DigitsProblem::new(context, &config.digits, seed)?;
    let full = problem.full()?;
    let per_epoch = config.digits.examples / config.batch_size;
    let steps = per_epoch * config.epochs;
    let every = (per_epoch / config.per_epoch.max(1)).max(1);
    let mut batches = problem.stream(config.batch_size, Seed::new(seed).stream("batches"))?;
    let stream = Batches::stream(|_| {
        let batch = batches.next().expect("batches never end");
        problem.objective.at(&problem.model, &batch)
    });
    let progress = context.progress(&format!("seed {seed}"), steps);
    let options = LanczosOptions {
        pairs: 1,
        tolerance: 1e-3,
        max_iterations: 60,
        ..Default::default()
    };
    let mut measured = Vec::new();
    let mut failure = None;
    let mut look = |step: usize, theta: &burn::tensor::Tensor<1>| -> anyhow::Result<()> {
        let point = full.move_to(theta.clone())?;
        let monitor = Monitor::at(&point)?;
        let top = lanczos_top_k(
            &point.hessian(),
            &options,
            Seed::new(seed).stream("lanczos"),
        )?;
        measured.push(Measured {
            epoch: step as f64 / per_epoch as f64,
            monitor,
            lambda_max: top.pairs[0].value,
            test_error: problem.test_error(&full, theta)?,
        });
        Ok(())
    };
    look(0, full.theta())?;
    let mut observer = |now: &Progress<'_>| {
        progress.tick(|| format!("batch loss {:.3}", now.row.loss));
        let done = now.row.step + 1;
        if !done.is_multiple_of(every) {
            return ControlFlow::Continue(());
        }
        match look(done, &now.step.theta) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let mut method = GradientDescent::new(config.rate);
    descend(
        &mut method,
        stream,
        full.theta(),
        &Budget::steps(steps),
        &mut observer,
    )?;
    match failure {
        Some(error) => Err(error),
        None => Ok(measured),
    }
}
