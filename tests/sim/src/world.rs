//! One director and what surrounds it.

use crate::kernel::ModelKernel;
use director_core::director::protocol::{Power, Recall, Recalled, Reply, Request, SessionId};
use director_core::director::upgrading::{Order, Task};
use director_core::director::{Checkpoint, Director, Effect, Event, Start};
use director_core::doctor::{Look, Seen};
use director_core::health::{Failure, ProbeId, ProbeOutcome};
use director_core::model::{Config, Mono};
use director_core::overrides::Kept;
use director_core::plan::{Op, OpError};
use director_core::store::identity::Role;
use director_core::store::record::SlotState;
use director_core::store::{Commit, Generation, StoreError};
use director_core::upgrade::running::Running;
use director_core::wire::Mac;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// How a server answers its checks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Server {
    /// Good, after a millisecond.
    Good,
    /// Refuses the connection at once.
    Refuses,
    /// Never answers: the probe ends at its deadline.
    Hangs,
}

/// Time of one answer of the kernel, the flash or a server, in microseconds.
const ANSWER_US: u64 = 1000;
/// How long claims of an address are listened for.
const CLAIMS_US: u64 = 1_000_000;
/// Events in one run, at most: a simulation that does not end is a bug.
const EVENTS_MAX: usize = 1_000_000;

/// One director with its kernel, flash, servers and log.
#[derive(Debug)]
pub struct World {
    /// Virtual time.
    pub now: Mono,
    /// The kernel; survives the director.
    pub kernel: ModelKernel,
    /// The flash; survives a power cut.
    pub flash: BTreeMap<Generation, (SlotState, Config)>,
    /// The persistent server actions in it.
    pub kept: Vec<Kept>,
    /// What the boot loader starts; `None`: there is none of ours.
    pub running: Option<Running>,
    /// When the boot loader was told that a system works.
    pub proven: Vec<(Mono, Running)>,
    /// Ends of the machine that were asked for.
    pub powers: Vec<Power>,
    /// What the platform was to do about upgrades.
    pub tasks: Vec<Task>,
    /// What the boot loader was told to start.
    pub orders: Vec<Order>,
    /// Sentences shown on every console.
    pub notices: Vec<String>,
    /// Servers by checked address; others refuse.
    pub servers: BTreeMap<SocketAddr, Server>,
    /// What was logged, with the time.
    pub log: Vec<(Mono, String)>,
    /// Operations executed, with the time.
    pub ops: Vec<(Mono, Op)>,
    /// Replies to the consoles.
    pub replies: Vec<Reply>,
    /// Operations that the kernel refuses from now on, by a word of their description.
    pub refuse: Option<fn(&Op) -> bool>,
    /// What a DHCP server outside lends; `None`: there is no server.
    pub dhcp: Option<crate::lender::Lender>,
    /// Seconds from 1970 to the boot, as time servers say; `None`: they are silent.
    pub epoch_s: Option<u64>,
    /// Who else answers for an address.
    pub claims: BTreeMap<IpAddr, Vec<Mac>>,
    /// What the clock was set to, in microseconds since 1970.
    pub clock_set: Vec<u64>,
    /// The flash fails from now on.
    pub flash_broken: bool,
    /// From now on the flash refuses to change the state of a record, and does it all the same when it becomes good.
    pub flash_lies: bool,
    /// Whether the director released everything and is done.
    pub stopped: bool,
    restart_asked: bool,
    director: Option<Director>,
    checkpoint: Option<Checkpoint>,
    queue: BTreeMap<(Mono, u64), Event>,
    pending_probes: BTreeSet<ProbeId>,
    next: u64,
}

