//! Topologies of documents that people set their clusters up by.

use super::{BringUp, Director, Host, Lends, Role, Scenario};
use std::net::Ipv4Addr;

const LDIRECTORD: &str = include_str!("../../scenarios/ldirectord.set");
const RHEL: &str = include_str!("../../scenarios/rhel.set");
const DHCP_OUTSIDE: &str = include_str!("../../scenarios/dhcp-outside.set");
/// Without its eighteen servers.
const ONE_ARMED: &str = include_str!("../../scenarios/one-armed.set");
/// Servers of the one-armed cluster, 10.10.5.1 and up.
const ONE_ARMED_SERVERS: [&str; 18] = [
    "rs1", "rs2", "rs3", "rs4", "rs5", "rs6", "rs7", "rs8", "rs9", "rs10", "rs11", "rs12", "rs13", "rs14",
    "rs15", "rs16", "rs17", "rs18",
];

/// ldirectord with direct routing: the virtual address in the clients' network, the servers in another one, all on one wire.
pub(super) fn ldirectord() -> Scenario {
    const VIRTUAL: &[Ipv4Addr] = &[Ipv4Addr::new(10, 10, 10, 53)];
    const CLIENTS: &[&str] = &["10.10.10.0/24"];
    let server = |name, last| Host {
        web: &[80],
        silent: VIRTUAL,
        // They answer the clients by themselves.
        beside: CLIENTS,
        ..Host::at(name, "lan", Ipv4Addr::new(192, 168, 200, last), 24)
    };
    let client = Host::at("client", "lan", Ipv4Addr::new(10, 10, 10, 100), 24);
    Scenario {
        name: "ldirectord",
        about: "ldirectord: direct routing, lblc, persistence, a page of the box when no server is left",
        segments: &["lan"],
        directors: vec![Director::new("lvs1", Role::Primary, &["lan"])],
        hosts: vec![server("http1", 102), server("http2", 103), client],
        config: LDIRECTORD.to_owned(),
        bring_up: BringUp::Preloaded,
        answers: Some(("client", "http://10.10.10.53/")),
    }
}

/// The Red Hat guide: HTTP and HTTPS of one mark, and FTP, behind NAT and by direct routing.
pub(super) fn rhel() -> Scenario {
    const VIRTUAL: &[Ipv4Addr] = &[Ipv4Addr::new(192, 168, 26, 20)];
    let outside = |last| Ipv4Addr::new(192, 168, 26, last);
    let inside = |last| Ipv4Addr::new(10, 11, 12, last);
    // 21 and 10000 stand for an FTP server: what counts is who answers on the port.
    let ports: &[u16] = &[80, 443, 21, 10_000];
    let behind = |name, last| Host {
        web: ports,
        gateway: Some(inside(10)),
        ..Host::at(name, "private", inside(last), 24)
    };
    let beside =
        |name, last| Host { web: ports, silent: VIRTUAL, ..Host::at(name, "public", outside(last), 24) };
    Scenario {
        name: "rhel",
        about: "the Red Hat guide: HTTP with HTTPS and FTP by marks, behind NAT and by direct routing",
        segments: &["public", "private"],
        directors: vec![Director::new("lvs1", Role::Primary, &["public", "private"])],
        hosts: vec![
            behind("rs1", 1),
            behind("rs2", 2),
            beside("d1", 31),
            beside("d2", 32),
            Host { web: &[8080], ..Host::at("client", "public", outside(100), 24) },
        ],
        config: RHEL.to_owned(),
        bring_up: BringUp::Preloaded,
        answers: Some(("client", "http://192.168.26.10/")),
    }
}

/// The address of the director outside is lent; inside is 192.168.10.0/24.
pub(super) fn dhcp_outside() -> Scenario {
    let outside = |last| Ipv4Addr::new(202, 39, 145, last);
    let inside = |last| Ipv4Addr::new(192, 168, 10, last);
    let server = |name, last| Host {
        gateway: Some(inside(1)),
        web: &[80],
        ..Host::at(name, "private", inside(last), 24)
    };
    let lends = Lends { address: outside(156), router: outside(129), seconds: 120 };
    Scenario {
        name: "dhcp-outside",
        about: "Piranha with an address by DHCP outside, two web servers behind NAT",
        segments: &["public", "private"],
        directors: vec![Director::new("lvs1", Role::Primary, &["public", "private"])],
        hosts: vec![
            server("rs1", 18),
            server("rs2", 28),
            Host { web: &[8080], dhcp: Some(lends), ..Host::at("router", "public", outside(129), 26) },
            Host { web: &[8080], ..Host::at("client", "public", outside(160), 26) },
        ],
        config: DHCP_OUTSIDE.to_owned(),
        bring_up: BringUp::Typed,
        answers: Some(("client", "http://202.39.145.146/")),
    }
}

/// Clients and servers on one wire, and a director with one card between them.
pub(super) fn one_armed() -> Scenario {
    let on = |last| Ipv4Addr::new(10, 10, 5, last);
    let mut config = ONE_ARMED.to_owned();
    let mut hosts = Vec::new();
    for (name, last) in ONE_ARMED_SERVERS.into_iter().zip(1..) {
        let address = on(last);
        config.push_str(&format!("set real-server {name} address {address}\nset pool ssh server {name}\n"));
        hosts.push(Host {
            gateway: Some(on(70)),
            // Stands for sshd: what counts is who answers on the port.
            web: &[22],
            ..Host::at(name, "lan", address, 24)
        });
    }
    hosts.push(Host::at("client", "lan", Ipv4Addr::new(10, 10, 0, 100), 24));
    Scenario {
        name: "one-armed",
        about: "SSH on eighteen servers behind NAT, director with one card, clients on the same wire",
        segments: &["lan"],
        directors: vec![Director::new("lvs1", Role::Primary, &["lan"])],
        hosts,
        config,
        bring_up: BringUp::Preloaded,
        answers: Some(("client", "http://10.10.0.70:22/")),
    }
}
