//! The box: a director, its kernel, flash, servers and consoles, and what must hold after every event.

mod answered;
mod events;
mod operate;
mod overrides;
mod seen;
mod trials;

use super::draw::{self, Classes};
use super::rng::Rng;
use crate::kernel::ModelKernel;
use crate::world::Server;
use director_core::director::protocol::{Request, SessionId};
use director_core::director::{Checkpoint, Director, Effect, Event, Start};
use director_core::health::{Failure, ProbeId, ProbeOutcome};
use director_core::model::{Config, Mono, Name};
use director_core::overrides::Kept;
use director_core::plan::{DestKey, Op, OpError};
use director_core::store::identity::Role;
use director_core::store::record::SlotState;
use director_core::store::{Generation, StoreError};
use overrides::Override;
pub use seen::Seen;
use seen::{event_word, word};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use trials::OnTrial;

/// Port of the service that nothing happens to.
pub const CONTROL_PORT: u16 = 9090;
/// Lines kept of what happened.
const TIMELINE: usize = 120;
/// Events in one call of [`Sim::advance`], at most.
const EVENTS_MAX: usize = 200_000;
/// A good server may leave this long after it became good at the latest: dead time, interval, timeout and pauses of the kernel.
const SETTLED_US: u64 = 60_000_000;

/// How late a slow kernel may begin with operations.
const LATE_US: u64 = 120_000_000;
/// How late operations come to a kernel that is not slow.
const IN_FLIGHT_US: u64 = 1_000_000;

/// One thing that happens later.
#[derive(Debug)]
enum Item {
    Event(Event),
    Observe(Vec<String>, u64),
    Apply(u64, Vec<Op>, u64),
    Flash(Generation, SlotState, Option<Box<Config>>, u64),
    Notify,
}

/// A request that was not answered yet.
#[derive(Debug)]
pub struct Asked {
    base: Generation,
    config: Option<Config>,
    agreed: bool,
    /// A commit on trial, or the confirmation of one.
    trial: Option<trials::Asks>,
    /// What is to be done to a server of the pool `web`.
    action: Option<(Name, Override)>,
}

/// Everything.
#[derive(Debug)]
pub struct Sim {
    /// Random numbers.
    pub rng: Rng,
    /// Faults that this seed has.
    pub classes: Classes,
    /// Faults are over.
    pub healed: bool,
    /// Virtual time.
    pub now: Mono,
    /// The kernel.
    pub kernel: ModelKernel,
    /// Servers by checked address, and since when they are so.
    pub servers: BTreeMap<SocketAddr, (Server, Mono)>,
    /// What is committed: what a power cut must come back to.
    pub committed: (Generation, Config),
    /// What runs until it is confirmed or its time is over.
    pub trial: Option<OnTrial>,
    /// A trial ended without a confirmation, and no commit came since: an alarm says so.
    pub fell_back: bool,
    /// The flash refused the last list of persistent server actions: an alarm says so.
    pub keep_failed: bool,
    /// Requests by session.
    pub open: BTreeMap<SessionId, Asked>,
    /// The last status and the last configuration answered.
    pub alarms: Option<Vec<String>>,
    /// Percent of operations that the kernel refuses now.
    pub refusing: u64,
    /// Whether the director runs.
    pub director: Option<Director>,
    /// What was answered.
    pub seen: Seen,
    flash: BTreeMap<Generation, (SlotState, Config)>,
    /// Commits that were answered with an error although the flash may hold them as good.
    doubtful: BTreeMap<Generation, Config>,
    /// Refused commits, and when: operations for them may still wait for a slow kernel.
    tried: VecDeque<(Mono, Config)>,
    checkpoint: Option<Checkpoint>,
    kept: Vec<Kept>,
    /// What is done by hand to servers of the pool `web`.
    overrides: BTreeMap<Name, Override>,
    /// When a server was last disabled by hand: operations for it may still wait for a slow kernel.
    disabled: BTreeMap<Name, Mono>,
    queue: BTreeMap<(Mono, u64), Item>,
    probes: BTreeSet<ProbeId>,
    next: u64,
    kernel_free: Mono,
    flash_free: Mono,
    last_batch: u64,
    last_session: u32,
    notified: bool,
    stopping: bool,
    stopped: bool,
    /// Objects of the control service made in this boot.
    control: BTreeSet<Option<DestKey>>,
    timeline: VecDeque<String>,
}

