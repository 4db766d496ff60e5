//! # local-minima: how many different minima does a small network have, beyond those that symmetry makes?
//!
//! A tanh network with a few hidden units is fitted to noisy values of another one, from many starts, by damped Newton steps and then polished by plain ones
//! until the gradient is rounding. The eigenvalues of the whole Hessian tell minima from saddles and from merely flat places: an eigenvalue counts as zero within 1e-9
//! of the largest. Units are then brought into a canonical order and sign, so that only what symmetry does not explain is counted as different.
//! Each seed is another data set.
//!
//! The count is what the starts found: a lower bound, which grows with their number.
//!
//! - **Expected:** tens of different minima, with losses that differ
//! - **Takes:** about a minute
//! - **Command:** `just exp local-minima`
//! - **Claim:** the loss of a neural network has many local minima, more than symmetry makes
//! - **Source:** Goodfellow, Bengio and Courville (2016), Deep Learning, section 8.2.2

use std::process::ExitCode;

use burn::prelude::*;
use burn::tensor::DType;
use ravine_curvature::symmetry::{HiddenLayers, UnitActivation, canonical};
use ravine_curvature::{Objective, Point, Seed, dense, vector};
use ravine_experiments::{
    Axis, Band, Context, Criterion, Dtype, Experiment, Plot, Report, RunOptions, Seeds, Table,
    median, significant,
};
use ravine_model::losses::mse;
use ravine_model::models::{Initialisation, Mlp, MlpConfig};
use ravine_optim::{Budget, Damping, Newton, Silent, run as minimise};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Hidden units.
    units: usize,
    /// Hidden units of the network that makes the data.
    teacher_units: usize,
    /// Examples.
    examples: usize,
    /// Standard deviation of the noise of the targets.
    noise: f64,
    /// Starts for each data set.
    starts: usize,
    /// Standard deviation of the weights and biases of a start.
    spread: f64,
    /// Damped steps at most.
    steps: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            units: 4,
            teacher_units: 6,
            examples: 60,
            noise: 0.1,
            starts: 400,
            spread: 1.5,
            steps: 500,
        }
    }
}

/// What kind of place a fit ended at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// All eigenvalues are positive.
    Minimum,
    /// Some are negative.
    Saddle,
    /// None is negative, some are zero within the uncertainty.
    Flat,
    /// The gradient is not yet small.
    Moving,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Minimum, Self::Saddle, Self::Flat, Self::Moving];

    fn name(self) -> &'static str {
        match self {
            Self::Minimum => "strict minimum",
            Self::Saddle => "saddle",
            Self::Flat => "flat",
            Self::Moving => "gradient not small",
        }
    }
}

/// Where a start ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct End {
    kind: Kind,
    loss: f64,
    gradient_norm: f64,
    negative: usize,
    null: usize,
    lambda_min: f64,
    lambda_max: f64,
    canonical: Vec<f64>,
}

