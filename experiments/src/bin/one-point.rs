//! # one-point: from one point, what would each method's step do?
//!
//! At the initial parameters of a small network on the digits, and after some training, Hessian and Gauss-Newton matrix are written out in
//! f64. Each rule makes its step from them; its promise is compared with what the loss does.
//!
//! - **Expected:** Newton's step is far too long and in part along negative curvature; models that bound the step keep their promises
//! - **Takes:** about 20 s
//! - **Command:** `just exp one-point`

use std::process::ExitCode;

use burn::optim::AdamConfig;
use burn::prelude::*;
use ravine_curvature::{Point, Precision, dense, vector};
use ravine_experiments::one_point::{Geometry, LocalModel, Rule};
use ravine_experiments::{
    Axis, Best, Context, DigitsConfig, DigitsProblem, Experiment, Plot, Report, RunOptions, Seeds,
    Table, median, significant,
};
use ravine_model::datasets::Dataset;
use ravine_optim::{Budget, BurnOptimizer, Silent, run as train};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Steps of Adam before the point, over all examples.
    trained: Vec<usize>,
    /// Its learning rate.
    rate: f64,
    /// Points along each step, from 0 to 1.5 times its length.
    along: usize,
    /// The rules.
    rules: Vec<Rule>,
    /// The network and its data; 10,000 parameters at most.
    digits: DigitsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            trained: vec![0, 30, 300],
            rate: 0.01,
            along: 30,
            rules: vec![
                Rule::Gradient,
                Rule::Cauchy,
                Rule::Newton,
                Rule::DampedNewton { floor: 1e-3 },
                Rule::AbsoluteNewton { floor: 1e-3 },
                Rule::Cubic { lipschitz: 1.0 },
                Rule::TrustRegion { radius: 1.0 },
                Rule::GaussNewton { damping: 1e-3 },
            ],
            digits: DigitsConfig {
                hidden: vec![16],
                examples: 512,
                ..DigitsConfig::default()
            },
        }
    }
}

/// A step of one rule from one point.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Tried {
    rule: String,
    geometry: Geometry,
    /// The change of the loss that the rule's own matrix promises.
    predicted: f64,
    /// The change of the loss.
    actual: f64,
    /// Fractions of the step and the change of the loss there.
    along: Vec<(f64, f64)>,
}

/// A point with the steps from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Looked {
    loss: f64,
    gradient_norm: f64,
    lowest: f64,
    largest: f64,
    negative: usize,
    dim: usize,
    tried: Vec<Tried>,
}

#[derive(Serialize)]
struct Row<'a> {
    trained: usize,
    seed: u64,
    rule: &'a str,
    loss: f64,
    predicted: f64,
    actual: f64,
    ratio: f64,
    geometry: Geometry,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("one-point.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.trained = vec![0, 5];
            config.along = 4;
            config.digits.hidden = vec![2];
            config.digits.examples = 64;
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    context.announce_cells(config.trained.len() * context.seeds().len());
    let mut report = Report::new("Steps of different models from one point");
    let mut sections = Vec::new();
    for &trained in &config.trained {
        let mut points = Vec::new();
        for &seed in context.seeds() {
            let name = format!("trained={trained}/seed={seed}");
            let Ok(point) = context.cell(name, || look(context, trained, seed))? else {
                continue;
            };
            for tried in &point.tried {
                let row = Row {
                    trained,
                    seed,
                    rule: &tried.rule,
                    loss: point.loss,
                    predicted: tried.predicted,
                    actual: tried.actual,
                    ratio: tried.actual / tried.predicted,
                    geometry: tried.geometry,
                };
                context.row("steps", &row)?;
            }
            points.push(point);
        }
        if let Some(finding) = finding(trained, &points) {
            report = report.finding(finding);
        }
        sections.push((trained, points));
    }
    for (trained, points) in sections {
        report = section(report, trained, &points);
    }
    Ok(report.section("How").paragraph(
        "Loss, gradient, Hessian and Gauss-Newton matrix are those of the mean cross entropy over all training examples, evaluated in f64. The steps are exact, from the eigenvectors of the matrices: no iteration was cut short. The promise is gᵀd + ½dᵀBd with the rule's own matrix B: G for Gauss-Newton, H for all others. The ratio is the actual over the promised change, 1 for a model that tells the truth; where the promise is an increase, as Newton's can be, a positive ratio means that the loss rose. The angle is that to −g, and the share of negative curvature that of ‖d‖² in eigenvectors of H with λ < 0.",
    ))
}

fn finding(trained: usize, points: &[Looked]) -> Option<String> {
    let rules = &points.first()?.tried;
    let change = |index: usize| median(points.iter().map(|point| point.tried[index].actual));
    let best = (0..rules.len()).min_by(|a, b| change(*a).total_cmp(&change(*b)))?;
    let loss = median(points.iter().map(|point| point.loss));
    let mut text = format!(
        "After {trained} steps of Adam (loss {}) the largest decrease in one step is {} ({})",
        significant(loss, 3),
        significant(-change(best), 3),
        rules[best].rule
    );
    if let Some(newton) = rules.iter().position(|tried| tried.rule == "Newton") {
        let share = median(
            points
                .iter()
                .map(|p| p.tried[newton].geometry.negative_share),
        );
        let length = median(points.iter().map(|p| p.tried[newton].geometry.length));
        text += &format!(
            "; Newton's step changes the loss by {}, is {} long, and has {} % of its square in negative curvature",
            significant(change(newton), 3),
            significant(length, 3),
            significant(100.0 * share, 2)
        );
    }
    Some(text + &format!(" (medians over {} seeds).", points.len()))
}

