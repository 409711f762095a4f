//! Finished kernels, outside the tree, so that a clean clone does not build what another one already built.
//!
//! ```text
//! ~/.cache/director/kernel/
//!   lock          held while a kernel is built
//!   KEY/          one finished kernel: bzImage, config, sum (SHA-256 of bzImage)
//!   work/         unpacked source and object tree of the last build
//! ```
//! An entry is renamed into place when it is complete, so a look-up needs no lock.

use crate::files;
use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Finished kernels that are kept; one is about 6 MiB. Chosen: two branches, two compilers.
const ENTRIES_MAX: usize = 4;

/// Characters of a key: enough of a SHA-256 that two never meet.
pub(super) const KEY_CHARS: usize = 24;

/// A finished kernel.
#[derive(Debug)]
pub struct Kernel {
    /// The bootable image.
    pub image: Vec<u8>,
    /// The `.config` it was built from.
    pub config: Vec<u8>,
}

/// The folder of all kernels.
#[derive(Debug)]
pub(super) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$XDG_CACHE_HOME/director/kernel` or `~/.cache/director/kernel`, created when missing.
    pub(super) fn open() -> Result<Self> {
        let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let base = set("XDG_CACHE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .context("neither XDG_CACHE_HOME nor HOME is set, so there is no place for built kernels")?;
        Self::at(&base.join("director/kernel"))
    }

    fn at(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("create {}", root.display()))?;
        Ok(Self { root: root.to_owned() })
    }

    /// Source and objects of the last build.
    pub(super) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The finished kernel of this key. One that is incomplete or whose bytes changed counts as absent.
    pub(super) fn find(&self, key: &str) -> Option<Kernel> {
        let entry = self.root.join(key);
        let image = fs::read(entry.join("bzImage")).ok()?;
        let config = fs::read(entry.join("config")).ok()?;
        let sum = fs::read_to_string(entry.join("sum")).ok()?;
        if files::digest(&image) != sum.trim() {
            return None;
        }
        // The time stamp is the time of the last use, for `prune`; a read-only cache still serves.
        let now = FileTimes::new().set_modified(SystemTime::now());
        File::open(&entry).and_then(|folder| folder.set_times(now)).ok();
        Some(Kernel { image, config })
    }

    /// Keeps a finished kernel, replacing a broken entry, and removes the ones that were not used for longest.
    pub(super) fn keep(&self, key: &str, kernel: &Kernel) -> Result<()> {
        let entry = self.root.join(key);
        let new = files::beside(&entry);
        files::install(&new.join("bzImage"), &kernel.image)?;
        files::install(&new.join("config"), &kernel.config)?;
        files::install(&new.join("sum"), files::digest(&kernel.image).as_bytes())?;
        if entry.exists() {
            fs::remove_dir_all(&entry).with_context(|| format!("remove {}", entry.display()))?;
        }
        fs::rename(&new, &entry).with_context(|| format!("create {}", entry.display()))?;
        self.prune(key)
    }

    fn prune(&self, keep: &str) -> Result<()> {
        let mut entries: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_key = |n: &str| n.len() >= KEY_CHARS && n != keep;
            if name.to_str().is_some_and(is_key) {
                entries.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        entries.sort();
        let surplus = (entries.len() + 1).saturating_sub(ENTRIES_MAX);
        for (_, path) in entries.into_iter().take(surplus) {
            fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(())
    }

    /// Waits until nobody else builds. The lock goes with the process, however that ends.
    pub(super) fn lock(&self, waiting: impl FnOnce()) -> Result<Flock<File>> {
        let path = self.root.join("lock");
        let open = || {
            let options = File::options().write(true).create(true).truncate(false).open(&path);
            options.with_context(|| format!("open {}", path.display()))
        };
        match Flock::lock(open()?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err(_) => {
                waiting();
                Flock::lock(open()?, FlockArg::LockExclusive)
                    .map_err(|(_, errno)| errno)
                    .with_context(|| format!("lock {}", path.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::time::Duration;

    fn kernel() -> Kernel {
        Kernel { image: b"image".to_vec(), config: b"config".to_vec() }
    }

    fn key(number: usize) -> String {
        format!("{number:0KEY_CHARS$}")
    }

    #[test]
    fn a_kept_kernel_is_found_and_another_key_is_not() {
        let folder = Folder::new();
        let cache = Cache::at(folder.path()).unwrap();
        assert!(cache.find(&key(1)).is_none());
        cache.keep(&key(1), &kernel()).unwrap();
        assert_eq!(cache.find(&key(1)).unwrap().image, b"image");
        assert!(cache.find(&key(2)).is_none());
    }

    #[test]
    fn a_damaged_kernel_counts_as_absent_and_is_replaced() {
        let folder = Folder::new();
        let cache = Cache::at(folder.path()).unwrap();
        cache.keep(&key(1), &kernel()).unwrap();
        fs::write(folder.path().join(key(1)).join("bzImage"), b"imag").unwrap();
        assert!(cache.find(&key(1)).is_none());
        cache.keep(&key(1), &kernel()).unwrap();
        assert!(cache.find(&key(1)).is_some());
    }

    #[test]
    fn the_least_recently_used_kernels_go_first_and_work_stays() {
        let folder = Folder::new();
        let cache = Cache::at(folder.path()).unwrap();
        fs::create_dir_all(cache.work()).unwrap();
        for number in 0..=ENTRIES_MAX {
            if number == ENTRIES_MAX {
                // All were used an hour ago, number 2 two hours ago.
                for old in 0..ENTRIES_MAX {
                    let hours = if old == 2 { 2 } else { 1 };
                    let at = SystemTime::now() - Duration::from_secs(3600 * hours);
                    let entry = File::open(folder.path().join(key(old))).unwrap();
                    entry.set_times(FileTimes::new().set_modified(at)).unwrap();
                }
            }
            cache.keep(&key(number), &kernel()).unwrap();
        }
        let left: Vec<usize> = (0..=ENTRIES_MAX).filter(|n| cache.find(&key(*n)).is_some()).collect();
        assert_eq!(left, [0, 1, 3, 4]);
        assert!(cache.work().exists());
    }

    #[test]
    fn a_held_lock_is_announced_before_waiting() {
        let folder = Folder::new();
        let cache = Cache::at(folder.path()).unwrap();
        let (told, hears) = std::sync::mpsc::channel();
        let held = cache.lock(|| panic!("nobody holds it")).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| cache.lock(|| told.send(()).unwrap()).map(drop));
            hears.recv().unwrap();
            drop(held);
            waiter.join().unwrap().unwrap();
        });
    }
}
