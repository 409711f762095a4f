//! Acts. The one program of the firmware; what it is in a process is chosen by its arguments:
//!
//! | started as | is |
//! | --- | --- |
//! | process 1 | [`init`]: boots, keeps the others running, ends the machine |
//! | `/init director` | [`director`]: owns all decisions, the kernel's tables and the flash |
//! | `/init console` | [`console`]: owns the serial line |
//! | `/init kmsg-relay` | copies the kernel log to a serial line (only in the lab) |
//! | `/init sync` | writes back buffers at the end of the machine |
//!
//! A file name of one of these words works like the word.

mod console;
mod director;
mod init;
mod ipc;
mod platform;

use director_core::init::Child;
use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// What this process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Entry {
    Child(Child),
    Sync,
}

/// Chosen by the file name of `program`, else by the first argument.
fn entry(program: &OsStr, argument: Option<&OsStr>) -> Option<Entry> {
    let word = |text: &OsStr| {
        let child = Child::ALL.into_iter().find(|child| text == child.word()).map(Entry::Child);
        child.or((text == init::SYNC_WORD).then_some(Entry::Sync))
    };
    Path::new(program).file_name().and_then(word).or_else(|| argument.and_then(word))
}

fn main() -> ExitCode {
    if std::process::id() == 1 {
        return init::run();
    }
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    match entry(&program, arguments.next().as_deref()) {
        Some(Entry::Child(child)) => {
            init::child::enter(child);
            match child {
                Child::Director => {
                    let fenced = arguments.next().is_some_and(|word| word == init::children::FENCED_WORD);
                    director::run(init::report::Reporter::inherited(), fenced)
                }
                Child::Console => console::run(),
                Child::KmsgRelay => init::child::relay(),
            }
        }
        Some(Entry::Sync) => {
            nix::unistd::sync();
            ExitCode::SUCCESS
        }
        None => {
            let usage = "this is the director's firmware: process 1 of its own kernel, or one of\n  \
                         init director | console | kmsg-relay | sync\n";
            // Without a standard error there is nobody to tell.
            let _untold = std::io::stderr().write_all(usage.as_bytes()).is_err();
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(program: &str, argument: Option<&str>) -> Option<Entry> {
        entry(OsStr::new(program), argument.map(OsStr::new))
    }

    #[test]
    fn the_word_chooses_what_a_process_is() {
        assert_eq!(chosen("/init", Some("director")), Some(Entry::Child(Child::Director)));
        assert_eq!(chosen("/init", Some("console")), Some(Entry::Child(Child::Console)));
        assert_eq!(chosen("/init", Some("kmsg-relay")), Some(Entry::Child(Child::KmsgRelay)));
        assert_eq!(chosen("/init", Some("sync")), Some(Entry::Sync));
    }

    #[test]
    fn the_file_name_chooses_too() {
        assert_eq!(chosen("/bin/console", None), Some(Entry::Child(Child::Console)));
        assert_eq!(chosen("/bin/console", Some("director")), Some(Entry::Child(Child::Console)));
    }

    #[test]
    fn anything_else_is_answered_with_the_usage() {
        assert_eq!(chosen("/init", None), None);
        assert_eq!(chosen("/init", Some("init")), None);
        assert_eq!(chosen("/init", Some("Director")), None);
        assert_eq!(chosen("", Some("")), None);
    }
}
