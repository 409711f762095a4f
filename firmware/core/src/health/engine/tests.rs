use super::*;
use crate::health::schedule::IN_FLIGHT_MAX;
use crate::model::Millis;
use crate::model::config::{CheckKind, HttpCheck, Member as PoolMember, Pool, RealServer, Service};
use alloc::vec;
use core::net::Ipv4Addr;
use proptest::prelude::*;

fn s(seconds: u64) -> Mono {
    Mono::from_millis(seconds * 1000)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn server_name(index: usize) -> Name {
    name(&format!("rs{index}"))
}

fn address(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0001 + u32::try_from(index).unwrap()))
}

/// The seed's pool: 2 s interval, 1 s timeout, 10 s dead, 180 s reentry.
fn pool() -> Pool {
    Pool { dead_time: Some(Millis::from_secs(10)), reentry: Millis::from_secs(180), ..Pool::default() }
}

/// `servers` machines in one pool `web` behind a service on port 80.
fn config(servers: usize, mut pool: Pool) -> Config {
    let mut config = Config::default();
    for index in 0..servers {
        config
            .real_servers
            .insert(server_name(index), RealServer { address: Some(address(index)), ..Default::default() });
        pool.servers.insert(server_name(index), PoolMember::default());
    }
    config.pools.insert(name("web"), pool);
    let ports = heapless::Vec::from_slice(&[80]).unwrap();
    config.services.insert(name("web"), Service { ports, pool: Some(name("web")), ..Service::default() });
    config
}

/// How a server of the model world answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mood {
    Good,
    Refuses,
    /// The shell reports the timeout at the deadline.
    Hangs,
    /// The shell is broken: no answer ever.
    Lost,
    NotAsked,
}

/// Health, a shell that behaves, and a clock.
struct World {
    health: Health,
    now: Mono,
    moods: Vec<Mood>,
    /// Answers on their way.
    coming: BTreeSet<(Mono, ProbeId, bool)>,
    not_asked: BTreeSet<ProbeId>,
    in_flight: BTreeMap<IpAddr, ProbeId>,
    targets: BTreeMap<ProbeId, IpAddr>,
    starts: Vec<(Mono, IpAddr)>,
    changes: Vec<(Mono, Name, State, State, String)>,
    notes: Vec<String>,
}

/// Time a server takes to answer.
const ANSWER_US: u64 = 700;

impl World {
    fn new(config: &Config, moods: Vec<Mood>) -> Self {
        Self::resume(None, config, moods, s(5))
    }

    fn resume(saved: Option<&Checkpoint>, config: &Config, moods: Vec<Mood>, now: Mono) -> Self {
        let mut world = Self {
            health: Health::new(saved, now),
            now,
            moods,
            coming: BTreeSet::new(),
            not_asked: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            targets: BTreeMap::new(),
            starts: Vec::new(),
            changes: Vec::new(),
            notes: Vec::new(),
        };
        world.configure(config);
        world
    }

    fn configure(&mut self, config: &Config) {
        // A run of a probe that is gone may still be under way.
        self.in_flight.clear();
        let mut out = Vec::new();
        self.health.configure(config, self.now, &mut out);
        self.take(out);
    }

    fn take(&mut self, out: Vec<Output>) {
        for output in out {
            match output {
                Output::Changed { server, from, to, reason, .. } => {
                    self.changes.push((self.now, server, from, to, reason));
                }
                Output::Probe { id, spec, deadline } => self.ask(id, &spec, deadline),
                Output::Noted { text, .. } => self.notes.push(text),
            }
        }
    }

    fn ask(&mut self, id: ProbeId, spec: &ProbeSpec, deadline: Mono) {
        let target = spec.target.ip();
        self.starts.push((self.now, target));
        self.targets.insert(id, target);
        if let Some(before) = self.in_flight.insert(target, id) {
            assert!(!self.coming.iter().any(|(_, id, _)| *id == before), "two runs of one probe");
        }
        let index = (0..self.moods.len()).find(|i| address(*i) == target).unwrap();
        let soon = Mono::from_micros(self.now.micros() + ANSWER_US);
        match self.moods[index] {
            Mood::Good => drop(self.coming.insert((soon, id, true))),
            Mood::Refuses => drop(self.coming.insert((soon, id, false))),
            Mood::Hangs => drop(self.coming.insert((deadline, id, false))),
            Mood::Lost => {}
            Mood::NotAsked => {
                self.not_asked.insert(id);
                self.coming.insert((soon, id, false));
            }
        }
    }

