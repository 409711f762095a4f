//! `show cluster`.

use super::table::facts;
use super::tables::none;
use super::words::ago;
use crate::cli::json::Json;
use crate::director::status::{ClusterStatus, PathStatus, PeerStatus, Status};
use crate::model::Mono;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub(super) fn lines(status: &Status, width: usize) -> Vec<String> {
    let Some(c) = &status.cluster else {
        return none("no pair with a heartbeat is configured; show alarms says what is missing");
    };
    let aside = if c.aside { ", set aside by command" } else { "" };
    let mut list = alloc::vec![
        ("this node", format!("{}, {}{aside}", status.system.identity, c.role)),
        ("because", c.why.clone()),
        ("since", ago(status.at, c.since)),
        ("priority", c.priority.to_string()),
        ("fit", fitness(c)),
        ("peer", c.peer.as_ref().map_or_else(|| "never heard".to_string(), peer)),
        (
            "heartbeats",
            c.signed.map_or_else(|| "not signed".to_string(), |id| format!("signed with key {id}"))
        ),
        ("peer takes over", format!("{} after the last heartbeat at the earliest", c.takeover_after)),
        ("configuration", c.configuration.clone()),
        ("connections", connections(c)),
        ("old frames", c.old_frames.to_string()),
    ];
    if let Some(round) = c.round_us {
        list.push(("round trip", format!("{round} us")));
    }
    for path in &c.paths {
        list.push(("path", path_words(status.at, path)));
    }
    facts(&list, width)
}

fn fitness(c: &ClusterStatus) -> String {
    let word = |good, word: &str| if good { word.to_string() } else { format!("no {word}") };
    let f = c.fitness;
    format!("{}, {}, {}", word(f.links, "links"), word(f.witness, "witness"), word(f.servers, "servers"))
}

fn peer(p: &PeerStatus) -> String {
    if !p.alive {
        return format!("silent, was {}", p.state);
    }
    let config = if p.same_config { "same configuration" } else { "another configuration" };
    format!("{}, priority {}, firmware {}, {config}", p.state, p.priority, p.firmware)
}

fn connections(c: &ClusterStatus) -> String {
    let there = c.peer.as_ref().map_or_else(|| "?".to_string(), |p| p.connections.to_string());
    let sent = c.table.map_or_else(String::new, |n| format!("; {n} were sent when this box joined"));
    format!("{} here, {there} there{sent}", c.connections)
}

fn path_words(now: Mono, p: &PathStatus) -> String {
    let when = |at: Option<Mono>| at.map_or_else(|| "never".to_string(), |at| ago(now, at));
    match (p.proven, p.heard) {
        (proven, heard) if proven < heard => {
            format!("{} to {}: heard {}, but it does not hear us", p.name, p.peer, when(heard))
        }
        (proven, _) => format!("{} to {}: heard {}", p.name, p.peer, when(proven)),
    }
}

pub(super) fn json(status: &Status) -> String {
    let mut json = Json::new();
    let Some(c) = &status.cluster else {
        json.null();
        return json.finish();
    };
    let age = |at: Option<Mono>| at.map(|at| status.at.micros_since(at) / 1000);
    json.object(|json| {
        json.text("role", &c.role);
        json.text("why", &c.why);
        json.count("since_ms", status.at.micros_since(c.since) / 1000);
        json.count("priority", c.priority);
        json.flag("aside", c.aside);
        json.count("fitness", c.fitness.level());
        json.maybe_count("key", c.signed);
        json.count("takeover_after_ms", c.takeover_after.get());
        json.maybe_count("round_trip_us", c.round_us);
        json.count("old_frames", c.old_frames);
        json.text("configuration", &c.configuration);
        json.count("connections", c.connections);
        json.maybe_count("table_received", c.table);
        json.key("peer");
        match &c.peer {
            None => json.null(),
            Some(p) => json.object(|json| {
                json.text("state", p.state);
                json.flag("alive", p.alive);
                json.count("fitness", p.fitness);
                json.count("priority", p.priority);
                json.flag("same_configuration", p.same_config);
                json.text("firmware", &p.firmware);
                json.count("usable_servers", p.usable);
                json.count("connections", p.connections);
            }),
        }
        json.key("paths");
        json.array(|json| {
            for p in &c.paths {
                json.object(|json| {
                    json.text("interface", &p.name);
                    json.text("peer", p.peer);
                    json.maybe_count("proven_ms", age(p.proven));
                    json.maybe_count("heard_ms", age(p.heard));
                    json.count("frames", p.frames);
                });
            }
        });
    });
    json.finish()
}
