//! From [`Ruleset`] to chains, sets and rules. Raise `RULESET_FORMAT` in the core with every change here.
//!
//! In the notation of `nft`, for two virtual servers, one masqueraded network and one inside device:
//!
//! ```text
//! table inet director {
//!   set clients4 { type inet_proto . ipv4_addr . inet_service; flags constant; elements = { ... } }
//!   chain prerouting { type filter hook prerouting priority raw;
//!     meta nfproto ipv4 meta l4proto . ip daddr . th dport @clients4 notrack }
//!   chain marks { type filter hook prerouting priority -350;
//!     meta nfproto ipv4 meta l4proto tcp ip daddr 1.2.3.1 th dport 10000-20000 meta mark set 7 notrack accept }
//!   chain input { type filter hook input priority filter;
//!     iifname != "eth1" meta l4proto udp th dport 8848 drop
//!     meta nfproto ipv4 meta l4proto tcp ip saddr 1.2.3.7 th dport >= 61000 drop }
//!   chain forward { type filter hook forward priority filter; policy drop;
//!     ct state established,related accept
//!     meta nfproto ipv4 iifname "eth1" ip saddr 192.168.1.0/24 accept
//!     meta nfproto ipv4 iifname "eth1" meta l4proto icmp icmp type 3 accept }
//!   chain postrouting { type nat hook postrouting priority srcnat;
//!     meta nfproto ipv4 meta l4proto tcp ct original ip daddr 1.2.3.1 ct original proto-dst 80-80 masquerade
//!     meta nfproto ipv4 ip saddr 192.168.1.0/24 oifname "eth0" masquerade }
//! }
//! ```
//!
//! - `forward` is always there and drops what no rule lets pass. It sees neither what clients send to virtual servers (IPVS
//!   takes that on its way in and sends it out as its own) nor what direct routing and tunnels answer; it does see the
//!   answers of NAT, which come from the inside before IPVS rewrites them (priority 100), and which the second rule lets
//!   pass. Nothing new gets in from the outside. Its first rule, which needs connection tracking, is there only with an
//!   inside network or a masqueraded one.
//! - Routers behind the inside devices report errors from addresses of their own: these pass (unreachable, time exceeded,
//!   parameter problem; for IPv6 packet too big too), and IPVS rewrites those that belong to its connections.
//! - `marks` runs after the reassembly of fragments (-400), because only the first one has ports, and before connection
//!   tracking.
//! - Source NAT of balanced connections takes those whose client asked for the virtual server: IPVS changes the
//!   destination, connection tracking keeps the original one.
//! - The last rule of `input` keeps the kernel from resetting the connections of `health::client`. A socket bound to the port
//!   would reserve it and not help: the kernel resets whatever has no connection of its own. The ports lie beyond those that
//!   the kernel picks by itself (`net.ipv4.ip_local_port_range` ends at 60999), and no packet from a virtual address to
//!   the box itself is anything else. A packet socket sees the packets before.
//! - The answers of NAT leave `ip_vs_out` marked untracked (`net.ipv4.vs.conntrack=0`), so `masquerade` skips them.
//! - `nf_defrag` runs at priority -400 as long as some expression needs connection tracking. Where the rule set has none,
//!   `defragment` adds a rule that reads `ct state` and decides nothing.

use director_core::health::client::FIRST_PORT;
use director_core::model::config::Protocol;
use director_core::model::{Cidr, Device};
use director_core::plan::desired::{MarkRule, Ruleset, SourceNatRule};
use std::net::IpAddr;

