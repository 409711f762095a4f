//! Schedules with retries and jitter, and what a pool decides as a whole.

use super::*;
use crate::health::Standing;
use crate::health::engine::STEPS_PER_CALL;

fn quick() -> Pool {
    Pool { fall: 1, interval: Millis::from_secs(2), timeout: Millis::from_secs(1), ..Pool::default() }
}

fn with(servers: usize, change: impl FnOnce(&mut Pool)) -> Config {
    let mut pool = quick();
    change(&mut pool);
    config(servers, pool)
}

fn standing(world: &World) -> (bool, bool) {
    let Standing { short, panic } = world.health.standing(&name("web"), 80);
    (short, panic)
}

fn share(world: &World, index: usize) -> u32 {
    world.health.share(&name("web"), &server_name(index), 80, 1100)
}

proptest! {
    #[test]
    fn a_dead_server_is_out_within_interval_and_timeout(
        interval in 50_u32..5000, timeout in 10_u32..3000, at_ms in 1_u64..10_000, hangs in any::<bool>(),
    ) {
        let mut world = World::new(&with(3, |pool| {
            pool.interval = Millis::new(interval);
            pool.timeout = Millis::new(timeout);
        }), vec![Mood::Good; 3]);
        world.run(Mono::from_millis(5000 + 5 + at_ms));
        let died = world.now;
        world.moods[1] = if hangs { Mood::Hangs } else { Mood::Refuses };
        world.for_seconds(20);
        let (at, to) = world.last_change();
        prop_assert_eq!(to, State::Down);
        // An answer that was on its way when it died may still come.
        let bound_us = u64::from(interval + timeout) * 1000 + ANSWER_US;
        prop_assert!(at.micros_since(died) <= bound_us, "{} us", at.micros_since(died));
    }

    #[test]
    fn jitter_delays_starts_by_no_more_than_its_part_and_keeps_the_pace(jitter in 1_u8..=50) {
        let mut world = World::new(&with(1, |pool| pool.watch.jitter = jitter), vec![Mood::Good]);
        let start = world.now;
        world.for_seconds(400);
        prop_assert_eq!(world.starts.len(), 200);
        let mut delays = BTreeSet::new();
        for (index, (at, _)) in world.starts.iter().enumerate() {
            let grid_us = u64::try_from(index).unwrap() * 2_000_000;
            let delay_us = at.micros_since(start).checked_sub(grid_us);
            prop_assert!(delay_us.is_some_and(|us| us <= u64::from(jitter) * 20_000), "{delay_us:?}");
            delays.extend(delay_us);
        }
        prop_assert!(delays.len() > 100, "{} different delays", delays.len());
    }
}

#[test]
fn after_a_first_failure_questions_come_fast_until_they_have_decided() {
    let mut world = World::new(
        &with(1, |pool| {
            pool.fall = 3;
            pool.watch.fast_retry = Some(Millis::new(200));
        }),
        vec![Mood::Good],
    );
    world.for_seconds(3);
    let begun = world.starts.len();
    world.moods[0] = Mood::Refuses;
    world.for_seconds(10);
    let after: Vec<u64> = world.starts[begun..].iter().map(|(at, _)| at.millis()).collect();
    assert_eq!(after, [9000, 9200, 9401, 11_000, 13_000, 15_000, 17_000]);
    let (at, to) = world.last_change();
    assert_eq!((at.millis(), to), (9402, State::Down));
}

#[test]
fn a_standby_box_asks_at_its_own_interval_and_an_active_one_at_once_as_usual() {
    let config = with(1, |pool| pool.watch.standby_interval = Some(Millis::from_secs(20)));
    let mut world = World::new(&config, vec![Mood::Good]);
    assert!(world.health.activate(false));
    world.configure(&config);
    world.for_seconds(99);
    assert_eq!(world.starts.len(), 5);
    assert!(world.health.activate(true) && !world.health.activate(true));
    let asked = world.starts.len();
    world.configure(&config);
    world.for_seconds(9);
    assert_eq!(world.starts.len() - asked, 5);
    assert_eq!(world.changes.len(), 1, "a change of roles is no news of the server");
}

#[test]
fn a_pool_without_its_quorum_is_short_until_the_hysteresis_is_met_also_over_a_restart() {
    let config = with(4, |pool| {
        pool.shortage.quorum = Some(2);
        pool.shortage.hysteresis = 1;
    });
    let mut world = World::new(&config, vec![Mood::Good; 4]);
    assert_eq!(standing(&world), (false, false), "nobody knows yet");
    world.for_seconds(5);
    world.moods = vec![Mood::Good, Mood::Refuses, Mood::Refuses, Mood::Refuses];
    world.for_seconds(5);
    assert_eq!(standing(&world), (true, false));
    assert_eq!(world.notes, ["pool web port 80: 1 of 4 servers up, the quorum of 2 is lost"]);
    world.moods[1] = Mood::Good;
    world.for_seconds(5);
    assert_eq!(standing(&world), (true, false), "two are the quorum, three bring it back");
    let saved = world.health.checkpoint();
    let mut world = World::resume(Some(&saved), &config, world.moods.clone(), world.now);
    world.for_seconds(5);
    assert_eq!((standing(&world), world.notes.len()), ((true, false), 0));
    world.moods[2] = Mood::Good;
    world.for_seconds(5);
    assert_eq!(standing(&world), (false, false));
    assert_eq!(world.notes, ["pool web port 80: enough servers are up again"]);
}

