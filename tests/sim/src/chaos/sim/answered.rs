//! What a director answers, and what must hold of it.

use super::Sim;
use director_core::director::protocol::{Reply, SessionId};
use director_core::model::validate::{Severity, validate};
use director_core::plan::AddressKey;
use director_core::store::record::SlotState;

impl Sim {
    pub(super) fn end(&mut self) {
        self.note("stopped");
        assert!(self.stopping, "stopped without being asked");
        self.stopped = true;
        let commits = self.open.values().filter(|a| a.config.is_some()).count();
        assert_eq!(commits, 0, "a commit was not answered before the end");
        let floating: Vec<&AddressKey> = self
            .kernel
            .state
            .addresses
            .keys()
            .filter(|k| self.committed.1.floating.values().any(|f| f.address == Some(k.cidr)))
            .collect();
        assert!(self.classes.drift || self.classes.slow || floating.is_empty(), "still holds {floating:?}");
    }

    pub(super) fn answered(&mut self, session: SessionId, reply: Reply) {
        let asked = self
            .open
            .remove(&session)
            .unwrap_or_else(|| panic!("a reply that nobody waits for: {session:?}"));
        match reply {
            Reply::Status(status) => self.alarms = Some(status.alarms),
            Reply::Config { generation, config } => {
                assert_eq!(
                    (generation, &config),
                    (self.committed.0, &self.committed.1),
                    "not what is committed"
                );
            }
            Reply::Committed { generation, operations, .. } => {
                self.note(format!("session {}: committed {generation}, {operations} operations", session.0));
                let config = asked.config.expect("a commit");
                assert_eq!(asked.base, self.committed.0, "on top of another commit");
                assert!(validate(&config).iter().all(|f| f.severity != Severity::Error), "an invalid one");
                let device = config.interfaces.values().filter_map(|i| i.device.as_ref());
                assert!(
                    device.into_iter().all(|d| self.kernel.state.links.contains_key(d)),
                    "no such device"
                );
                let stored = self.flash.get(&generation).expect("it is stored");
                assert_eq!(stored, &(SlotState::Good, config.clone()), "what is stored is another one");
                self.committed = (generation, config);
                self.commits += 1;
            }
            Reply::Refused { reason, .. } => {
                self.note(format!("session {}: refused: {reason}", session.0));
                // A server may be gone with a commit under way.
                let Some(config) = asked.config else {
                    return assert!(reason.starts_with("no server"), "only commits are refused: {reason}");
                };
                self.tried.push_back((self.now, config));
            }
            Reply::Checked { .. } | Reply::Stopping | Reply::Done { .. } => {}
            Reply::Harmful { impact } => {
                assert!(!asked.agreed && impact.asks(), "asks for nothing: {impact:?}");
                self.note(format!("session {}: asked {impact:?}", session.0));
            }
            Reply::OnTrial { .. }
            | Reply::Confirmed { .. }
            | Reply::Recalled { .. }
            | Reply::Checks { .. }
            | Reply::Why(_)
            | Reply::Emptied { .. }
            | Reply::Notice(_) => panic!("an answer to something else: {reply:?}"),
        }
    }
}