    /// Runs until `end`, event by event; every deadline is kept to the microsecond.
    fn run(&mut self, end: Mono) {
        loop {
            let deadline = self.health.next_deadline();
            let answer = self.coming.first().copied();
            let next = deadline.into_iter().chain(answer.map(|(at, ..)| at)).min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            let mut out = Vec::new();
            match answer.filter(|(at, ..)| *at <= self.now) {
                Some(answer) => {
                    self.coming.remove(&answer);
                    let (_, id, good) = answer;
                    self.health.probed(id, self.outcome(id, good), self.now, &mut out);
                }
                None => self.health.on_deadline(self.now, &mut out),
            }
            self.take(out);
        }
        self.now = end;
    }

    fn outcome(&self, id: ProbeId, good: bool) -> ProbeOutcome {
        let result = match good {
            true => Ok(()),
            false if self.not_asked.contains(&id) => Err(Failure::NotAsked("out of file descriptors".into())),
            false => Err("connection refused".into()),
        };
        ProbeOutcome { result, took_us: 700, transcript: None, learned: Default::default() }
    }

    fn for_seconds(&mut self, seconds: u64) {
        self.run(self.now.after(Millis::from_secs(u32::try_from(seconds).unwrap())));
    }

    fn state(&self, index: usize) -> State {
        self.health.verdict(&name("web"), &server_name(index)).unwrap().state
    }

    fn last_change(&self) -> (Mono, State) {
        let (at, _, _, to, _) = self.changes.last().unwrap();
        (*at, *to)
    }
}

#[test]
fn servers_come_up_with_their_first_answer() {
    let mut world = World::new(&config(3, pool()), vec![Mood::Good; 3]);
    let start = world.now;
    world.for_seconds(1);
    assert_eq!(world.changes.len(), 3);
    for (at, ..) in &world.changes {
        assert!(at.micros_since(start) <= 3000, "first check within 3 ms");
    }
    assert!(world.health.usable(&name("web"), &server_name(2), 80));
    assert!(!world.health.usable(&name("web"), &server_name(2), 81));
    assert!(!world.health.usable(&name("web"), &name("other"), 80));
}

#[test]
fn a_stopped_server_is_out_when_the_dead_time_has_passed_since_its_last_good_answer() {
    for mood in [Mood::Refuses, Mood::Hangs, Mood::Lost] {
        let mut world = World::new(&config(2, pool()), vec![Mood::Good; 2]);
        world.for_seconds(61);
        let good = world.health.verdict(&name("web"), &server_name(1)).unwrap().checked.unwrap();
        world.moods[1] = mood;
        world.for_seconds(30);
        assert_eq!(world.last_change(), (good.after(Millis::from_secs(10)), State::Down), "{mood:?}");
        assert_eq!(world.state(0), State::Up);
    }
}

#[test]
fn a_server_that_comes_back_waits_for_its_reentry_time() {
    let mut world = World::new(&config(1, pool()), vec![Mood::Good]);
    world.for_seconds(3);
    world.moods[0] = Mood::Refuses;
    world.for_seconds(30);
    world.moods[0] = Mood::Good;
    world.for_seconds(100);
    let State::Reentering { until } = world.state(0) else { panic!("{:?}", world.state(0)) };
    world.for_seconds(100);
    assert_eq!(world.last_change(), (until, State::Up));
    assert_eq!(world.changes.last().unwrap().4, "good for 3m");
}

#[test]
fn one_probe_serves_every_pool_and_service_of_a_server() {
    let mut config = config(2, pool());
    let other = Pool { fall: 1, dead_time: None, ..config.pools[&name("web")].clone() };
    config.pools.insert(name("api"), other);
    let service = Service { pool: Some(name("api")), ..config.services[&name("web")].clone() };
    config.services.insert(name("api"), service);
    let mut world = World::new(&config, vec![Mood::Good; 2]);
    world.for_seconds(19);
    assert_eq!(world.health.load().0, 2);
    assert_eq!(world.starts.len(), 20);
    world.moods[0] = Mood::Refuses;
    world.for_seconds(2);
    assert!(!world.health.usable(&name("api"), &server_name(0), 80), "fall 1");
    assert!(world.health.usable(&name("web"), &server_name(0), 80), "dead time 10 s");
}

