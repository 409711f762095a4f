//! Short tables below a word, and the one of a console that lets nobody in yet.

use super::action::Upgrade;
use super::help;
use super::{Action, Arg, Command, Next, Terminal, command};
use crate::director::protocol::{Maintenance, Power};

pub(super) static TERMINAL: &[Command] = &[
    command(
        "idle",
        "Minutes without input after which the session ends",
        Next::Do(Action::Terminal(Terminal::Idle), &[Arg::Terminal(Terminal::Idle)]),
    ),
    command(
        "length",
        "Rows; long output stops after so many",
        Next::Do(Action::Terminal(Terminal::Length), &[Arg::Terminal(Terminal::Length)]),
    ),
    command(
        "width",
        "Columns",
        Next::Do(Action::Terminal(Terminal::Width), &[Arg::Terminal(Terminal::Width)]),
    ),
];

pub(super) const DOCTOR: Command = command(
    "doctor",
    "Look for mistakes on servers and segments, and say how to put them right",
    Next::DoOr(
        Action::Doctor,
        &[command("service", "Only what concerns one service", Next::Do(Action::Doctor, &[Arg::Service]))],
    ),
);

pub(super) const HELP: Command = command(
    "help",
    "How to use this console",
    Next::DoOr(
        Action::Help(help::CONSOLE),
        &[command(
            "pair",
            "How a second box becomes the other one of a pair",
            Next::Do(Action::Help(help::PAIR), &[]),
        )],
    ),
);

pub(super) const PING: Command = command(
    "ping",
    "Whether an address answers ICMP echoes of this box",
    Next::Do(Action::Ping, &[Arg::Ping]),
);

pub(super) static RESTART: &[Command] = &[command(
    "control-plane",
    "The director process; connections and addresses stay",
    Next::Do(Action::RestartControlPlane, &[]),
)];

pub(super) static RESCUE: &[Command] = &[
    command("delete", "Forget it", Next::Do(Action::Rescue(Maintenance::RescueDelete), &[])),
    command(
        "save",
        "Keep what runs now as the rescue configuration",
        Next::Do(Action::Rescue(Maintenance::RescueSave), &[]),
    ),
];

pub(super) static UPGRADE: &[Command] = &[
    command(
        "boot",
        "Give the system in the other slot a trial: reboots",
        Next::Do(Action::Upgrade(Upgrade::Boot), &[]),
    ),
    command(
        "cancel",
        "Stop taking an upgrade, or take a planned trial back",
        Next::Do(Action::Upgrade(Upgrade::Cancel), &[]),
    ),
    command(
        "cluster",
        "Start the system in the other slot on both boxes, one after the other",
        Next::Do(Action::Upgrade(Upgrade::Cluster), &[]),
    ),
    command(
        "confirm",
        "Keep the system on trial although it still waits for something",
        Next::Do(Action::Upgrade(Upgrade::Confirm), &[]),
    ),
    command(
        "from",
        "Fetch an upgrade into the other slot; what runs stays",
        Next::Do(Action::Upgrade(Upgrade::From), &[Arg::Url]),
    ),
    command("status", "Both systems, and how an upgrade goes", Next::Do(Action::ShowUpgrade, &[])),
];

/// What anybody may do while it is not known who may log in.
pub(crate) static LIMITED: &[Command] = &[
    command("poweroff", "Switch the machine off", Next::Do(Action::Power(Power::Off), &[])),
    command("reboot", "Start the machine again", Next::Do(Action::Power(Power::Reboot), &[])),
    command("restart", "Start a part of the firmware again", Next::Words(RESTART)),
    command(
        "show",
        "Show the log, or the hardware",
        Next::Words(&[
            command("hardware", "What this box is made of", Next::Do(Action::Hardware, &[])),
            command("log", "The newest log lines", Next::Do(Action::Log, &[Arg::Count])),
        ]),
    ),
];
