//! The pair inside the director: feeds the election with frames, links and servers, and does what it decides.
//!
//! Without a heartbeat (no key, or no path that both nodes have) nobody may take over: the primary is active, the
//! backup waits, and an alarm says so.

mod paths;
mod release;

pub use paths::{FenceOrders, HeartbeatPath, Listen, Refused, SerialPath};

use super::pings::{Pings, Proof};
use super::protocol::ClusterAction;
use super::status::{ClusterStatus, PathStatus, PeerStatus};
use super::{Director, Effect, Level};
use crate::election::{
    Denied, Election, Fitness, Local, Output, Role as ElectionRole, SERIAL_PATH, Saved, Warning,
};
use crate::gather::Gather as _;
use crate::health::{ProbeId, ProbeOutcome};
use crate::model::{Config, Device, Millis, Mono, Name};
use crate::plan::{AddressKey, Observed};
use crate::store::blob::{self, SCHEMA};
use crate::store::identity::Role;
use crate::wire::heartbeat::{Frame, Key, KeyMark, Keyring, Running};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use paths::pairing;

/// Refusals are an alarm for this long.
const REFUSAL_ALARM: Millis = Millis::from_secs(60);
/// Neighbours that are asked in turn for one address.
const NEIGHBOURS_MAX: usize = 3;

/// The pair's part of the director.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) election: Option<Election>,
    pub(super) listen: Option<Listen>,
    /// Why there is no heartbeat although a backup is configured.
    silent: Option<&'static str>,
    second_box: bool,
    /// What runs, as heartbeats say it.
    pub(super) running: Running,
    /// Devices with a link in the last dump.
    linked: Option<BTreeSet<Device>>,
    /// Floating addresses that the kernel has of us, or is being given.
    held: Vec<AddressKey>,
    /// What init was told last; `None` before the first word of this process.
    ordered: Option<Option<FenceOrders>>,
    /// The key of the configuration.
    key: Option<(u8, Key)>,
    /// The one before it, while the peer may still need it.
    rotation: Option<Rotation>,
    /// What was refused last, by path, and when.
    refused: BTreeMap<u8, (Refused, Mono)>,
    /// Echoes to witnesses and from floating addresses.
    pub(super) pings: Pings,
    /// Configuration seen once: what comes later is a commit, not a start.
    begun: bool,
}

/// A key that goes out of use. It is accepted until the peer signs with the new one, and signs until the peer accepts
/// that: so keys are replaced without a gap, whichever box is told first.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Rotation {
    old: (u8, Key),
    /// The peer accepts the new one.
    taken: bool,
}

impl Cluster {
    /// Whether two nodes settle by heartbeats who is active.
    pub(super) fn elects(&self) -> bool {
        self.election.is_some()
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        let election = self.election.as_ref().map(Election::next_deadline)?;
        Some(self.pings.next_deadline().map_or(election, |ping| ping.min(election)))
    }

    pub(super) fn saved(&self) -> Option<Saved> {
        self.election.as_ref().map(Election::saved)
    }

    /// For `show cluster`.
    pub(super) fn status(&self, now: Mono) -> Option<ClusterStatus> {
        let election = self.election.as_ref()?;
        let (why, since) = election.why();
        let peer = election.peer();
        let names = self.listen.as_ref().map(|l| l.paths.as_slice()).unwrap_or_default();
        let path = |name: String, to: Option<IpAddr>, number: u8| {
            let seen = peer.paths().get(usize::from(number)).copied().unwrap_or_default();
            PathStatus {
                name,
                peer: to,
                proven: seen.proven,
                heard: seen.heard,
                frames: seen.frames,
                missed: peer.missed(number),
                round_us: seen.round_us,
                refused: self.refused.get(&number).map(|(refused, _)| refused.counters),
            }
        };
        let numbered = (0_u8..).zip(names);
        let mut paths: Vec<PathStatus> = numbered
            .map(|(number, p)| path(p.name.to_string(), Some(p.to.unwrap_or(p.peer)), number))
            .collect();
        if let Some(serial) = self.listen.as_ref().and_then(|l| l.serial.as_ref()) {
            paths.push(path(serial.device.to_string(), None, SERIAL_PATH));
        }
        let word = peer.word().map(|word| PeerStatus {
            state: word.state,
            alive: peer.alive(now),
            fitness: word.fitness,
            priority: word.priority,
            same_config: word.running.is_some_and(|r| r.hash == self.running.hash),
            firmware: word.firmware.as_str().into(),
            usable: word.usable,
            connections: word.connections,
        });
        Some(ClusterStatus {
            role: role_word(election.role()).into(),
            why: why.to_string(),
            since,
            priority: election.settings().priority,
            aside: election.is_aside(),
            fitness: election.fitness(),
            signed: self.listen.as_ref().and_then(|l| l.guard.keys.signing()),
            takeover_after: election.settings().takeover_min(),
            peer: word,
            paths,
            fence_after: election.fence_after(now),
            watchdog: crate::init::limits::watchdog_timeout_s(Some(election.fence_after(now))),
            old_key: self.rotation.as_ref().map(|r| r.old.0),
            witnesses: self.pings.witnesses(),
            proofs: self.pings.proofs(),
            round_us: peer.round_us(),
            old_frames: peer.old(),
            configuration: String::new(),
            connections: election.connections(),
            table: None,
        })
    }

