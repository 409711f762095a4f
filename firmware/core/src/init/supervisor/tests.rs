use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

const CRASH: Exit = Exit::Signal(11);

/// PID 1 with a clock of its own: wakes at each deadline, keeps what was done and when.
struct Rig {
    machine: Supervisor,
    now: Mono,
    sequence: u64,
    beat: Mono,
    done: Vec<(u64, Action)>,
}

impl Rig {
    fn boot() -> Self {
        let now = Mono::from_millis(1000);
        let mut rig = Self {
            machine: Supervisor::start(false, now),
            now,
            sequence: 0,
            beat: Mono::ZERO,
            done: Vec::new(),
        };
        rig.give(Input::Tick);
        rig
    }

    fn serving() -> Self {
        let mut rig = Self::boot();
        rig.report();
        rig.done.clear();
        rig
    }

    fn give(&mut self, input: Input) {
        let actions = self.machine.handle(input, self.now);
        self.done.extend(actions.into_iter().map(|a| (self.now.millis(), a)));
    }

    fn report(&mut self) {
        self.sequence += 1;
        self.give(Input::Report(Report { sequence: self.sequence, at: self.now, beat: self.beat }));
    }

    fn wait(&mut self, ms: u32) {
        let end = self.now.after(Millis::new(ms));
        while let Some(deadline) = self.machine.next_deadline().filter(|d| *d <= end) {
            self.now = self.now.max(deadline);
            self.give(Input::Tick);
        }
        self.now = end;
    }

    /// What was done since the last call, without feeding.
    fn done(&mut self) -> Vec<(u64, Action)> {
        self.done.drain(..).filter(|(_, a)| *a != Action::Feed).collect()
    }

    /// Starts and signals only.
    fn acts(&mut self) -> Vec<(u64, Action)> {
        self.done().into_iter().filter(|(_, a)| !matches!(a, Action::Note(_))).collect()
    }
}

#[test]
fn the_console_gets_the_line_when_the_director_reports_first() {
    let mut rig = Rig::boot();
    assert_eq!(rig.done(), [(1000, Action::Start(Child::Director))]);
    rig.wait(30);
    rig.report();
    assert_eq!(
        rig.done(),
        [
            (1030, Action::DirectorPhase { took: Millis::new(30), problem: None }),
            (1030, Action::HandOver),
            (1030, Action::Start(Child::Console)),
        ]
    );
    rig.report();
    assert_eq!(rig.done(), []);
}

#[test]
fn the_console_gets_the_line_without_a_director_after_the_deadline() {
    let mut rig = Rig::boot();
    rig.give(Input::Ended(Child::Director, Exit::Code(125)));
    rig.wait(20_000);
    let done = rig.acts();
    assert!(matches!(done[1], (11_000, Action::DirectorPhase { problem: Some(_), .. })));
    assert_eq!(done[3], (11_000, Action::Start(Child::Console)));
    assert_eq!(done.len(), 4);
}

#[test]
fn the_relay_of_the_kernel_log_starts_only_when_asked_for() {
    let mut with = Supervisor::start(true, Mono::ZERO);
    assert!(with.handle(Input::Tick, Mono::ZERO).contains(&Action::Start(Child::KmsgRelay)));
    let mut without = Supervisor::start(false, Mono::ZERO);
    assert!(!without.handle(Input::Tick, Mono::ZERO).contains(&Action::Start(Child::KmsgRelay)));
}

#[test]
fn a_crashed_child_starts_again_at_once_and_later_ones_wait() {
    for child in [Child::Director, Child::Console] {
        let mut rig = Rig::serving();
        rig.give(Input::Ended(child, CRASH));
        assert_eq!(rig.acts(), [(1000, Action::Start(child))]);
        rig.give(Input::Ended(child, CRASH));
        rig.wait(300);
        assert_eq!(rig.acts(), [(1250, Action::Start(child))]);
    }
}

#[test]
fn a_child_that_asks_for_it_is_not_started_again_until_the_operator_does() {
    let mut rig = Rig::serving();
    rig.give(Input::Ended(Child::Director, Exit::Code(125)));
    rig.wait(60_000);
    assert_eq!(rig.done(), [(1000, Action::Note(Note::Retired { child: Child::Director }))]);
    rig.give(Input::Asked(Ask::RestartDirector));
    assert_eq!(rig.acts(), [(61_000, Action::Start(Child::Director))]);
}

