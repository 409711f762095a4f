//! Commits on trial, and going back to earlier ones.

use director_core::cli::parse_set_lines;
use director_core::director::protocol::{CommitOptions, Recall, Recalled, Reply, Request};
use director_core::model::{Config, Millis};
use director_core::plan::Op;
use director_core::store::Generation;
use director_core::store::record::SlotState;
use director_sim::world::{Server, World};
use std::net::SocketAddr;

const FIVE_NODE: &str = include_str!("../../../qemu/scenarios/five-node.set");

fn config() -> Config {
    parse_set_lines(FIVE_NODE).expect("the scenario is valid")
}

/// The scenario with another weight of rs1.
fn weighted(weight: u32) -> Config {
    let mut changed = config();
    let pool = changed.pools.get_mut(&"web".parse().unwrap()).unwrap();
    pool.servers.get_mut(&"rs1".parse().unwrap()).unwrap().weight = weight;
    changed
}

fn running() -> World {
    let mut world = World::new().with_config(config());
    for last in 3..6 {
        world.servers.insert(SocketAddr::from(([192, 168, 1, last], 80)), Server::Good);
    }
    world.start();
    world.run_ms(1000);
    assert_eq!(weight(&world), 2000);
    world
}

/// The weight of rs1 in the kernel.
fn weight(world: &World) -> u32 {
    let service = world.kernel.state.services.values().next().unwrap();
    service.dests.values().next().unwrap().spec.weight
}

fn commit(world: &mut World, base: u64, weight: u32, confirm_s: Option<u32>) {
    let options = CommitOptions { confirm: confirm_s.map(Millis::from_secs), ..CommitOptions::default() };
    world.ask(Request::Commit { base: Generation(base), config: weighted(weight), options });
    world.run_ms(100);
}

/// Operations since `begin` that change something.
fn changes(world: &World, begin: usize) -> Vec<&Op> {
    world.ops[begin..].iter().map(|(_, op)| op).filter(|op| !matches!(op, Op::Announce { .. })).collect()
}

/// A commit of weight 500 on trial for 30 s.
fn on_trial() -> World {
    let mut world = running();
    commit(&mut world, 1, 500, Some(30));
    assert!(
        matches!(
            world.replies.last(),
            Some(Reply::OnTrial { generation: Generation(2), back: Generation(1), .. })
        ),
        "{:?}",
        world.replies
    );
    assert_eq!(weight(&world), 500);
    assert_eq!(world.flash[&Generation(2)].0, SlotState::Tentative);
    world
}

#[test]
fn silence_goes_back_at_the_deadline_without_touching_what_both_configurations_share() {
    let mut world = running();
    world.kernel.connect_everywhere();
    let connections = world.kernel.connections.clone();
    commit(&mut world, 1, 500, Some(30));
    let begin = world.ops.len();
    let took = world.run_while_not(60_000, |w| weight(w) == 2000).expect("never went back");
    assert!((29_000..=30_000).contains(&took), "{took} ms");
    assert!(matches!(changes(&world, begin)[..], [Op::DestEdit { .. }]), "{:?}", changes(&world, begin));
    assert_eq!(world.kernel.connections, connections);
    assert_eq!(world.flash[&Generation(2)].0, SlotState::Tentative);
    let told = world.notices.last().unwrap();
    assert_eq!(told, "Commit 2 was not confirmed in time: configuration 1 runs again.");
    world.ask(Request::Config);
    world.run_ms(10);
    assert!(matches!(world.replies.last(), Some(Reply::Config { generation: Generation(1), .. })));
}

#[test]
fn every_console_is_told_while_time_runs_out_and_the_status_says_how_much_is_left() {
    let mut world = on_trial();
    world.ask(Request::Status);
    world.run_ms(10);
    let Some(Reply::Status(status)) = world.replies.last() else { panic!("{:?}", world.replies) };
    assert_eq!(status.system.trial.unwrap().back, Generation(1));
    assert!(status.alarms.iter().any(|a| a.contains("commit 2 is on trial")), "{:?}", status.alarms);
    world.run_ms(25_000);
    let words =
        |s| format!("Commit 2 is on trial: configuration 1 runs again in {s}s unless \"confirm\" is typed.");
    assert_eq!(world.notices, [words(30), words(10)]);
}