#[test]
fn each_port_has_its_own_verdict_unless_one_port_is_checked_for_all() {
    let mut config = config(1, pool());
    config.services.get_mut(&name("web")).unwrap().ports.push(443).unwrap();
    let mut health = Health::new(None, s(1));
    let mut out = Vec::new();
    health.configure(&config, s(1), &mut out);
    health.on_deadline(s(2), &mut out);
    let probes: Vec<(ProbeId, u16)> = out
        .iter()
        .filter_map(|o| match o {
            Output::Probe { id, spec, .. } => Some((*id, spec.target.port())),
            Output::Changed { .. } | Output::Noted { .. } => None,
        })
        .collect();
    assert_eq!(probes.iter().map(|(_, port)| *port).collect::<Vec<_>>(), [80, 443]);
    health.probed(
        probes[0].0,
        ProbeOutcome { result: Ok(()), took_us: 1, transcript: None, learned: Default::default() },
        s(2),
        &mut out,
    );
    assert!(health.usable(&name("web"), &server_name(0), 80));
    assert!(!health.usable(&name("web"), &server_name(0), 443));
    assert!(health.verdict(&name("web"), &server_name(0)).unwrap().reason.starts_with("port 443: "));
    config.pools.get_mut(&name("web")).unwrap().check_port = Some(8080);
    health.configure(&config, s(2), &mut out);
    assert_eq!(health.iter().map(|(_, _, port, _)| port).collect::<Vec<_>>(), [8080]);
}

#[test]
fn a_server_without_a_check_is_usable_at_once() {
    let mut world = World::new(&config(1, Pool { check: CheckKind::None, ..pool() }), vec![Mood::Good]);
    assert_eq!(world.state(0), State::Up);
    assert_eq!(world.changes.len(), 1);
    world.for_seconds(100);
    assert!(world.starts.is_empty());
    assert_eq!(world.health.next_deadline(), None);
}

#[test]
fn the_same_configuration_and_new_weights_disturb_nothing() {
    let mut config = config(3, pool());
    let mut world = World::new(&config, vec![Mood::Good, Mood::Refuses, Mood::Good]);
    world.for_seconds(7);
    let (deadline, saved) = (world.health.next_deadline(), world.health.checkpoint());
    let (starts, changes) = (world.starts.len(), world.changes.len());
    config.pools.get_mut(&name("web")).unwrap().servers.get_mut(&server_name(0)).unwrap().weight = 77;
    world.configure(&config);
    world.configure(&config);
    assert_eq!(world.health.next_deadline(), deadline);
    assert_eq!(world.health.checkpoint().members, saved.members);
    assert_eq!((world.starts.len(), world.changes.len()), (starts, changes));
}

#[test]
fn editing_a_check_keeps_working_servers_in_place() {
    let mut config = config(2, pool());
    let mut world = World::new(&config, vec![Mood::Good, Mood::Refuses]);
    world.for_seconds(20);
    assert_eq!((world.state(0), world.state(1)), (State::Up, State::Down));
    let pool = config.pools.get_mut(&name("web")).unwrap();
    pool.check = CheckKind::Http;
    pool.http = Some(HttpCheck { path: "/new".parse().unwrap(), host: None, status: "200".parse().unwrap() });
    world.configure(&config);
    assert_eq!((world.state(0), world.state(1)), (State::Up, State::Unknown));
    world.moods = vec![Mood::Good; 2];
    world.for_seconds(1);
    assert_eq!((world.state(0), world.state(1)), (State::Up, State::Up));
}

#[test]
fn a_changed_interval_keeps_verdicts_and_timers() {
    let mut config = config(1, pool());
    let mut world = World::new(&config, vec![Mood::Refuses]);
    world.for_seconds(20);
    world.moods[0] = Mood::Good;
    world.for_seconds(3);
    let before = world.state(0);
    assert!(matches!(before, State::Reentering { .. }));
    config.pools.get_mut(&name("web")).unwrap().interval = Millis::from_secs(5);
    world.configure(&config);
    world.for_seconds(10);
    assert_eq!(world.state(0), before);
}

