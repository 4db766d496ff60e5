use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// Machine, versions and settings of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The processor's own name.
    pub processor: String,
    /// Processors that the system has.
    pub cores: usize,
    /// Threads that everybody may use.
    pub threads: usize,
    /// Dtype of parameters and data.
    pub dtype: String,
    /// Seconds of repetitions for each measurement.
    pub budget: f64,
    /// The commit of ravine, with a mark if files differ from it.
    pub commit: String,
    /// The compiler.
    pub rustc: String,
    /// Python and the packages of the rig, with versions.
    pub packages: Vec<String>,
    /// The day, as the system says.
    pub date: String,
}

impl Provenance {
    /// Asks the system; what it does not know is left empty.
    pub fn ask(python: &Path, threads: usize, dtype: &str, budget: f64) -> Self {
        let commit = output("git", &["rev-parse", "--short=12", "HEAD"]);
        let changed = !output("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
        Self {
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            threads,
            dtype: dtype.to_string(),
            budget,
            commit: format!("{commit}{}", if changed { " with changes" } else { "" }),
            rustc: output("rustc", &["--version"]),
            packages: packages(python),
            date: output("date", &["-u", "+%Y-%m-%d"]),
        }
    }

    /// A list for a report.
    pub fn to_markdown(&self) -> String {
        format!(
            "- Machine: {}, {} cores; {} threads, {}\n- Ravine: commit {}, {}\n- Peers: {}\n- Measured on {}, {} s of repetitions a measurement\n",
            self.processor,
            self.cores,
            self.threads,
            self.dtype,
            self.commit,
            self.rustc,
            self.packages.join(", "),
            self.date,
            self.budget,
        )
    }
}

/// What a command prints, without the end of the line; nothing if it fails.
fn output(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string())
        .unwrap_or_default()
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'))
        .map_or_else(
            || std::env::consts::ARCH.to_string(),
            |(_, name)| name.trim().to_string(),
        )
}

fn packages(python: &Path) -> Vec<String> {
    let program = "
import platform
from importlib.metadata import version, PackageNotFoundError
print('Python', platform.python_version())
for name in ['torch', 'jax', 'curvlinops-for-pytorch', 'pyhessian', 'hessian-eigenthings', 'backpack-for-pytorch']:
    try: print(name, version(name))
    except PackageNotFoundError: pass
";
    output(&python.to_string_lossy(), &["-c", program])
        .lines()
        .map(str::to_string)
        .collect()
}
