//! From what the director knows to what is shown.

use super::Director;
use super::event::Level;
use super::servers::effective;
use super::status::{
    AddressStatus, ClusterStatus, InterfaceStatus, IpvsDest, IpvsService, ServerStatus, ServiceStatus,
    Status, SystemStatus, TrialStatus,
};
use crate::gather::Gather as _;
use crate::health::State;
use crate::model::choice::Chosen as _;
use crate::model::config::Pool;
use crate::model::{Mono, Name};
use crate::overrides::Forced;
use crate::plan::desired::{asked_port, dest_port, keys, service_spec};
use crate::plan::fallback::place;
use crate::plan::observed::{Observed, ObservedDest, Stats};
use crate::plan::{DestKey, ServiceKey};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A verdict's change as a log line.
pub(super) fn transition(
    pool: &Name,
    server: &Name,
    from: State,
    to: State,
    reason: &str,
) -> (Level, String) {
    let level = if to == State::Down { Level::Warning } else { Level::Notice };
    let word = |state| match state {
        State::Unknown => "unknown",
        State::Up => "up",
        State::Down => "down",
        State::Reentering { .. } => "reentering",
    };
    (level, format!("server {server} in pool {pool}: {} -> {}: {reason}", word(from), word(to)))
}

/// Servers that alarms name; the rest is counted.
const DOWN_NAMED: usize = 8;

impl Director {
    pub(super) fn status(&self, servers: bool, now: Mono) -> Status {
        let nothing = Observed::default();
        let observed = self.reconcile.observed().unwrap_or(&nothing);
        let counted = Some(observed).filter(|_| servers);
        Status {
            at: now,
            system: self.system_status(),
            cluster: self.cluster.status(now).map(|status| {
                Box::new(ClusterStatus {
                    configuration: self.configuration_words(),
                    table: self.table_words(),
                    ..status
                })
            }),
            interfaces: self.interface_status(observed),
            addresses: self.address_status(observed),
            services: counted.map(|observed| self.service_status(observed)).unwrap_or_default(),
            servers: counted.map(|observed| self.server_status(observed, now)).unwrap_or_default(),
            ipvs: counted.map(ipvs).unwrap_or_default(),
            timeouts: observed.timeouts,
            daemons: observed.daemons.iter().map(|(role, spec)| (*role, spec.clone())).collect(),
            time: self.time.status(),
            unix_s: observed.unix_s,
            notes: self.notes.clone(),
            alarms: self.alarms(observed, now),
        }
    }

    fn system_status(&self) -> SystemStatus {
        SystemStatus {
            identity: self.start.identity,
            active: self.active(&self.config),
            hostname: self.node().hostname.clone(),
            version: self.start.version.clone(),
            slot: self.system.status(),
            generation: self.generation,
            trial: self.trial.as_ref().map(|t| TrialStatus { deadline: t.deadline, back: t.back_generation }),
            source: self.source.clone(),
            started: self.started,
            boots: self.start.boots,
            operations: self.operations,
            last_plan: self.last_plan,
            last_plan_took: self.reconcile.took(),
            last_dump_took: self.reconcile.dump_took(),
            reconciled: self.reconcile.observed_at(),
        }
    }

    fn interface_status(&self, observed: &Observed) -> Vec<InterfaceStatus> {
        let mut roles = BTreeMap::new();
        for (role, interface) in &self.bound(&self.config, observed).interfaces {
            if let Some(device) = &interface.device {
                roles.insert(device.clone(), role.clone());
            }
        }
        let roles_of: BTreeSet<_> = roles.keys().cloned().gather();
        let mut all: Vec<InterfaceStatus> = observed
            .links
            .iter()
            // The kernel's own pseudo devices (loopback, tunnel templates) have no hardware address: nobody can use them.
            .filter(|(device, link)| roles_of.contains(device) || link.mac != [0; 6])
            .map(|(device, link)| InterfaceStatus {
                role: roles.remove(device),
                device: device.clone(),
                link: Some(link.clone()),
                dhcp: self.leases.state(device).map(|state| (state, self.leases.lease(device))),
            })
            .collect();
        all.extend(roles.into_iter().map(|(device, role)| InterfaceStatus {
            role: Some(role),
            device,
            link: None,
            dhcp: None,
        }));
        all
    }

