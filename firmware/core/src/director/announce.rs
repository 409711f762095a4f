//! When to repeat gratuitous ARP for the floating addresses this node holds.
//!
//! A switch or router may lose the first frames, so each address is announced in a burst, then once a second, then
//! ever more rarely (features.md 4.8). The platform sends one frame of each form per announcement.

use crate::model::{Millis, Mono};
use crate::plan::AddressKey;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Pauses between announcements of one address, in milliseconds: a burst of 3, then 5 at 1 s, then 10 s and 15 s.
const PAUSES_MS: [u32; 9] = [100, 100, 800, 1000, 1000, 1000, 1000, 10_000, 15_000];
/// Pause after those, for ever: below the 300 s after which switches forget an address.
const REFRESH: Millis = Millis::from_secs(60);

/// Repetitions still to come, by address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Announcer {
    next: BTreeMap<AddressKey, (Mono, usize)>,
}

impl Announcer {
    /// Starts over for an address that was just announced for the first time.
    pub fn announced(&mut self, key: AddressKey, now: Mono) {
        self.next.insert(key, (now.after(pause(0)), 1));
    }

    /// An address that this node holds already, after a restart: refreshed from here on, or announced anew when
    /// another box may have announced it meanwhile.
    pub fn resumed(&mut self, key: AddressKey, contested: bool, now: Mono) {
        let next = if contested { (now, 0) } else { (now.after(REFRESH), PAUSES_MS.len()) };
        self.next.entry(key).or_insert(next);
    }

    /// Starts over for every address: somebody else announced them too.
    pub fn again(&mut self, now: Mono) {
        for next in self.next.values_mut() {
            *next = (now, 0);
        }
    }

    /// How many addresses are announced.
    pub fn addresses(&self) -> usize {
        self.next.len()
    }

    /// Forgets every address for which `held` is false.
    pub fn keep(&mut self, held: impl Fn(&AddressKey) -> bool) {
        self.next.retain(|key, _| held(key));
    }

    /// The addresses to announce now.
    pub fn due(&mut self, now: Mono) -> Vec<AddressKey> {
        let mut due = Vec::new();
        for (key, (at, step)) in &mut self.next {
            if *at <= now {
                due.push(key.clone());
                *at = now.after(pause(*step));
                *step = step.saturating_add(1);
            }
        }
        due
    }

    /// When [`Self::due`] has something next.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.next.values().map(|(at, _)| *at).min()
    }
}

fn pause(step: usize) -> Millis {
    PAUSES_MS.get(step).map_or(REFRESH, |ms| Millis::new(*ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_announced_in_a_burst_and_then_refreshed_for_ever() {
        let key = AddressKey { device: "eth0".parse().unwrap(), cidr: "1.2.3.1/24".parse().unwrap() };
        let mut announcer = Announcer::default();
        let mut now = Mono::from_millis(1000);
        announcer.announced(key.clone(), now);
        let mut at = Vec::new();
        for _ in 0..11 {
            now = announcer.next_deadline().unwrap();
            assert_eq!(announcer.due(now), core::slice::from_ref(&key));
            at.push(now.millis() - 1000);
        }
        assert_eq!(at, [100, 200, 1000, 2000, 3000, 4000, 5000, 15_000, 30_000, 90_000, 150_000]);
        announcer.keep(|_| false);
        assert_eq!(announcer.next_deadline(), None);
    }
}
