//! Echoes that the pair sends: to its witnesses all the time, and from a floating address that was just taken, as proof
//! that what is sent to the address comes here.
//!
//! A witness is lost when it has not answered for the dead time. A floating address is *proved* when a neighbour's answer
//! to it came in: its switch and its ARP table know us. Without one it is announced more often, and an alarm says so.

use crate::health::{ProbeId, ProbeKind, ProbeOutcome, ProbeSpec, Shared};
use crate::model::check::{Check, Question};
use crate::model::{Millis, Mono};
use crate::plan::AddressKey;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

use super::Effect;
use super::protocol::SessionId;

/// Runs of probes above this number are ours; the checks of servers count from 0 and do not get there.
const FIRST: u64 = 1 << 63;
/// A witness is asked at most this often.
const WITNESS_EVERY_MIN: Millis = Millis::new(100);
/// A witness is asked at least this often.
const WITNESS_EVERY_MAX: Millis = Millis::from_secs(2);
/// Questions without an answer that make a witness lost, at least.
const WITNESS_MISSES: u32 = 3;
/// A neighbour has this long to answer a floating address. Chosen: it may have to ask for our hardware address first.
const PROOF_TIMEOUT: Millis = Millis::new(500);
/// Questions from one address before it counts as not proved: each to the next neighbour.
const PROOF_TRIES: u8 = 4;
/// Pause between later tries. Each comes with announcements.
const PROOF_AGAIN: Millis = Millis::from_secs(10);
/// How long somebody at a console waits for an answer.
pub const BY_HAND_WAIT: Millis = Millis::from_secs(1);
/// Echoes for consoles under way. Chosen: more consoles than a box has.
const BY_HAND_MAX: usize = 8;
/// Addresses that are proved; more are only announced. Chosen: an echo each must not flood a takeover.
const PROOFS_MAX: usize = 64;

/// A question under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asked {
    id: ProbeId,
    until: Mono,
}

/// A host that tells a node whether its own link works.
#[derive(Clone, Debug)]
struct Witness {
    address: IpAddr,
    /// It was not asked before.
    since: Mono,
    answered: Option<Mono>,
    took_us: u32,
    asked: Option<Asked>,
    due: Mono,
}

/// How far the proof of an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Proof {
    /// Neighbours are being asked.
    Asking,
    /// A neighbour answered to the address.
    Proved {
        /// Who.
        by: IpAddr,
        /// Microseconds from the question to the answer.
        took_us: u32,
    },
    /// No neighbour answered.
    Failed {
        /// Who was asked last.
        asked: IpAddr,
    },
    /// There is nobody to ask: no witness, gateway or usable server in its network.
    Nobody,
}

#[derive(Clone, Debug)]
struct Proving {
    proof: Proof,
    tries: u8,
    asked: Option<(Asked, IpAddr)>,
    due: Mono,
}

/// What `show cluster` says of a witness.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WitnessStatus {
    /// Who.
    pub address: IpAddr,
    /// When it answered last.
    pub answered: Option<Mono>,
    /// Microseconds that its last answer took.
    pub took_us: u32,
}

/// All echoes.
#[derive(Debug, Default)]
pub(super) struct Pings {
    next: u64,
    witnesses: Vec<Witness>,
    every: Millis,
    patience: Millis,
    /// When [`Self::due`] was called last.
    looked: Mono,
    proofs: BTreeMap<AddressKey, Proving>,
    by_hand: Vec<(ProbeId, SessionId)>,
}

/// Whether an answered probe is one of these.
#[must_use]
pub const fn ours(id: ProbeId) -> bool {
    id.0 >= FIRST
}

impl Pings {
    /// The configuration's witnesses. One that was there before keeps what it said.
    pub(super) fn configure(&mut self, witnesses: &[IpAddr], interval: Millis, dead: Millis, now: Mono) {
        self.every = interval.clamp(WITNESS_EVERY_MIN, WITNESS_EVERY_MAX);
        let misses = Millis::new(self.every.get().saturating_mul(WITNESS_MISSES));
        self.patience = dead.max(misses);
        self.witnesses.retain(|w| witnesses.contains(&w.address));
        for address in witnesses {
            if self.witnesses.iter().all(|w| w.address != *address) {
                let (address, since) = (*address, now);
                let fresh = Witness { address, since, answered: None, took_us: 0, asked: None, due: now };
                self.witnesses.push(fresh);
            }
        }
    }

    /// Sends an echo for a console. False: too many are under way.
    pub(super) fn by_hand(
        &mut self,
        session: SessionId,
        address: IpAddr,
        now: Mono,
        out: &mut Vec<Effect>,
    ) -> bool {
        let room = self.by_hand.len() < BY_HAND_MAX;
        if room {
            let asked = ask(&mut self.next, address, None, now.after(BY_HAND_WAIT), now, out);
            self.by_hand.push((asked.id, session));
        }
        room
    }

