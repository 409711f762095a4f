//! Combinations of protocol, scheduler and check that the kernel accepts and that do something else than expected.

use super::Findings;
use crate::gather::Gather as _;
use crate::model::config::{CheckKind, Config, Forward, Protocol, Scheduler, Service};
use crate::model::ipvs::{Mark, SourceNat};
use crate::model::{Cidr, Name};
use crate::plan::Family;
use crate::plan::desired::keys;
use crate::plan::rules::FTP_CONTROL;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Where servers open the data connections of active FTP from (RFC 959 section 5.2).
const FTP_DATA: u16 = 20;

/// First and last ports of marks.
type Ranges<'a> = Vec<(u16, u16, &'a Name)>;

/// Marks: numbers of their own, and ports that no other mark and no service has.
pub(super) fn check_marks(config: &Config, found: &mut Findings) {
    let mut numbers = BTreeMap::new();
    let mut ranges: BTreeMap<(Protocol, IpAddr), Ranges<'_>> = BTreeMap::new();
    let address = |name: &Name| config.floating.get(name)?.address.map(Cidr::address);
    for (name, mark) in &config.kernel.marks {
        if let Some(other) = numbers.insert(mark.number_of(name), name) {
            let text = format!("is the number of mark {other} too: set mark {name} number to another one");
            found.error(format!("mark {name} number {}", mark.number_of(name)), text);
        }
        for (first, last) in &mark.ports {
            if *first == 0 || first > last {
                let text = "ports are 1 to 65535, the first before the last";
                found.error(format!("mark {name} port {first}-{last}"), text);
            }
            for place in mark.addresses.iter().filter_map(address) {
                let taken = ranges.entry((mark.protocol, place)).or_default();
                if let Some((_, _, other)) = taken.iter().find(|(f, l, _)| f <= last && first <= l) {
                    let text = format!("{place} has these ports in mark {other} already: change one");
                    found.error(format!("mark {name} port {first}-{last}"), text);
                }
                taken.push((*first, *last, name));
            }
        }
    }
    let mut users: BTreeMap<&Name, &Name> = BTreeMap::new();
    for (name, service) in &config.services {
        if let Some(mark) = &service.special.mark {
            if let Some(first) = users.insert(mark, name) {
                let text = format!("service {first} serves this mark already: use one service for it");
                found.error(format!("service {name} mark {mark}"), text);
            }
            continue;
        }
        for place in service.addresses.iter().filter_map(address) {
            let Some(taken) = ranges.get(&(service.protocol, place)) else { continue };
            for port in &service.ports {
                if let Some((_, _, mark)) = taken.iter().find(|(f, l, _)| (f..=l).contains(&port)) {
                    let text = format!("{place} port {port} is in mark {mark}, which goes first: delete one");
                    found.error(format!("service {name} port {port}"), text);
                }
            }
        }
    }
    for name in config.kernel.marks.keys().filter(|name| !users.contains_key(name)) {
        found.warning(format!("mark {name}"), "no service uses this mark");
    }
}

/// The sync daemon.
pub(super) fn check_sync(config: &Config, found: &mut Findings) {
    let Some(sync) = &config.sync_daemon else { return };
    match &sync.interface {
        None => found.error(
            "sync-daemon interface".into(),
            "missing: set sync-daemon interface with the role that leads to the peer",
        ),
        Some(role) if !config.interfaces.contains_key(role) => {
            let text = format!("there is no interface {role}: set interface {role} device");
            found.error(format!("sync-daemon interface {role}"), text);
        }
        Some(_) => {}
    }
    if !sync.group.is_multicast() {
        found.error(format!("sync-daemon group {}", sync.group), "is not a multicast address");
    }
    let mixed = config.services.iter().find(|(_, service)| {
        let pool = service.pool.as_ref().and_then(|p| config.pools.get(p));
        let members = pool.into_iter().flat_map(|p| p.servers.keys().chain(&p.shortage.sorry_server));
        let servers = members.filter_map(|name| config.real_servers.get(name)?.address);
        let families: BTreeSet<Family> = servers.map(Family::of).gather();
        keys(config, service).iter().any(|key| families.iter().any(|family| *family != key.family()))
    });
    if let Some((name, _)) = mixed {
        let text = format!(
            "service {name} has servers of the other address family, with which the kernel starts no sync daemon: \
             delete sync-daemon, or give the service servers of its own family"
        );
        found.error("sync-daemon".into(), text);
    }
}

