//! A director as its console shows it. Field names are those of `director_core::director::status`.

use anyhow::{Context as _, Result, bail};
use director_qemu::lab::Lab;
use serde_json::Value;
use std::time::Duration;

/// The director that the suites talk to.
pub const LVS1: &str = "lvs1";
/// Waits for what the director decides on its own, beside the times of the configuration.
pub const SOON: Duration = Duration::from_secs(5);

/// Rows of `show WHAT | json`, which is a list or an object with the list under its own name.
///
/// # Errors
/// When the answer has no such list.
pub fn rows(lab: &Lab, what: &str) -> Result<Vec<Value>> {
    let value = lab.json(LVS1, &format!("show {what}"))?;
    let list = if value.is_array() { Some(&value) } else { value.get(what) };
    list.and_then(Value::as_array).cloned().with_context(|| format!("show {what}: no list in {value}"))
}

/// The box: `show version | json`.
///
/// # Errors
/// When there is no answer.
pub fn system(lab: &Lab) -> Result<Value> {
    let mut value = lab.json(LVS1, "show version")?;
    Ok(match value.get_mut("system") {
        Some(system) => system.take(),
        None => value,
    })
}

/// A number of a row.
///
/// # Errors
/// When it is missing or none.
pub fn number(row: &Value, key: &str) -> Result<u64> {
    row.get(key).and_then(Value::as_u64).with_context(|| format!("no number `{key}` in {row}"))
}

/// The row of a real server in a pool.
///
/// # Errors
/// When there is none.
pub fn server(lab: &Lab, pool: &str, name: &str) -> Result<Value> {
    let all = rows(lab, "servers")?;
    let found = all.iter().find(|row| row["pool"] == pool && row["name"] == name);
    found.cloned().with_context(|| format!("no server {name} in pool {pool}: {all:?}"))
}

/// Weight of a destination in the kernel's table; `None` when it is not in it.
///
/// # Errors
/// When the virtual server is missing.
pub fn kernel_weight(lab: &Lab, port: u64, address: &str) -> Result<Option<u64>> {
    let all = rows(lab, "ipvs")?;
    let Some(service) = all.iter().find(|row| row["port"] == port) else {
        bail!("no virtual server on port {port}: {all:?}")
    };
    let dests = service.get("servers").and_then(Value::as_array).context("no servers")?;
    let dest = dests.iter().find(|dest| dest["address"] == address);
    dest.map(|dest| number(dest, "weight")).transpose()
}

/// Waits until a destination takes new connections, or does not, and gives when it was seen.
///
/// # Errors
/// When it stays otherwise for `limit`.
pub fn wait_usable(lab: &Lab, address: &str, usable: Usable, limit: Duration) -> Result<Duration> {
    lab.hub().eventually(&format!("{address} {usable:?} in the kernel's table"), limit, || {
        let weight = kernel_weight(lab, 80, address).map_err(|error| format!("{error:#}"))?;
        let is = if weight.is_some_and(|weight| weight > 0) { Usable::Yes } else { Usable::No };
        if is == usable { Ok(lab.hub().elapsed()) } else { Err(format!("weight {weight:?}")) }
    })
}

/// Whether a server takes new connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usable {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// Types lines in configuration mode and commits them.
///
/// # Errors
/// With the first line that was refused; the candidate is discarded.
pub fn commit(lab: &Lab, lines: &[&str]) -> Result<Vec<String>> {
    lab.tell(LVS1, "configure")?;
    let result = lines.iter().try_for_each(|line| lab.tell(LVS1, line).map(|_| ()));
    let result = result.and_then(|()| lab.tell(LVS1, "commit"));
    if result.is_err() {
        lab.ask(LVS1, "discard")?;
    }
    lab.ask(LVS1, "exit")?;
    result
}
