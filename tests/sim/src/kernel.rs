//! A kernel as strict as Linux: an add of what exists, an edit or delete of what does not, is an error.

use director_core::model::config::{Forward, Scheduler};
use director_core::plan::observed::{Link, Observed, ObservedDest, ObservedService, Stats};
use director_core::plan::{AddressKey, DestKey, DestSpec, Family, Op, ServiceKey, ServiceSpec, TimeoutSpec};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// An established connection, by what keeps it alive.
pub type Connection = (ServiceKey, DestKey);

/// What Linux would hold, and the connections through it.
#[derive(Clone, Debug, Default)]
pub struct ModelKernel {
    /// All objects.
    pub state: Observed,
    /// Established connections.
    pub connections: BTreeSet<Connection>,
    /// Addresses announced, in order.
    pub announced: Vec<AddressKey>,
}

impl ModelKernel {
    /// A kernel with these devices, down.
    pub fn with_devices(devices: &[&str]) -> Self {
        let mut kernel = Self::default();
        kernel.state.timeouts = Some(TimeoutSpec { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 });
        for device in devices {
            kernel.state.links.insert(device.parse().unwrap(), Link { mtu: 1500, ..Link::default() });
        }
        kernel
    }

    /// A connection to every real server that takes any.
    pub fn connect_everywhere(&mut self) {
        for (key, service) in &self.state.services {
            let usable = service.dests.iter().filter(|(_, d)| d.spec.weight > 0);
            self.connections.extend(usable.map(|(dest, _)| (*key, *dest)));
        }
    }

    /// Executes one operation, or says what is wrong with it.
    pub fn apply(&mut self, op: &Op) -> Result<(), String> {
        let exists = || Err(format!("EEXIST {op:?}"));
        let missing = || Err(format!("ESRCH {op:?}"));
        let state = &mut self.state;
        match op {
            Op::SysctlSet { name, value } => {
                *state.sysctls.get_mut(name).ok_or_else(|| format!("ENOENT {name}"))? = value.clone();
            }
            Op::LinkUp { device } => state.links.get_mut(device).ok_or("ENODEV")?.up = true,
            Op::LinkMtu { device, mtu } => state.links.get_mut(device).ok_or("ENODEV")?.mtu = *mtu,
            Op::VlanAdd { device, spec } => {
                if state.links.contains_key(device) {
                    return exists();
                }
                let mtu = state.links.get(&spec.parent).ok_or("ENODEV")?.mtu;
                let link = Link { mtu, vlan: Some(spec.clone()), ..Link::default() };
                state.links.insert(device.clone(), link);
            }
            Op::VlanDelete { device } => {
                if state.links.remove(device).is_none() {
                    return missing();
                }
                state.addresses.retain(|key, _| key.device != *device);
            }
            Op::AddressAdd { key, spec } => {
                if !state.links.contains_key(&key.device) {
                    return Err("ENODEV".into());
                }
                if state.addresses.contains_key(key) {
                    return exists();
                }
                state.addresses.insert(key.clone(), spec.clone());
            }
            Op::AddressRelabel { key, spec } => match state.addresses.get_mut(key) {
                Some(have) => *have = spec.clone(),
                None => return missing(),
            },
            Op::AddressDelete { key } => {
                if state.addresses.remove(key).is_none() {
                    return missing();
                }
            }
            Op::RouteSet { key, spec } => {
                state.routes.insert(key.clone(), spec.clone());
            }
            Op::RouteDelete { key } => {
                if state.routes.remove(key).is_none() {
                    return missing();
                }
            }
            Op::RulesetSet { ruleset } => state.ruleset = Some(ruleset.digest()),
            Op::Announce { key } => {
                if !state.addresses.contains_key(key) {
                    return Err(format!("announced before it was added: {key:?}"));
                }
                self.announced.push(key.clone());
            }
            Op::DaemonStart { role, spec } => {
                if state.daemons.contains_key(role) {
                    return exists();
                }
                let mut services = state.services.iter();
                if services.any(|(service, s)| s.dests.keys().any(|dest| mixed(service, dest))) {
                    return Err(format!("EINVAL a server of the other family: {op:?}"));
                }
                state.links.get(&spec.device).ok_or("ENODEV")?;
                state.daemons.insert(*role, spec.clone());
            }
            Op::DaemonStop { role } => {
                if state.daemons.remove(role).is_none() {
                    return missing();
                }
            }
            Op::TimeoutsSet { timeouts } => {
                state.timeouts.as_mut().ok_or("EOPNOTSUPP")?.clone_from(timeouts);
            }
            Op::ServiceAdd { key, spec } => {
                let fresh =
                    ObservedService { spec: spec.clone(), stats: Stats::default(), dests: BTreeMap::new() };
                if state.services.contains_key(key) {
                    return exists();
                }
                service_refused(key, spec)?;
                state.services.insert(*key, fresh);
            }
            Op::ServiceEdit { key, spec } => match state.services.get_mut(key) {
                Some(service) => {
                    service_refused(key, spec)?;
                    service.spec = spec.clone();
                }
                None => return missing(),
            },
            Op::ServiceDelete { key } => {
                if state.services.remove(key).is_none() {
                    return missing();
                }
                self.connections.retain(|(service, _)| service != key);
            }
            Op::DestAdd { service, key, spec } => {
                let refused = dest_refused(service, key, spec, !state.daemons.is_empty());
                let broadcast =
                    state.addresses.keys().any(|a| a.cidr.broadcast().map(IpAddr::V4) == Some(key.address));
                let service = state.services.get_mut(service).ok_or("ESRCH")?;
                refused?;
                if service.dests.contains_key(key) {
                    return exists();
                }
                if broadcast || !is_host(key.address) {
                    return Err(format!("EINVAL no host: {op:?}"));
                }
                service.dests.insert(*key, ObservedDest::fresh(*spec));
            }
            Op::DestEdit { service, key, spec } => {
                let refused = dest_refused(service, key, spec, !state.daemons.is_empty());
                let service = state.services.get_mut(service).ok_or("ESRCH")?;
                refused?;
                service.dests.get_mut(key).ok_or("ENOENT")?.spec = *spec;
            }
            Op::DestDelete { service, key } => {
                let found = state.services.get_mut(service).ok_or("ESRCH")?;
                if found.dests.remove(key).is_none() {
                    return missing();
                }
                self.connections.remove(&(*service, *key));
            }
        }
        Ok(())
    }
}

