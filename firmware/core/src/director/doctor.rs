//! `doctor`: one examination at a time, for whoever asked first.

use super::Director;
use super::event::Effect;
use super::protocol::{Reply, SessionId};
use super::requests::answer;
use crate::doctor::{self, Plan, Seen};
use crate::model::Name;
use crate::store::identity::Role;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Who waits for which answers.
pub(super) type Examination = Option<(SessionId, Box<Plan>)>;

impl Director {
    /// Begins an examination of one service, or of everything.
    pub(super) fn examine(&mut self, session: SessionId, only: Option<&Name>, out: &mut Vec<Effect>) {
        let refuse = |reason: String, out: &mut Vec<Effect>| {
            answer(session, Reply::Refused { reason, findings: Vec::new() }, out);
        };
        if self.examination.is_some() {
            let reason = "an examination is under way on another console; try again in a moment";
            return refuse(String::from(reason), out);
        }
        if let Some(name) = only.filter(|name| !self.config.services.contains_key(*name)) {
            return refuse(format!("no service is named {name}: show services lists them"), out);
        }
        let Some(observed) = self.reconcile.observed() else {
            return refuse(String::from("the kernel's state is not known yet; try again in a moment"), out);
        };
        let peer = match self.start.identity {
            Role::Primary => self.config.backup.as_ref(),
            Role::Backup => self.config.backup.is_some().then_some(&self.config.primary),
        };
        let of = doctor::Box {
            config: &self.config,
            node: self.node(),
            peer,
            active: self.active(&self.config),
            observed,
        };
        let plan = doctor::plan(of, only);
        out.push(Effect::Examine { watch: false, looks: plan.looks.clone() });
        self.examination = Some((session, Box::new(plan)));
    }

    /// The shell has looked.
    pub(super) fn examined(&mut self, seen: Vec<Seen>, out: &mut Vec<Effect>) {
        let Some((session, plan)) = self.examination.take() else { return };
        answer(session, Reply::Doctor(Box::new(doctor::judge(*plan, seen))), out);
    }
}
