//! The kernel's side: everything that is a system call.

pub(crate) mod clock;
pub(crate) mod flash;
pub(crate) mod probe;
pub(crate) mod uevent;
