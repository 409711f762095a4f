//! Broadcasts of rwhod (`protocols/rwhod.h` of BSD and Debian's netkit).

use crate::health::load::Reading;

/// Port that they come from and go to.
pub const PORT: u16 = 513;
/// Longest datagram: the header and 42 users (1,068 bytes).
pub const DATAGRAM_MAX: usize = 1472;

/// Version 1, status.
const KIND: [u8; 2] = [1, 1];
/// Bytes before the users.
const HEADER_BYTES: usize = 60;
/// Where the load average over a minute stands, in hundredths.
const LOAD_OFFSET: usize = 44;

/// The load average over a minute. `None`: not a broadcast of rwhod.
#[must_use]
pub fn parse(datagram: &[u8]) -> Option<Reading> {
    if datagram.len() < HEADER_BYTES || !datagram.starts_with(&KIND) {
        return None;
    }
    let hundredths = u32::from_be_bytes(*datagram.get(LOAD_OFFSET..)?.first_chunk()?);
    // A load of a million is no load.
    (hundredths < 100_000_000).then(|| Reading::Average(hundredths.saturating_mul(10)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    pub(crate) fn datagram(hundredths: u32) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..2].copy_from_slice(&KIND);
        bytes[LOAD_OFFSET..LOAD_OFFSET + 4].copy_from_slice(&hundredths.to_be_bytes());
        bytes
    }

    #[test]
    fn a_broadcast_of_debians_rwhod_is_read() {
        let mut bytes = vec![0; HEADER_BYTES];
        // rwhod 0.17-15 on a host named vm; its load was 12.34.
        bytes[..14]
            .copy_from_slice(&[1, 1, 0, 0, 0x6b, 0x0d, 0x74, 0xd6, 0x78, 0x6d, 0xdd, 0xe6, b'v', b'm']);
        bytes[44..].copy_from_slice(&[0, 0, 4, 0xd2, 0, 0, 5, 0x86, 0, 0, 6, 9, 0x6b, 0x0d, 0x5b, 0x2e]);
        assert_eq!(parse(&bytes), Some(Reading::Average(12_340)));
    }

    #[test]
    fn the_load_of_the_last_minute_is_read_and_other_datagrams_are_not() {
        assert_eq!(parse(&datagram(142)), Some(Reading::Average(1420)));
        assert_eq!(parse(&datagram(142)[..59]), None);
        assert_eq!(parse(&[0; 60]), None);
        assert_eq!(parse(&datagram(u32::MAX)), None);
    }
}
