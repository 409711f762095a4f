//! The messages of the kernel's connection synchronisation, version 1 (`net/netfilter/ipvs/ip_vs_sync.c`), and the list of
//! connections that they are made of (`/proc/net/ip_vs_conn`).
//!
//! ```text
//!   0  0         1  sync id       2  u16 length of the message
//!   4  number of connections      5  version (1)       6  u16 0
//!
//!   0  type: 0 IPv4, 1 IPv6       1  protocol          2  u16 length of this entry, at most 4095
//!   4  u32 flags                  8  u16 state        10  u16 client's, 12 virtual, 14 server's port
//!  16  u32 mark                  20  u32 timeout in seconds; 0: what the state says
//!  24  addresses of client, virtual service and server, 4 or 16 bytes each
//!  36  (72) options; we make none, and skip them
//! ```
//!
//! Integers are big-endian; an entry begins on a multiple of four bytes. How packets are forwarded is not in the list: the
//! receiver takes it from its own real server. Sequence offsets (FTP) are not either, so such a connection is not taken over.

use super::{WireError, put, take};
use crate::model::config::Protocol;
use crate::plan::rules::MarkRule;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes before the first connection.
const HEADER: usize = 8;
/// Bytes of an IPv4 entry without options.
const ENTRY_V4: usize = 36;
const ENTRY_V6: usize = 72;
/// Connections in one message: the header counts them in a byte.
const CONNECTIONS_MAX: u8 = u8::MAX;
const VERSION: u8 = 1;
/// Bits of the length of an entry; the others are a version, which is 0.
const LENGTH_MASK: u16 = 0x0FFF;

/// Not established: it does not count as an active one (`IP_VS_CONN_F_INACTIVE`).
pub const INACTIVE: u32 = 0x0100;
/// A persistence template (`IP_VS_CONN_F_TEMPLATE`).
pub const TEMPLATE: u32 = 0x1000;

mod field {
    pub(super) const ID: usize = 1;
    pub(super) const LENGTH: usize = 2;
    pub(super) const COUNT: usize = 4;
}

/// A connection or template.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection {
    /// IP protocol number; 0 for the template of a mark.
    pub protocol: u8,
    /// `IP_VS_CONN_F_*`.
    pub flags: u32,
    /// Of the protocol, or of a template.
    pub state: u16,
    /// Client's, virtual and server's port.
    pub ports: [u16; 3],
    /// Firewall mark of the service, or 0.
    pub mark: u32,
    /// Seconds; 0: what the state says.
    pub timeout_s: u32,
    /// Client's, virtual and server's address, all of one family.
    pub addresses: [IpAddr; 3],
}

/// A message that grows.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Vec<u8>,
    count: u8,
    id: u8,
    most: usize,
}

impl Message {
    /// An empty one of at most `most` bytes.
    #[must_use]
    pub fn new(id: u8, most: u16) -> Self {
        let mut bytes = Vec::with_capacity(usize::from(most));
        bytes.resize(HEADER, 0);
        Self { bytes, count: 0, id, most: usize::from(most) }
    }

    /// Adds a connection. False: there is no room, or its addresses are of two families.
    #[must_use]
    pub fn push(&mut self, c: &Connection) -> bool {
        let v4 = c.addresses.iter().all(IpAddr::is_ipv4);
        let mixed = !v4 && c.addresses.iter().any(IpAddr::is_ipv4);
        let length = if v4 { ENTRY_V4 } else { ENTRY_V6 };
        if mixed || self.count == CONNECTIONS_MAX || self.bytes.len().saturating_add(length) > self.most {
            return false;
        }
        let size = u16::try_from(length).unwrap_or_default().to_be_bytes();
        let mut add = |part: &[u8]| self.bytes.extend_from_slice(part);
        add(&[u8::from(!v4), c.protocol]);
        add(&size);
        add(&c.flags.to_be_bytes());
        add(&c.state.to_be_bytes());
        c.ports.iter().for_each(|port| add(&port.to_be_bytes()));
        add(&c.mark.to_be_bytes());
        add(&c.timeout_s.to_be_bytes());
        for address in c.addresses {
            match address {
                IpAddr::V4(address) => add(&address.octets()),
                IpAddr::V6(address) => add(&address.octets()),
            }
        }
        self.count = self.count.saturating_add(1);
        true
    }

    /// Connections in it.
    #[must_use]
    pub fn count(&self) -> u8 {
        self.count
    }

    /// The bytes to send.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        let length = u16::try_from(self.bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
        put(&mut self.bytes, field::ID, &[self.id]);
        put(&mut self.bytes, field::LENGTH, &length);
        put(&mut self.bytes, field::COUNT, &[self.count, VERSION]);
        self.bytes
    }
}

