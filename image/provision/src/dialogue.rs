//! Getting the console to where it listens, and the two transfers.
#![expect(clippy::print_stderr, reason = "progress for a terminal")]

use crate::line::Line;
use anyhow::{Result, bail};
use director_core::cli::transfer::{Action, Lines, Message, Pull, Push};
use std::time::{Duration, Instant};

/// How long one answer may take: a block at 1200 baud and the box's work on it.
const ANSWER: Duration = Duration::from_secs(4);
/// How long a command may take: a commit of 1,000 services at 9600 baud.
const COMMAND: Duration = Duration::from_secs(60);
/// Tries to enter the transfer.
const ENTRIES: u32 = 8;
/// Bytes of an answer kept.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The transfer mode, from wherever the console is. A candidate that is there already is what gets replaced.
fn enter(line: &mut Line) -> Result<()> {
    let mut lines = Lines::default();
    for _ in 0..ENTRIES {
        // The console may be in the mode already: then words are noise, and the question is answered at once.
        line.send(b"\x03\rconfigure\rtransfer\r")?;
        line.send(&Message::Hello.emit())?;
        let end = Instant::now() + ANSWER;
        while Instant::now() < end {
            let came = line.receive(ANSWER)?;
            if came.iter().filter_map(|byte| lines.feed(*byte)).any(|m| matches!(m, Message::Version(_))) {
                return Ok(());
            }
        }
    }
    bail!("the console does not answer: check cable and --baud, and log in on it first")
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
        let end = Instant::now() + ANSWER;
        while action == Action::Wait {
            let came = line.receive(ANSWER)?;
            for message in came.iter().filter_map(|byte| lines.feed(*byte)) {
                let (new, (have, all)) = next(Some(message));
                eprint!("\r{have} of {all} bytes ");
                if new != Action::Wait {
                    action = new;
                }
            }
            if action == Action::Wait && Instant::now() >= end {
                action = next(None).0;
            }
        }
    }
}

/// Makes a text the candidate.
pub(crate) fn push(line: &mut Line, text: &str) -> Result<()> {
    enter(line)?;
    let mut push = Push::new(text).map_err(anyhow::Error::msg)?;
    let first = push.ask();
    let result = converse(line, first, |message| {
        let action = match message {
            Some(message) => push.take(message),
            None => push.ask(),
        };
        (action, push.progress())
    });
    leave(line)?;
    result
}

/// The running configuration.
pub(crate) fn pull(line: &mut Line) -> Result<String> {
    enter(line)?;
    let mut pull = Pull::new();
    let first = pull.ask();
    let result = converse(line, first, |message| {
        let action = match message {
            Some(message) => pull.take(message),
            None => pull.ask(),
        };
        (action, pull.progress())
    });
    leave(line)?;
    result?;
    pull.into_text().map_err(anyhow::Error::msg)
}

/// Types a command in the mode the console is in, and gives its answer without echo and prompt.
pub(crate) fn command(line: &mut Line, command: &str) -> Result<String> {
    line.send(b"\x03\r")?;
    // What the console still had to say ends when nothing comes for a moment.
    while !line.receive(Duration::from_millis(300))?.is_empty() {}
    line.send(format!("{command}\r").as_bytes())?;
    let (mut answer, end) = (Vec::new(), Instant::now() + COMMAND);
    loop {
        let came = line.receive(Duration::from_millis(300))?;
        let prompt = answer.ends_with(b"> ") || answer.ends_with(b"# ");
        // The first line is the echo, so a prompt counts from the second on.
        if came.is_empty() && prompt && answer.contains(&b'\n') {
            break;
        }
        answer.extend(came);
        if answer.len() > ANSWER_BYTES || Instant::now() >= end {
            bail!(
                "no prompt after {command}: is the console logged in?\n{}",
                String::from_utf8_lossy(&answer)
            );
        }
    }
    let text = String::from_utf8_lossy(&answer).replace('\r', "");
    let mut lines: Vec<&str> = text.lines().skip(1).collect();
    lines.pop();
    Ok(lines.join("\n"))
}

/// Runs an operational command in either mode.
pub(crate) fn run(line: &mut Line, words: &str) -> Result<String> {
    let answer = command(line, words)?;
    if answer.contains("You are in configure mode") {
        command(line, &format!("run {words}"))
    } else {
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use director_core::cli::{Output, Session, parse_set_lines};
    use director_core::director::protocol::{Reply, Request};
    use director_core::store::Generation;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    const RUNNING: &str = "set pool old forward nat\n";

    /// The product's console at the other end, behind a line that flips, loses or doubles one byte in `rate`.
    fn console(rate: u64) -> Line {
        let (ours, mut box_end) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut state = 0x5eed_u64;
            let mut noisy = move |bytes: &[u8]| -> Vec<u8> {
                let mut out = Vec::new();
                for byte in bytes {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let draw = state >> 33;
                    match (rate > 0 && draw.is_multiple_of(rate), draw / rate.max(1) % 3) {
                        (true, 0) => out.push(byte ^ 4),
                        (true, 1) => {}
                        (true, _) => out.extend([*byte, *byte]),
                        (false, _) => out.push(*byte),
                    }
                }
                out
            };
            let mut session = Session::new(None);
            let mut buffer = [0; 512];
            while let Ok(count @ 1..) = box_end.read(&mut buffer) {
                let (mut out, mut written) = (Vec::new(), Vec::new());
                session.input(&noisy(&buffer[..count]), &mut out);
                while !out.is_empty() {
                    let mut next = Vec::new();
                    for output in out {
                        match output {
                            Output::Write(bytes) => written.extend(bytes),
                            Output::Request(request) if *request == Request::Config => {
                                let config = parse_set_lines(RUNNING).unwrap();
                                session.reply(Reply::Config { generation: Generation(1), config }, &mut next);
                            }
                            Output::Request(_)
                            | Output::ShowLog { .. }
                            | Output::DirectPower(_)
                            | Output::RestartDirector
                            | Output::Salt
                            | Output::Logout => {}
                        }
                    }
                    out = next;
                }
                if box_end.write_all(&noisy(&written)).is_err() {
                    return;
                }
            }
        });
        Line::of(ours).unwrap()
    }

    #[test]
    fn a_clean_line_pushes_compares_and_pulls() {
        let mut line = console(0);
        push(&mut line, "set pool new forward nat\n").unwrap();
        let compared = command(&mut line, "compare").unwrap();
        assert!(compared.contains("+ set pool new") && compared.contains("- set pool old"), "{compared}");
        assert!(pull(&mut line).unwrap().contains("set pool old"));
    }

    #[test]
    fn a_noisy_line_pushes_the_exact_text() {
        let mut line = console(700);
        let text: String =
            (1..=60).map(|i| format!("set real-server rs{i} address 192.168.1.{i}\n")).collect();
        push(&mut line, &text).unwrap();
        assert!(pull(&mut line).unwrap().contains("set pool old"));
    }
}
