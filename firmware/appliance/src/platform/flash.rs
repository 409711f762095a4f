//! The flash partition: finding it, the block device behind [`Device`], and the thread that does the work.
//!
//! A flash write can take a second, so it never happens on the main loop: one thread executes jobs in order and
//! sends each result back. A job that was accepted is answered exactly once, unless the receiver is gone.

use super::upgrade::slot_number;
use director_core::director::Event;
use director_core::director::protocol::{Maintenance, Recall, Recalled, SessionId, SystemsNow};
use director_core::director::upgrading::Order;
use director_core::overrides::Kept;
use director_core::store::device::Device;
use director_core::store::record::SlotState;
use director_core::store::superblock::{self, Found};
use director_core::store::{Generation, StoreError, identity, kept, rescue, reset, slots, usage};
use director_core::upgrade::environment::{self, Slot};
use director_core::upgrade::running::Running;
use director_core::upgrade::systems::{Held, Systems};
use director_core::upgrade::{self, install};
use embedded_io_adapters::std::FromStd;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use tokio::sync::mpsc::Sender;

/// Jobs that wait while one is executed. Chosen: a commit has at most a save and a mark under way, and the
/// identity may be written beside them.
pub(crate) const JOBS: usize = 8;

/// Partitions looked at by [`find`]. Chosen: four of each of more disks than such a box has.
const PARTITIONS: usize = 256;

/// The opened partition. Reads after a sync come from the medium, not from the page cache.
pub(crate) struct Flash {
    file: FromStd<File>,
    /// Where it was opened.
    path: PathBuf,
}

impl fmt::Debug for Flash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Flash").field(self.file.inner()).finish()
    }
}

impl Flash {
    /// Opens a partition (or, in tests and tools, an image of one) for reading and writing. Does not check whose it is.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map(|file| Self { path: path.to_owned(), ..Self::from(file) })
    }
}

impl Flash {
    /// Where it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl From<File> for Flash {
    fn from(file: File) -> Self {
        Self { file: FromStd::new(file), path: PathBuf::new() }
    }
}

impl embedded_io::ErrorType for Flash {
    type Error = io::Error;
}

impl embedded_io::Read for Flash {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read(buf)
    }
}

impl embedded_io::Write for Flash {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl embedded_io::Seek for Flash {
    fn seek(&mut self, pos: embedded_io::SeekFrom) -> io::Result<u64> {
        self.file.seek(pos)
    }
}

impl Device for Flash {
    fn sync(&mut self) -> io::Result<()> {
        let file = self.file.inner();
        file.sync_data()?;
        // Clean pages are dropped, so that reading back reads the medium. Length 0 means to the end.
        posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).map_err(io::Error::from)
    }
}

/// The device node of the flash partition, if it has appeared by now; waiting is the caller's matter.
///
/// Looks at every partition the kernel knows (whole disks are not ours, even when their last bytes are). Should there be
/// several of ours, the first by name counts. Needs `/sys` and a devtmpfs on `/dev`.
pub(crate) fn find() -> Option<PathBuf> {
    find_in(Path::new("/sys/class/block"), Path::new("/dev"), is_ours)
}

/// As [`find`], the boot partition of a disk of ours: it is there when the configuration's partition is not.
pub(crate) fn find_boot() -> Option<PathBuf> {
    let ours =
        |path: &Path| File::open(path).is_ok_and(|file| environment::check(&mut Flash::from(file)).is_ok());
    find_in(Path::new("/sys/class/block"), Path::new("/dev"), ours)
}

fn find_in(class: &Path, dev: &Path, ours: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(class)
        .ok()?
        .filter_map(|entry| entry.ok().map(|e| e.file_name()))
        .filter(|name| class.join(name).join("partition").exists())
        .take(PARTITIONS)
        .collect();
    names.sort();
    names.into_iter().map(|name| dev.join(name)).find(|path| ours(path))
}

fn is_ours(path: &Path) -> bool {
    // Read only: the partitions of others are none of our business.
    File::open(path).is_ok_and(|file| superblock::check(&mut Flash::from(file)).is_ok())
}

