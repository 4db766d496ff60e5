//! The runner of ravine's experiments.
//!
//! An experiment is one file in `src/bin/`: a header that says what it asks, a configuration, and a function that
//! measures and tells the story. The runner does the rest: the command line, the device, the run's folder, progress,
//! resuming, rows, plots and the report.
//!
//! ```no_run
//! // //! # slope: how steep is a parabola?
//! // //!
//! // //! - **Expected:** twice as far from the minimum, twice as steep
//! // //! - **Takes:** no time
//! // //! - **Command:** `just exp slope`
//! use std::process::ExitCode;
//!
//! use ravine_experiments::{Axis, Context, Experiment, Plot, Report, RunOptions};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Config {
//!     /// Distances from the minimum.
//!     distances: Vec<f64>,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Self { distances: vec![1.0, 2.0, 4.0] }
//!     }
//! }
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! struct Slope {
//!     distance: f64,
//!     slope: f64,
//! }
//!
//! fn run(context: &Context<Config>) -> anyhow::Result<Report> {
//!     let mut plot = Plot::new("Slope", Axis::log("distance"), Axis::log("slope"));
//!     let mut points = Vec::new();
//!     for &distance in &context.config().distances {
//!         let cell = context.cell(format!("distance={distance}"), || {
//!             Ok(Slope { distance, slope: 2.0 * distance })
//!         })?;
//!         let Ok(slope) = cell else { continue };
//!         context.row("slopes", &slope)?;
//!         points.push((slope.distance, slope.slope));
//!     }
//!     plot = plot.line("parabola", points);
//!     Ok(Report::new("A parabola is as steep as it is far").plot(plot))
//! }
//!
//! fn main() -> ExitCode {
//!     ravine_experiments::main(Experiment {
//!         source: "..", // include_str!("slope.rs")
//!         options: RunOptions::default,
//!         smoke: |config: &mut Config| config.distances.truncate(1),
//!         run,
//!     })
//! }
//! ```
//!
//! # A run's folder
//!
//! | file | what it holds |
//! |---|---|
//! | `config.toml` | the configuration and, in `[run]`, the options; `--config` with this file repeats the run |
//! | `manifest.json` | commit, versions, device, seeds, times, and how the run ended |
//! | `cells/*.json` | finished measurements, loaded by `--resume` |
//! | `rows/*.csv` | one flat row for each measurement, and the data of each plot |
//! | `plots/*.svg` | each plot on its own |
//! | `summary.json` | findings and results, and the verdict on a claim |
//! | `claim.json` | a claim with the numbers that decided it, where the experiment judges one |
//! | `report.html` | the story, in one file without scripts or network |
//!
//! Every file is written whole or not at all, so a run that is killed can be resumed.

/// The allocator of every binary that links this library: large vectors are kept for the next call.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod atomic;
mod cell;
mod claim;
pub mod claims;
mod cli;
pub mod compare;
mod context;
mod device;
mod digits;
mod exact_json;
mod experiment;
mod field_docs;
mod header;
mod manifest;
mod objective;
pub mod one_point;
mod options;
mod outcome;
mod overrides;
mod plot;
mod progress;
mod report;
mod rows;
mod run_directory;
mod seeds;
mod settings;
mod significant;
mod utc;
mod voice;
mod workers;

pub use cell::{Failure, FailureKind};
pub use claim::{Band, Criterion, Verdict};
pub use context::{Context, Tally};
pub use device::DeviceChoice;
pub use digits::{DigitsConfig, DigitsObjective, DigitsProblem};
pub use experiment::{Experiment, Finished, Stopped, main, run};
pub use options::{CurvatureDtype, Dtype, Hvp, RunOptions};
pub use outcome::{Outcome, log_slope, median};
pub use plot::{Axis, Plot, Series};
pub use progress::Progress;
pub use report::{Best, Entry, Report, Table};
pub use seeds::Seeds;
pub use significant::significant;
pub use workers::Work;