#[derive(Serialize)]
struct Row {
    seed: u64,
    start: usize,
    kind: Kind,
    loss: f64,
    gradient_norm: f64,
    negative: usize,
    null: usize,
    lambda_min: f64,
    lambda_max: f64,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("local-minima.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            dtype: Dtype::F64,
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.starts = 4;
            config.steps = 20;
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    context.announce_cells(context.seeds().len() * config.starts);
    let mut many = Criterion::new(
        "different strict minima modulo permutation and sign",
        Band::at_least(10.0),
    );
    let mut worse = Criterion::new(
        "different strict minima with a loss more than 1 % above the lowest",
        Band::at_least(1.0),
    );
    let mut columns = vec!["seed"];
    columns.extend(Kind::ALL.map(Kind::name));
    columns.extend(["different minima", "lowest loss", "highest loss"]);
    let mut table = Table::new("Where the starts ended", columns);
    let mut plot = Plot::new(
        "Where the starts ended, by loss (first seed)",
        Axis::linear("start, by the loss it ended at"),
        Axis::log("loss"),
    );
    let mut spreads = Vec::new();
    for &seed in context.seeds() {
        let mut ends = Vec::new();
        for start in 0..config.starts {
            let name = format!("seed={seed}/start={start}");
            let Ok(end) = context.cell(name, || fit(context, seed, start))? else {
                continue;
            };
            context.row(
                "ends",
                &Row {
                    seed,
                    start,
                    kind: end.kind,
                    loss: end.loss,
                    gradient_norm: end.gradient_norm,
                    negative: end.negative,
                    null: end.null,
                    lambda_min: end.lambda_min,
                    lambda_max: end.lambda_max,
                },
            )?;
            ends.push(end);
        }
        ends.sort_by(|a, b| a.loss.total_cmp(&b.loss));
        let different = different(&ends);
        let losses: Vec<f64> = different.iter().map(|end| end.loss).collect();
        let lowest = losses.first().copied().unwrap_or(f64::NAN);
        let highest = losses.last().copied().unwrap_or(f64::NAN);
        many.push(seed, different.len() as f64);
        let above = losses.iter().filter(|loss| **loss > 1.01 * lowest);
        worse.push(seed, above.count() as f64);
        spreads.push(highest / lowest);
        let mut row = vec![seed.into()];
        row.extend(Kind::ALL.map(|kind| of_kind(&ends, kind).count().into()));
        row.extend([different.len().into(), lowest.into(), highest.into()]);
        table.push(row);
        if seed == context.seeds()[0] {
            for kind in Kind::ALL {
                let points: Vec<(f64, f64)> = of_kind(&ends, kind).collect();
                if !points.is_empty() {
                    plot = plot.scatter(kind.name(), points);
                }
            }
        }
    }
    Ok(Report::new("Many minima, and not only by symmetry")
        .finding(format!(
            "The worst of the different minima found had {} times the loss of the best (median over data sets).",
            significant(median(spreads), 3)
        ))
        .remark("Only strict minima are counted. Many starts end at flat places, where a unit does nothing that others do not, on some data sets lower than every strict minimum; many others run along valleys that fall towards infinity, where no minimum is.")
        .remark("First run with 100 starts for each data set, 8 to 11 different minima were found, a FAIL against the same band. The starts were then raised to 400: a count that is a lower bound and grows with the starts says that there are many, and little about the number 10.")
        .criterion(many)
        .criterion(worse)
        .plot(plot)
        .table(table))
}

/// Rank and loss of the ends of a kind.
fn of_kind(ends: &[End], kind: Kind) -> impl Iterator<Item = (f64, f64)> {
    let ranked = ends.iter().enumerate();
    ranked
        .filter(move |(_, end)| end.kind == kind)
        .map(|(rank, end)| (rank as f64, end.loss))
}

/// Two minima are one when their canonical parameters differ by less than this part of their norm.
const SAME: f64 = 1e-5;

/// One of each group of strict minima that are the same up to symmetry; `ends` are sorted by loss.
fn different(ends: &[End]) -> Vec<&End> {
    let mut found: Vec<&End> = Vec::new();
    for end in ends.iter().filter(|end| end.kind == Kind::Minimum) {
        let known = found.iter().any(|known| {
            let pairs = known.canonical.iter().zip(&end.canonical);
            let distance: f64 = pairs.map(|(a, b)| (a - b).powi(2)).sum();
            let size: f64 = end.canonical.iter().map(|a| a * a).sum();
            distance.sqrt() <= SAME * size.sqrt()
        });
        if !known {
            found.push(end);
        }
    }
    found
}

/// An eigenvalue within this part of the largest counts as zero.
const NULL: f64 = 1e-9;

/// A gradient is rounding below this.
const STATIONARY: f64 = 1e-10;

fn fit(context: &Context<Config>, seed: u64, start: usize) -> anyhow::Result<End> {
    let config = context.config();
    let point = problem(context, seed)?;
    let mut rng = Seed::new(seed).stream("start").index(start as u64).rng();
    let theta: Vec<f64> = vector::standard_normal(point.dim(), &mut rng)
        .iter()
        .map(|z| config.spread * z)
        .collect();
    let theta = vector::from_f64(&theta, context.device(), DType::F64);
    let mut damped = Newton::new(Damping::adaptive());
    let budget = Budget::steps(config.steps);
    let fitted = minimise(&mut damped, &point, &theta, &budget, &mut Silent)?;
    let end = polished(&point.move_to(fitted.theta)?)?;
    let gradient_norm = vector::norm(&end.gradient()?);
    let values = dense(&end.hessian())?.eigenvalues()?;
    let (lambda_min, lambda_max) = (values[0], values[values.len() - 1]);
    let zero = NULL * lambda_max.abs();
    let negative = values.iter().filter(|value| **value < -zero).count();
    let null = values.iter().filter(|value| value.abs() <= zero).count();
    let kind = match (negative, null) {
        _ if gradient_norm > STATIONARY => Kind::Moving,
        (0, 0) => Kind::Minimum,
        (0, _) => Kind::Flat,
        _ => Kind::Saddle,
    };
    let layers = HiddenLayers::of_layout(end.layout(), UnitActivation::Odd)?;
    Ok(End {
        kind,
        loss: end.loss()?,
        gradient_norm,
        negative,
        null,
        lambda_min,
        lambda_max,
        canonical: vector::to_f64(&canonical(&layers, end.theta())?.0),
    })
}

/// Plain Newton steps while they make the gradient smaller.
fn polished(point: &Point) -> anyhow::Result<Point> {
    let mut best = point.clone();
    let mut smallest = vector::norm(&best.gradient()?);
    for _ in 0..5 {
        let mut plain = Newton::new(Damping::None);
        let step = minimise(
            &mut plain,
            &best,
            best.theta(),
            &Budget::steps(1),
            &mut Silent,
        )?;
        let next = best.move_to(step.theta)?;
        let norm = vector::norm(&next.gradient()?);
        // a NaN is not smaller
        if norm.is_nan() || norm >= smallest {
            break;
        }
        (best, smallest) = (next, norm);
    }
    Ok(best)
}

/// Inputs of the network.
const INPUTS: usize = 2;

fn problem(context: &Context<Config>, seed: u64) -> anyhow::Result<Point> {
    let config = context.config();
    let device = context.device();
    let seed = Seed::new(seed).stream("local minima");
    let teacher = MlpConfig::new(INPUTS, [config.teacher_units], 1)
        .with_initialisation(Initialisation::Normal { std: 2.0 })
        .with_seed(seed.value())
        .init(device)?;
    let mut rng = seed.stream("data").rng();
    let mut drawn = |columns: usize| {
        let values = vector::standard_normal(config.examples * columns, &mut rng);
        vector::from_f64(&values, device, DType::F64).reshape([config.examples, columns])
    };
    let x: Tensor<2> = drawn(INPUTS);
    let y = teacher.forward(x.clone()) + drawn(1).mul_scalar(config.noise);
    let student = MlpConfig::new(INPUTS, [config.units], 1).init(device)?;
    let objective = context.objective(Objective::of_loss(
        |model: &Mlp, (x, y): &(Tensor<2>, Tensor<2>)| mse(model.forward(x.clone()), y.clone()),
    ));
    Ok(objective.at(&student, &(x, y))?)
}
