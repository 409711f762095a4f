//! Two machines on one clock.

mod restarts;

use super::*;
use alloc::collections::BTreeMap;

const PRIMARY: usize = 0;
const BACKUP: usize = 1;

fn settings(own: Node) -> Settings {
    Settings {
        group: 1,
        own,
        priority: if own == Node::Primary { 100 } else { 90 },
        interval: Millis::new(100),
        dead_time: Millis::new(300),
        warn_time: Millis::new(150),
        start_hold: Millis::new(1000),
        detection: Detection::DeadTime,
        failback: Failback::Automatic,
        failback_delay: Millis::new(2000),
    }
}

fn local() -> Local {
    Local {
        fitness: Fitness::FULL,
        connected: true,
        held: false,
        running: Running::default(),
        schema: 2,
        firmware: heapless::String::new(),
        usable: 1,
        connections: 0,
        boots: 1,
        table: true,
    }
}

/// Two nodes and two paths of 200 microseconds; the kernel releases addresses within a millisecond.
struct Pair {
    now: Mono,
    nodes: [Option<Election>; 2],
    settings: [Settings; 2],
    /// From whom nothing arrives.
    cut: [bool; 2],
    wire: BTreeMap<(Mono, u64), (usize, u8, Frame)>,
    released: [Option<Mono>; 2],
    warnings: Vec<(usize, Warning)>,
    announced: [u32; 2],
    sent: Vec<(usize, Frame)>,
    next: u64,
    boots: u32,
}

impl Pair {
    fn new(change: impl Fn(&mut Settings)) -> Self {
        let settings = [Node::Primary, Node::Backup].map(|own| {
            let mut settings = settings(own);
            change(&mut settings);
            settings
        });
        Self {
            now: Mono::from_millis(1000),
            nodes: [None, None],
            settings,
            cut: [false; 2],
            wire: BTreeMap::new(),
            released: [None; 2],
            warnings: Vec::new(),
            announced: [0; 2],
            sent: Vec::new(),
            next: 0,
            boots: 0,
        }
    }

    /// Both run, and the primary is active.
    fn running(change: impl Fn(&mut Settings)) -> Self {
        let mut pair = Self::new(change);
        pair.boot(PRIMARY);
        pair.boot(BACKUP);
        pair.run(50);
        assert_eq!(pair.active(), [true, false]);
        pair.run(1000);
        pair
    }

    fn boot(&mut self, node: usize) {
        self.boots += 1;
        let nonce = u64::from(self.boots) * 7919;
        let local = Local { boots: self.boots, ..local() };
        self.nodes[node] = Some(Election::start(self.settings[node], local, nonce, None, self.now));
    }

    fn crash(&mut self, node: usize) {
        self.nodes[node] = None;
        self.released[node] = None;
        self.wire.retain(|_, (to, _, _)| *to != node);
    }

    fn active(&self) -> [bool; 2] {
        [0, 1].map(|n| self.nodes[n].as_ref().is_some_and(Election::active))
    }

    fn why(&self, node: usize) -> Reason {
        self.nodes[node].as_ref().unwrap().why().0
    }

    fn act<T>(&mut self, node: usize, act: impl FnOnce(&mut Election, Mono, &mut Vec<Output>) -> T) -> T {
        let mut out = Vec::new();
        let result = act(self.nodes[node].as_mut().expect("a running node"), self.now, &mut out);
        for output in out {
            match output {
                Output::Send(frame) => {
                    self.sent.push((node, frame.clone()));
                    let late = Mono::from_micros(self.now.micros() + 200);
                    for path in 0..2 {
                        self.next += 1;
                        if !self.cut[node] && self.nodes[1 - node].is_some() {
                            self.wire.insert((late, self.next), (1 - node, path, frame.clone()));
                        }
                    }
                }
                Output::Changed => {
                    if matches!(self.nodes[node].as_ref().unwrap().role(), Role::Releasing { .. }) {
                        self.released[node] = Some(Mono::from_micros(self.now.micros() + 1000));
                    }
                }
                Output::Announce => self.announced[node] += 1,
                Output::Warn(warning) => self.warnings.push((node, warning)),
            }
        }
        result
    }

