//! The DHCP client of one interface (RFC 2131 section 4.4): which address the outside lends us, and until when.
//!
//! ```text
//!            offer            ack
//! Searching ───────> Asking ───────> Bound ──t1──> Renewing ──t2──> Rebinding ──expiry──> Searching
//!     ^                │ nak, silence   ^  ack ───────┴──────────────────┘    nak ──────────^
//!     └────────────────┘                └─ link back: Verifying (asks for the lease that it has)
//! ```
//!
//! Pure: packets and time in, packets out. A lease is used until it expires or a server takes it back, whoever is silent
//! meanwhile; a restarted director goes on with the lease of its checkpoint without asking.

use crate::model::{Cidr, Millis, Mono};
use crate::wire::Mac;
use crate::wire::dhcp::{Answer, Kind, Question};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use serde::{Deserialize, Serialize};

/// First wait for an answer, doubled with each try (RFC 2131 section 4.1 says 4 s; a box that just started is waited for).
const FIRST_WAIT: Millis = Millis::from_secs(2);
/// Longest wait between two tries.
const LONGEST_WAIT: Millis = Millis::from_secs(64);
/// Requests for one offer, at most.
const ASK_MAX: u8 = 4;
/// Shortest wait between two tries to renew (RFC 2131 section 4.4.5).
const RENEW_WAIT_MIN: Millis = Millis::from_secs(60);
/// Shortest lease that is taken. Chosen: a shorter one could end while its renewal is under way.
const LEASE_MIN_S: u32 = 10;
/// Lease time that never ends.
const FOR_EVER: u32 = u32::MAX;

/// What a server lent us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// The address with its prefix length.
    pub address: Ipv4Addr,
    /// Length of the prefix.
    pub prefix: u8,
    /// First router.
    pub router: Option<Ipv4Addr>,
    /// Who lent it.
    pub server: Ipv4Addr,
    /// When it is renewed.
    pub renew: Mono,
    /// When any server is asked.
    pub rebind: Mono,
    /// When it ends; `None` never.
    pub expires: Option<Mono>,
}

impl Lease {
    /// As set on the device.
    #[must_use]
    pub fn cidr(&self) -> Cidr {
        Cidr::new(IpAddr::V4(self.address), self.prefix)
            .unwrap_or_else(|_| Cidr::host(IpAddr::V4(self.address)))
    }

    fn over(&self, now: Mono) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// What the client is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum State {
    /// No link: nothing is sent.
    Down,
    /// Looking for servers.
    Searching,
    /// Asking for an offer.
    Asking,
    /// Asking whether a lease from before still holds.
    Verifying,
    /// Has a lease.
    Bound,
    /// Asks its server for more time.
    Renewing,
    /// Asks any server for more time.
    Rebinding,
}

/// What the client wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send a message.
    Send {
        /// The DHCP message.
        message: Vec<u8>,
        /// Our address; `None`: there is none yet.
        from: Option<Ipv4Addr>,
        /// To this server; `None`: to all.
        to: Option<Ipv4Addr>,
    },
    /// The lease is another one, or its times are.
    Changed {
        /// In words.
        words: String,
        /// Whether address or router changed.
        address: bool,
    },
}

/// The client of one interface.
#[derive(Clone, Debug)]
pub struct Client {
    mac: Mac,
    hostname: Option<String>,
    random: u64,
    state: State,
    lease: Option<Lease>,
    offer: Option<Answer>,
    xid: u32,
    /// When the running exchange began.
    began: Mono,
    /// When the last request was sent: leases count from there.
    asked: Mono,
    tries: u8,
    deadline: Option<Mono>,
}

