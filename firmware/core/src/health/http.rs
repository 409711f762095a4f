//! The dialogue of an HTTP check, without I/O: the request to send, and a verdict from the bytes that come back.
//!
//! The status line decides as soon as the header is complete; the body is not read. Interim answers (RFC 9110
//! section 15.2) are passed over. Every end has words for the operator.

use super::words::quote;
use crate::model::config::HttpCheck;
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
    wanted: (u16, u16),
}

impl Dialogue {
    /// The exchange that asks `target`.
    #[must_use]
    pub fn new(target: SocketAddr, check: &HttpCheck) -> Self {
        Self { request: request(target, check), answer: Vec::new(), passed: 0, wanted: check.status }
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
        let room = HEADER_BYTES_MAX.saturating_sub(self.passed).saturating_sub(self.answer.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.answer.extend_from_slice(taken);
        // Only a line end can complete a header; parsing at each byte of a slow answer would be quadratic.
        let worth_parsing = taken.contains(&b'\n') || !self.may_be_http();
        if worth_parsing && let Some(result) = self.parse() {
            return Step::Done(result);
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
            let (first, last) = self.wanted;
            if (first..=last).contains(&code) {
                return Some(Ok(()));
            }
            // 101 is final for us: we asked for no other protocol.
            if !(100..200).contains(&code) || code == 101 {
                let wanted = if first == last { format!("{first}") } else { format!("{first}-{last}") };
                return Some(Err(format!("status {code}, wanted {wanted}")));
            }
            self.answer.drain(..end.min(self.answer.len()));
            self.passed = self.passed.saturating_add(end.max(1));
        }
    }
}

fn request(target: SocketAddr, check: &HttpCheck) -> Vec<u8> {
    let mut text = format!("GET {} HTTP/1.1\r\nHost: ", check.path.as_str());
    match &check.host {
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
    text.push_str("\r\nUser-Agent: director-check\r\nAccept: */*\r\nConnection: close\r\n\r\n");
    text.into_bytes()
}

fn push(text: &mut String, part: core::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible = text.write_fmt(part);
}

#[cfg(test)]
mod tests;
