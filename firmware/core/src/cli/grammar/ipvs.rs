//! The words of the views of the kernel's table.

use super::{Action, Command, Next, View, command};
use crate::cli::show::ipvs::Columns;

/// A word after `export`.
pub(super) const SAVE: Command = command(
    "ipvsadm",
    "The kernel's table as lines for ipvsadm -R",
    Next::Do(Action::View(View::IpvsSave), &[]),
);

/// What may follow `show ipvs`.
pub(super) static IPVS: &[Command] = &[
    command("daemon", "Sync daemons", Next::Do(Action::View(View::IpvsDaemons), &[])),
    command(
        "persistent-conn",
        "Persistent connections",
        Next::Do(Action::View(View::Ipvs(Columns::Persistent)), &[]),
    ),
    command("rate", "Per second, now", Next::Do(Action::View(View::Ipvs(Columns::Rate)), &[])),
    command("stats", "Counters", Next::Do(Action::View(View::Ipvs(Columns::Stats)), &[])),
    command(
        "thresholds",
        "Limits of connections",
        Next::Do(Action::View(View::Ipvs(Columns::Thresholds)), &[]),
    ),
    command("timeout", "Idle times of connections", Next::Do(Action::View(View::IpvsTimeouts), &[])),
];
