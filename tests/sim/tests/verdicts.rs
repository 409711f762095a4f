//! What a pool decides as a whole, as the kernel gets to see it.

use director_core::cli::parse_set_lines;
use director_core::director::protocol::{CommitOptions, Request};
use director_core::model::Millis;
use director_core::store::Generation;
use director_sim::world::{Server, World};
use std::net::SocketAddr;

const FIVE_NODE: &str = include_str!("../../../qemu/scenarios/five-node.set");
/// Down at the first failure, back at the first good answer.
const QUICK: &str = "set pool web fall 1\nset pool web on-failure quiesce\n";

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 168, 1, last], 80))
}

fn running(settings: &str) -> World {
    let slow = ["dead-time", "reentry", "on-failure"].map(|word| format!("set pool web {word}"));
    let base: String = FIVE_NODE
        .lines()
        .filter(|line| !slow.iter().any(|start| line.starts_with(start)))
        .map(|line| format!("{line}\n"))
        .collect();
    let text = base + QUICK + settings;
    let mut world = World::new().with_config(parse_set_lines(&text).unwrap());
    for last in 3..6 {
        world.servers.insert(address(last), Server::Good);
    }
    world.start();
    world.run_ms(3000);
    assert_eq!(weights(&world), [2000, 1000, 1000]);
    world
}

fn weights(world: &World) -> Vec<u32> {
    let service = world.kernel.state.services.values().next().unwrap();
    service.dests.values().map(|d| d.spec.weight).collect()
}

#[test]
fn without_its_quorum_a_pool_gives_way_to_its_fall_back_and_keeps_its_connections() {
    let mut world = running("set pool web quorum 2\nset pool web sorry-page Back\\ssoon\n");
    world.kernel.connect_everywhere();
    let connections = world.kernel.connections.clone();
    world.servers.insert(address(3), Server::Refuses);
    world.servers.insert(address(4), Server::Refuses);
    world.run_ms(5000);
    assert_eq!(weights(&world), [1, 0, 0, 0], "the box itself, and three quiesced");
    let operations = world.ops.len();
    world.kill_director();
    world.start();
    world.run_ms(5000);
    assert_eq!(world.ops[operations..], [], "a restart changes nothing");
    world.servers.insert(address(4), Server::Good);
    world.run_ms(5000);
    assert_eq!(weights(&world), [0, 1000, 1000]);
    assert_eq!(world.kernel.connections, connections);
}

#[test]
fn in_panic_all_servers_keep_their_weights() {
    let mut world = running("set pool web panic-threshold 50\n");
    world.servers.insert(address(3), Server::Refuses);
    world.run_ms(5000);
    assert_eq!(weights(&world), [0, 1000, 1000]);
    world.servers.insert(address(4), Server::Refuses);
    world.run_ms(5000);
    assert_eq!(weights(&world), [2000, 1000, 1000]);
    assert!(world.log.iter().any(|(_, line)| line.contains("all are kept")), "{:?}", world.log);
}

#[test]
fn a_returning_server_grows_to_its_weight_and_a_restart_on_the_way_changes_nothing() {
    let mut world = running("set pool web slow-start 100s\n");
    world.servers.insert(address(3), Server::Refuses);
    world.run_ms(5000);
    world.servers.insert(address(3), Server::Good);
    world.run_ms(5000);
    assert_eq!(weights(&world), [181, 1000, 1000]);
    world.run_ms(50_000);
    let half = weights(&world);
    assert!((900..1300).contains(&half[0]), "{half:?}");
    let operations = world.ops.len();
    world.kill_director();
    world.start();
    world.run_ms(1000);
    assert_eq!((weights(&world), &world.ops[operations..]), (half, &[][..]));
    world.run_ms(60_000);
    assert_eq!(weights(&world), [2000, 1000, 1000]);
}

#[test]
fn a_server_out_for_long_leaves_the_table() {
    let mut world = running("set pool web remove-after 30s\n");
    world.servers.insert(address(3), Server::Refuses);
    world.run_ms(20_000);
    assert_eq!(weights(&world), [0, 1000, 1000]);
    world.run_ms(20_000);
    assert_eq!(weights(&world), [1000, 1000]);
    world.servers.insert(address(3), Server::Good);
    world.run_ms(5000);
    assert_eq!(weights(&world), [2000, 1000, 1000]);
}

/// Verdicts wait a little for each other, and a checkpoint that was made meanwhile for another reason took them for acted on.
#[test]
fn a_checkpoint_of_something_else_does_not_make_a_verdict_wait() {
    let settings = "set pool web interval 100ms\nset pool web timeout 100ms\n";
    let mut world = running(settings);
    let mut changed = world.flash[&Generation(1)].1.clone();
    let ask = |world: &mut World, base, config| {
        let options = CommitOptions { confirm: Some(Millis::from_secs(60)), ..CommitOptions::default() };
        world.ask(Request::Commit { base: Generation(base), config, options });
    };
    let web = changed.pools.get_mut(&"web".parse().unwrap()).unwrap();
    web.servers.values_mut().last().unwrap().weight = 900;
    ask(&mut world, 1, changed.clone());
    world.run_ms(1000);
    world.servers.insert(address(3), Server::Refuses);
    world.run_while_not(1000, |world| weights(world)[0] == 0).expect("the first leaves");
    world.servers.insert(address(4), Server::Refuses);
    for _ in 0..200 {
        ask(&mut world, 2, changed.clone());
        world.run_ms(1);
    }
    assert_eq!(weights(&world), [0, 0, 900]);
}
