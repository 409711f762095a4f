//! The unsolicited neighbour advertisement (RFC 4861 sections 4.4 and 7.2.6), with its Ethernet and IPv6 headers.
//!
//! ```text
//!  0          14          54   55   56    58     62        78              86
//!  +----------+-----------+----+----+-----+------+---------+----+---+------+
//!  | Ethernet | IPv6      |type|code|check| flags| target  |opt |len| link |
//!  | 33:33:.. | hop 255   |136 | 0  | sum | RSO  | address | 2  | 1 | layer|
//!  +----------+-----------+----+----+-----+------+---------+----+---+------+
//! ```

use super::{DisplayMac, Mac, WireError, ethernet, put, take};
use core::fmt;
use core::net::Ipv6Addr;

/// Bytes of the whole frame.
pub const FRAME_BYTES: usize = field::END;
/// All nodes on the link, `ff02::1` (RFC 4291 section 2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Ethernet group of [`ALL_NODES`] (RFC 2464 section 7).
pub const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];

mod field {
    pub(super) const VERSION: usize = 14;
    pub(super) const PAYLOAD_LENGTH: usize = 18;
    pub(super) const NEXT_HEADER: usize = 20;
    pub(super) const HOP_LIMIT: usize = 21;
    pub(super) const SOURCE: usize = 22;
    pub(super) const DESTINATION: usize = 38;
    pub(super) const ICMP: usize = 54;
    pub(super) const CHECKSUM: usize = 56;
    pub(super) const FLAGS: usize = 58;
    pub(super) const TARGET: usize = 62;
    pub(super) const OPTION: usize = 78;
    pub(super) const LINK_LAYER: usize = 80;
    pub(super) const END: usize = 86;
}

/// IPv6 version 6, no traffic class, no flow label.
const VERSION: [u8; 4] = [0x60, 0, 0, 0];
/// ICMPv6 in the next-header field (IANA protocol numbers).
const ICMPV6: u8 = 58;
/// Receivers discard anything that a router could have forwarded (RFC 4861 section 7.1.2).
const HOP_LIMIT: u8 = 255;
/// Neighbour advertisement, code 0 (RFC 4861 section 4.4).
const ADVERTISEMENT: [u8; 2] = [136, 0];
/// Target link-layer address option, one unit of 8 bytes (RFC 4861 section 4.6.1).
const TARGET_LINK_LAYER: [u8; 2] = [2, 1];
/// Flag bits of the first byte of the flags field.
const ROUTER: u8 = 0x80;
const OVERRIDE: u8 = 0x20;
/// Bytes of the ICMPv6 message with its option.
const ICMP_BYTES: u16 = 32;

/// An unsolicited advertisement to all nodes: the override flag set, the solicited flag clear, the address itself as
/// source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr {
    /// Our hardware address.
    pub mac: Mac,
    /// The address that is now ours.
    pub target: Ipv6Addr,
    /// Whether the sender forwards: a router that says no is removed from the receivers' default routers
    /// (RFC 4861 section 7.2.5).
    pub router: bool,
}

