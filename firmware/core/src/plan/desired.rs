//! What the kernel should hold: a pure function of configuration, role and verdicts.

use super::spec::{AddressKey, AddressSpec, DestKey, DestSpec, RouteKey, RouteSpec, ServiceKey, ServiceSpec};
use crate::model::Device;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::Cidr;
use crate::model::config::Protocol;

/// Version of the rules that the platform makes of a [`Ruleset`] (`appliance/src/platform/nft/rules.rs`). Raise it
/// with every change there, so that a new firmware replaces the table of an old one.
pub const RULESET_FORMAT: u16 = 1;

/// A virtual server as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DesiredService {
    /// Settings.
    pub spec: ServiceSpec,
    /// Real servers.
    pub dests: BTreeMap<DestKey, DestSpec>,
}

/// A device as it should be. Devices without a role are left alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DesiredLink {
    /// Bytes; `None` leaves the driver's.
    pub mtu: Option<u32>,
}

/// Our nf_tables table `inet director`, in terms of what it is for. The platform turns each part into chains
/// and rules (`appliance/src/platform/nft/`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ruleset {
    /// Reassemble fragments before anything looks at ports: keeps a `ct` expression so that `nf_defrag` stays on.
    pub defragment: bool,
    /// Virtual servers whose client packets need no connection tracking.
    pub notrack: BTreeSet<(Protocol, IpAddr, u16)>,
    /// Source NAT for what leaves by a device: (network, device).
    pub masquerade: Vec<(Cidr, Device)>,
    /// Devices that face the real servers: forwarding from them is allowed, towards them only what belongs to a
    /// tracked connection. Everything else that would be forwarded is dropped.
    pub inside: BTreeSet<Device>,
}

impl Ruleset {
    /// Identifies these rules: SHA-256 over [`RULESET_FORMAT`] and the postcard encoding. The platform stores it in the
    /// table and gives it back in [`super::Observed::ruleset`].
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        // Serialising to memory has no way to fail for this type: no maps of unknown length, no skipped fields.
        let encoded = postcard::to_allocvec(self).unwrap_or_default();
        let hasher = Sha256::new().chain_update(RULESET_FORMAT.to_le_bytes()).chain_update(encoded);
        hasher.finalize().into()
    }
}

/// Everything the kernel should hold.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Desired {
    /// Sysctls by dotted name. Those read before links are up come first in the plan.
    pub sysctls: BTreeMap<String, String>,
    /// Devices that must be up.
    pub links: BTreeMap<Device, DesiredLink>,
    /// Addresses that stay on this box.
    pub node_addresses: BTreeMap<AddressKey, AddressSpec>,
    /// Floating addresses this node should hold in its role.
    pub floating_addresses: BTreeMap<AddressKey, AddressSpec>,
    /// Static routes.
    pub routes: BTreeMap<RouteKey, RouteSpec>,
    /// The nf_tables table; `None`: none.
    pub ruleset: Option<Ruleset>,
    /// Virtual servers. The same in both roles (design 2.3).
    pub services: BTreeMap<ServiceKey, DesiredService>,
}
