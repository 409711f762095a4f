//! Protocols of lines: SMTP, POP3, IMAP, FTP, NNTP, Redis.
//!
//! A script is a list of exchanges: say a line (or nothing, for the greeting), then the reply must be good.

use super::super::words::quote;
use super::{Machine, Step};
use crate::model::check::{Login, Smtp};
use crate::model::text::Secret;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::mem;

/// Longest line of a reply. Chosen: twice what RFC 4616 and friends allow a server to say in one.
const LINE_BYTES_MAX: usize = 4096;

/// Which replies are good.
#[derive(Clone, Copy, Debug)]
enum Good {
    /// A three-digit code; `250-` goes on, `250 ` ends (RFC 5321 section 4.2, RFC 959 section 4.2).
    Codes(&'static [u16]),
    /// One line that begins with one of these.
    Begins(&'static [&'static str]),
    /// The line with our tag begins so; lines with `*` before it are passed over (RFC 3501 section 2.2.2).
    Tagged(&'static str),
}

#[derive(Debug)]
struct Exchange {
    /// What it is, in the operator's words.
    what: &'static str,
    say: Option<Vec<u8>>,
    secret: bool,
    good: Good,
    /// With this code the next exchange is left out: the server wants no password.
    enough: Option<u16>,
    /// A word that a line of the reply must be.
    offers: Option<&'static str>,
    /// After a good reply TLS begins.
    secures: bool,
}

impl Exchange {
    fn greeting(good: Good) -> Self {
        Self { what: "greeting", say: None, secret: false, good, enough: None, offers: None, secures: false }
    }

    fn ask(what: &'static str, line: String, good: Good) -> Self {
        Self {
            what,
            say: Some(line.into_bytes()),
            secret: false,
            good,
            enough: None,
            offers: None,
            secures: false,
        }
    }

