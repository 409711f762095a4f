//! What the peer must have before it can serve as well: the connection table, and what operators did to servers.
//!
//! The kernel's sync daemon sends a connection when it passes packets, and knows no peer that joins later. So the
//! active box also sends its whole table as the daemon would: to a standby that asks for it because its own
//! daemon has just begun to listen, and before a planned change of roles.

use super::super::Director;
use super::super::event::{Effect, Level};
use super::super::protocol::ClusterAction;
use crate::election::Election;
use crate::model::{Millis, Mono};
use crate::plan::DaemonRole;
use crate::plan::rules::{MarkRule, ruleset};
use crate::store::identity::Role;
use crate::sync::{Message, Override};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How long a planned change of roles waits for the table. Chosen: 100,000 connections take a second.
const SEND_MAX: Millis = Millis::from_secs(3);
/// How long the addresses are with nobody for what came since. Chosen: some thousand connections, and not felt by clients.
const LAST_MAX: Millis = Millis::new(20);
/// How long a standby waits for it before it claims its role back all the same.
const GATE_MAX: Millis = Millis::from_secs(30);

/// What waits until the table is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum After {
    Standby,
    Takeover,
    Stop,
    /// The addresses are gone: what came while the table was being sent is sent too, and then the peer is told.
    Release,
}

impl Director {
    fn is_active(&self) -> bool {
        self.cluster.election.as_ref().is_some_and(Election::active)
    }

    fn daemon(&self, role: DaemonRole) -> Option<&crate::plan::DaemonSpec> {
        self.reconcile.observed()?.daemons.get(&role)
    }

    /// A standby whose daemon listens asks for the table, once on each connection.
    pub(in super::super) fn want_table(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.sync.gate.is_none() && self.sync.table.is_none() && self.config.sync_daemon.is_some() {
            self.sync.gate = Some(now.after(GATE_MAX));
        }
        let listens = self.daemon(DaemonRole::Backup).is_some() && !self.is_active();
        if self.sync.up && listens && !core::mem::replace(&mut self.sync.wanted, true) {
            self.tell_peer(Message::WantTable, out);
        }
    }

    /// Whether a role may be claimed back: the table is here, or there is none to be had.
    pub(in super::super) fn table_here(&self) -> bool {
        let never = self.cluster.listen.as_ref().is_none_or(|l| l.credentials.is_none());
        self.config.sync_daemon.is_none()
            || never
            || self.sync.table.is_some()
            || self.sync.gate == Some(Mono::ZERO)
    }

    pub(super) fn table_received(&mut self, connections: u32, now: Mono, out: &mut Vec<Effect>) {
        self.sync.table = Some(connections);
        self.log(Level::Info, format!("cluster: the peer sent its {connections} connections"), out);
        self.update_cluster(now, out);
        self.table_done(now, out);
    }

    fn marks_of_services(&self) -> Vec<MarkRule> {
        ruleset(&self.config, self.node(), true).marks.into_iter().collect()
    }

    /// The peer asks for the table.
    pub(super) fn send_table(&mut self, out: &mut Vec<Effect>) {
        match self.daemon(DaemonRole::Master).filter(|_| self.is_active()) {
            Some(daemon) => {
                let (daemon, marks) = (daemon.clone(), self.marks_of_services());
                out.push(Effect::SendTable { daemon, marks });
            }
            None => self.tell_peer(Message::TableSent(0), out),
        }
    }

    /// The table is on the wire.
    pub(in super::super) fn table_sent(&mut self, connections: u32, now: Mono, out: &mut Vec<Effect>) {
        if self.sync.after.is_some_and(|(after, _)| after == After::Release) {
            return self.table_done(now, out);
        }
        self.log(Level::Info, format!("cluster: {connections} connections sent to the peer"), out);
        self.tell_peer(Message::TableSent(connections), out);
        self.table_done(now, out);
    }

