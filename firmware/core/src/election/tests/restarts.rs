//! Directors that are restarted, and such that stand still.

use super::*;

#[test]
fn a_peer_that_comes_back_may_ask_as_soon_as_it_was_heard_and_the_limit_is_that_of_the_questions() {
    let mut pair = Pair::running(|s| s.detection = Detection::Probe);
    let settings = pair.settings[PRIMARY];
    let limit = |pair: &Pair| pair.nodes[PRIMARY].as_ref().unwrap().fence_after(pair.now);
    assert_eq!(limit(&pair), settings.fence_after(true));
    pair.crash(BACKUP);
    pair.run(500);
    assert_eq!(limit(&pair), settings.fence_after(false), "nobody is there to ask");
    pair.boot(BACKUP);
    pair.until(300, |p| p.nodes[PRIMARY].as_ref().unwrap().peer().one_way(p.now));
    // The next heartbeat proves to the peer that this node is there; from then on a late one makes it ask.
    assert_eq!(limit(&pair), settings.fence_after(true));
}

#[test]
fn a_restarted_director_goes_on_and_nobody_takes_over() {
    let mut pair = Pair::running(|_| ());
    let saved = pair.nodes[PRIMARY].as_ref().unwrap().saved();
    pair.crash(PRIMARY);
    pair.run(100);
    let local = Local { boots: 1, ..local() };
    pair.nodes[PRIMARY] = Some(Election::start(pair.settings[PRIMARY], local, 42, Some(saved), pair.now));
    pair.run(10_000);
    assert_eq!(pair.active(), [true, false]);
    assert_eq!(pair.why(PRIMARY), Reason::Resumed);
    assert!(!pair.warnings.iter().any(|(_, w)| matches!(w, Warning::Duel)));
}

#[test]
fn a_director_that_forgot_its_role_says_nothing_until_the_kernel_has_no_floating_address() {
    let mut pair = Pair::running(|s| s.failback = Failback::Manual);
    pair.crash(PRIMARY);
    pair.run(50);
    pair.boots += 1;
    // It has not looked at its servers yet, so its peer is the better one.
    let local =
        Local { fitness: Fitness { servers: false, ..Fitness::FULL }, boots: 1, held: true, ..local() };
    let start = Election::start(pair.settings[PRIMARY], local.clone(), 42, None, pair.now);
    pair.nodes[PRIMARY] = Some(start);
    pair.run(100);
    assert_eq!(pair.active(), [false, false], "{:?}", pair.why(BACKUP));
    let gone = Local { held: false, ..local };
    pair.act(PRIMARY, |e, now, out| e.update(gone, now, out));
    pair.run(5);
    assert_eq!(pair.active(), [false, true]);
}

#[test]
fn the_worse_box_lets_the_better_one_go_on_that_forgot_its_role() {
    let mut pair = Pair::running(|s| s.failback = Failback::Manual);
    pair.crash(PRIMARY);
    pair.run(50);
    pair.boot(PRIMARY);
    let took = pair.until(100, |p| p.active() == [true, false]);
    assert!(took <= 2, "{took}");
    pair.run(2000);
    assert_eq!(pair.active(), [true, false]);
    assert!(!pair.warnings.iter().any(|(_, w)| matches!(w, Warning::Duel)));
}

#[test]
fn a_director_that_cannot_know_its_kernel_is_silent_no_longer_than_a_release_takes() {
    let mut pair = Pair::new(|_| ());
    let start = Election::start(pair.settings[PRIMARY], Local { held: true, ..local() }, 42, None, pair.now);
    pair.nodes[PRIMARY] = Some(start);
    pair.run(u64::from(pair.settings[PRIMARY].release_max().get()) - 1);
    assert!(pair.sent.is_empty());
    pair.run(100);
    assert!(!pair.sent.is_empty());
}

/// A node gets no time and no frames for so long; what comes meanwhile waits for it.
fn freeze(pair: &mut Pair, node: usize, ms: u64) {
    let frozen = pair.nodes[node].take().expect("it runs");
    let mut held = Vec::new();
    let end = Mono::from_micros(pair.now.micros() + ms * 1000);
    while pair.now < end {
        let sent = pair.sent.len();
        let slice = Mono::from_micros((pair.now.micros() + 1000).min(end.micros()));
        while pair.step(slice) {}
        held.extend(pair.sent[sent..].iter().filter(|(n, _)| *n != node).map(|(_, f)| f.clone()));
    }
    pair.nodes[node] = Some(frozen);
    for frame in held {
        pair.act(node, |e, now, out| e.receive(0, &frame, now, out));
    }
}

#[test]
fn an_active_node_that_stood_still_does_not_take_its_role_up_again_beside_the_peer() {
    for detection in [Detection::DeadTime, Detection::Probe] {
        for ms in [150, 185, 250, 350, 1000, 5000] {
            let mut pair = Pair::running(|s| (s.detection, s.failback) = (detection, Failback::Manual));
            let fence = pair.settings[PRIMARY].fence_after(true);
            freeze(&mut pair, PRIMARY, ms);
            let both = pair.active() == [true, true];
            assert!(!both, "{detection:?} {ms} ms: both are active, fence {fence}");
            pair.run(1000);
            let active = pair.active();
            assert_eq!(active.iter().filter(|a| **a).count(), 1, "{detection:?} {ms} ms: {active:?}");
        }
    }
}

#[test]
fn an_active_node_that_stood_still_while_its_dead_peer_came_back_listens_first() {
    let mut pair = Pair::running(|s| s.failback = Failback::Manual);
    pair.crash(BACKUP);
    pair.run(1000);
    let backup = pair.settings[BACKUP];
    let frozen = pair.nodes[PRIMARY].take().expect("it runs");
    pair.boot(BACKUP);
    pair.run(1100);
    assert_eq!(pair.active(), [false, true]);
    // Its director dies; its addresses stay until init removes them.
    let died = pair.now;
    pair.crash(BACKUP);
    pair.nodes[PRIMARY] = Some(frozen);
    pair.run(u64::from(backup.fence_after(false).get()));
    assert_eq!(pair.active(), [false, false], "{} ms after", pair.now.micros_since(died) / 1000);
    pair.run(100);
    assert_eq!(pair.active(), [true, false], "{:?}", pair.why(PRIMARY));
}

#[test]
fn a_short_stall_costs_one_question_when_the_peer_did_not_take_over() {
    let mut pair = Pair::running(|s| s.dead_time = Millis::new(900));
    freeze(&mut pair, PRIMARY, 830);
    if !pair.active()[PRIMARY] {
        assert!(matches!(pair.why(PRIMARY), Reason::Stalled { .. }));
    }
    let took = pair.until(100, |p| p.active() == [true, false]);
    assert!(took <= 2, "{took}");
}

#[test]
fn addresses_are_given_up_before_the_peer_may_take_them() {
    for (interval, dead) in [(100, 300), (500, 2000), (2000, 10_000), (20, 60)] {
        for detection in [Detection::DeadTime, Detection::Probe] {
            let settings = Settings {
                interval: Millis::new(interval),
                dead_time: Millis::new(dead),
                detection,
                ..settings(Node::Primary)
            };
            let (fence, takeover) = (settings.fence_after(true), settings.takeover_min());
            assert!(fence.get() + 10 <= takeover.get(), "{fence} {takeover}");
            assert!(fence > settings.interval, "a healthy node must not be fenced: {fence}");
            assert!(settings.fence_after(false) >= fence);
        }
    }
}
