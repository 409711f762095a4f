//! Waits for devices by the kernel's own announcements.

use super::clock;
use director_core::model::Millis;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use std::os::fd::{AsFd, AsRawFd};

/// The kernel's own group of `NETLINK_KOBJECT_UEVENT`; the other belongs to udev.
const KERNEL_GROUP: u32 = 1;
/// Longest message: `UEVENT_BUFFER_SIZE` in include/linux/kobject.h.
const MESSAGE_BYTES: usize = 2048;
/// Looks at most: a box with more device events than this in the time limit has other troubles.
const LOOKS_MAX: usize = 4096;

/// Calls `find` now and after each device event until it gives something or `limit` has passed. Blocks.
pub(crate) fn until<T>(limit: Millis, mut find: impl FnMut() -> Option<T>) -> Option<T> {
    let end = clock::now().after(limit);
    // Listen first, look then: what appears in between is not missed.
    let events = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::NetlinkKObjectUEvent,
    );
    let Ok(events) = events else { return find() };
    if bind(events.as_raw_fd(), &NetlinkAddr::new(0, KERNEL_GROUP)).is_err() {
        return find();
    }
    for _ in 0..LOOKS_MAX {
        if let Some(found) = find() {
            return Some(found);
        }
        let left_ms = end.micros_since(clock::now()) / 1000;
        if left_ms == 0 {
            return None;
        }
        let left_ms = i32::try_from(left_ms).unwrap_or(i32::MAX);
        let timeout = PollTimeout::try_from(left_ms).unwrap_or(PollTimeout::ZERO);
        let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
        // An interrupted wait only looks once more.
        if poll(&mut fds, timeout).is_ok_and(|ready| ready > 0) {
            let mut message = [0_u8; MESSAGE_BYTES];
            // One event at a time: a partition's event follows its disk's. A message that cannot be read is as good as one that can.
            recv(events.as_raw_fd(), &mut message, MsgFlags::empty()).ok();
        }
    }
    find()
}
