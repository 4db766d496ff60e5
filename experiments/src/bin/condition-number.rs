//! # condition-number: how does the condition number slow gradient methods down, and does it slow Newton's?
//!
//! On a quadratic the error of gradient descent at its best fixed rate contracts by (κ−1)/(κ+1) in each step in the worst case, that of
//! Polyak's heavy ball by (√κ−1)/(√κ+1), that of Nesterov's method with constant momentum by 1−1/√κ. The worst case is a start with equal
//! weight on the stiffest and the flattest direction; a random rotation hides both from the methods. Newton's method takes the same number of steps at
//! any κ.
//!
//! The two accelerated methods have a double root: their errors fall as (a + bk)ρᵏ, so ρ is taken from two windows of the run, extrapolated.
//!
//! - **Expected:** contractions as in the formulas; Newton's method done after one step up to κ = 1e10
//! - **Takes:** a few seconds
//! - **Command:** `just exp condition-number`
//! - **Claim:** gradient methods slow down with the condition number as (κ−1)/(κ+1) and its accelerated kin say; Newton's method does not
//! - **Source:** Goodfellow, Bengio and Courville (2016), Deep Learning, sections 4.3.1 and 8.2.1; Nesterov (2004), Introductory Lectures on Convex Optimization, section 2.1.5 and 2.2; Polyak (1964)

use std::process::ExitCode;

use burn::tensor::DType;
use ravine_curvature::{Objective, Point, vector};
use ravine_experiments::{
    Axis, Band, Context, Criterion, Dtype, Experiment, Plot, Report, RunOptions, Seeds, Series,
    Table, median, significant,
};
use ravine_model::problems::{Problem, Quadratic, QuadraticConfig};
use ravine_optim::{Budget, Damping, Newton, Silent, run as minimise};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Condition numbers for the gradient methods.
    kappas: Vec<f64>,
    /// Condition numbers for Newton's method.
    newton_kappas: Vec<f64>,
    /// Dimension of the quadratics.
    dimension: usize,
    /// Newton is done when the excess loss is below this fraction of that at the start.
    newton_target: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kappas: vec![10.0, 1e2, 1e3, 1e4],
            newton_kappas: vec![10.0, 1e2, 1e4, 1e6, 1e8, 1e10],
            dimension: 50,
            newton_target: 1e-12,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Descent {
    Fixed,
    HeavyBall,
    Nesterov,
}

impl Descent {
    const ALL: [Self; 3] = [Self::Fixed, Self::HeavyBall, Self::Nesterov];

