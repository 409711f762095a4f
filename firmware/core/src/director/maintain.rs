//! The rescue configuration, and the way back to factory state.

use super::event::{Effect, Level};
use super::protocol::{Maintenance, Power, Reply, SessionId};
use super::requests::answer;
use super::{Director, READS_MAX};
use crate::model::Mono;
use crate::store::StoreError;
use crate::store::identity::Role;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Director {
    pub(super) fn maintain(
        &mut self,
        session: SessionId,
        what: Maintenance,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        if let Some(reason) = self.cannot_maintain(what, now) {
            return answer(session, Reply::Refused { reason, findings: Vec::new() }, out);
        }
        self.reads = self.reads.saturating_add(1);
        let rescue = match what {
            Maintenance::RescueSave => {
                let comment = format!("configuration {}", self.generation).parse().unwrap_or_default();
                Some((comment, self.config.clone()))
            }
            Maintenance::RescueDelete => None,
            Maintenance::FactoryReset => {
                self.resetting = true;
                None
            }
            Maintenance::Identity(_) => None,
        };
        out.push(Effect::Maintain { session, what, rescue });
    }

    fn cannot_maintain(&self, what: Maintenance, now: Mono) -> Option<String> {
        let busy = self.transaction.is_some() || self.trial.is_some();
        let reason = if !self.start.flash {
            return Some(StoreError::NoDevice.to_string());
        } else if self.stopping {
            "the director is stopping"
        } else if self.resetting {
            "this box is being reset to factory state"
        } else if let Maintenance::Identity(role) = what
            && role == self.start.identity
        {
            return Some(format!("this box is the {role} node already"));
        } else if matches!(what, Maintenance::Identity(_)) && self.cluster.peer_alive(now) {
            return Some(format!(
                "the {} node is heard, and two boxes of one identity would fight for the addresses: switch that box off first",
                self.start.identity.other()
            ));
        } else if busy && what != Maintenance::RescueDelete && what != Maintenance::FactoryReset {
            "what runs is not committed yet: confirm it first"
        } else if self.transaction.is_some() {
            "a commit is under way; try again in a moment"
        } else if self.reads >= READS_MAX {
            "the flash is being read for other consoles; try again in a moment"
        } else {
            return None;
        };
        Some(reason.to_string())
    }

    pub(super) fn on_maintained(
        &mut self,
        session: SessionId,
        what: Maintenance,
        result: Result<(), StoreError>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        self.reads = self.reads.saturating_sub(1);
        let done = match what {
            Maintenance::RescueSave => {
                format!("configuration {} is the rescue configuration", self.generation)
            }
            Maintenance::RescueDelete => "there is no rescue configuration any more".to_string(),
            Maintenance::FactoryReset => "this box is in factory state; rebooting".to_string(),
            Maintenance::Identity(role) => format!("this box is the {role} node; rebooting"),
        };
        let failed = result.err();
        match failed {
            Some(error) => {
                if what == Maintenance::FactoryReset {
                    self.resetting = false;
                    self.keep_rest(now, out);
                }
                self.log(Level::Error, format!("{}: {error}", word(what)), out);
                let reason = format!("{error}; nothing was changed");
                answer(session, Reply::Refused { reason, findings: Vec::new() }, out);
            }
            None => {
                self.log(Level::Notice, format!("{} on the console", word(what)), out);
                answer(session, Reply::Done { text: done }, out);
                if let Some(text) = farewell(what) {
                    out.push(Effect::Notify { but: Some(session), text });
                    out.push(Effect::Power(Power::Reboot));
                }
            }
        }
    }
}

/// What other consoles are told of what ends in a reboot.
fn farewell(what: Maintenance) -> Option<String> {
    match what {
        Maintenance::RescueSave | Maintenance::RescueDelete => None,
        Maintenance::FactoryReset => {
            Some("Another console reset this box to factory state; it reboots.".to_string())
        }
        Maintenance::Identity(role) => {
            Some(format!("Another console made this box the {role} node; it reboots."))
        }
    }
}

fn word(what: Maintenance) -> &'static str {
    match what {
        Maintenance::RescueSave => "rescue save",
        Maintenance::RescueDelete => "rescue delete",
        Maintenance::FactoryReset => "factory reset",
        Maintenance::Identity(Role::Primary) => "cluster identity primary",
        Maintenance::Identity(Role::Backup) => "cluster identity backup",
    }
}