/// `NF_INET_*` hooks.
const PREROUTING: u32 = 0;
const LOCAL_IN: u32 = 1;
const FORWARD: u32 = 2;
const POSTROUTING: u32 = 4;
/// `NF_IP_PRI_RAW`, `NF_IP_PRI_FILTER`, `NF_IP_PRI_NAT_SRC`.
const RAW: i32 = -300;
/// Between `NF_IP_PRI_CONNTRACK_DEFRAG` (-400) and [`RAW`].
const MARKS: i32 = -350;
const FILTER: i32 = 0;
const SOURCE_NAT: i32 = 100;
/// `NF_DROP`, `NF_ACCEPT`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// `enum nft_meta_keys`.
const META_MARK: u32 = 3;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
/// `NFPROTO_IPV4`, `NFPROTO_IPV6`, `IPPROTO_TCP`, `IPPROTO_UDP`, `IPPROTO_SCTP`.
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
/// `IPPROTO_ICMP`, `IPPROTO_ICMPV6`, and the types that report errors.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const ICMP_ERRORS: [u8; 3] = [3, 11, 12];
const ICMPV6_ERRORS: [u8; 4] = [1, 2, 3, 4];
/// `NFT_CT_DST_IP`, `NFT_CT_DST_IP6`, `NFT_CT_PROTO_DST`.
const CT_DST_IP: u32 = 20;
const CT_DST_IP6: u32 = 22;
const CT_PROTO_DST: u32 = 12;
/// `NF_CT_STATE_BIT(IP_CT_ESTABLISHED)` and `(IP_CT_RELATED)`.
const ESTABLISHED_RELATED: u32 = 0x2 | 0x4;
/// `IFNAMSIZ`.
const IFNAME_BYTES: usize = 16;

/// `NFT_REG_1`: 16 bytes. `NFT_REG32_00`: the first of sixteen of 4 bytes, over the same memory.
const REG_1: u32 = 1;
const REG32_00: u32 = 8;

/// Types of keys for `nft list`; the kernel does not look at them. A concatenation has 6 bits for each part.
const TYPE_CLIENTS4: u32 = (12 << 12) | (7 << 6) | 13;
const TYPE_CLIENTS6: u32 = (12 << 12) | (8 << 6) | 13;

const CLIENTS4: &str = "clients4";
const CLIENTS6: &str = "clients6";

/// A table as the kernel gets it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Table {
    pub(super) chains: Vec<Chain>,
    pub(super) sets: Vec<Set>,
    pub(super) rules: Vec<Rule>,
}

/// A base chain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) hook: u32,
    pub(super) priority: i32,
    pub(super) policy: u32,
}

/// A set that never changes: the kernel refuses to touch the elements of a constant set that a rule uses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Set {
    pub(super) name: &'static str,
    pub(super) key_type: u32,
    pub(super) key_bytes: u32,
    pub(super) elements: Vec<Vec<u8>>,
}

/// A rule: expressions, of which the first that does not match ends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rule {
    pub(super) chain: &'static str,
    pub(super) expressions: Vec<Expression>,
}

/// Where a payload expression counts from (`enum nft_payload_bases`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Base {
    Network,
    Transport,
}

/// One expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Expression {
    /// Loads a property of the packet.
    Meta { key: u32, register: u32 },
    /// Loads bytes of the packet.
    Payload { base: Base, offset: u32, bytes: u32, register: u32 },
    /// Loads the state of the packet's connection as bits.
    CtState { register: u32 },
    /// Loads a property of the packet's connection as its first packet had it.
    CtOriginal { key: u32, register: u32 },
    /// Goes on when the register holds `value` or less, as numbers in network byte order.
    AtMost { register: u32, value: Vec<u8> },
    /// Goes on when the register holds `value` or more.
    AtLeast { register: u32, value: Vec<u8> },
    /// Loads bytes.
    Load { register: u32, value: Vec<u8> },
    /// Sets a property of the packet to what the register holds.
    MetaSet { key: u32, register: u32 },
    /// Throws the packet away.
    Drop,
    /// Gives the packet the address in the register as its source.
    SourceNat { nfproto: u8, register: u32 },
    /// Keeps the bits of `mask`.
    Mask { register: u32, mask: Vec<u8> },
    /// Goes on when the register holds `value`.
    Equal { register: u32, value: Vec<u8> },
    /// Goes on when the register does not hold `value`.
    NotEqual { register: u32, value: Vec<u8> },
    /// Goes on when the set has the key that starts at the register.
    Lookup { set: &'static str, register: u32 },
    /// Lets the packet pass this chain.
    Accept,
    /// Keeps connection tracking away from the packet.
    Notrack,
    /// Gives the packet an address of the device that it leaves by.
    Masquerade,
}

