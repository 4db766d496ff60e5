//! Times ravine and the peers turn and turn about, and prints the ratios.
//!
//! `just bench-peers mlp_small,cnn_small 3`

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use ravine_benches::comparison::{
    Line, OPERATIONS, Provenance, Rig, Statistic, Timed, between_markers, report,
};
use ravine_benches::{Row, workloads};
use std::fs::{OpenOptions, read_to_string, write};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Times ravine and the peers turn and turn about, and prints the ratios.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures, then prints the tables.
    Run(Run),
    /// Prints the tables of a file of measurements.
    Report(Report),
}

#[derive(Args)]
struct Run {
    /// Names separated by commas; `peers` for those of the rig, `all` for ours as well.
    #[arg(long, value_delimiter = ',', default_value = "peers")]
    workloads: Vec<String>,
    /// Rounds; what the file has already is not measured again.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Methods of the rig instead of the usual ones.
    #[arg(long, value_delimiter = ',')]
    methods: Option<Vec<String>>,
    /// Leaves out methods that take long to compile.
    #[arg(long)]
    quick: bool,
    /// Operations, as the rig calls them.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "grad,hvp,ggn,eig10,slq,trace100,trace100_vmap,diag100"
    )]
    ops: Vec<String>,
    /// Threads of either side.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// f32 or f64.
    #[arg(long, default_value = "f32")]
    dtype: String,
    /// Seconds of repetitions for each measurement.
    #[arg(long, default_value_t = 1.5)]
    budget: f64,
    /// Seconds to wait for a quiet machine, for each measurement.
    #[arg(long, default_value_t = 0.0)]
    max_wait: f64,
    /// The interpreter that has the peers.
    #[arg(long, default_value = ".venv-peers/bin/python")]
    python: PathBuf,
    /// The peers' rig.
    #[arg(long, default_value = "benches/peers/bench.py")]
    script: PathBuf,
    #[command(flatten)]
    report: Report,
}

#[derive(Args)]
struct Report {
    /// The file of measurements.
    #[arg(long, default_value = "runs/bench-peers.jsonl")]
    file: PathBuf,
    /// Which figure of a measurement counts: `min` on a busy machine.
    #[arg(long, default_value = "median")]
    statistic: Statistic,
    /// Also writes the tables between the markers of this document.
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    match Options::parse().command {
        Command::Run(run) => {
            measure(&run)?;
            show(&run.report)
        }
        Command::Report(report) => show(&report),
    }
}

fn measure(run: &Run) -> anyhow::Result<()> {
    let names = names(&run.workloads)?;
    let peers = run.methods.clone().unwrap_or_else(|| Rig::peers(run.quick));
    let rig = rig(run)?;
    let file = &run.report.file;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let known = Known::new(if file.exists() {
        read(file)?
    } else {
        Vec::new()
    });
    known.check_settings(run)?;
    append(file, &[provenance(run)])?;
    for round in 0..run.rounds {
        for workload in &names {
            for timed in Timed::turns(workload, &peers) {
                let method = timed.methods()[0];
                let missing = known.missing(timed.operations(&run.ops), (round, workload, method));
                if missing.is_empty() {
                    continue;
                }
                eprintln!("round {}, {workload}, {method}", round + 1);
                let rig = Rig {
                    operations: missing,
                    ..rig.clone()
                };
                append(file, &numbered(rig.time(workload, &timed)?, round))?;
            }
        }
    }
    Ok(())
}

fn provenance(run: &Run) -> Line {
    Line::Provenance {
        provenance: Provenance::ask(&run.python, run.threads, &run.dtype, run.budget),
    }
}

