//! What the last plan wanted, so that a dump in which nothing changed is compared without working it all out again.

use crate::model::Device;
use crate::plan::{Desired, Observed};
use alloc::vec::Vec;

/// A desired state with what it depends on of the kernel's: which cards there are, and how much memory. That it depends on verdicts,
/// configuration and leases is what [`super::reconcile::Reconcile::changed`] is for; so is the role, which is compared all the same,
/// because nothing may keep the addresses of a box that gave them up.
///
/// A server of which nobody knows yet keeps the entry that the kernel had when this was worked out.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) desired: Desired,
    active: bool,
    cards: Vec<(Device, [u8; 6], bool)>,
    memory_mib: u32,
}

impl Wanted {
    pub(super) fn new(desired: Desired, active: bool, observed: &Observed) -> Self {
        Self { desired, active, cards: cards(observed).collect(), memory_mib: observed.memory_mib }
    }

    /// Whether it is what is wanted now, as far as role and kernel decide.
    pub(super) fn fits(&self, active: bool, observed: &Observed) -> bool {
        self.active == active
            && self.memory_mib == observed.memory_mib
            && cards(observed).eq(self.cards.iter().cloned())
    }
}

/// What [`crate::plan::bind`] looks at.
fn cards(observed: &Observed) -> impl Iterator<Item = (Device, [u8; 6], bool)> {
    observed.links.iter().map(|(device, link)| (device.clone(), link.mac, link.vlan.is_some()))
}
