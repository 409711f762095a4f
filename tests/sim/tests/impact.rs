//! What a commit says that it costs, and when it asks first.

use director_core::cli::parse_set_lines;
use director_core::director::impact::{Impact, Lost};
use director_core::director::protocol::{CommitOptions, Reply, Request};
use director_core::model::Config;
use director_core::store::Generation;
use director_sim::world::{Server, World};
use std::net::SocketAddr;

const FIVE_NODE: &str = include_str!("../../../qemu/scenarios/five-node.set");

fn config() -> Config {
    parse_set_lines(FIVE_NODE).expect("the scenario is valid")
}

/// rs1 is healthy with connections, rs2 and rs3 are dead.
fn running() -> World {
    let mut world = World::new().with_config(config());
    world.servers.insert(SocketAddr::from(([192, 168, 1, 3], 80)), Server::Good);
    world.start();
    world.run_ms(60_000);
    let service = world.kernel.state.services.values_mut().next().unwrap();
    let dest = service.dests.values_mut().next().unwrap();
    (dest.active, dest.inactive, dest.persistent) = (5, 2, 1);
    world.notify();
    world.run_ms(1000);
    world
}

fn without(server: &str) -> Config {
    let mut config = config();
    config.pools.get_mut(&"web".parse().unwrap()).unwrap().servers.remove(&server.parse().unwrap());
    config
}

fn check(world: &mut World, config: Config) -> Impact {
    world.ask(Request::Check(config));
    world.run_ms(10);
    let Some(Reply::Checked { impact, .. }) = world.replies.last() else { panic!("{:?}", world.replies) };
    impact.clone()
}

fn commit(world: &mut World, config: Config, agreed: bool) -> Reply {
    let options = CommitOptions { agreed, ..CommitOptions::default() };
    world.ask(Request::Commit { base: Generation(1), config, options });
    world.run_ms(100);
    world.replies.last().unwrap().clone()
}

#[test]
fn removing_the_last_healthy_server_says_what_it_costs_and_is_done_only_when_agreed_to() {
    let mut world = running();
    let impact = check(&mut world, without("rs1"));
    let (service, have) = world.kernel.state.services.iter().next().unwrap();
    let dest = *have.dests.keys().next().unwrap();
    let lost = Lost { service: *service, dest: Some(dest), active: 5, inactive: 2, persistent: 1 };
    let web = || "web".parse().unwrap();
    let expected = Impact {
        lost: vec![lost],
        connections: 7,
        clients: 1,
        leaving: vec![(web(), "rs1".parse().unwrap())],
        leaving_count: 1,
        emptied: vec![web()],
        emptied_count: 1,
        deleted_in_use: 0,
    };
    assert_eq!(impact, expected);
    let begin = world.ops.len();
    assert_eq!(commit(&mut world, without("rs1"), false), Reply::Harmful { impact: expected });
    assert_eq!(world.ops.len(), begin, "nothing was done");
    assert!(matches!(commit(&mut world, without("rs1"), true), Reply::Committed { .. }));
}

#[test]
fn removing_a_dead_server_costs_nothing_and_asks_nothing() {
    let mut world = running();
    assert_eq!(check(&mut world, without("rs2")), Impact::default());
    assert!(matches!(commit(&mut world, without("rs2"), false), Reply::Committed { .. }));
}

#[test]
fn a_service_with_established_connections_is_deleted_only_when_agreed_to() {
    let mut world = running();
    let mut config = config();
    config.services.clear();
    let impact = check(&mut world, config.clone());
    assert_eq!((impact.connections, impact.deleted_in_use, impact.emptied_count), (7, 1, 0));
    assert!(matches!(commit(&mut world, config.clone(), false), Reply::Harmful { .. }));
    let service = world.kernel.state.services.values_mut().next().unwrap();
    service.dests.values_mut().next().unwrap().active = 0;
    world.notify();
    world.run_ms(1000);
    assert!(matches!(commit(&mut world, config, false), Reply::Committed { .. }));
}

#[test]
fn a_weight_of_zero_for_the_last_healthy_server_and_another_address_of_it_are_asked_about() {
    let mut world = running();
    let mut quiet = config();
    let pool = quiet.pools.get_mut(&"web".parse().unwrap()).unwrap();
    pool.servers.get_mut(&"rs1".parse().unwrap()).unwrap().weight = 0;
    let impact = check(&mut world, quiet);
    assert_eq!((impact.connections, impact.emptied_count), (0, 1));
    let mut moved = config();
    moved.real_servers.get_mut(&"rs1".parse().unwrap()).unwrap().address =
        Some("192.168.1.9".parse().unwrap());
    let impact = check(&mut world, moved);
    assert_eq!((impact.connections, impact.emptied_count), (7, 1));
}
