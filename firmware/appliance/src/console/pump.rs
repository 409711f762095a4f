//! Moves bytes, requests and replies between the serial line, the session and the director.
//!
//! ```text
//! line --bytes--> Session --requests--> Link --> director
//!   ^---output-----^  ^------replies-----^
//! ```
//! One task, one wait. Reading stops while the session has no room or the terminal is far behind, so that flow
//! control of the line does its work.

use super::rescue::Rescue;
use crate::director::boot::{RESTART_ASKED, read_access};
use crate::init::{RESCUE, request};
use crate::ipc::{Link, LinkEvent};
use crate::platform::clock;
use crate::platform::kmsg::{self, Log};
use crate::platform::password;
use crate::platform::selfcheck;
use director_core::cli::seal::SALT_BYTES;
use director_core::cli::session::{OUTPUT_BYTES, Output, Session};
use director_core::connections::{Filter, Gather, Listing};
use director_core::director::event::Level;
use director_core::init::Ask;
use director_core::login::Hash;
use director_core::model::Mono;
use embedded_io_async::{Read, Write};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::time::Duration;
use tokio::task::{JoinError, JoinHandle};

/// Bytes read at once. Chosen: a fast paste at 115200 baud for 20 ms.
const READ_BYTES: usize = 256;
/// Bytes for the terminal above which C-c throws them away: who types it into a long listing has seen enough.
const DISCARD_BYTES: usize = 2048;
/// How many wrong passwords were typed in a row.
const WRONG_PASSWORDS: &str = "director.wrong-passwords";
/// The kernel's table of connections.
const CONNECTIONS: &str = "/proc/net/ip_vs_conn";
/// Lines of it, at most. Chosen: more than fit the memory of a large box.
const CONNECTIONS_MAX: usize = 16_000_000;
/// Interrupt, as typed.
const INTERRUPT: u8 = 0x03;

/// The console, for the lifetime of its process.
#[derive(Debug)]
pub(super) struct Pump<'a, R, W> {
    input: R,
    output: W,
    link: Link,
    log: &'a Log,
    /// Where consoles and director leave each other files.
    run: &'a Path,
    session: Session,
    /// Not yet taken by the terminal.
    unwritten: Vec<u8>,
    /// Answers in place of the director, when none is started any more.
    rescue: Option<Box<Rescue>>,
    /// What takes long, one at a time: the session waits for it.
    work: Option<JoinHandle<Work>>,
}

/// What came of work beside the loop.
#[derive(Debug)]
enum Work {
    Connections(Result<Listing, String>),
    Verified(Result<bool, String>),
    Hashed(Result<Hash, String>),
}

/// What one wait gave.
enum Happened<E> {
    Link(LinkEvent),
    Read(Result<usize, E>),
    Written(Result<usize, E>),
    Work(Result<Work, JoinError>),
    /// The session has bytes that were typed ahead.
    Busy,
    /// The session's deadline is here.
    Time,
}

