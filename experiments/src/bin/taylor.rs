//! # taylor: does a gradient step change the loss by −ε gᵀg + ½ ε² gᵀHg?
//!
//! The second-order Taylor model is what every statement about ill-conditioning rests on. Here it is held against the measured change of
//! the loss on the handwritten digits, at the start and after some training, over nine decades of the step size ε. If
//! gradient and Hessian-vector product are exact, what is left over is of third order.
//!
//! - **Expected:** the residual falls with slope 3 in ε until rounding; the first order alone leaves slope 2; beyond ε ≈ 2 gᵀg/gᵀHg the step goes uphill
//! - **Takes:** a few seconds
//! - **Command:** `just exp taylor`
//! - **Claim:** a gradient step changes the loss by −ε gᵀg + ½ ε² gᵀHg
//! - **Source:** Goodfellow, Bengio and Courville (2016), Deep Learning, section 4.3.1, equations 4.8 and 4.9; section 8.2.1, equation 8.10

use std::process::ExitCode;

use ravine_curvature::{Monitor, Point, TaylorCheck, taylor_check};
use ravine_experiments::{
    Axis, Band, Context, Criterion, DigitsConfig, DigitsProblem, Dtype, Experiment, Plot, Report,
    RunOptions, Seeds, Series, Table, log_slope, median, significant,
};
use ravine_optim::{Budget, GradientDescent, Silent, run as descend};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Smallest step size, as a fraction of ε* = gᵀg/gᵀHg.
    smallest: f64,
    /// Largest step size, as a fraction of ε*.
    largest: f64,
    /// Step sizes in each decade.
    per_decade: usize,
    /// Gradient steps before the second measurement.
    steps: usize,
    /// Rate of these steps.
    rate: f64,
    /// The network and its data.
    digits: DigitsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            smallest: 1e-7,
            largest: 1e2,
            per_decade: 4,
            steps: 100,
            rate: 0.5,
            digits: DigitsConfig::default(),
        }
    }
}

/// One place on the way: its monitor, and a check for each step size.
#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    monitor: Monitor,
    checks: Vec<TaylorCheck>,
}

#[derive(Serialize)]
struct Row<'a> {
    place: &'a str,
    seed: u64,
    epsilon_over_best: f64,
    #[serde(flatten)]
    check: TaylorCheck,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("taylor.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            // the residual is lost in the rounding of f32 at once
            dtype: Dtype::F64,
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.per_decade = 2;
            config.steps = 5;
            config.digits.examples = 128;
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let places = ["initial", "trained"];
    context.announce_cells(places.len() * context.seeds().len());
    let mut plots = Vec::new();
    let mut table = Table::new(
        "Order of the error, median over seeds (fitted between 1e-3 and 0.3 ε*)",
        [
            "place",
            "‖g‖",
            "gᵀHg/gᵀg",
            "ε* = gᵀg/gᵀHg",
            "slope, first order",
            "slope, second order",
        ],
    );
    let mut slopes = Vec::new();
    let mut criteria = Vec::new();
    let mut uphill = Vec::new();
    for place in places {
        let mut residuals = Vec::new();
        let mut first_orders = Vec::new();
        let mut measurements = Vec::new();
        let mut criterion = Criterion::new(
            format!("slope of the residual over ε ({place} parameters)"),
            Band::around(3.0, 0.1),
        );
        for &seed in context.seeds() {
            let cell = context.cell(format!("place={place}/seed={seed}"), || {
                measure(context, place, seed)
            })?;
            let Ok(measured) = cell else {
                criterion.push(seed, f64::NAN);
                continue;
            };
            let best = measured.monitor.best_step.unwrap_or(f64::NAN);
            for &check in &measured.checks {
                let epsilon_over_best = check.epsilon / best;
                context.row(
                    "taylor",
                    &Row {
                        place,
                        seed,
                        epsilon_over_best,
                        check,
                    },
                )?;
            }
            let over = |value: fn(&TaylorCheck) -> f64| -> Vec<(f64, f64)> {
                measured
                    .checks
                    .iter()
                    .map(|check| (check.epsilon / best, value(check)))
                    .collect()
            };
            let residual = over(|check| check.residual.abs());
            criterion.push(seed, order(&residual));
            residuals.push(residual);
            first_orders.push(over(|check| (check.measured - check.first_order).abs()));
            let first_rise = measured.checks.iter().find(|check| check.measured > 0.0);
            uphill.extend(first_rise.map(|check| check.epsilon / best));
            measurements.push(measured);
        }
        criteria.push(criterion);
        let slope = |curves: &[Vec<(f64, f64)>]| median(curves.iter().map(|curve| order(curve)));
        let (first, second) = (slope(&first_orders), slope(&residuals));
        slopes.push(second);
        let over_seeds =
            |value: fn(&Monitor) -> f64| median(measurements.iter().map(|m| value(&m.monitor)));
        table.push([
            place.into(),
            over_seeds(|m| m.gradient_norm).into(),
            over_seeds(|m| m.rayleigh).into(),
            over_seeds(|m| m.best_step.unwrap_or(f64::NAN)).into(),
            first.into(),
            second.into(),
        ]);
        plots.push(
            Plot::new(
                format!("What the Taylor models leave unexplained ({place} parameters)"),
                Axis::log("ε / ε*"),
                Axis::log("|measured − predicted change|"),
            )
            .series(Series::over_seeds("first order: −ε gᵀg", first_orders))
            .series(Series::over_seeds(
                "second order: −ε gᵀg + ½ ε² gᵀHg",
                residuals,
            ))
            .vertical("2 ε*", 2.0),
        );
        if place == "initial"
            && let Some(measured) = measurements.first()
        {
            plots.push(change_plot(measured));
        }
    }
    context.summarize("slopes of the residual", &slopes)?;
    let rise = median(uphill);
    let report = Report::new("The Taylor model of a gradient step")
        .finding(format!(
            "The residual of −ε gᵀg + ½ ε² gᵀHg falls with slope {} (initial) and {} (trained) in ε: third order, so gradient and Hessian-vector product are exact.",
            significant(slopes[0], 4), significant(slopes[1], 4)
        ))
        .finding(format!(
            "Over seeds and places, the smallest tried step that raised the loss was {} ε* in the median; the quadratic model says 2 ε*.",
            significant(rise, 3)
        ))
        .section("Predicted and measured change")
        .paragraph("g and H are the gradient and Hessian of the mean cross entropy over all training digits, in f64. ε* = gᵀg/gᵀHg is the step that the quadratic model likes best; a step of 2 ε* should leave the loss where it was.")
        .plots(plots)
        .table(table);
    Ok(criteria.into_iter().fold(report, Report::criterion))
}

