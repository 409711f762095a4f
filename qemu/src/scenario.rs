//! Named topologies. A new one is a function here and a line in [`ALL`].

mod seeds;

use crate::tty::Faults;
use std::net::Ipv4Addr;

/// Text of the five-node cluster of the Piranha manual, in the shape of `set` lines.
const FIVE_NODE: &str = include_str!("../scenarios/five-node.set");
/// What the tests of forwarding methods add to it.
const BALANCING: &str = include_str!("../scenarios/balancing.set");
/// What the tests change in it.
const FIVE_NODE_TEST: &str = include_str!("../scenarios/five-node-test.set");
/// What is added where both directors run.
const FIVE_NODE_PAIR: &str = include_str!("../scenarios/five-node-pair.set");

/// What is added where connections go on through a takeover.
const PAIR_CONNECTIONS: &str = include_str!("../scenarios/pair-connections.set");

/// A topology.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// Broadcast domains.
    pub segments: &'static [&'static str],
    /// Directors.
    pub directors: Vec<Director>,
    /// Everything else.
    pub hosts: Vec<Host>,
    /// `set` lines of the pair.
    pub config: String,
    /// How the configuration gets into the primary.
    pub bring_up: BringUp,
    /// What answers when the cluster is up: asked from this host, this page.
    pub answers: Option<(&'static str, &'static str)>,
}

/// How a configuration gets into a director.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BringUp {
    /// It lies on the flash disk before the first boot.
    Preloaded,
    /// It is typed over the serial console.
    Typed,
    /// Not at all: the box comes up as on its first day, and whoever runs the lab types.
    ByHand,
}

/// Which box of the pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// `node primary`.
    Primary,
    /// `node backup`.
    Backup,
}

/// A director VM; its network cards are in order of the segments.
#[derive(Clone, Debug)]
pub struct Director {
    /// Its name.
    pub name: &'static str,
    /// Which box it is.
    pub role: Role,
    /// Segments of eth0, eth1, ...
    pub nics: &'static [&'static str],
    /// What is wrong with the terminal of its console, `NODE/tty` in the run folder.
    pub line: Faults,
}

impl Director {
    /// A director with a good line.
    pub(crate) fn new(name: &'static str, role: Role, nics: &'static [&'static str]) -> Self {
        Self { name, role, nics, line: Faults::default() }
    }
}

/// A host in a namespace, with one interface eth0.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name.
    pub name: &'static str,
    /// Segment of eth0.
    pub segment: &'static str,
    /// Address of eth0.
    pub address: Ipv4Addr,
    /// Prefix length.
    pub prefix: u8,
    /// Default route.
    pub gateway: Option<Ipv4Addr>,
    /// Ports of its web server; empty: none.
    pub web: &'static [u16],
    /// UDP port that answers each datagram with itself.
    pub udp_echo: Option<u16>,
    /// What its DHCP server lends.
    pub dhcp: Option<Lends>,
    /// Virtual addresses that it takes packets for and never says so, as a real server of direct routing does.
    pub silent: &'static [Ipv4Addr],
    /// Networks on its wire beside its own.
    pub beside: &'static [&'static str],
}

impl Host {
    /// A host with an address and nothing else.
    pub(crate) const fn at(name: &'static str, segment: &'static str, address: Ipv4Addr, prefix: u8) -> Self {
        Self {
            name,
            segment,
            address,
            prefix,
            gateway: None,
            web: &[],
            udp_echo: None,
            dhcp: None,
            silent: &[],
            beside: &[],
        }
    }
}

/// A DHCP server (dnsmasq) that lends one address.
#[derive(Clone, Copy, Debug)]
pub struct Lends {
    /// The address.
    pub address: Ipv4Addr,
    /// Router; the server itself.
    pub router: Ipv4Addr,
    /// Seconds; dnsmasq lends for 120 at least.
    pub seconds: u32,
}

/// Every scenario.
pub const ALL: [fn() -> Scenario; 11] = [
    five_node,
    five_node_blank,
    five_node_pair,
    pair_connections,
    five_node_test,
    balancing,
    seeds::ldirectord,
    seeds::rhel,
    seeds::one_armed,
    seeds::dhcp_outside,
    lan,
];

/// All names, for a message.
#[must_use]
pub fn names() -> String {
    ALL.map(|make| make().name).join(", ")
}

/// Finds a scenario.
#[must_use]
pub fn named(name: &str) -> Option<Scenario> {
    ALL.iter().map(|make| make()).find(|scenario| scenario.name == name)
}

const NAT_ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 254);
const VIRTUAL: &str = "http://1.2.3.1/";

