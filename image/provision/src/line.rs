//! The line to a console: a serial port, or the lab's socket.

use anyhow::{Context as _, Result};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long one read waits; the line's limits are made of these.
const READ: Duration = Duration::from_millis(50);

/// A byte stream in both directions. Reads wait at most [`READ`].
trait Duplex: Read + Write {}
impl<T: Read + Write + ?Sized> Duplex for T {}

/// How long a line that broke is waited for: plugging a cable in again, or a machine that starts.
const AWAY: Duration = Duration::from_secs(60);
/// How often it is looked for meanwhile. Nothing tells that an adapter has come back.
const LOOK: Duration = Duration::from_millis(250);

/// Where a line is, to open it again.
#[derive(Clone, Debug)]
enum Place {
    Port { path: String, baud: u32 },
    Socket(PathBuf),
    Nowhere,
}

/// An open line.
pub(crate) struct Line {
    stream: Box<dyn Duplex>,
    place: Place,
    broken: bool,
}

impl Line {
    pub(crate) fn serial(path: &str, baud: u32) -> Result<Self> {
        let port = serialport::new(path, baud).timeout(READ).open().with_context(|| {
            format!("cannot open {path}: is it plugged in, and are you in group dialout?")
        })?;
        let place = Place::Port { path: path.to_owned(), baud };
        Ok(Self { stream: Box::new(port), place, broken: false })
    }

    pub(crate) fn socket(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("cannot connect to {}: is the lab up?", path.display()))?;
        Ok(Self { place: Place::Socket(path.to_owned()), ..Self::of(stream)? })
    }

    /// Whether the last thing that happened was that the line went away.
    pub(crate) fn broken(&self) -> bool {
        self.broken
    }

    /// Opens the line again when it is there again.
    pub(crate) fn reopen(&mut self) -> Result<()> {
        let end = Instant::now() + AWAY;
        loop {
            let again = match &self.place {
                Place::Port { path, baud } => Self::serial(path, *baud),
                Place::Socket(path) => Self::socket(path),
                Place::Nowhere => anyhow::bail!("the line is gone"),
            };
            match again {
                Ok(line) => {
                    *self = line;
                    return Ok(());
                }
                Err(error) if Instant::now() >= end => return Err(error),
                Err(_) => std::thread::park_timeout(LOOK),
            }
        }
    }

    pub(crate) fn of(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(READ)).context("socket")?;
        Ok(Self { stream: Box::new(stream), place: Place::Nowhere, broken: false })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let sent = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
        self.broken |= sent.is_err();
        sent.context("the line is gone")
    }

    /// What comes within `limit`: as soon as something is there, or nothing.
    pub(crate) fn receive(&mut self, limit: Duration) -> Result<Vec<u8>> {
        let end = Instant::now() + limit;
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.broken = true;
                    anyhow::bail!("the line was closed");
                }
                Ok(count) => return Ok(buffer.get(..count).unwrap_or_default().to_vec()),
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted
                    ) => {}
                Err(e) => {
                    self.broken = true;
                    return Err(e).context("the line is gone");
                }
            }
            if Instant::now() >= end {
                return Ok(Vec::new());
            }
        }
    }
}