    fn address_status(&self, observed: &Observed) -> Vec<AddressStatus> {
        let want = self.desired(&self.config, observed);
        let names: BTreeMap<_, _> =
            self.config.floating.iter().filter_map(|(name, f)| Some((f.address?, name.clone()))).gather();
        let mut keys: Vec<_> = observed.addresses.keys().collect();
        let expected = want.node_addresses.keys().chain(want.floating_addresses.keys()).chain(&want.released);
        keys.extend(expected.filter(|key| !observed.addresses.contains_key(key)));
        keys.sort();
        keys.into_iter()
            .map(|key| {
                let have = observed.addresses.get(key);
                let configured = want.floating_addresses.get(key).or_else(|| want.node_addresses.get(key));
                AddressStatus {
                    device: key.device.clone(),
                    address: key.cidr,
                    label: have.or(configured).and_then(|spec| spec.label.clone()),
                    floating: names.get(&key.cidr).cloned(),
                    present: have.is_some(),
                    wanted: configured.is_some(),
                }
            })
            .collect()
    }

    fn service_status(&self, observed: &Observed) -> Vec<ServiceStatus> {
        let mut all = Vec::new();
        for (name, service) in &self.config.services {
            let Some((pool_name, pool)) =
                service.pool.as_ref().and_then(|pool| self.config.pools.get_key_value(pool))
            else {
                continue;
            };
            for key in keys(&self.config, service) {
                let have = observed.services.get(&key);
                let spec = service_spec(service, key.family());
                let usable = pool.servers.iter().filter(|(server, member)| {
                    let port = match dest_port(pool, member, &key) {
                        0 => asked_port(&self.config, service, &key),
                        port => port,
                    };
                    effective(&self.overrides, pool_name, server, member) > 0
                        && self.health.state(pool_name, server, port) == Some(State::Up)
                });
                let sum = |field: fn(&ObservedDest) -> u32| {
                    have.map_or(0, |h| h.dests.values().map(field).fold(0, u32::saturating_add))
                };
                all.push(ServiceStatus {
                    name: name.clone(),
                    key,
                    scheduler: spec.scheduler.to_string(),
                    persistence_s: spec.persistence_s,
                    pool: pool_name.clone(),
                    usable: count(usable.count()),
                    servers: count(pool.servers.len()),
                    active: sum(|d| d.active),
                    inactive: sum(|d| d.inactive),
                    stats: have.map(|h| h.stats),
                });
            }
        }
        all
    }

    pub(super) fn server_status(&self, observed: &Observed, now: Mono) -> Vec<ServerStatus> {
        let mut users: BTreeMap<&Name, Vec<ServiceKey>> = BTreeMap::new();
        for service in self.config.services.values() {
            if let Some(pool) = &service.pool {
                users.entry(pool).or_default().extend(keys(&self.config, service));
            }
        }
        let mut all = Vec::new();
        for (pool_name, pool) in &self.config.pools {
            let keys = users.get(pool_name).map_or(&[][..], |keys| keys.as_slice());
            all.extend(
                pool.servers
                    .keys()
                    .filter_map(|name| self.one_server((pool_name, pool), name, keys, observed, now)),
            );
        }
        all
    }

    fn one_server(
        &self,
        (pool_name, pool): (&Name, &Pool),
        name: &Name,
        services: &[ServiceKey],
        observed: &Observed,
        now: Mono,
    ) -> Option<ServerStatus> {
        let address = self.config.real_servers.get(name)?.address?;
        let member = pool.servers.get(name)?;
        let verdict = self.health.verdict(pool_name, name);
        let mut effective = None;
        let (mut active, mut inactive, mut stats) = (0_u32, 0_u32, Stats::default());
        for key in services {
            let dest = DestKey { address, port: dest_port(pool, member, key) };
            let Some(have) = observed.services.get(key).and_then(|s| s.dests.get(&dest)) else { continue };
            effective = Some(have.spec.weight);
            active = active.saturating_add(have.active);
            inactive = inactive.saturating_add(have.inactive);
            stats.add(&have.stats);
        }
        let mut reason = verdict.as_ref().map_or_else(String::new, |v| v.reason.clone());
        if let Some(decided) = self.health.decided(pool_name, name, now) {
            reason = format!("{decided}; {reason}");
        }
        let up = verdict.as_ref().is_some_and(|v| v.state == State::Up);
        let mut since = verdict.as_ref().map_or(self.started, |v| v.since);
        let by_hand = self.overrides.get(name, pool_name);
        // What takes a good server out is who took it out, not that it is good.
        let out = by_hand.filter(|entry| up && matches!(entry.forced, Forced::Drain | Forced::Disable));
        if let Some(words) = self.override_words(pool_name, name, (active, inactive), now) {
            reason = match out {
                _ if reason.is_empty() => words,
                None => format!("{words}; {reason}"),
                Some(entry) => {
                    since = entry.since;
                    words
                }
            };
        }
        Some(ServerStatus {
            pool: pool_name.clone(),
            name: name.clone(),
            address,
            forward: pool.forward_of(member),
            check: pool.check,
            state: verdict.as_ref().map_or(State::Unknown, |v| v.state),
            forced: by_hand.map_or(Forced::Normal, |entry| entry.forced),
            since,
            reason,
            checked: verdict.as_ref().and_then(|v| v.checked),
            took_us: verdict.as_ref().and_then(|v| v.took_us),
            weight: member.weight,
            effective,
            active,
            inactive,
            stats,
        })
    }

