//! Bytes of rtnetlink messages (`include/uapi/linux/{rtnetlink,if_link,if_addr}.h`).

use super::super::netlink::decode::{after, bytes_at, u16_at, u32_at, u64_at};
use super::super::netlink::{Body, Malformed, Message, attributes, uapi};
use director_core::model::{Cidr, Device, Label};
use director_core::plan::observed::{Link, LinkCounters};
use director_core::plan::{AddressKey, AddressSpec, RouteKey, RouteSpec};
use std::net::IpAddr;

/// Name of the loopback device.
pub(super) const LOOPBACK: &str = "lo";

/// `AF_INET` and `AF_INET6`.
pub(super) const INET: u8 = 2;
pub(super) const INET6: u8 = 10;

pub(super) const NEW_LINK: u16 = 16;
pub(super) const DELETE_LINK: u16 = 17;
pub(super) const GET_LINK: u16 = 18;
pub(super) const SET_LINK: u16 = 19;
pub(super) const NEW_ADDRESS: u16 = 20;
pub(super) const DELETE_ADDRESS: u16 = 21;
pub(super) const GET_ADDRESS: u16 = 22;
pub(super) const NEW_ROUTE: u16 = 24;
pub(super) const DELETE_ROUTE: u16 = 25;
pub(super) const GET_ROUTE: u16 = 26;

/// Create, and fail when it exists.
pub(super) const CREATE_NEW: u16 = uapi::CREATE | uapi::EXCL;
/// Create, or replace what has the same key.
pub(super) const CREATE_OR_REPLACE: u16 = uapi::CREATE | uapi::REPLACE;

/// `struct ifinfomsg`, `struct ifaddrmsg`, `struct rtmsg`: bytes.
const IFINFO_BYTES: usize = 16;
const IFADDR_BYTES: usize = 8;
const RTMSG_BYTES: usize = 12;

/// `IFF_UP`, `IFF_LOWER_UP`.
const UP: u32 = 1;
const LOWER_UP: u32 = 0x1_0000;
/// `ARPHRD_ETHER`.
const ETHERNET: u16 = 1;

/// `IFLA_*`.
const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_BELOW: u16 = 5;
const LINK_INFO: u16 = 18;
const LINK_STATS64: u16 = 23;
/// `IFLA_INFO_*` and `IFLA_VLAN_ID`.
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VLAN_ID: u16 = 1;
const VLAN: &str = "vlan";

/// `IFA_*`.
const ADDR_ADDRESS: u16 = 1;
const ADDR_LOCAL: u16 = 2;
const ADDR_LABEL: u16 = 3;
const ADDR_BROADCAST: u16 = 4;
const ADDR_FLAGS: u16 = 8;
const ADDR_PROTO: u16 = 11;
/// `IFA_F_NODAD`: usable at once; `IFA_F_PERMANENT`: set by an administrator, not by the kernel.
const NODAD: u32 = 0x02;
const PERMANENT: u32 = 0x80;
/// Who made the address, in the numbers of routes (`RTPROT_STATIC`); 1 to 3 are the kernel's own.
const ADDR_PROTO_STATIC: u8 = 4;

/// `RTA_*`.
const ROUTE_TO: u16 = 1;
const ROUTE_GATEWAY: u16 = 5;
const ROUTE_PRIORITY: u16 = 6;
const ROUTE_TABLE: u16 = 15;
const ROUTE_VIA: u16 = 18;
/// `RT_TABLE_MAIN`, `RTPROT_STATIC`, `RT_SCOPE_UNIVERSE`, `RT_SCOPE_NOWHERE`, `RTN_UNICAST`.
const MAIN: u8 = 254;
const STATIC: u8 = 4;
const UNIVERSE: u8 = 0;
const NOWHERE: u8 = 255;
const UNICAST: u8 = 1;
/// `RTM_F_CLONED`: a cache entry, not a route.
const CLONED: u32 = 0x200;
/// `IP6_RT_PRIO_USER`: what the kernel makes of metric 0 in IPv6 (`include/net/ip6_fib.h`).
const INET6_DEFAULT_METRIC: u32 = 1024;

/// A device as the kernel describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LinkInfo {
    /// Name.
    pub(crate) device: Device,
    /// What the planner sees.
    pub(crate) link: Link,
    /// Whether it speaks Ethernet.
    pub(crate) ethernet: bool,
    /// Of a VLAN: number of the device below, and id.
    pub(crate) vlan: Option<(u32, u16)>,
}

/// An address as the kernel describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Address {
    pub(super) index: u32,
    pub(super) cidr: Cidr,
    pub(super) label: Option<Label>,
}

/// The kernel's number of an address's family.
pub(super) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { INET } else { INET6 }
}

pub(super) fn dump_links(body: &mut Body<'_>) {
    body.header(&[0; IFINFO_BYTES]);
}

pub(super) fn get_link(body: &mut Body<'_>, index: u32) {
    ifinfo(body, index, 0, 0);
}

pub(super) fn link_up(body: &mut Body<'_>, index: u32) {
    ifinfo(body, index, UP, UP);
}

