use super::{OURS, PEERS};
use crate::row::Row;
use crate::workloads;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How both sides are run: the same operations, threads, dtype and budget.
#[derive(Clone, Debug)]
pub struct Rig {
    /// The program that times ravine.
    pub ours: PathBuf,
    /// The interpreter that has the peers.
    pub python: PathBuf,
    /// The peers' rig.
    pub script: PathBuf,
    /// Operations.
    pub operations: Vec<String>,
    /// Threads.
    pub threads: usize,
    /// `f32` or `f64`.
    pub dtype: String,
    /// Seconds of repetitions for each measurement.
    pub budget: f64,
    /// Seconds to wait for a quiet machine, for each measurement.
    pub wait: f64,
}

/// Who is timed in one turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timed {
    /// Ravine, in all executions.
    Ours,
    /// A method of the rig.
    Peer(String),
}

impl Timed {
    /// The turns of one round on a workload: ours, then each peer that can build it.
    pub fn turns(workload: &str, peers: &[String]) -> Vec<Self> {
        let known = workloads::OF_PEERS.contains(&workload);
        let peers = peers.iter().filter(|_| known).cloned().map(Timed::Peer);
        std::iter::once(Timed::Ours).chain(peers).collect()
    }

    /// What the turn measures of these operations: that probe vectors are taken together is another method of the peers, not of ours.
    pub fn operations(&self, asked: &[String]) -> Vec<String> {
        let mut operations = Vec::<String>::new();
        for name in asked {
            let name = match self {
                Timed::Ours => name.trim_end_matches("_vmap"),
                Timed::Peer(_) => name,
            };
            if !operations.iter().any(|known| known == name) {
                operations.push(name.to_string());
            }
        }
        operations
    }

    /// Methods of the rows that the turn gives.
    pub fn methods(&self) -> Vec<&str> {
        match self {
            Timed::Ours => OURS.to_vec(),
            Timed::Peer(name) => vec![name],
        }
    }
}

impl Rig {
    /// All peers but those that take long to compile, where time is short.
    pub fn peers(quick: bool) -> Vec<String> {
        let slow = |name: &&str| name.starts_with("torch_compile");
        let peers = PEERS.iter().filter(|name| !(quick && slow(name)));
        peers.map(|name| name.to_string()).collect()
    }

    /// Times one turn in a process of its own. Whatever goes wrong is a row with an error.
    ///
    /// # Errors
    ///
    /// Only if files or processes cannot be made at all.
    pub fn time(&self, workload: &str, timed: &Timed) -> io::Result<Vec<Row>> {
        let (rows, failure) = match timed {
            Timed::Ours => self.time_ours(workload)?,
            Timed::Peer(method) => self.time_peer(workload, method)?,
        };
        let unreadable = |row: Row| match (&row.error, row.workload.is_empty()) {
            (Some(message), true) => self.failure(workload, timed, message.clone()),
            _ => row,
        };
        let mut rows: Vec<Row> = rows.into_iter().map(unreadable).collect();
        rows.extend(failure.map(|message| self.failure(workload, timed, message)));
        Ok(rows)
    }

    fn time_ours(&self, workload: &str) -> io::Result<(Vec<Row>, Option<String>)> {
        let operations = Timed::Ours.operations(&self.operations);
        let ours = self
            .pinned(&self.ours)
            .args(["--workload", workload])
            .args(self.arguments(operations))
            .env("RAYON_NUM_THREADS", self.threads.to_string())
            .stderr(Stdio::inherit())
            .output()?;
        let failure = (!ours.status.success()).then(|| ours.status.to_string());
        Ok((rows(&String::from_utf8_lossy(&ours.stdout)), failure))
    }

    fn time_peer(&self, workload: &str, method: &str) -> io::Result<(Vec<Row>, Option<String>)> {
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("rows.jsonl");
        let rig = Command::new(&self.python)
            .arg(&self.script)
            .args(["run", "--workload", workload, "--method", method])
            .args(self.arguments(self.operations.clone()))
            .arg("--out")
            .arg(&out)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .status()?;
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        let failure = (!rig.success()).then(|| format!("the rig ended with {rig}"));
        let log = std::fs::read_to_string(folder.path().join("rows.jsonl.log"));
        let rows = rows(&text).into_iter();
        let explained = rows.map(|row| explained(row, log.as_deref().unwrap_or_default()));
        Ok((explained.collect(), failure))
    }

