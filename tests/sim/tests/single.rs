//! One director, the five-node cluster's configuration, and what can go wrong around it.

use director_core::cli::parse_set_lines;
use director_core::director::protocol::{ClusterAction, CommitOptions, Maintenance, Power, Reply, Request};
use director_core::health::State;
use director_core::model::config::Route;
use director_core::model::{Config, Mono};
use director_core::plan::{Op, ServiceKey};
use director_core::store::Generation;
use director_core::store::identity::Role;
use director_core::store::record::SlotState;
use director_sim::world::{Server, World};
use std::net::{IpAddr, SocketAddr};

const FIVE_NODE: &str = include_str!("../../../qemu/scenarios/five-node.set");

fn config() -> Config {
    parse_set_lines(FIVE_NODE).expect("the scenario is valid")
}

fn server(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 168, 1, last], 80))
}

/// A running cluster with three good servers.
fn running() -> World {
    let mut world = World::new().with_config(config());
    for last in 3..6 {
        world.servers.insert(server(last), Server::Good);
    }
    world.start();
    world.run_ms(1000);
    assert_eq!(
        weights(&world),
        [("192.168.1.3".into(), 2000), ("192.168.1.4".into(), 1000), ("192.168.1.5".into(), 1000)]
    );
    world
}

fn weights(world: &World) -> Vec<(String, u32)> {
    let service = world.kernel.state.services.values().next();
    service.map_or_else(Vec::new, |s| {
        s.dests.iter().map(|(k, d)| (k.address.to_string(), d.spec.weight)).collect()
    })
}

fn has(world: &World, address: &str) -> bool {
    weights(world).iter().any(|(a, _)| a == address)
}

#[test]
fn power_on_leads_to_the_whole_cluster_and_then_to_silence() {
    let mut world = running();
    let addresses: Vec<String> =
        world.kernel.state.addresses.keys().map(|k| format!("{} {}", k.device, k.cidr)).collect();
    assert_eq!(
        addresses,
        ["eth0 1.2.3.1/24", "eth0 1.2.3.2/24", "eth1 192.168.1.1/24", "eth1 192.168.1.254/24"]
    );
    assert_eq!(world.kernel.state.sysctls["net.ipv4.ip_forward"], "1");
    let before = world.ops.len();
    world.run_ms(60_000);
    let rest: Vec<&Op> = world.ops[before..]
        .iter()
        .map(|(_, op)| op)
        .filter(|op| !matches!(op, Op::Announce { .. }))
        .collect();
    assert_eq!(rest, Vec::<&Op>::new());
}

#[test]
fn a_server_that_refuses_leaves_within_the_dead_time_and_comes_back_after_the_reentry_time() {
    let mut world = running();
    world.servers.insert(server(4), Server::Refuses);
    let gone = world.run_while_not(20_000, |w| !has(w, "192.168.1.4")).expect("never left");
    assert!(gone <= 10_000, "left after {gone} ms");
    world.servers.insert(server(4), Server::Good);
    let back = world.run_while_not(300_000, |w| has(w, "192.168.1.4")).expect("never came back");
    assert!((180_000..=184_000).contains(&back), "came back after {back} ms");
}

#[test]
fn a_server_that_hangs_leaves_within_the_dead_time_too() {
    let mut world = running();
    world.servers.insert(server(5), Server::Hangs);
    let gone = world.run_while_not(20_000, |w| !has(w, "192.168.1.5")).expect("never left");
    assert!(gone <= 10_000, "left after {gone} ms");
}

#[test]
fn a_server_that_fails_for_less_than_the_dead_time_stays() {
    let mut world = running();
    world.servers.insert(server(4), Server::Refuses);
    world.run_ms(7000);
    world.servers.insert(server(4), Server::Good);
    world.run_ms(30_000);
    assert!(has(&world, "192.168.1.4"));
    assert!(!world.ops.iter().any(|(_, op)| matches!(op, Op::DestDelete { .. })));
}