impl<'a, R, W, E> Pump<'a, R, W>
where
    R: Read<Error = E>,
    W: Write<Error = E>,
    E: std::fmt::Display,
{
    pub(super) fn new(input: R, output: W, link: Link, log: &'a Log, run: &'a Path) -> Self {
        Self {
            input,
            output,
            link,
            log,
            run,
            session: Session::new(None),
            unwritten: Vec::new(),
            rescue: None,
            work: None,
        }
    }

    /// Runs until the line fails; gives why.
    pub(super) async fn run(mut self) -> String {
        // The first thing that whoever plugs a cable in sees.
        for line in selfcheck::lines() {
            self.unwritten.extend_from_slice(format!("\r\n{line}").as_bytes());
        }
        self.unwritten.extend_from_slice(b"\r\n");
        self.greet();
        let mut buffer = [0; READ_BYTES];
        loop {
            let room = self.session.room().min(READ_BYTES);
            let reads = room > 0 && self.unwritten.len() <= OUTPUT_BYTES;
            let busy = self.session.busy() && self.unwritten.is_empty();
            let deadline = self.session.deadline();
            let happened = tokio::select! {
                // Replies first: they make room. Then the terminal is emptied before it is filled again.
                biased;
                event = self.link.next() => Happened::Link(event),
                written = self.output.write(&self.unwritten), if !self.unwritten.is_empty() => {
                    Happened::Written(written)
                }
                read = self.input.read(buffer.get_mut(..room).unwrap_or(&mut [])), if reads => {
                    Happened::Read(read)
                }
                done = worked(&mut self.work), if self.work.is_some() => Happened::Work(done),
                () = std::future::ready(()), if busy => Happened::Busy,
                () = until(deadline), if deadline.is_some() => Happened::Time,
            };
            let mut out = Vec::new();
            self.session.tick(clock::now(), &mut out);
            match happened {
                Happened::Time => {}
                Happened::Work(done) => self.worked(done, &mut out),
                // The director has read the flash: now it is known who may type.
                Happened::Link(LinkEvent::Back) if self.session.limited() || self.rescue.is_some() => {
                    self.rescue = None;
                    self.greet();
                }
                Happened::Link(LinkEvent::Lost) if self.rescue.is_some() => {}
                Happened::Link(LinkEvent::Reply(reply)) => self.session.reply(*reply, &mut out),
                Happened::Link(LinkEvent::Back) => self.session.director_back(&mut out),
                Happened::Link(LinkEvent::Lost) => self.session.director_lost(&mut out),
                Happened::Busy => self.session.input(&[], &mut out),
                Happened::Read(Ok(0)) => return "the line was hung up".to_owned(),
                Happened::Read(Ok(_)) if self.forsaken() => self.greet(),
                Happened::Read(Ok(read)) => {
                    let typed = buffer.get(..read).unwrap_or(&[]);
                    if typed.contains(&INTERRUPT) && self.unwritten.len() > DISCARD_BYTES {
                        self.unwritten.clear();
                    }
                    self.session.input(typed, &mut out);
                }
                Happened::Written(Ok(written)) => {
                    self.unwritten.drain(..written.min(self.unwritten.len()));
                }
                Happened::Read(Err(error)) | Happened::Written(Err(error)) => return error.to_string(),
            }
            if self.carry_out(out) {
                // The next one at this line gets nothing of the one before.
                self.link.reopen().await;
                self.greet();
            }
        }
    }

    /// Begins a session; the last words of the boot stay above.
    fn greet(&mut self) {
        let name = hostname();
        let before = std::mem::replace(&mut self.session, Session::new(None));
        self.session = before.successor(name.as_deref());
        self.session.admit(read_access(self.run).as_ref(), wrong_passwords(self.run));
        if self.rescue.is_none() && self.forsaken() {
            self.rescue = Some(Box::new(Rescue::open()));
        }
        if self.rescue.is_some() {
            self.session.forsake();
        }
        let node = name.as_deref().unwrap_or("not named yet");
        let version = env!("CARGO_PKG_VERSION");
        let banner = format!("\r\nDirector {version}, node {node}\r\n");
        self.unwritten.extend_from_slice(banner.as_bytes());
        let mut out = Vec::new();
        self.session.tick(clock::now(), &mut out);
        self.session.probe(&mut out);
        self.session.start(&mut out);
        if !self.link.connected() && self.rescue.is_none() {
            self.session.director_lost(&mut out);
        }
        // Nobody can leave a session that has read nothing.
        let _left = self.carry_out(out);
    }

    /// Does what the session wants. What it wants next because of that is done too: a log line that answers a typed
    /// ahead `show log` may start the next one, which ends with what was typed.
    /// Returns whether the operator left.
    fn carry_out(&mut self, mut out: Vec<Output>) -> bool {
        let mut left = false;
        while !out.is_empty() {
            let mut more = Vec::new();
            for output in out {
                match output {
                    Output::Write(bytes) => self.unwritten.extend_from_slice(&bytes),
                    Output::Request(request) => match &mut self.rescue {
                        None => self.link.ask(&request),
                        Some(rescue) => {
                            let (reply, ask) = rescue.answer(*request);
                            self.session.reply(reply, &mut more);
                            if let Some(ask) = ask {
                                self.ask_init(ask);
                            }
                        }
                    },
                    Output::ShowLog { count, filter, clock } => {
                        let count = usize::try_from(count).unwrap_or(usize::MAX);
                        let lines = kmsg::newest(count, filter.as_deref(), clock)
                            .unwrap_or_else(|error| vec![format!("the log cannot be read: {error}")]);
                        self.session.log_text(&lines, &mut more);
                    }
                    Output::ShowHardware => self.session.log_text(&selfcheck::lines(), &mut more),
                    Output::ShowConnections(filter) => {
                        self.start(move || Work::Connections(connections(*filter)));
                    }
                    Output::DirectPower(power) => self.ask_init(Ask::Power(power)),
                    Output::RestartDirector => {
                        // Tells a restart that was asked for from a crash: a commit on trial goes on.
                        if let Err(error) = std::fs::write(RESTART_ASKED, b"") {
                            self.log.write(Level::Warning, format_args!("{RESTART_ASKED}: {error}"));
                        }
                        self.ask_init(Ask::RestartDirector);
                    }
                    Output::Verify { password, hash } => {
                        self.start(move || Work::Verified(password::verify(&password, hash.reveal())));
                    }
                    Output::Hash(new) => self.start(move || Work::Hashed(password::hash(&new))),
                    Output::WrongPasswords(count) => self.count_wrong(count),
                    Output::Salt => self.session.salt(salt(), &mut more),
                    Output::Logout => left = true,
                }
            }
            out = more;
        }
        left
    }

    /// PID 1 starts no director any more, and this console does not know it yet.
    fn forsaken(&self) -> bool {
        self.rescue.is_none() && !self.link.connected() && Path::new(RESCUE).exists()
    }

    fn start(&mut self, work: impl FnOnce() -> Work + Send + 'static) {
        self.work = Some(tokio::task::spawn_blocking(work));
    }

    fn worked(&mut self, done: Result<Work, JoinError>, out: &mut Vec<Output>) {
        self.work = None;
        match done {
            Ok(Work::Verified(Ok(right))) => self.session.verified(right, out),
            Ok(Work::Verified(Err(why))) => {
                self.log.write(Level::Error, format_args!("password-hash: {why}"));
                self.session.verified(false, out);
            }
            Ok(Work::Hashed(hash)) => self.session.hashed(hash, out),
            Ok(Work::Connections(listing)) => self.session.connections(listing, out),
            Err(error) => {
                self.log.write(Level::Error, format_args!("work of the console: {error}"));
                // The session waits for only one of them and ignores the others.
                let failed = || "it failed; show log says why".to_owned();
                self.session.verified(false, out);
                self.session.hashed(Err(failed()), out);
                self.session.connections(Err(failed()), out);
            }
        }
    }

    /// Kept in memory, so that a console that is started again does not forget; a reboot does.
    fn count_wrong(&self, count: u32) {
        if count > 0 {
            let text = format_args!("wrong password on the console, {count} in a row");
            self.log.write(Level::Warning, text);
        }
        if let Err(error) = std::fs::write(self.run.join(WRONG_PASSWORDS), count.to_string()) {
            self.log.write(Level::Warning, format_args!("{WRONG_PASSWORDS}: {error}"));
        }
    }

    /// Asks PID 1 and not the director, which does not answer.
    fn ask_init(&mut self, ask: Ask) {
        if let Err(error) = request::ask(ask) {
            self.log.write(Level::Error, format_args!("init cannot be asked: {error}"));
            let text = format!("\r\ninit cannot be asked: {error}\r\n");
            self.unwritten.extend_from_slice(text.as_bytes());
        }
    }
}

