//! What is said to a server and what its answer means, without I/O.
//!
//! ```text
//!             open()                  feed(bytes)            closed(), silent()
//! connected ---------> Send or Wait ---------------> ... ------------------------> Done(good or why not)
//! ```
//!
//! A dialogue never looks at a clock: whoever runs it ends it at the deadline of the run. It takes at most
//! [`ANSWER_BYTES_MAX`] bytes, and keeps a bounded transcript of what was said. A secret never enters it.

mod datagram;
mod dns;
mod echo;
mod ldap;
pub(crate) mod load;
pub(crate) mod pattern;
mod radius;
mod reader;
mod scram;
mod script;
mod secure;
mod sql;
mod steps;
mod transcript;

pub use echo::Echo;
pub use ldap::check_filter;
pub use pattern::check_pattern;
pub(crate) use radius::mix;
pub use secure::{Channel, MakeChannel, takes_starttls, takes_tls};

use super::http;
use super::load::Said;
use super::{ProbeId, ProbeKind, ProbeSpec};
use crate::model::check::{Check, LoadSource, Question};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use secure::Secure;
use transcript::Transcript;

/// Most bytes of an answer that are taken. Chosen: four times the longest header of an HTTP answer.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How a run begins.
#[derive(Debug)]
pub enum Opening {
    /// Nobody needs to be asked.
    Decided(Result<(), String>),
    /// A TCP handshake is all.
    Connect,
    /// Over a TCP connection.
    Stream(Dialogue),
    /// Over UDP; each datagram is fed by itself.
    Datagram(Dialogue),
    /// An ICMP echo.
    Echo(Echo),
}

/// What is to be done next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Wait for more from the server.
    Wait,
    /// Send this, then wait.
    Send(Vec<u8>),
    /// The same, with a secret in it: the transcript says only that something was sent.
    SendSecret(Vec<u8>),
    /// Decided: good, or why not.
    Done(Result<(), String>),
}

/// The rules of one protocol.
trait Machine: fmt::Debug + Send {
    /// The server can be talked to.
    fn open(&mut self) -> Step;
    /// Bytes or one datagram came.
    fn feed(&mut self, bytes: &[u8]) -> Step;
    /// The server closed before it was decided.
    fn closed(&mut self) -> Result<(), String>;
    /// The time is over. `None`: that is a failure like any other.
    fn silent(&self) -> Option<Result<(), String>> {
        None
    }
    /// Speaks in clear until [`Self::secures`], when the check is inside TLS.
    fn clear_first(&self) -> bool {
        false
    }
    /// After what [`Self::feed`] has just wished to send, TLS begins.
    fn secures(&mut self) -> bool {
        false
    }
    /// TLS has begun in the middle.
    fn secured(&mut self) -> Step {
        self.open()
    }
    /// What was asked for last goes to another port of the server, and the answer comes from there.
    fn elsewhere(&mut self) -> Option<u16> {
        None
    }
    /// What a source of load said.
    fn said(&self) -> Option<Said> {
        None
    }
    /// Polite last words, sent when it went well and not waited for.
    fn farewell(&self) -> &[u8] {
        b""
    }
}

/// One run of one protocol.
#[derive(Debug)]
pub struct Dialogue {
    machine: Box<dyn Machine>,
    secure: Option<Secure>,
    transcript: Transcript,
    taken: usize,
}

impl Dialogue {
    fn new(machine: impl Machine + 'static) -> Self {
        Self { machine: Box::new(machine), secure: None, transcript: Transcript::default(), taken: 0 }
    }

    /// The server can be talked to.
    pub fn open(&mut self) -> Step {
        if let Some(secure) = self.secure.as_mut().filter(|_| !self.machine.clear_first()) {
            self.transcript.remark("TLS begins");
            return Step::Send(secure.begin());
        }
        let step = self.machine.open();
        self.note(step)
    }

    /// Bytes of a stream as they come, or one datagram.
    pub fn feed(&mut self, bytes: &[u8]) -> Step {
        if self.secure.as_ref().is_some_and(Secure::begun) { self.inside(bytes) } else { self.hear(bytes) }
    }

    /// The server said this, in clear or inside TLS.
    fn hear(&mut self, bytes: &[u8]) -> Step {
        self.transcript.received(bytes);
        self.taken = self.taken.saturating_add(bytes.len());
        let step = self.machine.feed(bytes);
        if self.taken > ANSWER_BYTES_MAX && !matches!(step, Step::Done(_)) {
            return Step::Done(Err(format!("the answer is longer than {} KiB", ANSWER_BYTES_MAX / 1024)));
        }
        let step = self.note(step);
        let securing = self.machine.secures();
        let (true, Some(secure)) = (securing, &mut self.secure) else { return step };
        self.transcript.remark("TLS begins");
        match step {
            Step::Done(_) => step,
            Step::Send(mut bytes) | Step::SendSecret(mut bytes) => {
                bytes.extend(secure.begin());
                Step::Send(bytes)
            }
            Step::Wait => Step::Send(secure.begin()),
        }
    }

