//! What a client sees when the active director is hurt, and how the pair gets over it.

use crate::director::{LVS1, SOON};
use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::process::Process;
use director_qemu::switch::Watch;
use director_qemu::tools::Tools;
use director_qemu::vm::Carrier;
use serde_json::json;
use std::fmt;
use std::time::Duration;

/// The other director.
pub const LVS2: &str = "lvs2";
/// The virtual web service.
const WEB: &str = "1.2.3.1:80";
/// How long a client asks around what happens.
const ASKED_S: u32 = 12;
/// How often it asks; the outage is known no better than this.
const CLIENT_MS: u64 = 10;
/// A path on which the peer was not heard for longer does not work: some intervals of the slowest setting.
const FRESH_MS: u64 = 5000;
/// Issue: what plain detection may cost beside the dead time.
const BESIDE_DEAD_MS: u64 = 50;
/// Issue: a planned change.
const PLANNED_MS: u64 = 50;

/// What happens to the active director, which is lvs1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hurt {
    /// Its machine is killed.
    Kill,
    /// Its cable to the clients is pulled.
    PublicCable,
    /// Its cable to the servers is pulled.
    PrivateCable,
    /// Its kernel panics.
    Panic,
    /// Its director process gets no time.
    Frozen,
    /// `cluster standby`.
    Standby,
    /// `reboot`.
    Reboot,
    /// Nothing: it was away, comes back and takes the addresses back.
    Return,
}

impl Hurt {
    /// In the order of the issue.
    pub const ALL: [Self; 8] = [
        Self::Kill,
        Self::PublicCable,
        Self::PrivateCable,
        Self::Panic,
        Self::Frozen,
        Self::Standby,
        Self::Reboot,
        Self::Return,
    ];

    /// Whether the peer has to find out by itself.
    #[must_use]
    pub const fn sudden(self) -> bool {
        matches!(self, Self::Kill | Self::PublicCable | Self::PrivateCable | Self::Panic | Self::Frozen)
    }
}

impl fmt::Display for Hurt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kill => "kill -9 of the active machine",
            Self::PublicCable => "its public cable pulled",
            Self::PrivateCable => "its private cable pulled",
            Self::Panic => "kernel panic",
            Self::Frozen => "director frozen",
            Self::Standby => "cluster standby",
            Self::Reboot => "reboot",
            Self::Return => "the primary returns and takes back",
        })
    }
}

/// What was measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outage {
    /// From the first failed to the first good request.
    pub ms: u64,
    /// To reach on this machine.
    pub goal_ms: u64,
}

impl Outage {
    /// Whether it was.
    #[must_use]
    pub const fn met(self) -> bool {
        self.ms <= self.goal_ms
    }
}

/// A shell beside the product, to freeze it.
#[must_use]
pub fn tools() -> Tools {
    Tools::default()
}

/// Waits until a director has a role, both are as fit as they can be, and every path works.
///
/// # Errors
/// When it does not in time.
pub fn wait_role(lab: &Lab, director: &str, role: &str) -> Result<()> {
    let limit = lab.scaled(SOON * 8);
    lab.hub().eventually(&format!("{director} {role}"), limit, || {
        let row = lab.json(director, "show cluster").map_err(|error| format!("{error:#}"))?;
        let fit = row["fitness"] == 7 && row["peer"]["alive"] == true && row["peer"]["fitness"] == 7;
        let paths = row["paths"].as_array().cloned().unwrap_or_default();
        let heard = paths.iter().all(|path| path["proven_ms"].as_u64().is_some_and(|ms| ms < FRESH_MS));
        if row["role"] == role && fit && heard { Ok(()) } else { Err(row.to_string()) }
    })
}

/// As [`wait_role`] while something is wrong.
///
/// # Errors
/// When it does not in time.
pub fn wait_takeover(lab: &Lab, director: &str) -> Result<()> {
    lab.hub().eventually(&format!("{director} takes over"), lab.scaled(SOON * 2), || {
        let row = lab.json(director, "show cluster").map_err(|error| format!("{error:#}"))?;
        if row["role"] == "active" { Ok(()) } else { Err(row.to_string()) }
    })
}

/// The primary serves, the backup waits, and both are well.
///
/// # Errors
/// When that does not come about.
pub fn ready(lab: &Lab) -> Result<()> {
    wait_role(lab, LVS1, "active")?;
    wait_role(lab, LVS2, "standby")
}

/// Other times of the heartbeat, on both boxes: first on the one that waits, which then waits longer.
///
/// # Errors
/// When a box does not take them.
pub fn set_times(lab: &Lab, interval_ms: u32, dead_ms: u32) -> Result<()> {
    ready(lab)?;
    for director in [LVS2, LVS1] {
        lab.type_config(
            director,
            &format!(
                "set cluster heartbeat dead-time {dead_ms}ms\nset cluster heartbeat interval {interval_ms}ms\n"
            ),
        )?;
    }
    ready(lab)
}

