//! Bytes of IPVS messages (`include/uapi/linux/ip_vs.h`, generic netlink interface version 1).
//!
//! Ports are in network byte order, addresses take 16 bytes in either family, flags are a value and a mask.

use super::super::netlink::decode::{after, bytes_at, u64_at};
use super::super::netlink::{Attribute, Body, Malformed, Message, attributes};
use director_core::model::config::{Forward, Protocol};
use director_core::plan::observed::{ObservedDest, ObservedService, Stats};
use director_core::plan::{
    DaemonRole, DaemonSpec, DestKey, DestSpec, Family, Op, ServiceKey, ServiceSpec, TimeoutSpec, TunnelSpec,
};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// `GENL_ID_CTRL`: the family that knows the families.
pub(super) const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `IPVS_GENL_NAME`, `IPVS_GENL_VERSION`.
const NAME: &str = "IPVS";
const VERSION: u8 = 1;
/// `struct genlmsghdr`: bytes.
const GENL_BYTES: usize = 4;

/// `IPVS_CMD_*` that answer, or only ask.
const GET_SERVICE: u8 = 4;
const GET_DEST: u8 = 8;
const GET_CONFIG: u8 = 13;
const GET_DAEMON: u8 = 11;

/// `IPVS_CMD_ATTR_*`.
const SERVICE: u16 = 1;
const DEST: u16 = 2;
const DAEMON: u16 = 3;
const TIMEOUT_TCP: u16 = 4;
const TIMEOUT_TCP_FIN: u16 = 5;
const TIMEOUT_UDP: u16 = 6;

/// `IPVS_SVC_ATTR_*`.
const SVC_FAMILY: u16 = 1;
const SVC_PROTOCOL: u16 = 2;
const SVC_ADDRESS: u16 = 3;
const SVC_PORT: u16 = 4;
const SVC_FWMARK: u16 = 5;
const SVC_SCHEDULER: u16 = 6;
const SVC_FLAGS: u16 = 7;
const SVC_TIMEOUT: u16 = 8;
const SVC_NETMASK: u16 = 9;
const SVC_ENGINE: u16 = 11;
const SVC_STATS64: u16 = 12;
/// `IP_VS_SVC_F_PERSISTENT`, `IP_VS_SVC_F_ONEPACKET`.
const PERSISTENT: u32 = 1;
const ONE_PACKET: u32 = 4;
/// Prefix length of IPv6 that makes every client one of its own; for IPv4 it is the mask of all bits.
const WHOLE_IPV6: u32 = 128;

/// `IPVS_DEST_ATTR_*`.
const DEST_ADDRESS: u16 = 1;
const DEST_PORT: u16 = 2;
const DEST_FORWARD: u16 = 3;
const DEST_WEIGHT: u16 = 4;
const DEST_UPPER: u16 = 5;
const DEST_LOWER: u16 = 6;
const DEST_ACTIVE: u16 = 7;
const DEST_INACTIVE: u16 = 8;
const DEST_PERSISTENT: u16 = 9;
const DEST_FAMILY: u16 = 11;
const DEST_STATS64: u16 = 12;
const DEST_TUNNEL_KIND: u16 = 13;
const DEST_TUNNEL_PORT: u16 = 14;
const DEST_TUNNEL_FLAGS: u16 = 15;
/// `IP_VS_CONN_F_FWD_MASK` and the methods.
const FORWARD_MASK: u32 = 7;
const MASQUERADE: u32 = 0;
const LOCAL: u32 = 1;
const TUNNEL: u32 = 2;
const DIRECT: u32 = 3;

/// `IPVS_STATS_ATTR_*`.
const STATS_CONNECTIONS: u16 = 1;
const STATS_IN_PACKETS: u16 = 2;
const STATS_OUT_PACKETS: u16 = 3;
const STATS_IN_BYTES: u16 = 4;
const STATS_OUT_BYTES: u16 = 5;
const STATS_CPS: u16 = 6;
const STATS_IN_PPS: u16 = 7;
const STATS_OUT_PPS: u16 = 8;
const STATS_IN_BPS: u16 = 9;
const STATS_OUT_BPS: u16 = 10;

