//! The decisions: every change of role is made here, with its reason.

use super::{
    ASK_PAUSE_MIN, ASKS, BURST, BURST_PAUSE, Election, Fitness, MEASURE_EVERY, Output, Reason, Role,
    Suspicion, TURNS_MAX, Warning,
};
use crate::model::cluster::{Detection, Failback};
use crate::model::{Millis, Mono};
use crate::store::identity::Role as Node;
use crate::wire::heartbeat::{Frame, Marks, State};
use alloc::vec::Vec;

impl Election {
    /// Decides, then sends what is due.
    pub(super) fn advance(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.wake(now, out);
        self.forget_claims(now);
        for _ in 0..TURNS_MAX {
            if !self.decide(now, out) {
                break;
            }
        }
        self.suspect(now, out);
        self.warn(now, out);
        if (self.burst > 0 || self.role != Role::Left) && now >= self.next_beat {
            let ask = now >= self.measured.after(MEASURE_EVERY);
            if ask {
                self.measured = now;
            }
            self.send(Marks { ask, ..Marks::default() }, now, out);
            self.burst = self.burst.saturating_sub(1);
            let pause = if self.burst > 0 { BURST_PAUSE } else { self.settings.interval };
            self.next_beat = now.after(pause);
        }
    }

    /// The time in which this process stood still does not count as the peer's silence: its heartbeats may wait in a
    /// socket, behind this call.
    fn wake(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.doubt(now, out);
        let slept_us = now.micros_since(self.called.after(self.settings.interval));
        self.called = now;
        if slept_us == 0 || self.role == Role::Left {
            return;
        }
        let slept = Millis::new(u32::try_from(slept_us.div_ceil(1000)).unwrap_or(u32::MAX));
        self.listening = self.silent_since().after(slept).min(now);
        self.suspicion = None;
        if let Role::Starting { until } = &mut self.role {
            *until = until.after(slept);
        }
    }

    /// An active node whose last heartbeat is so old that its peer may have taken over does not know whether it still has
    /// its role: init has removed the addresses, or would. It asks, and believes nothing that was said before. A peer that was
    /// silent before may have come back meanwhile.
    pub(super) fn doubt(&mut self, now: Mono, out: &mut Vec<Output>) {
        let beat = self.peer.made();
        let limit = self.settings.fence_after(self.peer.heard(self.called));
        let stalled = self.role == Role::Active && beat > Mono::ZERO && now >= beat.after(limit);
        if !stalled {
            return;
        }
        let ms = u32::try_from(now.micros_since(beat) / 1000).unwrap_or(u32::MAX);
        self.peer.distrust(now);
        self.listening = now;
        self.enter(Role::Standby, Reason::Stalled { ms }, now, out);
        self.send(Marks { ask: true, ..Marks::default() }, now, out);
    }

    /// One decision. True when the role changed.
    fn decide(&mut self, now: Mono, out: &mut Vec<Output>) -> bool {
        match self.role {
            Role::Starting { until } => self.decide_starting(until, now, out),
            Role::Standby => self.decide_standby(now, out),
            Role::Active => self.decide_active(now, out),
            Role::Releasing { until, handover } if now >= until => {
                self.end_release(handover, now, out);
                true
            }
            Role::Releasing { .. } | Role::Left => false,
        }
    }

    fn decide_starting(&mut self, until: Mono, now: Mono, out: &mut Vec<Output>) -> bool {
        if self.peer.alive(now) {
            return self.enter(Role::Standby, Reason::PeerHeard, now, out);
        }
        if now < until || self.deaf() || !self.local.fitness.witness {
            return false;
        }
        if self.peer.one_way(now) && now < until.after(self.settings.dead_time) {
            self.warn_one_way(out);
            return false;
        }
        self.enter(Role::Active, Reason::NobodyThere, now, out)
    }