#[test]
fn a_restarted_director_issues_no_operation() {
    let mut world = running();
    world.kernel.connect_everywhere();
    let connections = world.kernel.connections.clone();
    let before = world.ops.len();
    for _ in 0..3 {
        world.kill_director();
        world.run_ms(300);
        world.start();
        world.run_ms(5000);
    }
    let done: Vec<_> =
        world.ops[before..].iter().filter(|(_, op)| !matches!(op, Op::Announce { .. })).collect();
    assert_eq!(done, Vec::<&(_, Op)>::new());
    assert_eq!(world.kernel.connections, connections);
}

#[test]
fn a_director_that_lost_its_checkpoint_leaves_the_table_alone() {
    let mut world = running();
    let before = world.ops.len();
    world.kill_director();
    world.lose_checkpoint();
    world.start();
    world.run_ms(5000);
    assert!(
        world.ops[before..].iter().all(|(_, op)| matches!(op, Op::Announce { .. })),
        "{:?}",
        &world.ops[before..]
    );
}

#[test]
fn a_reentry_time_goes_on_over_a_restart() {
    let mut world = running();
    world.servers.insert(server(4), Server::Refuses);
    world.run_while_not(20_000, |w| !has(w, "192.168.1.4")).unwrap();
    world.servers.insert(server(4), Server::Good);
    world.run_ms(100_000);
    world.kill_director();
    world.start();
    let back = world.run_while_not(300_000, |w| has(w, "192.168.1.4")).expect("never came back");
    assert!((76_000..=84_000).contains(&back), "came back {back} ms after the restart");
}

#[test]
fn a_dead_server_is_still_found_when_the_director_was_restarted_meanwhile() {
    let mut world = running();
    world.servers.insert(server(4), Server::Refuses);
    world.run_ms(5000);
    world.kill_director();
    world.run_ms(200);
    world.start();
    let gone = world.run_while_not(20_000, |w| !has(w, "192.168.1.4")).expect("never left");
    assert!(gone <= 10_000, "left {gone} ms after the restart");
}

#[test]
fn a_committed_weight_is_one_edit_in_the_kernel_and_survives_the_power() {
    let mut world = running();
    let before = world.ops.len();
    let mut changed = config();
    changed
        .pools
        .get_mut(&"web".parse().unwrap())
        .unwrap()
        .servers
        .get_mut(&"rs1".parse().unwrap())
        .unwrap()
        .weight = 500;
    world.ask(Request::Commit {
        base: Generation(1),
        config: changed.clone(),
        options: CommitOptions::default(),
    });
    world.run_ms(1000);
    assert!(
        matches!(
            world.replies.last(),
            Some(Reply::Committed { generation: Generation(2), operations: 1, .. })
        ),
        "{:?}",
        world.replies
    );
    let edits: Vec<&Op> = world.ops[before..]
        .iter()
        .map(|(_, op)| op)
        .filter(|op| !matches!(op, Op::Announce { .. }))
        .collect();
    assert!(matches!(edits[..], [Op::DestEdit { .. }]), "{edits:?}");
    world.power_cut();
    world.start();
    world.run_ms(1000);
    assert_eq!(weights(&world)[0], ("192.168.1.3".into(), 500));
}

#[test]
fn a_commit_that_the_kernel_refuses_is_taken_back() {
    let mut world = running();
    let before = world.kernel.state.clone();
    world.refuse = Some(|op| matches!(op, Op::ServiceAdd { .. }));
    let mut changed = config();
    let mut service = changed.services[&"web".parse().unwrap()].clone();
    service.ports = [8080].into_iter().collect();
    changed.services.insert("web2".parse().unwrap(), service);
    world.ask(Request::Commit { base: Generation(1), config: changed, options: CommitOptions::default() });
    world.run_ms(3000);
    assert!(matches!(world.replies.last(), Some(Reply::Refused { .. })), "{:?}", world.replies);
    assert_eq!(world.flash[&Generation(2)].0, SlotState::Tentative);
    world.refuse = None;
    world.run_ms(20_000);
    assert_eq!(
        world.kernel.state.services.keys().collect::<Vec<_>>(),
        before.services.keys().collect::<Vec<_>>()
    );
    world.ask(Request::Config);
    world.run_ms(10);
    assert!(matches!(world.replies.last(), Some(Reply::Config { generation: Generation(1), .. })));
}

