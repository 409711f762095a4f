//! An outside that lends its address (the topology of the fifth seed), and kernel parameters that come and go.

use director_core::cli::parse_set_lines;
use director_core::director::protocol::{CommitOptions, Request};
use director_core::plan::Op;
use director_core::store::Generation;
use director_sim::lender::Lender;
use director_sim::world::{Server, World};
use std::net::Ipv4Addr;

const DHCP_OUTSIDE: &str = include_str!("../../../qemu/scenarios/dhcp-outside.set");

fn lender(last: u8) -> Lender {
    let on = |last| Ipv4Addr::new(202, 39, 145, last);
    Lender { address: on(last), prefix: 26, router: on(129), lease_s: 600 }
}

/// A running director with a lease and two good servers.
fn running() -> World {
    let mut world = World::new().with_config(parse_set_lines(DHCP_OUTSIDE).expect("the scenario is valid"));
    world.kernel.state.links.get_mut(&"eth0".parse().unwrap()).unwrap().mac = [0x52, 0x54, 0, 0, 0, 1];
    world.dhcp = Some(lender(156));
    for last in [18, 28] {
        world.servers.insert(([192, 168, 10, last], 80).into(), Server::Good);
    }
    world.start();
    world.run_ms(3000);
    assert!(addresses(&world).contains(&"202.39.145.156/26".to_string()), "{:?}", world.log);
    world
}

fn addresses(world: &World) -> Vec<String> {
    let outside = world.kernel.state.addresses.keys().filter(|k| k.device.as_str() == "eth0");
    outside.map(|k| k.cidr.to_string()).collect()
}

fn router(world: &World) -> Option<String> {
    let routes = world.kernel.state.routes.iter();
    routes.filter(|(key, _)| key.to.prefix() == 0).map(|(_, spec)| spec.via.to_string()).next()
}

fn operations(world: &World, before: usize) -> Vec<&Op> {
    let ops = world.ops[before..].iter().map(|(_, op)| op);
    ops.filter(|op| !matches!(op, Op::Announce { .. })).collect()
}

#[test]
fn the_outside_gets_the_lent_address_and_the_router() {
    let mut world = running();
    assert_eq!(addresses(&world), ["202.39.145.146/26", "202.39.145.156/26"]);
    assert_eq!(router(&world).as_deref(), Some("202.39.145.129"));
    let before = world.ops.len();
    world.run_ms(3_600_000);
    assert_eq!(operations(&world, before), Vec::<&Op>::new(), "a renewal changed the kernel");
}

#[test]
fn a_restarted_director_keeps_the_lease_without_an_operation() {
    let mut world = running();
    let before = world.ops.len();
    world.dhcp = None;
    world.kill_director();
    world.start();
    world.run_ms(200_000);
    assert_eq!(operations(&world, before), Vec::<&Op>::new());
}

#[test]
fn another_address_under_a_running_service_costs_no_connection_of_the_floating_one() {
    let mut world = running();
    world.kernel.connect_everywhere();
    let connections = world.kernel.connections.clone();
    assert!(!connections.is_empty());
    world.dhcp = Some(lender(157));
    let limit_ms = 310_000;
    world.run_while_not(limit_ms, |w| addresses(w).contains(&"202.39.145.157/26".into())).expect("no change");
    world.run_ms(1000);
    assert_eq!(addresses(&world), ["202.39.145.146/26", "202.39.145.157/26"]);
    assert_eq!(world.kernel.connections, connections);
}

#[test]
fn a_lease_that_nobody_prolongs_ends_in_time() {
    let mut world = running();
    world.dhcp = None;
    world.run_ms(590_000);
    assert!(addresses(&world).contains(&"202.39.145.156/26".into()), "given up early");
    world.run_ms(12_000);
    assert_eq!(addresses(&world), ["202.39.145.146/26"]);
    assert_eq!(router(&world), None);
    world.dhcp = Some(lender(156));
    world.run_ms(90_000);
    assert_eq!(addresses(&world), ["202.39.145.146/26", "202.39.145.156/26"]);
}

#[test]
fn a_kernel_parameter_goes_back_to_what_it_was() {
    const NAME: &str = "net.ipv4.vs.sloppy_tcp";
    let mut world = running();
    world.kernel.state.sysctls.insert(NAME.into(), "0".into());
    world.run_ms(20_000);
    let mut commit = |lines: &str, base: u64| {
        let config = parse_set_lines(&format!("{DHCP_OUTSIDE}{lines}")).unwrap();
        let request = Request::Commit { base: Generation(base), config, options: CommitOptions::default() };
        world.ask(request);
        world.run_ms(2000);
        world.kernel.state.sysctls[NAME].clone()
    };
    assert_eq!(commit(&format!("set sysctl {NAME} value 1\n"), 1), "1");
    assert_eq!(commit("", 2), "0");
}

#[test]
fn the_scenarios_have_nothing_that_stops_a_commit() {
    let members = "set real-server rs1 address 10.10.5.1\nset pool ssh server rs1\n";
    let one_armed = include_str!("../../../qemu/scenarios/one-armed.set");
    for text in [DHCP_OUTSIDE.to_string(), format!("{one_armed}{members}")] {
        let found = director_core::model::validate::validate(&parse_set_lines(&text).unwrap());
        assert_eq!(found, []);
    }
}