/// The table for a rule set.
pub(super) fn table(ruleset: &Ruleset) -> Table {
    let mut table = Table::default();
    let filtered = !ruleset.inside.is_empty() || !ruleset.masquerade.is_empty();
    prerouting(&mut table, ruleset, filtered);
    if !ruleset.marks.is_empty() {
        table.chains.push(chain("marks", "filter", PREROUTING, MARKS, ACCEPT));
        table.rules.extend(ruleset.marks.iter().map(|rule| mark(rule, ruleset.track_marks)));
    }
    if ruleset.sync.is_some() || !ruleset.asked.is_empty() {
        table.chains.push(chain("input", "filter", LOCAL_IN, FILTER, ACCEPT));
        table.rules.extend(ruleset.sync.iter().map(|(device, port)| sync(device, *port)));
        table.rules.extend(ruleset.asked.iter().map(|address| answer(*address)));
    }
    forward(&mut table, ruleset, filtered);
    if !ruleset.masquerade.is_empty() || !ruleset.source_nat.is_empty() {
        table.chains.push(chain("postrouting", "nat", POSTROUTING, SOURCE_NAT, ACCEPT));
        table.rules.extend(ruleset.source_nat.iter().map(source_nat));
        let outbound = ruleset.masquerade.iter();
        table.rules.extend(outbound.map(|(network, device, address)| masquerade(*network, device, *address)));
    }
    table
}

/// The answers of servers that were asked for a virtual address by ourselves.
fn answer(address: IpAddr) -> Rule {
    let (nfproto, offset, octets) = match address {
        IpAddr::V4(address) => (NFPROTO_IPV4, 12, address.octets().to_vec()),
        IpAddr::V6(address) => (NFPROTO_IPV6, 8, address.octets().to_vec()),
    };
    let bytes = if nfproto == NFPROTO_IPV4 { 4 } else { 16 };
    let mut expressions = nfproto_is(nfproto);
    expressions.extend(l4proto_is(TCP));
    expressions.extend([
        Expression::Payload { base: Base::Network, offset, bytes, register: REG_1 },
        Expression::Equal { register: REG_1, value: octets },
        Expression::Payload { base: Base::Transport, offset: 2, bytes: 2, register: REG_1 },
        Expression::AtLeast { register: REG_1, value: FIRST_PORT.to_be_bytes().to_vec() },
        Expression::Drop,
    ]);
    Rule { chain: "input", expressions }
}

/// Packets of a transport protocol to an address.
fn towards(protocol: u8, address: IpAddr) -> Vec<Expression> {
    let (nfproto, offset, octets) = match address {
        IpAddr::V4(address) => (NFPROTO_IPV4, 16, address.octets().to_vec()),
        IpAddr::V6(address) => (NFPROTO_IPV6, 24, address.octets().to_vec()),
    };
    let bytes = if nfproto == NFPROTO_IPV4 { 4 } else { 16 };
    let mut expressions = nfproto_is(nfproto);
    expressions.extend(l4proto_is(protocol));
    expressions.extend([
        Expression::Payload { base: Base::Network, offset, bytes, register: REG_1 },
        Expression::Equal { register: REG_1, value: octets },
    ]);
    expressions
}

/// The register holds a port from `first` to `last`.
fn port_in(first: u16, last: u16) -> [Expression; 2] {
    [
        Expression::AtLeast { register: REG_1, value: first.to_be_bytes().to_vec() },
        Expression::AtMost { register: REG_1, value: last.to_be_bytes().to_vec() },
    ]
}

fn mark(rule: &MarkRule, tracked: bool) -> Rule {
    let mut expressions = towards(protocol_number(rule.protocol), rule.address);
    expressions.push(Expression::Payload { base: Base::Transport, offset: 2, bytes: 2, register: REG_1 });
    expressions.extend(port_in(rule.first, rule.last));
    expressions.extend([
        Expression::Load { register: REG_1, value: rule.mark.to_ne_bytes().to_vec() },
        Expression::MetaSet { key: META_MARK, register: REG_1 },
    ]);
    if !tracked {
        expressions.push(Expression::Notrack);
    }
    expressions.push(Expression::Accept);
    Rule { chain: "marks", expressions }
}