    fn name(self) -> &'static str {
        match self {
            Self::Fixed => "gradient descent",
            Self::HeavyBall => "heavy ball",
            Self::Nesterov => "Nesterov",
        }
    }

    /// What theory says of the contraction.
    fn theory(self, kappa: f64) -> f64 {
        let root = kappa.sqrt();
        match self {
            Self::Fixed => (kappa - 1.0) / (kappa + 1.0),
            Self::HeavyBall => (root - 1.0) / (root + 1.0),
            Self::Nesterov => 1.0 - 1.0 / root,
        }
    }

    /// Rate and momentum that are best for eigenvalues between 1/κ and 1.
    fn parameters(self, kappa: f64) -> (f64, f64) {
        let root = kappa.sqrt();
        match self {
            Self::Fixed => (2.0 / (1.0 + 1.0 / kappa), 0.0),
            Self::HeavyBall => {
                let rate = 4.0 / (1.0 + 1.0 / root).powi(2);
                (rate, ((root - 1.0) / (root + 1.0)).powi(2))
            }
            Self::Nesterov => (1.0, (root - 1.0) / (root + 1.0)),
        }
    }

    /// Steps of the first window of a measurement.
    fn window(self, kappa: f64) -> usize {
        match self {
            Self::Fixed => 100,
            // long against a/b, which is of the size of √κ
            _ => (10.0 * kappa.sqrt()).max(100.0) as usize,
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Contraction {
    method: Descent,
    kappa: f64,
    seed: u64,
    measured: f64,
    theory: f64,
    steps: usize,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct NewtonRun {
    kappa: f64,
    seed: u64,
    /// Steps to the target; nothing when it was not reached.
    steps: Option<usize>,
    /// Excess loss after the first step, relative to that before it.
    after_one: f64,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("condition-number.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            dtype: Dtype::F64,
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.kappas.truncate(1);
            config.newton_kappas.truncate(2);
            config.dimension = 5;
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    let per_seed = Descent::ALL.len() * config.kappas.len() + config.newton_kappas.len();
    context.announce_cells(context.seeds().len() * per_seed);
    let mut report = Report::new("What the condition number costs");
    let mut plot = Plot::new(
        "Steps for each factor 10 of the error",
        Axis::log("condition number κ"),
        Axis::log("steps"),
    );
    let mut table = Table::new(
        "Contraction of the error by a step, first seed",
        [
            "method",
            "κ",
            "theory",
            "measured",
            "measured − theory",
            "relative error of 1 − ρ",
        ],
    );
    for method in Descent::ALL {
        let mut absolute = Criterion::new(
            format!("{}: largest |ρ − ρ_theory| over κ", method.name()),
            Band::at_most(1e-3),
        );
        // at large κ every ρ is close to 1, and the absolute error says little
        let mut relative = Criterion::new(
            format!("{}: largest relative error of 1 − ρ over κ", method.name()),
            Band::at_most(1e-2),
        );
        let mut curves = Vec::new();
        for &seed in context.seeds() {
            let (mut off, mut off_relative) = (0.0, 0.0);
            let mut curve = Vec::new();
            for &kappa in &config.kappas {
                let name = format!("method={}/kappa={kappa:e}/seed={seed}", method.name());
                let cell = context.cell(name, || contraction(context, method, kappa, seed))?;
                let Ok(found) = cell else {
                    (off, off_relative) = (f64::NAN, f64::NAN);
                    continue;
                };
                context.row("contractions", &found)?;
                let error = (found.measured - found.theory).abs();
                let gap = error / (1.0 - found.theory);
                off = worse(off, error);
                off_relative = worse(off_relative, gap);
                curve.push((kappa, steps_for_ten(found.measured)));
                if seed == context.seeds()[0] {
                    table.push([
                        method.name().into(),
                        kappa.into(),
                        significant(found.theory, 7).into(),
                        significant(found.measured, 7).into(),
                        (found.measured - found.theory).into(),
                        gap.into(),
                    ]);
                }
            }
            absolute.push(seed, off);
            relative.push(seed, off_relative);
            curves.push(curve);
        }
        plot.push(Series::over_seeds(method.name(), curves));
        plot = plot.line(
            format!("{}: theory", method.name()),
            config
                .kappas
                .iter()
                .map(|&kappa| (kappa, steps_for_ten(method.theory(kappa)))),
        );
        report = report.criterion(absolute).criterion(relative);
    }
    let newton = newton(context)?;
    plot.push(newton.series);
    Ok(report
        .criterion(newton.criterion)
        .finding(format!(
            "Newton's method reached {} of the excess loss in {} step(s) in the median, up to κ = {:e}.",
            significant(config.newton_target, 2),
            newton.median_steps,
            config.newton_kappas.iter().copied().fold(0.0, f64::max)
        ))
        .section("Contractions")
        .paragraph("Newton's line is the number of its steps to the target; the others are −1/log₁₀ ρ.")
        .plot(plot)
        .table(table)
        .table(newton.table))
}

/// The larger of two numbers; NaN once there was one.
fn worse(known: f64, new: f64) -> f64 {
    if new > known || new.is_nan() {
        new
    } else {
        known
    }
}

fn steps_for_ten(rho: f64) -> f64 {
    -1.0 / rho.log10()
}

struct NewtonPart {
    series: Series,
    criterion: Criterion,
    table: Table,
    median_steps: f64,
}

fn newton(context: &Context<Config>) -> anyhow::Result<NewtonPart> {
    let config = context.config();
    let mut criterion = Criterion::new(
        "Newton: most steps to the target over κ",
        Band::at_most(2.0),
    );
    let mut table = Table::new(
        "Newton's method, first seed",
        [
            "κ",
            "steps to the target",
            "excess loss after one step / before",
        ],
    );
    let (mut curves, mut all) = (Vec::new(), Vec::new());
    for &seed in context.seeds() {
        let (mut most, mut curve) = (0.0, Vec::new());
        for &kappa in &config.newton_kappas {
            let name = format!("method=Newton/kappa={kappa:e}/seed={seed}");
            let cell = context.cell(name, || newton_run(context, kappa, seed))?;
            let Ok(found) = cell else {
                most = f64::NAN;
                continue;
            };
            context.row("newton", &found)?;
            let steps = found.steps.map_or(f64::NAN, |steps| steps as f64);
            most = worse(most, steps);
            curve.push((kappa, steps));
            all.push(steps);
            if seed == context.seeds()[0] {
                table.push([kappa.into(), found.steps.into(), found.after_one.into()]);
            }
        }
        criterion.push(seed, most);
        curves.push(curve);
    }
    Ok(NewtonPart {
        series: Series::over_seeds("Newton", curves),
        criterion,
        table,
        median_steps: median(all),
    })
}

/// A rotated quadratic with eigenvalues from 1/κ to 1, its minimum at 0.
fn quadratic(
    context: &Context<Config>,
    kappa: f64,
    seed: u64,
) -> anyhow::Result<(Point, Quadratic)> {
    let config = context.config();
    let model = QuadraticConfig::new(config.dimension, kappa)
        .with_seed(seed)
        .init((context.device(), DType::F64))?;
    let objective = context.objective(Objective::of_loss(|model: &Quadratic, (): &()| {
        model.loss()
    }));
    Ok((objective.at(&model, &())?, model))
}

fn contraction(
    context: &Context<Config>,
    method: Descent,
    kappa: f64,
    seed: u64,
) -> anyhow::Result<Contraction> {
    let (point, model) = quadratic(context, kappa, seed)?;
    let dim = context.config().dimension;
    // the eigenvectors are rows, the stiffest first
    let vectors = vector::to_f64(&model.eigenvectors().reshape([dim * dim]));
    let (stiff, flat) = (&vectors[..dim], &vectors[dim * (dim - 1)..]);
    let start: Vec<f64> = stiff.iter().zip(flat).map(|(a, b)| a + b).collect();
    let (rate, momentum) = method.parameters(kappa);
    let mut theta = vector::from_f64(&start, context.device(), DType::F64);
    let mut earlier = theta.clone();
    let window = method.window(kappa);
    let mut logs = vec![vector::norm(&theta).ln()];
    for _ in 0..4 * window {
        let velocity = (theta.clone() - earlier.clone()).mul_scalar(momentum);
        let looked_at = match method {
            Descent::Nesterov => theta.clone() + velocity.clone(),
            Descent::Fixed | Descent::HeavyBall => theta.clone(),
        };
        let gradient = point.move_to(looked_at)?.gradient()?;
        let next = theta.clone() + velocity - gradient.mul_scalar(rate);
        earlier = std::mem::replace(&mut theta, next);
        logs.push(vector::norm(&theta).ln());
    }
    let mean = |from: usize| (logs[2 * from] - logs[from]) / from as f64;
    let log_rho = match method {
        Descent::Fixed => mean(2 * window),
        // ln(a + bk) leaves ln 2 / k in the mean over k to 2k, which half as much of it takes away
        Descent::HeavyBall | Descent::Nesterov => 2.0 * mean(2 * window) - mean(window),
    };
    Ok(Contraction {
        method,
        kappa,
        seed,
        measured: log_rho.exp(),
        theory: method.theory(kappa),
        steps: 4 * window,
    })
}

fn newton_run(context: &Context<Config>, kappa: f64, seed: u64) -> anyhow::Result<NewtonRun> {
    let (point, _) = quadratic(context, kappa, seed)?;
    let start = point.loss()?;
    let target = start * context.config().newton_target;
    let budget = Budget::steps(10).target_loss(target);
    let mut method = Newton::new(Damping::None);
    let trajectory = minimise(&mut method, &point, point.theta(), &budget, &mut Silent)?;
    let reached = trajectory.final_loss.is_some_and(|loss| loss <= target);
    let second = trajectory.rows.get(1).map(|row| row.loss);
    Ok(NewtonRun {
        kappa,
        seed,
        steps: reached.then_some(trajectory.rows.len()),
        after_one: second.or(trajectory.final_loss).unwrap_or(f64::NAN) / start,
    })
}