fn real_server(name: &'static str, last: u8) -> Host {
    Host {
        gateway: Some(NAT_ROUTER),
        web: &[80],
        udp_echo: Some(7),
        ..Host::at(name, "private", Ipv4Addr::new(192, 168, 1, last), 24)
    }
}

fn five_node() -> Scenario {
    Scenario {
        name: "five-node",
        about: "the cluster of the Piranha manual: NAT, three web servers of weights 2000, 1000, 1000",
        segments: &["public", "private"],
        directors: vec![Director::new("lvs1", Role::Primary, &["public", "private"])],
        hosts: vec![
            real_server("rs1", 3),
            real_server("rs2", 4),
            real_server("rs3", 5),
            Host { web: &[8080], ..Host::at("client", "public", Ipv4Addr::new(1, 2, 3, 100), 24) },
        ],
        config: FIVE_NODE.to_owned(),
        bring_up: BringUp::Preloaded,
        answers: Some(("client", VIRTUAL)),
    }
}

/// The box as it comes: where docs/first-steps.md begins.
fn five_node_blank() -> Scenario {
    let mut scenario = five_node();
    scenario.name = "five-node-blank";
    scenario.about =
        "the same with a director that is not configured: type it yourself (docs/first-steps.md)";
    scenario.config.clear();
    scenario.bring_up = BringUp::ByHand;
    scenario
}

fn five_node_pair() -> Scenario {
    let mut scenario = five_node();
    scenario.name = "five-node-pair";
    scenario.about = "the same with both directors switched on, and a heartbeat every 100 ms";
    scenario.config.push_str(FIVE_NODE_PAIR);
    scenario.directors.push(Director::new("lvs2", Role::Backup, &["public", "private"]));
    scenario
}

/// Both directors, a sync daemon, and servers of both kinds.
fn pair_connections() -> Scenario {
    let mut scenario = five_node_pair();
    scenario.name = "pair-connections";
    scenario.about =
        "the pair with a sync daemon and two servers of direct routing, whose clients stay with them";
    scenario.config.push_str(PAIR_CONNECTIONS);
    scenario.hosts.extend([near("d1", 11), near("d2", 12)]);
    scenario
}

fn five_node_test() -> Scenario {
    let mut scenario = five_node();
    scenario.name = "five-node-test";
    scenario.about = "what the VM tests use: short reentry, a UDP echo service, typed over the console";
    scenario.config.push_str(FIVE_NODE_TEST);
    scenario.bring_up = BringUp::Typed;
    scenario
}

/// A server beside the clients.
fn near(name: &'static str, last: u8) -> Host {
    Host { web: &[80, 443], ..Host::at(name, "public", Ipv4Addr::new(1, 2, 3, last), 24) }
}

/// Servers of both kinds: behind NAT, and beside the clients for direct routing.
fn balancing() -> Scenario {
    let mut scenario = five_node();
    scenario.name = "balancing";
    scenario.about = "the same with two servers on the clients' segment: direct routing, a mark";
    scenario.config.push_str(BALANCING);
    scenario.hosts.extend([near("d1", 11), near("d2", 12)]);
    scenario
}

/// Two hosts on one segment and no director: what the lab tests itself with.
fn lan() -> Scenario {
    let host = |name, last| Host {
        web: &[80],
        udp_echo: Some(7),
        ..Host::at(name, "lan", Ipv4Addr::new(10, 0, 0, last), 24)
    };
    Scenario {
        name: "lan",
        about: "two hosts on one segment, no director",
        segments: &["lan"],
        directors: Vec::new(),
        hosts: vec![host("a", 1), host("b", 2)],
        config: String::new(),
        bring_up: BringUp::Preloaded,
        answers: Some(("a", "http://10.0.0.2/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_found() {
        let names: BTreeSet<&str> = ALL.iter().map(|make| make().name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| named(name).is_some()));
        assert!(named("no-such").is_none());
    }

    #[test]
    fn every_node_is_on_a_segment_of_its_scenario() {
        for scenario in ALL.map(|make| make()) {
            let known = |segment: &&str| scenario.segments.contains(segment);
            assert!(scenario.hosts.iter().all(|host| known(&host.segment)), "{}", scenario.name);
            assert!(
                scenario.directors.iter().all(|director| director.nics.iter().all(known)),
                "{}",
                scenario.name
            );
        }
    }

    #[test]
    fn configurations_are_set_lines() {
        for scenario in ALL.map(|make| make()) {
            let fits = |line: &str| line.starts_with("set ") || line.starts_with("# ");
            assert!(scenario.config.lines().all(fits), "{}", scenario.name);
        }
    }
}