#[test]
fn a_commit_that_the_flash_refuses_changes_nothing() {
    let mut world = running();
    let before = world.ops.len();
    world.flash_broken = true;
    let mut changed = config();
    changed.services.clear();
    world.ask(Request::Commit { base: Generation(1), config: changed, options: CommitOptions::default() });
    world.run_ms(1000);
    assert!(matches!(world.replies.last(), Some(Reply::Refused { .. })));
    assert!(world.ops[before..].iter().all(|(_, op)| matches!(op, Op::Announce { .. })));
}

#[test]
fn a_commit_on_top_of_another_one_is_refused() {
    let mut world = running();
    let mut changed = config();
    changed.services.clear();
    world.ask(Request::Commit { base: Generation(0), config: changed, options: CommitOptions::default() });
    world.run_ms(1000);
    assert!(matches!(world.replies.last(), Some(Reply::Refused { .. })));
}

#[test]
fn an_invalid_configuration_is_refused_with_paths_and_nothing_changes() {
    let mut world = running();
    let before = world.ops.len();
    let mut changed = config();
    changed.real_servers.get_mut(&"rs2".parse().unwrap()).unwrap().address = None;
    changed.interfaces.get_mut(&"public".parse().unwrap()).unwrap().device = Some("eth7".parse().unwrap());
    world.ask(Request::Commit { base: Generation(1), config: changed, options: CommitOptions::default() });
    world.run_ms(1000);
    let Some(Reply::Refused { findings, .. }) = world.replies.last() else { panic!("{:?}", world.replies) };
    let paths: Vec<&str> = findings.iter().map(|f| f.path.as_str()).collect();
    assert!(paths.contains(&"real-server rs2 address"), "{paths:?}");
    assert!(paths.contains(&"interface public device"), "{paths:?}");
    assert!(world.ops[before..].iter().all(|(_, op)| matches!(op, Op::Announce { .. })));
}

#[test]
fn what_somebody_else_changed_is_put_right_at_once_when_netlink_tells_and_within_ten_seconds_when_not() {
    let mut world = running();
    let key = *world.kernel.state.services.keys().next().unwrap();
    let lost = |w: &World, key: &ServiceKey| !w.kernel.state.services.contains_key(key);
    world.kernel.state.services.remove(&key);
    let repaired = world.run_while_not(20_000, |w| !lost(w, &key)).expect("never repaired");
    assert!(repaired <= 10_000, "{repaired} ms");
    world.run_ms(100);
    let address = world.kernel.state.addresses.keys().next().unwrap().clone();
    world.kernel.state.addresses.remove(&address);
    world.notify();
    let repaired = world.run_while_not(20_000, |w| w.kernel.state.addresses.contains_key(&address)).unwrap();
    assert!(repaired <= 50, "{repaired} ms");
    world.run_ms(20_000);
    let told = world.log.iter().filter(|(_, line)| line.contains("changed by something else"));
    let told: Vec<&str> = told.map(|(_, line)| line.as_str()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].ends_with("and 3 more operations"), "a service and its servers: {told:?}");
}

#[test]
fn what_the_director_does_itself_is_blamed_on_nobody() {
    let mut world = running();
    commits_web2(&mut world, 1);
    world.run_ms(10_000);
    world.servers.insert(server(4), Server::Refuses);
    world.run_ms(60_000);
    world.servers.insert(server(4), Server::Good);
    world.run_ms(300_000);
    world.restart_director();
    world.run_ms(60_000);
    world.kill_director();
    world.run_ms(60_000);
    world.stop();
    world.run_ms(5000);
    let told = world.log.iter().find(|(_, line)| line.contains("changed by something else"));
    assert_eq!(told, None);
}

#[test]
fn an_orderly_stop_releases_the_floating_addresses_and_keeps_the_table() {
    let mut world = running();
    world.stop();
    world.run_while_not(5000, |w| w.stopped).expect("never stopped");
    let left: Vec<String> = world.kernel.state.addresses.keys().map(|k| k.cidr.to_string()).collect();
    assert_eq!(left, ["1.2.3.2/24", "192.168.1.1/24"]);
    assert_eq!(weights(&world).len(), 3);
}

