//! A view of an Ethernet frame, as much as rules and waits need.

use std::fmt;
use std::net::Ipv4Addr;

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether it names a group, broadcast included.
    #[must_use]
    pub fn is_group(self) -> bool {
        let [first, ..] = self.0;
        first & 1 == 1
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A frame from destination address to the end of the payload, without check sequence.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a>(pub &'a [u8]);

/// Bytes of an Ethernet header without VLAN tag.
const HEADER: usize = 14;

/// The start of an IPv4 packet in a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ipv4 {
    /// Sender.
    pub src: Ipv4Addr,
    /// Receiver.
    pub dst: Ipv4Addr,
    /// IANA protocol number.
    pub protocol: u8,
    /// Offset of this fragment in bytes.
    pub fragment_offset: u16,
    /// Whether more fragments follow.
    pub more_fragments: bool,
    /// Source and destination port of TCP and UDP in a first fragment.
    pub ports: Option<(u16, u16)>,
}

/// An ARP packet for IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Sender's protocol address.
    pub sender: Ipv4Addr,
    /// Target's protocol address.
    pub target: Ipv4Addr,
}

impl<'a> Frame<'a> {
    /// Receiver; `None` for a runt.
    #[must_use]
    pub fn dst(self) -> Option<Mac> {
        self.bytes(0).map(Mac)
    }

    /// Sender; `None` for a runt.
    #[must_use]
    pub fn src(self) -> Option<Mac> {
        self.bytes(6).map(Mac)
    }

    /// EtherType; `None` for a runt.
    #[must_use]
    pub fn ethertype(self) -> Option<u16> {
        self.bytes(12).map(u16::from_be_bytes)
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(self) -> &'a [u8] {
        self.0.get(HEADER..).unwrap_or_default()
    }

    /// The IPv4 header, when there is a whole one.
    #[must_use]
    pub fn ipv4(self) -> Option<Ipv4> {
        if self.ethertype()? != 0x0800 {
            return None;
        }
        let [version] = self.bytes::<1>(HEADER)?;
        let fragment = u16::from_be_bytes(self.bytes(HEADER + 6)?);
        let [protocol] = self.bytes::<1>(HEADER + 9)?;
        let start = HEADER + usize::from(version & 0x0f) * 4;
        let fragment_offset = (fragment & 0x1fff) * 8;
        let ports = match (protocol, fragment_offset) {
            (6 | 17, 0) => self
                .bytes(start)
                .zip(self.bytes(start + 2))
                .map(|(from, to)| (u16::from_be_bytes(from), u16::from_be_bytes(to))),
            _ => None,
        };
        Some(Ipv4 {
            src: Ipv4Addr::from(self.bytes::<4>(HEADER + 12)?),
            dst: Ipv4Addr::from(self.bytes::<4>(HEADER + 16)?),
            protocol,
            fragment_offset,
            more_fragments: fragment & 0x2000 != 0,
            ports,
        })
    }

    /// The ARP packet, when it is one.
    #[must_use]
    pub fn arp(self) -> Option<Arp> {
        if self.ethertype()? != 0x0806 {
            return None;
        }
        Some(Arp {
            operation: u16::from_be_bytes(self.bytes(HEADER + 6)?),
            sender: Ipv4Addr::from(self.bytes::<4>(HEADER + 14)?),
            target: Ipv4Addr::from(self.bytes::<4>(HEADER + 24)?),
        })
    }

    fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_a_first_fragment_only() {
        let mut frame = vec![0_u8; 42];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        frame[14] = 0x45;
        frame[23] = 17;
        frame[26..30].copy_from_slice(&[1, 2, 3, 100]);
        frame[30..34].copy_from_slice(&[1, 2, 3, 1]);
        frame[34..38].copy_from_slice(&[0x30, 0x39, 0, 7]);
        let first = Frame(&frame).ipv4().unwrap();
        assert_eq!(first.ports, Some((12345, 7)));
        assert_eq!(first.src, Ipv4Addr::new(1, 2, 3, 100));
        frame[20..22].copy_from_slice(&[0x20, 185]);
        let later = Frame(&frame).ipv4().unwrap();
        assert_eq!((later.ports, later.fragment_offset, later.more_fragments), (None, 1480, true));
    }

    #[test]
    fn a_runt_has_no_addresses() {
        assert_eq!(Frame(&[0; 5]).dst(), None);
        assert_eq!(Frame(&[0; 13]).ethertype(), None);
        assert_eq!(Frame(&[8; 20]).ipv4(), None);
    }
}
