//! # ill-conditioning: where does fixed-rate SGD get stuck, and what do shrinking rates and Newton-type steps do about it?
//!
//! A gradient step of size ε changes the loss by −ε gᵀg + ½ ε² gᵀHg. When the second term wins, the step goes uphill although
//! the gradient is exact. Three measurements: quadratics with condition numbers κ from 1 to 1e6, a network on handwritten digits with the
//! whole data in each step, and the same network with mini-batches, where gᵀg, gᵀHg, prediction and outcome are followed step by step.
//!
//! - **Expected:** steps of gradient descent grow in proportion to κ, those of Newton's method do not; on the network plain Newton fails, damped and
//!   truncated Newton work; SGD with too large a fixed rate stays stuck while its gradient is strong, and gets on when the rate shrinks
//! - **Takes:** about 2 minutes
//! - **Command:** `just exp ill-conditioning`

use std::ops::ControlFlow;
use std::process::ExitCode;

use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, SgdConfig};
use ravine_curvature::{Monitor, Objective, Point, Seed};
use ravine_experiments::{
    Axis, Best, Context, DigitsConfig, DigitsProblem, Dtype, Experiment, Outcome, Plot, Report,
    RunOptions, Seeds, Series, Table, log_slope, median, significant,
};
use ravine_model::datasets::Standardisation;
use ravine_model::problems::{Problem, Quadratic, QuadraticConfig};
use ravine_optim::{
    Armijo, Batches, Budget, BurnOptimizer, CostWeights, CurvatureCap, Damping, GradientDescent,
    LearningRate, Method, Newton, NewtonCg, Progress, Schedule, Silent, run as minimise,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Condition numbers of the quadratics.
    kappas: Vec<f64>,
    /// Dimension of the quadratics.
    dimension: usize,
    /// Steps at most on a quadratic.
    quadratic_steps: usize,
    /// Target on a quadratic: this fraction of the excess loss at the start.
    quadratic_target: f64,
    /// Target of the training loss on the digits.
    digits_target: f64,
    /// Budget on the digits, in gradients.
    digits_gradients: f64,
    /// Steps at most of Newton's method with the dense Hessian, which costs thousands of gradients a step.
    newton_steps: usize,
    /// Learning rates that each first-order method is tuned over, on a seed that is not reported.
    rates: Vec<f64>,
    /// Examples in a mini-batch.
    batch_size: usize,
    /// Mini-batch steps.
    batch_steps: usize,
    /// Initial learning rates of mini-batch SGD.
    batch_rates: Vec<f64>,
    /// The network and its data.
    digits: DigitsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kappas: vec![1.0, 10.0, 1e2, 1e3, 1e4, 1e6],
            dimension: 50,
            quadratic_steps: 4000,
            quadratic_target: 1e-6,
            digits_target: 0.05,
            digits_gradients: 500.0,
            newton_steps: 5,
            rates: vec![0.01, 0.03, 0.1, 0.3, 1.0],
            batch_size: 16,
            batch_steps: 3000,
            batch_rates: vec![0.02, 0.1, 0.4],
            // raw pixels, 0 to 16: badly scaled and not centred, as data come
            digits: DigitsConfig {
                pixels: Standardisation::Raw,
                ..DigitsConfig::default()
            },
        }
    }
}

/// A method before its problem is known.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Candidate {
    Fixed,
    StepDecay,
    Exponential,
    Cosine,
    Plateau,
    Armijo,
    CurvatureCap,
    Momentum,
    Adam,
    Newton,
    DampedNewton,
    NewtonCg,
}