/// The power of ε that a curve grows with, between rounding and the validity of the model.
fn order(curve: &[(f64, f64)]) -> f64 {
    let fitted = curve.iter().copied();
    log_slope(fitted.filter(|(x, _)| (1e-3..=0.3).contains(x)))
}

fn change_plot(measured: &Measured) -> Plot {
    let best = measured.monitor.best_step.unwrap_or(f64::NAN);
    let curve = |value: fn(&TaylorCheck) -> f64| -> Vec<(f64, f64)> {
        let near = measured
            .checks
            .iter()
            .filter(|check| check.epsilon < 4.0 * best);
        near.map(|check| (check.epsilon / best, value(check)))
            .collect()
    };
    Plot::new(
        "Change of the loss by one gradient step (first seed)",
        Axis::linear("ε / ε*"),
        Axis::linear("change of the loss"),
    )
    .line("predicted, second order", curve(|check| check.predicted))
    .scatter("measured", curve(|check| check.measured))
    .vertical("ε*", 1.0)
    .vertical("2 ε*", 2.0)
    .horizontal("no change", 0.0)
}

fn measure(context: &Context<Config>, place: &str, seed: u64) -> anyhow::Result<Measured> {
    let config = context.config();
    let problem = DigitsProblem::new(context, &config.digits, seed)?;
    let start = problem.full()?;
    let point: Point = match place {
        "initial" => start,
        _ => {
            let budget = Budget::steps(config.steps);
            let mut method = GradientDescent::new(config.rate);
            let trajectory = descend(&mut method, &start, start.theta(), &budget, &mut Silent)?;
            start.move_to(trajectory.theta)?
        }
    };
    let monitor = Monitor::at(&point)?;
    let best = monitor.best_step.ok_or_else(|| {
        anyhow::anyhow!(
            "the curvature along the gradient is {}, not positive",
            monitor.rayleigh
        )
    })?;
    let decades = (config.largest / config.smallest).log10();
    let count = (decades * config.per_decade as f64).round() as usize;
    // a fine linear grid near ε* for the picture, a logarithmic one for the order
    let logarithmic =
        (0..=count).map(|i| config.smallest * 10f64.powf(decades * i as f64 / count.max(1) as f64));
    let linear = (1..=24).map(|i| 0.15 * f64::from(i));
    let mut epsilons: Vec<f64> = logarithmic
        .chain(linear)
        .map(|fraction| fraction * best)
        .collect();
    epsilons.sort_by(f64::total_cmp);
    Ok(Measured {
        monitor,
        checks: taylor_check(&point, &epsilons)?,
    })
}
