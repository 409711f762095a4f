//! The dialogue of an HTTP check, without I/O: the request to send, and a verdict from the bytes that come back.
//!
//! The status line decides as soon as the header is complete; the body is read only when it must hold something. Interim
//! answers (RFC 9110 section 15.2) are passed over. Every end has words for the operator.
//!
//! We ask for `Connection: close`, so a body ends with its length, its last chunk or the connection. A chunked body is
//! compared with its chunk lines taken out.

use super::dialogue::pattern::{Match, Pattern};
use super::words::quote;
use crate::model::check::{HttpProbe, Method};
use crate::model::codes::Codes;
use crate::model::config::HttpCheck;
use crate::model::name::Text;
use crate::model::text::Escaped;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Largest header taken, in bytes, interim answers included. Chosen: twice what nginx and Apache send at most by
/// default for their own limits (8 KiB).
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Most header fields taken. Chosen: more than any page seen; 4 KiB of stack.
const FIELDS_MAX: usize = 128;
/// Port that a Host header leaves out (RFC 9110 section 4.2.1).
const HTTP_PORT: u16 = 80;

/// What the bytes so far mean.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The header is not complete.
    NeedMore,
    /// Decided: good, or why not.
    Done(Result<(), String>),
}

/// One exchange.
#[derive(Clone, Debug)]
pub struct Dialogue {
    request: Vec<u8>,
    answer: Vec<u8>,
    /// Bytes of interim answers already dropped from `answer`.
    passed: usize,
    wanted: Codes,
    /// What the body must hold.
    body: Option<Pattern>,
    /// Set when the header was good and the body is what is left in `answer`.
    framing: Option<Framing>,
}

/// How the end of a body is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

impl Dialogue {
    /// The exchange that asks `target`.
    #[must_use]
    pub fn new(target: SocketAddr, check: &HttpCheck) -> Self {
        let request = request(target, "GET", check.path.as_str(), check.host.as_ref(), &[]);
        Self {
            request,
            answer: Vec::new(),
            passed: 0,
            wanted: check.status.clone(),
            body: None,
            framing: None,
        }
    }

    /// The exchange of a named check.
    #[must_use]
    pub fn named(target: SocketAddr, probe: &HttpProbe) -> Self {
        let method = match probe.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Options => "OPTIONS",
        };
        let path = probe.path.as_ref().map_or("/", |path| path.as_str());
        Self {
            request: request(target, method, path, probe.host.as_ref(), &probe.headers),
            answer: Vec::new(),
            passed: 0,
            wanted: probe.status.clone(),
            body: probe.body.as_ref().map(|wanted| Pattern::new(wanted, probe.compare)),
            framing: None,
        }
    }

    /// The bytes to send.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Whether the server has said anything yet.
    #[must_use]
    pub const fn answered(&self) -> bool {
        self.passed > 0 || !self.answer.is_empty()
    }

    /// Takes bytes as they come.
    pub fn feed(&mut self, bytes: &[u8]) -> Step {
        if let Some(framing) = self.framing {
            self.answer.extend_from_slice(bytes);
            return self.judge_body(framing, false);
        }
        let room = HEADER_BYTES_MAX.saturating_sub(self.passed).saturating_sub(self.answer.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.answer.extend_from_slice(taken);
        // Only a line end can complete a header; parsing at each byte of a slow answer would be quadratic.
        let worth_parsing = taken.contains(&b'\n') || !self.may_be_http();
        if worth_parsing && let Some(result) = self.parse() {
            return Step::Done(result);
        }
        if let Some(framing) = self.framing {
            let rest = bytes.get(taken.len()..).unwrap_or_default();
            self.answer.extend_from_slice(rest);
            return self.judge_body(framing, false);
        }
        if taken.len() < bytes.len() {
            return Step::Done(Err(format!("header longer than {} KiB", HEADER_BYTES_MAX / 1024)));
        }
        Step::NeedMore
    }

    /// The server closed the connection before [`Self::feed`] decided.
    #[must_use]
    pub fn closed(&self) -> String {
        if self.answered() {
            format!("connection closed inside the header, after {}", quote(&self.answer))
        } else {
            String::from("connection closed without an answer")
        }
    }

    /// The connection ended: that may be the end of the body.
    pub(super) fn ended(&mut self) -> Result<(), String> {
        let Some(framing) = self.framing else { return Err(self.closed()) };
        match self.judge_body(framing, true) {
            Step::Done(result) => result,
            Step::NeedMore => Err(String::from("connection closed inside the body")),
        }
    }

    fn judge_body(&self, framing: Framing, closed: bool) -> Step {
        let Some(pattern) = &self.body else { return Step::Done(Ok(())) };
        let unchunked;
        let (body, whole) = match framing {
            Framing::Length(length) => {
                let body = self.answer.get(..length.min(self.answer.len())).unwrap_or_default();
                (body, self.answer.len() >= length)
            }
            Framing::Chunked => {
                let whole;
                (unchunked, whole) = unchunk(&self.answer);
                (unchunked.as_slice(), whole)
            }
            Framing::Close => (self.answer.as_slice(), false),
        };
        match pattern.judge(body, whole || closed) {
            Match::Yes(_) => Step::Done(Ok(())),
            Match::Never => Step::Done(Err(pattern.complaint(body))),
            Match::NotYet => Step::NeedMore,
        }
    }

    /// Whether the first bytes fit `HTTP/`, with the empty lines before it that parsers tolerate.
    fn may_be_http(&self) -> bool {
        let start = self.answer.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(self.answer.len());
        let first = self.answer.get(start..).unwrap_or_default();
        first.iter().zip(b"HTTP/").all(|(have, want)| have == want)
    }

    /// Each round drops one interim answer, so the size of the header bounds the loop.
    fn parse(&mut self) -> Option<Result<(), String>> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
            let mut response = httparse::Response::new(&mut fields);
            let end = match response.parse(&self.answer) {
                Ok(httparse::Status::Complete(end)) => end,
                Ok(httparse::Status::Partial) => return None,
                Err(httparse::Error::TooManyHeaders) => {
                    return Some(Err(format!("more than {FIELDS_MAX} header fields")));
                }
                Err(e) => return Some(Err(format!("not an HTTP answer ({e}): {}", quote(&self.answer)))),
            };
            let Some(code) = response.code else {
                return Some(Err(format!("no status in {}", quote(&self.answer))));
            };
            if self.wanted.contains(code) {
                if self.body.is_none() {
                    return Some(Ok(()));
                }
                self.framing = Some(framing(response.headers));
                self.answer.drain(..end.min(self.answer.len()));
                return None;
            }
            // 101 is final for us: we asked for no other protocol.
            if !(100..200).contains(&code) || code == 101 {
                return Some(Err(format!("status {code}, wanted {}", self.wanted)));
            }
            self.answer.drain(..end.min(self.answer.len()));
            self.passed = self.passed.saturating_add(end.max(1));
        }
    }
}

