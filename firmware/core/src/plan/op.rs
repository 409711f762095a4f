//! Kernel operations, one enum. There is no flush.

use super::desired::Ruleset;
use super::spec::{
    AddressKey, AddressSpec, DaemonRole, DaemonSpec, DestKey, DestSpec, RouteKey, RouteSpec, ServiceKey,
    ServiceSpec, TimeoutSpec, VlanSpec,
};
use crate::model::Device;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// One kernel operation. Adding what exists and deleting what is gone succeed (the platform treats EEXIST, ENOENT,
/// ESRCH and EADDRNOTAVAIL so), because a plan may be repeated after a crash.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Write `/proc/sys/<name with / for .>`; names are `net.ipv4.ip_forward` style, `/` where a device name has a dot.
    SysctlSet {
        /// Dotted name.
        name: String,
        /// New value.
        value: String,
    },
    /// Set a device administratively up.
    LinkUp {
        /// Device.
        device: Device,
    },
    /// Set the largest packet size.
    LinkMtu {
        /// Device.
        device: Device,
        /// Bytes.
        mtu: u32,
    },
    /// Make a VLAN device.
    VlanAdd {
        /// Its name.
        device: Device,
        /// Device below and id.
        spec: VlanSpec,
    },
    /// Remove a VLAN device with its addresses.
    VlanDelete {
        /// Its name.
        device: Device,
    },
    /// Add an address.
    AddressAdd {
        /// Device and address.
        key: AddressKey,
        /// Label.
        spec: AddressSpec,
    },
    /// Give an address another label. The kernel cannot change a label in place, so the platform deletes and adds the
    /// address; it is away for microseconds and connections do not notice.
    AddressRelabel {
        /// Device and address.
        key: AddressKey,
        /// New label.
        spec: AddressSpec,
    },
    /// Delete an address.
    AddressDelete {
        /// Device and address.
        key: AddressKey,
    },
    /// Add a route, or replace the next hop of the one with this key.
    RouteSet {
        /// Network and metric.
        key: RouteKey,
        /// Next hop.
        spec: RouteSpec,
    },
    /// Delete a route.
    RouteDelete {
        /// Network and metric.
        key: RouteKey,
    },
    /// Replace our nf_tables table by this one in one transaction; tables of others stay.
    RulesetSet {
        /// All rules.
        ruleset: Ruleset,
    },
    /// Start a sync daemon.
    DaemonStart {
        /// Sender or receiver.
        role: DaemonRole,
        /// Settings.
        spec: DaemonSpec,
    },
    /// Stop a sync daemon.
    DaemonStop {
        /// Sender or receiver.
        role: DaemonRole,
    },
    /// Set the idle times after which connections are forgotten.
    TimeoutsSet {
        /// All three.
        timeouts: TimeoutSpec,
    },
    /// Add a virtual server.
    ServiceAdd {
        /// Identity.
        key: ServiceKey,
        /// Settings.
        spec: ServiceSpec,
    },
    /// Change a virtual server in place; its real servers and connections stay.
    ServiceEdit {
        /// Identity.
        key: ServiceKey,
        /// New settings.
        spec: ServiceSpec,
    },
    /// Delete a virtual server with its real servers.
    ServiceDelete {
        /// Identity.
        key: ServiceKey,
    },
    /// Add a real server.
    DestAdd {
        /// Virtual server.
        service: ServiceKey,
        /// Identity.
        key: DestKey,
        /// Settings.
        spec: DestSpec,
    },
    /// Change a real server in place; its connections stay.
    DestEdit {
        /// Virtual server.
        service: ServiceKey,
        /// Identity.
        key: DestKey,
        /// New settings.
        spec: DestSpec,
    },
    /// Delete a real server.
    DestDelete {
        /// Virtual server.
        service: ServiceKey,
        /// Identity.
        key: DestKey,
    },
    /// Tell the segment who has a floating address now (gratuitous ARP in request and reply form, RFC 5227; unsolicited
    /// neighbour advertisement, RFC 4861 section 7.2.6). Comes after the address was added.
    Announce {
        /// Device and address.
        key: AddressKey,
    },
}

impl Op {
    /// Whether this operation must not be tried when `earlier`, of the same batch, failed: nothing is announced that is not
    /// there, nothing is forwarded without its rules, and no address answers before its first virtual server is there (the
    /// plan adds an address that serves already before it adds to what it serves).
    #[must_use]
    pub fn needs(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Announce { key }, Self::AddressAdd { key: added, .. }) => key == added,
            (Self::SysctlSet { name, value }, Self::RulesetSet { .. }) => value != "0" && forwards(name),
            (Self::AddressAdd { key, .. }, Self::ServiceAdd { key: service, .. }) => {
                Some(key.cidr.address()) == service.address()
            }
            _ => false,
        }
    }
}

/// Whether a sysctl of this name switches forwarding.
pub(super) fn forwards(name: &str) -> bool {
    name.ends_with("forward") || name.ends_with("forwarding")
}

/// Why an operation failed, as the kernel said it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpError {
    /// errno, positive.
    pub errno: i32,
    /// The kernel's own words when it gave some (extended acknowledgement), else the system's for errno.
    pub message: String,
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (errno {})", self.message, self.errno)
    }
}

/// Operations in order; every prefix is a safe state.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    /// The operations.
    pub ops: Vec<Op>,
}
