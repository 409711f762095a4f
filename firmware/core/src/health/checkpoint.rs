//! What a restarted director needs to go on as if nothing had happened.
//!
//! A checkpoint is as old as the last transition, so it says little about the time just before the restart. What it
//! says is used so:
//! - states, reasons, counters and the end of a reentry are taken over;
//! - the silence that the dead time measures is taken over as a length and counts on from the restart: the gap in which
//!   nobody asked gives no server up, and a restart delays the removal of a dead one by at most one dead time;
//! - a server is given up, or let in after reentry, only on an answer (or a failure) that the new process got.

use super::ProbeSpec;
use super::load;
use super::standing::Standing;
use super::targets::{MemberKey, SeatKey};
use super::verdict::Machine;
use crate::gather::Gather as _;
use crate::model::{Mono, Name};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// Health at one moment. Lives in `/run` for one boot, and is read by the same firmware that wrote it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Until when the saving process was watching.
    pub(super) at: Mono,
    /// Number of the last run.
    pub(super) last_run: u64,
    pub(super) members: Vec<Saved>,
    pub(super) pools: Vec<SavedPool>,
    pub(super) seats: Vec<SavedSeat>,
    pub(super) loads: Option<load::Saved>,
}

/// A pool that does not stand as usual.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct SavedPool {
    pub(super) name: Name,
    pub(super) port: u16,
    pub(super) standing: Standing,
}

/// A server that is out or comes back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct SavedSeat {
    pub(super) key: SeatKey,
    pub(super) ramp: Option<Mono>,
    pub(super) out_since: Option<Mono>,
    pub(super) removed: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) key: MemberKey,
    pub(super) address: IpAddr,
    /// `None`: no check.
    pub(super) spec: Option<ProbeSpec>,
    pub(super) machine: Machine,
}

/// A checkpoint, ready to be looked up.
pub(super) struct SavedMembers {
    at: Mono,
    members: BTreeMap<MemberKey, Saved>,
    /// Until the pools take them.
    pub(super) pools: Vec<SavedPool>,
    seats: BTreeMap<SeatKey, SavedSeat>,
}

impl From<Checkpoint> for SavedMembers {
    fn from(saved: Checkpoint) -> Self {
        let members = saved.members.into_iter().map(|member| (member.key.clone(), member)).gather();
        let seats = saved.seats.into_iter().map(|seat| (seat.key.clone(), seat)).gather();
        Self { at: saved.at, members, pools: saved.pools, seats }
    }
}

impl SavedMembers {
    /// What was known of a seat.
    pub(super) fn take_seat(&mut self, key: &SeatKey) -> Option<SavedSeat> {
        self.seats.remove(key)
    }

    /// The machine of a member that is still asked the same, gone on at `now`.
    pub(super) fn take(
        &mut self,
        key: &MemberKey,
        address: IpAddr,
        spec: Option<&ProbeSpec>,
        now: Mono,
    ) -> Option<Machine> {
        let saved = self.members.remove(key)?;
        if saved.address != address || saved.spec.as_ref() != spec {
            return None;
        }
        let mut machine = saved.machine;
        machine.resume(self.at, now);
        Some(machine)
    }
}
