//! How often lost heartbeats make the backup take over from a primary that is well, and how long it takes over from one
//! that died, and how often a primary that stands still for moments loses its role: two election machines, one network, and how
//! much better two are. `cargo run -p director-sim --example takeover`.

use director_core::election::{Election, Fitness, Local, Output, Settings};
use director_core::model::cluster::{Detection, Failback};
use director_core::model::{Millis, Mono};
use director_core::store::identity::Role;
use director_core::wire::heartbeat::{Frame, Running};
use director_sim::chaos::rng::Rng;
use std::collections::BTreeMap;

/// Virtual hours of each rate.
const HOURS: u64 = 2;
/// Deaths of each time.
const DEATHS: usize = 200;
/// Time of a frame on the wire, in microseconds.
const WIRE_US: (u64, u64) = (100, 2000);
/// Time after which two fresh nodes have their roles.
const BEGIN_US: u64 = 5_000_000;

/// A primary that is said to stand still does so once in this time.
const PAUSE_EVERY_US: u64 = 10_000_000;

struct Pair {
    rng: Rng,
    loss: u64,
    networks: u8,
    /// Microseconds for which the primary stands still every [`PAUSE_EVERY_US`].
    pause_us: u64,
    now: u64,
    nodes: [Option<Election>; 2],
    wire: BTreeMap<(u64, u64), (usize, u8, Frame)>,
    next: u64,
}

impl Pair {
    fn new(settings: Settings, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let local = Local {
            fitness: Fitness::FULL,
            connected: true,
            held: false,
            running: Running::default(),
            schema: 2,
            firmware: Default::default(),
            usable: 1,
            connections: 0,
            boots: 1,
            table: true,
        };
        let nodes = [(Role::Primary, 100), (Role::Backup, 90)].map(|(own, priority)| {
            let settings = Settings { own, priority, ..settings };
            Some(Election::start(settings, local.clone(), rng.bits(), None, Mono::from_micros(0)))
        });
        let mut pair =
            Self { rng, loss: 0, networks: 1, pause_us: 0, now: 0, nodes, wire: BTreeMap::new(), next: 0 };
        pair.run(BEGIN_US, |_| false);
        pair
    }

    /// Until `done` holds, or the time is over; gives when.
    fn run(&mut self, until: u64, done: impl Fn(&Self) -> bool) -> Option<u64> {
        loop {
            if done(self) {
                return Some(self.now);
            }
            let own = |n: &Option<Election>| n.as_ref().map_or(u64::MAX, |e| e.next_deadline().micros());
            let due = [self.awake(own(&self.nodes[0])), own(&self.nodes[1])];
            let wire = self.wire.keys().next().map_or(u64::MAX, |(at, _)| *at);
            let at = due[0].min(due[1]).min(wire);
            if at > until {
                self.now = until;
                return None;
            }
            self.now = self.now.max(at);
            let mut out = Vec::new();
            let now = Mono::from_micros(self.now);
            let node = if wire <= at { None } else { Some(usize::from(due[1] < due[0])) };
            let node = match (node, node.is_none().then(|| self.wire.pop_first()).flatten()) {
                (Some(n), _) => {
                    if let Some(election) = &mut self.nodes[n] {
                        election.on_deadline(now, &mut out);
                    }
                    n
                }
                (None, Some((_, (n, path, frame)))) => {
                    if let Some(election) = &mut self.nodes[n] {
                        election.receive(path, &frame, now, &mut out);
                    }
                    n
                }
                (None, None) => return None,
            };
            for output in out {
                let Output::Send(frame) = output else { continue };
                for path in 0..self.networks {
                    if self.rng.chance(self.loss) {
                        continue;
                    }
                    self.next += 1;
                    let at = self.now + self.rng.between(WIRE_US.0, WIRE_US.1);
                    let at = if node == 1 { self.awake(at) } else { at };
                    self.wire.insert((at, self.next), (1 - node, path, frame.clone()));
                }
            }
        }
    }

    /// When the primary does what is due.
    fn awake(&self, at: u64) -> u64 {
        if at == u64::MAX {
            return at;
        }
        let begin = at - at % PAUSE_EVERY_US;
        if at - begin < self.pause_us && begin > BEGIN_US { begin + self.pause_us } else { at }
    }

    fn backup_active(&self) -> bool {
        self.nodes[1].as_ref().is_some_and(Election::active)
    }
}

fn false_takeovers(settings: Settings, networks: u8, loss: u64, pause_us: u64) -> u64 {
    let mut left = HOURS * 3_600_000_000;
    let mut count = 0;
    while left > 0 {
        let mut pair = Pair::new(settings, loss << 32 | count);
        (pair.networks, pair.loss, pair.pause_us) = (networks, loss, pause_us);
        let begin = pair.now;
        match pair.run(begin + left, Pair::backup_active) {
            Some(at) => {
                count += 1;
                left = left.saturating_sub((at - begin).max(1));
            }
            None => left = 0,
        }
        // More says nothing new.
        if count >= 1000 {
            return count * HOURS * 3_600_000_000 / (HOURS * 3_600_000_000 - left).max(1);
        }
    }
    count
}

fn takeover_times(settings: Settings) -> (u64, u64) {
    let mut times: Vec<u64> = (0..DEATHS)
        .map(|seed| {
            let mut pair = Pair::new(settings, u64::try_from(seed).expect("small"));
            let more = pair.rng.below(1_000_000);
            pair.run(BEGIN_US + more, |_| false);
            pair.nodes[0] = None;
            let begin = pair.now;
            let at = pair.run(begin + 60_000_000, Pair::backup_active).expect("somebody takes over");
            (at - begin) / 1000
        })
        .collect();
    times.sort_unstable();
    (times[DEATHS / 2], times[DEATHS * 99 / 100])
}

fn main() {
    let losses = [0, 1, 5, 10, 20];
    let (two, heavy) = (2, 30);
    let pauses_ms = [100, 250, 1000];
    println!(
        "| interval | dead-time | detection | takeover p50, p99 | false takeovers per hour at loss 0 % | 1 % | 5 % | 10 % | 20 % | \
         with stalls of 100 ms | 250 ms | 1 s | two networks, {heavy} % |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (interval, dead) in [(100, 300), (100, 500), (200, 1000), (500, 2000)] {
        for (word, detection) in [("dead-time", Detection::DeadTime), ("probe", Detection::Probe)] {
            let settings = Settings {
                group: 1,
                own: Role::Primary,
                priority: 100,
                interval: Millis::new(interval),
                dead_time: Millis::new(dead),
                warn_time: Millis::new(dead / 2),
                start_hold: Millis::new(1000),
                detection,
                failback: Failback::Automatic,
                failback_delay: Millis::new(1000),
            };
            let (half, most) = takeover_times(settings);
            let rate = |(networks, loss, pause_us)| {
                let count = false_takeovers(settings, networks, loss, pause_us);
                if count == 0 {
                    "0".to_string()
                } else {
                    format!("{}.{}", count / HOURS, count % HOURS * 10 / HOURS)
                }
            };
            let lossy = losses.into_iter().map(|loss| (1, loss, 0));
            let stalled = pauses_ms.into_iter().map(|ms| (1, 0, ms * 1000));
            let rates: Vec<String> = lossy.chain(stalled).chain([(two, heavy, 0)]).map(rate).collect();
            println!("| {interval} ms | {dead} ms | {word} | {half} ms, {most} ms | {} |", rates.join(" | "));
        }
    }
}
