//! ARP for IPv4 over Ethernet (RFC 826), and the two forms in which an address is announced.
//!
//! ```text
//!  0      2      4    5    6     8          14         18         24         28
//!  +------+------+----+----+-----+----------+----------+----------+----------+
//!  | htype| ptype|hlen|plen| oper| sender   | sender   | target   | target   |
//!  | 1    | 0800 | 6  | 4  |     | hardware | protocol | hardware | protocol |
//!  +------+------+----+----+-----+----------+----------+----------+----------+
//! ```

use super::{DisplayMac, Mac, WireError, ethernet, put, take};
use core::fmt;
use core::net::Ipv4Addr;

/// Bytes of an ARP frame with its Ethernet header, without padding (the driver pads to 60).
pub const FRAME_BYTES: usize = ethernet::HEADER_BYTES + field::END;

mod field {
    pub(super) const HARDWARE_TYPE: usize = 0;
    pub(super) const PROTOCOL_TYPE: usize = 2;
    pub(super) const LENGTHS: usize = 4;
    pub(super) const OPERATION: usize = 6;
    pub(super) const SENDER_HARDWARE: usize = 8;
    pub(super) const SENDER_PROTOCOL: usize = 14;
    pub(super) const TARGET_HARDWARE: usize = 18;
    pub(super) const TARGET_PROTOCOL: usize = 24;
    pub(super) const END: usize = 28;
}

/// Ethernet (IANA ARP parameters, hardware types).
const HARDWARE_ETHERNET: u16 = 1;
/// IPv4, as an ethertype.
const PROTOCOL_IPV4: u16 = 0x0800;
/// Bytes of a hardware and of a protocol address.
const LENGTHS: [u8; 2] = [6, 4];

/// What an ARP packet asks or says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has it.
    Reply,
}

/// An ARP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr {
    /// Question or answer.
    pub operation: Operation,
    /// Hardware address of the sender.
    pub sender_mac: Mac,
    /// Address of the sender.
    pub sender: Ipv4Addr,
    /// Hardware address of the target; zero when it is asked for.
    pub target_mac: Mac,
    /// Address that the packet is about.
    pub target: Ipv4Addr,
}

impl Repr {
    /// The announcement of RFC 5227 section 2.3: a request for our own address, target hardware address zero.
    #[must_use]
    pub const fn announcement(mac: Mac, address: Ipv4Addr) -> Self {
        let operation = Operation::Request;
        Self { operation, sender_mac: mac, sender: address, target_mac: [0; 6], target: address }
    }

    /// The unasked reply (RFC 5944 section 4.6): some stacks update their cache by replies only.
    #[must_use]
    pub const fn unasked_reply(mac: Mac, address: Ipv4Addr) -> Self {
        let operation = Operation::Reply;
        Self { operation, sender_mac: mac, sender: address, target_mac: mac, target: address }
    }

    /// The question who has `target`. From 0.0.0.0 it is the probe of RFC 5227 section 2.1.1, which changes nobody's cache.
    #[must_use]
    pub const fn question(mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self { operation: Operation::Request, sender_mac: mac, sender, target_mac: [0; 6], target }
    }

    /// Reads the payload of an Ethernet frame of type [`ethernet::TYPE_ARP`]; trailing padding is ignored.
    pub fn parse(packet: &[u8]) -> Result<Self, WireError> {
        let packet = packet.get(..field::END).ok_or(WireError::Truncated)?;
        let be16 = |offset| take(packet, offset).map(u16::from_be_bytes);
        let expect = |ok: bool, field| if ok { Ok(()) } else { Err(WireError::Unexpected { field }) };
        expect(be16(field::HARDWARE_TYPE)? == HARDWARE_ETHERNET, "hardware type")?;
        expect(be16(field::PROTOCOL_TYPE)? == PROTOCOL_IPV4, "protocol type")?;
        expect(take(packet, field::LENGTHS)? == LENGTHS, "address length")?;
        let operation = match be16(field::OPERATION)? {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(WireError::Unexpected { field: "operation" }),
        };
        Ok(Self {
            operation,
            sender_mac: take(packet, field::SENDER_HARDWARE)?,
            sender: Ipv4Addr::from(take::<4>(packet, field::SENDER_PROTOCOL)?),
            target_mac: take(packet, field::TARGET_HARDWARE)?,
            target: Ipv4Addr::from(take::<4>(packet, field::TARGET_PROTOCOL)?),
        })
    }

