//! The same number of trials for every method, the choice, and the runs of the report.

use ravine_curvature::Seed;
use serde::{Deserialize, Serialize};

use super::methods::{Entrant, MethodConfig, Setting, Structure};
use super::plan::Plan;
use super::problems::Ready;
use super::record::{Record, Terms};
use super::search::{self, Edge, Space, Values};
use super::statistics::quantile;
use crate::{Context, Work};

/// Factors of the main hyperparameter whose runs show how sensitive a method is.
const NEIGHBOURS: [f64; 2] = [0.5, 2.0];

/// A trial: values, and a run for each tuning seed.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The values of the hyperparameters.
    pub values: Values,
    /// A run for each tuning seed.
    pub records: Vec<Record>,
}

/// An optimum on the edge of its space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnEdge {
    /// The hyperparameter.
    pub name: String,
    /// Which edge.
    pub edge: Edge,
}

/// What a method did on a problem.
#[derive(Clone, Debug)]
pub struct MethodResult {
    /// Name of the method.
    pub method: String,
    /// All trials.
    pub trials: Vec<Trial>,
    /// The spaces, widened where an optimum lay on an edge.
    pub space: Space,
    /// Edges at which the space was widened.
    pub widened: Vec<OnEdge>,
    /// Edges on which the choice lies in the end.
    pub on_edge: Vec<OnEdge>,
    /// The chosen values.
    pub chosen: Values,
    /// A run for each report seed.
    pub records: Vec<Record>,
    /// Decades of the final loss lost by halving or doubling the main hyperparameter, on the tuning seeds.
    pub sensitivity: f64,
    /// Why the method could not take part, if so.
    pub obstacle: Option<String>,
}

/// A problem with its results.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Name of the problem.
    pub problem: String,
    /// What could be spent.
    pub terms: Terms,
    /// Number of parameters.
    pub dim: usize,
    /// A result for each method, in the order of the field.
    pub results: Vec<MethodResult>,
}

impl Trial {
    /// What a trial is judged by: the median of the gradients to the target, then of the final loss.
    fn verdict(&self) -> (f64, f64) {
        let median = |value: fn(&Record) -> f64| {
            let values: Vec<f64> = self.records.iter().map(value).collect();
            quantile(&values, 0.5)
        };
        (
            median(Record::gradients_to_target),
            median(|record| record.train),
        )
    }

    /// The median of the final training loss over the tuning seeds.
    pub fn train(&self) -> f64 {
        self.verdict().1
    }
}

/// The best of some trials: the fewest gradients to the target, where none reaches it the lowest loss; the first of equals.
pub fn best(trials: &[Trial]) -> Option<&Trial> {
    let order = |a: &Trial, b: &Trial| {
        let (a, b) = (a.verdict(), b.verdict());
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    };
    trials.iter().min_by(|a, b| order(a, b))
}

/// One method on one problem, while it is tuned.
struct Tuned<'a> {
    entrant: &'a Entrant,
    /// The entrant's method, with what the problem adds.
    method: MethodConfig,
    space: Space,
    trials: Vec<Trial>,
    widened: Vec<OnEdge>,
    obstacle: Option<String>,
}

impl Tuned<'_> {
    fn edges(&self) -> Vec<OnEdge> {
        let Some(best) = best(&self.trials) else {
            return Vec::new();
        };
        let edge = |(name, value): (&String, &f64)| {
            let edge = self.space.get(name)?.edge(*value)?;
            let name = name.clone();
            Some(OnEdge { name, edge })
        };
        best.values.iter().filter_map(edge).collect()
    }

    /// Where the further trials look: beyond the edges, or in the same space where the optimum lies inside.
    fn further(&self) -> Space {
        let mut space = self.space.clone();
        for OnEdge { name, edge } in &self.widened {
            if let Some(range) = space.get_mut(name) {
                *range = range.beyond(*edge);
            }
        }
        space
    }
}

/// A run to be made: method, seed, and the cell's name.
struct Job {
    name: String,
    method: MethodConfig,
    seed: u64,
}

