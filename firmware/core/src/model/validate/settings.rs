//! References, bounds and combinations of the settings beside addresses, pools and services themselves.

use super::{Findings, not_a_host};
use crate::init::cmdline::CONSOLE_DEFAULT;
use crate::model::check::Check;
use crate::model::choice::Chosen;
use crate::model::cluster::Transport;
use crate::model::config::{Pool, Protocol, Scheduler, Service};
use crate::model::ipvs::{Checksum, SchedulerFlag, Tunnel, TunnelKind};
use crate::model::system::IDLE_MIN;
use crate::model::{Config, Name};
use alloc::collections::BTreeMap;
use alloc::format;

pub(super) fn check(config: &Config, found: &mut Findings) {
    vlans(config, found);
    cluster(config, found);
    time_servers(config, found);
    let idle = config.system.idle_timeout;
    if idle.get() > 0 && idle < IDLE_MIN {
        found.error(
            format!("system idle-timeout {idle}"),
            format!(
                "at least {IDLE_MIN}: who types needs time to commit another one; 0s never ends a session"
            ),
        );
    }
    if let Some(syslog) = &config.system.syslog {
        match syslog.server {
            None => found.error("system syslog server".into(), "missing: set system syslog server"),
            Some(server) => {
                if let Some(why) = not_a_host(server) {
                    let path = format!("system syslog server {server}");
                    found.error(path, format!("{why}: use a host's address"));
                }
            }
        }
        if syslog.port == 0 {
            found.error("system syslog port 0".into(), "must be 1 to 65535");
        }
    }
    for (sysctl, value) in &config.kernel.sysctls {
        let (word, (min, max)) = (sysctl.word(), sysctl.bounds());
        match value {
            None => found.error(format!("sysctl {word} value"), format!("missing: {min} to {max}")),
            Some(value) if !(min..=max).contains(value) => {
                found.error(format!("sysctl {word} value {value}"), format!("must be {min} to {max}"));
            }
            Some(_) => {}
        }
    }
    masquerades(config, found);
    for (name, check) in &config.questions.checks {
        named_check(name, check, found);
    }
    for (name, mark) in &config.kernel.marks {
        for address in &mark.addresses {
            refers(found, "floating", &config.floating, Some(address), &format!("mark {name} address"));
        }
        if mark.addresses.is_empty() || mark.ports.is_empty() {
            found.error(format!("mark {name}"), "needs at least one address and one port");
        }
    }
    for (name, monitor) in &config.questions.load_monitors {
        if monitor.timeout > monitor.interval {
            let text = format!("is longer than the interval of {}: shorten it", monitor.interval);
            found.error(format!("load-monitor {name} timeout {}", monitor.timeout), text);
        }
    }
    for (name, server) in &config.real_servers {
        if let Some(monitor) = &server.load_monitor {
            let path = format!("real-server {name} load-monitor");
            refers(found, "load-monitor", &config.questions.load_monitors, Some(monitor), &path);
        }
    }
    config.pools.iter().for_each(|(name, pool)| check_pool(config, name, pool, found));
    config.services.iter().for_each(|(name, service)| check_service(config, name, service, found));
}

fn masquerades(config: &Config, found: &mut Findings) {
    for (name, rule) in &config.masquerade {
        let path = format!("masquerade {name} address");
        refers(found, "floating", &config.floating, rule.address.as_ref(), &path);
        let fixed = rule.address.as_ref().and_then(|name| config.floating.get(name)?.address);
        if let (Some(fixed), Some(source)) = (fixed, rule.source)
            && fixed.address().is_ipv4() != source.address().is_ipv4()
        {
            let text = format!("{} is not of the address family of the source {source}", fixed.address());
            found.error(path, text);
        }
    }
}

fn time_servers(config: &Config, found: &mut Findings) {
    for (n, server) in config.system.time_servers.iter().enumerate() {
        let path = || format!("system time-server {server}");
        if let Some(why) = not_a_host(*server) {
            found.error(path(), format!("{why}: use a host's address"));
        } else if config.system.time_servers.iter().take(n).any(|other| other == server) {
            found.error(path(), "is listed twice: delete one");
        }
    }
}

/// A name must be that of an entry.
fn refers<V>(found: &mut Findings, list: &str, entries: &BTreeMap<Name, V>, name: Option<&Name>, path: &str) {
    if let Some(name) = name.filter(|n| !entries.contains_key(*n)) {
        found.error(format!("{path} {name}"), format!("there is no {list} {name}: set {list} {name}"));
    }
}

