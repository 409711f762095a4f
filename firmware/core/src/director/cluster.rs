//! The pair inside the director: feeds the election with frames, links and servers, and does what it decides.
//!
//! Without a heartbeat (no key, or no path that both nodes have) nobody may take over: the primary is active, the
//! backup waits, and an alarm says so.

use super::protocol::ClusterAction;
use super::status::{ClusterStatus, PathStatus, PeerStatus};
use super::{Director, Effect, Level};
use crate::election::{
    Denied, Election, Fitness, Local, Output, Role as ElectionRole, Saved, Settings, Warning,
};
use crate::gather::Gather as _;
use crate::model::cluster::Authentication;
use crate::model::config::{Interface, Node};
use crate::model::{Config, Device, Millis, Mono, Name};
use crate::plan::Observed;
use crate::store::blob::{self, SCHEMA};
use crate::store::identity::Role;
use crate::sync::session::Credentials;
use crate::wire::heartbeat::{Frame, Guard, Key, Keyring, Running};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// Priority of a primary without one.
const PRIMARY_PRIORITY: u8 = 100;
/// Priority of a backup without one.
const BACKUP_PRIORITY: u8 = 90;
/// Id of the key when the configuration names none.
const KEY_ID: u8 = 1;

/// A network over which heartbeats travel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeartbeatPath {
    /// Interface role.
    pub name: Name,
    /// Its device.
    pub device: Device,
    /// Our address there.
    pub local: IpAddr,
    /// The peer's.
    pub peer: IpAddr,
}

/// What the shell opens.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listen {
    /// Judges what comes, signs what goes.
    pub guard: Guard,
    /// UDP port at both ends.
    pub port: u16,
    /// Paths by number.
    pub paths: Vec<HeartbeatPath>,
    /// What the connection to the peer is sealed with; `None`: there is none.
    pub credentials: Option<Credentials>,
}

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
    /// Configuration seen once: what comes later is a commit, not a start.
    begun: bool,
}

impl Cluster {
    /// Whether two nodes settle by heartbeats who is active.
    pub(super) fn elects(&self) -> bool {
        self.election.is_some()
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.election.as_ref().map(Election::next_deadline)
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
        let path = |(path, seen): (&HeartbeatPath, &crate::election::Path)| PathStatus {
            name: path.name.clone(),
            peer: path.peer,
            proven: seen.proven,
            heard: seen.heard,
            frames: seen.frames,
        };
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
            paths: names.iter().zip(peer.paths()).map(path).collect(),
            round_us: peer.round_us(),
            old_frames: peer.old(),
            configuration: String::new(),
            connections: election.connections(),
            table: None,
        })
    }

    /// Names of the networks over which the peer has not proven within its dead time that it hears us.
    pub(super) fn silent_paths(&self, now: Mono) -> Vec<String> {
        let (Some(election), Some(listen)) = (&self.election, &self.listen) else { return Vec::new() };
        let span = election.settings().dead_time;
        let silent = |seen: &crate::election::Path| seen.proven.is_none_or(|at| at.after(span) < now);
        let paths = listen.paths.iter().zip(election.peer().paths());
        paths.filter(|(_, seen)| silent(seen)).map(|(path, _)| path.name.to_string()).collect()
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

/// What the election and the shell need, or why there can be no heartbeat.
fn pairing(config: &Config, identity: Role) -> Result<(Settings, Listen), &'static str> {
    let cluster = &config.cluster;
    let pairing = &cluster.pairing;
    let backup = config.backup.as_ref().ok_or("no backup node is configured")?;
    let (own, peer) = match identity {
        Role::Primary => (&config.primary, backup),
        Role::Backup => (backup, &config.primary),
    };
    let mut keys = Keyring::default();
    if let Some(secret) = &pairing.secret {
        keys.add(pairing.key.unwrap_or(KEY_ID), Key::of(secret.reveal()));
    }
    if keys.is_empty() && pairing.authentication == Authentication::Enforce {
        return Err("no key: set cluster secret, the same on both boxes");
    }
    let shared = networks(config, own, peer).count() > 0;
    if !shared {
        return Err("no network on which both nodes have an address");
    }
    let default = if identity == Role::Primary { PRIMARY_PRIORITY } else { BACKUP_PRIORITY };
    let dead_time = cluster.dead_time;
    let settings = Settings {
        group: pairing.group,
        own: identity,
        priority: own.priority.unwrap_or(default),
        interval: cluster.heartbeat_interval,
        dead_time,
        warn_time: pairing.warn_time.unwrap_or_else(|| Millis::new(dead_time.get() / 2)),
        start_hold: pairing.start_hold,
        detection: pairing.detection,
        failback: pairing.failback,
        failback_delay: pairing.failback_delay,
    };
    let guard = Guard { group: pairing.group, own: identity, mode: pairing.authentication, keys };
    let key = pairing.key.unwrap_or(KEY_ID);
    let secret = pairing.secret.as_ref();
    let credentials = secret.map(|s| Credentials::new(pairing.group, identity, key, s.reveal()));
    let paths = paths(config, own, peer);
    Ok((settings, Listen { guard, port: cluster.heartbeat_port, paths, credentials }))
}

