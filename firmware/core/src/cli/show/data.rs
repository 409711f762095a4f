//! Views as JSON. Keys are a promise: scripts read them.

use super::tables::mac;
use super::words::{by_hand, check, forward, protocol, state};
use crate::cli::json::Json;
use crate::director::status::{IpvsService, ServerStatus, ServiceStatus, Status};
use crate::health::State;
use crate::model::Mono;
use crate::plan::observed::Stats;
use crate::plan::{DaemonRole, Family, ServiceKey};
use alloc::string::String;

fn array<'a, T: 'a>(items: impl IntoIterator<Item = &'a T>, write: impl Fn(&'a T, &mut Json)) -> String {
    let mut json = Json::new();
    json.array(|json| items.into_iter().for_each(|item| json.object(|json| write(item, json))));
    json.finish()
}

fn stats(s: Stats, json: &mut Json) {
    json.count("connections", s.connections);
    json.count("connections_per_second", s.cps);
    json.count("in_packets", s.in_packets);
    json.count("out_packets", s.out_packets);
    json.count("in_bytes", s.in_bytes);
    json.count("out_bytes", s.out_bytes);
}

fn ago_ms(now: Mono, then: Mono) -> u64 {
    now.micros_since(then) / 1000
}

pub(super) fn interfaces(status: &Status) -> String {
    array(&status.interfaces, |i, json| {
        json.maybe_text("role", i.role.as_ref());
        json.text("device", &i.device);
        json.flag("present", i.link.is_some());
        if let Some(link) = &i.link {
            json.flag("up", link.up);
            json.flag("carrier", link.carrier);
            json.count("mtu", link.mtu);
            json.text("mac", mac(link.mac));
            json.count("rx_packets", link.counters.rx_packets);
            json.count("tx_packets", link.counters.tx_packets);
            json.count("rx_bytes", link.counters.rx_bytes);
            json.count("tx_bytes", link.counters.tx_bytes);
            json.count("errors", link.counters.errors);
        }
        if let Some((state, lease)) = &i.dhcp {
            json.text("dhcp", super::dhcp::word(*state));
            if let Some(lease) = lease {
                json.text("dhcp_address", lease.cidr());
                json.text("dhcp_server", lease.server);
                json.maybe_text("dhcp_router", lease.router.as_ref());
                let left = lease.expires.map(|at| at.micros_since(status.at) / 1000);
                json.maybe_count("dhcp_left_ms", left);
            }
        }
    })
}

pub(super) fn addresses(status: &Status) -> String {
    array(&status.addresses, |a, json| {
        json.text("device", &a.device);
        json.text("address", a.address);
        json.maybe_text("label", a.label.as_ref());
        json.maybe_text("floating", a.floating.as_ref());
        json.flag("present", a.present);
        json.flag("wanted", a.wanted);
    })
}

/// What identifies a virtual server: protocol, address and port, or the mark. Absent ones are null.
fn identity(key: &ServiceKey, json: &mut Json) {
    let (name, mark) = match key {
        ServiceKey::Address { protocol: name, .. } => (Some(protocol(*name)), None),
        ServiceKey::Mark { mark, .. } => (None, Some(*mark)),
    };
    json.maybe_text("protocol", name);
    json.maybe_text("address", key.address());
    json.count("port", key.port());
    json.maybe_count("mark", mark);
    json.flag("ipv6", key.family() == Family::V6);
}

pub(super) fn services(services: &[&ServiceStatus]) -> String {
    array(services.iter().copied(), |s, json| {
        json.text("name", &s.name);
        identity(&s.key, json);
        json.text("scheduler", &s.scheduler);
        json.maybe_count("persistence_s", s.persistence_s);
        json.text("pool", &s.pool);
        json.count("usable_servers", s.usable);
        json.count("servers", s.servers);
        json.count("active", s.active);
        json.count("inactive", s.inactive);
        json.flag("in_kernel", s.stats.is_some());
        json.key("stats");
        match s.stats {
            Some(values) => json.object(|json| stats(values, json)),
            None => json.null(),
        }
    })
}

