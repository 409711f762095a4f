//! Takes an upgrade beside everything else: one thread that downloads or is given bytes, and writes them into the slot that
//! does not run. What the bytes must be is [`director_core::upgrade::install`]; here are the disk, the connection and the time
//! limits.

use super::flash::{Flash, partition};
use super::priority;
use director_core::director::Event;
use director_core::director::upgrading::{BLOCK_MAX, News, Task};
use director_core::upgrade::bundle::Version;
use director_core::upgrade::environment::Slot;
use director_core::upgrade::fetch::{Answer, Url};
use director_core::upgrade::install::{Installer, piece};
use director_core::upgrade::trust;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// How long a server may take to accept, and to send the next bytes. Chosen: a server on the next network answers in
/// milliseconds, and a busy one within seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes read at once.
const READ_BYTES: usize = 32 * 1024;
/// Bytes between two reports of the progress.
const REPORT_BYTES: u64 = 256 * 1024;
/// Pieces from the serial line that wait: the next comes when one was written.
const PIECES: usize = 2;

/// Bytes for the thread, or the end of them.
#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// Starts and stops the thread.
#[derive(Debug)]
pub(crate) struct Upgrader {
    events: Sender<Event>,
    /// The data partition, beside which the slots lie.
    data: PathBuf,
    /// The thread's input, when it takes blocks.
    pieces: Option<SyncSender<Piece>>,
    stop: Arc<AtomicBool>,
}

impl Upgrader {
    /// For the disk that has this data partition; news go to `events`.
    pub(crate) fn new(data: PathBuf, events: Sender<Event>) -> Self {
        Self { events, data, pieces: None, stop: Arc::default() }
    }

    /// Does a task; what is known at once is given back.
    pub(crate) fn carry_out(&mut self, task: Task) -> Option<News> {
        match task {
            Task::Fetch { url, slot } => self.start(slot, move |work| work.fetch(&url)),
            Task::Receive { slot } => {
                let (pieces, queue) = sync_channel(PIECES);
                self.pieces = Some(pieces);
                self.start(slot, move |work| work.receive(&queue))
            }
            Task::Block(bytes) => self.give(Piece::Bytes(bytes)),
            Task::End => self.give(Piece::End),
            Task::Read { slot, at } => {
                let data = self.data.clone();
                self.spawn(move || News::Piece(read(&data, slot, at))).map(|error| News::Piece(Err(error)))
            }
            Task::Cancel => {
                self.stop.store(true, Ordering::Relaxed);
                self.pieces = None;
                None
            }
        }
    }

    fn give(&self, piece: Piece) -> Option<News> {
        // A thread that has ended has said why.
        let _ended = self.pieces.as_ref()?.try_send(piece).is_err();
        None
    }

    fn start(
        &mut self,
        slot: Slot,
        work: impl FnOnce(&mut Work) -> Result<String, String> + Send + 'static,
    ) -> Option<News> {
        self.stop = Arc::default();
        let (data, events, stop) = (self.data.clone(), self.events.clone(), Arc::clone(&self.stop));
        self.spawn(move || {
            News::Ended(Work::open(&data, slot, events, stop).and_then(|mut opened| work(&mut opened)))
        })
        .map(|error| News::Ended(Err(error)))
    }

    /// Why there is no thread for this.
    fn spawn(&self, work: impl FnOnce() -> News + Send + 'static) -> Option<String> {
        let events = self.events.clone();
        let spawned = thread::Builder::new().name("upgrade".to_owned()).spawn(move || {
            // Serving comes first: this may take as long as it takes.
            priority::lowest();
            // The director is gone: nobody to tell.
            drop(events.blocking_send(Event::Upgrade(work())));
        });
        spawned.err().map(|error| format!("cannot start: {error}"))
    }
}

/// A piece of the bundle in a slot.
fn read(data: &Path, slot: Slot, at: u64) -> Result<(u64, Vec<u8>, u64), String> {
    let (bytes, of) = piece(&mut open(data, slot)?, at, BLOCK_MAX).map_err(|error| error.to_string())?;
    Ok((at, bytes, of))
}

fn open(data: &Path, slot: Slot) -> Result<Flash, String> {
    let path = partition(data, slot_number(slot)).ok_or("this disk has no system slots")?;
    Flash::open(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The thread's state.
struct Work {
    slot: Flash,
    installer: Option<Installer>,
    events: Sender<Event>,
    stop: Arc<AtomicBool>,
    reported: u64,
}

impl Work {
    fn open(data: &Path, slot: Slot, events: Sender<Event>, stop: Arc<AtomicBool>) -> Result<Self, String> {
        Self::new(open(data, slot)?, events, stop)
    }

    fn new(slot: Flash, events: Sender<Event>, stop: Arc<AtomicBool>) -> Result<Self, String> {
        let running: Version =
            env!("CARGO_PKG_VERSION").parse().map_err(|()| "this version has no number")?;
        Ok(Self { slot, installer: Some(Installer::new(trust::rules(running))), events, stop, reported: 0 })
    }

    fn stopped(&self) -> Result<(), String> {
        if self.stop.load(Ordering::Relaxed) { Err("it was cancelled".to_owned()) } else { Ok(()) }
    }

    fn fetch(&mut self, url: &Url) -> Result<String, String> {
        let words = |error: io::Error| {
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
                return format!("the server sent nothing for {} s", PATIENCE.as_secs());
            }
            format!("connection to {}: {error}", url.server())
        };
        let mut stream = TcpStream::connect_timeout(&url.server(), PATIENCE).map_err(words)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(words)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(words)?;
        stream.write_all(&url.request()).map_err(words)?;
        let mut answer = Answer::default();
        let mut buffer = vec![0; READ_BYTES];
        while !answer.ended() {
            self.stopped()?;
            let read = stream.read(&mut buffer).map_err(words)?;
            if read == 0 {
                answer.end()?;
                break;
            }
            let body = answer.feed(buffer.get(..read).unwrap_or_default())?;
            self.feed(&body, REPORT_BYTES)?;
        }
        self.finish()
    }

    fn receive(&mut self, pieces: &Receiver<Piece>) -> Result<String, String> {
        for piece in pieces {
            self.stopped()?;
            match piece {
                Piece::Bytes(bytes) => self.feed(&bytes, 0)?,
                Piece::End => return self.finish(),
            }
        }
        Err("it was not sent to its end: begin again".to_owned())
    }

    /// Writes bytes, and reports after each `report` of them.
    fn feed(&mut self, bytes: &[u8], report: u64) -> Result<(), String> {
        let Some(installer) = &mut self.installer else { return Ok(()) };
        installer.feed(&mut self.slot, bytes).map_err(|refused| refused.to_string())?;
        let (have, front) = installer.progress();
        if have >= self.reported.saturating_add(report) {
            self.reported = have;
            let of = front.map(|front| (front.length(), front.version.to_string()));
            drop(self.events.blocking_send(Event::Upgrade(News::Came { have, of })));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<String, String> {
        let installer = self.installer.take().ok_or("it is over")?;
        let front = installer.finish(&mut self.slot).map_err(|refused| refused.to_string())?;
        Ok(front.version.to_string())
    }
}

/// Which partition a slot is.
pub(crate) const fn slot_number(slot: Slot) -> u32 {
    match slot {
        Slot::A => 2,
        Slot::B => 3,
    }
}

#[cfg(test)]
#[path = "upgrade/tests.rs"]
mod tests;