impl Repr {
    /// Reads a whole frame; its checksum must be right.
    pub fn parse(frame: &[u8]) -> Result<Self, WireError> {
        let frame = frame.get(..field::END).ok_or(WireError::Truncated)?;
        let expect = |ok: bool, field| if ok { Ok(()) } else { Err(WireError::Unexpected { field }) };
        let (header, _) = ethernet::Repr::parse(frame)?;
        expect(header.ethertype == ethernet::TYPE_IPV6, "ethertype")?;
        expect(header.destination == ALL_NODES_MAC, "destination")?;
        expect(take(frame, field::VERSION)? == VERSION, "version")?;
        expect(take(frame, field::PAYLOAD_LENGTH)? == ICMP_BYTES.to_be_bytes(), "payload length")?;
        expect(take(frame, field::NEXT_HEADER)? == [ICMPV6], "next header")?;
        expect(take(frame, field::HOP_LIMIT)? == [HOP_LIMIT], "hop limit")?;
        expect(take(frame, field::DESTINATION)? == ALL_NODES.octets(), "destination address")?;
        expect(take(frame, field::ICMP)? == ADVERTISEMENT, "type")?;
        expect(take(frame, field::OPTION)? == TARGET_LINK_LAYER, "option")?;
        let [flags, r1, r2, r3] = take(frame, field::FLAGS)?;
        expect(flags & !ROUTER == OVERRIDE && [r1, r2, r3] == [0; 3], "flags")?;
        let source: [u8; 16] = take(frame, field::SOURCE)?;
        let target: [u8; 16] = take(frame, field::TARGET)?;
        expect(source == target, "source address")?;
        let mac = take(frame, field::LINK_LAYER)?;
        expect(header.source == mac, "link-layer address")?;
        if checksum(frame) != 0 {
            return Err(WireError::Checksum);
        }
        Ok(Self { mac, target: Ipv6Addr::from(target), router: flags & ROUTER != 0 })
    }

    /// The whole frame.
    #[must_use]
    pub fn frame(&self) -> [u8; FRAME_BYTES] {
        let mut frame = [0; FRAME_BYTES];
        let (destination, source) = (ALL_NODES_MAC, self.mac);
        ethernet::Repr { destination, source, ethertype: ethernet::TYPE_IPV6 }.emit(&mut frame);
        put(&mut frame, field::VERSION, &VERSION);
        put(&mut frame, field::PAYLOAD_LENGTH, &ICMP_BYTES.to_be_bytes());
        put(&mut frame, field::NEXT_HEADER, &[ICMPV6, HOP_LIMIT]);
        put(&mut frame, field::SOURCE, &self.target.octets());
        put(&mut frame, field::DESTINATION, &ALL_NODES.octets());
        put(&mut frame, field::ICMP, &ADVERTISEMENT);
        put(&mut frame, field::FLAGS, &[OVERRIDE | if self.router { ROUTER } else { 0 }]);
        put(&mut frame, field::TARGET, &self.target.octets());
        put(&mut frame, field::OPTION, &TARGET_LINK_LAYER);
        put(&mut frame, field::LINK_LAYER, &self.mac);
        let sum = checksum(&frame);
        put(&mut frame, field::CHECKSUM, &sum.to_be_bytes());
        frame
    }
}

/// Neighbour solicitation, code 0 (RFC 4861 section 4.3), and the option that says where to answer.
const SOLICITATION: [u8; 2] = [135, 0];
const SOURCE_LINK_LAYER: [u8; 2] = [1, 1];

/// The frame that asks who has `target` (RFC 4861 section 7.2.2), from an address of ours.
#[must_use]
pub fn solicitation(mac: Mac, source: Ipv6Addr, target: Ipv6Addr) -> [u8; FRAME_BYTES] {
    let mut frame = [0; FRAME_BYTES];
    let [.., a, b, c] = target.octets();
    // The solicited-node group (RFC 4291 section 2.7.1), and its Ethernet group (RFC 2464 section 7).
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c];
    let destination = [0x33, 0x33, 0xff, a, b, c];
    ethernet::Repr { destination, source: mac, ethertype: ethernet::TYPE_IPV6 }.emit(&mut frame);
    put(&mut frame, field::VERSION, &VERSION);
    put(&mut frame, field::PAYLOAD_LENGTH, &ICMP_BYTES.to_be_bytes());
    put(&mut frame, field::NEXT_HEADER, &[ICMPV6, HOP_LIMIT]);
    put(&mut frame, field::SOURCE, &source.octets());
    put(&mut frame, field::DESTINATION, &group);
    put(&mut frame, field::ICMP, &SOLICITATION);
    put(&mut frame, field::TARGET, &target.octets());
    put(&mut frame, field::OPTION, &SOURCE_LINK_LAYER);
    put(&mut frame, field::LINK_LAYER, &mac);
    let sum = checksum(&frame);
    put(&mut frame, field::CHECKSUM, &sum.to_be_bytes());
    frame
}

