//! Getting the console to where it listens, and the two transfers.
#![expect(clippy::print_stderr, reason = "progress for a terminal")]

use crate::line::Line;
use crate::login;
use anyhow::{Result, bail};
use director_core::cli::transfer::{Action, Lines, Message, Pull, Push, Run};
use std::time::{Duration, Instant, SystemTime};

/// How long one answer may take: a block at 1200 baud and the box's work on it.
const ANSWER: Duration = Duration::from_secs(4);
/// The shortest wait before a question is asked again: what a scheduler or a USB adapter may hold an answer up.
const QUICK: Duration = Duration::from_millis(300);
/// An answer that takes so many times as long as the slowest before was lost.
const SLOWER: u32 = 4;
/// Tries to enter the transfer.
const ENTRIES: u32 = 8;
/// Passwords sent before it is given up; the console locks after more.
const PASSWORDS: u32 = 1;
/// Bytes that the question for a password has at most.
const PROMPT_BYTES: usize = 64;
/// How often a line may break in one transfer.
const REOPENINGS: u32 = 10;
/// How long the log is left alone, and the newest lines that are asked for then.
const FOLLOW: Duration = Duration::from_secs(1);
const FOLLOW_LINES: u32 = 200;

/// The transfer mode, from wherever the console is. A candidate that is there already is what gets replaced.
fn enter(line: &mut Line) -> Result<()> {
    let (mut lines, mut passwords) = (Lines::default(), 0);
    for _ in 0..ENTRIES {
        // The console may be in the mode already: then words are noise, and the question is answered at once.
        line.send(b"\x03\rconfigure\rtransfer\r")?;
        line.send(&Message::Hello.emit())?;
        let (end, mut said) = (Instant::now() + ANSWER, Vec::new());
        while Instant::now() < end {
            let came = line.receive(ANSWER)?;
            if came.iter().filter_map(|byte| lines.feed(*byte)).any(|m| matches!(m, Message::Version(_))) {
                return Ok(());
            }
            said.extend(came);
            said.drain(..said.len().saturating_sub(PROMPT_BYTES));
        }
        // What was typed answered the question for the password, wrongly; the next one is waited for and answered.
        if login::asks(&said) {
            passwords += 1;
            if passwords > PASSWORDS {
                bail!("the console does not take the password");
            }
            line.send(login::password()?.as_bytes())?;
            line.send(b"\r")?;
        }
    }
    bail!("the console does not answer: check cable and --baud")
}

fn leave(line: &mut Line) -> Result<()> {
    // C-c also ends the mode when the line of the protocol was lost.
    line.send(&Message::Quit.emit())?;
    line.send(b"\x03\x03\x03\r")
}

/// Sends what an end of the transfer wants and gives it what comes, until it is done.
fn converse(
    line: &mut Line,
    first: Action,
    mut next: impl FnMut(Option<Message>) -> (Action, (usize, usize)),
) -> Result<()> {
    let (mut lines, mut action) = (Lines::default(), first);
    let mut pace = Pace::default();
    loop {
        match action {
            Action::Send(bytes) => line.send(&bytes)?,
            Action::Wait => {}
            Action::Done => {
                eprintln!();
                return Ok(());
            }
            Action::Failed(why) => {
                eprintln!();
                bail!("{why}");
            }
        }
        action = Action::Wait;
        let asked = Instant::now();
        while action == Action::Wait {
            let left = pace.limit().saturating_sub(asked.elapsed());
            let came = line.receive(left)?;
            for message in came.iter().filter_map(|byte| lines.feed(*byte)) {
                let (new, (have, all)) = next(Some(message));
                eprint!("\r{have} of {all} bytes ");
                if new != Action::Wait {
                    pace.answered(asked.elapsed());
                    action = new;
                }
            }
            if action == Action::Wait && asked.elapsed() >= pace.limit() {
                pace.lost();
                action = next(None).0;
            }
        }
    }
}

/// How long an answer is waited for: by what answers took on this line so far, and twice as long after each that was
/// lost, so that a slow box is not asked in vain.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    slowest: Option<Duration>,
    lost: u32,
}