    fn decide_standby(&mut self, now: Mono, out: &mut Vec<Output>) -> bool {
        let Some(word) = self.peer.word().filter(|_| self.peer.alive(now) && !self.mute(now)) else {
            return self.decide_alone(now, out);
        };
        // One that has heard that this node took the role says no longer that it gave it.
        let fresh = word.echo.is_some_and(|echo| echo.sequence > self.took.micros());
        let (state, yielded) = (word.state, word.marks.yielded && fresh);
        let (better, in_grace) = (self.outranks(word), self.yielded.is_some_and(|until| now < until));
        match state {
            State::Active => {
                self.yielded = None;
                false
            }
            State::Leaving => self.enter(Role::Active, Reason::PeerLeft, now, out),
            State::Standby if yielded && (self.yielded.is_none() || better) => {
                self.enter(Role::Active, Reason::PeerYielded, now, out)
            }
            State::Standby | State::Starting if in_grace => false,
            State::Standby | State::Starting if self.yielded.is_some() => {
                self.enter(Role::Active, Reason::PeerIdle, now, out)
            }
            State::Standby | State::Starting if better => self.enter(Role::Active, Reason::Better, now, out),
            State::Standby | State::Starting if now >= self.idle_until() => {
                self.enter(Role::Active, Reason::PeerIdle, now, out)
            }
            State::Standby | State::Starting => false,
        }
    }

    /// The worse of two nodes of which none is active waits so long for the better one. A director that was restarted and
    /// forgot its role is idle for a moment.
    fn idle_until(&self) -> Mono {
        let wait = self.settings.dead_time;
        self.since.max(self.peer_active).after(wait).after(wait)
    }

    /// A standby whose peer is not heard.
    fn decide_alone(&mut self, now: Mono, out: &mut Vec<Output>) -> bool {
        let (silent_since, mute) = (self.silent_since(), self.mute(now));
        // Without a witness it is this box that is cut off.
        if self.deaf() || !self.local.fitness.witness || !(mute || now >= self.dead_at()) {
            return false;
        }
        if self.peer.one_way(now) {
            self.warn_one_way(out);
            if now < self.one_way_until() {
                return false;
            }
            return self.enter(Role::Active, Reason::OneWay, now, out);
        }
        let ms = u32::try_from(now.micros_since(silent_since) / 1000).unwrap_or(u32::MAX);
        let why = if mute { Reason::PeerMute { ms } } else { Reason::PeerSilent { ms } };
        self.enter(Role::Active, why, now, out)
    }

    fn warn_one_way(&mut self, out: &mut Vec<Output>) {
        if !core::mem::replace(&mut self.warned_one_way, true) {
            out.push(Output::Warn(Warning::OneWay));
        }
    }

    fn decide_active(&mut self, now: Mono, out: &mut Vec<Output>) -> bool {
        let Some(word) = self.peer.word().filter(|_| self.peer.alive(now)) else {
            (self.worse, self.apart) = (None, true);
            return false;
        };
        let (state, marks, fitness) = (word.state, word.marks, word.fitness);
        let (ours, better) = (self.local.fitness.level(), self.outranks(word));
        if state == State::Active {
            if !self.duel {
                self.duel = true;
                out.push(Output::Warn(Warning::Duel));
            }
            if better {
                return false;
            }
            self.duel = false;
            self.release(Reason::DuelLost, false, now, out);
            return true;
        }
        if core::mem::take(&mut self.duel) | core::mem::take(&mut self.apart) {
            out.push(Output::Announce);
        }
        let ready = state == State::Standby;
        // Being set aside is no reason to leave the addresses with a box that cannot serve.
        if !(ready && fitness > ours) {
            self.worse = None;
        } else if self.worse.is_none() {
            self.worse = Some(now);
        }
        let fitter = self.worse.is_some_and(|since| now >= since.after(self.patience(fitness)));
        let able = ready && !marks.aside && fitness >= ours;
        let why = if able && marks.takeover {
            Reason::OperatorThere
        } else if fitter {
            Reason::PeerFitter
        } else if able && marks.claim {
            Reason::PeerPreferred
        } else {
            return false;
        };
        // As if standby had been said here: an automatic failback does not undo what an operator wants.
        self.aside |= why == Reason::OperatorThere;
        self.release(why, true, now, out);
        true
    }