/// Hurts the active director, measures what a client meets, and lets the pair recover.
///
/// # Errors
/// When nobody takes over, or the pair does not recover.
pub fn measure(lab: &mut Lab, hurt: Hurt, dead: Duration) -> Result<Outage> {
    ready(lab)?;
    if hurt == Hurt::Return {
        lab.power_off(LVS1)?;
        wait_takeover(lab, LVS2)?;
    }
    let seconds = if hurt == Hurt::Return { 4 * ASKED_S } else { ASKED_S };
    // Nobody asks a console meanwhile: its answer costs an emulated box more than the takeover.
    let heir = if hurt == Hurt::Return { 1 } else { 2 };
    let claims = claims_of(lab, heir)?;
    let client = lab.client_that_requests("client", WEB, seconds)?;
    strike(lab, hurt)?;
    let limit = lab.scaled(SOON * 8);
    lab.hub().eventually("the other box takes the address", limit, || {
        if claims.hits() > 0 { Ok(()) } else { Err("it does not announce it".to_owned()) }
    })?;
    drop(claims);
    let ms = outage(lab, client)?;
    recover(lab, hurt)?;
    ready(lab)?;
    let dead = u64::try_from(dead.as_millis())?;
    let goal = if hurt.sudden() { dead + BESIDE_DEAD_MS + CLIENT_MS } else { PLANNED_MS };
    let goal_ms = u64::try_from(lab.scaled(Duration::from_millis(goal)).as_millis())?.min(3 * goal);
    let found = Outage { ms, goal_ms };
    let word = if found.met() { "met" } else { "NOT MET" };
    lab.hub().line("test", "figure", &format!("outage, {hurt}: {ms} ms, to reach {goal_ms} ms: {word}"));
    Ok(found)
}

fn strike(lab: &mut Lab, hurt: Hurt) -> Result<()> {
    match hurt {
        Hurt::Kill => lab.power_off(LVS1)?,
        Hurt::PublicCable => lab.director(LVS1)?.set_carrier(0, Carrier::Down)?,
        Hurt::PrivateCable => lab.director(LVS1)?.set_carrier(1, Carrier::Down)?,
        Hurt::Panic => {
            lab.shell(LVS1)?.ok("echo 1 >/proc/sys/kernel/unknown_nmi_panic")?;
            lab.director(LVS1)?.qmp()?.execute("inject-nmi", &json!({}))?;
        }
        Hurt::Frozen => {
            lab.shell(LVS1)?.ok("/lab/busybox killall -STOP director")?;
        }
        Hurt::Standby => {
            lab.tell(LVS1, "cluster standby")?;
        }
        Hurt::Reboot => lab.director(LVS1)?.console().send(b"reboot\ry\r")?,
        Hurt::Return => lab.power_cycle(LVS1)?,
    }
    Ok(())
}

/// Counts how often a box says on the wire that the virtual address is its own; the last byte but one of its hardware address
/// is its number.
fn claims_of(lab: &Lab, number: u8) -> Result<Watch> {
    Ok(lab.switch().watch(lab.segment("public")?, move |frame| {
        let claim = frame.arp().is_some_and(|arp| arp.sender.octets() == [1, 2, 3, 1]);
        claim && frame.src().is_some_and(|mac| mac.0[4] == number)
    }))
}

fn recover(lab: &mut Lab, hurt: Hurt) -> Result<()> {
    match hurt {
        Hurt::Kill => lab.power_cycle(LVS1),
        Hurt::PublicCable => lab.director(LVS1)?.set_carrier(0, Carrier::Up),
        Hurt::PrivateCable => lab.director(LVS1)?.set_carrier(1, Carrier::Up),
        Hurt::Standby => lab.tell(LVS1, "cluster takeover").map(|_| ()),
        // These come back by themselves.
        Hurt::Panic | Hurt::Reboot | Hurt::Frozen | Hurt::Return => Ok(()),
    }
}

/// What the client says at its end.
///
/// # Errors
/// When it met no good request in the end.
pub fn outage(lab: &Lab, client: Process) -> Result<u64> {
    let ended = client.wait(lab.scaled(Duration::from_secs(u64::from(4 * ASKED_S) + 20)))?;
    ensure!(ended.status.success(), "the client: {}", ended.stderr.trim());
    let line = ended.stdout.lines().last().context("the client said nothing")?;
    line.split_whitespace().nth(1).context("no number")?.parse().with_context(|| line.to_owned())
}
