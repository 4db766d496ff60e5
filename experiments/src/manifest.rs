//! `manifest.json`: what produced a run, so that its numbers can be trusted or repeated later.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::RunOptions;
use crate::run_directory::RunDirectory;
use crate::utc::Utc;

/// Version of the files in a run's folder; it grows when a reader of older files would misunderstand them.
const SCHEMA_VERSION: u32 = 1;

const FILE: &str = "manifest.json";

/// What produced a run, and how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    pub(crate) experiment: String,
    pub(crate) question: String,
    #[serde(flatten)]
    pub(crate) status: Status,
    /// Universal time of the first start.
    pub(crate) started: String,
    /// Time spent in all sessions, in seconds; a resumed run has several. One that was killed does not count.
    pub(crate) seconds: f64,
    /// How often the run was resumed.
    pub(crate) resumed: u32,
    pub(crate) smoke: bool,
    #[serde(flatten)]
    pub(crate) options: RunOptions,
    #[serde(flatten)]
    pub(crate) build: Build,
    pub(crate) host: Host,
}

/// How a run ended. A run that is `running` although no process runs it was interrupted and can be resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(crate) enum Status {
    Running,
    Finished,
    Failed { error: String },
}

/// What the numbers were computed with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Build {
    pub(crate) ravine_version: String,
    pub(crate) burn_version: String,
    pub(crate) rustc: String,
    pub(crate) target: String,
    pub(crate) profile: String,
    pub(crate) opt_level: String,
    /// Commit of the source, where git knows it.
    pub(crate) commit: Option<String>,
    /// Whether the source had changes that are in no commit.
    pub(crate) dirty: Option<bool>,
}

/// Where the run took place, as far as it matters to timings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) system: String,
    pub(crate) threads: usize,
}

impl Manifest {
    pub(crate) fn start(
        experiment: &str,
        question: &str,
        options: &RunOptions,
        smoke: bool,
    ) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            experiment: experiment.to_owned(),
            question: question.to_owned(),
            status: Status::Running,
            started: Utc::now().to_string(),
            seconds: 0.0,
            resumed: 0,
            smoke,
            options: options.clone(),
            build: Build::current(),
            host: Host::current(),
        }
    }

    /// The manifest of an earlier run, ready to go on with this build, and a warning if that is another one.
    pub(crate) fn resume(directory: &RunDirectory) -> anyhow::Result<(Self, Option<String>)> {
        let path = directory.path().join(FILE);
        let earlier: Self = std::fs::read_to_string(&path)
            .map_err(anyhow::Error::from)
            .and_then(|text| Ok(serde_json::from_str(&text)?))
            .with_context(|| format!("{}", path.display()))?;
        let build = Build::current();
        let warning = (earlier.build != build).then(|| {
            format!(
                "this run began with another build ({}); its finished cells are kept as they are",
                earlier.build.describe()
            )
        });
        let manifest = Self {
            status: Status::Running,
            resumed: earlier.resumed + 1,
            build,
            host: Host::current(),
            ..earlier
        };
        Ok((manifest, warning))
    }

    pub(crate) fn write(&self, directory: &RunDirectory) -> anyhow::Result<()> {
        directory.write(FILE, self.to_json()?.as_bytes())
    }

    pub(crate) fn to_json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl Build {
    fn current() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"));
        let changes = git(source, &["status", "--porcelain"]);
        Self {
            ravine_version: env!("CARGO_PKG_VERSION").to_owned(),
            burn_version: env!("RAVINE_BURN").to_owned(),
            rustc: env!("RAVINE_RUSTC").to_owned(),
            target: env!("RAVINE_TARGET").to_owned(),
            profile: env!("RAVINE_PROFILE").to_owned(),
            opt_level: env!("RAVINE_OPT_LEVEL").to_owned(),
            commit: git(source, &["rev-parse", "--verify", "HEAD"]),
            dirty: changes.map(|changes| !changes.is_empty()),
        }
    }

    /// One line for people.
    pub(crate) fn describe(&self) -> String {
        let commit = match (&self.commit, self.dirty) {
            (Some(commit), Some(true)) => format!("commit {commit:.12} with changes"),
            (Some(commit), _) => format!("commit {commit:.12}"),
            (None, _) => "no commit".to_owned(),
        };
        format!(
            "ravine {}, {commit}, Burn {}, {}",
            self.ravine_version, self.burn_version, self.rustc
        )
    }
}

impl Host {
    fn current() -> Self {
        Self {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// What git prints, trimmed; nothing when there is no git or no repository.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_a_reader_needs_and_reads_back() {
        let mut manifest = Manifest::start("taylor", "how far?", &RunOptions::default(), true);
        manifest.status = Status::Failed {
            error: "out of luck".to_owned(),
        };

        let text = manifest.to_json().unwrap();

        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["schema_version"], 1);
        assert_eq!(json["status"], "failed");
        assert_eq!(json["error"], "out of luck");
        assert_eq!(json["device"], "flex");
        assert_eq!(json["hvp"], "recorded");
        assert_eq!(json["seeds"], "0");
        assert_eq!(json["burn_version"], "0.22.1");
        assert!(json["rustc"].as_str().unwrap().starts_with("rustc 1."));
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
    }

    #[test]
    fn resuming_keeps_the_start_and_warns_about_another_build() {
        let out = tempfile::tempdir().unwrap();
        let directory = RunDirectory::create(out.path(), "taylor", "").unwrap();
        let mut first = Manifest::start("taylor", "how far?", &RunOptions::default(), false);
        first.started = "2001-01-01T00:00:00Z".to_owned();
        first.seconds = 12.5;
        first.write(&directory).unwrap();

        let (second, warning) = Manifest::resume(&directory).unwrap();
        assert_eq!(second.started, first.started);
        assert_eq!((second.seconds, second.resumed), (12.5, 1));
        assert_eq!(warning, None);

        first.build.burn_version = "0.21.0".to_owned();
        first.write(&directory).unwrap();
        let warning = Manifest::resume(&directory).unwrap().1.unwrap();
        assert!(warning.contains("Burn 0.21.0"), "{warning}");
    }
}
