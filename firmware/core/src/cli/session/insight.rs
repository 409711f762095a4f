//! `show checks` and `why server`.

use super::super::grammar::Pipe;
use super::super::show::insight;
use super::{Job, Output, Session};
use crate::director::insight::Why;
use crate::director::protocol::Request;
use crate::health::CheckStatus;
use crate::health::load::LoadStatus;
use crate::model::{Mono, Name};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

impl Session {
    pub(super) fn ask_why(&mut self, args: &[String], pipes: Vec<Pipe>, out: &mut Vec<Output>) {
        let [service, server, ..] = args else { return self.say(out, "Write: why server SERVICE NAME.") };
        match (service.parse::<Name>(), server.parse::<Name>()) {
            (Ok(service), Ok(server)) => self.ask(Job::Why { pipes }, Request::Why { service, server }, out),
            (Err(why), _) | (_, Err(why)) => self.say(out, &why.to_string()),
        }
    }

    pub(super) fn checks(
        &mut self,
        at: Mono,
        checks: &[CheckStatus],
        loads: &[LoadStatus],
        pipes: &[Pipe],
        out: &mut Vec<Output>,
    ) {
        let lines = if pipes.first() == Some(&Pipe::Json) {
            insight::checks_json(checks, loads).lines().map(String::from).collect()
        } else {
            insight::checks(at, checks, loads, self.width)
        };
        self.filtered(&lines, pipes, "No pool asks anybody.", out);
    }

    pub(super) fn why(&mut self, why: &Why, pipes: &[Pipe], out: &mut Vec<Output>) {
        let lines = if pipes.first() == Some(&Pipe::Json) {
            insight::why_json(why).lines().map(String::from).collect()
        } else {
            insight::why(why, self.width)
        };
        self.filtered(&lines, pipes, "Nothing is known.", out);
    }
}
