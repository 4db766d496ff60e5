//! # newton-neural: where does plain Newton's method end on a network, and what do changed ones do?
//!
//! Newton's step goes to the stationary point of the quadratic model, be it a minimum, a saddle or a maximum. On a small network for the
//! handwritten digits each method begins at the same random parameters. Pixels that are always zero, and a constant added to all logits, make the
//! Hessian singular everywhere; plain Newton therefore takes the step of least length, by the pseudoinverse; at its end the whole Hessian says at what kind of place it is: the index is the number of its negative
//! eigenvalues, beyond 1e-9 of the largest.
//!
//! - **Expected:** plain Newton ends at saddles of high index, or diverges; every changed method reaches low losses
//! - **Takes:** about 4 minutes
//! - **Command:** `just exp newton-neural`
//! - **Claim:** on neural networks Newton's method needs significant changes before it can be used
//! - **Source:** Goodfellow, Bengio and Courville (2016), Deep Learning, sections 8.2.3 and 8.6.1; Dauphin, Pascanu, Gulcehre, Cho, Ganguli and Bengio (2014), Identifying and attacking the saddle point problem

use std::process::ExitCode;

use burn::prelude::*;
use ravine_curvature::{CurvatureError, Point, dense, vector};
use ravine_experiments::{
    Axis, Band, Context, Criterion, DigitsConfig, DigitsProblem, Dtype, Experiment, Plot, Report,
    RunOptions, Seeds, Table, median, significant,
};
use ravine_optim::{
    Budget, CubicNewton, CubicSubproblem, Damping, HessianFree, Merit, Method, Newton, NewtonCg,
    NewtonMr, OptimError, Oracle, Quantity, RegionSubproblem, SaddleFreeNewton, Silent, Spectrum,
    Step, StepEnding, TrustRegion, run as minimise,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Starts for each seed.
    starts: usize,
    /// Steps of each method at most.
    steps: usize,
    /// The network and its data.
    digits: DigitsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            starts: 6,
            steps: 30,
            digits: DigitsConfig {
                hidden: vec![4],
                examples: 1437,
                ..DigitsConfig::default()
            },
        }
    }
}

/// The methods that begin at the same places: to compare another one, add it here.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Candidate {
    Plain,
    Damped,
    SaddleFree,
    TrustRegion,
    Cubic,
    NewtonCg,
    NewtonMr,
    GaussNewtonCg,
}

impl Candidate {
    const ALL: [Self; 8] = [
        Self::Plain,
        Self::Damped,
        Self::SaddleFree,
        Self::TrustRegion,
        Self::Cubic,
        Self::NewtonCg,
        Self::NewtonMr,
        Self::GaussNewtonCg,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain Newton",
            Self::Damped => "damped Newton",
            Self::SaddleFree => "saddle-free Newton",
            Self::TrustRegion => "a trust region",
            Self::Cubic => "cubic regularisation",
            Self::NewtonCg => "Newton-CG",
            Self::NewtonMr => "Newton-MR",
            Self::GaussNewtonCg => "Gauss-Newton-CG",
        }
    }

    fn method(self) -> Box<dyn Method> {
        match self {
            Self::Plain => Box::new(PlainNewton),
            Self::Damped => Box::new(Newton::new(Damping::adaptive())),
            Self::SaddleFree => Box::new(SaddleFreeNewton::new(Spectrum::Dense)),
            Self::TrustRegion => Box::new(TrustRegion::new(RegionSubproblem::Dense)),
            Self::Cubic => Box::new(CubicNewton::new(CubicSubproblem::Dense)),
            Self::NewtonCg => Box::new(NewtonCg::new().max_iterations(100)),
            Self::NewtonMr => Box::new(NewtonMr::new(Merit::Loss).max_iterations(100)),
            Self::GaussNewtonCg => Box::new(HessianFree::new()),
        }
    }
}

/// θ − H⁺g: Newton's step as it is, in the directions in which the loss curves at all.
struct PlainNewton;

impl Method for PlainNewton {
    fn name(&self) -> &str {
        "plain Newton"
    }

