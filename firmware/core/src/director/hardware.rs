//! What the box at hand adds to a configuration: which card has which role, and what the kernel's parameters were before.

use super::Director;
use super::now::node_of;
use crate::model::choice::Chosen as _;
use crate::model::config::Config;
use crate::model::system::Sysctl;
use crate::model::validate::{Finding, Severity};
use crate::plan::bind::{bound, card};
use crate::plan::desired::sysctls;
use crate::plan::{Desired, Observed};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

impl Director {
    /// The configuration as it reads on this box.
    pub(super) fn bound<'a>(&self, config: &'a Config, observed: &Observed) -> Cow<'a, Config> {
        bound(config, node_of(config, self.start.identity), &observed.links)
    }

    /// Kernel parameters to look at: those that are managed, and those that a commit may set.
    pub(super) fn parameters(&self) -> Vec<String> {
        let config = match self.reconcile.observed() {
            Some(observed) => self.bound(&self.config, observed),
            None => Cow::Borrowed(&*self.config),
        };
        let mut names: Vec<String> = sysctls(&config, 0).into_keys().collect();
        names.extend(Sysctl::CHOICES.iter().map(|choice| choice.word.to_string()));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Remembers what the kernel had before the configuration first set a parameter. True when that is new.
    pub(super) fn remember_parameters(&mut self) -> bool {
        let before = self.originals.len();
        let Some(observed) = self.reconcile.observed() else { return false };
        for sysctl in self.config.kernel.sysctls.keys() {
            if let Some(value) = observed.sysctls.get(sysctl.word()) {
                self.originals.entry(sysctl.word().to_string()).or_insert_with(|| value.clone());
            }
        }
        self.originals.len() != before
    }

    /// What is no longer configured goes back to what it was.
    pub(super) fn restore_parameters(&self, want: &mut Desired) {
        for (name, value) in &self.originals {
            want.sysctls.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }

    /// Cards that are configured and that this box lacks.
    pub(super) fn missing_cards(&self, config: &Config, observed: &Observed) -> Vec<Finding> {
        let node = node_of(config, self.start.identity);
        let cards = || observed.links.iter().filter(|(_, l)| l.vlan.is_none() && l.mac != [0; 6]);
        let mut findings = Vec::new();
        let mut missing = |path, message| {
            findings.push(Finding { severity: Severity::Error, path, message });
        };
        for (role, interface) in &config.interfaces {
            let Some(device) = &interface.device else { continue };
            match node.macs.get(role) {
                Some(mac) if card(&observed.links, *mac).is_none() => {
                    let have: Vec<String> = cards().map(|(d, l)| format!("{d} {}", words(l.mac))).collect();
                    let title = if self.own_is_backup(config) { "backup" } else { "primary" };
                    missing(
                        format!("node {title} interface {role} mac {mac}"),
                        format!("this box has no card with it; it has {}", have.join(", ")),
                    );
                }
                Some(_) => {}
                // Made by us.
                None if interface.vlan.is_some() => {}
                None if observed.links.contains_key(device) => {}
                None => {
                    let have: Vec<&str> =
                        observed.links.keys().map(|d| d.as_str()).filter(|d| *d != "lo").collect();
                    missing(
                        format!("interface {role} device"),
                        format!("this box has no {device}; it has {}", have.join(", ")),
                    );
                }
            }
        }
        findings
    }

    fn own_is_backup(&self, config: &Config) -> bool {
        config.backup.as_ref().is_some_and(|b| core::ptr::eq(b, node_of(config, self.start.identity)))
    }
}

fn words(mac: [u8; 6]) -> String {
    let parts: Vec<String> = mac.iter().map(|octet| format!("{octet:02x}")).collect();
    parts.join(":")
}