impl Candidate {
    const ALL: [Self; 12] = [
        Self::Fixed,
        Self::StepDecay,
        Self::Exponential,
        Self::Cosine,
        Self::Plateau,
        Self::Armijo,
        Self::CurvatureCap,
        Self::Momentum,
        Self::Adam,
        Self::Newton,
        Self::DampedNewton,
        Self::NewtonCg,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed rate",
            Self::StepDecay => "step decay",
            Self::Exponential => "exponential decay",
            Self::Cosine => "cosine decay",
            Self::Plateau => "plateau decay",
            Self::Armijo => "backtracking (Armijo)",
            Self::CurvatureCap => "curvature cap",
            Self::Momentum => "momentum",
            Self::Adam => "Adam",
            Self::Newton => "Newton",
            Self::DampedNewton => "damped Newton",
            Self::NewtonCg => "Newton-CG",
        }
    }

    /// Whether its learning rate has to be tuned.
    fn is_tuned(self) -> bool {
        !matches!(self, Self::Newton | Self::DampedNewton | Self::NewtonCg)
    }

    fn is_dense(self) -> bool {
        matches!(self, Self::Newton | Self::DampedNewton)
    }

    /// The method with this initial rate, for runs of about `steps` steps.
    fn method(self, rate: f64, steps: usize) -> Box<dyn Method> {
        let steps = steps.max(4) as u64;
        let descent = |schedule: LearningRate| -> Box<dyn Method> {
            Box::new(GradientDescent::new(schedule).named(self.name()))
        };
        match self {
            Self::Fixed => descent(rate.into()),
            Self::StepDecay => descent(
                Schedule::StepDecay {
                    initial: rate,
                    factor: 0.5,
                    every: steps / 4,
                }
                .into(),
            ),
            Self::Exponential => {
                let factor = 0.02f64.powf(1.0 / steps as f64);
                descent(
                    Schedule::Exponential {
                        initial: rate,
                        factor,
                    }
                    .into(),
                )
            }
            Self::Cosine => descent(
                Schedule::Cosine {
                    initial: rate,
                    last: 0.0,
                    steps,
                }
                .into(),
            ),
            Self::Plateau => descent(
                Schedule::Plateau {
                    initial: rate,
                    factor: 0.5,
                    patience: 10,
                    threshold: 1e-3,
                    minimum: 1e-6,
                }
                .into(),
            ),
            Self::Armijo => {
                descent(LearningRate::from(10.0 * rate).backtracking(Armijo::default()))
            }
            Self::CurvatureCap => {
                descent(LearningRate::from(10.0 * rate).capped(CurvatureCap::default()))
            }
            Self::Momentum => {
                let momentum = MomentumConfig::new().with_momentum(0.9);
                let optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
                Box::new(BurnOptimizer::new(self.name(), optimizer, rate))
            }
            Self::Adam => Box::new(BurnOptimizer::new(
                self.name(),
                AdamConfig::new().init(),
                0.1 * rate,
            )),
            Self::Newton => Box::new(Newton::new(Damping::None).named(self.name())),
            Self::DampedNewton => Box::new(Newton::new(Damping::adaptive()).named(self.name())),
            Self::NewtonCg => Box::new(NewtonCg::new().named(self.name())),
        }
    }
}

#[derive(Serialize)]
struct StepRow<'a> {
    problem: &'a str,
    method: &'a str,
    seed: u64,
    step: usize,
    gradient_equivalents: f64,
    seconds: f64,
    loss: f64,
    gradient_norm: Option<f64>,
    learning_rate: Option<f64>,
    predicted_change: Option<f64>,
    measured_change: Option<f64>,
}

#[derive(Serialize)]
struct ResultRow<'a> {
    problem: &'a str,
    method: &'a str,
    seed: u64,
    rate: Option<f64>,
    ending: String,
    reached: bool,
    steps: usize,
    gradient_equivalents: f64,
    seconds: f64,
    final_loss: Option<f64>,
}

