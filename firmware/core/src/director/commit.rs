//! The commit transaction: one at a time, and at every moment either the old or the new configuration is whole.
//!
//! ```text
//!   Idle --commit--> Saving (tentative in flash) --saved--> Applying --all operations done--> Marking (good) --marked--> Idle
//!                       │ flash failed                         │ an operation failed            │ flash failed
//!                       v                                      v                                v
//!                    refused                         old configuration again, refused     old configuration again, refused
//! ```
//!
//! In a pair the peer tries it before Saving (Asking), and keeps it after Marking ([`super::sync`]).
//!
//! `commit confirmed` leaves the record tentative after Applying and begins a [`super::trial`].
//!
//! An operation that the kernel refused before the commit and still refuses is not the commit's fault: it is reported as
//! a warning. A kernel that does not come to rest within [`APPLY_TIMEOUT`] is as good as one that refuses.
//!
//! A tentative record is never booted from: a power cut before the mark comes up with the old configuration,
//! one after it with the new. Without flash the same steps run, less the writing, and the answer says so.

use super::protocol::{CommitOptions, SessionId};
use crate::model::validate::Finding;
use crate::model::{Config, Millis, Mono};
use crate::plan::Op;
use crate::store::Generation;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// How long the kernel may take to become as a new configuration says. Chosen: two answers that never came (30 s each).
pub const APPLY_TIMEOUT: Millis = Millis::from_secs(60);

/// Where the transaction is.
#[derive(Clone, PartialEq, Debug)]
pub enum Stage {
    /// The peer tries it first.
    Asking,
    /// The tentative record is being written.
    Saving,
    /// The new configuration runs; its first plan is under way.
    Applying,
    /// The record is being marked good.
    Marking,
}

/// A commit under way.
#[derive(Clone, PartialEq, Debug)]
pub struct Transaction {
    /// Who asked.
    pub session: SessionId,
    /// Number of the new configuration.
    pub generation: Generation,
    /// The new configuration while saving, the old one from then on: what is not running.
    pub other: Box<Config>,
    /// Warnings to pass on.
    pub findings: Vec<Finding>,
    /// The peer has it on trial, or is to have it.
    pub shared: bool,
    /// How it was asked for.
    pub options: CommitOptions,
    /// Where it is.
    pub stage: Stage,
    /// Kernel operations done for it.
    pub operations: u32,
    /// The last batch that was planned before the new configuration ran: its failures are not this commit's.
    pub after_batch: u64,
    /// What the kernel refused before: that it still does is not this commit's fault.
    pub failing_before: Vec<Op>,
    /// When it is taken back if the kernel is not as the new configuration says by then.
    pub until: Mono,
}

impl Transaction {
    /// When it must have left the stage it is in. The flash answers always, so that saving and marking
    /// need none.
    pub fn deadline(&self) -> Option<Mono> {
        matches!(self.stage, Stage::Asking | Stage::Applying).then_some(self.until)
    }
}
