//! What a session asks back before it acts.

use super::{Power, ServerAction};
use crate::director::protocol::CommitOptions;
use crate::store::identity::Role;
use alloc::boxed::Box;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Question {
    Power(Power),
    LeaveConfigure,
    FactoryReset,
    UpgradeBoot,
    /// Be this node, and reboot.
    Identity(Role),
    /// Leave services without a server.
    Server(Box<ServerAction>),
    /// Commit all the same; whether it is the dialogue's commit.
    Harm(Box<CommitOptions>, bool),
    /// A question of the dialogue; its text is the dialogue's.
    Setup,
    SetupCommit,
}

impl Question {
    pub(super) fn choices(&self) -> &'static str {
        match self {
            Self::Power(_)
            | Self::UpgradeBoot
            | Self::Identity(_)
            | Self::LeaveConfigure
            | Self::Server(_)
            | Self::Harm(..)
            | Self::Setup => "type y for yes or n for no.",
            Self::FactoryReset => "type factory-reset to do it, anything else to leave.",
            Self::SetupCommit => {
                "type y to commit, n to leave, or edit to change the lines in configure mode."
            }
        }
    }

    pub(super) fn text(&self) -> &'static str {
        match self {
            Self::Power(Power::Reboot) => "Reboot now? [y/n] ",
            Self::Power(Power::Off) => "Switch off now? [y/n] ",
            Self::UpgradeBoot => "Reboot into the other system now? [y/n] ",
            Self::Identity(Role::Primary) => "Become node primary and reboot? [y/n] ",
            Self::Identity(Role::Backup) => "Become node backup and reboot? [y/n] ",
            Self::Harm(..) => "Commit it all the same? [y/n] ",
            Self::Server(_) => "Do it all the same? [y/n] ",
            Self::LeaveConfigure => "Discard all changes and leave? [y/n] ",
            Self::FactoryReset => "Type factory-reset once more to do it: ",
            Self::Setup => "",
            Self::SetupCommit => "Commit this? [y/n/edit] ",
        }
    }
}
