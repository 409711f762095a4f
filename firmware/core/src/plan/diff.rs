//! Comparison and order.
//!
//! The order, and why every prefix of it is safe:
//! 1. floating addresses that go: nothing may answer for an address that the peer may take over;
//! 2. packet rules, then sysctls (forwarding first: switching it resets per-device settings): forwarding never runs without its rules;
//! 3. devices made and up, node addresses, routes; a VLAN that lies on another device or has another id is made anew;
//! 4. sync daemons that go, when virtual or real servers come: the kernel takes none of the other address family while one
//!    runs. Otherwise clients wait for the addresses, and daemons go after them;
//! 5. virtual servers that are there: in each the real servers added, raised, lowered, removed, so that a pool is
//!    never emptier than both its old and its new state; then the floating addresses that come to them;
//! 6. virtual servers that come, and the floating addresses of those alone, each announced when it is there: its services
//!    are complete by then. One that the kernel refuses keeps its address away, but not from others that serve;
//! 7. virtual servers that go; then sync daemons that come, which need the devices and addresses, and which the kernel
//!    starts when no server of the other address family is left;
//! 8. routes, node addresses and VLANs that go.

use super::desired::{Desired, DesiredLink, DesiredService};
use super::observed::{Observed, ObservedService};
use super::op::{Op, Plan, forwards};
use super::spec::{AddressKey, AddressSpec, ServiceKey};
use crate::gather::Gather as _;
use crate::model::Device;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::IpAddr;

/// Operations that lead from `observed` to `desired`, in an order of which every prefix is a safe state.
/// Empty when nothing differs. Devices that do not exist get no operations.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed) -> Plan {
    let mut ops = Vec::new();
    let wanted = |key: &AddressKey| {
        desired.floating_addresses.contains_key(key) || desired.node_addresses.contains_key(key)
    };
    // An address that only changes its prefix length or device is not "going": it must not be away meanwhile.
    let moving = |key: &AddressKey| {
        let stays = |other: &AddressKey| other.cidr.address() == key.cidr.address();
        desired.floating_addresses.keys().any(stays) || desired.node_addresses.keys().any(stays)
    };
    let surplus = || observed.addresses.keys().filter(|key| !wanted(key));
    let delete = |key: &AddressKey| Op::AddressDelete { key: key.clone() };
    let serves = |key: &AddressKey| observed.services.keys().any(|s| s.address() == Some(key.cidr.address()));
    let at_once = |key: &AddressKey| desired.released.contains(key) || (serves(key) && !moving(key));

    ops.extend(surplus().filter(|key| at_once(key)).map(delete));
    let remade = remade(desired, observed);
    if !remade.is_empty() {
        return replanned(desired, observed, ops, remade);
    }
    rules(desired, observed, &mut ops);
    links(desired, observed, &mut ops);
    addresses(&desired.node_addresses, (desired, observed), false, &mut ops);
    for (key, spec) in &desired.routes {
        if observed.routes.get(key) != Some(spec) {
            ops.push(Op::RouteSet { key: key.clone(), spec: spec.clone() });
        }
    }
    if let (Some(want), Some(have)) = (desired.timeouts, observed.timeouts)
        && want != have
    {
        ops.push(Op::TimeoutsSet { timeouts: want });
    }
    let changed = observed.daemons.iter().filter(|(role, have)| desired.daemons.get(role) != Some(have));
    let stops: Vec<Op> = changed.map(|(role, _)| Op::DaemonStop { role: *role }).collect();
    let before_servers = ops.len();
    let (there, fresh): (Vec<_>, Vec<_>) =
        desired.services.iter().partition(|(key, _)| observed.services.contains_key(key));
    let serving: BTreeSet<IpAddr> = there.iter().filter_map(|(key, _)| key.address()).gather();
    let (serving, idle): (BTreeMap<_, _>, BTreeMap<_, _>) = desired
        .floating_addresses
        .iter()
        .map(|(key, spec)| (key.clone(), spec.clone()))
        .partition(|(key, _)| serving.contains(&key.cidr.address()));
    for (services, addresses_of) in [(there, serving), (fresh, idle)] {
        for (key, want) in services {
            service(key, want, observed.services.get(key), &mut ops);
        }
        addresses(&addresses_of, (desired, observed), true, &mut ops);
    }
    let come = |op: &Op| matches!(op, Op::ServiceAdd { .. } | Op::DestAdd { .. });
    let at = if ops.iter().any(come) { before_servers } else { ops.len() };
    ops.splice(at..at, stops);
    let gone = observed.services.keys().filter(|key| !desired.services.contains_key(key));
    ops.extend(gone.map(|key| Op::ServiceDelete { key: *key }));
    daemons(desired, observed, &mut ops);
    let gone = observed.routes.keys().filter(|key| !desired.routes.contains_key(key));
    ops.extend(gone.map(|key| Op::RouteDelete { key: key.clone() }));
    ops.extend(surplus().filter(|key| !at_once(key)).map(delete));
    let gone = observed.links.iter().filter(|(device, have)| {
        have.vlan.is_some() && desired.links.get(*device).is_none_or(|want| want.vlan.is_none())
    });
    ops.extend(gone.map(|(device, _)| Op::VlanDelete { device: device.clone() }));
    Plan { ops }
}