/// Tunes and runs the whole field on a problem.
///
/// # Errors
///
/// When the run's folder cannot be written; a run that fails is a record.
pub fn compete<C>(
    context: &Context<C>,
    plan: &Plan,
    (problem, ready): (&str, &dyn Ready),
    terms: &Terms,
) -> anyhow::Result<Compared> {
    let arena = Arena {
        context,
        plan,
        problem,
        ready,
        terms,
    };
    let setting = Setting {
        dim: ready.train().dim(),
        budget: terms.budget,
        product: terms.weights.product,
        structure: Structure::of(&ready.step_point()?),
    };
    let mut field = Vec::new();
    for entrant in &plan.field {
        field.push(Tuned {
            entrant,
            method: entrant.method.for_problem(setting.structure),
            space: entrant.space()?,
            trials: Vec::new(),
            widened: Vec::new(),
            obstacle: entrant.method.obstacle(setting),
        });
    }
    arena.trials(&mut field, 0..plan.trials, |tuned: &Tuned<'_>| {
        tuned.space.clone()
    })?;
    if plan.widening_trials > 0 && field.iter().any(|tuned| !tuned.edges().is_empty()) {
        for tuned in &mut field {
            tuned.widened = tuned.edges();
        }
        let numbers = plan.trials..plan.trials + plan.widening_trials;
        arena.trials(&mut field, numbers, |tuned: &Tuned<'_>| tuned.further())?;
        for tuned in &mut field {
            for OnEdge { name, edge } in &tuned.widened {
                if let Some(range) = tuned.space.get_mut(name) {
                    *range = range.widened(*edge);
                }
            }
        }
    }
    Ok(Compared {
        problem: problem.to_string(),
        terms: *terms,
        dim: setting.dim,
        results: arena.finals(field)?,
    })
}

struct Arena<'a, C> {
    context: &'a Context<C>,
    plan: &'a Plan,
    problem: &'a str,
    ready: &'a dyn Ready,
    terms: &'a Terms,
}

