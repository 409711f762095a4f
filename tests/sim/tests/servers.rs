//! Runtime actions on servers.

use director_core::cli::parse_set_lines;
use director_core::director::protocol::{CommitOptions, Maintenance, Reply, Request, ServerAction};
use director_core::health::State;
use director_core::model::Millis;
use director_core::overrides::Forced;
use director_core::store::Generation;
use director_sim::world::{Server, World};
use std::net::SocketAddr;

const FIVE_NODE: &str = include_str!("../../../qemu/scenarios/five-node.set");

fn running() -> World {
    let mut world = World::new().with_config(parse_set_lines(FIVE_NODE).unwrap());
    for last in 3..6 {
        world.servers.insert(SocketAddr::from(([192, 168, 1, last], 80)), Server::Good);
    }
    world.start();
    world.run_ms(1000);
    assert_eq!(weights(&world), [2000, 1000, 1000]);
    world
}

fn weights(world: &World) -> Vec<u32> {
    let service = world.kernel.state.services.values().next().unwrap();
    service.dests.values().map(|d| d.spec.weight).collect()
}

fn act(world: &mut World, server: &str, forced: Forced, lasts: Option<u32>, agreed: bool) -> Reply {
    let lasts = lasts.map(Millis::from_secs);
    let ask = ServerAction {
        server: server.parse().unwrap(),
        pool: None,
        forced,
        lasts,
        persistent: false,
        agreed,
    };
    world.ask(Request::Server(ask));
    world.run_ms(100);
    world.replies.last().unwrap().clone()
}

#[test]
fn a_drained_server_keeps_its_connections_over_commits_and_restarts_until_it_is_enabled() {
    let mut world = running();
    world.kernel.connect_everywhere();
    let connections = world.kernel.connections.clone();
    assert!(matches!(act(&mut world, "rs1", Forced::Drain, None, false), Reply::Done { .. }));
    assert_eq!(weights(&world), [0, 1000, 1000]);
    let mut config = parse_set_lines(FIVE_NODE).unwrap();
    config.pools.get_mut(&"web".parse().unwrap()).unwrap().reentry = Millis::from_secs(1);
    world.ask(Request::Commit { base: Generation(1), config, options: CommitOptions::default() });
    world.run_ms(5000);
    world.kill_director();
    world.start();
    world.run_ms(5000);
    assert_eq!(weights(&world), [0, 1000, 1000]);
    assert_eq!(world.kernel.connections, connections);
    act(&mut world, "rs1", Forced::Normal, None, false);
    assert_eq!(weights(&world), [2000, 1000, 1000]);
}

#[test]
fn a_disabled_server_leaves_and_comes_back_when_its_time_is_over() {
    let mut world = running();
    act(&mut world, "rs2", Forced::Disable, Some(20), false);
    assert_eq!(weights(&world), [2000, 1000]);
    let back = world.run_while_not(60_000, |w| weights(w).len() == 3).expect("never came back");
    assert!((19_000..=20_000).contains(&back), "{back} ms");
}

#[test]
fn the_last_usable_server_is_drained_only_when_that_was_agreed_to() {
    let mut world = running();
    act(&mut world, "rs1", Forced::Drain, None, false);
    act(&mut world, "rs2", Forced::Weight(0), None, false);
    let asked = act(&mut world, "rs3", Forced::Drain, None, false);
    assert_eq!(asked, Reply::Emptied { services: vec!["web".parse().unwrap()], ends: 0 });
    assert_eq!(weights(&world), [0, 0, 1000]);
    assert!(matches!(act(&mut world, "rs3", Forced::Drain, None, true), Reply::Done { .. }));
    assert_eq!(weights(&world), [0, 0, 0]);
}

#[test]
fn every_view_says_what_was_done_and_what_remains() {
    let mut world = running();
    act(&mut world, "rs1", Forced::Drain, Some(600), false);
    world.ask(Request::Status);
    world.run_ms(100);
    let Some(Reply::Status(status)) = world.replies.last() else { panic!() };
    let rs1 = &status.servers[0];
    assert_eq!(rs1.reason, "drained by hand, 9m59s left, no connection remains");
    // Since it was drained, not since its first good answer.
    assert!(status.at.micros_since(rs1.since) < 1_000_000, "{:?} {:?}", status.at, rs1.since);
    assert_eq!((rs1.effective, status.services[0].usable), (Some(0), 2));
    assert_eq!((rs1.state, rs1.forced), (State::Up, Forced::Drain));
    world.ask(Request::Why { service: None, server: "rs1".parse().unwrap() });
    world.run_ms(100);
    let Some(Reply::Why(why)) = world.replies.last() else { panic!("{:?}", world.replies.last()) };
    assert_eq!(why.service.as_str(), "web");
    let decided = "drained by hand, 9m59s left, said 0s ago on this box; \"server rs1 enable\" undoes it";
    assert_eq!(why.decided.as_deref(), Some(decided));
}

