//! Small questions in one datagram: NTP, SIP OPTIONS (also over TCP), and any payload.

use super::super::words::quote;
use super::pattern::{Match, Pattern};
use super::reader::Reader;
use super::{Machine, Step};
use crate::health::ProbeId;
use crate::model::check;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// A datagram comes whole: what ends a stream does not end this.
fn never_closed() -> Result<(), String> {
    Err(String::from("connection closed without an answer"))
}

/// A payload, and perhaps a reply. Without one silence is good, because an unreachable port is told by ICMP.
#[derive(Debug)]
pub(super) struct Udp {
    payload: Vec<u8>,
    reply: Option<Pattern>,
    have: Vec<u8>,
}

impl Udp {
    pub(super) fn new(details: &check::Udp) -> Self {
        Self {
            payload: details.payload.as_ref().map(|p| p.bytes()).unwrap_or_default(),
            reply: details.reply.as_ref().map(|reply| Pattern::new(reply, details.compare)),
            have: Vec::new(),
        }
    }
}

impl Machine for Udp {
    fn open(&mut self) -> Step {
        Step::Send(self.payload.clone())
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        let Some(reply) = &self.reply else { return Step::Done(Ok(())) };
        match reply.judge(bytes, true) {
            Match::Yes(_) => Step::Done(Ok(())),
            Match::NotYet | Match::Never => Step::Done(Err(reply.complaint(bytes))),
        }
    }

    fn closed(&mut self) -> Result<(), String> {
        never_closed()
    }

    fn silent(&self) -> Option<Result<(), String>> {
        match &self.reply {
            None => Some(Ok(())),
            Some(reply) if !self.have.is_empty() => Some(Err(reply.complaint(&self.have))),
            Some(_) => None,
        }
    }
}

/// Client mode, version 4 (RFC 5905 section 7.3).
#[derive(Debug)]
pub(super) struct Ntp {
    /// Our transmit time, which the answer repeats: any number will do.
    stamp: [u8; 8],
}

impl Ntp {
    pub(super) fn new(id: ProbeId) -> Self {
        Self { stamp: super::radius::mix(id.0).to_be_bytes() }
    }

    fn judge(&self, packet: &[u8]) -> Result<Result<(), String>, ()> {
        const MODE_SERVER: u8 = 4;
        let mut reader = Reader(packet);
        let first = reader.u8().ok_or(())?;
        let stratum = reader.u8().ok_or(())?;
        reader.take(10).ok_or(())?;
        let reference = reader.array::<4>().ok_or(())?;
        reader.take(8).ok_or(())?;
        if reader.array::<8>() != Some(self.stamp) || first & 7 != MODE_SERVER {
            // Not an answer to this question.
            return Err(());
        }
        reader.take(16).ok_or(())?;
        Ok(match stratum {
            0 => Err(format!("refuses with {}", quote(&reference))),
            1..=15 if first >> 6 == 3 => Err(String::from("its clock is not synchronised")),
            1..=15 => Ok(()),
            _ => Err(format!("its clock is not synchronised (stratum {stratum})")),
        })
    }
}

impl Machine for Ntp {
    fn open(&mut self) -> Step {
        // Leap 0, version 4, mode 3; all else is zero but the transmit time at the end.
        let mut packet = Vec::from([0x23]);
        packet.resize(40, 0);
        packet.extend_from_slice(&self.stamp);
        Step::Send(packet)
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        self.judge(bytes).map_or(Step::Wait, Step::Done)
    }

    fn closed(&mut self) -> Result<(), String> {
        never_closed()
    }
}

/// OPTIONS (RFC 3261 section 11); 200 is good.
#[derive(Debug)]
pub(super) struct Sip {
    request: String,
    have: Vec<u8>,
}

impl Sip {
    pub(super) fn new(details: &check::Sip, target: SocketAddr, id: ProbeId) -> Self {
        let uri = details.uri.as_ref().map_or_else(|| format!("sip:{target}"), |uri| uri.as_str().into());
        let transport = if details.tcp { "TCP" } else { "UDP" };
        let number = super::radius::mix(id.0);
        // The answer comes back to where the packet came from (RFC 3581), so the name in Via does not matter.
        let request = format!(
            "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} director.invalid;branch=z9hG4bK{number:x};rport\r\n\
             Max-Forwards: 70\r\nTo: <{uri}>\r\nFrom: <sip:director@director.invalid>;tag={number:x}\r\n\
             Call-ID: {number:x}@director.invalid\r\nCSeq: 1 OPTIONS\r\nAccept: application/sdp\r\n\
             Content-Length: 0\r\n\r\n"
        );
        Self { request, have: Vec::new() }
    }

    /// Judges whole messages in `have`. Provisional ones are taken out; each round takes at least one line.
    fn judge(&mut self) -> Step {
        loop {
            let Some(end) = self.have.iter().position(|b| *b == b'\n') else { return self.partial() };
            let line = self.have.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                self.have.drain(..=end);
                continue;
            }
            let Some(rest) = line.strip_prefix(b"SIP/2.0 ") else {
                return Step::Done(Err(format!("not a SIP answer: {}", quote(line))));
            };
            return match rest {
                [b'2', b'0', b'0', b' ', ..] | [b'2', b'0', b'0'] => Step::Done(Ok(())),
                [b'1', ..] => {
                    let Some(at) = self.have.windows(4).position(|w| w == b"\r\n\r\n") else {
                        return Step::Wait;
                    };
                    self.have.drain(..at.saturating_add(4));
                    continue;
                }
                other => Step::Done(Err(format!("answered {}, wanted 200", quote(other)))),
            };
        }
    }

    fn partial(&self) -> Step {
        if self.have.iter().zip(b"SIP/2.0 ").all(|(a, b)| a == b || matches!(a, b'\r')) {
            return Step::Wait;
        }
        Step::Done(Err(format!("not a SIP answer: {}", quote(&self.have))))
    }
}

impl Machine for Sip {
    fn open(&mut self) -> Step {
        Step::Send(self.request.clone().into_bytes())
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        self.have.extend_from_slice(bytes);
        self.judge()
    }

    fn closed(&mut self) -> Result<(), String> {
        never_closed()
    }
}
