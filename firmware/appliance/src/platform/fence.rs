//! Removes floating addresses for a director that stands still: PID 1 sends what the director made beforehand.

use super::rtnl;
use director_core::plan::AddressKey;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Answers of the kernel thrown away after one order: it answers only what fails, and the rest is lost with the buffer.
const ANSWERS: usize = 64;

/// A netlink socket of PID 1's own, opened while all is well.
#[derive(Debug)]
pub(crate) struct FenceSocket(OwnedFd);

impl FenceSocket {
    /// Opens the socket.
    pub(crate) fn open() -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute).map(Self)
    }

    /// Sends messages as they are. The kernel has done them when this returns.
    pub(crate) fn send(&self, messages: &[u8]) -> nix::Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        let sent = send(self.0.as_raw_fd(), messages, MsgFlags::MSG_DONTWAIT);
        // An address that is gone already is answered with an error that nobody needs.
        let mut answer = [0; 16];
        for _ in 0..ANSWERS {
            if recv(self.0.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT).is_err() {
                break;
            }
        }
        sent.map(drop)
    }
}

/// The messages that remove these addresses. What has no device any more needs none.
pub(crate) fn removal(keys: &[AddressKey]) -> Vec<u8> {
    let known = keys.iter().filter_map(|key| {
        let index = nix::net::if_::if_nametoindex(key.device.as_str()).ok()?;
        Some((index, key.cidr))
    });
    rtnl::removal(known)
}
