//! What the configuration says of the pair: how heartbeats travel, who signs them, and what init is told.

use crate::election::Settings;
use crate::model::cluster::{Authentication, Transport};
use crate::model::config::{Interface, Node};
use crate::model::{Config, Device, Millis, Name};
use crate::plan::AddressKey;
use crate::store::identity::Role;
use crate::sync::session::Credentials;
use crate::wire::heartbeat::{Counters, Guard, Key, Keyring, Refusal};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use serde::{Deserialize, Serialize};

/// Priority of a primary without one.
const PRIMARY_PRIORITY: u8 = 100;
/// Priority of a backup without one.
const BACKUP_PRIORITY: u8 = 90;
/// All nodes of a link (RFC 4291 section 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Id of the key when the configuration names none.
const KEY_ID: u8 = 1;

/// A network over which heartbeats travel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeartbeatPath {
    /// Interface role.
    pub name: Name,
    /// Its device.
    pub device: Device,
    /// Our address there.
    pub local: IpAddr,
    /// The peer's.
    pub peer: IpAddr,
    /// Where frames go instead: a broadcast or multicast address.
    pub to: Option<IpAddr>,
}

/// A null modem over which heartbeats travel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SerialPath {
    /// Device below `/dev`.
    pub device: Device,
    /// Bits per second.
    pub baud: u32,
}

/// What came over a path and is not the peer's word.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Number of the path.
    pub path: u8,
    /// Who sent it, as far as the network tells.
    pub from: Option<IpAddr>,
    /// Why it was refused.
    pub refusal: Refusal,
    /// All frames of the path so far.
    pub counters: Counters,
}

/// What the shell opens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listen {
    /// Judges what comes, signs what goes.
    pub guard: Guard,
    /// UDP port at both ends.
    pub port: u16,
    /// Paths by number.
    pub paths: Vec<HeartbeatPath>,
    /// The path [`SERIAL_PATH`].
    pub serial: Option<SerialPath>,
    /// What the connection to the peer is sealed with; `None`: there is none.
    pub credentials: Option<Credentials>,
}

impl Listen {
    /// Whether nothing but keys and modes differs.
    #[must_use]
    pub fn same_paths(&self, other: &Self) -> bool {
        (self.port, &self.paths, &self.serial) == (other.port, &other.paths, &other.serial)
    }
}

/// What init does when no heartbeat left for too long ([`crate::init::fence`]).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FenceOrders {
    /// How long after the last heartbeat.
    pub after: Millis,
    /// The addresses that go.
    pub keys: Vec<AddressKey>,
}

/// What the election and the shell need, or why there can be no heartbeat.
pub(super) fn pairing(config: &Config, identity: Role) -> Result<(Settings, Listen), &'static str> {
    let cluster = &config.cluster;
    let pairing = &cluster.pairing;
    let backup = config.backup.as_ref().ok_or("no backup node is configured")?;
    let (own, peer) = match identity {
        Role::Primary => (&config.primary, backup),
        Role::Backup => (backup, &config.primary),
    };
    let mut keys = Keyring::default();
    if let Some(secret) = &pairing.secret {
        keys.add(pairing.key.unwrap_or(KEY_ID), Key::of(secret.reveal()));
    }
    if keys.is_empty() && pairing.authentication == Authentication::Enforce {
        return Err("no key: set cluster secret, the same on both boxes");
    }
    let shared = networks(config, own, peer).count() > 0;
    let serial = pairing
        .serial
        .as_ref()
        .and_then(|line| Some(SerialPath { device: line.device.clone()?, baud: line.speed.bits() }));
    if !shared && serial.is_none() {
        return Err("no network on which both nodes have an address");
    }
    let default = if identity == Role::Primary { PRIMARY_PRIORITY } else { BACKUP_PRIORITY };
    let dead_time = cluster.dead_time;
    let settings = Settings {
        group: pairing.group,
        own: identity,
        priority: own.priority.unwrap_or(default),
        interval: cluster.heartbeat_interval,
        dead_time,
        warn_time: pairing.warn_time.unwrap_or_else(|| Millis::new(dead_time.get() / 2)),
        start_hold: pairing.start_hold,
        detection: pairing.detection,
        failback: pairing.failback,
        failback_delay: pairing.failback_delay,
    };
    let guard = Guard { group: pairing.group, own: identity, mode: pairing.authentication, keys };
    let key = pairing.key.unwrap_or(KEY_ID);
    let secret = pairing.secret.as_ref();
    let credentials = secret.map(|s| Credentials::new(pairing.group, identity, key, s.reveal()));
    let paths = paths(config, own, peer);
    Ok((settings, Listen { guard, port: cluster.heartbeat_port, paths, serial, credentials }))
}

/// The networks on which both nodes have an address, in order of their names: ours and the peer's.
fn networks<'a>(
    config: &'a Config,
    own: &'a Node,
    peer: &'a Node,
) -> impl Iterator<Item = (&'a Name, &'a Interface, IpAddr, IpAddr)> {
    let named = &config.cluster.pairing.paths;
    let roles = config.interfaces.iter().filter(|(name, _)| named.is_empty() || named.contains(name));
    roles.filter_map(|(name, interface)| {
        let address = |node: &Node, v4: bool| {
            let all = node.addresses.get(name)?;
            all.iter().map(|cidr| cidr.address()).find(|a| a.is_ipv4() == v4)
        };
        let both = [true, false].into_iter().find_map(|v4| Some((address(own, v4)?, address(peer, v4)?)));
        let (local, peer) = both?;
        Some((name, interface, local, peer))
    })
}

/// Where frames go that are not for the peer alone: IPv6 has no broadcast, and all nodes of a link are a group there.
fn everybody(config: &Config, local: IpAddr) -> Option<IpAddr> {
    match (config.cluster.pairing.transport, local) {
        (Transport::Unicast, _) => None,
        (Transport::Broadcast, IpAddr::V4(_)) => Some(Ipv4Addr::BROADCAST.into()),
        (Transport::Broadcast, IpAddr::V6(_)) => Some(ALL_NODES.into()),
        (Transport::Multicast, _) => {
            config.cluster.pairing.multicast.filter(|group| group.is_ipv4() == local.is_ipv4())
        }
    }
}

/// Those whose card is known. A role that is bound to a card by its hardware address gets its device from the first
/// dump of the kernel.
fn paths(config: &Config, own: &Node, peer: &Node) -> Vec<HeartbeatPath> {
    let paths = networks(config, own, peer).filter_map(|(name, interface, local, peer)| {
        let to = everybody(config, local);
        Some(HeartbeatPath { name: name.clone(), device: interface.device.clone()?, local, peer, to })
    });
    paths.take(crate::model::limits::HEARTBEAT_PATHS).collect()
}
