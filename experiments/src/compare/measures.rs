//! What the runs of a comparison say.

use serde::Serialize;

use super::statistics::{
    Quartiles, area_under_log_loss, expected_best, holm, performance_ratios, profile_score,
    quantile, rank_sum_p_value,
};
use super::tuning::{Compared, MethodResult, OnEdge};

/// τ up to which performance profiles are scored.
pub const TAU_MAX: f64 = 4.0;

/// Adjusted p-values below separate a method from the best.
pub const SIGNIFICANT: f64 = 0.05;

/// Losses count as no smaller than this fraction of the first in the area under the log loss.
const FLOOR: f64 = 1e-16;

/// What one method did on one problem, over the report seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The problem.
    pub problem: String,
    /// The method.
    pub method: String,
    /// Seeds that reached the target.
    pub hits: usize,
    /// All seeds.
    pub seeds: usize,
    /// Seeds whose run failed: NaN, divergence, time-out, error.
    pub failures: usize,
    /// Steps to the target.
    pub steps: Quartiles,
    /// Gradient-equivalents to the target.
    pub gradients: Quartiles,
    /// Seeds that reached the target within the budget of seconds.
    pub hits_in_time: usize,
    /// Seconds to the target.
    pub seconds: Quartiles,
    /// The training loss at the end.
    pub train: Quartiles,
    /// The validation loss at the end; not a number without validation examples.
    pub validation: Quartiles,
    /// Mean of log₁₀ loss over the budget, median over seeds.
    pub area: f64,
    /// Expected lowest final loss of 1, 5 and 20 trials, a trial never worth more than the start.
    pub expected: [Option<f64>; 3],
    /// Decades of loss lost beside the choice.
    pub sensitivity: f64,
    /// Area under the performance profile over the seeds of this problem, by gradients.
    pub score: f64,
    /// Holm-adjusted p-value against the best method of the problem; 1 for the best itself.
    pub p_value: f64,
    /// What it means.
    pub standing: Standing,
    /// The chosen hyperparameters, in words.
    pub chosen: String,
    /// Notes on edges and obstacles.
    pub notes: String,
}

/// How a method stands to the best of its problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The lowest median.
    Best,
    /// The difference to the best lies within the spread of the seeds.
    NotSeparable,
    /// Worse than the best beyond the spread of the seeds.
    Separable,
}

/// Measures all methods on a problem.
pub fn measure(compared: &Compared) -> Vec<Measured> {
    let times: Vec<Vec<f64>> = compared
        .results
        .iter()
        .map(|result| per_seed(result, |record| record.gradients_to_target()))
        .collect();
    let ratios = performance_ratios(&times);
    let losses: Vec<Vec<f64>> = compared
        .results
        .iter()
        .map(|result| per_seed(result, |record| record.train))
        .collect();
    let winner = winner(&times, &losses);
    // Where nobody reaches the target the final losses are compared.
    let judged = match times.iter().flatten().any(|time| time.is_finite()) {
        true => &times,
        false => &losses,
    };
    let p_values = against(judged, winner);
    let results = compared.results.iter().enumerate();
    results
        .map(|(index, result)| Measured {
            score: profile_score(&ratios[index], TAU_MAX),
            p_value: p_values[index],
            standing: match p_values[index] < SIGNIFICANT {
                _ if index == winner => Standing::Best,
                true => Standing::Separable,
                false => Standing::NotSeparable,
            },
            ..alone(compared, result)
        })
        .collect()
}

/// The method with the lowest median to the target, then with the most hits, then with the lowest median final loss.
fn winner(times: &[Vec<f64>], losses: &[Vec<f64>]) -> usize {
    let misses = |index: usize| times[index].iter().filter(|time| !time.is_finite()).count();
    let best = (0..times.len()).min_by(|&a, &b| {
        let median = |values: &[Vec<f64>], index: usize| quantile(&values[index], 0.5);
        median(times, a)
            .total_cmp(&median(times, b))
            .then(misses(a).cmp(&misses(b)))
            .then(median(losses, a).total_cmp(&median(losses, b)))
    });
    best.unwrap_or(0)
}

/// Adjusted p-values of each method against one.
fn against(values: &[Vec<f64>], winner: usize) -> Vec<f64> {
    let others: Vec<usize> = (0..values.len()).filter(|index| *index != winner).collect();
    let raw: Vec<f64> = others
        .iter()
        .map(|index| rank_sum_p_value(&values[winner], &values[*index]))
        .collect();
    let mut adjusted = vec![1.0; values.len()];
    for (index, p) in others.into_iter().zip(holm(&raw)) {
        adjusted[index] = p;
    }
    adjusted
}

