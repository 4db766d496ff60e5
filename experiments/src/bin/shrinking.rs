//! # shrinking: must the learning rate shrink to follow the curvature while the gradient stays strong?
//!
//! The ReLU network of `strong-gradient`, whose gradient grows while it learns. At several epochs of SGD the largest stable rate of gradient descent on
//! the whole training set is searched: the largest at which a number of steps never lead above the loss where they began. It
//! is held against 2/λ_max and 2gᵀg/gᵀHg. Then SGD with a fixed rate is compared with shrinking rates at equal cost, each tuned over the initial rate on
//! a seed of its own, on the labels as they are, which the network can fit, and with a fifth of them drawn at random, which it cannot.
//!
//! - **Expected:** the largest stable rate falls by more than a half, in step with 2/λ_max; shrinking rates end with a lower training loss
//! - **Takes:** about two minutes
//! - **Command:** `just exp shrinking`
//! - **Claim:** the learning rate must shrink to follow the growing curvature although the gradient is strong
//! - **Source:** Goodfellow, Bengio and Courville (2016), Deep Learning, section 8.2.1

use std::process::ExitCode;

use burn::prelude::*;
use ravine_curvature::{LanczosOptions, Monitor, Point, Seed, lanczos_top_k};
use ravine_experiments::{
    Axis, Band, Context, Criterion, DigitsConfig, DigitsProblem, Dtype, Experiment, Plot, Report,
    RunOptions, Seeds, Series, Table, median, significant,
};
use ravine_model::datasets::Standardisation;
use ravine_model::models::Activation;
use ravine_optim::Schedule;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Width of each hidden layer.
    hidden: Vec<usize>,
    /// Training examples.
    examples: usize,
    /// The initial weights are multiplied by this.
    scale: f64,
    /// Rate of SGD on the way to the places that are looked at.
    rate: f64,
    /// Examples in a mini-batch.
    batch_size: usize,
    /// Epochs after which the stable rate is searched.
    epochs: Vec<usize>,
    /// Steps that must stay below the loss where they began.
    trial_steps: usize,
    /// Initial rates that fixed and shrinking SGD are tuned over.
    rates: Vec<f64>,
    /// Epochs of the comparison.
    compared_epochs: usize,
    /// The seed that rates are tuned on.
    tuning_seed: u64,
    /// Share of random labels in the second comparison.
    random_labels: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hidden: vec![64, 64, 64],
            examples: 1437,
            scale: 0.5,
            rate: 0.05,
            batch_size: 16,
            epochs: vec![0, 2, 4, 6, 8, 10, 12],
            trial_steps: 30,
            rates: vec![0.1, 0.2, 0.4, 0.6, 0.9, 1.4, 2.0, 3.0],
            compared_epochs: 12,
            tuning_seed: 1000,
            random_labels: 0.2,
        }
    }
}

/// What is seen after some epochs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Seen {
    epoch: usize,
    loss: f64,
    /// Mean ‖g‖ of mini-batches.
    batch_gradient_norm: f64,
    /// ‖g‖ of the whole training set.
    gradient_norm: f64,
    lambda_max: f64,
    /// Residual of λ_max.
    residual: f64,
    /// 2gᵀg/gᵀHg; NaN where gᵀHg is not positive.
    along_gradient: f64,
    /// The largest stable rate.
    stable: f64,
}

#[derive(Serialize)]
struct Row {
    seed: u64,
    #[serde(flatten)]
    seen: Seen,
}

/// How the rate goes on from its initial value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Fixed,
    StepDecay,
    Exponential,
    Cosine,
    InverseTime,
}

impl Rule {
    const ALL: [Self; 5] = [
        Self::Fixed,
        Self::StepDecay,
        Self::Exponential,
        Self::Cosine,
        Self::InverseTime,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::StepDecay => "step decay",
            Self::Exponential => "exponential decay",
            Self::Cosine => "cosine decay",
            Self::InverseTime => "inverse time",
        }
    }

    /// [`Rule::schedule`] for any number of steps.
    fn schedule_at(self, initial: f64) -> impl Fn(usize) -> Schedule {
        move |steps| self.schedule(initial, steps)
    }

    /// Shrinking rules end at a fiftieth of the initial rate or below, inverse time at a tenth.
    fn schedule(self, initial: f64, steps: usize) -> Schedule {
        let steps = steps as u64;
        match self {
            Self::Fixed => Schedule::Constant { rate: initial },
            Self::StepDecay => Schedule::StepDecay {
                initial,
                factor: 0.2,
                every: (steps / 3).max(1),
            },
            Self::Exponential => Schedule::Exponential {
                initial,
                factor: 0.02f64.powf(1.0 / steps as f64),
            },
            Self::Cosine => Schedule::Cosine {
                initial,
                last: 0.0,
                steps,
            },
            Self::InverseTime => Schedule::InverseTime {
                initial,
                decay: 9.0 / steps as f64,
            },
        }
    }
}

