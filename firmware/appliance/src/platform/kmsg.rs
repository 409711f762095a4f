//! The log: lines of all our processes in the kernel's own ring, where they outlive each of them.

use super::clock;
use director_core::director::event::Level;
use director_core::init::kmsg::{Record, line};
use director_core::init::limits;
use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const DEVICE: &str = "/dev/kmsg";
/// Most lines that [`newest`] keeps. Chosen: what a person reads.
pub(crate) const LINES_MAX: usize = 1000;
/// Most records that one [`newest`] looks at. The ring of 128 KiB to 16 MiB holds fewer; a writer that is faster than
/// the reader must not keep it busy for ever.
const RECORDS_MAX: usize = 200_000;

/// Where one process writes its lines. Never blocks and never fails: without a log the work goes on.
#[derive(Debug)]
pub(crate) struct Log {
    file: Option<File>,
    who: &'static str,
}

impl Log {
    /// Opens the log for lines that start with `who: `.
    pub(crate) fn open(who: &'static str) -> Self {
        let file = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE).ok();
        Self { file, who }
    }

    /// Writes one line; what is too long is cut, control characters become spaces.
    pub(crate) fn write(&self, level: Level, text: fmt::Arguments<'_>) {
        let record = line(level, self.who, text);
        if let Some(mut file) = self.file.as_ref() {
            // A full or missing log is no reason to fail.
            let _lost = file.write(record.as_bytes()).is_err();
        }
    }
}

/// From here on a panic of this process is one line in the log.
pub(crate) fn log_panics(who: &'static str) {
    let log = Log::open(who);
    std::panic::set_hook(Box::new(move |panic| log.write(Level::Error, format_args!("{panic}"))));
}

/// The newest lines of our processes, oldest first: at most `count`, and only those that contain `filter`, in
/// capitals or not; with the time of day when `clock` says so. Does not block.
pub(crate) fn newest(count: usize, filter: Option<&str>, clock: bool) -> io::Result<Vec<String>> {
    let booted = clock.then(clock::booted_unix_us);
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(DEVICE)?;
    let (count, filter) = (count.min(LINES_MAX), filter.map(str::to_ascii_lowercase));
    let mut lines = VecDeque::new();
    let mut buffer = [0; limits::LOG_RECORD_BYTES];
    for _ in 0..RECORDS_MAX {
        let read = match file.read(&mut buffer) {
            Ok(read) => read,
            // The record was overwritten meanwhile: the next read gives the oldest that is left.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => continue,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
        let Some(record) = buffer.get(..read).and_then(Record::parse).filter(Record::is_ours) else {
            continue;
        };
        let text = record.shown(booted);
        if filter.as_ref().is_none_or(|f| text.to_ascii_lowercase().contains(f.as_str())) {
            if lines.len() >= count {
                lines.pop_front();
            }
            lines.push_back(text);
        }
    }
    lines.truncate(count);
    Ok(lines.into())
}

/// Copies the log, from its oldest record on, to a terminal until one of the two fails. Blocks.
pub(crate) fn relay(terminal: &Path) -> io::Result<()> {
    let mut source = OpenOptions::new().read(true).open(DEVICE)?;
    let mut terminal = OpenOptions::new().write(true).custom_flags(libc::O_NOCTTY).open(terminal)?;
    let mut buffer = [0; limits::LOG_RECORD_BYTES];
    let mut text = String::new();
    loop {
        text.clear();
        match source.read(&mut buffer) {
            Ok(read) => match buffer.get(..read).and_then(Record::parse) {
                Some(record) => fmt::write(&mut text, format_args!("{record}\n")).unwrap_or_default(),
                None => continue,
            },
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => text.push_str("(records lost)\n"),
            Err(error) => return Err(error),
        }
        terminal.write_all(text.as_bytes())?;
    }
}