    fn path_name(&self, number: u8) -> String {
        let Some(listen) = &self.listen else { return number.to_string() };
        if number == SERIAL_PATH {
            return listen.serial.as_ref().map_or_else(|| "serial".to_string(), |s| s.device.to_string());
        }
        listen.paths.get(usize::from(number)).map_or_else(|| number.to_string(), |p| p.name.to_string())
    }

    /// Names of the networks over which the peer has not proven within its dead time that it hears us.
    pub(super) fn silent_paths(&self, now: Mono) -> Vec<String> {
        let (Some(election), Some(listen)) = (&self.election, &self.listen) else { return Vec::new() };
        let span = election.settings().dead_time;
        let silent = |seen: &crate::election::Path| seen.proven.is_none_or(|at| at.after(span) < now);
        let paths = listen.paths.iter().zip(election.peer().paths());
        paths.filter(|(_, seen)| silent(seen)).map(|(path, _)| path.name.to_string()).collect()
    }

    /// Whether the other box is heard.
    pub(super) fn peer_alive(&self, now: Mono) -> bool {
        self.election.as_ref().is_some_and(|election| election.peer().heard(now))
    }

    /// Whether nothing is left to be told to the peer.
    pub(super) fn done(&self) -> bool {
        self.election.as_ref().is_none_or(Election::done)
    }

    /// What is wrong with the pair.
    pub(super) fn alarms(&self, now: Mono) -> Vec<String> {
        let mut alarms = Vec::new();
        if let Some(why) = self.silent {
            alarms.push(format!("no heartbeat, so nobody takes over: {why}"));
        }
        let Some(election) = &self.election else { return alarms };
        let fresh = |at: &Mono| now < at.after(REFUSAL_ALARM);
        for (refused, _) in self.refused.values().filter(|(_, at)| fresh(at)) {
            let name = self.path_name(refused.path);
            let whom = refused.from.map_or_else(String::new, |from| format!(" from {from}"));
            alarms.push(format!("heartbeats on {name}{whom} are refused: {}", refused.refusal));
        }
        if !self.pings.reachable(now) {
            alarms.push("no witness answers: this box may be cut off from the network".to_string());
        }
        for (address, proof) in self.pings.proofs() {
            if let Proof::Failed { asked } = proof {
                alarms.push(format!(
                    "it is not proved that {address} arrives here: {asked} does not answer to it; it is announced again"
                ));
            }
        }
        if self.second_box {
            alarms.push("two boxes say that they are the peer: check show version on each".to_string());
        }
        if !election.peer().alive(now) {
            let what = if election.peer().one_way(now) {
                "the peer is heard, but does not hear this box: check cables and cluster keys"
            } else {
                "the peer is not heard: check its power and the heartbeat networks"
            };
            alarms.push(what.to_string());
        }
        alarms
    }
}

const fn role_word(role: ElectionRole) -> &'static str {
    match role {
        ElectionRole::Starting { .. } => "starting",
        ElectionRole::Standby => "standby",
        ElectionRole::Active => "active",
        ElectionRole::Releasing { .. } => "releasing the floating addresses",
        ElectionRole::Left => "stopped",
    }
}

impl Director {
    /// Whether this node should hold the floating addresses of `config`.
    pub(super) fn active(&self, config: &Config) -> bool {
        let alone = config.backup.is_none() || self.start.identity == Role::Primary;
        match &self.cluster.election {
            Some(election) if config.backup.is_some() => election.active(),
            Some(_) | None => !self.stopping && alone,
        }
    }

