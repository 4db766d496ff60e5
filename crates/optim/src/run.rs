//! The loop in which every method runs: the same budget, the same rows, the same endings.

mod batches;
mod budget;
mod observer;
mod trajectory;

use std::time::Instant;

use burn::prelude::*;
use ravine_curvature::vector;

pub use batches::Batches;
pub use budget::{Budget, Limit};
pub use observer::{Observer, Progress, Silent};
pub use trajectory::{Ending, Row, Trajectory};

use crate::{Method, OptimError, Oracle, Step, StepEnding};

/// Runs a method from `theta` until the budget ends it, and writes a row per step.
///
/// `batches` is a [`Point`](ravine_curvature::Point) (the whole data) or a [`Batches::stream`]. On the whole data each θ is evaluated once: the loop
/// looks at loss and gradient, and the method that asks for them pays. What the loop needs beyond that (evaluations on other
/// data, measured changes on a stream, the observer) is neither counted nor timed.
///
/// # Cost
///
/// That of the method's steps.
///
/// # Errors
///
/// [`OptimError::Unbounded`] and [`OptimError::TargetWithoutEvaluation`] for budgets that make no sense, and whatever the method
/// and the evaluations report. Divergence and NaN are endings.
///
/// # Example
///
/// ```
/// use burn::module::{Module, Param};
/// use burn::prelude::*;
/// use ravine_curvature::Objective;
/// use ravine_optim::{Budget, Ending, GradientDescent, Silent, run};
///
/// #[derive(Module, Debug)]
/// struct Bowl {
///     theta: Param<Tensor<1>>,
/// }
///
/// let device = Device::flex();
/// let bowl = Bowl { theta: Param::from_data([3.0, 1.0], &device) };
/// let objective = Objective::of_loss(|bowl: &Bowl, (): &()| bowl.theta.val().square().sum() * 0.5);
/// let point = objective.at(&bowl, &())?;
///
/// let budget = Budget::steps(100).target_loss(1e-6);
/// let trajectory = run(&mut GradientDescent::new(0.5), &point, point.theta(), &budget, &mut Silent)?;
/// assert!(matches!(trajectory.ending, Ending::TargetReached { step: 12, .. }));
/// assert_eq!(trajectory.cost.gradients, 12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run<'a>(
    method: &mut dyn Method,
    batches: impl Into<Batches<'a>>,
    theta: &Tensor<1>,
    budget: &Budget,
    observer: &mut dyn Observer,
) -> Result<Trajectory, OptimError> {
    let mut batches = batches.into();
    budget.check(&batches)?;
    let span = tracing::info_span!("run", method = method.name());
    let _entered = span.enter();
    let oracle = Oracle::new(batches.at_step(0)?);
    let state = Loop {
        oracle,
        batches,
        budget,
        theta: theta.clone().inner(),
        rows: Vec::new(),
        seconds: 0.0,
    };
    state.run(method, observer)
}

/// The state of a run.
struct Loop<'a> {
    oracle: Oracle,
    batches: Batches<'a>,
    budget: &'a Budget,
    theta: Tensor<1>,
    rows: Vec<Row>,
    /// Time in steps, and in the evaluations that a step would have done had the loop not looked first.
    seconds: f64,
}

/// What the loop sees at a θ between two steps.
struct View {
    /// The loss on the whole data, when the steps see the whole data.
    loss: Option<f64>,
    /// The loss on which targets are judged, when it was evaluated here.
    judged: Option<f64>,
    /// Time of looking, to be charged to the step that asks.
    seconds: f64,
}