#[test]
fn the_factory_configuration_touches_no_device() {
    let mut world = World::new();
    world.start();
    world.run_ms(20_000);
    assert!(
        world.ops.iter().all(|(_, op)| matches!(op, Op::SysctlSet { .. } | Op::RulesetSet { .. })),
        "{:?}",
        world.ops
    );
}

#[test]
fn a_status_reflects_the_verdicts() {
    let mut world = running();
    world.servers.insert(server(4), Server::Refuses);
    world.run_while_not(20_000, |w| !has(w, "192.168.1.4")).unwrap();
    world.ask(Request::Status);
    world.run_ms(100);
    let Some(Reply::Status(status)) = world.replies.last() else { panic!("{:?}", world.replies) };
    let rs2 = status.servers.iter().find(|s| s.name.as_str() == "rs2").unwrap();
    assert_eq!((rs2.state, rs2.effective), (State::Down, None));
    assert!(rs2.reason.contains("connection refused"), "{}", rs2.reason);
    assert_eq!(status.services[0].usable, 2);
}

fn commits_web2(world: &mut World, base: u64) {
    let mut changed = config();
    let mut service = changed.services[&"web".parse().unwrap()].clone();
    service.ports = [8080].into_iter().collect();
    changed.services.insert("web2".parse().unwrap(), service);
    world.ask(Request::Commit { base: Generation(base), config: changed, options: CommitOptions::default() });
}

#[test]
fn a_commit_under_way_is_answered_when_the_machine_stops() {
    let mut world = running();
    commits_web2(&mut world, 1);
    world.stop();
    world.run_while_not(5000, |w| w.stopped).expect("never stopped");
    assert!(matches!(world.replies.last(), Some(Reply::Refused { .. })), "{:?}", world.replies);
}

#[test]
fn what_the_kernel_refused_before_does_not_take_a_commit_back() {
    let mut world = running();
    world.kernel.state.sysctls.insert("net.ipv4.vs.conntrack".into(), "1".into());
    world.refuse = Some(|op| matches!(op, Op::SysctlSet { .. }));
    world.notify();
    world.run_ms(1000);
    commits_web2(&mut world, 1);
    world.run_ms(1000);
    let Some(Reply::Committed { findings, .. }) = world.replies.last() else { panic!("{:?}", world.replies) };
    assert!(findings.iter().any(|f| f.message.starts_with("as before this commit")), "{findings:?}");
    assert_eq!(world.kernel.state.services.len(), 2);
}

#[test]
fn a_refusal_that_stays_is_logged_once() {
    let mut world = running();
    world.kernel.state.sysctls.insert("net.ipv4.vs.conntrack".into(), "1".into());
    world.refuse = Some(|op| matches!(op, Op::SysctlSet { .. }));
    world.run_ms(600_000);
    let lines = world.log.iter().filter(|(_, line)| line.contains("refused")).count();
    assert_eq!(lines, 1, "{:?}", world.log);
}

#[test]
fn a_commit_before_the_devices_are_known_is_refused() {
    let mut world = World::new().with_config(config());
    world.start();
    commits_web2(&mut world, 1);
    world.run_ms(0);
    assert!(matches!(world.replies.last(), Some(Reply::Refused { .. })), "{:?}", world.replies);
}

#[test]
fn an_address_that_the_kernel_refused_is_not_announced() {
    let mut world = World::new().with_config(config());
    world.refuse = Some(|op| matches!(op, Op::AddressAdd { .. }));
    world.start();
    world.run_ms(5000);
    assert_eq!(world.kernel.announced, []);
}