#[test]
fn a_restart_that_was_asked_for_kills_and_starts_at_once() {
    let mut rig = Rig::serving();
    rig.give(Input::Ended(Child::Director, CRASH));
    rig.acts();
    rig.give(Input::Asked(Ask::RestartDirector));
    assert_eq!(rig.acts(), [(1000, Action::Send(Child::Director, Signal::Kill))]);
    rig.give(Input::Ended(Child::Director, Exit::Signal(9)));
    assert_eq!(rig.acts(), [(1000, Action::Start(Child::Director))]);
}

#[test]
fn a_wedged_director_is_aborted_killed_and_started_again() {
    let mut rig = Rig::serving();
    rig.wait(3500);
    assert_eq!(
        rig.acts(),
        [
            (3000, Action::Send(Child::Director, Signal::Abort)),
            (4000, Action::Send(Child::Director, Signal::Kill)),
        ]
    );
    rig.give(Input::Ended(Child::Director, Exit::Signal(9)));
    assert_eq!(rig.acts(), [(4500, Action::Start(Child::Director))]);
}

#[test]
fn the_addresses_of_a_director_that_stands_still_go_before_the_peer_may_take_them() {
    let mut rig = Rig::serving();
    rig.give(Input::Orders(Some(Millis::new(190))));
    for _ in 0..10 {
        rig.wait(100);
        rig.beat = rig.now;
        rig.report();
    }
    assert_eq!(rig.acts(), []);
    rig.wait(3500);
    assert_eq!(
        rig.acts(),
        [
            (2190, Action::Fence),
            (4000, Action::Send(Child::Director, Signal::Abort)),
            (5000, Action::Send(Child::Director, Signal::Kill)),
        ]
    );
    assert!(rig.machine.fenced(), "the next director must know");
    rig.give(Input::Ended(Child::Director, Exit::Signal(9)));
    rig.beat = rig.now;
    rig.report();
    assert!(!rig.machine.fenced());
}

#[test]
fn the_hardware_watchdog_follows_the_limit_where_whole_seconds_allow() {
    let mut rig = Rig::serving();
    for (limit, timeout) in
        [(Some(2950), Some(2)), (Some(9700), Some(9)), (Some(190), Some(10)), (None, None)]
    {
        rig.give(Input::Orders(limit.map(Millis::new)));
        let asked = rig.acts().into_iter().find_map(|(_, a)| {
            let Action::Timeout(seconds) = a else { return None };
            Some(seconds)
        });
        assert_eq!(asked, timeout);
    }
}

#[test]
fn a_director_that_does_not_stop_loses_its_addresses_at_the_end() {
    let mut rig = Rig::serving();
    rig.give(Input::Orders(Some(Millis::new(9000))));
    rig.give(Input::Asked(Ask::Power(Power::Reboot)));
    rig.wait(10_000);
    let acts = rig.acts();
    assert_eq!(&acts[acts.len() - 2..], [(6000, Action::Fence), (6000, Action::End(Power::Reboot))]);
}

#[test]
fn the_watchdog_starves_only_when_a_killed_director_stays() {
    let fed = |rig: &mut Rig| rig.done.drain(..).filter(|(_, a)| *a == Action::Feed).count();
    let mut rig = Rig::serving();
    for _ in 0..100 {
        rig.wait(100);
        rig.report();
    }
    assert_eq!(fed(&mut rig), 20);
    rig.wait(3900);
    assert!(fed(&mut rig) >= 6, "fed while PID 1 deals with it");
    rig.wait(30_000);
    assert!(fed(&mut rig) <= 1, "the hardware ends what SIGKILL does not");
    rig.give(Input::Ended(Child::Director, Exit::Signal(9)));
    rig.wait(2000);
    assert!(fed(&mut rig) >= 2, "fed again with a new director");
}

#[test]
fn a_crash_loop_of_the_director_leaves_the_box_running() {
    let mut rig = Rig::serving();
    for _ in 0..1000 {
        rig.wait(100);
        rig.give(Input::Ended(Child::Director, CRASH));
    }
    let feeds = rig.done.iter().filter(|(_, a)| *a == Action::Feed).count();
    assert!(feeds >= 100, "{feeds} in 100 s");
    let starts = rig.done.iter().filter(|(_, a)| *a == Action::Start(Child::Director)).count();
    assert!((20..50).contains(&starts), "{starts} in 100 s");
    assert!(
        rig.done.iter().any(|(_, a)| matches!(a, Action::Note(Note::Restarting { crash_loop: true, .. })))
    );
}

