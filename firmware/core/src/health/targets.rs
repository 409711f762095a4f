//! From the configuration: which server of which pool is asked what, and judged by which thresholds.

use super::dialogue::load::{HTTP_PORT, PORTMAP_PORT};
use super::load::monitored;
use super::schedule::{ProbeKey, Retry};
use super::verdict::Rule;
use super::{ProbeKind, ProbeSpec, Shared};
use crate::gather::Gather as _;
use crate::model::check::{Check, Join, LoadSource, Question};
use crate::model::codes::Codes;
use crate::model::config::{CheckKind, Config, Forward, HttpCheck, Member, Node, Pool};
use crate::model::ipvs::Mark;
use crate::model::{Millis, Name};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

/// What has a verdict of its own: a server in a pool, for each port that is checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct MemberKey {
    pub(crate) pool: Name,
    pub(crate) server: Name,
    pub(crate) port: u16,
    /// The named check; `None`: the pool's own.
    pub(crate) check: Option<Name>,
    /// The virtual address that it is asked for; `None`: its own.
    pub(crate) front: Option<IpAddr>,
}

impl MemberKey {
    pub(crate) fn seat(&self) -> SeatKey {
        SeatKey { pool: self.pool.clone(), server: self.server.clone(), port: self.port }
    }

    /// Words about it that say which of several checks of a server is meant.
    pub(crate) fn label(&self, words: &str) -> String {
        match (&self.check, self.front) {
            (None, None) => words.into(),
            (Some(name), None) => format!("check {name}: {words}"),
            (None, Some(front)) => format!("asked for {front}: {words}"),
            (Some(name), Some(front)) => format!("check {name} for {front}: {words}"),
        }
    }
}

/// Where the verdicts of all checks of a server come together: a port of it in a pool.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct SeatKey {
    pub(crate) pool: Name,
    pub(crate) server: Name,
    pub(crate) port: u16,
}

/// How it is judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    pub(crate) address: IpAddr,
    /// `None`: no check.
    pub(crate) probe: Option<ProbeKey>,
    pub(crate) rule: Rule,
    pub(crate) join: Join,
}

/// All targets, as a node that is active or not asks them. Servers without an address, and members for whose port nobody asks, have none.
pub(crate) fn targets(config: &Config, node: &Node, active: bool) -> BTreeMap<MemberKey, Target> {
    let named = named_checks(config, node);
    let service_ports = service_ports(config);
    let fronts = fronts(config);
    let mut all = Vec::new();
    for (pool_name, pool) in &config.pools {
        let parts = parts(pool, &named);
        let asking = Asking { pool, sources: sources(pool, node), node, active };
        for (server, member) in &pool.servers {
            let Some(address) = config.real_servers.get(server).and_then(|rs| rs.address) else { continue };
            for port in checked_ports(pool, member, service_ports.get(pool_name)) {
                let via_virtual = pool.watch.via_virtual && pool.forward_of(member) == Forward::Direct;
                let fronts = fronts.get(pool_name).filter(|_| via_virtual);
                for part in &parts {
                    let key = |front| MemberKey {
                        pool: pool_name.clone(),
                        server: server.clone(),
                        port,
                        check: part.name.cloned(),
                        front,
                    };
                    let server = SocketAddr::new(address, port);
                    let virtuals: Vec<IpAddr> = match fronts {
                        // A check that asks elsewhere means that place.
                        Some(fronts)
                            if part.address.is_none() && part.kind.as_ref().is_some_and(by_stream) =>
                        {
                            fronts.of(port, address)
                        }
                        Some(_) | None => Vec::new(),
                    };
                    if virtuals.is_empty() {
                        all.push((key(None), asking.target(part, server, None)));
                    }
                    let asked = |front| (key(Some(front)), asking.target(part, server, Some(front)));
                    all.extend(virtuals.into_iter().map(asked));
                }
            }
        }
    }
    // Pools, servers and ports came in order, so this builds the map without searching.
    all.into_iter().gather()
}

/// What the load monitors ask whom.
pub(crate) fn load_probes(config: &Config) -> impl Iterator<Item = (&Name, ProbeKey)> {
    monitored(config).filter_map(|(server, address, monitor)| {
        let port = match monitor.source {
            LoadSource::Rwhod => return None,
            // There is none by nature: validation asks for one.
            LoadSource::Agent => monitor.port?,
            LoadSource::Http => HTTP_PORT,
            LoadSource::Rstatd => PORTMAP_PORT,
        };
        let target = SocketAddr::new(address, monitor.port.unwrap_or(port));
        let kind = ProbeKind::Load(Shared::new(monitor.clone()));
        let (interval, timeout) = (monitor.interval, monitor.timeout);
        let spec = ProbeSpec { target, at: None, source: None, kind };
        Some((server, ProbeKey { spec, interval, timeout, jitter: 0, retry: None }))
    })
}