/// One step of mini-batch SGD, seen on the whole training set.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Watched {
    step: usize,
    learning_rate: f64,
    #[serde(flatten)]
    monitor: Monitor,
    /// −ε gᵀg + ½ ε² gᵀHg of a step along the whole gradient at this rate.
    predicted: f64,
    /// What such a step does to the loss.
    measured: f64,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("ill-conditioning.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            dtype: Dtype::F64,
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.kappas = vec![1.0, 100.0];
            config.dimension = 5;
            config.quadratic_steps = 100;
            config.digits_gradients = 20.0;
            config.newton_steps = 1;
            config.rates = vec![0.3];
            config.batch_steps = 40;
            config.batch_rates = vec![0.2];
            config.digits.hidden = vec![4];
            config.digits.examples = 160;
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    let seeds = context.seeds().len();
    let tuned = Candidate::ALL
        .iter()
        .filter(|candidate| candidate.is_tuned())
        .count();
    let batch_methods = config.batch_rates.len() * BATCH_SCHEDULES.len();
    context.announce_cells(
        Candidate::ALL.len() * seeds * (config.kappas.len() + 1)
            + tuned * config.rates.len()
            + batch_methods * seeds,
    );
    let mut report =
        Report::new("Ill-conditioning: fixed rates, shrinking rates and Newton-type steps");
    report = quadratics(context, report)?;
    report = digits(context, report)?;
    mini_batches(context, report)
}

// ---- quadratics ----

fn quadratics(context: &Context<Config>, mut report: Report) -> anyhow::Result<Report> {
    let config = context.config();
    let mut columns = vec!["method".to_string()];
    columns.extend(config.kappas.iter().map(|kappa| format!("κ = {kappa:e}")));
    let mut steps_table = Table::new(
        "Steps to the target, median over seeds (a dash: not within the steps allowed)",
        columns.clone(),
    );
    let mut cost_table = Table::new(
        "Gradient-equivalents to the target, median over seeds",
        columns,
    );
    let mut plot = Plot::new(
        "Steps to the target on quadratics",
        Axis::log("condition number κ"),
        Axis::log("steps"),
    );
    let mut slope_of_fixed = f64::NAN;
    let mut newton_steps = f64::NAN;
    for candidate in Candidate::ALL {
        let mut curves: Vec<Vec<(f64, f64)>> = vec![Vec::new(); context.seeds().len()];
        let (mut steps, mut costs) = (Vec::new(), Vec::new());
        for &kappa in &config.kappas {
            let mut reached = Vec::new();
            for (index, &seed) in context.seeds().iter().enumerate() {
                let problem = format!("quadratic/kappa={kappa:e}");
                let outcome = cell(context, &problem, candidate, seed, None, || {
                    solve_quadratic(context, candidate, kappa, seed)
                })?;
                let Some(outcome) = outcome.filter(Outcome::reached) else {
                    continue;
                };
                curves[index].push((kappa, outcome.steps as f64));
                reached.push((outcome.steps as f64, outcome.gradient_equivalents));
            }
            let all = reached.len() == context.seeds().len();
            steps.push(all.then(|| median(reached.iter().map(|r| r.0))));
            costs.push(all.then(|| median(reached.iter().map(|r| r.1))));
        }
        if candidate == Candidate::Fixed {
            slope_of_fixed = median(
                curves
                    .iter()
                    .map(|curve| log_slope(curve.iter().copied().filter(|p| p.0 > 1.0))),
            );
        }
        if candidate == Candidate::Newton {
            newton_steps = steps.iter().flatten().copied().fold(0.0, f64::max);
        }
        steps_table.push(
            std::iter::once(candidate.name().into()).chain(steps.into_iter().map(Into::into)),
        );
        cost_table.push(
            std::iter::once(candidate.name().into()).chain(costs.into_iter().map(Into::into)),
        );
        plot.push(Series::over_seeds(candidate.name(), curves));
    }
    report = report
        .finding(format!(
            "On quadratics, steps of gradient descent at its best fixed rate grow with κ to the power {} (theory: 1), up to the {} steps allowed; Newton's method takes at most {} step(s) at every κ.",
            significant(slope_of_fixed, 3), config.quadratic_steps, significant(newton_steps, 2)
        ))
        .section("Quadratics")
        .paragraph(format!(
            "½ (x − x*)ᵀ A (x − x*) in {} dimensions with eigenvalues spaced logarithmically between 1/κ and 1 in a random basis. The fixed rate is the best there is, 2/(λ_max + λ_min); shrinking rules start from it, backtracking and the curvature cap from ten times that. Target: {:e} of the initial excess loss.",
            config.dimension, config.quadratic_target
        ))
        .plot(plot)
        .table(steps_table)
        .table(cost_table);
    Ok(report)
}

