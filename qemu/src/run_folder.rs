//! `build/lab/<id>/`: everything one run of the lab leaves for reading, and the entrances while it lives.

use anyhow::{Context as _, Result};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Runs kept beside the present one. Chosen: enough to compare a day's work, small enough for a laptop.
const RUNS_KEPT: usize = 10;
/// Names in a node's folder that only work while the lab lives.
const ENTRANCES: [&str; 2] = ["console", "qmp"];

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// The `build/` folder: `LAB_BUILD`, or the one of the work tree this was compiled in.
#[must_use]
pub fn build_folder() -> PathBuf {
    std::env::var_os("LAB_BUILD").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).join("build"),
        PathBuf::from,
    )
}

impl RunFolder {
    /// A fresh folder; `build/lab/current` points to it. Old ones beyond the last few are removed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create() -> Result<Self> {
        let runs = build_folder().join("lab");
        fs::create_dir_all(&runs).with_context(|| format!("cannot make {}", runs.display()))?;
        prune(&runs);
        let id = format!("{}-{}", crate::clock::unix_seconds(), std::process::id());
        let path = runs.join(&id);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        // Renamed into place, so that a reader never finds it missing.
        let fresh = runs.join(format!(".current-{id}"));
        symlink(&id, &fresh).context("symbolic link current")?;
        fs::rename(&fresh, runs.join("current")).context("symbolic link current")?;
        Ok(Self { path })
    }

    /// An existing one.
    #[must_use]
    pub fn open(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of one node, made when it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn node(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Writes `init.pid` (as the system outside sees it) and the script `in`.
    pub(crate) fn write_entrance(&self, init: Pid) -> Result<()> {
        fs::write(self.path.join("init.pid"), format!("{init}\n")).context("init.pid")?;
        let script = self.path.join("in");
        fs::write(&script, IN_SCRIPT).context("in")?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).context("in")
    }

    /// Removes what only works while the lab lives.
    pub(crate) fn remove_entrances(&self) {
        // What is gone already is as good as removed.
        fs::remove_file(self.path.join("init.pid")).ok();
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            for name in ENTRANCES {
                fs::remove_file(entry.path().join(name)).ok();
            }
        }
    }
}

/// Removes all but the newest runs; never one that still lives.
fn prune(runs: &Path) {
    let mut old: Vec<PathBuf> = fs::read_dir(runs)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect();
    old.sort();
    let excess = old.len().saturating_sub(RUNS_KEPT);
    for path in old.into_iter().take(excess) {
        let pid = fs::read_to_string(path.join("init.pid")).unwrap_or_default();
        let alive = !pid.trim().is_empty() && Path::new("/proc").join(pid.trim()).exists();
        if !alive {
            // A folder that cannot be removed (another user's) only takes space.
            fs::remove_dir_all(&path).ok();
        }
    }
}

const IN_SCRIPT: &str = r#"#!/bin/sh
# Runs a command in a namespace of this lab: in NODE COMMAND [ARGUMENT]...
here=$(dirname "$(readlink -f "$0")")
[ $# -ge 2 ] || { echo "usage: $0 NODE COMMAND [ARGUMENT]..." >&2; exit 2; }
pid=$(cat "$here/init.pid" 2>/dev/null) && [ -e "/proc/$pid" ] || { echo "this lab is not running" >&2; exit 1; }
export LAB_NODE="$1" LAB_FOLDER="$PWD"
shift
exec nsenter --target "$pid" --user --mount --net --pid --preserve-credentials -- /bin/sh -c '
[ -e "/run/netns/$LAB_NODE" ] || { echo "no namespace $LAB_NODE; there are:" $(ls /run/netns) >&2; exit 1; }
cd "$LAB_FOLDER" 2>/dev/null
exec nsenter --net="/run/netns/$LAB_NODE" -- "$@"' sh "$@"
"#;