/// Where SGD ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ended {
    train_loss: f64,
    test_error: f64,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("shrinking.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            dtype: Dtype::F64,
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.hidden = vec![8, 8];
            config.examples = 160;
            config.epochs = vec![0, 1];
            config.trial_steps = 3;
            config.rates = vec![0.1];
            config.compared_epochs = 1;
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    let seeds = context.seeds().len();
    context.announce_cells(seeds + 2 * Rule::ALL.len() * (config.rates.len() + seeds));
    let report = Report::new("The largest stable rate follows the curvature");
    let report = follow(context, report)?.section("Fixed and shrinking rates");
    let report = compare(context, report, Labels::True)?;
    let report = compare(context, report, Labels::Noisy)?;
    Ok(report
        .remark("The grid of rates of the comparison was extended upwards after a first run had its best rates on the edge; the claim failed before and after.")
        .remark("The stable rate looks ahead: a run of steps at a large rate from the first parameters soon meets curvature that is not yet there, so that its rate is bounded from the beginning, while 2/λ_max, the local bound, falls much more. And SGD with the best fixed rate is not stuck where the network fits all training examples: the noise of mini-batches vanishes with the loss and nothing is left for a shrinking rate to average out; shrinking only slows it down. The comparison with random labels, added after the claim had failed without them, asks whether that is the reason."))
}

/// What the compared networks learn.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Labels {
    True,
    Noisy,
}

impl Labels {
    fn name(self) -> &'static str {
        match self {
            Self::True => "true labels",
            Self::Noisy => "with random labels",
        }
    }

    fn share(self, config: &Config) -> f64 {
        match self {
            Self::True => 0.0,
            Self::Noisy => config.random_labels,
        }
    }
}

/// The stable rate through training.
fn follow(context: &Context<Config>, mut report: Report) -> anyhow::Result<Report> {
    let mut falls = Criterion::new("largest stable rate, last/first", Band::at_most(0.5));
    let mut strong = Criterion::new(
        "mean gradient norm of mini-batches, last/first",
        Band::at_least(1.0),
    );
    let mut follows = Criterion::new(
        "stable rate / (2/λ_max), median over epochs",
        Band::between(0.5, 2.0),
    );
    let mut curves: [Vec<Vec<(f64, f64)>>; 4] = Default::default();
    let mut table = Table::new(
        "Largest stable rate, first seed",
        [
            "epoch",
            "training loss",
            "‖g‖ of batches",
            "λ_max",
            "2/λ_max",
            "2gᵀg/gᵀHg",
            "largest stable rate",
        ],
    );
    let (mut ratios, mut local_falls) = (Vec::new(), Vec::new());
    for &seed in context.seeds() {
        let cell = context.cell(format!("follow/seed={seed}"), || watch(context, seed))?;
        let Ok(seen) = cell else {
            for criterion in [&mut falls, &mut strong, &mut follows] {
                criterion.push(seed, f64::NAN);
            }
            continue;
        };
        let ends = |value: fn(&Seen) -> f64| {
            let (first, last) = (seen.first().map(value), seen.last().map(value));
            last.unwrap_or(f64::NAN) / first.unwrap_or(f64::NAN)
        };
        let ratio = |seen: &Seen| seen.stable * seen.lambda_max / 2.0;
        falls.push(seed, ends(|seen| seen.stable));
        local_falls.push(ends(|seen| 2.0 / seen.lambda_max));
        strong.push(seed, ends(|seen| seen.batch_gradient_norm));
        follows.push(seed, median(seen.iter().map(ratio)));
        ratios.extend(seen.iter().map(|seen| seen.stable / seen.along_gradient));
        let values: [fn(&Seen) -> f64; 4] = [
            |seen| seen.stable,
            |seen| 2.0 / seen.lambda_max,
            |seen| seen.along_gradient,
            |seen| seen.batch_gradient_norm,
        ];
        for (curves, value) in curves.iter_mut().zip(values) {
            curves.push(
                seen.iter()
                    .map(|seen| (seen.epoch as f64, value(seen)))
                    .collect(),
            );
        }
        for seen in seen {
            context.row("stable", &Row { seed, seen })?;
            if seed == context.seeds()[0] {
                table.push([
                    seen.epoch.into(),
                    seen.loss.into(),
                    seen.batch_gradient_norm.into(),
                    seen.lambda_max.into(),
                    (2.0 / seen.lambda_max).into(),
                    seen.along_gradient.into(),
                    seen.stable.into(),
                ]);
            }
        }
    }
    let [stable, by_curvature, along_gradient, norm] = curves;
    let rates = Plot::new(
        "The largest stable rate",
        Axis::linear("epoch"),
        Axis::log("learning rate"),
    )
    .series(Series::over_seeds("largest stable rate", stable))
    .series(Series::over_seeds("2/λ_max", by_curvature))
    .series(Series::over_seeds("2gᵀg/gᵀHg", along_gradient));
    let norms = Plot::new(
        "Gradient norm of mini-batches",
        Axis::linear("epoch"),
        Axis::log("mean ‖g‖"),
    )
    .series(Series::over_seeds("SGD", norm));
    report = report
        .finding(format!(
            "The largest stable rate was {} times 2gᵀg/gᵀHg in the median (where gᵀHg was positive).",
            significant(median(ratios.into_iter().filter(|ratio| ratio.is_finite())), 3)
        ))
        .finding(format!(
            "From the first to the last epoch 2/λ_max changed by a factor of {} (median over seeds).",
            significant(median(local_falls), 3)
        ))
        .section("Through training")
        .plot(rates)
        .plot(norms)
        .table(table);
    Ok([falls, strong, follows]
        .into_iter()
        .fold(report, Report::criterion))
}

