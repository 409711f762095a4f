//! Netlink messages over one reused buffer, and a socket that never stalls.
//!
//! The sockets are neli's; the messages are written by [`encode`] and read by [`decode`], because neli's builders cost
//! more than the system calls when 10,000 real servers are programmed.
//!
//! The kernel works on a request inside `send`: when that returns, all acknowledgements are in the receive queue (or
//! the socket says ENOBUFS), and each part of a dump is made inside the `recv` that takes the one before. So
//! answers are read directly, and only a kernel that behaves otherwise makes us wait, for a bounded time.

pub(crate) mod channel;
pub(crate) mod decode;
pub(crate) mod encode;

pub(crate) use channel::Channel;
pub(crate) use decode::{Attribute, Malformed, Message, attributes, messages};
pub(crate) use encode::{Body, Encoder};

use director_core::plan::OpError;
use nix::errno::Errno;
use std::io;

/// Numbers of `include/uapi/linux/netlink.h`.
pub(crate) mod uapi {
    /// Bytes of `struct nlmsghdr`.
    pub(crate) const HEADER_BYTES: usize = 16;
    /// Bytes of `struct nlattr`.
    pub(crate) const ATTRIBUTE_BYTES: usize = 4;
    /// `NLM_F_REQUEST`.
    pub(crate) const REQUEST: u16 = 0x1;
    /// `NLM_F_ACK`.
    pub(crate) const ACK: u16 = 0x4;
    /// `NLM_F_DUMP_INTR`: the dumped objects changed meanwhile.
    pub(crate) const DUMP_INTR: u16 = 0x10;
    /// `NLM_F_DUMP`.
    pub(crate) const DUMP: u16 = 0x300;
    /// `NLM_F_REPLACE`.
    pub(crate) const REPLACE: u16 = 0x100;
    /// `NLM_F_EXCL`.
    pub(crate) const EXCL: u16 = 0x200;
    /// `NLM_F_CREATE`.
    pub(crate) const CREATE: u16 = 0x400;
    /// `NLM_F_APPEND`.
    pub(crate) const APPEND: u16 = 0x800;
    /// `NLM_F_CAPPED`: an acknowledgement repeats only the header of the request.
    pub(crate) const CAPPED: u16 = 0x100;
    /// `NLM_F_ACK_TLVS`: attributes follow in an acknowledgement.
    pub(crate) const ACK_TLVS: u16 = 0x200;
    /// `NLMSG_ERROR`: an error, or an acknowledgement when it is 0.
    pub(crate) const ERROR: u16 = 2;
    /// `NLMSG_DONE`: end of a dump.
    pub(crate) const DONE: u16 = 3;
    /// `NLMSG_OVERRUN`.
    pub(crate) const OVERRUN: u16 = 4;
    /// `NLMSGERR_ATTR_MSG`.
    pub(crate) const ERROR_TEXT: u16 = 1;
    /// `NLA_F_NESTED`.
    pub(crate) const NESTED: u16 = 0x8000;
    /// `NLA_TYPE_MASK`: without the flags for nesting and byte order.
    pub(crate) const TYPE_MASK: u16 = 0x3fff;
}

/// An error with the system's words for `errno`.
#[must_use]
pub(crate) fn errno(errno: Errno) -> OpError {
    OpError { errno: errno_number(errno), message: String::from(errno.desc()) }
}

/// An error with the system's words for a number as the kernel sends it.
#[must_use]
pub(crate) fn errno_raw(number: i32) -> OpError {
    OpError { errno: number, message: String::from(Errno::from_raw(number).desc()) }
}

/// An error of ours, with our words.
#[must_use]
pub(crate) fn refuse(errno: Errno, message: impl Into<String>) -> OpError {
    OpError { errno: errno_number(errno), message: message.into() }
}

/// A failed system call in `what`.
#[must_use]
pub(crate) fn from_io(what: &str, error: &io::Error) -> OpError {
    error.raw_os_error().map_or_else(
        || refuse(Errno::EIO, format!("{what}: {error}")),
        |number| {
            let OpError { errno, message } = errno_raw(number);
            OpError { errno, message: format!("{what}: {message}") }
        },
    )
}

/// Turns the failures that mean "it is already so" into success.
pub(crate) fn unless(result: Result<(), OpError>, harmless: &[Errno]) -> Result<(), OpError> {
    match result {
        Err(error) if harmless.contains(&Errno::from_raw(error.errno)) => Ok(()),
        Ok(()) | Err(_) => result,
    }
}

#[expect(clippy::as_conversions, reason = "Errno is repr(i32) and has no conversion of its own")]
const fn errno_number(errno: Errno) -> i32 {
    errno as i32
}

impl From<Malformed> for OpError {
    fn from(_: Malformed) -> Self {
        refuse(Errno::EBADMSG, "the kernel's answer is malformed")
    }
}