    /// One event, if there is any until `end`.
    fn step(&mut self, end: Mono) -> bool {
        let deadlines = [0, 1].map(|n| self.nodes[n].as_ref().map(|e| e.next_deadline().max(self.now)));
        let wire = self.wire.keys().next().map(|(at, _)| *at);
        let all = deadlines.iter().chain(&self.released).copied().chain([wire]).flatten();
        let Some(next) = all.min().filter(|at| *at <= end) else {
            self.now = end;
            return false;
        };
        self.now = next;
        if let Some((to, path, frame)) =
            self.wire.first_entry().filter(|e| e.key().0 <= next).map(|e| e.remove())
        {
            self.act(to, |e, now, out| e.receive(path, &frame, now, out));
        } else if let Some(node) = [0, 1].into_iter().find(|n| self.released[*n].is_some_and(|at| at <= next))
        {
            self.released[node] = None;
            self.act(node, Election::released);
        } else {
            let node = usize::from(deadlines[0].is_none_or(|at| at > next));
            self.act(node, Election::on_deadline);
        }
        true
    }

    fn run(&mut self, ms: u64) {
        let end = Mono::from_micros(self.now.micros() + ms * 1000);
        let mut steps = 0;
        while self.step(end) {
            steps += 1;
            assert!(steps < 50_000, "time stands still at {}", self.now);
        }
    }

    /// Milliseconds until it holds.
    fn until(&mut self, limit_ms: u64, condition: impl Fn(&Self) -> bool) -> u64 {
        let begin = self.now;
        let end = Mono::from_micros(self.now.micros() + limit_ms * 1000);
        let mut steps = 0;
        while !condition(self) {
            steps += 1;
            assert!(steps < 50_000 && self.step(end), "not within {limit_ms} ms");
        }
        self.now.micros_since(begin) / 1000
    }
}

#[test]
fn two_nodes_that_start_together_agree_at_once_on_the_better_one() {
    let mut pair = Pair::new(|_| ());
    pair.boot(PRIMARY);
    pair.boot(BACKUP);
    pair.run(5);
    assert_eq!(pair.active(), [true, false]);
    assert_eq!(pair.why(PRIMARY), Reason::Better);
}

#[test]
fn a_node_that_starts_alone_serves_after_the_start_hold() {
    let mut pair = Pair::new(|_| ());
    pair.boot(BACKUP);
    assert_eq!(pair.until(2000, |p| p.active() == [false, true]), 1000);
    assert_eq!(pair.why(BACKUP), Reason::NobodyThere);
}

#[test]
fn a_crash_is_taken_over_at_the_dead_time_and_not_before() {
    let mut pair = Pair::running(|_| ());
    pair.crash(PRIMARY);
    let took = pair.until(1000, |p| p.active()[BACKUP]);
    assert!((200..=301).contains(&took), "{took}");
    assert!(matches!(pair.why(BACKUP), Reason::PeerSilent { ms: 300..=301 }));
}

#[test]
fn the_probe_finds_a_crash_before_the_dead_time() {
    let mut pair = Pair::running(|s| {
        s.detection = Detection::Probe;
        (s.interval, s.dead_time) = (Millis::new(1000), Millis::from_secs(3));
    });
    pair.crash(PRIMARY);
    let took = pair.until(3000, |p| p.active()[BACKUP]);
    assert!((500..=1560).contains(&took), "{took}");
    assert!(matches!(pair.why(BACKUP), Reason::PeerMute { .. }));
}

