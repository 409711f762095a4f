//! What may follow `|`.

use super::Action;
use crate::cli::words::Worded;
use alloc::string::String;

/// A word after `|`.
#[derive(Debug)]
pub(crate) struct Filter {
    word: &'static str,
    help: &'static str,
    pub(super) kind: FilterKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FilterKind {
    Count,
    Json,
    Match,
    More,
    NoMore,
    Set,
}

impl Worded for Filter {
    fn word(&self) -> &'static str {
        self.word
    }
    fn help(&self) -> &'static str {
        self.help
    }
}

const COUNT: Filter = Filter { word: "count", help: "Only the number of lines", kind: FilterKind::Count };
const JSON: Filter = Filter { word: "json", help: "As JSON", kind: FilterKind::Json };
const MATCH: Filter =
    Filter { word: "match", help: "Only lines that contain a text", kind: FilterKind::Match };
const MORE: Filter = Filter { word: "more", help: "Stop after each screen", kind: FilterKind::More };
const NO_MORE: Filter = Filter { word: "no-more", help: "Do not stop", kind: FilterKind::NoMore };
const SET: Filter = Filter { word: "set", help: "As set lines", kind: FilterKind::Set };

static LINE_FILTERS: &[Filter] = &[COUNT, MATCH, MORE, NO_MORE];
static VIEW_FILTERS: &[Filter] = &[COUNT, JSON, MATCH, MORE, NO_MORE];
static CONFIG_FILTERS: &[Filter] = &[COUNT, JSON, MATCH, MORE, NO_MORE, SET];

/// Filters that may follow the output of an action.
pub(crate) fn filters(action: Action) -> &'static [Filter] {
    match action {
        Action::View(_)
        | Action::Log
        | Action::Hardware
        | Action::ShowUpgrade
        | Action::Commits
        | Action::Flash
        | Action::Checks
        | Action::Connections
        | Action::RealServerSetup
        | Action::Doctor
        | Action::Why => VIEW_FILTERS,
        Action::Running | Action::ShowCommit | Action::ShowRescue | Action::Candidate => CONFIG_FILTERS,
        Action::Compare | Action::Check | Action::Defaults => LINE_FILTERS,
        Action::Configure
        | Action::Power(_)
        | Action::RestartControlPlane
        | Action::Setup
        | Action::Terminal(_)
        | Action::Help(_)
        | Action::Exit
        | Action::Set
        | Action::Delete
        | Action::Edit
        | Action::Commit
        | Action::CommitComment
        | Action::CommitForce
        | Action::CommitLocal
        | Action::CommitConfirmed
        | Action::Confirm
        | Action::Rollback
        | Action::Rescue(_)
        | Action::FactoryReset
        | Action::Identity(_)
        | Action::Server
        | Action::Ping
        | Action::Cluster(_)
        | Action::Upgrade(_)
        | Action::Discard
        | Action::Up
        | Action::Top
        | Action::Load(_)
        | Action::Export(_)
        | Action::Transfer => &[],
    }
}

/// A filter as typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Pipe {
    Count,
    Json,
    Match(String),
    More,
    NoMore,
    Set,
}
