//! A configuration over a serial line that loses, doubles and flips bytes: both ends, without I/O.
//!
//! The laptop asks, the box answers each sound line with one line; the laptop asks again when nothing comes. A line
//! is printable ASCII, so it passes terminal servers and flow control:
//!
//! ```text
//! :BODY~CRC32<CR>      CRC-32 (IEEE) of BODY, eight hexadecimal digits
//!
//! laptop  H                      hello                   box  H 3
//!         P LENGTH SHA256        begin or go on pushing       A HAVE      so many bytes are here
//!         D OFFSET BASE64        a block                      A HAVE
//!         E SHA256               that was all                 Y SHA256    it is the candidate now
//!                                                             N BASE64    it is not, and why
//!         G OFFSET               pull running configuration   B OFFSET LENGTH SHA256 BASE64
//!         C ID OFFSET BASE64     run a command           B OFFSET LENGTH SHA256 BASE64   what it said
//!         U LENGTH SHA256        begin or go on sending an upgrade, then D and E as above
//!         Q                      leave                        Q
//! ```
//! What is not a sound line is ignored. Nothing becomes the candidate before its whole SHA-256 is right, whatever passed the
//! CRCs; a push that broke off goes on where it was, as long as the box remembers the bytes.

pub(crate) mod base64;
mod depot;
mod laptop;
mod line;

pub use depot::Depot;
pub(crate) use depot::said;
pub use laptop::{Action, Pull, Push, Run, TRIES};
pub use line::{Digest, Lines, Message};

/// Version of the protocol.
pub const VERSION: u32 = 3;
/// Bytes of a configuration's text, at most. Chosen: four times 1,000 services and 10,000 servers.
pub const TEXT_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a command, at most.
pub const COMMAND_BYTES: usize = 255;
/// Bytes of a block. Chosen: a third of a second at 9600 baud, so a lost one costs little.
pub const BLOCK_BYTES: usize = 240;
/// Bytes of a block of an upgrade. Chosen: large, because each is answered before the next; an eighth of a second at 115200
/// baud.
pub const UPGRADE_BLOCK_BYTES: usize = 1024;
/// Bytes of an upgrade, at most: two parts of a slot.
pub const UPGRADE_MAX: usize = 17 * 1024 * 1024;
/// Characters of a body, at most: a block in base64, numbers and a digest.
pub const BODY_MAX: usize = 1536;

#[cfg(test)]
mod tests;
