//! Heartbeats in a flood, and a flood of half-open connections.

use crate::director::{LVS1, SOON};
use crate::outage::{LVS2, ready};
use anyhow::{Context as _, Result, ensure};
use director_qemu::frame::Frame;
use director_qemu::helper;
use director_qemu::lab::Lab;
use director_qemu::serial::Mark;
use director_qemu::switch::Watch;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// UDP port of heartbeats.
const PORT: u16 = 1050;
/// Half-open connections a second, and for how many seconds: more than 64 MiB of memory could hold.
const SYNS: (&str, &str) = ("10000", "30");

/// Whether a frame is for the port of heartbeats.
#[must_use]
pub fn is_heartbeat(frame: Frame<'_>) -> bool {
    frame.ipv4().and_then(|ip| ip.ports).is_some_and(|(_, to)| to == PORT)
}

/// Longest time in which a box sent no heartbeat on any network, by its number.
pub type Gaps = Arc<Mutex<[(Option<u128>, u128); 2]>>;

/// Watches the heartbeats of both boxes on both networks.
///
/// # Errors
/// When the lab has no such networks.
pub fn gaps(lab: &Lab) -> Result<(Gaps, Vec<Watch>)> {
    let all: Gaps = Arc::default();
    let watches = ["public", "private"].into_iter().map(|segment| {
        let (seen, hub) = (Arc::clone(&all), Arc::clone(lab.hub()));
        Ok(lab.switch().watch(lab.segment(segment)?, move |frame| {
            let sender = frame.src().map(|mac| usize::from(mac.0[4])).filter(|_| is_heartbeat(frame));
            let Some(index) = sender.and_then(|number| number.checked_sub(1)).filter(|n| *n < 2) else {
                return false;
            };
            let now = hub.elapsed().as_micros();
            let mut gaps = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let (last, longest) = &mut gaps[index];
            *longest = (*longest).max(last.map_or(0, |last| now - last));
            *last = Some(now);
            true
        }))
    });
    let watches = watches.collect::<Result<_>>()?;
    Ok((all, watches))
}

/// Floods the virtual web service of a pair in 64 MiB with half-open connections. Gives what was seen.
///
/// # Errors
/// When a heartbeat was late enough for a takeover, memory ran out, or the box does not serve afterwards.
pub fn syn_flood(lab: &Lab) -> Result<String> {
    ready(lab)?;
    let before = boots(lab)?;
    let exe = std::env::current_exe()?.to_string_lossy().into_owned();
    let (gaps, watches) = gaps(lab)?;
    let (rate, seconds) = SYNS;
    let flood = lab.spawn("client", [&*exe, helper::FLAG, "syn-flood", "1.2.3.1:80", rate, seconds])?;
    let ended = flood.wait(Duration::from_secs(120))?;
    drop(watches);
    let longest = gaps.lock().unwrap_or_else(PoisonError::into_inner).map(|(_, us)| us / 1000);
    lab.hub().eventually("a page after the flood", lab.scaled(SOON * 12), || {
        lab.get("client", "http://1.2.3.1/").map_err(|error| format!("{error:#}"))
    })?;
    let cluster = lab.json(LVS1, "show cluster")?;
    let log = lab.ask(LVS1, "show log")?.join("\n");
    let (sent, role) = (ended.stdout.trim(), &cluster["role"]);
    let text = format!(
        "{sent}; longest pause between heartbeats {longest:?} ms; {} connections; {role}",
        cluster["connections"]
    );
    for director in [LVS1, LVS2] {
        let kernel = lab.director(director)?.kernel_log().since(Mark::default());
        ensure!(
            !kernel.contains("Out of memory") && !kernel.contains("oom-kill"),
            "{director}: out of memory"
        );
    }
    ensure!(boots(lab)? == before, "a box was started again: {log}");
    ensure!(*role == "active", "{text}: {log}");
    Ok(text)
}

fn boots(lab: &Lab) -> Result<[Value; 2]> {
    let one = |director| -> Result<Value> {
        let found = lab.json(director, "show version")?;
        let boots = found.pointer("/system/boots").or(found.get("boots"));
        boots.cloned().with_context(|| format!("no boots in {found}"))
    };
    Ok([one(LVS1)?, one(LVS2)?])
}