    /// How long the peer must be the fitter one. Both see at different moments that a witness is gone; when that is all, the
    /// peer has time to see it too.
    pub(super) fn patience(&self, peer: u8) -> Millis {
        let witness = Fitness { witness: true, links: false, servers: false }.level();
        let only = peer ^ self.local.fitness.level() == witness;
        if only { self.settings.dead_time } else { self.settings.interval }
    }

    /// Whether this node is the one to be active: fitter, not set aside, of higher priority, the primary.
    fn outranks(&self, peer: &Frame) -> bool {
        let own = (
            self.local.fitness.level(),
            !self.aside,
            self.settings.priority,
            self.settings.own == Node::Primary,
        );
        let other = (peer.fitness, !peer.marks.aside, peer.priority, peer.sender == Node::Primary);
        own > other
    }

    /// Whether this node wants its role back.
    pub(super) fn claims(&self, now: Mono) -> bool {
        let wait = match self.settings.failback {
            Failback::Manual => return false,
            Failback::Automatic => self.settings.interval,
            Failback::Delayed => self.settings.failback_delay,
        };
        self.better.is_some_and(|since| now >= since.after(wait))
    }

    fn forget_claims(&mut self, now: Mono) {
        let active_peer =
            self.peer.word().filter(|w| w.state == State::Active && self.peer.alive(now)).map(|w| {
                w.priority < self.settings.priority
                    && self.local.fitness.level() >= w.fitness
                    && self.local.table
                    && !self.aside
            });
        let wants = self.role == Role::Standby && active_peer.unwrap_or(false);
        match (wants, self.better) {
            (true, None) => self.better = Some(now),
            (false, _) => self.better = None,
            (true, Some(_)) => {}
        }
    }

    /// Since when nothing was proven.
    pub(super) fn silent_since(&self) -> Mono {
        self.peer.proven().map_or(self.listening, |at| at.max(self.listening))
    }

    /// When silence means dead. After a stop of ours the peer has the dead time to be heard.
    fn dead_at(&self) -> Mono {
        self.silent_since().after(self.settings.dead_time)
    }

    /// How long a peer that does not hear us delays a takeover.
    fn one_way_until(&self) -> Mono {
        self.dead_at().after(self.settings.dead_time)
    }

    /// Whether all questions to a late peer are unanswered.
    fn mute(&self, now: Mono) -> bool {
        self.suspicion.is_some_and(|s| s.asked >= ASKS && now >= s.next)
    }

    /// Asks a late peer.
    fn suspect(&mut self, now: Mono, out: &mut Vec<Output>) {
        let wanted = self.settings.detection == Detection::Probe
            && self.role == Role::Standby
            && !self.deaf()
            && self.peer.alive(now);
        if !wanted || now < self.silent_since().after(self.settings.late()) {
            self.suspicion = None;
            return;
        }
        let Suspicion { asked, next } = self.suspicion.unwrap_or(Suspicion { asked: 0, next: now });
        if now >= next && asked < ASKS {
            self.send(Marks { ask: true, ..Marks::default() }, now, out);
            let next = now.after(self.ask_pause());
            self.suspicion = Some(Suspicion { asked: asked.saturating_add(1), next });
        } else {
            self.suspicion = Some(Suspicion { asked, next });
        }
    }

    /// Twice the measured round trip, within bounds.
    fn ask_pause(&self) -> Millis {
        let round_ms = u32::try_from(self.peer.round_us().unwrap_or(0) / 1000).unwrap_or(u32::MAX);
        let most = Millis::new(self.settings.interval.get() / 2).max(ASK_PAUSE_MIN);
        Millis::new(round_ms.saturating_mul(2)).clamp(ASK_PAUSE_MIN, most)
    }