    fn alarms(&self, observed: &Observed, now: Mono) -> Vec<String> {
        let mut alarms = self.notes.clone();
        alarms.extend(self.last_error.clone());
        if self.trial.is_some() {
            alarms.push(format!("commit {} is on trial: {}", self.generation, self.trial_words(now)));
        }
        alarms.extend(self.fell_back.clone());
        alarms.extend(self.marks.alarm());
        alarms.extend(self.keeping.failed.clone());
        alarms.extend(self.system.alarm());
        alarms.extend(self.conflict_alarms());
        if self.conflicts.any() && self.cluster.elects() && !self.cluster.peer_alive(now) {
            let own = self.start.identity;
            alarms.push(format!(
                "the other box of the pair is not heard: if it is that machine, both are node {own}, and one must \
                 become node {}: cluster identity",
                own.other()
            ));
        }
        for (role, interface) in &self.bound(&self.config, observed).interfaces {
            let Some(device) = &interface.device else {
                if let Some(mac) = self.node().macs.get(role) {
                    alarms.push(format!("interface {role}: this box has no network card {mac}"));
                }
                continue;
            };
            match observed.links.get(device) {
                None => alarms.push(format!("interface {role}: this box has no device {device}")),
                Some(link) if !link.carrier => alarms.push(format!("interface {role} ({device}): no link")),
                Some(_) if interface.dhcp && self.leases.lease(device).is_none() => {
                    alarms.push(format!("interface {role} ({device}): no DHCP server gave an address"));
                }
                Some(_) => {}
            }
        }
        if self.reconcile.observed().is_some() {
            let words = self.config.kernel.sysctls.keys().map(|sysctl| sysctl.word());
            for word in words.filter(|word| !observed.sysctls.contains_key(*word)) {
                alarms.push(format!("sysctl {word}: this kernel does not have it"));
            }
        }
        alarms.extend(self.time.alarm(now));
        alarms.extend(self.cluster.alarms(now));
        alarms.extend(self.sync_alarm());
        alarms.extend(self.rolling.alarm());
        for service in self.service_status(observed) {
            if service.usable == 0 {
                let shown = place(&service.key).is_some_and(|place| self.pages.contains_key(&place));
                let page = if shown { "; the sorry page is shown" } else { "" };
                let name = &service.name;
                alarms.push(format!("service {name}: no usable server in pool {}{page}", service.pool));
            }
        }
        alarms.extend(self.health.down_alarms(DOWN_NAMED));
        alarms.extend(self.health.pool_alarms());
        alarms.extend(self.health.alarms(now));
        alarms.dedup();
        alarms
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn ipvs(observed: &Observed) -> Vec<IpvsService> {
    let dest = |(key, have): (&DestKey, &ObservedDest)| IpvsDest {
        key: *key,
        spec: have.spec,
        active: have.active,
        inactive: have.inactive,
        persistent: have.persistent,
        stats: have.stats,
    };
    observed
        .services
        .iter()
        .map(|(key, have)| IpvsService {
            key: *key,
            spec: have.spec.clone(),
            stats: have.stats,
            dests: have.dests.iter().map(dest).collect(),
        })
        .collect()
}