    /// The running configuration is another one, or the first.
    pub(super) fn configure_cluster(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let begun = core::mem::replace(&mut self.cluster.begun, true);
        let (settings, listen) = match pairing(&self.bound_now(), self.start.identity) {
            Ok(found) => found,
            Err(why) => {
                self.cluster.silent = self.config.backup.is_some().then_some(why);
                if self.cluster.election.take().is_some() {
                    self.cluster.listen = None;
                    out.push(Effect::Listen(None));
                }
                return;
            }
        };
        self.cluster.silent = None;
        self.change_key(&listen.guard.keys);
        let witnesses = &self.config.cluster.pairing.witnesses;
        self.cluster.pings.configure(witnesses, settings.interval, settings.dead_time, now);
        self.cluster.running = Running { generation: self.generation.0, hash: blob::hash(&self.config) };
        self.listen_on(listen, out);
        let local = self.local(now);
        let mut outputs = Vec::new();
        if let Some(election) = &mut self.cluster.election {
            election.configure(settings, now);
            election.update(local, now, &mut outputs);
        } else {
            // One that served alone goes on serving when it becomes half of a pair.
            let served = Saved { active: self.start.identity == Role::Primary, aside: false };
            let before = self.start.checkpoint.as_ref().and_then(|c| c.cluster);
            let resumed = if begun { Some(served) } else { before };
            let mut election = Election::start(settings, local, self.start.nonce, resumed, now);
            election.on_deadline(now, &mut outputs);
            self.cluster.election = Some(election);
        }
        self.elected(outputs, now, out);
    }

