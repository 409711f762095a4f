//! What differs from seed to seed.

use crate::chaos::rng::Rng;
use director_core::cli::parse_set_lines;
use director_core::model::cluster::{Detection, Failback};
use director_core::model::{Config, Millis};
use std::net::{IpAddr, Ipv4Addr};

/// What a seed is made of.
#[derive(Clone, Debug)]
pub struct Draw {
    /// Time between heartbeats, in milliseconds.
    pub interval_ms: u32,
    /// Silence that means dead.
    pub dead_ms: u32,
    /// How long a starting node waits.
    pub hold_ms: u32,
    /// What makes a silent peer dead.
    pub detection: Detection,
    /// When the better node takes over again.
    pub failback: Failback,
    /// Percent of frames lost while there is no other fault.
    pub loss: u64,
    /// Percent of frames that come twice.
    pub doubled: u64,
    /// Most microseconds that a frame takes; more than an interval means out of order.
    pub delay_us: u64,
    /// Drift of both clocks in parts per million.
    pub drift_ppm: [i64; 2],
    /// Most microseconds that the kernel takes for an answer.
    pub kernel_us: u64,
    /// Directors are killed, boxes lose power.
    pub crashes: bool,
    /// Boxes stand still and go on.
    pub pauses: bool,
    /// Cables are pulled, ways are cut in one direction or both.
    pub cuts: bool,
    /// Somebody sends forged and recorded frames.
    pub attacks: bool,
    /// Operators hand over, take over and stop boxes.
    pub operators: bool,
    /// A box does not see its servers.
    pub servers: bool,
    /// The gateway is a witness, and is away at times.
    pub witness: bool,
    /// Operators commit, on either box, together and alone.
    pub commits: bool,
}

/// The witness, on the public network.
pub const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 2, 3, 254));
/// Delay of `failback delayed`, in milliseconds.
pub const FAILBACK_DELAY_MS: u32 = 4000;

impl Draw {
    /// From a seed.
    pub fn new(rng: &mut Rng) -> Self {
        let times = [(100, 300, 1000), (100, 500, 2000), (200, 1000, 2000), (500, 2000, 3000)];
        let (interval_ms, dead_ms, hold_ms) = rng.pick(times).expect("not empty");
        let failbacks = [Failback::Automatic, Failback::Automatic, Failback::Manual, Failback::Delayed];
        let kernels = [1000, 1000, 20_000];
        Self {
            interval_ms,
            dead_ms,
            hold_ms,
            detection: if rng.chance(50) { Detection::Probe } else { Detection::DeadTime },
            failback: rng.pick(failbacks).expect("not empty"),
            loss: rng.pick([0, 0, 0, 2, 10]).expect("not empty"),
            doubled: rng.pick([0, 0, 10]).expect("not empty"),
            delay_us: rng.pick([300, 300, 10_000, 30_000]).expect("not empty"),
            drift_ppm: [drift(rng), drift(rng)],
            kernel_us: rng.pick(kernels).expect("not empty"),
            crashes: rng.chance(60),
            pauses: rng.chance(40),
            cuts: rng.chance(50),
            attacks: rng.chance(40),
            operators: rng.chance(40),
            servers: rng.chance(25),
            witness: rng.chance(30),
            commits: rng.chance(60),
        }
    }

    /// The configuration of both boxes.
    pub fn config(&self) -> Config {
        let mut config =
            parse_set_lines(include_str!("pair.set")).expect("the pair's configuration is valid");
        let cluster = &mut config.cluster;
        cluster.heartbeat_interval = Millis::new(self.interval_ms);
        cluster.dead_time = Millis::new(self.dead_ms);
        cluster.pairing.start_hold = Millis::new(self.hold_ms);
        cluster.pairing.detection = self.detection;
        cluster.pairing.failback = self.failback;
        cluster.pairing.failback_delay = Millis::new(FAILBACK_DELAY_MS);
        if self.witness {
            cluster.pairing.witnesses.push(GATEWAY).expect("the first");
        }
        config
    }

    /// Dead time in microseconds.
    pub fn dead_us(&self) -> u64 {
        u64::from(self.dead_ms) * 1000
    }

    /// Two nodes that hear each other agree within this time: a stalled one goes on, each proves itself, the worse releases.
    pub fn agree_us(&self) -> u64 {
        4 * self.dead_us() + 1_000_000
    }

    /// Somebody serves within this time, whatever happened before, when a healthy node runs.
    pub fn serve_us(&self) -> u64 {
        u64::from(self.hold_ms) * 1000 + 6 * self.dead_us() + 3_000_000
    }
}

fn drift(rng: &mut Rng) -> i64 {
    i64::try_from(rng.below(401)).expect("small") - 200
}
