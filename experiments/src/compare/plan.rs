//! What is compared: problems, field, budgets and seeds, checked before anything runs.

use std::collections::BTreeMap;

use anyhow::ensure;
use ravine_curvature::Point;
use ravine_optim::{Batches, Budget, CostWeights, GradientDescent, Silent, Trajectory, run};
use serde::{Deserialize, Serialize};

use super::methods::{Entrant, complete_field};
use super::problems::{Problem, chosen};
use super::record::Terms;
use crate::Seeds;

/// What a comparison is told.
#[derive(Clone, Debug)]
pub struct Wishes<'a> {
    /// Names of problems.
    pub problems: &'a [String],
    /// Problems beyond the table.
    pub own_problems: &'a BTreeMap<String, Problem>,
    /// The field; the baselines are added.
    pub methods: &'a [Entrant],
    /// Trials of each method on each problem.
    pub trials: usize,
    /// Further trials on a problem where an optimum lies on an edge; none means that no space is widened.
    pub widening_trials: usize,
    /// Seeds of the trials.
    pub tuning_seeds: &'a Seeds,
    /// Seeds of the report.
    pub report_seeds: &'a [u64],
    /// Factor of all budgets.
    pub budget_factor: f64,
    /// The budget of seconds of a problem without one of its own: so many times what as many steps of gradient descent take.
    pub seconds_factor: f64,
    /// Seconds after which a run is given up.
    pub timeout_seconds: f64,
    /// Runs at a time; 0 is one for each core.
    pub workers: usize,
}

/// A comparison that makes sense.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The problems with their names, budgets scaled.
    pub problems: Vec<(String, Problem)>,
    /// The field.
    pub field: Vec<Entrant>,
    /// Baselines that were not asked for.
    pub added: Vec<String>,
    /// Trials of each method on each problem.
    pub trials: usize,
    /// Further trials where an optimum lies on an edge.
    pub widening_trials: usize,
    /// Seeds of the trials.
    pub tuning_seeds: Vec<u64>,
    /// Seeds of the report.
    pub report_seeds: Vec<u64>,
    /// The budget of seconds, in times of as many steps of gradient descent.
    pub seconds_factor: f64,
    /// Seconds after which a run is given up.
    pub timeout: f64,
    /// Runs at a time.
    pub workers: usize,
}

/// What one problem's evaluations cost on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// Gradients per loss.
    pub loss: f64,
    /// Gradients per product.
    pub product: f64,
    /// Gradients per product with the Gauss-Newton matrix.
    #[serde(default = "unmeasured::gauss_newton_product")]
    pub gauss_newton_product: f64,
    /// Gradients per pass for Kronecker factors.
    #[serde(default = "unmeasured::factor_pass")]
    pub factor_pass: f64,
    /// Seconds per step of gradient descent.
    pub gradient_seconds: f64,
}

/// What records from before these evaluations were counted are read with.
mod unmeasured {
    use ravine_optim::CostWeights;

    pub(super) fn gauss_newton_product() -> f64 {
        CostWeights::default().gauss_newton_product
    }

    pub(super) fn factor_pass() -> f64 {
        CostWeights::default().factor_pass
    }
}

impl Costs {
    /// Times loss, gradient and product, turn and turn about, and takes medians over the rounds; then as many steps of gradient
    /// descent.
    ///
    /// # Errors
    ///
    /// When there are no rounds, or an evaluation fails.
    pub fn measure(point: &Point, rounds: usize) -> anyhow::Result<Self> {
        let weights = CostWeights::measure(point, rounds)?;
        let descent = steps_of_descent(point, rounds)?;
        Ok(Self {
            loss: weights.loss,
            product: weights.product,
            gauss_newton_product: weights.gauss_newton_product,
            factor_pass: weights.factor_pass,
            gradient_seconds: descent.seconds / rounds as f64,
        })
    }

    /// The same as weights.
    pub fn weights(&self) -> CostWeights {
        CostWeights {
            loss: self.loss,
            gradient: 1.0,
            product: self.product,
            gauss_newton_product: self.gauss_newton_product,
            factor_pass: self.factor_pass,
        }
    }
}