#[test]
fn a_confirmed_commit_stays_and_survives_the_power() {
    let mut world = on_trial();
    world.ask(Request::Confirm);
    world.run_ms(10);
    assert_eq!(world.replies.last(), Some(&Reply::Confirmed { generation: Generation(2) }));
    world.run_ms(60_000);
    assert_eq!(weight(&world), 500);
    world.power_cut();
    world.start();
    world.run_ms(1000);
    assert_eq!(weight(&world), 500);
}

#[test]
fn a_second_commit_confirms_the_first() {
    let mut world = on_trial();
    commit(&mut world, 2, 700, None);
    assert!(matches!(world.replies.last(), Some(Reply::Committed { generation: Generation(3), .. })));
    world.run_ms(60_000);
    assert_eq!(weight(&world), 700);
    assert_eq!(world.flash[&Generation(2)].0, SlotState::Good, "it is part of the history");
}

#[test]
fn the_same_commit_again_confirms_and_with_a_time_waits_longer() {
    let mut world = on_trial();
    world.run_ms(20_000);
    commit(&mut world, 2, 500, Some(30));
    world.run_ms(20_000);
    assert_eq!(weight(&world), 500, "the time began anew");
    commit(&mut world, 2, 500, None);
    assert_eq!(world.replies.last(), Some(&Reply::Confirmed { generation: Generation(2) }));
}

#[test]
fn a_trial_of_a_trial_goes_back_to_what_was_good() {
    let mut world = on_trial();
    commit(&mut world, 2, 700, Some(10));
    assert!(matches!(
        world.replies.last(),
        Some(Reply::OnTrial { generation: Generation(3), back: Generation(1), .. })
    ));
    world.run_ms(11_000);
    assert_eq!(weight(&world), 2000);
}

#[test]
fn a_second_commit_that_the_kernel_refuses_leaves_the_first_on_trial() {
    let mut world = on_trial();
    world.refuse = Some(|op| matches!(op, Op::DestEdit { .. }));
    commit(&mut world, 2, 700, None);
    assert!(matches!(world.replies.last(), Some(Reply::Refused { .. })));
    world.refuse = None;
    world.run_ms(5000);
    assert_eq!(weight(&world), 500);
    world.run_ms(30_000);
    assert_eq!(weight(&world), 2000);
}

#[test]
fn a_crash_of_the_director_goes_back_and_says_so() {
    let mut world = on_trial();
    world.kill_director();
    world.run_ms(300);
    world.start();
    world.run_ms(1000);
    assert_eq!(weight(&world), 2000);
    world.ask(Request::Status);
    world.run_ms(100);
    let Some(Reply::Status(status)) = world.replies.last() else { panic!("{:?}", world.replies) };
    let alarm = "commit 2 was on trial when the director crashed: configuration 1 runs again";
    assert!(status.alarms.iter().any(|a| a == alarm), "{:?}", status.alarms);
    world.run_ms(60_000);
    assert_eq!(weight(&world), 2000);
}

#[test]
fn a_power_cut_goes_back() {
    let mut world = on_trial();
    world.power_cut();
    world.start();
    world.run_ms(1000);
    assert_eq!(weight(&world), 2000);
}

#[test]
fn a_restart_on_request_neither_confirms_nor_forgets() {
    let mut world = on_trial();
    let begin = world.ops.len();
    world.run_ms(5000);
    world.restart_director();
    world.run_ms(15_000);
    assert_eq!(changes(&world, begin), Vec::<&Op>::new());
    assert_eq!(weight(&world), 500);
    let took = world.run_while_not(60_000, |w| weight(w) == 2000).expect("never went back");
    assert!((9_000..=10_000).contains(&took), "{took} ms");
}

