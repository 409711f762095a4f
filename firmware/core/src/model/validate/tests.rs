use super::fixture::{five_node, large, name};
use super::*;
use crate::model::config::{CheckKind, Floating, Forward, Interface, Member, Node, Pool, RealServer, Route};
use crate::model::{Millis, limits};
use alloc::string::ToString;

/// All findings after a change to the five-node cluster, as an operator sees them.
fn after(change: impl FnOnce(&mut Config)) -> Vec<String> {
    let mut config = five_node();
    change(&mut config);
    validate(&config).iter().map(ToString::to_string).collect()
}

fn web(config: &mut Config) -> &mut Pool {
    config.pools.get_mut(&name("web")).unwrap()
}

fn service(config: &mut Config) -> &mut crate::model::config::Service {
    config.services.get_mut(&name("web")).unwrap()
}

fn floating<'a>(config: &'a mut Config, which: &str) -> &'a mut Floating {
    config.floating.get_mut(&name(which)).unwrap()
}

fn set_address(node: &mut Node, interface: &str, addresses: &[&str]) {
    node.addresses.insert(name(interface), addresses.iter().map(|a| a.parse().unwrap()).collect());
}

fn add_floating(config: &mut Config, id: &str, address: &str, interface: &str) {
    let new =
        Floating { address: Some(address.parse().unwrap()), interface: Some(name(interface)), label: None };
    config.floating.insert(name(id), new);
}

fn server(config: &mut Config, id: &str, address: &str) {
    config
        .real_servers
        .insert(name(id), RealServer { address: Some(address.parse().unwrap()), load_monitor: None });
}

#[track_caller]
fn expect(found: Vec<String>, lines: &[&str]) {
    assert_eq!(found, lines);
}

#[test]
fn the_five_node_cluster_and_a_large_one_and_nothing_at_all_are_fine() {
    expect(after(|_| {}), &[]);
    assert_eq!(validate(&Config::default()), []);
    assert_eq!(validate(&large(1000, 10)), []);
}

#[test]
fn all_findings_come_at_once_errors_first() {
    let found = after(|c| {
        c.pools.insert(name("a"), Pool::default());
        c.interfaces.get_mut(&name("public")).unwrap().device = None;
        service(c).pool = None;
    });
    expect(
        found,
        &[
            "error: interface public device: missing: set interface public device with the kernel's name, for example eth0",
            "error: service web pool: missing: set service web pool",
            "warning: pool a server: the pool has no servers: set pool a server",
            "warning: pool a: no service uses this pool",
            "warning: pool web: no service uses this pool",
        ],
    );
}

#[test]
fn counts_beyond_the_limits_are_refused() {
    let found = after(|c| {
        let count = u32::try_from(limits::REAL_SERVERS).unwrap();
        for i in 0..=count {
            server(c, &format!("x{i}"), &core::net::Ipv4Addr::from(0x0A00_0001 + i).to_string());
        }
    });
    expect(found, &["error: real-server: 10004 are configured, at most 10000 are possible: delete some"]);
    let found = after(|c| {
        for i in 0..=limits::POOL_SERVERS {
            let id = format!("x{i}");
            server(c, &id, &format!("10.0.{}.{}", i / 200, 1 + i % 200));
            web(c).servers.insert(name(&id), Member::default());
        }
    });
    expect(
        found,
        &["error: pool web server: 1004 servers are in the pool, at most 1000 are possible: split it"],
    );
    let found = after(|c| {
        for i in 0..=limits::INTERFACES {
            let device = Some(format!("v{i}").parse().unwrap());
            c.interfaces.insert(name(&format!("x{i}")), Interface { device, ..Interface::default() });
        }
    });
    expect(found, &["error: interface: 67 are configured, at most 64 are possible: delete some"]);
}

#[test]
fn all_pools_together_have_a_limit() {
    let found = after(|c| {
        let all = large(21, 1000);
        c.real_servers = all.real_servers.into_iter().take(1000).collect();
        let servers: alloc::collections::BTreeMap<_, _> =
            c.real_servers.keys().map(|n| (n.clone(), Member::default())).collect();
        c.pools = all.pools;
        c.pools.values_mut().for_each(|p| p.servers = servers.clone());
        c.services = all.services;
    });
    expect(found, &["error: pool: all pools together have 21000 servers, at most 20000 are possible"]);
}

