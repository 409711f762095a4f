//! `show checks`, `why server`, `doctor` and `show realserver-setup`.

use super::super::grammar::Pipe;
use super::super::show::realserver::{self, System};
use super::super::show::{doctor, insight};
use super::{Job, Output, Session};
use crate::director::insight::Why;
use crate::director::protocol::Request;
use crate::doctor::Report;
use crate::health::CheckStatus;
use crate::health::load::LoadStatus;
use crate::model::{Config, Mono, Name};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

impl Session {
    pub(super) fn ask_why(&mut self, args: &[String], pipes: Vec<Pipe>, out: &mut Vec<Output>) {
        let (service, server) = match args {
            [server] => (None, server),
            [service, server, ..] => (Some(service), server),
            [] => return,
        };
        let names = service.map(|name| name.parse::<Name>()).transpose();
        match names.and_then(|service| Ok((service, server.parse::<Name>()?))) {
            Ok((service, server)) => self.ask(Job::Why { pipes }, Request::Why { service, server }, out),
            Err(why) => self.say(out, &why.to_string()),
        }
    }

    /// `show realserver-setup`.
    pub(super) fn real_servers(
        &mut self,
        config: &Config,
        args: &[String],
        pipes: &[Pipe],
        out: &mut Vec<Output>,
    ) {
        let [service, rest @ ..] = args else { return };
        let typed = rest.first().map_or("linux", String::as_str);
        let system = System::ALL.iter().find(|(_, word, _)| *word == typed);
        let system = system.map_or(System::Linux, |(system, ..)| *system);
        match realserver::parts(config, service, system) {
            Err(why) => self.say(out, &why),
            Ok(parts) => {
                let lines = if pipes.first() == Some(&Pipe::Json) {
                    realserver::json(&parts).lines().map(String::from).collect()
                } else {
                    realserver::lines(&parts, system, self.width)
                };
                self.filtered(&lines, pipes, "", out);
            }
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
