//! A status of the five-node cluster as the director would report it.

use crate::director::status::{
    AddressStatus, InterfaceStatus, IpvsDest, IpvsService, ServerStatus, ServiceStatus, SlotStatus, Status,
    SystemStatus,
};
use crate::health::State;
use crate::model::config::{CheckKind, Forward, Protocol, Scheduler};
use crate::model::{Millis, Mono};
use crate::overrides::Forced;
use crate::plan::observed::{Link, LinkCounters, Stats};
use crate::plan::{DestKey, DestSpec, ServiceKey, ServiceSpec};
use crate::store::Generation;
use crate::store::identity::Role;
use crate::upgrade::environment::Slot;
use crate::upgrade::running::Running;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const NOW: Mono = Mono::from_millis(273_600_000);

fn before(seconds: u64) -> Mono {
    Mono::from_micros(NOW.micros() - seconds * 1_000_000)
}

fn name(text: &str) -> crate::model::Name {
    text.parse().unwrap()
}

fn stats(connections: u64) -> Stats {
    Stats {
        connections,
        in_packets: connections * 6,
        out_packets: connections * 5,
        in_bytes: connections * 500,
        out_bytes: connections * 1500,
        cps: connections / 100,
        in_pps: connections / 20,
        out_pps: connections / 25,
        in_bps: connections * 5,
        out_bps: connections * 15,
    }
}

fn server(n: u8, state: State, since: u64, reason: &str, weights: (u32, Option<u32>)) -> ServerStatus {
    ServerStatus {
        pool: name("web"),
        name: name(&alloc::format!("rs{n}")),
        address: core::net::IpAddr::from([192, 168, 1, 2 + n]),
        forward: Forward::Nat,
        check: CheckKind::Http,
        state,
        forced: Forced::Normal,
        since: before(since),
        reason: reason.to_string(),
        checked: Some(before(1)),
        took_us: if state == State::Down { None } else { Some(1234) },
        weight: weights.0,
        effective: weights.1,
        active: 3,
        inactive: 12,
        stats: stats(1000),
    }
}

fn link(index: u32, up: bool) -> Link {
    let counters = LinkCounters {
        rx_packets: 123_456,
        tx_packets: 98_765,
        rx_bytes: 12_345_678,
        tx_bytes: 987_654_321,
        errors: 0,
    };
    Link { index, up, carrier: up, mtu: 1500, mac: [0x52, 0x54, 0, 0x12, 0x34, 0x56], counters, vlan: None }
}

fn interfaces() -> Vec<InterfaceStatus> {
    let interface = |role: Option<&str>, device: &str, link| InterfaceStatus {
        role: role.map(name),
        device: device.parse().unwrap(),
        link,
        dhcp: None,
    };
    Vec::from([
        interface(Some("public"), "eth0", Some(link(2, true))),
        interface(Some("private"), "eth1", Some(Link { carrier: false, ..link(3, true) })),
        interface(None, "eth2", Some(link(4, false))),
        interface(Some("spare"), "eth3", None),
    ])
}

fn address(device: &str, cidr: &str, floating: Option<&str>, present: bool, wanted: bool) -> AddressStatus {
    AddressStatus {
        device: device.parse().unwrap(),
        address: cidr.parse().unwrap(),
        label: floating.map(|_| alloc::format!("{device}:1").parse().unwrap()),
        floating: floating.map(name),
        present,
        wanted,
    }
}

fn time() -> crate::sntp::Status {
    let server = |last, heard, trouble: Option<&str>| crate::sntp::ServerStatus {
        address: core::net::IpAddr::from([192, 0, 2, last]),
        heard,
        stratum: heard.map(|_| 2),
        delay_us: heard.map(|_| 1234),
        trouble: trouble.map(ToString::to_string),
    };
    crate::sntp::Status {
        set: Some((core::net::IpAddr::from([192, 0, 2, 1]), before(700))),
        servers: Vec::from([server(1, Some(before(700)), None), server(2, None, Some("no answer"))]),
        next: Some(Mono::from_micros(NOW.micros() + 324_000_000)),
    }
}

/// The virtual server as the kernel holds it.
fn web_in_the_kernel(key: ServiceKey) -> IpvsService {
    let dests = [(3_u8, 2000), (4, 0), (5, 1000)].map(|(host, weight)| IpvsDest {
        key: DestKey { address: core::net::IpAddr::from([192, 168, 1, host]), port: 80 },
        spec: DestSpec { weight, ..DestSpec::default() },
        active: 3,
        inactive: 12,
        persistent: 0,
        stats: stats(1000),
    });
    let spec = ServiceSpec::new(Scheduler::Wlc, Some(300));
    IpvsService { key, spec, stats: stats(3000), dests: Vec::from(dests) }
}

/// The whole cluster: rs2 is down and quiesced, rs3 comes back.
pub(crate) fn status() -> Status {
    let key = ServiceKey::Address { protocol: Protocol::Tcp, address: [1, 2, 3, 1].into(), port: 80 };
    let until = Mono::from_micros(NOW.micros() + 171_000_000);
    Status {
        at: NOW,
        system: SystemStatus {
            identity: Role::Primary,
            active: true,
            hostname: Some("lvs1".parse().unwrap()),
            version: "0.1.0".to_string(),
            slot: Some(SlotStatus {
                running: Running { slot: Slot::A, trial: false, rescue: false },
                proven: true,
            }),
            generation: Generation(1),
            trial: None,
            source: "flash slot 0, generation 1".to_string(),
            started: before(7200),
            boots: 3,
            operations: 18,
            last_plan: 1,
            last_plan_took: Millis::new(3),
            last_dump_took: Millis::new(2),
            reconciled: Some(before(4)),
        },
        cluster: None,
        interfaces: interfaces(),
        addresses: Vec::from([
            address("eth0", "1.2.3.2/24", None, true, true),
            address("eth0", "1.2.3.1/24", Some("vs1"), true, true),
            address("eth1", "192.168.1.254/24", Some("nat-router"), false, true),
            address("eth0", "1.2.3.9/24", None, true, false),
        ]),
        services: Vec::from([ServiceStatus {
            name: name("web"),
            key,
            scheduler: String::from("wlc"),
            persistence_s: Some(300),
            pool: name("web"),
            usable: 1,
            servers: 3,
            active: 9,
            inactive: 36,
            stats: Some(stats(3000)),
        }]),
        servers: Vec::from([
            server(1, State::Up, 273_590, "status 200", (2000, Some(2000))),
            server(2, State::Down, 12, "connection refused, 3 of 3 failures", (1000, Some(0))),
            server(3, State::Reentering { until }, 9, "status 200", (1000, None)),
        ]),
        ipvs: Vec::from([web_in_the_kernel(key)]),
        timeouts: None,
        daemons: Vec::new(),
        time: time(),
        unix_s: 1_790_000_000,
        notes: Vec::new(),
        alarms: Vec::from([String::from(
            "the address 192.168.1.254/24 is missing on eth1: the kernel refused it (No such device, errno 19)",
        )]),
    }
}