fn solve_quadratic(
    context: &Context<Config>,
    candidate: Candidate,
    kappa: f64,
    seed: u64,
) -> anyhow::Result<Outcome> {
    let config = context.config();
    let model = QuadraticConfig::new(config.dimension, kappa)
        .with_seed(seed)
        .init(context.device())?;
    let objective = context.objective(Objective::of_loss(|model: &Quadratic, (): &()| {
        model.loss()
    }));
    let point = objective.at(&model, &())?;
    let eigenvalues = model.eigenvalues();
    let smallest = eigenvalues.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = eigenvalues.iter().copied().fold(0.0, f64::max);
    let rate = 2.0 / (smallest + largest);
    let excess = point.loss()? - model.minimum();
    let target = model.minimum() + config.quadratic_target * excess;
    let budget = Budget::steps(config.quadratic_steps)
        .target_loss(target)
        .weights(QUADRATIC_WEIGHTS);
    let mut method = candidate.method(rate, config.quadratic_steps);
    let trajectory = minimise(&mut *method, &point, point.theta(), &budget, &mut Silent)?;
    Ok(Outcome::of(&trajectory, 200))
}

/// On a quadratic each of loss, gradient and product takes one product with the matrix.
const QUADRATIC_WEIGHTS: CostWeights = CostWeights {
    loss: 1.0,
    gradient: 1.0,
    product: 1.0,
    gauss_newton_product: 1.0,
    factor_pass: 1.0,
};

// ---- the whole data ----

/// Seed of the runs that learning rates are tuned on; it is never reported.
const TUNING_SEED: u64 = 1_000;