impl Client {
    /// Begins without link. `seed` makes transaction numbers and spreads the waits of many boxes that start at once;
    /// `lease` is what an earlier process had.
    #[must_use]
    pub fn new(mac: Mac, hostname: Option<String>, seed: u64, lease: Option<Lease>, now: Mono) -> Self {
        let lease = lease.filter(|l| !l.over(now));
        let mut client = Self {
            mac,
            hostname,
            random: seed,
            state: State::Down,
            lease,
            offer: None,
            xid: 0,
            began: now,
            asked: now,
            tries: 0,
            deadline: None,
        };
        client.deadline = lease.and_then(|l| l.expires);
        client
    }

    /// The lease in use.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The card that it speaks for.
    #[must_use]
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// When [`Client::on_deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadline
    }

    /// Goes on with a lease of an earlier process of this boot, without asking.
    pub fn resume(&mut self, now: Mono, out: &mut Vec<Output>) {
        if self.state == State::Down {
            match self.lease {
                Some(lease) => self.bind(lease),
                None => self.search(now, out),
            }
        }
    }

    /// The link came or went.
    pub fn link(&mut self, up: bool, now: Mono, out: &mut Vec<Output>) {
        match (up, self.state, self.lease) {
            (false, State::Down, _) => {}
            (false, _, lease) => {
                self.state = State::Down;
                self.deadline = lease.and_then(|l| l.expires);
            }
            // Perhaps it is another network now.
            (true, State::Down, Some(_)) => {
                self.begin(State::Verifying, now);
                self.ask(now, out);
            }
            (true, State::Down, None) => self.search(now, out),
            (true, _, _) => {}
        }
    }

    /// Takes a message of a server.
    pub fn heard(&mut self, message: &[u8], now: Mono, out: &mut Vec<Output>) {
        let Ok(answer) = Answer::parse(message) else { return };
        if answer.mac != self.mac || answer.xid != self.xid {
            return;
        }
        match (self.state, answer.kind) {
            (State::Searching, Kind::Offer) => self.offered(answer, now, out),
            (State::Asking | State::Verifying | State::Renewing | State::Rebinding, Kind::Ack) => {
                self.granted(&answer, now, out);
            }
            (State::Asking | State::Verifying | State::Renewing | State::Rebinding, Kind::Nak) => {
                self.refused(&answer, now, out);
            }
            _ => {}
        }
    }

    /// Time passed.
    pub fn on_deadline(&mut self, now: Mono, out: &mut Vec<Output>) {
        if self.deadline.is_none_or(|at| at > now) {
            return;
        }
        if let Some(lease) = self.lease.filter(|l| l.over(now)) {
            let words = format!("the lease of {} expired", lease.address);
            return self.lose(words, now, out);
        }
        let Some(lease) = self.lease else {
            return match self.state {
                State::Down => self.deadline = None,
                State::Asking if self.tries < ASK_MAX => self.ask(now, out),
                State::Searching => self.discover(now, out),
                State::Asking | State::Verifying | State::Bound | State::Renewing | State::Rebinding => {
                    self.search(now, out);
                }
            };
        };
        match self.state {
            State::Down => self.deadline = lease.expires,
            State::Verifying if self.tries < ASK_MAX && now < lease.rebind => self.ask(now, out),
            State::Rebinding => self.ask(now, out),
            _ if now >= lease.rebind => {
                self.begin(State::Rebinding, now);
                self.ask(now, out);
            }
            State::Renewing => self.ask(now, out),
            // Nobody says that it does not hold: it is used until somebody does (RFC 2131 section 3.2).
            _ if now < lease.renew => self.bind(lease),
            State::Searching | State::Asking | State::Verifying | State::Bound => {
                self.begin(State::Renewing, now);
                self.ask(now, out);
            }
        }
    }

    fn search(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.offer = None;
        self.begin(State::Searching, now);
        self.discover(now, out);
    }

    /// A new exchange.
    fn begin(&mut self, state: State, now: Mono) {
        self.state = state;
        self.began = now;
        self.tries = 0;
        self.xid = u32::try_from(self.next_random() >> 32).unwrap_or(0);
    }

    fn discover(&mut self, now: Mono, out: &mut Vec<Output>) {
        let wants = self.lease.map(|l| l.address);
        let question = self.question(Kind::Discover, now);
        let message = Question { wants, ..question }.emit();
        out.push(Output::Send { message, from: None, to: None });
        self.tries = self.tries.saturating_add(1);
        let wait = self.wait();
        self.deadline = Some(now.after(wait));
    }

    /// Sends the request of the present state, and says when it is repeated.
    fn ask(&mut self, now: Mono, out: &mut Vec<Output>) {
        let question = self.question(Kind::Request, now);
        let lease = self.lease;
        let mut send = |question: Question<'_>, from, to| {
            out.push(Output::Send { message: question.emit(), from, to });
        };
        match (self.state, &self.offer, lease) {
            (State::Asking, Some(offer), _) => {
                send(Question { wants: Some(offer.address), server: offer.server, ..question }, None, None);
            }
            (State::Verifying, _, Some(lease)) => {
                send(Question { wants: Some(lease.address), ..question }, None, None);
            }
            (State::Renewing, _, Some(lease)) => {
                let has = Some(lease.address);
                send(Question { has, ..question }, has, Some(lease.server));
            }
            (State::Rebinding, _, Some(lease)) => {
                send(Question { has: Some(lease.address), ..question }, Some(lease.address), None);
            }
            _ => return self.search(now, out),
        }
        self.asked = now;
        self.tries = self.tries.saturating_add(1);
        let until = match (self.state, lease) {
            (State::Renewing, Some(lease)) => half_way(now, lease.rebind),
            (State::Rebinding, Some(Lease { expires: Some(end), .. })) => half_way(now, end),
            _ => {
                let wait = self.wait();
                now.after(wait)
            }
        };
        // What ends before then is not missed.
        let limit = lease.and_then(|l| l.expires).unwrap_or(until);
        self.deadline = Some(until.min(limit));
    }

    fn question(&self, kind: Kind, now: Mono) -> Question<'_> {
        let secs = now.micros_since(self.began) / 1_000_000;
        Question {
            kind,
            xid: self.xid,
            mac: self.mac,
            secs: u16::try_from(secs).unwrap_or(u16::MAX),
            has: None,
            wants: None,
            server: None,
            hostname: self.hostname.as_deref(),
        }
    }

    fn offered(&mut self, offer: Answer, now: Mono, out: &mut Vec<Output>) {
        if offer.server.is_none() || !usable(offer.address) {
            return;
        }
        // The server sees its own exchange go on: the number stays.
        self.offer = Some(offer);
        self.state = State::Asking;
        self.tries = 0;
        self.ask(now, out);
    }

    fn granted(&mut self, answer: &Answer, now: Mono, out: &mut Vec<Output>) {
        let before = self.lease;
        let server = answer.server.or(before.map(|l| l.server));
        let (Some(server), Some(lease_s)) = (server, answer.lease_s) else { return };
        let chosen = self.offer.as_ref().filter(|_| self.state == State::Asking);
        if lease_s < LEASE_MIN_S
            || !usable(answer.address)
            || chosen.is_some_and(|offer| offer.server != Some(server))
        {
            return;
        }
        let offered = chosen.and_then(|offer| offer.prefix);
        let prefix = answer.prefix.or(offered).unwrap_or_else(|| by_class(answer.address));
        let [renew, rebind, expires] = times(answer, lease_s, self.asked);
        let lease = Lease {
            address: answer.address,
            prefix,
            router: answer.router.filter(|r| usable(*r)),
            server,
            renew,
            rebind,
            expires: (lease_s != FOR_EVER).then_some(expires),
        };
        let key = |l: &Lease| (l.address, l.prefix, l.router);
        let address = before.as_ref().map(key) != Some(key(&lease));
        self.offer = None;
        self.bind(lease);
        let words = match expires.micros_since(now) / 1_000_000 {
            _ if lease_s == FOR_EVER => format!("{} from {server}, for ever", lease.cidr()),
            left => format!("{} from {server}, for {left} s", lease.cidr()),
        };
        out.push(Output::Changed { words, address });
    }

    fn bind(&mut self, lease: Lease) {
        self.state = State::Bound;
        self.lease = Some(lease);
        self.deadline = lease.expires.map(|end| lease.renew.min(end));
    }

    fn refused(&mut self, answer: &Answer, now: Mono, out: &mut Vec<Output>) {
        let asked = match self.state {
            State::Asking => self.offer.as_ref().and_then(|offer| offer.server),
            // Only the lender may take it back before others are asked.
            State::Renewing => self.lease.map(|l| l.server),
            State::Down | State::Searching | State::Verifying | State::Bound | State::Rebinding => None,
        };
        if asked.is_some() && answer.server.is_some() && answer.server != asked {
            return;
        }
        match self.lease {
            Some(lease) => self.lose(format!("a server took {} back", lease.address), now, out),
            None => {
                // A server that offers and refuses in turn is not asked without a pause.
                self.offer = None;
                self.begin(State::Searching, now);
                let wait = self.wait();
                self.deadline = Some(now.after(wait));
            }
        }
    }

    fn lose(&mut self, words: String, now: Mono, out: &mut Vec<Output>) {
        self.lease = None;
        out.push(Output::Changed { words, address: true });
        if self.state == State::Down {
            self.deadline = None;
        } else {
            self.search(now, out);
        }
    }

    /// The wait after a try: doubled each time, a quarter shorter or longer by chance.
    fn wait(&mut self) -> Millis {
        let doubled = u64::from(FIRST_WAIT.get()) << self.tries.saturating_sub(1).min(5);
        let whole = doubled.min(u64::from(LONGEST_WAIT.get()));
        let part = self.next_random().checked_rem(whole / 2).unwrap_or(0);
        let spread = (whole - whole / 4).saturating_add(part);
        Millis::new(u32::try_from(spread).unwrap_or(u32::MAX))
    }

    /// SplitMix64: enough to keep boxes apart; secrecy would not help on a segment where everybody hears the question.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Renewing, rebinding and end of a lease that counts from `asked`. Times that are out of order are replaced by the usual
