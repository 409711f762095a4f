//! Runtime actions on servers: see [`crate::overrides`].

use super::Director;
use super::event::{Effect, Level};
use super::protocol::{Reply, ServerAction, SessionId};
use super::requests::answer;
use crate::health::State;
use crate::model::config::{Member, Pool};
use crate::model::{Mono, Name};
use crate::overrides::{Entry, Forced, Overrides};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Director {
    pub(super) fn server_action(
        &mut self,
        session: SessionId,
        ask: ServerAction,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let refuse = |reason: String, out: &mut Vec<Effect>| {
            answer(session, Reply::Refused { reason, findings: Vec::new() }, out);
        };
        let in_pools = |(name, pool): &(&Name, &Pool)| {
            pool.servers.contains_key(&ask.server) && ask.pool.as_ref().is_none_or(|p| p == *name)
        };
        if !self.config.pools.iter().any(|pool| in_pools(&pool)) {
            let place = ask.pool.as_ref().map_or_else(|| "any pool".to_string(), |p| format!("pool {p}"));
            return refuse(format!("no server {} in {place}: show servers lists them", ask.server), out);
        }
        let mut next = self.overrides.clone();
        let entry = Entry { forced: ask.forced, until: ask.lasts.map(|span| now.after(span)) };
        if !next.set(ask.server.clone(), ask.pool.clone(), entry) {
            return refuse("too many servers are drained, disabled or weighted by hand".to_string(), out);
        }
        let emptied = self.emptied(&next);
        if !emptied.is_empty() && !ask.agreed {
            return answer(session, Reply::Emptied { services: emptied }, out);
        }
        self.overrides = next;
        let text = format!("server {}: {}", ask.server, words(&entry, now));
        self.log(Level::Notice, text.clone(), out);
        self.overridden(out);
        answer(session, Reply::Done { text }, out);
    }

    /// Overrides changed.
    pub(super) fn overridden(&mut self, out: &mut Vec<Effect>) {
        self.reconcile.desired_changed();
        self.checkpoint(out);
    }

    /// Services that have a usable server now and would have none.
    fn emptied(&self, next: &Overrides) -> Vec<Name> {
        let usable = |pool: &Name, overrides: &Overrides| {
            self.config.pools.get(pool).is_some_and(|p| {
                p.servers.iter().any(|(server, member)| {
                    let up = self.health.verdict(pool, server).is_some_and(|v| v.state == State::Up);
                    up && effective(overrides, pool, server, member) > 0
                })
            })
        };
        let loses = |pool: &Name| usable(pool, &self.overrides) && !usable(pool, next);
        let services = self.config.services.iter();
        services.filter(|(_, s)| s.pool.as_ref().is_some_and(loses)).map(|(name, _)| name.clone()).collect()
    }

    /// What an operator did to a server, in words; nothing for one that is as configured.
    pub(super) fn override_words(
        &self,
        pool: &Name,
        server: &Name,
        active: u32,
        now: Mono,
    ) -> Option<String> {
        let entry = self.overrides.get(server, pool)?;
        Some(format!("{}, {active} connections remain", words(entry, now)))
    }
}

/// The weight that a usable server takes connections with.
pub(super) fn effective(overrides: &Overrides, pool: &Name, server: &Name, member: &Member) -> u32 {
    let forced = overrides.get(server, pool).map_or(Forced::Normal, |e| e.forced);
    forced.weight(member.weight).unwrap_or(0)
}

fn words(entry: &Entry, now: Mono) -> String {
    let what = match entry.forced {
        Forced::Normal => return "enabled, as configured".to_string(),
        Forced::Drain => "drained by hand".to_string(),
        Forced::Disable => "disabled by hand".to_string(),
        Forced::Weight(weight) => format!("weight {weight} by hand"),
    };
    match entry.until {
        None => what,
        Some(until) => {
            format!("{what} for {}", crate::cli::show::words::span(until.micros_since(now)))
        }
    }
}