    fn arguments(&self, operations: Vec<String>) -> Vec<String> {
        let pairs = [
            ("--ops", operations.join(",")),
            ("--threads", self.threads.to_string()),
            ("--dtype", self.dtype.clone()),
            ("--budget", self.budget.to_string()),
            ("--max-wait", self.wait.to_string()),
        ];
        let flat = pairs.map(|(name, value)| [name.to_string(), value]);
        flat.into_iter().flatten().collect()
    }

    /// The program on the processors that the rig takes for the peers: the first ones that this process may use.
    fn pinned(&self, program: &Path) -> Command {
        match first_processors(self.threads).filter(|_| taskset_exists()) {
            Some(list) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &list]).arg(program);
                command
            }
            None => Command::new(program),
        }
    }

    fn failure(&self, workload: &str, timed: &Timed, message: String) -> Row {
        Row {
            workload: workload.to_string(),
            method: timed.methods()[0].to_string(),
            dtype: self.dtype.clone(),
            threads: self.threads,
            op: "*".to_string(),
            error: Some(message),
            ..Row::default()
        }
    }
}

fn rows(text: &str) -> Vec<Row> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(row).collect()
}

/// A line that is no row, such as one with a NaN, is kept as an error.
fn row(line: &str) -> Row {
    serde_json::from_str(line).unwrap_or_else(|error| Row {
        error: Some(format!("not a row ({error}): {line}")),
        ..Row::default()
    })
}

/// Where nothing could be run at all, the rig's log says why: the last line of Python's traceback.
fn explained(mut row: Row, log: &str) -> Row {
    if let (Some(error), "*") = (&mut row.error, row.op.as_str()) {
        let last = log.lines().rfind(|line| !line.trim().is_empty());
        *error = format!("{error}: {}", last.unwrap_or("no log").trim());
    }
    row
}

fn taskset_exists() -> bool {
    let asked = Command::new("taskset").arg("--version").output();
    asked.is_ok_and(|output| output.status.success())
}

fn first_processors(count: usize) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut processors = expand(list.trim())?;
    processors.truncate(count);
    let names: Vec<String> = processors.iter().map(usize::to_string).collect();
    Some(names.join(","))
}

/// `0-2,5` as 0, 1, 2, 5.
fn expand(list: &str) -> Option<Vec<usize>> {
    let mut processors = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        processors.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(processors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        assert_eq!(expand("0-2,5").unwrap(), [0, 1, 2, 5]);
        assert_eq!(expand("3").unwrap(), [3]);
        assert_eq!(expand("x"), None);
    }

    #[test]
    fn a_line_that_is_no_row_is_an_error() {
        let rows = rows("{\"workload\":\"w\",\"op\":\"hvp\",\"min_s\":0.5}\n\n{\"min_s\":NaN}\n");
        assert_eq!(rows[0].min_s, Some(0.5));
        assert!(rows[1].error.as_ref().unwrap().contains("NaN"));
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn ours_takes_probe_vectors_together_anyway() {
        let asked = ["hvp", "trace100", "trace100_vmap"].map(String::from);
        assert_eq!(Timed::Ours.operations(&asked), ["hvp", "trace100"]);
        assert_eq!(Timed::Ours.operations(&asked[2..]), ["trace100"]);
        let peer = Timed::Peer("jax_lin".to_string());
        assert_eq!(peer.operations(&asked), asked);
    }

    #[test]
    fn peers_have_no_turn_at_workloads_that_they_cannot_build() {
        let peers = vec!["jax_lin".to_string()];
        assert_eq!(Timed::turns("lstm", &peers), [Timed::Ours]);
        assert_eq!(Timed::turns("mlp_small", &peers).len(), 2);
    }
}