pub(super) fn link_mtu(body: &mut Body<'_>, index: u32, mtu: u32) {
    ifinfo(body, index, 0, 0);
    body.u32(LINK_MTU, mtu);
}

pub(super) fn add_vlan(body: &mut Body<'_>, device: &Device, below: u32, id: u16) {
    ifinfo(body, 0, 0, 0);
    body.text(LINK_NAME, device.as_str());
    body.u32(LINK_BELOW, below);
    body.nest(LINK_INFO, |body| {
        body.text(INFO_KIND, VLAN);
        body.nest(INFO_DATA, |body| body.u16(VLAN_ID, id));
    });
}

fn ifinfo(body: &mut Body<'_>, index: u32, flags: u32, change: u32) {
    body.header(&[0; 4]);
    for field in [index, flags, change] {
        body.header(&field.to_ne_bytes());
    }
}

/// `None` for a device whose name we cannot say (ours start with a letter).
pub(super) fn parse_link(message: &Message<'_>) -> Result<Option<LinkInfo>, Malformed> {
    if message.kind != NEW_LINK {
        return Ok(None);
    }
    let flags = u32_at(message.payload, 8)?;
    let ethernet = u16_at(message.payload, 2)? == ETHERNET;
    let mut link = Link {
        index: u32_at(message.payload, 4)?,
        up: flags & UP != 0,
        carrier: flags & LOWER_UP != 0,
        ..Link::default()
    };
    let (mut device, mut below, mut id) = (None, None, None);
    for attribute in attributes(after(message.payload, IFINFO_BYTES)?) {
        let attribute = attribute?;
        match attribute.kind {
            LINK_NAME => device = attribute.text()?.parse().ok(),
            LINK_MTU => link.mtu = attribute.u32()?,
            LINK_ADDRESS => link.mac = attribute.value.try_into().unwrap_or_default(),
            LINK_BELOW => below = Some(attribute.u32()?),
            LINK_INFO => id = vlan_id(attribute.value)?,
            LINK_STATS64 => link.counters = counters(attribute.value)?,
            _ => {}
        }
    }
    let vlan = below.zip(id);
    Ok(device.map(|device| LinkInfo { device, link, ethernet, vlan }))
}