fn digits(context: &Context<Config>, mut report: Report) -> anyhow::Result<Report> {
    let config = context.config();
    let measured = context.cell("digits/cost", || {
        let problem = DigitsProblem::new(context, &config.digits, TUNING_SEED)?;
        Ok(CostWeights::measure(&problem.full()?, 15)?)
    })?;
    let weights = measured.unwrap_or_default();
    let mut table = Table::new(
        format!(
            "To a training loss of {}, median over the seeds that reached it",
            config.digits_target
        ),
        [
            "method",
            "rate",
            "reached",
            "steps",
            "gradient-equivalents",
            "seconds",
            "final loss",
            "‖g‖ at the end",
        ],
    )
    .mark_best("gradient-equivalents", Best::Lowest)
    .mark_best("final loss", Best::Lowest);
    let mut by_cost = Plot::new(
        "Training loss by cost",
        Axis::log("gradient-equivalents").from(1.0),
        Axis::log("training loss"),
    );
    let mut gradients = Plot::new(
        "Gradient norm by cost",
        Axis::log("gradient-equivalents").from(1.0),
        Axis::log("‖g‖"),
    );
    let mut best: Option<(f64, &str)> = None;
    let mut newton = String::new();
    for candidate in Candidate::ALL {
        let rate = match candidate.is_tuned() {
            true => tune(context, candidate, weights)?,
            false => None,
        };
        let mut outcomes = Vec::new();
        for &seed in context.seeds() {
            let outcome = cell(context, "digits", candidate, seed, rate, || {
                train(context, candidate, rate.unwrap_or(1.0), seed, weights)
            })?;
            outcomes.extend(outcome);
        }
        let curve = |value: fn(&ravine_optim::Row) -> f64| -> Vec<Vec<(f64, f64)>> {
            let of = |outcome: &Outcome| {
                outcome
                    .rows
                    .iter()
                    .map(|row| (row.gradient_equivalents.max(1.0), value(row)))
                    .collect()
            };
            outcomes.iter().map(of).collect()
        };
        by_cost.push(Series::over_seeds(candidate.name(), curve(|row| row.loss)));
        gradients.push(Series::over_seeds(
            candidate.name(),
            curve(|row| row.gradient_norm.unwrap_or(f64::NAN)),
        ));
        let reached: Vec<&Outcome> = outcomes
            .iter()
            .filter(|outcome| outcome.reached())
            .collect();
        let of_reached = |value: fn(&Outcome) -> f64| match reached.is_empty() {
            true => None,
            false => Some(median(reached.iter().map(|outcome| value(outcome)))),
        };
        let cost = of_reached(|outcome| outcome.gradient_equivalents);
        let final_loss = median(
            outcomes
                .iter()
                .map(|outcome| outcome.final_loss.unwrap_or(f64::NAN)),
        );
        if let Some(cost) = cost
            && reached.len() == outcomes.len()
            && best.is_none_or(|(known, _)| cost < known)
        {
            best = Some((cost, candidate.name()));
        }
        if candidate == Candidate::Newton {
            let mut endings: Vec<String> = outcomes.iter().map(Outcome::ending_text).collect();
            endings.dedup();
            newton = format!(
                "plain Newton ended at a loss of {} ({})",
                significant(final_loss, 3),
                endings.join(", ")
            );
        }
        table.push([
            candidate.name().into(),
            rate.into(),
            format!("{} of {}", reached.len(), context.seeds().len()).into(),
            of_reached(|outcome| outcome.steps as f64).into(),
            cost.into(),
            of_reached(|outcome| outcome.seconds).into(),
            final_loss.into(),
            median(
                outcomes
                    .iter()
                    .map(|outcome| outcome.final_gradient_norm.unwrap_or(f64::NAN)),
            )
            .into(),
        ]);
    }
    let winner = match best {
        Some((cost, name)) => format!(
            "the cheapest method that reached it with every seed was {name}, after {} gradient-equivalents",
            significant(cost, 3)
        ),
        None => "no method reached it with every seed".to_string(),
    };
    report = report
        .finding(format!("On the digits, to a training loss of {}: {winner}; {newton}.", config.digits_target))
        .section("A network on handwritten digits, whole data in each step")
        .paragraph(format!(
            "A tanh network 64-{}-10 on {} digits, mean cross entropy. Each first-order method has its learning rate chosen among {:?} by its final loss on a seed that is not reported (for Adam a tenth, for backtracking and the curvature cap ten times that as the first try). On this machine a loss costs {} and a Hessian-vector product {} gradients. The budget is {} gradient-equivalents; Newton's method with the dense Hessian needs one product for each of its parameters and gets {} steps instead, whatever they cost.",
            config.digits.hidden.iter().map(ToString::to_string).collect::<Vec<_>>().join("-"),
            config.digits.examples, config.rates, significant(weights.loss, 2), significant(weights.product, 3),
            config.digits_gradients, config.newton_steps
        ))
        .plot(by_cost)
        .plot(gradients)
        .table(table);
    Ok(report)
}

/// The rate with the lowest final loss on the tuning seed.
fn tune(
    context: &Context<Config>,
    candidate: Candidate,
    weights: CostWeights,
) -> anyhow::Result<Option<f64>> {
    let mut best: Option<(f64, f64)> = None;
    for &rate in &context.config().rates {
        let name = format!("digits/tuning/method={}/rate={rate}", candidate.name());
        let outcome = context.cell(name, || {
            train(context, candidate, rate, TUNING_SEED, weights)
        })?;
        let loss = outcome.ok().and_then(|outcome| match outcome.reached() {
            // all runs end at the target: then the cheaper one is better
            true => Some(outcome.gradient_equivalents * 1e-9),
            false => outcome.final_loss,
        });
        if let Some(loss) = loss.filter(|loss| loss.is_finite())
            && best.is_none_or(|(known, _)| loss < known)
        {
            best = Some((loss, rate));
        }
    }
    Ok(best.map(|(_, rate)| rate))
}

