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
    for name in config.questions.load_monitors.keys() {
        refuse(found, true, || format!("load-monitor {name}"));
    }
    for (name, server) in &config.real_servers {
        refuse(found, server.load_monitor.is_some(), || format!("real-server {name} load-monitor"));
    }
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
    let unset = Pairing::default();
    // Taken apart, so that a new field is not forgotten.
    let Pairing {
        group: _,
        detection: _,
        warn_time: _,
        start_hold: _,
        transport,
        multicast,
        paths: _,
        serial,
        failback: _,
        failback_delay: _,
        witnesses,
        authentication: _,
        secret: _,
        key: _,
        accepted_keys,
    } = pairing;
    for (word, set) in [
        ("transport", *transport != unset.transport),
        ("multicast", multicast.is_some()),
        ("serial", serial.is_some()),
        ("witness", !witnesses.is_empty()),
        ("accept-key", !accepted_keys.is_empty()),
    ] {
        refuse(found, set, || format!("cluster {word}"));
    }
}
