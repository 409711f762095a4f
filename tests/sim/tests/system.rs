//! When the boot loader is told that a system works.

use director_core::cli::parse_set_lines;
use director_core::upgrade::environment::Slot;
use director_core::upgrade::running::Running;
use director_sim::world::{Server, World};
use std::net::SocketAddr;

const FIVE_NODE: &str = include_str!("../../../qemu/scenarios/five-node.set");
const PLAIN: Running = Running { slot: Slot::A, trial: false, rescue: false };
const TRIAL: Running = Running { slot: Slot::B, trial: true, rescue: false };

/// The five-node cluster, started by the boot loader.
fn world(running: Option<Running>) -> World {
    let mut world = World::new().with_config(parse_set_lines(FIVE_NODE).unwrap());
    for last in 3..6 {
        world.servers.insert(SocketAddr::from(([192, 168, 1, last], 80)), Server::Good);
    }
    world.running = running;
    world
}

fn proven(world: &World) -> Vec<Running> {
    world.proven.iter().map(|(_, running)| *running).collect()
}

#[test]
fn a_system_on_trial_proves_itself_once_when_all_is_at_rest() {
    let mut world = world(Some(TRIAL));
    world.start();
    world.run_ms(120_000);
    assert_eq!(proven(&world), [TRIAL]);
}

#[test]
fn a_system_on_trial_proves_nothing_while_the_kernel_refuses_something() {
    let mut world = world(Some(TRIAL));
    world.refuse = Some(|_| true);
    world.start();
    world.run_ms(300_000);
    assert_eq!(proven(&world), []);
    world.refuse = None;
    world.run_ms(60_000);
    assert_eq!(proven(&world), [TRIAL]);
}

#[test]
fn a_system_that_is_not_on_trial_only_has_to_keep_running() {
    let mut world = world(Some(PLAIN));
    world.refuse = Some(|_| true);
    world.start();
    world.run_ms(50_000);
    assert_eq!(proven(&world), []);
    world.run_ms(20_000);
    assert_eq!(proven(&world), [PLAIN]);
}

#[test]
fn without_a_boot_loader_nothing_is_told() {
    let mut world = world(None);
    world.start();
    world.run_ms(120_000);
    assert_eq!(proven(&world), []);
}