#[test]
fn a_peer_that_is_only_late_answers_the_questions_and_stays() {
    let mut pair = Pair::running(|s| s.detection = Detection::Probe);
    for _ in 0..50 {
        // Its next heartbeats are lost.
        pair.cut[PRIMARY] = true;
        pair.run(165);
        pair.cut[PRIMARY] = false;
        pair.run(300);
    }
    assert_eq!(pair.active(), [true, false]);
    assert!(pair.sent.iter().any(|(node, frame)| *node == BACKUP && frame.marks.ask));
}

#[test]
fn the_better_node_comes_back_by_itself_and_the_role_is_handed_over() {
    let mut pair = Pair::running(|_| ());
    pair.crash(PRIMARY);
    pair.run(1000);
    pair.boot(PRIMARY);
    pair.until(1000, |p| p.active() == [false, false] && p.why(BACKUP) == Reason::PeerPreferred);
    let gap = pair.until(1000, |p| p.active()[PRIMARY]);
    assert!(gap <= 2, "{gap} ms without an owner");
    assert_eq!(pair.why(PRIMARY), Reason::PeerYielded);
    pair.run(2000);
    assert_eq!(pair.active(), [true, false]);
}

#[test]
fn failback_waits_for_the_operator_or_for_its_delay() {
    for (failback, after) in [(Failback::Manual, None), (Failback::Delayed, Some(2000..2600))] {
        let mut pair = Pair::running(|s| s.failback = failback);
        pair.crash(PRIMARY);
        pair.run(1000);
        pair.boot(PRIMARY);
        match after {
            Some(range) => {
                let took = pair.until(5000, |p| p.active()[PRIMARY]);
                assert!(range.contains(&took), "{took}");
            }
            None => {
                pair.run(60_000);
                assert_eq!(pair.active(), [false, true]);
                pair.act(PRIMARY, Election::take_over).unwrap();
                assert!(pair.until(1000, |p| p.active() == [true, false]) <= 3);
            }
        }
    }
}

#[test]
fn a_node_that_stops_hands_over_at_once() {
    let mut pair = Pair::running(|_| ());
    pair.act(PRIMARY, Election::leave);
    assert!(pair.until(100, |p| p.active()[BACKUP]) <= 2);
    assert_eq!(pair.why(BACKUP), Reason::PeerLeft);
}

#[test]
fn standby_by_command_lasts_until_takeover_by_command() {
    let mut pair = Pair::running(|_| ());
    pair.act(PRIMARY, Election::stand_by).unwrap();
    assert!(pair.until(100, |p| p.active()[BACKUP]) <= 3);
    pair.run(60_000);
    assert_eq!(pair.active(), [false, true]);
    assert_eq!(pair.act(PRIMARY, Election::stand_by), Err(Denied::Already));
    pair.act(PRIMARY, Election::take_over).unwrap();
    assert!(pair.until(100, |p| p.active() == [true, false]) <= 3);
    // Set aside, it still takes over from a dead peer.
    pair.act(PRIMARY, Election::stand_by).unwrap();
    pair.run(100);
    pair.crash(BACKUP);
    pair.until(400, |p| p.active()[PRIMARY]);
}

#[test]
fn a_role_that_is_given_back_at_once_is_not_taken_for_given_again() {
    let mut pair = Pair::running(|_| ());
    pair.act(PRIMARY, Election::stand_by).unwrap();
    pair.run(1000);
    pair.act(PRIMARY, Election::take_over).unwrap();
    pair.until(1000, |p| p.active() == [true, false]);
    // Until it hears that the primary is active the backup says that it gave its role away.
    pair.run(5);
    pair.act(PRIMARY, Election::stand_by).unwrap();
    pair.run(1000);
    assert_eq!(pair.active(), [false, true]);
}

#[test]
fn standby_by_command_without_a_peer_is_denied() {
    let mut pair = Pair::running(|_| ());
    pair.crash(BACKUP);
    pair.run(1000);
    assert_eq!(pair.act(PRIMARY, Election::stand_by), Err(Denied::NoPeer));
}

