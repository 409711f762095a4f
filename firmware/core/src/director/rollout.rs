//! `upgrade cluster`: what [`crate::upgrade::rollout`] decides, done.

use super::Director;
use super::event::{Effect, Level};
use super::protocol::{ClusterAction, Power, Reply, SessionId};
use super::requests::answer;
use super::upgrading::{BLOCK_MAX, Order, Ordered, Progress, Task, UpgradeAsk};
use crate::election;
use crate::model::Mono;
use crate::sync::{Bundle, Message};
use crate::upgrade::rollout::{Next, Rollout, Stage, View};
use crate::wire::heartbeat::State;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use sha2::{Digest as _, Sha256};

/// Stands for the peer's bundle where a console's number stands.
pub(super) const BUNDLE: SessionId = SessionId(u32::MAX - 2);

/// The upgrade of both boxes, as far as this one knows.
#[derive(Debug, Default)]
pub(super) struct Rolling {
    now: Option<Rollout>,
    /// Since when it stands there.
    since: Mono,
    /// What the peer was told over this connection.
    told: Option<Rollout>,
    /// This box was asked to do its part.
    asked: bool,
    /// What is sent: digest, bytes there, bytes in all.
    copy: Option<([u8; 32], u64, u64)>,
}

impl Rolling {
    /// As an earlier process left it.
    pub(super) fn resumed(now: Option<Rollout>, since: Mono) -> Self {
        Self { now, since, ..Self::default() }
    }

    pub(super) fn saved(&self) -> Option<Rollout> {
        self.now.clone()
    }

    pub(super) fn busy(&self) -> bool {
        self.now.as_ref().is_some_and(Rollout::busy)
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        let now = self.now.as_ref().filter(|r| r.busy())?;
        Some(self.since.after(now.limit()))
    }

    /// The connection to the peer is another one.
    pub(super) fn forget_told(&mut self) {
        self.told = None;
    }

    /// For `show upgrade`: a word, and a sentence.
    pub(super) fn status(&self) -> Option<(String, String)> {
        let now = self.now.as_ref()?;
        let mut words = now.words();
        if let (Some((_, have, of)), Stage::Copying, true) = (self.copy, now.stage, now.busy()) {
            let percent = have.saturating_mul(100).checked_div(of).unwrap_or(0);
            words = format!("{words}, {percent} %");
        }
        Some((now.word().to_string(), words))
    }

    pub(super) fn alarm(&self) -> Option<String> {
        let failed = self.now.as_ref().filter(|r| r.failed.is_some())?;
        Some(format!("the upgrade of both boxes ended early: {}", failed.words()))
    }

    fn set(&mut self, rollout: Rollout, now: Mono) {
        (self.now, self.since, self.asked) = (Some(rollout), now, false);
    }
}

impl Director {
    /// `upgrade cluster`: what lies in the other slot, on both boxes.
    pub(super) fn roll_out(&mut self, session: SessionId, now: Mono, out: &mut Vec<Effect>) {
        let reply = match self.may_roll_out() {
            Ok(version) => {
                let number = self.rolling.now.as_ref().map_or(0, |r| r.number).saturating_add(1);
                let by = self.start.identity;
                let rollout = Rollout { number, stage: Stage::Copying, by, first: by, version, failed: None };
                self.reached(rollout, now, out);
                self.read_piece(0, out);
                Reply::Done { text: "both boxes are upgraded, one after the other: show upgrade".to_string() }
            }
            Err(reason) => Reply::Refused { reason, findings: Vec::new() },
        };
        answer(session, reply, out);
    }

    fn may_roll_out(&self) -> Result<String, String> {
        self.idle_slot()?;
        self.other_is_there()?;
        match self.upgrading.progress() {
            Progress::Ready { version } => Ok(version.clone()),
            Progress::Idle | Progress::Receiving { .. } | Progress::Failed { .. } => {
                Err("no upgrade was taken since the director started: type upgrade from http://... first"
                    .to_string())
            }
        }
    }