/// VLANs of ours whose device below or id is another one now.
fn remade(desired: &Desired, observed: &Observed) -> Vec<Op> {
    let differs = |(device, want): (&Device, &DesiredLink)| {
        let have = observed.links.get(device)?.vlan.as_ref()?;
        want.vlan.as_ref().filter(|vlan| *vlan != have).map(|_| Op::VlanDelete { device: device.clone() })
    };
    desired.links.iter().filter_map(differs).collect()
}

/// The plan after `first` and `then`: what they take away is planned anew.
fn replanned(desired: &Desired, observed: &Observed, first: Vec<Op>, then: Vec<Op>) -> Plan {
    let mut ops = first;
    ops.extend(then);
    let mut later = observed.clone();
    ops.iter().for_each(|op| later.assume(op));
    // Nothing is left to remake: this ends here.
    ops.extend(plan(desired, &later).ops);
    Plan { ops }
}

/// A daemon that runs cannot be changed: it was stopped before. Connections stay; what changes in between is sent with the
/// next packet.
fn daemons(desired: &Desired, observed: &Observed, ops: &mut Vec<Op>) {
    for (role, spec) in &desired.daemons {
        if observed.daemons.get(role) != Some(spec) && observed.links.contains_key(&spec.device) {
            ops.push(Op::DaemonStart { role: *role, spec: spec.clone() });
        }
    }
}

fn rules(desired: &Desired, observed: &Observed, ops: &mut Vec<Op>) {
    if let Some(ruleset) = &desired.ruleset
        && observed.ruleset != Some(ruleset.digest())
    {
        ops.push(Op::RulesetSet { ruleset: ruleset.clone() });
    }
    let forwarding_first = |name: &&str| !forwards(name);
    let mut names: Vec<&str> = desired.sysctls.keys().map(|name| name.as_str()).collect();
    names.sort_by_key(forwarding_first);
    for name in names {
        // A file that does not exist (a device that is not there, IPv6 switched off) is not ours to set.
        if let (Some(want), Some(have)) = (desired.sysctls.get(name), observed.sysctls.get(name))
            && want != have
        {
            ops.push(Op::SysctlSet { name: name.into(), value: want.clone() });
        }
    }
}

fn links(desired: &Desired, observed: &Observed, ops: &mut Vec<Op>) {
    let below = |device: &Device| observed.links.contains_key(device) && desired.links.contains_key(device);
    // Devices that others lie on come first.
    let (on_top, cards): (Vec<_>, Vec<_>) = desired.links.iter().partition(|(_, want)| want.vlan.is_some());
    for (device, want) in cards.into_iter().chain(on_top) {
        let Some(have) = observed.links.get(device) else {
            if let Some(spec) = want.vlan.as_ref().filter(|vlan| below(&vlan.parent)) {
                ops.push(Op::VlanAdd { device: device.clone(), spec: spec.clone() });
                if let Some(mtu) = want.mtu {
                    ops.push(Op::LinkMtu { device: device.clone(), mtu });
                }
                ops.push(Op::LinkUp { device: device.clone() });
            }
            continue;
        };
        if let Some(mtu) = want.mtu.filter(|mtu| *mtu != have.mtu) {
            ops.push(Op::LinkMtu { device: device.clone(), mtu });
        }
        if !have.up {
            ops.push(Op::LinkUp { device: device.clone() });
        }
    }
}

fn addresses(
    want: &BTreeMap<AddressKey, AddressSpec>,
    (desired, observed): (&Desired, &Observed),
    announce: bool,
    ops: &mut Vec<Op>,
) {
    let comes = |device: &Device| {
        let vlan = desired.links.get(device).and_then(|want| want.vlan.as_ref());
        vlan.is_some_and(|v| observed.links.contains_key(&v.parent) && desired.links.contains_key(&v.parent))
    };
    let there = |device: &Device| observed.links.contains_key(device) || comes(device);
    for (key, spec) in want.iter().filter(|(key, _)| there(&key.device)) {
        match observed.addresses.get(key) {
            Some(have) if have == spec => {}
            Some(_) => ops.push(Op::AddressRelabel { key: key.clone(), spec: spec.clone() }),
            None => {
                ops.push(Op::AddressAdd { key: key.clone(), spec: spec.clone() });
                if announce {
                    ops.push(Op::Announce { key: key.clone() });
                }
            }
        }
    }
}

/// One virtual server: never touched when equal, edited when its key stays.
fn service(key: &ServiceKey, want: &DesiredService, have: Option<&ObservedService>, ops: &mut Vec<Op>) {
    match have {
        None => ops.push(Op::ServiceAdd { key: *key, spec: want.spec.clone() }),
        Some(have) if have.spec != want.spec => {
            ops.push(Op::ServiceEdit { key: *key, spec: want.spec.clone() })
        }
        Some(_) => {}
    }
    let mut raised = Vec::new();
    let mut lowered = Vec::new();
    for (dest, spec) in &want.dests {
        let op = Op::DestEdit { service: *key, key: *dest, spec: *spec };
        match have.and_then(|h| h.dests.get(dest)) {
            None => ops.push(Op::DestAdd { service: *key, key: *dest, spec: *spec }),
            Some(have) if have.spec == *spec => {}
            Some(have) if have.spec.weight <= spec.weight => raised.push(op),
            Some(_) => lowered.push(op),
        }
    }
    ops.extend(raised);
    ops.extend(lowered);
    let gone = have.iter().flat_map(|h| h.dests.keys()).filter(|dest| !want.dests.contains_key(dest));
    ops.extend(gone.map(|dest| Op::DestDelete { service: *key, key: *dest }));
}