/// What needs no other method.
fn alone(compared: &Compared, result: &MethodResult) -> Measured {
    let terms = &compared.terms;
    let seconds = per_seed(result, |record| record.seconds_to_target(terms));
    let areas = per_seed(result, |record| {
        let curve = record.over_gradients();
        let floor = curve.first().map_or(0.0, |point| FLOOR * point.1.abs());
        match record.failure {
            Some(_) => f64::INFINITY,
            None => area_under_log_loss(&curve, terms.budget, floor.max(f64::MIN_POSITIVE)),
        }
    });
    let validation = per_seed(result, |record| match record.failure {
        Some(_) => f64::INFINITY,
        None => record.validation.unwrap_or(f64::INFINITY),
    });
    let validated = result
        .records
        .iter()
        .any(|record| record.validation.is_some());
    let worth = worth_of_trials(result);
    let gradients = per_seed(result, |record| record.gradients_to_target());
    Measured {
        problem: compared.problem.clone(),
        method: result.method.clone(),
        hits: gradients.iter().filter(|value| value.is_finite()).count(),
        seeds: result.records.len(),
        failures: result
            .records
            .iter()
            .filter(|r| r.failure.is_some())
            .count(),
        steps: Quartiles::of(&per_seed(result, |record| record.steps_to_target())),
        gradients: Quartiles::of(&gradients),
        hits_in_time: seconds.iter().filter(|value| value.is_finite()).count(),
        seconds: Quartiles::of(&seconds),
        train: Quartiles::of(&per_seed(result, |record| record.train)),
        validation: match validated {
            true => Quartiles::of(&validation),
            false => Quartiles::of(&[]),
        },
        area: quantile(&areas, 0.5),
        expected: [1, 5, 20].map(|k| expected_best(&worth, k)),
        sensitivity: result.sensitivity,
        score: 0.0,
        p_value: 1.0,
        standing: Standing::NotSeparable,
        chosen: chosen(result),
        notes: notes(result),
    }
}

fn per_seed(result: &MethodResult, value: impl Fn(&super::record::Record) -> f64) -> Vec<f64> {
    result.records.iter().map(value).collect()
}

/// The median final loss of each trial over the tuning seeds, and that of the start for one that failed or ended above it: nobody has to
/// keep parameters that are worse than the first ones.
fn worth_of_trials(result: &MethodResult) -> Vec<f64> {
    let start = result
        .trials
        .iter()
        .flat_map(|trial| &trial.records)
        .find_map(|record| record.curve.first())
        .map_or(f64::INFINITY, |point| point.loss);
    let worth = |trial: &super::tuning::Trial| trial.train().min(start);
    result.trials.iter().map(worth).collect()
}

fn chosen(result: &MethodResult) -> String {
    let values = result.chosen.iter();
    let words: Vec<String> = values
        .map(|(name, value)| format!("{name} {}", crate::significant(*value, 3)))
        .collect();
    words.join(", ")
}

