//! What a director answers, and what must hold of it.

use super::Sim;
use super::trials::Asks;
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
                let running = self.running();
                assert_eq!((generation, &config), (running.0, running.1), "not what runs");
            }
            Reply::Committed { generation, operations, .. } => {
                self.note(format!("session {}: committed {generation}, {operations} operations", session.0));
                let config = asked.config.expect("a commit");
                assert_eq!(asked.base, self.running().0, "on top of another commit");
                assert!(validate(&config).iter().all(|f| f.severity != Severity::Error), "an invalid one");
                let device = config.interfaces.values().filter_map(|i| i.device.as_ref());
                assert!(
                    device.into_iter().all(|d| self.kernel.state.links.contains_key(d)),
                    "no such device"
                );
                let stored = self.flash.get(&generation).expect("it is stored");
                assert_eq!(stored, &(SlotState::Good, config.clone()), "what is stored is another one");
                // A commit of what runs already changes nothing.
                if generation > self.committed.0 {
                    self.fell_back = false;
                }
                self.trial = None;
                self.committed = (generation, config);
                self.seen.commits += 1;
            }
            Reply::Refused { reason, .. } => {
                self.note(format!("session {}: refused: {reason}", session.0));
                if matches!(asked.trial, Some(Asks::Confirmation)) {
                    return;
                }
                // A server may be gone with a commit under way.
                let Some(config) = asked.config else {
                    return assert!(reason.starts_with("no server"), "only commits are refused: {reason}");
                };
                self.tried.push_back((self.now, config));
            }
            Reply::Done { .. } => {
                let (server, what) = asked.action.expect("an action on a server");
                self.done_by_hand(server, what);
            }
            Reply::OnTrial { generation, window, back, .. } => {
                let Some(Asks::Window(wanted)) = asked.trial else { panic!("nobody asked for a trial") };
                assert_eq!((window, back), (wanted, self.committed.0), "another trial");
                self.begins(generation, asked.config.expect("a commit"), window);
            }
            Reply::Confirmed { generation } => self.confirmed(generation),
            Reply::Checked { .. } | Reply::Stopping => {}
            Reply::Harmful { impact } => {
                assert!(!asked.agreed && impact.asks(), "asks for nothing: {impact:?}");
                self.note(format!("session {}: asked {impact:?}", session.0));
            }
            Reply::Recalled { .. }
            | Reply::Checks { .. }
            | Reply::Have(_)
            | Reply::Why(_)
            | Reply::Doctor(_)
            | Reply::Pinged(_)
            | Reply::Emptied { .. }
            | Reply::Notice(_) => panic!("an answer to something else: {reply:?}"),
        }
    }
}