    fn secret(what: &'static str, line: String, good: Good) -> Self {
        Self { secret: true, ..Self::ask(what, line, good) }
    }
}

/// The exchanges that are left.
#[derive(Debug)]
pub(super) struct Script {
    todo: VecDeque<Exchange>,
    line: Vec<u8>,
    /// The offer that the present exchange wants was seen.
    offered: bool,
    farewell: &'static [u8],
    /// TLS begins in the middle.
    clear_first: bool,
    /// It begins now.
    securing: bool,
}

/// Takes apart a login; `None`: nobody logs in.
fn parts(login: &Login) -> Option<(&str, &str)> {
    let user = login.user.as_ref()?.as_str();
    Some((user, login.password.as_ref().map_or("", Secret::reveal)))
}

/// SMTP and submission: greeting and EHLO; inside TLS from the start, or from STARTTLS on and then EHLO again.
pub(super) fn smtp(details: &Smtp, tls: bool) -> Script {
    let name = details.helo.as_ref().map_or("director", |name| name.as_str());
    let hello = || Exchange::ask("EHLO", format!("EHLO {name}\r\n"), Good::Codes(&[250]));
    let mut first = hello();
    first.offers = details.starttls.then_some("STARTTLS");
    let mut script = Script::new(b"QUIT\r\n", [Exchange::greeting(Good::Codes(&[220])), first]);
    if tls && details.starttls {
        script.start_tls("STARTTLS\r\n", Good::Codes(&[220]));
        script.todo.push_back(hello());
    }
    script
}

/// POP3: greeting, STLS (RFC 2595), login.
pub(super) fn pop3(login: &Login, starttls: bool) -> Script {
    const OK: Good = Good::Begins(&["+OK"]);
    let mut script = Script::new(b"QUIT\r\n", [Exchange::greeting(OK)]);
    if starttls {
        script.start_tls("STLS\r\n", OK);
    }
    if let Some((user, password)) = parts(login) {
        script.todo.push_back(Exchange::ask("USER", format!("USER {user}\r\n"), OK));
        script.todo.push_back(Exchange::secret("PASS", format!("PASS {password}\r\n"), OK));
    }
    script
}

/// IMAP: greeting, STARTTLS, login.
pub(super) fn imap(login: &Login, starttls: bool) -> Script {
    let greeting = Exchange::greeting(Good::Begins(&["* OK", "* PREAUTH"]));
    let mut script = Script::new(b"z LOGOUT\r\n", [greeting]);
    if starttls {
        script.start_tls("s STARTTLS\r\n", Good::Tagged("s "));
    }
    if let Some((user, password)) = parts(login) {
        let line = format!("a LOGIN {} {}\r\n", quoted(user), quoted(password));
        script.todo.push_back(Exchange::secret("LOGIN", line, Good::Tagged("a ")));
    }
    script
}

/// A quoted string (RFC 3501 section 9).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// FTP: greeting, AUTH TLS (RFC 4217), login.
pub(super) fn ftp(login: &Login, starttls: bool) -> Script {
    let mut script = Script::new(b"QUIT\r\n", [Exchange::greeting(Good::Codes(&[220]))]);
    if starttls {
        script.start_tls("AUTH TLS\r\n", Good::Codes(&[234]));
    }
    if let Some((user, password)) = parts(login) {
        let mut ask = Exchange::ask("USER", format!("USER {user}\r\n"), Good::Codes(&[331, 230]));
        ask.enough = Some(230);
        script.todo.push_back(ask);
        let line = format!("PASS {password}\r\n");
        script.todo.push_back(Exchange::secret("PASS", line, Good::Codes(&[230, 202])));
    }
    script
}

/// NNTP: greeting, STARTTLS (RFC 4642), login (RFC 4643).
pub(super) fn nntp(login: &Login, starttls: bool) -> Script {
    let mut script = Script::new(b"QUIT\r\n", [Exchange::greeting(Good::Codes(&[200, 201]))]);
    if starttls {
        script.start_tls("STARTTLS\r\n", Good::Codes(&[382]));
    }
    if let Some((user, password)) = parts(login) {
        let line = format!("AUTHINFO USER {user}\r\n");
        let mut ask = Exchange::ask("AUTHINFO USER", line, Good::Codes(&[381, 281]));
        ask.enough = Some(281);
        script.todo.push_back(ask);
        let line = format!("AUTHINFO PASS {password}\r\n");
        script.todo.push_back(Exchange::secret("AUTHINFO PASS", line, Good::Codes(&[281])));
    }
    script
}

/// Redis: login, PING. The password alone is that of the default user.
pub(super) fn redis(login: &Login) -> Script {
    let mut script = Script::new(b"QUIT\r\n", []);
    if let Some(password) = &login.password {
        let mut line = String::from("AUTH ");
        if let Some(user) = &login.user {
            line.push_str(user.as_str());
            line.push(' ');
        }
        line.push_str(&quoted(password.reveal()));
        line.push_str("\r\n");
        script.todo.push_back(Exchange::secret("AUTH", line, Good::Begins(&["+OK"])));
    }
    let ping = Exchange::ask("PING", "PING\r\n".to_string(), Good::Begins(&["+PONG"]));
    script.todo.push_back(ping);
    script
}

impl Script {
    fn new<const N: usize>(farewell: &'static [u8], exchanges: [Exchange; N]) -> Self {
        Self {
            todo: exchanges.into(),
            line: Vec::new(),
            offered: false,
            farewell,
            clear_first: false,
            securing: false,
        }
    }

    /// The next exchange asks for TLS; those after it are inside.
    fn start_tls(&mut self, line: &str, good: Good) {
        let start = Exchange { secures: true, ..Exchange::ask("STARTTLS", String::from(line), good) };
        self.todo.push_back(start);
        self.clear_first = true;
    }

    fn say(&mut self) -> Step {
        self.offered = false;
        let Some(exchange) = self.todo.front_mut() else { return Step::Done(Ok(())) };
        match exchange.say.take() {
            None => Step::Wait,
            Some(line) if exchange.secret => Step::SendSecret(line),
            Some(line) => Step::Send(line),
        }
    }