/// The ports on which services use a pool.
pub(super) fn service_ports(config: &Config) -> BTreeMap<&Name, BTreeSet<u16>> {
    let mut ports: BTreeMap<&Name, BTreeSet<u16>> = BTreeMap::new();
    for service in config.services.values() {
        if let Some(pool) = &service.pool {
            let of_pool = ports.entry(pool).or_default();
            of_pool.extend(service.ports.iter().copied());
            let mark = service.special.mark.as_ref().and_then(|name| config.kernel.marks.get(name));
            of_pool.extend(mark.and_then(Mark::first_port));
        }
    }
    ports
}

fn checked_ports(pool: &Pool, member: &Member, of_services: Option<&BTreeSet<u16>>) -> Vec<u16> {
    match pool.check_port.or(member.port) {
        Some(port) => alloc::vec![port],
        None => of_services.into_iter().flatten().copied().collect(),
    }
}

fn question(pool: &Pool) -> Option<ProbeKind> {
    match pool.check {
        CheckKind::None => None,
        CheckKind::Tcp => Some(ProbeKind::Tcp),
        CheckKind::Http => {
            let default = || {
                let path = "/".parse().ok()?;
                Some(HttpCheck { path, host: None, status: Codes::default() })
            };
            // "/" is a valid path, so the second case does not happen; a connect check is what remains of the question.
            let check = pool.http.clone().or_else(default);
            Some(check.map_or(ProbeKind::Tcp, |check| ProbeKind::Http(Box::new(check))))
        }
    }
}

/// One of the checks of a pool.
struct Part<'a> {
    name: Option<&'a Name>,
    /// `None`: always usable.
    kind: Option<ProbeKind>,
    address: Option<IpAddr>,
    port: Option<u16>,
}

/// The named checks as they are asked: what the box adds is filled in, and what only says where to ask is taken out, so
/// that the same question to the same address is one probe.
fn named_checks(config: &Config, node: &Node) -> BTreeMap<Name, (Check, Option<ProbeKind>)> {
    let prepare = |check: &Check| {
        let mut asked = Check { port: None, address: None, ..check.clone() };
        if asked.question == Question::Smtp {
            let smtp = asked.smtp.get_or_insert_default();
            smtp.helo = smtp.helo.take().or_else(|| node.hostname.clone());
        }
        if asked.question == Question::Up {
            None
        } else if asked.question == Question::Tcp {
            Some(ProbeKind::Tcp)
        } else {
            Some(ProbeKind::Named(Shared::new(asked)))
        }
    };
    config.questions.checks.iter().map(|(n, check)| (n.clone(), (check.clone(), prepare(check)))).gather()
}

/// The pool's own check and the named ones, in the order of their names.
fn parts<'a>(pool: &Pool, named: &'a BTreeMap<Name, (Check, Option<ProbeKind>)>) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let own = question(pool);
    let mut uses: Vec<_> = pool.watch.checks.iter().filter_map(|name| named.get_key_value(name)).collect();
    if own.is_some() || uses.is_empty() {
        parts.push(Part { name: None, kind: own, address: None, port: None });
    }
    uses.sort_by_key(|(name, _)| *name);
    uses.dedup_by_key(|(name, _)| *name);
    for (name, (check, kind)) in uses {
        let (address, port) = (check.address, check.port);
        parts.push(Part { name: Some(name), kind: kind.clone(), address, port });
    }
    parts
}

/// Our own addresses that the checks of a pool come from.
fn sources(pool: &Pool, node: &Node) -> Vec<IpAddr> {
    let addresses = pool.watch.source.as_ref().and_then(|role| node.addresses.get(role));
    addresses.into_iter().flatten().map(|cidr| cidr.address()).collect()
}

/// Failures in a row after which the next question comes early: as many as still decide something.
fn retry(pool: &Pool) -> Option<Retry> {
    let after = pool.watch.fast_retry?.max(Millis::new(1));
    let times = match pool.dead_time {
        None => u32::from(pool.fall.max(1)).saturating_sub(1),
        Some(dead) => dead.get() / after.get(),
    };
    Some(Retry { after, times })
}

