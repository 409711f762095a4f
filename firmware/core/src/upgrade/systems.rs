//! Both systems on the disk, as `show upgrade` tells of them.

use super::environment::{self, Environment, Slot};
use super::install::intact;
use crate::store::StoreError;
use crate::store::device::Device;
use alloc::string::{String, ToString as _};
use serde::{Deserialize, Serialize};

/// What a slot holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Held {
    /// A whole system of this version.
    System(String),
    /// Nothing that the boot loader would start.
    Nothing,
    /// It cannot be read, and why.
    Unreadable(String),
}

/// What the disk holds and what the boot loader was told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Systems {
    /// Slot A, slot B.
    pub slots: [Held; 2],
    /// The boot loader's environment.
    pub environment: Result<Environment, StoreError>,
}

impl Held {
    /// Reads a slot and compares all its checksums.
    pub fn look<D: Device>(slot: &mut D) -> Self {
        match intact(slot) {
            Ok(Some(trailer)) => Self::System(trailer.version),
            Ok(None) => Self::Nothing,
            Err(error) => Self::Unreadable(error.to_string()),
        }
    }
}

impl Systems {
    /// What lies in this slot.
    #[must_use]
    pub const fn of(&self, slot: Slot) -> &Held {
        let [a, b] = &self.slots;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }
}

/// The environment of a boot partition of ours.
pub fn environment<D: Device>(boot: &mut D) -> Result<Environment, StoreError> {
    environment::check(boot)?;
    environment::load(boot)
}
