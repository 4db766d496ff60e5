//! The command line that every experiment has.

use std::path::PathBuf;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser};

use crate::header::Header;
use crate::overrides::Override;
use crate::settings::PartialOptions;
use crate::{CurvatureDtype, DeviceChoice, Dtype, Hvp, Seeds};

/// The options of an experiment.
#[derive(Debug, Parser)]
#[command(version, term_width = 100)]
pub(crate) struct CommandLine {
    /// Set one key of the configuration; repeat for more. Keys are dotted, values are TOML
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<Override>,

    /// Read the configuration from a TOML file; the `config.toml` of a run repeats that run
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Repeat the measurements with these seeds: `0..5`, `3` or `0,2,7`
    #[arg(long)]
    pub(crate) seeds: Option<Seeds>,

    /// Compute on flex, ndarray, cuda (or cuda:1 ..) or wgpu; the last two need a build with that Cargo feature
    #[arg(long)]
    pub(crate) device: Option<DeviceChoice>,

    /// The dtype of the model's parameters and data
    #[arg(long, value_enum)]
    pub(crate) dtype: Option<Dtype>,

    /// How Hessian-vector products are executed
    #[arg(long, value_enum)]
    pub(crate) hvp: Option<Hvp>,

    /// The dtype in which curvature is evaluated
    #[arg(long, value_enum)]
    pub(crate) curvature_dtype: Option<CurvatureDtype>,

    /// Put the run's folder below this one
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) out: PathBuf,

    /// Go on with the run in this folder: finished cells are loaded, failed and missing ones are run
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with_all = ["set", "config", "seeds", "device", "dtype", "hvp", "curvature_dtype", "out", "smoke"],
    )]
    pub(crate) resume: Option<PathBuf>,

    /// Run a tiny configuration that finishes in seconds, to see that everything works
    #[arg(long)]
    pub(crate) smoke: bool,

    /// Exit with 1 when the experiment's claim fails, which is a result like any other without this
    #[arg(long)]
    pub(crate) strict: bool,

    /// Print nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Log more: -v for what happens, -vv for details, -vvv for everything (or set RAVINE_LOG)
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl CommandLine {
    /// Reads `arguments`, the program's name first.
    ///
    /// # Errors
    ///
    /// What clap has to say: a mistake, or the help or version that was asked for.
    pub(crate) fn parse_for<I>(
        header: &Header,
        defaults: &str,
        arguments: I,
    ) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item: Into<std::ffi::OsString> + Clone>,
    {
        let matches = Self::command()
            .name(header.name.clone())
            .about(header.question.clone())
            .long_about(long_about(header))
            .after_help("Use --help for the configuration and examples.")
            .after_long_help(after_help(header, defaults))
            .try_get_matches_from(arguments)?;
        Self::from_arg_matches(&matches)
    }

    /// What the command line says about the run's options.
    pub(crate) fn partial_options(&self) -> PartialOptions {
        PartialOptions {
            experiment: None,
            seeds: self.seeds.clone(),
            device: self.device,
            dtype: self.dtype,
            hvp: self.hvp,
            curvature_dtype: self.curvature_dtype,
        }
    }
}

fn long_about(header: &Header) -> String {
    let mut text = format!("{}: {}\n", header.name, header.question);
    for paragraph in &header.background {
        text.push_str(&format!("\n{paragraph}\n"));
    }
    text.push_str(&format!(
        "\nExpected: {}\nTakes:    {}\nCommand:  {}",
        header.expected, header.takes, header.command
    ));
    if let Some(statement) = &header.statement {
        text.push_str(&format!(
            "\nClaim:    {}\nSource:   {}",
            statement.claim, statement.source
        ));
    }
    text
}

fn after_help(header: &Header, defaults: &str) -> String {
    let indented: String = defaults
        .lines()
        .map(|line| format!("  {line}\n").replace("  \n", "\n"))
        .collect();
    let name = &header.name;
    format!(
        "The configuration (change keys with --set, or copy the ones to change into a file for --config):

{indented}
Examples:
{}
A run leaves a folder runs/{name}/<time>-<hash>/ with config.toml, manifest.json, rows/*.csv,
summary.json, plots/*.svg and report.html.",
        examples(header)
    )
}

fn examples(header: &Header) -> String {
    let Header { name, command, .. } = header;
    let resume = format!("--resume runs/{name}/latest");
    let examples = [
        ("--smoke", "does it work here?"),
        ("--seeds 0..5", "five repetitions"),
        ("--set key=value", "another value for a key above"),
        ("--set table.key=value", "the same for a key in a table"),
        ("--config my.toml", "many values at once"),
        (
            &resume,
            "go on after an interruption, or draw the report again",
        ),
    ];
    let mut text = String::new();
    for (options, meaning) in examples {
        text.push_str(&format!("  # {meaning}\n  {command} {options}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header::parse(
            "//! # taylor: how far?\n//!\n//! Because.\n//!\n//! - **Expected:** third order\n\
             //! - **Takes:** 20 s\n//! - **Command:** `just exp taylor`\n",
        )
        .unwrap()
    }

    fn parsed(arguments: &[&str]) -> Result<CommandLine, clap::Error> {
        let arguments = ["taylor"].into_iter().chain(arguments.iter().copied());
        CommandLine::parse_for(&header(), "# How many.\nsteps = 3\n", arguments)
    }

    #[test]
    fn the_definition_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn options_of_a_run() {
        let line = parsed(&[
            "--set",
            "a=1",
            "--set",
            "b.c=2",
            "--seeds",
            "0..3",
            "--device",
            "ndarray",
            "--dtype",
            "f64",
            "--hvp",
            "tape",
            "--curvature-dtype",
            "f64",
            "-vv",
        ])
        .unwrap();
        assert_eq!(line.set.len(), 2);
        assert_eq!(line.verbose, 2);
        let options = line.partial_options();
        assert_eq!(options.seeds.unwrap().values(), [0, 1, 2]);
        assert_eq!(options.device, Some(DeviceChoice::Ndarray));
        assert_eq!(options.dtype, Some(Dtype::F64));
        assert_eq!(options.hvp, Some(Hvp::Tape));
        assert_eq!(options.curvature_dtype, Some(CurvatureDtype::F64));
    }

    #[test]
    fn help_teaches() {
        let help = parsed(&["--help"]).unwrap_err().to_string();
        for part in [
            "how far?",
            "Because.",
            "third order",
            "20 s",
            "  # How many.\n  steps = 3",
            "--set table.key=value",
            "just exp taylor --smoke",
            "report.html",
            "--curvature-dtype",
        ] {
            assert!(help.contains(part), "no {part:?} in\n{help}");
        }
    }

    #[test]
    fn contradictions_and_mistakes_are_refused() {
        for arguments in [
            &["--resume", "x", "--seeds", "3"][..],
            &["--resume", "x", "--out", "y"],
            &["-q", "-v"],
            &["--device", "gpu"],
            &["--seeds", "5..0"],
            &["--set", "steps"],
            &["--dtype", "f16"],
        ] {
            assert_eq!(
                parsed(arguments).unwrap_err().exit_code(),
                2,
                "{arguments:?}"
            );
        }
    }
}
