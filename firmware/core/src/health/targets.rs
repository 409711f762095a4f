//! From the configuration: which server of which pool is asked what, and judged by which thresholds.

use super::schedule::ProbeKey;
use super::verdict::Rule;
use super::{ProbeKind, ProbeSpec};
use crate::model::config::{CheckKind, Config, HttpCheck, Member, Pool};
use crate::model::ipvs::Mark;
use crate::model::{Millis, Name};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

/// Status codes that are good when the configuration names none.
const STATUS_DEFAULT: (u16, u16) = (200, 299);

/// What has a verdict of its own: a server in a pool, for each port that is checked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct MemberKey {
    pub(crate) pool: Name,
    pub(crate) server: Name,
    pub(crate) port: u16,
}

/// How it is judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    pub(crate) address: IpAddr,
    /// `None`: no check.
    pub(crate) probe: Option<ProbeKey>,
    pub(crate) rule: Rule,
}

/// All targets. Servers without an address, and members for whose port nobody asks, have none.
pub(crate) fn targets(config: &Config) -> BTreeMap<MemberKey, Target> {
    let mut service_ports: BTreeMap<&Name, BTreeSet<u16>> = BTreeMap::new();
    for service in config.services.values() {
        if let Some(pool) = &service.pool {
            service_ports.entry(pool).or_default().extend(service.ports.iter().copied());
            let mark = service.special.mark.as_ref().and_then(|name| config.kernel.marks.get(name));
            service_ports.entry(pool).or_default().extend(mark.and_then(Mark::first_port));
        }
    }
    let mut all = Vec::new();
    for (pool_name, pool) in &config.pools {
        let kind = question(pool);
        for (server, member) in &pool.servers {
            let Some(address) = config.real_servers.get(server).and_then(|rs| rs.address) else { continue };
            for port in checked_ports(pool, member, service_ports.get(pool_name)) {
                let key = MemberKey { pool: pool_name.clone(), server: server.clone(), port };
                all.push((key, target(pool, kind.as_ref(), SocketAddr::new(address, port))));
            }
        }
    }
    // Pools, servers and ports came in order, so this builds the map without searching.
    all.into_iter().collect()
}

fn checked_ports(pool: &Pool, member: &Member, of_services: Option<&BTreeSet<u16>>) -> Vec<u16> {
    match pool.check_port.or(member.port) {
        Some(port) => alloc::vec![port],
        None => of_services.into_iter().flatten().copied().collect(),
    }
}

fn question(pool: &Pool) -> Option<ProbeKind> {
    match pool.check {
        CheckKind::None => None,
        CheckKind::Tcp => Some(ProbeKind::Tcp),
        CheckKind::Http => {
            let default = || {
                let path = "/".parse().ok()?;
                Some(HttpCheck { path, host: None, status: STATUS_DEFAULT })
            };
            // "/" is a valid path, so the second case does not happen; a connect check is what remains of the question.
            let check = pool.http.clone().or_else(default);
            Some(check.map_or(ProbeKind::Tcp, |check| ProbeKind::Http(Box::new(check))))
        }
    }
}

fn target(pool: &Pool, kind: Option<&ProbeKind>, asked: SocketAddr) -> Target {
    let at_least_1ms = |span: Millis| span.max(Millis::new(1));
    Target {
        address: asked.ip(),
        probe: kind.map(|kind| ProbeKey {
            spec: ProbeSpec { target: asked, kind: kind.clone() },
            interval: at_least_1ms(pool.interval),
            timeout: at_least_1ms(pool.timeout),
        }),
        rule: Rule { rise: pool.rise, fall: pool.fall, dead_time: pool.dead_time, reentry: pool.reentry },
    }
}