/// Steps of gradient descent, with what the loop costs: what a gradient takes in a run. Each is at a point of its own, or the gradient
/// would be known.
fn steps_of_descent(point: &Point, steps: usize) -> anyhow::Result<Trajectory> {
    let fresh = Batches::stream(|_| point.move_to(point.theta().clone()));
    let mut method = GradientDescent::new(f64::MIN_POSITIVE);
    let budget = Budget::steps(steps);
    Ok(run(
        &mut method,
        fresh,
        point.theta(),
        &budget,
        &mut Silent,
    )?)
}

impl Plan {
    /// Checks the wishes.
    ///
    /// # Errors
    ///
    /// A sentence about the first wish that makes no sense.
    pub fn new(wishes: &Wishes<'_>) -> anyhow::Result<Self> {
        let mut problems = chosen(wishes.problems, wishes.own_problems)?;
        let (field, added) = complete_field(wishes.methods)?;
        ensure!(
            wishes.trials > 0,
            "trials = 0: every method needs at least one"
        );
        ensure!(
            wishes.budget_factor > 0.0 && wishes.budget_factor.is_finite(),
            "budget_factor = {} must be positive",
            wishes.budget_factor
        );
        ensure!(
            wishes.seconds_factor > 0.0,
            "seconds_factor = {} must be positive",
            wishes.seconds_factor
        );
        ensure!(
            wishes.timeout_seconds > 0.0,
            "timeout_seconds = {} must be positive",
            wishes.timeout_seconds
        );
        let tuning_seeds = wishes.tuning_seeds.values().to_vec();
        for seed in &tuning_seeds {
            ensure!(
                !wishes.report_seeds.contains(seed),
                "the seed {seed} is for tuning and for the report: a method would be judged on what it was tuned on"
            );
        }
        for (_, problem) in &mut problems {
            problem.budget *= wishes.budget_factor;
        }
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            problems,
            field,
            added,
            trials: wishes.trials,
            widening_trials: wishes.widening_trials,
            tuning_seeds,
            report_seeds: wishes.report_seeds.to_vec(),
            seconds_factor: wishes.seconds_factor,
            timeout: wishes.timeout_seconds,
            workers: match wishes.workers {
                0 => cores(),
                workers => workers,
            },
        })
    }

    /// The terms of a problem, given its costs.
    pub fn terms(&self, problem: &Problem, costs: &Costs) -> Terms {
        Terms {
            budget: problem.budget,
            seconds: problem
                .seconds
                .unwrap_or(self.seconds_factor * problem.budget * costs.gradient_seconds),
            timeout: self.timeout,
            target: problem.target,
            weights: costs.weights(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::methods::default_field;

    #[test]
    fn every_timed_step_evaluates_its_gradient() {
        let device = burn::prelude::Device::flex();
        let problem = &super::super::problems::shipped().unwrap()["rosenbrock-2"];
        let ready = super::super::problems::build(problem, &device).unwrap();
        let steps = steps_of_descent(&ready.step_point().unwrap(), 7).unwrap();
        assert_eq!((steps.rows.len(), steps.cost.gradients), (7, 7));
    }

    #[test]
    fn senseless_wishes_are_refused_in_words() {
        let (names, own) = (vec!["rosenbrock-2".to_string()], BTreeMap::new());
        let (field, tuning) = (default_field(), Seeds::from(1000..1002));
        let wishes = Wishes {
            problems: &names,
            own_problems: &own,
            methods: &field,
            trials: 2,
            widening_trials: 1,
            tuning_seeds: &tuning,
            report_seeds: &[0, 1],
            budget_factor: 0.5,
            seconds_factor: 10.0,
            timeout_seconds: 10.0,
            workers: 0,
        };
        let plan = Plan::new(&wishes).unwrap();
        assert_eq!(plan.problems[0].1.budget, 250.0);
        assert!(plan.workers > 0);
        let error = |wishes: Wishes<'_>| Plan::new(&wishes).unwrap_err().to_string();
        let shared = error(Wishes {
            report_seeds: &[3, 1001],
            ..wishes.clone()
        });
        assert!(shared.contains("1001"), "{shared}");
        assert!(
            error(Wishes {
                trials: 0,
                ..wishes.clone()
            })
            .contains("trials")
        );
        assert!(
            error(Wishes {
                budget_factor: f64::NAN,
                ..wishes.clone()
            })
            .contains("budget_factor")
        );
        assert!(
            error(Wishes {
                timeout_seconds: 0.0,
                ..wishes
            })
            .contains("timeout")
        );
    }
}
