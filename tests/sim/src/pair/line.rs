//! The connection between the boxes: both ends are the product's sealed sessions, the wire is TCP as far as it matters.
//! Bytes come in order or not at all; who loses the other notices after a while.

use super::lan::Lan;
use super::node::Power;
use super::world::{Item, World};
use director_core::director::Event;
use director_core::sync::Message;
use director_core::sync::session::Session;
use std::collections::VecDeque;

/// How long an end waits for a peer that does not answer (`UNACKNOWLEDGED_MAX` of the shell).
const GIVE_UP_US: u64 = 5_000_000;
/// Pause before bytes that did not get through are sent again.
const RESEND_US: u64 = 50_000;

/// Both ends.
#[derive(Debug, Default)]
pub struct Line {
    number: u64,
    ends: Option<[Session; 2]>,
    /// The director of this end was told.
    told: [bool; 2],
    /// The connection that the director of this end was told of last.
    known: [u64; 2],
    /// Processes that it is between.
    processes: [u64; 2],
    /// What is on its way to each.
    wire: [VecDeque<Vec<u8>>; 2],
    connecting: bool,
    /// Since when nothing passes.
    dark: Option<u64>,
    tamper: bool,
}

impl World {
    fn reach(&self) -> bool {
        let has = |n: usize, network: usize| {
            let listen = self.nodes[n].listen.as_ref().filter(|l| l.credentials.is_some());
            let path = listen.and_then(|l| l.paths.iter().find(|p| Lan::network(p) == network));
            path.is_some_and(|p| self.nodes[n].has(p.local))
        };
        [0, 1].iter().any(|network| {
            (0..2)
                .all(|n| self.lan.passes(n, *network) && has(n, *network) && self.nodes[n].power == Power::Up)
        })
    }

    /// Looks whether the connection is there and should be.
    pub fn tend(&mut self) {
        let reach = self.reach();
        if self.line.ends.is_none() {
            if reach && !self.line.connecting {
                self.line.connecting = true;
                let after = self.rng.between(1000, 600_000);
                self.post(0, after, Item::Connect);
            }
            return;
        }
        let number = self.line.number;
        for n in 0..2 {
            if self.nodes[n].process != self.line.processes[n] {
                // Its kernel says so, when there is one and it gets through.
                let after = if reach { 1000 } else { GIVE_UP_US };
                return self.end(1 - n, after);
            }
        }
        if reach {
            self.line.dark = None;
        } else if self.line.dark.is_none() {
            self.line.dark = Some(self.now);
            for n in 0..2 {
                let after = GIVE_UP_US + self.rng.between(0, 500_000);
                self.post(n, after, Item::GiveUp(number));
            }
        }
    }

    /// The connection is over; `n` hears of it later, if it lives.
    fn end(&mut self, n: usize, after: u64) {
        self.line.ends = None;
        self.line.wire = Default::default();
        let told = std::mem::take(&mut self.line.told);
        if told[n] && self.nodes[n].process == self.line.processes[n] {
            self.post(n, after, Item::Lost(self.line.number));
        }
        self.line.number += 1;
    }

    /// An end hears that a connection is over, unless it has another one by now.
    pub fn lost(&mut self, n: usize, number: u64) {
        if self.line.known[n] == number {
            self.handle(n, Event::Linked(false));
        }
    }

    /// An end gives up when nothing passed for long.
    pub fn give_up(&mut self, n: usize, number: u64) {
        let dark = self.line.dark.is_some_and(|since| self.now >= since + GIVE_UP_US);
        if number == self.line.number && self.line.ends.is_some() && dark {
            self.note(format!("lvs{} gives the connection up", n + 1));
            let told = self.line.told;
            self.end(n, 0);
            let other = 1 - n;
            if told[other] && self.nodes[other].process == self.line.processes[other] {
                let after = self.rng.between(0, 500_000);
                self.post(other, after, Item::Lost(number));
            }
        }
    }

    /// A connection is made.
    pub fn connect(&mut self) {
        self.line.connecting = false;
        if self.line.ends.is_some() || !self.reach() {
            return;
        }
        self.line.number += 1;
        self.line.dark = None;
        self.line.processes = [0, 1].map(|n| self.nodes[n].process);
        let mut greetings = Vec::new();
        let ends = [0, 1].map(|n| {
            let nonce: Vec<u8> = (0..4).flat_map(|_| self.rng.bits().to_be_bytes()).collect();
            let listen = self.nodes[n].listen.as_ref().expect("it listens");
            let credentials = listen.credentials.clone().expect("it has some");
            let mut out = Vec::new();
            let session = Session::start(credentials, nonce.try_into().expect("32"), &mut out);
            greetings.push(out);
            session
        });
        self.line.ends = Some(ends);
        for (n, bytes) in greetings.into_iter().enumerate() {
            self.put(1 - n, bytes);
        }
    }

    fn put(&mut self, to: usize, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        self.line.wire[to].push_back(bytes);
        let took = self.rng.between(100, self.draw.delay_us);
        let number = self.line.number;
        self.post(to, took, Item::Carry(number));
    }

    /// Some bytes come to an end.
    pub fn carry(&mut self, n: usize, number: u64) {
        if number != self.line.number || self.line.ends.is_none() {
            return;
        }
        if !self.reach() {
            return self.post(n, RESEND_US, Item::Carry(number));
        }
        let Some(mut bytes) = self.line.wire[n].pop_front() else { return };
        let tampered = std::mem::take(&mut self.line.tamper);
        if tampered {
            let place = usize::try_from(self.rng.below(u64::try_from(bytes.len()).unwrap())).unwrap();
            bytes[place] ^= 1 << self.rng.below(8);
        }
        let (mut out, mut messages) = (Vec::new(), Vec::new());
        let end = &mut self.line.ends.as_mut().expect("it is there")[n];
        let result = end.receive(&bytes, &mut out, &mut messages);
        let proven = end.proven();
        // A length that became larger waits for bytes that do not come: TCP's time ends that, here and now.
        if tampered || result.is_err() {
            assert!(messages.is_empty(), "a changed message was taken");
            self.note("the connection breaks");
            let told = self.line.told;
            self.end(n, 0);
            let other = 1 - n;
            if told[other] {
                self.post(other, 1000, Item::Lost(number));
            }
            return;
        }
        self.put(1 - n, out);
        if proven && !std::mem::replace(&mut self.line.told[n], true) {
            self.line.known[n] = number;
            self.handle(n, Event::Linked(true));
        }
        for message in messages {
            self.handle(n, Event::Told(Box::new(message)));
        }
    }

    /// A director says something.
    pub fn tell(&mut self, n: usize, message: &Message) {
        if !self.line.told[n] || self.nodes[n].process != self.line.processes[n] {
            return;
        }
        let Some(ends) = &mut self.line.ends else { return };
        let mut out = Vec::new();
        ends[n].send(message, &mut out).expect("it is proven");
        self.put(1 - n, out);
    }

    /// Whether both directors have the connection.
    pub fn linked(&self) -> bool {
        self.line.told == [true; 2]
    }

    /// Somebody changes the next bytes.
    pub fn tamper(&mut self) {
        if self.draw.attacks {
            self.note("somebody changes bytes of the connection");
            self.line.tamper = true;
        }
    }
}