#[test]
fn a_removed_server_is_forgotten_with_its_runs() {
    let mut world = World::new(&config(2, pool()), vec![Mood::Good, Mood::Hangs]);
    let mut out = Vec::new();
    world.health.on_deadline(world.now.after(Millis::new(10)), &mut out);
    world.now = world.now.after(Millis::new(10));
    world.take(out);
    world.configure(&config(1, pool()));
    assert_eq!(world.health.load(), (1, 1));
    assert_eq!(world.health.verdict(&name("web"), &server_name(1)), None);
    world.for_seconds(20);
    assert!(world.changes.iter().all(|(_, server, ..)| *server == server_name(0)));
}

#[test]
fn late_and_repeated_answers_change_nothing() {
    let mut world = World::new(&config(1, pool()), vec![Mood::Lost]);
    world.for_seconds(1);
    let (id, _) = world.targets.first_key_value().map(|(id, t)| (*id, *t)).unwrap();
    world.for_seconds(2);
    assert!(world.health.alarms(world.now).concat().contains("did not finish"));
    let before = world.health.checkpoint();
    let mut out = Vec::new();
    world.health.probed(
        id,
        ProbeOutcome { result: Ok(()), took_us: 1, transcript: None, learned: Default::default() },
        world.now,
        &mut out,
    );
    world.health.probed(
        ProbeId(999),
        ProbeOutcome { result: Ok(()), took_us: 1, transcript: None, learned: Default::default() },
        world.now,
        &mut out,
    );
    assert!(out.is_empty());
    assert_eq!(world.health.checkpoint().members, before.members);
    world.moods[0] = Mood::Good;
    world.for_seconds(3);
    assert!(world.health.alarms(world.now).is_empty());
}

#[test]
fn what_cannot_be_asked_is_an_alarm_and_no_verdict() {
    let mut world = World::new(&config(1, pool()), vec![Mood::Good]);
    world.for_seconds(3);
    world.moods[0] = Mood::NotAsked;
    world.for_seconds(60);
    assert_eq!(world.state(0), State::Up);
    assert_eq!(world.health.stale(world.now).count(), 1);
    assert!(world.health.look(world.now) && world.health.is_blind());
    world.moods[0] = Mood::Good;
    world.for_seconds(3);
    assert!(world.health.look(world.now) && !world.health.is_blind());
    world.moods[0] = Mood::NotAsked;
    world.for_seconds(60);
    assert_eq!(
        world.health.alarms(world.now),
        ["check of 10.0.0.1:80 could not be made: out of file descriptors"]
    );
}

#[test]
fn a_process_that_stood_still_gives_nobody_up() {
    let mut world = World::new(&config(3, pool()), vec![Mood::Good; 3]);
    world.for_seconds(60);
    for gap in [2, 9, 11, 3600] {
        // Deadlines come before answers in the director's loop: the worst order.
        world.now = world.now.after(Millis::from_secs(gap));
        let mut out = Vec::new();
        world.health.on_deadline(world.now, &mut out);
        world.take(out);
        world.health.look(world.now);
        assert!(!world.health.is_blind(), "after {gap} s");
        world.for_seconds(5);
        world.health.look(world.now);
        assert!(!world.health.is_blind(), "after {gap} s");
        assert_eq!(world.changes.len(), 3, "after {gap} s");
    }
}

#[test]
fn a_stall_while_every_server_is_being_asked_is_not_taken_for_their_silence() {
    for gap_ms in [1200, 1700, 2000, 2100, 5000] {
        let mut world = World::new(&config(3, pool()), vec![Mood::Good; 3]);
        world.for_seconds(60);
        assert_eq!(world.coming.len(), 3, "all of them are being asked");
        world.now = world.now.after(Millis::new(gap_ms));
        let mut out = Vec::new();
        // The deadlines come first, and then the answers that waited.
        world.health.on_deadline(world.now, &mut out);
        world.take(out);
        world.for_seconds(1);
        let troubles = world.health.alarms(world.now);
        assert!(troubles.is_empty(), "{gap_ms}: {troubles:?}");
        assert_eq!(world.changes.len(), 3, "{gap_ms}: {:?}", world.changes);
    }
}