#[test]
fn a_role_that_nobody_takes_is_taken_back() {
    let mut pair = Pair::running(|_| ());
    pair.act(PRIMARY, Election::stand_by).unwrap();
    pair.crash(BACKUP);
    let took = pair.until(1000, |p| p.active()[PRIMARY]);
    assert!(took <= 310, "{took}");
}

#[test]
fn the_node_that_sees_no_server_hands_over_to_the_one_that_does() {
    let mut pair = Pair::running(|_| ());
    let blind = Local { fitness: Fitness { servers: false, ..Fitness::FULL }, ..local() };
    pair.act(PRIMARY, |e, now, out| e.update(blind, now, out));
    let took = pair.until(1000, |p| p.active() == [false, true]);
    assert!(took <= 110, "{took}");
    pair.run(10_000);
    assert_eq!(pair.active(), [false, true]);
    pair.act(PRIMARY, |e, now, out| e.update(local(), now, out));
    pair.until(1000, |p| p.active() == [true, false]);
}

#[test]
fn a_witness_breaks_the_tie_when_the_nodes_do_not_hear_each_other() {
    let cut_off = || Local { fitness: Fitness { witness: false, ..Fitness::FULL }, ..local() };
    let mut pair = Pair::running(|_| ());
    pair.cut = [true, true];
    pair.act(BACKUP, |e, now, out| e.update(cut_off(), now, out));
    pair.run(10_000);
    assert_eq!(pair.active(), [true, false], "the box that is cut off takes nothing");
    pair.act(BACKUP, |e, now, out| e.update(local(), now, out));
    pair.until(400, |p| p.active()[BACKUP]);
}

#[test]
fn a_witness_that_both_lose_one_after_the_other_moves_nothing() {
    let cut_off = || Local { fitness: Fitness { witness: false, ..Fitness::FULL }, ..local() };
    let mut pair = Pair::running(|_| ());
    pair.act(PRIMARY, |e, now, out| e.update(cut_off(), now, out));
    pair.run(250);
    pair.act(BACKUP, |e, now, out| e.update(cut_off(), now, out));
    pair.run(10_000);
    assert_eq!(pair.active(), [true, false]);
    assert_eq!(pair.why(PRIMARY), Reason::Better);
    pair.act(BACKUP, |e, now, out| e.update(local(), now, out));
    let took = pair.until(1000, |p| p.active() == [false, true]);
    assert!((300..=420).contains(&took), "{took}");
}

#[test]
fn a_box_that_was_set_aside_still_takes_over_from_one_that_lost_its_link() {
    let mut pair = Pair::running(|_| ());
    // A hand-over there and back leaves the backup set aside.
    pair.act(PRIMARY, Election::stand_by).unwrap();
    pair.until(100, |p| p.active()[BACKUP]);
    pair.run(100);
    pair.act(PRIMARY, Election::take_over).unwrap();
    pair.until(100, |p| p.active()[PRIMARY]);
    pair.run(1000);
    assert!(pair.nodes[BACKUP].as_ref().unwrap().is_aside());
    let unplugged = Local { fitness: Fitness { links: false, ..Fitness::FULL }, ..local() };
    pair.act(PRIMARY, |e, now, out| e.update(unplugged, now, out));
    let took = pair.until(1000, |p| p.active() == [false, true]);
    assert!(took <= 110, "{took}");
    pair.run(10_000);
    assert_eq!(pair.active(), [false, true]);
}

#[test]
fn a_command_that_would_leave_the_addresses_with_the_worse_box_is_denied() {
    let mut pair = Pair::running(|_| ());
    let blind = Local { fitness: Fitness { servers: false, ..Fitness::FULL }, ..local() };
    pair.act(BACKUP, |e, now, out| e.update(blind, now, out));
    pair.run(200);
    assert_eq!(pair.act(PRIMARY, Election::stand_by), Err(Denied::PeerUnfit));
    assert_eq!(pair.act(BACKUP, Election::take_over), Err(Denied::Unfit));
    pair.run(1000);
    assert_eq!(pair.active(), [true, false]);
}