    /// The frame that carries this packet to `destination`.
    #[must_use]
    pub fn frame(&self, destination: Mac) -> [u8; FRAME_BYTES] {
        let mut frame = [0; FRAME_BYTES];
        let source = self.sender_mac;
        ethernet::Repr { destination, source, ethertype: ethernet::TYPE_ARP }.emit(&mut frame);
        if let Some(packet) = frame.get_mut(ethernet::HEADER_BYTES..) {
            self.emit(packet);
        }
        frame
    }

    fn emit(&self, packet: &mut [u8]) {
        let operation: u16 = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        put(packet, field::HARDWARE_TYPE, &HARDWARE_ETHERNET.to_be_bytes());
        put(packet, field::PROTOCOL_TYPE, &PROTOCOL_IPV4.to_be_bytes());
        put(packet, field::LENGTHS, &LENGTHS);
        put(packet, field::OPERATION, &operation.to_be_bytes());
        put(packet, field::SENDER_HARDWARE, &self.sender_mac);
        put(packet, field::SENDER_PROTOCOL, &self.sender.octets());
        put(packet, field::TARGET_HARDWARE, &self.target_mac);
        put(packet, field::TARGET_PROTOCOL, &self.target.octets());
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            Operation::Request => write!(f, "Request who-has {} tell {}", self.target, self.sender),
            Operation::Reply => write!(f, "Reply {} is-at {}", self.sender, DisplayMac(self.sender_mac)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    const MAC: Mac = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
    const VIP: Ipv4Addr = Ipv4Addr::new(1, 2, 3, 1);

    #[rustfmt::skip]
    const REQUEST: [u8; 42] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x08, 0x06,
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01,
        0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 1, 2, 3, 1,
        0, 0, 0, 0, 0, 0, 1, 2, 3, 1,
    ];
    #[rustfmt::skip]
    const REPLY: [u8; 42] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x08, 0x06,
        0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x02,
        0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 1, 2, 3, 1,
        0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 1, 2, 3, 1,
    ];

    #[test]
    fn both_forms_of_an_announcement_have_their_golden_bytes() {
        for (repr, golden, text) in [
            (Repr::announcement(MAC, VIP), REQUEST, "Request who-has 1.2.3.1 tell 1.2.3.1"),
            (Repr::unasked_reply(MAC, VIP), REPLY, "Reply 1.2.3.1 is-at 52:54:00:12:34:56"),
        ] {
            assert_eq!(repr.frame(ethernet::BROADCAST), golden);
            let (header, packet) = ethernet::Repr::parse(&golden).unwrap();
            assert_eq!(header.ethertype, ethernet::TYPE_ARP);
            assert_eq!(header.to_string(), "52:54:00:12:34:56 > ff:ff:ff:ff:ff:ff, ethertype 0x0806");
            assert_eq!(Repr::parse(packet), Ok(repr));
            assert_eq!(repr.to_string(), text);
        }
    }

    #[test]
    fn every_truncation_of_a_frame_is_refused() {
        for end in 0..REPLY.len() {
            let parsed = ethernet::Repr::parse(&REPLY[..end]).and_then(|(_, packet)| Repr::parse(packet));
            assert_eq!(parsed, Err(WireError::Truncated), "{end} bytes");
        }
    }

    #[test]
    fn other_hardware_protocols_and_operations_are_refused() {
        for (offset, field) in
            [(1, "hardware type"), (2, "protocol type"), (4, "address length"), (7, "operation")]
        {
            let mut packet: [u8; 28] = REPLY[14..].try_into().unwrap();
            packet[offset] ^= 0x40;
            assert_eq!(Repr::parse(&packet), Err(WireError::Unexpected { field }));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(repr) = Repr::parse(&bytes) {
                prop_assert_eq!(&repr.frame(MAC)[ethernet::HEADER_BYTES..], &bytes[..28]);
            }
        }
    }
}