#[test]
fn a_restarted_director_goes_on_where_the_old_one_was() {
    let config = config(3, pool());
    let mut old = World::new(&config, vec![Mood::Good, Mood::Refuses, Mood::Refuses]);
    old.for_seconds(20);
    old.moods[1] = Mood::Good;
    old.for_seconds(5);
    let bytes = postcard::to_allocvec(&old.health.checkpoint()).unwrap();
    let saved: Checkpoint = postcard::from_bytes(&bytes).unwrap();
    // The checkpoint is old and nobody asked for an hour; reentry ended meanwhile.
    for gap in [0, 100, 3600] {
        let now = old.now.after(Millis::from_secs(gap));
        let mut new = World::resume(Some(&saved), &config, old.moods.clone(), now);
        assert!(new.changes.is_empty());
        for index in 0..3 {
            let before = old.health.verdict(&name("web"), &server_name(index)).unwrap();
            let after = new.health.verdict(&name("web"), &server_name(index)).unwrap();
            assert_eq!((before.state, before.since, before.reason), (after.state, after.since, after.reason));
        }
        new.for_seconds(200);
        assert_eq!(new.changes.len(), 1, "only the reentry ends: {:?}", new.changes);
        assert_eq!(new.state(1), State::Up);
    }
}

#[test]
fn a_server_that_died_with_the_director_is_out_within_the_dead_time_of_the_restart() {
    let config = config(1, pool());
    let mut old = World::new(&config, vec![Mood::Good]);
    old.for_seconds(5);
    let now = old.now.after(Millis::from_secs(50));
    let mut new = World::resume(Some(&old.health.checkpoint()), &config, vec![Mood::Refuses], now);
    new.for_seconds(11);
    let (at, state) = new.last_change();
    assert_eq!(state, State::Down);
    assert!(at.micros_since(now) <= 10_000_000);
}

#[test]
fn a_checkpoint_of_another_question_or_from_the_future_is_not_taken() {
    let mut old = World::new(&config(1, pool()), vec![Mood::Good]);
    old.for_seconds(5);
    let saved = old.health.checkpoint();
    let http = config(1, Pool { check: CheckKind::Http, ..pool() });
    assert_eq!(World::resume(Some(&saved), &http, vec![Mood::Good], old.now).state(0), State::Unknown);
    let same = config(1, pool());
    assert_eq!(World::resume(Some(&saved), &same, vec![Mood::Good], s(1)).state(0), State::Unknown);
    assert_eq!(World::resume(Some(&saved), &same, vec![Mood::Good], old.now).state(0), State::Up);
}

