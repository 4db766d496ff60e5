//! One run of a method on a problem: its curve, whether it met the target, and how it ended.

use std::time::Instant;

use burn::prelude::*;
use ravine_curvature::{Seed, vector};
use ravine_optim::{Budget, Cost, CostWeights, Ending, Limit, Row, Silent, Trajectory, run};
use serde::{Deserialize, Serialize};

use super::methods::MethodConfig;
use super::problems::Ready;
use crate::Failure;

/// A run whose loss exceeds this multiple of its first counts as diverged.
const DIVERGED: f64 = 1e6;

/// Evaluations of the training loss in a run on batches.
const EVALUATIONS: f64 = 100.0;

/// Points of a curve that are kept.
const KEPT: usize = 120;

/// What a run may spend, and what counts as solved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Gradient-equivalents of a run.
    pub budget: f64,
    /// Seconds within which the target counts as reached in the budget of time.
    pub seconds: f64,
    /// Seconds after which a run is given up.
    pub timeout: f64,
    /// The training loss that counts as solved.
    pub target: f64,
    /// Gradients per loss, gradient and product.
    pub weights: CostWeights,
}

/// A run as it is kept. Everything but [`Times`] is the same whenever the run is repeated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Points of the curve, the first, the last and the one at the target among them.
    pub curve: Vec<Sample>,
    /// Steps at the first point that is not above the target.
    pub hit: Option<Hit>,
    /// The training loss at the end; infinite after a failure.
    pub train: f64,
    /// The validation loss at the end, where there are validation examples.
    pub validation: Option<f64>,
    /// Steps taken.
    pub steps: usize,
    /// What they asked for.
    pub cost: Cost,
    /// Why the run ended, in a few words.
    pub ending: String,
    /// Why the run counts as failed, if it does.
    pub failure: Option<String>,
    /// A hash of the last parameters, bit by bit.
    pub fingerprint: u64,
    /// What the clock said.
    pub times: Times,
}

/// Times, which differ from run to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Seconds in steps at each point of the curve.
    pub curve: Vec<f64>,
    /// Seconds in steps at the target.
    pub hit: Option<f64>,
    /// Seconds in steps.
    pub steps: f64,
    /// Seconds with evaluations.
    pub total: f64,
}

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Steps so far.
    pub step: usize,
    /// Gradient-equivalents so far.
    pub gradients: f64,
    /// The training loss.
    pub loss: f64,
}

/// Where the target was reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// Steps so far.
    pub step: usize,
    /// Gradient-equivalents so far.
    pub gradients: f64,
}

impl Record {
    /// Runs a method from a seed's start until the budget is spent, past the target.
    ///
    /// # Errors
    ///
    /// Whatever the problem, the method and the evaluations report; a run that ends badly is a record.
    pub fn take(
        ready: &dyn Ready,
        method: &MethodConfig,
        seed: u64,
        terms: &Terms,
    ) -> anyhow::Result<Self> {
        let began = Instant::now();
        let start = ready.start(seed)?;
        let first = ready.train().move_to(start.clone())?.loss()?;
        let steps = terms.budget / method.step_cost(ready.train().dim(), &terms.weights);
        let every = (steps / EVALUATIONS).ceil().max(1.0) as usize;
        let budget = Budget::gradient_equivalents(terms.budget, terms.weights)
            .seconds(terms.timeout)
            .max_loss(DIVERGED * first.abs().max(1.0));
        let budget = Budget {
            // A method that asks for nothing spends nothing.
            steps: Some(100 * terms.budget.ceil() as usize),
            ..budget
        };
        let seed_of_method = Seed::new(seed).stream("method");
        let mut method = method.build(steps.floor() as u64, seed_of_method);
        let trajectory = run(
            &mut *method,
            ready.batches(seed, every)?,
            &start,
            &budget,
            &mut Silent,
        )?;
        let mut record = Self::of(&trajectory, terms);
        record.close(ready, &trajectory.theta, terms)?;
        record.times.total = began.elapsed().as_secs_f64();
        Ok(record)
    }

