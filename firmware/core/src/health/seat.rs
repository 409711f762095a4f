//! The checks of one port of a server in a pool, joined.

use super::engine::{Member, MemberNo, goodness};
use super::targets::SeatKey;
use super::{Output, State, Transition};
use crate::model::check::Join;
use crate::model::{Millis, Mono, Name};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

/// Changes of a server that are kept for `why server`. Chosen: a screen half full.
pub const TRANSITIONS_KEPT: usize = 8;
/// Steps in which the weight of a server that came back grows to the full one. Chosen: one step adds a tenth of the
/// connections, and a ramp costs ten plans.
pub const RAMP_STEPS: u32 = 10;

/// The joined verdict, and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    /// What was told.
    state: State,
    join: Join,
    parts: Vec<(MemberNo, Option<Name>)>,
    /// Since when it is not usable; `None` while it is, or nobody knows.
    pub(super) out_since: Option<Mono>,
    /// It was out for so long that it left the table.
    pub(super) removed: bool,
    /// It came back just now, and nobody has decided about a ramp.
    pub(super) returned: bool,
    /// Since when its weight grows.
    pub(super) ramp: Option<Mono>,
    /// Its entry among the steps.
    pub(super) armed: Option<Mono>,
    history: VecDeque<Transition>,
}

impl Default for Seat {
    fn default() -> Self {
        Self {
            state: State::Unknown,
            join: Join::All,
            parts: Vec::new(),
            out_since: None,
            removed: false,
            returned: false,
            ramp: None,
            armed: None,
            history: VecDeque::new(),
        }
    }
}

impl Seat {
    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// A round begins: who is still here is told anew. Always `true`, to keep the seat until [`Self::has_parts`].
    pub(super) fn forget_parts(&mut self) -> bool {
        self.parts.clear();
        true
    }

    pub(super) const fn has_parts(&self) -> bool {
        !self.parts.is_empty()
    }

    pub(super) fn add_part(&mut self, no: MemberNo, name: Option<Name>, join: Join) {
        self.parts.push((no, name));
        self.join = join;
    }

    pub(super) fn members(&self) -> impl Iterator<Item = MemberNo> {
        self.parts.iter().map(|(no, _)| *no)
    }

    /// Takes a state that is no news.
    pub(super) fn adopt(&mut self, state: State, now: Mono) {
        self.state = state;
        self.out_since = is_out(state).then(|| self.out_since.unwrap_or(now));
    }

    /// Its last changes, oldest first.
    pub(super) fn history(&self) -> impl Iterator<Item = &Transition> {
        self.history.iter()
    }

    /// The part of a configured weight that it takes connections with: grows from an eleventh to all of it.
    pub(super) fn share(&self, weight: u32, span: Option<Millis>, now: Mono) -> u32 {
        let (Some(since), Some(span)) = (self.ramp, span) else { return weight };
        let step = ramp_step(since, span, now);
        if step >= RAMP_STEPS || weight == 0 {
            return weight;
        }
        let part = u64::from(weight).saturating_mul(u64::from(step.saturating_add(1)));
        u32::try_from(part / u64::from(RAMP_STEPS.saturating_add(1))).unwrap_or(weight).max(1)
    }

    /// When its weight grows next, or it leaves the table.
    pub(super) fn next_step(&self, rule: SeatRule, now: Mono) -> Option<Mono> {
        if let (Some(since), Some(span)) = (self.ramp, rule.slow_start) {
            let step = u64::from(ramp_step(since, span, now).saturating_add(1));
            let passed_us = span_us(span).saturating_mul(step).div_ceil(u64::from(RAMP_STEPS));
            return Some(Mono::from_micros(since.micros().saturating_add(passed_us)));
        }
        let leaves = self.out_since?.after(rule.remove_after?);
        (!self.removed).then_some(leaves)
    }

    /// Takes the step that time has brought. Says whether something is different now, and which parting words fit.
    pub(super) fn step(&mut self, rule: SeatRule, now: Mono) -> Option<&'static str> {
        if let Some(since) = self.ramp {
            let Some(span) = rule.slow_start else {
                self.ramp = None;
                return Some("");
            };
            if ramp_step(since, span, now) >= RAMP_STEPS {
                self.ramp = None;
                return Some("slow start is over, full weight");
            }
            return Some("");
        }
        let due = self.out_since.zip(rule.remove_after).is_some_and(|(since, span)| since.after(span) <= now);
        if due == self.removed {
            return None;
        }
        self.removed = due;
        Some(if due { "out for too long (remove-after): leaves the table" } else { "" })
    }

    pub(super) const fn is_single(&self) -> bool {
        self.parts.len() == 1
    }

    /// Takes the joined state, and tells when it is another one. Says so.
    pub(super) fn enter(
        &mut self,
        key: &SeatKey,
        to: State,
        now: Mono,
        out: &mut Vec<Output>,
        reason: impl FnOnce() -> String,
    ) -> bool {
        let from = core::mem::replace(&mut self.state, to);
        // A longer or shorter wait is the same state, and tells nothing.
        let same_wait = matches!((from, to), (State::Reentering { .. }, State::Reentering { .. }));
        if from == to || same_wait {
            return false;
        }
        self.out_since = is_out(to).then(|| self.out_since.unwrap_or(now));
        self.removed &= self.out_since.is_some();
        self.returned = to == State::Up && is_out(from);
        if to != State::Up {
            self.ramp = None;
        }
        let reason = reason();
        if self.history.len() >= TRANSITIONS_KEPT {
            self.history.pop_front();
        }
        self.history.push_back(Transition { at: now, from, to, reason: reason.clone() });
        let SeatKey { pool, server, port } = key.clone();
        out.push(Output::Changed { pool, server, port, from, to, reason });
        true
    }
}

/// What a pool says about a server that leaves or comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct SeatRule {
    pub(super) slow_start: Option<Millis>,
    pub(super) remove_after: Option<Millis>,
}

/// Known not to be usable.
pub(super) const fn is_out(state: State) -> bool {
    matches!(state, State::Down | State::Reentering { .. })
}

fn span_us(span: Millis) -> u64 {
    u64::from(span.get()).saturating_mul(1000)
}

/// Steps of a ramp that are done.
fn ramp_step(since: Mono, span: Millis, now: Mono) -> u32 {
    let done = now.micros_since(since).saturating_mul(u64::from(RAMP_STEPS)) / span_us(span).max(1);
    u32::try_from(done).unwrap_or(RAMP_STEPS).min(RAMP_STEPS)
}

/// The part that decides: the worst one when all must be good, the best one when any is enough.
pub(super) fn deciding<'a>(
    seat: &'a Seat,
    members: &'a BTreeMap<MemberNo, Member>,
) -> Option<(Option<&'a Name>, &'a Member)> {
    let parts = seat.parts.iter().filter_map(|(no, name)| Some((name.as_ref(), members.get(no)?)));
    let good = |(_, member): &(Option<&Name>, &Member)| goodness(member.state());
    match seat.join {
        Join::All => parts.min_by_key(good),
        Join::Any => parts.max_by_key(good),
    }
}

/// The state of a seat as its parts have it.
pub(super) fn joined(seat: &Seat, members: &BTreeMap<MemberNo, Member>) -> State {
    deciding(seat, members).map_or(State::Unknown, |(_, member)| member.state())
}