#[test]
fn ten_thousand_probes_are_spread_and_bounded_in_flight() {
    let each_second = Pool { interval: Millis::from_secs(1), ..pool() };
    let mut config = Config::default();
    for part in 0..10 {
        let mut pool = Pool { check_port: Some(80), ..each_second.clone() };
        for index in part * 1000..(part + 1) * 1000 {
            config.real_servers.insert(
                server_name(index),
                RealServer { address: Some(address(index)), ..Default::default() },
            );
            pool.servers.insert(server_name(index), PoolMember::default());
        }
        config.pools.insert(name(&format!("p{part}")), pool);
    }
    let mut health = Health::new(None, s(1));
    let mut out = Vec::new();
    health.configure(&config, s(1), &mut out);
    // Nobody answers, so the second bound is reached.
    let mut starts = Vec::new();
    while let Some(at) = health.next_deadline().filter(|at| *at < s(2)) {
        health.on_deadline(at.max(s(1)), &mut out);
        starts.extend(core::iter::repeat_n(at, out.len()));
        assert!(out.len() <= STEPS_PER_CALL);
        out.clear();
    }
    assert_eq!(starts.len(), IN_FLIGHT_MAX);
    let first_tenth = starts.iter().filter(|at| **at < Mono::from_millis(1100)).count();
    assert!((900..=1100).contains(&first_tenth), "{first_tenth} starts in the first 100 ms");
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![4 => Just(Mood::Good), 2 => Just(Mood::Refuses), 2 => Just(Mood::Hangs), 1 => Just(Mood::Lost)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_dead_server_is_out_in_time_and_every_run_ends(
        interval in 100_u32..3000, timeout in 50_u32..3000, fall in 1_u8..4,
        dead in proptest::option::of(1_u32..10_000), alive_ms in 1_u32..20_000, mood in mood(),
    ) {
        prop_assume!(mood != Mood::Good);
        let pool = Pool {
            interval: Millis::new(interval), timeout: Millis::new(timeout), fall,
            dead_time: dead.map(Millis::new), reentry: Millis::from_secs(1), ..Pool::default()
        };
        let mut world = World::new(&config(2, pool), vec![Mood::Good; 2]);
        world.run(world.now.after(Millis::new(alive_ms)));
        world.moods[0] = mood;
        let died = world.now;
        world.for_seconds(60);
        let down = world.changes.iter().find(|(at, _, _, to, _)| *at >= died && *to == State::Down);
        let (at, ..) = down.expect("it is out");
        // A run without any answer ends one grace after its hard end; the next one starts at once.
        let one_run = u64::from(interval.max(timeout)) + if mood == Mood::Lost { 1000 } else { 0 };
        let last_end = u64::from(timeout) + if mood == Mood::Lost { 1000 } else { 0 };
        let by_count = one_run * u64::from(fall) + last_end;
        let bound_ms = match dead {
            // A dead time too short for one run is as long as that run.
            Some(dead) => u64::from(dead).max(one_run + last_end),
            None => by_count,
        };
        prop_assert!(at.micros_since(died) <= bound_ms * 1000 + ANSWER_US, "{} > {bound_ms} ms", at.micros_since(died));
        prop_assert_eq!(world.state(1), State::Up, "the other one is left alone");
        prop_assert!(world.health.load().1 <= 2);
    }

    #[test]
    fn starts_keep_their_grid(interval in 20_u32..500, timeout in 10_u32..900, moods in proptest::collection::vec(mood(), 4)) {
        let pool = Pool { interval: Millis::new(interval), timeout: Millis::new(timeout), ..Pool::default() };
        let mut world = World::new(&config(4, pool), moods.clone());
        world.for_seconds(20);
        for (index, mood) in moods.iter().enumerate() {
            let starts: Vec<u64> =
                world.starts.iter().filter(|(_, a)| *a == address(index)).map(|(at, _)| at.micros()).collect();
            let step = u64::from(interval) * 1000;
            prop_assert!(starts.len() <= usize::try_from(20_000 / interval + 1).unwrap(), "more starts than intervals");
            if matches!(mood, Mood::Good | Mood::Refuses) {
                prop_assert!(starts.windows(2).all(|w| w[1] - w[0] == step), "{:?}", &starts[..4]);
            }
        }
    }

    #[test]
    fn moods_that_change_break_no_rule(
        script in proptest::collection::vec((0_usize..3, mood(), 1_u32..9000), 1..30), rise in 1_u8..4,
    ) {
        let config = config(3, Pool { rise, reentry: Millis::from_secs(5), ..pool() });
        let mut world = World::new(&config, vec![Mood::Good; 3]);
        for (index, mood, ms) in script {
            world.moods[index] = mood;
            world.run(world.now.after(Millis::new(ms)));
            // A call at any time does no harm.
            let mut out = Vec::new();
            world.health.on_deadline(world.now, &mut out);
            world.take(out);
        }
        world.moods = vec![Mood::Good; 3];
        world.for_seconds(30);
        for index in 0..3 {
            prop_assert_eq!(world.state(index), State::Up);
        }
        prop_assert!(world.health.alarms(world.now).is_empty());
    }
}

#[test]
fn repeated_failures_to_ask_count_each_gap_once() {
    let mut world = World::new(&config(1, pool()), vec![Mood::Good]);
    world.for_seconds(3);
    world.moods[0] = Mood::NotAsked;
    world.for_seconds(60);
    world.moods[0] = Mood::Refuses;
    let died = world.now;
    world.for_seconds(30);
    let (at, state) = world.last_change();
    assert_eq!(state, State::Down);
    assert!(at.micros_since(died) <= 10_000_000);
    assert!(at.micros_since(died) >= 6_000_000, "the time nobody asked did not count");
}

mod joins;
mod pools;