#[test]
fn a_heartbeat_interval_of_half_the_dead_time_is_refused() {
    let found = after(|c| c.cluster.dead_time = Millis::from_secs(4));
    expect(
        found,
        &[
            "error: cluster heartbeat interval: 2s is not less than half the dead time of 4s, so that one lost \
           heartbeat would cause a takeover: shorten it, or lengthen cluster heartbeat dead-time",
        ],
    );
    expect(after(|c| c.cluster.dead_time = Millis::new(4001)), &[]);
    let found = after(|c| c.cluster.heartbeat_interval = Millis::new(0));
    expect(found, &["error: cluster heartbeat interval: must be longer than 0"]);
    let found = after(|c| c.cluster.heartbeat_port = 0);
    expect(found, &["error: cluster heartbeat port: must be 1 to 65535"]);
}

#[test]
fn a_device_has_one_role() {
    let found = after(|c| {
        let device = c.interfaces[&name("public")].device.clone();
        c.interfaces.insert(name("zone"), Interface { device, ..Interface::default() });
    });
    expect(
        found,
        &[
            "error: interface zone device eth0: eth0 is the device of interface public already: use one role for it",
        ],
    );
}

#[test]
fn an_mtu_suits_its_address_families() {
    let mtu = |c: &mut Config, mtu| c.interfaces.get_mut(&name("public")).unwrap().mtu = Some(mtu);
    expect(after(|c| mtu(c, 575)), &["error: interface public mtu 575: must be 576 to 9216"]);
    expect(after(|c| mtu(c, 576)), &[]);
    let found = after(|c| {
        mtu(c, 1279);
        set_address(&mut c.primary, "public", &["1.2.3.2/24", "2001:db8::2/64"]);
    });
    expect(found, &["error: interface public mtu 1279: IPv6 on this interface needs at least 1280"]);
}

#[test]
fn an_address_used_twice_is_found_wherever_it_is() {
    expect(
        after(|c| server(c, "rs2", "192.168.1.3")),
        &[
            "error: real-server rs2 address 192.168.1.3: the address is used already by real-server rs1 address 192.168.1.3",
        ],
    );
    expect(
        after(|c| server(c, "rs2", "192.168.1.254")),
        &[
            "error: real-server rs2 address 192.168.1.254: the address is used already by floating nat-router address 192.168.1.254/24",
        ],
    );
    expect(
        after(|c| add_floating(c, "x", "1.2.3.3/24", "public")),
        &[
            "error: floating x address 1.2.3.3/24: the address is used already by node backup interface public address 1.2.3.3/24",
        ],
    );
    expect(
        after(|c| set_address(c.backup.as_mut().unwrap(), "public", &["1.2.3.2/24"])),
        &[
            "error: node backup interface public address 1.2.3.2/24: the address is used already by node primary interface public address 1.2.3.2/24",
        ],
    );
}

#[test]
fn a_subnet_on_two_interfaces_is_a_warning() {
    let found = after(|c| {
        set_address(&mut c.primary, "public", &["1.2.3.2/24", "192.168.1.9/24"]);
    });
    expect(
        found,
        &[
            "warning: node primary interface public address 192.168.1.9/24: 192.168.1.0/24 is also on interface private: answers may leave by the wrong one",
        ],
    );
}

#[test]
fn a_node_address_needs_an_interface_and_must_be_a_hosts() {
    expect(
        after(|c| set_address(&mut c.primary, "dmz", &["10.0.0.1/24"])),
        &["error: node primary interface dmz: there is no interface dmz: set interface dmz device"],
    );
    for (address, why) in [
        ("10.0.0.0/24", "is the address of the network itself"),
        ("10.0.0.255/24", "is the broadcast address of its network"),
        ("127.0.0.1/8", "is a loopback address"),
        ("224.0.0.1/24", "is a multicast address"),
        ("0.0.0.0/0", "is the unspecified address"),
    ] {
        let found = after(|c| set_address(&mut c.primary, "public", &["1.2.3.2/24", address]));
        let line =
            format!("error: node primary interface public address {address}: {why}: use a host's address");
        expect(found, &[&line]);
    }
}

#[test]
fn nodes_in_different_subnets_of_one_interface_are_a_warning() {
    let found = after(|c| {
        set_address(c.backup.as_mut().unwrap(), "private", &["192.168.1.2/24", "10.0.0.2/24"]);
    });
    expect(
        found,
        &[
            "warning: node backup interface private address 10.0.0.2/24: node primary has no address in 10.0.0.0/24 on this interface",
        ],
    );
}

