//! The log: lines go to the kernel's ring, which is bounded, has time stamps, and outlives every process but the
//! kernel. So `show log` works when the director does not.

use director_core::director::Level;
use director_core::init::cmdline::Options;
use director_core::init::kmsg::{Record, line};
use director_core::init::limits::{EXIT_FINAL, LOG_RECORD_BYTES};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::ExitCode;
use std::sync::OnceLock;

const KMSG: &str = "/dev/kmsg";
/// Lines that [`newest`] looks at: more than the ring holds.
const RECORDS_MAX: usize = 100_000;

/// The name before each line: which process speaks.
static SPEAKER: OnceLock<&'static str> = OnceLock::new();
static OUT: OnceLock<Option<File>> = OnceLock::new();

/// Says which process this is. Later calls change nothing.
pub(crate) fn speak_as(name: &'static str) {
    SPEAKER.get_or_init(|| name);
}

/// Writes one line. A log that cannot be written has nobody to tell.
pub(crate) fn log(level: Level, text: &str) {
    let out = OUT.get_or_init(|| OpenOptions::new().write(true).open(KMSG).ok());
    let Some(mut out) = out.as_ref() else { return };
    let who = SPEAKER.get().copied().unwrap_or("director");
    let _lost = out.write_all(line(level, who, format_args!("{text}")).as_bytes()).is_err();
}

/// The newest `count` lines of our own processes and the kernel's warnings, oldest first, as `show log` prints them. Only
/// lines with `filter` in them, in capitals or not.
pub(crate) fn newest(count: usize, filter: Option<&str>) -> io::Result<Vec<String>> {
    let mut log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(KMSG)?;
    let filter = filter.map(str::to_lowercase);
    let mut lines = std::collections::VecDeque::new();
    let mut buffer = [0; LOG_RECORD_BYTES];
    for _ in 0..RECORDS_MAX {
        let bytes = match log.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => buffer.get(..bytes).unwrap_or_default(),
            // The record was overwritten while we read: the next read continues with the oldest that is left.
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => continue,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        };
        let Some(record) = Record::parse(bytes) else { continue };
        if !record.is_ours() && record.severity > 4 {
            continue;
        }
        let text = record.to_string();
        if filter.as_ref().is_some_and(|filter| !text.to_lowercase().contains(filter)) {
            continue;
        }
        if lines.len() >= count {
            lines.pop_front();
        }
        lines.push_back(text);
    }
    Ok(lines.into())
}

/// Copies the kernel log to the line that the command line names, from its beginning and for ever. Only the lab asks for it.
pub(crate) fn relay() -> ExitCode {
    match copy() {
        Ok(()) => ExitCode::from(EXIT_FINAL),
        Err(error) => {
            log(Level::Warning, &format!("the kernel log is not copied: {error}"));
            ExitCode::from(EXIT_FINAL)
        }
    }
}

fn copy() -> io::Result<()> {
    let Some(tty) = Options::parse(&fs::read_to_string("/proc/cmdline")?).kmsg else { return Ok(()) };
    let mut log = File::open(KMSG)?;
    let mut out = OpenOptions::new().write(true).custom_flags(libc::O_NOCTTY).open(tty.to_string())?;
    let mut buffer = [0; LOG_RECORD_BYTES];
    loop {
        match log.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => {
                if let Some(record) = buffer.get(..bytes).and_then(Record::parse) {
                    out.write_all(format!("{record}\r\n").as_bytes())?;
                }
            }
            Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
