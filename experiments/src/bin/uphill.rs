//! # uphill: from which step size on does a gradient step raise the loss, and does gᵀHg foretell it?
//!
//! When ½ ε² gᵀHg exceeds ε gᵀg, the quadratic model goes uphill: beyond ε = 2gᵀg/gᵀHg. The smallest step that raises the loss is
//! searched by bisection and held against that, on quadratics with condition numbers κ, where the model is the loss itself, and on a
//! network while it learns the handwritten digits, where it is not.
//!
//! - **Expected:** equal on quadratics; on the network of the same order, with the measured step the longer one where the loss bends down again
//! - **Takes:** about 10 seconds
//! - **Command:** `just exp uphill`
//! - **Claim:** a gradient step goes uphill as soon as ½ ε² gᵀHg > ε gᵀg, and on an ill-conditioned loss that is at very small steps
//! - **Source:** Goodfellow, Bengio and Courville (2016), Deep Learning, section 8.2.1, equation 8.10

use std::process::ExitCode;

use burn::prelude::*;
use ravine_curvature::{Monitor, Objective, Point};
use ravine_experiments::{
    Axis, Band, Context, Criterion, DigitsConfig, DigitsProblem, Dtype, Experiment, Plot, Report,
    RunOptions, Seeds, Series, Table, median, significant,
};
use ravine_model::problems::{Problem, Quadratic, QuadraticConfig};
use ravine_optim::{Budget, GradientDescent, Silent, run as descend};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Condition numbers of the quadratics.
    kappas: Vec<f64>,
    /// Dimension of the quadratics.
    dimension: usize,
    /// Gradient steps on a quadratic before its second measurement.
    quadratic_steps: usize,
    /// Gradient steps on the network after which it is looked at.
    checkpoints: Vec<usize>,
    /// Rate of these steps.
    rate: f64,
    /// The network and its data.
    digits: DigitsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kappas: vec![10.0, 1e3, 1e6, 1e9],
            dimension: 50,
            quadratic_steps: 50,
            checkpoints: vec![0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000],
            rate: 0.5,
            digits: DigitsConfig {
                examples: 1437,
                ..DigitsConfig::default()
            },
        }
    }
}

/// The smallest step that raises the loss at one place.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Rise {
    step: usize,
    loss: f64,
    gradient_norm: f64,
    /// gᵀHg/gᵀg.
    rayleigh: f64,
    /// 2gᵀg/gᵀHg; NaN where gᵀHg is not positive.
    predicted: f64,
    /// By bisection; infinite when no tried step raises the loss.
    measured: f64,
    /// What a step of the predicted size does to the loss; nothing by the quadratic model.
    change_at_predicted: f64,
}

#[derive(Serialize)]
struct Row<'a> {
    problem: &'a str,
    seed: u64,
    #[serde(flatten)]
    rise: Rise,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("uphill.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            dtype: Dtype::F64,
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.kappas.truncate(2);
            config.dimension = 5;
            config.checkpoints = vec![0, 5];
            config.digits.examples = 128;
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    context.announce_cells(context.seeds().len() * (config.kappas.len() + 1));
    let mut exact = Criterion::new(
        "largest |measured/predicted − 1| on quadratics",
        Band::at_most(1e-6),
    );
    let mut close = Criterion::new(
        "measured/predicted on the network, median over training",
        Band::between(0.5, 2.0),
    );
    let mut quadratics = Table::new(
        "Quadratics: the smallest step that raises the loss (λ_max = 1, first seed)",
        [
            "κ",
            "after steps",
            "2gᵀg/gᵀHg",
            "measured",
            "as a part of 1/λ_min",
        ],
    );
    let (mut predicted, mut measured) = (Vec::new(), Vec::new());
    let (mut ratios, mut changes) = (Vec::new(), Vec::new());
    for &seed in context.seeds() {
        let mut worst: f64 = 0.0;
        for &kappa in &config.kappas {
            let problem = format!("quadratic, kappa={kappa:e}");
            let cell = context.cell(format!("kappa={kappa:e}/seed={seed}"), || {
                quadratic(context, kappa, seed)
            })?;
            let Ok(rises) = cell else {
                worst = f64::NAN;
                continue;
            };
            for rise in rises {
                let row = Row {
                    problem: &problem,
                    seed,
                    rise,
                };
                context.row("rises", &row)?;
                let off = (rise.measured / rise.predicted - 1.0).abs();
                // a NaN stays
                worst = if off > worst || off.is_nan() {
                    off
                } else {
                    worst
                };
                if seed == context.seeds()[0] {
                    quadratics.push([
                        kappa.into(),
                        rise.step.into(),
                        rise.predicted.into(),
                        rise.measured.into(),
                        (rise.measured / kappa).into(),
                    ]);
                }
            }
        }
        exact.push(seed, worst);
        let cell = context.cell(format!("network/seed={seed}"), || network(context, seed))?;
        let Ok(rises) = cell else {
            close.push(seed, f64::NAN);
            continue;
        };
        for &rise in &rises {
            context.row(
                "rises",
                &Row {
                    problem: "network",
                    seed,
                    rise,
                },
            )?;
        }
        let over = |value: fn(&Rise) -> f64| -> Vec<(f64, f64)> {
            let places = rises.iter();
            places
                .map(|rise| (rise.step as f64 + 1.0, value(rise)))
                .collect()
        };
        predicted.push(over(|rise| rise.predicted));
        measured.push(over(|rise| rise.measured));
        let ratio = over(|rise| rise.measured / rise.predicted);
        close.push(seed, median(ratio.iter().map(|point| point.1)));
        ratios.push(ratio);
        changes.push(over(|rise| rise.change_at_predicted / rise.loss));
    }
    let all_ratios: Vec<f64> = ratios.iter().flatten().map(|point| point.1).collect();
    let all_changes: Vec<f64> = changes.iter().flatten().map(|point| point.1).collect();
    let extreme = |values: &[f64], pick: fn(f64, f64) -> f64| {
        values.iter().copied().reduce(pick).unwrap_or(f64::NAN)
    };
    Ok(Report::new("The smallest step that goes uphill")
        .finding(format!(
            "On the network the smallest rising step was between {} and {} times 2gᵀg/gᵀHg; a step of 2gᵀg/gᵀHg, which the quadratic model takes to be neutral, changed the loss by between {} and {} of its value.",
            significant(extreme(&all_ratios, f64::min), 3),
            significant(extreme(&all_ratios, f64::max), 3),
            significant(extreme(&all_changes, f64::min), 3),
            significant(extreme(&all_changes, f64::max), 3),
        ))
        .criterion(exact)
        .criterion(close)
        .remark("On the network the quadratic model is too pessimistic: along −g the cross entropy falls more like an exponential than like a parabola (an exponential falls to e⁻² = 0.14 of itself where its parabola is back at its beginning), so that the loss still falls at 2gᵀg/gᵀHg. The gradients are those of the whole data set; nothing is said of steps on mini-batches.")
        .section("On a network, through training")
        .paragraph("Gradient descent on the mean cross entropy of all training digits; at each place the smallest step along −g that raises the loss.")
        .plot(
            Plot::new("The smallest step that raises the loss", Axis::log("gradient steps + 1"), Axis::log("step size ε"))
                .series(Series::over_seeds("measured", measured))
                .series(Series::over_seeds("2gᵀg/gᵀHg", predicted))
                .horizontal("the rate used", config.rate),
        )
        .plots([
            Plot::new("How far the quadratic model is off", Axis::log("gradient steps + 1"), Axis::log("measured / predicted"))
                .series(Series::over_seeds("measured / predicted", ratios))
                .horizontal("equal", 1.0),
            Plot::new("What a step of 2gᵀg/gᵀHg does", Axis::log("gradient steps + 1"), Axis::linear("change of the loss / loss"))
                .series(Series::over_seeds("at the predicted step", changes))
                .horizontal("the quadratic model", 0.0),
        ])
        .section("On quadratics")
        .table(quadratics))
}

