//! What a line asks for.

use super::super::session::{ExportHow, Load};
use super::super::show::ipvs::Columns;
use crate::director::protocol::{ClusterAction, Maintenance, Power};
use crate::store::identity::Role;

/// What a status table shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum View {
    Interfaces,
    Addresses,
    Services,
    Servers,
    Ipvs(Columns),
    IpvsTimeouts,
    IpvsDaemons,
    IpvsSave,
    Version,
    Alarms,
    Cluster,
    Time,
}

impl View {
    /// Whether it shows virtual or real servers, of which there may be ten thousand.
    pub(crate) const fn has_servers(self) -> bool {
        matches!(self, Self::Services | Self::Servers | Self::Ipvs(_) | Self::IpvsSave)
    }
}

/// What a line asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    View(View),
    Log,
    Hardware,
    Running,
    Defaults,
    Configure,
    Power(Power),
    RestartControlPlane,
    Setup,
    Terminal(Terminal),
    /// These lines.
    Help(&'static [&'static str]),
    Exit,
    Set,
    Delete,
    Edit,
    Candidate,
    Compare,
    Commit,
    CommitComment,
    CommitForce,
    CommitLocal,
    CommitConfirmed,
    Confirm,
    Rollback,
    Commits,
    Flash,
    Checks,
    Why,
    Ping,
    Connections,
    RealServerSetup,
    Doctor,
    ShowCommit,
    Rescue(Maintenance),
    ShowRescue,
    FactoryReset,
    Identity(Role),
    Server,
    Cluster(ClusterAction),
    Upgrade(Upgrade),
    ShowUpgrade,
    Check,
    Discard,
    Up,
    Top,
    Transfer,
    Load(Load),
    Export(ExportHow),
}

impl Action {
    /// Whether a program on the line may ask for it: what asks back, or ends the mode it is in, needs a person.
    pub(crate) fn by_program(self) -> bool {
        match self {
            Self::Configure
            | Self::Power(_)
            | Self::Setup
            | Self::Exit
            | Self::Transfer
            | Self::Load(_)
            | Self::Upgrade(Upgrade::Boot)
            | Self::Identity(_)
            | Self::FactoryReset => false,
            Self::Export(export) => !export.sealed,
            Self::View(_)
            | Self::Log
            | Self::Hardware
            | Self::Running
            | Self::Defaults
            | Self::RestartControlPlane
            | Self::Terminal(_)
            | Self::Help(_)
            | Self::Set
            | Self::Delete
            | Self::Edit
            | Self::Candidate
            | Self::Compare
            | Self::Commit
            | Self::CommitComment
            | Self::CommitForce
            | Self::CommitLocal
            | Self::CommitConfirmed
            | Self::Confirm
            | Self::Rollback
            | Self::Commits
            | Self::Flash
            | Self::Checks
            | Self::Why
            | Self::Ping
            | Self::Connections
            | Self::RealServerSetup
            | Self::Doctor
            | Self::ShowCommit
            | Self::Rescue(_)
            | Self::ShowRescue
            | Self::Server
            | Self::Cluster(_)
            | Self::Upgrade(Upgrade::From | Upgrade::Cancel | Upgrade::Confirm | Upgrade::Cluster)
            | Self::ShowUpgrade
            | Self::Check
            | Self::Discard
            | Self::Up
            | Self::Top => true,
        }
    }
}

/// What is done about upgrades.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Upgrade {
    From,
    Boot,
    Cancel,
    Cluster,
    Confirm,
}

/// A setting of the session's terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Terminal {
    /// Rows, 0 for no paging.
    Length,
    /// Columns.
    Width,
    /// Minutes without input.
    Idle,
}
