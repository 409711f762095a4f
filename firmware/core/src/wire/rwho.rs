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
    fn the_load_of_the_last_minute_is_read_and_other_datagrams_are_not() {
        assert_eq!(parse(&datagram(142)), Some(Reading::Average(1420)));
        assert_eq!(parse(&datagram(142)[..59]), None);
        assert_eq!(parse(&[0; 60]), None);
        assert_eq!(parse(&datagram(u32::MAX)), None);
    }
}
