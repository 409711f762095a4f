//! The serial line of the console.

use serialport::{DataBits, FlowControl, Parity, SerialPort as _, StopBits, TTYPort};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, IntoRawFd as _, OwnedFd};
use tokio::io::unix::AsyncFd;

/// A serial line in raw mode.
#[derive(Debug)]
pub(crate) struct Tty {
    line: AsyncFd<std::fs::File>,
}

impl Tty {
    /// Opens a line, for example `/dev/ttyS0`, at `baud` bits per second, 8N1. Needs a tokio reactor.
    pub(crate) fn open(path: &str, baud: u32) -> io::Result<Self> {
        let port = serialport::new(path, baud)
            .data_bits(DataBits::Eight)
            .parity(Parity::None)
            .stop_bits(StopBits::One)
            // The other end may hold us back with XOFF; a terminal that never does is not harmed.
            .flow_control(FlowControl::Software);
        let mut port = TTYPort::open(&port)?;
        // The kernel writes to this line too, when it panics.
        port.set_exclusive(false)?;
        // Most cables need it to let data through; lines without the signal refuse, which is no harm.
        port.write_data_terminal_ready(true).ok();
        let file = std::fs::File::from(owned(port.into_raw_fd()));
        // serialport clears it after opening.
        set_nonblocking(&file)?;
        Ok(Self { line: register(file)? })
    }

    /// Waits for bytes. Zero: the line hung up.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.line.readable().await?;
            if let Ok(result) = ready.try_io(|line| line.get_ref().read(buffer)) {
                return result;
            }
        }
    }

    /// Waits until the line takes bytes; gives how many it took.
    pub(crate) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.line.writable().await?;
            if let Ok(result) = ready.try_io(|line| line.get_ref().write(bytes)) {
                return result;
            }
        }
    }
}

fn set_nonblocking(file: &std::fs::File) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop).map_err(io::Error::from)
}

#[expect(unsafe_code, reason = "serialport gives a raw descriptor")]
fn owned(fd: std::os::fd::RawFd) -> OwnedFd {
    // SAFETY: into_raw_fd gave up ownership, so nobody else closes it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[expect(unsafe_code, reason = "tokio's constructor asks for a promise about the descriptor")]
fn register(file: std::fs::File) -> io::Result<AsyncFd<std::fs::File>> {
    debug_assert!(file.as_raw_fd() >= 0);
    // SAFETY: the file owns its descriptor and keeps it open until the AsyncFd is dropped.
    unsafe { AsyncFd::register(file) }.map_err(io::Error::from)
}