    /// What stands for a run that was not possible.
    pub fn impossible(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            curve: Vec::new(),
            hit: None,
            train: f64::INFINITY,
            validation: None,
            steps: 0,
            cost: Cost::default(),
            ending: reason.clone(),
            failure: Some(reason),
            fingerprint: 0,
            times: Times::default(),
        }
    }

    /// A cell's outcome; an error or a panic is a failed run.
    pub fn from_cell(outcome: Result<Self, Failure>) -> Self {
        outcome.unwrap_or_else(|failure| Self::impossible(failure.message))
    }

    fn of(trajectory: &Trajectory, terms: &Terms) -> Self {
        let points = points(&trajectory.rows);
        let reached = points
            .iter()
            .position(|(sample, _)| within(sample, terms) && sample.loss <= terms.target);
        let kept = kept(points.len(), reached);
        let failure = match &trajectory.ending {
            Ending::Diverged { step, .. } => Some(format!("diverged at step {step}")),
            Ending::BudgetSpent {
                step,
                limit: Limit::Seconds,
            } => Some(format!("time-out at step {step}")),
            _ => None,
        };
        Self {
            curve: kept.iter().map(|index| points[*index].0).collect(),
            hit: reached.map(|index| Hit {
                step: points[index].0.step,
                gradients: points[index].0.gradients,
            }),
            train: f64::INFINITY,
            validation: None,
            steps: trajectory.rows.len(),
            cost: trajectory.cost,
            ending: ending(&trajectory.ending),
            failure,
            fingerprint: fingerprint(&trajectory.theta),
            times: Times {
                curve: kept.iter().map(|index| points[*index].1).collect(),
                hit: reached.map(|index| points[index].1),
                steps: trajectory.seconds,
                total: 0.0,
            },
        }
    }

    /// Evaluates the last parameters.
    fn close(&mut self, ready: &dyn Ready, theta: &Tensor<1>, terms: &Terms) -> anyhow::Result<()> {
        let loss = ready.train().move_to(theta.clone())?.loss()?;
        let sample = Sample {
            step: self.steps,
            gradients: self.cost.gradient_equivalents(&terms.weights),
            loss,
        };
        // A last step that overshoots the budget counts for the end, not for the target.
        if self.hit.is_none() && within(&sample, terms) && loss <= terms.target {
            self.hit = Some(Hit {
                step: sample.step,
                gradients: sample.gradients,
            });
            self.times.hit = Some(self.times.steps);
        }
        self.curve.push(sample);
        self.times.curve.push(self.times.steps);
        if self.failure.is_none() && !loss.is_finite() {
            self.failure = Some(format!("the loss is {loss} at the end"));
        }
        if self.failure.is_none() {
            self.train = loss;
            if let Some(validation) = ready.validation() {
                self.validation = Some(validation.move_to(theta.clone())?.loss()?);
            }
        }
        Ok(())
    }

    /// Steps to the target; infinite without it and after a failure.
    pub fn steps_to_target(&self) -> f64 {
        self.or_never(self.hit.map(|hit| hit.step as f64))
    }

    /// Gradient-equivalents to the target; infinite without it and after a failure.
    pub fn gradients_to_target(&self) -> f64 {
        self.or_never(self.hit.map(|hit| hit.gradients))
    }

    /// Seconds to the target; infinite without it, after a failure, and beyond the budget of time.
    pub fn seconds_to_target(&self, terms: &Terms) -> f64 {
        let within = self.times.hit.filter(|seconds| *seconds <= terms.seconds);
        self.or_never(within)
    }

    fn or_never(&self, value: Option<f64>) -> f64 {
        match self.failure {
            None => value.unwrap_or(f64::INFINITY),
            Some(_) => f64::INFINITY,
        }
    }

    /// The curve as (gradient-equivalents, loss).
    pub fn over_gradients(&self) -> Vec<(f64, f64)> {
        let points = self.curve.iter();
        points.map(|point| (point.gradients, point.loss)).collect()
    }

    /// The curve as (seconds, loss).
    pub fn over_seconds(&self) -> Vec<(f64, f64)> {
        let losses = self.curve.iter().map(|point| point.loss);
        self.times.curve.iter().copied().zip(losses).collect()
    }

    /// The loss at a number of gradient-equivalents: that of the last point before.
    pub fn loss_at(&self, gradients: f64) -> f64 {
        let before = self.curve.iter().rev().find(|p| p.gradients <= gradients);
        match (&self.failure, before) {
            (None, Some(point)) => point.loss,
            _ => f64::INFINITY,
        }
    }
}

fn within(sample: &Sample, terms: &Terms) -> bool {
    sample.gradients <= terms.budget
}

/// The judged losses with what had been spent when θ was there, and the seconds.
fn points(rows: &[Row]) -> Vec<(Sample, f64)> {
    let before = std::iter::once(None).chain(rows.iter().map(Some));
    let judged = rows.iter().zip(before).filter_map(|(row, before)| {
        let sample = Sample {
            step: row.step,
            gradients: before.map_or(0.0, |row| row.gradient_equivalents),
            loss: row.evaluation?,
        };
        Some((sample, before.map_or(0.0, |row| row.seconds)))
    });
    judged.collect()
}