/// Work for the flash.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// Write a configuration: [`slots::save`].
    Save {
        /// Its number, higher than any before.
        generation: Generation,
        /// Tentative, as a rule.
        state: SlotState,
        /// The encoded [`director_core::store::Commit`].
        payload: Vec<u8>,
    },
    /// Write the list of persistent server actions: [`kept::save`].
    Keep(Vec<Kept>),
    /// Read commits for a console: [`slots::history`] or [`slots::recall`].
    Recall {
        /// Who asked.
        session: SessionId,
        /// What.
        what: Recall,
        /// What runs.
        running: Generation,
    },
    /// Change the flash beside the commits.
    Maintain {
        /// Who asked.
        session: SessionId,
        /// What.
        what: Maintenance,
        /// The encoded commit of [`Maintenance::RescueSave`].
        rescue: Vec<u8>,
    },
    /// Tell the boot loader that this system works: [`environment::prove`].
    Prove(Running),
    /// Tell the boot loader what to start next.
    Order(Order),
    /// Change the state of a record: [`slots::mark`].
    Mark {
        /// Of which record.
        generation: Generation,
        /// To what.
        state: SlotState,
    },
}

/// Why a job was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// [`JOBS`] jobs wait already.
    Full,
    /// The thread has ended: nobody receives results any more.
    Stopped,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the flash has not finished earlier writes",
            Self::Stopped => "the flash is no longer in use",
        })
    }
}

impl std::error::Error for Refused {}

/// The thread that owns the flash. When this handle is dropped, jobs already accepted are finished and the thread ends.
#[derive(Debug)]
pub(crate) struct FlashWorker {
    jobs: SyncSender<Job>,
}

impl FlashWorker {
    /// Starts the thread. When `results` is full the thread waits, and jobs queue up to [`JOBS`].
    pub(crate) fn start(flash: Flash, results: Sender<Event>) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(JOBS);
        thread::Builder::new().name("flash".to_string()).spawn(move || run(flash, &queue, &results))?;
        Ok(Self { jobs })
    }

    /// Hands over a job without waiting.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Refused> {
        self.jobs.try_send(job).map_err(|e| match e {
            TrySendError::Full(_) => Refused::Full,
            TrySendError::Disconnected(_) => Refused::Stopped,
        })
    }
}

fn run(mut flash: Flash, jobs: &Receiver<Job>, results: &Sender<Event>) {
    for job in jobs {
        if results.blocking_send(execute(&mut flash, job)).is_err() {
            return;
        }
    }
}

fn execute(flash: &mut Flash, job: Job) -> Event {
    match job {
        Job::Save { generation, state, payload } => {
            Event::Saved { generation, result: slots::save(flash, generation, state, &payload) }
        }
        Job::Mark { generation, state } => {
            Event::Saved { generation, result: slots::mark(flash, generation, state) }
        }
        Job::Prove(running) => Event::Proven(prove(flash, running)),
        Job::Order(order) => Event::Ordered(obey(flash, order)),
        Job::Keep(list) => Event::Kept(kept::save(flash, &list)),
        Job::Recall { session, what, running } => {
            Event::Recalled { session, result: recall(flash, what, running) }
        }
        Job::Maintain { session, what, rescue } => {
            let result = match what {
                Maintenance::RescueSave => rescue::save(flash, &rescue),
                Maintenance::RescueDelete => rescue::delete(flash),
                Maintenance::FactoryReset => factory_reset(flash),
                Maintenance::Identity(role) => identity::assign(flash, role),
            };
            Event::Maintained { session, what, result }
        }
    }
}

