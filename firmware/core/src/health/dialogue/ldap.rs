//! LDAP bind and search (RFC 4511), in as much BER (X.690) as that takes.

use super::super::words::quote;
use super::reader::Reader;
use super::{Machine, Step};
use crate::model::check::{self, Login};
use crate::model::text::Secret;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

mod tag {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const OCTETS: u8 = 0x04;
    pub(super) const ENUMERATED: u8 = 0x0a;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const BIND_RESPONSE: u8 = 0x61;
    pub(super) const SEARCH_ENTRY: u8 = 0x64;
    pub(super) const SEARCH_DONE: u8 = 0x65;
    pub(super) const SEARCH_REFERENCE: u8 = 0x73;
    pub(super) const EXTENDED_RESPONSE: u8 = 0x78;
}

const BIND: u8 = 1;
const SEARCH: u8 = 2;
const START_TLS: u8 = 4;
/// The operation's name (RFC 4511 section 4.14.1).
const START_TLS_NAME: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// Where the dialogue stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// TLS was asked for.
    Starting,
    /// Its handshake begins.
    Securing,
    Binding,
    Searching,
}

/// Perhaps TLS, bind, then perhaps a search for one entry.
#[derive(Debug)]
pub(super) struct Ldap {
    bind: Vec<u8>,
    secret: bool,
    search: Option<Vec<u8>>,
    stage: Stage,
    clear_first: bool,
    entries: u32,
    have: Vec<u8>,
}

impl Ldap {
    pub(super) fn new(details: &check::Ldap, login: &Login, starttls: bool) -> Self {
        let user = login.user.as_ref().map_or("", |user| user.as_str());
        let password = login.password.as_ref().map_or("", Secret::reveal);
        let mut body = element(tag::INTEGER, &[3]);
        body.extend(element(tag::OCTETS, user.as_bytes()));
        body.extend(element(0x80, password.as_bytes()));
        let search = details.base.as_ref().map(|base| {
            let filter = details.filter.as_ref().map(|filter| filter.bytes());
            message(SEARCH, &element(0x63, &search(&base.bytes(), filter.as_deref())))
        });
        Self {
            bind: message(BIND, &element(0x60, &body)),
            secret: !password.is_empty(),
            search,
            stage: if starttls { Stage::Starting } else { Stage::Binding },
            clear_first: starttls,
            entries: 0,
            have: Vec::new(),
        }
    }

    /// Takes whole messages out of `have`; each round takes one.
    fn judge(&mut self) -> Step {
        loop {
            let mut reader = Reader(&self.have);
            let (outer, content) = match next(&mut reader) {
                Parsed::Element(tag, content) => (tag, content),
                Parsed::Partial => return Step::Wait,
                Parsed::Broken => return Step::Done(Err(not_ldap(&self.have))),
            };
            let used = self.have.len().saturating_sub(reader.0.len());
            let Some((number, operation, result)) = parts(outer, content) else {
                return Step::Done(Err(not_ldap(&self.have)));
            };
            let wanted = match self.stage {
                Stage::Starting | Stage::Securing => START_TLS,
                Stage::Binding => BIND,
                Stage::Searching => SEARCH,
            };
            let step = match (self.stage, operation) {
                _ if number != wanted => Some(Err(format!("answered message {number}, not {wanted}"))),
                (Stage::Starting, tag::EXTENDED_RESPONSE) => match code(result) {
                    Some(0) => {
                        // What came in clear beyond this is not said inside.
                        self.have.clear();
                        self.stage = Stage::Securing;
                        return Step::Wait;
                    }
                    other => Some(Err(refused("STARTTLS", other, result))),
                },
                (Stage::Binding, tag::BIND_RESPONSE) => match code(result) {
                    Some(0) => None,
                    other => Some(Err(refused("bind", other, result))),
                },
                (Stage::Searching, tag::SEARCH_ENTRY | tag::SEARCH_REFERENCE) => {
                    self.entries = self.entries.saturating_add(1);
                    self.have.drain(..used);
                    continue;
                }
                (Stage::Searching, tag::SEARCH_DONE) => Some(match code(result) {
                    Some(0) if self.entries > 0 => Ok(()),
                    Some(0) => Err(String::from("the search found no entry")),
                    other => Err(refused("search", other, result)),
                }),
                _ => Some(Err(not_ldap(&self.have))),
            };
            self.have.drain(..used);
            return match (step, self.search.take()) {
                (Some(result), _) => Step::Done(result),
                (None, None) => Step::Done(Ok(())),
                (None, Some(search)) => {
                    self.stage = Stage::Searching;
                    Step::Send(search)
                }
            };
        }
    }
}

fn not_ldap(have: &[u8]) -> String {
    format!("not an LDAP answer: {}", quote(have))
}

/// Number, operation and its content.
fn parts(outer: u8, content: &[u8]) -> Option<(u8, u8, &[u8])> {
    let mut reader = Reader(content);
    let Parsed::Element(tag::INTEGER, number) = next(&mut reader) else { return None };
    let Parsed::Element(operation, result) = next(&mut reader) else { return None };
    let [number] = number else { return None };
    (outer == tag::SEQUENCE).then_some((*number, operation, result))
}

/// Result code (RFC 4511 section 4.1.9).
fn code(result: &[u8]) -> Option<u8> {
    match next(&mut Reader(result)) {
        Parsed::Element(tag::ENUMERATED, [code]) => Some(*code),
        Parsed::Element(..) | Parsed::Partial | Parsed::Broken => None,
    }
}