    /// Before a planned change of roles the table is sent. The text when that is under way.
    pub(in super::super) fn table_first(
        &mut self,
        ask: ClusterAction,
        now: Mono,
        out: &mut Vec<Effect>,
    ) -> Option<String> {
        if self.sync.after.is_some() {
            return Some("the connection table is being sent for it already".to_string());
        }
        let after = match (ask, self.is_active()) {
            (ClusterAction::Standby, true) => After::Standby,
            (ClusterAction::Takeover, false) => After::Takeover,
            _ => return None,
        };
        self.begin_after(after, now, out).then(|| {
            let word = if after == After::Standby { "standby" } else { "active" };
            format!("this box becomes {word} when the connections were sent: show cluster")
        })
    }

    /// False: there is no table to wait for.
    fn begin_after(&mut self, after: After, now: Mono, out: &mut Vec<Effect>) -> bool {
        let peer = |e: &Election| e.peer().alive(now);
        if !(self.sync.up && self.cluster.election.as_ref().is_some_and(peer)) {
            return false;
        }
        if after == After::Takeover {
            if self.daemon(DaemonRole::Backup).is_none() {
                return false;
            }
            self.tell_peer(Message::WantTable, out);
        } else {
            let Some(daemon) = self.daemon(DaemonRole::Master) else { return false };
            let (daemon, marks) = (daemon.clone(), self.marks_of_services());
            out.push(Effect::SendTable { daemon, marks });
        }
        let limit = if after == After::Release { LAST_MAX } else { SEND_MAX };
        self.sync.after = Some((after, now.after(limit)));
        true
    }

    /// The addresses are gone from the kernel. A packet of a connection that the peer does not know would be answered with a
    /// reset there, so it gets the last ones before it gets the addresses.
    pub(in super::super) fn addresses_gone(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let handed_over = |e: &Election| e.hands_over();
        let sending = self.sync.after.is_some_and(|(after, _)| after == After::Release);
        let hands_over = self.cluster.election.as_ref().is_some_and(handed_over);
        let waits = sending || hands_over && self.begin_after(After::Release, now, out);
        if !waits {
            self.with_election(now, out, Election::released);
        }
    }

    /// [`super::super::Event::Stop`]: an active box sends its table first.
    pub(in super::super) fn stop_after_table(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let waits = self.sync.after.is_some_and(|(after, _)| after == After::Stop);
        if waits || self.stopping || !self.is_active() || !self.begin_after(After::Stop, now, out) {
            self.sync.after = None;
            self.stop(now, out);
        }
    }

    fn table_done(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let Some((after, _)) = self.sync.after.take() else { return };
        // Why it cannot be any more is said by `show cluster`, and the operator may ask again.
        match after {
            After::Standby => drop(self.with_election(now, out, Election::stand_by)),
            After::Takeover => drop(self.with_election(now, out, Election::take_over)),
            After::Stop => self.stop(now, out),
            After::Release => drop(self.with_election(now, out, Election::released)),
        }
        self.checkpoint(out);
    }

    pub(in super::super) fn sync_deadline(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.held_deadline(now, out);
        if let Some((after, _)) = self.sync.after.filter(|(_, until)| *until <= now) {
            if after != After::Release {
                self.log(Level::Warning, "cluster: the connection table was not sent in time", out);
            }
            self.table_done(now, out);
        }
        if self.sync.gate.is_some_and(|until| until <= now && until != Mono::ZERO) {
            self.sync.gate = Some(Mono::ZERO);
            self.update_cluster(now, out);
        }
    }

    /// Tells the peer what operators did to servers.
    pub(in super::super) fn tell_overrides(&self, now: Mono, out: &mut Vec<Effect>) {
        let (version, list) = (self.overrides.version(), self.overrides.to_share(now));
        self.tell_peer(Message::Overrides { version, list }, out);
    }

    /// Of two lists the one with more changes counts; the primary's when both have as many.
    pub(super) fn peer_overrides(
        &mut self,
        version: u64,
        list: Vec<Override>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let own = self.overrides.version();
        if version < own || (version == own && self.start.identity == Role::Primary) {
            return;
        }
        let before = self.overrides.clone();
        self.overrides.take(version, list, now);
        if !self.overrides.same_as(&before) {
            let text = "cluster: what was done to servers by hand is taken from the peer";
            self.log(Level::Notice, text, out);
        }
        self.overridden(&before, now, out);
    }

    /// Connections that the peer sent when this box joined.
    pub(in super::super) fn table_words(&self) -> Option<u32> {
        self.sync.table
    }
}
