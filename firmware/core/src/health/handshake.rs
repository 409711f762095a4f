//! TCP handshakes that end half way, without I/O: the question "does somebody listen there" and nothing more.
//!
//! ```text
//! start ── SYN ──> server ── SYN+ACK ──> it listens     (the kernel, which knows of no connection, answers with a reset)
//!                         ── RST ──────> refused
//!                         ── ICMP error ─> unreachable
//!                         ── nothing ──> SYN again after 1 s, 3 s, ... until the deadline
//! ```
//!
//! A server's kernel answers a SYN exactly when it would complete the connection: it drops SYNs when the queue of the listening
//! program is full (Linux `tcp_conn_request`). The program itself never hears of the question, and it costs this box half
//! of what a socket would (docs/checks.md).
//!
//! Each run ends once: by the first answer that names its ports and its sequence number, or by [`Handshakes::due`] at its
//! deadline. Whatever else comes changes nothing.

use super::client::FIRST_PORT;
use super::mix;
use super::schedule::IN_FLIGHT_MAX;
use crate::model::{Millis, Mono};
use crate::wire::tcp::{Segment, flag};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// First wait for an answer (RFC 6298 section 2: 1 s; Linux `TCP_TIMEOUT_INIT`). Each further one is twice as long.
const RESEND: Millis = Millis::from_secs(1);
/// Largest segment that is announced. Chosen: what fits every Ethernet; nothing is ever sent.
const SEGMENT_BYTES: u16 = 1460;
/// Window that is announced. Chosen: a usual one.
const WINDOW: u16 = 64_240;

// Ports are never the bound.
const _: () = assert!(IN_FLIGHT_MAX < 65_536 - 61_000 && FIRST_PORT == 61_000, "a port for each run");

/// What an answer says about a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended<T> {
    /// What the run was started with.
    pub tag: T,
    /// Address that it was asked from.
    pub own: IpAddr,
    /// Who was asked.
    pub target: SocketAddr,
    /// Time since its start in microseconds.
    pub took_us: u64,
    /// What it was given in all, in microseconds.
    pub given_us: u64,
    /// How.
    pub how: How,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Somebody listens.
    Listens,
    /// The server reset it.
    Refused,
    /// Some box on the way reported this error, a number of `errno(3)`.
    Reported(u32),
    /// Nobody answered in time.
    Silent,
}

#[derive(Clone, Debug)]
struct Run<T> {
    tag: T,
    own: IpAddr,
    target: SocketAddr,
    /// Sequence number of the SYN.
    first: u32,
    began: Mono,
    deadline: Mono,
    /// Until it is sent again.
    wait: Millis,
    /// When it is looked at next.
    due: Mono,
}

/// Those under way, each on a local port of its own.
#[derive(Clone, Debug)]
pub struct Handshakes<T> {
    runs: BTreeMap<u16, Run<T>>,
    due: BTreeSet<(Mono, u16)>,
    last: u16,
    random: u64,
}

impl<T> Handshakes<T> {
    /// None. Whoever guesses `random` can answer for a server.
    #[must_use]
    pub fn new(random: u64) -> Self {
        let [a, b, ..] = random.to_le_bytes();
        let last = FIRST_PORT.saturating_add(u16::from_le_bytes([a, b]) % 4000);
        Self { runs: BTreeMap::new(), due: BTreeSet::new(), last, random }
    }

    /// Begins a run and gives its port and the packet that is to be sent, or the tag when every port is taken.
    pub fn start(
        &mut self,
        tag: T,
        (own, target): (IpAddr, SocketAddr),
        now: Mono,
        deadline: Mono,
    ) -> Result<(u16, Vec<u8>), T> {
        let Some(port) = self.port() else { return Err(tag) };
        self.random = mix(self.random);
        let [a, b, c, d, ..] = mix(self.random ^ u64::from(port)).to_le_bytes();
        let first = u32::from_le_bytes([a, b, c, d]);
        let due = now.after(RESEND).min(deadline);
        let run = Run { tag, own, target, first, began: now, deadline, wait: RESEND, due };
        let packet = run.syn(port);
        self.due.insert((due, port));
        self.runs.insert(port, run);
        Ok((port, packet))
    }

