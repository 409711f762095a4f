use super::*;
use crate::cli::testing::FIVE_NODES;
use crate::cli::text::{export_set_lines, parse_set_lines};
use crate::model::limits;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

fn text<T: core::str::FromStr<Err: fmt::Debug> + fmt::Debug>(
    pattern: &'static str,
) -> impl Strategy<Value = T> {
    pattern.prop_map(|t: String| t.parse().unwrap())
}

fn name() -> impl Strategy<Value = Name> {
    text("[a-z0-9][a-zA-Z0-9._-]{0,31}")
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

fn cidr() -> impl Strategy<Value = Cidr> {
    (ip(), 0_u8..=128).prop_map(|(ip, n)| Cidr::new(ip, if ip.is_ipv4() { n % 33 } else { n }).unwrap())
}

fn span(min: u32, max: u32) -> impl Strategy<Value = Millis> {
    (min..=max).prop_map(Millis::new)
}

/// In any order, without repetition, as typing them gives.
fn few<T: Clone + PartialEq + fmt::Debug, const N: usize>(
    one: impl Strategy<Value = T>,
) -> impl Strategy<Value = heapless::Vec<T, N>> {
    vec(one, 0..=N).prop_map(|values| {
        let mut out = heapless::Vec::new();
        values.into_iter().for_each(|v| {
            if !out.contains(&v) {
                out.push(v).unwrap();
            }
        });
        out
    })
}

fn node() -> impl Strategy<Value = NodeConfig> {
    let addresses = btree_map(name(), few::<_, { limits::NODE_ADDRESSES }>(cidr()), 0..3);
    (option::of(text("[a-z0-9][a-z0-9.-]{0,63}")), addresses)
        .prop_map(|(hostname, addresses)| NodeConfig { hostname, addresses })
}

fn pool() -> impl Strategy<Value = Pool> {
    let http =
        (text("/[!#-&(-\\[\\]-~]{0,200}"), option::of(text("[a-z.]{1,30}")), 100_u16..=599, 0_u16..=100)
            .prop_map(|(path, host, first, more)| HttpCheck {
                path,
                host,
                status: (first, (first + more).min(599)),
            });
    let forward = prop_oneof![Just(Forward::Nat), Just(Forward::Direct), Just(Forward::Tunnel)];
    let check = prop_oneof![Just(CheckKind::Tcp), Just(CheckKind::Http), Just(CheckKind::None)];
    let member =
        (0..=limits::WEIGHT_MAX, option::of(1_u16..)).prop_map(|(weight, port)| Member { weight, port });
    let what = (forward, check, option::of(1_u16..), option::of(http), any::<bool>());
    let when = (
        span(50, 86_400_000),
        span(10, 600_000),
        1_u8..,
        1_u8..,
        option::of(span(100, 86_400_000)),
        span(0, 86_400_000),
    );
    (what, when, btree_map(name(), member, 0..4)).prop_map(|(what, when, servers)| Pool {
        forward: what.0,
        check: what.1,
        check_port: what.2,
        http: what.3,
        on_failure: if what.4 { OnFailure::Remove } else { OnFailure::Quiesce },
        interval: when.0,
        timeout: when.1,
        rise: when.2,
        fall: when.3,
        dead_time: when.4,
        reentry: when.5,
        servers,
    })
}

fn service() -> impl Strategy<Value = Service> {
    let scheduler = (0..Scheduler::ALL.len()).prop_map(|i| Scheduler::ALL[i].0);
    let persistence = option::of((1_u32..=2_678_400).prop_map(Millis::from_secs));
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    (few(name()), protocol, few(1_u16..), scheduler, persistence, option::of(name())).prop_map(
        |(addresses, protocol, ports, scheduler, persistence, pool)| Service {
            addresses,
            protocol,
            ports,
            scheduler,
            persistence,
            pool,
        },
    )
}

fn config() -> impl Strategy<Value = Config> {
    let interface = (option::of(text("[a-z][a-z0-9.]{0,14}")), option::of(576_u16..=9216))
        .prop_map(|(device, mtu)| Interface { device, mtu });
    let floating = (option::of(cidr()), option::of(name()), option::of(text("[a-z][a-z0-9:]{0,14}")))
        .prop_map(|(address, interface, label)| Floating { address, interface, label });
    let route = (option::of(ip()), any::<u32>()).prop_map(|(via, metric)| Route { via, metric });
    let masquerade = (option::of(cidr().prop_map(Cidr::network)), option::of(name()))
        .prop_map(|(source, out)| Masquerade { source, out });
    let forwarding =
        any::<[bool; 3]>().prop_map(|[ipv4, ipv6, defragment]| Forwarding { ipv4, ipv6, defragment });
    let cluster = (1_u16.., span(10, 60_000), span(20, 3_600_000)).prop_map(|(port, interval, dead_time)| {
        Cluster { heartbeat_port: port, heartbeat_interval: interval, dead_time }
    });
    let box_part = (node(), option::of(node()), btree_map(name(), interface, 0..3), cluster, forwarding);
    let net_part = (
        btree_map(name(), floating, 0..4),
        btree_map(cidr().prop_map(Cidr::network), route, 0..4),
        btree_map(name(), masquerade, 0..3),
    );
    let real = option::of(ip()).prop_map(|address| RealServer { address });
    let serve_part =
        (btree_map(name(), real, 0..5), btree_map(name(), pool(), 0..4), btree_map(name(), service(), 0..4));
    (box_part, net_part, serve_part).prop_map(|(b, n, s)| Config {
        primary: b.0,
        backup: b.1,
        interfaces: b.2,
        cluster: b.3,
        forwarding: b.4,
        floating: n.0,
        routes: n.1,
        masquerade: n.2,
        real_servers: s.0,
        pools: s.1,
        services: s.2,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_configuration_survives_the_tree_and_the_text(config in config()) {
        let tree = to_tree(&config);
        prop_assert_eq!(to_config(&tree), Ok(config.clone()));
        let text = export_set_lines(&config);
        prop_assert!(text.lines().all(|l| l.len() < crate::cli::editor::LINE_BYTES));
        prop_assert_eq!(parse_set_lines(&text), Ok(config));
        let (again, errors) = crate::cli::text::parse_tree(&text);
        prop_assert_eq!(errors, Vec::new());
        prop_assert_eq!(again, tree);
    }
}

#[test]
fn the_tables_defaults_are_those_of_the_configuration() {
    assert_eq!(to_tree(&Config::default()), Tree::default());
    assert_eq!(to_config(&Tree::default()), Ok(Config::default()));
    let config = parse_set_lines("set pool p server s\nset service s").unwrap();
    let pool = config.pools.values().next().unwrap();
    assert_eq!(pool.servers.values().next(), Some(&Member::default()));
    assert_eq!(pool, &Pool { servers: pool.servers.clone(), ..Pool::default() });
    assert_eq!(config.services.values().next(), Some(&Service::default()));
}

#[test]
fn every_scheduler_of_the_model_is_in_the_table() {
    for (scheduler, name) in Scheduler::ALL {
        let config = parse_set_lines(&alloc::format!("set service s scheduler {name}")).unwrap();
        assert_eq!(config.services.values().next().unwrap().scheduler, scheduler);
    }
}

#[test]
fn the_five_node_example_means_what_it_says() {
    let config = parse_set_lines(FIVE_NODES).unwrap();
    let pool = &config.pools[&"web".parse().unwrap()];
    assert_eq!(pool.dead_time, Some(Millis::from_secs(10)));
    assert_eq!(pool.servers[&"rs1".parse().unwrap()].weight, 2000);
    assert_eq!(config.backup.unwrap().hostname.unwrap().as_str(), "lvs2");
}
