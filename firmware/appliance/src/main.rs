//! The one program of the firmware. As PID 1 it is init; init starts the others from the same file.

mod console;
mod director;
mod init;
mod ipc;
mod platform;

use director_core::init::Child;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let word = std::env::args().nth(1);
    // The kernel hands words of its command line that it does not know to PID 1 as arguments: they mean nothing.
    if std::process::id() == 1 {
        return init::run();
    }
    let child = word.as_deref().and_then(|word| Child::ALL.into_iter().find(|child| child.word() == word));
    match child {
        Some(Child::Director) => director::run(),
        Some(Child::Console) => console::run(),
        Some(Child::KmsgRelay) => platform::kmsg::relay(),
        None => {
            // Somebody runs the file by hand; a closed standard error is his choice.
            let _closed = writeln!(
                std::io::stderr(),
                "director {}: the firmware's PID 1. Children: director, console, kmsg-relay.",
                env!("CARGO_PKG_VERSION")
            )
            .is_err();
            ExitCode::from(2)
        }
    }
}
