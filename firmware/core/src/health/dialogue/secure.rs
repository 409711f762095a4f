//! A dialogue inside TLS.
//!
//! What TLS is made of needs more than this crate may have, so whoever runs a dialogue brings it as a [`Channel`]. When its
//! handshake begins and what is said inside is decided here.

use super::{Machine, Step};
use crate::model::check::{Question, Tls};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Most bytes of a server that a channel carries, its handshake included. Chosen: an answer of the greatest length, its
/// overhead, and a chain of certificates twice as long as any seen.
pub(super) const CARRIED_BYTES_MAX: usize = 256 * 1024;

/// One TLS connection: bytes in, bytes out.
pub trait Channel: fmt::Debug + Send {
    /// The bytes that go first.
    fn begin(&mut self) -> Vec<u8>;
    /// Takes bytes as they come. What is to be sent goes behind `out`, what was said behind `plain`.
    ///
    /// # Errors
    /// Why this is no connection to the server that was meant.
    fn feed(&mut self, bytes: &[u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), String>;
    /// Whether the handshake is over.
    fn is_open(&self) -> bool;
    /// Whether the server has ended the connection in an orderly way.
    fn ended(&self) -> bool;
    /// Protects bytes for the server.
    fn send(&mut self, bytes: &[u8]) -> Vec<u8>;
    /// End of the server's certificate, in seconds since 1970.
    fn certificate_ends(&self) -> Option<u64>;
}

/// Who makes a channel.
pub type MakeChannel<'a> = &'a mut dyn FnMut(&Tls) -> Option<Box<dyn Channel>>;

/// Whether a question can be asked inside TLS. `tcp`: SIP over TCP.
#[must_use]
pub const fn takes_tls(question: Question, tcp: bool) -> bool {
    match question {
        Question::Tcp
        | Question::SendExpect
        | Question::Http
        | Question::Smtp
        | Question::Pop3
        | Question::Imap
        | Question::Ftp
        | Question::Nntp
        | Question::Ldap
        | Question::Mysql
        | Question::Postgresql
        | Question::Redis => true,
        Question::Sip => tcp,
        Question::Dns
        | Question::Radius
        | Question::Ntp
        | Question::Udp
        | Question::Ping
        | Question::Up
        | Question::Down => false,
    }
}

/// Whether a question can begin in clear and go on inside TLS when it is told to. MySQL and PostgreSQL always do.
#[must_use]
pub const fn takes_starttls(question: Question) -> bool {
    matches!(
        question,
        Question::Smtp | Question::Pop3 | Question::Imap | Question::Ftp | Question::Nntp | Question::Ldap
    )
}

/// The handshake is all that is asked.
#[derive(Debug)]
pub(super) struct Handshake;

impl Machine for Handshake {
    fn open(&mut self) -> Step {
        Step::Done(Ok(()))
    }

    fn feed(&mut self, _: &[u8]) -> Step {
        Step::Done(Ok(()))
    }

    fn closed(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// How far the TLS of a dialogue is.
#[derive(Debug)]
pub(super) struct Secure {
    channel: Box<dyn Channel>,
    begun: bool,
    open: bool,
    carried: usize,
}

impl Secure {
    pub(super) fn new(channel: Box<dyn Channel>) -> Self {
        Self { channel, begun: false, open: false, carried: 0 }
    }

    /// Everything from here on is inside.
    pub(super) fn begin(&mut self) -> Vec<u8> {
        self.begun = true;
        self.channel.begin()
    }

    pub(super) const fn begun(&self) -> bool {
        self.begun
    }

    /// The handshake is under way.
    pub(super) const fn opening(&self) -> bool {
        self.begun && !self.open
    }

    pub(super) fn ended(&self) -> bool {
        self.channel.ended()
    }

    pub(super) fn certificate_ends(&self) -> Option<u64> {
        self.channel.certificate_ends()
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.channel.send(bytes)
    }

    /// Takes bytes: what was said, what is to be sent, and whether the handshake has just ended.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>, bool), String> {
        self.carried = self.carried.saturating_add(bytes.len());
        if self.carried > CARRIED_BYTES_MAX {
            return Err(format!("the server sent more than {} KiB", CARRIED_BYTES_MAX / 1024));
        }
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        self.channel.feed(bytes, &mut plain, &mut out)?;
        let opened = !self.open && self.channel.is_open();
        self.open |= opened;
        Ok((plain, out, opened))
    }
}
