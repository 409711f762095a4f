//! What the director is started with: flash, identity, configuration, and what an earlier process left in `/run`.
//!
//! Nothing here can keep the director from starting. What is missing or broken is said on the console and in the
//! log, and the next best thing is used; without any usable record that is the factory configuration.

use crate::init::phases::read_options;
use crate::platform::clock;
use crate::platform::flash::{self, Flash};
use crate::platform::kmsg::Log;
use crate::platform::{selfcheck, uevent};
use director_core::cli::refused_values;
use director_core::director::{Checkpoint, Event, Level, Start};
use director_core::login::Access;
use director_core::model::{Config, Millis};
use director_core::store::identity::{self, Identity, Role};
use director_core::store::{Commit, Generation, kept, rescue, reset, slots};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Where [`CheckpointFile`] writes: memory, so it is gone after a reboot, as it should be.
const CHECKPOINT: &str = "/run/director.checkpoint";
/// Written while the checkpoint is being replaced.
const CHECKPOINT_NEW: &str = "/run/director.checkpoint.new";
/// Exists once this boot was counted.
const COUNTED: &str = "/run/director.counted";
/// Exists when an operator asked for the director to be started again; it is gone once the new one has seen it.
pub(crate) const RESTART_ASKED: &str = "/run/director.restart";
/// Damaged slots named one by one; the others are counted.
const SLOT_NOTES_MAX: usize = 3;
/// Notes about values of a stored configuration, at most.
const VALUE_NOTES_MAX: usize = 3;
/// How long a disk may take to appear. Chosen: USB disks settle within 2 s; virtio, AHCI and NVMe are there before PID 1.
const FLASH_WAIT: Millis = Millis::from_secs(4);

/// What consoles must know of [`Access`]; only root may read it. Kept over a crash of the director.
const ACCESS: &str = "director.access";
/// Written while it is being replaced.
const ACCESS_NEW: &str = "director.access.new";
/// Memory: gone after a reboot.
pub(crate) const RUN: &str = "/run";

/// Whether this box was started for rescue and its configuration's partition is broken: then the rescue console, which can
/// make it anew, is of more use than a director that can store nothing.
pub(super) fn leaves_to_rescue(log: &Log) -> bool {
    let rescue =
        read_options().ok().and_then(|options| options.running).is_some_and(|running| running.rescue);
    let broken = rescue && uevent::until(FLASH_WAIT, flash::find).is_none() && flash::find_boot().is_some();
    if broken {
        let text = "the configuration's partition cannot be used: the rescue console can make it anew";
        log.write(Level::Error, format_args!("{text}"));
    }
    broken
}

/// Gathers everything.
pub(super) fn load(log: &Log) -> (Start, Option<Flash>) {
    let mut notes = Vec::new();
    let mut flash = open_flash(&mut notes);
    // A missing disk is told below.
    notes.extend(selfcheck::problems().into_iter().filter(|_| flash.is_some()));
    if let Some(Err(note)) = flash.as_mut().map(finish_reset) {
        notes.push(note);
        flash = None;
    }
    let mut start = Start {
        identity: Role::default(),
        boots: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config: Config::default(),
        generation: Generation::default(),
        nonce: nonce(&mut notes),
        newest: Generation::default(),
        flash: flash.is_some(),
        source: "factory configuration".to_owned(),
        notes: Vec::new(),
        checkpoint: read_checkpoint(&mut notes),
        trial: None,
        kept: Vec::new(),
        running: read_options().ok().and_then(|options| options.running),
    };
    let in_rescue = start.running.is_some_and(|running| running.rescue);
    match &mut flash {
        None => notes.push("no flash partition: nothing that is committed survives a power cut".to_owned()),
        Some(flash) => {
            notes.extend(flash::inspect(flash));
            let identity = count_boot(flash, &mut notes);
            (start.identity, start.boots) = (identity.role, identity.boots);
            let loaded = slots::load(flash);
            start.newest = loaded.newest;
            let usable = loaded.best.is_some();
            let found = accepted(flash, loaded.best, start.checkpoint.as_ref());
            match found {
                found if in_rescue => {
                    rescued(flash, found.map(|(generation, _)| generation), &mut start, &mut notes)
                }
                None if usable => notes.push("every commit in flash was refused by this director".to_owned()),
                // Damage is among the warnings.
                None => log.write(Level::Notice, format_args!("no configuration in flash")),
                Some((generation, commit)) => {
                    start.source = format!("configuration {generation} from flash");
                    (start.generation, start.config) = (generation, commit.config);
                }
            }
            let more = loaded.warnings.len().saturating_sub(SLOT_NOTES_MAX);
            notes.extend(loaded.warnings.into_iter().take(SLOT_NOTES_MAX));
            if more > 0 {
                notes.push(format!("{more} more flash slots are damaged"));
            }
            let (list, warnings) = kept::load(flash);
            notes.extend(warnings);
            start.kept = list;
            if !in_rescue {
                start.trial = trial(flash, start.checkpoint.as_ref(), &mut notes);
            }
        }
    }
    // Before consoles can connect: they ask for the password from the first moment on.
    save_access(log, Path::new(RUN), &Access::of(&start.config));
    for note in &notes {
        log.write(Level::Warning, format_args!("{note}"));
    }
    start.notes = notes;
    (start, flash)
}

