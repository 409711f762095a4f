//! The SNTP client (RFC 4330; packets and sanity checks of RFC 5905): which time it is, asked of the configured servers.
//!
//! ```text
//!  due ──ask every server──> waiting ──all answered or silent──> agreed: set the clock, wait 17 minutes
//!   ^                                             └─> nobody, or no majority: wait 4 s, 8 s .. 17 minutes
//!   └───────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//! Pure: answers and the monotonic time of question and answer in, the wall clock's time out. What it keeps is the wall
//! clock's time at boot, so that a wall clock that was wrong by decades has no part in it. The times of one round that are
//! within [`AGREE_US`] of each other agree; more than half of all answers must, and of these the one that came
//! fastest counts.

use crate::model::{Millis, Mono};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// Bytes of a question and of an answer without extensions.
pub const PACKET: usize = 48;
/// UDP port.
pub const PORT: u16 = 123;
/// How long an answer is waited for. Chosen: twice round the earth, and a busy server.
pub const ANSWER_WAIT: Millis = Millis::from_secs(2);
/// Between rounds while nothing is known, doubled each time.
const FIRST_WAIT: Millis = Millis::from_secs(4);
/// Between rounds (RFC 5905 section 7.2, MAXPOLL 10).
const POLL: Millis = Millis::from_secs(1024);
/// Times this close agree. Chosen: more than an asymmetric path takes, less than a person sees.
const AGREE_US: u64 = 500_000;
/// A smaller error is left alone. Chosen: commits are shown to the minute, checks need no wall clock.
const STEP_US: u64 = 20_000;
/// A larger one is worth a line in the log.
const LOGGED_US: u64 = 1_000_000;
/// Rounds that a server that asks for fewer questions is left out of.
const RATE_ROUNDS: u32 = 4;
/// Without an agreed time for so long there is an alarm.
const OVERDUE: Millis = Millis::from_secs(3 * 3600);
/// The same when there never was one.
const NEVER: Millis = Millis::from_secs(600);
/// Seconds from 1900 to 1970.
const TO_1970_S: u64 = 2_208_988_800;
/// 2026-01-01: no time before it is believed, and it tells the first era of NTP from the second, which begins in 2036.
const OLDEST_UNIX_S: u64 = 1_767_225_600;

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Ask a server; [`Client::answered`] is called exactly once for it.
    Ask {
        /// Whom.
        server: IpAddr,
        /// The datagram.
        packet: [u8; PACKET],
    },
    /// It is this time now.
    Set {
        /// Microseconds since 1970.
        unix_us: u64,
    },
    /// Worth a line in the log.
    Log(String),
}

/// What a server said last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its address.
    pub address: IpAddr,
    /// When it last told a time.
    pub heard: Option<Mono>,
    /// Distance from a reference clock.
    pub stratum: Option<u8>,
    /// Microseconds that question and answer were under way.
    pub delay_us: Option<u64>,
    /// What is wrong with it.
    pub trouble: Option<String>,
}

/// What is known of the time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// Who set the clock last, and when.
    pub set: Option<(IpAddr, Mono)>,
    /// The servers as configured.
    pub servers: Vec<ServerStatus>,
    /// When they are asked again.
    pub next: Option<Mono>,
}

#[derive(Clone, Debug)]
struct Server {
    status: ServerStatus,
    /// The transmit time of our question, which the answer repeats.
    stamp: u64,
    waiting: bool,
    /// The wall clock's microseconds at boot, by the answer of this round.
    epoch_us: Option<u64>,
    /// Rounds that it is left out of; for ever: [`u32::MAX`].
    rests: u32,
}

/// The client.
#[derive(Clone, Debug)]
pub struct Client {
    random: u64,
    servers: Vec<Server>,
    /// When the next round begins; `None` while one runs, and without servers.
    due: Option<Mono>,
    /// Rounds in a row that led to no time.
    failed: u32,
    /// The wall clock's microseconds at boot.
    epoch_us: Option<u64>,
    set: Option<(IpAddr, Mono)>,
    /// Since when servers are configured.
    since: Mono,
}

