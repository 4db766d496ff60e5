//! From an experiment's file and a command line to a finished run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use ciborium::Value;
use serde::{Serialize, de::DeserializeOwned};

use crate::cell::{FailedCell, attempt};
use crate::claim::{JudgedClaim, Verdict};
use crate::cli::CommandLine;
use crate::context::{Recorded, Tally};
use crate::exact_json;
use crate::field_docs::FieldDocs;
use crate::header::Header;
use crate::manifest::{Manifest, Status};
use crate::report::{Provenance, Report};
use crate::run_directory::RunDirectory;
use crate::settings::{self, Settings};
use crate::voice::{Voice, show_seconds, start_log};
use crate::{Context, RunOptions};

/// A claim with what decided it, in a run's folder.
pub(crate) const CLAIM_FILE: &str = "claim.json";

/// An experiment: what a file in `src/bin/` declares and hands to [`main`].
#[derive(Clone, Copy, Debug)]
pub struct Experiment<C> {
    /// The text of the experiment's own file, `include_str!("<name>.rs")`.
    ///
    /// Its `//!` header gives name, question, expected answer and duration, and the doc comments of its `Config` explain
    /// the keys; both are shown by `--help` and recorded with every run.
    pub source: &'static str,
    /// Seeds, device and precision unless the command line or a file says otherwise.
    pub options: fn() -> RunOptions,
    /// Shrinks a configuration so that the run finishes in seconds.
    pub smoke: fn(&mut C),
    /// Measures, and tells the story.
    pub run: fn(&Context<C>) -> anyhow::Result<Report>,
}

/// A run that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The run's folder.
    pub directory: PathBuf,
    /// How its cells went. Failed cells are results, not an error of the run.
    pub cells: Tally,
    /// The verdict on the experiment's claim, if it judges one. A claim that fails is a result, not an error of the run.
    pub verdict: Option<Verdict>,
}

/// Why there is no finished run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Stopped {
    /// The command line was not understood, or asked only for help.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    /// The run could not begin.
    #[error("{0:#}")]
    Setup(anyhow::Error),
    /// The experiment returned an error or panicked; its folder can be resumed.
    #[error("{error:#}\n\nthe run can go on from where it was: --resume {}", directory.display())]
    Failed {
        /// What went wrong.
        error: anyhow::Error,
        /// The run's folder.
        directory: PathBuf,
    },
    /// The run finished, its claim failed, and `--strict` asked to make that an error.
    #[error("the claim failed: see {}", directory.join("report.html").display())]
    ClaimFailed {
        /// The run's folder.
        directory: PathBuf,
    },
}

/// Runs `experiment` as the process's command line says; the whole of an experiment's `main`.
///
/// Exits with 0 after a finished run (in which cells or the claim may have failed), with 1 after a failed one (with `--strict` also
/// after one whose claim failed), and with 2 when the
/// command line or a file was not understood.
pub fn main<C>(experiment: Experiment<C>) -> ExitCode
where
    C: Default + Serialize + DeserializeOwned,
{
    match run(&experiment, std::env::args_os()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(Stopped::CommandLine(error)) => {
            // Nothing is left to do when even this cannot be printed.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
        Err(stopped) => {
            eprintln!("error: {stopped}");
            match stopped {
                Stopped::Failed { .. } | Stopped::ClaimFailed { .. } => ExitCode::FAILURE,
                _ => ExitCode::from(2),
            }
        }
    }
}

/// Runs `experiment` with `arguments`, the program's name first, as a test does.
///
/// # Errors
///
/// See [`Stopped`].
pub fn run<C, I>(experiment: &Experiment<C>, arguments: I) -> Result<Finished, Stopped>
where
    C: Default + Serialize + DeserializeOwned,
    I: IntoIterator<Item: Into<OsString> + Clone>,
{
    let header = Header::parse(experiment.source).map_err(Stopped::Setup)?;
    let docs = FieldDocs::parse(experiment.source);
    let defaults = Settings {
        config: C::default(),
        options: (experiment.options)(),
    };
    let shown = defaults
        .to_toml(&header.name, &docs)
        .map_err(Stopped::Setup)?;
    let line = CommandLine::parse_for(&header, &shown, arguments)?;

    let voice = if line.quiet {
        Voice::Quiet
    } else {
        Voice::for_standard_error()
    };
    start_log(&voice, line.verbose);
    let session =
        Session::open(experiment, defaults, header, docs, &line, voice).map_err(Stopped::Setup)?;
    let finished = session.execute(experiment)?;
    match finished.verdict {
        Some(Verdict::Fail) if line.strict => Err(Stopped::ClaimFailed {
            directory: finished.directory,
        }),
        _ => Ok(finished),
    }
}

/// `summary.json`.
#[derive(Serialize)]
struct Summary<'a> {
    experiment: &'a str,
    question: &'a str,
    findings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<&'a JudgedClaim>,
    cells: Tally,
    failures: &'a [FailedCell],
    results: Value,
}

/// One start of a run.
struct Session<C> {
    header: Header,
    context: Context<C>,
    /// `config.toml` as text.
    config: String,
    directory: RunDirectory,
    manifest: Manifest,
    voice: Voice,
    started: Instant,
}