fn train(
    context: &Context<Config>,
    candidate: Candidate,
    rate: f64,
    seed: u64,
    weights: CostWeights,
) -> anyhow::Result<Outcome> {
    let config = context.config();
    let point = DigitsProblem::new(context, &config.digits, seed)?.full()?;
    let budget = match candidate.is_dense() {
        true => Budget::steps(config.newton_steps).weights(weights),
        false => Budget::gradient_equivalents(config.digits_gradients, weights),
    };
    let budget = budget.target_loss(config.digits_target).max_loss(1e3);
    let mut method = candidate.method(rate, config.digits_gradients as usize);
    let trajectory = minimise(&mut *method, &point, point.theta(), &budget, &mut Silent)?;
    Ok(Outcome::of(&trajectory, 200))
}

// ---- mini-batches ----

/// What happens to the rate of mini-batch SGD.
const BATCH_SCHEDULES: [&str; 3] = ["fixed", "exponential", "cosine"];

fn mini_batches(context: &Context<Config>, mut report: Report) -> anyhow::Result<Report> {
    let config = context.config();
    let mut loss = Plot::new(
        "Training loss of mini-batch SGD",
        Axis::linear("step"),
        Axis::log("loss on the whole training set"),
    );
    let mut gtg = Plot::new(
        "gᵀg of the whole training loss",
        Axis::linear("step"),
        Axis::log("gᵀg"),
    );
    let mut gthg = Plot::new(
        "gᵀHg of the whole training loss",
        Axis::linear("step"),
        Axis::log("gᵀHg"),
    );
    let mut table = Table::new(
        "The last tenth of the steps, medians over measurements and seeds",
        [
            "schedule",
            "initial rate",
            "loss",
            "gᵀg",
            "gᵀHg",
            "ε / 2ε*",
            "uphill by the model",
            "uphill when tried",
        ],
    )
    .mark_best("loss", Best::Lowest);
    let mut levels: Vec<(&str, f64, f64, f64)> = Vec::new();
    let mut prediction = Vec::new();
    for &rate in &config.batch_rates {
        for schedule in BATCH_SCHEDULES {
            let mut runs: Vec<Vec<Watched>> = Vec::new();
            for &seed in context.seeds() {
                let name = format!("batches/schedule={schedule}/rate={rate}/seed={seed}");
                let watched = context.cell(name, || watch(context, schedule, rate, seed))?;
                let Ok(watched) = watched else { continue };
                for row in &watched {
                    context.row(
                        "batches",
                        &BatchRow {
                            schedule,
                            rate,
                            seed,
                            watched: *row,
                        },
                    )?;
                    prediction.push((row.predicted, row.measured));
                }
                runs.push(watched);
            }
            let curves = |value: fn(&Watched) -> f64| -> Vec<Vec<(f64, f64)>> {
                runs.iter()
                    .map(|run| run.iter().map(|w| (w.step as f64, value(w))).collect())
                    .collect()
            };
            let name = format!("{schedule}, ε = {rate}");
            loss.push(Series::over_seeds(&name, curves(|w| w.monitor.loss)));
            gtg.push(Series::over_seeds(&name, curves(|w| w.monitor.gtg)));
            gthg.push(Series::over_seeds(&name, curves(|w| w.monitor.gthg)));
            let last: Vec<Watched> = runs
                .iter()
                .flat_map(|run| run[run.len() - run.len().div_ceil(10)..].iter().copied())
                .collect();
            let over = |value: fn(&Watched) -> f64| median(last.iter().map(value));
            let share = |holds: fn(&Watched) -> bool| {
                last.iter().filter(|w| holds(w)).count() as f64 / last.len().max(1) as f64
            };
            let level = over(|w| w.monitor.loss);
            levels.push((schedule, rate, level, over(|w| w.monitor.gtg)));
            table.push([
                schedule.into(),
                rate.into(),
                level.into(),
                over(|w| w.monitor.gtg).into(),
                over(|w| w.monitor.gthg).into(),
                over(|w| w.learning_rate / w.monitor.uphill_step.unwrap_or(f64::NAN)).into(),
                share(|w| w.monitor.is_detrimental(w.learning_rate)).into(),
                share(|w| w.measured > 0.0).into(),
            ]);
        }
    }
    let sign = prediction
        .iter()
        .filter(|(predicted, measured)| (*predicted > 0.0) == (*measured > 0.0))
        .count();
    report = report
        .finding(stuck(&levels))
        .finding(format!(
            "Whether a step along the whole gradient at the current rate goes uphill was told rightly by −ε gᵀg + ½ ε² gᵀHg in {} % of {} measurements.",
            significant(100.0 * sign as f64 / prediction.len().max(1) as f64, 4), prediction.len()
        ))
        .section("Mini-batches: gradient, curvature, prediction and outcome")
        .paragraph(format!(
            "The same network with {} examples in each step. At every measurement g and H are those of the whole training loss; a step of the current rate along −g is predicted by −ε gᵀg + ½ ε² gᵀHg and tried (and taken back). Shrinking rates fall to 1 % (exponential) or to 0 (cosine) of the initial rate over {} steps.",
            config.batch_size, config.batch_steps
        ))
        .plot(loss)
        .plot(gtg)
        .plot(gthg)
        .plot(
            Plot::new("Change of the loss by a step along the whole gradient", Axis::linear("predicted"), Axis::linear("measured"))
                .scatter("steps", prediction.iter().copied())
                .line("predicted = measured", diagonal(&prediction)),
        )
        .table(table);
    Ok(report)
}