/// The request for a page of a source of load.
pub(super) fn page_request(target: SocketAddr, path: &str) -> Vec<u8> {
    request(target, "GET", path, None, &[])
}

/// The value of a header, or the body, of an answer with a good status. `None`: more must come.
pub(super) fn find(answer: &[u8], header: Option<&str>, closed: bool) -> Option<Result<Vec<u8>, String>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let end = match response.parse(answer) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return None,
        Err(e) => return Some(Err(format!("not an HTTP answer ({e}): {}", quote(answer)))),
    };
    let code = response.code.unwrap_or(0);
    if !(200..300).contains(&code) {
        return Some(Err(format!("status {code}, wanted 200-299")));
    }
    if let Some(name) = header {
        let found = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        return Some(found.map(|field| field.value.to_vec()).ok_or_else(|| format!("no header {name}")));
    }
    let rest = answer.get(end..).unwrap_or_default();
    let (body, whole) = match framing(response.headers) {
        Framing::Length(length) => (rest.get(..length).unwrap_or(rest).to_vec(), rest.len() >= length),
        Framing::Chunked => unchunk(rest),
        Framing::Close => (rest.to_vec(), closed),
    };
    whole.then_some(Ok(body))
}

fn framing(headers: &[httparse::Header<'_>]) -> Framing {
    let field = |name: &str| {
        let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        core::str::from_utf8(header.value).ok().map(str::trim)
    };
    if field("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked")) {
        return Framing::Chunked;
    }
    field("content-length").and_then(|value| value.parse().ok()).map_or(Framing::Close, Framing::Length)
}

/// The content of the chunks so far, and whether the last one came (RFC 9112 section 7.1). Each round takes a line.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let line = rest.get(..end).unwrap_or_default();
        rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let number = line.get(..digits).and_then(|d| core::str::from_utf8(d).ok());
        let Some(length) = number.and_then(|text| usize::from_str_radix(text, 16).ok()) else {
            return (body, true);
        };
        if length == 0 {
            return (body, true);
        }
        let piece = rest.get(..length.min(rest.len())).unwrap_or_default();
        body.extend_from_slice(piece);
        // The chunk is followed by a line end.
        rest = rest.get(length.saturating_add(2)..).unwrap_or_default();
    }
    (body, false)
}

fn request(
    target: SocketAddr,
    method: &str,
    path: &str,
    host: Option<&Text>,
    headers: &[Escaped],
) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: ");
    match host {
        // A bare IPv6 address needs brackets (RFC 3986 section 3.2.2).
        Some(host) if host.as_str().parse::<Ipv6Addr>().is_ok() => {
            push(&mut text, format_args!("[{host}]", host = host.as_str()))
        }
        Some(host) => text.push_str(host.as_str()),
        None => {
            match target.ip() {
                IpAddr::V4(a) => push(&mut text, format_args!("{a}")),
                IpAddr::V6(a) => push(&mut text, format_args!("[{a}]")),
            }
            if target.port() != HTTP_PORT {
                push(&mut text, format_args!(":{}", target.port()));
            }
        }
    }
    text.push_str("\r\nUser-Agent: director-check\r\nAccept: */*\r\nConnection: close\r\n");
    if method == "POST" {
        text.push_str("Content-Length: 0\r\n");
    }
    let mut bytes = text.into_bytes();
    for header in headers {
        bytes.extend_from_slice(&header.bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn push(text: &mut String, part: core::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible = text.write_fmt(part);
}

#[cfg(test)]
mod tests;