impl Loop<'_> {
    fn run(
        mut self,
        method: &mut dyn Method,
        observer: &mut dyn Observer,
    ) -> Result<Trajectory, OptimError> {
        let mut view = self.look(0)?;
        if let Some(ending) = self.judge(&view, 0).or_else(|| self.limit(0)) {
            return self.finish(&view, ending);
        }
        for step in 0.. {
            let point = self.oracle.point(&self.theta)?;
            let start = Instant::now();
            let taken = method.step(&mut self.oracle, &self.theta)?;
            self.seconds += view.seconds + start.elapsed().as_secs_f64();
            self.theta = taken.theta.clone();
            let mut row = self.row(step, &taken, &view);
            view = self.look(step + 1)?;
            row.measured_change = self.measure(&taken, &view)?;
            tracing::debug!(step, loss = row.loss, rate = row.learning_rate, "step");
            self.rows.push(row);
            let flow = observer.observe(&Progress {
                row: &row,
                step: &taken,
                point: &point,
            })?;
            let ending = failed(&taken, step)
                .or_else(|| self.judge(&view, step + 1))
                .or_else(|| self.stalled(&taken, step))
                .or_else(|| self.limit(step + 1))
                .or_else(|| {
                    flow.is_break()
                        .then_some(Ending::Stopped { step: step + 1 })
                });
            if let Some(ending) = ending {
                return self.finish(&view, ending);
            }
            if !self.batches.are_fixed() {
                let batch = self.batches.at_step(step + 1)?;
                self.oracle.set_batch(batch);
            }
        }
        unreachable!("the loop over all numbers returns from within")
    }

    /// Evaluates what the verdict on θ needs, before step number `step`.
    fn look(&mut self, step: usize) -> Result<View, OptimError> {
        let start = Instant::now();
        let loss = match self.batches.are_fixed() {
            // The gradient brings the loss, and is what the step asks first.
            true => {
                let point = self.oracle.point(&self.theta)?;
                point.gradient()?;
                Some(point.loss()?)
            }
            false => None,
        };
        let seconds = start.elapsed().as_secs_f64();
        let judged = match self.batches.evaluation(step) {
            Some(data) => Some(data.move_to(self.theta.clone())?.loss()?),
            None => loss,
        };
        Ok(View {
            loss,
            judged,
            seconds,
        })
    }

    fn row(&self, step: usize, taken: &Step, view: &View) -> Row {
        let cost = self.oracle.cost();
        Row {
            step,
            loss: taken.loss_before,
            evaluation: view.judged,
            gradient_norm: taken.gradient_norm,
            learning_rate: taken.learning_rate,
            predicted_change: taken.predicted_change,
            measured_change: None,
            ending: taken.ending.kind(),
            cost,
            gradient_equivalents: cost.gradient_equivalents(&self.budget.weights),
            seconds: self.seconds,
        }
    }

    /// The change of the loss by a step, on the step's own batch.
    fn measure(&mut self, taken: &Step, after: &View) -> Result<Option<f64>, OptimError> {
        if let Some(loss) = after.loss {
            return Ok(Some(loss - taken.loss_before));
        }
        if !self.batches.measure_changes() {
            return Ok(None);
        }
        let loss = self.oracle.point(&self.theta)?.loss()?;
        Ok(Some(loss - taken.loss_before))
    }

    /// Whether the loss at the current θ ends the run, after `step` steps.
    fn judge(&self, view: &View, step: usize) -> Option<Ending> {
        for loss in [view.loss, view.judged].into_iter().flatten() {
            let beyond = self.budget.max_loss.is_some_and(|most| loss > most);
            if !loss.is_finite() || beyond {
                return Some(Ending::Diverged { step, loss });
            }
        }
        let loss = view.judged?;
        let reached = loss <= self.budget.target_loss?;
        reached.then_some(Ending::TargetReached { step, loss })
    }

    /// Whether the budget allows no further step, after `step` steps.
    fn limit(&self, step: usize) -> Option<Ending> {
        let limit = self.budget.spent(step, self.oracle.cost(), self.seconds)?;
        Some(Ending::BudgetSpent { step, limit })
    }

    /// On the whole data a step that does not move would not move the next time either, unless it was there to prepare the next.
    fn stalled(&self, taken: &Step, step: usize) -> Option<Ending> {
        let stays = !taken.ending.moved() && !matches!(taken.ending, StepEnding::Prepared);
        let stalls = self.batches.are_fixed() && stays;
        stalls.then(|| Ending::Stalled {
            step,
            ending: taken.ending.kind(),
        })
    }

    fn finish(mut self, view: &View, ending: Ending) -> Result<Trajectory, OptimError> {
        let final_gradient_norm = match self.batches.are_fixed() {
            true => Some(vector::norm(&self.oracle.point(&self.theta)?.gradient()?)),
            false => None,
        };
        let final_loss = view.judged.or(view.loss);
        tracing::info!(steps = self.rows.len(), final_loss, ?ending, "run ended");
        Ok(Trajectory {
            cost: self.oracle.cost(),
            rows: self.rows,
            ending,
            theta: self.theta,
            final_loss,
            final_gradient_norm,
            seconds: self.seconds,
        })
    }
}

/// A step that met a loss, a gradient or parameters that are not finite ends the run.
fn failed(taken: &Step, step: usize) -> Option<Ending> {
    match taken.ending {
        StepEnding::NonFinite { .. } => Some(Ending::Diverged {
            step,
            loss: taken.loss_before,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