#[test]
fn a_duel_ends_within_one_heartbeat_and_the_winner_announces_again() {
    let mut pair = Pair::running(|_| ());
    pair.cut = [true, true];
    pair.run(5000);
    assert_eq!(pair.active(), [true, true]);
    pair.cut = [false, false];
    let took = pair.until(500, |p| p.active() == [true, false]);
    assert!(took <= 101, "{took}");
    pair.run(50);
    assert_eq!(pair.announced, [1, 0]);
    assert_eq!(pair.why(BACKUP), Reason::DuelLost);
}

#[test]
fn a_cut_in_one_direction_delays_a_takeover_by_a_bounded_time() {
    let mut pair = Pair::running(|_| ());
    pair.cut[BACKUP] = true;
    // The active node hears nothing; the standby is heard by nobody, and hears an active node that does not hear it.
    let took = pair.until(5000, |p| p.active()[BACKUP]);
    assert!((550..=900).contains(&took), "{took}");
    assert!(pair.warnings.contains(&(BACKUP, Warning::OneWay)));
    pair.cut[BACKUP] = false;
    pair.until(300, |p| p.active() == [true, false]);
}

#[test]
fn recorded_frames_change_nothing_after_both_nodes_were_started_again() {
    let mut pair = Pair::running(|_| ());
    let recorded: Vec<Frame> =
        pair.sent.iter().filter(|(n, _)| *n == PRIMARY).map(|(_, f)| f.clone()).collect();
    pair.crash(PRIMARY);
    pair.crash(BACKUP);
    pair.boot(BACKUP);
    for frame in recorded.iter().cycle().take(4000) {
        pair.run(1);
        pair.act(BACKUP, |e, now, out| e.receive(0, frame, now, out));
        let peer = pair.nodes[BACKUP].as_ref().unwrap().peer();
        assert_eq!(peer.proven(), None);
    }
    // It may delay the start by the bounded time of a one-way cut, and no more.
    assert_eq!(pair.active(), [false, true]);
}

#[test]
fn replayed_frames_do_not_keep_a_dead_peer_alive() {
    let mut pair = Pair::running(|_| ());
    let recorded: Vec<Frame> =
        pair.sent.iter().filter(|(n, _)| *n == PRIMARY).map(|(_, f)| f.clone()).collect();
    pair.crash(PRIMARY);
    let begin = pair.now;
    for _ in 0..400 {
        if pair.active()[BACKUP] {
            break;
        }
        pair.run(1);
        for frame in recorded.iter().rev().take(5) {
            pair.act(BACKUP, |e, now, out| e.receive(1, frame, now, out));
        }
    }
    assert!(pair.now.micros_since(begin) <= 302_000);
}

#[test]
fn equal_priorities_leave_the_role_where_it_is() {
    let mut pair = Pair::running(|s| s.priority = 100);
    pair.crash(PRIMARY);
    pair.run(1000);
    pair.boot(PRIMARY);
    pair.run(60_000);
    assert_eq!(pair.active(), [false, true]);
}

#[test]
fn a_node_without_any_link_does_not_take_over() {
    let mut pair = Pair::running(|_| ());
    let dark = Local { connected: false, fitness: Fitness { links: false, ..Fitness::FULL }, ..local() };
    pair.act(BACKUP, |e, now, out| e.update(dark, now, out));
    pair.cut = [true, true];
    pair.run(10_000);
    assert_eq!(pair.active(), [true, false]);
    pair.cut = [false, false];
    pair.act(BACKUP, |e, now, out| e.update(local(), now, out));
    pair.run(1000);
    assert_eq!(pair.active(), [true, false]);
}
