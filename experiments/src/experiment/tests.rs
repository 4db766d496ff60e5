//! Whole runs of a small experiment.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;

use super::*;
use crate::report::assert_balanced;
use crate::{Axis, Band, Criterion, Plot, Table};

const SOURCE: &str = "\
//! # small: does the runner run?
//!
//! - **Expected:** yes
//! - **Takes:** no time
//! - **Command:** `just exp small`

struct Config {
    /// Rates to try; a negative one fails.
    rates: Vec<f64>,
}
";

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    rates: Vec<f64>,
    /// A line is added here whenever a cell is measured.
    log: Option<String>,
    /// The run gives up after its cells while this file is there.
    obstacle: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rates: vec![0.1, -1.0, f64::INFINITY],
            log: None,
            obstacle: None,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Measured {
    rate: f64,
    seed: u64,
    loss: f64,
}

fn small() -> Experiment<Config> {
    Experiment {
        source: SOURCE,
        options: || RunOptions {
            seeds: "0..2".parse().unwrap(),
            ..RunOptions::default()
        },
        smoke: |config| config.rates.truncate(1),
        run: measure,
    }
}

fn measure(context: &Context<Config>) -> anyhow::Result<Report> {
    let config = context.config();
    let mut plot = Plot::new("Loss", Axis::log("rate"), Axis::log("loss"));
    let mut table = Table::new("Losses", ["rate", "seed", "loss"]);
    for &seed in context.seeds() {
        let mut points = Vec::new();
        for &rate in &config.rates {
            let cell = context.cell(format!("rate={rate}/seed={seed}"), || {
                note(config.log.as_deref());
                anyhow::ensure!(rate > 0.0, "a rate of {rate}");
                // At an infinite rate this is NaN.
                let loss = 0.0 * rate + 1.0 + seed as f64;
                Ok(Measured { rate, seed, loss })
            })?;
            match cell {
                Ok(measured) => {
                    context.row("losses", &measured)?;
                    points.push((measured.rate, measured.loss));
                    table.push([rate.into(), seed.into(), measured.loss.into()]);
                }
                Err(failure) => table.push([rate.into(), seed.into(), failure.message.into()]),
            }
        }
        plot = plot.line(format!("seed {seed}"), points);
    }
    if let Some(obstacle) = &config.obstacle {
        anyhow::ensure!(!Path::new(obstacle).exists(), "the obstacle is there");
    }
    context.summarize("losses", &[f64::NAN, 1.0])?;
    Ok(Report::new("It runs")
        .finding("Yes.")
        .plot(plot)
        .table(table))
}

fn note(log: Option<&str>) {
    let Some(log) = log else { return };
    let earlier = fs::read_to_string(log).unwrap_or_default();
    fs::write(log, earlier + "measured\n").unwrap();
}

fn start(arguments: &[&str]) -> Result<Finished, Stopped> {
    let quiet = ["small", "-q"].into_iter();
    run(&small(), quiet.chain(arguments.iter().copied()))
}

