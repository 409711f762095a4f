//! What somebody at a console has the box send: echoes, and announcements of its floating addresses.

use super::Director;
use super::event::Effect;
use super::protocol::{Reply, SessionId};
use super::requests::answer;
use crate::health::{ProbeId, ProbeOutcome};
use crate::model::Mono;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

impl Director {
    /// `cluster announce`; the text says what happens.
    pub(super) fn announce_by_hand(&mut self, now: Mono) -> Result<String, String> {
        match self.announcer.addresses() {
            0 if !self.active(&self.config) => {
                Err("the other box has the floating addresses: type it there".to_string())
            }
            0 => Err("this box has no floating address: show addresses".to_string()),
            n => {
                self.announcer.again(now);
                self.cluster.pings.again(now);
                let addresses = if n == 1 { "address is" } else { "addresses are" };
                Ok(format!("{n} floating {addresses} announced again, for half a minute"))
            }
        }
    }

    /// `ping`.
    pub(super) fn ping_by_hand(
        &mut self,
        session: SessionId,
        address: IpAddr,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        if !self.cluster.pings.by_hand(session, address, now, out) {
            let reason = "too many echoes are under way for other consoles".to_string();
            answer(session, Reply::Refused { reason, findings: Vec::new() }, out);
        }
    }

    /// Whether an echo was one of those.
    pub(super) fn pinged_by_hand(
        &mut self,
        id: ProbeId,
        outcome: &ProbeOutcome,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(session) = self.cluster.pings.asked_by(id) else { return false };
        let took = outcome.result.as_ref().map(|()| outcome.took_us).map_err(ToString::to_string);
        answer(session, Reply::Pinged(took), out);
        true
    }
}