    /// Bytes of a TLS connection.
    fn inside(&mut self, bytes: &[u8]) -> Step {
        let Some(secure) = &mut self.secure else { return Step::Wait };
        let (plain, mut out, opened) = match secure.feed(bytes) {
            Ok(fed) => fed,
            Err(words) => return Step::Done(Err(format!("TLS: {words}"))),
        };
        let mut steps = Vec::new();
        if opened {
            self.transcript.remark("TLS is open");
            let clear_first = self.machine.clear_first();
            let step = if clear_first { self.machine.secured() } else { self.machine.open() };
            steps.push(self.note(step));
        }
        if !plain.is_empty() && !matches!(steps.as_slice(), [Step::Done(_)]) {
            steps.push(self.hear(&plain));
        }
        let Some(secure) = &mut self.secure else { return Step::Wait };
        for step in steps {
            match step {
                Step::Wait => {}
                Step::Send(bytes) | Step::SendSecret(bytes) => out.extend(secure.send(&bytes)),
                done @ Step::Done(_) => return done,
            }
        }
        if secure.ended() {
            return Step::Done(self.closed());
        }
        if out.is_empty() { Step::Wait } else { Step::Send(out) }
    }

    /// The server closed the connection before it was decided.
    pub fn closed(&mut self) -> Result<(), String> {
        if self.secure.as_ref().is_some_and(Secure::opening) {
            return Err(String::from("connection closed during the TLS handshake"));
        }
        self.machine.closed()
    }

    /// The deadline came. `None`: the run failed, and the caller knows how far it came.
    #[must_use]
    pub fn silent(&self) -> Option<Result<(), String>> {
        if self.secure.as_ref().is_some_and(Secure::opening) {
            return Some(Err(String::from("connected, but the TLS handshake was not complete in time")));
        }
        self.machine.silent()
    }

    /// Polite last words, to be sent without waiting. Often none.
    #[must_use]
    pub fn farewell(&mut self) -> Vec<u8> {
        let words = self.machine.farewell().to_vec();
        match &mut self.secure {
            Some(secure) if secure.begun() && !words.is_empty() => secure.send(&words),
            Some(_) | None => words,
        }
    }

    /// Whether the server has said anything.
    #[must_use]
    pub const fn answered(&self) -> bool {
        self.taken > 0
    }

    /// End of the server's certificate, in seconds since 1970, when it showed one.
    #[must_use]
    pub fn certificate_ends(&self) -> Option<u64> {
        self.secure.as_ref().and_then(Secure::certificate_ends)
    }

    /// The port that what is to be sent goes to, when it is another one from now on.
    pub fn elsewhere(&mut self) -> Option<u16> {
        self.machine.elsewhere()
    }

    /// What a source of load said.
    #[must_use]
    pub fn said(&self) -> Option<Said> {
        self.machine.said()
    }

    /// What was said so far: lines that begin with `>` (sent) or `<` (received), escaped and bounded.
    #[must_use]
    pub fn transcript(&self) -> String {
        self.transcript.text()
    }

    fn note(&mut self, step: Step) -> Step {
        match &step {
            Step::Send(bytes) => self.transcript.sent(bytes),
            Step::SendSecret(_) => self.transcript.secret(),
            Step::Wait | Step::Done(_) => {}
        }
        step
    }
}

/// The beginning of run `id`. The number makes what must differ from run to run. `channel` makes the TLS connection of a
/// check that is inside one.
#[must_use]
pub fn open(spec: &ProbeSpec, id: ProbeId, channel: MakeChannel<'_>) -> Opening {
    match &spec.kind {
        ProbeKind::Tcp => Opening::Connect,
        ProbeKind::Http(check) => {
            Opening::Stream(Dialogue::new(Web(http::Dialogue::new(spec.target, check))))
        }
        ProbeKind::Named(check) => {
            let Some(tls) = &check.tls else { return named(check, spec.target, id) };
            let Some(channel) = channel(tls) else {
                return Opening::Decided(Err(String::from("this box has no random numbers for TLS")));
            };
            let mut dialogue = match named(check, spec.target, id) {
                Opening::Stream(dialogue) => dialogue,
                Opening::Connect => Dialogue::new(secure::Handshake),
                // Refused by validation.
                other @ (Opening::Decided(_) | Opening::Datagram(_) | Opening::Echo(_)) => return other,
            };
            dialogue.secure = Some(Secure::new(channel));
            Opening::Stream(dialogue)
        }
        ProbeKind::Load(monitor) => match monitor.source {
            LoadSource::Agent => Opening::Stream(Dialogue::new(load::Agent::default())),
            LoadSource::Http => Opening::Stream(Dialogue::new(load::Page::new(monitor, spec.target))),
            LoadSource::Rstatd => {
                Opening::Datagram(Dialogue::new(load::Rstat::new(id.0, monitor.port.is_none())))
            }
            // It speaks by itself.
            LoadSource::Rwhod => Opening::Decided(Ok(())),
        },
    }
}