pub(super) fn servers(now: Mono, servers: &[&ServerStatus]) -> String {
    array(servers.iter().copied(), |s, json| {
        json.text("pool", &s.pool);
        json.text("name", &s.name);
        json.text("address", s.address);
        json.text("forward", forward(s.forward));
        json.text("check", check(s.check));
        json.text("state", state(s.state));
        json.maybe_text("by_hand", by_hand(s.forced));
        json.count("since_ms", ago_ms(now, s.since));
        json.count("changed_at_ms", s.since.millis());
        let left = match s.state {
            State::Reentering { until } => Some(until.micros_since(now) / 1000),
            State::Unknown | State::Up | State::Down => None,
        };
        json.maybe_count("reentry_left_ms", left);
        json.text("reason", &s.reason);
        json.maybe_count("checked_ms", s.checked.map(|at| ago_ms(now, at)));
        json.maybe_count("took_us", s.took_us);
        json.count("weight", s.weight);
        json.maybe_count("effective_weight", s.effective);
        json.count("active", s.active);
        json.count("inactive", s.inactive);
        json.key("stats");
        json.object(|json| stats(s.stats, json));
    })
}

pub(super) fn ipvs(status: &Status) -> String {
    array(&status.ipvs, |s: &IpvsService, json| {
        identity(&s.key, json);
        json.text("scheduler", &s.spec.scheduler);
        json.maybe_count("persistence_s", s.spec.persistence_s);
        json.maybe_text("persistence_engine", s.spec.engine.as_ref());
        json.flag("one_packet", s.spec.one_packet);
        json.key("stats");
        json.object(|json| stats(s.stats, json));
        json.key("servers");
        json.array(|json| {
            for d in &s.dests {
                json.object(|json| {
                    json.text("address", d.key.address);
                    json.count("port", d.key.port);
                    json.text("forward", forward(d.spec.forward));
                    json.count("weight", d.spec.weight);
                    json.count("upper", d.spec.upper);
                    json.count("lower", d.spec.lower);
                    json.count("active", d.active);
                    json.count("inactive", d.inactive);
                    json.count("persistent", d.persistent);
                    json.key("stats");
                    json.object(|json| stats(d.stats, json));
                });
            }
        });
    })
}

pub(super) fn timeouts(status: &Status) -> String {
    let mut json = Json::new();
    json.object(|json| {
        json.maybe_count("tcp_s", status.timeouts.map(|t| t.tcp_s));
        json.maybe_count("tcp_fin_s", status.timeouts.map(|t| t.tcp_fin_s));
        json.maybe_count("udp_s", status.timeouts.map(|t| t.udp_s));
    });
    json.finish()
}

pub(super) fn daemons(status: &Status) -> String {
    array(&status.daemons, |(role, daemon), json| {
        json.flag("sends", *role == DaemonRole::Master);
        json.text("device", &daemon.device);
        json.count("id", daemon.id);
        json.text("group", daemon.group);
        json.count("port", daemon.port);
        json.count("ttl", daemon.ttl);
        json.count("max_length", daemon.max_length);
    })
}

pub(super) fn version(status: &Status) -> String {
    let s = &status.system;
    let mut json = Json::new();
    json.object(|json| {
        json.text("version", &s.version);
        json.maybe_text("slot", s.slot.map(|s| s.running.slot.letter()));
        json.flag("slot_trial", s.slot.is_some_and(|s| s.running.trial));
        json.flag("slot_proven", s.slot.is_some_and(|s| s.proven));
        json.flag("rescue", s.slot.is_some_and(|s| s.running.rescue));
        json.maybe_text("hostname", s.hostname.as_ref());
        json.text("node", s.identity);
        json.flag("active", s.active);
        json.count("generation", s.generation.0);
        json.text("source", &s.source);
        json.maybe_count("confirm_left_ms", s.trial.map(|t| t.deadline.micros_since(status.at) / 1000));
        json.maybe_count("confirm_back", s.trial.map(|t| t.back.0));
        json.count("uptime_ms", status.at.millis());
        json.count("boots", s.boots);
        json.count("director_uptime_ms", ago_ms(status.at, s.started));
        json.count("director_started_at_ms", s.started.millis());
        json.count("operations", s.operations);
        json.count("last_plan_operations", s.last_plan);
        json.count("last_plan_ms", s.last_plan_took.get());
        json.count("last_dump_ms", s.last_dump_took.get());
        json.maybe_count("reconciled_ms", s.reconciled.map(|at| ago_ms(status.at, at)));
        json.count("alarms", u64::try_from(status.alarms.len()).unwrap_or(u64::MAX));
    });
    json.finish()
}

pub(super) fn alarms(status: &Status) -> String {
    let mut json = Json::new();
    json.array(|json| status.alarms.iter().for_each(|alarm| json.string(alarm)));
    json.finish()
}
