//! The kernel: one file, no modules, from a named source and one fragment.

mod build;
mod cache;
pub mod config;

use crate::files;
use crate::say::say;
use anyhow::{Context, Result, bail};
use cache::{Cache, KEY_CHARS};
use std::path::{Path, PathBuf};

pub use cache::Kernel;

/// Debian's package `linux-source-6.1`.
const DEBIAN_SOURCE: &str = "/usr/src/linux-source-6.1.tar.xz";

/// Names another source, packed as kernel.org does.
const SOURCE_VARIABLE: &str = "DIRECTOR_LINUX_TARBALL";

/// Raise it when the way of building changes, so that kernels built in the old way are not used.
const FORMAT: u32 = 1;

/// Everything that decides the bytes of a kernel.
#[derive(Debug)]
struct Inputs {
    tarball: PathBuf,
    source: String,
    fragment: String,
    toolchain: String,
}

impl Inputs {
    fn gather(fragment: &Path) -> Result<Self> {
        let named = std::env::var_os(SOURCE_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        let tarball = named.unwrap_or_else(|| DEBIAN_SOURCE.into());
        if !tarball.exists() {
            bail!(
                "{} is not there: `make setup` installs Debian's linux-source-6.1, or name a tarball in {SOURCE_VARIABLE}",
                tarball.display()
            );
        }
        Ok(Self {
            source: build::source_digest(&tarball)?,
            tarball,
            fragment: std::fs::read_to_string(fragment)
                .with_context(|| format!("read {}", fragment.display()))?,
            toolchain: build::toolchain()?,
        })
    }

    fn key(&self) -> String {
        let Self { tarball: _, source, fragment, toolchain } = self;
        let banner = build::BANNER;
        let mut key =
            files::digest(format!("{FORMAT} {source} {banner:?} {toolchain} {fragment}").as_bytes());
        key.truncate(KEY_CHARS);
        key
    }
}

/// The kernel of this fragment: from the cache when one was built from the same source, fragment and compiler.
pub fn kernel(fragment: &Path) -> Result<Kernel> {
    let inputs = Inputs::gather(fragment)?;
    let (cache, key) = (Cache::open()?, inputs.key());
    if let Some(kernel) = cache.find(&key) {
        return Ok(kernel);
    }
    let _lock = cache.lock(|| say("kernel: another build is under way, waiting for it"))?;
    if let Some(kernel) = cache.find(&key) {
        return Ok(kernel);
    }
    say("kernel: building (5 to 10 minutes on two cores; later builds take it from the cache)");
    let work = build::Work::open(&cache.work(), &inputs.tarball, &inputs.source)?;
    work.configure(&inputs.fragment)?;
    let kernel = work.compile()?;
    cache.keep(&key, &kernel)?;
    Ok(kernel)
}

/// Configures only, to see in seconds whether every symbol of the fragment survives.
pub fn check(fragment: &Path) -> Result<()> {
    let inputs = Inputs::gather(fragment)?;
    let cache = Cache::open()?;
    let _lock = cache.lock(|| say("kernel: another build is under way, waiting for it"))?;
    build::Work::open(&cache.work(), &inputs.tarball, &inputs.source)?.configure(&inputs.fragment)
}

/// Whether a kernel that somebody else configured has every symbol of the fragment.
pub fn compare(fragment: &Path, config: &Path) -> Result<()> {
    let read =
        |path: &Path| std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()));
    config::compare(&config::parse(&read(fragment)?)?, &read(config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        Inputs { tarball: "a".into(), source: "b".into(), fragment: "c".into(), toolchain: "d".into() }
    }

    #[test]
    fn whatever_decides_the_bytes_decides_the_key_and_the_path_of_the_tarball_does_not() {
        let key = inputs().key();
        assert_eq!(key.len(), KEY_CHARS);
        assert_eq!(Inputs { tarball: "other".into(), ..inputs() }.key(), key);
        assert_ne!(Inputs { source: "other".into(), ..inputs() }.key(), key);
        assert_ne!(Inputs { fragment: "other".into(), ..inputs() }.key(), key);
        assert_ne!(Inputs { toolchain: "other".into(), ..inputs() }.key(), key);
    }
}