#[test]
fn a_server_that_does_not_exist_is_refused() {
    let mut world = running();
    assert!(matches!(act(&mut world, "rs9", Forced::Drain, None, false), Reply::Refused { .. }));
}

fn persist(world: &mut World, server: &str, forced: Forced, lasts: Option<u32>) -> Reply {
    let lasts = lasts.map(Millis::from_secs);
    let (server, pool) = (server.parse().unwrap(), None);
    world.ask(Request::Server(ServerAction { server, pool, forced, lasts, persistent: true, agreed: true }));
    world.run_ms(100);
    world.replies.last().unwrap().clone()
}

fn reboot(world: &mut World) {
    world.power_cut();
    world.start();
    world.run_ms(5000);
}

#[test]
fn only_what_is_persistent_survives_a_power_cut_until_it_is_undone() {
    let mut world = running();
    assert!(matches!(persist(&mut world, "rs1", Forced::Drain, None), Reply::Done { .. }));
    act(&mut world, "rs2", Forced::Drain, None, false);
    assert_eq!(weights(&world), [0, 0, 1000]);
    reboot(&mut world);
    assert_eq!(weights(&world), [0, 1000, 1000]);
    world.ask(Request::Status);
    world.run_ms(100);
    let Some(Reply::Status(status)) = world.replies.last() else { panic!() };
    let reason = &status.servers[0].reason;
    assert!(reason.starts_with("drained by hand, persistent, no connection remains"), "{reason}");
    act(&mut world, "rs1", Forced::Normal, None, false);
    reboot(&mut world);
    assert_eq!(weights(&world), [2000, 1000, 1000]);
}

#[test]
fn the_time_of_a_persistent_action_is_counted_while_the_box_is_up() {
    let mut world = running();
    persist(&mut world, "rs1", Forced::Drain, Some(60));
    world.run_ms(20_000);
    reboot(&mut world);
    let back = world.run_while_not(90_000, |w| weights(w)[0] == 2000).expect("never came back");
    assert!((54_000..=55_000).contains(&back), "{back} ms after a boot of 5 s");
    assert!(world.kept.is_empty(), "what is over does not come back");
}

#[test]
fn a_flash_that_refuses_the_list_is_said_and_asked_again() {
    let mut world = running();
    world.flash_broken = true;
    persist(&mut world, "rs1", Forced::Drain, None);
    assert!(world.notices.last().unwrap().starts_with("persistent server actions are not in flash"));
    world.ask(Request::Status);
    world.run_ms(100);
    let Some(Reply::Status(status)) = world.replies.last() else { panic!() };
    assert!(status.alarms.iter().any(|a| a.contains("not in flash")), "{:?}", status.alarms);
    world.flash_broken = false;
    world.run_ms(61_000);
    assert_eq!(world.kept.len(), 1);
}

#[test]
fn nothing_is_kept_once_a_reset_to_factory_state_has_begun() {
    let mut world = running();
    assert!(matches!(persist(&mut world, "rs1", Forced::Drain, Some(2)), Reply::Done { .. }));
    let before = world.kept.clone();
    assert_eq!(before.len(), 1);
    world.ask(Request::Maintain(Maintenance::FactoryReset));
    // The time of the action ends meanwhile, which changes the list.
    world.run_ms(5000);
    assert_eq!(weights(&world), [2000, 1000, 1000]);
    assert_eq!(world.kept, before, "written after the wipe");
}

#[test]
fn why_finds_the_server_of_a_mark_in_the_table() {
    let text =
        format!("{FIVE_NODE}set mark m address vs1 port 80 port 443\nset service both mark m pool web\n");
    let config = parse_set_lines(&text).unwrap();
    let mut world = World::new().with_config(config);
    world.servers.insert(SocketAddr::from(([192, 168, 1, 3], 80)), Server::Good);
    world.start();
    world.run_ms(1000);
    world.ask(Request::Why { service: Some("both".parse().unwrap()), server: "rs1".parse().unwrap() });
    world.run_ms(100);
    let Some(Reply::Why(why)) = world.replies.last() else { panic!("{:?}", world.replies.last()) };
    let [port] = &why.ports[..] else { panic!("{why:?}") };
    assert_eq!(port.port, 80);
    assert!(port.table.iter().all(|line| line.contains("weight 2000")), "{why:?}");
    // rs1 serves web too: without a service it is not clear which one is meant.
    for (server, part) in [
        ("rs1", "rs1 serves both, web: name the service too, as in why server both rs1"),
        ("web", "web is a service"),
        ("rs9", "no service has a server rs9"),
    ] {
        world.ask(Request::Why { service: None, server: server.parse().unwrap() });
        world.run_ms(100);
        let Some(Reply::Refused { reason, .. }) = world.replies.last() else {
            panic!("{:?}", world.replies.last())
        };
        assert!(reason.contains(part), "{reason}");
    }
}
