//! Views as text.

use super::table::{Align, Table, facts};
use super::words::{
    ago, bytes, check, forward, generation, plural, server_state, service_key, span, weight, wrap,
};
use crate::director::status::{InterfaceStatus, ServerStatus, ServiceStatus, SlotStatus, Status};
use crate::health::State;
use crate::model::Mono;
use crate::plan::observed::Stats;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

const L: Align = Align::Left;
const R: Align = Align::Right;

pub(super) fn none(what: &str) -> Vec<String> {
    Vec::from([what.to_string()])
}

fn link_state(interface: &InterfaceStatus) -> &'static str {
    match &interface.link {
        None => "missing",
        Some(link) if !link.up => "down",
        Some(link) if !link.carrier => "no carrier",
        Some(_) => "up",
    }
}

pub(super) fn mac(mac: [u8; 6]) -> String {
    let mut text = String::new();
    for byte in mac {
        let colon = if text.is_empty() { "" } else { ":" };
        // Writing to a String cannot fail.
        _ = write!(text, "{colon}{byte:02x}");
    }
    text
}

pub(super) fn interfaces(status: &Status, width: usize) -> Vec<String> {
    if status.interfaces.is_empty() {
        return none("no network device was found");
    }
    let mut table = Table::new(
        &[
            ("ROLE", L),
            ("DEVICE", L),
            ("STATE", L),
            ("MTU", R),
            ("MAC", L),
            ("IN", R),
            ("OUT", R),
            ("ERRORS", R),
        ],
        "",
    );
    for i in &status.interfaces {
        let role = i.role.as_ref().map_or_else(|| "-".to_string(), ToString::to_string);
        let mut cells = Vec::from([role, i.device.to_string(), link_state(i).to_string()]);
        if let Some(link) = &i.link {
            let c = link.counters;
            cells.extend([link.mtu.to_string(), mac(link.mac), bytes(c.rx_bytes), bytes(c.tx_bytes)]);
            cells.push(c.errors.to_string());
        }
        table.row(cells, String::new());
    }
    let mut lines = table.lines(width);
    let leased = status.interfaces.iter().filter_map(|i| Some((i, i.dhcp.as_ref()?)));
    lines.extend(
        leased.map(|(i, (state, lease))| super::dhcp::line(status.at, &i.device, *state, lease.as_ref())),
    );
    lines
}

pub(super) fn addresses(status: &Status, width: usize) -> Vec<String> {
    if status.addresses.is_empty() {
        return none("no address is configured or present");
    }
    let mut table = Table::new(&[("DEVICE", L), ("ADDRESS", L), ("LABEL", L), ("KIND", L), ("STATE", L)], "");
    for a in &status.addresses {
        let kind = a.floating.as_ref().map_or_else(|| "node".to_string(), |name| format!("floating {name}"));
        let state = match (a.present, a.wanted) {
            (true, true) => "present",
            (false, true) => "MISSING",
            (true, false) => "present, not wanted",
            (false, false) => "held by the active node",
        };
        let label = a.label.as_ref().map_or_else(|| "-".to_string(), ToString::to_string);
        table.row(
            [a.device.to_string(), a.address.to_string(), label, kind, state.to_string()],
            String::new(),
        );
    }
    table.lines(width)
}

pub(super) fn services(services: &[&ServiceStatus], width: usize) -> Vec<String> {
    if services.is_empty() {
        return none("no service is configured");
    }
    let mut table = Table::new(
        &[
            ("SERVICE", L),
            ("ADDRESS", L),
            ("SCHED", L),
            ("POOL", L),
            ("SERVERS", R),
            ("ACTIVE", R),
            ("INACTIVE", R),
            ("TOTAL", R),
        ],
        "",
    );
    for s in services {
        let address = service_key(&s.key);
        let total = s.stats.map_or_else(|| "-".to_string(), |stats| stats.connections.to_string());
        let usable = format!("{}/{}", s.usable, s.servers);
        let cells = [s.name.to_string(), address, s.scheduler.clone(), s.pool.to_string(), usable];
        let counts = [s.active.to_string(), s.inactive.to_string(), total];
        table.row(cells.into_iter().chain(counts), service_remark(s));
    }
    table.lines(width)
}

fn service_remark(s: &ServiceStatus) -> String {
    match (s.stats, s.usable, s.servers) {
        (None, _, _) => "NOT IN THE KERNEL: show log".to_string(),
        (Some(_), _, 0) => "HAS NO SERVERS".to_string(),
        (Some(_), 0, _) => format!("NO USABLE SERVER: show servers {}", s.pool),
        (Some(_), _, _) => String::new(),
    }
}

pub(super) fn service_details(services: &[&ServiceStatus], width: usize) -> Vec<String> {
    let mut out = Vec::new();
    for s in services {
        if !out.is_empty() {
            out.push(String::new());
        }
        let persistence =
            s.persistence_s.map_or_else(|| "off".to_string(), |p| span(u64::from(p) * 1_000_000));
        let mut list = Vec::from([
            ("service", s.name.to_string()),
            ("address", service_key(&s.key)),
            ("scheduler", s.scheduler.clone()),
            ("persistence", persistence),
            ("pool", format!("{}, {} of {} usable", s.pool, s.usable, plural(count(s.servers), "server"))),
            ("connections", format!("{} established, {} other", s.active, s.inactive)),
        ]);
        match s.stats {
            Some(stats) => list.extend(counters(stats)),
            None => list.push(("kernel", service_remark(s))),
        }
        out.extend(facts(&list, width));
    }
    out
}

