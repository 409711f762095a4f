//! What a director is told.

use super::*;

impl Sim {
    pub(super) fn handle(&mut self, event: Event) {
        match &event {
            Event::Probed { id, .. } => assert!(self.probes.remove(id), "an answer without a question"),
            Event::Deadline => {}
            Event::Observed(Err(error)) => self.note(format!("dump failed: {error}")),
            Event::Observed(Ok(_))
            | Event::Applied { .. }
            | Event::Request { .. }
            | Event::KernelChanged
            | Event::Saved { .. }
            | Event::Recalled { .. }
            | Event::Heartbeat { .. }
            | Event::Refused(_)
            | Event::Linked(_)
            | Event::Told(_)
            | Event::Judged { .. }
            | Event::TableSent(_)
            | Event::Dhcp { .. }
            | Event::Rwho { .. }
            | Event::TimeAnswered { .. }
            | Event::Maintained { .. }
            | Event::Kept(_)
            | Event::Examined { .. }
            | Event::Proven(_)
            | Event::Upgrade(_)
            | Event::Ordered(_)
            | Event::Stop => self.note(event_word(&event)),
        }
        let mut effects = Vec::new();
        if let Some(director) = &mut self.director {
            director.handle(event, self.now, &mut effects);
        }
        self.execute(effects);
        self.no_trial_outlives_its_time();
    }
}