/// Virtual addresses of a pool, by the ports of its services.
#[derive(Default)]
struct Fronts(BTreeMap<u16, BTreeSet<IpAddr>>);

impl Fronts {
    /// Those of the server's family on this port; those on any port, when the checked one is no service's.
    fn of(&self, port: u16, server: IpAddr) -> Vec<IpAddr> {
        let all: BTreeSet<IpAddr> = match self.0.get(&port) {
            Some(addresses) => addresses.clone(),
            None => self.0.values().flatten().copied().collect(),
        };
        all.into_iter().filter(|address| address.is_ipv4() == server.is_ipv4()).collect()
    }
}

fn fronts(config: &Config) -> BTreeMap<&Name, Fronts> {
    let mut all: BTreeMap<&Name, Fronts> = BTreeMap::new();
    for service in config.services.values() {
        let Some(pool) = &service.pool else { continue };
        let of_pool = all.entry(pool).or_default();
        let mark = service.special.mark.as_ref().and_then(|name| config.kernel.marks.get(name));
        let (names, ports): (&[Name], Vec<u16>) = match mark {
            Some(mark) => (&mark.addresses, mark.first_port().into_iter().collect()),
            None => (&service.addresses, service.ports.to_vec()),
        };
        let addresses: Vec<IpAddr> =
            names.iter().filter_map(|name| Some(config.floating.get(name)?.address?.address())).collect();
        for port in ports {
            of_pool.0.entry(port).or_default().extend(&addresses);
        }
    }
    all
}

/// Whether a question is asked over TCP: only those can be asked for a virtual address.
fn by_stream(kind: &ProbeKind) -> bool {
    match kind {
        ProbeKind::Tcp | ProbeKind::Http(_) => true,
        ProbeKind::Named(check) => asked_by_stream(check),
        ProbeKind::Load(_) => false,
    }
}

/// The same of a named check.
pub(crate) fn asked_by_stream(check: &Check) -> bool {
    match check.question {
        Question::Dns
        | Question::Radius
        | Question::Ntp
        | Question::Udp
        | Question::Ping
        | Question::Up
        | Question::Down => false,
        Question::Sip => check.sip.as_ref().is_some_and(|sip| sip.tcp),
        Question::Tcp
        | Question::SendExpect
        | Question::Http
        | Question::Smtp
        | Question::Pop3
        | Question::Imap
        | Question::Ftp
        | Question::Nntp
        | Question::Ldap
        | Question::Mysql
        | Question::Postgresql
        | Question::Redis => check.tls.is_none(),
    }
}

/// Our own address in the network of a server.
pub(crate) fn beside(node: &Node, server: IpAddr) -> Option<IpAddr> {
    let all = node.addresses.values().flatten();
    let near = all.filter(|cidr| cidr.network().contains(server));
    near.max_by_key(|cidr| cidr.prefix()).map(|cidr| cidr.address())
}

/// How a pool asks its servers.
struct Asking<'a> {
    pool: &'a Pool,
    sources: Vec<IpAddr>,
    node: &'a Node,
    active: bool,
}

impl Asking<'_> {
    /// A server's own address, or a virtual one that it answers for.
    fn target(&self, part: &Part<'_>, server: SocketAddr, front: Option<IpAddr>) -> Target {
        let pool = self.pool;
        let standby = pool.watch.standby_interval.filter(|_| !self.active);
        let interval = standby.unwrap_or(pool.interval);
        let at_least_1ms = |span: Millis| span.max(Millis::new(1));
        let address = front.or(part.address).unwrap_or(server.ip());
        let to = SocketAddr::new(address, part.port.unwrap_or(server.port()));
        let same_family = |own: &IpAddr| own.is_ipv4() == to.is_ipv4();
        let source = self.sources.iter().copied().find(same_family);
        // What answers for a virtual address must not be asked from one.
        let source = source.or_else(|| front.and_then(|_| beside(self.node, server.ip())));
        let at = front.map(|_| server.ip());
        Target {
            address: server.ip(),
            probe: part.kind.as_ref().map(|kind| ProbeKey {
                spec: ProbeSpec { target: to, at, source, kind: kind.clone() },
                interval: at_least_1ms(interval),
                timeout: at_least_1ms(pool.timeout),
                jitter: pool.watch.jitter,
                retry: retry(pool),
            }),
            rule: Rule {
                rise: pool.rise,
                fall: pool.fall,
                dead_time: pool.dead_time,
                reentry: pool.reentry,
                flap_limit: pool.watch.flap_limit,
            },
            join: pool.watch.join,
        }
    }
}
