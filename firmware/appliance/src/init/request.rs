//! The request socket of PID 1, both ends.

use director_core::init::{Ask, limits};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;

/// Where PID 1 listens; only root may write to it (umask of PID 1).
pub(crate) const SOCKET: &str = "/run/init.sock";

/// PID 1's end.
#[derive(Debug)]
pub(super) struct Requests(UnixDatagram);

impl Requests {
    pub(super) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::bind(SOCKET)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// The next request; datagrams that are none are skipped, a bounded number at a time.
    pub(super) fn next(&self) -> Option<Ask> {
        for _ in 0..super::BATCH {
            // One byte more than the longest, so that a cut datagram is never taken for a request.
            let mut buffer = [0; limits::ASK_BYTES + 1];
            let read = self.0.recv(&mut buffer).ok()?;
            if let Some(ask) = buffer.get(..read).and_then(Ask::parse) {
                return Some(ask);
            }
        }
        None
    }
}

impl AsFd for Requests {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Asks PID 1; by signal when its socket does not take it. Does not block.
pub(crate) fn ask(ask: Ask) -> io::Result<()> {
    use director_core::director::protocol::Power;
    use nix::sys::signal::{Signal, kill};
    let sent = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(ask.word().as_bytes(), SOCKET)
    });
    let Err(error) = sent else { return Ok(()) };
    let signal = match ask {
        Ask::Power(Power::Reboot) => Signal::SIGTERM,
        Ask::Power(Power::Off) => Signal::SIGUSR2,
        Ask::RestartDirector => return Err(error),
    };
    kill(nix::unistd::Pid::from_raw(1), signal).map_err(io::Error::other)
}