#[test]
fn a_pool_with_too_many_down_at_once_keeps_all_and_says_so() {
    let mut world =
        World::new(&with(4, |pool| pool.shortage.panic_threshold = Some(50)), vec![Mood::Good; 4]);
    world.for_seconds(5);
    world.moods = vec![Mood::Refuses, Mood::Refuses, Mood::Good, Mood::Good];
    world.for_seconds(5);
    assert_eq!(standing(&world), (false, false));
    world.moods[2] = Mood::Refuses;
    world.for_seconds(5);
    assert_eq!(standing(&world), (false, true));
    assert_eq!(
        world.health.pool_alarms().collect::<Vec<_>>(),
        ["pool web port 80: 3 of 4 servers are down at once: all are kept (panic-threshold 50 percent)"]
    );
    assert_eq!(
        world.health.decided(&name("web"), &server_name(0), world.now).unwrap(),
        "kept in use: too many are down at once"
    );
    world.moods = vec![Mood::Good; 4];
    world.for_seconds(5);
    assert_eq!((standing(&world), world.health.pool_alarms().count()), ((false, false), 0));
}

#[test]
fn a_server_that_came_back_starts_slowly_beside_others_and_never_alone() {
    let config = with(2, |pool| pool.shortage.slow_start = Some(Millis::from_secs(100)));
    let mut world = World::new(&config, vec![Mood::Good; 2]);
    world.for_seconds(3);
    assert_eq!((share(&world, 0), share(&world, 1)), (1100, 1100), "a new director slows nobody down");
    world.moods[0] = Mood::Refuses;
    world.for_seconds(4);
    world.moods[0] = Mood::Good;
    world.for_seconds(4);
    let up = world.last_change().0;
    let mut shares = Vec::new();
    for ten in 0..=10 {
        world.run(up.after(Millis::from_secs(ten * 10 + 5)));
        shares.push(share(&world, 0));
    }
    assert_eq!(shares, [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1100]);
    // Alone: back to the full weight at once.
    world.moods[0] = Mood::Refuses;
    world.for_seconds(4);
    world.moods[0] = Mood::Good;
    world.for_seconds(4);
    assert_eq!(share(&world, 0), 100);
    world.moods[1] = Mood::Refuses;
    world.for_seconds(4);
    assert_eq!((world.state(1), share(&world, 0)), (State::Down, 1100));
    // The only one that comes back is not slowed down; the next one is.
    world.moods = vec![Mood::Refuses; 2];
    world.for_seconds(4);
    world.moods[0] = Mood::Good;
    world.for_seconds(4);
    world.moods[1] = Mood::Good;
    world.for_seconds(4);
    assert_eq!((share(&world, 0), share(&world, 1)), (1100, 100));
}

#[test]
fn a_ramp_goes_on_where_it_was_after_a_restart() {
    let config = with(2, |pool| pool.shortage.slow_start = Some(Millis::from_secs(100)));
    let mut world = World::new(&config, vec![Mood::Good; 2]);
    world.for_seconds(3);
    world.moods[0] = Mood::Refuses;
    world.for_seconds(4);
    world.moods[0] = Mood::Good;
    world.for_seconds(40);
    let before = share(&world, 0);
    let mut world = World::resume(Some(&world.health.checkpoint()), &config, world.moods.clone(), world.now);
    assert_eq!((share(&world, 0), world.changes.len()), (before, 0));
    world.for_seconds(100);
    assert_eq!((before, share(&world, 0)), (400, 1100));
}

#[test]
fn a_server_that_is_out_for_long_leaves_the_table_until_it_is_back() {
    let config = with(2, |pool| pool.shortage.remove_after = Some(Millis::from_secs(60)));
    let removed = |world: &World| world.health.removed(&name("web"), &server_name(0), 80);
    let mut world = World::new(&config, vec![Mood::Good; 2]);
    world.for_seconds(3);
    world.moods[0] = Mood::Refuses;
    world.for_seconds(40);
    assert!(!removed(&world));
    // A restart does not start the time over.
    let mut world = World::resume(Some(&world.health.checkpoint()), &config, world.moods.clone(), world.now);
    world.for_seconds(25);
    assert!(removed(&world));
    assert_eq!(world.notes, ["server rs0 in pool web: out for too long (remove-after): leaves the table"]);
    world.moods[0] = Mood::Good;
    world.for_seconds(4);
    assert!(!removed(&world));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn whatever_the_servers_do_a_ramp_needs_a_full_server_beside_it_and_every_deadline_moves_on(
        walk in proptest::collection::vec((0_usize..3, any::<bool>(), 0_u64..40), 1..40),
    ) {
        let config = with(3, |pool| {
            pool.shortage.slow_start = Some(Millis::from_secs(60));
            pool.shortage.remove_after = Some(Millis::from_secs(30));
            pool.shortage.quorum = Some(2);
            pool.shortage.panic_threshold = Some(60);
            pool.watch.flap_limit = Some(4);
            pool.watch.jitter = 10;
            pool.watch.fast_retry = Some(Millis::new(100));
        });
        let mut world = World::new(&config, vec![Mood::Good; 3]);
        for (index, good, seconds) in walk {
            world.moods[index] = if good { Mood::Good } else { Mood::Refuses };
            world.for_seconds(seconds);
            let up: Vec<u32> = (0..3).filter(|i| world.state(*i) == State::Up).map(|i| share(&world, i)).collect();
            prop_assert!(up.is_empty() || up.contains(&1100), "{up:?}");
            prop_assert!(world.health.next_deadline().is_some_and(|at| at > world.now));
            prop_assert!(world.health.steps.len() <= 3);
        }
        prop_assert!(world.starts.len() < STEPS_PER_CALL * 100);
    }
}
