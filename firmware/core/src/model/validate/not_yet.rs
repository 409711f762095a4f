//! Settings that this firmware knows and does not act on yet. Each is refused, so that what is accepted is applied.
//! Whoever builds a part removes its lines here.

use super::Findings;
use crate::model::Config;
use crate::model::cluster::Pairing;
use crate::model::config::{Pool, Service, Shortage, Watch};
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
    refuse(found, config.sync_daemon.is_some(), || "sync-daemon".into());
    for (name, rule) in &config.masquerade {
        refuse(found, rule.address.is_some(), || format!("masquerade {name} address"));
    }
    for name in config.questions.load_monitors.keys() {
        refuse(found, true, || format!("load-monitor {name}"));
    }
    for name in config.kernel.marks.keys() {
        refuse(found, true, || format!("mark {name}"));
    }
    for (name, server) in &config.real_servers {
        refuse(found, server.load_monitor.is_some(), || format!("real-server {name} load-monitor"));
    }
    for (name, pool) in &config.pools {
        check_pool(&format!("pool {name}"), pool, found);
    }
    for (name, service) in &config.services {
        check_service(&format!("service {name}"), service, found);
    }
}

fn system(system: &System, found: &mut Findings) {
    let System { domain, time_servers, syslog, idle_timeout: _, password: _ } = system;
    for (word, set) in [
        ("domain", domain.is_some()),
        ("time-server", !time_servers.is_empty()),
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

fn check_pool(path: &str, pool: &Pool, found: &mut Findings) {
    let Watch {
        checks: _,
        join: _,
        source: _,
        via_virtual,
        fast_retry,
        standby_interval,
        jitter,
        flap_limit,
    } = &pool.watch;
    let Shortage {
        quorum,
        hysteresis,
        sorry_server: _,
        sorry_port: _,
        sorry_page: _,
        slow_start,
        remove_after,
        panic_threshold,
    } = &pool.shortage;
    for (word, set) in [
        ("check-virtual", *via_virtual),
        ("fast-retry", fast_retry.is_some()),
        ("standby-interval", standby_interval.is_some()),
        ("jitter", *jitter != 0),
        ("flap-limit", flap_limit.is_some()),
        ("quorum", quorum.is_some()),
        ("hysteresis", *hysteresis != 0),
        ("slow-start", slow_start.is_some()),
        ("remove-after", remove_after.is_some()),
        ("panic-threshold", panic_threshold.is_some()),
    ] {
        refuse(found, set, || format!("{path} {word}"));
    }
}

fn check_service(path: &str, service: &Service, found: &mut Findings) {
    refuse(found, service.special.mark.is_some(), || format!("{path} mark"));
}
