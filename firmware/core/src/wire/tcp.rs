//! TCP segments (RFC 9293 section 3.1) inside IPv4 or IPv6, as a packet socket takes and gives them: without Ethernet header.
//!
//! ```text
//!  0      2      4           8           12       13      14      16     18     20
//!  +------+------+-----------+-----------+--------+-------+-------+------+------+--------
//!  |source|dest  | sequence  | acknowl.  | offset | flags | window| sum  |urgent| options
//!  +------+------+-----------+-----------+--------+-------+-------+------+------+--------
//! ```

use super::{WireError, take};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Flag bits.
pub mod flag {
    /// No more data from the sender.
    pub const FIN: u8 = 1;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 2;
    /// Reset the connection.
    pub const RST: u8 = 4;
    /// Push.
    pub const PSH: u8 = 8;
    /// The acknowledgement field counts.
    pub const ACK: u8 = 16;
}

/// Protocol number (IANA).
pub const PROTOCOL: u8 = 6;
/// Bytes of an IPv4 header without options.
const IPV4_BYTES: usize = 20;
/// Bytes of an IPv6 header.
const IPV6_BYTES: usize = 40;
/// Bytes of a TCP header without options.
const TCP_BYTES: usize = 20;
/// Hops. RFC 1700: the recommended default.
const TTL: u8 = 64;
/// Don't fragment (RFC 791).
const DONT_FRAGMENT: [u8; 2] = [0x40, 0];
/// Bits of more-fragments and of the offset: set in every fragment.
const FRAGMENT: u16 = 0x3fff;

/// A segment and whom it is between.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Sender.
    pub source: SocketAddr,
    /// Receiver, of the same family.
    pub destination: SocketAddr,
    /// Number of the first byte.
    pub sequence: u32,
    /// Next byte that is expected, when [`flag::ACK`] is set.
    pub acknowledgement: u32,
    /// See [`flag`].
    pub flags: u8,
    /// Bytes that the sender has room for.
    pub window: u16,
    /// Largest segment that the sender takes; goes out with SYN only.
    pub mss: Option<u16>,
    /// Data.
    pub payload: Vec<u8>,
}

impl Segment {
    /// Whether all of these flags are set.
    #[must_use]
    pub const fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Reads an IP packet; bytes behind its end (padding of the frame) are ignored. The checksum is not looked at: a
    /// network card, or a virtual one, may leave it to be filled in.
    pub fn parse(packet: &[u8]) -> Result<Self, WireError> {
        let (source, destination, segment) = match take::<1>(packet, 0)? {
            [first] if first >> 4 == 4 => ipv4(packet)?,
            [first] if first >> 4 == 6 => ipv6(packet)?,
            _ => return Err(WireError::Unexpected { field: "version" }),
        };
        Self::bare((source, destination), segment)
    }

    /// Reads a segment without its IP header, between these addresses.
    pub fn bare((source, destination): (IpAddr, IpAddr), segment: &[u8]) -> Result<Self, WireError> {
        let be16 = |offset| take(segment, offset).map(u16::from_be_bytes);
        let be32 = |offset| take(segment, offset).map(u32::from_be_bytes);
        let [offset, flags] = take(segment, 12)?;
        let header = usize::from(offset >> 4).saturating_mul(4);
        if header < TCP_BYTES {
            return Err(WireError::Unexpected { field: "header length" });
        }
        let options = segment.get(TCP_BYTES..header).ok_or(WireError::Truncated)?;
        Ok(Self {
            source: SocketAddr::new(source, be16(0)?),
            destination: SocketAddr::new(destination, be16(2)?),
            sequence: be32(4)?,
            acknowledgement: be32(8)?,
            flags,
            window: be16(14)?,
            mss: largest(options),
            payload: segment.get(header..).ok_or(WireError::Truncated)?.to_vec(),
        })
    }

