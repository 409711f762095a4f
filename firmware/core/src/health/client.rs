//! The client's side of one TCP connection, without I/O: for questions that no socket of this box can ask.
//!
//! A server of direct routing holds the virtual address on its loopback device. The node that holds it too cannot
//! connect there with a socket: its kernel would talk to itself. So the segments are made here (RFC 9293, as much of it as a
//! question needs) and go out on a packet socket to the server's hardware address, from an address of the node's own.
//!
//! ```text
//! open ── SYN ──> Opening ── SYN+ACK / ACK ──> Open ── data, FIN ──> told to the caller
//!                    └─ RST ─> refused            └─ RST ─> reset
//! ```
//!
//! Left out on purpose: segments out of order are dropped and asked for again, there is no congestion control beyond the
//! server's window, and the connection ends with a reset, as that of every check does.

use crate::model::{Millis, Mono};
use crate::wire::tcp::{Segment, flag};
use alloc::vec::Vec;
use core::net::SocketAddr;

/// First local port of such connections; the last one is the last there is. Linux picks from 32768 to 60999 by itself.
pub const FIRST_PORT: u16 = 61_000;
/// First wait for an acknowledgement. Linux's shortest (`TCP_RTO_MIN`): the server is on the same segment.
const RESEND: Millis = Millis::new(200);
/// Longest wait. Chosen: a check rarely has more time than a second or two.
const RESEND_MAX: Millis = Millis::new(1600);
/// Largest segment that is sent and asked for: one that fits every Ethernet, also inside a VLAN or a tunnel.
const SEGMENT_BYTES: u16 = 1340;
/// Room that is announced. Without window scaling that is the most; a dialogue takes no more either.
const WINDOW: u16 = u16::MAX;

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Opening,
    Open,
    Over,
}

/// What a segment brought.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// The connection is there.
    pub connected: bool,
    /// Data in order, perhaps none.
    pub data: Vec<u8>,
    /// The server will send no more.
    pub closed: bool,
    /// The server refused the connection (before it was there) or reset it.
    pub reset: bool,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Client {
    local: SocketAddr,
    remote: SocketAddr,
    state: State,
    /// First byte that the server has not acknowledged.
    first: u32,
    /// What was sent and not acknowledged, or not sent yet.
    waiting: Vec<u8>,
    /// How much of it was sent.
    sent: usize,
    /// Next byte of the server.
    next: u32,
    /// Room that the server has.
    window: usize,
    mss: usize,
    wait: Millis,
    resend: Option<Mono>,
}

impl Client {
    /// Sends the SYN. `first` is the first sequence number; whoever guesses it can answer for the server, so take a random one.
    pub fn open(
        (local, remote): (SocketAddr, SocketAddr),
        first: u32,
        now: Mono,
        out: &mut Vec<Vec<u8>>,
    ) -> Self {
        let client = Self {
            local,
            remote,
            state: State::Opening,
            first,
            waiting: Vec::new(),
            sent: 0,
            next: 0,
            window: 0,
            mss: usize::from(SEGMENT_BYTES),
            wait: RESEND,
            resend: Some(now.after(RESEND)),
        };
        out.push(client.syn());
        client
    }

    /// Sends bytes as soon as the server has room.
    pub fn send(&mut self, bytes: &[u8], now: Mono, out: &mut Vec<Vec<u8>>) {
        self.waiting.extend_from_slice(bytes);
        self.flush(now, out);
    }

    /// A packet came; what does not belong to this connection brings nothing.
    pub fn segment(&mut self, packet: &[u8], now: Mono, out: &mut Vec<Vec<u8>>) -> Heard {
        let mut heard = Heard::default();
        let Ok(segment) = Segment::parse(packet) else { return heard };
        if segment.source != self.remote || segment.destination != self.local {
            return heard;
        }
        match self.state {
            State::Over => {}
            State::Opening => self.opening(&segment, now, out, &mut heard),
            State::Open => self.opened(&segment, now, out, &mut heard),
        }
        heard
    }

    /// RFC 9293 section 3.10.7.3.
    fn opening(&mut self, segment: &Segment, now: Mono, out: &mut Vec<Vec<u8>>, heard: &mut Heard) {
        if !segment.has(flag::ACK) || segment.acknowledgement != self.first.wrapping_add(1) {
            return;
        }
        if segment.has(flag::RST) {
            self.over();
            heard.reset = true;
        } else if segment.has(flag::SYN) {
            self.state = State::Open;
            self.first = segment.acknowledgement;
            self.next = segment.sequence.wrapping_add(1);
            self.window = usize::from(segment.window);
            self.mss = usize::from(segment.mss.unwrap_or(536).min(SEGMENT_BYTES)).max(1);
            self.wait = RESEND;
            self.resend = None;
            heard.connected = true;
            if self.waiting.is_empty() {
                out.push(self.packet(flag::ACK, self.first, &[]));
            }
            self.flush(now, out);
        }
    }