#[test]
fn a_stop_waits_for_the_director_and_starts_nothing_more() {
    let mut rig = Rig::serving();
    rig.give(Input::Asked(Ask::Power(Power::Off)));
    rig.give(Input::Ended(Child::Console, CRASH));
    rig.give(Input::Asked(Ask::Power(Power::Reboot)));
    rig.give(Input::Asked(Ask::RestartDirector));
    rig.wait(200);
    assert_eq!(rig.acts(), [(1000, Action::Send(Child::Director, Signal::Term))]);
    rig.give(Input::Ended(Child::Director, Exit::Code(0)));
    assert_eq!(rig.acts(), [(1200, Action::End(Power::Off))]);
    rig.wait(60_000);
    assert_eq!(rig.done(), []);
}

#[test]
fn a_director_that_does_not_stop_is_not_waited_for() {
    let mut rig = Rig::serving();
    rig.give(Input::Asked(Ask::Power(Power::Reboot)));
    rig.wait(10_000);
    assert_eq!(rig.acts().last(), Some(&(6000, Action::End(Power::Reboot))));
}

#[test]
fn a_stop_without_a_director_is_immediate() {
    let mut rig = Rig::serving();
    rig.give(Input::Ended(Child::Director, CRASH));
    rig.give(Input::Ended(Child::Director, CRASH));
    rig.acts();
    rig.give(Input::Asked(Ask::Power(Power::Reboot)));
    assert_eq!(rig.acts(), [(1000, Action::End(Power::Reboot))]);
}

#[test]
fn a_report_from_nowhere_changes_nothing() {
    let mut rig = Rig::boot();
    rig.give(Input::Ended(Child::Director, CRASH));
    rig.give(Input::Ended(Child::Director, CRASH));
    rig.acts();
    rig.report();
    assert_eq!(rig.acts(), []);
}

fn input() -> impl Strategy<Value = Input> {
    let child = proptest::sample::select(&Child::ALL[..]);
    let exit = prop_oneof![
        Just(Exit::Code(0)),
        Just(Exit::Code(125)),
        Just(Exit::Signal(9)),
        Just(Exit::NotStarted)
    ];
    let ask = prop_oneof![
        Just(Ask::Power(Power::Off)),
        Just(Ask::Power(Power::Reboot)),
        Just(Ask::RestartDirector)
    ];
    prop_oneof![
        4 => (child, exit).prop_map(|(c, e)| Input::Ended(c, e)),
        4 => (0_u64..50, 0_u64..100_000).prop_map(|(sequence, ms)| {
            Input::Report(Report { sequence, at: Mono::from_millis(ms), beat: Mono::from_millis(ms / 2) })
        }),
        1 => ask.prop_map(Input::Asked),
        1 => (0_u32..5000).prop_map(|ms| Input::Orders((ms > 500).then(|| Millis::new(ms)))),
        4 => Just(Input::Tick),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_child_runs_once_and_the_end_comes_once(
        inputs in proptest::collection::vec((input(), 0_u32..12_000), 0..60),
    ) {
        let mut machine = Supervisor::start(true, Mono::ZERO);
        let (mut now, mut up, mut over) = (Mono::ZERO, Vec::new(), false);
        for (input, gap) in inputs {
            now = now.after(Millis::new(gap));
            // Only what runs can end.
            if let Input::Ended(child, _) = input {
                if !up.contains(&child) {
                    continue;
                }
                up.retain(|c| *c != child);
            }
            for action in machine.handle(input, now) {
                prop_assert!(!over, "{action:?} after the end");
                match action {
                    Action::Start(child) => {
                        prop_assert!(!up.contains(&child), "{child} twice");
                        up.push(child);
                    }
                    Action::Send(child, _) => prop_assert!(up.contains(&child), "signal to {child}"),
                    Action::End(_) => over = true,
                    Action::Fence
                    | Action::Timeout(_)
                    | Action::Feed
                    | Action::DirectorPhase { .. }
                    | Action::HandOver
                    | Action::Note(_) => {}
                }
            }
            if !over {
                prop_assert!(machine.next_deadline().is_some());
            }
        }
    }
}