fn count(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn counters(stats: Stats) -> [(&'static str, String); 3] {
    [
        ("scheduled", format!("{} connections, {} per second now", stats.connections, stats.cps)),
        ("from clients", format!("{} packets, {} bytes", stats.in_packets, stats.in_bytes)),
        ("to clients", format!("{} packets, {} bytes", stats.out_packets, stats.out_bytes)),
    ]
}

fn server_reason(now: Mono, s: &ServerStatus) -> String {
    match s.state {
        State::Reentering { until } if until > now => {
            let left = span(until.micros_since(now));
            if s.reason.is_empty() {
                format!("used in {left}")
            } else {
                format!("used in {left}: {}", s.reason)
            }
        }
        State::Reentering { .. } | State::Unknown | State::Up | State::Down => s.reason.clone(),
    }
}

pub(super) fn servers(now: Mono, servers: &[&ServerStatus], width: usize) -> Vec<String> {
    if servers.is_empty() {
        return none("no pool has servers");
    }
    let mut out = Vec::new();
    for pool in servers.chunk_by(|a, b| a.pool == b.pool) {
        if !out.is_empty() {
            out.push(String::new());
        }
        if let Some(first) = pool.first() {
            let of = |word: &str| pool.iter().filter(|s| server_state(s) == word).count();
            let by_hand = ["drained", "disabled"].map(|word| match of(word) {
                0 => String::new(),
                n => format!(", {n} {word}"),
            });
            out.push(format!(
                "pool {}: {} of {} up{}, forward {}, check {}",
                first.pool,
                of("up"),
                plural(pool.len(), "server"),
                by_hand.concat(),
                forward(first.forward),
                check(first.check)
            ));
        }
        let mut table = Table::new(
            &[
                ("SERVER", L),
                ("ADDRESS", L),
                ("STATE", L),
                ("SINCE", R),
                ("WEIGHT", R),
                ("ACTIVE", R),
                ("INACT", R),
            ],
            "REASON",
        );
        for s in pool {
            let cells = [
                s.name.to_string(),
                s.address.to_string(),
                server_state(s).to_string(),
                ago(now, s.since),
                weight(s),
                s.active.to_string(),
                s.inactive.to_string(),
            ];
            table.row(cells, server_reason(now, s));
        }
        out.extend(table.lines(width));
    }
    out
}

pub(super) fn server_details(now: Mono, servers: &[&ServerStatus], width: usize) -> Vec<String> {
    let mut out = Vec::new();
    for s in servers {
        let checked = match (s.checked, s.took_us) {
            (Some(at), Some(us)) => format!("{}, took {}.{:03} ms", ago(now, at), us / 1000, us % 1000),
            (Some(at), None) => ago(now, at),
            (None, _) => "not yet".to_string(),
        };
        let in_table = match s.effective {
            Some(_) => String::new(),
            None => " (not in the kernel's table)".to_string(),
        };
        let mut list = Vec::from([
            ("server", format!("{} in pool {}", s.name, s.pool)),
            ("address", s.address.to_string()),
            ("state", format!("{} for {}", server_state(s), span(now.micros_since(s.since)))),
            ("reason", server_reason(now, s)),
            ("check", format!("{}, last one {checked}", check(s.check))),
            ("forward", forward(s.forward).to_string()),
            ("weight", format!("{}{in_table}", weight(s))),
            ("connections", format!("{} established, {} other", s.active, s.inactive)),
        ]);
        list.extend(counters(s.stats));
        out.extend(facts(&list, width));
    }
    out
}

pub(super) fn version(status: &Status, width: usize) -> Vec<String> {
    let s = &status.system;
    let role = if s.active { "active: holds the floating addresses" } else { "standby" };
    let reconciled = s.reconciled.map_or_else(|| "never".to_string(), |at| ago(status.at, at));
    let list = [
        ("firmware", s.version.clone()),
        ("system", system(s.slot)),
        ("host name", s.hostname.as_ref().map_or_else(|| "not set".to_string(), ToString::to_string)),
        ("node", format!("{}, {role}", s.identity)),
        ("generation", running(status)),
        ("loaded", s.source.clone()),
        ("clock", super::time::clock(status)),
        ("uptime", format!("{}, {} counted", span(status.at.micros()), plural(count(s.boots), "boot"))),
        ("director", format!("started {}", ago(status.at, s.started))),
        (
            "kernel operations",
            format!("{}, {} by the last plan in {}", s.operations, s.last_plan, s.last_plan_took),
        ),
        ("kernel compared", reconciled),
        (
            "alarms",
            if status.alarms.is_empty() { "none".to_string() } else { status.alarms.len().to_string() },
        ),
    ];
    facts(&list, width)
}

/// The slot that was started, and whether it stays.
fn system(slot: Option<SlotStatus>) -> String {
    let Some(SlotStatus { running, proven }) = slot else {
        return "started without the boot loader".to_string();
    };
    let state = match (running.trial, proven) {
        (true, false) => ", ON TRIAL: the other slot runs again when it does not prove itself",
        (true, true) => ", proven after a trial",
        (false, false) => ", not proven yet",
        (false, true) => ", proven",
    };
    let rescue = if running.rescue { ", rescue" } else { "" };
    format!("slot {}{state}{rescue}", running.slot.letter())
}

/// The running generation, and that it waits when it is on trial.
fn running(status: &Status) -> String {
    let s = &status.system;
    let text = generation(s.generation);
    match s.trial {
        None => text,
        Some(trial) => {
            let left = span(trial.deadline.micros_since(status.at));
            format!("{text}, ON TRIAL: back to {} in {left}, \"confirm\" keeps it", trial.back)
        }
    }
}

pub(super) fn alarms(status: &Status, width: usize) -> Vec<String> {
    if status.alarms.is_empty() {
        return none("no alarms");
    }
    status.alarms.iter().flat_map(|alarm| wrap(alarm, width.saturating_sub(1), 2)).collect()
}
