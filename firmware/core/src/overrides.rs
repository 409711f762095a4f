//! What an operator does to a running server without editing the configuration: drain, disable, another weight.
//!
//! Overrides outlive commits and restarts of the director (they lie in its checkpoint), not a reboot. They end by
//! themselves when a time was given. The whole is a list with a version that rises with every change, so that a peer
//! can tell which of two lists is newer. What names a server that is not configured (any more) waits for it.

use crate::model::{Mono, Name};
use alloc::collections::BTreeMap;
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

    /// Rises with every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn entry(forced: Forced) -> Entry {
        Entry { forced, until: None }
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
        assert!(all.set(name("rs1"), None, Entry { forced: Forced::Disable, until: Some(until) }));
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
