//! What is known of checks and of one server: the read model of `show checks` and `why server`.

use super::Director;
use super::protocol::Reply;
use super::servers::decided_by;
use crate::cli::show::ops::describe;
use crate::health::{CheckStatus, State, Transition};
use crate::model::{Millis, Mono, Name};
use crate::plan::desired::{asked_port, dest_port, keys};
use crate::plan::{DestKey, Op};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Operations on real servers that are kept for `why server`. Chosen: an eventful hour of a pool.
const DONE_MAX: usize = 64;

/// All that is known of a server of a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Why {
    /// When.
    pub at: Mono,
    /// Service.
    pub service: Name,
    /// Its pool.
    pub pool: Name,
    /// Server.
    pub server: Name,
    /// Thresholds, in words.
    pub rule: String,
    /// What the pool as a whole, or an operator, decided, in words.
    pub decided: Option<String>,
    /// By port on the server.
    pub ports: Vec<WhyPort>,
}

/// One port of the server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WhyPort {
    /// Port on the server.
    pub port: u16,
    /// Verdict; `None`: nobody asks there.
    pub state: Option<State>,
    /// Since when.
    pub since: Mono,
    /// Why.
    pub reason: String,
    /// The last changes, oldest first.
    pub transitions: Vec<Transition>,
    /// What is asked.
    pub checks: Vec<CheckStatus>,
    /// What the kernel has, in words, by virtual server.
    pub table: Vec<String>,
    /// What was done in the kernel, and when.
    pub done: Vec<(Mono, String)>,
}

/// Operations on real servers, oldest first.
#[derive(Debug, Default)]
pub(super) struct Done(VecDeque<(Mono, Op)>);

impl Done {
    pub(super) fn note(&mut self, op: &Op, now: Mono) {
        if dest(op).is_some() {
            if self.0.len() >= DONE_MAX {
                self.0.pop_front();
            }
            self.0.push_back((now, op.clone()));
        }
    }
}

const fn dest(op: &Op) -> Option<&DestKey> {
    match op {
        Op::DestAdd { key, .. } | Op::DestEdit { key, .. } | Op::DestDelete { key, .. } => Some(key),
        Op::SysctlSet { .. }
        | Op::TimeoutsSet { .. }
        | Op::DaemonStart { .. }
        | Op::DaemonStop { .. }
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
        | Op::ServiceDelete { .. }
        | Op::Announce { .. } => None,
    }
}

impl Director {
    pub(super) fn checks(&self, now: Mono) -> Reply {
        Reply::Checks { at: now, checks: self.health.checks(now), loads: self.health.loads() }
    }

    /// The service that is meant when only a server was named.
    fn only_service(&self, server: &Name) -> Result<&Name, String> {
        let serves =
            |pool: &Name| self.config.pools.get(pool).is_some_and(|p| p.servers.contains_key(server));
        let mut found = self.config.services.iter().filter(|(_, s)| s.pool.as_ref().is_some_and(serves));
        match (found.next(), found.next()) {
            (Some((only, _)), None) => Ok(only),
            (Some((first, _)), Some((second, _))) => {
                let more = match found.count() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                Err(format!(
                    "{server} serves {first}, {second}{more}: name the service too, as in why server {first} {server}"
                ))
            }
            (None, _) if self.config.services.contains_key(server) => {
                Err(format!("{server} is a service: write one of its servers after it"))
            }
            (None, _) => Err(format!("no service has a server {server}: show servers lists them")),
        }
    }

    pub(super) fn why(&self, service: Option<&Name>, server: &Name, now: Mono) -> Reply {
        let refuse = |reason: String| Reply::Refused { reason, findings: Vec::new() };
        let service = match service.map_or_else(|| self.only_service(server), Ok) {
            Ok(service) => service,
            Err(reason) => return refuse(reason),
        };
        let Some(configured) = self.config.services.get(service) else {
            return refuse(format!("no service is named {service}: show services lists them"));
        };
        let pool = configured.pool.as_ref().and_then(|name| self.config.pools.get_key_value(name));
        let Some((pool_name, pool)) = pool else {
            return refuse(format!("service {service} has no pool"));
        };
        let address = self.config.real_servers.get(server).and_then(|s| s.address);
        let (Some(member), Some(address)) = (pool.servers.get(server), address) else {
            return refuse(format!(
                "pool {pool_name} has no server {server}: show servers {pool_name} lists them"
            ));
        };
        let mut ports: Vec<WhyPort> = Vec::new();
        for key in keys(&self.config, configured) {
            let dest = DestKey { address, port: dest_port(pool, member, &key) };
            // A mark keeps the port that the packet came for; one of them is asked.
            let port = match dest.port {
                0 => asked_port(&self.config, configured, &key),
                port => port,
            };
            if !ports.iter().any(|seen| seen.port == port) {
                ports.push(self.why_port((pool_name, server, port), dest, now));
            }
            let have = self.reconcile.observed().and_then(|o| o.services.get(&key)?.dests.get(&dest));
            let words = match have {
                Some(have) => format!(
                    "weight {}, {} connections and {} closing",
                    have.spec.weight, have.active, have.inactive
                ),
                None => String::from("not in the table"),
            };
            let virtual_server = crate::cli::show::words::service_key(&key);
            if let Some(entry) = ports.iter_mut().find(|seen| seen.port == port) {
                entry.table.push(format!("{virtual_server}: {words}"));
            }
        }
        let decided = self.health.decided(pool_name, server, now);
        let by_hand = self.overrides.get(server, pool_name);
        let by_hand = by_hand.map(|entry| decided_by(entry, server, now));
        let decay = pool.dead_time.map_or_else(
            || format!("down after {} failures in a row", pool.fall.max(1)),
            |dead| format!("down after {dead} without a good answer"),
        );
        let reentry = match pool.reentry {
            span if span == Millis::new(0) => String::new(),
            span => format!(" for {span}"),
        };
        let again = match pool.rise {
            0 | 1 => String::from("a good answer"),
            rise => format!("{rise} good answers in a row"),
        };
        let waits = if reentry.is_empty() { reentry } else { format!(" and being good{reentry}") };
        let rule = format!("{decay}, up after {again}{waits}");
        let (pool, service, server) = (pool_name.clone(), service.clone(), server.clone());
        Reply::Why(Box::new(Why {
            at: now,
            service,
            pool,
            server,
            rule,
            decided: by_hand.or(decided),
            ports,
        }))
    }

    fn why_port(&self, (pool, server, port): (&Name, &Name, u16), dest: DestKey, now: Mono) -> WhyPort {
        let verdict = self.health.verdict_on(pool, server, port);
        let done = self.done.0.iter().filter(|(_, op)| self::dest(op) == Some(&dest));
        WhyPort {
            port,
            state: verdict.as_ref().map(|v| v.state),
            since: verdict.as_ref().map_or(self.started, |v| v.since),
            reason: verdict.map(|v| v.reason).unwrap_or_default(),
            transitions: self.health.transitions(pool, server, port).cloned().collect(),
            checks: self.health.checks_of(pool, server, port, now),
            table: Vec::new(),
            done: done.map(|(at, op)| (*at, describe(op))).collect(),
        }
    }
}