impl Client {
    /// Without servers. `seed` makes the numbers by which answers are known.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: seed,
            servers: Vec::new(),
            due: None,
            failed: 0,
            epoch_us: None,
            set: None,
            since: Mono::ZERO,
        }
    }

    /// These servers are asked from now on.
    pub fn configure(&mut self, addresses: &[IpAddr], now: Mono) {
        if self.servers.iter().map(|s| s.status.address).eq(addresses.iter().copied()) {
            return;
        }
        let fresh = |address: &IpAddr| Server {
            status: ServerStatus {
                address: *address,
                heard: None,
                stratum: None,
                delay_us: None,
                trouble: None,
            },
            stamp: 0,
            waiting: false,
            epoch_us: None,
            rests: 0,
        };
        // An answer under way to a question of before is not waited for: its stamp fits no more.
        self.servers = addresses.iter().map(fresh).collect();
        (self.failed, self.since) = (0, now);
        self.due = (!self.servers.is_empty()).then_some(now);
    }

    /// When [`Self::on_deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.due
    }

    /// Begins a round when it is time.
    pub fn on_deadline(&mut self, now: Mono, out: &mut Vec<Output>) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        for server in &mut self.servers {
            server.epoch_us = None;
            if server.rests > 0 {
                server.rests =
                    if server.rests == u32::MAX { u32::MAX } else { server.rests.saturating_sub(1) };
                continue;
            }
            self.random = mix(self.random);
            (server.stamp, server.waiting) = (self.random, true);
            let mut packet = [0; PACKET];
            // Leap 0, version 4, mode 3; all else is zero but the transmit time, which is no time: nobody needs ours.
            packet[0] = 0x23;
            packet[40..].copy_from_slice(&server.stamp.to_be_bytes());
            out.push(Output::Ask { server: server.status.address, packet });
        }
        self.decide(now, out);
    }

    /// What came back for [`Output::Ask`]: a datagram, or nothing in time.
    pub fn answered(
        &mut self,
        address: IpAddr,
        (sent, received): (Mono, Mono),
        datagram: Option<&[u8]>,
        now: Mono,
        out: &mut Vec<Output>,
    ) {
        let asked = |server: &&mut Server| server.status.address == address && server.waiting;
        let Some(server) = self.servers.iter_mut().find(asked) else { return };
        server.waiting = false;
        let took_us = received.micros_since(sent);
        match datagram.ok_or(Trouble::Silent).and_then(|d| Answer::read(d, server.stamp)) {
            Ok(answer) => {
                let delay_us = took_us.saturating_sub(answer.held_us());
                server.status.heard = Some(received);
                server.status.stratum = Some(answer.stratum);
                server.status.delay_us = Some(delay_us);
                server.status.trouble = None;
                let unix_us = answer.transmitted_us.saturating_add(delay_us / 2);
                server.epoch_us = unix_us.checked_sub(received.micros());
            }
            Err(trouble) => {
                server.rests = match trouble {
                    Trouble::TooOften => RATE_ROUNDS,
                    Trouble::Denied => u32::MAX,
                    Trouble::Silent | Trouble::NotSet | Trouble::Nonsense => 0,
                };
                server.status.trouble = Some(trouble.words().to_string());
            }
        }
        self.decide(now, out);
    }

    /// The end of a round.
    fn decide(&mut self, now: Mono, out: &mut Vec<Output>) {
        if self.due.is_some() || self.servers.iter().any(|s| s.waiting) || self.servers.is_empty() {
            return;
        }
        let told = || self.servers.iter().filter_map(|s| Some((s.epoch_us?, s)));
        let all = told().count();
        let agree = |epoch: u64| told().filter(|(other, _)| other.abs_diff(epoch) <= AGREE_US).count();
        let best = told().max_by_key(|(epoch, s)| {
            (agree(*epoch), core::cmp::Reverse(s.status.delay_us.unwrap_or(u64::MAX)))
        });
        let best = best.filter(|(epoch, _)| agree(*epoch).saturating_mul(2) > all);
        let chosen = best.map(|(epoch, s)| (epoch, s.status.address));
        if let Some((epoch, address)) = chosen {
            self.failed = 0;
            self.agreed(epoch, address, now, out);
        } else {
            self.failed = self.failed.saturating_add(1);
            if self.failed == 1 && all > 1 {
                out.push(Output::Log(String::from(DISAGREE)));
            }
        }
        self.due = Some(now.after(self.wait())).filter(|_| self.servers.iter().any(|s| s.rests < u32::MAX));
    }

    fn agreed(&mut self, epoch: u64, address: IpAddr, now: Mono, out: &mut Vec<Output>) {
        let wrong_by = self.epoch_us.map(|before| before.abs_diff(epoch));
        self.set = Some((address, now));
        if wrong_by.is_some_and(|wrong| wrong < STEP_US) {
            return;
        }
        self.epoch_us = Some(epoch);
        out.push(Output::Set { unix_us: epoch.saturating_add(now.micros()) });
        match wrong_by {
            None => out.push(Output::Log(format!("the clock is set by {address}"))),
            Some(wrong) if wrong >= LOGGED_US => {
                out.push(Output::Log(format!(
                    "the clock was wrong by {} s, says {address}",
                    wrong / LOGGED_US
                )));
            }
            Some(_) => {}
        }
    }

    /// Until the next round.
    fn wait(&self) -> Millis {
        if self.failed == 0 {
            return POLL;
        }
        let doubled = 1_u32.checked_shl(self.failed.saturating_sub(1)).unwrap_or(u32::MAX);
        Millis::new(FIRST_WAIT.get().saturating_mul(doubled)).min(POLL)
    }

    /// For `show time`.
    #[must_use]
    pub fn status(&self) -> Status {
        let servers = self.servers.iter().map(|s| s.status.clone()).collect();
        Status { set: self.set, servers, next: self.due }
    }

    /// What is wrong.
    #[must_use]
    pub fn alarm(&self, now: Mono) -> Option<String> {
        if self.servers.is_empty() {
            return None;
        }
        let (since, patience) = match self.set {
            Some((_, at)) => (at, OVERDUE),
            None => (self.since, NEVER),
        };
        (since.after(patience) <= now).then(|| {
            let told = self.servers.iter().filter(|s| s.epoch_us.is_some()).count();
            let why = if told > 1 { DISAGREE } else { "no time server tells the time: show time" };
            format!("system time-server: {why}")
        })
    }
}

