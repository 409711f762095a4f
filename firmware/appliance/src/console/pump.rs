//! Moves bytes, requests and replies. Decides nothing.

use crate::init;
use crate::ipc::Client;
use crate::platform::kmsg;
use crate::platform::tty::Tty;
use director_core::cli::session::{Output, Session};
use director_core::director::Level;
use director_core::director::protocol::Reply;
use director_core::init::Ask;
use std::io;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Bytes read from the line at once. A 16550 has a queue of 16; the kernel's holds 4096.
const READ_BYTES: usize = 4096;
/// Pause between attempts to reach a director that is not there. It is restarted within 100 ms.
const RETRY: Duration = Duration::from_millis(100);
/// A director that holds a connection but does not answer for so long counts as lost. Chosen: longer than a commit of
/// 1,000 services under emulation.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Turns of a session that has more to say, at most, before the line is read again.
const BUSY_TURNS: usize = 1024;

/// A console on one line.
#[derive(Debug)]
pub(super) struct Pump {
    tty: Tty,
    session: Session,
    /// For the line, not yet taken by it.
    screen: Vec<u8>,
    director: Link,
    /// Replies that are still to come, and until when.
    expected: usize,
    answer_by: Option<Instant>,
}

#[derive(Debug)]
enum Link {
    /// Connected.
    Up(Box<Client>),
    /// Tried again at.
    Down(Instant),
}

/// What happened next.
enum Next {
    Typed(usize),
    Replied(io::Result<Reply>),
    Written(usize),
    Retry,
    Overdue,
}

impl Pump {
    /// Over an open line.
    pub(super) fn new(tty: Tty) -> Self {
        let director = Link::Down(Instant::now());
        Self { tty, session: Session::new(None), screen: Vec::new(), director, expected: 0, answer_by: None }
    }

    /// Serves until the line is lost.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        let mut out = Vec::new();
        self.greet();
        if let Ok(client) = Client::connect().await {
            self.director = Link::Up(Box::new(client));
        }
        self.session.start(&mut out);
        self.obey(&mut out);
        loop {
            match self.next(&mut buffer).await? {
                Next::Typed(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Next::Typed(count) => self.session.input(buffer.get(..count).unwrap_or_default(), &mut out),
                Next::Written(count) => {
                    self.screen.drain(..count);
                }
                Next::Replied(Ok(reply)) => {
                    self.expected = self.expected.saturating_sub(1);
                    self.answer_by = (self.expected > 0).then(|| Instant::now() + ANSWER_MAX);
                    self.session.reply(reply, &mut out);
                }
                Next::Replied(Err(_)) | Next::Overdue => self.lost(&mut out),
                Next::Retry => self.connect(&mut out).await,
            }
            self.obey(&mut out);
            // What was typed ahead goes on when there is room on the screen again.
            for _ in 0..BUSY_TURNS {
                if !self.session.busy() || !self.screen.is_empty() {
                    break;
                }
                self.session.input(&[], &mut out);
                self.obey(&mut out);
            }
        }
    }

    /// Waits for whatever comes first. Cancelling any of them loses nothing.
    async fn next(&mut self, buffer: &mut [u8]) -> io::Result<Next> {
        let room = self.session.room().min(buffer.len());
        let room = buffer.get_mut(..room).unwrap_or_default();
        let reading = !room.is_empty();
        let writing = !self.screen.is_empty();
        let overdue = self.answer_by.unwrap_or_else(|| Instant::now() + ANSWER_MAX);
        tokio::select! {
            written = self.tty.write(&self.screen), if writing => Ok(Next::Written(written?)),
            next = director(&mut self.director, overdue) => Ok(match next {
                Next::Overdue if self.answer_by.is_none() => Next::Written(0),
                other => other,
            }),
            typed = self.tty.read(room), if reading => Ok(Next::Typed(typed?)),
        }
    }

    /// Does what the session says.
    fn obey(&mut self, out: &mut Vec<Output>) {
        let mut more = Vec::new();
        while !out.is_empty() {
            for output in out.drain(..) {
                match output {
                    Output::Write(bytes) => self.screen.extend_from_slice(&bytes),
                    Output::Request(request) => {
                        let asked = match &mut self.director {
                            Link::Up(client) => client.ask(&request).is_ok(),
                            Link::Down(_) => false,
                        };
                        if asked {
                            self.expected = self.expected.saturating_add(1);
                            self.answer_by.get_or_insert_with(|| Instant::now() + ANSWER_MAX);
                        } else {
                            self.session.director_lost(&mut more);
                        }
                    }
                    Output::ShowLog { count, filter } => {
                        let count = usize::try_from(count).unwrap_or(usize::MAX);
                        let lines = kmsg::newest(count, filter.as_deref())
                            .unwrap_or_else(|error| vec![format!("the log cannot be read: {error}")]);
                        self.session.log_text(&lines, &mut more);
                    }
                    Output::DirectPower(power) => init::ask_power(power),
                    Output::RestartDirector => {
                        if let Err(error) = init::ask(Ask::RestartDirector) {
                            kmsg::log(Level::Error, &format!("init does not take requests: {error}"));
                        }
                    }
                    Output::Logout => {
                        self.greet();
                        self.session = Session::new(None);
                        self.session.start(&mut more);
                        if matches!(self.director, Link::Down(_)) {
                            self.session.director_lost(&mut more);
                        }
                    }
                }
            }
            std::mem::swap(out, &mut more);
        }
    }

    async fn connect(&mut self, out: &mut Vec<Output>) {
        match Client::connect().await {
            Ok(client) => {
                self.director = Link::Up(Box::new(client));
                self.session.director_back(out);
            }
            Err(_) => self.director = Link::Down(Instant::now() + RETRY),
        }
    }

    fn lost(&mut self, out: &mut Vec<Output>) {
        self.director = Link::Down(Instant::now() + RETRY);
        self.expected = 0;
        self.answer_by = None;
        self.session.director_lost(out);
    }

    fn greet(&mut self) {
        let banner = format!(
            "\r\nDirector {}: Linux Virtual Server firmware\r\nType ? for what can be typed here, help for more.\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        );
        self.screen.extend_from_slice(banner.as_bytes());
    }
}

/// The director's next reply, the end of waiting for it, or the time to try again.
async fn director(link: &mut Link, overdue: Instant) -> Next {
    match link {
        Link::Up(client) => match timeout_at(overdue, client.turn()).await {
            Ok(result) => Next::Replied(result),
            Err(_) => Next::Overdue,
        },
        Link::Down(until) => {
            tokio::time::sleep_until(*until).await;
            Next::Retry
        }
    }
}
