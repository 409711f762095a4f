//! What an operator does to a running server without editing the configuration: drain, disable, another weight.
//!
//! Overrides outlive commits and restarts of the director (they lie in its checkpoint), and a reboot when they are marked
//! persistent (see [`crate::store::kept`]). They end by themselves when a time was given. That time is counted while the box
//! is up: its wall clock may be wrong by decades. After a reboot a persistent one has the time left that it had when the
//! list was last written. The whole is a list with a version that rises with every change, so that a peer
//! can tell which of two lists is newer. What names a server that is not configured (any more) waits for it.

use crate::gather::Gather as _;
use crate::model::{Millis, Mono, Name};
use crate::sync::Override;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Overrides at a time. Chosen: more than anybody keeps in mind; a checkpoint stays small.
pub const OVERRIDES_MAX: usize = 1024;

/// What is done to a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Forced {
    /// As configured. In one pool this undoes what was said for all of them.
    Normal,
    /// Weight 0: no new connections, established ones may end.
    Drain,
    /// Not in the table: its connections end at once.
    Disable,
    /// This weight instead of the configured one.
    Weight(u32),
}

impl Forced {
    /// The weight that takes effect on a usable server; `None`: not in the table.
    #[must_use]
    pub fn weight(self, configured: u32) -> Option<u32> {
        match self {
            Self::Normal => Some(configured),
            Self::Drain => Some(0),
            Self::Disable => None,
            Self::Weight(weight) => Some(weight),
        }
    }
}

/// One override.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// What.
    pub forced: Forced,
    /// Until when; for ever without.
    pub until: Option<Mono>,
    /// Kept over a reboot.
    pub persistent: bool,
    /// Since when.
    pub since: Mono,
    /// Who said it.
    pub by: By,
}

impl Entry {
    /// What, for how long and how, whoever said it.
    const fn what(&self) -> (Forced, Option<Mono>, bool) {
        (self.forced, self.until, self.persistent)
    }
}

/// Who said an override.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum By {
    /// Somebody at a console of this box.
    #[default]
    Here,
    /// Somebody at the other box of the pair.
    Peer,
    /// Somebody before this box was started.
    Flash,
}

/// One persistent override as it lies in flash. Record version 1 of [`crate::store::kept`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// Which server.
    pub server: Name,
    /// In which pool; in all of them without.
    pub pool: Option<Name>,
    /// What.
    pub forced: Forced,
    /// Time left when it was written; for ever without.
    pub left: Option<Millis>,
}

/// All overrides.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Overrides {
    version: u64,
    /// By server and pool; no pool: all of them.
    entries: BTreeMap<(Name, Option<Name>), Entry>,
}

impl Overrides {
    /// Sets one. `Normal` for all pools forgets everything said of the server. False: there is no room.
    #[must_use]
    pub fn set(&mut self, server: Name, pool: Option<Name>, entry: Entry) -> bool {
        if entry.forced == Forced::Normal {
            self.entries.retain(|(s, p), _| *s != server || (pool.is_some() && *p != pool));
        }
        let needed = entry.forced != Forced::Normal || self.entries.contains_key(&(server.clone(), None));
        if needed {
            let key = (server, pool);
            if self.entries.len() >= OVERRIDES_MAX && !self.entries.contains_key(&key) {
                return false;
            }
            self.entries.insert(key, entry);
        }
        self.version = self.version.saturating_add(1);
        true
    }

    /// What holds for a server in a pool; what was said for the pool comes first.
    #[must_use]
    pub fn get(&self, server: &Name, pool: &Name) -> Option<&Entry> {
        // The usual case, asked for every server at every plan: no names are copied.
        if self.entries.is_empty() {
            return None;
        }
        let own = self.entries.get(&(server.clone(), Some(pool.clone())));
        own.or_else(|| self.entries.get(&(server.clone(), None))).filter(|e| e.forced != Forced::Normal)
    }

