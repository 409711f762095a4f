//! The boot loader's environment: which slot is good, which is on trial.
//!
//! Every field has a fixed place and one character, so a write that was torn leaves a mixture of old and new fields and
//! nothing else. The order of writes makes each mixture safe: a slot is complete before any field names it.

use super::layout::{BOOT_BYTES, BOOT_NAME, ENVIRONMENT_AT};
use super::running::Running;
use crate::store::StoreError;
use crate::store::device::{self, Device};
use serde::{Deserialize, Serialize};

/// Bytes of GRUB's environment block.
pub const BYTES: usize = 1024;
/// What it begins with.
const SIGNATURE: &str = "# GRUB Environment Block\n";
/// Boots a trial has. Chosen: one may be lost to the mains.
pub const TRIES: u8 = 2;
/// Largest count of boots that were not confirmed; the next goes to rescue.
pub const BOOTS_MAX: u8 = 3;

/// A system slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Slot {
    /// Partition 2.
    A,
    /// Partition 3.
    B,
}

impl Slot {
    /// The one that is not this one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// As the boot loader and the kernel command line write it.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
        }
    }

    /// From its letter.
    #[must_use]
    pub fn from_letter(letter: &str) -> Option<Self> {
        match letter {
            "a" => Some(Self::A),
            "b" => Some(Self::B),
            _ => None,
        }
    }
}

/// What the environment says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Environment {
    /// The slot that is known to work.
    pub good: Slot,
    /// A slot on trial.
    pub trial: Option<Slot>,
    /// Boots that the trial still has.
    pub tries: u8,
    /// Boots since the director last said that it works.
    pub boots: u8,
}

impl Environment {
    /// A box on which this slot works and nothing is on trial.
    #[must_use]
    pub const fn settled(good: Slot) -> Self {
        Self { good, trial: None, tries: 0, boots: 0 }
    }

    /// `slot` gets [`TRIES`] boots to prove itself; `good` stays.
    #[must_use]
    pub fn on_trial(self, slot: Slot) -> Self {
        Self { trial: Some(slot), tries: TRIES, boots: 0, ..self }
    }

    /// The block as the boot loader reads it.
    #[must_use]
    pub fn encode(&self) -> [u8; BYTES] {
        let digit = |n: u8| char::from(b'0'.saturating_add(n.min(9)));
        let text = alloc::format!(
            "{SIGNATURE}good={}\ntrial={}\ntries={}\nboots={}\n",
            self.good.letter(),
            self.trial.map_or('n', Slot::letter),
            digit(self.tries),
            digit(self.boots)
        );
        padded(&text)
    }

    /// What a block says; `None` when it is not one, or names no good slot.
    #[must_use]
    pub fn decode(block: &[u8]) -> Option<Self> {
        let good = Slot::from_letter(value(block, "good")?)?;
        let small = |name, max: u8| value(block, name).and_then(|v| v.parse().ok()).filter(|n| *n <= max);
        Some(Self {
            good,
            trial: value(block, "trial").and_then(Slot::from_letter),
            tries: small("tries", TRIES).unwrap_or(0),
            boots: small("boots", BOOTS_MAX).unwrap_or(0),
        })
    }
}

/// A block with these lines, filled with `#` as GRUB does.
pub(super) fn padded(text: &str) -> [u8; BYTES] {
    let mut block = [b'#'; BYTES];
    for (to, from) in block.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    block
}

/// The value of a name in a block.
pub(super) fn value<'a>(block: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = block.strip_prefix(SIGNATURE.as_bytes())?.split(|b| *b == b'\n');
    let mut values = lines.filter_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    core::str::from_utf8(values.next()?).ok()
}

/// Text of a block without its padding.
pub(super) fn signed(lines: &str) -> [u8; BYTES] {
    padded(&alloc::format!("{SIGNATURE}{lines}"))
}