impl Pace {
    fn limit(&self) -> Duration {
        let Some(slowest) = self.slowest else { return ANSWER };
        let base = slowest.saturating_mul(SLOWER).max(QUICK);
        base.saturating_mul(1_u32.checked_shl(self.lost).unwrap_or(u32::MAX)).min(ANSWER)
    }

    /// An answer to a question that was asked twice says nothing about the line.
    fn answered(&mut self, took: Duration) {
        if core::mem::take(&mut self.lost) == 0 {
            self.slowest = Some(self.slowest.unwrap_or_default().max(took));
        }
    }

    fn lost(&mut self) {
        self.lost = self.lost.saturating_add(1);
    }
}

/// Does something on the line; when the line breaks, again once it is back, which goes on where it was.
fn persist<T>(line: &mut Line, mut act: impl FnMut(&mut Line) -> Result<T>) -> Result<T> {
    for _ in 0..REOPENINGS {
        match act(line) {
            Err(error) if line.broken() => {
                eprintln!("\n{error:#}; waiting for the line");
                line.reopen()?;
            }
            result => return result,
        }
    }
    bail!("the line broke {REOPENINGS} times")
}

/// Makes a text the candidate.
pub(crate) fn push(line: &mut Line, text: &str) -> Result<()> {
    send(line, || Push::new(text))
}

/// Sends an upgrade. Its end is answered when the box has read all of it back.
pub(crate) fn upgrade(line: &mut Line, bundle: &[u8]) -> Result<()> {
    send(line, || Push::upgrade(bundle.to_vec()))
}

fn send(line: &mut Line, begin: impl Fn() -> Result<Push, String>) -> Result<()> {
    persist(line, |line| {
        enter(line)?;
        let mut push = begin().map_err(anyhow::Error::msg)?;
        let first = push.ask();
        let result = converse(line, first, |message| {
            let action = match message {
                Some(message) => push.take(message),
                None => push.ask(),
            };
            (action, push.progress())
        });
        result.and_then(|()| leave(line))
    })
}

/// The running configuration.
pub(crate) fn pull(line: &mut Line) -> Result<String> {
    let mut pull = Pull::new();
    persist(line, |line| {
        enter(line)?;
        let first = pull.ask();
        let result = converse(line, first, |message| {
            let action = match message {
                Some(message) => pull.take(message),
                None => pull.ask(),
            };
            (action, pull.progress())
        });
        result.and_then(|()| leave(line))
    })?;
    pull.into_text().map_err(anyhow::Error::msg)
}

/// Runs a command, once, and gives what it said.
pub(crate) fn run(line: &mut Line, words: &str) -> Result<String> {
    let mut run = Run::new(fresh_id(), words).map_err(anyhow::Error::msg)?;
    persist(line, |line| {
        enter(line)?;
        let first = run.ask();
        let result = converse(line, first, |message| {
            let action = match message {
                Some(message) => run.take(message),
                None => run.ask(),
            };
            (action, run.progress())
        });
        result.and_then(|()| leave(line))
    })?;
    Ok(run.into_text().map_err(anyhow::Error::msg)?.replace('\r', ""))
}

/// An id that no command before had.
fn fresh_id() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap_or(0) ^ u64::from(std::process::id()) << 40
}

/// Prints the newest log lines and then each new one, until the line or this program ends.
pub(crate) fn follow(line: &mut Line, count: u32, mut print: impl FnMut(&str)) -> Result<()> {
    let mut last: Option<String> = None;
    let mut count = count;
    loop {
        let log = run(line, &format!("show log {count}"))?;
        let lines: Vec<&str> = log.lines().collect();
        let known = last.as_ref().and_then(|last| lines.iter().rposition(|line| *line == last.as_str()));
        lines.get(known.map_or(0, |at| at + 1)..).unwrap_or_default().iter().for_each(|line| print(line));
        last = lines.last().map(|line| (*line).to_owned()).or(last);
        count = FOLLOW_LINES;
        // A line that says something meanwhile is asked at once.
        line.receive(FOLLOW)?;
    }
}

#[cfg(test)]
mod tests;
