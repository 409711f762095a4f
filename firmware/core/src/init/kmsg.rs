//! Records of the kernel log (`/dev/kmsg`), written and read.
//!
//! ```text
//! write   <6>director: text
//! read    prio,sequence,microseconds,flags[,more];text\n[ KEY=value\n ...]
//! ```
//! Source: Documentation/ABI/testing/dev-kmsg. The kernel gives lines from user space the facility 1 (user), so
//! ours are told from the kernel's by the facility and not by their text.

use super::limits;
use crate::director::event::Level;
use crate::model::Mono;
use crate::model::date::Date;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt::{self, Write};

/// A line to write, cut at the kernel's limit.
pub type Line = heapless::String<{ limits::LOG_LINE_BYTES }>;

/// A line as written to `/dev/kmsg`: control characters become spaces (one write is one record, and a terminal
/// shows it), what is too long is cut. Ends with a newline: without it the kernel takes the record for the first part of
/// one and shows it to nobody before the next is written (printk.c, LOG_NEWLINE).
pub fn line(level: Level, who: &str, text: fmt::Arguments<'_>) -> Line {
    let mut line = Line::new();
    // Overflow cuts the line; that is all a formatting error can mean here.
    let _cut = write!(Bounded(&mut line), "<{}>{who}: {text}", level.syslog()).is_err();
    // Bounded left one byte of room.
    let _fits = line.push('\n').is_ok();
    line
}

/// Leaves one byte for the newline.
struct Bounded<'a>(&'a mut Line);

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_char(c))
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        let shown = if c.is_control() { ' ' } else { c };
        if self.0.len().saturating_add(shown.len_utf8()) >= self.0.capacity() {
            return Err(fmt::Error);
        }
        self.0.push(shown).map_err(|_| fmt::Error)
    }
}

/// A record as read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Severity, 0 (emergency) to 7 (debug).
    pub severity: u8,
    /// 0 is the kernel, 1 and above came from user space.
    pub facility: u32,
    /// Rises by one with each record.
    pub sequence: u64,
    /// Since boot.
    pub at: Mono,
    /// The first line, without the dictionary. Bytes that are not printable are written `\xNN` by the kernel.
    pub text: &'a str,
}

impl<'a> Record<'a> {
    /// Takes a record apart; `None` when it does not have the documented form.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let whole = core::str::from_utf8(bytes).ok()?;
        let (prefix, rest) = whole.split_once(';')?;
        let text = rest.split('\n').next()?;
        let mut fields = prefix.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        let sequence = fields.next()?.parse().ok()?;
        let at = Mono::from_micros(fields.next()?.parse().ok()?);
        let _flags = fields.next()?;
        let severity = u8::try_from(priority & 7).ok()?;
        Some(Self { severity, facility: priority >> 3, sequence, at, text })
    }

    /// Whether one of our processes wrote it.
    pub const fn is_ours(&self) -> bool {
        self.facility != 0
    }
}

/// A wall clock that is before this was never set. Chosen: 2024-01-01, before the first firmware.
const PLAUSIBLE_UNIX_US: u64 = 1_704_067_200_000_000;

impl Record<'_> {
    /// As people read it: `11-30 16:38:07 text` in UTC, given the wall clock at the time of the boot; as [`fmt::Display`]
    /// does it when that clock was never set.
    pub fn shown(&self, booted_unix_us: Option<u64>) -> String {
        let at = booted_unix_us.map(|booted| booted.saturating_add(self.at.micros()));
        let Some(at) = at.filter(|at| *at >= PLAUSIBLE_UNIX_US) else { return self.to_string() };
        let Date { month, day, hour, minute, second, .. } = Date::of(at / 1_000_000);
        format!("{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} {}", self.text)
    }
}

impl fmt::Display for Record<'_> {
    /// As the kernel prints it: `[    1.234567] text`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.at.micros();
        write!(f, "[{:5}.{:06}] {}", us / 1_000_000, us % 1_000_000, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_of_the_kernel_is_taken_apart() {
        let record = Record::parse(b"6,339,5140900,-;NET: Registered protocol family 10\n").unwrap();
        assert_eq!((record.severity, record.facility, record.sequence), (6, 0, 339));
        assert!(!record.is_ours());
        assert_eq!(record.to_string(), "[    5.140900] NET: Registered protocol family 10");
    }

    #[test]
    fn a_line_is_shown_with_the_time_of_day_when_that_is_known() {
        let record = Record::parse(b"13,7,5140900,-;director: a").unwrap();
        assert_eq!(record.shown(Some(1_790_000_000_000_000)), "09-21 14:13:25 director: a");
        assert_eq!(record.shown(Some(1_000_000)), "[    5.140900] director: a");
        assert_eq!(record.shown(None), "[    5.140900] director: a");
    }

    #[test]
    fn a_line_of_ours_is_known_by_its_facility_and_further_fields_and_keys_are_skipped() {
        let record = Record::parse(b"13,7,1,-,caller=T1;director: a;b\n SUBSYSTEM=x\n").unwrap();
        assert!(record.is_ours());
        assert_eq!((record.severity, record.text), (5, "director: a;b"));
    }

    #[test]
    fn what_is_not_a_record_is_refused() {
        for bytes in [&b""[..], b"6,1,1,-", b"6,1;x", b"6,1,1;x", b"x,1,1,-;t", b"6,1,-1,-;t", b"\xff;"] {
            assert_eq!(Record::parse(bytes), None);
        }
    }

    #[test]
    fn a_written_line_is_one_record_without_control_characters() {
        let line = line(Level::Notice, "director", format_args!("a\nb\x1b[2J{}", 7));
        assert_eq!(line.as_str(), "<5>director: a b [2J7\n");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = line(Level::Info, "init", format_args!("{}", "ä".repeat(1000)));
        assert!(line.len() <= limits::LOG_LINE_BYTES && line.len() > limits::LOG_LINE_BYTES - 3);
        assert!(line.ends_with('\n'));
    }

    proptest! {
        #[test]
        fn garbage_never_breaks_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(record) = Record::parse(&bytes) {
                prop_assert!(record.severity < 8);
            }
        }
    }
}
