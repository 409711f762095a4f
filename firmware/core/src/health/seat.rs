//! The checks of one port of a server in a pool, joined.

use super::engine::{Member, MemberNo, goodness};
use super::targets::SeatKey;
use super::{Output, State};
use crate::model::Name;
use crate::model::check::Join;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// The joined verdict, and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    /// What was told.
    state: State,
    join: Join,
    parts: Vec<(MemberNo, Option<Name>)>,
}

impl Default for Seat {
    fn default() -> Self {
        Self { state: State::Unknown, join: Join::All, parts: Vec::new() }
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

    /// Takes a state that is no news.
    pub(super) const fn adopt(&mut self, state: State) {
        self.state = state;
    }

    pub(super) const fn is_single(&self) -> bool {
        self.parts.len() == 1
    }

    /// Takes the joined state, and tells when it is another one.
    pub(super) fn enter(
        &mut self,
        key: &SeatKey,
        to: State,
        out: &mut Vec<Output>,
        reason: impl FnOnce() -> String,
    ) {
        let from = core::mem::replace(&mut self.state, to);
        // A longer or shorter wait is the same state, and tells nothing.
        let same_wait = matches!((from, to), (State::Reentering { .. }, State::Reentering { .. }));
        if from == to || same_wait {
            return;
        }
        let reason = reason();
        let SeatKey { pool, server, port } = key.clone();
        out.push(Output::Changed { pool, server, port, from, to, reason });
    }
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