#[test]
fn a_floating_address_needs_address_and_a_known_interface() {
    let found = after(|c| {
        let nat = floating(c, "nat-router");
        (nat.address, nat.interface, nat.label) = (None, None, None);
    });
    expect(
        found,
        &[
            "error: floating nat-router address: missing: set floating nat-router address with prefix length, for example 192.0.2.1/24",
            "error: floating nat-router interface: missing: set floating nat-router interface with the role that carries it",
        ],
    );
    let found = after(|c| {
        c.primary.addresses.insert(name("dmz"), Default::default());
        add_floating(c, "x", "10.0.0.1/32", "dmz");
        c.primary.addresses.remove(&name("dmz"));
    });
    assert!(found.contains(
        &"error: floating x interface dmz: there is no interface dmz: set interface dmz device".to_string()
    ));
}

#[test]
fn a_floating_address_outside_the_nodes_subnets_is_refused_unless_it_is_routed_to_us() {
    expect(
        after(|c| add_floating(c, "x", "9.9.9.9/24", "public")),
        &[
            "error: floating x address 9.9.9.9/24: node primary has no address in a subnet of it on interface public: set one, or use prefix length 32",
            "error: floating x address 9.9.9.9/24: node backup has no address in a subnet of it on interface public: set one, or use prefix length 32",
        ],
    );
    let found = after(|c| {
        add_floating(c, "x", "9.9.9.9/32", "public");
        c.backup = None;
    });
    expect(
        found,
        &[
            "warning: floating x address 9.9.9.9/32: node primary has no address in a subnet of it on interface public: the routers must have a route to it",
        ],
    );
    assert_eq!(after(|c| add_floating(c, "x", "192.168.1.77/24", "public")).len(), 2);
}

#[test]
fn a_floating_address_must_be_a_hosts() {
    expect(
        after(|c| add_floating(c, "x", "1.2.3.255/24", "public")),
        &[
            "error: floating x address 1.2.3.255/24: is the broadcast address of its network: use a host's address",
        ],
    );
}

#[test]
fn a_label_belongs_to_its_device_is_unique_and_ipv4_only() {
    for bad in ["eth1:1", "eth0", "eth0:", "eth01:1"] {
        let found = after(|c| floating(c, "vs1").label = Some(bad.parse().unwrap()));
        let line = format!(
            "error: floating vs1 label {bad}: must begin with the interface's device and a colon: eth0:1"
        );
        assert!(found.contains(&line), "{found:?}");
    }
    let found = after(|c| {
        add_floating(c, "x", "1.2.3.9/24", "public");
        floating(c, "x").label = Some("eth0:1".parse().unwrap());
    });
    expect(found, &["error: floating x label eth0:1: is the label of floating vs1 already: choose another"]);
    let found = after(|c| {
        add_floating(c, "x", "2001:db8::1/128", "public");
        floating(c, "x").label = Some("eth0:6".parse().unwrap());
    });
    assert!(
        found.contains(
            &"error: floating x label eth0:6: IPv6 addresses have no labels: delete it".to_string()
        )
    );
}

#[test]
fn a_route_needs_a_reachable_next_hop() {
    let route = |c: &mut Config, to: &str, via: Option<&str>| {
        let via = via.map(|v| v.parse().unwrap());
        c.routes.insert(to.parse().unwrap(), Route { via, metric: 0 });
    };
    expect(after(|c| route(c, "0.0.0.0/0", Some("1.2.3.254"))), &[]);
    expect(
        after(|c| route(c, "0.0.0.0/0", None)),
        &["error: route 0.0.0.0/0 via: missing: set route 0.0.0.0/0 via with the address of the next router"],
    );
    expect(
        after(|c| route(c, "10.0.0.0/8", Some("9.9.9.9"))),
        &[
            "error: route 10.0.0.0/8 via 9.9.9.9: is in no subnet that node primary is connected to",
            "error: route 10.0.0.0/8 via 9.9.9.9: is in no subnet that node backup is connected to",
        ],
    );
    expect(
        after(|c| route(c, "::/0", Some("1.2.3.254"))),
        &["error: route ::/0 via 1.2.3.254: is not of the address family of the destination"],
    );
    expect(
        after(|c| route(c, "10.0.0.1/8", Some("1.2.3.254"))),
        &["error: route 10.0.0.1/8: has bits set beyond its prefix: write 10.0.0.0/8"],
    );
    expect(
        after(|c| route(c, "10.0.0.0/8", Some("224.0.0.1"))),
        &[
            "error: route 10.0.0.0/8 via 224.0.0.1: is a multicast address: use the address of the next router",
        ],
    );
}