    /// Who is told of this one; each is told once.
    pub(super) fn asked_by(&mut self, id: ProbeId) -> Option<SessionId> {
        let at = self.by_hand.iter().position(|(asked, _)| *asked == id)?;
        Some(self.by_hand.swap_remove(at).1)
    }

    /// Whether a witness answers, or there is none. One that was not asked for long enough counts as answering.
    pub(super) fn reachable(&self, now: Mono) -> bool {
        self.witnesses.is_empty() || self.witnesses.iter().any(|w| now < self.lost_at(w))
    }

    fn lost_at(&self, witness: &Witness) -> Mono {
        witness.answered.unwrap_or(witness.since).after(self.patience)
    }

    /// These addresses are held now, and no others.
    pub(super) fn held<'a>(&mut self, keys: impl Iterator<Item = &'a AddressKey> + Clone, now: Mono) {
        self.proofs.retain(|key, _| keys.clone().any(|k| k == key));
        for key in keys {
            if self.proofs.len() >= PROOFS_MAX {
                break;
            }
            let fresh = || Proving { proof: Proof::Asking, tries: 0, asked: None, due: now };
            self.proofs.entry(key.clone()).or_insert_with(fresh);
        }
    }

    /// Somebody else announced the addresses: what was proved counts no more.
    pub(super) fn again(&mut self, now: Mono) {
        for proving in self.proofs.values_mut() {
            *proving = Proving { proof: Proof::Asking, tries: 0, asked: None, due: now };
        }
    }

    /// Sends what is due. `neighbour` gives the host to ask from an address, by turn. True when an address has to be
    /// announced again.
    pub(super) fn due(
        &mut self,
        neighbour: impl Fn(&AddressKey, usize) -> Option<IpAddr>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) -> bool {
        self.looked = now;
        let (every, mut next) = (self.every, self.next);
        for witness in self.witnesses.iter_mut().filter(|w| w.due <= now) {
            witness.due = now.after(every);
            witness.asked = Some(ask(&mut next, witness.address, None, witness.due, now, out));
        }
        let mut weak = false;
        for (key, proving) in self.proofs.iter_mut().filter(|(_, p)| p.due <= now && wants(p.proof)) {
            let Some(target) = neighbour(key, usize::from(proving.tries)) else {
                (proving.proof, proving.due) = (Proof::Nobody, now.after(PROOF_AGAIN));
                continue;
            };
            let late = proving.tries >= PROOF_TRIES;
            if late {
                weak = true;
                proving.proof = Proof::Failed { asked: target };
            }
            proving.tries = proving.tries.saturating_add(1).min(PROOF_TRIES.saturating_mul(2));
            let until = now.after(PROOF_TIMEOUT);
            proving.due = if late { now.after(PROOF_AGAIN) } else { until };
            let asked = ask(&mut next, target, Some(key.cidr.address()), until, now, out);
            proving.asked = Some((asked, target));
        }
        self.next = next;
        weak
    }

    /// An answer came, or did not.
    pub(super) fn pinged(&mut self, id: ProbeId, outcome: &ProbeOutcome, now: Mono) {
        if outcome.result.is_err() {
            return;
        }
        let took_us = outcome.took_us;
        let asked = |asked: Option<Asked>| asked.is_some_and(|a| a.id == id && now <= a.until);
        for witness in self.witnesses.iter_mut().filter(|w| asked(w.asked)) {
            (witness.answered, witness.took_us) = (Some(now), took_us);
        }
        for proving in self.proofs.values_mut() {
            if let Some((question, by)) = proving.asked
                && asked(Some(question))
            {
                proving.proof = Proof::Proved { by, took_us };
            }
        }
    }

    /// When something is due, or a witness is lost.
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        let witnesses = self.witnesses.iter().flat_map(|w| {
            let lost = self.lost_at(w);
            [Some(w.due), (lost > self.looked).then_some(lost)]
        });
        let proofs = self.proofs.values().filter(|p| wants(p.proof)).map(|p| Some(p.due));
        witnesses.chain(proofs).flatten().min()
    }

    /// For `show cluster`.
    pub(super) fn witnesses(&self) -> Vec<WitnessStatus> {
        let status =
            |w: &Witness| WitnessStatus { address: w.address, answered: w.answered, took_us: w.took_us };
        self.witnesses.iter().map(status).collect()
    }

    /// For `show cluster` and the alarms.
    pub(super) fn proofs(&self) -> Vec<(IpAddr, Proof)> {
        self.proofs.iter().map(|(key, p)| (key.cidr.address(), p.proof)).collect()
    }
}

const fn wants(proof: Proof) -> bool {
    !matches!(proof, Proof::Proved { .. })
}