    /// Ends what is over. Says whether anything was.
    pub fn expire(&mut self, now: Mono) -> bool {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.until.is_none_or(|until| until > now));
        let changed = self.entries.len() != before;
        if changed {
            self.version = self.version.saturating_add(1);
        }
        changed
    }

    /// When [`Self::expire`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.entries.values().filter_map(|e| e.until).min()
    }

    /// The persistent ones, for the flash.
    #[must_use]
    pub fn kept(&self, now: Mono) -> Vec<Kept> {
        let persistent = self.entries.iter().filter(|(_, entry)| entry.persistent);
        persistent
            .map(|((server, pool), entry)| Kept {
                server: server.clone(),
                pool: pool.clone(),
                forced: entry.forced,
                left: entry.until.map(|until| left(until, now)),
            })
            .collect()
    }

    /// What the flash kept over a reboot.
    #[must_use]
    pub fn from_kept(kept: Vec<Kept>, now: Mono) -> Self {
        let entry = |k: Kept| {
            let until = k.left.map(|left| now.after(left));
            let entry = Entry { forced: k.forced, until, persistent: true, since: now, by: By::Flash };
            ((k.server, k.pool), entry)
        };
        Self { version: 0, entries: kept.into_iter().take(OVERRIDES_MAX).map(entry).gather() }
    }

    /// All of them for the peer.
    #[must_use]
    pub fn to_share(&self, now: Mono) -> Vec<Override> {
        let share = |((server, pool), entry): (&(Name, Option<Name>), &Entry)| Override {
            server: server.clone(),
            pool: pool.clone(),
            forced: entry.forced,
            left: entry.until.map(|until| left(until, now)),
            persistent: entry.persistent,
        };
        self.entries.iter().map(share).collect()
    }

    /// What the peer has in place of ours.
    pub fn take(&mut self, version: u64, shared: Vec<Override>, now: Mono) {
        let entry = |o: Override| {
            let until = o.left.map(|left| now.after(left));
            let key = (o.server, o.pool);
            // What both have was not said just now.
            let known = self.entries.get(&key).filter(|e| e.forced == o.forced);
            let (since, by) = known.map_or((now, By::Peer), |e| (e.since, e.by));
            (key, Entry { forced: o.forced, until, persistent: o.persistent, since, by })
        };
        self.entries = shared.into_iter().take(OVERRIDES_MAX).map(entry).gather();
        self.version = version;
    }

    /// Whether the same is done to the same servers, whatever time is left.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let what = |e: &Entry| (e.forced, e.persistent, e.until.is_some());
        self.entries.keys().eq(other.entries.keys())
            && self.entries.values().map(what).eq(other.entries.values().map(what))
    }

    /// Whether the same is persistent in both, whatever time is left.
    #[must_use]
    pub fn keeps_as(&self, other: &Self) -> bool {
        let persistent = |all: &Self| -> Vec<_> {
            all.entries.iter().filter(|(_, e)| e.persistent).map(|(k, e)| (k.clone(), e.what())).collect()
        };
        persistent(self) == persistent(other)
    }

    /// Rises with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

fn left(until: Mono, now: Mono) -> Millis {
    Millis::new(u32::try_from(until.micros_since(now) / 1000).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn entry(forced: Forced) -> Entry {
        Entry { forced, until: None, persistent: false, since: Mono::ZERO, by: By::Here }
    }

    #[test]
    fn what_is_said_for_one_pool_beats_what_is_said_for_all() {
        let mut all = Overrides::default();
        assert!(all.set(name("rs1"), None, entry(Forced::Drain)));
        assert!(all.set(name("rs1"), Some(name("web")), entry(Forced::Normal)));
        assert_eq!(all.get(&name("rs1"), &name("web")), None);
        assert_eq!(all.get(&name("rs1"), &name("mail")), Some(&entry(Forced::Drain)));
        assert!(all.set(name("rs1"), None, entry(Forced::Normal)));
        assert_eq!(all.get(&name("rs1"), &name("mail")), None);
        assert_eq!(all.version(), 3);
    }

    #[test]
    fn an_override_with_a_time_ends_then() {
        let mut all = Overrides::default();
        let until = Mono::from_millis(5000);
        assert!(all.set(name("rs1"), None, Entry { until: Some(until), ..entry(Forced::Disable) }));
        assert_eq!(all.next_deadline(), Some(until));
        assert!(!all.expire(Mono::from_millis(4999)));
        assert!(all.expire(until));
        assert_eq!((all.get(&name("rs1"), &name("web")), all.next_deadline()), (None, None));
    }

    #[test]
    fn the_list_is_bounded() {
        let mut all = Overrides::default();
        for n in 0..OVERRIDES_MAX {
            assert!(all.set(name(&alloc::format!("s{n}")), None, entry(Forced::Drain)));
        }
        assert!(!all.set(name("more"), None, entry(Forced::Drain)));
        assert!(all.set(name("s1"), None, entry(Forced::Weight(3))));
    }
}