#[test]
fn masquerading_needs_a_source_network_out_and_forwarding() {
    let found = after(|c| {
        let rule = c.masquerade.get_mut(&name("private")).unwrap();
        (rule.source, rule.out) = (None, None);
    });
    expect(
        found,
        &[
            "error: masquerade private source: missing: set masquerade private source with the network of the real servers, for example 192.168.1.0/24",
            "error: masquerade private out: missing: set masquerade private out with the interface that the connections leave by",
        ],
    );
    let found = after(|c| {
        let rule = c.masquerade.get_mut(&name("private")).unwrap();
        rule.source = Some("2001:db8::1/64".parse().unwrap());
        rule.out = Some(name("dmz"));
    });
    expect(
        found,
        &[
            "error: masquerade private source 2001:db8::1/64: has bits set beyond its prefix: write 2001:db8::/64",
            "error: masquerade private source 2001:db8::1/64: nothing is forwarded: set forwarding ipv6 on",
            "error: masquerade private out dmz: there is no interface dmz: set interface dmz device",
        ],
    );
}

#[test]
fn a_real_server_needs_the_address_of_a_host() {
    let found = after(|c| c.real_servers.get_mut(&name("rs2")).unwrap().address = None);
    expect(found, &["error: real-server rs2 address: missing: set real-server rs2 address"]);
    for (address, why) in [
        ("224.0.0.1", "is a multicast address"),
        ("0.0.0.0", "is the unspecified address"),
        ("127.0.0.1", "is a loopback address"),
        ("255.255.255.255", "is the broadcast address"),
        ("192.168.1.255", "is the broadcast address of a connected network"),
        ("::1", "is a loopback address"),
        ("fe80::1", "is a link-local address"),
    ] {
        let found = after(|c| server(c, "x", address));
        expect(found, &[&format!("error: real-server x address {address}: {why}: use a host's address")]);
    }
}

#[test]
fn a_pool_names_known_servers_of_one_family() {
    let found = after(|c| {
        web(c).servers.insert(name("rs9"), Member::default());
    });
    expect(found, &["error: pool web server rs9: there is no such real server: set real-server rs9 address"]);
    let found = after(|c| {
        server(c, "rs2", "2001:db8::4");
        c.forwarding.ipv6 = true;
    });
    expect(
        found,
        &[
            "error: pool web server rs2: rs1 has an IPv4 address and rs2 an IPv6 address; only tunnels can mix them: use two pools",
            "error: service web address vs1: 1.2.3.1 cannot be served by pool web: its server rs2 has an IPv6 address",
        ],
    );
    let found = after(|c| {
        web(c).forward = Forward::Tunnel;
        server(c, "rs2", "2001:db8::4");
    });
    expect(found, &[]);
}

#[test]
fn a_pool_that_takes_no_connections_is_a_warning() {
    let found = after(|c| web(c).servers.values_mut().for_each(|m| m.weight = 0));
    expect(found, &["warning: pool web server: all weights are 0: no server takes connections"]);
    let found = after(|c| web(c).servers.clear());
    expect(found, &["warning: pool web server: the pool has no servers: set pool web server"]);
}

#[test]
fn check_times_fit_into_each_other() {
    let found = after(|c| web(c).timeout = Millis::from_secs(3));
    expect(
        found,
        &[
            "error: pool web timeout 3s: is longer than the interval of 2s, so that checks would overlap: shorten it",
        ],
    );
    let found = after(|c| web(c).dead_time = Some(Millis::new(2999)));
    expect(
        found,
        &[
            "error: pool web dead-time 2999ms: is shorter than interval and timeout together, so that a good server could be given up between two checks: use at least 3s",
        ],
    );
    expect(after(|c| web(c).dead_time = Some(Millis::from_secs(3))), &[]);
    let found = after(|c| (web(c).interval, web(c).timeout) = (Millis::new(0), Millis::new(0)));
    expect(
        found,
        &[
            "error: pool web interval: must be longer than 0",
            "error: pool web timeout: must be longer than 0",
        ],
    );
    let found = after(|c| (web(c).rise, web(c).fall) = (0, 0));
    expect(found, &["error: pool web rise: must be at least 1", "error: pool web fall: must be at least 1"]);
    // Without a check the times mean nothing.
    let found = after(|c| {
        (web(c).check, web(c).http) = (CheckKind::None, None);
        web(c).timeout = Millis::from_secs(3);
    });
    expect(found, &[]);
}

