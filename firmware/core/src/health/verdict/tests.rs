use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

const RULE: Rule =
    Rule { rise: 2, fall: 3, dead_time: None, reentry: Millis::from_secs(180), flap_limit: None };
const DEAD: Rule = Rule { dead_time: Some(Millis::from_secs(10)), ..RULE };

fn s(seconds: u64) -> Mono {
    Mono::from_millis(seconds * 1000)
}

fn fresh() -> Machine {
    Machine::new(s(0), s(0))
}

fn good(machine: &mut Machine, rule: &Rule, at: u64) -> Option<Change> {
    machine.outcome(rule, Ok(()), s(at))
}

fn bad(machine: &mut Machine, rule: &Rule, at: u64) -> Option<Change> {
    machine.outcome(rule, Err("connection refused"), s(at))
}

/// A machine that was led into a state by time 0.
fn in_state(state: &str) -> Machine {
    let mut m = fresh();
    let quick = Rule { rise: 1, fall: 1, ..RULE };
    match state {
        "unknown" => {}
        "up" => drop(good(&mut m, &quick, 0)),
        "down" => drop(bad(&mut m, &quick, 0)),
        "reentering" => {
            bad(&mut m, &quick, 0);
            good(&mut m, &quick, 0);
        }
        other => panic!("{other}"),
    }
    m
}

fn name(state: State) -> &'static str {
    match state {
        State::Unknown => "unknown",
        State::Up => "up",
        State::Down => "down",
        State::Reentering { .. } => "reentering",
    }
}