#[test]
fn answers_of_servers_behind_a_router_may_pass() {
    let mut config = config();
    config.real_servers.get_mut(&"rs1".parse().unwrap()).unwrap().address = Some("10.5.0.3".parse().unwrap());
    config.real_servers.get_mut(&"rs2".parse().unwrap()).unwrap().address = Some("10.6.0.3".parse().unwrap());
    for (to, via) in [("10.5.0.0/16", "192.168.1.9"), ("0.0.0.0/0", "1.2.3.254")] {
        let via = Some(via.parse().unwrap());
        config.routes.insert(to.parse().unwrap(), Route { via, metric: 0 });
    }
    let mut world = World::new().with_config(config);
    world.start();
    world.run_ms(1000);
    let rules = world.ops.iter().find_map(|(_, op)| match op {
        Op::RulesetSet { ruleset } => Some(ruleset),
        _ => None,
    });
    let inside: Vec<String> = rules.unwrap().inside.iter().map(|(d, n)| format!("{d} {n}")).collect();
    assert_eq!(inside, ["eth0 10.6.0.3/32", "eth1 10.5.0.0/16", "eth1 192.168.1.0/24"]);
}

#[test]
fn a_machine_that_answers_for_a_floating_address_is_named_and_the_address_announced_again() {
    let mut world = running();
    world.run_ms(30_000);
    assert_eq!(conflicts(&mut world), [""; 0]);
    let address = IpAddr::from([1, 2, 3, 1]);
    world.claims.insert(address, vec![[2, 0, 0, 0, 0, 9]]);
    let before = world.ops.len();
    world.run_ms(80_000);
    let named = "another machine answers for the floating address 1.2.3.1: 02:00:00:00:00:09";
    assert_eq!(conflicts(&mut world), [named]);
    assert!(world.log.iter().any(|(_, line)| line == named), "{:?}", world.log);
    let announced =
        |(_, op): &&(Mono, Op)| matches!(op, Op::Announce { key } if key.cidr.address() == address);
    assert!(world.ops[before..].iter().filter(announced).count() >= 3);
    world.claims.clear();
    world.run_ms(80_000);
    assert_eq!(conflicts(&mut world), [""; 0]);
}

#[test]
fn the_addresses_are_announced_again_and_anybody_is_pinged_by_command() {
    let mut world = running();
    world.run_ms(50_000);
    let before = world.ops.len();
    world.ask(Request::Cluster(ClusterAction::Announce));
    world.run_ms(1500);
    let said = "2 floating addresses are announced again, for half a minute".to_string();
    assert_eq!(world.replies.last(), Some(&Reply::Done { text: said }));
    let announced = world.ops[before..].iter().filter(|(_, op)| matches!(op, Op::Announce { .. })).count();
    assert!(announced >= 6, "{announced}");
    world.ask(Request::Ping(IpAddr::from([192, 168, 1, 3])));
    world.run_ms(2000);
    assert!(matches!(world.replies.last(), Some(Reply::Pinged(_))), "{:?}", world.replies.last());
}

#[test]
fn a_box_that_is_made_the_other_node_reboots_and_one_that_is_it_already_does_not() {
    let mut world = running();
    world.ask(Request::Maintain(Maintenance::Identity(Role::Primary)));
    world.run_ms(100);
    let reason = "this box is the primary node already".to_string();
    assert_eq!(world.replies.last(), Some(&Reply::Refused { reason, findings: Vec::new() }));
    world.ask(Request::Maintain(Maintenance::Identity(Role::Backup)));
    world.run_ms(100);
    let text = "this box is the backup node; rebooting".to_string();
    assert_eq!(world.replies.last(), Some(&Reply::Done { text }));
    assert_eq!(world.powers, [Power::Reboot]);
}

#[test]
fn a_machine_that_has_an_address_of_this_box_is_named_soon_after_the_start() {
    let mut world = World::new().with_config(config());
    let address = IpAddr::from([192, 168, 1, 1]);
    world.claims.insert(address, vec![[2, 0, 0, 0, 0, 9]]);
    world.start();
    world.run_ms(10_000);
    let named = "another machine answers for this box's address 192.168.1.1: 02:00:00:00:00:09";
    assert_eq!(conflicts(&mut world), [named]);
    assert!(world.log.iter().any(|(_, line)| line == named), "{:?}", world.log);
}

fn conflicts(world: &mut World) -> Vec<String> {
    world.ask(Request::Status);
    world.run_ms(100);
    let Some(Reply::Status(status)) = world.replies.last() else { panic!("{:?}", world.replies.last()) };
    status.alarms.iter().filter(|alarm| alarm.contains("another machine")).cloned().collect()
}