/// Fixed against cosine at the largest initial rate.
fn stuck(levels: &[(&str, f64, f64, f64)]) -> String {
    let at_largest = |schedule: &str| {
        let matching = levels.iter().filter(|level| level.0 == schedule);
        matching.max_by(|a, b| a.1.total_cmp(&b.1))
    };
    let (Some(fixed), Some(cosine)) = (at_largest("fixed"), at_largest("cosine")) else {
        return "No mini-batch run finished.".to_string();
    };
    let all: Vec<String> = levels
        .iter()
        .map(|(schedule, rate, loss, _)| format!("{schedule} {rate}: {}", significant(*loss, 3)))
        .collect();
    format!(
        "Mini-batch SGD at the fixed rate {} stays at a loss of {} with a gradient that is still strong (gᵀg = {}); from the same start the shrinking (cosine) rate ends at {} with gᵀg = {}. Losses by schedule and initial rate: {}.",
        fixed.1,
        significant(fixed.2, 3),
        significant(fixed.3, 3),
        significant(cosine.2, 3),
        significant(cosine.3, 3),
        all.join("; ")
    )
}

fn diagonal(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite = points.iter().map(|p| p.0).filter(|x| x.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
        (low.min(x), high.max(x))
    });
    match low <= high {
        true => vec![(low, low), (high, high)],
        false => Vec::new(),
    }
}

#[derive(Serialize)]
struct BatchRow<'a> {
    schedule: &'a str,
    rate: f64,
    seed: u64,
    #[serde(flatten)]
    watched: Watched,
}