/// Runs a script at one step a second from second 1: g good, b bad, `-` time only, R time beyond reentry.
fn play(machine: &mut Machine, rule: &Rule, script: &str) {
    let mut at = 0;
    for step in script.chars() {
        at += 1;
        match step {
            'g' => drop(good(machine, rule, at)),
            'b' => drop(bad(machine, rule, at)),
            '-' => drop(machine.settle(rule, s(at), None)),
            'R' => {
                at += 200;
                machine.settle(rule, s(at), None);
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn the_transition_table() {
    // rise 2, fall 3, reentry 180 s, no dead time
    let table = [
        ("unknown", "", "unknown"),
        ("unknown", "g", "unknown"),
        ("unknown", "gg", "up"),
        ("unknown", "gbg", "unknown"),
        ("unknown", "bb", "unknown"),
        ("unknown", "bbb", "down"),
        ("unknown", "bbgbb", "unknown"),
        ("unknown", "R", "unknown"),
        ("up", "", "up"),
        ("up", "g", "up"),
        ("up", "bb", "up"),
        ("up", "bbgbb", "up"),
        ("up", "bbb", "down"),
        ("up", "R", "up"),
        ("down", "", "down"),
        ("down", "b", "down"),
        ("down", "R", "down"),
        ("down", "g", "reentering"),
        ("down", "gb", "down"),
        ("down", "gR", "reentering"),
        ("down", "gRg", "up"),
        ("down", "gg", "reentering"),
        ("down", "ggR", "up"),
        ("reentering", "", "reentering"),
        ("reentering", "g", "reentering"),
        ("reentering", "b", "down"),
        ("reentering", "gR", "up"),
        ("reentering", "gbR", "down"),
        ("reentering", "gbgR", "reentering"),
        ("reentering", "gbggR", "up"),
    ];
    for (from, script, to) in table {
        let mut m = in_state(from);
        play(&mut m, &RULE, script);
        assert_eq!(name(m.state()), to, "{from} after {script:?}");
    }
}

#[test]
fn reasons_are_the_operators_words() {
    let mut m = in_state("up");
    bad(&mut m, &RULE, 1);
    assert_eq!(m.reason(&RULE), "connection refused (1 of 3 failures)");
    bad(&mut m, &RULE, 2);
    let change = bad(&mut m, &RULE, 3).unwrap();
    assert_eq!(
        change,
        Change { from: State::Up, to: State::Down, reason: "connection refused (3 of 3 failures)".into() }
    );
    assert_eq!(m.reason(&RULE), change.reason);
    assert_eq!(good(&mut m, &RULE, 4).unwrap().reason, "answers again, used when good for 3m");
    good(&mut m, &RULE, 5);
    assert_eq!(m.next_deadline(&RULE, None), Some(s(184)));
    assert_eq!(m.settle(&RULE, s(184), None).unwrap().reason, "good for 3m");
    bad(&mut m, &DEAD, 185);
    assert_eq!(m.settle(&DEAD, s(194), None), None);
    bad(&mut m, &DEAD, 195);
    assert_eq!(m.reason(&DEAD), "no good answer for 10s: connection refused");
}

#[test]
fn with_a_dead_time_the_deadline_decides_and_not_the_number_of_failures() {
    let mut m = in_state("up");
    for at in 1..10 {
        assert_eq!(bad(&mut m, &DEAD, at), None);
    }
    assert_eq!(m.next_deadline(&DEAD, None), Some(s(10)));
    assert_eq!(m.settle(&DEAD, Mono::from_micros(9_999_999), None), None);
    assert_eq!(m.settle(&DEAD, s(10), None).map(|c| c.to), Some(State::Down));
}

#[test]
fn a_run_that_hangs_beyond_its_end_does_not_postpone_the_dead_time() {
    let mut m = in_state("up");
    assert_eq!(m.next_deadline(&DEAD, Some(s(3))), Some(s(10)));
    assert_eq!(m.settle(&DEAD, s(10), Some(s(3))).unwrap().reason, "no answer for 10s");
}

#[test]
fn silence_without_a_question_or_with_time_left_to_answer_is_no_evidence() {
    let mut m = in_state("up");
    assert_eq!(m.settle(&DEAD, s(1000), None), None);
    assert_eq!(m.settle(&DEAD, s(10), Some(s(11))), None);
    assert_eq!(m.next_deadline(&DEAD, Some(s(11))), Some(s(11)));
    assert_eq!(bad(&mut m, &DEAD, 11).map(|c| c.to), Some(State::Down));
}

#[test]
fn a_server_that_never_answered_is_given_up_after_the_dead_time_of_its_first_check() {
    let mut m = Machine::new(s(0), s(2));
    bad(&mut m, &DEAD, 3);
    assert_eq!(m.next_deadline(&DEAD, None), Some(s(12)));
    assert_eq!(m.settle(&DEAD, s(12), None).map(|c| (c.from, c.to)), Some((State::Unknown, State::Down)));
}

#[test]
fn without_reentry_a_server_is_used_again_as_soon_as_rise_is_met() {
    let at_once = Rule { rise: 1, reentry: Millis::new(0), ..RULE };
    let change = good(&mut in_state("down"), &at_once, 1).unwrap();
    assert_eq!((change.from, change.to), (State::Down, State::Up));
    let twice = Rule { rise: 2, ..at_once };
    let mut m = in_state("down");
    assert!(matches!(good(&mut m, &twice, 1).unwrap().to, State::Reentering { .. }));
    assert_eq!(good(&mut m, &twice, 2).unwrap().to, State::Up);
}

#[test]
fn a_changed_rule_judges_what_was_already_seen() {
    let mut m = in_state("up");
    bad(&mut m, &RULE, 1);
    bad(&mut m, &RULE, 2);
    assert_eq!(m.settle(&Rule { fall: 2, ..RULE }, s(2), None).map(|c| c.to), Some(State::Down));
    let mut m = in_state("reentering");
    good(&mut m, &RULE, 1);
    assert_eq!(m.settle(&Rule { reentry: Millis::from_secs(60), ..RULE }, s(2), None), None);
    assert_eq!(m.state(), State::Reentering { until: s(60) });
    assert_eq!(
        m.settle(&Rule { reentry: Millis::from_secs(1), ..RULE }, s(2), None).map(|c| c.to),
        Some(State::Up)
    );
}

#[test]
fn a_gap_gives_no_server_up_until_a_new_failure() {
    let mut m = in_state("up");
    bad(&mut m, &DEAD, 2);
    m.stall(60_000_000, s(62));
    assert_eq!(m.settle(&DEAD, s(62), None), None);
    bad(&mut m, &DEAD, 63);
    assert_eq!(m.state(), State::Up);
}

#[test]
fn a_director_that_stalls_all_the_time_still_removes_a_dead_server() {
    let mut m = in_state("up");
    let mut at = 0;
    while m.state() == State::Up {
        at += 2;
        m.stall(2_000_000, s(at));
        bad(&mut m, &DEAD, at);
        assert!(at <= 10 + 2 * u64::from(STALLS_FORGIVEN), "still up after {at} s");
    }
}

#[test]
fn a_resumed_server_stays_up_until_the_new_process_got_a_failure() {
    let mut m = in_state("up");
    bad(&mut m, &DEAD, 4);
    // Saved at 4 s, 4 s silent; the process is back at 100 s.
    m.resume(s(4), s(100));
    assert_eq!(m.settle(&DEAD, s(150), None), None);
    let mut quiet = m.clone();
    bad(&mut m, &DEAD, 101);
    assert_eq!(m.next_deadline(&DEAD, None), Some(s(106)));
    assert_eq!(m.settle(&DEAD, s(106), None).map(|c| c.to), Some(State::Down));
    assert_eq!(good(&mut quiet, &DEAD, 101), None);
    assert_eq!(quiet.state(), State::Up);
}

#[test]
fn a_resumed_reentry_ends_when_it_would_have_but_not_without_a_good_answer() {
    let mut m = in_state("reentering");
    good(&mut m, &RULE, 1);
    m.resume(s(1), s(100));
    let mut late = m.clone();
    assert_eq!(m.state(), State::Reentering { until: s(180) });
    good(&mut m, &RULE, 101);
    assert_eq!(m.next_deadline(&RULE, None), Some(s(180)));
    assert_eq!(late.settle(&RULE, s(500), None), None);
    assert_eq!(good(&mut late, &RULE, 500).map(|c| c.to), Some(State::Up));
}

#[test]
fn a_changed_question_leaves_a_working_server_in_place_and_forgets_the_rest() {
    let mut m = in_state("up");
    bad(&mut m, &RULE, 1);
    bad(&mut m, &RULE, 2);
    assert_eq!(m.ask_anew(s(3), s(3)), None);
    assert_eq!(bad(&mut m, &RULE, 4), None);
    assert_eq!(m.state(), State::Up);
    let mut m = in_state("down");
    assert_eq!(m.ask_anew(s(3), s(3)).map(|c| c.to), Some(State::Unknown));
    good(&mut m, &RULE, 4);
    assert_eq!(good(&mut m, &RULE, 5).map(|c| c.to), Some(State::Up));
}

#[derive(Clone, Debug)]
enum Step {
    Good,
    Bad,
    Wait(u32),
    Skip(u32),
    Resume,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Good),
        4 => Just(Step::Bad),
        4 => (0_u32..8000).prop_map(Step::Wait),
        1 => (0_u32..8000).prop_map(Step::Skip),
        1 => Just(Step::Resume),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let dead = proptest::option::of((1_u32..12_000).prop_map(Millis::new));
    let limit = proptest::option::of(2_u8..5);
    (0_u8..4, 0_u8..4, dead, 0_u32..10_000, limit).prop_map(|(rise, fall, dead_time, reentry, flap_limit)| {
        Rule { rise, fall, dead_time, reentry: Millis::new(reentry), flap_limit }
    })
}

fn apply(machine: &mut Machine, rule: &Rule, step: &Step, now: &mut Mono) -> Vec<Change> {
    let mut changes = Vec::new();
    match step {
        Step::Good => changes.extend(machine.outcome(rule, Ok(()), *now)),
        Step::Bad => changes.extend(machine.outcome(rule, Err("x"), *now)),
        Step::Wait(ms) => {
            let end = now.after(Millis::new(*ms));
            while let Some(at) = machine.next_deadline(rule, None).filter(|at| *at <= end) {
                *now = at.max(*now);
                changes.push(machine.settle(rule, *now, None).expect("a deadline decides something"));
            }
            *now = end;
        }
        Step::Skip(ms) => {
            let gap = Millis::new(*ms);
            *now = now.after(gap);
            machine.stall(u64::from(gap.get()) * 1000, *now);
        }
        Step::Resume => machine.resume(*now, *now),
    }
    changes
}

#[test]
fn a_server_that_flaps_is_kept_out_until_its_changes_are_old() {
    let rule = Rule { rise: 1, fall: 1, reentry: Millis::new(0), flap_limit: Some(2), ..RULE };
    let mut m = in_state("up");
    bad(&mut m, &rule, 10);
    assert_eq!(good(&mut m, &rule, 20).unwrap().to, State::Up);
    bad(&mut m, &rule, 30);
    let kept_out = good(&mut m, &rule, 40).unwrap();
    assert_eq!(kept_out.to, State::Reentering { until: s(620) });
    assert_eq!(kept_out.reason, "answers again, kept out: 3 changes in 10m");
    assert_eq!(good(&mut m, &rule, 619), None);
    assert_eq!(m.next_deadline(&rule, None), Some(s(620)));
    assert_eq!(m.settle(&rule, s(620), None).unwrap().to, State::Up);
}

proptest! {
    #[test]
    fn no_server_changes_more_often_than_its_flap_limit_and_once(
        limit in 2_u8..6, steps in proptest::collection::vec((any::<bool>(), 0_u32..150_000), 1..150)
    ) {
        let rule = Rule { rise: 1, fall: 1, dead_time: None, reentry: Millis::new(0), flap_limit: Some(limit) };
        let (mut m, mut now, mut flaps) = (fresh(), s(1000), alloc::vec::Vec::new());
        for (answer, wait) in steps {
            let answer = if answer { Step::Good } else { Step::Bad };
            for change in apply(&mut m, &rule, &answer, &mut now).into_iter().chain(apply(&mut m, &rule, &Step::Wait(wait), &mut now)) {
                let up = |state| state == State::Up;
                if up(change.from) != up(change.to) && change.from != State::Unknown { flaps.push(m.since()); }
            }
            prop_assert!(m.flaps.len() <= usize::from(limit) + 1);
        }
        for (index, first) in flaps.iter().enumerate() {
            let within = flaps[index..].iter().filter(|at| **at < first.after(FLAP_WINDOW)).count();
            prop_assert!(within <= usize::from(limit) + 1, "{within} changes within the window from {first}");
        }
    }

    #[test]
    fn no_server_is_up_without_rise_good_answers_and_its_reentry(
        rule in rule(), steps in proptest::collection::vec(step(), 1..80)
    ) {
        let (mut m, mut now) = (fresh(), s(1000));
        // What an outsider counts.
        let (mut run, mut first_good, mut was_down) = (0_u32, now, false);
        for step in &steps {
            if let Step::Good = step {
                if run == 0 { first_good = now; }
                run += 1;
            }
            if let Step::Bad = step { run = 0; }
            for change in apply(&mut m, &rule, step, &mut now) {
                prop_assert_ne!(core::mem::discriminant(&change.from), core::mem::discriminant(&change.to));
                if change.to == State::Up {
                    prop_assert!(run >= u32::from(rule.rise.max(1)), "up after {run} good answers");
                    if was_down {
                        let good_us = m.since().micros_since(first_good);
                        prop_assert!(good_us >= u64::from(rule.reentry.get()) * 1000, "good for {good_us} us");
                    }
                }
                if change.to == State::Down { was_down = true; }
                if let State::Reentering { .. } = change.from {
                    prop_assert!(change.to != State::Unknown);
                }
            }
            // Any failure during reentry starts it over.
            if let Step::Bad = step {
                prop_assert_ne!(name(m.state()), "reentering");
            }
        }
    }

    #[test]
    fn two_machines_with_the_same_events_agree_and_one_may_be_saved_and_resumed(
        rule in rule(), before in proptest::collection::vec(step(), 0..40),
        after in proptest::collection::vec(step(), 0..40), first in any::<bool>(),
    ) {
        let (mut a, mut b) = (fresh(), fresh());
        let (mut now_a, mut now_b) = (s(1000), s(1000));
        for step in &before {
            prop_assert_eq!(apply(&mut a, &rule, step, &mut now_a), apply(&mut b, &rule, step, &mut now_b));
        }
        let bytes = postcard::to_allocvec(&b).unwrap();
        let mut b: Machine = postcard::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&a, &b);
        b.resume(now_b, now_b);
        // The first answer after the restart comes at once; from then on nothing differs.
        let first = if first { Step::Good } else { Step::Bad };
        for step in core::iter::once(&first).chain(&after) {
            let (left, right) = (apply(&mut a, &rule, step, &mut now_a), apply(&mut b, &rule, step, &mut now_b));
            prop_assert_eq!(left, right);
            prop_assert_eq!(a.state(), b.state());
            prop_assert_eq!(a.next_deadline(&rule, None), b.next_deadline(&rule, None));
        }
    }
}