fn ask(
    next: &mut u64,
    target: IpAddr,
    source: Option<IpAddr>,
    until: Mono,
    now: Mono,
    out: &mut Vec<Effect>,
) -> Asked {
    // A restarted director must not take answers to its predecessor for its own: the clock makes the numbers differ.
    *next = next.saturating_add(1).max(now.micros());
    let id = ProbeId(FIRST | (*next & (FIRST - 1)));
    let check = Check { question: Question::Ping, ..Check::default() };
    let kind = ProbeKind::Named(Shared::new(check));
    let spec = ProbeSpec { target: SocketAddr::new(target, 0), source, at: None, kind };
    out.push(Effect::Probe { id, spec: Box::new(spec), deadline: until });
    Asked { id, until }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(1, 2, 3, 254));

    fn key() -> AddressKey {
        AddressKey { device: "eth0".parse().unwrap(), cidr: "1.2.3.1/24".parse().unwrap() }
    }

    fn good(took_us: u32) -> ProbeOutcome {
        ProbeOutcome { result: Ok(()), took_us, transcript: None, learned: crate::health::Learned::default() }
    }

    fn asked(out: &[Effect]) -> Vec<(ProbeId, IpAddr, Option<IpAddr>)> {
        let probe = |effect: &Effect| {
            let Effect::Probe { id, spec, .. } = effect else { return None };
            Some((*id, spec.target.ip(), spec.source))
        };
        out.iter().filter_map(probe).collect()
    }

    /// Lets time pass; a witness answers or does not.
    fn run(pings: &mut Pings, from: u64, until: u64, answers: bool) {
        for ms in from..until {
            let now = Mono::from_millis(ms);
            let mut out = Vec::new();
            pings.due(|_, _| None, now, &mut out);
            for (id, _, _) in asked(&out) {
                if answers {
                    pings.pinged(id, &good(300), now);
                }
            }
        }
    }

    #[test]
    fn a_witness_that_does_not_answer_for_the_dead_time_is_lost_and_comes_back() {
        let mut pings = Pings::default();
        assert!(pings.reachable(Mono::ZERO));
        pings.configure(&[GATEWAY], Millis::new(100), Millis::new(300), Mono::from_millis(1000));
        run(&mut pings, 1000, 2000, true);
        run(&mut pings, 2000, 2199, false);
        assert!(pings.reachable(Mono::from_millis(2199)));
        run(&mut pings, 2199, 2300, false);
        assert!(!pings.reachable(Mono::from_millis(2300)));
        run(&mut pings, 2300, 2500, true);
        assert!(pings.reachable(Mono::from_millis(2500)));
    }

    #[test]
    fn of_several_witnesses_one_is_enough() {
        let other = IpAddr::from([1, 2, 3, 253]);
        let mut pings = Pings::default();
        pings.configure(&[GATEWAY, other], Millis::new(100), Millis::new(300), Mono::ZERO);
        for ms in 0..2000 {
            let now = Mono::from_millis(ms);
            let mut out = Vec::new();
            pings.due(|_, _| None, now, &mut out);
            for (id, target, _) in asked(&out) {
                if target == other {
                    pings.pinged(id, &good(300), now);
                }
            }
        }
        assert!(pings.reachable(Mono::from_millis(2000)));
    }

    #[test]
    fn an_address_is_proved_by_an_answer_to_it_and_by_no_other() {
        let mut pings = Pings::default();
        let now = Mono::from_millis(1000);
        pings.held([key()].iter(), now);
        let mut out = Vec::new();
        assert!(!pings.due(|_, _| Some(GATEWAY), now, &mut out));
        let (id, target, source) = asked(&out)[0];
        assert_eq!((target, source), (GATEWAY, Some(key().cidr.address())));
        assert!(ours(id));
        pings.pinged(ProbeId(id.0 + 1), &good(1), now);
        assert_eq!(pings.proofs(), [(key().cidr.address(), Proof::Asking)]);
        pings.pinged(id, &good(700), now);
        assert_eq!(pings.proofs()[0].1, Proof::Proved { by: GATEWAY, took_us: 700 });
        assert_eq!(pings.next_deadline(), None);
    }

    #[test]
    fn an_address_that_nobody_answers_is_announced_again_and_asked_for_on() {
        let mut pings = Pings::default();
        pings.held([key()].iter(), Mono::ZERO);
        let mut weak = Vec::new();
        for ms in 0..25_000 {
            if pings.due(|_, _| Some(GATEWAY), Mono::from_millis(ms), &mut Vec::new()) {
                weak.push(ms);
            }
        }
        assert_eq!(weak, [2000, 12_000, 22_000]);
        assert_eq!(pings.proofs()[0].1, Proof::Failed { asked: GATEWAY });
        pings.held([].iter(), Mono::ZERO);
        assert_eq!(pings.proofs(), []);
    }
}
