//! What a person is told while something takes long: one line that is rewritten on a terminal, and one line now and
//! then where there is none (a CI log).

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// Between two lines of a log. Chosen: a CI that ends silent runs waits at least a minute.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Between two states of the line on a terminal. Chosen: smooth, and nothing against a compiler.
const REDRAW_EVERY: Duration = Duration::from_millis(200);

/// Writes one line to standard error. A closed one is no reason to stop.
pub fn say(line: impl AsRef<str>) {
    writeln!(stderr(), "{}", line.as_ref()).ok();
}

/// The progress of one long step.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    total: usize,
    done: usize,
    terminal: bool,
    started: Instant,
    shown: Instant,
}

impl Progress {
    /// `total` is an estimate.
    pub(crate) fn start(what: &'static str, total: usize) -> Self {
        let now = Instant::now();
        Self { what, total, done: 0, terminal: stderr().is_terminal(), started: now, shown: now }
    }

    /// One more is done; `detail` says which.
    pub(crate) fn step(&mut self, detail: &str) {
        self.done += 1;
        let every = if self.terminal { REDRAW_EVERY } else { LINE_EVERY };
        let now = Instant::now();
        if now.duration_since(self.shown) < every {
            return;
        }
        self.shown = now;
        let line = line(self.what, self.done, self.total, now.duration_since(self.started), detail);
        if self.terminal {
            write!(stderr(), "\r\x1b[K{line}").and_then(|()| stderr().flush()).ok();
        } else {
            say(line);
        }
    }

    /// Ends the line; how many there were and how long it took.
    pub(crate) fn end(self) -> (usize, Duration) {
        if self.terminal {
            write!(stderr(), "\r\x1b[K").and_then(|()| stderr().flush()).ok();
        }
        (self.done, self.started.elapsed())
    }
}

fn line(what: &str, done: usize, total: usize, took: Duration, detail: &str) -> String {
    // 99 at most: the total is an estimate, and what comes after the last step takes time too.
    let percent = (done * 100).checked_div(total).unwrap_or(0).min(99);
    let (minutes, seconds) = (took.as_secs() / 60, took.as_secs() % 60);
    format!("{what}: {percent:2} % ({done} of about {total}), {minutes}:{seconds:02}  {detail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_that_was_too_low_never_shows_a_hundred() {
        let took = Duration::from_secs(125);
        assert_eq!(line("kernel", 50, 200, took, "net"), "kernel: 25 % (50 of about 200), 2:05  net");
        assert_eq!(line("kernel", 300, 200, took, "net"), "kernel: 99 % (300 of about 200), 2:05  net");
        assert_eq!(line("kernel", 1, 0, took, ""), "kernel:  0 % (1 of about 0), 2:05  ");
    }
}
