//! What is awaited from the director.

use super::super::grammar::{Pipe, View};
use super::super::transfer::Digest;
use super::super::tree::Tree;
use super::text_io::Export;
use super::{ServerAction, commits};
use crate::director::protocol::{CommitOptions, Maintenance, Power, Recalled, Reply};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// What a reply is for.
#[derive(Debug)]
pub(super) enum Job {
    /// Names for the prompt and completion; nobody waits for it.
    Refresh,
    /// The first one of a session: the prompt waits for it, for a bounded time.
    Greet,
    View {
        view: View,
        args: Vec<String>,
        pipes: Vec<Pipe>,
    },
    Running {
        pipes: Vec<Pipe>,
    },
    /// The running configuration, printed.
    Export(Export),
    Configure,
    /// The director came back while a candidate exists; nobody waits for it.
    Rebase,
    Discard,
    Check {
        pipes: Vec<Pipe>,
    },
    /// What becomes the running configuration.
    Commit(Box<Tree>, CommitOptions),
    Confirm,
    Server(Box<ServerAction>),
    Cluster,
    Commits {
        pipes: Vec<Pipe>,
    },
    /// For `?` after `rollback`.
    Choose,
    Checks {
        pipes: Vec<Pipe>,
    },
    /// Whose names become addresses.
    Connections {
        ask: Box<super::connections::Ask>,
        pipes: Vec<Pipe>,
    },
    /// The service and the system.
    RealServers {
        args: Vec<String>,
        pipes: Vec<Pipe>,
    },
    /// What lies in flash.
    Flash {
        pipes: Vec<Pipe>,
    },
    Why {
        pipes: Vec<Pipe>,
    },
    Doctor {
        pipes: Vec<Pipe>,
    },
    /// One echo of a run.
    Ping,
    Recall(commits::Use),
    Maintain(Maintenance),
    /// An order about upgrades.
    Upgrade,
    /// Both systems on the disk.
    Systems {
        pipes: Vec<Pipe>,
    },
    /// A program sends an upgrade; with the digest once it says that all came.
    Upload(Option<Digest>),
    /// The rescue configuration.
    Rescue {
        /// Of `show rescue`; without, it becomes the candidate.
        shown: Option<Vec<Pipe>>,
    },
    Power(Power),
    /// Which devices there are.
    SetupStatus,
    /// What the dialogue would replace.
    SetupConfig,
    /// As `Commit`, of the dialogue's answers.
    SetupCommit(Box<Tree>),
}

impl Job {
    /// Whether a reply answers this.
    pub(super) fn fits(&self, reply: &Reply) -> bool {
        match self {
            Self::Refresh | Self::Greet | Self::View { .. } | Self::SetupStatus => {
                matches!(reply, Reply::Status(_))
            }
            Self::Running { .. }
            | Self::Connections { .. }
            | Self::RealServers { .. }
            | Self::Export(_)
            | Self::Configure
            | Self::Rebase
            | Self::Discard
            | Self::SetupConfig => {
                matches!(reply, Reply::Config { .. })
            }
            Self::Check { .. } => matches!(reply, Reply::Checked { .. } | Reply::Refused { .. }),
            Self::Commit(..) => matches!(
                reply,
                Reply::Committed { .. }
                    | Reply::Harmful { .. }
                    | Reply::OnTrial { .. }
                    | Reply::Confirmed { .. }
                    | Reply::Refused { .. }
            ),
            Self::SetupCommit(_) => {
                matches!(
                    reply,
                    Reply::Committed { .. }
                        | Reply::Harmful { .. }
                        | Reply::Confirmed { .. }
                        | Reply::Refused { .. }
                )
            }
            Self::Confirm => matches!(reply, Reply::Confirmed { .. } | Reply::Refused { .. }),
            Self::Cluster | Self::Server(_) => matches!(
                reply,
                Reply::Done { .. } | Reply::Emptied { .. } | Reply::Committed { .. } | Reply::Refused { .. }
            ),
            Self::Commits { .. } | Self::Choose => {
                matches!(
                    reply,
                    Reply::Recalled { result: Ok(Recalled::List(..)) | Err(_), .. } | Reply::Refused { .. }
                )
            }
            Self::Flash { .. } => matches!(
                reply,
                Reply::Recalled { result: Ok(Recalled::Usage(_)) | Err(_), .. } | Reply::Refused { .. }
            ),
            Self::Checks { .. } => matches!(reply, Reply::Checks { .. } | Reply::Refused { .. }),
            Self::Why { .. } => matches!(reply, Reply::Why(_) | Reply::Refused { .. }),
            Self::Upgrade => matches!(reply, Reply::Done { .. } | Reply::Refused { .. }),
            Self::Systems { .. } => matches!(
                reply,
                Reply::Recalled { result: Ok(Recalled::Systems(..)) | Err(_), .. } | Reply::Refused { .. }
            ),
            Self::Upload(_) => {
                matches!(reply, Reply::Have(_) | Reply::Done { .. } | Reply::Refused { .. })
            }
            Self::Ping => matches!(reply, Reply::Pinged(_) | Reply::Refused { .. }),
            Self::Doctor { .. } => matches!(reply, Reply::Doctor(_) | Reply::Refused { .. }),
            Self::Maintain(_) => matches!(reply, Reply::Done { .. } | Reply::Refused { .. }),
            Self::Rescue { .. } => matches!(
                reply,
                Reply::Recalled { result: Ok(Recalled::Rescue(_)) | Err(_), .. } | Reply::Refused { .. }
            ),
            Self::Recall(_) => matches!(
                reply,
                Reply::Recalled { result: Ok(Recalled::Commit { .. }) | Err(_), .. } | Reply::Refused { .. }
            ),
            Self::Power(_) => matches!(reply, Reply::Stopping | Reply::Refused { .. }),
        }
    }
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) job: Job,
    pub(super) abandoned: bool,
}

impl Pending {
    pub(super) fn blocks(&self) -> bool {
        !self.abandoned && !matches!(self.job, Job::Refresh | Job::Rebase)
    }
}
