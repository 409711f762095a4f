//! The kernel's objects: identity and settings as separate types, so that "same key, other settings" is an
//! edit by construction, and equality is plain `==` without transient counters.

use crate::model::config::{Forward, Protocol, Scheduler};
use crate::model::{Cidr, Device, Label};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// What identifies an address on the box: device and address with prefix length.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct AddressKey {
    /// The device that carries it.
    pub device: Device,
    /// Address and prefix length.
    pub cidr: Cidr,
}

/// Settings of an address that we manage.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AddressSpec {
    /// IPv4 label. The kernel gives the device's name when none was set; that is read back as `None`.
    pub label: Option<Label>,
}

/// A VLAN device: 802.1Q frames of one id on the device below.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VlanSpec {
    /// The device below.
    pub parent: Device,
    /// 802.1Q id, 1 to 4094.
    pub id: u16,
}

/// What identifies a static route in the main table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct RouteKey {
    /// Destination network.
    pub to: Cidr,
    /// Metric.
    pub metric: u32,
}

/// Settings of a route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RouteSpec {
    /// Next hop.
    pub via: IpAddr,
}

/// What identifies a virtual server in the kernel (`ip_vs_service`: family, protocol, address, port).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ServiceKey {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Virtual address.
    pub address: IpAddr,
    /// Virtual port, host order.
    pub port: u16,
}

/// Settings of a virtual server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Scheduler, by kernel name: what we read back may be one that we do not know.
    pub scheduler: heapless::String<15>,
    /// Seconds of persistence; `None` is off.
    pub persistence_s: Option<u32>,
}

impl ServiceSpec {
    /// Settings with one of our schedulers.
    pub fn new(scheduler: Scheduler, persistence_s: Option<u32>) -> Self {
        // Every kernel name is at most 5 bytes long; an empty name cannot happen.
        let scheduler = heapless::String::try_from(scheduler.kernel_name()).unwrap_or_default();
        Self { scheduler, persistence_s }
    }
}

/// What identifies a real server inside a virtual server (`ip_vs_dest`: address, port).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct DestKey {
    /// Address of the real server.
    pub address: IpAddr,
    /// Port, host order.
    pub port: u16,
}

/// Settings of a real server inside a virtual server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DestSpec {
    /// Forwarding method.
    pub forward: Forward,
    /// Weight, 0 quiesces.
    pub weight: u32,
}
