//! `show cluster`.

use super::table::facts;
use super::words::ago;
use crate::cli::json::Json;
use crate::director::pings::Proof;
use crate::director::status::{ClusterStatus, PathStatus, PeerStatus, Status};
use crate::election::Fitness;
use crate::model::{Millis, Mono};
use crate::wire::heartbeat::Counters;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub(super) fn lines(status: &Status, width: usize) -> Vec<String> {
    let Some(c) = &status.cluster else {
        return super::words::wrap(
            &format!(
                "this box is node {} and alone: a pair needs node backup with its addresses and cluster secret, \
                 committed on both boxes, and \"cluster identity backup\" typed once on the second",
                status.system.identity
            ),
            width.saturating_sub(1),
            2,
        );
    };
    let aside = if c.aside { ", set aside by command" } else { "" };
    let mut list = alloc::vec![
        ("this node", format!("{}, {}{aside}", status.system.identity, c.role)),
        ("because", c.why.clone()),
        ("since", ago(status.at, c.since)),
        ("priority", c.priority.to_string()),
        ("fit", fitness(c)),
        ("peer", c.peer.as_ref().map_or_else(|| "never heard".to_string(), peer)),
        ("heartbeats", keys(c)),
        ("peer takes over", format!("{} after the last heartbeat at the earliest", c.takeover_after)),
        ("a box that hangs", hangs(c)),
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
    for witness in &c.witnesses {
        let words = witness.answered.map_or_else(
            || "never answered".to_string(),
            |at| format!("answered {} in {} us", ago(status.at, at), witness.took_us),
        );
        list.push(("witness", format!("{}: {words}", witness.address)));
    }
    for (address, proof) in &c.proofs {
        list.push(("arrives here", format!("{address}: {}", proof_words(*proof))));
    }
    facts(&list, width)
}

fn keys(c: &ClusterStatus) -> String {
    let signed = c.signed.map_or_else(|| "not signed".to_string(), |id| format!("signed with key {id}"));
    match c.old_key {
        Some(_) => format!("{signed}; keys change, both are accepted"),
        None => signed,
    }
}

/// Who takes the addresses away from a box that stands still, and when.
fn hangs(c: &ClusterStatus) -> String {
    let init = format!("init removes the addresses after {}", c.fence_after);
    if c.fence_after >= Millis::from_secs(c.watchdog) {
        format!("{init}, the hardware watchdog resets it after {} s", c.watchdog)
    } else {
        format!("{init}; the hardware watchdog ({} s) is too slow for that", c.watchdog)
    }
}

fn proof_words(proof: Proof) -> String {
    match proof {
        Proof::Asking => "asking its neighbours".to_string(),
        Proof::Proved { by, took_us } => format!("{by} answered to it in {took_us} us"),
        Proof::Failed { asked } => format!("NOT PROVED, {asked} does not answer to it"),
        Proof::Nobody => "no witness, gateway or usable server beside it to ask".to_string(),
    }
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
    let Fitness { links, witness, servers } = Fitness::of(p.fitness);
    let fit = if links && witness && servers { "fit" } else { "less fit" };
    format!(
        "{}, {fit}, priority {}, firmware {}, {config}, {} usable servers, {} connections",
        p.state, p.priority, p.firmware, p.usable, p.connections
    )
}

fn connections(c: &ClusterStatus) -> String {
    let there = c.peer.as_ref().map_or_else(|| "?".to_string(), |p| p.connections.to_string());
    let sent = c.table.map_or_else(String::new, |n| format!("; {n} were sent when this box joined"));
    format!("{} here, {there} there{sent}", c.connections)
}

fn path_words(now: Mono, p: &PathStatus) -> String {
    let when = |at: Option<Mono>| at.map_or_else(|| "never".to_string(), |at| ago(now, at));
    let to = p.peer.map_or_else(String::new, |peer| format!(" to {peer}"));
    let mut words = match (p.proven, p.heard) {
        (proven, heard) if proven < heard => {
            format!("{}{to}: heard {}, but it does not hear us", p.name, when(heard))
        }
        (proven, _) => format!("{}{to}: heard {}", p.name, when(proven)),
    };
    if let Some(round) = p.round_us {
        words.push_str(&format!(", round trip {round} us"));
    }
    words.push_str(&format!(", {} taken, {} missed", p.frames, p.missed));
    if let Some(c) = p.refused {
        words.push_str(&format!(", {} refused", refused(&c)));
    }
    words
}

fn refused(c: &Counters) -> u64 {
    [c.foreign, c.group, c.identity, c.forged, c.malformed].into_iter().fold(0, u64::saturating_add)
}

pub(super) fn json(status: &Status) -> String {
    let mut json = Json::new();
    let Some(c) = &status.cluster else {
        json.null();
        return json.finish();
    };
    json.object(|json| {
        json.text("role", &c.role);
        json.text("why", &c.why);
        json.count("since_ms", status.at.micros_since(c.since) / 1000);
        json.count("priority", c.priority);
        json.flag("aside", c.aside);
        json.count("fitness", c.fitness.level());
        json.maybe_count("key", c.signed);
        json.maybe_count("old_key", c.old_key);
        json.count("takeover_after_ms", c.takeover_after.get());
        json.count("fence_after_ms", c.fence_after.get());
        json.count("watchdog_s", c.watchdog);
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
        paths_json(json, c, status.at);
        arrivals_json(json, c, status.at);
    });
    json.finish()
}

fn age(now: Mono, at: Option<Mono>) -> Option<u64> {
    at.map(|at| now.micros_since(at) / 1000)
}

fn paths_json(json: &mut Json, c: &ClusterStatus, now: Mono) {
    json.key("paths");
    json.array(|json| {
        for p in &c.paths {
            json.object(|json| {
                json.text("interface", &p.name);
                match p.peer {
                    Some(peer) => json.text("peer", peer),
                    None => {
                        json.key("peer");
                        json.null();
                    }
                }
                json.maybe_count("proven_ms", age(now, p.proven));
                json.maybe_count("heard_ms", age(now, p.heard));
                json.count("frames", p.frames);
                json.count("missed", p.missed);
                json.maybe_count("round_trip_us", p.round_us);
                let c = p.refused.unwrap_or_default();
                json.count("foreign", c.foreign);
                json.count("forged", c.forged);
                json.count("other_group", c.group);
                json.count("same_identity", c.identity);
                json.count("malformed", c.malformed);
            });
        }
    });
}

fn arrivals_json(json: &mut Json, c: &ClusterStatus, now: Mono) {
    json.key("witnesses");
    json.array(|json| {
        for w in &c.witnesses {
            json.object(|json| {
                json.text("address", w.address);
                json.maybe_count("answered_ms", age(now, w.answered));
                json.count("took_us", w.took_us);
            });
        }
    });
    json.key("proofs");
    json.array(|json| {
        for (address, proof) in &c.proofs {
            json.object(|json| {
                json.text("address", address);
                json.text("proof", proof_words(*proof));
                json.flag("proved", matches!(proof, Proof::Proved { .. }));
            });
        }
    });
}
