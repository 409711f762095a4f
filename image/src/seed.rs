//! What a new data partition holds: the identity of the box and a configuration, so that a box comes up configured.
//!
//! Written by the same code that the box reads it with.

use crate::disk::Window;
use anyhow::{Context as _, Result, bail};
use director_core::cli::parse_set_lines;
use director_core::model::validate::{Severity, validate};
use director_core::store::identity::{Identity, Role};
use director_core::store::record::SlotState;
use director_core::store::{Commit, Generation, blob, identity, slots, superblock};
use embedded_io::{ErrorType, Read, Seek, SeekFrom, Write};
use embedded_io_adapters::std::FromStd;
use std::fmt::Write as _;
use std::io;

/// The content of a data partition.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    /// Which node of the pair; none leaves the box without an identity record.
    pub role: Option<Role>,
    /// `set` lines; none means the factory configuration.
    pub config: Option<String>,
}

/// Writes the regions.
///
/// # Errors
/// When the configuration is wrong, with every finding and its line or path, or when the partition cannot be written.
pub fn plant(seed: &Seed, data: Window<'_>) -> Result<()> {
    let mut data = Data(FromStd::new(data));
    superblock::write(&mut data).context("superblock")?;
    if let Some(role) = seed.role {
        let identity = Identity { role, ..Identity::default() };
        identity::save(&mut data, &identity).context("identity")?;
    }
    if let Some(text) = &seed.config {
        // No time: the same input gives the same bytes.
        let commit = Commit { config: checked(text)?, at_unix_s: 0 };
        slots::save(&mut data, Generation(1), SlotState::Good, &blob::encode(&commit)).context("configuration")?;
    }
    Ok(())
}

/// The configuration of `set` lines that a box would accept.
fn checked(text: &str) -> Result<director_core::model::Config> {
    let config = parse_set_lines(text).map_err(|errors| {
        let mut all = String::from("the configuration cannot be read:");
        for error in errors {
            // Writing into a string does not fail.
            write!(all, "\n  {error}").unwrap_or_default();
        }
        anyhow::Error::msg(all)
    })?;
    let errors: Vec<String> =
        validate(&config).iter().filter(|f| f.severity == Severity::Error).map(ToString::to_string).collect();
    if !errors.is_empty() {
        bail!("the configuration has errors:\n  {}", errors.join("\n  "));
    }
    Ok(config)
}

/// The partition as the store wants it.
struct Data<'a>(FromStd<Window<'a>>);

impl ErrorType for Data<'_> {
    type Error = io::Error;
}

impl Read for Data<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Data<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Data<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl director_core::store::device::Device for Data<'_> {
    fn sync(&mut self) -> io::Result<()> {
        self.0.inner_mut().sync()
    }
}
