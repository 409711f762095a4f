//! The commit transaction: one at a time, and at every moment either the old or the new configuration is whole.
//!
//! ```text
//!   Idle --commit--> Saving (tentative in flash) --saved--> Applying --all operations done--> Marking (good) --marked--> Idle
//!                       │ flash failed                         │ an operation failed            │ flash failed
//!                       v                                      v                                v
//!                    refused                         old configuration again, refused     old configuration again, refused
//! ```
//!
//! `commit confirmed` leaves the record tentative after Applying and begins a [`super::trial`].
//!
//! A tentative record is never booted from: a power cut before the mark comes up with the old configuration,
//! one after it with the new. Without flash the same steps run, less the writing, and the answer says so.

use super::protocol::{CommitOptions, SessionId};
use crate::model::Config;
use crate::model::validate::Finding;
use crate::store::Generation;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Where the transaction is.
#[derive(Clone, PartialEq, Debug)]
pub enum Stage {
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
    /// How it was asked for.
    pub options: CommitOptions,
    /// Where it is.
    pub stage: Stage,
    /// Kernel operations done for it.
    pub operations: u32,
}
