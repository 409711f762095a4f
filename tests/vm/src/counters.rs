//! The kernel's table at two moments: what must be the same, and counters that must have gone on.

use crate::director::{LVS1, number};
use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the console may take to print 1,000 services.
const LIMIT: Duration = Duration::from_secs(90);
/// What changes while nobody touches anything.
const COUNTED: [&str; 4] = ["active", "inactive", "persistent", "stats"];

/// A virtual server: what was set, as text, and what was counted, by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frozen {
    set: String,
    counted: BTreeMap<String, u64>,
}

/// `show ipvs | json`, by protocol and port.
///
/// # Errors
/// When there is no such answer.
pub fn freeze(lab: &Lab) -> Result<BTreeMap<(String, u64), Frozen>> {
    let console = lab.director(LVS1)?.console();
    let text = console.command_within("show ipvs | json", lab.scaled(LIMIT))?.join("");
    let table: Vec<Value> = serde_json::from_str(&text).with_context(|| format!("show ipvs: {text:.200}"))?;
    table
        .into_iter()
        .map(|mut service| {
            let protocol = service["protocol"].as_str().unwrap_or_default().to_owned();
            let key = (protocol, number(&service, "port")?);
            let mut counted = BTreeMap::new();
            take_counted(&mut service, "service", &mut counted);
            for dest in service.get_mut("servers").and_then(Value::as_array_mut).into_iter().flatten() {
                let name = dest["address"].to_string();
                take_counted(dest, &name, &mut counted);
            }
            Ok((key, Frozen { set: service.to_string(), counted }))
        })
        .collect()
}

impl Frozen {
    /// Whether everything that was there is still there, with counters that are not smaller; services on the ports
    /// `changed` may look different.
    ///
    /// # Errors
    /// With the first service that was touched.
    pub fn went_on(
        before: &BTreeMap<(String, u64), Self>,
        after: &BTreeMap<(String, u64), Self>,
        changed: &[u64],
    ) -> Result<()> {
        let keys = |all: &BTreeMap<(String, u64), Self>| all.keys().cloned().collect::<Vec<_>>();
        ensure!(keys(before) == keys(after), "other services: {:?} {:?}", keys(before), keys(after));
        for ((key, old), new) in before.iter().zip(after.values()) {
            if !changed.contains(&key.1) {
                ensure!(old.set == new.set, "{key:?} was touched: {} {}", old.set, new.set);
            }
            for (name, count) in &old.counted {
                let now = new.counted.get(name).copied().unwrap_or(0);
                ensure!(now >= *count, "{key:?}: {name} went from {count} to {now}");
            }
        }
        Ok(())
    }
}

/// Takes out what is counted; rates and connections, which may fall, are dropped.
fn take_counted(row: &mut Value, of: &str, counted: &mut BTreeMap<String, u64>) {
    let Some(row) = row.as_object_mut() else { return };
    let taken = COUNTED.map(|name| row.remove(name));
    for stats in taken.iter().flatten().filter_map(Value::as_object) {
        for (name, count) in stats.iter().filter(|(name, _)| !name.ends_with("_per_second")) {
            counted.extend(count.as_u64().map(|count| (format!("{of} {name}"), count)));
        }
    }
}
