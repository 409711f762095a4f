//! What the boot loader told the kernel about the system that runs.

use super::environment::{Environment, Slot};
use serde::{Deserialize, Serialize};

/// The system that runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Running {
    /// From which slot.
    pub slot: Slot,
    /// Whether it is on trial.
    pub trial: bool,
    /// Whether the rescue configuration was asked for, at the boot loader or by boots that nobody confirmed.
    pub rescue: bool,
}

impl Running {
    /// Reads a kernel command line; `None` when no boot loader of ours wrote it. Of repeated words the last counts.
    #[must_use]
    pub fn parse(cmdline: &str) -> Option<Self> {
        let words = || cmdline.split_ascii_whitespace();
        let slot = words().filter_map(|word| word.strip_prefix("director.slot=")).next_back()?;
        let has = |name| words().any(|word| word == name);
        Some(Self {
            slot: Slot::from_letter(slot)?,
            trial: has("director.trial"),
            rescue: has("director.rescue"),
        })
    }

    /// What the environment says once this system works: a trial is won, and the boots are counted anew. A trial of the
    /// other slot that is still to come stays, and so does the good slot when another one was started by hand or because
    /// its checksums did not hold.
    #[must_use]
    pub fn proven(self, environment: Environment) -> Environment {
        if self.trial { Environment::settled(self.slot) } else { Environment { boots: 0, ..environment } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(cmdline: &str) -> Option<Running> {
        Running::parse(cmdline)
    }

    #[test]
    fn the_words_of_the_boot_loader_are_read() {
        let plain = Running { slot: Slot::B, trial: false, rescue: false };
        assert_eq!(running("console=ttyS0,115200 quiet director.slot=b"), Some(plain));
        assert_eq!(running("director.slot=b director.trial"), Some(Running { trial: true, ..plain }));
        assert_eq!(running("director.slot=b director.rescue"), Some(Running { rescue: true, ..plain }));
    }

    #[test]
    fn a_kernel_that_was_handed_over_has_no_slot() {
        assert_eq!(running("console=ttyS0,115200 quiet panic=1 director.kmsg=ttyS2"), None);
        assert_eq!(running("director.slot=c"), None);
    }

    #[test]
    fn a_trial_is_won_by_its_own_slot_and_a_plain_boot_leaves_one_to_come() {
        let planned = Environment { boots: 2, ..Environment::settled(Slot::A).on_trial(Slot::B) };
        let a = Running { slot: Slot::A, trial: false, rescue: false };
        assert_eq!(a.proven(planned), Environment { boots: 0, ..planned });
        let b = Running { slot: Slot::B, trial: true, rescue: false };
        assert_eq!(b.proven(planned), Environment::settled(Slot::B));
    }
}
