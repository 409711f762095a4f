//! Which system boots: two slots on the disk, and two small files that tell the boot loader.
//!
//! ```text
//! server --HTTP--> fetch --+
//! serial line --blocks-----+--> Installer --> idle slot, verified --upgrade boot--> environment: trial
//!                                                     --reboot--> marked good, or the other slot again
//! ```
//! Power may fail at any byte: the slot that runs is never written, and the environment names a slot only after every
//! byte of it was read back. The boot loader checks a slot's checksums before it starts it, so the two together are safe
//! even where a disk lies about what it wrote.

pub mod bundle;
pub mod environment;
pub mod fetch;
pub mod install;
pub mod layout;
pub mod rollout;
pub mod running;
pub mod systems;
pub mod trailer;
pub mod trust;

#[cfg(test)]
#[expect(clippy::as_conversions, reason = "test data; the numbers are small")]
mod install_tests;
#[cfg(test)]
mod tests;
