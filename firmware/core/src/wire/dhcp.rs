//! DHCP for IPv4 (RFC 2131, options of RFC 2132), inside UDP and IPv4 as it travels before an address is there.
//!
//! ```text
//! 0 op | 1 htype | 2 hlen | 3 hops | 4 xid | 8 secs | 10 flags | 12 ciaddr | 16 yiaddr | 20 siaddr | 24 giaddr
//! 28 chaddr (16) | 44 sname (64) | 108 file (128) | 236 cookie | 240 options ...
//! ```

use super::{Mac, WireError, put, take};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

/// The server's and the client's UDP port.
pub const SERVER_PORT: u16 = 67;
/// See [`SERVER_PORT`].
pub const CLIENT_PORT: u16 = 68;
/// Bytes of a message that is parsed, at most: one Ethernet frame.
pub const MESSAGE_MAX: usize = 1500;
/// Bytes of a message that is sent, at least: some relays drop shorter ones (RFC 1542 section 2.1).
const MESSAGE_MIN: usize = 300;

mod field {
    pub(super) const OP: usize = 0;
    pub(super) const XID: usize = 4;
    pub(super) const FLAGS: usize = 10;
    pub(super) const CIADDR: usize = 12;
    pub(super) const YIADDR: usize = 16;
    pub(super) const CHADDR: usize = 28;
    pub(super) const SNAME: core::ops::Range<usize> = 44..108;
    pub(super) const FILE: core::ops::Range<usize> = 108..236;
    pub(super) const COOKIE: usize = 236;
    pub(super) const OPTIONS: usize = 240;
}

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: u8 = 1;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Answer by broadcast: there is no address yet that a unicast could be sent to.
const BROADCAST: [u8; 2] = [0x80, 0];

mod option {
    pub(super) const PAD: u8 = 0;
    pub(super) const MASK: u8 = 1;
    pub(super) const ROUTER: u8 = 3;
    pub(super) const HOSTNAME: u8 = 12;
    pub(super) const ADDRESS: u8 = 50;
    pub(super) const LEASE: u8 = 51;
    pub(super) const OVERLOAD: u8 = 52;
    pub(super) const KIND: u8 = 53;
    pub(super) const SERVER: u8 = 54;
    pub(super) const WANTED: u8 = 55;
    pub(super) const SIZE: u8 = 57;
    pub(super) const T1: u8 = 58;
    pub(super) const T2: u8 = 59;
    pub(super) const CLIENT: u8 = 61;
    pub(super) const END: u8 = 255;
}

/// What a message is (option 53).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Client looks for servers.
    Discover,
    /// Server offers an address.
    Offer,
    /// Client takes an offer, or wants to keep what it has.
    Request,
    /// Server agrees.
    Ack,
    /// Server refuses.
    Nak,
}

impl Kind {
    const ALL: [(Self, u8); 5] =
        [(Self::Discover, 1), (Self::Offer, 2), (Self::Request, 3), (Self::Ack, 5), (Self::Nak, 6)];

    fn number(self) -> u8 {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or(0, |(_, number)| *number)
    }
}

/// What a client says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question<'a> {
    /// Discover or request.
    pub kind: Kind,
    /// Ties answers to it.
    pub xid: u32,
    /// The client's hardware address.
    pub mac: Mac,
    /// Seconds since it began.
    pub secs: u16,
    /// The address that it has and can be reached at.
    pub has: Option<Ipv4Addr>,
    /// The address that it wants.
    pub wants: Option<Ipv4Addr>,
    /// The server that it chose.
    pub server: Option<Ipv4Addr>,
    /// Its name.
    pub hostname: Option<&'a str>,
}

impl Question<'_> {
    /// The message.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![0_u8; field::OPTIONS];
        put(&mut bytes, field::OP, &[REQUEST, ETHERNET, 6, 0]);
        put(&mut bytes, field::XID, &self.xid.to_be_bytes());
        put(&mut bytes, field::XID.saturating_add(4), &self.secs.to_be_bytes());
        match self.has {
            Some(address) => put(&mut bytes, field::CIADDR, &address.octets()),
            None => put(&mut bytes, field::FLAGS, &BROADCAST),
        }
        put(&mut bytes, field::CHADDR, &self.mac);
        put(&mut bytes, field::COOKIE, &COOKIE);
        let mut option = |code: u8, value: &[u8]| {
            if let Ok(length) = u8::try_from(value.len()) {
                bytes.extend([code, length]);
                bytes.extend(value);
            }
        };
        option(option::KIND, &[self.kind.number()]);
        let [a, b, c, d, e, f] = self.mac;
        option(option::CLIENT, &[ETHERNET, a, b, c, d, e, f]);
        if let Some(address) = self.wants {
            option(option::ADDRESS, &address.octets());
        }
        if let Some(server) = self.server {
            option(option::SERVER, &server.octets());
        }
        option(option::SIZE, &1500_u16.to_be_bytes());
        option(
            option::WANTED,
            &[option::MASK, option::ROUTER, option::LEASE, option::SERVER, option::T1, option::T2],
        );
        if let Some(name) = self.hostname {
            option(option::HOSTNAME, name.as_bytes());
        }
        bytes.push(option::END);
        bytes.resize(bytes.len().max(MESSAGE_MIN), option::PAD);
        bytes
    }
}

