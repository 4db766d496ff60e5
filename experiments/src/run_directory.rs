//! The folder of one run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::atomic;
use crate::utc::Utc;

/// `runs/<name>/<time>-<hash>/`: everything that a run leaves.
#[derive(Clone, Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// A new folder below `out/<experiment>`, named after the time and a hash of `settings`.
    pub(crate) fn create(out: &Path, experiment: &str, settings: &str) -> anyhow::Result<Self> {
        let runs = out.join(experiment);
        fs::create_dir_all(&runs).with_context(|| format!("{}", runs.display()))?;
        let hash = fnv1a(settings.as_bytes()) as u32;
        let name = format!("{}-{hash:08x}", Utc::now().file_stamp());
        // Two runs with the same settings can begin within a second.
        for attempt in 1.. {
            let path = match attempt {
                1 => runs.join(&name),
                _ => runs.join(format!("{name}-{attempt}")),
            };
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
            }
        }
        unreachable!("some name is free")
    }

    /// The folder of an earlier run; a link such as `latest` is followed.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let directory = Self {
            path: follow(path).with_context(|| format!("--resume {}", path.display()))?,
        };
        ensure!(
            directory.config().is_file(),
            "--resume {}: there is no config.toml, so it is no run's folder",
            path.display()
        );
        Ok(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    pub(crate) fn cells(&self) -> PathBuf {
        self.path.join("cells")
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }

    /// Writes the file `name` of this folder, whole or not at all.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.path.join(name);
        atomic::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
    }

    /// Makes `latest`, beside this folder, point to it.
    pub(crate) fn mark_latest(&self) -> anyhow::Result<()> {
        let (Some(runs), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Ok(());
        };
        point(&runs.join("latest"), Path::new(name)).with_context(|| format!("{}", runs.display()))
    }
}

#[cfg(unix)]
fn point(link: &Path, target: &Path) -> io::Result<()> {
    let draft = atomic::draft_path(link);
    std::os::unix::fs::symlink(target, &draft)?;
    fs::rename(&draft, link)
}

/// Where links need privileges, `latest` is a file that holds the folder's name.
#[cfg(not(unix))]
fn point(link: &Path, target: &Path) -> io::Result<()> {
    atomic::write(link, target.to_string_lossy().as_bytes())
}

/// The folder that `path` is, links to, or names (see [`point`]).
fn follow(path: &Path) -> io::Result<PathBuf> {
    if path.is_file() {
        let target = fs::read_to_string(path)?;
        return Ok(path.with_file_name(target.trim()));
    }
    // A link is resolved once and here: `latest` may point elsewhere a minute later.
    match fs::read_link(path) {
        Ok(target) => Ok(path.parent().unwrap_or(Path::new("")).join(target)),
        Err(_) => Ok(path.to_path_buf()),
    }
}

/// The 64-bit FNV-1a hash, the same on every machine and in every version.
///
/// # References
///
/// RFC 9923, "The FNV Non-Cryptographic Hash Algorithm".
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_of_known_texts() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn every_run_has_a_folder_of_its_own() {
        let out = tempfile::tempdir().unwrap();
        let first = RunDirectory::create(out.path(), "taylor", "steps = 1").unwrap();
        let second = RunDirectory::create(out.path(), "taylor", "steps = 1").unwrap();
        assert_ne!(first.path(), second.path());
        assert!(first.path().is_dir() && second.path().is_dir());
    }

    #[test]
    fn latest_points_to_the_newest_and_can_be_resumed() {
        let out = tempfile::tempdir().unwrap();
        for settings in ["a", "b"] {
            let run = RunDirectory::create(out.path(), "taylor", settings).unwrap();
            run.write("config.toml", settings.as_bytes()).unwrap();
            run.mark_latest().unwrap();

            let latest = RunDirectory::open(&out.path().join("taylor/latest")).unwrap();
            assert_eq!(latest.path(), run.path());
            assert_eq!(fs::read_to_string(latest.config()).unwrap(), settings);
        }
        assert!(RunDirectory::open(out.path()).is_err());
        assert!(RunDirectory::open(&out.path().join("nowhere")).is_err());
    }
}
