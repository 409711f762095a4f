//! A serial line of a VM: everything it said, who listens along, and the dialogue with the product's console.

use crate::guest::Guest;
use crate::hub::{Cause, Hub, lock};
use crate::pace::{Flow, Paced};
use anyhow::{Context as _, Result, bail};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Bytes of a line kept in memory. Older ones are in the log file.
const TRANSCRIPT_BYTES: usize = 4 << 20;
/// People attached to one console at the same time.
const GUESTS_MAX: usize = 16;
/// What Linux says before it gives up.
const PANIC: &str = "Kernel panic";
/// How long the product may take to answer one command, before scaling.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);

/// One serial line. It outlives power cycles of its VM.
#[derive(Debug)]
pub struct Serial {
    node: String,
    stream: &'static str,
    shared: Arc<Shared>,
    dialogue: Mutex<()>,
    hub: Arc<Hub>,
}

#[derive(Debug)]
struct Shared {
    transcript: Mutex<Transcript>,
    log: Mutex<File>,
    writer: Mutex<Option<UnixStream>>,
    guests: Mutex<Vec<Guest>>,
    flow: Flow,
    /// Whether the harness is in the middle of a command, so that what comes is its own doing.
    asking: AtomicBool,
}

#[derive(Debug, Default)]
struct Transcript {
    /// Bytes dropped from the front.
    dropped: usize,
    bytes: Vec<u8>,
}

/// A position in the transcript of a line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Mark(usize);

