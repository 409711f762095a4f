//! What a pool decides as a whole: whether enough of its servers are up, and whether so many are down at once that the
//! check is likelier to be wrong than they are.
//!
//! Both have two edges. A pool is *short* from fewer than `quorum` usable servers on until `quorum + hysteresis` are
//! usable. It is in *panic* from more than `panic-threshold` percent down on until `hysteresis` servers fewer than that
//! are down, or none. Servers nobody knows about yet make no pool short and cause no panic.

use serde::{Deserialize, Serialize};

/// Thresholds of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PoolRule {
    /// Usable servers below which the pool is short. Absent: it never is, unless there is a hysteresis.
    pub quorum: Option<u16>,
    /// How many servers lie between the two edges.
    pub hysteresis: u16,
    /// Percentage of servers down beyond which all are kept. Absent: none.
    pub panic_threshold: Option<u8>,
}

/// Servers of a pool by what is known of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Usable.
    pub up: u32,
    /// Not usable, also those that wait for their reentry.
    pub down: u32,
    /// Nobody knows.
    pub unknown: u32,
}

impl Counts {
    /// All.
    #[must_use]
    pub const fn total(self) -> u32 {
        self.up.saturating_add(self.down).saturating_add(self.unknown)
    }
}

/// How a pool stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Too few servers are usable: the fall-back answers, if there is one.
    pub short: bool,
    /// Too many are down at once: all are kept.
    pub panic: bool,
}

impl Standing {
    /// How it stands when these are the servers.
    #[must_use]
    pub fn next(self, rule: &PoolRule, counts: Counts) -> Self {
        Self { short: self.is_short(rule, counts), panic: self.is_panic(rule, counts) }
    }

    fn is_short(self, rule: &PoolRule, counts: Counts) -> bool {
        if rule.quorum.is_none() && rule.hysteresis == 0 {
            return false;
        }
        let quorum = u32::from(rule.quorum.unwrap_or(1));
        if self.short {
            counts.up < quorum.saturating_add(u32::from(rule.hysteresis))
        } else {
            counts.up.saturating_add(counts.unknown) < quorum
        }
    }

    fn is_panic(self, rule: &PoolRule, counts: Counts) -> bool {
        let Some(threshold) = rule.panic_threshold else { return false };
        let beyond = |down: u32| {
            u64::from(down).saturating_mul(100)
                > u64::from(threshold).saturating_mul(u64::from(counts.total()))
        };
        let margin = if self.panic { u32::from(rule.hysteresis) } else { 0 };
        counts.down > 0 && beyond(counts.down.saturating_add(margin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(up: u32, down: u32, unknown: u32) -> Counts {
        Counts { up, down, unknown }
    }

    #[test]
    fn a_pool_is_short_below_its_quorum_and_back_with_the_hysteresis() {
        let rule = PoolRule { quorum: Some(2), hysteresis: 1, panic_threshold: None };
        let mut standing = Standing::default();
        for (up, short) in [(4, false), (2, false), (1, true), (2, true), (3, false), (2, false), (0, true)] {
            standing = standing.next(&rule, counts(up, 4 - up, 0));
            assert_eq!(standing.short, short, "{up} up");
        }
        assert!(!Standing::default().next(&rule, counts(0, 1, 3)).short, "three may still turn out to be up");
        assert!(!Standing::default().next(&PoolRule::default(), counts(0, 3, 0)).short, "no quorum is set");
    }

    #[test]
    fn a_pool_panics_beyond_its_threshold_and_calms_down_with_the_hysteresis() {
        let rule = PoolRule { quorum: None, hysteresis: 1, panic_threshold: Some(50) };
        let mut standing = Standing::default();
        for (down, panic) in [(2, false), (3, true), (2, true), (1, false), (2, false), (4, true), (0, false)]
        {
            standing = standing.next(&rule, counts(4 - down, down, 0));
            assert_eq!(standing.panic, panic, "{down} down");
        }
    }

    proptest! {
        #[test]
        fn one_server_less_or_more_never_turns_a_pool_there_and_back_within_its_hysteresis(
            quorum in 1_u16..6, hysteresis in 1_u16..4, threshold in 1_u8..100,
            walk in proptest::collection::vec(any::<bool>(), 1..200),
        ) {
            let rule = PoolRule { quorum: Some(quorum), hysteresis, panic_threshold: Some(threshold) };
            let (total, mut up) = (12_u32, 12_u32);
            let mut standing = Standing::default();
            let (mut short_at, mut panic_at) = (None::<u32>, None::<u32>);
            for more in walk {
                up = if more { (up + 1).min(total) } else { up.saturating_sub(1) };
                let next = standing.next(&rule, counts(up, total - up, 0));
                if next.short && !standing.short {
                    prop_assert!(up < u32::from(quorum));
                    short_at = Some(up);
                }
                if !next.short && standing.short {
                    prop_assert!(up > short_at.unwrap() + u32::from(hysteresis));
                }
                if next.panic && !standing.panic {
                    prop_assert!((total - up) * 100 > u32::from(threshold) * total);
                    panic_at = Some(up);
                }
                if !next.panic && standing.panic {
                    prop_assert!(up > panic_at.unwrap() + u32::from(hysteresis) || up == total);
                }
                standing = next;
            }
        }

        #[test]
        fn the_same_servers_leave_a_pool_as_it_stands(
            quorum in proptest::option::of(0_u16..6), hysteresis in 0_u16..4,
            threshold in proptest::option::of(1_u8..=100),
            up in 0_u32..8, down in 0_u32..8, unknown in 0_u32..8, short in any::<bool>(), panic in any::<bool>(),
        ) {
            let rule = PoolRule { quorum, hysteresis, panic_threshold: threshold };
            let once = Standing { short, panic }.next(&rule, counts(up, down, unknown));
            // With unknown servers both are possible: what stands, stays.
            prop_assert_eq!(once.next(&rule, counts(up, down, unknown)).panic, once.panic);
            prop_assert_eq!(once.next(&rule, counts(up, down, unknown)).short, once.short);
        }
    }
}