/// Whether this is a boot partition as the image tool makes it. Nothing else may be written to.
pub fn check<D: Device>(boot: &mut D) -> Result<(), StoreError> {
    let mut name = [0; 11];
    device::read_at(boot, 0, &mut name)?;
    if name.ends_with(BOOT_NAME) && device::size(boot)? == BOOT_BYTES {
        return Ok(());
    }
    Err(StoreError::device("read", &"the first partition is not a boot partition of this firmware"))
}

/// Tells the boot loader that the running system works.
pub fn prove<D: Device>(boot: &mut D, running: Running) -> Result<(), StoreError> {
    check(boot)?;
    let environment = load(boot)?;
    save(boot, &running.proven(environment))
}

/// Takes back the trial of a system that has not proven itself: the good one boots next.
pub fn give_up<D: Device>(boot: &mut D) -> Result<(), StoreError> {
    check(boot)?;
    let good = load(boot)?.good;
    save(boot, &Environment::settled(good))
}

/// Reads the environment of a boot partition: the first copy, or what the second says is good.
pub fn load<D: Device>(boot: &mut D) -> Result<Environment, StoreError> {
    let [first, second] = ENVIRONMENT_AT;
    let mut block = [0; BYTES];
    device::read_at(boot, first, &mut block)?;
    if let Some(environment) = Environment::decode(&block) {
        return Ok(environment);
    }
    device::read_at(boot, second, &mut block)?;
    let good = Environment::decode(&block).map_or(Slot::A, |environment| environment.good);
    Ok(Environment::settled(good))
}

/// Writes both copies, the first one first and read back before the second is touched: at any moment one is whole.
pub fn save<D: Device>(boot: &mut D, environment: &Environment) -> Result<(), StoreError> {
    for (at, content) in
        ENVIRONMENT_AT.into_iter().zip([*environment, Environment::settled(environment.good)])
    {
        let block = content.encode();
        let mut read = [0; BYTES];
        device::read_at(boot, at, &mut read)?;
        if read == block {
            continue;
        }
        device::write_at(boot, at, &block)?;
        device::sync(boot)?;
        device::read_at(boot, at, &mut read)?;
        if read != block {
            return Err(StoreError::device("write", &"the boot environment did not read back as written"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_slot() -> impl Strategy<Value = Slot> {
        prop_oneof![Just(Slot::A), Just(Slot::B)]
    }

    fn any_environment() -> impl Strategy<Value = Environment> {
        (any_slot(), proptest::option::of(any_slot()), 0..=TRIES, 0..=BOOTS_MAX)
            .prop_map(|(good, trial, tries, boots)| Environment { good, trial, tries, boots })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(environment in any_environment()) {
            prop_assert_eq!(Environment::decode(&environment.encode()), Some(environment));
        }

        #[test]
        fn a_torn_write_gives_old_or_new_fields_and_nothing_else(
            old in any_environment(),
            new in any_environment(),
            cut in 0..BYTES,
        ) {
            let mut block = old.encode();
            block[..cut].copy_from_slice(&new.encode()[..cut]);
            let torn = Environment::decode(&block).unwrap();
            prop_assert!([old.good, new.good].contains(&torn.good));
            prop_assert!([old.trial, new.trial].contains(&torn.trial));
            prop_assert!([old.tries, new.tries].contains(&torn.tries));
        }

        #[test]
        fn garbage_is_refused_or_names_a_slot(block in proptest::collection::vec(any::<u8>(), BYTES)) {
            prop_assert_eq!(Environment::decode(&block), None);
        }
    }

    #[test]
    fn the_fields_are_as_the_boot_loader_reads_them() {
        let block = Environment::settled(Slot::A).on_trial(Slot::B).encode();
        let text = core::str::from_utf8(&block).unwrap();
        assert!(text.starts_with("# GRUB Environment Block\ngood=a\ntrial=b\ntries=2\nboots=0\n###"));
    }
}