impl Serial {
    /// A line with nothing at its other end yet; what it says is appended to `log`.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn new(node: &str, stream: &'static str, log: &Path, hub: &Arc<Hub>) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let shared = Shared {
            transcript: Mutex::default(),
            log: Mutex::new(file),
            writer: Mutex::new(None),
            guests: Mutex::default(),
            flow: Flow::default(),
            asking: AtomicBool::new(false),
        };
        Ok(Self {
            node: node.to_owned(),
            stream,
            shared: Arc::new(shared),
            dialogue: Mutex::new(()),
            hub: Arc::clone(hub),
        })
    }

    /// Connects the line to a machine that was switched on.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub fn connect(&self, stream: UnixStream) -> Result<()> {
        self.shared.flow.reset();
        // What the machine said before is over, and its prompt too.
        lock(&self.shared.transcript).bytes.push(b'\n');
        *lock(&self.shared.writer) = Some(stream.try_clone().context("serial line")?);
        let (shared, hub) = (Arc::clone(&self.shared), Arc::clone(&self.hub));
        let (node, name) = (self.node.clone(), self.stream);
        std::thread::spawn(move || listen(stream, &shared, &hub, &node, name));
        Ok(())
    }

    /// Lets programs outside attach through a unix socket.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn publish(&self, path: &Path) -> Result<()> {
        // What a machine of the same name left that is off; the folder is this lab's alone.
        std::fs::remove_file(path).ok();
        let listener =
            UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || {
            for guest in listener.incoming().map_while(Result::ok) {
                // A guest that went away at once needs no answer.
                attach(&shared, guest).ok();
            }
        });
        Ok(())
    }

    /// A stream that sees what the line says from the present line on, and whose bytes are sent.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub fn attach(&self) -> Result<UnixStream> {
        let (ours, guest) = UnixStream::pair().context("socket pair")?;
        attach(&self.shared, guest)?;
        Ok(ours)
    }

    /// The present end of the transcript.
    #[must_use]
    pub fn mark(&self) -> Mark {
        let transcript = lock(&self.shared.transcript);
        Mark(transcript.dropped + transcript.bytes.len())
    }

    /// What was said since.
    #[must_use]
    pub fn since(&self, mark: Mark) -> String {
        let transcript = lock(&self.shared.transcript);
        let from = mark.0.saturating_sub(transcript.dropped);
        String::from_utf8_lossy(transcript.bytes.get(from..).unwrap_or_default()).into_owned()
    }

    /// The line that is not ended yet, as a terminal would show it.
    #[must_use]
    pub fn present_line(&self) -> String {
        let transcript = lock(&self.shared.transcript);
        let last = transcript.bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        show_line(last)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the machine is off.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        let mut writer = lock(&self.shared.writer);
        let writer = writer.as_mut().with_context(|| format!("{} is off", self.node))?;
        writer.write_all(bytes).with_context(|| format!("{} is off", self.node))
    }

    /// Sends bytes as a real line does: at so many bits a second, held by XOFF. Gives up when it is held for `patience`.
    ///
    /// # Errors
    /// When the machine is off.
    pub fn send_paced(&self, bytes: &[u8], baud: u32, patience: Duration) -> Result<Paced> {
        self.shared.flow.pace(bytes, baud, patience, |bytes| self.send(bytes))
    }

    /// How often the machine stopped its sender with XOFF since it was switched on.
    #[must_use]
    pub fn holds(&self) -> usize {
        self.shared.flow.holds()
    }

    /// Waits until text was said after `mark`.
    ///
    /// # Errors
    /// When it was not within `limit`.
    pub fn wait_for(&self, text: &str, mark: Mark, limit: Duration) -> Result<()> {
        self.hub.until(&format!("{}: `{text}` on {}", self.node, self.stream), limit, || {
            let said = self.since(mark);
            if said.contains(text) { Ok(()) } else { Err(format!("{} bytes without it", said.len())) }
        })
    }

    /// Waits for the prompt of the product after `mark`.
    ///
    /// # Errors
    /// When it did not come within `limit`.
    pub fn wait_prompt(&self, mark: Mark, limit: Duration) -> Result<String> {
        let prompt = self.hub.until(&format!("{}: a prompt", self.node), limit, || {
            let line = self.present_line();
            if self.mark() > mark && is_prompt(&line) {
                return Ok(Some(line));
            }
            // Waiting on would only show the same again after the next reset.
            if self.since(mark).contains(PANIC) { Ok(None) } else { Err(format!("the line is `{line}`")) }
        })?;
        let Some(prompt) = prompt else {
            bail!("{}: the kernel panicked\nlast lines of the timeline:\n{}", self.node, self.hub.recent())
        };
        Ok(prompt)
    }

    /// Sends text as it is and waits until `done` finds its end in what was said since. One dialogue at a time.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub(crate) fn exchange<T>(
        &self,
        text: &str,
        limit: Duration,
        mut done: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let dialogue = lock(&self.dialogue);
        self.shared.asking.store(true, SeqCst);
        let mark = self.mark();
        let answer = self.send(text.as_bytes()).and_then(|()| {
            self.hub.until(&format!("{}: answer to `{}`", self.node, text.trim_end()), limit, || {
                let said = self.since(mark);
                done(&said).ok_or(said)
            })
        });
        self.shared.asking.store(false, SeqCst);
        drop(dialogue);
        answer
    }

    /// Types one command and gives the lines of its answer. One dialogue at a time.
    ///
    /// # Errors
    /// When the prompt does not come back.
    pub fn command(&self, line: &str) -> Result<Vec<String>> {
        self.command_within(line, COMMAND_LIMIT)
    }

    /// As [`Serial::command`], with a limit.
    ///
    /// # Errors
    /// When the prompt does not come back within `limit`.
    pub fn command_within(&self, line: &str, limit: Duration) -> Result<Vec<String>> {
        if line.contains(['\n', '\r']) {
            bail!("one line at a time: {line:?}");
        }
        let dialogue = lock(&self.dialogue);
        self.shared.asking.store(true, SeqCst);
        let mark = self.mark();
        let answer = self.send(format!("{line}\r").as_bytes()).and_then(|()| {
            self.hub.until(&format!("{}: answer to `{line}`", self.node), limit, || {
                // First what costs little: an answer may have a megabyte, and this looks after every piece of it.
                let present = self.present_line();
                if !is_prompt(&present) {
                    return Err(format!("the line is `{present}`"));
                }
                let said = self.since(mark);
                let Some((whole, last)) = said.rsplit_once('\n') else {
                    return Err("no echo yet".to_owned());
                };
                let last = show_line(last.as_bytes());
                if !is_prompt(&last) {
                    return Err(format!("the line is `{last}`"));
                }
                // The first line is the echo.
                Ok(whole.split('\n').skip(1).map(|line| show_line(line.as_bytes())).collect())
            })
        });
        self.shared.asking.store(false, SeqCst);
        drop(dialogue);
        answer
    }
}

fn attach(shared: &Arc<Shared>, stream: UnixStream) -> Result<()> {
    let mut reader = stream.try_clone().context("attach")?;
    let guest = Guest::new(&stream)?;
    // Held until the guest is listed, so that nothing said meanwhile is lost or said twice.
    let mut guests = lock(&shared.guests);
    if guests.len() >= GUESTS_MAX {
        bail!("{GUESTS_MAX} are attached already");
    }
    let present = {
        let transcript = lock(&shared.transcript);
        transcript.bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default().to_vec()
    };
    guest.say(&present);
    guests.push(guest);
    drop(guests);
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 1024];
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            if let (Some(writer), Some(bytes)) = (lock(&shared.writer).as_mut(), buffer.get(..length)) {
                // Typing into a machine that is off is lost.
                writer.write_all(bytes).ok();
            }
        }
    });
    Ok(())
}