/// `AF_INET`, `AF_INET6`, `IPPROTO_TCP`, `IPPROTO_UDP`, `IPPROTO_SCTP`.
const INET: u16 = 2;
const INET6: u16 = 10;
const TCP: u16 = 6;
const UDP: u16 = 17;
const SCTP: u16 = 132;

/// What an operation asks of IPVS (`IPVS_CMD_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Command {
    NewService = 1,
    SetService = 2,
    DeleteService = 3,
    NewDest = 5,
    SetDest = 6,
    DeleteDest = 7,
    NewDaemon = 9,
    DeleteDaemon = 10,
    SetConfig = 12,
}

impl Command {
    /// `None` for operations on other parts of the kernel.
    pub(super) const fn of(op: &Op) -> Option<Self> {
        match op {
            Op::ServiceAdd { .. } => Some(Self::NewService),
            Op::ServiceEdit { .. } => Some(Self::SetService),
            Op::ServiceDelete { .. } => Some(Self::DeleteService),
            Op::DestAdd { .. } => Some(Self::NewDest),
            Op::DestEdit { .. } => Some(Self::SetDest),
            Op::DestDelete { .. } => Some(Self::DeleteDest),
            Op::DaemonStart { .. } => Some(Self::NewDaemon),
            Op::DaemonStop { .. } => Some(Self::DeleteDaemon),
            Op::TimeoutsSet { .. } => Some(Self::SetConfig),
            Op::SysctlSet { .. }
            | Op::LinkUp { .. }
            | Op::LinkMtu { .. }
            | Op::VlanAdd { .. }
            | Op::VlanDelete { .. }
            | Op::AddressAdd { .. }
            | Op::AddressRelabel { .. }
            | Op::AddressDelete { .. }
            | Op::RouteSet { .. }
            | Op::RouteDelete { .. }
            | Op::RulesetSet { .. }
            | Op::Announce { .. } => None,
        }
    }

    #[expect(clippy::as_conversions, reason = "the discriminants are the kernel's numbers, all below 256")]
    const fn number(self) -> u8 {
        self as u8
    }
}

pub(super) fn ask_family(body: &mut Body<'_>) {
    body.header(&[GET_FAMILY, 1, 0, 0]);
    body.text(FAMILY_NAME, NAME);
}

pub(super) fn parse_family(message: &Message<'_>) -> Result<Option<u16>, Malformed> {
    let mut family = None;
    for attribute in attributes(after(message.payload, GENL_BYTES)?) {
        let attribute = attribute?;
        if attribute.kind == FAMILY_ID {
            family = Some(attribute.u16()?);
        }
    }
    Ok(family)
}

pub(super) fn dump_services(body: &mut Body<'_>) {
    body.header(&[GET_SERVICE, VERSION, 0, 0]);
}

pub(super) fn dump_dests(body: &mut Body<'_>, service: &ServiceKey) {
    body.header(&[GET_DEST, VERSION, 0, 0]);
    body.nest(SERVICE, |nest| service_key(nest, service));
}

/// Writes the message of an operation that has a [`Command`].
pub(super) fn write(body: &mut Body<'_>, op: &Op) {
    let Some(command) = Command::of(op) else { return };
    body.header(&[command.number(), VERSION, 0, 0]);
    match op {
        Op::ServiceAdd { key, spec } | Op::ServiceEdit { key, spec } => body.nest(SERVICE, |nest| {
            service_key(nest, key);
            service_spec(nest, key.family(), spec);
        }),
        Op::ServiceDelete { key } => body.nest(SERVICE, |nest| service_key(nest, key)),
        Op::DestAdd { service, key, spec } | Op::DestEdit { service, key, spec } => {
            body.nest(SERVICE, |nest| service_key(nest, service));
            body.nest(DEST, |nest| {
                dest_key(nest, key);
                dest_spec(nest, spec);
            });
        }
        Op::DestDelete { service, key } => {
            body.nest(SERVICE, |nest| service_key(nest, service));
            body.nest(DEST, |nest| dest_key(nest, key));
        }
        Op::DaemonStart { role, spec } => daemon::write_start(body, *role, spec),
        Op::DaemonStop { role } => daemon::write_stop(body, *role),
        Op::TimeoutsSet { timeouts } => {
            body.u32(TIMEOUT_TCP, timeouts.tcp_s);
            body.u32(TIMEOUT_TCP_FIN, timeouts.tcp_fin_s);
            body.u32(TIMEOUT_UDP, timeouts.udp_s);
        }
        Op::SysctlSet { .. }
        | Op::LinkUp { .. }
        | Op::LinkMtu { .. }
        | Op::VlanAdd { .. }
        | Op::VlanDelete { .. }
        | Op::AddressAdd { .. }
        | Op::AddressRelabel { .. }
        | Op::AddressDelete { .. }
        | Op::RouteSet { .. }
        | Op::RouteDelete { .. }
        | Op::RulesetSet { .. }
        | Op::Announce { .. } => {}
    }
}

