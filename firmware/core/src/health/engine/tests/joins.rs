//! Several checks of one server.

use super::*;
use crate::model::check::{Check, Join, Question};

/// One server with the pool's TCP check and a check of port 81.
fn two_checks(join: Join) -> Config {
    let mut config = config(1, Pool { fall: 1, ..Pool::default() });
    let check = Check { port: Some(81), ..Check::default() };
    config.questions.checks.insert(name("admin"), check);
    let pool = config.pools.get_mut(&name("web")).unwrap();
    pool.watch.checks.push(name("admin")).unwrap();
    pool.watch.join = join;
    config
}

/// Gives each probe its answer: port 80, port 81.
fn answer(health: &mut Health, good: [bool; 2], now: Mono) -> Vec<(State, State, String)> {
    let mut out = Vec::new();
    health.on_deadline(now, &mut out);
    let probes: Vec<_> = out
        .drain(..)
        .filter_map(|output| match output {
            Output::Probe { id, spec, .. } => Some((id, spec.target.port())),
            Output::Changed { .. } | Output::Noted { .. } => None,
        })
        .collect();
    assert_eq!(probes.len(), 2);
    for (id, port) in probes {
        let result = if good[usize::from(port - 80)] { Ok(()) } else { Err("refused".into()) };
        health.probed(
            id,
            ProbeOutcome { result, took_us: 1, transcript: None, learned: Default::default() },
            now,
            &mut out,
        );
    }
    out.into_iter()
        .filter_map(|output| match output {
            Output::Changed { from, to, reason, .. } => Some((from, to, reason)),
            Output::Probe { .. } | Output::Noted { .. } => None,
        })
        .collect()
}

fn start(config: &Config) -> Health {
    let mut health = Health::new(None, s(1));
    health.configure(config, s(1), &mut Vec::new());
    health
}

#[test]
fn all_checks_must_be_good_and_the_bad_one_is_named() {
    let mut health = start(&two_checks(Join::All));
    let told = answer(&mut health, [true, true], s(2));
    assert_eq!(told.len(), 1, "one verdict, told once: {told:?}");
    assert!(health.usable(&name("web"), &server_name(0), 80));
    let told = answer(&mut health, [true, false], s(4));
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].0, told[0].1), (State::Up, State::Down));
    assert!(told[0].2.starts_with("check admin: refused"), "{told:?}");
    let verdict = health.verdict(&name("web"), &server_name(0)).unwrap();
    assert!(verdict.reason.starts_with("check admin: refused"), "{}", verdict.reason);
}

#[test]
fn one_good_check_is_enough_when_any_is() {
    let mut health = start(&two_checks(Join::Any));
    answer(&mut health, [true, false], s(2));
    assert!(health.usable(&name("web"), &server_name(0), 80));
    assert_eq!(answer(&mut health, [false, true], s(4)).last().map(|told| told.1), Some(State::Up));
    answer(&mut health, [false, false], s(6));
    assert_eq!(health.state(&name("web"), &server_name(0), 80), Some(State::Down));
}

#[test]
fn a_restarted_director_tells_nothing_of_joined_checks_that_it_knew() {
    let config = two_checks(Join::All);
    let mut health = start(&config);
    answer(&mut health, [true, true], s(2));
    let saved = health.checkpoint();
    let mut again = Health::new(Some(&saved), s(3));
    let mut out = Vec::new();
    again.configure(&config, s(3), &mut out);
    assert_eq!(out, []);
    assert!(again.usable(&name("web"), &server_name(0), 80));
}

#[test]
fn a_check_that_leaves_the_configuration_no_longer_decides() {
    let mut config = two_checks(Join::All);
    let mut health = start(&config);
    answer(&mut health, [true, false], s(2));
    assert!(!health.usable(&name("web"), &server_name(0), 80));
    config.pools.get_mut(&name("web")).unwrap().watch.checks.clear();
    let mut out = Vec::new();
    health.configure(&config, s(3), &mut out);
    assert!(health.usable(&name("web"), &server_name(0), 80));
    assert!(matches!(out.as_slice(), [Output::Changed { to: State::Up, .. }]), "{out:?}");
}

#[test]
fn always_up_needs_no_probe_and_always_down_wins_over_it() {
    let mut config = config(1, Pool { check: CheckKind::None, fall: 1, ..Pool::default() });
    for (text, question) in [("down", Question::Down), ("up", Question::Up)] {
        config.questions.checks.insert(name(text), Check { question, ..Check::default() });
    }
    config.pools.get_mut(&name("web")).unwrap().watch.checks.push(name("up")).unwrap();
    let mut health = start(&config);
    assert!(health.usable(&name("web"), &server_name(0), 80));
    assert_eq!(health.load().0, 0);
    config.pools.get_mut(&name("web")).unwrap().watch.checks.push(name("down")).unwrap();
    health.configure(&config, s(2), &mut Vec::new());
    assert_eq!(health.load().0, 1);
    assert!(!health.usable(&name("web"), &server_name(0), 80));
}
