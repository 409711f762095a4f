//! One box: a director with its clock, kernel and `/run`.

use super::disk::Disk;
use super::lan::PATHS;
use super::world::Item;
use crate::kernel::ModelKernel;
use director_core::director::cluster::Listen;
use director_core::director::{Checkpoint, Director, Effect, Start};
use director_core::init::fence::Fence;
use director_core::model::{Config, Mono};
use director_core::plan::AddressKey;
use director_core::store::Generation;
use director_core::store::identity::Role;
use director_core::store::record::SlotState;
use director_core::wire::heartbeat::Counters;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// Whether it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Power {
    /// No power.
    Off,
    /// The kernel runs, the director does not.
    Headless,
    /// All runs.
    Up,
    /// It stands still.
    Paused,
    /// The director stands still, the kernel and init do not.
    Wedged,
}

/// A box.
#[derive(Debug)]
pub struct Node {
    /// Which of the two.
    pub identity: Role,
    /// Whether it runs.
    pub power: Power,
    /// The director.
    pub director: Option<Director>,
    /// The kernel.
    pub kernel: ModelKernel,
    /// What lies in `/run`.
    pub checkpoint: Option<Checkpoint>,
    /// What the heartbeat shell has open.
    pub listen: Option<Listen>,
    /// What it counted.
    pub counters: Counters,
    /// First letter of its role.
    pub role: char,
    /// Items of an earlier process are void.
    pub process: u64,
    /// What waits while it stands still.
    pub held: VecDeque<Item>,
    /// Whether it sees its servers.
    pub servers: bool,
    /// Its checks can be made; else every run ends without having asked.
    pub asks: bool,
    /// Checks of servers that were to be made.
    pub asked: u64,
    /// An operator set it aside.
    pub aside: bool,
    /// What init does when the director stands still.
    pub fence: Fence,
    /// What it removes then.
    pub orders: Vec<AddressKey>,
    /// What lies in flash.
    pub flash: BTreeMap<Generation, (SlotState, Config)>,
    /// Systems, for upgrades; without, the box was not started by a boot loader.
    pub disk: Option<Disk>,
    boots: u32,
    ppm: i64,
    /// World's time and its own at one moment.
    anchor: (u64, u64),
    /// When its clock stood still, in the world's time.
    stood: Vec<(u64, u64)>,
}

impl Node {
    /// Without power.
    pub fn new(identity: Role, config: &Config, ppm: i64) -> Self {
        Self {
            identity,
            power: Power::Off,
            director: None,
            kernel: ModelKernel::default(),
            checkpoint: None,
            listen: None,
            counters: Counters::default(),
            role: '.',
            process: 0,
            held: VecDeque::new(),
            servers: true,
            asks: true,
            asked: 0,
            aside: false,
            fence: Fence::default(),
            orders: Vec::new(),
            flash: BTreeMap::from([(Generation(1), (SlotState::Good, config.clone()))]),
            disk: None,
            boots: 0,
            ppm,
            anchor: (0, 0),
            stood: Vec::new(),
        }
    }

    /// Power comes: a fresh kernel, a new clock.
    pub fn boot(&mut self, now: u64, carrier: [bool; 2]) {
        self.boots += 1;
        self.anchor = (now, 500_000);
        self.kernel = ModelKernel::with_devices(&["eth0", "eth1", "lo"]);
        for (device, carrier) in PATHS.iter().zip(carrier) {
            self.kernel.state.links.get_mut(&device.parse().unwrap()).expect("made").carrier = carrier;
        }
        if let Some(disk) = &mut self.disk {
            disk.boot();
            disk.away = false;
            disk.notice.clear();
        }
        self.checkpoint = None;
        self.fence = Fence::default();
        self.power = Power::Headless;
    }

    /// The configuration that it would boot with.
    pub fn good(&self) -> Option<(Generation, &Config)> {
        let good = self.flash.iter().rev().find(|(_, (state, _))| *state == SlotState::Good);
        good.map(|(generation, (_, config))| (*generation, config))
    }

