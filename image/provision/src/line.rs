//! The line to a console: a serial port, or the lab's socket.

use anyhow::{Context as _, Result};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long one read waits; the line's limits are made of these.
const READ: Duration = Duration::from_millis(50);

/// A byte stream in both directions. Reads wait at most [`READ`].
trait Duplex: Read + Write {}
impl<T: Read + Write + ?Sized> Duplex for T {}

/// An open line.
pub(crate) struct Line {
    stream: Box<dyn Duplex>,
}

impl Line {
    pub(crate) fn serial(path: &str, baud: u32) -> Result<Self> {
        let port = serialport::new(path, baud).timeout(READ).open().with_context(|| {
            format!("cannot open {path}: is it plugged in, and are you in group dialout?")
        })?;
        Ok(Self { stream: Box::new(port) })
    }

    pub(crate) fn socket(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .with_context(|| format!("cannot connect to {}: is the lab up?", path.display()))?;
        Self::of(stream)
    }

    pub(crate) fn of(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(READ)).context("socket")?;
        Ok(Self { stream: Box::new(stream) })
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).context("the line is gone")
    }

    /// What comes within `limit`: as soon as something is there, or nothing.
    pub(crate) fn receive(&mut self, limit: Duration) -> Result<Vec<u8>> {
        let end = Instant::now() + limit;
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => anyhow::bail!("the line was closed"),
                Ok(count) => return Ok(buffer.get(..count).unwrap_or_default().to_vec()),
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted
                    ) => {}
                Err(e) => return Err(e).context("the line is gone"),
            }
            if Instant::now() >= end {
                return Ok(Vec::new());
            }
        }
    }
}