    fn step(&mut self, oracle: &mut Oracle, theta: &Tensor<1>) -> Result<Step, OptimError> {
        let before = oracle.cost();
        let (loss, gradient) = oracle.gradient(theta)?;
        let g = vector::to_f64(&gradient);
        let stay = |oracle: &Oracle, value: f64| Step {
            theta: theta.clone(),
            loss_before: loss,
            gradient_norm: Some(vector::norm(&gradient)),
            learning_rate: None,
            predicted_change: None,
            ending: StepEnding::NonFinite {
                quantity: Quantity::Hessian,
                value,
            },
            cost: oracle.cost() - before,
        };
        let hessian = match oracle.dense_hessian(theta) {
            Ok(hessian) => hessian,
            Err(OptimError::Curvature(CurvatureError::NonFinite { value, .. })) => {
                return Ok(stay(oracle, value));
            }
            Err(error) => return Err(error),
        };
        let eigen = hessian.eigen()?;
        let largest = eigen
            .values()
            .iter()
            .fold(0.0_f64, |m, value| m.max(value.abs()));
        let inverse = |value: f64| match value.abs() > NULL * largest {
            true => -1.0 / value,
            false => 0.0,
        };
        let direction = eigen.apply_function(inverse, &g);
        let slope: f64 = direction.iter().zip(&g).map(|(d, g)| d * g).sum();
        let direction = vector::from_f64(&direction, &theta.device(), theta.dtype());
        let mut step = stay(oracle, f64::NAN);
        step.theta = theta.clone() + direction;
        step.learning_rate = Some(1.0);
        // dᵀHd = −gᵀd for this step
        step.predicted_change = Some(0.5 * slope);
        step.ending = StepEnding::Accepted;
        Ok(step)
    }
}

/// Where a method ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct End {
    first_loss: f64,
    loss: f64,
    gradient_norm: f64,
    /// Negative eigenvalues; none where the Hessian is not finite.
    index: Option<usize>,
    /// λ_min/λ_max.
    lambda_ratio: f64,
    steps: usize,
    cost: f64,
    ending: String,
}

impl End {
    /// Whether it is a minimum, as far as gradient and eigenvalues say: far out the Hessian of a saturated network is zero, but the
    /// gradient is not.
    fn is_minimum(&self) -> bool {
        self.index == Some(0) && self.gradient_norm <= STATIONARY
    }
}

