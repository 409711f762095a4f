//! Byte formats of frames that we send or judge: pure, no allocation, no I/O.
//!
//! Each format has its layout drawn, its offsets in one `field` module, a `Repr` with `parse` and `emit`, and
//! golden bytes. `parse` takes any bytes: it refuses with a [`WireError`] and never panics.

pub mod arp;
pub mod dhcp;
pub mod ethernet;
pub mod heartbeat;
pub mod ipvs_sync;
pub mod ndp;
pub mod rwho;
pub mod slip;
pub mod tcp;

use core::fmt;

/// A hardware address of 48 bits.
pub type Mac = [u8; 6];

/// Why bytes are not the frame that was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WireError {
    /// Fewer bytes than the format needs.
    Truncated,
    /// A fixed field has another value: this is some other frame.
    Unexpected {
        /// Which field.
        field: &'static str,
    },
    /// The checksum does not match.
    Checksum,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("truncated"),
            Self::Unexpected { field } => write!(f, "unexpected {field}"),
            Self::Checksum => f.write_str("wrong checksum"),
        }
    }
}

impl core::error::Error for WireError {}

/// The `N` bytes at `offset`.
fn take<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], WireError> {
    let end = offset.checked_add(N).ok_or(WireError::Truncated)?;
    let field = bytes.get(offset..end).ok_or(WireError::Truncated)?;
    field.try_into().map_err(|_| WireError::Truncated)
}

/// Writes `field` at `offset` of a frame. What does not fit is not written: every caller's frame is a fixed array
/// whose size is the sum of its fields, and the golden bytes prove it.
fn put(frame: &mut [u8], offset: usize, field: &[u8]) {
    if let Some(target) = frame.get_mut(offset..).and_then(|rest| rest.get_mut(..field.len())) {
        target.copy_from_slice(field);
    }
}

/// A hardware address as `52:54:00:12:34:56`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DisplayMac(pub Mac);

impl fmt::Display for DisplayMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