pub(super) fn dump_daemons(body: &mut Body<'_>) {
    body.header(&[GET_DAEMON, VERSION, 0, 0]);
}

/// The sync daemon that a message tells of.
pub(super) fn parse_daemon(message: &Message<'_>) -> Result<Option<(DaemonRole, DaemonSpec)>, Malformed> {
    nest(message, DAEMON)?.map_or(Ok(None), |nest| daemon::parse(&nest))
}

fn service_key(nest: &mut Body<'_>, key: &ServiceKey) {
    nest.u16(SVC_FAMILY, family(key.family()));
    match key {
        ServiceKey::Address { protocol, address, port } => {
            let protocol = match protocol {
                Protocol::Tcp => TCP,
                Protocol::Udp => UDP,
                Protocol::Sctp => SCTP,
            };
            nest.u16(SVC_PROTOCOL, protocol);
            nest.attr(SVC_ADDRESS, &address_bytes(*address));
            nest.be16(SVC_PORT, *port);
        }
        ServiceKey::Mark { mark, .. } => nest.u32(SVC_FWMARK, *mark),
    }
}

/// The kernel wants all settings at once, in an edit too (`ip_vs_genl_parse_service`, `full_entry`).
fn service_spec(nest: &mut Body<'_>, family: Family, spec: &ServiceSpec) {
    let persistent = if spec.persistence_s.is_some() { PERSISTENT } else { 0 };
    let one_packet = if spec.one_packet { ONE_PACKET } else { 0 };
    let flags = persistent | one_packet | (spec.flags & ServiceSpec::SCHEDULER_FLAGS);
    let mut flags_and_mask = [0xff; 8];
    if let Some(value) = flags_and_mask.first_chunk_mut::<4>() {
        *value = flags.to_ne_bytes();
    }
    nest.text(SVC_SCHEDULER, &spec.scheduler);
    nest.attr(SVC_FLAGS, &flags_and_mask);
    nest.u32(SVC_TIMEOUT, spec.persistence_s.unwrap_or(0));
    // In network byte order for IPv4, a length in the machine's for IPv6 (`ip_vs_ctl.c`).
    match family {
        Family::V4 => nest.be32(SVC_NETMASK, spec.mask.unwrap_or(u32::MAX)),
        Family::V6 => nest.u32(SVC_NETMASK, spec.mask.unwrap_or(WHOLE_IPV6)),
    }
    // Without it an edit takes the engine away.
    if let Some(engine) = &spec.engine {
        nest.text(SVC_ENGINE, engine);
    }
}

fn dest_key(nest: &mut Body<'_>, key: &DestKey) {
    nest.attr(DEST_ADDRESS, &address_bytes(key.address));
    nest.be16(DEST_PORT, key.port);
    nest.u16(DEST_FAMILY, family(Family::of(key.address)));
}

fn dest_spec(nest: &mut Body<'_>, spec: &DestSpec) {
    let forward = match spec.forward {
        Forward::Nat => MASQUERADE,
        Forward::Direct => DIRECT,
        Forward::Tunnel => TUNNEL,
    };
    nest.u32(DEST_FORWARD, forward);
    nest.u32(DEST_WEIGHT, spec.weight);
    nest.u32(DEST_UPPER, spec.upper);
    nest.u32(DEST_LOWER, spec.lower);
    if spec.forward == Forward::Tunnel {
        nest.u8(DEST_TUNNEL_KIND, spec.tunnel.kind);
        nest.be16(DEST_TUNNEL_PORT, spec.tunnel.port);
        nest.u16(DEST_TUNNEL_FLAGS, spec.tunnel.flags);
    }
}

fn family(family: Family) -> u16 {
    match family {
        Family::V4 => INET,
        Family::V6 => INET6,
    }
}