fn sync(device: &Device, port: u16) -> Rule {
    let mut expressions = vec![
        Expression::Meta { key: META_IIFNAME, register: REG_1 },
        Expression::NotEqual { register: REG_1, value: ifname(device) },
    ];
    expressions.extend(l4proto_is(UDP));
    expressions.extend([
        Expression::Payload { base: Base::Transport, offset: 2, bytes: 2, register: REG_1 },
        Expression::Equal { register: REG_1, value: port.to_be_bytes().to_vec() },
        Expression::Drop,
    ]);
    Rule { chain: "input", expressions }
}

fn source_nat(rule: &SourceNatRule) -> Rule {
    let (nfproto, key, octets) = match rule.address {
        IpAddr::V4(address) => (NFPROTO_IPV4, CT_DST_IP, address.octets().to_vec()),
        IpAddr::V6(address) => (NFPROTO_IPV6, CT_DST_IP6, address.octets().to_vec()),
    };
    let mut expressions = rule.clients.map_or_else(|| nfproto_is(nfproto), source_in);
    expressions.extend(l4proto_is(protocol_number(rule.protocol)));
    expressions.extend([
        Expression::CtOriginal { key, register: REG_1 },
        Expression::Equal { register: REG_1, value: octets },
        Expression::CtOriginal { key: CT_PROTO_DST, register: REG_1 },
    ]);
    expressions.extend(port_in(rule.first, rule.last));
    expressions.push(Expression::Masquerade);
    Rule { chain: "postrouting", expressions }
}

fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
        Protocol::Sctp => SCTP,
    }
}

fn l4proto_is(protocol: u8) -> [Expression; 2] {
    [
        Expression::Meta { key: META_L4PROTO, register: REG_1 },
        Expression::Equal { register: REG_1, value: vec![protocol] },
    ]
}

fn chain(name: &str, kind: &str, hook: u32, priority: i32, policy: u32) -> Chain {
    Chain { name: name.to_owned(), kind: kind.to_owned(), hook, priority, policy }
}

fn prerouting(table: &mut Table, ruleset: &Ruleset, filtered: bool) {
    const NAME: &str = "prerouting";
    let (mut keys4, mut keys6) = (Vec::new(), Vec::new());
    for (protocol, address, port) in &ruleset.notrack {
        match address {
            IpAddr::V4(address) => keys4.push(client_key(*protocol, &address.octets(), *port)),
            IpAddr::V6(address) => keys6.push(client_key(*protocol, &address.octets(), *port)),
        }
    }
    let families = [
        (CLIENTS4, TYPE_CLIENTS4, 12, NFPROTO_IPV4, (16, 4), keys4),
        (CLIENTS6, TYPE_CLIENTS6, 24, NFPROTO_IPV6, (24, 16), keys6),
    ];
    for (set, key_type, key_bytes, nfproto, (offset, bytes), elements) in families {
        if elements.is_empty() {
            continue;
        }
        let port_register = REG32_00.saturating_add(1).saturating_add(bytes / 4);
        table.sets.push(Set { name: set, key_type, key_bytes, elements });
        let mut expressions = nfproto_is(nfproto);
        expressions.extend([
            Expression::Meta { key: META_L4PROTO, register: REG32_00 },
            Expression::Payload { base: Base::Network, offset, bytes, register: REG32_00.saturating_add(1) },
            Expression::Payload { base: Base::Transport, offset: 2, bytes: 2, register: port_register },
            Expression::Lookup { set, register: REG32_00 },
            Expression::Notrack,
        ]);
        table.rules.push(Rule { chain: NAME, expressions });
    }
    if ruleset.defragment && !filtered {
        let expressions = vec![Expression::CtState { register: REG_1 }];
        table.rules.push(Rule { chain: NAME, expressions });
    }
    if !table.rules.is_empty() {
        table.chains.push(chain(NAME, "filter", PREROUTING, RAW, ACCEPT));
    }
}

