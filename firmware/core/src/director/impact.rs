//! What a configuration would cost those who use the box now: connections that end, healthy servers that leave, services
//! left without a usable server. Said by `commit check`; a commit that does the worst of it asks first.

use super::Director;
use super::servers::effective;
use crate::gather::Gather as _;
use crate::health::State;
use crate::model::{Config, Name};
use crate::plan::desired::{asked_port, dest_port, keys};
use crate::plan::{DestKey, Observed, Op, ServiceKey};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Names and objects listed of each kind; the rest is counted. Chosen: a screen, not a roll.
pub const LISTED_MAX: usize = 8;

/// Connections that would end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lost {
    /// Of which virtual server.
    pub service: ServiceKey,
    /// At which real server; of the whole virtual server without.
    pub dest: Option<DestKey>,
    /// Established ones.
    pub active: u32,
    /// Others: being opened or closed, or UDP.
    pub inactive: u32,
    /// Clients that stuck to it and get another server.
    pub persistent: u32,
}

/// What a configuration would cost. Lists are cut at [`LISTED_MAX`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Impact {
    /// Where connections would end, most of them first.
    pub lost: Vec<Lost>,
    /// Connections that would end in all, established ones and others.
    pub connections: u64,
    /// Clients that would get another server than the one they stuck to, in all.
    pub clients: u64,
    /// Healthy servers that would take no connections any more, by pool.
    pub leaving: Vec<(Name, Name)>,
    /// How many in all.
    pub leaving_count: u32,
    /// Services with a usable server that would have none.
    pub emptied: Vec<Name>,
    /// How many in all.
    pub emptied_count: u32,
    /// Virtual servers with established connections that would be deleted.
    pub deleted_in_use: u32,
}

impl Impact {
    /// Whether a commit asks before it does this.
    #[must_use]
    pub const fn asks(&self) -> bool {
        self.emptied_count > 0 || self.deleted_in_use > 0
    }
}

impl Director {
    /// What `ops`, which lead to `next`, would cost.
    pub(super) fn impact(&self, next: &Config, ops: &[Op], observed: &Observed) -> Impact {
        let mut impact = Impact::default();
        for op in ops {
            match op {
                Op::ServiceDelete { key } => {
                    let Some(have) = observed.services.get(key) else { continue };
                    let mut lost = Lost { service: *key, dest: None, active: 0, inactive: 0, persistent: 0 };
                    for dest in have.dests.values() {
                        lost.active = lost.active.saturating_add(dest.active);
                        lost.inactive = lost.inactive.saturating_add(dest.inactive);
                        lost.persistent = lost.persistent.saturating_add(dest.persistent);
                    }
                    impact.deleted_in_use = impact.deleted_in_use.saturating_add(u32::from(lost.active > 0));
                    impact.lose(lost);
                }
                Op::DestDelete { service, key } => {
                    let Some(have) = observed.services.get(service).and_then(|s| s.dests.get(key)) else {
                        continue;
                    };
                    let (active, inactive, persistent) = (have.active, have.inactive, have.persistent);
                    impact.lose(Lost { service: *service, dest: Some(*key), active, inactive, persistent });
                }
                Op::DestEdit { .. }
                | Op::SysctlSet { .. }
                | Op::TimeoutsSet { .. }
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
                | Op::ServiceAdd { .. }
                | Op::ServiceEdit { .. }
                | Op::DestAdd { .. }
                | Op::DaemonStart { .. }
                | Op::DaemonStop { .. }
                | Op::Announce { .. } => {}
            }
        }
        impact.lost.sort_by_key(|lost| core::cmp::Reverse((lost.active, lost.inactive, lost.persistent)));
        impact.lost.truncate(LISTED_MAX);
        self.weigh(next, &mut impact);
        impact
    }

    /// Names what goes, and what it leaves behind.
    fn weigh(&self, next: &Config, impact: &mut Impact) {
        let (before, after) = (self.healthy(&self.config), self.healthy(next));
        let emptied =
            before.keys().filter(|name| next.services.contains_key(**name) && !after.contains_key(*name));
        let emptied: Vec<&Name> = emptied.copied().collect();
        let before: BTreeSet<_> = before.into_values().flatten().gather();
        let after: BTreeSet<_> = after.into_values().flatten().gather();
        let leaving: Vec<_> = before.difference(&after).collect();
        impact.emptied_count = u32::try_from(emptied.len()).unwrap_or(u32::MAX);
        impact.emptied = emptied.into_iter().take(LISTED_MAX).cloned().collect();
        impact.leaving_count = u32::try_from(leaving.len()).unwrap_or(u32::MAX);
        let listed = leaving.into_iter().take(LISTED_MAX);
        impact.leaving = listed.map(|(pool, server)| ((*pool).clone(), (*server).clone())).collect();
    }

    /// Pool and name of the servers that are healthy now and take connections under `config`, by service. One that gets
    /// another address is not known to be.
    fn healthy<'a>(&self, config: &'a Config) -> BTreeMap<&'a Name, BTreeSet<(&'a Name, &'a Name)>> {
        let mut all: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let address = |config: &Config, server| config.real_servers.get(server).and_then(|s| s.address);
        for (name, service) in &config.services {
            let Some((pool_name, pool)) =
                service.pool.as_ref().and_then(|pool| config.pools.get_key_value(pool))
            else {
                continue;
            };
            let keys = keys(config, service);
            for (server, member) in &pool.servers {
                let up = |port: u16| self.health.state(pool_name, server, port) == Some(State::Up);
                let takes = effective(&self.overrides, pool_name, server, member) > 0
                    && address(config, server) == address(&self.config, server)
                    && keys.iter().any(|key| match dest_port(pool, member, key) {
                        0 => up(asked_port(config, service, key)),
                        port => up(port),
                    });
                if takes {
                    all.entry(name).or_default().insert((pool_name, server));
                }
            }
        }
        all
    }
}

impl Impact {
    fn lose(&mut self, lost: Lost) {
        let connections = u64::from(lost.active).saturating_add(u64::from(lost.inactive));
        self.connections = self.connections.saturating_add(connections);
        self.clients = self.clients.saturating_add(u64::from(lost.persistent));
        if connections > 0 || lost.persistent > 0 {
            self.lost.push(lost);
        }
    }
}