fn quadratic(context: &Context<Config>, kappa: f64, seed: u64) -> anyhow::Result<Vec<Rise>> {
    let config = context.config();
    let options = (context.device(), burn::tensor::DType::F64);
    let model = QuadraticConfig::new(config.dimension, kappa)
        .with_seed(seed)
        .init(options)?;
    let objective = context.objective(Objective::of_loss(|model: &Quadratic, (): &()| {
        model.loss()
    }));
    let start = objective.at(&model, &())?;
    // close to 2/λ_max, so that stiff and flat directions are both left in the gradient
    let mut method = GradientDescent::new(1.9);
    let budget = Budget::steps(config.quadratic_steps);
    let trajectory = descend(&mut method, &start, start.theta(), &budget, &mut Silent)?;
    let later = start.move_to(trajectory.theta)?;
    Ok(vec![
        rise(&start, 0)?,
        rise(&later, config.quadratic_steps)?,
    ])
}

fn network(context: &Context<Config>, seed: u64) -> anyhow::Result<Vec<Rise>> {
    let config = context.config();
    let mut point = DigitsProblem::new(context, &config.digits, seed)?.full()?;
    let mut method = GradientDescent::new(config.rate);
    let mut done = 0;
    let mut rises = Vec::new();
    for &checkpoint in &config.checkpoints {
        if checkpoint > done {
            let budget = Budget::steps(checkpoint - done);
            let trajectory = descend(&mut method, &point, point.theta(), &budget, &mut Silent)?;
            point = point.move_to(trajectory.theta)?;
            done = checkpoint;
        }
        rises.push(rise(&point, done)?);
    }
    Ok(rises)
}

/// Steps are tried from a thousandth of the prediction to a thousand times it.
const REACH: f64 = 1e3;

fn rise(point: &Point, step: usize) -> anyhow::Result<Rise> {
    let monitor = Monitor::at(point)?;
    let gradient = point.gradient()?;
    let change = |epsilon: f64| -> anyhow::Result<f64> {
        let theta: Tensor<1> = point.theta().clone() - gradient.clone().mul_scalar(epsilon);
        Ok(point.move_to(theta)?.loss()? - monitor.loss)
    };
    let predicted = monitor.uphill_step.unwrap_or(f64::NAN);
    let mut measured = f64::INFINITY;
    let (mut low, mut high) = (predicted / REACH, predicted / REACH);
    while high < predicted * REACH {
        high *= 1.05;
        if change(high)? > 0.0 {
            measured = bisect(&change, low, high)?;
            break;
        }
        low = high;
    }
    Ok(Rise {
        step,
        loss: monitor.loss,
        gradient_norm: monitor.gradient_norm,
        rayleigh: monitor.rayleigh,
        predicted,
        measured,
        change_at_predicted: change(predicted)?,
    })
}

/// Where the change turns positive, between a step that does not raise the loss and one that does.
fn bisect(
    change: &impl Fn(f64) -> anyhow::Result<f64>,
    mut low: f64,
    mut high: f64,
) -> anyhow::Result<f64> {
    while high - low > 1e-12 * high {
        let middle = 0.5 * (low + high);
        match change(middle)? > 0.0 {
            true => high = middle,
            false => low = middle,
        }
    }
    Ok(0.5 * (low + high))
}