/// halves and eighths (RFC 2131 section 4.4.5).
fn times(answer: &Answer, lease_s: u32, asked: Mono) -> [Mono; 3] {
    let at = |seconds: u32| Mono::from_micros(asked.micros().saturating_add(u64::from(seconds) * 1_000_000));
    let rebind = answer.t2_s.filter(|t2| *t2 < lease_s && *t2 > 0).unwrap_or(lease_s - lease_s / 8);
    let renew = answer.t1_s.filter(|t1| *t1 < rebind && *t1 > 0).unwrap_or(if lease_s / 2 < rebind {
        lease_s / 2
    } else {
        rebind / 2
    });
    [at(renew), at(rebind), at(lease_s)]
}

/// Half of the time that is left, at least [`RENEW_WAIT_MIN`], at most all of it.
fn half_way(now: Mono, end: Mono) -> Mono {
    let half = Mono::from_micros(now.micros().saturating_add(end.micros_since(now) / 2));
    half.max(now.after(RENEW_WAIT_MIN)).min(end.max(now.after(Millis::from_secs(1))))
}

/// Whether an address can be one host's.
fn usable(address: Ipv4Addr) -> bool {
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_broadcast()
        || address.octets()[0] == 0)
}

/// What a mask was before masks (RFC 791 section 2.3), for servers that send none.
fn by_class(address: Ipv4Addr) -> u8 {
    match address.octets() {
        [0..=127, ..] => 8,
        [128..=191, ..] => 16,
        _ => 24,
    }
}

#[cfg(test)]
mod tests;
