//! What the planner asks about this moment.

use super::leases::Leases;
use crate::dhcp::Lease;
use crate::health::{self, Health};
use crate::model::check::LoadSource;
use crate::model::config::Node;
use crate::model::{Config, Device, Name};
use crate::overrides::{Forced, Overrides};
use crate::plan::desired::{Circumstances, Usable};
use crate::plan::{DestKey, DestSpec, Observed, ServiceKey};
use crate::store::identity::Role;

/// [`Circumstances`] of this moment.
pub(super) struct Now<'a> {
    pub(super) health: &'a Health,
    pub(super) observed: &'a Observed,
    pub(super) overrides: &'a Overrides,
    pub(super) leases: &'a Leases,
}

impl Circumstances for Now<'_> {
    fn usable(&self, pool: &Name, server: &Name, port: u16) -> Usable {
        match self.health.state(pool, server, port) {
            Some(health::State::Up) => Usable::Yes,
            Some(health::State::Down | health::State::Reentering { .. }) => Usable::No,
            Some(health::State::Unknown) | None => Usable::Unknown,
        }
    }

    fn present(&self, service: &ServiceKey, dest: &DestKey) -> Option<DestSpec> {
        self.observed.services.get(service).and_then(|s| s.dests.get(dest)).map(|d| d.spec)
    }

    fn memory_mib(&self) -> u32 {
        self.observed.memory_mib
    }

    fn lease(&self, device: &Device) -> Option<Lease> {
        self.leases.lease(device)
    }

    fn standing(&self, pool: &Name, port: u16) -> health::Standing {
        self.health.standing(pool, port)
    }

    fn share(&self, pool: &Name, server: &Name, port: u16, weight: u32) -> u32 {
        self.health.share(pool, server, port, weight)
    }

    fn removed(&self, pool: &Name, server: &Name, port: u16) -> bool {
        self.health.removed(pool, server, port)
    }

    fn most(&self, server: &Name) -> Option<u32> {
        self.health.most(server)
    }

    fn forced(&self, pool: &Name, server: &Name) -> Forced {
        self.overrides.get(server, pool).map_or(Forced::Normal, |entry| entry.forced)
    }
}

/// The node of the pair that `identity` names; a configuration without a backup node has one for both.
pub(super) fn node_of(config: &Config, identity: Role) -> &Node {
    match (identity, &config.backup) {
        (Role::Backup, Some(backup)) => backup,
        (Role::Primary, _) | (Role::Backup, None) => &config.primary,
    }
}

/// Whether the load of any server comes from its rwhod.
pub(super) fn listens_to_rwhod(config: &Config) -> bool {
    let monitors = &config.questions.load_monitors;
    let mut used =
        config.real_servers.values().filter_map(|server| monitors.get(server.load_monitor.as_ref()?));
    used.any(|monitor| monitor.source == LoadSource::Rwhod)
}