impl<C> Arena<'_, C> {
    /// Takes the trials of these numbers for the whole field.
    fn trials(
        &self,
        field: &mut [Tuned<'_>],
        numbers: std::ops::Range<usize>,
        space: impl Fn(&Tuned<'_>) -> Space,
    ) -> anyhow::Result<()> {
        let mut jobs = Vec::new();
        let mut values_of = Vec::new();
        for (index, tuned) in field.iter().enumerate() {
            if tuned.obstacle.is_some() {
                continue;
            }
            let name = tuned.entrant.name();
            let seed = Seed::new(0)
                .stream("trials")
                .stream(self.problem)
                .stream(&name);
            let space = space(tuned);
            for number in numbers.clone() {
                let values = search::point(&space, seed, number);
                let method = tuned.method.with_values(&values)?;
                values_of.push((index, values));
                jobs.extend(self.plan.tuning_seeds.iter().map(|seed| Job {
                    name: format!("{}/{name}/trial={number}/seed={seed}", self.problem),
                    method: method.clone(),
                    seed: *seed,
                }));
            }
        }
        let mut records = self.run(jobs)?.into_iter();
        for (index, values) in values_of {
            let records = records.by_ref().take(self.plan.tuning_seeds.len());
            field[index].trials.push(Trial {
                values,
                records: records.collect(),
            });
        }
        Ok(())
    }

    /// The runs of the report, and those beside the choice.
    fn finals(&self, field: Vec<Tuned<'_>>) -> anyhow::Result<Vec<MethodResult>> {
        let (tuning, report) = (&self.plan.tuning_seeds, &self.plan.report_seeds);
        let mut jobs = Vec::new();
        for tuned in &field {
            let Some(chosen) = best(&tuned.trials) else {
                continue;
            };
            let name = tuned.entrant.name();
            let method = tuned.method.with_values(&chosen.values)?;
            jobs.extend(report.iter().map(|seed| Job {
                name: format!("{}/{name}/report/seed={seed}", self.problem),
                method: method.clone(),
                seed: *seed,
            }));
            for factor in NEIGHBOURS {
                let method = tuned.method.with_values(&beside(tuned, factor))?;
                jobs.extend(tuning.iter().map(|seed| Job {
                    name: format!("{}/{name}/main*{factor}/seed={seed}", self.problem),
                    method: method.clone(),
                    seed: *seed,
                }));
            }
        }
        let mut records = self.run(jobs)?.into_iter();
        let mut take = |count: usize| records.by_ref().take(count).collect::<Vec<Record>>();
        let finished = field.into_iter().map(|tuned| {
            let on_edge = tuned.edges();
            let chosen = best(&tuned.trials).cloned();
            let (records, sensitivity) = match (&chosen, &tuned.obstacle) {
                (Some(chosen), _) => {
                    let records = take(report.len());
                    let beside = NEIGHBOURS.map(|_| median_train(&take(tuning.len())));
                    (records, sensitivity(chosen.train(), &beside))
                }
                (None, obstacle) => {
                    let reason = obstacle.clone().unwrap_or_default();
                    let records = report.iter().map(|_| Record::impossible(reason.clone()));
                    (records.collect(), f64::INFINITY)
                }
            };
            MethodResult {
                method: tuned.entrant.name(),
                trials: tuned.trials,
                space: tuned.space,
                widened: tuned.widened,
                on_edge,
                chosen: chosen.map(|trial| trial.values).unwrap_or_default(),
                records,
                sensitivity,
                obstacle: tuned.obstacle,
            }
        });
        Ok(finished.collect())
    }

    fn run(&self, jobs: Vec<Job>) -> anyhow::Result<Vec<Record>> {
        let (ready, terms) = (self.ready, self.terms);
        let works = jobs.into_iter().map(|Job { name, method, seed }| {
            let work: Work<'_, Record> =
                Box::new(move || Record::take(ready, &method, seed, terms));
            (name, work)
        });
        let outcomes = self.context.cells(self.plan.workers, works.collect())?;
        Ok(outcomes.into_iter().map(Record::from_cell).collect())
    }
}

/// The chosen values with the main hyperparameter multiplied, inside the limits of the method.
fn beside(tuned: &Tuned<'_>, factor: f64) -> Values {
    let Some(chosen) = best(&tuned.trials) else {
        return Values::new();
    };
    let mut values = chosen.values.clone();
    let main = tuned.entrant.method.main();
    if let (Some(value), Some(range)) = (values.get_mut(main), tuned.space.get(main)) {
        let (least, most) = (
            range.minimum.unwrap_or(f64::NEG_INFINITY),
            range.maximum.unwrap_or(f64::INFINITY),
        );
        *value = (*value * factor).clamp(least, most);
    }
    values
}

fn median_train(records: &[Record]) -> f64 {
    let values: Vec<f64> = records.iter().map(|record| record.train).collect();
    quantile(&values, 0.5)
}

/// How many decades of loss the worse neighbour is above the choice; 0 where none is worse.
fn sensitivity(chosen: f64, beside: &[f64]) -> f64 {
    let worst = beside.iter().copied().fold(0.0, f64::max);
    match (chosen.is_finite(), worst.is_finite()) {
        (_, false) | (false, _) => f64::INFINITY,
        _ => (worst.max(1e-300).log10() - chosen.max(1e-300).log10()).max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(hit: Option<f64>, train: f64) -> Trial {
        let mut record = Record::impossible("");
        record.failure = None;
        record.hit = hit.map(|gradients| super::super::record::Hit { step: 1, gradients });
        record.train = train;
        Trial {
            values: Values::new(),
            records: vec![record],
        }
    }

    #[test]
    fn the_target_goes_before_the_loss() {
        let trials = [
            trial(None, 1e-9),
            trial(Some(50.0), 0.3),
            trial(Some(40.0), 0.5),
        ];
        assert_eq!(best(&trials).unwrap().train(), 0.5);
        let trials = [trial(None, f64::NAN), trial(None, 2.0), trial(None, 1.0)];
        assert_eq!(best(&trials).unwrap().train(), 1.0);
        assert!(best(&[]).is_none());
    }

    #[test]
    fn sensitivity_counts_decades() {
        assert!((sensitivity(1e-3, &[1e-2, 1e-4]) - 1.0).abs() < 1e-12);
        assert_eq!(sensitivity(1.0, &[0.5, 0.9]), 0.0);
        assert_eq!(sensitivity(1.0, &[f64::INFINITY, 1.0]), f64::INFINITY);
    }
}
