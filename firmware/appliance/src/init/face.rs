//! What PID 1 shows: lines on the serial console until the console process has it, and the log always.

use crate::platform::kmsg::Log;
use director_core::director::event::Level;
use director_core::init::phase::{Line, OnFailure, Spec};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

/// Never blocks, never fails: a stuck serial line must not stop PID 1.
#[derive(Debug)]
pub(super) struct Face {
    serial: Option<File>,
    log: Log,
    handed_over: bool,
}

impl Face {
    /// The log may not be there yet: see [`Self::reopen`].
    pub(super) fn open() -> Self {
        let mut face = Self { serial: None, log: Log::open("init"), handed_over: false };
        face.reopen();
        face
    }

    /// Opens again what `/dev` has only after its mount.
    pub(super) fn reopen(&mut self) {
        if let Ok(serial) = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open("/dev/console")
        {
            self.serial = Some(serial);
        }
        self.log = Log::open("init");
    }

    /// One line of the boot.
    pub(super) fn phase(&mut self, line: &Line<'_>) {
        let spec = Spec::of(line.phase);
        let level = match (line.problem, spec.on_failure) {
            (None, _) => Level::Info,
            (Some(_), OnFailure::Warn) => Level::Warning,
            (Some(_), OnFailure::Fatal) => Level::Error,
        };
        self.show(format_args!("{line}"));
        let problem = line.problem.unwrap_or("ok");
        self.log.write(level, format_args!("boot {} {} ms {problem}", spec.name, line.took.get()));
    }

    /// A line on the serial console, unless the console process has it.
    pub(super) fn show(&mut self, text: fmt::Arguments<'_>) {
        if self.handed_over {
            return;
        }
        if let Some(serial) = &mut self.serial {
            // The line may be left raw by a killed console, so the carriage return is ours. Lost is lost.
            let _lost = serial.write_all(format!("{text}\r\n").as_bytes()).is_err();
        }
    }

    /// A line in the log.
    pub(super) fn note(&self, level: Level, text: fmt::Arguments<'_>) {
        self.log.write(level, text);
    }

    /// The console process has the serial line from here on.
    pub(super) const fn hand_over(&mut self) {
        self.handed_over = true;
    }

    /// All processes are gone: the serial line is ours again.
    pub(super) const fn take_back(&mut self) {
        self.handed_over = false;
    }
}
