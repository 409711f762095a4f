//! Upgrades as the director takes them: what is refused, what is told, and when the other system is started.

use director_core::cli::parse_set_lines;
use director_core::director::Event;
use director_core::director::protocol::{Power, Reply, Request};
use director_core::director::upgrading::{News, Order, Task, UpgradeAsk};
use director_core::upgrade::environment::Slot;
use director_core::upgrade::running::Running;
use director_sim::world::{Server, World};
use std::net::SocketAddr;

const FIVE_NODE: &str = include_str!("../../../qemu/scenarios/five-node.set");
const PLAIN: Running = Running { slot: Slot::A, trial: false, rescue: false };
const TRIAL: Running = Running { slot: Slot::B, trial: true, rescue: false };
const DIGEST: [u8; 32] = [9; 32];

/// The five-node cluster, at rest.
fn world(running: Option<Running>) -> World {
    let mut world = World::new().with_config(parse_set_lines(FIVE_NODE).unwrap());
    for last in 3..6 {
        world.servers.insert(SocketAddr::from(([192, 168, 1, last], 80)), Server::Good);
    }
    world.running = running;
    world.start();
    world
}

fn rested(running: Running) -> World {
    let mut world = world(Some(running));
    world.run_ms(120_000);
    world
}

/// Asks, and gives the answers that came.
fn ask(world: &mut World, ask: UpgradeAsk) -> Vec<Reply> {
    world.replies.clear();
    world.ask(Request::Upgrade(ask));
    world.run_ms(10);
    std::mem::take(&mut world.replies)
}

fn refused(replies: &[Reply], why: &str) -> bool {
    matches!(replies, [Reply::Refused { reason, .. }] if reason.contains(why))
}

fn tell(world: &mut World, news: News) {
    world.post(Event::Upgrade(news), 0);
    world.run_ms(10);
}

fn from() -> UpgradeAsk {
    UpgradeAsk::From("http://192.168.1.3/d.upgrade".parse().unwrap())
}

#[test]
fn an_upgrade_goes_into_the_other_slot_and_is_started_only_when_asked() {
    let mut world = rested(PLAIN);
    assert!(matches!(ask(&mut world, from()).as_slice(), [Reply::Done { .. }]));
    assert!(matches!(world.tasks.as_slice(), [Task::Fetch { slot: Slot::B, .. }]));
    assert!(refused(&ask(&mut world, from()), "under way"));
    assert!(refused(&ask(&mut world, UpgradeAsk::Boot), "under way"));
    for have in [1_000, 500_000, 900_000] {
        tell(&mut world, News::Came { have, of: Some((1_000_000, "2.0.0".into())) });
    }
    tell(&mut world, News::Ended(Ok("2.0.0".into())));
    assert!(world.notices.iter().any(|n| n.contains("50 %")), "{:?}", world.notices);
    assert!(world.notices.last().unwrap().contains("2.0.0"), "{:?}", world.notices);
    assert_eq!((world.orders.len(), world.powers.len()), (0, 0));
    assert!(matches!(ask(&mut world, UpgradeAsk::Boot).as_slice(), [Reply::Done { .. }]));
    assert_eq!(
        (world.orders.as_slice(), world.powers.as_slice()),
        (&[Order::Try(Slot::B)][..], &[Power::Reboot][..])
    );
}

#[test]
fn one_that_is_refused_says_why_and_changes_nothing() {
    let mut world = rested(PLAIN);
    ask(&mut world, from());
    tell(&mut world, News::Ended(Err("its signature is wrong".into())));
    assert!(world.notices.last().unwrap().contains("signature is wrong"), "{:?}", world.notices);
    assert_eq!((world.orders.len(), world.powers.len()), (0, 0));
    // And the next one may come.
    assert!(matches!(ask(&mut world, from()).as_slice(), [Reply::Done { .. }]));
}

