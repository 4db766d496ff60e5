//! All claims at once: runs the experiments whose header states a claim, and writes their verdicts to one page.
//!
//! A claim that fails is a result and stands in the table with its reason; an experiment that crashes is an error.

mod page;
mod runs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser;

use crate::atomic;
use crate::claim::Verdict;
use crate::header::Header;
use page::Row;
use runs::{Runs, State};

/// A claim decided by fewer seeds is not published.
const FEWEST_SEEDS: usize = 3;

/// Run every experiment that judges a claim, and write the table of verdicts.
#[derive(Debug, Parser)]
#[command(name = "claims", version, term_width = 100)]
struct CommandLine {
    /// Run these alone; the table takes the others from their latest runs
    names: Vec<String>,

    /// Keep the runs that finished, and go on with those that were interrupted
    #[arg(long)]
    resume: bool,

    /// Run each in its smallest form, to see that everything works; no table is written
    #[arg(long, conflicts_with_all = ["resume", "strict"])]
    smoke: bool,

    /// Exit with 1 when a claim fails, which is a result like any other without this
    #[arg(long)]
    strict: bool,

    /// Put the runs' folders below this one
    #[arg(long, value_name = "DIR", default_value = "runs/claims")]
    out: PathBuf,

    /// The page to write
    #[arg(long, value_name = "FILE", default_value = "docs/claims.md")]
    page: PathBuf,

    /// Where the figures of the claims go
    #[arg(long, value_name = "DIR", default_value = "docs/gallery")]
    gallery: PathBuf,
}

/// Runs the claims as the process's command line says; the whole of the binary `claims`.
pub fn main() -> ExitCode {
    match execute(&CommandLine::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn execute(line: &CommandLine) -> anyhow::Result<ExitCode> {
    let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin");
    let headers = stated(&experiments)?;
    if let Some(unknown) = line
        .names
        .iter()
        .find(|name| headers.iter().all(|header| header.name != **name))
    {
        let known: Vec<&str> = headers.iter().map(|header| header.name.as_str()).collect();
        bail!(
            "no experiment `{unknown}` judges a claim; these do: {}",
            known.join(", ")
        );
    }
    let runs = Runs::new(line.out.clone(), line.smoke);
    let mut rows = Vec::new();
    for header in &headers {
        let wanted = line.names.is_empty() || line.names.contains(&header.name);
        if wanted {
            start(&runs, header, line)?;
        }
        let row = row(&runs, header)?;
        if wanted {
            println!("{row}");
        }
        rows.push(row);
    }
    let chosen = |row: &&Row| line.names.is_empty() || line.names.contains(&row.name);
    let crashed = rows.iter().filter(chosen).any(|row| row.judged.is_err());
    let failed = rows
        .iter()
        .filter(chosen)
        .any(|row| matches!(&row.judged, Ok(judged) if judged.claim.verdict == Verdict::Fail));
    if !line.smoke {
        publish(line, &rows)?;
    }
    Ok(match crashed || (failed && line.strict) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// Runs an experiment anew, goes on with it, or leaves it as it is.
fn start(runs: &Runs, header: &Header, line: &CommandLine) -> anyhow::Result<()> {
    match runs.latest(&header.name)? {
        State::Finished(_) if line.resume => Ok(()),
        State::Interrupted(folder) if line.resume => runs.go_on(&header.name, &folder),
        _ => runs.begin(&header.name),
    }
}

fn row(runs: &Runs, header: &Header) -> anyhow::Result<Row> {
    let judged = match runs.latest(&header.name)? {
        State::Finished(folder) => runs::read(&folder).and_then(|judged| {
            let seeds = judged.manifest.options.seeds.values().len();
            anyhow::ensure!(
                judged.manifest.smoke || seeds >= FEWEST_SEEDS,
                "it ran with {seeds} seed(s), and a claim takes {FEWEST_SEEDS}"
            );
            Ok(judged)
        }),
        State::Interrupted(folder) => Err(anyhow::anyhow!(
            "it did not finish: see {}",
            folder.display()
        )),
        State::Missing => Err(anyhow::anyhow!("it has not been run")),
    };
    Ok(Row {
        name: header.name.clone(),
        statement: header.statement.clone().context("only claims are listed")?,
        judged,
    })
}

/// The headers of the experiments that state a claim, by name.
fn stated(folder: &Path) -> anyhow::Result<Vec<Header>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut headers = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = fs::read_to_string(&path)?;
        let header = Header::parse(&source).with_context(|| format!("{}", path.display()))?;
        if header.statement.is_some() {
            headers.push(header);
        }
    }
    headers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(headers)
}

/// The page, and a figure for each claim beside it.
fn publish(line: &CommandLine, rows: &[Row]) -> anyhow::Result<()> {
    for row in rows {
        let Ok(judged) = &row.judged else { continue };
        let figure = fs::read(&judged.figure)?;
        let path = line.gallery.join(format!("{}.svg", row.name));
        atomic::write(&path, &figure).with_context(|| format!("writing {}", path.display()))?;
    }
    let text = page::page(rows, &page::link(&line.page, &line.gallery));
    atomic::write(&line.page, text.as_bytes())
        .with_context(|| format!("writing {}", line.page.display()))?;
    println!("wrote {}", line.page.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn claims_are_found_by_their_headers() {
        let folder = tempfile::tempdir().unwrap();
        let plain =
            "//! # b: why?\n//!\n//! - **Expected:** x\n//! - **Takes:** y\n//! - **Command:** z\n";
        let claim = plain.replace("# b", "# a") + "//! - **Claim:** c\n//! - **Source:** s\n";
        fs::write(folder.path().join("b.rs"), plain).unwrap();
        fs::write(folder.path().join("a.rs"), claim).unwrap();
        fs::write(folder.path().join("notes.txt"), "").unwrap();
        let headers = stated(folder.path()).unwrap();
        assert_eq!(headers.len(), 1);
        assert_eq!(headers[0].name, "a");
    }

    #[test]
    fn every_experiment_of_this_package_can_be_read() {
        let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin");
        let headers = stated(&experiments).unwrap();
        assert!(headers.iter().any(|header| header.name == "taylor"));
    }
}
