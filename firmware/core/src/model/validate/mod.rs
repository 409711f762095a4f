//! Cross checks of a configuration: all findings at once, each with the path of the offending value and the fix.
//!
//! [`network`] holds the rules for interfaces, addresses, routes and masquerading, [`serving`] those for real
//! servers, pools and services. Every rule looks things up in maps, so the time grows with the size of the
//! configuration times its logarithm. The number of findings is bounded by it too: rules that compare many things
//! with many report the first case and count the rest.

mod balancing;
mod checks;
mod fallback;
#[cfg(test)]
pub(crate) mod fixture;
mod network;
mod not_yet;
mod serving;
mod settings;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod tests;

use super::config::Config;
use super::limits;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// Whether a finding stops a commit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Severity {
    /// Stops it.
    Error,
    /// Does not, but somebody should know.
    Warning,
}

/// Something wrong with a configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Error or warning.
    pub severity: Severity,
    /// Where, as one would type it after `set`: `service web pool`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{kind}: {}: {}", self.path, self.message)
    }
}

/// Checks a configuration. Errors come first, each kind in the order of the configuration. No error: it may be
/// applied. Pure; a configuration of 1,000 services with 10 servers each takes a few milliseconds.
#[must_use]
pub fn validate(config: &Config) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    counts(config, &mut found);
    cluster(config, &mut found);
    network::check(config, &mut found);
    serving::check(config, &mut found);
    settings::check(config, &mut found);
    checks::check(config, &mut found);
    fallback::check(config, &mut found);
    not_yet::check(config, &mut found);
    found.0.sort_by_key(|f| f.severity);
    found.0
}

/// Findings so far.
struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, path: String, message: impl Into<String>) {
        self.0.push(Finding { severity: Severity::Error, path, message: message.into() });
    }

    fn warning(&mut self, path: String, message: impl Into<String>) {
        self.0.push(Finding { severity: Severity::Warning, path, message: message.into() });
    }
}

fn counts(config: &Config, found: &mut Findings) {
    let members: usize = config.pools.values().map(|p| p.servers.len()).sum();
    let counted = [
        ("interface", config.interfaces.len(), limits::INTERFACES),
        ("floating", config.floating.len(), limits::FLOATING),
        ("route", config.routes.len(), limits::ROUTES),
        ("masquerade", config.masquerade.len(), limits::MASQUERADES),
        ("load-monitor", config.questions.load_monitors.len(), limits::LOAD_MONITORS),
        ("check", config.questions.checks.len(), limits::CHECKS),
        ("mark", config.kernel.marks.len(), limits::MARKS),
        ("real-server", config.real_servers.len(), limits::REAL_SERVERS),
        ("pool", config.pools.len(), limits::POOLS),
        ("service", config.services.len(), limits::SERVICES),
    ];
    for (path, count, max) in counted {
        if count > max {
            found.error(
                path.into(),
                format!("{count} are configured, at most {max} are possible: delete some"),
            );
        }
    }
    for (name, pool) in &config.pools {
        let (count, max) = (pool.servers.len(), limits::POOL_SERVERS);
        if count > max {
            let text = format!("{count} servers are in the pool, at most {max} are possible: split it");
            found.error(format!("pool {name} server"), text);
        }
    }
    let max = limits::MEMBERS_ALL;
    if members > max {
        let text = format!("all pools together have {members} servers, at most {max} are possible");
        found.error("pool".into(), text);
    }
}

fn cluster(config: &Config, found: &mut Findings) {
    let cluster = &config.cluster;
    let (interval, dead) = (cluster.heartbeat_interval, cluster.dead_time);
    if cluster.heartbeat_port == 0 {
        found.error("cluster heartbeat port".into(), "must be 1 to 65535");
    }
    if interval.get() == 0 {
        found.error("cluster heartbeat interval".into(), "must be longer than 0");
    } else if interval.plus(interval) >= dead {
        let text = format!(
            "{interval} is not less than half the dead time of {dead}, so that one lost heartbeat would cause a \
             takeover: shorten it, or lengthen cluster heartbeat dead-time"
        );
        found.error("cluster heartbeat interval".into(), text);
    }
}

/// Why an address cannot be one host's.
fn not_a_host(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("is the unspecified address")
    } else if address.is_loopback() {
        Some("is a loopback address")
    } else if address.is_multicast() {
        Some("is a multicast address")
    } else if matches!(address, IpAddr::V4(a) if a.is_broadcast()) {
        Some("is the broadcast address")
    } else if matches!(address, IpAddr::V6(a) if a.to_ipv4_mapped().is_some()) {
        // `ipv6_addr_type` says that it is no unicast address.
        Some("is an IPv4 address written as IPv6")
    } else {
        None
    }
}