#[test]
fn a_system_that_has_not_proven_itself_takes_no_upgrade() {
    let mut unproven = world(Some(TRIAL));
    unproven.refuse = Some(|_| true);
    unproven.run_ms(1_000);
    for asked in [from(), UpgradeAsk::Boot, UpgradeAsk::Offer { length: 9, sha256: DIGEST }] {
        assert!(refused(&ask(&mut unproven, asked), "not proven itself"));
    }
    assert!(matches!(ask(&mut unproven, UpgradeAsk::Confirm).as_slice(), [Reply::Done { .. }]));
    assert_eq!(unproven.proven.len(), 1);
    assert!(refused(&ask(&mut unproven, UpgradeAsk::Confirm), "already"));
    let mut handed = world(None);
    handed.run_ms(120_000);
    assert!(refused(&ask(&mut handed, from()), "boot loader"));
}

#[test]
fn a_trial_that_is_not_won_in_time_ends_by_itself() {
    let mut world = world(Some(TRIAL));
    world.refuse = Some(|_| true);
    world.run_ms(590_000);
    assert_eq!((world.orders.len(), world.powers.len()), (0, 0));
    world.run_ms(20_000);
    assert_eq!(
        (world.orders.as_slice(), world.powers.as_slice()),
        (&[Order::Settle][..], &[Power::Reboot][..])
    );
    assert!(world.proven.is_empty());
}

#[test]
fn blocks_from_the_serial_line_are_taken_in_order_and_once() {
    let mut world = rested(PLAIN);
    let offer = || UpgradeAsk::Offer { length: 5, sha256: DIGEST };
    let block = |offset, bytes: &[u8]| UpgradeAsk::Block { offset, bytes: bytes.to_vec() };
    assert_eq!(ask(&mut world, offer()), [Reply::Have(0)]);
    assert_eq!(ask(&mut world, block(0, b"abc")), []);
    // Asked again before the first is written: nothing is taken twice.
    assert_eq!(ask(&mut world, block(0, b"abc")), [Reply::Have(3)]);
    tell(&mut world, News::Came { have: 3, of: None });
    assert_eq!(world.replies, [Reply::Have(3)]);
    assert_eq!(ask(&mut world, block(7, b"x")), [Reply::Have(3)]);
    assert_eq!(ask(&mut world, block(3, b"too much")), [Reply::Have(3)]);
    assert_eq!(ask(&mut world, UpgradeAsk::End { sha256: DIGEST }), [Reply::Have(3)]);
    // The cable was pulled and is back.
    assert_eq!(ask(&mut world, offer()), [Reply::Have(3)]);
    assert_eq!(ask(&mut world, block(3, b"de")), []);
    tell(&mut world, News::Came { have: 5, of: None });
    assert_eq!(ask(&mut world, UpgradeAsk::End { sha256: DIGEST }), []);
    tell(&mut world, News::Ended(Ok("2.0.0".into())));
    assert!(matches!(world.replies.as_slice(), [Reply::Done { .. }]));
    // The answer was lost on the line.
    assert!(matches!(ask(&mut world, UpgradeAsk::End { sha256: DIGEST }).as_slice(), [Reply::Done { .. }]));
    let given: Vec<&Task> = world.tasks.iter().collect();
    assert!(
        matches!(given.as_slice(), [Task::Receive { .. }, Task::Block(a), Task::Block(b), Task::End] if a == b"abc" && b == b"de"),
        "{given:?}"
    );
}

#[test]
fn a_line_that_stays_silent_ends_its_upgrade() {
    let mut world = rested(PLAIN);
    ask(&mut world, UpgradeAsk::Offer { length: 5, sha256: DIGEST });
    world.run_ms(590_000);
    assert_eq!(world.tasks.len(), 1);
    world.run_ms(20_000);
    assert_eq!(world.tasks.last(), Some(&Task::Cancel));
    tell(&mut world, News::Ended(Err("it was cancelled".into())));
    assert!(refused(&ask(&mut world, UpgradeAsk::End { sha256: DIGEST }), "cancelled"));
}
