//! The monitors of all servers.

use super::{Gauge, LoadStatus, Rule, Said, status};
use crate::health::Output;
use crate::model::check::{LoadMonitor, LoadSource};
use crate::model::config::Config;
use crate::model::{Mono, Name};
use crate::wire::rwho;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// What a restarted director goes on from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Saved(Vec<(Name, Gauge)>);

/// Monitors by server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauges {
    all: BTreeMap<Name, (Rule, Gauge)>,
    /// When the next interval of each ends.
    ticks: BTreeSet<(Mono, Name)>,
    /// Whose broadcasts count.
    broadcasts: BTreeMap<IpAddr, Name>,
}

/// The monitor of each server that has one, and its address.
pub(crate) fn monitored(config: &Config) -> impl Iterator<Item = (&Name, IpAddr, &LoadMonitor)> {
    config.real_servers.iter().filter_map(|(name, server)| {
        let monitor = config.questions.load_monitors.get(server.load_monitor.as_ref()?)?;
        Some((name, server.address?, monitor))
    })
}

impl Gauges {
    /// Takes a configuration. A monitor that stays keeps what it heard, unless its source is another one now.
    pub(crate) fn configure(&mut self, config: &Config, saved: Option<Saved>, now: Mono) {
        let mut before = core::mem::take(&mut self.all);
        let mut saved: BTreeMap<Name, Gauge> =
            saved.map(|saved| saved.0.into_iter().collect()).unwrap_or_default();
        self.broadcasts.clear();
        for (name, address, monitor) in monitored(config) {
            let rule = Rule::from(monitor);
            let same = before.remove(name).filter(|(old, _)| old.source == rule.source);
            let gauge = same.map(|(_, gauge)| gauge).or_else(|| saved.remove(name));
            self.all.insert(name.clone(), (rule, gauge.unwrap_or_else(|| Gauge::new(now))));
            if rule.source == LoadSource::Rwhod {
                self.broadcasts.insert(address, name.clone());
            }
        }
        self.ticks.retain(|(_, name)| self.all.contains_key(name));
        let ticking: BTreeSet<&Name> = self.ticks.iter().map(|(_, name)| name).collect();
        let fresh = self.all.iter().filter(|(name, _)| !ticking.contains(name));
        let fresh: Vec<(Mono, Name)> =
            fresh.map(|(name, (rule, _))| (now.after(rule.interval), name.clone())).collect();
        self.ticks.extend(fresh);
    }

    /// The source of a server said something.
    pub(crate) fn hear(&mut self, server: &Name, said: &Said, now: Mono, out: &mut Vec<Output>) {
        let Some((rule, gauge)) = self.all.get_mut(server) else { return };
        let before = (gauge.current, gauge.most);
        if let Some((words, bad)) = gauge.hear(said, now) {
            out.push(note(server, rule, &words, bad));
        } else if before != (gauge.current, gauge.most) {
            out.push(Output::Noted { text: String::new(), bad: false });
        }
    }

    /// A broadcast came. Those of strangers, and damaged ones, change nothing.
    pub(crate) fn broadcast(&mut self, from: IpAddr, datagram: &[u8], now: Mono, out: &mut Vec<Output>) {
        let Some(server) = self.broadcasts.get(&from).cloned() else { return };
        let Some(reading) = rwho::parse(datagram) else { return };
        self.hear(&server, &Said { reading: Some(reading), ..Said::default() }, now, out);
    }

    /// Ends an interval that is over. Says whether there was one.
    pub(crate) fn tick_due(&mut self, now: Mono, out: &mut Vec<Output>) -> bool {
        let Some((at, server)) = self.ticks.first().cloned().filter(|(at, _)| *at <= now) else {
            return false;
        };
        self.ticks.remove(&(at, server.clone()));
        let Some((rule, gauge)) = self.all.get_mut(&server) else { return true };
        let (moved, words) = gauge.step(rule, now);
        match words {
            Some(words) => out.push(note(&server, rule, &words, true)),
            None if moved => out.push(Output::Noted { text: String::new(), bad: false }),
            None => {}
        }
        self.ticks.insert((now.after(rule.interval), server));
        true
    }

    /// When the next interval ends.
    pub(crate) fn next_deadline(&self) -> Option<Mono> {
        self.ticks.first().map(|(at, _)| *at)
    }

    /// The part of a weight that counts for a server.
    pub(crate) fn share(&self, server: &Name, weight: u32) -> u32 {
        self.all.get(server).map_or(weight, |(_, gauge)| gauge.share(weight))
    }

    /// Connections that an agent takes at most.
    pub(crate) fn most(&self, server: &Name) -> Option<u32> {
        self.all.get(server).and_then(|(_, gauge)| gauge.most)
    }

    /// What a monitor decided about a server, in words; `None` while it takes its configured weight.
    pub(crate) fn decided(&self, server: &Name) -> Option<String> {
        let (rule, gauge) = self.all.get(server)?;
        let status = status(server, gauge, rule);
        if gauge.current == 100 {
            return None;
        }
        let said = status.reading.unwrap_or_else(|| String::from("its wish"));
        Some(format!("load monitor {}: {} percent of its weight, after {said}", status.source, gauge.current))
    }

    /// All, by server.
    pub(crate) fn statuses(&self) -> Vec<LoadStatus> {
        self.all.iter().map(|(name, (rule, gauge))| status(name, gauge, rule)).collect()
    }

    /// Silent sources, in words.
    pub(crate) fn alarms(&self) -> impl Iterator<Item = String> + '_ {
        let silent = self.all.iter().filter(|(_, (_, gauge))| gauge.silent);
        silent.map(|(name, _)| {
            format!("load of server {name}: its source is silent, the configured weight holds")
        })
    }

    pub(crate) fn saved(&self) -> Saved {
        Saved(self.all.iter().map(|(name, (_, gauge))| (name.clone(), gauge.clone())).collect())
    }
}

fn note(server: &Name, rule: &Rule, words: &str, bad: bool) -> Output {
    use crate::model::choice::Chosen as _;
    Output::Noted { text: format!("server {server}: its {} {words}", rule.source.word()), bad }
}
