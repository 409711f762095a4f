//! The Ethernet II header (IEEE 802.3 clause 3.1, type interpretation).
//!
//! ```text
//!  0            6            12      14
//!  +------------+------------+-------+---------
//!  | destination| source     | type  | payload
//!  +------------+------------+-------+---------
//! ```

use super::{DisplayMac, Mac, WireError, put, take};
use core::fmt;

/// Bytes of the header.
pub const HEADER_BYTES: usize = field::PAYLOAD;
/// All stations.
pub const BROADCAST: Mac = [0xff; 6];
/// ARP (IANA ethertypes).
pub const TYPE_ARP: u16 = 0x0806;
/// IPv6 (IANA ethertypes).
pub const TYPE_IPV6: u16 = 0x86dd;

mod field {
    pub(super) const DESTINATION: usize = 0;
    pub(super) const SOURCE: usize = 6;
    pub(super) const TYPE: usize = 12;
    pub(super) const PAYLOAD: usize = 14;
}

/// An Ethernet header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr {
    /// Receiver.
    pub destination: Mac,
    /// Sender.
    pub source: Mac,
    /// What the payload is.
    pub ethertype: u16,
}

impl Repr {
    /// Splits a frame into header and payload.
    pub fn parse(frame: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let header = Self {
            destination: take(frame, field::DESTINATION)?,
            source: take(frame, field::SOURCE)?,
            ethertype: u16::from_be_bytes(take(frame, field::TYPE)?),
        };
        Ok((header, frame.get(field::PAYLOAD..).ok_or(WireError::Truncated)?))
    }

    /// Writes the header into the first 14 bytes of `frame`.
    pub(super) fn emit(&self, frame: &mut [u8]) {
        put(frame, field::DESTINATION, &self.destination);
        put(frame, field::SOURCE, &self.source);
        put(frame, field::TYPE, &self.ethertype.to_be_bytes());
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (DisplayMac(self.source), DisplayMac(self.destination));
        write!(f, "{source} > {destination}, ethertype 0x{:04x}", self.ethertype)
    }
}