/// What a server says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Offer, ack or nak.
    pub kind: Kind,
    /// Of which question.
    pub xid: u32,
    /// Of which client.
    pub mac: Mac,
    /// The address given.
    pub address: Ipv4Addr,
    /// Who says it (option 54).
    pub server: Option<Ipv4Addr>,
    /// Prefix length; absent: the server did not say, or nonsense.
    pub prefix: Option<u8>,
    /// First router.
    pub router: Option<Ipv4Addr>,
    /// Seconds of the lease; all ones: for ever.
    pub lease_s: Option<u32>,
    /// Seconds until renewing.
    pub t1_s: Option<u32>,
    /// Seconds until rebinding.
    pub t2_s: Option<u32>,
}

impl Answer {
    /// Reads a UDP payload.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let [op, htype, hlen] = take(bytes, field::OP)?;
        if op != REPLY {
            return Err(WireError::Unexpected { field: "op" });
        }
        if htype != ETHERNET || hlen != 6 {
            return Err(WireError::Unexpected { field: "hardware type" });
        }
        if take(bytes, field::COOKIE)? != COOKIE {
            return Err(WireError::Unexpected { field: "cookie" });
        }
        let mut answer = Self {
            kind: Kind::Discover,
            xid: u32::from_be_bytes(take(bytes, field::XID)?),
            mac: take(bytes, field::CHADDR)?,
            address: Ipv4Addr::from(take::<4>(bytes, field::YIADDR)?),
            server: None,
            prefix: None,
            router: None,
            lease_s: None,
            t1_s: None,
            t2_s: None,
        };
        let mut seen = Seen::default();
        answer.options(bytes.get(field::OPTIONS..).unwrap_or_default(), &mut seen)?;
        // The two fields hold options when option 52 says so (RFC 2132 section 9.3).
        let overload = seen.overload;
        if overload & 1 != 0 {
            answer.options(bytes.get(field::FILE).unwrap_or_default(), &mut seen)?;
        }
        if overload & 2 != 0 {
            answer.options(bytes.get(field::SNAME).unwrap_or_default(), &mut seen)?;
        }
        match seen.kind.and_then(|number| Kind::ALL.iter().find(|(_, n)| *n == number)) {
            Some((kind @ (Kind::Offer | Kind::Ack | Kind::Nak), _)) => Ok(Self { kind: *kind, ..answer }),
            Some(_) | None => Err(WireError::Unexpected { field: "message type" }),
        }
    }

    fn options(&mut self, mut bytes: &[u8], seen: &mut Seen) -> Result<(), WireError> {
        while let Some((code, rest)) = bytes.split_first() {
            if *code == option::END {
                return Ok(());
            }
            if *code == option::PAD {
                bytes = rest;
                continue;
            }
            let (length, rest) = rest.split_first().ok_or(WireError::Truncated)?;
            let (value, rest) = rest.split_at_checked(usize::from(*length)).ok_or(WireError::Truncated)?;
            bytes = rest;
            let number = || value.first_chunk().map(|octets| u32::from_be_bytes(*octets));
            let address = || value.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets));
            match *code {
                option::KIND => seen.kind = value.first().copied(),
                option::OVERLOAD => seen.overload = value.first().copied().unwrap_or(0),
                option::MASK => self.prefix = address().and_then(prefix),
                option::ROUTER => self.router = address(),
                option::SERVER => self.server = address(),
                option::LEASE => self.lease_s = number(),
                option::T1 => self.t1_s = number(),
                option::T2 => self.t2_s = number(),
                _ => {}
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Seen {
    kind: Option<u8>,
    overload: u8,
}

/// A mask of ones followed by zeroes.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let bits = mask.to_bits();
    let ones = bits.leading_ones();
    (ones > 0 && bits.count_ones() == ones).then(|| u8::try_from(ones).ok()).flatten()
}