/// Who an advertisement of any kind says has which address; `None` for every other frame.
#[must_use]
pub fn advertised(frame: &[u8]) -> Option<(Ipv6Addr, Mac)> {
    let ours = frame.get(field::NEXT_HEADER) == Some(&ICMPV6)
        && frame.get(field::HOP_LIMIT) == Some(&HOP_LIMIT)
        && take(frame, field::ICMP) == Ok(ADVERTISEMENT)
        && take(frame, field::OPTION) == Ok(TARGET_LINK_LAYER);
    let target: [u8; 16] = take(frame, field::TARGET).ok().filter(|_| ours)?;
    Some((Ipv6Addr::from(target), take(frame, field::LINK_LAYER).ok()?))
}

/// The checksum of RFC 4443 section 2.3 over the pseudo-header and the message; 0 for a frame that carries a right one.
fn checksum(frame: &[u8]) -> u16 {
    // Source and destination addresses lie directly before the message, so one pass covers both.
    let covered = frame.get(field::SOURCE..field::END).unwrap_or_default();
    let start = u32::from(ICMP_BYTES).saturating_add(u32::from(ICMPV6));
    let sum = covered.chunks_exact(2).fold(start, |sum, pair| {
        let word = <[u8; 2]>::try_from(pair).map_or(0, u16::from_be_bytes);
        sum.saturating_add(u32::from(word))
    });
    let folded = (sum & 0xffff).saturating_add(sum >> 16);
    let folded = (folded & 0xffff).saturating_add(folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let router = if self.router { "router, " } else { "" };
        let mac = DisplayMac(self.mac);
        write!(
            f,
            "{t} > ff02::1: neighbor advertisement, tgt is {t}, Flags [{router}override], {mac}",
            t = self.target
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    const REPR: Repr = Repr {
        mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56],
        target: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
        router: true,
    };

    #[rustfmt::skip]
    const GOLDEN: [u8; 86] = [
        0x33, 0x33, 0x00, 0x00, 0x00, 0x01, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x86, 0xdd,
        0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff,
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        0x88, 0x00, 0xf4, 0x6e, 0xa0, 0x00, 0x00, 0x00,
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        0x02, 0x01, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56,
    ];

    #[test]
    fn an_advertisement_has_its_golden_bytes() {
        assert_eq!(REPR.frame(), GOLDEN);
        assert_eq!(Repr::parse(&GOLDEN), Ok(REPR));
        assert_eq!(
            REPR.to_string(),
            "2001:db8::1 > ff02::1: neighbor advertisement, tgt is 2001:db8::1, \
             Flags [router, override], 52:54:00:12:34:56"
        );
    }

    #[test]
    fn a_question_goes_to_the_group_of_its_target_and_every_advertisement_answers() {
        let frame = solicitation(REPR.mac, "2001:db8::2".parse().unwrap(), REPR.target);
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0, 0, 1]);
        assert_eq!(frame[38..54], "ff02::1:ff00:1".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(checksum(&frame), 0);
        assert_eq!(advertised(&frame), None);
        assert_eq!(advertised(&GOLDEN), Some((REPR.target, REPR.mac)));
        for end in 0..GOLDEN.len() {
            assert_eq!(advertised(&GOLDEN[..end]), None, "{end} bytes");
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        for end in 0..GOLDEN.len() {
            assert_eq!(Repr::parse(&GOLDEN[..end]), Err(WireError::Truncated), "{end} bytes");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for bit in 0..GOLDEN.len() * 8 {
            let mut frame = GOLDEN;
            frame[bit / 8] ^= 1 << (bit % 8);
            assert!(Repr::parse(&frame).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn every_frame_reads_back(mac: [u8; 6], target: [u8; 16], router: bool) {
            let repr = Repr { mac, target: Ipv6Addr::from(target), router };
            prop_assert_eq!(Repr::parse(&repr.frame()), Ok(repr));
        }
    }
}