fn vlans(config: &Config, found: &mut Findings) {
    let mut taken = BTreeMap::new();
    for (name, interface) in &config.interfaces {
        let Some(vlan) = &interface.vlan else { continue };
        let path = format!("interface {name} vlan");
        let (Some(parent), Some(id)) = (&vlan.parent, vlan.id) else {
            found.error(path, format!("missing: set interface {name} vlan parent and id"));
            continue;
        };
        refers(found, "interface", &config.interfaces, Some(parent), &format!("{path} parent"));
        if config.interfaces.get(parent).is_some_and(|p| p.vlan.is_some()) {
            found.error(format!("{path} parent {parent}"), "is a VLAN itself: use the device below it");
        }
        if let Some(other) = taken.insert((parent, id), name) {
            found.error(format!("{path} id {id}"), format!("is the VLAN of interface {other} already"));
        }
    }
}

fn cluster(config: &Config, found: &mut Findings) {
    let pairing = &config.cluster.pairing;
    for path in &pairing.paths {
        refers(found, "interface", &config.interfaces, Some(path), "cluster path");
    }
    for witness in &pairing.witnesses {
        if let Some(why) = not_a_host(*witness) {
            found.error(format!("cluster witness {witness}"), format!("{why}: use a host's address"));
        }
    }
    if let Some(warn) = pairing.warn_time.filter(|w| *w >= config.cluster.dead_time) {
        let text = format!("must be shorter than the dead time of {}", config.cluster.dead_time);
        found.error(format!("cluster warn-time {warn}"), text);
    }
    match pairing.multicast {
        None if pairing.transport == Transport::Multicast => {
            found
                .error("cluster multicast".into(), "missing: set cluster multicast with the group's address");
        }
        Some(group) if !group.is_multicast() => {
            found.error(format!("cluster multicast {group}"), "is not a multicast address");
        }
        Some(_) | None => {}
    }
    if pairing.serial.as_ref().and_then(|s| s.device.as_ref()).is_some_and(|d| d.as_str() == CONSOLE_DEFAULT)
    {
        let text = format!("{CONSOLE_DEFAULT} is the line of the console: use another, for example ttyS1");
        found.error("cluster serial device".into(), text);
    }
    if pairing.serial.as_ref().is_some_and(|s| s.device.is_none()) {
        found.error("cluster serial device".into(), "missing: set cluster serial device, for example ttyS1");
    }
    let backup = config.backup.as_ref();
    if let Some(priority) = backup.and_then(|b| b.priority).filter(|p| config.primary.priority == Some(*p)) {
        found.warning(
            format!("node backup priority {priority}"),
            "is the primary's too: a duel is decided by the role",
        );
    }
}

fn named_check(name: &Name, check: &Check, found: &mut Findings) {
    use crate::model::check::Question as Q;
    if check.question == Q::SendExpect && check.steps.is_empty() {
        found.error(format!("check {name} step"), format!("missing: set check {name} step 1 send"));
    }
    if check.question == Q::Radius && check.radius.as_ref().is_none_or(|r| r.secret.is_none()) {
        let text = format!("missing: set check {name} radius secret");
        found.error(format!("check {name} radius secret"), text);
    }
    if check.question == Q::Udp && check.udp.as_ref().is_none_or(|u| u.payload.is_none()) {
        let text = format!("missing: set check {name} udp payload");
        found.error(format!("check {name} udp payload"), text);
    }
    let details = [
        ("step", !check.steps.is_empty(), check.question == Q::SendExpect),
        ("http", check.http.is_some(), check.question == Q::Http),
        ("smtp", check.smtp.is_some(), check.question == Q::Smtp),
        ("ldap", check.ldap.is_some(), check.question == Q::Ldap),
        ("dns", check.dns.is_some(), check.question == Q::Dns),
        ("sip", check.sip.is_some(), check.question == Q::Sip),
        ("radius", check.radius.is_some(), check.question == Q::Radius),
        ("sql", check.sql.is_some(), matches!(check.question, Q::Mysql | Q::Postgresql)),
        ("udp", check.udp.is_some(), check.question == Q::Udp),
        ("ping", check.ping.is_some(), check.question == Q::Ping),
    ];
    for (word, set, fits) in details {
        if set && !fits {
            let text = format!("has no effect on question {}: delete it", check.question.word());
            found.warning(format!("check {name} {word}"), text);
        }
    }
}

