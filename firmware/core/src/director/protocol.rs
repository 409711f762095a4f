//! What a console and the director say to each other. Both ends are the same binary, so the encoding
//! (postcard in bounded frames, [`crate::director::frame`]) needs no versions.

use super::status::Status;
use crate::model::Config;
use crate::model::validate::Finding;
use crate::plan::Op;
use crate::store::Generation;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One connection of a console to the director.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct SessionId(pub u32);

/// A question.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Everything that `show` renders.
    Status,
    /// The running configuration.
    Config,
    /// What a commit of this configuration would do.
    Check(Config),
    /// Make this configuration the running one.
    Commit {
        /// Generation that the candidate was made from; a commit on top of another one is refused.
        base: Generation,
        /// The configuration.
        config: Config,
    },
    /// Release everything in order, then reboot or power off.
    Power(Power),
}

/// How the machine ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Power {
    /// Start again.
    Reboot,
    /// Switch off.
    Off,
}

/// An answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Config`].
    Config {
        /// Its generation; 0 is the factory configuration.
        generation: Generation,
        /// The running configuration.
        config: Config,
    },
    /// To [`Request::Check`]: what is wrong with it, and what it would do.
    Checked {
        /// Errors and warnings.
        findings: Vec<Finding>,
        /// Operations; empty when there are errors.
        ops: Vec<Op>,
    },
    /// To [`Request::Commit`]: it is in flash and in the kernel.
    Committed {
        /// Its generation.
        generation: Generation,
        /// Kernel operations done.
        operations: u32,
        /// Warnings.
        findings: Vec<Finding>,
    },
    /// To [`Request::Commit`]: refused or taken back; the previous configuration runs.
    Refused {
        /// Why, one sentence.
        reason: String,
        /// Errors with paths, when validation refused.
        findings: Vec<Finding>,
    },
    /// To [`Request::Power`]: under way.
    Stopping,
}
