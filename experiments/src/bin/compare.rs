//! # compare: which method reaches a target loss at the least cost, when all are tuned alike?
//!
//! Every method is tuned with the same number of trials on each problem, and the choices run on seeds that were not tuned on. Costs are
//! counted in gradient-equivalents, line searches and products charged, and in seconds. The file `experiments/src/compare/problems/table.toml`
//! holds the problems with their budgets and targets; `experiments/configs` holds configurations to start from.
//!
//! - **Expected:** Newton-type steps win on ill-conditioned convex problems; on networks Adam with a schedule is hard to beat
//! - **Takes:** some ten minutes on two cores; `experiments/configs/compare-full.toml` takes hours
//! - **Command:** `just exp compare`

use std::collections::BTreeMap;
use std::process::ExitCode;

use ravine_experiments::compare::measures::{Measured, measure};
use ravine_experiments::compare::methods::{Entrant, default_field};
use ravine_experiments::compare::plan::{Costs, Plan, Wishes};
use ravine_experiments::compare::problems::{Problem, Ready, build};
use ravine_experiments::compare::record::Record;
use ravine_experiments::compare::story;
use ravine_experiments::compare::tuning::{Compared, compete};
use ravine_experiments::{Context, Experiment, Report, RunOptions, Seeds};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// Problems by name, from the table that ships with ravine and from own_problems.
    problems: Vec<String>,
    /// Trials of each method on each problem.
    trials: usize,
    /// Further trials of every method on a problem where some optimum lies on the edge of its space; 0 widens nothing.
    widening_trials: usize,
    /// Seeds of the trials, apart from those of the report (--seeds).
    tuning_seeds: Seeds,
    /// Factor of the budgets of all problems.
    budget_factor: f64,
    /// The budget of seconds of a problem without one of its own, in the time of as many steps of gradient descent as the budget has
    /// gradients: what a method may spend beside losses, gradients and products.
    seconds_factor: f64,
    /// Seconds after which a run is given up and counts as failed.
    timeout_seconds: f64,
    /// Runs at a time, each on one thread; 0 is one for each core.
    workers: usize,
    /// Rounds of timing losses, gradients and products, before anything else.
    timing_rounds: usize,
    /// The field: methods with names and search spaces of their own where wanted. Momentum and Adam are always added.
    methods: Vec<Entrant>,
    /// Problems beyond the table, by name.
    own_problems: BTreeMap<String, Problem>,
    /// What evaluations cost, by problem; measured where it is missing, and written here before the comparison starts.
    costs: BTreeMap<String, Costs>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            problems: [
                "quadratic-1e4",
                "rosenbrock-2",
                "rosenbrock-20",
                "breast-cancer-raw",
                "breast-cancer",
                "deep-linear",
                "digits-mlp-tanh",
            ]
            .map(String::from)
            .to_vec(),
            trials: 20,
            widening_trials: 5,
            tuning_seeds: Seeds::from(1000..1002),
            budget_factor: 1.0,
            seconds_factor: 2.0,
            timeout_seconds: 60.0,
            workers: 0,
            timing_rounds: 25,
            methods: default_field(),
            own_problems: BTreeMap::new(),
            costs: BTreeMap::new(),
        }
    }
}

impl Config {
    fn wishes<'a>(&'a self, report_seeds: &'a [u64]) -> Wishes<'a> {
        Wishes {
            problems: &self.problems,
            own_problems: &self.own_problems,
            methods: &self.methods,
            trials: self.trials,
            widening_trials: self.widening_trials,
            tuning_seeds: &self.tuning_seeds,
            report_seeds,
            budget_factor: self.budget_factor,
            seconds_factor: self.seconds_factor,
            timeout_seconds: self.timeout_seconds,
            workers: self.workers,
        }
    }
}