/// Reads what consoles ask for; `running` is the generation from which earlier ones are counted.
pub(crate) fn recall(flash: &mut Flash, what: Recall, running: Generation) -> Result<Recalled, StoreError> {
    match what {
        Recall::List => {
            let kept = rescue::load(flash).ok().map(|commit| commit.at_unix_s);
            Ok(Recalled::List(slots::history(flash), kept))
        }
        Recall::Lineage => Ok(Recalled::Lineage(slots::lineage(flash))),
        Recall::Usage => Ok(Recalled::Usage(Box::new(usage::usage(flash)))),
        Recall::Rescue => rescue::load(flash).map(|commit| Recalled::Rescue(Box::new(commit))),
        Recall::Systems => Ok(Recalled::Systems(Box::new(systems(&flash.path)), SystemsNow::default())),
        Recall::Back(back) => {
            let found = slots::recall(flash, running, back);
            found.map(|(generation, commit)| Recalled::Commit { generation, commit: Box::new(commit) })
        }
    }
}

/// Writes the boot loader's environment, in the first partition of the disk that has ours.
fn prove(flash: &Flash, running: Running) -> Result<(), StoreError> {
    environment::prove(&mut beside(&flash.path, BOOT)?, running)
}

/// The boot partition's number.
pub(crate) const BOOT: u32 = 1;

/// Another partition of the disk that has the partition `of`.
pub(crate) fn beside(of: &Path, number: u32) -> Result<Flash, StoreError> {
    let path = partition(of, number).ok_or(StoreError::NoDevice)?;
    Flash::open(&path).map_err(|error| StoreError::device("read", &error))
}

/// The device node of a partition on the disk that has the partition `of`.
pub(crate) fn partition(of: &Path, number: u32) -> Option<PathBuf> {
    let name = sibling(Path::new("/sys/class/block"), of.file_name().unwrap_or_default(), number)?;
    Some(Path::new("/dev").join(name))
}

/// Tells the boot loader what to start next.
fn obey(flash: &Flash, order: Order) -> Result<(), StoreError> {
    let mut boot = beside(&flash.path, BOOT)?;
    match order {
        Order::Try(slot) => {
            install::plan(&mut beside(&flash.path, slot_number(slot))?, &mut boot, slot).map(|_| ())
        }
        Order::Settle => environment::give_up(&mut boot),
    }
}

/// Both systems of the disk that has the partition `of`.
pub(crate) fn systems(of: &Path) -> Systems {
    let held = |slot| match beside(of, slot_number(slot)) {
        Ok(mut slot) => Held::look(&mut slot),
        Err(error) => Held::Unreadable(error.to_string()),
    };
    Systems {
        slots: [held(Slot::A), held(Slot::B)],
        environment: beside(of, BOOT).and_then(|mut boot| upgrade::systems::environment(&mut boot)),
    }
}

/// The partition with this number on the disk that has the partition `name`.
fn sibling(class: &Path, name: &OsStr, number: u32) -> Option<OsString> {
    let disk = class.join(name).canonicalize().ok()?.parent()?.to_owned();
    let entries = fs::read_dir(disk).ok()?.filter_map(Result::ok).take(PARTITIONS);
    let mut names = entries.filter(|entry| {
        fs::read_to_string(entry.path().join("partition")).is_ok_and(|text| text.trim() == number.to_string())
    });
    Some(names.next()?.file_name())
}

/// Wipes the flash. Once the order is on the medium this has succeeded: what is not done now is done at the next start.
pub(crate) fn factory_reset(flash: &mut Flash) -> Result<(), StoreError> {
    let ordered = reset::order(flash);
    if !reset::pending(flash) {
        return ordered.and(Err(StoreError::ReadBack));
    }
    // A failure is met, and said, at the start that follows.
    reset::finish(flash).unwrap_or_default();
    Ok(())
}

/// Looks at the partition as a whole, and mends a superblock of which one copy is damaged. Sentences for the console.
pub(crate) fn inspect(flash: &mut Flash) -> Vec<String> {
    match superblock::check(flash) {
        Ok(Found { first: true, last: true }) => Vec::new(),
        Ok(_) => vec![match superblock::write(flash) {
            Ok(()) => "one copy of the flash superblock was damaged and has been written again".to_string(),
            Err(e) => format!("one copy of the flash superblock is damaged: {e}"),
        }],
        Err(e) => vec![format!("flash partition: {e}")],
    }
}

#[cfg(test)]
mod tests;