#[test]
fn http_details_are_checked() {
    expect(
        after(|c| web(c).check = CheckKind::Tcp),
        &["warning: pool web http: has no effect: set pool web check http, or delete it"],
    );
    expect(
        after(|c| web(c).http.as_mut().unwrap().path = "health".parse().unwrap()),
        &["error: pool web http path health: must begin with /"],
    );
    expect(after(|c| web(c).check_port = Some(0)), &["error: pool web check-port: must be 1 to 65535"]);
}

#[test]
fn weights_and_ports_are_in_range() {
    let member = |c: &mut Config, weight, port| {
        web(c).servers.insert(name("rs1"), Member { weight, port, ..Member::default() });
    };
    expect(
        after(|c| member(c, 65_536, Some(0))),
        &[
            "error: pool web server rs1 weight 65536: must be 0 to 65535",
            "error: pool web server rs1 port 0: must be 1 to 65535",
        ],
    );
    let found = after(|c| service(c).ports = [0].into_iter().collect());
    expect(found, &["error: service web port 0: must be 1 to 65535"]);
}

#[test]
fn direct_routing_and_tunnels_cannot_change_the_port() {
    for (forward, how) in [(Forward::Direct, "direct routing"), (Forward::Tunnel, "a tunnel")] {
        let found = after(|c| {
            web(c).forward = forward;
            web(c).servers.insert(name("rs2"), Member { port: Some(8080), ..Member::default() });
        });
        let line = format!(
            "error: service web pool web: {how} cannot change the port, but server rs2 of the pool has port 8080: delete pool web server rs2 port"
        );
        expect(found, &[&line]);
    }
    let found = after(|c| {
        web(c).forward = Forward::Direct;
        web(c).servers.insert(name("rs2"), Member { port: Some(80), ..Member::default() });
    });
    expect(found, &[]);
}

#[test]
fn a_service_needs_address_port_and_pool_that_exist() {
    let found = after(|c| {
        let web = service(c);
        (web.addresses, web.ports) = Default::default();
        web.pool = Some(name("nope"));
    });
    expect(
        found,
        &[
            "error: service web address: missing: set service web address with the name of a floating address",
            "error: service web port: missing: set service web port",
            "error: service web pool nope: there is no pool nope: set pool nope server",
            "warning: pool web: no service uses this pool",
        ],
    );
    let found = after(|c| service(c).addresses = [name("vs9")].into_iter().collect());
    expect(
        found,
        &["error: service web address vs9: there is no floating address vs9: set floating vs9 address"],
    );
}

#[test]
fn two_services_on_one_address_and_port_are_both_named() {
    let found = after(|c| {
        let second = service(c).clone();
        c.services.insert(name("shop"), second);
    });
    expect(
        found,
        &[
            "error: service web address vs1: 1.2.3.1 port 80 is served by service shop and by service web: change one",
        ],
    );
    let found = after(|c| service(c).ports = [80, 80].into_iter().collect());
    expect(
        found,
        &["error: service web address vs1: 1.2.3.1 port 80 is listed twice in this service: delete one"],
    );
    let found = after(|c| {
        let mut second = service(c).clone();
        second.protocol = crate::model::config::Protocol::Udp;
        c.services.insert(name("shop"), second);
    });
    expect(found, &[]);
}

#[test]
fn nat_needs_forwarding() {
    let found = after(|c| {
        c.forwarding.ipv4 = false;
        c.masquerade.clear();
    });
    expect(
        found,
        &["error: forwarding ipv4: service web forwards by nat and needs it: set forwarding ipv4 on"],
    );
    let found = after(|c| {
        c.forwarding.ipv4 = false;
        c.masquerade.clear();
        web(c).forward = Forward::Direct;
    });
    expect(found, &[]);
}

#[test]
fn persistence_is_whole_seconds() {
    for bad in [0, 999, 1500] {
        let span = Millis::new(bad);
        let found = after(|c| service(c).persistence = Some(span));
        let line = format!(
            "error: service web persistence {span}: the kernel counts whole seconds, at least 1s: delete it to switch persistence off"
        );
        expect(found, &[&line]);
    }
    expect(after(|c| service(c).persistence = Some(Millis::from_secs(1))), &[]);
}

#[test]
fn a_floating_address_no_service_uses_is_fine_as_a_router() {
    expect(after(|c| add_floating(c, "router2", "192.168.1.253/24", "private")), &[]);
}