    /// How it stands is another; the operator is told.
    fn reached(&mut self, rollout: Rollout, now: Mono, out: &mut Vec<Effect>) {
        let text = format!("Upgrade of both boxes: {}.", rollout.words());
        let level = if rollout.failed.is_some() { Level::Error } else { Level::Notice };
        self.log(level, text.clone(), out);
        out.push(Effect::Notify { but: None, text });
        let receives = rollout.by != self.start.identity && rollout.stage == Stage::Copying;
        if rollout.failed.is_some() && receives && self.upgrading.busy() {
            out.push(Effect::Upgrade(Task::Cancel));
        }
        self.rolling.set(rollout, now);
        self.checkpoint(out);
    }

    /// It goes no further.
    pub(super) fn end_rollout(&mut self, why: &str, now: Mono, out: &mut Vec<Effect>) {
        if let Some(rollout) = self.rolling.now.clone().filter(Rollout::busy) {
            self.rolling.copy = None;
            self.reached(Rollout { failed: Some(why.to_string()), ..rollout }, now, out);
        }
    }

    fn view(&self, now: Mono) -> View {
        let election = self.cluster.election.as_ref();
        let word = election.and_then(|e| e.peer().word().filter(|_| e.peer().alive(now)));
        let ready = |version: &String| matches!(self.upgrading.progress(), Progress::Ready { version: here } if here == version);
        View {
            own: self.start.identity,
            active: election.is_some_and(election::Election::active),
            standby: election.is_some_and(|e| e.role() == election::Role::Standby),
            served: word.is_some_and(|w| w.state == State::Active),
            quiet: self.sync_rests(),
            ready: self.rolling.now.as_ref().is_some_and(|r| ready(&r.version)),
            slot: self.start.running.map(|r| r.slot),
            proven: self.proven(),
            asked: self.rolling.asked,
        }
    }

    /// Goes on as far as it can, and tells the peer. Called after every event.
    pub(super) fn roll(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let Some(rollout) = self.rolling.now.clone() else { return };
        match rollout.next(&self.view(now)) {
            Next::Wait => {}
            Next::Boot => match self.idle_slot() {
                Ok(slot) => {
                    let first = rollout.first == self.start.identity;
                    let stage = if first { Stage::FirstTries(slot) } else { Stage::SecondTries(slot) };
                    self.reached(Rollout { stage, ..rollout }, now, out);
                    self.rolling.asked = true;
                    self.order(Ordered::Rollout, Order::Try(slot), out);
                }
                Err(why) => self.end_rollout(&why, now, out),
            },
            Next::HandOver => match self.cluster_action(ClusterAction::Standby, now, out) {
                Ok(_) => self.rolling.asked = true,
                Err(why) => self.end_rollout(&why, now, out),
            },
            Next::Reached(stage) => self.reached(Rollout { stage, ..rollout }, now, out),
            Next::Fail(why) => {
                self.end_rollout(why, now, out);
                // A restart of the director may have come between the order and the reboot.
                if self.idle_slot().is_ok() {
                    self.order(Ordered::Back, Order::Settle, out);
                }
            }
        }
        if self.sync_up() && self.rolling.told != self.rolling.now {
            self.rolling.told.clone_from(&self.rolling.now);
            if let Some(rollout) = self.rolling.now.clone() {
                self.tell_peer(Message::Rollout(rollout), out);
            }
        }
    }

    /// The peer says how it stands.
    pub(super) fn rollout_told(&mut self, told: Rollout, now: Mono, out: &mut Vec<Effect>) {
        if self.rolling.now.as_ref().is_none_or(|own| told.is_after(own)) {
            self.rolling.told = Some(told.clone());
            self.reached(told, now, out);
        }
    }

    /// The boot loader was told to try the new system: the last look before this box is away.
    pub(super) fn rollout_ordered(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let view = self.view(now);
        if self.rolling.busy() && view.standby && view.served {
            self.log(Level::Notice, "the other system slot is tried next; rebooting", out);
            out.push(Effect::Power(Power::Reboot));
        } else {
            self.end_rollout("the other box does not serve any more", now, out);
            self.order(Ordered::Back, Order::Settle, out);
        }
    }

    pub(super) fn roll_due(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.rolling.next_deadline().is_some_and(|at| at <= now)
            && let Some(late) = self.rolling.now.as_ref().map(Rollout::late)
        {
            self.end_rollout(late, now, out);
        }
    }

    fn read_piece(&self, at: u64, out: &mut Vec<Effect>) {
        if let Some(running) = self.start.running {
            out.push(Effect::Upgrade(Task::Read { slot: running.slot.other(), at }));
        }
    }

