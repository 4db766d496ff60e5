//! # newton-convex: how far does Newton's method get on a convex, badly conditioned loss, beside tuned first-order methods at equal cost?
//!
//! Logistic regression on the raw breast-cancer measurements, which run from 1e-3 to 4e3: the second-moment matrix of the design has a
//! condition number of 2.4e12. Once as it is, where a separable subset would put the minimum at infinity, and once with a small ridge,
//! where the minimum is found to rounding first and losses are given as excess over it. Each seed is another random subset. First-order methods are tuned
//! over learning rates on a subset of their own. The unit of cost is a gradient; a product counts as two, a loss as a third, so that a Newton
//! step with its dense Hessian costs about 63.
//!
//! - **Expected:** Newton's method reaches the minimum in some tens of steps; first-order methods are nowhere near it at the same cost
//! - **Takes:** about 20 seconds
//! - **Command:** `just exp newton-convex`
//! - **Claim:** Newton's method is excellent on convex, badly conditioned losses, where first-order methods are stuck
//! - **Source:** Goodfellow, Bengio and Courville (2016), Deep Learning, sections 4.3.1, 5.9 and 8.6.1

use std::process::ExitCode;

use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, SgdConfig};
use ravine_curvature::{Objective, Point};
use ravine_experiments::{
    Axis, Band, Context, Criterion, Dtype, Experiment, Outcome, Plot, Report, RunOptions, Seeds,
    Series, Table, median, significant,
};
use ravine_model::datasets::{BreastCancer, Dataset, Standardisation, TargetBatch};
use ravine_model::losses::binary_cross_entropy_with_logits;
use ravine_model::models::{Initialisation, LogisticRegression, LogisticRegressionConfig};
use ravine_optim::{
    Armijo, Budget, BurnOptimizer, CostWeights, Damping, GradientDescent, LearningRate, Method,
    Newton, Silent, run as minimise,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Tumours of a subset.
    examples: usize,
    /// ½ r ‖θ‖² is added to the loss, for each of these r.
    ridges: Vec<f64>,
    /// Cost of each run, in gradients.
    gradients: f64,
    /// Learning rates that first-order methods are tuned over; Adam takes 1e4 times as much.
    rates: Vec<f64>,
    /// The subset that they are tuned on.
    tuning_seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            examples: 455,
            ridges: vec![0.0, 1e-6],
            gradients: 3000.0,
            rates: vec![1e-8, 3e-8, 1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 1e-4],
            tuning_seed: 1000,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Candidate {
    Fixed,
    Armijo,
    Momentum,
    Adam,
    Newton,
}

impl Candidate {
    const FIRST_ORDER: [Self; 4] = [Self::Fixed, Self::Armijo, Self::Momentum, Self::Adam];

    fn name(self) -> &'static str {
        match self {
            Self::Fixed => "gradient descent",
            Self::Armijo => "gradient descent with backtracking",
            Self::Momentum => "momentum",
            Self::Adam => "Adam",
            Self::Newton => "Newton",
        }
    }

    fn method(self, rate: f64) -> Box<dyn Method> {
        match self {
            Self::Fixed => Box::new(GradientDescent::new(rate)),
            // begins far above what is stable, and searches in each step
            Self::Armijo => Box::new(GradientDescent::new(
                LearningRate::from(100.0 * rate).backtracking(Armijo::default()),
            )),
            Self::Momentum => {
                let momentum = MomentumConfig::new()
                    .with_momentum(0.95)
                    .with_dampening(0.0);
                let sgd = SgdConfig::new().with_momentum(Some(momentum));
                Box::new(BurnOptimizer::new(self.name(), sgd.init(), rate))
            }
            Self::Adam => Box::new(BurnOptimizer::new(
                self.name(),
                AdamConfig::new().init(),
                1e4 * rate,
            )),
            Self::Newton => Box::new(Newton::new(Damping::None).backtracking(Armijo::default())),
        }
    }
}

#[derive(Serialize)]
struct Row<'a> {
    ridge: f64,
    method: &'a str,
    seed: u64,
    rate: Option<f64>,
    minimum: f64,
    final_loss: f64,
    steps: usize,
    gradient_equivalents: f64,
    ending: String,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("newton-convex.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            dtype: Dtype::F64,
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.ridges = vec![1e-6];
            config.gradients = 200.0;
            config.rates = vec![1e-7];
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    let first_order = Candidate::FIRST_ORDER.len();
    let per_ridge = first_order * config.rates.len() + context.seeds().len() * (first_order + 2);
    context.announce_cells(config.ridges.len() * per_ridge);
    let mut report = Report::new("Newton's method on a convex loss with κ = 2.4e12");
    let mut plots = Vec::new();
    for &ridge in &config.ridges {
        let problem = Convex { context, ridge };
        let part = problem.compare()?;
        report = part.criteria.into_iter().fold(report, Report::criterion);
        report = report.finding(part.finding).table(part.table);
        plots.push(part.plot);
    }
    // the ridge makes the better picture: its minimum is known
    report = report.remark("Where a subset is separable the loss without a ridge has no minimum, and plain Newton stops where its matrix is singular to working precision.");
    plots.reverse();
    let mut plots = plots.into_iter();
    let report = plots.next().into_iter().fold(report, Report::plot);
    Ok(report.plots(plots))
}

