//! Topologies of documents that people set their clusters up by.

use super::{BringUp, Director, Host, Lends, Role, Scenario};
use std::net::Ipv4Addr;

const DHCP_OUTSIDE: &str = include_str!("../../scenarios/dhcp-outside.set");
/// Without its eighteen servers.
const ONE_ARMED: &str = include_str!("../../scenarios/one-armed.set");
/// Servers of the one-armed cluster, 10.10.5.1 and up.
const ONE_ARMED_SERVERS: [&str; 18] = [
    "rs1", "rs2", "rs3", "rs4", "rs5", "rs6", "rs7", "rs8", "rs9", "rs10", "rs11", "rs12", "rs13", "rs14",
    "rs15", "rs16", "rs17", "rs18",
];

/// The address of the director outside is lent; inside is 192.168.10.0/24.
pub(super) fn dhcp_outside() -> Scenario {
    let outside = |last| Ipv4Addr::new(202, 39, 145, last);
    let inside = |last| Ipv4Addr::new(192, 168, 10, last);
    let server = |name, last| Host {
        name,
        segment: "private",
        address: inside(last),
        prefix: 24,
        gateway: Some(inside(1)),
        web: &[80],
        udp_echo: None,
        dhcp: None,
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
            Host {
                name: "router",
                segment: "public",
                address: outside(129),
                prefix: 26,
                gateway: None,
                web: &[8080],
                udp_echo: None,
                dhcp: Some(lends),
            },
            Host {
                name: "client",
                segment: "public",
                address: outside(160),
                prefix: 26,
                gateway: None,
                web: &[8080],
                udp_echo: None,
                dhcp: None,
            },
        ],
        config: DHCP_OUTSIDE.to_owned(),
        bring_up: BringUp::Typed,
        answers: Some(("client", outside(146))),
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
            name,
            segment: "lan",
            address,
            prefix: 24,
            gateway: Some(on(70)),
            // Stands for sshd: what counts is who answers on the port.
            web: &[22],
            udp_echo: None,
            dhcp: None,
        });
    }
    hosts.push(Host {
        name: "client",
        segment: "lan",
        address: Ipv4Addr::new(10, 10, 0, 100),
        prefix: 24,
        gateway: None,
        web: &[],
        udp_echo: None,
        dhcp: None,
    });
    Scenario {
        name: "one-armed",
        about: "SSH on eighteen servers behind NAT, director with one card, clients on the same wire",
        segments: &["lan"],
        directors: vec![Director::new("lvs1", Role::Primary, &["lan"])],
        hosts,
        config,
        bring_up: BringUp::Preloaded,
        answers: None,
    }
}