/// `None` for devices of other kinds.
fn vlan_id(info: &[u8]) -> Result<Option<u16>, Malformed> {
    let (mut vlan, mut id) = (false, None);
    for attribute in attributes(info) {
        let attribute = attribute?;
        match attribute.kind {
            INFO_KIND => vlan = attribute.text()? == VLAN,
            INFO_DATA if vlan => {
                for inner in attributes(attribute.value) {
                    let inner = inner?;
                    if inner.kind == VLAN_ID {
                        id = Some(inner.u16()?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(id)
}

/// `struct rtnl_link_stats64`: packets, bytes, errors, dropped, each received and sent.
fn counters(stats: &[u8]) -> Result<LinkCounters, Malformed> {
    let field = |index: usize| u64_at(stats, index.saturating_mul(8));
    let mut errors = 0_u64;
    for index in 4..8 {
        errors = errors.saturating_add(field(index)?);
    }
    Ok(LinkCounters {
        rx_packets: field(0)?,
        tx_packets: field(1)?,
        rx_bytes: field(2)?,
        tx_bytes: field(3)?,
        errors,
    })
}

pub(super) fn dump_addresses(body: &mut Body<'_>) {
    body.header(&[0; IFADDR_BYTES]);
}

pub(super) fn add_address(body: &mut Body<'_>, index: u32, key: &AddressKey, spec: &AddressSpec) {
    address(body, index, key.cidr);
    match key.cidr.address() {
        IpAddr::V4(_) => {
            if let Some(broadcast) = key.cidr.broadcast() {
                body.attr(ADDR_BROADCAST, &broadcast.octets());
            }
            let label = spec.label.as_ref().map_or(key.device.as_str(), Label::as_str);
            body.text(ADDR_LABEL, label);
        }
        // A floating address must answer at once; whether another box has it is asked before, not by the kernel.
        IpAddr::V6(_) => body.u32(ADDR_FLAGS, NODAD),
    }
    body.u8(ADDR_PROTO, ADDR_PROTO_STATIC);
}

pub(super) fn delete_address(body: &mut Body<'_>, index: u32, cidr: Cidr) {
    address(body, index, cidr);
}

fn address(body: &mut Body<'_>, index: u32, cidr: Cidr) {
    body.header(&[family(cidr.address()), cidr.prefix(), 0, UNIVERSE]);
    body.header(&index.to_ne_bytes());
    put_ip(body, ADDR_LOCAL, cidr.address());
    put_ip(body, ADDR_ADDRESS, cidr.address());
}

/// `None` for addresses that are not ours to manage: other scopes and families, and what the kernel made itself.
pub(super) fn parse_address(message: &Message<'_>) -> Result<Option<Address>, Malformed> {
    if message.kind != NEW_ADDRESS {
        return Ok(None);
    }
    let [family, prefix, old_flags, scope] = bytes_at(message.payload, 0)?;
    let index = u32_at(message.payload, 4)?;
    let (mut local, mut peer, mut label, mut flags) = (None, None, None, u32::from(old_flags));
    for attribute in attributes(after(message.payload, IFADDR_BYTES)?) {
        let attribute = attribute?;
        match attribute.kind {
            ADDR_LOCAL => local = Some(ip(family, attribute.value)?),
            ADDR_ADDRESS => peer = Some(ip(family, attribute.value)?),
            ADDR_LABEL => label = attribute.text()?.parse().ok(),
            ADDR_FLAGS => flags = attribute.u32()?,
            _ => {}
        }
    }
    if scope != UNIVERSE || flags & PERMANENT == 0 {
        return Ok(None);
    }
    let Some(address) = local.flatten().or(peer.flatten()) else { return Ok(None) };
    let cidr = Cidr::new(address, prefix).map_err(|_| Malformed)?;
    Ok(Some(Address { index, cidr, label }))
}

pub(super) fn dump_routes(body: &mut Body<'_>, family: u8) {
    // The kernel filters by what is set here when strict checking is on; `parse_route` does so in any case.
    body.header(&[family, 0, 0, 0, MAIN, STATIC, 0, 0, 0, 0, 0, 0]);
}

pub(super) fn set_route(body: &mut Body<'_>, key: &RouteKey, spec: &RouteSpec) {
    route(body, key, UNIVERSE, UNICAST);
    if family(key.to.address()) == family(spec.via) {
        put_ip(body, ROUTE_GATEWAY, spec.via);
    } else {
        let mut via = u16::from(family(spec.via)).to_ne_bytes().to_vec();
        via.extend(octets(spec.via));
        body.attr(ROUTE_VIA, &via);
    }
}

pub(super) fn delete_route(body: &mut Body<'_>, key: &RouteKey) {
    route(body, key, NOWHERE, 0);
}

fn route(body: &mut Body<'_>, key: &RouteKey, scope: u8, kind: u8) {
    let (address, prefix) = (key.to.network().address(), key.to.prefix());
    body.header(&[family(address), prefix, 0, 0, MAIN, STATIC, scope, kind, 0, 0, 0, 0]);
    if prefix > 0 {
        put_ip(body, ROUTE_TO, address);
    }
    let metric = if address.is_ipv6() && key.metric == 0 { INET6_DEFAULT_METRIC } else { key.metric };
    if metric > 0 {
        body.u32(ROUTE_PRIORITY, metric);
    }
}

/// `None` for routes that are not ours to manage. The metric that the kernel gives an IPv6 route by itself is read as 0,
/// which is what was asked for.
pub(super) fn parse_route(message: &Message<'_>) -> Result<Option<(RouteKey, RouteSpec)>, Malformed> {
    if message.kind != NEW_ROUTE {
        return Ok(None);
    }
    let [family, prefix, _, _, old_table, protocol, _, kind] = bytes_at(message.payload, 0)?;
    let flags = u32_at(message.payload, 8)?;
    let mut table = u32::from(old_table);
    let (mut to, mut via, mut metric) = (unspecified(family), None, 0);
    for attribute in attributes(after(message.payload, RTMSG_BYTES)?) {
        let attribute = attribute?;
        match attribute.kind {
            ROUTE_TO => to = ip(family, attribute.value)?,
            ROUTE_GATEWAY => via = ip(family, attribute.value)?,
            ROUTE_VIA => {
                let other = u8::try_from(attribute.u16()?).map_err(|_| Malformed)?;
                via = ip(other, after(attribute.value, 2)?)?;
            }
            ROUTE_PRIORITY => metric = attribute.u32()?,
            ROUTE_TABLE => table = attribute.u32()?,
            _ => {}
        }
    }
    let ours = table == u32::from(MAIN) && protocol == STATIC && kind == UNICAST && flags & CLONED == 0;
    let (Some(to), Some(via), true) = (to, via, ours) else { return Ok(None) };
    if to.is_ipv6() && metric == INET6_DEFAULT_METRIC {
        metric = 0;
    }
    let to = Cidr::new(to, prefix).map_err(|_| Malformed)?;
    Ok(Some((RouteKey { to, metric }, RouteSpec { via })))
}

fn put_ip(body: &mut Body<'_>, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(address) => body.attr(kind, &address.octets()),
        IpAddr::V6(address) => body.attr(kind, &address.octets()),
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// `None` for another family.
fn ip(family: u8, value: &[u8]) -> Result<Option<IpAddr>, Malformed> {
    match family {
        INET => bytes_at::<4>(value, 0).map(|octets| Some(IpAddr::from(octets))),
        INET6 => bytes_at::<16>(value, 0).map(|octets| Some(IpAddr::from(octets))),
        _ => Ok(None),
    }
}

fn unspecified(family: u8) -> Option<IpAddr> {
    match family {
        INET => Some(IpAddr::from([0; 4])),
        INET6 => Some(IpAddr::from([0; 16])),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