/// Fixed against shrinking rates.
fn compare(context: &Context<Config>, report: Report, labels: Labels) -> anyhow::Result<Report> {
    let config = context.config();
    let name = labels.name();
    let mut table = Table::new(
        format!("SGD after the same number of steps, {name}, medians over seeds"),
        [
            "rule",
            "initial rate (tuned)",
            "training loss",
            "test error",
        ],
    );
    let mut losses: Vec<(Rule, Vec<f64>)> = Vec::new();
    for rule in Rule::ALL {
        let mut best = (f64::INFINITY, config.rates[0]);
        for &rate in &config.rates {
            let name = format!("tuning/{name}/rule={}/rate={rate}", rule.name());
            let run = || train(context, labels, rule.schedule_at(rate), config.tuning_seed);
            let cell = context.cell(name, run)?;
            if let Ok(ended) = cell
                && ended.train_loss < best.0
            {
                best = (ended.train_loss, rate);
            }
        }
        let mut ends = Vec::new();
        for &seed in context.seeds() {
            let name = format!("compare/{name}/rule={}/seed={seed}", rule.name());
            let failed = Ended {
                train_loss: f64::NAN,
                test_error: f64::NAN,
            };
            ends.push(
                context
                    .cell(name, || {
                        train(context, labels, rule.schedule_at(best.1), seed)
                    })?
                    .unwrap_or(failed),
            );
        }
        table.push([
            rule.name().into(),
            best.1.into(),
            median(ends.iter().map(|end| end.train_loss)).into(),
            median(ends.iter().map(|end| end.test_error)).into(),
        ]);
        losses.push((rule, ends.iter().map(|end| end.train_loss).collect()));
    }
    let mut lower = Criterion::new(
        format!(
            "training loss of the best shrinking rule / of the fixed rate, at equal cost, {name}"
        ),
        Band::at_most(1.0),
    );
    for (index, &seed) in context.seeds().iter().enumerate() {
        let of = |wanted: fn(Rule) -> bool| {
            let chosen = losses.iter().filter(|(rule, _)| wanted(*rule));
            chosen
                .map(|(_, ends)| ends[index])
                .fold(f64::INFINITY, f64::min)
        };
        lower.push(
            seed,
            of(|rule| rule != Rule::Fixed) / of(|rule| rule == Rule::Fixed),
        );
    }
    Ok(report.criterion(lower).table(table))
}

fn problem(
    context: &Context<Config>,
    labels: Labels,
    seed: u64,
) -> anyhow::Result<(DigitsProblem, Tensor<1>)> {
    let config = context.config();
    let digits = DigitsConfig {
        hidden: config.hidden.clone(),
        activation: Activation::Relu,
        pixels: Standardisation::Centred,
        examples: config.examples,
        random_labels: labels.share(config),
    };
    let problem = DigitsProblem::new(context, &digits, seed)?;
    let theta = problem.full()?.theta().clone().mul_scalar(config.scale);
    Ok((problem, theta))
}

