//! What the kernel was seen to hold, as dumped by the platform.

use super::op::Op;
use super::spec::{
    AddressKey, AddressSpec, DaemonRole, DaemonSpec, DestKey, DestSpec, RouteKey, RouteSpec, ServiceKey,
    ServiceSpec, TimeoutSpec, VlanSpec,
};
use crate::model::Device;
use alloc::collections::BTreeMap;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// A network device.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Link {
    /// Kernel index.
    pub index: u32,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Carrier present (`IFF_LOWER_UP`).
    pub carrier: bool,
    /// Bytes.
    pub mtu: u32,
    /// Hardware address; zero for devices without.
    pub mac: [u8; 6],
    /// Received and sent: packets, bytes (`IFLA_STATS64`).
    pub counters: LinkCounters,
    /// What it is made on top of, when it is a VLAN.
    pub vlan: Option<VlanSpec>,
}

/// Counters of a device since boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LinkCounters {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets dropped or broken, both directions.
    pub errors: u64,
}

/// Counters of a virtual or real server (`IPVS_STATS_ATTR_*`, 64 bit).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients; 0 with direct routing and tunnels, whose answers by-pass the director.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
    /// Connections per second, as the kernel estimates.
    pub cps: u64,
    /// Packets from clients per second.
    pub in_pps: u64,
    /// Packets to clients per second.
    pub out_pps: u64,
    /// Bytes from clients per second.
    pub in_bps: u64,
    /// Bytes to clients per second.
    pub out_bps: u64,
}

impl Stats {
    /// Adds the counters of another object.
    pub fn add(&mut self, other: &Self) {
        self.connections = self.connections.saturating_add(other.connections);
        self.in_packets = self.in_packets.saturating_add(other.in_packets);
        self.out_packets = self.out_packets.saturating_add(other.out_packets);
        self.in_bytes = self.in_bytes.saturating_add(other.in_bytes);
        self.out_bytes = self.out_bytes.saturating_add(other.out_bytes);
        self.cps = self.cps.saturating_add(other.cps);
        self.in_pps = self.in_pps.saturating_add(other.in_pps);
        self.out_pps = self.out_pps.saturating_add(other.out_pps);
        self.in_bps = self.in_bps.saturating_add(other.in_bps);
        self.out_bps = self.out_bps.saturating_add(other.out_bps);
    }
}

/// A real server as seen in the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ObservedDest {
    /// Settings.
    pub spec: DestSpec,
    /// Established connections.
    pub active: u32,
    /// Other connections.
    pub inactive: u32,
    /// Persistence templates.
    pub persistent: u32,
    /// Counters.
    pub stats: Stats,
}

/// A virtual server as seen in the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ObservedService {
    /// Settings.
    pub spec: ServiceSpec,
    /// Counters.
    pub stats: Stats,
    /// Its real servers.
    pub dests: BTreeMap<DestKey, ObservedDest>,
}

/// The kernel's state as far as we manage it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Observed {
    /// Devices by name.
    pub links: BTreeMap<Device, Link>,
    /// Global-scope addresses (loopback and link-local are not ours).
    pub addresses: BTreeMap<AddressKey, AddressSpec>,
    /// Routes of the main table with protocol `static` (`RTPROT_STATIC`), the only ones we make.
    pub routes: BTreeMap<RouteKey, RouteSpec>,
    /// Values of the sysctls that we manage, as text without newline; absent when the file does not exist.
    pub sysctls: BTreeMap<String, String>,
    /// Digest that our nf_tables table carries, see [`super::desired::Ruleset::digest`]; `None` without a table.
    pub ruleset: Option<[u8; 32]>,
    /// Virtual servers.
    pub services: BTreeMap<ServiceKey, ObservedService>,
    /// Sync daemons that run.
    pub daemons: BTreeMap<DaemonRole, DaemonSpec>,
    /// Idle times; `None` in a kernel without IPVS.
    pub timeouts: Option<TimeoutSpec>,
    /// Memory that the kernel has, in MiB; 0: not known.
    pub memory_mib: u32,
    /// Seconds since 1970 as its wall clock has them, for display only.
    pub unix_s: u64,
}

impl Observed {
    /// Changes this picture as a successful `op` changed the kernel, so that the next plan needs no dump first. The next
    /// dump replaces the picture anyway.
    pub fn assume(&mut self, op: &Op) {
        match op {
            Op::SysctlSet { name, value } => {
                self.sysctls.insert(name.clone(), value.clone());
            }
            Op::LinkUp { device } => {
                if let Some(link) = self.links.get_mut(device) {
                    link.up = true;
                }
            }
            Op::LinkMtu { device, mtu } => {
                if let Some(link) = self.links.get_mut(device) {
                    link.mtu = *mtu;
                }
            }
            Op::VlanAdd { device, spec } => {
                let link = Link { vlan: Some(spec.clone()), mtu: self.mtu(&spec.parent), ..Link::default() };
                self.links.insert(device.clone(), link);
            }
            Op::VlanDelete { device } => {
                self.links.remove(device);
                self.addresses.retain(|key, _| key.device != *device);
            }
            Op::AddressAdd { key, spec } | Op::AddressRelabel { key, spec } => {
                self.addresses.insert(key.clone(), spec.clone());
            }
            Op::AddressDelete { key } => {
                self.addresses.remove(key);
            }
            Op::RouteSet { key, spec } => {
                self.routes.insert(key.clone(), spec.clone());
            }
            Op::RouteDelete { key } => {
                self.routes.remove(key);
            }
            Op::RulesetSet { ruleset } => self.ruleset = Some(ruleset.digest()),
            Op::Announce { .. } => {}
            Op::DaemonStart { .. }
            | Op::DaemonStop { .. }
            | Op::TimeoutsSet { .. }
            | Op::ServiceAdd { .. }
            | Op::ServiceEdit { .. }
            | Op::ServiceDelete { .. }
            | Op::DestAdd { .. }
            | Op::DestEdit { .. }
            | Op::DestDelete { .. } => self.assume_ipvs(op),
        }
    }

    fn mtu(&self, device: &Device) -> u32 {
        self.links.get(device).map_or(0, |link| link.mtu)
    }

    fn assume_ipvs(&mut self, op: &Op) {
        match op {
            Op::DaemonStart { role, spec } => {
                self.daemons.insert(*role, spec.clone());
            }
            Op::DaemonStop { role } => {
                self.daemons.remove(role);
            }
            Op::TimeoutsSet { timeouts } => self.timeouts = Some(*timeouts),
            Op::ServiceAdd { key, spec } => {
                let dests = BTreeMap::new();
                let fresh = ObservedService { spec: spec.clone(), stats: Stats::default(), dests };
                self.services.entry(*key).or_insert(fresh);
            }
            Op::ServiceEdit { key, spec } => {
                if let Some(service) = self.services.get_mut(key) {
                    service.spec = spec.clone();
                }
            }
            Op::ServiceDelete { key } => {
                self.services.remove(key);
            }
            Op::DestAdd { service, key, spec } | Op::DestEdit { service, key, spec } => {
                if let Some(service) = self.services.get_mut(service) {
                    let fresh = ObservedDest::fresh(*spec);
                    service.dests.entry(*key).and_modify(|d| d.spec = *spec).or_insert(fresh);
                }
            }
            Op::DestDelete { service, key } => {
                if let Some(service) = self.services.get_mut(service) {
                    service.dests.remove(key);
                }
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
}

impl ObservedDest {
    /// A real server that was just added.
    pub fn fresh(spec: DestSpec) -> Self {
        Self { spec, active: 0, inactive: 0, persistent: 0, stats: Stats::default() }
    }
}