pub(super) fn check_service(config: &Config, name: &Name, service: &Service, found: &mut Findings) {
    scheduler(name, service, found);
    let Some((pool_name, pool)) = service.pool.as_ref().and_then(|p| config.pools.get_key_value(p)) else {
        return;
    };
    let asked = match pool.check {
        CheckKind::Tcp => Some("tcp"),
        CheckKind::Http => Some("http"),
        CheckKind::None => None,
    };
    if let Some(asked) = asked.filter(|_| service.protocol == Protocol::Sctp && pool.check_port.is_none()) {
        let text = format!(
            "check {asked} would ask the SCTP port by TCP, and take every server out: set pool {pool_name} check \
             none, or check-port"
        );
        found.error(format!("service {name} protocol sctp"), text);
    }
    let nat = pool.forwards().any(|forward| forward == Forward::Nat);
    if service.special.source_nat != SourceNat::Off && !nat {
        let text = "has no effect: no server of the pool is behind nat";
        found.warning(format!("service {name} source-nat"), text);
    }
    ftp(config, (name, service), pool_name, found);
    // `ip_vs_sched_persist` knows the virtual port of a mark as 0.
    let own_port = pool.servers.iter().find(|(_, member)| member.port.is_some());
    if let (Some((server, _)), true, true) = (own_port, nat, service.special.mark.is_some())
        && service.persistence.is_some()
    {
        let text = format!(
            "with a mark and persistence the kernel leaves the port as it is: delete pool {pool_name} server {server} port"
        );
        found.error(format!("service {name} persistence"), text);
    }
    // The connection that would translate the answer is forgotten with the packet; the engine makes another one.
    let udp = service.protocol == Protocol::Udp;
    if service.special.one_packet && udp && nat && service.special.engine.is_none() {
        let text = "behind nat clients see answers with the server's address, which they did not ask: use direct or \
                    tunnel, or send nothing back";
        found.warning(format!("service {name} one-packet"), text);
    }
    if service.special.one_packet && service.persistence.is_some() {
        let text = "packets of one client all go to one server, because of the persistence: delete one";
        found.warning(format!("service {name} one-packet"), text);
    }
}

/// Data connections of FTP find their server by NAT, where the kernel reads along, or because one mark with persistence
/// holds control port and passive ports.
fn ftp(config: &Config, (name, service): (&Name, &Service), pool_name: &Name, found: &mut Findings) {
    let Some(pool) = config.pools.get(pool_name) else { return };
    let nat_only = pool.forwards().all(|forward| forward == Forward::Nat);
    let mark = service.special.mark.as_ref().and_then(|name| config.kernel.marks.get(name));
    let (protocol, control) = match mark {
        Some(mark) => (mark.protocol, mark.ports.iter().any(|(f, l)| (*f..=*l).contains(&FTP_CONTROL))),
        None => (service.protocol, service.ports.contains(&FTP_CONTROL)),
    };
    if protocol != Protocol::Tcp || !control {
        return;
    }
    let data = |mark: &Mark| mark.ports.iter().any(|(f, l)| (*f..=*l).contains(&FTP_DATA));
    if mark.is_some_and(|mark| !nat_only && !data(mark)) {
        let path = format!("mark {} port", service.special.mark.as_ref().map_or("", Name::as_str));
        let text = format!("{FTP_DATA} is missing: clients answer the data connections of active FTP there");
        found.warning(path, text);
    }
    if mark.is_none() && !nat_only {
        let text = "passive FTP does not find its server without nat: use a mark with port 21 and the passive ports of \
                    the servers, and persistence";
        found.warning(format!("service {name} port 21"), text);
    } else if mark.is_some() && !nat_only && service.persistence.is_none() {
        let text = "missing: without it the data connections of FTP may go to another server";
        found.warning(format!("service {name} persistence"), text);
    }
}

/// Schedulers that look at the destination see one: the virtual address.
fn scheduler(name: &Name, service: &Service, found: &mut Findings) {
    let what = match service.scheduler {
        Scheduler::Lblc | Scheduler::Lblcr => {
            "picks by the destination, which is always the virtual address: one server gets everything until it has \
             twice its weight in connections"
        }
        Scheduler::Dh => {
            "picks by the destination, which is always the virtual address: one server gets everything"
        }
        Scheduler::Rr
        | Scheduler::Wrr
        | Scheduler::Lc
        | Scheduler::Wlc
        | Scheduler::Sh
        | Scheduler::Sed
        | Scheduler::Nq
        | Scheduler::Fo
        | Scheduler::Ovf
        | Scheduler::Mh
        | Scheduler::Twos => return,
    };
    let path = format!("service {name} scheduler {}", service.scheduler.kernel_name());
    found.warning(path, format!("{what}: use wlc, or sh to keep clients with their server"));
}