/// Protocol, address, port; each starts on a multiple of 4 bytes, as registers do.
fn client_key(protocol: Protocol, address: &[u8], port: u16) -> Vec<u8> {
    let mut key = vec![protocol_number(protocol), 0, 0, 0];
    key.extend_from_slice(address);
    key.extend_from_slice(&port.to_be_bytes());
    key.extend_from_slice(&[0; 2]);
    key
}

fn forward(table: &mut Table, ruleset: &Ruleset, filtered: bool) {
    const NAME: &str = "forward";
    table.chains.push(chain(NAME, "filter", FORWARD, FILTER, DROP));
    if filtered {
        table.rules.push(Rule {
            chain: NAME,
            expressions: vec![
                Expression::CtState { register: REG_1 },
                Expression::Mask { register: REG_1, mask: ESTABLISHED_RELATED.to_ne_bytes().to_vec() },
                Expression::NotEqual { register: REG_1, value: vec![0; 4] },
                Expression::Accept,
            ],
        });
    }
    for (device, network) in &ruleset.inside {
        let mut expressions = source_in(*network);
        expressions.extend([
            Expression::Meta { key: META_IIFNAME, register: REG_1 },
            Expression::Equal { register: REG_1, value: ifname(device) },
            Expression::Accept,
        ]);
        table.rules.push(Rule { chain: NAME, expressions });
    }
    let mut families: Vec<(&Device, bool)> =
        ruleset.inside.iter().map(|(device, network)| (device, network.address().is_ipv4())).collect();
    families.dedup();
    for (device, ipv4) in families {
        let (nfproto, protocol, types) = match ipv4 {
            true => (NFPROTO_IPV4, ICMP, &ICMP_ERRORS[..]),
            false => (NFPROTO_IPV6, ICMPV6, &ICMPV6_ERRORS[..]),
        };
        let rule =
            |kind: &u8| Rule { chain: NAME, expressions: icmp_error(device, nfproto, protocol, *kind) };
        table.rules.extend(types.iter().map(rule));
    }
}

fn icmp_error(device: &Device, nfproto: u8, protocol: u8, kind: u8) -> Vec<Expression> {
    let mut expressions = nfproto_is(nfproto);
    expressions.extend([
        Expression::Meta { key: META_IIFNAME, register: REG_1 },
        Expression::Equal { register: REG_1, value: ifname(device) },
    ]);
    expressions.extend(l4proto_is(protocol));
    expressions.extend([
        Expression::Payload { base: Base::Transport, offset: 0, bytes: 1, register: REG_1 },
        Expression::Equal { register: REG_1, value: vec![kind] },
        Expression::Accept,
    ]);
    expressions
}

fn masquerade(network: Cidr, device: &Device, address: Option<IpAddr>) -> Rule {
    let mut expressions = source_in(network);
    expressions.extend([
        Expression::Meta { key: META_OIFNAME, register: REG_1 },
        Expression::Equal { register: REG_1, value: ifname(device) },
    ]);
    expressions.extend(match address {
        None => vec![Expression::Masquerade],
        Some(IpAddr::V4(address)) => fixed_source(NFPROTO_IPV4, &address.octets()),
        Some(IpAddr::V6(address)) => fixed_source(NFPROTO_IPV6, &address.octets()),
    });
    Rule { chain: "postrouting", expressions }
}

fn fixed_source(nfproto: u8, octets: &[u8]) -> Vec<Expression> {
    vec![
        Expression::Load { register: REG_1, value: octets.to_vec() },
        Expression::SourceNat { nfproto, register: REG_1 },
    ]
}

/// Packets of the network's family that come from it.
fn source_in(network: Cidr) -> Vec<Expression> {
    let (nfproto, offset, octets) = match network.network().address() {
        IpAddr::V4(address) => (NFPROTO_IPV4, 12, address.octets().to_vec()),
        IpAddr::V6(address) => (NFPROTO_IPV6, 8, address.octets().to_vec()),
    };
    let bytes = if nfproto == NFPROTO_IPV4 { 4 } else { 16 };
    let mut expressions = nfproto_is(nfproto);
    if network.prefix() > 0 {
        expressions.extend([
            Expression::Payload { base: Base::Network, offset, bytes, register: REG_1 },
            Expression::Mask { register: REG_1, mask: prefix_mask(network.prefix(), octets.len()) },
            Expression::Equal { register: REG_1, value: octets },
        ]);
    }
    expressions
}