/// Starts with the rescue configuration, because the boot loader says so. What was committed stays in flash.
fn rescued(flash: &mut Flash, newest: Option<Generation>, start: &mut Start, notes: &mut Vec<String>) {
    if let Ok(commit) = rescue::load(flash) {
        start.config = commit.config;
        "rescue configuration".clone_into(&mut start.source);
    }
    let kept = newest.map_or_else(String::new, |generation| {
        format!("; configuration {generation} is still in flash and runs after a reboot")
    });
    notes.push(format!("RESCUE: the boot loader asked for it, the {} runs{kept}", start.source));
}

/// The newest good configuration that was not refused: a flash that failed may hold a refused one as good.
fn accepted(
    flash: &mut Flash,
    best: Option<(Generation, Commit)>,
    checkpoint: Option<&Checkpoint>,
) -> Option<(Generation, Commit)> {
    let refused = checkpoint.map_or(&[][..], |c| &c.undo);
    let mut best = best?;
    while refused.contains(&best.0) {
        // Each is older than the one before, so this ends.
        best = slots::recall(flash, best.0, 1).ok()?;
    }
    Some(best)
}

/// What this firmware refuses of the values of a configuration that was read from flash. Every value is parsed again: with 10,000
/// servers that takes longer than all else before the first turn, so it is done beside the loop.
pub(super) fn judge(generation: Generation, config: &Config) -> Event {
    let refused = refused_values(config).into_iter().take(VALUE_NOTES_MAX);
    let note = |value| format!("configuration {generation} has a value that this firmware refuses: {value}");
    Event::Judged { generation, notes: refused.map(note).collect() }
}

/// A random number that no process before had.
pub(super) fn nonce(notes: &mut Vec<String>) -> u64 {
    let mut bytes = [0; 8];
    if let Err(error) = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)) {
        notes.push(format!("/dev/urandom: {error}; heartbeats are weaker against replay"));
        return clock::now().micros() ^ clock::unix_s();
    }
    u64::from_le_bytes(bytes)
}

/// The configuration on trial, when init was asked to restart the director. After a crash the trial is over.
fn trial(
    flash: &mut Flash,
    checkpoint: Option<&Checkpoint>,
    notes: &mut Vec<String>,
) -> Option<(Generation, Box<Config>)> {
    let asked = fs::remove_file(RESTART_ASKED).is_ok();
    let generation = checkpoint?.trial?.generation;
    if !asked {
        return None;
    }
    match slots::read(flash, generation) {
        Ok(commit) => Some((generation, Box::new(commit.config))),
        Err(error) => {
            notes.push(format!("commit {generation}, which is on trial, cannot be read: {error}"));
            None
        }
    }
}

