//! Whole comparisons, small: determinism, resuming, equal trials.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::measures::measure;
use super::methods::{Entrant, MethodConfig, baselines};
use super::plan::{Costs, Plan, Wishes};
use super::problems::build;
use super::story;
use super::tuning::compete;
use crate::{Context, Experiment, Finished, Report, RunOptions, Seeds};

const SOURCE: &str = "\
//! # tiny: does the comparison compare?
//!
//! - **Expected:** yes
//! - **Takes:** no time
//! - **Command:** `just exp tiny`

struct Config {
    /// Runs at a time.
    workers: usize,
}
";

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    workers: usize,
    /// A file whose presence stops the run after the first problem.
    obstacle: Option<String>,
    costs: BTreeMap<String, Costs>,
}

#[derive(Serialize)]
struct Row {
    problem: String,
    method: String,
    trials: usize,
    fingerprint: String,
    train: f64,
    gradients: f64,
}

fn tiny() -> Experiment<Config> {
    Experiment {
        source: SOURCE,
        options: || RunOptions {
            seeds: Seeds::from(0..3),
            ..RunOptions::default()
        },
        smoke: |_| {},
        run,
    }
}

/// The baselines, one that is too dear, and some with products, factors and random choices.
fn small_field() -> Vec<Entrant> {
    let kinds = [
        "levenberg-marquardt",
        "newton-cg",
        "hessian-free",
        "kfac",
        "sophia-g",
        "soap",
    ];
    let described = |kind: &&str| toml::from_str::<MethodConfig>(&format!("kind = '{kind}'"));
    let others = kinds
        .iter()
        .map(|kind| Entrant::of(described(kind).unwrap()));
    baselines().into_iter().chain(others).collect()
}

fn run(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    let names = ["digits-cnn", "rosenbrock-2"].map(String::from);
    let (own, field, tuning) = (BTreeMap::new(), small_field(), Seeds::from(100..102));
    let plan = Plan::new(&Wishes {
        problems: &names,
        own_problems: &own,
        methods: &field,
        trials: 2,
        widening_trials: 1,
        tuning_seeds: &tuning,
        report_seeds: context.seeds(),
        budget_factor: 0.02,
        seconds_factor: 10.0,
        timeout_seconds: 100.0,
        workers: config.workers,
    })?;
    let fixed = Costs {
        loss: 0.4,
        product: 2.5,
        gauss_newton_product: 4.0 / 3.0,
        factor_pass: 2.0 / 3.0,
        gradient_seconds: 1e-3,
    };
    let mut frozen = config.clone();
    for name in &names {
        frozen.costs.entry(name.clone()).or_insert(fixed);
    }
    context.freeze(frozen)?;
    let (mut compared, mut measured) = (Vec::new(), Vec::new());
    for (name, problem) in &plan.problems {
        let ready = build(problem, context.device())?;
        let results = compete(
            context,
            &plan,
            (name, &*ready),
            &plan.terms(problem, &fixed),
        )?;
        for result in &results.results {
            for record in &result.records {
                let row = Row {
                    problem: name.clone(),
                    method: result.method.clone(),
                    trials: result.trials.len(),
                    fingerprint: format!("{:016x}", record.fingerprint),
                    train: record.train,
                    gradients: record.gradients_to_target(),
                };
                context.row("runs", &row)?;
            }
        }
        measured.push(measure(&results));
        compared.push(results);
        let stop = config.obstacle.as_ref();
        anyhow::ensure!(
            !stop.is_some_and(|file| Path::new(file).exists()),
            "stopped"
        );
    }
    let costs = vec![fixed; plan.problems.len()];
    Ok(story::tell(&plan, &costs, &compared, &measured))
}

fn start(arguments: &[&str]) -> Result<Finished, crate::Stopped> {
    crate::run(&tiny(), ["tiny"].iter().chain(arguments))
}

fn rows(directory: &Path) -> String {
    fs::read_to_string(directory.join("rows/runs.csv")).unwrap()
}

#[test]
fn trajectories_are_the_same_bit_by_bit_whatever_the_number_of_workers() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().to_str().unwrap();
    let [one, two] = ["1", "2"].map(|workers| {
        let set = format!("workers={workers}");
        let run = start(&["--quiet", "--out", out, "--set", &set]).unwrap();
        rows(&run.directory)
    });
    assert_eq!(one, two);
    assert_eq!(one.lines().count(), 1 + 2 * 10 * 3);
    // Dense steps beyond the budget do not run; every other method has the same number of trials.
    let trials: Vec<&str> = one
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(2).unwrap())
        .collect();
    assert!(
        trials.iter().all(|count| ["0", "3"].contains(count)),
        "{trials:?}"
    );
    assert!(!one.contains("levenberg-marquardt,3,0000000000000000"));
}

#[test]
fn a_run_that_was_cut_off_goes_on_to_the_same_rows() {
    let out = tempfile::tempdir().unwrap();
    let (obstacle, out) = (out.path().join("obstacle"), out.path().to_str().unwrap());
    fs::write(&obstacle, "").unwrap();
    let set = format!("obstacle=\"{}\"", obstacle.display());
    let base = ["--quiet", "--out", out, "--set", "workers=2", "--set", &set];

    let Err(crate::Stopped::Failed { directory, .. }) = start(&base) else {
        panic!("the obstacle is there");
    };
    // As after a kill: some cells are there, others not, and one was being written.
    let cells: Vec<_> = fs::read_dir(directory.join("cells")).unwrap().collect();
    let total = cells.len();
    for (index, cell) in cells.into_iter().enumerate() {
        if index % 3 == 0 {
            fs::remove_file(cell.unwrap().path()).unwrap();
        }
    }
    fs::remove_file(directory.join("rows/runs.csv")).unwrap();
    fs::remove_file(&obstacle).unwrap();

    let resumed = start(&["--quiet", "--resume", directory.to_str().unwrap()]).unwrap();
    assert_eq!(resumed.directory, directory);
    assert!(resumed.cells.loaded >= total / 2, "{:?}", resumed.cells);

    let whole = start(&base).unwrap();
    assert_eq!(rows(&resumed.directory), rows(&whole.directory));
    assert_eq!(resumed.cells.finished, whole.cells.finished);

    let config = fs::read_to_string(directory.join("config.toml")).unwrap();
    assert!(config.contains("[costs.rosenbrock-2]"), "{config}");
    let report = fs::read_to_string(directory.join("report.html")).unwrap();
    crate::report::assert_balanced(&report);
    for word in [
        "Protocol",
        "not separable",
        "Chosen hyperparameters",
        "rosenbrock-2",
        "profile",
    ] {
        assert!(report.contains(word), "{word}");
    }
}