/// Bytes of an IPv4 header without options, and of a UDP header.
const IP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
const UDP: u8 = 17;

/// Puts a message into UDP and IPv4 from a client without address (or with one) to everybody.
#[must_use]
pub fn broadcast(message: &[u8], from: Option<Ipv4Addr>) -> Vec<u8> {
    let length = |extra: usize| u16::try_from(message.len().saturating_add(extra)).unwrap_or(u16::MAX);
    let (source, target) = (from.unwrap_or(Ipv4Addr::UNSPECIFIED), Ipv4Addr::BROADCAST);
    let mut packet = alloc::vec![0_u8; IP_BYTES + UDP_BYTES];
    put(&mut packet, 0, &[0x45, 0x10]);
    put(&mut packet, 2, &length(IP_BYTES + UDP_BYTES).to_be_bytes());
    put(&mut packet, 8, &[64, UDP]);
    put(&mut packet, 12, &source.octets());
    put(&mut packet, 16, &target.octets());
    let header = checksum(packet.get(..IP_BYTES).unwrap_or_default(), 0);
    put(&mut packet, 10, &header.to_be_bytes());
    put(&mut packet, 20, &CLIENT_PORT.to_be_bytes());
    put(&mut packet, 22, &SERVER_PORT.to_be_bytes());
    put(&mut packet, 24, &length(UDP_BYTES).to_be_bytes());
    packet.extend_from_slice(message);
    // Pseudo header (RFC 768): addresses, protocol, length.
    let pseudo = sum(packet.get(12..20).unwrap_or_default())
        .saturating_add(u32::from(UDP))
        .saturating_add(u32::from(length(UDP_BYTES)));
    let udp = match checksum(packet.get(IP_BYTES..).unwrap_or_default(), pseudo) {
        0 => u16::MAX,
        other => other,
    };
    put(&mut packet, 26, &udp.to_be_bytes());
    packet
}

/// The message of a server in an IPv4 packet. The UDP checksum is not looked at: for packets between virtual machines
/// it is not filled in.
pub fn unwrap(packet: &[u8]) -> Result<&[u8], WireError> {
    let [version, _] = take(packet, 0)?;
    let header = usize::from(version & 0x0f).saturating_mul(4);
    if version >> 4 != 4 || header < IP_BYTES {
        return Err(WireError::Unexpected { field: "version" });
    }
    let [protocol] = take(packet, 9)?;
    if protocol != UDP {
        return Err(WireError::Unexpected { field: "protocol" });
    }
    if u16::from_be_bytes(take(packet, 6)?) & 0x3fff != 0 {
        return Err(WireError::Unexpected { field: "fragment" });
    }
    let total = usize::from(u16::from_be_bytes(take(packet, 2)?));
    let udp = packet.get(..total).and_then(|p| p.get(header..)).ok_or(WireError::Truncated)?;
    let ports = [u16::from_be_bytes(take(udp, 0)?), u16::from_be_bytes(take(udp, 2)?)];
    if ports != [SERVER_PORT, CLIENT_PORT] {
        return Err(WireError::Unexpected { field: "port" });
    }
    let length = usize::from(u16::from_be_bytes(take(udp, 4)?));
    udp.get(..length).and_then(|u| u.get(UDP_BYTES..)).ok_or(WireError::Truncated)
}

fn sum(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(u16::from_be_bytes([*high, 0])),
        _ => 0,
    });
    pairs.fold(0, u32::saturating_add)
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut total = sum(bytes).saturating_add(start);
    while let high @ 1.. = total >> 16 {
        total = (total & 0xffff).saturating_add(high);
    }
    !u16::try_from(total).unwrap_or(0)
}