fn section(report: Report, trained: usize, points: &[Looked]) -> Report {
    let Some(first) = points.first() else {
        return report;
    };
    let over = |value: &dyn Fn(&Looked) -> f64| median(points.iter().map(value));
    let mut table = Table::new(
        "Medians over the seeds",
        [
            "step",
            "promised",
            "actual",
            "ratio",
            "length",
            "angle to −g, °",
            "negative curvature",
        ],
    );
    let mut plot = Plot::new(
        format!("Along each step, after {trained} steps of training, first seed"),
        Axis::linear("fraction of the step"),
        Axis::linear("change of the loss")
            .from(-1.1 * first.loss)
            .to(first.loss),
    )
    .horizontal("a loss of 0", -first.loss);
    for (index, tried) in first.tried.iter().enumerate() {
        let of = |value: fn(&Tried) -> f64| over(&|point: &Looked| value(&point.tried[index]));
        table.push([
            tried.rule.as_str().into(),
            of(|t| t.predicted).into(),
            of(|t| t.actual).into(),
            of(|t| t.actual / t.predicted).into(),
            of(|t| t.geometry.length).into(),
            of(|t| t.geometry.angle).into(),
            of(|t| t.geometry.negative_share).into(),
        ]);
        plot = plot.line(tried.rule.clone(), tried.along.iter().copied());
    }
    report
        .section(match trained {
            0 => "At the initial parameters".to_string(),
            steps => format!("After {steps} steps of Adam"),
        })
        .paragraph(format!(
            "{} parameters; loss {}, ‖g‖ {}; eigenvalues of H from {} to {}, {} of them negative (medians over {} seeds).",
            first.dim,
            significant(over(&|p| p.loss), 3),
            significant(over(&|p| p.gradient_norm), 3),
            significant(over(&|p| p.lowest), 3),
            significant(over(&|p| p.largest), 3),
            significant(over(&|p| p.negative as f64), 3),
            points.len()
        ))
        .table(table.mark_best("actual", Best::Lowest))
        .plot(plot)
}

/// All steps from the point of a seed after some training.
fn look(context: &Context<Config>, trained: usize, seed: u64) -> anyhow::Result<Looked> {
    let config = context.config();
    let problem = DigitsProblem::new(context, &config.digits, seed)?;
    let batch = problem.train.full_batch(context.device());
    let objective = problem.objective.precision(Precision::F64);
    let mut point = objective.at(&problem.model, &batch)?;
    if trained > 0 {
        let mut adam = BurnOptimizer::new("adam", AdamConfig::new().init(), config.rate);
        let budget = Budget::steps(trained);
        let trajectory = train(&mut adam, &point, point.theta(), &budget, &mut Silent)?;
        point = point.move_to(trajectory.theta)?;
    }
    let gradient = vector::to_f64(&point.gradient()?);
    let hessian = LocalModel::new(&dense(&point.hessian())?, gradient.clone())?;
    let gauss_newton = LocalModel::new(&dense(&point.gauss_newton()?)?, gradient.clone())?;
    let tried = config
        .rules
        .iter()
        .map(|rule| {
            let model = match rule {
                Rule::GaussNewton { .. } => &gauss_newton,
                _ => &hessian,
            };
            let step = model.step(*rule)?;
            Ok(Tried {
                rule: rule.name(),
                geometry: hessian.geometry(&step),
                predicted: model.geometry(&step).quadratic,
                actual: change(&point, &step, 1.0)?,
                along: (0..=config.along)
                    .map(|index| {
                        let fraction = 1.5 * index as f64 / config.along.max(1) as f64;
                        Ok((fraction, change(&point, &step, fraction)?))
                    })
                    .collect::<anyhow::Result<_>>()?,
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let eigenvalues = hessian.eigenvalues();
    Ok(Looked {
        loss: point.loss()?,
        gradient_norm: gradient.iter().map(|g| g * g).sum::<f64>().sqrt(),
        lowest: eigenvalues.first().copied().unwrap_or(f64::NAN),
        largest: eigenvalues.last().copied().unwrap_or(f64::NAN),
        negative: eigenvalues.iter().filter(|value| **value < 0.0).count(),
        dim: eigenvalues.len(),
        tried,
    })
}

/// f(θ + αd) − f(θ).
fn change(point: &Point, step: &[f64], alpha: f64) -> anyhow::Result<f64> {
    let theta: &Tensor<1> = point.theta();
    let step = vector::from_f64(step, point.device(), theta.dtype());
    let there = point.move_to(theta.clone() + step * alpha)?;
    Ok(there.loss()? - point.loss()?)
}
