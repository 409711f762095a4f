use super::*;
use crate::health::Output;
use crate::model::config::{Config, RealServer};
use alloc::vec::Vec;
use proptest::prelude::*;

fn s(seconds: u64) -> Mono {
    Mono::from_millis(seconds * 1000)
}

fn rule() -> Rule {
    Rule::from(&LoadMonitor::default())
}

fn percent(percent: u32) -> Said {
    Said { reading: Some(Reading::Percent(percent)), ..Said::default() }
}

#[test]
fn numbers_are_read_as_agents_and_files_write_them() {
    for (text, reading) in [
        ("0.42 0.30 0.20 1/99 7", Some(Reading::Average(420))),
        (" 12", Some(Reading::Average(12_000))),
        ("75%", Some(Reading::Percent(75))),
        ("1.2345", Some(Reading::Average(1234))),
        ("", None),
        ("x", None),
        ("1.2.3", None),
        ("1234567", None),
        ("-1", None),
    ] {
        assert_eq!(Reading::parse(text), reading, "{text:?}");
    }
    let percents: Vec<u32> = [0, 500, 1000, 2000, 8000].map(|l| Reading::Average(l).percent()).into();
    assert_eq!(percents, [100_000, 200, 100, 50, 12]);
}

#[test]
fn a_weight_moves_by_its_step_and_stays_within_its_bounds() {
    let mut gauge = Gauge::new(s(0));
    gauge.hear(&percent(1), s(1));
    let mut seen = Vec::new();
    for n in 1..6 {
        gauge.step(&rule(), s(n));
        seen.push(gauge.share(1000));
    }
    assert_eq!(seen, [750, 500, 250, 100, 100]);
    gauge.hear(&percent(300), s(6));
    for n in 6..12 {
        gauge.step(&rule(), s(n));
    }
    assert_eq!(gauge.share(1000), 1000, "greatest is 100 percent");
}

#[test]
fn a_silent_source_gives_the_configured_weight_back() {
    let mut gauge = Gauge::new(s(0));
    gauge.hear(&percent(50), s(0));
    (1..=5).for_each(|n| drop(gauge.step(&rule(), s(n))));
    assert_eq!(gauge.share(10), 5);
    let (moved, words) = gauge.step(&rule(), s(60));
    assert!(moved && words.unwrap().contains("configured weight holds"));
    assert_eq!(gauge.step(&rule(), s(70)).1, None, "told once");
    assert_eq!(gauge.share(10), 10);
    assert_eq!(gauge.hear(&percent(50), s(80)), Some(("is heard again".into(), false)));
}

#[test]
fn an_agent_that_drains_takes_nothing_at_once_and_comes_back_slowly() {
    let mut gauge = Gauge::new(s(0));
    let wish = |wish| Said { wish: Some(wish), ..percent(100) };
    assert_eq!(gauge.hear(&wish(Wish::Drain), s(1)), Some(("wants no new connections".into(), false)));
    assert_eq!(gauge.share(1000), 0);
    gauge.step(&rule(), s(2));
    assert_eq!(gauge.share(1000), 0);
    // A number alone changes no wish.
    gauge.hear(&percent(100), s(3));
    assert_eq!(gauge.share(1000), 0);
    gauge.hear(&wish(Wish::Up), s(4));
    gauge.step(&rule(), s(5));
    assert_eq!(gauge.share(1000), 350, "least and one step");
}

fn config(source: LoadSource) -> Config {
    let mut config = Config::default();
    let name: Name = "m".parse().unwrap();
    config.questions.load_monitors.insert(name.clone(), LoadMonitor { source, ..LoadMonitor::default() });
    let server = RealServer { address: Some("10.0.0.1".parse().unwrap()), load_monitor: Some(name) };
    config.real_servers.insert("rs1".parse().unwrap(), server);
    config
}

#[test]
fn broadcasts_count_when_they_come_from_the_servers_address() {
    let mut gauges = Gauges::default();
    gauges.configure(&config(LoadSource::Rwhod), None, s(0));
    let mut out: Vec<Output> = Vec::new();
    let datagram = crate::wire::rwho::tests::datagram(400);
    gauges.broadcast("10.0.0.2".parse().unwrap(), &datagram, s(1), &mut out);
    assert_eq!(gauges.statuses()[0].heard, None);
    gauges.broadcast("10.0.0.1".parse().unwrap(), &datagram, s(1), &mut out);
    assert_eq!(gauges.statuses()[0].reading.as_deref(), Some("load 4.00"));
    assert!(gauges.tick_due(s(10), &mut out) && !gauges.tick_due(s(10), &mut out));
    assert_eq!(gauges.share(&"rs1".parse().unwrap(), 1000), 750);
    // A restart goes on where it was; another source begins anew.
    let saved = gauges.saved();
    let mut again = Gauges::default();
    again.configure(&config(LoadSource::Rwhod), Some(saved), s(11));
    assert_eq!(again.statuses(), gauges.statuses());
    again.configure(&config(LoadSource::Agent), None, s(12));
    assert_eq!(again.statuses()[0].percent, 100);
}

proptest! {
    #[test]
    fn no_source_moves_a_weight_faster_than_its_step_or_beyond_its_bounds(
        said in proptest::collection::vec(proptest::option::of(0_u32..500), 1..100),
        least in 1_u8..=100, greatest in 100_u16..1000, step in 1_u8..=100,
    ) {
        let rule = Rule::from(&LoadMonitor { least, greatest, step, ..LoadMonitor::default() });
        let mut gauge = Gauge::new(s(0));
        let mut before = 100;
        for (n, said) in (1..).zip(said) {
            if let Some(value) = said {
                gauge.hear(&percent(value), s(n * 10));
            }
            gauge.step(&rule, s(n * 10));
            let now = gauge.share(10_000) / 100;
            prop_assert!(now.abs_diff(before) <= u32::from(step), "{before} -> {now}");
            prop_assert!((u32::from(least)..=u32::from(greatest)).contains(&now));
            before = now;
        }
    }
}