    /// A piece of the bundle was read, for the peer.
    pub(super) fn piece_read(
        &mut self,
        result: Result<(u64, Vec<u8>, u64), String>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let copies = |r: &Rollout| r.busy() && r.stage == Stage::Copying;
        if !self.rolling.now.as_ref().is_some_and(copies) {
            return;
        }
        match (result, self.rolling.copy) {
            (Err(why), _) => self.end_rollout(&why, now, out),
            (Ok((_, bytes, of)), None) => {
                let sha256 = Sha256::digest(bytes).into();
                self.rolling.copy = Some((sha256, 0, of));
                self.tell_peer(Message::Bundle(Bundle::Offer { length: of, sha256 }), out);
            }
            (Ok((offset, bytes, _)), Some(_)) => {
                self.tell_peer(Message::Bundle(Bundle::Block { offset, bytes }), out);
            }
        }
    }

    pub(super) fn bundle_told(&mut self, bundle: Bundle, now: Mono, out: &mut Vec<Effect>) {
        let Some(rollout) = self.rolling.now.clone().filter(|r| r.busy() && r.stage == Stage::Copying) else {
            return;
        };
        let sends = rollout.by == self.start.identity;
        self.rolling.since = now;
        match (bundle, self.rolling.copy) {
            (Bundle::Offer { length, sha256 }, _) if !sends => {
                self.upgrade_asked(BUNDLE, UpgradeAsk::Offer { length, sha256 }, now, out);
            }
            (Bundle::Block { offset, bytes }, _) if !sends => {
                self.upgrade_asked(BUNDLE, UpgradeAsk::Block { offset, bytes }, now, out);
            }
            (Bundle::End { sha256 }, _) if !sends => {
                self.upgrade_asked(BUNDLE, UpgradeAsk::End { sha256 }, now, out);
            }
            (Bundle::Have(have), Some((sha256, _, of))) if sends => {
                self.rolling.copy = Some((sha256, have, of));
                if have < of {
                    self.read_piece(have, out);
                } else {
                    self.tell_peer(Message::Bundle(Bundle::End { sha256 }), out);
                }
            }
            (Bundle::Taken, Some(_)) if sends => {
                self.rolling.copy = None;
                let view = self.view(now);
                let first = match (view.active, view.standby && view.served) {
                    (true, _) => rollout.by.other(),
                    (false, true) => rollout.by,
                    (false, false) => return self.end_rollout("neither box is active", now, out),
                };
                self.reached(Rollout { stage: Stage::First, first, ..rollout }, now, out);
            }
            (Bundle::Refused(why), _) if sends => {
                self.end_rollout(&format!("the other box: {why}"), now, out);
            }
            _ => {}
        }
    }

    /// The connection to the peer is lost: a copy ends.
    pub(super) fn rollout_unlinked(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.rolling.now.as_ref().is_some_and(|r| r.stage == Stage::Copying) {
            self.end_rollout("the connection to the other box was lost", now, out);
        }
    }
}

/// An answer to the peer's bundle, as it goes to the peer.
pub(super) fn bundle_answer(reply: &mut Reply) -> Option<Effect> {
    let bundle = match reply {
        Reply::Have(have) => Bundle::Have(*have),
        Reply::Done { .. } => Bundle::Taken,
        Reply::Refused { reason, .. } => Bundle::Refused(core::mem::take(reason)),
        // Nothing else is answered to an upgrade.
        Reply::Status(_)
        | Reply::Config { .. }
        | Reply::Checked { .. }
        | Reply::Harmful { .. }
        | Reply::Committed { .. }
        | Reply::OnTrial { .. }
        | Reply::Checks { .. }
        | Reply::Why(_)
        | Reply::Doctor(_)
        | Reply::Pinged(_)
        | Reply::Confirmed { .. }
        | Reply::Recalled { .. }
        | Reply::Emptied { .. }
        | Reply::Notice(_)
        | Reply::Stopping => return None,
    };
    Some(Effect::Tell(Box::new(Message::Bundle(bundle))))
}

const _: () =
    assert!(BLOCK_MAX >= crate::upgrade::bundle::FRONT, "the first piece tells one bundle from another");
