//! `show checks`, `why server` and `doctor`.

use super::super::grammar::Pipe;
use super::super::show::{doctor, insight};
use super::{Job, Output, Session};
use crate::director::insight::Why;
use crate::director::protocol::Request;
use crate::doctor::Report;
use crate::health::CheckStatus;
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

    pub(super) fn ask_doctor(&mut self, args: &[String], pipes: Vec<Pipe>, out: &mut Vec<Output>) {
        match args.first().map(|name| name.parse::<Name>()).transpose() {
            Ok(service) => {
                // It takes some seconds; a program that wants JSON wants nothing else.
                if pipes.is_empty() {
                    self.say(out, "Looking; this takes some seconds.");
                }
                self.ask(Job::Doctor { pipes }, Request::Doctor { service }, out);
            }
            Err(why) => self.say(out, &why.to_string()),
        }
    }

    pub(super) fn doctor(&mut self, report: &Report, pipes: &[Pipe], out: &mut Vec<Output>) {
        let lines = if pipes.first() == Some(&Pipe::Json) {
            doctor::json(report).lines().map(String::from).collect()
        } else {
            doctor::report(report, self.width)
        };
        self.filtered(&lines, pipes, "Nothing was looked at.", out);
    }

    pub(super) fn checks(&mut self, at: Mono, checks: &[CheckStatus], pipes: &[Pipe], out: &mut Vec<Output>) {
        let lines = if pipes.first() == Some(&Pipe::Json) {
            insight::checks_json(checks).lines().map(String::from).collect()
        } else {
            insight::checks(at, checks, self.width)
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