/// Waits for a moment; [`clock`] and tokio's clock may differ by what a suspend took, which [`Session::tick`] evens out.
async fn until(deadline: Option<Mono>) {
    let Some(deadline) = deadline else { return };
    let left = Duration::from_micros(deadline.micros_since(clock::now()));
    // A timeout is what is waited for.
    _ = tokio::time::timeout(left, std::future::pending::<()>()).await;
}

/// Reads the kernel's table of connections.
fn connections(filter: Filter) -> Result<Listing, String> {
    let mut gather = Gather::new(filter);
    let table = File::open(CONNECTIONS).map_err(|error| error.to_string())?;
    for line in BufReader::new(table).lines().take(CONNECTIONS_MAX) {
        gather.feed(&line.map_err(|error| error.to_string())?);
    }
    Ok(gather.end())
}

async fn worked(work: &mut Option<JoinHandle<Work>>) -> Result<Work, JoinError> {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// Wrong passwords in a row, as [`Pump::count_wrong`] kept them.
fn wrong_passwords(run: &Path) -> u32 {
    std::fs::read_to_string(run.join(WRONG_PASSWORDS)).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Random bytes of the kernel; none before its generator is ready, which a console reaches long after.
fn salt() -> Option<[u8; SALT_BYTES]> {
    let mut bytes = [0; SALT_BYTES];
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)).ok()?;
    Some(bytes)
}

/// The kernel's host name, once the director has set one.
fn hostname() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    (!name.is_empty() && name != "(none)").then_some(name)
}

#[cfg(test)]
mod tests;