fn names(asked: &[String]) -> anyhow::Result<Vec<String>> {
    let known: Vec<&str> = workloads::names().collect();
    let mut names = Vec::new();
    for name in asked {
        match name.as_str() {
            "all" => names.extend(known.iter().map(|name| name.to_string())),
            "peers" => names.extend(workloads::OF_PEERS.map(String::from)),
            name if known.contains(&name) => names.push(name.to_string()),
            name => anyhow::bail!(
                "there is no workload `{name}`; there are {}",
                known.join(", ")
            ),
        }
    }
    Ok(names)
}

fn rig(run: &Run) -> anyhow::Result<Rig> {
    anyhow::ensure!(
        run.python.exists(),
        "{} is missing: `just bench-peers` installs it, or set PEERS_VENV to an environment that has the peers",
        run.python.display()
    );
    let known = |name: &str| {
        OPERATIONS
            .iter()
            .any(|(op, _)| name.trim_end_matches("_vmap") == *op)
    };
    if let Some(name) = run.ops.iter().find(|name| !known(name)) {
        anyhow::bail!("there is no operation `{name}` in the comparison");
    }
    let ours =
        std::env::current_exe()?.with_file_name(format!("peers{}", std::env::consts::EXE_SUFFIX));
    Ok(Rig {
        ours,
        python: run.python.clone(),
        script: run.script.clone(),
        operations: run.ops.clone(),
        threads: run.threads,
        dtype: run.dtype.clone(),
        budget: run.budget,
        wait: run.max_wait,
    })
}

/// What a file has already.
struct Known(Vec<Row>);

impl Known {
    fn new(lines: Vec<Line>) -> Self {
        let rows = lines.into_iter().filter_map(|line| match line {
            Line::Row(row) => Some(*row),
            Line::Provenance { .. } => None,
        });
        Self(rows.collect())
    }

    /// Times in another dtype or with other threads have no place in the same tables.
    fn check_settings(&self, run: &Run) -> anyhow::Result<()> {
        let other = |row: &&Row| row.dtype != run.dtype || row.threads != run.threads;
        if let Some(row) = self.0.iter().filter(|row| row.round.is_some()).find(other) {
            anyhow::bail!(
                "{} has measurements in {} with {} threads: choose another --file",
                run.report.file.display(),
                row.dtype,
                row.threads
            );
        }
        Ok(())
    }

    /// Operations without a row for this round, workload and method.
    fn missing(&self, mut operations: Vec<String>, turn: (usize, &str, &str)) -> Vec<String> {
        let of_turn = |row: &&Row| {
            (row.round, row.workload.as_str(), row.method.as_str())
                == (Some(turn.0), turn.1, turn.2)
        };
        let has = |op: &String| {
            let mut rows = self.0.iter().filter(of_turn);
            rows.any(|row| row.op == *op || row.op == "*")
        };
        operations.retain(|op| !has(op));
        operations
    }
}

fn numbered(rows: Vec<Row>, round: usize) -> Vec<Line> {
    let numbered = rows.into_iter().map(|row| Row {
        round: Some(round),
        ..row
    });
    numbered.map(|row| Line::Row(Box::new(row))).collect()
}

fn append(file: &Path, lines: &[Line]) -> anyhow::Result<()> {
    let mut out = OpenOptions::new().create(true).append(true).open(file)?;
    for line in lines {
        writeln!(out, "{}", serde_json::to_string(line)?)?;
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Vec<Line>> {
    let text = read_to_string(file).with_context(|| file.display().to_string())?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            serde_json::from_str(line).with_context(|| format!("{}: {line}", file.display()))
        })
        .collect()
}

fn show(options: &Report) -> anyhow::Result<()> {
    let text = report(&read(&options.file)?, options.statistic);
    // a reader such as `head` may have gone away: that is an end, not a panic
    writeln!(std::io::stdout(), "{text}")?;
    if let Some(document) = &options.write {
        let old = read_to_string(document).with_context(|| document.display().to_string())?;
        let new = between_markers(&old, &text)
            .with_context(|| format!("{} has no markers for results", document.display()))?;
        write(document, new)?;
    }
    Ok(())
}