/// Whether a server is of another family than what it serves.
fn mixed(service: &ServiceKey, dest: &DestKey) -> bool {
    service.family() != Family::of(dest.address)
}

/// As `ip_vs_genl_set_cmd`, `ip_vs_add_dest` and `ip_vs_new_dest` of `ip_vs_ctl.c`.
fn dest_refused(service: &ServiceKey, key: &DestKey, spec: &DestSpec, syncs: bool) -> Result<(), String> {
    let refuse = |errno: &str, why: &str| Err(format!("{errno} {why}: {service:?} {key:?} {spec:?}"));
    if mixed(service, key) && (syncs || spec.forward != Forward::Tunnel) {
        return refuse("EINVAL", "a server of the other family");
    }
    if spec.lower > spec.upper {
        return refuse("ERANGE", "lower above upper");
    }
    if spec.forward == Forward::Tunnel && spec.tunnel.kind == 1 && spec.tunnel.port == 0 {
        return refuse("EINVAL", "GUE without port");
    }
    Ok(())
}

/// As `inet_addr_type` and `ipv6_addr_type`, for addresses that are not the box's own.
fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast()
        }
        IpAddr::V6(address) => address.to_ipv4_mapped().is_none() && !address.is_multicast(),
    }
}

/// As `ip_vs_add_service` and `ip_vs_edit_service`.
fn service_refused(key: &ServiceKey, spec: &ServiceSpec) -> Result<(), String> {
    let known = Scheduler::ALL.iter().any(|(_, name)| *name == spec.scheduler.as_str());
    if !known {
        return Err(format!("ENOENT no such scheduler: {spec:?}"));
    }
    let length = spec.mask.unwrap_or(128);
    if key.family() == Family::V6 && !(1..=128).contains(&length) {
        return Err(format!("EINVAL a prefix of IPv6 has 1 to 128 bits: {spec:?}"));
    }
    Ok(())
}
