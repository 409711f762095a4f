//! The rescue configuration, and the way back to factory state.

use super::event::{Effect, Level};
use super::protocol::{Maintenance, Power, Reply, SessionId};
use super::requests::answer;
use super::{Director, READS_MAX};
use crate::model::Mono;
use crate::store::StoreError;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Director {
    pub(super) fn maintain(&mut self, session: SessionId, what: Maintenance, out: &mut Vec<Effect>) {
        if let Some(reason) = self.cannot_maintain(what) {
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
        };
        out.push(Effect::Maintain { session, what, rescue });
    }

    fn cannot_maintain(&self, what: Maintenance) -> Option<String> {
        let busy = self.transaction.is_some() || self.trial.is_some();
        let reason = if !self.start.flash {
            return Some(StoreError::NoDevice.to_string());
        } else if self.stopping {
            "the director is stopping"
        } else if self.resetting {
            "this box is being reset to factory state"
        } else if busy && what == Maintenance::RescueSave {
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
                if what == Maintenance::FactoryReset {
                    out.push(Effect::Notify { but: Some(session), text: FAREWELL.to_string() });
                    out.push(Effect::Power(Power::Reboot));
                }
            }
        }
    }
}

const FAREWELL: &str = "Another console reset this box to factory state; it reboots.";

fn word(what: Maintenance) -> &'static str {
    match what {
        Maintenance::RescueSave => "rescue save",
        Maintenance::RescueDelete => "rescue delete",
        Maintenance::FactoryReset => "factory reset",
    }
}
