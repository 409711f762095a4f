//! What happens to frames between two ports.

use super::PortId;
use crate::frame::Frame;
use std::fmt;
use std::time::Duration;

/// What a rule does with a frame. All rules that match apply: one drop is enough, delays add up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The frame is lost.
    Drop,
    /// The frame is lost with this probability, by a generator that starts from `seed`.
    Lose {
        /// Of a thousand frames, how many are lost.
        per_mille: u16,
        /// State of the generator; not zero.
        seed: u64,
    },
    /// The frame arrives later.
    Delay(Duration),
    /// The frame arrives twice.
    Duplicate,
}

type Predicate = Box<dyn Fn(Frame<'_>) -> bool + Send>;

/// A rule for the frames that enter by one port and leave by another. Absent ports match all, so a one-way cut
/// is [`Rule::drop_from`].
pub struct Rule {
    from: Option<PortId>,
    to: Option<PortId>,
    matches: Option<Predicate>,
    action: Action,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, matches, action } = self;
        write!(f, "{action:?} from={from:?} to={to:?} some={}", matches.is_some())
    }
}

impl Rule {
    /// For every frame of the lab.
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self { from: None, to: None, matches: None, action }
    }

    /// Loses everything that a node sends; it still hears the others.
    #[must_use]
    pub fn drop_from(port: PortId) -> Self {
        Self::new(Action::Drop).from(port)
    }

    /// Loses everything that is sent to a node; the others still hear it.
    #[must_use]
    pub fn drop_to(port: PortId) -> Self {
        Self::new(Action::Drop).to(port)
    }

    /// Only frames that enter here.
    #[must_use]
    pub fn from(mut self, port: PortId) -> Self {
        self.from = Some(port);
        self
    }

    /// Only frames that leave here.
    #[must_use]
    pub fn to(mut self, port: PortId) -> Self {
        self.to = Some(port);
        self
    }

    /// Only frames that match.
    #[must_use]
    pub fn when(mut self, matches: impl Fn(Frame<'_>) -> bool + Send + 'static) -> Self {
        self.matches = Some(Box::new(matches));
        self
    }

    fn applies(&self, from: PortId, to: PortId, frame: Frame<'_>) -> bool {
        self.from.is_none_or(|port| port == from)
            && self.to.is_none_or(|port| port == to)
            && self.matches.as_ref().is_none_or(|matches| matches(frame))
    }
}

/// What the rules together decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fate {
    pub(super) copies: u32,
    pub(super) delay: Duration,
}

/// Copies that duplicate rules can make of one frame.
const COPIES_MAX: u32 = 8;

pub(super) fn fate<'r>(
    rules: impl Iterator<Item = &'r mut Rule>,
    from: PortId,
    to: PortId,
    frame: Frame<'_>,
) -> Fate {
    let mut fate = Fate { copies: 1, delay: Duration::ZERO };
    for rule in rules {
        if !rule.applies(from, to, frame) {
            continue;
        }
        match &mut rule.action {
            Action::Drop => fate.copies = 0,
            Action::Lose { per_mille, seed } => {
                if next(seed) % 1000 < u64::from(*per_mille) {
                    fate.copies = 0;
                }
            }
            Action::Delay(delay) => fate.delay = fate.delay.saturating_add(*delay),
            Action::Duplicate => fate.copies = (fate.copies * 2).min(COPIES_MAX),
        }
    }
    fate
}

/// xorshift64 (Marsaglia 2003): repeatable, which is all that matters here.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PortId = PortId(0);
    const B: PortId = PortId(1);

    fn decide(rules: &mut [Rule], from: PortId, to: PortId) -> Fate {
        fate(rules.iter_mut(), from, to, Frame(&[0; 60]))
    }

    #[test]
    fn a_one_way_cut_leaves_the_other_direction() {
        let mut rules = [Rule::drop_from(A)];
        assert_eq!(decide(&mut rules, A, B).copies, 0);
        assert_eq!(decide(&mut rules, B, A).copies, 1);
    }

    #[test]
    fn a_drop_wins_over_a_duplicate_in_any_order() {
        let mut rules = [Rule::new(Action::Drop), Rule::new(Action::Duplicate)];
        assert_eq!(decide(&mut rules, A, B).copies, 0);
        rules.reverse();
        assert_eq!(decide(&mut rules, A, B).copies, 0);
    }

    #[test]
    fn delays_add_up() {
        let mut rules = [10, 5].map(|ms| Rule::new(Action::Delay(Duration::from_millis(ms))));
        assert_eq!(decide(&mut rules, A, B).delay, Duration::from_millis(15));
    }

    #[test]
    fn loss_is_repeatable_and_near_its_rate() {
        let run = || {
            let mut rules = [Rule::new(Action::Lose { per_mille: 250, seed: 1 })];
            (0..10_000).map(|_| decide(&mut rules, A, B).copies).sum::<u32>()
        };
        assert_eq!(run(), run());
        assert!((7300..7700).contains(&run()), "{}", run());
    }

    #[test]
    fn a_predicate_limits_a_rule() {
        let mut rules = [Rule::new(Action::Drop).when(|frame| frame.ethertype() == Some(0x0806))];
        assert_eq!(decide(&mut rules, A, B).copies, 1);
    }
}