impl World {
    /// A box with two NICs and an empty flash, switched off.
    pub fn new() -> Self {
        let mut kernel = ModelKernel::with_devices(&["eth0", "eth1", "lo"]);
        for link in kernel.state.links.values_mut() {
            link.carrier = true;
        }
        Self {
            now: Mono::from_millis(500),
            kernel,
            flash: BTreeMap::new(),
            kept: Vec::new(),
            running: None,
            proven: Vec::new(),
            powers: Vec::new(),
            tasks: Vec::new(),
            orders: Vec::new(),
            notices: Vec::new(),
            servers: BTreeMap::new(),
            log: Vec::new(),
            ops: Vec::new(),
            replies: Vec::new(),
            refuse: None,
            dhcp: None,
            epoch_s: None,
            claims: BTreeMap::new(),
            clock_set: Vec::new(),
            flash_broken: false,
            flash_lies: false,
            stopped: false,
            restart_asked: false,
            director: None,
            checkpoint: None,
            queue: BTreeMap::new(),
            pending_probes: BTreeSet::new(),
            next: 0,
        }
    }

    /// Stores a configuration as the committed one.
    pub fn with_config(mut self, config: Config) -> Self {
        self.flash.insert(Generation(1), (SlotState::Good, config));
        self
    }

    /// Starts a director from what the flash and `/run` hold.
    pub fn start(&mut self) {
        let refused = self.checkpoint.as_ref().map(|c| c.undo.clone()).unwrap_or_default();
        let good = |(g, (state, _)): &(&Generation, &(SlotState, Config))| {
            *state == SlotState::Good && !refused.contains(g)
        };
        let good = self.flash.iter().rev().find(good);
        let (generation, config) =
            good.map_or_else(|| (Generation(0), Config::default()), |(g, (_, c))| (*g, c.clone()));
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
            kept: self.kept.clone(),
            running: self.running,
            trial: std::mem::take(&mut self.restart_asked).then(|| self.on_trial()).flatten(),
        };
        let mut effects = Vec::new();
        self.director = Some(Director::start(start, self.now, &mut effects));
        self.stopped = false;
        self.execute(effects);
    }

    /// The operator restarts the director: `/run` says so to the next one.
    pub fn restart_director(&mut self) {
        self.kill_director();
        self.restart_asked = true;
        self.start();
    }

    /// What the appliance reads from flash for a checkpoint that names a trial.
    fn on_trial(&self) -> Option<(Generation, Box<Config>)> {
        let generation = self.checkpoint.as_ref()?.trial?.generation;
        self.flash.get(&generation).map(|(_, config)| (generation, Box::new(config.clone())))
    }

    /// The director process dies; kernel, flash and `/run` stay. Answers under way are lost.
    pub fn kill_director(&mut self) {
        self.director = None;
        self.queue.clear();
        self.pending_probes.clear();
    }

    /// The power goes: only the flash stays.
    pub fn power_cut(&mut self) {
        self.kill_director();
        self.checkpoint = None;
        let fresh = Self::new();
        self.kernel = fresh.kernel;
    }

    /// Forgets what `/run` held, as after a damaged checkpoint.
    pub fn lose_checkpoint(&mut self) {
        self.checkpoint = None;
    }

    /// Something changed the kernel behind the director's back, and netlink says so.
    pub fn notify(&mut self) {
        self.post(Event::KernelChanged, ANSWER_US);
    }

    /// A console asks.
    pub fn ask(&mut self, request: Request) {
        self.post(Event::Request { session: SessionId(1), request: Box::new(request) }, 0);
    }

    /// Init asks the director to stop.
    pub fn stop(&mut self) {
        self.post(Event::Stop, 0);
    }

    /// Runs for `ms` of virtual time.
    pub fn run_ms(&mut self, ms: u64) {
        let end = Mono::from_micros(self.now.micros() + ms * 1000);
        assert!(self.run_until(end, |_| false).is_none());
    }

    /// Runs until `condition` holds, and returns the milliseconds it took, or `None` after `limit_ms`.
    pub fn run_while_not(&mut self, limit_ms: u64, condition: impl Fn(&Self) -> bool) -> Option<u64> {
        let begin = self.now;
        let end = Mono::from_micros(self.now.micros() + limit_ms * 1000);
        self.run_until(end, condition).map(|at| at.micros_since(begin) / 1000)
    }

    fn run_until(&mut self, end: Mono, condition: impl Fn(&Self) -> bool) -> Option<Mono> {
        for _ in 0..EVENTS_MAX {
            if condition(self) {
                return Some(self.now);
            }
            let deadline = self.director.as_ref().map(|d| d.next_deadline().max(self.now));
            let queued = self.queue.keys().next().map(|(at, _)| *at);
            let next = [deadline, queued].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return None;
            };
            self.now = next;
            let event = match self.queue.first_entry() {
                Some(entry) if entry.key().0 <= next => entry.remove(),
                _ => Event::Deadline,
            };
            self.handle(event);
        }
        panic!("the simulation does not end; log: {:#?}", self.log.iter().rev().take(20).collect::<Vec<_>>());
    }

    fn handle(&mut self, event: Event) {
        if let Event::Probed { id, .. } = &event {
            self.pending_probes.remove(id);
        }
        let mut effects = Vec::new();
        if let Some(director) = &mut self.director {
            director.handle(event, self.now, &mut effects);
        }
        self.execute(effects);
    }

    /// Something happens after so many microseconds.
    pub fn post(&mut self, event: Event, delay_us: u64) {
        self.next += 1;
        self.queue.insert((Mono::from_micros(self.now.micros() + delay_us), self.next), event);
    }

    fn execute(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Observe(sysctls) => {
                    // A real kernel has these files; the model makes them when they are first asked for.
                    for name in sysctls {
                        self.kernel.state.sysctls.entry(name).or_insert_with(|| "unset".to_string());
                    }
                    self.post(Event::Observed(Ok(Box::new(self.kernel.state.clone()))), ANSWER_US);
                }
                Effect::Apply { batch, ops } => {
                    let mut results: Vec<Result<(), OpError>> = Vec::new();
                    for op in &ops {
                        let mut failed = ops.iter().zip(&results).filter(|(_, result)| result.is_err());
                        let blocked = failed.find(|(earlier, _)| op.needs(earlier)).map(|(_, r)| r.clone());
                        results.push(blocked.unwrap_or_else(|| self.apply(op)));
                    }
                    self.post(Event::Applied { batch, results }, ANSWER_US);
                }
                Effect::Probe { id, spec, deadline } => {
                    assert!(self.pending_probes.insert(id), "probe number used twice");
                    let remaining = deadline.micros_since(self.now);
                    let refused = || Err(Failure::from("connection refused"));
                    let (result, took) = match self.servers.get(&spec.target) {
                        Some(Server::Good) => (Ok(()), ANSWER_US),
                        Some(Server::Refuses) | None => (refused(), ANSWER_US),
                        Some(Server::Hangs) => (Err(Failure::from("no answer")), remaining),
                    };
                    let outcome = ProbeOutcome {
                        result,
                        took_us: u32::try_from(took).unwrap(),
                        transcript: None,
                        learned: Default::default(),
                    };
                    self.post(Event::Probed { id, outcome }, took);
                }
                Effect::Save { generation, state, config, .. } => {
                    let result = self.write(generation, state, *config);
                    self.post(Event::Saved { generation, result }, ANSWER_US);
                }
                Effect::Mark { generation, state } => {
                    let config = self.flash.get(&generation).map(|(_, c)| c.clone());
                    let lies = self.flash_lies;
                    let mut result = Err(StoreError::NoSuchGeneration(generation));
                    if let Some(config) = config.filter(|_| !lies || state == SlotState::Good) {
                        result = self.write(generation, state, config);
                    }
                    let result = if lies { Err(StoreError::ReadBack) } else { result };
                    self.post(Event::Saved { generation, result }, ANSWER_US);
                }
                Effect::Keep(_) if self.flash_broken => {
                    self.post(Event::Kept(Err(StoreError::ReadBack)), ANSWER_US);
                }
                Effect::Keep(kept) => {
                    self.kept = kept;
                    self.post(Event::Kept(Ok(())), ANSWER_US);
                }
                Effect::Notify { text, .. } => self.notices.push(text),
                Effect::Recall { session, what, running } => {
                    let result = self.recall(what, running);
                    self.post(Event::Recalled { session, result }, ANSWER_US);
                }
                Effect::Reply { reply, .. } => self.replies.push(*reply),
                Effect::Checkpoint(checkpoint) => self.checkpoint = Some(*checkpoint),
                Effect::Log { text, .. } => self.log.push((self.now, text)),
                Effect::RwhoListen(_) | Effect::DhcpListen(_) => {}
                Effect::DhcpSend { device, message, .. } => {
                    if let Some(message) = self.dhcp.and_then(|lends| lends.answer(&message)) {
                        self.post(Event::Dhcp { device, message }, ANSWER_US);
                    }
                }
                Effect::Examine { watch: true, looks } => {
                    let claims = |look: &Look| match look {
                        Look::Claims { address, .. } => self.claims.get(address).cloned().unwrap_or_default(),
                        _ => Vec::new(),
                    };
                    let seen = looks.iter().map(|look| Seen::Claims(claims(look))).collect();
                    self.post(Event::Examined { watch: true, seen }, CLAIMS_US);
                }
                Effect::Examine { watch: false, .. } => {}
                Effect::Syslog(_)
                | Effect::Hostname(_)
                | Effect::Beat(_)
                | Effect::Listen(_)
                | Effect::Fence(_) => {}
                Effect::Tell(_) | Effect::SendTable { .. } => {}
                Effect::Access(_) | Effect::Pages(_) => {}
                Effect::Power(power) => self.powers.push(power),
                Effect::Upgrade(task) => self.tasks.push(task),
                Effect::Order(order) => {
                    self.orders.push(order);
                    self.post(Event::Ordered(Ok(())), ANSWER_US);
                }
                Effect::AskTime { server, packet } => {
                    let (sent, received) = (self.now, Mono::from_micros(self.now.micros() + ANSWER_US));
                    let datagram =
                        self.epoch_s.map(|epoch_s| time_answer(&packet, epoch_s + sent.micros() / 1_000_000));
                    self.post(Event::TimeAnswered { server, sent, received, datagram }, ANSWER_US);
                }
                Effect::SetClock { unix_us, .. } => self.clock_set.push(unix_us),
                Effect::Maintain { session, what, .. } => {
                    self.post(Event::Maintained { session, what, result: Ok(()) }, ANSWER_US);
                }
                Effect::Prove(running) => {
                    self.proven.push((self.now, running));
                    self.post(Event::Proven(Ok(())), ANSWER_US);
                }
                Effect::Stopped => self.stopped = true,
            }
        }
    }

    fn recall(&self, what: Recall, running: Generation) -> Result<Recalled, StoreError> {
        let commit = |config: &Config| Commit { config: config.clone(), ..Commit::default() };
        match what {
            Recall::List => Ok(Recalled::List(Vec::new(), None)),
            Recall::Rescue | Recall::Usage | Recall::Systems | Recall::Lineage => Err(StoreError::NoRescue),
            Recall::Back(back) => {
                let mut good = self.flash.range(..running).rev().filter(|(_, (s, _))| *s == SlotState::Good);
                let found = good.nth(usize::from(back) - 1).map(|(generation, (_, config))| {
                    Recalled::Commit { generation: *generation, commit: Box::new(commit(config)) }
                });
                found.ok_or(StoreError::NoSuchRollback { back, stored: 0 })
            }
        }
    }

    fn write(&mut self, generation: Generation, state: SlotState, config: Config) -> Result<(), StoreError> {
        if self.flash_broken {
            return Err(StoreError::ReadBack);
        }
        self.flash.insert(generation, (state, config));
        Ok(())
    }

    fn apply(&mut self, op: &Op) -> Result<(), OpError> {
        if self.refuse.is_some_and(|refuse| refuse(op)) {
            return Err(OpError { errno: 22, message: "Invalid argument".to_string() });
        }
        self.ops.push((self.now, op.clone()));
        self.kernel
            .apply(op)
            .map_err(|message| panic!("the kernel refused what the director planned: {message}"))
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// What a server of stratum 2 answers (RFC 5905 section 7.3), to the second.
fn time_answer(question: &[u8], unix_s: u64) -> Vec<u8> {
    let stamp = ((unix_s + 2_208_988_800) << 32).to_be_bytes();
    let mut answer = vec![0x24, 2];
    answer.resize(24, 0);
    answer.extend(question.iter().skip(40));
    answer.extend(stamp.iter().chain(&stamp));
    answer
}