fn address_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut bytes = [0; 16];
            if let Some(start) = bytes.first_chunk_mut::<4>() {
                *start = address.octets();
            }
            bytes
        }
        IpAddr::V6(address) => address.octets(),
    }
}

fn address(family: u16, value: &[u8]) -> Result<Option<IpAddr>, Malformed> {
    match family {
        INET => bytes_at::<4>(value, 0).map(|octets| Some(IpAddr::from(octets))),
        INET6 => bytes_at::<16>(value, 0).map(|octets| Some(IpAddr::from(octets))),
        _ => Ok(None),
    }
}

/// The nest of type `wanted`, if the message has one.
fn nest<'a>(message: &Message<'a>, wanted: u16) -> Result<Option<Attribute<'a>>, Malformed> {
    for attribute in attributes(after(message.payload, GENL_BYTES)?) {
        let attribute = attribute?;
        if attribute.kind == wanted {
            return Ok(Some(attribute));
        }
    }
    Ok(None)
}

/// `None` for virtual servers that we cannot say (other protocols), which are not ours.
pub(super) fn parse_service(
    message: &Message<'_>,
) -> Result<Option<(ServiceKey, ObservedService)>, Malformed> {
    let Some(service) = nest(message, SERVICE)? else { return Ok(None) };
    let (mut af, mut protocol, mut raw_address, mut port, mut mark) = (0, 0, None, 0, 0);
    let (mut scheduler, mut flags, mut timeout, mut stats) = ("", 0, 0, Stats::default());
    let (mut netmask, mut engine) = (None, "");
    for attribute in service.nested() {
        let attribute = attribute?;
        match attribute.kind {
            SVC_FAMILY => af = attribute.u16()?,
            SVC_PROTOCOL => protocol = attribute.u16()?,
            SVC_ADDRESS => raw_address = Some(attribute.value),
            SVC_PORT => port = attribute.be16()?,
            SVC_FWMARK => mark = attribute.u32()?,
            SVC_SCHEDULER => scheduler = attribute.text()?,
            SVC_FLAGS => flags = attribute.u32()?,
            SVC_TIMEOUT => timeout = attribute.u32()?,
            SVC_NETMASK => netmask = Some(attribute.u32()?),
            SVC_ENGINE => engine = attribute.text()?,
            SVC_STATS64 => stats = parse_stats(&attribute)?,
            _ => {}
        }
    }
    let Some(key) = parse_key(af, (protocol, raw_address, port), mark)? else { return Ok(None) };
    let mask = match key.family() {
        Family::V4 => netmask.map(u32::from_be).filter(|mask| *mask != u32::MAX),
        Family::V6 => netmask.filter(|length| *length != WHOLE_IPV6),
    };
    let name = |text: &str| heapless::String::try_from(text).map_err(|_| Malformed);
    let spec = ServiceSpec {
        scheduler: name(scheduler)?,
        persistence_s: (flags & PERSISTENT != 0).then_some(timeout),
        mask,
        engine: if engine.is_empty() { None } else { Some(name(engine)?) },
        flags: flags & ServiceSpec::SCHEDULER_FLAGS,
        one_packet: flags & ONE_PACKET != 0,
    };
    Ok(Some((key, ObservedService { spec, stats, dests: BTreeMap::new() })))
}

fn parse_key(
    af: u16,
    (protocol, raw_address, port): (u16, Option<&[u8]>, u16),
    mark: u32,
) -> Result<Option<ServiceKey>, Malformed> {
    let family = match af {
        INET => Family::V4,
        INET6 => Family::V6,
        _ => return Ok(None),
    };
    if mark != 0 {
        return Ok(Some(ServiceKey::Mark { family, mark }));
    }
    let protocol = match protocol {
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        SCTP => Protocol::Sctp,
        _ => return Ok(None),
    };
    let address = address(af, raw_address.ok_or(Malformed)?)?;
    Ok(address.map(|address| ServiceKey::Address { protocol, address, port }))
}