fn named(check: &Check, target: SocketAddr, id: ProbeId) -> Opening {
    let stream = |script: script::Script| Opening::Stream(Dialogue::new(script));
    let login = check.login.clone().unwrap_or_default();
    let starttls = check.tls.as_ref().is_some_and(|tls| tls.starttls);
    match check.question {
        Question::Tcp => Opening::Connect,
        Question::Up => Opening::Decided(Ok(())),
        Question::Down => Opening::Decided(Err(String::from("the check says always down"))),
        Question::SendExpect => Opening::Stream(Dialogue::new(steps::Steps::new(check.steps.values()))),
        Question::Http => {
            let probe = check.http.clone().unwrap_or_default();
            Opening::Stream(Dialogue::new(Web(http::Dialogue::named(target, &probe))))
        }
        Question::Smtp => {
            let mut details = check.smtp.clone().unwrap_or_default();
            details.starttls |= starttls;
            stream(script::smtp(&details, check.tls.is_some()))
        }
        Question::Pop3 => stream(script::pop3(&login, starttls)),
        Question::Imap => stream(script::imap(&login, starttls)),
        Question::Ftp => stream(script::ftp(&login, starttls)),
        Question::Nntp => stream(script::nntp(&login, starttls)),
        Question::Redis => stream(script::redis(&login)),
        Question::Ldap => {
            let details = check.ldap.clone().unwrap_or_default();
            Opening::Stream(Dialogue::new(ldap::Ldap::new(&details, &login, starttls)))
        }
        Question::Mysql => {
            Opening::Stream(Dialogue::new(sql::Mysql::new(&login, check.sql.as_ref(), check.tls.is_some())))
        }
        Question::Postgresql => Opening::Stream(Dialogue::new(sql::Postgresql::new(
            &login,
            check.sql.as_ref(),
            check.tls.is_some(),
            id,
        ))),
        Question::Sip => {
            let details = check.sip.clone().unwrap_or_default();
            let dialogue = Dialogue::new(datagram::Sip::new(&details, target, id));
            if details.tcp { Opening::Stream(dialogue) } else { Opening::Datagram(dialogue) }
        }
        Question::Dns => {
            Opening::Datagram(Dialogue::new(dns::Dns::new(&check.dns.clone().unwrap_or_default(), id)))
        }
        Question::Radius => {
            let details = check.radius.clone().unwrap_or_default();
            Opening::Datagram(Dialogue::new(radius::Radius::new(&details, &login, id)))
        }
        Question::Ntp => Opening::Datagram(Dialogue::new(datagram::Ntp::new(id))),
        Question::Udp => {
            Opening::Datagram(Dialogue::new(datagram::Udp::new(&check.udp.clone().unwrap_or_default())))
        }
        Question::Ping => Opening::Echo(Echo::new(check.ping.as_ref(), target.ip(), id)),
    }
}

/// Whether a run costs so much computing (signatures, password hashes) that it must not hold up others.
#[must_use]
pub fn costs_much(spec: &ProbeSpec) -> bool {
    match &spec.kind {
        ProbeKind::Named(check) => {
            let login = check.login.as_ref().is_some_and(|login| login.password.is_some());
            check.tls.is_some() || (check.question == Question::Postgresql && login)
        }
        ProbeKind::Tcp | ProbeKind::Http(_) | ProbeKind::Load(_) => false,
    }
}

/// Whether a TCP handshake is all that is asked for, as [`Opening::Connect`] says.
#[must_use]
pub fn is_handshake(spec: &ProbeSpec) -> bool {
    match &spec.kind {
        ProbeKind::Tcp => true,
        ProbeKind::Named(check) => check.question == Question::Tcp && check.tls.is_none(),
        ProbeKind::Http(_) | ProbeKind::Load(_) => false,
    }
}

/// Port that is asked when neither the check nor the pool names one.
#[must_use]
pub const fn needs_port(question: Question) -> bool {
    !matches!(question, Question::Ping | Question::Up | Question::Down)
}

/// The HTTP exchange as a [`Machine`].
#[derive(Debug)]
struct Web(http::Dialogue);

impl Machine for Web {
    fn open(&mut self) -> Step {
        Step::Send(self.0.request().to_vec())
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        match self.0.feed(bytes) {
            http::Step::NeedMore => Step::Wait,
            http::Step::Done(result) => Step::Done(result),
        }
    }

    fn closed(&mut self) -> Result<(), String> {
        self.0.ended()
    }
}

#[cfg(test)]
mod tests;
