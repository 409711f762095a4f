//! Schema 1, frozen: what the first firmware wrote. Nothing here ever changes; when the model does, only the
//! conversions below follow. Enumerations and checked words are the model's: new variants go to their ends, and a
//! word once allowed stays allowed.

use super::Comment;
use crate::gather::Gather as _;
use crate::model::cluster::{Detection, Pairing};
use crate::model::config::{self as now, CheckKind, Forward, OnFailure, Protocol, Scheduler};
use crate::model::{Cidr, Device, Hostname, Label, Millis, Name, name::Text};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::net::IpAddr;
use serde::Deserialize;

/// Addresses of one node on one interface.
const NODE_ADDRESSES: usize = 8;
/// Floating addresses of one service.
const SERVICE_ADDRESSES: usize = 8;
/// Ports of one service.
const SERVICE_PORTS: usize = 16;

#[derive(Deserialize)]
pub(super) struct Commit {
    config: Config,
    at_unix_s: u64,
}

impl From<Commit> for super::Commit {
    fn from(old: Commit) -> Self {
        Self { at_unix_s: old.at_unix_s, comment: Comment::default(), config: old.config.into() }
    }
}

#[derive(Deserialize)]
struct Config {
    primary: Node,
    backup: Option<Node>,
    interfaces: BTreeMap<Name, Interface>,
    cluster: Cluster,
    floating: BTreeMap<Name, Floating>,
    routes: BTreeMap<Cidr, Route>,
    forwarding: Forwarding,
    masquerade: BTreeMap<Name, Masquerade>,
    real_servers: BTreeMap<Name, RealServer>,
    pools: BTreeMap<Name, Pool>,
    services: BTreeMap<Name, Service>,
}

#[derive(Deserialize)]
struct Node {
    hostname: Option<Hostname>,
    addresses: BTreeMap<Name, heapless::Vec<Cidr, NODE_ADDRESSES>>,
}

#[derive(Deserialize)]
struct Interface {
    device: Option<Device>,
    mtu: Option<u16>,
}

#[derive(Deserialize)]
struct Cluster {
    heartbeat_port: u16,
    heartbeat_interval: Millis,
    dead_time: Millis,
}

#[derive(Deserialize)]
struct Floating {
    address: Option<Cidr>,
    interface: Option<Name>,
    label: Option<Label>,
}

#[derive(Deserialize)]
struct Route {
    via: Option<IpAddr>,
    metric: u32,
}

#[derive(Deserialize)]
struct Forwarding {
    ipv4: bool,
    ipv6: bool,
    defragment: bool,
}

#[derive(Deserialize)]
struct Masquerade {
    source: Option<Cidr>,
    out: Option<Name>,
}

#[derive(Deserialize)]
struct RealServer {
    address: Option<IpAddr>,
}

#[derive(Deserialize)]
struct HttpCheck {
    path: Text,
    host: Option<Text>,
    status: (u16, u16),
}

#[derive(Deserialize)]
struct Pool {
    forward: Forward,
    check: CheckKind,
    check_port: Option<u16>,
    http: Option<HttpCheck>,
    interval: Millis,
    timeout: Millis,
    rise: u8,
    fall: u8,
    dead_time: Option<Millis>,
    reentry: Millis,
    on_failure: OnFailure,
    servers: BTreeMap<Name, Member>,
}

#[derive(Deserialize)]
struct Member {
    weight: u32,
    port: Option<u16>,
}

#[derive(Deserialize)]
struct Service {
    addresses: heapless::Vec<Name, SERVICE_ADDRESSES>,
    protocol: Protocol,
    ports: heapless::Vec<u16, SERVICE_PORTS>,
    scheduler: Scheduler,
    persistence: Option<Millis>,
    pool: Option<Name>,
}

fn all<K: Ord, A, B: From<A>>(old: BTreeMap<K, A>) -> BTreeMap<K, B> {
    old.into_iter().map(|(key, value)| (key, value.into())).gather()
}

/// Copies a list whose bound is the same or has been raised since.
fn list<T, const A: usize, const B: usize>(old: heapless::Vec<T, A>) -> heapless::Vec<T, B> {
    const { assert!(A <= B, "a bound of the model may only rise") };
    old.into_iter().collect()
}

impl From<Config> for now::Config {
    fn from(old: Config) -> Self {
        Self {
            primary: old.primary.into(),
            backup: old.backup.map(Into::into),
            interfaces: all(old.interfaces),
            cluster: old.cluster.into(),
            floating: all(old.floating),
            routes: all(old.routes),
            forwarding: old.forwarding.into(),
            masquerade: all(old.masquerade),
            real_servers: all(old.real_servers),
            pools: all(old.pools),
            services: all(old.services),
            ..Self::default()
        }
    }
}

impl From<Node> for now::Node {
    fn from(old: Node) -> Self {
        Self {
            hostname: old.hostname,
            addresses: old.addresses.into_iter().map(|(role, cidrs)| (role, list(cidrs))).gather(),
            ..Self::default()
        }
    }
}

impl From<Interface> for now::Interface {
    fn from(old: Interface) -> Self {
        Self { device: old.device, mtu: old.mtu, ..Self::default() }
    }
}

impl From<Cluster> for now::Cluster {
    fn from(old: Cluster) -> Self {
        Self {
            heartbeat_port: old.heartbeat_port,
            heartbeat_interval: old.heartbeat_interval,
            dead_time: old.dead_time,
            // Its firmware knew nothing else.
            pairing: Box::new(Pairing { detection: Detection::DeadTime, ..Pairing::default() }),
        }
    }
}

impl From<Floating> for now::Floating {
    fn from(old: Floating) -> Self {
        Self { address: old.address, interface: old.interface, label: old.label }
    }
}

impl From<Route> for now::Route {
    fn from(old: Route) -> Self {
        Self { via: old.via, metric: old.metric }
    }
}

impl From<Forwarding> for now::Forwarding {
    fn from(old: Forwarding) -> Self {
        Self { ipv4: old.ipv4, ipv6: old.ipv6, defragment: old.defragment }
    }
}

impl From<Masquerade> for now::Masquerade {
    fn from(old: Masquerade) -> Self {
        Self { source: old.source, out: old.out, ..Self::default() }
    }
}

impl From<RealServer> for now::RealServer {
    fn from(old: RealServer) -> Self {
        Self { address: old.address, ..Self::default() }
    }
}

impl From<HttpCheck> for now::HttpCheck {
    fn from(old: HttpCheck) -> Self {
        Self { path: old.path, host: old.host, status: old.status.try_into().unwrap_or_default() }
    }
}

impl From<Pool> for now::Pool {
    fn from(old: Pool) -> Self {
        Self {
            forward: old.forward,
            check: old.check,
            check_port: old.check_port,
            http: old.http.map(Into::into),
            interval: old.interval,
            timeout: old.timeout,
            rise: old.rise,
            fall: old.fall,
            dead_time: old.dead_time,
            reentry: old.reentry,
            on_failure: old.on_failure,
            servers: all(old.servers),
            ..Self::default()
        }
    }
}

impl From<Member> for now::Member {
    fn from(old: Member) -> Self {
        Self { weight: old.weight, port: old.port, ..Self::default() }
    }
}

impl From<Service> for now::Service {
    fn from(old: Service) -> Self {
        Self {
            addresses: list(old.addresses),
            protocol: old.protocol,
            ports: list(old.ports),
            scheduler: old.scheduler,
            persistence: old.persistence,
            pool: old.pool,
            ..Self::default()
        }
    }
}