fn watch(
    context: &Context<Config>,
    schedule: &str,
    rate: f64,
    seed: u64,
) -> anyhow::Result<Vec<Watched>> {
    let config = context.config();
    let problem = DigitsProblem::new(context, &config.digits, seed)?;
    let full = problem.full()?;
    let steps = config.batch_steps;
    let schedule = match schedule {
        "fixed" => Schedule::Constant { rate },
        "cosine" => Schedule::Cosine {
            initial: rate,
            last: 0.0,
            steps: steps as u64,
        },
        _ => Schedule::Exponential {
            initial: rate,
            factor: 0.01f64.powf(1.0 / steps as f64),
        },
    };
    let mut batches = problem.stream(config.batch_size, Seed::new(seed).stream("batches"))?;
    let stream = Batches::stream(|_| {
        let batch = batches.next().expect("batches never end");
        problem.objective.at(&problem.model, &batch)
    });
    let progress = context.progress(&format!("ε = {rate}, seed {seed}"), steps);
    let every = (steps / 60).max(1);
    let mut watched = Vec::new();
    let mut failure = None;
    let mut observer = |now: &Progress<'_>| {
        progress.tick(|| format!("batch loss {:.3}", now.row.loss));
        if !now.row.step.is_multiple_of(every) {
            return ControlFlow::Continue(());
        }
        let learning_rate = now.row.learning_rate.unwrap_or(f64::NAN);
        match look(&full, &now.step.theta, now.row.step, learning_rate) {
            Ok(seen) => {
                watched.push(seen);
                ControlFlow::Continue(())
            }
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let mut method = GradientDescent::new(schedule);
    minimise(
        &mut method,
        stream,
        full.theta(),
        &Budget::steps(steps),
        &mut observer,
    )?;
    match failure {
        Some(error) => Err(error),
        None => Ok(watched),
    }
}

fn look(
    full: &Point,
    theta: &burn::tensor::Tensor<1>,
    step: usize,
    learning_rate: f64,
) -> anyhow::Result<Watched> {
    let point = full.move_to(theta.clone())?;
    let monitor = Monitor::at(&point)?;
    let moved = theta.clone() - point.gradient()?.mul_scalar(learning_rate);
    Ok(Watched {
        step,
        learning_rate,
        monitor,
        predicted: monitor.predicted_change(learning_rate),
        measured: point.move_to(moved)?.loss()? - monitor.loss,
    })
}

// ---- rows ----

/// Runs or loads a cell and writes its rows; a failure is a row as well.
fn cell(
    context: &Context<Config>,
    problem: &str,
    candidate: Candidate,
    seed: u64,
    rate: Option<f64>,
    work: impl FnOnce() -> anyhow::Result<Outcome>,
) -> anyhow::Result<Option<Outcome>> {
    let method = candidate.name();
    let outcome = context.cell(format!("{problem}/method={method}/seed={seed}"), work)?;
    let row = match &outcome {
        Ok(outcome) => ResultRow {
            problem,
            method,
            seed,
            rate,
            ending: outcome.ending_text(),
            reached: outcome.reached(),
            steps: outcome.steps,
            gradient_equivalents: outcome.gradient_equivalents,
            seconds: outcome.seconds,
            final_loss: outcome.final_loss,
        },
        Err(failure) => ResultRow {
            problem,
            method,
            seed,
            rate,
            ending: failure.message.clone(),
            reached: false,
            steps: 0,
            gradient_equivalents: f64::NAN,
            seconds: f64::NAN,
            final_loss: None,
        },
    };
    context.row("results", &row)?;
    let Ok(outcome) = outcome else {
        return Ok(None);
    };
    for row in &outcome.rows {
        context.row(
            "steps",
            &StepRow {
                problem,
                method,
                seed,
                step: row.step,
                gradient_equivalents: row.gradient_equivalents,
                seconds: row.seconds,
                loss: row.loss,
                gradient_norm: row.gradient_norm,
                learning_rate: row.learning_rate,
                predicted_change: row.predicted_change,
                measured_change: row.measured_change,
            },
        )?;
    }
    Ok(Some(outcome))
}