#[test]
fn a_restarted_director_takes_the_confirmation() {
    let mut world = on_trial();
    world.restart_director();
    world.run_ms(1000);
    world.ask(Request::Confirm);
    world.run_ms(60_000);
    assert_eq!(weight(&world), 500);
    assert_eq!(world.flash[&Generation(2)].0, SlotState::Good);
    world.kill_director();
    world.start();
    world.run_ms(60_000);
    assert_eq!(weight(&world), 500);
}

#[test]
fn a_confirmation_that_the_flash_refuses_leaves_the_commit_on_trial() {
    let mut world = on_trial();
    world.flash_broken = true;
    world.ask(Request::Confirm);
    world.run_ms(100);
    assert!(matches!(world.replies.last(), Some(Reply::Refused { .. })));
    world.flash_broken = false;
    world.run_ms(31_000);
    assert_eq!(weight(&world), 2000);
    assert_eq!(world.flash[&Generation(2)].0, SlotState::Tentative);
}

#[test]
fn a_confirmation_without_a_trial_is_refused() {
    let mut world = running();
    world.ask(Request::Confirm);
    world.run_ms(10);
    assert!(matches!(world.replies.last(), Some(Reply::Refused { .. })));
}

#[test]
fn the_configuration_of_two_commits_ago_is_found_and_more_reads_than_the_flash_takes_are_refused() {
    let mut world = running();
    commit(&mut world, 1, 500, None);
    commit(&mut world, 2, 700, None);
    world.ask(Request::Recall(Recall::Back(2)));
    world.run_ms(10);
    let Some(Reply::Recalled { running, result: Ok(Recalled::Commit { generation, commit }) }) =
        world.replies.last()
    else {
        panic!("{:?}", world.replies)
    };
    assert_eq!((*running, *generation, &commit.config), (Generation(3), Generation(1), &config()));
    world.replies.clear();
    for _ in 0..6 {
        world.ask(Request::Recall(Recall::List));
    }
    world.run_ms(10);
    let refused = world.replies.iter().filter(|r| matches!(r, Reply::Refused { .. })).count();
    assert_eq!((world.replies.len(), refused), (6, 2));
}

#[test]
fn a_commit_that_is_under_way_at_the_deadline_is_given_up() {
    let mut world = on_trial();
    let left = 30_000 - 100;
    world.run_ms(left + 1);
    let options = CommitOptions::default();
    world.ask(Request::Commit { base: Generation(2), config: weighted(700), options });
    world.run_ms(1000);
    assert!(matches!(world.replies.last(), Some(Reply::Refused { .. })), "{:?}", world.replies.last());
    assert_eq!(weight(&world), 2000);
    world.run_ms(5000);
    assert_eq!(weight(&world), 2000);
}

#[test]
fn a_refused_commit_that_the_flash_may_hold_as_good_is_taken_back_as_soon_as_the_flash_works_again() {
    let mut world = running();
    world.flash_lies = true;
    commit(&mut world, 1, 500, None);
    assert!(matches!(world.replies.last(), Some(Reply::Refused { .. })), "{:?}", world.replies.last());
    assert_eq!(world.flash[&Generation(2)].0, SlotState::Good);
    world.run_ms(30_000);
    let alarm = "commit 2 was refused, but the flash may hold it as good: after a power cut it may run; a new commit settles it";
    assert!(alarms(&mut world).iter().any(|a| a == alarm));
    // A director that starts now does not run it either.
    world.kill_director();
    world.start();
    world.run_ms(1000);
    assert_eq!(weight(&world), 2000);
    world.flash_lies = false;
    world.run_ms(11_000);
    assert_eq!(world.flash[&Generation(2)].0, SlotState::Tentative);
    assert!(alarms(&mut world).iter().all(|a| !a.contains("commit 2")));
}

fn alarms(world: &mut World) -> Vec<String> {
    world.ask(Request::Status);
    world.run_ms(100);
    let Some(Reply::Status(status)) = world.replies.last() else { panic!("{:?}", world.replies) };
    status.alarms.clone()
}