fn refused(what: &str, code: Option<u8>, result: &[u8]) -> String {
    let words = match code {
        Some(32) => "no such object",
        Some(49) => "wrong user or password",
        Some(48) => "this kind of login is not allowed",
        Some(50) => "no right to do that",
        Some(51) => "busy",
        Some(52) => "unavailable",
        Some(code) => return format!("{what}: error {code}"),
        None => return format!("{what}: damaged answer {}", quote(result)),
    };
    format!("{what}: {words}")
}

#[derive(Debug)]
enum Parsed<'a> {
    Element(u8, &'a [u8]),
    Partial,
    Broken,
}

/// The next element: one-byte tag, definite length of at most four bytes.
fn next<'a>(reader: &mut Reader<'a>) -> Parsed<'a> {
    let start = *reader;
    let header = (|| {
        let tag = reader.u8()?;
        let length = match reader.u8()? {
            short @ 0..=0x7f => usize::from(short),
            long @ 0x81..=0x84 => {
                let mut length = 0_usize;
                for byte in reader.take(usize::from(long & 0x7f))? {
                    length = (length << 8) | usize::from(*byte);
                }
                length
            }
            0x80 | 0x85.. => return Some((tag, None)),
        };
        Some((tag, Some(length)))
    })();
    let parsed = match header {
        None => Parsed::Partial,
        Some((tag, _)) if tag & 0x1f == 0x1f => Parsed::Broken,
        Some((_, None)) => Parsed::Broken,
        Some((_, Some(length))) if length > super::ANSWER_BYTES_MAX => Parsed::Broken,
        Some((tag, Some(length))) => reader.take(length).map_or(Parsed::Partial, |c| Parsed::Element(tag, c)),
    };
    if matches!(parsed, Parsed::Partial) {
        // The first byte of every message is known; garbage is not waited for.
        let garbage = start.0.first().is_some_and(|first| *first != tag::SEQUENCE);
        *reader = start;
        return if garbage { Parsed::Broken } else { Parsed::Partial };
    }
    parsed
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from([tag]);
    match u8::try_from(content.len()) {
        Ok(short @ 0..=0x7f) => bytes.push(short),
        _ => {
            bytes.push(0x82);
            bytes.extend_from_slice(&u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

fn message(number: u8, operation: &[u8]) -> Vec<u8> {
    let mut content = element(tag::INTEGER, &[number]);
    content.extend_from_slice(operation);
    element(tag::SEQUENCE, &content)
}

/// A search of the base object alone, for at most one entry, attributes left out.
fn search(base: &[u8], filter: Option<&[u8]>) -> Vec<u8> {
    let mut body = element(tag::OCTETS, base);
    body.extend(element(tag::ENUMERATED, &[0]));
    body.extend(element(tag::ENUMERATED, &[0]));
    body.extend(element(tag::INTEGER, &[1]));
    body.extend(element(tag::INTEGER, &[0]));
    body.extend(element(tag::BOOLEAN, &[0]));
    body.extend(filter.and_then(parse_filter).unwrap_or_else(|| element(0x87, b"objectClass")));
    body.extend(element(tag::SEQUENCE, &element(tag::OCTETS, b"1.1")));
    body
}

/// `(attribute=value)` or `(attribute=*)`, the brackets may be left out.
fn parse_filter(text: &[u8]) -> Option<Vec<u8>> {
    let inner = text.strip_prefix(b"(").and_then(|rest| rest.strip_suffix(b")")).unwrap_or(text);
    let at = inner.iter().position(|b| *b == b'=')?;
    let (attribute, value) = (inner.get(..at)?, inner.get(at.checked_add(1)?..)?);
    let word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b';');
    if attribute.is_empty() || !attribute.iter().all(word) || value.is_empty() {
        return None;
    }
    if value == b"*" {
        return Some(element(0x87, attribute));
    }
    if value.iter().any(|b| matches!(b, b'*' | b'(' | b')')) {
        return None;
    }
    let mut pair = element(tag::OCTETS, attribute);
    pair.extend(element(tag::OCTETS, value));
    Some(element(0xa3, &pair))
}

/// Whether a filter can be asked: one comparison, `(attribute=value)` or `(attribute=*)`.
#[must_use]
pub fn check_filter(filter: &[u8]) -> bool {
    parse_filter(filter).is_some()
}

impl Machine for Ldap {
    fn open(&mut self) -> Step {
        if self.stage == Stage::Starting {
            return Step::Send(message(START_TLS, &element(0x77, &element(0x80, START_TLS_NAME))));
        }
        self.stage = Stage::Binding;
        let bind = core::mem::take(&mut self.bind);
        if self.secret { Step::SendSecret(bind) } else { Step::Send(bind) }
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        self.have.extend_from_slice(bytes);
        self.judge()
    }

    fn closed(&mut self) -> Result<(), String> {
        let what = match self.stage {
            Stage::Starting | Stage::Securing => "STARTTLS",
            Stage::Binding => "bind",
            Stage::Searching => "search",
        };
        Err(format!("connection closed instead of an answer to the {what}"))
    }

    fn clear_first(&self) -> bool {
        self.clear_first
    }

    fn secures(&mut self) -> bool {
        self.stage == Stage::Securing
    }

    fn farewell(&self) -> &[u8] {
        // Unbind, message 3 (RFC 4511 section 4.3).
        b"\x30\x05\x02\x01\x03\x42\x00"
    }
}
