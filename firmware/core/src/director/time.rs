//! The wall clock: which servers are asked, and what their answers do.

use super::Director;
use super::event::{Effect, Level};
use crate::model::Mono;
use crate::sntp::Output;
use alloc::vec::Vec;
use core::net::IpAddr;

impl Director {
    /// The running configuration is another one.
    pub(super) fn configure_time(&mut self, now: Mono) {
        self.time.configure(&self.config.system.time_servers, now);
    }

    pub(super) fn ask_time(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let mut outputs = Vec::new();
        self.time.on_deadline(now, &mut outputs);
        self.timed(outputs, now, out);
    }

    /// A server answered, or did not.
    pub(super) fn on_time(
        &mut self,
        server: IpAddr,
        times: (Mono, Mono),
        datagram: Option<&[u8]>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let mut outputs = Vec::new();
        self.time.answered(server, times, datagram, now, &mut outputs);
        self.timed(outputs, now, out);
    }

    fn timed(&self, outputs: Vec<Output>, now: Mono, out: &mut Vec<Effect>) {
        for output in outputs {
            match output {
                Output::Ask { server, packet } => {
                    out.push(Effect::AskTime { server, packet: packet.to_vec() })
                }
                Output::Set { unix_us } => out.push(Effect::SetClock { unix_us, at: now }),
                Output::Log(text) => self.log(Level::Notice, text, out),
            }
        }
    }
}