/// Reads a message: its sync id and connections.
pub fn parse(bytes: &[u8]) -> Result<(u8, Vec<Connection>), WireError> {
    let [reserved, id] = take(bytes, 0)?;
    let [count, version, spare, more] = take(bytes, field::COUNT)?;
    if [reserved, spare, more] != [0; 3] || version != VERSION {
        return Err(WireError::Unexpected { field: "version" });
    }
    if usize::from(u16::from_be_bytes(take(bytes, field::LENGTH)?)) != bytes.len() {
        return Err(WireError::Unexpected { field: "length" });
    }
    let mut all = Vec::new();
    let mut rest = bytes.get(HEADER..).ok_or(WireError::Truncated)?;
    for _ in 0..count {
        let size = u16::from_be_bytes(take(rest, 2)?);
        let length = usize::from(size & LENGTH_MASK);
        let entry = rest.get(..length).ok_or(WireError::Truncated)?;
        if size & !LENGTH_MASK != 0 {
            return Err(WireError::Unexpected { field: "entry version" });
        }
        all.push(entry_of(entry)?);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok((id, all))
}

fn entry_of(entry: &[u8]) -> Result<Connection, WireError> {
    let [kind, protocol] = take(entry, 0)?;
    let port = |at| take(entry, at).map(u16::from_be_bytes);
    let address = |n: usize| -> Result<IpAddr, WireError> {
        match kind {
            0 => Ok(IpAddr::V4(Ipv4Addr::from(take::<4>(entry, n.saturating_mul(4).saturating_add(24))?))),
            1 => Ok(IpAddr::V6(Ipv6Addr::from(take::<16>(entry, n.saturating_mul(16).saturating_add(24))?))),
            _ => Err(WireError::Unexpected { field: "type" }),
        }
    };
    Ok(Connection {
        protocol,
        flags: u32::from_be_bytes(take(entry, 4)?),
        state: port(8)?,
        ports: [port(10)?, port(12)?, port(14)?],
        mark: u32::from_be_bytes(take(entry, 16)?),
        timeout_s: u32::from_be_bytes(take(entry, 20)?),
        addresses: [address(0)?, address(1)?, address(2)?],
    })
}

/// A line of `/proc/net/ip_vs_conn` as a receiver should know it; `None` for the heading, for what a kernel would not send
/// (connections that begin or are over), and for what cannot be told from the list (persistence engines).
#[must_use]
pub fn listed(line: &str, marks: &[MarkRule]) -> Option<Connection> {
    let mut words = line.split_ascii_whitespace();
    let protocol = match words.next()? {
        "TCP" => 6,
        "UDP" => 17,
        "SCTP" => 132,
        "IP" => 0,
        _ => return None,
    };
    let mut addresses = [IpAddr::V4(Ipv4Addr::UNSPECIFIED); 3];
    let mut ports = [0; 3];
    for (address, port) in addresses.iter_mut().zip(&mut ports) {
        *address = hex_address(words.next()?)?;
        *port = u16::from_str_radix(words.next()?, 16).ok()?;
    }
    let (state, expires) = (words.next()?, words.next()?.parse::<u32>().ok()?);
    if words.next().is_some() {
        return None;
    }
    let [client, virtual_address, server] = addresses;
    let [client_port, virtual_port, server_port] = ports;
    let template = match (client_port, state) {
        (0, "NONE") => Some(0),
        (0, "ASSURED") => Some(1),
        _ => None,
    };
    let (flags, state, timeout_s) = match (template, protocol, state) {
        (Some(state), ..) => (TEMPLATE, state, expires),
        (None, 6 | 132, "ESTABLISHED") => (0, established(protocol), 0),
        // The kernel does not send these. Without them a client that just connects would be reset by the new owner.
        (None, 6, "SYN_RECV") => (INACTIVE, 3, 0),
        (None, 6, "FIN_WAIT") => (INACTIVE, 4, 0),
        (None, 6, "CLOSE_WAIT") => (INACTIVE, 7, 0),
        // The only state that it has.
        (None, 17, "UDP") => (INACTIVE, 0, 0),
        _ => return None,
    };
    let mark = match virtual_address {
        // A template of a mark has it in place of the address (`ip_vs_sched_persist`).
        IpAddr::V4(address) if protocol == 0 => u32::from(address),
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => {
            let marked = |rule: &&MarkRule| {
                number(rule.protocol) == protocol
                    && rule.address == address
                    && (rule.first..=rule.last).contains(&virtual_port)
            };
            marks.iter().find(marked).map_or(0, |rule| rule.mark)
        }
    };
    let addresses = [client, virtual_address, server];
    let ports = [client_port, virtual_port, server_port];
    Some(Connection { protocol, flags, state, ports, mark, timeout_s, addresses })
}

/// `IP_VS_TCP_S_ESTABLISHED`, `IP_VS_SCTP_S_ESTABLISHED`.
const fn established(protocol: u8) -> u16 {
    if protocol == 6 { 1 } else { 8 }
}

const fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

/// `%08X` or `%pI6`.
fn hex_address(word: &str) -> Option<IpAddr> {
    if word.len() == 8 {
        return u32::from_str_radix(word, 16).ok().map(|bits| IpAddr::V4(Ipv4Addr::from(bits)));
    }
    word.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    const LIST: &str = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 0A000001 B2C8 01020301 0050 C0A80103 1F90 ESTABLISHED     899
TCP 0A000001 0000 01020301 0050 C0A80103 1F90 ASSURED         298
TCP 0A000001 B2C9 01020301 0050 C0A80103 1F90 SYN_RECV         59
TCP 0A000001 B2CA 01020301 0050 C0A80103 1F90 FIN_WAIT        119
UDP 0A000001 B2CA 01020301 0035 C0A80103 0035 UDP             299
IP  0A000001 0000 00000007 0000 C0A80103 0000 NONE            120
UDP 0A000001 B2CA 01020301 13C4 C0A80103 13C4 UDP             299 sip abc@1
TCP 2001:0db8:0000:0000:0000:0000:0000:0009 B2C8 2001:0db8:0000:0000:0000:0000:0000:0001 0050 2001:0db8:0001:0000:0000:0000:0000:0003 0050 ESTABLISHED     899
";

    fn connections() -> Vec<Connection> {
        LIST.lines().filter_map(|line| listed(line, &[])).collect()
    }

    #[test]
    fn a_list_of_the_kernel_becomes_what_the_kernel_would_send_and_what_just_begins() {
        let all = connections();
        let kinds: Vec<_> = all.iter().map(|c| (c.protocol, c.flags, c.state, c.mark, c.timeout_s)).collect();
        let inactive = INACTIVE;
        assert_eq!(
            kinds,
            [
                (6, 0, 1, 0, 0),
                (6, TEMPLATE, 1, 0, 298),
                (6, inactive, 3, 0, 0),
                (6, inactive, 4, 0, 0),
                (17, inactive, 0, 0, 0),
                (0, TEMPLATE, 0, 7, 120),
                (6, 0, 1, 0, 0)
            ]
        );
        let rule = MarkRule {
            mark: 9,
            protocol: Protocol::Tcp,
            address: IpAddr::from([1, 2, 3, 1]),
            first: 80,
            last: 81,
        };
        let line = LIST.lines().nth(1).unwrap();
        assert_eq!(listed(line, &[rule]).map(|c| c.mark), Some(9));
    }

    #[test]
    fn the_bytes_are_those_of_the_format() {
        let mut message = Message::new(5, 1472);
        assert!(message.push(&connections()[0]));
        let expected = [
            0, 5, 0, 44, 1, 1, 0, 0, // header
            0, 6, 0, 36, 0, 0, 0, 0, 0, 1, 0xB2, 0xC8, 0, 80, 0x1F, 0x90, 0, 0, 0, 0, 0, 0, 0, 0, //
            10, 0, 0, 1, 1, 2, 3, 1, 192, 168, 1, 3,
        ];
        assert_eq!(message.finish(), expected);
    }

    /// Datagrams of the real kernel, recorded in the lab (`make vm CASE=downloads`): two downloads, through NAT and direct routing,
    /// and a client's template.
    #[test]
    fn datagrams_of_a_real_kernel_are_read_and_written_byte_for_byte() {
        for (golden, count, first) in [
            (include_bytes!("../../../../tests/golden/sync/kernel-established.bin").as_slice(), 2, (0x20, 1)),
            (include_bytes!("../../../../tests/golden/sync/kernel-templates.bin"), 40, (0x11A3, 1)),
        ] {
            let (id, all) = parse(golden).unwrap();
            assert_eq!((all.len(), all[0].flags, all[0].state), (count, first.0, first.1));
            assert_eq!(all[0].addresses[0], IpAddr::from([1, 2, 3, 100]));
            let mut message = Message::new(id, 1472);
            assert!(all.iter().all(|connection| message.push(connection)));
            assert_eq!(message.finish(), golden);
        }
    }

    #[test]
    fn a_message_is_full_at_its_length_or_count() {
        let [v4, .., v6] = connections()[..] else { panic!() };
        let mut small = Message::new(0, 8 + 36 + 71);
        assert!(small.push(&v4) && !small.push(&v6) && small.push(&v4) && !small.push(&v4));
        assert_eq!(parse(&small.finish()).unwrap(), (0, vec![v4, v4]));
        let mut large = Message::new(1, u16::MAX);
        assert_eq!((0..300).filter(|_| large.push(&v6)).count(), 255);
        let mixed = Connection { addresses: [v4.addresses[0], v6.addresses[1], v6.addresses[2]], ..v6 };
        assert!(!Message::new(0, 1472).push(&mixed));
    }

    proptest! {
        #[test]
        fn what_is_made_is_read_again(picks in prop::collection::vec(0_usize..6, 0..30), id: u8) {
            let all: Vec<Connection> = picks.iter().map(|n| connections()[*n]).collect();
            let mut message = Message::new(id, 9000);
            prop_assert!(all.iter().all(|c| message.push(c)));
            prop_assert_eq!(parse(&message.finish()), Ok((id, all)));
        }

        #[test]
        fn no_bytes_and_no_line_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), line in "\\PC*") {
            drop(parse(&bytes));
            prop_assert!(listed(&line, &[]).is_none_or(|c| c.timeout_s == 0 || c.flags == TEMPLATE));
        }
    }
}
