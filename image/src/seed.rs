//! What a new data partition holds: the identity of the box and a configuration, so that a box comes up configured.

use crate::disk::Window;
use anyhow::{Result, anyhow, bail};
use director_core::model::validate::{Severity, validate};
use director_core::store::device::Device;
use director_core::store::identity::{self, Identity, Role};
use director_core::store::record::SlotState;
use director_core::store::{Commit, Generation, StoreError, blob, slots, superblock};
use director_core::{cli, model::Config};
use embedded_io::{ErrorType, SeekFrom};
use std::fmt::Display;
use std::io::{self, Read, Seek, Write};

/// The generation of a configuration that was there from the start; 0 is the factory's.
const FIRST: Generation = Generation(1);

/// The content of a data partition.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    /// Which node of the pair; none leaves the box without an identity record.
    pub role: Option<Role>,
    /// `set` lines; none means the factory configuration.
    pub config: Option<String>,
}

impl Seed {
    /// The configuration, checked as a commit would check it.
    fn configuration(&self) -> Result<Option<Config>> {
        let Some(text) = &self.config else { return Ok(None) };
        let config = cli::parse_set_lines(text).map_err(|errors| lines("the configuration", &errors))?;
        let findings = validate(&config);
        let errors: Vec<_> = findings.iter().filter(|f| f.severity == Severity::Error).collect();
        if !errors.is_empty() {
            bail!(lines("the configuration", &errors));
        }
        Ok(Some(config))
    }
}

/// Writes the regions, through the same code that reads them on the box.
pub fn plant(seed: &Seed, data: Window<'_>) -> Result<()> {
    let config = seed.configuration()?;
    let mut device = Partition(data);
    superblock::write(&mut device).map_err(refused)?;
    if let Some(role) = seed.role {
        let identity = Identity { role, ..Identity::default() };
        identity::save(&mut device, &identity).map_err(refused)?;
    }
    if let Some(config) = config {
        // No clock: the same lines give the same bytes.
        let payload = blob::encode(&Commit { config, ..Commit::default() });
        slots::save(&mut device, FIRST, SlotState::Good, &payload).map_err(refused)?;
    }
    Ok(())
}

fn refused(error: StoreError) -> anyhow::Error {
    anyhow!("{error}")
}

/// All errors at once, one a line.
fn lines<E: Display>(what: &str, errors: &[E]) -> anyhow::Error {
    let text: String = errors.iter().map(|error| format!("\n  {error}")).collect();
    anyhow!("{what} has {} errors:{text}", errors.len())
}

/// A partition of an image as the device that the store writes to.
#[derive(Debug)]
struct Partition<'a>(Window<'a>);

impl ErrorType for Partition<'_> {
    type Error = io::Error;
}

impl embedded_io::Read for Partition<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl embedded_io::Write for Partition<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl embedded_io::Seek for Partition<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to.into())
    }
}

impl Device for Partition<'_> {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{DATA_AT, Disk, SIZE_MIN};
    use crate::testing::Folder;
    use std::fs::File;
    use std::path::Path;

    fn written(folder: &Folder, seed: &Seed) -> Result<std::path::PathBuf> {
        let path = folder.join("disk.img");
        let system = crate::slot::System::new("1.2.3", "", b"kernel", b"initramfs")?;
        Disk { size: SIZE_MIN, system: &system, loader: None, seed }.write(&path)?;
        Ok(path)
    }

    fn with<T>(path: &Path, look: impl FnOnce(&mut Partition<'_>) -> T) -> T {
        let mut file = File::options().read(true).write(true).open(path).unwrap();
        look(&mut Partition(Window::new(&mut file, DATA_AT, SIZE_MIN - DATA_AT)))
    }

    #[test]
    fn the_box_finds_its_role_and_its_configuration() {
        let folder = Folder::new();
        let config = Some("set node primary hostname lvs1\nset node backup hostname lvs2\n".to_owned());
        let path = written(&folder, &Seed { role: Some(Role::Backup), config }).unwrap();
        with(&path, |device| {
            assert!(superblock::check(device).is_ok());
            assert_eq!(identity::load(device).identity.role, Role::Backup);
            let (generation, commit) = slots::load(device).best.unwrap();
            assert_eq!(generation, FIRST);
            assert_eq!(commit.config.backup.unwrap().hostname.unwrap().as_str(), "lvs2");
        });
    }

    #[test]
    fn all_errors_of_a_configuration_are_told_and_no_disk_is_left() {
        let folder = Folder::new();
        let config =
            Some("set node primary hostname lvs1\nset nod primary\nset service web port 70000\n".to_owned());
        let error = written(&folder, &Seed { role: None, config }).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("2 errors") && text.contains('2') && text.contains('3'), "{text}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