/// Ends a reset to factory state that a power cut interrupted. A flash that cannot be wiped is not used: what it holds
/// was to be gone, and what would be stored there would be.
fn finish_reset(flash: &mut Flash) -> Result<(), String> {
    if !reset::pending(flash) {
        return Ok(());
    }
    reset::finish(flash).map_err(|error| {
        format!("the reset to factory state cannot be finished, the flash is not used: {error}; replace it")
    })
}

/// Looks for the flash partition, again with each device that appears, until [`FLASH_WAIT`] has passed.
fn open_flash(notes: &mut Vec<String>) -> Option<Flash> {
    let found = uevent::until(FLASH_WAIT, flash::find)?;
    match Flash::open(&found) {
        Ok(flash) => Some(flash),
        Err(error) => {
            notes.push(format!("flash {}: {error}", found.display()));
            None
        }
    }
}

/// Reads the identity, and counts this boot once however often the director is restarted.
fn count_boot(flash: &mut Flash, notes: &mut Vec<String>) -> Identity {
    let loaded = identity::load(flash);
    notes.extend(loaded.warnings);
    let mut identity = loaded.identity;
    if Path::new(COUNTED).exists() {
        return identity;
    }
    identity.boots = identity.boots.saturating_add(1);
    if let Err(error) = identity::save(flash, &identity) {
        notes.push(format!("this boot could not be counted in flash: {error}"));
    }
    if let Err(error) = fs::write(COUNTED, b"") {
        notes.push(format!("{COUNTED}: {error}"));
    }
    identity
}

/// A checkpoint that cannot be read is no checkpoint: the director then leaves what it does not know as it is.
fn read_checkpoint(notes: &mut Vec<String>) -> Option<Checkpoint> {
    let bytes = fs::read(CHECKPOINT).ok()?;
    match postcard::from_bytes(&bytes) {
        Ok(checkpoint) => Some(checkpoint),
        Err(error) => {
            notes.push(format!("{CHECKPOINT} is damaged ({error}): checks start over"));
            None
        }
    }
}

/// Writes the checkpoint.
#[derive(Debug, Default)]
pub(super) struct CheckpointFile {
    /// The last one could not be written, and that was said.
    failing: bool,
}

impl CheckpointFile {
    /// Replaces the checkpoint in one step. `/run` is memory: this does not wait for a disk. A failure is said once, however
    /// often it comes in a row.
    pub(super) fn save(&mut self, log: &Log, checkpoint: &Checkpoint) {
        match write_checkpoint(checkpoint) {
            Ok(()) if self.failing => {
                self.failing = false;
                log.write(Level::Notice, format_args!("{CHECKPOINT} is written again"));
            }
            Err(error) if !self.failing => {
                self.failing = true;
                let text = "a restart would start the checks over and forget drained servers";
                log.write(Level::Warning, format_args!("{CHECKPOINT}: {error}; {text}"));
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Replaces what consoles know in one step.
pub(crate) fn save_access(log: &Log, run: &Path, access: &Access) {
    let written = postcard::to_stdvec(access)
        .map_err(|error| error.to_string())
        .and_then(|bytes| write_private(&run.join(ACCESS_NEW), &bytes).map_err(|error| error.to_string()))
        .and_then(|()| fs::rename(run.join(ACCESS_NEW), run.join(ACCESS)).map_err(|error| error.to_string()));
    if let Err(error) = written {
        log.write(Level::Error, format_args!("{ACCESS}: {error}; consoles go by the password before"));
    }
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(bytes)
}

/// What [`save_access`] wrote, if a director of this boot got that far.
pub(crate) fn read_access(run: &Path) -> Option<Access> {
    postcard::from_bytes(&fs::read(run.join(ACCESS)).ok()?).ok()
}

fn write_checkpoint(checkpoint: &Checkpoint) -> Result<(), String> {
    let bytes = postcard::to_stdvec(checkpoint).map_err(|error| error.to_string())?;
    fs::write(CHECKPOINT_NEW, bytes).map_err(|error| error.to_string())?;
    fs::rename(CHECKPOINT_NEW, CHECKPOINT).map_err(|error| error.to_string())
}
