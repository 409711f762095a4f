//! What a console and the director say to each other. Both ends are the same binary, so the encoding
//! (postcard in bounded frames, [`crate::director::frame`]) needs no versions.

use super::impact::Impact;
use super::insight::Why;
use super::status::{SlotStatus, Status};
use super::upgrading::{Progress, UpgradeAsk};
use crate::doctor::Report;
use crate::health::CheckStatus;
use crate::health::load::LoadStatus;
use crate::model::validate::Finding;
use crate::model::{Config, Millis, Mono, Name};
use crate::overrides::Forced;
use crate::plan::Op;
use crate::store::identity::Role;
use crate::store::slots::Past;
use crate::store::usage::Usage;
use crate::store::{Comment, Commit, Generation, StoreError};
use crate::upgrade::systems::Systems;
use crate::wire::heartbeat::Running;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// One connection of a console to the director.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct SessionId(pub u32);

/// A question.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Request {
    /// Everything that `show` renders.
    Status,
    /// The same without virtual and real servers.
    BoxStatus,
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
        /// How.
        options: CommitOptions,
    },
    /// Every check that runs.
    Checks,
    /// All that is known of one server of a service.
    Why {
        /// Service; without, the only one that the server has.
        service: Option<Name>,
        /// Server.
        server: Name,
    },
    /// Look for mistakes on servers and segments.
    Doctor {
        /// Only what concerns this service.
        service: Option<Name>,
    },
    /// Send an ICMP echo; answered by [`Reply::Pinged`] within [`super::pings::BY_HAND_WAIT`].
    Ping(IpAddr),
    /// Keep the configuration that is on trial.
    Confirm,
    /// Drain, disable, enable or weigh a server.
    Server(ServerAction),
    /// Change who is active.
    Cluster(ClusterAction),
    /// Something that lies in flash.
    Recall(Recall),
    /// Something that changes the flash beside the commits.
    Maintain(Maintenance),
    /// Take an upgrade, or start the other system.
    Upgrade(UpgradeAsk),
    /// Release everything in order, then reboot or power off.
    Power(Power),
}

/// What is done to the flash beside commits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Maintenance {
    /// Keep the running configuration as the rescue configuration.
    RescueSave,
    /// Forget the rescue configuration.
    RescueDelete,
    /// Overwrite every configuration, then reboot.
    FactoryReset,
    /// Be this node of the pair, then reboot.
    Identity(Role),
}

/// How to commit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CommitOptions {
    /// What the operator says about it.
    pub comment: Comment,
    /// On trial: unless confirmed within this time, the configuration before it runs again.
    pub confirm: Option<Millis>,
    /// The operator knows that it leaves services without a server, or ends one that is in use.
    pub agreed: bool,
    /// On this box alone: the peer is not there.
    pub local: bool,
}

impl CommitOptions {
    /// Whatever it costs.
    #[must_use]
    pub fn forced() -> Self {
        Self { agreed: true, ..Self::default() }
    }

    /// On this box alone.
    #[must_use]
    pub fn alone() -> Self {
        Self { local: true, ..Self::default() }
    }
}

/// What to do to a running server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServerAction {
    /// Which.
    pub server: Name,
    /// In one pool; in all of them without.
    pub pool: Option<Name>,
    /// What.
    pub forced: Forced,
    /// For how long; until undone without.
    pub lasts: Option<Millis>,
    /// Kept over a reboot.
    pub persistent: bool,
    /// The operator knows that services are left without a server, or that connections end.
    pub agreed: bool,
}

/// What an operator wants of the pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClusterAction {
    /// The peer is to be active.
    Standby,
    /// This box is to be active.
    Takeover,
    /// This box is to run the peer's configuration.
    Take,
    /// The peer is to run this box's configuration.
    Give,
    /// The floating addresses of this box are announced again.
    Announce,
}

/// What is read from flash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Recall {
    /// The list of commits.
    List,
    /// What lies where, and how much was written.
    Usage,
    /// The configuration of so many commits ago, 1 or more.
    Back(u8),
    /// The rescue configuration.
    Rescue,
    /// Both systems on the disk.
    Systems,
    /// What every good commit is, as heartbeats say it.
    Lineage,
}

/// What was read from flash.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Recalled {
    /// All stored commits, the newest first, and the wall-clock time of the rescue configuration if there is one.
    List(Vec<Past>, Option<u64>),
    /// What lies where.
    Usage(Box<Usage>),
    /// One of them.
    Commit {
        /// Its number.
        generation: Generation,
        /// What it is.
        commit: Box<Commit>,
    },
    /// The rescue configuration.
    Rescue(Box<Commit>),
    /// Good commits.
    Lineage(Vec<Running>),
    /// Both systems on the disk, and how an upgrade goes.
    Systems(Box<Systems>, SystemsNow),
}

/// What the director adds to [`Systems`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SystemsNow {
    /// What runs.
    pub running: Option<SlotStatus>,
    /// What it still waits for before it counts as working.
    pub waits: Option<String>,
    /// How far an upgrade is.
    pub progress: Progress,
    /// How far the upgrade of both boxes is: a word for programs, and a sentence.
    pub cluster: Option<(String, String)>,
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
    /// To [`Request::Status`] and [`Request::BoxStatus`].
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
        /// What it would cost.
        impact: Impact,
    },
    /// To [`Request::Commit`]: not done, it would cost this; ask again with `agreed`.
    Harmful {
        /// What it would cost.
        impact: Impact,
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
    /// To [`Request::Commit`] with a time to confirm: it is in the kernel, and waits.
    OnTrial {
        /// Its generation.
        generation: Generation,
        /// Kernel operations done.
        operations: u32,
        /// Warnings.
        findings: Vec<Finding>,
        /// Time to confirm.
        window: Millis,
        /// What runs again otherwise.
        back: Generation,
    },
    /// To [`Request::Checks`].
    Checks {
        /// When.
        at: Mono,
        /// In order of address and port.
        checks: Vec<CheckStatus>,
        /// Load monitors, by server.
        loads: Vec<LoadStatus>,
    },
    /// To [`Request::Why`].
    Why(Box<Why>),
    /// To [`Request::Doctor`].
    Doctor(Box<Report>),
    /// To [`Request::Ping`]: microseconds to the answer, or why there is none.
    Pinged(Result<u32, String>),
    /// To [`Request::Confirm`].
    Confirmed {
        /// What was on trial.
        generation: Generation,
    },
    /// To [`Request::Recall`].
    Recalled {
        /// What runs.
        running: Generation,
        /// What was found, or why nothing was.
        result: Result<Recalled, StoreError>,
    },
    /// To [`UpgradeAsk::Offer`] and [`UpgradeAsk::Block`]: so many bytes of the bundle are here.
    Have(u64),
    /// To [`Request::Server`], [`Request::Cluster`], [`Request::Maintain`] and [`Request::Upgrade`]: done.
    Done {
        /// What, in words.
        text: String,
    },
    /// To [`Request::Server`]: not done, it would do harm; ask again with `agreed`.
    Emptied {
        /// Services that would have no usable server left.
        services: Vec<Name>,
        /// Established connections that would end.
        ends: u32,
    },
    /// To nothing: a sentence for every console.
    Notice(String),
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
