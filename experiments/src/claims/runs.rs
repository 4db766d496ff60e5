//! The runs of the claims: starting them, going on with them, and reading what they left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::claim::JudgedClaim;
use crate::exact_json;
use crate::experiment::CLAIM_FILE;
use crate::manifest::{Manifest, Status};

/// Where the runs are, and of which kind they are.
#[derive(Debug)]
pub(super) struct Runs {
    out: PathBuf,
    smoke: bool,
}

/// The newest run of an experiment.
#[derive(Debug, PartialEq)]
pub(super) enum State {
    Missing,
    /// It was cut off or failed, and can go on.
    Interrupted(PathBuf),
    Finished(PathBuf),
}

/// What a finished run says of its claim.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) claim: JudgedClaim,
    pub(super) manifest: Manifest,
    pub(super) figure: PathBuf,
}

impl Runs {
    pub(super) fn new(out: PathBuf, smoke: bool) -> Self {
        Self { out, smoke }
    }

    /// The newest run of this kind.
    pub(super) fn latest(&self, experiment: &str) -> anyhow::Result<State> {
        let folder = self.out.join(experiment);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Missing),
            Err(error) => return Err(error).with_context(|| format!("{}", folder.display())),
        };
        let mut newest: Option<(PathBuf, Status)> = None;
        for entry in entries {
            let entry = entry?;
            // `latest` is a link to one of the others
            if entry.file_name() == "latest" || !entry.path().is_dir() {
                continue;
            }
            let path = entry.path();
            let Ok(manifest) = manifest(&path) else {
                continue;
            };
            let newer = newest.as_ref().is_none_or(|(known, _)| path > *known);
            if manifest.smoke == self.smoke && newer {
                newest = Some((path, manifest.status));
            }
        }
        Ok(match newest {
            None => State::Missing,
            Some((path, Status::Finished)) => State::Finished(path),
            Some((path, _)) => State::Interrupted(path),
        })
    }

    /// Runs an experiment from its beginning.
    pub(super) fn begin(&self, experiment: &str) -> anyhow::Result<()> {
        let mut command = command(experiment)?;
        command.arg("--out").arg(&self.out);
        if self.smoke {
            command.args(["--smoke", "--quiet"]);
        }
        finish(command, experiment)
    }

    /// Goes on with an interrupted run.
    pub(super) fn go_on(&self, experiment: &str, folder: &Path) -> anyhow::Result<()> {
        let mut command = command(experiment)?;
        command.arg("--resume").arg(folder);
        finish(command, experiment)
    }
}

/// The experiment's binary, which lies beside this one.
fn command(experiment: &str) -> anyhow::Result<Command> {
    let own = std::env::current_exe().context("the path of this program")?;
    let name = format!("{experiment}{}", std::env::consts::EXE_SUFFIX);
    Ok(Command::new(own.with_file_name(name)))
}

/// Waits for the run. That it failed is seen by what it left.
fn finish(mut command: Command, experiment: &str) -> anyhow::Result<()> {
    let status = command.status().with_context(|| {
        format!("starting `{experiment}`; build it with `cargo build --workspace --bins`")
    })?;
    if !status.success() {
        eprintln!("{experiment}: {status}");
    }
    Ok(())
}

fn manifest(run: &Path) -> anyhow::Result<Manifest> {
    let text = fs::read_to_string(run.join("manifest.json"))?;
    Ok(serde_json::from_str(&text)?)
}

/// The claim of a finished run.
///
/// # Errors
///
/// When its files are not there or hold something else.
pub(super) fn read(run: &Path) -> anyhow::Result<Judged> {
    let path = run.join(CLAIM_FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    Ok(Judged {
        claim: exact_json::from_str(&text).with_context(|| format!("{}", path.display()))?,
        manifest: manifest(run)?,
        figure: figure(run)?,
    })
}

/// The first plot of a run.
fn figure(run: &Path) -> anyhow::Result<PathBuf> {
    let plots = run.join("plots");
    let entries = fs::read_dir(&plots).with_context(|| format!("{}", plots.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        found.push(entry?.path());
    }
    found.sort();
    found
        .into_iter()
        .next()
        .with_context(|| format!("{} holds no plot", plots.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunOptions;

    fn leave(out: &Path, run: &str, status: Status, smoke: bool) -> PathBuf {
        let mut manifest = Manifest::start("a", "why?", &RunOptions::default(), smoke);
        manifest.status = status;
        let folder = out.join("a").join(run);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("manifest.json"), manifest.to_json().unwrap()).unwrap();
        folder
    }

    #[test]
    fn the_newest_run_of_the_kind_counts() {
        let out = tempfile::tempdir().unwrap();
        let runs = |smoke| Runs::new(out.path().to_owned(), smoke);
        assert_eq!(runs(false).latest("a").unwrap(), State::Missing);
        let first = leave(out.path(), "1", Status::Finished, false);
        assert_eq!(
            runs(false).latest("a").unwrap(),
            State::Finished(first.clone())
        );
        let smoke = leave(out.path(), "2", Status::Finished, true);
        assert_eq!(runs(true).latest("a").unwrap(), State::Finished(smoke));
        assert_eq!(runs(false).latest("a").unwrap(), State::Finished(first));
        let cut_off = leave(out.path(), "3", Status::Running, false);
        assert_eq!(
            runs(false).latest("a").unwrap(),
            State::Interrupted(cut_off)
        );
    }

    #[test]
    fn a_run_without_its_files_is_an_error() {
        let out = tempfile::tempdir().unwrap();
        let folder = leave(out.path(), "1", Status::Finished, false);
        let error = format!("{:#}", read(&folder).unwrap_err());
        assert!(error.contains("claim.json"), "{error}");
    }
}