impl Sim {
    /// A box that is switched off, with the base configuration in flash.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let classes = Classes::draw(&mut rng);
        let base = draw::base();
        let mut sim = Self {
            rng,
            classes,
            healed: false,
            now: Mono::from_millis(500),
            kernel: fresh_kernel(),
            servers: BTreeMap::new(),
            committed: (Generation(1), base.clone()),
            trial: None,
            fell_back: false,
            keep_failed: false,
            overrides: BTreeMap::new(),
            disabled: BTreeMap::new(),
            open: BTreeMap::new(),
            alarms: None,
            refusing: 0,
            director: None,
            seen: Seen::default(),
            flash: [(Generation(1), (SlotState::Good, base))].into(),
            doubtful: BTreeMap::new(),
            tried: VecDeque::new(),
            checkpoint: None,
            kept: Vec::new(),
            queue: BTreeMap::new(),
            probes: BTreeSet::new(),
            next: 0,
            kernel_free: Mono::ZERO,
            flash_free: Mono::ZERO,
            last_batch: 0,
            last_session: 0,
            notified: false,
            stopping: false,
            stopped: false,
            control: BTreeSet::new(),
            timeline: VecDeque::new(),
        };
        for (last, port) in [(3, 80), (4, 80), (5, 80), (3, 8080), (4, 8080), (5, 8080), (3, 9090), (9, 9090)]
        {
            let address = SocketAddr::from(([192, 168, 1, last], port));
            sim.servers.insert(address, (Server::Good, Mono::ZERO));
        }
        sim
    }

    /// Adds a line to what is printed when the run fails.
    pub fn note(&mut self, text: impl Into<String>) {
        if self.timeline.len() == TIMELINE {
            self.timeline.pop_front();
        }
        self.timeline.push_back(format!(
            "{:>9}.{:03} s {}",
            self.now.millis() / 1000,
            self.now.millis() % 1000,
            text.into()
        ));
    }

    /// The last things that happened.
    pub fn timeline(&self) -> String {
        self.timeline.iter().fold(String::new(), |all, line| all + line + "\n")
    }

    // --- what happens to the box

    /// Starts a director from what the flash and `/run` hold.
    pub fn start(&mut self) {
        self.start_again(false);
    }

    /// The same; `asked`: the process before was ended on request, so that a trial goes on.
    pub fn start_again(&mut self, asked: bool) {
        let refused = self.checkpoint.as_ref().map(|c| c.undo.clone()).unwrap_or_default();
        let good = |(g, (state, _)): &(&Generation, &(SlotState, Config))| {
            *state == SlotState::Good && !refused.contains(g)
        };
        let good = self.flash.iter().rev().find(good);
        let (generation, config) =
            good.map(|(g, (_, c))| (*g, c.clone())).expect("a good record is never lost");
        self.note(format!("start from {generation}"));
        assert!(
            generation >= self.committed.0,
            "the generation fell from {} to {generation}",
            self.committed.0
        );
        let expected = if generation == self.committed.0 {
            Some(&self.committed.1)
        } else {
            self.doubtful.get(&generation)
        };
        assert_eq!(Some(&config), expected, "generation {generation} is not what was committed");
        self.committed = (generation, config.clone());
        let trial = self.trial_at_start(asked);
        self.overrides_at_start();
        let start = Start {
            identity: Role::Primary,
            boots: 1,
            version: "0.0.0-sim".to_string(),
            config,
            generation,
            nonce: 1,
            newest: self.flash.keys().next_back().copied().unwrap_or_default(),
            flash: true,
            source: "simulation".to_string(),
            notes: Vec::new(),
            checkpoint: self.checkpoint.clone(),
            trial,
            running: None,
            kept: self.kept.clone(),
        };
        let mut effects = Vec::new();
        self.last_batch = 0;
        self.director = Some(Director::start(start, self.now, &mut effects));
        self.execute(effects);
    }

    /// The director process dies at once. What it had asked the kernel and the flash to do is done in part.
    pub fn kill(&mut self, forget: bool) {
        self.note(format!("kill, /run {}", if forget { "lost" } else { "kept" }));
        self.director = None;
        for (_, item) in std::mem::take(&mut self.queue) {
            match item {
                Item::Apply(_, ops, _) => {
                    let part = self.rng.below(u64::try_from(ops.len()).unwrap() + 1);
                    for op in ops.iter().take(usize::try_from(part).unwrap()) {
                        let _result = self.operate(op);
                    }
                }
                Item::Flash(generation, state, config, _) => {
                    if self.rng.chance(50) {
                        let _result = self.write(generation, state, config);
                    }
                }
                Item::Event(_) | Item::Observe(..) | Item::Notify => {}
            }
        }
        self.notified = false;
        self.probes.clear();
        self.open.clear();
        self.stopping = false;
        self.stopped = false;
        self.kernel_free = self.now;
        self.flash_free = self.now;
        if forget {
            self.checkpoint = None;
        }
    }

    /// The power goes: only the flash stays.
    pub fn power_cut(&mut self) {
        self.kill(true);
        self.note("power cut");
        self.kernel = fresh_kernel();
        self.control.clear();
    }

    /// A console asks, in a session of its own.
    pub fn ask(&mut self, request: Request) {
        if self.director.is_none() {
            return;
        }
        self.last_session += 1;
        let session = SessionId(self.last_session);
        let nothing = Asked { base: Generation(0), config: None, agreed: false, trial: None, action: None };
        let asked = match &request {
            Request::Commit { base, config, options } => Asked {
                base: *base,
                config: Some(config.clone()),
                agreed: options.agreed,
                trial: options.confirm.map(trials::Asks::Window),
                ..nothing
            },
            Request::Cluster(_) | Request::Recall(_) | Request::Maintain(_) | Request::Upgrade(_) => {
                panic!("the script asks no {}", word(&request))
            }
            Request::Confirm => Asked { trial: Some(trials::Asks::Confirmation), ..nothing },
            Request::Server(action) => {
                Asked { action: Some((action.server.clone(), self.override_of(action))), ..nothing }
            }
            Request::Status | Request::BoxStatus | Request::Config | Request::Check(_) | Request::Checks => {
                nothing
            }
            Request::Why { .. } | Request::Doctor { .. } | Request::Ping(_) | Request::Power(_) => nothing,
        };
        self.note(format!("session {} asks {}", session.0, word(&request)));
        self.open.insert(session, asked);
        self.post(Item::Event(Event::Request { session, request: Box::new(request) }), 0);
    }

    /// Init asks the director to stop.
    pub fn stop(&mut self) {
        self.note("stop");
        self.stopping = true;
        self.post(Item::Event(Event::Stop), 0);
    }

    /// Whether the director released everything and is gone.
    pub const fn stopped(&self) -> bool {
        self.stopped
    }

    /// Somebody changed the kernel; netlink says so.
    pub fn notify(&mut self, delay_us: u64) {
        if !self.notified {
            self.notified = true;
            self.post(Item::Notify, delay_us);
        }
    }

    /// All faults end; what is slow is answered soon.
    pub fn heal(&mut self) {
        self.note("--- faults end");
        self.healed = true;
        self.refusing = 0;
        let soon = Mono::from_micros(self.now.micros() + 1000);
        for ((at, no), item) in std::mem::take(&mut self.queue) {
            self.queue.insert((at.min(soon), no), item);
        }
        self.kernel_free = self.now;
        self.flash_free = self.now;
        for server in self.servers.values_mut().filter(|s| s.0 != Server::Good) {
            *server = (Server::Good, self.now);
        }
    }

    // --- time

    /// Runs for `us` of virtual time, or until the director has stopped.
    pub fn advance(&mut self, us: u64) {
        let end = Mono::from_micros(self.now.micros() + us);
        for _ in 0..EVENTS_MAX {
            let deadline = self.director.as_ref().map(|d| d.next_deadline().max(self.now));
            let queued = self.queue.keys().next().map(|(at, _)| *at);
            let next = [deadline, queued].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end && !self.stopped) else {
                self.now = end;
                return;
            };
            self.now = next;
            match self.queue.first_entry() {
                Some(entry) if entry.key().0 <= next => {
                    let item = entry.remove();
                    self.take(item);
                }
                _ => self.handle(Event::Deadline),
            }
        }
        panic!("time stands still");
    }

    fn take(&mut self, item: Item) {
        match item {
            Item::Event(event) => self.handle(event),
            Item::Notify => {
                self.notified = false;
                self.handle(Event::KernelChanged);
            }
            Item::Observe(sysctls, delay) => {
                for name in sysctls {
                    self.kernel.state.sysctls.entry(name).or_insert_with(|| "unset".to_string());
                }
                let fails = !self.healed && self.classes.dumps && self.rng.chance(25);
                let answer = if fails { Err(self.errno()) } else { Ok(Box::new(self.kernel.state.clone())) };
                self.post(Item::Event(Event::Observed(answer)), delay);
            }
            Item::Apply(batch, ops, delay) => {
                let mut results: Vec<Result<(), OpError>> = Vec::new();
                for (index, op) in ops.iter().enumerate() {
                    let failed = ops.iter().zip(&results).take(index).filter(|(_, r)| r.is_err());
                    let blocked =
                        failed.map(|(earlier, r)| (op.needs(earlier), r.clone())).find(|(needs, _)| *needs);
                    results.push(blocked.map_or_else(|| self.operate(op), |(_, result)| result));
                }
                if ops.iter().any(|op| !matches!(op, Op::Announce { .. } | Op::SysctlSet { .. })) {
                    self.notify(50_000);
                }
                self.post(Item::Event(Event::Applied { batch, results }), delay);
            }
            Item::Flash(generation, state, config, delay) => {
                let fails = !self.healed && self.classes.flash && self.rng.chance(30);
                let result = if fails {
                    if self.rng.chance(50) {
                        let _result = self.write(generation, state, config);
                    }
                    Err(StoreError::ReadBack)
                } else {
                    self.write(generation, state, config)
                };
                self.note(format!("flash {generation} {state:?}: {result:?}"));
                self.post(Item::Event(Event::Saved { generation, result }), delay);
            }
        }
    }

    fn post(&mut self, item: Item, delay_us: u64) {
        self.next += 1;
        let is_probe = matches!(item, Item::Event(Event::Probed { .. }));
        let delay_us = if self.healed && !is_probe { delay_us.min(100_000) } else { delay_us };
        self.queue.insert((Mono::from_micros(self.now.micros() + delay_us), self.next), item);
    }

    /// When a shell that does one thing at a time begins this one, and how long it takes.
    fn delays(&mut self, free: Mono, usual_us: u64) -> (u64, u64, Mono) {
        let slow = !self.healed && self.classes.slow;
        let takes = match self.rng.below(20) {
            0 if slow => self.rng.between(1_000_000, 40_000_000),
            1..=4 if slow => self.rng.between(usual_us, 1_000_000),
            _ => self.rng.between(usual_us / 2, usual_us * 2),
        };
        let wait = free.micros_since(self.now);
        (wait, takes, Mono::from_micros(self.now.micros() + wait + takes))
    }

    fn errno(&mut self) -> OpError {
        let errors =
            [(16, "Device or resource busy"), (105, "No buffer space available"), (22, "Invalid argument")];
        let (errno, message) = self.rng.pick(errors).unwrap();
        OpError { errno, message: message.to_string() }
    }

    // --- effects

    fn execute(&mut self, effects: Vec<Effect>) {
        let planned: Vec<Op> = effects
            .iter()
            .filter_map(|e| if let Effect::Apply { ops, .. } = e { Some(ops) } else { None })
            .flatten()
            .cloned()
            .collect();
        self.perform(effects);
        planned.iter().for_each(|op| self.obeys_the_operator(op));
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            assert!(!self.stopped, "an effect after the end: {effect:?}");
            match effect {
                Effect::Observe(sysctls) => {
                    let (wait, takes, free) = self.delays(self.kernel_free, 1000);
                    self.kernel_free = free;
                    self.post(Item::Observe(sysctls, takes), wait);
                }
                Effect::Apply { batch, ops } => {
                    assert!(batch > self.last_batch, "batch {batch} after {}", self.last_batch);
                    assert!(!ops.is_empty(), "an empty batch");
                    self.last_batch = batch;
                    let (wait, takes, free) = self.delays(self.kernel_free, 1000);
                    self.kernel_free = free;
                    self.post(Item::Apply(batch, ops, takes), wait);
                }
                Effect::Probe { id, spec, deadline } => {
                    assert!(self.probes.insert(id), "probe number used twice");
                    let remaining = deadline.micros_since(self.now);
                    let refused = || Err(Failure::from("connection refused"));
                    let (result, took) = match self.servers.get(&spec.target).map(|s| s.0) {
                        Some(Server::Good) => (Ok(()), 1000),
                        Some(Server::Refuses) | None => (refused(), 1000),
                        Some(Server::Hangs) => (Err(Failure::from("no answer")), remaining),
                    };
                    let outcome = ProbeOutcome {
                        result,
                        took_us: u32::try_from(took).unwrap(),
                        transcript: None,
                        learned: Default::default(),
                    };
                    self.post(Item::Event(Event::Probed { id, outcome }), took);
                }
                Effect::Save { generation, state, config, .. } => {
                    let newest = self.flash.keys().next_back().copied().unwrap_or_default();
                    assert!(generation > newest, "generation {generation} is not new");
                    assert_eq!(state, SlotState::Tentative, "not tried out yet");
                    self.flash_job(generation, state, Some(config));
                }
                Effect::Mark { generation, state } => {
                    if state == SlotState::Good {
                        assert!(self.flash.contains_key(&generation), "marked before it was written");
                        self.may_be_good(generation);
                    }
                    self.flash_job(generation, state, None);
                }
                Effect::Reply { session, reply } => self.answered(session, *reply),
                Effect::Checkpoint(checkpoint) => self.checkpoint = Some(*checkpoint),
                Effect::Log { text, .. } => self.note(format!("log: {text}")),
                Effect::RwhoListen(_) | Effect::DhcpListen(_) | Effect::DhcpSend { .. } => {}
                Effect::Examine { .. } => {}
                Effect::Syslog(_)
                | Effect::Hostname(_)
                | Effect::Beat(_)
                | Effect::Listen(_)
                | Effect::Fence(_) => {}
                Effect::Tell(_) | Effect::SendTable { .. } => {}
                Effect::Access(_) | Effect::Pages(_) | Effect::Power(_) => {}
                Effect::Upgrade(task) => panic!("nobody asked for it: {task:?}"),
                Effect::Order(order) => panic!("there is no boot loader: {order:?}"),
                Effect::AskTime { .. } | Effect::SetClock { .. } => panic!("no time server is configured"),
                Effect::Prove(running) => panic!("there is no boot loader: {running:?}"),
                Effect::Maintain { what, .. } => panic!("nobody asked for it: {what:?}"),
                Effect::Keep(kept) => {
                    // Written whole or not at all, whatever is answered and whenever.
                    let fails = !self.healed && self.classes.flash && self.rng.chance(30);
                    if !fails || self.rng.chance(50) {
                        self.kept = kept;
                    }
                    self.keep_failed = fails;
                    let result = if fails { Err(StoreError::ReadBack) } else { Ok(()) };
                    self.post(Item::Event(Event::Kept(result)), 5000);
                }
                Effect::Recall { .. } => panic!("nobody asked for a stored commit"),
                Effect::Notify { text, .. } => {
                    self.told(&text);
                }
                Effect::Stopped => self.end(),
            }
        }
    }

    fn flash_job(&mut self, generation: Generation, state: SlotState, config: Option<Box<Config>>) {
        let (wait, takes, free) = self.delays(self.flash_free, 5000);
        self.flash_free = free;
        self.post(Item::Flash(generation, state, config, takes), wait);
    }

    fn write(
        &mut self,
        generation: Generation,
        state: SlotState,
        config: Option<Box<Config>>,
    ) -> Result<(), StoreError> {
        let missing = StoreError::NoSuchGeneration(generation);
        let config = match config {
            Some(config) => *config,
            None => self.flash.get(&generation).ok_or(missing)?.1.clone(),
        };
        if state == SlotState::Good {
            self.doubtful.insert(generation, config.clone());
        }
        self.flash.insert(generation, (state, config));
        Ok(())
    }
}

fn fresh_kernel() -> ModelKernel {
    let mut kernel = ModelKernel::with_devices(&["eth0", "eth1", "lo"]);
    for link in kernel.state.links.values_mut() {
        link.carrier = true;
    }
    kernel
}