/// One of the two losses.
struct Convex<'a> {
    context: &'a Context<Config>,
    ridge: f64,
}

struct Part {
    criteria: Vec<Criterion>,
    finding: String,
    table: Table,
    plot: Plot,
}

impl Convex<'_> {
    fn compare(&self) -> anyhow::Result<Part> {
        let (context, ridge) = (self.context, self.ridge);
        let mut names = vec![(Candidate::Newton, None)];
        for candidate in Candidate::FIRST_ORDER {
            names.push((candidate, Some(self.tune(candidate)?)));
        }
        let mut minima = Vec::new();
        for &seed in context.seeds() {
            let name = format!("minimum/ridge={ridge:e}/seed={seed}");
            minima.push(
                context
                    .cell(name, || self.minimum(seed))?
                    .unwrap_or(f64::NAN),
            );
        }
        let mut plot = Plot::new(
            format!("Excess loss over cost, {}", self.label()),
            Axis::log("cost in gradients").from(1.0),
            Axis::log("loss − minimum").from(1e-16),
        );
        let mut table = Table::new(
            format!(
                "After a cost of {} gradients, {}, medians over seeds",
                context.config().gradients,
                self.label()
            ),
            [
                "method",
                "rate",
                "excess loss",
                "steps",
                "ending (first seed)",
            ],
        );
        let mut excesses = Vec::new();
        let mut newton_steps = Vec::new();
        for (candidate, rate) in names {
            let (mut curves, mut ends, mut steps) = (Vec::new(), Vec::new(), Vec::new());
            let mut ending = String::new();
            for (&seed, &minimum) in context.seeds().iter().zip(&minima) {
                let name = format!(
                    "run/ridge={ridge:e}/method={}/seed={seed}",
                    candidate.name()
                );
                let cell = context.cell(name, || {
                    self.solve(candidate, rate.unwrap_or(f64::NAN), seed)
                })?;
                let Ok(outcome) = cell else {
                    ends.push(f64::NAN);
                    newton_steps.extend((candidate == Candidate::Newton).then_some(f64::NAN));
                    continue;
                };
                let loss = outcome.final_loss.unwrap_or(f64::NAN);
                let excess = loss - minimum;
                let row = Row {
                    ridge,
                    method: candidate.name(),
                    seed,
                    rate,
                    minimum,
                    final_loss: loss,
                    steps: outcome.steps,
                    gradient_equivalents: outcome.gradient_equivalents,
                    ending: outcome.ending_text(),
                };
                context.row("runs", &row)?;
                let mut curve = vec![(
                    1.0,
                    outcome
                        .rows
                        .first()
                        .map_or(f64::NAN, |row| row.loss - minimum),
                )];
                curve.extend(outcome.rows.windows(2).map(|pair| {
                    (
                        pair[0].gradient_equivalents.max(1.0),
                        pair[1].loss - minimum,
                    )
                }));
                curve.push((outcome.gradient_equivalents.max(1.0), excess));
                if candidate == Candidate::Newton {
                    let close = outcome
                        .rows
                        .iter()
                        .position(|row| row.loss - minimum <= 1e-8);
                    newton_steps.push(close.map_or(f64::NAN, |step| step as f64));
                }
                curves.push(curve);
                ends.push(excess);
                steps.push(outcome.steps as f64);
                if ending.is_empty() {
                    ending = outcome.ending_text();
                }
            }
            // cost differs a little from seed to seed where there are line searches
            for (curve, seed) in curves.into_iter().zip(context.seeds()).take(1) {
                plot.push(Series::line(
                    format!("{} (seed {seed})", candidate.name()),
                    curve,
                ));
            }
            table.push([
                candidate.name().into(),
                rate.into(),
                median(ends.iter().copied()).into(),
                median(steps).into(),
                ending.into(),
            ]);
            excesses.push((candidate, ends));
        }
        let best = |index: usize| {
            let others = excesses
                .iter()
                .filter(|(candidate, _)| *candidate != Candidate::Newton);
            others
                .map(|(_, ends)| ends[index])
                .fold(f64::INFINITY, f64::min)
        };
        let newton = &excesses[0].1;
        let mut equal_cost = Criterion::new(
            format!(
                "Newton's excess loss / the best first-order one at equal cost, {}",
                self.label()
            ),
            Band::at_most(0.1),
        );
        let mut criteria = Vec::new();
        for (index, &seed) in context.seeds().iter().enumerate() {
            equal_cost.push(seed, newton[index].max(0.0) / best(index));
        }
        criteria.push(equal_cost);
        if ridge > 0.0 {
            let steps = Criterion::new(
                format!("Newton steps to an excess loss of 1e-8, ridge {ridge:e}"),
                Band::at_most(30.0),
            );
            let seeds = context.seeds().iter().copied();
            criteria.push(steps.over_seeds(seeds.zip(newton_steps)));
        }
        let separable = minima.iter().filter(|minimum| **minimum == 0.0).count();
        let finding = format!(
            "With {} ({separable} of {} subsets have their minimum at infinity): after a cost of {} gradients Newton's method is {} above the minimum, the best first-order method {} (medians over seeds).",
            self.label(),
            minima.len(),
            context.config().gradients,
            significant(median(newton.iter().copied()), 3),
            significant(median((0..newton.len()).map(best)), 3),
        );
        Ok(Part {
            criteria,
            finding,
            table,
            plot,
        })
    }

    fn label(&self) -> String {
        match self.ridge {
            0.0 => "no ridge".to_owned(),
            ridge => format!("ridge {ridge:e}"),
        }
    }

    /// The loss at zero parameters on a subset.
    fn start(&self, seed: u64) -> anyhow::Result<Point> {
        let device = self.context.device();
        let table = BreastCancer::load()
            .subset(self.context.config().examples, seed)?
            .standardised(Standardisation::Raw);
        let model = LogisticRegressionConfig::new(table.features(), 1)
            .with_initialisation(Initialisation::Zeros)
            .init(device)?;
        let ridge = self.ridge;
        let objective = self.context.objective(Objective::of_loss(
            move |model: &LogisticRegression, (x, y): &TargetBatch| {
                let fit = binary_cross_entropy_with_logits(model.forward(x.clone()), y.clone());
                let weights = model.linear.weight.val().square().sum();
                let bias = model
                    .linear
                    .bias
                    .as_ref()
                    .map(|bias| bias.val().square().sum());
                let size = bias.into_iter().fold(weights, |sum, bias| sum + bias);
                fit + size.mul_scalar(0.5 * ridge)
            },
        ));
        Ok(objective.at(&model, &table.full_batch(device))?)
    }

    /// The rate with the lowest loss on the subset for tuning.
    fn tune(&self, candidate: Candidate) -> anyhow::Result<f64> {
        let config = self.context.config();
        let mut best = (f64::INFINITY, config.rates[0]);
        for &rate in &config.rates {
            let name = format!(
                "tuning/ridge={:e}/method={}/rate={rate:e}",
                self.ridge,
                candidate.name()
            );
            let cell = self
                .context
                .cell(name, || self.solve(candidate, rate, config.tuning_seed))?;
            let loss = cell.ok().and_then(|outcome| outcome.final_loss);
            // NaN and nothing lose
            if let Some(loss) = loss
                && loss < best.0
            {
                best = (loss, rate);
            }
        }
        Ok(best.1)
    }

    fn solve(&self, candidate: Candidate, rate: f64, seed: u64) -> anyhow::Result<Outcome> {
        let point = self.start(seed)?;
        let weights = CostWeights::default();
        let budget = Budget::gradient_equivalents(self.context.config().gradients, weights);
        let mut method = candidate.method(rate);
        let trajectory = minimise(&mut method, &point, point.theta(), &budget, &mut Silent)?;
        Ok(Outcome::of(&trajectory, 200))
    }

    /// The minimum, the lower of what plain and damped Newton steps find; 0 for a subset that is separable.
    fn minimum(&self, seed: u64) -> anyhow::Result<f64> {
        let point = self.start(seed)?;
        let mut lowest = f64::INFINITY;
        let plain = Newton::new(Damping::None).backtracking(Armijo::default());
        for mut method in [plain, Newton::new(Damping::adaptive())] {
            let budget = Budget::steps(200);
            let trajectory = minimise(&mut method, &point, point.theta(), &budget, &mut Silent)?;
            let losses = trajectory.rows.iter().map(|row| row.loss);
            lowest = losses.chain(trajectory.final_loss).fold(lowest, f64::min);
        }
        // without a ridge the infimum of a separable subset lies at infinity
        Ok(match self.ridge == 0.0 && lowest < SEPARABLE {
            true => 0.0,
            false => lowest,
        })
    }
}

/// A subset is separable when the loss of a model without a ridge falls below this.
const SEPARABLE: f64 = 1e-6;