#[derive(Serialize)]
struct Row<'a> {
    method: &'a str,
    seed: u64,
    start: usize,
    #[serde(flatten)]
    end: &'a End,
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("newton-neural.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            dtype: Dtype::F64,
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.starts = 1;
            config.steps = 2;
            config.digits.hidden = vec![2];
            config.digits.examples = 64;
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    context.announce_cells(context.seeds().len() * config.starts * Candidate::ALL.len());
    let mut at_minima = Criterion::new(
        "share of starts from which plain Newton ends at a minimum",
        Band::at_most(0.1),
    );
    let mut as_low = Criterion::new(
        "share of starts from which plain Newton ends at most 1.1 times as high as damped Newton",
        Band::at_most(0.1),
    );
    let mut changed: Vec<(Candidate, Criterion)> = Candidate::ALL
        .into_iter()
        .filter(|candidate| *candidate != Candidate::Plain)
        .map(|candidate| {
            let name = format!(
                "share of starts from which {} halves the loss",
                candidate.name()
            );
            (candidate, Criterion::new(name, Band::at_least(0.9)))
        })
        .collect();
    let mut all: Vec<(Candidate, Vec<End>)> = Vec::new();
    for &seed in context.seeds() {
        let mut ends: Vec<(Candidate, Vec<End>)> = Vec::new();
        for candidate in Candidate::ALL {
            let mut of_method = Vec::new();
            for start in 0..config.starts {
                let name = format!("method={}/seed={seed}/start={start}", candidate.name());
                let Ok(end) = context.cell(name, || descend(context, candidate, seed, start))?
                else {
                    continue;
                };
                context.row(
                    "ends",
                    &Row {
                        method: candidate.name(),
                        seed,
                        start,
                        end: &end,
                    },
                )?;
                of_method.push(end);
            }
            ends.push((candidate, of_method));
        }
        let of = |wanted: Candidate| {
            ends.iter()
                .find(|(method, _)| *method == wanted)
                .map_or(&[][..], |(_, ends)| ends)
        };
        let share = |count: usize| match of(Candidate::Plain).len() == config.starts {
            true => count as f64 / config.starts as f64,
            false => f64::NAN,
        };
        let plain = of(Candidate::Plain);
        at_minima.push(
            seed,
            share(plain.iter().filter(|end| end.is_minimum()).count()),
        );
        let pairs = plain.iter().zip(of(Candidate::Damped));
        let low = pairs.filter(|(plain, damped)| plain.loss <= 1.1 * damped.loss);
        as_low.push(seed, share(low.count()));
        for (candidate, criterion) in &mut changed {
            let halved = of(*candidate)
                .iter()
                .filter(|end| end.loss <= 0.5 * end.first_loss);
            criterion.push(seed, share(halved.count()));
        }
        all.extend(ends);
    }
    let mut plot = Plot::new(
        "Where Newton-type methods end",
        Axis::log("loss at the end"),
        Axis::linear("index: negative eigenvalues of the Hessian"),
    )
    .caption("One point for each start and seed; ends without a finite Hessian are not shown.");
    let mut table = Table::new(
        "Ends, medians over starts and seeds",
        [
            "method",
            "loss at the start",
            "loss at the end",
            "‖g‖ at the end",
            "index",
            "starts that end at a minimum",
            "steps",
            "cost in gradients",
        ],
    );
    let mut shown = Vec::new();
    for candidate in Candidate::ALL {
        let ends: Vec<&End> = all
            .iter()
            .filter(|(method, _)| *method == candidate)
            .flat_map(|(_, ends)| ends)
            .collect();
        let points = ends
            .iter()
            .filter_map(|end| Some((end.loss, end.index? as f64)));
        plot = plot.scatter(candidate.name(), points.collect::<Vec<_>>());
        let over = |value: fn(&End) -> f64| median(ends.iter().map(|end| value(end)));
        let index = over(|end| end.index.map_or(f64::NAN, |index| index as f64));
        shown.push((candidate, over(|end| end.loss), index));
        table.push([
            candidate.name().into(),
            over(|end| end.first_loss).into(),
            over(|end| end.loss).into(),
            over(|end| end.gradient_norm).into(),
            index.into(),
            ends.iter().filter(|end| end.is_minimum()).count().into(),
            over(|end| end.steps as f64).into(),
            over(|end| end.cost).into(),
        ]);
    }
    let report = shown.into_iter().fold(
        Report::new("Newton's method on a network"),
        |report, (candidate, loss, index)| {
            report.finding(format!(
                "{}: ends at a loss of {} and index {} in the median.",
                candidate.name(),
                significant(loss, 3),
                significant(index, 3)
            ))
        },
    );
    let report = report.criterion(at_minima).criterion(as_low).remark("In a first form saturated places with H = 0 counted as minima and plain Newton stopped at once, its matrix being singular by the pixels that are always zero: a minimum now needs ‖g‖ ≤ 1e-6, plain Newton takes the pseudoinverse, and data and steps are others than in that form.").remark("An index says little where the loss has nearly reached zero and the Hessian with it: the changed methods are still on their way there.");
    let report = changed
        .into_iter()
        .fold(report, |report, (_, criterion)| report.criterion(criterion));
    Ok(report.plot(plot).table(table))
}

/// A gradient below this is one of a stationary point.
const STATIONARY: f64 = 1e-6;

/// An eigenvalue above minus this part of the largest does not count as negative.
const NULL: f64 = 1e-9;

fn descend(
    context: &Context<Config>,
    candidate: Candidate,
    seed: u64,
    start: usize,
) -> anyhow::Result<End> {
    let config = context.config();
    // a network of its own for each start
    let network = seed * 1000 + start as u64;
    let point: Point = DigitsProblem::new(context, &config.digits, network)?.full()?;
    let mut method = candidate.method();
    let budget = Budget::steps(config.steps);
    let trajectory = minimise(&mut method, &point, point.theta(), &budget, &mut Silent)?;
    let outcome = ravine_experiments::Outcome::of(&trajectory, 1);
    let end = point.move_to(trajectory.theta)?;
    let eigenvalues = dense(&end.hessian()).and_then(|dense| dense.eigenvalues());
    let (index, lambda_ratio) = match eigenvalues {
        Ok(values) => {
            let (lowest, largest) = (values[0], values[values.len() - 1]);
            let zero = NULL * largest.abs().max(lowest.abs());
            let negative = values.iter().filter(|value| **value < -zero).count();
            (Some(negative), lowest / largest)
        }
        Err(_) => (None, f64::NAN),
    };
    Ok(End {
        first_loss: point.loss()?,
        loss: end.loss()?,
        gradient_norm: vector::norm(&end.gradient()?),
        index,
        lambda_ratio,
        steps: outcome.steps,
        cost: outcome.gradient_equivalents,
        ending: outcome.ending_text(),
    })
}