fn text(directory: &Path, file: &str) -> String {
    fs::read_to_string(directory.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn json(directory: &Path, file: &str) -> Json {
    serde_json::from_str(&text(directory, file)).unwrap()
}

#[test]
fn a_run_leaves_all_its_files() {
    let out = tempfile::tempdir().unwrap();
    let out_path = out.path().to_str().unwrap();
    let finished = start(&["--out", out_path]).unwrap();
    let directory = finished.directory.as_path();

    assert_eq!(
        finished.cells,
        Tally {
            finished: 4,
            loaded: 0,
            failed: 2
        }
    );
    assert_eq!(
        text(directory, "rows/losses.csv"),
        "rate,seed,loss\n0.1,0,1.0\ninf,0,NaN\n0.1,1,2.0\ninf,1,NaN\n"
    );
    assert!(text(directory, "rows/plot-01-loss.csv").contains("seed 1,inf,NaN"));
    assert!(text(directory, "plots/plot-01-loss.svg").starts_with("<svg "));

    let manifest = json(directory, "manifest.json");
    assert_eq!(manifest["status"], "finished");
    assert_eq!(manifest["experiment"], "small");
    assert_eq!(manifest["seeds"], "0..2");
    assert!(manifest["seconds"].as_f64().unwrap() > 0.0);

    let summary = json(directory, "summary.json");
    assert_eq!(summary["findings"][0], "Yes.");
    assert_eq!(summary["cells"]["failed"], 2);
    assert_eq!(summary["failures"][0]["cell"], "rate=-1/seed=0");
    assert_eq!(summary["failures"][0]["message"], "a rate of -1");
    assert_eq!(summary["results"]["losses"][0], "NaN");

    let report = text(directory, "report.html");
    assert_balanced(&report);
    for part in [
        "<svg ",
        "It runs",
        "2 measurements failed",
        "rates = [0.1, -1.0, inf]",
    ] {
        assert!(report.contains(part), "no {part}");
    }
    let latest = RunDirectory::open(&out.path().join("small/latest")).unwrap();
    assert_eq!(latest.path(), directory);
}

#[test]
fn the_recorded_configuration_repeats_the_run() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().to_str().unwrap();
    let first = start(&["--out", out, "--set", "rates=[2]", "--seeds", "7,3"]).unwrap();
    let config = text(&first.directory, "config.toml");
    assert!(
        config.contains("# Rates to try; a negative one fails.\nrates = [2.0]"),
        "{config}"
    );

    let file = first.directory.join("config.toml");
    let second = start(&["--out", out, "--config", file.to_str().unwrap()]).unwrap();

    assert_ne!(first.directory, second.directory);
    let rows = text(&second.directory, "rows/losses.csv");
    assert_eq!(rows, "rate,seed,loss\n2.0,7,8.0\n2.0,3,4.0\n");
    assert_eq!(rows, text(&first.directory, "rows/losses.csv"));
    let settings = |config: &str| config.split_once("\n\n").unwrap().1.to_owned();
    assert_eq!(
        settings(&text(&second.directory, "config.toml")),
        settings(&config)
    );
}

#[test]
fn a_stopped_run_goes_on_where_it_was() {
    let out = tempfile::tempdir().unwrap();
    let (log, obstacle) = (out.path().join("log"), out.path().join("obstacle"));
    fs::write(&obstacle, "").unwrap();
    let set_log = format!("log={}", log.display());
    let set_obstacle = format!("obstacle={}", obstacle.display());
    let out_path = out.path().to_str().unwrap();
    let stopped = start(&["--out", out_path, "--set", &set_log, "--set", &set_obstacle]);
    let Err(Stopped::Failed { error, directory }) = stopped else {
        panic!("{stopped:?}");
    };
    assert_eq!(error.to_string(), "the obstacle is there");
    let manifest = json(&directory, "manifest.json");
    assert_eq!(manifest["status"], "failed");
    assert_eq!(manifest["error"], "the obstacle is there");
    let report = text(&directory, "report.html");
    assert_balanced(&report);
    assert!(report.contains("<pre>the obstacle is there</pre>"));
    let rows = text(&directory, "rows/losses.csv");

    fs::remove_file(&obstacle).unwrap();
    let finished = start(&["--resume", directory.to_str().unwrap()]).unwrap();

    assert_eq!(finished.directory, directory);
    // Four finished cells are loaded; the two that had failed fail again.
    assert_eq!((finished.cells.loaded, finished.cells.failed), (4, 2));
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 6 + 2);
    assert_eq!(text(&directory, "rows/losses.csv"), rows);
    let manifest = json(&directory, "manifest.json");
    assert_eq!(manifest["status"], "finished");
    assert_eq!(manifest["resumed"], 1);
}

#[test]
fn a_smoke_test_is_small_and_not_the_latest() {
    let out = tempfile::tempdir().unwrap();
    let finished = start(&["--out", out.path().to_str().unwrap(), "--smoke"]).unwrap();
    assert_eq!(finished.cells.finished, 1);
    assert!(text(&finished.directory, "report.html").contains("A smoke test"));
    assert!(!out.path().join("small/latest").exists());
}

