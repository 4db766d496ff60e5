//! The cells of a run: measurements that are taken once and kept.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::run_directory::fnv1a;
use crate::{atomic, exact_json};

/// A cell that gave no value: what a row says about a method that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The error with its causes, or what the panic said.
    pub message: String,
    /// Whether the cell returned an error or panicked.
    pub kind: FailureKind,
}

/// How a cell failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureKind {
    /// The cell returned an error.
    Error,
    /// The cell panicked.
    Panic,
}

/// A cell that failed, by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FailedCell {
    pub(crate) cell: String,
    pub(crate) message: String,
}

/// What is kept of a cell.
#[derive(Debug, Serialize, Deserialize)]
struct Record<T> {
    cell: String,
    seconds: f64,
    outcome: Outcome<T>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<T> {
    Finished(T),
    Failed(Failure),
}

/// A cell's outcome and what it took.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) outcome: Result<T, Failure>,
    pub(crate) seconds: f64,
    pub(crate) origin: Origin,
}

/// Where an outcome comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Measured,
    Loaded,
}

/// The folder of the cells, one file each.
#[derive(Debug)]
pub(crate) struct CellStore {
    folder: PathBuf,
    names: RefCell<HashSet<String>>,
}

impl CellStore {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            names: RefCell::default(),
        }
    }

    /// The outcome of the cell `name`: loaded if it has finished before, else measured by `work` and kept.
    ///
    /// A cell that failed before is measured again. Errors are about the files and the name; what goes wrong in `work`
    /// is an outcome.
    pub(crate) fn take<T>(
        &self,
        name: &str,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<Taken<T>>
    where
        T: Serialize + DeserializeOwned,
    {
        if let Some(taken) = self.enter(name)? {
            return Ok(taken);
        }
        let started = Instant::now();
        let outcome = attempt(work);
        self.keep(name, outcome, started.elapsed().as_secs_f64())
    }

    /// Claims the name, and loads the cell if it has finished before.
    pub(crate) fn enter<T: DeserializeOwned>(
        &self,
        name: &str,
    ) -> anyhow::Result<Option<Taken<T>>> {
        ensure!(
            self.names.borrow_mut().insert(name.to_owned()),
            "two cells are called `{name}`: name a cell after everything that it depends on"
        );
        load(&self.folder.join(file_name(name)), name)
    }

    /// Writes what was measured, wherever that was.
    pub(crate) fn keep<T>(
        &self,
        name: &str,
        outcome: Result<T, Failure>,
        seconds: f64,
    ) -> anyhow::Result<Taken<T>>
    where
        T: Serialize + DeserializeOwned,
    {
        let record = Record {
            cell: name.to_owned(),
            seconds,
            outcome: match outcome {
                Ok(value) => Outcome::Finished(value),
                Err(failure) => Outcome::Failed(failure),
            },
        };
        let path = self.folder.join(file_name(name));
        let text = exact_json::to_string(&record).with_context(|| format!("cell `{name}`"))?;
        atomic::write(&path, text.as_bytes())
            .with_context(|| format!("writing {}", path.display()))?;
        // What was written is read, so that a resumed run sees exactly what this one sees.
        let record = parse(&text, &path)?;
        Ok(record.into_taken(Origin::Measured))
    }
}

impl<T> Record<T> {
    fn into_taken(self, origin: Origin) -> Taken<T> {
        Taken {
            outcome: match self.outcome {
                Outcome::Finished(value) => Ok(value),
                Outcome::Failed(failure) => Err(failure),
            },
            seconds: self.seconds,
            origin,
        }
    }
}

/// The cell at `path`, if it is there and has finished.
fn load<T: DeserializeOwned>(path: &Path, name: &str) -> anyhow::Result<Option<Taken<T>>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
    };
    let record: Record<T> = parse(&text, path)?;
    ensure!(
        record.cell == name,
        "{} holds the cell `{}`, not `{name}`",
        path.display(),
        record.cell
    );
    let taken = record.into_taken(Origin::Loaded);
    Ok(taken.outcome.is_ok().then_some(taken))
}

fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> anyhow::Result<Record<T>> {
    exact_json::from_str(text).with_context(|| {
        format!(
            "{} does not hold what this cell returns; delete it to measure the cell again",
            path.display()
        )
    })
}

/// Runs `work`; an error or a panic becomes a failure.
pub(crate) fn attempt<T>(work: impl FnOnce() -> anyhow::Result<T>) -> Result<T, Failure> {
    // What `work` captured is not used again by the runner after a panic.
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure {
            message: format!("{error:#}"),
            kind: FailureKind::Error,
        }),
        Err(payload) => Err(Failure {
            message: format!("panicked: {}", panic_message(payload.as_ref())),
            kind: FailureKind::Panic,
        }),
    }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

/// A file name that every file system takes; different for different cells.
fn file_name(cell: &str) -> String {
    const LONGEST: usize = 100;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_=+.,".contains(c);
    let safe: String = cell
        .chars()
        .map(|c| if allowed(c) { c } else { '_' })
        .take(LONGEST)
        .collect();
    // Upper and lower case are one on some systems, so the hash is always there.
    format!("{safe}-{:08x}.json", fnv1a(cell.as_bytes()) as u32)
}

#[cfg(test)]
mod tests {
    use anyhow::{anyhow, bail};

    use super::*;

    fn store(folder: &Path) -> CellStore {
        CellStore::new(folder.join("cells"))
    }

    #[test]
    fn a_finished_cell_is_loaded_instead_of_run() {
        let folder = tempfile::tempdir().unwrap();
        let first = store(folder.path())
            .take("method=sgd/seed=3", || Ok(vec![0.5, f64::NAN]))
            .unwrap();
        assert_eq!(first.origin, Origin::Measured);

        let second: Taken<Vec<f64>> = store(folder.path())
            .take("method=sgd/seed=3", || panic!("not again"))
            .unwrap();

        assert_eq!(second.origin, Origin::Loaded);
        assert_eq!(second.seconds, first.seconds);
        let values = second.outcome.unwrap();
        assert_eq!(values[0], 0.5);
        assert!(values[1].is_nan());
    }

    #[test]
    fn a_failure_is_an_outcome_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let failed = store(folder.path())
            .take::<f64>("a", || Err(anyhow!("cause").context("effect")))
            .unwrap();
        let failure = failed.outcome.unwrap_err();
        assert_eq!(failure.message, "effect: cause");
        assert_eq!(failure.kind, FailureKind::Error);
        assert_eq!(anyhow::Error::from(failure).to_string(), "effect: cause");

        let again = store(folder.path()).take("a", || Ok(1.0)).unwrap();
        assert_eq!(again.outcome, Ok(1.0));
        assert_eq!(again.origin, Origin::Measured);
    }

    #[test]
    fn a_panic_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let taken = store(folder.path()).take::<()>("a", || panic!("no {}", "luck"));
        let failure = taken.unwrap().outcome.unwrap_err();
        assert_eq!(failure.message, "panicked: no luck");
        assert_eq!(failure.kind, FailureKind::Panic);
    }

    #[test]
    fn two_cells_of_one_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        store.take("a", || Ok(1)).unwrap();
        let error = store.take("a", || Ok(2)).unwrap_err().to_string();
        assert!(error.contains("two cells are called `a`"), "{error}");
    }

    #[test]
    fn a_file_that_holds_something_else_is_named() {
        let folder = tempfile::tempdir().unwrap();
        store(folder.path()).take("a", || Ok(1.5)).unwrap();
        let error = store(folder.path())
            .take::<Vec<String>>("a", || bail!("must not run"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("delete it to measure"), "{error}");
    }

    #[test]
    fn file_names_differ_and_are_safe() {
        let names = [
            "a/b",
            "a_b",
            "a b",
            "A/b",
            &"x".repeat(300),
            &"x".repeat(301),
        ];
        let files: HashSet<String> = names.iter().map(|name| file_name(name)).collect();
        assert_eq!(files.len(), names.len());
        assert!(
            files
                .iter()
                .all(|file| file.len() <= 120 && !file.contains(['/', ' ']))
        );
    }
}