const DISAGREE: &str = "the time servers disagree, the clock is left as it is: show time";

/// Why a datagram tells no time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    Silent,
    /// Kiss of death RATE.
    TooOften,
    /// Any other kiss of death.
    Denied,
    NotSet,
    Nonsense,
}

impl Trouble {
    const fn words(self) -> &'static str {
        match self {
            Self::Silent => "no answer",
            Self::TooOften => "asks for fewer questions",
            Self::Denied => "refuses to answer",
            Self::NotSet => "its own clock is not set",
            Self::Nonsense => "what came is no answer",
        }
    }
}

/// What a server answered.
#[derive(Clone, Copy, Debug)]
struct Answer {
    stratum: u8,
    received_us: u64,
    transmitted_us: u64,
}

impl Answer {
    /// Reads a datagram that answers the question with this stamp.
    fn read(datagram: &[u8], stamp: u64) -> Result<Self, Trouble> {
        const MODE_SERVER: u8 = 4;
        let field = |at: usize| -> Result<u64, Trouble> {
            let bytes = datagram.get(at..at.saturating_add(8)).ok_or(Trouble::Nonsense)?;
            Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| Trouble::Nonsense)?))
        };
        let (Some(first), Some(stratum)) = (datagram.first(), datagram.get(1)) else {
            return Err(Trouble::Nonsense);
        };
        if first & 7 != MODE_SERVER || field(24)? != stamp {
            return Err(Trouble::Nonsense);
        }
        match (*stratum, datagram.get(12..16)) {
            (0, Some(b"RATE")) => return Err(Trouble::TooOften),
            (0, _) => return Err(Trouble::Denied),
            (1..=15, _) if first >> 6 != 3 => {}
            _ => return Err(Trouble::NotSet),
        }
        let (received_us, transmitted_us) = (unix_us(field(32)?)?, unix_us(field(40)?)?);
        if transmitted_us < received_us {
            return Err(Trouble::Nonsense);
        }
        Ok(Self { stratum: *stratum, received_us, transmitted_us })
    }

    /// How long the server kept the question.
    const fn held_us(self) -> u64 {
        self.transmitted_us.saturating_sub(self.received_us)
    }
}

/// A time stamp of NTP: seconds since 1900 modulo 2^32, and their fraction.
fn unix_us(stamp: u64) -> Result<u64, Trouble> {
    if stamp == 0 {
        return Err(Trouble::NotSet);
    }
    let (seconds, fraction) = (stamp >> 32, stamp & 0xffff_ffff);
    let oldest = OLDEST_UNIX_S.saturating_add(TO_1970_S);
    let era = if seconds < (oldest & 0xffff_ffff) { 1_u64 << 32 } else { 0 };
    let unix_s = seconds.saturating_add(era).checked_sub(TO_1970_S).ok_or(Trouble::NotSet)?;
    Ok(unix_s.saturating_mul(1_000_000).saturating_add(fraction.saturating_mul(1_000_000) >> 32))
}

/// A number that nobody guesses from the one before who does not know it (`SplitMix64`).
const fn mix(number: u64) -> u64 {
    crate::health::mix(number)
}

#[cfg(test)]
mod tests;