/// What a server would say; for tests and the model servers of simulations.
#[must_use]
pub fn emit_answer(answer: &Answer) -> Vec<u8> {
    let mut bytes = alloc::vec![0_u8; field::OPTIONS];
    put(&mut bytes, field::OP, &[REPLY, ETHERNET, 6, 0]);
    put(&mut bytes, field::XID, &answer.xid.to_be_bytes());
    put(&mut bytes, field::YIADDR, &answer.address.octets());
    put(&mut bytes, field::CHADDR, &answer.mac);
    put(&mut bytes, field::COOKIE, &COOKIE);
    bytes.extend([option::KIND, 1, answer.kind.number()]);
    let mask = answer.prefix.map(|p| u32::MAX.checked_shl(32_u32.saturating_sub(p.into())).unwrap_or(0));
    let four = [
        (option::SERVER, answer.server.map(Ipv4Addr::to_bits)),
        (option::MASK, mask),
        (option::ROUTER, answer.router.map(Ipv4Addr::to_bits)),
        (option::LEASE, answer.lease_s),
        (option::T1, answer.t1_s),
        (option::T2, answer.t2_s),
    ];
    for (code, value) in four {
        if let Some(value) = value {
            bytes.extend([code, 4]);
            bytes.extend(value.to_be_bytes());
        }
    }
    bytes.push(option::END);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAC: Mac = [0x52, 0x54, 0, 0, 0, 1];

    fn answer() -> impl Strategy<Value = Answer> {
        let kind = prop_oneof![Just(Kind::Offer), Just(Kind::Ack), Just(Kind::Nak)];
        let maybe = || proptest::option::of(any::<u32>());
        let address = || proptest::option::of(any::<u32>().prop_map(Ipv4Addr::from_bits));
        let times = (maybe(), maybe(), maybe());
        (kind, any::<u32>(), any::<u32>(), address(), proptest::option::of(1..=32_u8), address(), times)
            .prop_map(|(kind, xid, given, server, prefix, router, (lease_s, t1_s, t2_s))| Answer {
                kind,
                xid,
                mac: MAC,
                address: Ipv4Addr::from_bits(given),
                server,
                prefix,
                router,
                lease_s,
                t1_s,
                t2_s,
            })
    }

    proptest! {
        #[test]
        fn what_a_server_says_reads_back(answer in answer()) {
            prop_assert_eq!(Answer::parse(&emit_answer(&answer)), Ok(answer));
        }

        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0..300_usize) {
            core::hint::black_box((Answer::parse(&bytes).is_ok(), unwrap(&bytes).is_ok()));
            let mut message = bytes.clone();
            message.resize(message.len().max(240), 0);
            put(&mut message, 0, &[REPLY, ETHERNET, 6]);
            put(&mut message, field::COOKIE, &COOKIE);
            core::hint::black_box(Answer::parse(message.get(..cut).unwrap_or(&message)).is_ok());
        }
    }

    #[test]
    fn a_broadcast_has_right_checksums() {
        let question = Question {
            kind: Kind::Discover,
            xid: 7,
            mac: MAC,
            secs: 0,
            has: None,
            wants: None,
            server: None,
            hostname: Some("lvs1"),
        };
        let message = question.emit();
        assert_eq!(message.len(), MESSAGE_MIN);
        let packet = broadcast(&message, None);
        assert_eq!(checksum(&packet[..20], 0), 0);
        let pseudo = sum(&packet[12..20]) + 17 + u32::try_from(message.len() + 8).unwrap();
        assert_eq!(checksum(&packet[20..], pseudo), 0);
    }

    #[test]
    fn options_may_lie_in_the_file_field() {
        let answer = Answer {
            kind: Kind::Ack,
            xid: 1,
            mac: MAC,
            address: Ipv4Addr::new(10, 0, 0, 9),
            server: None,
            prefix: Some(24),
            router: None,
            lease_s: None,
            t1_s: None,
            t2_s: None,
        };
        let mut bytes = emit_answer(&answer);
        let end = bytes.pop().unwrap();
        bytes.extend([option::OVERLOAD, 1, 1, end]);
        put(&mut bytes, 108, &[option::LEASE, 4, 0, 0, 0, 60, option::END]);
        assert_eq!(Answer::parse(&bytes), Ok(Answer { lease_s: Some(60), ..answer }));
    }

    #[test]
    fn a_mask_with_holes_is_none() {
        assert_eq!(prefix(Ipv4Addr::new(255, 255, 255, 192)), Some(26));
        assert_eq!(prefix(Ipv4Addr::new(255, 0, 255, 0)), None);
        assert_eq!(prefix(Ipv4Addr::new(0, 0, 0, 0)), None);
    }

    #[test]
    fn only_whole_packets_from_server_to_client_are_unwrapped() {
        let mut packet = broadcast(b"hello", None);
        assert_eq!(unwrap(&packet), Err(WireError::Unexpected { field: "port" }));
        put(&mut packet, 20, &[0, 67, 0, 68]);
        assert_eq!(unwrap(&packet), Ok(&b"hello"[..]));
        packet.extend([0; 12]);
        assert_eq!(unwrap(&packet), Ok(&b"hello"[..]), "Ethernet padding");
        put(&mut packet, 6, &[0x20, 0]);
        assert_eq!(unwrap(&packet), Err(WireError::Unexpected { field: "fragment" }));
    }
}