    /// The IP packet. Empty when the addresses are of two families or the payload is larger than a packet: neither is
    /// ever made.
    #[must_use]
    pub fn packet(&self) -> Vec<u8> {
        let mut segment = self.segment();
        let Ok(length) = u16::try_from(segment.len()) else { return Vec::new() };
        let (header, pseudo) = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => (ipv4_header(from, to, length), pseudo4(from, to, length)),
            (IpAddr::V6(from), IpAddr::V6(to)) => (ipv6_header(from, to, length), pseudo6(from, to, length)),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return Vec::new(),
        };
        let sum = checksum(&segment, sum(&pseudo, 0)).to_be_bytes();
        super::put(&mut segment, 16, &sum);
        [header, segment].concat()
    }

    /// Header and payload, the checksum zero.
    fn segment(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TCP_BYTES.saturating_add(4).saturating_add(self.payload.len()));
        bytes.extend_from_slice(&self.source.port().to_be_bytes());
        bytes.extend_from_slice(&self.destination.port().to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.acknowledgement.to_be_bytes());
        bytes.extend_from_slice(&[if self.mss.is_some() { 0x60 } else { 0x50 }, self.flags]);
        bytes.extend_from_slice(&self.window.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        if let Some(mss) = self.mss {
            bytes.extend_from_slice(&[2, 4]);
            bytes.extend_from_slice(&mss.to_be_bytes());
        }
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

fn ipv4(packet: &[u8]) -> Result<(IpAddr, IpAddr, &[u8]), WireError> {
    let header = usize::from(take::<1>(packet, 0)?[0] & 15).saturating_mul(4);
    let total = usize::from(u16::from_be_bytes(take(packet, 2)?));
    if u16::from_be_bytes(take(packet, 6)?) & FRAGMENT != 0 {
        return Err(WireError::Unexpected { field: "fragment" });
    }
    if take(packet, 9)? != [PROTOCOL] {
        return Err(WireError::Unexpected { field: "protocol" });
    }
    let source = IpAddr::V4(take::<4>(packet, 12)?.into());
    let destination = IpAddr::V4(take::<4>(packet, 16)?.into());
    Ok((source, destination, packet.get(header..total).ok_or(WireError::Truncated)?))
}

fn ipv6(packet: &[u8]) -> Result<(IpAddr, IpAddr, &[u8]), WireError> {
    let length = usize::from(u16::from_be_bytes(take(packet, 4)?));
    // Extension headers do not stand before TCP on a segment: that is some other packet.
    if take(packet, 6)? != [PROTOCOL] {
        return Err(WireError::Unexpected { field: "protocol" });
    }
    let source = IpAddr::V6(take::<16>(packet, 8)?.into());
    let destination = IpAddr::V6(take::<16>(packet, 24)?.into());
    let end = IPV6_BYTES.saturating_add(length);
    Ok((source, destination, packet.get(IPV6_BYTES..end).ok_or(WireError::Truncated)?))
}

/// The option that says the largest segment (RFC 9293 section 3.2).
fn largest(mut options: &[u8]) -> Option<u16> {
    loop {
        match options {
            [2, 4, high, low, ..] => return Some(u16::from_be_bytes([*high, *low])),
            [1, rest @ ..] => options = rest,
            [0, ..] | [] | [_] => return None,
            // Each round takes at least two bytes away.
            [_, length, ..] => options = options.get(usize::from(*length).max(2)..)?,
        }
    }
}

fn ipv4_header(from: Ipv4Addr, to: Ipv4Addr, length: u16) -> Vec<u8> {
    let total = length.saturating_add(20);
    let mut header = [0_u8; IPV4_BYTES];
    super::put(&mut header, 0, &[0x45]);
    super::put(&mut header, 2, &total.to_be_bytes());
    super::put(&mut header, 6, &DONT_FRAGMENT);
    super::put(&mut header, 8, &[TTL, PROTOCOL]);
    super::put(&mut header, 12, &from.octets());
    super::put(&mut header, 16, &to.octets());
    let check = checksum(&header, 0).to_be_bytes();
    super::put(&mut header, 10, &check);
    header.to_vec()
}

fn ipv6_header(from: Ipv6Addr, to: Ipv6Addr, length: u16) -> Vec<u8> {
    let mut header = [0_u8; IPV6_BYTES];
    super::put(&mut header, 0, &[0x60]);
    super::put(&mut header, 4, &length.to_be_bytes());
    super::put(&mut header, 6, &[PROTOCOL, TTL]);
    super::put(&mut header, 8, &from.octets());
    super::put(&mut header, 24, &to.octets());
    header.to_vec()
}

/// RFC 9293 section 3.1.
fn pseudo4(from: Ipv4Addr, to: Ipv4Addr, length: u16) -> Vec<u8> {
    [&from.octets()[..], &to.octets(), &[0, PROTOCOL], &length.to_be_bytes()].concat()
}

/// RFC 8200 section 8.1.
fn pseudo6(from: Ipv6Addr, to: Ipv6Addr, length: u16) -> Vec<u8> {
    [&from.octets()[..], &to.octets(), &u32::from(length).to_be_bytes(), &[0, 0, 0, PROTOCOL]].concat()
}

/// Sum of 16-bit words (RFC 1071), not folded. At most 64 KiB are summed, so 32 bits hold it.
fn sum(bytes: &[u8], start: u32) -> u32 {
    bytes.chunks(2).fold(start, |sum, pair| {
        let word = match pair {
            [high, low] => u16::from_be_bytes([*high, *low]),
            [high] => u16::from_be_bytes([*high, 0]),
            _ => 0,
        };
        sum.wrapping_add(u32::from(word))
    })
}

fn checksum(bytes: &[u8], start: u32) -> u16 {
    let total = sum(bytes, start);
    let folded = (total & 0xffff).wrapping_add(total >> 16);
    let folded = (folded & 0xffff).wrapping_add(folded >> 16);
    u16::try_from(folded & 0xffff).map_or(0, |sum| !sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn syn(source: &str, destination: &str) -> Segment {
        Segment {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            sequence: 0x0102_0304,
            acknowledgement: 0,
            flags: flag::SYN,
            window: 0xffff,
            mss: Some(1460),
            payload: Vec::new(),
        }
    }

    /// Both checksums were computed by another program (RFC 1071).
    #[rustfmt::skip]
    const SYN: [u8; 44] = [
        0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0x32, 0xc0, 1, 2, 3, 2, 1, 2, 3, 7,
        0xee, 0x48, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0x9d, 0x7b, 0, 0, 2, 4, 5, 0xb4,
    ];

    #[test]
    fn a_syn_has_its_golden_bytes_and_right_checksums() {
        let segment = syn("1.2.3.2:61000", "1.2.3.7:80");
        let packet = segment.packet();
        assert_eq!(checksum(&packet[..20], 0), 0, "header");
        let pseudo = pseudo4(Ipv4Addr::new(1, 2, 3, 2), Ipv4Addr::new(1, 2, 3, 7), 24);
        assert_eq!(checksum(&packet[20..], sum(&pseudo, 0)), 0, "segment");
        assert_eq!(packet, SYN);
        assert_eq!(Segment::parse(&packet), Ok(segment));
    }

    #[test]
    fn both_families_and_padding_are_read() {
        for (from, to) in [("10.0.0.1:1", "10.0.0.2:2"), ("[fd00::1]:1", "[fd00::2]:2")] {
            let segment = Segment {
                flags: flag::ACK | flag::PSH,
                mss: None,
                payload: b"hello".to_vec(),
                ..syn(from, to)
            };
            let mut packet = segment.packet();
            packet.extend_from_slice(&[0; 6]);
            assert_eq!(Segment::parse(&packet), Ok(segment));
        }
    }

    #[test]
    fn fragments_and_other_protocols_are_refused() {
        let packet = syn("1.2.3.2:1", "1.2.3.7:80").packet();
        for (offset, value, field) in
            [(6, 0x20, "fragment"), (9, 17, "protocol"), (0, 0x25, "version"), (32, 0x40, "header length")]
        {
            let mut packet = packet.clone();
            packet[offset] = value;
            assert_eq!(Segment::parse(&packet), Err(WireError::Unexpected { field }));
        }
        for end in 0..packet.len() {
            assert_eq!(Segment::parse(&packet[..end]), Err(WireError::Truncated), "{end} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
            if let Ok(segment) = Segment::parse(&bytes) {
                prop_assert!(segment.payload.len() <= bytes.len());
            }
        }
    }
}
