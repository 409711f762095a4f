//! The kernel's side: everything that is a system call.

pub(crate) mod flash;