    /// A whole line came, without its end. `None`: the reply goes on.
    fn line(&mut self, line: &[u8]) -> Option<Step> {
        let exchange = self.todo.front()?;
        let bad = || {
            let said = if exchange.secret { quote(&secretless(line)) } else { quote(line) };
            Some(Step::Done(Err(format!("{}: answered {said}", exchange.what))))
        };
        let mut leave_out = false;
        match exchange.good {
            Good::Begins(words) => {
                if !words.iter().any(|word| line.starts_with(word.as_bytes())) {
                    return bad();
                }
            }
            Good::Tagged(tag) => {
                let Some(rest) = line.strip_prefix(tag.as_bytes()) else {
                    return if line.starts_with(b"*") { None } else { bad() };
                };
                if !rest.starts_with(b"OK") {
                    return bad();
                }
            }
            Good::Codes(codes) => {
                // The middle lines of a long FTP reply need no code; only one with ours and a blank ends it.
                let Some(code) = code(line) else {
                    return if self.offered || line.starts_with(b" ") { None } else { bad() };
                };
                if !codes.contains(&code) {
                    return bad();
                }
                let word = line.get(4..).unwrap_or_default();
                let offer = exchange.offers.is_none_or(|wanted| word.eq_ignore_ascii_case(wanted.as_bytes()));
                let seen = self.offered || offer;
                if line.get(3) == Some(&b'-') {
                    self.offered = seen;
                    return None;
                }
                if let (false, Some(wanted)) = (seen, exchange.offers) {
                    return Some(Step::Done(Err(format!("the server does not offer {wanted}"))));
                }
                leave_out = exchange.enough == Some(code);
            }
        }
        if self.todo.pop_front().is_some_and(|exchange| exchange.secures) {
            self.securing = true;
            return Some(Step::Wait);
        }
        if leave_out {
            self.todo.pop_front();
        }
        Some(self.say())
    }
}

/// A reply to a password, up to its first blank but one: a server may repeat what it was told.
fn secretless(line: &[u8]) -> Vec<u8> {
    line.splitn(3, |b| *b == b' ').take(2).collect::<Vec<_>>().join(&b' ')
}

/// The code that a reply line begins with.
fn code(line: &[u8]) -> Option<u16> {
    let digits = core::str::from_utf8(line.get(..3)?).ok()?;
    let separated = matches!(line.get(3), None | Some(b' ' | b'-'));
    if !separated || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

impl Machine for Script {
    fn open(&mut self) -> Step {
        self.say()
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        for byte in bytes {
            if *byte != b'\n' {
                if self.line.len() >= LINE_BYTES_MAX {
                    return Step::Done(Err(format!("a line of more than {LINE_BYTES_MAX} bytes")));
                }
                self.line.push(*byte);
                continue;
            }
            let line = mem::take(&mut self.line);
            // What the server said beyond the reply is not an answer to what we say next.
            if let Some(step) = self.line(line.strip_suffix(b"\r").unwrap_or(&line)) {
                return step;
            }
        }
        Step::Wait
    }

    fn closed(&mut self) -> Result<(), String> {
        let what = self.todo.front().map_or("reply", |exchange| exchange.what);
        if self.line.is_empty() {
            return Err(format!("connection closed instead of an answer to {what}"));
        }
        Err(format!("connection closed inside the answer to {what}, after {}", quote(&self.line)))
    }

    fn silent(&self) -> Option<Result<(), String>> {
        let exchange = self.todo.front()?;
        let have = if self.line.is_empty() { String::new() } else { format!(", only {}", quote(&self.line)) };
        Some(Err(format!("connected, but no whole answer to {} in time{have}", exchange.what)))
    }

    fn clear_first(&self) -> bool {
        self.clear_first
    }

    fn secures(&mut self) -> bool {
        mem::take(&mut self.securing)
    }

    fn secured(&mut self) -> Step {
        self.say()
    }

    fn farewell(&self) -> &[u8] {
        self.farewell
    }
}