fn main() -> ExitCode {
    ravine_experiments::main(Experiment {
        source: include_str!("compare.rs"),
        options: || RunOptions {
            seeds: Seeds::from(0..10),
            ..RunOptions::default()
        },
        smoke: |config: &mut Config| {
            config.problems = ["quadratic-1e2", "digits-mlp-tanh"]
                .map(String::from)
                .to_vec();
            config.trials = 1;
            config.widening_trials = 1;
            config.budget_factor = 0.02;
            config.timing_rounds = 1;
        },
        run,
    })
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    let plan = Plan::new(&config.wishes(context.seeds()))?;
    let problems = plan
        .problems
        .iter()
        .map(|(_, problem)| build(problem, context.device()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let costs = costs(context, &plan, &problems)?;

    let (mut compared, mut measured) = (Vec::new(), Vec::new());
    for (((name, problem), ready), costs) in plan.problems.iter().zip(&problems).zip(&costs) {
        let terms = plan.terms(problem, costs);
        let results = compete(context, &plan, (name, &**ready), &terms)?;
        let of_problem = measure(&results);
        write(context, &results, &of_problem)?;
        context.say(format!(
            "{name}: {} s a run in the median",
            ravine_experiments::significant(story::median_seconds(&results), 2)
        ));
        compared.push(results);
        measured.push(of_problem);
    }
    context.summarize("measures", &measured)?;
    Ok(story::tell(&plan, &costs, &compared, &measured))
}

/// The costs of the configuration; those that are missing are measured, and written to `config.toml` before they are used.
fn costs(
    context: &Context<Config>,
    plan: &Plan,
    problems: &[Box<dyn Ready>],
) -> anyhow::Result<Vec<Costs>> {
    let mut frozen = context.config().clone();
    let mut all = Vec::new();
    for ((name, _), ready) in plan.problems.iter().zip(problems) {
        let costs = match frozen.costs.get(name) {
            Some(costs) => *costs,
            None => {
                // On the kind of thread on which the runs will be.
                let point = ready.step_point()?;
                let rounds = context.config().timing_rounds;
                single_threaded(|| Costs::measure(&point, rounds))?
            }
        };
        frozen.costs.insert(name.clone(), costs);
        all.push(costs);
    }
    context.freeze(frozen)?;
    Ok(all)
}

fn single_threaded<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .stack_size(16 << 20);
    pool.build()?.install(work)
}

/// A run in the rows: what is the same whenever it is repeated.
#[derive(Serialize)]
struct RunRow<'a> {
    problem: &'a str,
    method: &'a str,
    kind: &'static str,
    number: usize,
    hit_step: Option<usize>,
    hit_gradients: Option<f64>,
    train: f64,
    validation: Option<f64>,
    steps: usize,
    losses: u64,
    gradients: u64,
    products: u64,
    gauss_newton_products: u64,
    factor_passes: u64,
    ending: &'a str,
    failed: bool,
    fingerprint: String,
}

#[derive(Serialize)]
struct TimeRow<'a> {
    problem: &'a str,
    method: &'a str,
    kind: &'static str,
    number: usize,
    hit_seconds: Option<f64>,
    seconds: f64,
    total_seconds: f64,
}

#[derive(Serialize)]
struct ValueRow<'a> {
    problem: &'a str,
    method: &'a str,
    trial: usize,
    hyperparameter: &'a str,
    value: f64,
}

#[derive(Serialize)]
struct CurveRow<'a> {
    problem: &'a str,
    method: &'a str,
    seed: u64,
    step: usize,
    gradients: f64,
    loss: f64,
}

fn write(
    context: &Context<Config>,
    compared: &Compared,
    measured: &[Measured],
) -> anyhow::Result<()> {
    for measured in measured {
        context.row("measures", &flat(measured))?;
    }
    let problem = compared.problem.as_str();
    for result in &compared.results {
        let method = result.method.as_str();
        for (trial, of) in result.trials.iter().enumerate() {
            for (hyperparameter, value) in &of.values {
                let row = ValueRow {
                    problem,
                    method,
                    trial,
                    hyperparameter,
                    value: *value,
                };
                context.row("hyperparameters", &row)?;
            }
            for record in &of.records {
                write_run(context, (problem, method, "trial"), trial, record)?;
            }
        }
        for (seed, record) in context.seeds().iter().zip(&result.records) {
            write_run(context, (problem, method, "report"), *seed as usize, record)?;
            for sample in &record.curve {
                let row = CurveRow {
                    problem,
                    method,
                    seed: *seed,
                    step: sample.step,
                    gradients: sample.gradients,
                    loss: sample.loss,
                };
                context.row("curves", &row)?;
            }
        }
    }
    Ok(())
}