/// The idle times; `None` when the answer lacks one.
pub(super) fn parse_timeouts(message: &Message<'_>) -> Result<Option<TimeoutSpec>, Malformed> {
    let (mut tcp, mut tcp_fin, mut udp) = (None, None, None);
    for attribute in attributes(after(message.payload, GENL_BYTES)?) {
        let attribute = attribute?;
        match attribute.kind {
            TIMEOUT_TCP => tcp = Some(attribute.u32()?),
            TIMEOUT_TCP_FIN => tcp_fin = Some(attribute.u32()?),
            TIMEOUT_UDP => udp = Some(attribute.u32()?),
            _ => {}
        }
    }
    let (Some(tcp_s), Some(tcp_fin_s), Some(udp_s)) = (tcp, tcp_fin, udp) else { return Ok(None) };
    Ok(Some(TimeoutSpec { tcp_s, tcp_fin_s, udp_s }))
}

pub(super) fn ask_timeouts(body: &mut Body<'_>) {
    body.header(&[GET_CONFIG, VERSION, 0, 0]);
}

/// `service` is the family of the virtual server, which old kernels leave out here.
pub(super) fn parse_dest(
    message: &Message<'_>,
    service: Family,
) -> Result<Option<(DestKey, ObservedDest)>, Malformed> {
    let Some(dest) = nest(message, DEST)? else { return Ok(None) };
    let (mut af, mut raw_address, mut port) = (family(service), None, 0);
    let mut spec = DestSpec::default();
    let (mut active, mut inactive, mut persistent, mut stats) = (0, 0, 0, Stats::default());
    for attribute in dest.nested() {
        let attribute = attribute?;
        match attribute.kind {
            DEST_FAMILY => af = attribute.u16()?,
            DEST_ADDRESS => raw_address = Some(attribute.value),
            DEST_PORT => port = attribute.be16()?,
            DEST_FORWARD => spec.forward = forward(attribute.u32()?),
            DEST_WEIGHT => spec.weight = attribute.u32()?,
            DEST_UPPER => spec.upper = attribute.u32()?,
            DEST_LOWER => spec.lower = attribute.u32()?,
            DEST_TUNNEL_KIND => spec.tunnel.kind = *attribute.value.first().ok_or(Malformed)?,
            DEST_TUNNEL_PORT => spec.tunnel.port = attribute.be16()?,
            DEST_TUNNEL_FLAGS => spec.tunnel.flags = attribute.u16()?,
            DEST_ACTIVE => active = attribute.u32()?,
            DEST_INACTIVE => inactive = attribute.u32()?,
            DEST_PERSISTENT => persistent = attribute.u32()?,
            DEST_STATS64 => stats = parse_stats(&attribute)?,
            _ => {}
        }
    }
    let Some(address) = address(af, raw_address.ok_or(Malformed)?)? else { return Ok(None) };
    if spec.forward != Forward::Tunnel {
        // The kernel keeps what an earlier edit left there, and does not look at it.
        spec.tunnel = TunnelSpec::default();
    }
    Ok(Some((DestKey { address, port }, ObservedDest { spec, active, inactive, persistent, stats })))
}

/// Local delivery is read as direct routing, its nearest relative, so that an edit or delete can put it right: we never
/// set it.
fn forward(flags: u32) -> Forward {
    match flags & FORWARD_MASK {
        MASQUERADE => Forward::Nat,
        TUNNEL => Forward::Tunnel,
        LOCAL | DIRECT => Forward::Direct,
        _ => Forward::Direct,
    }
}

fn parse_stats(nest: &Attribute<'_>) -> Result<Stats, Malformed> {
    let mut stats = Stats::default();
    for attribute in nest.nested() {
        let attribute = attribute?;
        let field = match attribute.kind {
            STATS_CONNECTIONS => &mut stats.connections,
            STATS_IN_PACKETS => &mut stats.in_packets,
            STATS_OUT_PACKETS => &mut stats.out_packets,
            STATS_IN_BYTES => &mut stats.in_bytes,
            STATS_OUT_BYTES => &mut stats.out_bytes,
            STATS_CPS => &mut stats.cps,
            STATS_IN_PPS => &mut stats.in_pps,
            STATS_OUT_PPS => &mut stats.out_pps,
            STATS_IN_BPS => &mut stats.in_bps,
            STATS_OUT_BPS => &mut stats.out_bps,
            _ => continue,
        };
        *field = u64_at(attribute.value, 0)?;
    }
    Ok(stats)
}

mod daemon;
#[cfg(test)]
mod tests;
