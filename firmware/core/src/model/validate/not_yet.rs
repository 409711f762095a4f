//! Settings that this firmware knows and does not act on yet. Each is refused, so that what is accepted is applied.
//! Whoever builds a part removes its lines here.

use super::Findings;
use crate::model::Config;
use crate::model::cluster::Pairing;
use crate::model::system::{SyslogTransport, System};
use alloc::format;
use alloc::string::String;

const MESSAGE: &str = "not in this firmware yet: delete it";

/// Refuses a setting that is away from its default.
fn refuse(found: &mut Findings, set: bool, path: impl FnOnce() -> String) {
    if set {
        found.error(path(), MESSAGE);
    }
}

pub(super) fn check(config: &Config, found: &mut Findings) {
    system(&config.system, found);
    pairing(&config.cluster.pairing, found);
}

fn system(system: &System, found: &mut Findings) {
    let System { domain, time_servers: _, syslog, idle_timeout: _, password: _ } = system;
    for (word, set) in [
        ("domain", domain.is_some()),
        ("syslog transport", syslog.as_ref().is_some_and(|s| s.transport != SyslogTransport::Udp)),
    ] {
        refuse(found, set, || format!("system {word}"));
    }
}

fn pairing(pairing: &Pairing, found: &mut Findings) {
    // Taken apart, so that a new field is not forgotten.
    let Pairing {
        group: _,
        detection: _,
        warn_time: _,
        start_hold: _,
        transport: _,
        multicast: _,
        paths: _,
        serial: _,
        failback: _,
        failback_delay: _,
        witnesses: _,
        authentication: _,
        secret: _,
        key: _,
        accepted_keys,
    } = pairing;
    if !accepted_keys.is_empty() {
        let text = "not needed: the key before is accepted until the peer signs with the new one; delete it";
        found.error("cluster accept-key".into(), text);
    }
}