/// Which points stay: dense at first, where losses move fast, then evenly spread.
fn kept(count: usize, reached: Option<usize>) -> Vec<usize> {
    let every = count.div_ceil(KEPT).max(1);
    (0..count)
        .filter(|index| index % every == 0 || *index < 10 || Some(*index) == reached)
        .collect()
}

fn ending(ending: &Ending) -> String {
    match ending {
        Ending::BudgetSpent { .. } => "budget spent".to_string(),
        Ending::Diverged { step, .. } => format!("diverged at step {step}"),
        Ending::Stalled { step, ending } => {
            format!("stalled at step {step} ({ending:?})").to_lowercase()
        }
        other => format!("{other:?}").to_lowercase(),
    }
}

/// FNV-1a over the bits of the numbers.
fn fingerprint(theta: &Tensor<1>) -> u64 {
    let bytes = vector::to_f64(theta).into_iter().flat_map(f64::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::problems::{build, shipped};

    fn terms(budget: f64, target: f64) -> Terms {
        Terms {
            budget,
            seconds: 60.0,
            timeout: 60.0,
            target,
            weights: CostWeights::default(),
        }
    }

    fn method(text: &str) -> MethodConfig {
        toml::from_str(text).unwrap()
    }

    fn record(problem: &str, text: &str, terms: &Terms) -> Record {
        let problem = shipped().unwrap().remove(problem).unwrap();
        let ready = build(&problem, &Device::flex()).unwrap();
        Record::take(&*ready, &method(text), 3, terms).unwrap()
    }

    #[test]
    fn a_newton_step_solves_a_quadratic_at_its_price() {
        // One gradient, 50 products of two gradients each, and the loss of a line search.
        let terms = terms(300.0, 1e-10);
        let record = record("quadratic-1e4", "kind = 'newton'", &terms);
        assert_eq!(
            record.hit.map(|hit| (hit.step, hit.gradients)),
            Some((1, 101.0 + 1.0 / 3.0))
        );
        assert!(
            record.failure.is_none() && record.train < 1e-20,
            "{record:?}"
        );
        assert!(record.curve[0].loss > 1.0 && record.loss_at(100.0) > 1.0);
        assert!(record.times.hit.is_some());
    }

    #[test]
    fn divergence_is_a_failure_and_infinite() {
        let rate = "kind = 'gradient-descent'\nlearning_rate = 5.0";
        let record = record("quadratic-1e2", rate, &terms(100.0, 1e-3));
        assert!(record.failure.as_ref().unwrap().contains("diverged"));
        assert_eq!(record.gradients_to_target(), f64::INFINITY);
        assert_eq!(
            (record.train, record.loss_at(1.0)),
            (f64::INFINITY, f64::INFINITY)
        );
    }

    #[test]
    fn a_time_out_is_a_failure() {
        let terms = Terms {
            timeout: 0.0,
            ..terms(100.0, 1e-3)
        };
        let record = record("quadratic-1e2", "kind = 'adam'", &terms);
        assert!(record.failure.unwrap().contains("time-out"));
    }

    #[test]
    fn line_searches_are_charged_and_hits_beyond_the_budget_do_not_count() {
        let armijo = record(
            "quadratic-1e2",
            "kind = 'armijo'\nlearning_rate = 50.0",
            &terms(30.0, 0.0),
        );
        assert!(armijo.cost.losses > armijo.cost.gradients);
        let newton = record("quadratic-1e4", "kind = 'newton'", &terms(50.0, 1e-10));
        assert!(newton.hit.is_none() && newton.train < 1e-10);
    }

    #[test]
    fn curves_on_batches_are_of_the_whole_training_data() {
        let terms = terms(20.0, 0.0);
        let record = record("digits-cnn", "kind = 'adam'", &terms);
        assert!(record.curve.len() > 10 && record.curve.len() == record.times.curve.len());
        let last = record.curve.last().unwrap();
        assert_eq!((last.loss, last.gradients), (record.train, 20.0));
        assert!(record.validation.is_some());
    }

    #[test]
    fn what_was_reached_is_kept() {
        assert_eq!(kept(5, None), [0, 1, 2, 3, 4]);
        let kept = kept(1000, Some(503));
        assert!(kept.len() < 140 && kept.contains(&503) && kept.contains(&0));
    }
}