    /// The next port that is free: none is taken again before all others were.
    fn port(&mut self) -> Option<u16> {
        for _ in FIRST_PORT..=u16::MAX {
            self.last = self.last.checked_add(1).unwrap_or(FIRST_PORT);
            if !self.runs.contains_key(&self.last) {
                return Some(self.last);
            }
        }
        None
    }

    /// A segment to `port`, from `source`.
    pub fn segment(
        &mut self,
        (source, port): (SocketAddr, u16),
        (flags, acknowledgement): (u8, u32),
        now: Mono,
    ) -> Option<Ended<T>> {
        let run = self.runs.get(&port)?;
        let answers = flags & flag::ACK != 0 && acknowledgement == run.first.wrapping_add(1);
        if !answers || !same(run.target, source) {
            return None;
        }
        let how = match (flags & flag::RST != 0, flags & flag::SYN != 0) {
            (true, _) => How::Refused,
            (false, true) => How::Listens,
            (false, false) => return None,
        };
        self.end(port, how, now)
    }

    /// An ICMP error about the packet that went from `port` to `target` with this sequence number.
    pub fn reported(
        &mut self,
        (port, target): (u16, SocketAddr),
        sequence: u32,
        errno: u32,
        now: Mono,
    ) -> Option<Ended<T>> {
        let run = self.runs.get(&port)?;
        if run.first != sequence || !same(run.target, target) {
            return None;
        }
        self.end(port, How::Reported(errno), now)
    }

    /// Takes back the run on this port, whose packet could not be sent.
    pub fn give_up(&mut self, port: u16) -> Option<T> {
        let run = self.runs.remove(&port)?;
        self.due.remove(&(run.due, port));
        Some(run.tag)
    }

    /// What is due: packets to be sent again, each with whom it is for, and runs whose time is over. At most `most` at a time.
    pub fn due(&mut self, now: Mono, most: usize, again: &mut Vec<(SocketAddr, Vec<u8>)>) -> Vec<Ended<T>> {
        let mut ended = Vec::new();
        for _ in 0..most {
            let Some((at, port)) = self.due.first().copied().filter(|(at, _)| *at <= now) else { break };
            self.due.remove(&(at, port));
            let Some(run) = self.runs.get_mut(&port) else { continue };
            if run.deadline <= now {
                ended.extend(self.end(port, How::Silent, now));
                continue;
            }
            run.wait = Millis::new(run.wait.get().saturating_mul(2));
            run.due = now.after(run.wait).min(run.deadline);
            again.push((run.target, run.syn(port)));
            self.due.insert((run.due, port));
        }
        ended
    }

    /// When [`Self::due`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How many are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    fn end(&mut self, port: u16, how: How, now: Mono) -> Option<Ended<T>> {
        let run = self.runs.remove(&port)?;
        self.due.remove(&(run.due, port));
        let Run { tag, own, target, began, deadline, .. } = run;
        let (took_us, given_us) = (now.micros_since(began), deadline.micros_since(began));
        Some(Ended { tag, own, target, took_us, given_us, how })
    }
}

impl<T> Run<T> {
    fn syn(&self, port: u16) -> Vec<u8> {
        let segment = Segment {
            source: SocketAddr::new(self.own, port),
            destination: self.target,
            sequence: self.first,
            acknowledgement: 0,
            flags: flag::SYN,
            window: WINDOW,
            mss: Some(SEGMENT_BYTES),
            payload: Vec::new(),
        };
        segment.packet()
    }
}

/// The scope of a link-local address is not in the packet.
fn same(one: SocketAddr, other: SocketAddr) -> bool {
    one.ip() == other.ip() && one.port() == other.port()
}

#[cfg(test)]
mod tests;
