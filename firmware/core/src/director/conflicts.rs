//! Who else answers for an address of ours: for the box's own ones, from its start on, and for the floating ones while it has
//! them. It asks as a client would; whoever answers is named in an alarm, and floating addresses are announced again. The box's
//! own IPv6 addresses are not asked for: the kernel does that before it uses them.

use super::Director;
use super::event::{Effect, Level};
use crate::doctor::{Look, Seen};
use crate::model::{Cidr, Millis, Mono};
use crate::wire::{DisplayMac, Mac};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

/// First question after the addresses were taken. Chosen: the peer has released them by then, and caches have changed.
const FIRST: Millis = Millis::from_secs(5);
/// Pause between two. Chosen: longer than an answer takes ([`crate::doctor::TIME`]), and a segment does not notice it.
const EVERY: Millis = Millis::from_secs(70);
/// Addresses of one round; the next ones follow in the next round.
const ADDRESSES_MAX: usize = 64;
/// Hardware addresses named for one address.
const NAMED_MAX: usize = 4;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Conflicts {
    /// The next question; `None` before the addresses are in the kernel.
    next: Option<Mono>,
    /// This box had the floating addresses when it looked last.
    holding: bool,
    /// What was asked for and is not answered yet.
    asked: Vec<IpAddr>,
    /// The last address that was asked for.
    turn: Option<IpAddr>,
    found: BTreeMap<IpAddr, Vec<Mac>>,
}

impl Conflicts {
    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.next
    }

    /// Whether somebody else answers.
    pub(super) fn any(&self) -> bool {
        !self.found.is_empty()
    }

    /// The next addresses in turn.
    fn choose(&mut self, held: &[IpAddr]) -> Vec<IpAddr> {
        let later = held.iter().filter(|a| self.turn.is_none_or(|turn| **a > turn));
        let all: Vec<IpAddr> = later.chain(held).copied().take(ADDRESSES_MAX.min(held.len())).collect();
        self.turn = all.last().copied();
        all
    }
}

impl Director {
    pub(super) fn conflict_alarms(&self) -> impl Iterator<Item = String> {
        self.conflicts.found.iter().map(|(address, macs)| self.conflict(*address, macs))
    }

    fn conflict(&self, address: IpAddr, macs: &[Mac]) -> String {
        let names: Vec<String> =
            macs.iter().take(NAMED_MAX).map(|mac| format!("{}", DisplayMac(*mac))).collect();
        let whose = if self.is_own(address) { "this box's" } else { "the floating" };
        format!("another machine answers for {whose} address {address}: {}", names.join(", "))
    }

    fn is_own(&self, address: IpAddr) -> bool {
        self.node().addresses.values().flatten().any(|cidr| cidr.address() == address)
    }

    /// Addresses that the kernel has, each with an address of this box on the same network to ask from.
    fn watched(&self) -> BTreeMap<IpAddr, IpAddr> {
        let Some(observed) = self.reconcile.observed() else { return BTreeMap::new() };
        let own = |address: IpAddr| {
            let mut all = self.node().addresses.values().flatten();
            all.find(|cidr| cidr.contains(address)).map(|cidr| cidr.address())
        };
        let active = self.active(&self.config);
        let floating = self.config.floating.values().filter(|_| active).filter_map(|f| f.address);
        let fixed = self.node().addresses.values().flatten().copied();
        let fixed = fixed.map(Cidr::address).filter(IpAddr::is_ipv4);
        let known: BTreeSet<IpAddr> = observed.addresses.keys().map(|key| key.cidr.address()).collect();
        let held = floating.map(Cidr::address).chain(fixed).filter(|address| known.contains(address));
        held.filter_map(|address| Some((address, own(address)?))).collect()
    }

    /// Kernel and desired state agree.
    pub(super) fn conflicts_settled(&mut self, now: Mono) {
        let holding = self.active(&self.config) && self.may_hold();
        if core::mem::replace(&mut self.conflicts.holding, holding) != holding
            || self.conflicts.next.is_none()
        {
            // What was given up is the other box's now.
            let watched = self.watched();
            self.conflicts.found.retain(|address, _| watched.contains_key(address));
            self.conflicts.next = Some(now.after(FIRST));
        }
    }

    /// Asks when it is time.
    pub(super) fn watch_addresses(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.conflicts.next.is_none_or(|at| now < at) {
            return;
        }
        let watched = self.watched();
        let held: Vec<IpAddr> = watched.keys().copied().collect();
        self.conflicts.asked = self.conflicts.choose(&held);
        self.conflicts.next = Some(now.after(EVERY));
        let asked = self.conflicts.asked.iter();
        let looks: Vec<Look> =
            asked.filter_map(|a| Some(Look::Claims { own: *watched.get(a)?, address: *a })).collect();
        if !looks.is_empty() {
            out.push(Effect::Examine { watch: true, looks });
        }
    }

    /// Who answered.
    pub(super) fn claims_seen(&mut self, seen: &[Seen], now: Mono, out: &mut Vec<Effect>) {
        let asked = core::mem::take(&mut self.conflicts.asked);
        // What was given up meanwhile is the other box's.
        let watched = self.watched();
        let mut again = false;
        for (address, seen) in asked.into_iter().zip(seen).filter(|(a, _)| watched.contains_key(a)) {
            let Seen::Claims(macs) = seen else { continue };
            // A card of ours beside the one that was asked through answers too.
            let here = |mac: &Mac| {
                self.reconcile.observed().is_some_and(|o| o.links.values().any(|link| link.mac == *mac))
            };
            let macs: Vec<Mac> = macs.iter().copied().filter(|mac| !here(mac)).collect();
            let own = self.is_own(address);
            let before = self.conflicts.found.remove(&address);
            if macs.is_empty() {
                if before.is_some() {
                    let text = format!("nobody else answers for {address} any more");
                    self.log(Level::Notice, text, out);
                }
                continue;
            }
            again |= !own;
            if before.as_ref() != Some(&macs) {
                self.log(Level::Error, self.conflict(address, &macs), out);
            }
            self.conflicts.found.insert(address, macs);
        }
        if again {
            self.announcer.again(now);
        }
    }
}
