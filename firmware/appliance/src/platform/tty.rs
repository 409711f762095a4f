//! The serial line of the console.
#![expect(unsafe_code, reason = "serialport gives its descriptor as a number, and tokio takes one")]

use director_core::init::cmdline::Tty as Name;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// An open serial line: raw, 8 bits, no parity, not blocking. Read and write through shared references, so that one
/// task can wait for both. A dropped wait loses nothing.
#[derive(Debug)]
pub(crate) struct Tty {
    fd: AsyncFd<OwnedFd>,
}

impl Tty {
    /// Opens a line. The kernel keeps it as its own console, so it is not opened exclusively. Needs a tokio runtime.
    pub(crate) fn open(name: &Name, baud: u32) -> io::Result<Self> {
        // The terminal may hold us back with XOFF, and is held back when our input is full; one that knows nothing of it is
        // not harmed.
        let flow = serialport::FlowControl::Software;
        Self::with(serialport::new(name.to_string(), baud).flow_control(flow).exclusive(false))
    }

    /// Opens the line `device` below `/dev` for bytes of any value, and for nobody else.
    pub(crate) fn open_binary(device: &str, baud: u32) -> io::Result<Self> {
        Self::with(serialport::new(format!("/dev/{device}"), baud))
    }

    fn with(line: serialport::SerialPortBuilder) -> io::Result<Self> {
        let port = line.open_native()?;
        // SAFETY: into_raw_fd gives up the port's ownership of an open descriptor; nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(port.into_raw_fd()) };
        // serialport clears O_NONBLOCK after open.
        fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // SAFETY: the OwnedFd is open, is the only owner, and stays inside until it is dropped.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE | Interest::WRITABLE) }?;
        Ok(Self { fd })
    }
}

impl AsRawFd for Tty {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// A failure of the line, for the traits of embedded-io.
#[derive(Debug)]
pub(crate) struct TtyError(pub(crate) io::Error);

impl std::fmt::Display for TtyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for TtyError {}

impl embedded_io::Error for TtyError {
    fn kind(&self) -> embedded_io::ErrorKind {
        self.0.kind().into()
    }
}

impl embedded_io::ErrorType for &Tty {
    type Error = TtyError;
}

impl embedded_io_async::Read for &Tty {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, TtyError> {
        let read = |fd: &OwnedFd| nix::unistd::read(fd, buffer).map_err(io::Error::from);
        self.fd.async_io(Interest::READABLE, read).await.map_err(TtyError)
    }
}

impl embedded_io_async::Write for &Tty {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, TtyError> {
        let write = |fd: &OwnedFd| nix::unistd::write(fd, bytes).map_err(io::Error::from);
        self.fd.async_io(Interest::WRITABLE, write).await.map_err(TtyError)
    }

    async fn flush(&mut self) -> Result<(), TtyError> {
        // The kernel's buffer is the line's: nothing of ours is left to flush.
        Ok(())
    }
}