    pub(super) fn with_election<T>(
        &mut self,
        now: Mono,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut Election, Mono, &mut Vec<Output>) -> T,
    ) -> Option<T> {
        let mut outputs = Vec::new();
        let result = act(self.cluster.election.as_mut()?, now, &mut outputs);
        self.elected(outputs, now, out);
        Some(result)
    }

    pub(super) fn on_heartbeat(&mut self, path: u8, frame: &Frame, now: Mono, out: &mut Vec<Effect>) {
        self.with_election(now, out, |e, now, o| e.receive(path, frame, now, o));
        self.rotate(frame, now, out);
    }

    pub(super) fn on_refused(&mut self, refused: Refused, now: Mono) {
        if usize::from(refused.path) < crate::election::PATHS_MAX {
            self.cluster.refused.insert(refused.path, (refused, now));
        }
    }

    fn change_key(&mut self, keys: &Keyring) {
        let new = keys.first().cloned();
        if let Some(old) = self.cluster.key.take().filter(|old| new.is_some() && Some(old) != new.as_ref()) {
            self.cluster.rotation = Some(Rotation { old, taken: false });
        }
        self.cluster.key = new;
    }

    /// What the peer says of keys. What it said before it fell silent may be outdated, and then any authentic frame counts:
    /// all it decides is which of our keys signs.
    fn rotate(&mut self, frame: &Frame, now: Mono, out: &mut Vec<Effect>) {
        let (Some(rotation), Some((id, key))) = (&mut self.cluster.rotation, &self.cluster.key) else {
            return;
        };
        let Some(election) = &self.cluster.election else { return };
        let peer = election.peer();
        let alive = peer.alive(now);
        let word = if alive { peer.word().unwrap_or(frame) } else { frame };
        let new = KeyMark::of(*id, key);
        let signed = word.key == Some(new);
        let taken = signed || word.keys.contains(&new);
        if signed && alive {
            self.cluster.rotation = None;
            self.log(Level::Notice, format!("cluster: both boxes sign with key {id} now"), out);
        } else if rotation.taken == taken {
            return;
        } else {
            rotation.taken = taken;
        }
        if let Ok((_, listen)) = pairing(&self.bound_now(), self.start.identity) {
            self.listen_on(listen, out);
        }
    }

    pub(super) fn cluster_deadline(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.ping(now, out);
        if self.cluster.election.as_ref().is_some_and(|e| e.next_deadline() <= now) {
            self.with_election(now, out, Election::on_deadline);
        }
    }

    /// The configuration with the cards of this box, as far as they are known.
    fn bound_now(&self) -> Cow<'_, Config> {
        match self.reconcile.observed() {
            Some(observed) => self.bound(&self.config, observed),
            None => Cow::Borrowed(&*self.config),
        }
    }

    /// What was announced while a cable was out was heard by nobody behind it.
    fn announce_on_new_links(&mut self, now: Mono) {
        let Some(observed) = self.reconcile.observed() else { return };
        let linked = observed.links.iter().filter(|(_, link)| link.carrier).map(|(device, _)| device.clone());
        let linked: BTreeSet<Device> = linked.gather();
        let before = self.cluster.linked.replace(linked.clone());
        if before.is_some_and(|before| linked.difference(&before).next().is_some()) {
            self.announcer.again(now);
        }
    }

    fn listen_on(&mut self, mut listen: Listen, out: &mut Vec<Effect>) {
        if let (Some(Rotation { old, taken }), Some(new)) = (&self.cluster.rotation, &self.cluster.key) {
            let order = if *taken { [new, old] } else { [old, new] };
            let mut keys = Keyring::default();
            for (id, key) in order {
                keys.add(*id, key.clone());
            }
            listen.guard.keys = keys;
        }
        if self.cluster.listen.as_ref() != Some(&listen) {
            self.cluster.listen = Some(listen.clone());
            out.push(Effect::Listen(Some(Box::new(listen))));
        }
    }

    /// The kernel was dumped or changed: cards, links and servers may have changed.
    pub(super) fn update_cluster(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.announce_on_new_links(now);
        if self.cluster.election.is_some() {
            if let Ok((_, listen)) = pairing(&self.bound_now(), self.start.identity) {
                self.listen_on(listen, out);
            }
            let local = self.local(now);
            self.with_election(now, out, |e, now, o| e.update(local, now, o));
        }
    }

    /// `cluster standby` and `cluster takeover`; the text says what happens.
    pub(super) fn cluster_action(
        &mut self,
        ask: ClusterAction,
        now: Mono,
        out: &mut Vec<Effect>,
    ) -> Result<String, String> {
        if let Some(text) = self.table_first(ask, now, out) {
            return Ok(text);
        }
        let (word, result) = match ask {
            ClusterAction::Takeover => ("active", self.with_election(now, out, Election::take_over)),
            ClusterAction::Standby => ("standby", self.with_election(now, out, Election::stand_by)),
            ClusterAction::Take | ClusterAction::Give => return self.take(out),
            ClusterAction::Announce => return self.announce_by_hand(now),
        };
        match result {
            None => Err(self.cluster.silent.unwrap_or("no backup node is configured").to_string()),
            Some(Ok(())) => {
                self.checkpoint(out);
                Ok(format!("this box becomes {word}: show cluster"))
            }
            Some(Err(Denied::Already)) => Err(format!("this box is {word} already")),
            Some(Err(Denied::NoPeer)) => {
                Err("the peer is not ready, nobody would serve: show cluster".to_string())
            }
            Some(Err(Denied::PeerUnfit)) => {
                Err("the peer can serve worse than this box (links, witness, servers): show cluster there"
                    .to_string())
            }
            Some(Err(Denied::Unfit)) => {
                Err("this box can serve worse than the peer (links, witness, servers): show cluster"
                    .to_string())
            }
            Some(Err(Denied::NotNow)) => Err("not while the box starts, hands over or stops".to_string()),
        }
    }

    fn elected(&mut self, outputs: Vec<Output>, now: Mono, out: &mut Vec<Effect>) {
        for output in outputs {
            match output {
                Output::Send(frame) => out.push(Effect::Beat(Box::new(frame))),
                Output::Changed => self.role_changed(out),
                Output::Announce => {
                    self.announcer.again(now);
                    self.cluster.pings.again(now);
                }
                Output::Warn(warning) => self.cluster_warning(warning, out),
            }
        }
    }

    fn role_changed(&mut self, out: &mut Vec<Effect>) {
        let Some(election) = &self.cluster.election else { return };
        let text = format!("cluster: {}: {}", role_word(election.role()), election.why().0);
        self.log(Level::Notice, text, out);
        self.reconcile.role_changed();
        self.checkpoint(out);
    }

    fn cluster_warning(&mut self, warning: Warning, out: &mut Vec<Effect>) {
        let (level, text) = match warning {
            Warning::Late { silence } => {
                (Level::Warning, format!("cluster: no heartbeat from the peer for {silence}"))
            }
            Warning::OneWay => (
                Level::Error,
                "cluster: the peer is heard, but does not hear this box: check cables and keys".to_string(),
            ),
            Warning::Duel => {
                (Level::Error, "cluster: both boxes were active; the better one stays".to_string())
            }
            Warning::Twin => {
                if core::mem::replace(&mut self.cluster.second_box, true) {
                    return;
                }
                (Level::Error, "cluster: two boxes say that they are the peer".to_string())
            }
            Warning::Back => (Level::Notice, "cluster: the peer is heard again".to_string()),
        };
        self.log(level, text, out);
    }

    /// Echoes that are due. A witness that came or went changes how fit this box is.
    fn ping(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let Some(election) = &self.cluster.election else { return };
        let told = election.fitness().witness;
        let mut pings = core::mem::take(&mut self.cluster.pings);
        let weak = pings.due(|key, turn| self.neighbour(key, turn), now, out);
        self.cluster.pings = pings;
        if weak {
            self.announcer.again(now);
        }
        if self.cluster.pings.reachable(now) != told {
            self.update_cluster(now, out);
        }
    }

    /// An echo of ours was answered, or was not.
    pub(super) fn on_pinged(
        &mut self,
        id: ProbeId,
        outcome: &ProbeOutcome,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        if self.pinged_by_hand(id, outcome, out) {
            return;
        }
        self.cluster.pings.pinged(id, outcome, now);
        let told = self.cluster.election.as_ref().map(|e| e.fitness().witness);
        if told.is_some_and(|told| told != self.cluster.pings.reachable(now)) {
            self.update_cluster(now, out);
        }
    }

    /// Who is asked whether he knows that a floating address is here: a witness, a gateway or a usable server beside it.
    fn neighbour(&self, key: &AddressKey, turn: usize) -> Option<IpAddr> {
        let config = &*self.config;
        let observed = self.reconcile.observed()?;
        let usable = |address: IpAddr| {
            let mut dests = observed.services.values().flat_map(|s| &s.dests);
            dests.any(|(dest, d)| dest.address == address && d.spec.weight > 0)
        };
        let servers = config.real_servers.values().filter_map(|s| s.address).filter(|a| usable(*a));
        let gateways = config.routes.values().filter_map(|r| r.via);
        let witnesses = config.cluster.pairing.witnesses.iter().copied();
        let near = |a: &IpAddr| key.cidr.contains(*a) && *a != key.cidr.address();
        let all: Vec<IpAddr> =
            witnesses.chain(gateways).chain(servers).filter(near).take(NEIGHBOURS_MAX).collect();
        all.get(turn.checked_rem(all.len())?).copied()
    }

    fn local(&self, now: Mono) -> Local {
        let nothing = Observed::default();
        let observed = self.reconcile.observed();
        let known = observed.unwrap_or(&nothing);
        let carrier = |device: &Device| known.links.get(device).is_some_and(|link| link.carrier);
        let config = self.bound_now();
        let device_of = |role: &Name| config.interfaces.get(role).and_then(|i| i.device.as_ref());
        let mut serving = config.floating.values().filter_map(|f| device_of(f.interface.as_ref()?));
        let paths = self.cluster.listen.as_ref().map(|l| l.paths.as_slice()).unwrap_or_default();
        let dests = || known.services.values().flat_map(|s| s.dests.values());
        let usable = dests().filter(|d| d.spec.weight > 0).count();
        let connections =
            dests().fold(0_u32, |sum, d| sum.saturating_add(d.active).saturating_add(d.inactive));
        Local {
            fitness: Fitness {
                links: observed.is_none() || serving.all(carrier),
                witness: self.cluster.pings.reachable(now),
                // Each service counts: a box whose cable was out must not take back what it cannot serve yet. One whose checks
                // do not end does not know what it says.
                servers: !self.health.is_blind()
                    && known.services.values().all(|s| s.dests.values().any(|d| d.spec.weight > 0))
                    && (usable > 0 || self.config.services.is_empty()),
            },
            connected: observed.is_none() || paths.iter().any(|path| carrier(&path.device)),
            held: self.may_hold(),
            running: self.cluster.running,
            schema: SCHEMA,
            firmware: heapless::String::try_from(self.start.version.as_str()).unwrap_or_default(),
            usable: u32::try_from(usable).unwrap_or(u32::MAX),
            connections,
            boots: self.start.boots,
            // A system on trial that has not proven itself does not ask for its role.
            table: self.table_here() && !self.system.on_probation(),
        }
    }
}
