//! Where everything that happens in the lab comes together: the merged timeline and the one wait.
//!
//! Console lines, frames, QMP events and process output all call [`Hub::wake`] or [`Hub::line`]. [`Hub::eventually`]
//! looks at its condition again after each of them and never on a timer.

use crate::clock::{self, Deadline};
use anyhow::{Context as _, Result, bail};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Timeline lines kept in memory for the report of a wait that timed out.
const RING_LINES: usize = 50;
/// Longest text of one timeline line in bytes; the rest is in the log of its stream.
const TEXT_BYTES: usize = 2000;

/// Who caused an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The lab's subjects.
    Lab,
    /// The harness itself, in the course of evaluating a condition (the echo and output of its own console command).
    /// [`Hub::eventually`] does not look again for these, or a question asked over the console would repeat itself.
    Harness,
}

/// Timeline and wake-up. Shared by all threads of the harness.
#[derive(Debug)]
pub struct Hub {
    start: Instant,
    log: Mutex<Log>,
    woken: Condvar,
    all: AtomicU64,
    lab: AtomicU64,
    waiters: AtomicUsize,
}

#[derive(Debug)]
struct Log {
    file: File,
    ring: VecDeque<String>,
}

impl Hub {
    /// A timeline in `path`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            start: clock::now(),
            log: Mutex::new(Log { file, ring: VecDeque::with_capacity(RING_LINES) }),
            woken: Condvar::new(),
            all: AtomicU64::new(0),
            lab: AtomicU64::new(0),
            waiters: AtomicUsize::new(0),
        })
    }

    /// Time since the lab started.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        clock::now().duration_since(self.start)
    }

    /// Writes one line `ms node stream text` and wakes who waits.
    pub fn line(&self, node: &str, stream: &str, text: &str) {
        self.line_by(Cause::Lab, node, stream, text);
    }

    /// As [`Hub::line`], with the cause given.
    pub fn line_by(&self, cause: Cause, node: &str, stream: &str, text: &str) {
        let clean: String = text
            .trim_end()
            .chars()
            .take(TEXT_BYTES)
            .map(|c| if c.is_control() && c != '\t' { '\u{b7}' } else { c })
            .collect();
        let mut log = self.lock();
        let line = format!("{:>8} {node} {stream} {clean}", self.elapsed().as_millis());
        // A full disk must not end the run; the lines are still in memory and in the serial logs.
        writeln!(log.file, "{line}").ok();
        if log.ring.len() >= RING_LINES {
            log.ring.pop_front();
        }
        log.ring.push_back(line);
        drop(log);
        self.wake(cause);
    }

    /// Something happened that a condition may depend on.
    pub fn wake(&self, cause: Cause) {
        self.all.fetch_add(1, SeqCst);
        if cause == Cause::Lab {
            self.lab.fetch_add(1, SeqCst);
        }
        if self.waiters.load(SeqCst) > 0 {
            // The lock orders this after a waiter's check of the counters, so that no wake-up is lost.
            drop(self.lock());
            self.woken.notify_all();
        }
    }

    /// The last lines of the timeline.
    #[must_use]
    pub fn recent(&self) -> String {
        let log = self.lock();
        let mut text = String::new();
        for line in &log.ring {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// Waits until `condition` gives a value, looking again after everything that happens in the lab. Its error says
    /// what it saw instead.
    ///
    /// # Errors
    /// After `limit`, with the last error of the condition and the last lines of the timeline.
    pub fn eventually<T>(
        &self,
        what: &str,
        limit: Duration,
        condition: impl FnMut() -> Result<T, String>,
    ) -> Result<T> {
        self.wait(&self.lab, what, limit, condition)
    }

    /// As [`Hub::eventually`], and looks again also after what the harness itself caused. For conditions that only look.
    ///
    /// # Errors
    /// As [`Hub::eventually`].
    pub fn until<T>(
        &self,
        what: &str,
        limit: Duration,
        condition: impl FnMut() -> Result<T, String>,
    ) -> Result<T> {
        self.wait(&self.all, what, limit, condition)
    }

    fn wait<T>(
        &self,
        counter: &AtomicU64,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut() -> Result<T, String>,
    ) -> Result<T> {
        let deadline = Deadline::after(limit);
        loop {
            let seen = counter.load(SeqCst);
            let last = match condition() {
                Ok(value) => return Ok(value),
                Err(last) => last,
            };
            // A lab in which something always happens must not put the end off.
            if deadline.left().is_none() || !self.sleep_until_change(counter, seen, deadline) {
                let recent = self.recent();
                bail!("{what}: not within {limit:?}; last: {last}\nlast lines of the timeline:\n{recent}");
            }
        }
    }

    /// False when the deadline came first.
    fn sleep_until_change(&self, counter: &AtomicU64, seen: u64, deadline: Deadline) -> bool {
        self.waiters.fetch_add(1, SeqCst);
        let mut log = self.lock();
        let changed = loop {
            if counter.load(SeqCst) != seen {
                break true;
            }
            let Some(left) = deadline.left() else { break false };
            log = self.woken.wait_timeout(log, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        drop(log);
        self.waiters.fetch_sub(1, SeqCst);
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }
}

/// Locks even after a thread panicked: the lab then still has to write its logs and tear down.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
