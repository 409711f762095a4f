//! The shells: each turns effects of the core into system calls, and their ends into events.

pub(crate) mod clock;
pub(crate) mod probe;