    fn warn(&mut self, now: Mono, out: &mut Vec<Output>) {
        let due = self.peer.proven().map(|at| at.after(self.settings.warn_time));
        if !self.warned && due.is_some_and(|due| now >= due) {
            self.warned = true;
            let us = now.micros_since(self.peer.proven().unwrap_or(now));
            let silence = Millis::new(u32::try_from(us / 1000).unwrap_or(u32::MAX));
            out.push(Output::Warn(Warning::Late { silence }));
        }
    }

    pub(super) fn release(&mut self, why: Reason, handover: bool, now: Mono, out: &mut Vec<Output>) {
        self.enter(
            Role::Releasing { until: now.after(self.settings.release_max()), handover },
            why,
            now,
            out,
        );
    }

    pub(super) fn end_release(&mut self, handover: bool, now: Mono, out: &mut Vec<Output>) {
        let why = self.why;
        if why == Reason::Stopping {
            self.enter(Role::Left, why, now, out);
            return;
        }
        self.enter(Role::Standby, why, now, out);
        if handover {
            self.yielded = Some(now.after(self.settings.dead_time));
        }
    }

    /// The one place where the role changes.
    pub(super) fn enter(&mut self, role: Role, why: Reason, now: Mono, out: &mut Vec<Output>) -> bool {
        (self.role, self.why, self.since) = (role, why, now);
        (self.better, self.worse, self.suspicion) = (None, None, None);
        (self.duel, self.apart) = (false, false);
        self.yielded = None;
        if role == Role::Active {
            if matches!(why, Reason::PeerMute { .. } | Reason::PeerSilent { .. } | Reason::OneWay) {
                self.peer.bury(now);
            }
            (self.aside, self.takeover, self.quiet, self.took) = (false, false, None, now);
        }
        if !matches!(role, Role::Releasing { .. }) {
            self.burst = BURST;
            self.next_beat = now;
        }
        out.push(Output::Changed);
        true
    }

    /// When [`Self::on_deadline`] has something to do.
    pub fn next_deadline(&self) -> Mono {
        let mut next = if self.role == Role::Left && self.burst == 0 {
            Mono::from_micros(u64::MAX)
        } else {
            self.next_beat
        };
        // What is over already and led to nothing waits for an event or the next heartbeat.
        let called = self.called;
        let mut soon = |at: Mono| {
            if at > called {
                next = next.min(at);
            }
        };
        match self.role {
            Role::Starting { until } => soon(self.start_deadline(until)),
            Role::Standby => self.standby_deadlines(&mut soon),
            Role::Active => {
                if let Some(since) = self.worse {
                    let peer = self.peer.word().map_or(0, |word| word.fitness);
                    soon(since.after(self.patience(peer)));
                }
            }
            Role::Releasing { until, .. } => soon(until),
            Role::Left => {}
        }
        if let Some(at) = self.peer.proven().filter(|_| !self.warned) {
            soon(at.after(self.settings.warn_time));
        }
        next
    }

    fn start_deadline(&self, until: Mono) -> Mono {
        match (self.deaf(), self.warned_one_way) {
            (true, _) => Mono::from_micros(u64::MAX),
            (false, true) => until.after(self.settings.dead_time),
            (false, false) => until,
        }
    }

    fn standby_deadlines(&self, soon: &mut impl FnMut(Mono)) {
        let mut later = |at: Mono| {
            if !self.deaf() {
                soon(at);
            }
        };
        match (self.warned_one_way, self.suspicion) {
            (true, _) => later(self.one_way_until()),
            (false, Some(suspicion)) => later(suspicion.next.min(self.dead_at())),
            (false, None) => {
                later(self.dead_at());
                if self.settings.detection == Detection::Probe {
                    later(self.silent_since().after(self.settings.late()));
                }
            }
        }
        if let Some(until) = self.yielded {
            later(until);
        }
    }
}