/// The thread of a line: ends when the machine is switched off.
fn listen(mut stream: UnixStream, shared: &Shared, hub: &Hub, node: &str, name: &str) {
    let mut buffer = [0_u8; 4096];
    let mut line: Vec<u8> = Vec::new();
    while let Ok(length) = stream.read(&mut buffer) {
        let bytes = match buffer.get(..length) {
            None | Some([]) => break,
            Some(bytes) => bytes,
        };
        let cause = if shared.asking.load(SeqCst) { Cause::Harness } else { Cause::Lab };
        shared.flow.see(bytes);
        lock(&shared.log).write_all(bytes).ok();
        let mut guests = lock(&shared.guests);
        let mut transcript = lock(&shared.transcript);
        transcript.bytes.extend_from_slice(bytes);
        if transcript.bytes.len() > TRANSCRIPT_BYTES {
            let excess = transcript.bytes.len() - TRANSCRIPT_BYTES / 2;
            transcript.bytes.drain(..excess);
            transcript.dropped += excess;
        }
        drop(transcript);
        guests.retain(|guest| guest.say(bytes));
        drop(guests);
        for byte in bytes {
            if *byte == b'\n' {
                hub.line_by(cause, node, name, &show_line(&line));
                line.clear();
            } else if line.len() < TRANSCRIPT_BYTES {
                line.push(*byte);
            }
        }
        hub.wake(cause);
    }
    hub.line(node, name, "(line closed)");
}

/// Whether a line is the product's prompt: a host name and `> ` or `# `. Nothing more is allowed, because a line that has not
/// come to its end yet may stop anywhere, after `unknown -> ` for example.
#[must_use]
pub fn is_prompt(line: &str) -> bool {
    let Some(head) = line.strip_suffix("> ").or_else(|| line.strip_suffix("# ")) else { return false };
    !head.is_empty()
        && head.len() <= 100
        && head.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        && head.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// What a terminal shows of one line: carriage return, backspace, cursor left and right, erase to the end. Line
/// editors redraw with these.
#[must_use]
pub fn show_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut cells: Vec<char> = Vec::new();
    let mut column = 0_usize;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => column = 0,
            '\u{8}' => column = column.saturating_sub(1),
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                let mut parameters = String::new();
                let end = loop {
                    match chars.next() {
                        Some(c) if ('@'..='~').contains(&c) => break c,
                        Some(c) => parameters.push(c),
                        None => break ' ',
                    }
                };
                let number: Option<usize> = parameters.parse().ok();
                match end {
                    'C' => column = column.saturating_add(number.unwrap_or(1)).min(TRANSCRIPT_BYTES),
                    'D' => column = column.saturating_sub(number.unwrap_or(1)),
                    'G' => column = number.unwrap_or(1).saturating_sub(1).min(TRANSCRIPT_BYTES),
                    'K' => match number.unwrap_or(0) {
                        0 => cells.truncate(column),
                        _ => cells.clear(),
                    },
                    'J' => cells.truncate(column),
                    _ => {}
                }
            }
            c if c.is_control() && c != '\t' => {}
            c => {
                while cells.len() <= column {
                    cells.push(' ');
                }
                if let Some(cell) = cells.get_mut(column) {
                    *cell = c;
                }
                column += 1;
            }
        }
    }
    cells.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrawn_line_reads_as_the_terminal_shows_it() {
        assert_eq!(show_line(b"lvs1> shw\x08ow\r\x1b[Klvs1> show"), "lvs1> show");
        assert_eq!(show_line(b"abc\x1b[2DX\x1b[C!\r"), "aXc!");
        assert_eq!(show_line(b"\x1b[1mbold\x1b[0m\r"), "bold");
    }

    #[test]
    fn prompts_of_both_modes_are_known_and_log_lines_are_not() {
        for prompt in ["lvs1> ", "lvs1# ", "lb-1.example# "] {
            assert!(is_prompt(prompt), "{prompt}");
        }
        let begun = "[    1.839006] director: server rs1 in pool echo: unknown -> ";
        for other in ["lvs1> show", "", "> ", "[    0.1] x=\"a\"> ", "lvs1>", begun, "-> ", "unknown -> "] {
            assert!(!is_prompt(other), "{other}");
        }
    }
}