fn tunnel(path: &str, tunnel: &Tunnel, found: &mut Findings) {
    match (tunnel.kind, tunnel.port) {
        (TunnelKind::Gue, None) => {
            found.error(format!("{path} port"), "missing: gue needs the server's UDP port");
        }
        (TunnelKind::Ipip | TunnelKind::Gre, Some(_)) => {
            found.error(format!("{path} port"), "only gue has a port: delete it");
        }
        (TunnelKind::Gue, Some(_)) | (TunnelKind::Ipip | TunnelKind::Gre, None) => {}
    }
    let fits = match tunnel.checksum {
        Checksum::Off => true,
        Checksum::On => tunnel.kind != TunnelKind::Ipip,
        Checksum::Remote => tunnel.kind == TunnelKind::Gue,
    };
    if !fits {
        let text = format!("{} has no such checksum: delete it", tunnel.kind.word());
        found.error(format!("{path} checksum {}", tunnel.checksum.word()), text);
    }
}

fn check_pool(config: &Config, name: &Name, pool: &Pool, found: &mut Findings) {
    tunnel(&format!("pool {name} tunnel"), &pool.tunnel, found);
    for check in &pool.watch.checks {
        refers(found, "check", &config.questions.checks, Some(check), &format!("pool {name} use-check"));
    }
    if let Some(role) = &pool.watch.source {
        refers(found, "interface", &config.interfaces, Some(role), &format!("pool {name} check-source"));
    }
    let short = &pool.shortage;
    if let Some(server) = &short.sorry_server {
        refers(
            found,
            "real-server",
            &config.real_servers,
            Some(server),
            &format!("pool {name} sorry-server"),
        );
        if short.sorry_page.is_some() {
            found.error(format!("pool {name} sorry-page"), "there is a sorry-server too: delete one");
        }
    }
    let needed = usize::from(short.quorum.unwrap_or(1)).saturating_add(usize::from(short.hysteresis));
    if (short.quorum.is_some() || short.hysteresis != 0) && needed > pool.servers.len() {
        let text =
            format!("with hysteresis {needed} servers are needed, the pool has {}", pool.servers.len());
        found.error(format!("pool {name} quorum"), text);
    }
    for (server, member) in &pool.servers {
        if let Some(own) = &member.tunnel {
            tunnel(&format!("pool {name} server {server} tunnel"), own, found);
        }
        match (member.upper, member.lower) {
            (Some(upper), Some(lower)) if lower >= upper => {
                let text = format!("must be less than upper ({upper})");
                found.error(format!("pool {name} server {server} lower {lower}"), text);
            }
            (None, Some(lower)) => {
                let text = "has no effect without upper: set it, or delete this";
                found.error(format!("pool {name} server {server} lower {lower}"), text);
            }
            (_, _) => {}
        }
    }
}

fn check_service(config: &Config, name: &Name, service: &Service, found: &mut Findings) {
    let special = &service.special;
    if let Some(mark) = &special.mark {
        refers(found, "mark", &config.kernel.marks, Some(mark), &format!("service {name} mark"));
        if !service.addresses.is_empty() || !service.ports.is_empty() {
            let text = "the mark has addresses and ports of its own: delete those of the service";
            found.error(format!("service {name} mark {mark}"), text);
        }
    }
    for flag in &special.flags {
        let fits = match flag {
            SchedulerFlag::ShPort | SchedulerFlag::ShFallback => service.scheduler == Scheduler::Sh,
            SchedulerFlag::MhPort | SchedulerFlag::MhFallback => service.scheduler == Scheduler::Mh,
            SchedulerFlag::Flag1 | SchedulerFlag::Flag2 | SchedulerFlag::Flag3 => true,
        };
        if !fits {
            let text = format!("is not a flag of scheduler {}", service.scheduler.kernel_name());
            found.error(format!("service {name} scheduler-flag {}", flag.word()), text);
        }
    }
    let masked = special.mask_ipv4.is_some() || special.mask_ipv6.is_some();
    if service.persistence.is_none() && (masked || special.engine.is_some()) {
        let text = "missing: a mask or engine needs it";
        found.error(format!("service {name} persistence"), text);
    }
    let mark = special.mark.as_ref().and_then(|name| config.kernel.marks.get(name));
    let protocol = mark.map_or(service.protocol, |mark| mark.protocol);
    for (word, set) in [("one-packet", special.one_packet), ("persistence-engine", special.engine.is_some())]
    {
        if set && protocol != Protocol::Udp {
            found.error(format!("service {name} {word}"), "is for UDP only: set protocol udp, or delete it");
        }
    }
}