fn notes(result: &MethodResult) -> String {
    let edge = |what: &str, edges: &[OnEdge]| -> Option<String> {
        let names: Vec<String> = edges
            .iter()
            .map(|on| format!("{} ({:?})", on.name, on.edge).to_lowercase())
            .collect();
        (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")))
    };
    let notes = [
        result.obstacle.clone(),
        edge("widened", &result.widened),
        edge("still on the edge", &result.on_edge),
    ];
    notes.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Performance ratios of each method over all seeds of all problems, by gradients or by seconds.
pub fn overall_ratios(compared: &[Compared], by: Currency) -> Vec<(String, Vec<f64>)> {
    let Some(first) = compared.first() else {
        return Vec::new();
    };
    let methods = first.results.iter().map(|result| result.method.clone());
    let times: Vec<Vec<f64>> = (0..first.results.len())
        .map(|method| {
            let problems = compared.iter();
            problems
                .flat_map(|problem| {
                    per_seed(&problem.results[method], |record| match by {
                        Currency::Gradients => record.gradients_to_target(),
                        Currency::Seconds => record.seconds_to_target(&problem.terms),
                    })
                })
                .collect()
        })
        .collect();
    methods.zip(performance_ratios(&times)).collect()
}

/// What a budget is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Currency {
    /// Gradient-equivalents.
    Gradients,
    /// Seconds.
    Seconds,
}

/// What a target by the rule of the table would be: the best baseline's median loss over the tuning seeds at ¾ of the budget, and who
/// that is.
pub fn target_by_rule(compared: &Compared, baselines: &[String]) -> Option<(String, f64)> {
    let at = 0.75 * compared.terms.budget;
    let results = compared.results.iter();
    let losses = results
        .filter(|result| baselines.contains(&result.method))
        .flat_map(|result| {
            result.trials.iter().map(move |trial| {
                let losses: Vec<f64> = trial.records.iter().map(|r| r.loss_at(at)).collect();
                (result.method.clone(), quantile(&losses, 0.5))
            })
        });
    losses
        .filter(|(_, loss)| loss.is_finite())
        .min_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::record::{Hit, Record, Sample, Terms};
    use crate::compare::tuning::Trial;

    fn record(hit: Option<f64>, train: f64) -> Record {
        let mut record = Record::impossible("");
        record.failure = train.is_nan().then(|| "diverged".to_string());
        record.hit = hit.map(|gradients| Hit { step: 3, gradients });
        record.times.hit = hit.map(|gradients| 0.1 * gradients);
        record.train = if train.is_nan() { f64::INFINITY } else { train };
        let sample = |gradients, loss| Sample {
            step: 0,
            gradients,
            loss,
        };
        record.curve = vec![sample(0.0, 10.0), sample(5.0, train)];
        record
    }

    fn result(method: &str, records: Vec<Record>) -> MethodResult {
        MethodResult {
            method: method.to_string(),
            trials: vec![
                Trial {
                    values: Default::default(),
                    records: vec![record(None, f64::NAN)],
                },
                Trial {
                    values: Default::default(),
                    records: vec![record(None, 0.5)],
                },
            ],
            space: Default::default(),
            widened: Vec::new(),
            on_edge: Vec::new(),
            chosen: Default::default(),
            records,
            sensitivity: 0.0,
            obstacle: None,
        }
    }

    fn compared() -> Compared {
        let runs = |base: f64| {
            (0..6)
                .map(|i| record(Some(base + f64::from(i)), 0.1))
                .collect()
        };
        let mut halting: Vec<Record> = runs(3.0);
        halting[5] = record(Some(1.0), f64::NAN);
        Compared {
            problem: "p".to_string(),
            terms: Terms {
                budget: 10.0,
                seconds: 0.55,
                timeout: 1.0,
                target: 0.2,
                weights: Default::default(),
            },
            dim: 2,
            results: vec![
                result("fast", runs(2.0)),
                result("near", halting),
                result("slow", runs(100.0)),
            ],
        }
    }

    #[test]
    fn failures_are_counted_and_never_dropped() {
        let measured = measure(&compared());
        let near = &measured[1];
        assert_eq!((near.hits, near.failures, near.seeds), (5, 1, 6));
        assert_eq!(near.gradients.median, 5.5);
        // A failed trial is worth the start: (10 + 0.5) / 2.
        assert_eq!(near.expected, [Some(5.25), None, None]);
        assert_eq!(measured[0].hits_in_time, 4);
        assert!(measured[0].validation.median.is_nan());
        assert!(
            (measured[0].area - 0.0).abs() < 1e-12,
            "{}",
            measured[0].area
        );
    }

    #[test]
    fn only_what_lies_beyond_the_spread_is_separable() {
        let measured = measure(&compared());
        let standings: Vec<Standing> = measured.iter().map(|m| m.standing).collect();
        use Standing::{Best, NotSeparable, Separable};
        assert_eq!(standings, [Best, NotSeparable, Separable]);
        assert!(measured[0].score > 0.8 && measured[2].score == 0.0);
    }

    #[test]
    fn profiles_go_over_all_seeds_of_all_problems() {
        let ratios = overall_ratios(&[compared(), compared()], Currency::Gradients);
        assert_eq!(ratios.len(), 3);
        assert!(ratios.iter().all(|(_, ratios)| ratios.len() == 12));
        let seconds = overall_ratios(&[compared()], Currency::Seconds);
        assert!(seconds[2].1.iter().all(|ratio| ratio.is_infinite()));
    }

    #[test]
    fn targets_follow_the_rule() {
        let target = target_by_rule(&compared(), &["slow".to_string()]);
        assert_eq!(target, Some(("slow".to_string(), 0.5)));
        assert_eq!(target_by_rule(&compared(), &[]), None);
    }

    #[test]
    fn who_reached_the_target_goes_before_who_did_not() {
        let never = f64::INFINITY;
        let times = [vec![never; 4], vec![never, never, never, 7.0]];
        let losses = [vec![0.1; 4], vec![0.5; 4]];
        assert_eq!(winner(&times, &losses), 1);
        assert_eq!(winner(&[vec![never; 4], vec![never; 4]], &losses), 0);
    }
}