fn train(
    context: &Context<Config>,
    labels: Labels,
    schedule: impl Fn(usize) -> Schedule,
    seed: u64,
) -> anyhow::Result<Ended> {
    let config = context.config();
    let (problem, theta) = problem(context, labels, seed)?;
    let steps = problem.batches_per_epoch(config.batch_size)? * config.compared_epochs;
    let mut batches = problem.stream(config.batch_size, Seed::new(seed).stream("batches"))?;
    let theta = problem.descend(&mut batches, &theta, schedule(steps), steps)?;
    let full = problem.full()?.move_to(theta.clone())?;
    Ok(Ended {
        train_loss: full.loss()?,
        test_error: problem.test_error(&full, &theta)?,
    })
}

fn watch(context: &Context<Config>, seed: u64) -> anyhow::Result<Vec<Seen>> {
    let config = context.config();
    let (problem, mut theta) = problem(context, Labels::True, seed)?;
    let per_epoch = problem.batches_per_epoch(config.batch_size)?;
    let mut batches = problem.stream(config.batch_size, Seed::new(seed).stream("batches"))?;
    let progress = context.progress(&format!("seed {seed}"), config.epochs.len());
    let (mut seen, mut done) = (Vec::new(), 0);
    for &epoch in &config.epochs {
        if epoch > done {
            let steps = (epoch - done) * per_epoch;
            theta = problem.descend(&mut batches, &theta, config.rate, steps)?;
            done = epoch;
        }
        let now = look(context, &problem, &theta, epoch)?;
        progress.tick(|| format!("stable up to {:.3}", now.stable));
        seen.push(now);
    }
    Ok(seen)
}

fn look(
    context: &Context<Config>,
    problem: &DigitsProblem,
    theta: &Tensor<1>,
    epoch: usize,
) -> anyhow::Result<Seen> {
    let config = context.config();
    let full = problem.full()?.move_to(theta.clone())?;
    let monitor = Monitor::at(&full)?;
    let mut norms = Vec::new();
    for point in problem.fixed_batches(config.batch_size, theta)? {
        norms.push(ravine_curvature::vector::norm(&point?.gradient()?));
    }
    let options = LanczosOptions {
        pairs: 1,
        ..LanczosOptions::default()
    };
    let top = lanczos_top_k(&full.hessian(), &options, Seed::new(0).stream("sharpness"))?;
    let (lambda_max, residual) = top
        .pairs
        .first()
        .map_or((f64::NAN, f64::NAN), |pair| (pair.value, pair.residual));
    Ok(Seen {
        epoch,
        loss: monitor.loss,
        batch_gradient_norm: norms.iter().sum::<f64>() / norms.len() as f64,
        gradient_norm: monitor.gradient_norm,
        lambda_max,
        residual,
        along_gradient: monitor.uphill_step.unwrap_or(f64::NAN),
        stable: largest_stable(&full, 2.0 / lambda_max, config.trial_steps)?,
    })
}

/// The largest stable rate to 2 %, searched upwards from far below `guess`; infinite if a thousand times that is stable too.
fn largest_stable(point: &Point, guess: f64, steps: usize) -> anyhow::Result<f64> {
    let (mut low, mut high) = (0.0, guess / 8.0);
    while is_stable(point, high, steps)? {
        if high > 1e3 * guess {
            return Ok(f64::INFINITY);
        }
        (low, high) = (high, 1.4 * high);
    }
    while high - low > 0.02 * high {
        let middle = 0.5 * (low + high);
        match is_stable(point, middle, steps)? {
            true => low = middle,
            false => high = middle,
        }
    }
    Ok(low)
}

/// Whether gradient descent at this rate never leads above the loss where it began.
fn is_stable(point: &Point, rate: f64, steps: usize) -> anyhow::Result<bool> {
    let start = point.loss()?;
    let mut now = point.clone();
    for _ in 0..steps {
        let theta = now.theta().clone() - now.gradient()?.mul_scalar(rate);
        now = now.move_to(theta)?;
        // brings the loss, and is needed for the next step
        now.gradient()?;
        let loss = now.loss()?;
        if loss.is_nan() || loss > start {
            return Ok(false);
        }
    }
    Ok(true)
}