fn write_run(
    context: &Context<Config>,
    (problem, method, kind): (&str, &str, &'static str),
    number: usize,
    record: &Record,
) -> anyhow::Result<()> {
    context.row(
        "runs",
        &RunRow {
            problem,
            method,
            kind,
            number,
            hit_step: record.hit.map(|hit| hit.step),
            hit_gradients: record.hit.map(|hit| hit.gradients),
            train: record.train,
            validation: record.validation,
            steps: record.steps,
            losses: record.cost.losses,
            gradients: record.cost.gradients,
            products: record.cost.products,
            gauss_newton_products: record.cost.gauss_newton_products,
            factor_passes: record.cost.factor_passes,
            ending: &record.ending,
            failed: record.failure.is_some(),
            fingerprint: format!("{:016x}", record.fingerprint),
        },
    )?;
    context.row(
        "times",
        &TimeRow {
            problem,
            method,
            kind,
            number,
            hit_seconds: record.times.hit,
            seconds: record.times.steps,
            total_seconds: record.times.total,
        },
    )
}

/// A measure without lists, which rows do not take.
#[derive(Serialize)]
struct MeasureRow<'a> {
    #[serde(flatten)]
    alone: Alone<'a>,
    best_of_1: Option<f64>,
    best_of_5: Option<f64>,
    best_of_20: Option<f64>,
}

#[derive(Serialize)]
struct Alone<'a> {
    problem: &'a str,
    method: &'a str,
    hits: usize,
    seeds: usize,
    failures: usize,
    steps: f64,
    gradients: f64,
    hits_in_time: usize,
    train: f64,
    validation: f64,
    mean_log_loss: f64,
    sensitivity: f64,
    score: f64,
    p_value: f64,
    chosen: &'a str,
    notes: &'a str,
}

fn flat(measured: &Measured) -> MeasureRow<'_> {
    let [best_of_1, best_of_5, best_of_20] = measured.expected;
    MeasureRow {
        alone: Alone {
            problem: &measured.problem,
            method: &measured.method,
            hits: measured.hits,
            seeds: measured.seeds,
            failures: measured.failures,
            steps: measured.steps.median,
            gradients: measured.gradients.median,
            hits_in_time: measured.hits_in_time,
            train: measured.train.median,
            validation: measured.validation.median,
            mean_log_loss: measured.area,
            sensitivity: measured.sensitivity,
            score: measured.score,
            p_value: measured.p_value,
            chosen: &measured.chosen,
            notes: &measured.notes,
        },
        best_of_1,
        best_of_5,
        best_of_20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, toml::de::Error> {
        let mut table: toml::Table = toml::from_str(text)?;
        table.remove("run");
        table.try_into()
    }

    #[test]
    fn the_configurations_that_ship_make_plans_and_round_trip() {
        let files = [
            include_str!("../../configs/compare-quick.toml"),
            include_str!("../../configs/compare-full.toml"),
            include_str!("../../configs/compare-autoencoder.toml"),
            include_str!("../../configs/compare-own-problem.toml"),
        ];
        for text in files {
            let config = parse(text).unwrap();
            let plan = Plan::new(&config.wishes(&[0, 1, 2])).unwrap();
            assert_eq!(plan.problems.len(), config.problems.len());
            let again = toml::to_string(&config).unwrap();
            let read: Config = toml::from_str(&again).unwrap();
            assert_eq!(toml::to_string(&read).unwrap(), again);
        }
    }

    #[test]
    fn unknown_keys_are_named() {
        let error = parse("trial = 3").unwrap_err().to_string();
        assert!(
            error.contains("`trial`") && error.contains("trials"),
            "{error}"
        );
        let error = parse("[[methods]]\nmethod = { kind = 'adam', rate = 1.0 }").unwrap_err();
        assert!(error.to_string().contains("`rate`"), "{error}");
    }
}
