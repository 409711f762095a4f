//! What must hold of servers of the pool `web` that an operator drained, disabled or weighed: nothing else is planned for
//! them before the time is over, not after a commit, a crash or a power cut either.

use super::{CONTROL_PORT, Sim};
use director_core::director::protocol::ServerAction;
use director_core::model::{Mono, Name};
use director_core::overrides::Forced;
use director_core::plan::Op;

/// What is done by hand.
#[derive(Clone, Copy, Debug)]
pub struct Override {
    forced: Forced,
    lasts: Option<Mono>,
}

impl Sim {
    pub(super) fn override_of(&self, action: &ServerAction) -> Override {
        // Counted from when the director is asked, which is now.
        Override { forced: action.forced, lasts: action.lasts.map(|span| self.now.after(span)) }
    }

    pub(super) fn done_by_hand(&mut self, server: Name, what: Override) {
        self.note(format!("{server} is {what:?}"));
        self.seen.by_hand += 1;
        self.forget_if_disabled(&server);
        if what.forced == Forced::Normal {
            self.overrides.remove(&server);
        } else {
            self.overrides.insert(server, what);
        }
    }

    fn forget_if_disabled(&mut self, server: &Name) {
        if self.overrides.get(server).is_some_and(|o| o.forced == Forced::Disable) {
            self.disabled.insert(server.clone(), self.now);
        }
    }

    /// What a process finds: all of them in `/run`, or the persistent ones in flash.
    pub(super) fn overrides_at_start(&mut self) {
        let names: Vec<Name> = self.overrides.keys().cloned().collect();
        names.iter().for_each(|name| self.forget_if_disabled(name));
        if self.checkpoint.is_none() {
            let kept = self.kept.iter();
            let entry = |left| self.now.after(left);
            self.overrides = kept
                .map(|k| (k.server.clone(), Override { forced: k.forced, lasts: k.left.map(entry) }))
                .collect();
            self.seen.kept += u32::try_from(self.overrides.len()).unwrap();
        }
    }

    fn by_hand(&self, server: &Name) -> Option<Forced> {
        self.overrides.get(server).filter(|o| o.lasts.is_none_or(|end| end > self.now)).map(|o| o.forced)
    }

    /// Whether it is out of the table by hand, or was until just now.
    pub(super) fn disabled(&self, server: &Name) -> bool {
        let ended = self.overrides.get(server).is_some_and(|o| {
            o.forced == Forced::Disable && o.lasts.is_none_or(|end| end > self.now || self.may_be_late(end))
        });
        ended || self.disabled.get(server).is_some_and(|at| self.may_be_late(*at))
    }

    /// An operation that was planned now.
    pub(super) fn obeys_the_operator(&self, op: &Op) {
        let (service, key, spec) = match op {
            Op::DestAdd { service, key, spec } | Op::DestEdit { service, key, spec } => (service, key, spec),
            _ => return,
        };
        if service.port() == CONTROL_PORT {
            return;
        }
        let servers = &self.running().1.real_servers;
        let Some((server, _)) = servers.iter().find(|(_, s)| s.address == Some(key.address)) else { return };
        match self.by_hand(server) {
            None | Some(Forced::Normal) => {}
            Some(Forced::Disable) => panic!("{server} is disabled: {op:?}"),
            Some(forced) => {
                let right = [Some(0), forced.weight(0)].contains(&Some(spec.weight));
                assert!(right, "{server} is {forced:?}: {op:?}");
            }
        }
    }
}
