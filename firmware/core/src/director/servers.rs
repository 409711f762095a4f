//! Runtime actions on servers: see [`crate::overrides`].

use super::Director;
use super::event::{Effect, Level};
use super::protocol::{Reply, ServerAction, SessionId};
use super::requests::answer;
use crate::health::State;
use crate::model::config::{Member, Pool};
use crate::model::{Millis, Mono, Name};
use crate::overrides::{By, Entry, Forced, Kept, Overrides};
use crate::store::StoreError;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Pause before the list of persistent actions that the flash refused is written again. Chosen: an alarm stands meanwhile.
const KEEP_RETRY: Millis = Millis::from_secs(60);

/// The list of persistent actions on its way to the flash.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// The flash is at it.
    pub(super) busy: bool,
    /// It changed meanwhile.
    dirty: bool,
    /// When a failed write is tried again.
    pub(super) again: Option<Mono>,
    /// Why the last write failed, for the alarms.
    pub(super) failed: Option<String>,
}

impl Director {
    fn keep(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if !self.start.flash {
            return;
        }
        // What is written while the flash is being wiped would outlive the reset.
        if self.keeping.busy || self.resetting {
            self.keeping.dirty = true;
            self.keeping.again = None;
            return;
        }
        (self.keeping.busy, self.keeping.dirty, self.keeping.again) = (true, false, None);
        out.push(Effect::Keep(self.overrides.kept(now)));
    }

    /// A process before may have ended before its list was in flash.
    pub(super) fn resume_keeping(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let what = |kept: Vec<Kept>| kept.into_iter().map(|k| (k.server, k.pool, k.forced, k.left.is_some()));
        if !what(self.overrides.kept(now)).eq(what(self.start.kept.clone())) {
            self.keep(now, out);
        }
    }

    /// The flash answered.
    pub(super) fn kept(&mut self, result: Result<(), StoreError>, now: Mono, out: &mut Vec<Effect>) {
        self.keeping.busy = false;
        match result {
            Ok(()) => self.keeping.failed = None,
            Err(error) => {
                let text = format!(
                    "persistent server actions are not in flash ({error}): after a reboot the list before holds"
                );
                if self.keeping.failed.is_none() {
                    self.log(Level::Error, text.clone(), out);
                    out.push(Effect::Notify { but: None, text: format!("{text}.") });
                }
                self.keeping.failed = Some(text);
                self.keeping.again = Some(now.after(KEEP_RETRY));
            }
        }
        self.keep_rest(now, out);
    }

    /// Writes what changed while the flash was at work.
    pub(super) fn keep_rest(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.keeping.dirty && !self.keeping.busy {
            self.keep(now, out);
        }
    }

    /// Tries again.
    pub(super) fn keep_again(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.keeping.again.is_some_and(|at| at <= now) && !self.stopping {
            self.keep(now, out);
        }
    }

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
        if ask.persistent && !self.start.flash {
            let reason = "no flash partition: nothing persists; leave the word persistent out".to_string();
            return refuse(reason, out);
        }
        let until = ask.lasts.map(|span| now.after(span));
        let (forced, persistent) = (ask.forced, ask.persistent);
        let entry = Entry { forced, until, persistent, since: now, by: By::Here };
        if !next.set(ask.server.clone(), ask.pool.clone(), entry) {
            return refuse("too many servers are drained, disabled or weighted by hand".to_string(), out);
        }
        let services = self.emptied(&next);
        let (active, closing) = self.connections_of(&ask.server, ask.pool.as_ref());
        let ends = if ask.forced == Forced::Disable { active } else { 0 };
        if (!services.is_empty() || ends > 0) && !ask.agreed {
            return answer(session, Reply::Emptied { services, ends }, out);
        }
        let before = core::mem::replace(&mut self.overrides, next);
        let text = format!("server {}: {}", ask.server, words(&entry, now));
        self.log(Level::Notice, text.clone(), out);
        let connections = active.saturating_add(closing);
        let text = match ask.forced {
            Forced::Drain if connections > 0 => format!("{text}; {} until they end", remain(connections)),
            Forced::Disable if connections > 0 => format!("{text}; its {connections} connections end"),
            Forced::Drain | Forced::Disable | Forced::Normal | Forced::Weight(_) => text,
        };
        self.tell_overrides(now, out);
        self.overridden(&before, now, out);
        answer(session, Reply::Done { text }, out);
    }

    /// Overrides changed.
    pub(super) fn overridden(&mut self, before: &Overrides, now: Mono, out: &mut Vec<Effect>) {
        if !self.overrides.keeps_as(before) {
            self.keep(now, out);
        }
        self.reconcile.desired_changed();
        self.checkpoint(out);
    }

    /// Established and other connections of a server, in one pool or in all.
    fn connections_of(&self, server: &Name, pool: Option<&Name>) -> (u32, u32) {
        let Some(observed) = self.reconcile.observed() else { return (0, 0) };
        let all = self.server_status(observed, Mono::ZERO);
        let meant = all.iter().filter(|s| s.name == *server && pool.is_none_or(|p| s.pool == *p));
        meant.fold((0, 0), |(a, i), s| (s.active.saturating_add(a), s.inactive.saturating_add(i)))
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
        (active, closing): (u32, u32),
        now: Mono,
    ) -> Option<String> {
        let entry = self.overrides.get(server, pool)?;
        let words = words(entry, now);
        Some(match (entry.forced, active, closing) {
            (Forced::Weight(_) | Forced::Normal, _, _) => words,
            (Forced::Drain | Forced::Disable, 0, 0) => format!("{words}, no connection remains"),
            (Forced::Drain | Forced::Disable, 0, closing) => format!("{words}, only {closing} closing"),
            (Forced::Drain | Forced::Disable, active, 0) => format!("{words}, {}", remain(active)),
            (Forced::Drain | Forced::Disable, active, closing) => {
                format!("{words}, {} and {closing} closing", remain(active))
            }
        })
    }
}

/// The weight that a usable server takes connections with.
pub(super) fn effective(overrides: &Overrides, pool: &Name, server: &Name, member: &Member) -> u32 {
    let forced = overrides.get(server, pool).map_or(Forced::Normal, |e| e.forced);
    forced.weight(member.weight).unwrap_or(0)
}

fn remain(n: u32) -> String {
    if n == 1 { "1 connection remains".to_string() } else { format!("{n} connections remain") }
}

/// Who decided about a server and how to undo it, for `why server`.
pub(super) fn decided_by(entry: &Entry, server: &Name, now: Mono) -> String {
    let ago = crate::cli::show::words::span(now.micros_since(entry.since));
    let since = match entry.by {
        By::Here => format!("{ago} ago on this box"),
        By::Peer => format!("{ago} ago on the other box"),
        By::Flash => "before this box was started".to_string(),
    };
    format!("{}, said {since}; \"server {server} enable\" undoes it", words(entry, now))
}

fn words(entry: &Entry, now: Mono) -> String {
    let what = match entry.forced {
        Forced::Normal => return "enabled, as configured".to_string(),
        Forced::Drain => "drained by hand".to_string(),
        Forced::Disable => "disabled by hand".to_string(),
        Forced::Weight(weight) => format!("weight {weight} by hand"),
    };
    let what = if entry.persistent { format!("{what}, persistent,") } else { what };
    match entry.until {
        None => what.trim_end_matches(',').to_string(),
        Some(until) => {
            let left = crate::cli::show::words::span(until.micros_since(now));
            format!("{}, {left} left", what.trim_end_matches(','))
        }
    }
}
