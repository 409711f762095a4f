//! The kernel's side of an operation, and what must hold of it.

use super::{CONTROL_PORT, IN_FLIGHT_US, LATE_US, SETTLED_US, Sim};
use crate::world::Server;
use director_core::model::config::OnFailure;
use director_core::model::{Config, Mono};
use director_core::plan::desired::keys;
use director_core::plan::{DestKey, Op, OpError, ServiceKey};
use std::net::SocketAddr;

impl Sim {
    pub(super) fn operate(&mut self, op: &Op) -> Result<(), OpError> {
        if self.rng.chance(self.refusing) {
            let error = self.errno();
            self.note(format!("kernel refuses {op:?}: {error}"));
            return Err(error);
        }
        self.note(format!("kernel: {op:?}"));
        self.check(op);
        match self.kernel.apply(op) {
            Ok(()) => {
                self.done(op);
                Ok(())
            }
            // As the platform does: adding what exists and deleting what is gone succeed.
            Err(why) if is_repeatable(op, &why) => Ok(()),
            Err(message) => Err(OpError { errno: 2, message }),
        }
    }

    fn check(&self, op: &Op) {
        let quiet = !self.classes.drift;
        match op {
            Op::Announce { key } if quiet => {
                assert!(
                    self.kernel.state.addresses.contains_key(key),
                    "announces {key:?}, which it does not hold"
                );
            }
            Op::SysctlSet { name, value } if quiet && name == "net.ipv4.ip_forward" && value == "1" => {
                assert!(self.kernel.state.ruleset.is_some(), "forwards without rules");
            }
            Op::ServiceEdit { key, .. } => {
                assert_ne!(key.port(), CONTROL_PORT, "touches another service: {op:?}")
            }
            Op::DestEdit { service, .. } => {
                assert_ne!(service.port(), CONTROL_PORT, "touches another service: {op:?}");
            }
            Op::ServiceDelete { key } => self.may_go(key, None),
            Op::DestDelete { service, key } => self.may_go(service, Some(key)),
            _ => {}
        }
    }

    /// The control service is made once.
    fn done(&mut self, op: &Op) {
        let made = match op {
            Op::ServiceAdd { key, .. } if key.port() == CONTROL_PORT => None,
            Op::DestAdd { service, key, .. } if service.port() == CONTROL_PORT => Some(*key),
            _ => return,
        };
        assert!(self.control.insert(made), "touches another service again: {op:?}");
    }

    /// Whether operations for what was over at `at` may still come.
    pub(super) fn may_be_late(&self, at: Mono) -> bool {
        self.now.micros_since(at) < if self.classes.slow { LATE_US } else { IN_FLIGHT_US }
    }

    /// Nothing that stays desired is deleted.
    fn may_go(&self, service: &ServiceKey, dest: Option<&DestKey>) {
        let configs = [Some(&self.committed.1), self.trial.as_ref().map(|t| &t.config)].into_iter().flatten();
        let late = self.tried.iter().filter(|(at, _)| self.may_be_late(*at));
        let under_way = self.open.values().filter_map(|a| a.config.as_ref());
        let configs = configs.chain(under_way).chain(late.map(|(_, config)| config));
        // What names a pool that does not exist is refused, so it decides nothing.
        let refused = |config: &Config| {
            config.services.values().any(|s| s.pool.as_ref().is_none_or(|p| !config.pools.contains_key(p)))
        };
        let configs: Vec<&Config> = configs.filter(|config| !refused(config)).collect();
        let wanted = |config: &&Config| {
            let services = config.services.values().filter(|s| keys(config, s).contains(service));
            services.into_iter().any(|s| match dest {
                None => true,
                Some(dest) => {
                    let pool = &config.pools[s.pool.as_ref().unwrap()];
                    let member = pool.servers.keys().any(|n| {
                        config.real_servers[n].address == Some(dest.address)
                            && (service.port() == CONTROL_PORT || !self.disabled(n))
                    });
                    let good =
                        self.servers.get(&SocketAddr::new(dest.address, service.port())).is_some_and(|s| {
                            s.0 == Server::Good
                                && (s.1 == Mono::ZERO || self.now.micros_since(s.1) > SETTLED_US)
                        });
                    member && dest.port == service.port() && (good || pool.on_failure == OnFailure::Quiesce)
                }
            })
        };
        // A commit that is under way decides; one that was refused meanwhile may leave its last operations behind.
        assert!(
            !configs.iter().all(wanted),
            "kills connections of {service:?} {dest:?}, which stays desired"
        );
    }
}

fn is_repeatable(op: &Op, why: &str) -> bool {
    match op {
        Op::AddressAdd { .. } | Op::ServiceAdd { .. } | Op::DestAdd { .. } => why.starts_with("EEXIST"),
        Op::AddressDelete { .. }
        | Op::RouteDelete { .. }
        | Op::ServiceDelete { .. }
        | Op::DestDelete { .. } => true,
        _ => false,
    }
}