/// The networks on which both nodes have an address, in order of their names: ours and the peer's.
fn networks<'a>(
    config: &'a Config,
    own: &'a Node,
    peer: &'a Node,
) -> impl Iterator<Item = (&'a Name, &'a Interface, IpAddr, IpAddr)> {
    let named = &config.cluster.pairing.paths;
    let roles = config.interfaces.iter().filter(|(name, _)| named.is_empty() || named.contains(name));
    roles.filter_map(|(name, interface)| {
        let address = |node: &Node, v4: bool| {
            let all = node.addresses.get(name)?;
            all.iter().map(|cidr| cidr.address()).find(|a| a.is_ipv4() == v4)
        };
        let both = [true, false].into_iter().find_map(|v4| Some((address(own, v4)?, address(peer, v4)?)));
        let (local, peer) = both?;
        Some((name, interface, local, peer))
    })
}

/// Those whose card is known. A role that is bound to a card by its hardware address gets its device from the first
/// dump of the kernel.
fn paths(config: &Config, own: &Node, peer: &Node) -> Vec<HeartbeatPath> {
    let paths = networks(config, own, peer).filter_map(|(name, interface, local, peer)| {
        Some(HeartbeatPath { name: name.clone(), device: interface.device.clone()?, local, peer })
    });
    paths.take(crate::model::limits::HEARTBEAT_PATHS).collect()
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
        self.cluster.running = Running { generation: self.generation.0, hash: blob::hash(&self.config) };
        self.listen_on(listen, out);
        let local = self.local();
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
    }

    pub(super) fn cluster_deadline(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.cluster.next_deadline().is_some_and(|at| at <= now) {
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

    fn listen_on(&mut self, listen: Listen, out: &mut Vec<Effect>) {
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
            let local = self.local();
            self.with_election(now, out, |e, now, o| e.update(local, now, o));
        }
    }

    /// Kernel and desired state agree: what was to be released is gone.
    pub(super) fn cluster_settled(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.update_cluster(now, out);
        let releasing = |e: &Election| matches!(e.role(), ElectionRole::Releasing { .. });
        if self.cluster.election.as_ref().is_some_and(releasing) {
            self.with_election(now, out, Election::released);
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
            Some(Err(Denied::NotNow)) => Err("not while the box starts, hands over or stops".to_string()),
        }
    }

    fn elected(&mut self, outputs: Vec<Output>, now: Mono, out: &mut Vec<Effect>) {
        for output in outputs {
            match output {
                Output::Send(frame) => out.push(Effect::Beat(Box::new(frame))),
                Output::Changed => self.role_changed(out),
                Output::Announce => self.announcer.again(now),
                Output::Warn(warning) => self.cluster_warning(warning, out),
            }
        }
    }

    fn role_changed(&mut self, out: &mut Vec<Effect>) {
        let Some(election) = &self.cluster.election else { return };
        let text = format!("cluster: {}: {}", role_word(election.role()), election.why().0);
        self.log(Level::Notice, text, out);
        self.reconcile.desired_changed();
        self.reconcile.retry_now();
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

    fn local(&self) -> Local {
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
                witness: true,
                servers: usable > 0 || self.config.services.is_empty(),
            },
            connected: observed.is_none() || paths.iter().any(|path| carrier(&path.device)),
            running: self.cluster.running,
            schema: SCHEMA,
            firmware: heapless::String::try_from(self.start.version.as_str()).unwrap_or_default(),
            usable: u32::try_from(usable).unwrap_or(u32::MAX),
            connections,
            boots: self.start.boots,
            table: self.table_here(),
        }
    }
}
