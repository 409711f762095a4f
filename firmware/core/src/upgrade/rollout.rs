//! Upgrading both boxes of a pair, one after the other, while one of them always serves.
//!
//! ```text
//!  standby box                                                active box
//!      │ <──── the bundle, whichever box had it ────────────> │     Copying
//!      │ starts the new system                                │     First, FirstTries
//!      │ has proven itself ─────────────────────────────────> │     Second
//!      │ <────────────────────────────────────────── hands over
//!      │ serves                                               │ starts the new system    SecondTries
//!      │ <─────────────────────────────────── has proven itself     Done
//! ```
//!
//! Both boxes hold one [`Rollout`] in memory and tell the other whenever it changes and when they meet again. Its stages only
//! rise, so of two the later one counts, and a box that rebooted learns from the other where things stand: at no time may both be
//! away for this. Should both lose it (a power cut of both), the upgrade is over where it is; each box runs a system that
//! its boot loader holds for good, or tries one as after `upgrade boot`.
//!
//! Invariants (`tests/sim/tests/rollout.rs` checks them over random faults):
//!
//! - R1: A box reboots for this only while it is standby and hears an active peer.
//! - R2: A box hands over for this only after the other one said that its new system has proven itself.
//! - R3: What fails ends it, for both and with the reason, and nothing more is done by itself.

use super::environment::Slot;
use crate::model::Millis;
use crate::store::identity::Role;
use alloc::format;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// How long a copy may stand still. Chosen: the peer writes a block in milliseconds, and reads all back in seconds.
const COPY: Millis = Millis::from_secs(60);
/// How long a box may wait for its turn: for a commit that ends, and for the other to take the role.
const TURN: Millis = Millis::from_secs(120);
/// How long a new system may take. Chosen: longer than a trial of two boots and the boot back.
const TRIES: Millis = Millis::from_secs(25 * 60);

/// How far it is; rises.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Stage {
    /// The bundle goes to the other box.
    Copying,
    /// The first box is to start the new system.
    First,
    /// It does, from this slot.
    FirstTries(Slot),
    /// The first box has proven itself; the other hands over and is to start its new system.
    Second,
    /// It does, from this slot.
    SecondTries(Slot),
    /// Both run it.
    Done,
}

/// The upgrade of both boxes, as both know it. Fields are appended to, never reordered: boxes with different firmware tell each
/// other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rollout {
    /// Rises with every `upgrade cluster`.
    pub number: u32,
    /// How far.
    pub stage: Stage,
    /// Which box had the bundle.
    pub by: Role,
    /// Which box starts it first; known from [`Stage::First`] on.
    pub first: Role,
    /// What is installed.
    pub version: String,
    /// Why it ended early.
    pub failed: Option<String>,
}

/// What a box sees when it looks what is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// Which box it is.
    pub own: Role,
    /// It holds the floating addresses.
    pub active: bool,
    /// It could take them.
    pub standby: bool,
    /// The peer is heard, and says that it holds them.
    pub served: bool,
    /// No commit is under way, the box does not stop, and there is a connection to the peer.
    pub quiet: bool,
    /// The version lies in its other slot, whole.
    pub ready: bool,
    /// The slot that it runs from.
    pub slot: Option<Slot>,
    /// The boot loader was told that this system works.
    pub proven: bool,
    /// It was told to reboot, or was asked to hand over, in this stage.
    pub asked: bool,
}

/// What a box does next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing.
    Wait,
    /// Start the system in the other slot.
    Boot,
    /// Hand the addresses over.
    HandOver,
    /// This is how far it is now.
    Reached(Stage),
    /// It cannot go on.
    Fail(&'static str),
}

impl Rollout {
    /// Whether something is still to be done.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.failed.is_none() && self.stage != Stage::Done
    }

    /// Whether this one is further than another.
    #[must_use]
    pub fn is_after(&self, other: &Self) -> bool {
        let key = |r: &Self| (r.number, r.stage, r.failed.is_some(), r.by);
        key(self) > key(other)
    }

    /// How long its stage may last.
    #[must_use]
    pub const fn limit(&self) -> Millis {
        match self.stage {
            Stage::Copying => COPY,
            Stage::First | Stage::Second | Stage::Done => TURN,
            Stage::FirstTries(_) | Stage::SecondTries(_) => TRIES,
        }
    }

    /// What went wrong when it lasted longer.
    #[must_use]
    pub const fn late(&self) -> &'static str {
        match self.stage {
            Stage::Copying => {
                "the other box does not take it; its firmware may be too old for upgrade cluster"
            }
            Stage::First | Stage::Second | Stage::Done => "the boxes did not come to the next step in time",
            Stage::FirstTries(_) | Stage::SecondTries(_) => "a box did not come back in time",
        }
    }

    /// What this box does next.
    #[must_use]
    pub fn next(&self, view: &View) -> Next {
        let first = self.first == view.own;
        match self.stage {
            _ if !self.busy() => Next::Wait,
            Stage::First if first => Self::turn(view),
            Stage::Second if !first && view.active && view.quiet && !view.asked => Next::HandOver,
            Stage::Second if !first => Self::turn(view),
            Stage::FirstTries(slot) if first => Self::tried(slot, Stage::Second, view),
            Stage::SecondTries(slot) if !first => Self::tried(slot, Stage::Done, view),
            Stage::Copying
            | Stage::First
            | Stage::FirstTries(_)
            | Stage::Second
            | Stage::SecondTries(_)
            | Stage::Done => Next::Wait,
        }
    }

    /// A box whose turn it is to start the new system.
    fn turn(view: &View) -> Next {
        if !(view.standby && view.served && view.quiet) {
            Next::Wait
        } else if view.ready {
            Next::Boot
        } else {
            Next::Fail("the upgrade is not in the other slot any more")
        }
    }

    /// A box that was to start this slot.
    fn tried(slot: Slot, then: Stage, view: &View) -> Next {
        match (view.slot == Some(slot), view.proven) {
            (true, true) => Next::Reached(then),
            (true, false) => Next::Wait,
            (false, _) if view.asked => Next::Wait,
            (false, _) => Next::Fail("the new system did not prove itself, the old one runs again"),
        }
    }

    /// For a program: one word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.stage {
            _ if self.failed.is_some() => "failed",
            Stage::Copying => "copying",
            Stage::First => "first",
            Stage::FirstTries(_) => "first-tries",
            Stage::Second => "second",
            Stage::SecondTries(_) => "second-tries",
            Stage::Done => "done",
        }
    }

    /// For an operator.
    #[must_use]
    pub fn words(&self) -> String {
        let version = &self.version;
        let (first, second) = (self.first, self.first.other());
        let step = match self.stage {
            Stage::Copying => format!("version {version} goes to the other box"),
            Stage::First => format!("the {first} is to start version {version}"),
            Stage::FirstTries(_) => format!("the {first} tries version {version}"),
            Stage::Second => format!("the {first} has proven version {version}, the {second} is next"),
            Stage::SecondTries(_) => format!("the {first} serves, the {second} tries version {version}"),
            Stage::Done => format!("both boxes run version {version}"),
        };
        match &self.failed {
            Some(why) => format!("{step}: stopped: {why}"),
            None => step,
        }
    }
}