    /// RFC 9293 section 3.10.7.4, and section 3.5.3 of resets: only the exact next number counts (RFC 5961).
    fn opened(&mut self, segment: &Segment, now: Mono, out: &mut Vec<Vec<u8>>, heard: &mut Heard) {
        if segment.has(flag::RST) {
            if segment.sequence == self.next {
                self.over();
                heard.reset = true;
            }
            return;
        }
        if segment.has(flag::SYN) {
            // Our acknowledgement of its SYN was lost.
            out.push(self.packet(flag::ACK, self.unsent(), &[]));
            return;
        }
        if segment.has(flag::ACK) {
            self.acknowledged(segment, now);
        }
        // How much of the segment is old.
        let old = self.next.wrapping_sub(segment.sequence);
        let fresh = usize::try_from(old).ok().and_then(|old| segment.payload.get(old..));
        let mut answer = !segment.payload.is_empty();
        if let Some(fresh) = fresh {
            self.next = self.next.wrapping_add(u32::try_from(fresh.len()).unwrap_or(0));
            heard.data.extend_from_slice(fresh);
            if segment.has(flag::FIN) {
                self.next = self.next.wrapping_add(1);
                heard.closed = true;
                answer = true;
            }
        } else {
            answer |= segment.has(flag::FIN);
        }
        let before = out.len();
        self.flush(now, out);
        if answer && out.len() == before {
            out.push(self.packet(flag::ACK, self.unsent(), &[]));
        }
    }

    fn acknowledged(&mut self, segment: &Segment, now: Mono) {
        let count = usize::try_from(segment.acknowledgement.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        if count > self.sent {
            return;
        }
        self.window = usize::from(segment.window);
        if count > 0 {
            self.waiting.drain(..count);
            self.first = segment.acknowledgement;
            self.sent = self.sent.saturating_sub(count);
            self.wait = RESEND;
            self.resend = (self.sent > 0).then(|| now.after(RESEND));
        }
    }

    /// Sends what the server has room for.
    fn flush(&mut self, now: Mono, out: &mut Vec<Vec<u8>>) {
        if self.state != State::Open {
            return;
        }
        // Each round sends at least a byte.
        while self.sent < self.waiting.len().min(self.window) {
            let end = self.waiting.len().min(self.window).min(self.sent.saturating_add(self.mss));
            let bytes = self.waiting.get(self.sent..end).unwrap_or_default();
            out.push(self.packet(flag::ACK | flag::PSH, self.unsent(), bytes));
            self.sent = end;
            self.resend = self.resend.or_else(|| Some(now.after(self.wait)));
        }
    }

    /// Sends again what was not acknowledged in time. Call it at [`Self::next_deadline`].
    pub fn on_deadline(&mut self, now: Mono, out: &mut Vec<Vec<u8>>) {
        if self.resend.is_none_or(|at| at > now) {
            return;
        }
        self.wait = Millis::new(self.wait.get().saturating_mul(2)).min(RESEND_MAX);
        self.resend = None;
        match self.state {
            State::Opening => {
                out.push(self.syn());
                self.resend = Some(now.after(self.wait));
            }
            State::Open => {
                self.sent = 0;
                self.flush(now, out);
            }
            State::Over => {}
        }
    }

    /// When something is to be sent again.
    #[must_use]
    pub const fn next_deadline(&self) -> Option<Mono> {
        self.resend
    }

    /// The reset that ends the connection on the server; `None` when there is nothing to end.
    #[must_use]
    pub fn abort(&self) -> Option<Vec<u8>> {
        match self.state {
            State::Over => None,
            // Whatever SYN/ACK comes later finds nobody; the server forgets the half of a connection by itself.
            State::Opening => None,
            State::Open => Some(self.packet(flag::RST | flag::ACK, self.unsent(), &[])),
        }
    }

    fn over(&mut self) {
        self.state = State::Over;
        self.resend = None;
    }

    fn unsent(&self) -> u32 {
        self.first.wrapping_add(u32::try_from(self.sent).unwrap_or(0))
    }

    fn syn(&self) -> Vec<u8> {
        let segment = Segment { mss: Some(SEGMENT_BYTES), ..self.empty(flag::SYN, self.first) };
        segment.packet()
    }

    fn packet(&self, flags: u8, sequence: u32, bytes: &[u8]) -> Vec<u8> {
        Segment { payload: bytes.to_vec(), ..self.empty(flags, sequence) }.packet()
    }

    const fn empty(&self, flags: u8, sequence: u32) -> Segment {
        Segment {
            source: self.local,
            destination: self.remote,
            sequence,
            acknowledgement: if flags & flag::ACK == 0 { 0 } else { self.next },
            flags,
            window: WINDOW,
            mss: None,
            payload: Vec::new(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::as_conversions, reason = "test data; the numbers are small")]
mod tests;