    /// Starts a director.
    pub fn start(&mut self, nonce: u64, now: u64) -> Vec<Effect> {
        self.process += 1;
        self.power = Power::Up;
        if let Some(role) = self.checkpoint.as_mut().and_then(|c| c.cluster.as_mut()) {
            role.active &= !self.fence.fired();
        }
        let before = self.checkpoint.as_ref().and_then(|c| c.cluster);
        self.role = before.map_or('s', |saved| if saved.active { 'a' } else { 'b' });
        self.listen = None;
        let (generation, config) =
            self.good().map(|(g, c)| (g, c.clone())).expect("the flash holds a good configuration");
        let start = Start {
            identity: self.identity,
            boots: self.boots,
            version: "0.0.0-sim".to_string(),
            config,
            generation,
            nonce,
            newest: self.flash.keys().next_back().copied().unwrap_or_default(),
            flash: true,
            source: "simulation".to_string(),
            notes: Vec::new(),
            checkpoint: self.checkpoint.clone(),
            kept: Vec::new(),
            running: self.disk.as_ref().map(|disk| disk.running),
            trial: None,
        };
        let mut effects = Vec::new();
        self.director = Some(Director::start(start, self.clock(now), &mut effects));
        effects
    }

    /// The director is gone.
    pub fn behead(&mut self) {
        self.director = None;
        self.listen = None;
        self.process += 1;
        self.role = 'x';
        if self.power != Power::Off {
            self.power = Power::Headless;
        }
    }

    /// When init acts next, on its clock.
    pub fn init_deadline(&self) -> Option<Mono> {
        let runs = matches!(self.power, Power::Up | Power::Headless | Power::Wedged);
        self.fence.deadline().filter(|_| runs)
    }

    /// Init looks whether the addresses have to go.
    pub fn init(&mut self, now: u64) -> bool {
        let due = self.fence.due(self.clock(now));
        if due {
            let orders = &self.orders;
            self.kernel.state.addresses.retain(|key, _| !orders.contains(key));
        }
        due
    }

    /// Its clock.
    pub fn clock(&self, now: u64) -> Mono {
        let passed = i128::from(now.saturating_sub(self.anchor.0));
        let drifted = passed + passed * i128::from(self.ppm) / 1_000_000;
        Mono::from_micros(self.anchor.1 + u64::try_from(drifted).expect("time goes forward"))
    }

    /// The clock stood still since `at`.
    pub fn stood_still(&mut self, at: u64, now: u64) {
        self.stood.push((at, now));
        self.anchor = (now, self.clock(at).micros());
    }

    /// How old a moment of the world is for it: time in which its clock stood still does not count.
    pub fn age(&self, at: u64, now: u64) -> u64 {
        let still = self.stood.iter().map(|(from, to)| to.saturating_sub(at.max(*from))).sum::<u64>();
        now.saturating_sub(at).saturating_sub(still)
    }

    /// When the world's clock shows a time of its own, at the earliest `now`.
    pub fn world_time(&self, own: Mono, now: u64) -> u64 {
        let wait = own.micros().saturating_sub(self.anchor.1);
        if own.micros() > 1 << 60 {
            return u64::MAX;
        }
        // Some microseconds later at most, which is what a timer does too.
        let slow = u128::from(wait) * 1_000_000 / u128::try_from(1_000_000 + self.ppm).expect("small drift");
        let mut at = self.anchor.0 + u64::try_from(slow).expect("fits");
        while self.clock(at) < own {
            at += 1;
        }
        at.max(now)
    }

    /// Whether its kernel has an address on a device.
    pub fn has(&self, address: IpAddr) -> bool {
        self.power != Power::Off && self.kernel.state.addresses.keys().any(|k| k.cidr.address() == address)
    }

    /// Whether its kernel has the floating address.
    pub fn holds(&self) -> bool {
        self.has(IpAddr::from([1, 2, 3, 1]))
    }

    /// One character for the timeline: a capital letter holds the address.
    pub fn letter(&self) -> char {
        match self.power {
            Power::Off => '.',
            Power::Paused if self.holds() => 'P',
            Power::Paused => 'p',
            Power::Wedged if self.holds() => 'W',
            Power::Wedged => 'w',
            Power::Headless | Power::Up if self.holds() => self.role.to_ascii_uppercase(),
            Power::Headless | Power::Up => self.role,
        }
    }
}