/// A mistake is named before anything is computed or written.
#[test]
fn mistakes_leave_nothing_behind() {
    let out = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 5] = [
        (&["--set", "rate=1"], "did you mean `rates`?"),
        (&["--set", "rates=x"], "invalid type: string \"x\""),
        (&["--config", "nowhere.toml"], "nowhere.toml"),
        (&["--resume", "nowhere"], "nowhere"),
        #[cfg(not(feature = "cuda"))]
        (&["--device", "cuda"], "Cargo feature `cuda`"),
        #[cfg(feature = "cuda")]
        (&["--device", "gpu"], "no device `gpu`"),
    ];
    for (arguments, part) in cases {
        let mut arguments = arguments.to_vec();
        if !arguments.contains(&"--resume") {
            arguments.extend(["--out", out.path().to_str().unwrap()]);
        }
        let error = start(&arguments).unwrap_err().to_string();
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn help_shows_the_question_and_the_explained_configuration() {
    let Err(Stopped::CommandLine(help)) = start(&["--help"]) else {
        panic!("help is no run");
    };
    let help = help.to_string();
    for part in [
        "does the runner run?",
        "# Rates to try; a negative one fails.",
        "rates = [0.1, -1.0, inf]",
        "seeds = \"0..2\"",
    ] {
        assert!(help.contains(part), "no {part:?} in\n{help}");
    }
}

#[test]
fn a_panic_outside_of_cells_fails_the_run() {
    let out = tempfile::tempdir().unwrap();
    let experiment = Experiment {
        run: |_| panic!("no luck"),
        ..small()
    };
    let arguments = ["small", "-q", "--out", out.path().to_str().unwrap()];
    let stopped = run(&experiment, arguments).unwrap_err();
    assert!(
        stopped.to_string().contains("panicked: no luck"),
        "{stopped}"
    );
    assert!(stopped.to_string().contains("--resume"), "{stopped}");
}

/// An experiment whose claim is that its number is at most 1.
fn claiming(config: &mut Config) {
    config.rates = vec![0.1];
}

const CLAIM: &str = "\
//! # small: does the runner run?
//!
//! - **Expected:** yes
//! - **Takes:** no time
//! - **Command:** `just exp small`
//! - **Claim:** the loss is at most 1
//! - **Source:** nobody
";

fn start_claim(source: &'static str, arguments: &[&str]) -> Result<Finished, Stopped> {
    let experiment = Experiment {
        source,
        smoke: claiming,
        run: |context| {
            let losses = [(0, 1.0), (1, 2.0)];
            let seeds = context.seeds();
            let losses = losses.into_iter().filter(|(seed, _)| seeds.contains(seed));
            let criterion = Criterion::new("loss", Band::at_most(1.0)).over_seeds(losses);
            Ok(Report::new("It claims").criterion(criterion))
        },
        ..small()
    };
    let quiet = ["small", "-q"].into_iter();
    run(&experiment, quiet.chain(arguments.iter().copied()))
}

#[test]
fn a_claim_that_fails_is_a_result_unless_asked_to_be_strict() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().to_str().unwrap();
    let finished = start_claim(CLAIM, &["--out", out]).unwrap();
    assert_eq!(finished.verdict, Some(Verdict::Fail));
    let summary = json(&finished.directory, "summary.json");
    assert_eq!(summary["claim"]["verdict"], "FAIL");
    assert_eq!(
        summary["claim"]["failures"][0],
        "loss: 2 (seed 1), where ≤ 1 is needed"
    );
    assert!(text(&finished.directory, "report.html").contains("FAIL: the loss is at most 1"));
    assert!(text(&finished.directory, CLAIM_FILE).contains("\"FAIL\""));

    let strict = start_claim(CLAIM, &["--out", out, "--strict"]).unwrap_err();
    assert!(matches!(strict, Stopped::ClaimFailed { .. }), "{strict}");
    let passed = start_claim(CLAIM, &["--out", out, "--strict", "--seeds", "0"]).unwrap();
    assert_eq!(passed.verdict, Some(Verdict::Pass));
}

#[test]
fn criteria_without_a_claim_are_a_mistake() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().to_str().unwrap();
    let error = start_claim(SOURCE, &["--out", out]).unwrap_err();
    assert!(error.to_string().contains("states no claim"), "{error}");
    let finished = start(&["--out", out]).unwrap();
    assert_eq!(finished.verdict, None);
    assert!(!finished.directory.join(CLAIM_FILE).exists());
}
