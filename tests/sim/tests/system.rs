//! When the boot loader is told that a system works, and who sets the clock.

use director_core::cli::parse_set_lines;
use director_core::director::protocol::{Reply, Request};
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

#[test]
fn a_time_server_sets_the_clock_and_its_silence_is_an_alarm() {
    let config = parse_set_lines("set system time-server 192.0.2.1").unwrap();
    let mut world = World::new().with_config(config);
    world.start();
    world.run_ms(700_000);
    assert_eq!(world.clock_set, []);
    assert!(alarms(&mut world).iter().any(|alarm| alarm.contains("no time server tells the time")));
    world.epoch_s = Some(1_790_000_000);
    // Silence is asked again after at most 17 minutes.
    world.run_ms(1_100_000);
    let [set] = world.clock_set[..] else { panic!("{:?}", world.clock_set) };
    assert!((1_790_000_700_000_000..1_790_001_900_000_000).contains(&set), "{set}");
    assert_eq!(alarms(&mut world), Vec::<String>::new());
    assert!(world.log.iter().any(|(_, line)| line == "the clock is set by 192.0.2.1"), "{:?}", world.log);
}

fn alarms(world: &mut World) -> Vec<String> {
    world.ask(Request::Status);
    world.run_ms(100);
    let Some(Reply::Status(status)) = world.replies.last() else { panic!("{:?}", world.replies.last()) };
    status.alarms.clone()
}