fn nfproto_is(nfproto: u8) -> Vec<Expression> {
    vec![
        Expression::Meta { key: META_NFPROTO, register: REG_1 },
        Expression::Equal { register: REG_1, value: vec![nfproto] },
    ]
}

fn ifname(device: &Device) -> Vec<u8> {
    let mut name = device.as_str().as_bytes().to_vec();
    name.resize(IFNAME_BYTES, 0);
    name
}

fn prefix_mask(prefix: u8, bytes: usize) -> Vec<u8> {
    let ones = |index: usize| usize::from(prefix).saturating_sub(index.saturating_mul(8)).min(8);
    let byte = |ones: usize| {
        u8::try_from(0xff00_u32.checked_shr(u32::try_from(ones).unwrap_or(0)).unwrap_or(0) & 0xff)
    };
    (0..bytes).map(|index| byte(ones(index)).unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruleset() -> Ruleset {
        Ruleset {
            defragment: true,
            notrack: [(Protocol::Tcp, "1.2.3.1".parse().unwrap(), 80)].into(),
            masquerade: vec![("192.168.1.0/20".parse().unwrap(), "eth0".parse().unwrap(), None)],
            inside: [("eth1".parse().unwrap(), "192.168.0.0/20".parse().unwrap())].into(),
            ..Ruleset::default()
        }
    }

    #[test]
    fn masks_have_the_bits_of_the_prefix() {
        assert_eq!(prefix_mask(20, 4), [255, 255, 240, 0]);
        assert_eq!(prefix_mask(32, 4), [255; 4]);
        assert_eq!(prefix_mask(1, 4), [128, 0, 0, 0]);
        assert_eq!(prefix_mask(65, 16)[7..10], [255, 128, 0]);
    }

    #[test]
    fn forwarding_is_always_closed_and_needs_connection_tracking_only_with_an_inside() {
        let names = |ruleset: &Ruleset| table(ruleset).chains.into_iter().map(|c| c.name).collect::<Vec<_>>();
        assert_eq!(names(&ruleset()), ["prerouting", "forward", "postrouting"]);
        let one_arm = Ruleset { masquerade: Vec::new(), inside: [].into(), ..ruleset() };
        assert_eq!(names(&one_arm), ["prerouting", "forward"]);
        assert_eq!(names(&Ruleset::default()), ["forward"]);
        assert_eq!(table(&Ruleset::default()).rules, []);
    }

    #[test]
    fn defragmentation_alone_keeps_an_expression_that_needs_connection_tracking() {
        let alone = table(&Ruleset { defragment: true, ..Ruleset::default() });
        assert_eq!(alone.rules.len(), 1);
        assert_eq!(alone.rules[0].expressions, [Expression::CtState { register: REG_1 }]);
        let with_forward = table(&Ruleset { notrack: [].into(), ..ruleset() });
        assert!(with_forward.chains.iter().all(|c| c.name != "prerouting"));
    }

    #[test]
    fn answers_to_our_own_client_are_dropped_by_virtual_address() {
        let asked = ["1.2.3.7".parse().unwrap(), "fd00::7".parse().unwrap()].into();
        let table = table(&Ruleset { asked, ..Ruleset::default() });
        assert_eq!(table.chains[0].name, "input");
        assert_eq!(table.rules.len(), 2);
        assert!(table.rules.iter().all(|rule| rule.expressions.last() == Some(&Expression::Drop)));
    }

    #[test]
    fn a_client_key_is_aligned_like_the_registers_that_it_is_compared_with() {
        assert_eq!(client_key(Protocol::Udp, &[1, 2, 3, 1], 53), [17, 0, 0, 0, 1, 2, 3, 1, 0, 53, 0, 0]);
    }
}
