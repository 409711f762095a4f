//! What the director is started with: flash, identity, configuration, and what an earlier process left in `/run`.
//!
//! Nothing here can keep the director from starting. What is missing or broken is said on the console and in the
//! log, and the next best thing is used; without any usable record that is the factory configuration.

use crate::platform::flash::{self, Flash};
use crate::platform::kmsg::Log;
use crate::platform::uevent;
use director_core::director::{Checkpoint, Level, Start};
use director_core::model::{Config, Millis};
use director_core::store::identity::{self, Identity};
use director_core::store::{Generation, slots};
use std::fs;
use std::path::Path;

/// Where [`save_checkpoint`] writes: memory, so it is gone after a reboot, as it should be.
const CHECKPOINT: &str = "/run/director.checkpoint";
/// Written while the checkpoint is being replaced.
const CHECKPOINT_NEW: &str = "/run/director.checkpoint.new";
/// Exists once this boot was counted.
const COUNTED: &str = "/run/director.counted";
/// Exists when an operator asked for the director to be started again; it is gone once the new one has seen it.
pub(crate) const RESTART_ASKED: &str = "/run/director.restart";
/// How long a disk may take to appear. Chosen: USB disks settle within 2 s; virtio, AHCI and NVMe are there before PID 1.
const FLASH_WAIT: Millis = Millis::from_secs(4);

/// Gathers everything.
pub(super) fn load(log: &Log) -> (Start, Option<Flash>) {
    let mut flash = open_flash(log);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let checkpoint = read_checkpoint(log);
    let Some(flash_ref) = &mut flash else {
        let source =
            "no flash partition found: factory configuration, nothing committed will survive".to_owned();
        say(log, &source);
        let start = Start {
            identity: identity::Role::default(),
            boots: 0,
            version,
            config: Config::default(),
            generation: Generation::default(),
            newest: Generation::default(),
            flash: false,
            source,
            checkpoint,
            trial: None,
        };
        return (start, None);
    };
    for warning in flash::inspect(flash_ref) {
        say(log, &warning);
    }
    let identity = count_boot(log, flash_ref);
    let loaded = slots::load(flash_ref);
    for warning in &loaded.warnings {
        say(log, warning);
    }
    let (generation, config, source) = match loaded.best {
        Some((generation, commit)) => {
            (generation, commit.config, format!("configuration {generation} from flash"))
        }
        None => {
            let source = "no usable configuration in flash: factory configuration".to_owned();
            say(log, &source);
            (Generation::default(), Config::default(), source)
        }
    };
    let trial = trial(log, flash_ref, checkpoint.as_ref());
    let start = Start {
        identity: identity.role,
        boots: identity.boots,
        version,
        config,
        generation,
        newest: loaded.newest,
        flash: true,
        source,
        checkpoint,
        trial,
    };
    (start, flash)
}

/// The configuration on trial, when init was asked to restart the director. After a crash the trial is over.
fn trial(log: &Log, flash: &mut Flash, checkpoint: Option<&Checkpoint>) -> Option<(Generation, Box<Config>)> {
    let asked = fs::remove_file(RESTART_ASKED).is_ok();
    let generation = checkpoint?.trial?.generation;
    if !asked {
        return None;
    }
    match slots::read(flash, generation) {
        Ok(commit) => Some((generation, Box::new(commit.config))),
        Err(error) => {
            say(log, &format!("commit {generation}, which is on trial, cannot be read: {error}"));
            None
        }
    }
}

/// Looks for the flash partition, again with each device that appears, until [`FLASH_WAIT`] has passed.
fn open_flash(log: &Log) -> Option<Flash> {
    let found = uevent::until(FLASH_WAIT, flash::find)?;
    match Flash::open(&found) {
        Ok(flash) => Some(flash),
        Err(error) => {
            say(log, &format!("flash {}: {error}", found.display()));
            None
        }
    }
}

/// Reads the identity, and counts this boot once however often the director is restarted.
fn count_boot(log: &Log, flash: &mut Flash) -> Identity {
    let loaded = identity::load(flash);
    for warning in &loaded.warnings {
        say(log, warning);
    }
    let mut identity = loaded.identity;
    if Path::new(COUNTED).exists() {
        return identity;
    }
    identity.boots = identity.boots.saturating_add(1);
    if let Err(error) = identity::save(flash, &identity) {
        say(log, &format!("this boot could not be counted in flash: {error}"));
    }
    if let Err(error) = fs::write(COUNTED, b"") {
        say(log, &format!("{COUNTED}: {error}"));
    }
    identity
}

/// A checkpoint that cannot be read is no checkpoint: the director then leaves what it does not know as it is.
fn read_checkpoint(log: &Log) -> Option<Checkpoint> {
    let bytes = fs::read(CHECKPOINT).ok()?;
    match postcard::from_bytes(&bytes) {
        Ok(checkpoint) => Some(checkpoint),
        Err(error) => {
            say(log, &format!("{CHECKPOINT} is damaged ({error}): checks start over"));
            None
        }
    }
}

/// Replaces the checkpoint in one step. `/run` is memory: this does not wait for a disk.
pub(super) fn save_checkpoint(log: &Log, checkpoint: &Checkpoint) {
    let written = postcard::to_stdvec(checkpoint)
        .map_err(|error| error.to_string())
        .and_then(|bytes| fs::write(CHECKPOINT_NEW, bytes).map_err(|error| error.to_string()))
        .and_then(|()| fs::rename(CHECKPOINT_NEW, CHECKPOINT).map_err(|error| error.to_string()));
    if let Err(error) = written {
        say(log, &format!("{CHECKPOINT}: {error}; a restart would start the checks over"));
    }
}

fn say(log: &Log, text: &str) {
    log.write(Level::Warning, format_args!("{text}"));
}