impl<C> Session<C>
where
    C: Default + Serialize + DeserializeOwned,
{
    fn open(
        experiment: &Experiment<C>,
        defaults: Settings<C>,
        header: Header,
        docs: FieldDocs,
        line: &CommandLine,
        voice: Voice,
    ) -> anyhow::Result<Self> {
        let earlier = line.resume.as_deref().map(RunDirectory::open).transpose()?;
        let file = match &earlier {
            Some(directory) => Some(directory.config()),
            None => line.config.clone(),
        };
        let settings = resolve(experiment, defaults, file.as_deref(), &header, &docs, line)?;
        // Before the folder, so that a device that cannot be had leaves none behind.
        let device = settings.options.device.open(settings.options.dtype)?;
        let config = settings.to_toml(&header.name, &docs)?;

        let title = |directory: &RunDirectory| {
            let path = directory.config();
            format!(
                "# Repeats the run: {} --config {}\n\n",
                header.command,
                path.display()
            )
        };
        let (directory, manifest) = match earlier {
            Some(directory) => {
                let (manifest, warning) = Manifest::resume(&directory)?;
                if let Some(warning) = warning {
                    tracing::warn!("{warning}");
                }
                (directory, manifest)
            }
            None => {
                let directory = RunDirectory::create(&line.out, &header.name, &config)?;
                directory.write("config.toml", (title(&directory) + &config).as_bytes())?;
                let options = &settings.options;
                let manifest = Manifest::start(&header.name, &header.question, options, line.smoke);
                (directory, manifest)
            }
        };
        manifest.write(&directory)?;
        // Whoever looks for the latest results does not want a smoke test's.
        if !manifest.smoke {
            directory.mark_latest()?;
        }
        voice.say(&format!("{}: {}", header.name, header.question));
        voice.say(&format!("folder: {}", directory.path().display()));
        let recorded = Recorded {
            experiment: header.name.clone(),
            docs,
            title: title(&directory),
        };
        Ok(Self {
            context: Context::new(settings, device, directory.clone(), voice.clone(), recorded),
            header,
            config,
            directory,
            manifest,
            voice,
            started: Instant::now(),
        })
    }

    fn execute(mut self, experiment: &Experiment<C>) -> Result<Finished, Stopped> {
        let outcome = attempt(|| {
            let report = (experiment.run)(&self.context)?;
            let statement = self.header.statement.as_ref();
            let claim = JudgedClaim::new(statement, report.criteria(), report.remarks())?;
            Ok((report, claim))
        });
        let (report, claim, status) = match outcome {
            Ok((report, claim)) => (report, claim, Status::Finished),
            Err(failure) => {
                let status = Status::Failed {
                    error: failure.message.clone(),
                };
                let report = Report::of_failure(&self.header.name, &failure);
                (report, None, status)
            }
        };
        self.manifest.status = status.clone();
        self.manifest.seconds += self.started.elapsed().as_secs_f64();
        let written = self.write(&report, claim.as_ref());
        self.print(&report, claim.as_ref());

        let failed = |error| Stopped::Failed {
            error,
            directory: self.directory.path().to_path_buf(),
        };
        if let Status::Failed { error } = status {
            return Err(failed(anyhow::Error::msg(error)));
        }
        written.context("writing the results").map_err(failed)?;
        Ok(Finished {
            directory: self.directory.path().to_path_buf(),
            cells: self.context.tally(),
            verdict: claim.map(|claim| claim.verdict),
        })
    }

    /// Rows, summary and report; the manifest comes last, so that a finished run is complete.
    fn write(&self, report: &Report, claim: Option<&JudgedClaim>) -> anyhow::Result<()> {
        report.write_plots(&self.directory)?;
        let failures = self.context.failures();
        self.context.finish_rows()?;
        let summary = Summary {
            experiment: &self.header.name,
            question: &self.header.question,
            findings: report.findings(),
            claim,
            cells: self.context.tally(),
            failures: &failures,
            results: self.context.results(),
        };
        let summary = exact_json::to_string_for_people(&summary)?;
        self.directory.write("summary.json", summary.as_bytes())?;
        if let Some(claim) = claim {
            let text = exact_json::to_string(claim)?;
            self.directory.write(CLAIM_FILE, text.as_bytes())?;
        }
        let html = report.to_html(&Provenance {
            header: &self.header,
            config: self.context.frozen().as_ref().unwrap_or(&self.config),
            manifest: &self.manifest,
            failures: &failures,
            claim,
        })?;
        self.directory.write("report.html", html.as_bytes())?;
        self.manifest.write(&self.directory)
    }

    fn print(&self, report: &Report, claim: Option<&JudgedClaim>) {
        let mut lines = vec![String::new()];
        lines.extend(
            report
                .findings()
                .iter()
                .map(|finding| format!("- {finding}")),
        );
        let cells = self.context.tally();
        if cells.failed > 0 {
            lines.push(format!(
                "{} of {} cells failed: see {}",
                cells.failed,
                cells.failed + cells.finished,
                self.directory.cells().display()
            ));
        }
        lines.push(format!(
            "{} in {}",
            match self.manifest.status {
                Status::Finished => "finished",
                _ => "failed",
            },
            show_seconds(self.manifest.seconds)
        ));
        lines.push(format!("report: {}", self.directory.report().display()));
        lines.extend(claim.into_iter().flat_map(JudgedClaim::lines));
        lines.iter().for_each(|line| self.voice.say(line));
    }
}

/// Defaults, then a file, then `--smoke`, then `--set` and the options: what comes later wins.
fn resolve<C>(
    experiment: &Experiment<C>,
    defaults: Settings<C>,
    file: Option<&Path>,
    header: &Header,
    docs: &FieldDocs,
    line: &CommandLine,
) -> anyhow::Result<Settings<C>>
where
    C: Default + Serialize + DeserializeOwned,
{
    let mut settings = match file {
        Some(file) => settings::read(file, &header.name, &defaults.options, docs)?,
        None => defaults,
    };
    if line.smoke {
        (experiment.smoke)(&mut settings.config);
        settings.options.seeds = settings.options.seeds.first();
    }
    for change in &line.set {
        settings.config = change.apply(&settings.config, docs)?;
    }
    line.partial_options().apply(&mut settings.options);
    Ok(settings)
}

#[cfg(test)]
mod tests;
