//! The one state machine that composes the rest: [`Director::handle`] takes an event and the time, and says
//! what to do. It never waits, never fails, and knows no clock: a recorded event log replays.
//!
//! ```text
//! flash blob -> Config --+
//! identity ---> role ----+-> Desired --plan--> Effect::Apply --> kernel
//! probes -----> verdicts-+      ^                                  |
//! console ----> commit ---------+------- Observed <--- dump -------+
//! ```

pub mod announce;
pub mod commit;
pub mod event;
pub mod frame;
pub mod protocol;
pub mod reconcile;
mod requests;
mod servers;
pub mod status;
pub mod trial;
mod view;

pub use event::{Effect, Event, Level};

use crate::cli::show::ops::describe;
use crate::health::{self, Health};
use crate::model::{Config, Mono, Name};
use crate::overrides::{Forced, Overrides};
use crate::plan::desired::{Circumstances, Usable};
use crate::plan::{DestKey, DestSpec, Observed, Op, OpError, ServiceKey, desired, plan};
use crate::store::Generation;
use crate::store::identity::Role;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use announce::Announcer;
use commit::{Stage, Transaction};
use protocol::SessionId;
use reconcile::{Reconcile, Step};
use serde::{Deserialize, Serialize};
use trial::{SavedTrial, Trial};

/// Requests that wait for a fresh dump, at most. Consoles are few; more are answered from the last dump.
const STATUS_WAITERS_MAX: usize = 16;
/// Stored commits that are read at once for all consoles, so that a commit always finds room in the queue of the flash.
const READS_MAX: usize = 4;
/// Turns of plan and step in one call, at most: after a plan comes at most one more step.
const STEPS_MAX: usize = 4;

/// What the director is started with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Start {
    /// Which node this box is.
    pub identity: Role,
    /// Boots counted in flash.
    pub boots: u32,
    /// Firmware version.
    pub version: String,
    /// The configuration to run.
    pub config: Config,
    /// Its generation; 0 for the factory configuration.
    pub generation: Generation,
    /// Highest generation seen in flash, valid or not: new ones are higher.
    pub newest: Generation,
    /// Whether there is a flash to save to.
    pub flash: bool,
    /// Where the configuration came from, in words.
    pub source: String,
    /// What an earlier process left in `/run`.
    pub checkpoint: Option<Checkpoint>,
    /// The stored configuration that the checkpoint says is on trial, when this process was started on request. After
    /// a crash there is none: the trial is over.
    pub trial: Option<(Generation, Box<Config>)>,
}

/// What a restarted director continues from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Verdicts and their timers.
    pub health: health::Checkpoint,
    /// The commit that waits for its confirmation.
    pub trial: Option<SavedTrial>,
    /// What operators did to servers.
    pub overrides: Overrides,
}

/// Everything the director knows.
#[derive(Debug)]
pub struct Director {
    start: Start,
    started: Mono,
    config: Box<Config>,
    generation: Generation,
    newest: Generation,
    source: String,
    health: Health,
    reconcile: Reconcile,
    announcer: Announcer,
    transaction: Option<Transaction>,
    trial: Option<Trial>,
    overrides: Overrides,
    /// A commit was taken back without anybody asking; until the next one.
    fell_back: Option<String>,
    /// Stored commits being read.
    reads: usize,
    status_waiters: Vec<SessionId>,
    stopping: bool,
    stopped: bool,
    operations: u64,
    last_plan: u32,
    last_error: Option<String>,
}

/// [`Circumstances`] of this moment.
struct Now<'a> {
    health: &'a Health,
    observed: &'a Observed,
    overrides: &'a Overrides,
}

impl Circumstances for Now<'_> {
    fn usable(&self, pool: &Name, server: &Name, port: u16) -> Usable {
        match self.health.state(pool, server, port) {
            Some(health::State::Up) => Usable::Yes,
            Some(health::State::Down | health::State::Reentering { .. }) => Usable::No,
            Some(health::State::Unknown) | None => Usable::Unknown,
        }
    }

    fn present(&self, service: &ServiceKey, dest: &DestKey) -> Option<DestSpec> {
        self.observed.services.get(service).and_then(|s| s.dests.get(dest)).map(|d| d.spec)
    }

    fn forced(&self, pool: &Name, server: &Name) -> Forced {
        self.overrides.get(server, pool).map_or(Forced::Normal, |entry| entry.forced)
    }
}

impl Director {
    /// Begins: looks at the kernel, starts the checks.
    pub fn start(start: Start, now: Mono, out: &mut Vec<Effect>) -> Self {
        let health = Health::new(start.checkpoint.as_ref().map(|c| &c.health), now);
        let mut director = Self {
            started: now,
            config: Box::new(start.config.clone()),
            generation: start.generation,
            newest: start.newest.max(start.generation),
            source: start.source.clone(),
            health,
            reconcile: Reconcile::start(now),
            announcer: Announcer::default(),
            transaction: None,
            trial: None,
            overrides: start.checkpoint.as_ref().map(|c| c.overrides.clone()).unwrap_or_default(),
            fell_back: None,
            reads: 0,
            status_waiters: Vec::new(),
            stopping: false,
            stopped: false,
            operations: 0,
            last_plan: 0,
            last_error: None,
            start,
        };
        director.log(Level::Notice, format!("director {}: {}", director.start.version, director.source), out);
        director.resume_trial(now, out);
        director.configured(now, out);
        if director.start.checkpoint.as_ref().is_some_and(|c| c.trial.is_some()) {
            director.checkpoint(out);
        }
        director.drive(now, out);
        director
    }

    /// Takes one event.
    pub fn handle(&mut self, event: Event, now: Mono, out: &mut Vec<Effect>) {
        match event {
            Event::Deadline => self.on_deadline(now, out),
            Event::KernelChanged => self.reconcile.kernel_changed(),
            Event::Observed(result) => self.on_observed(result, now, out),
            Event::Applied { batch, results } => self.on_applied(batch, results, now, out),
            Event::Probed { id, outcome } => self.with_health(out, |h, o| h.probed(id, outcome, now, o)),
            Event::Recalled { session, result } => self.on_recalled(session, result, out),
            Event::Saved { generation, result } => self.on_saved(generation, result, now, out),
            Event::Request { session, request } => self.on_request(session, *request, now, out),
            Event::Stop => {
                self.log(Level::Notice, "stopping: releasing the floating addresses", out);
                self.stopping = true;
                self.reconcile.desired_changed();
                self.reconcile.retry_now();
            }
        }
        self.drive(now, out);
    }

    /// When [`Event::Deadline`] is due.
    pub fn next_deadline(&self) -> Mono {
        let mut next = self.reconcile.next_deadline();
        let others = [
            self.health.next_deadline(),
            self.announcer.next_deadline(),
            self.trial_next(),
            self.overrides.next_deadline(),
        ];
        for deadline in others.into_iter().flatten() {
            next = next.min(deadline);
        }
        next
    }

    fn on_deadline(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.with_health(out, |h, o| h.on_deadline(now, o));
        if self.overrides.expire(now) {
            self.log(Level::Notice, "the time of what was done to a server by hand is over", out);
            self.overridden(out);
        }
        self.trial_deadline(now, out);
        let keys = self.announcer.due(now);
        if !keys.is_empty() {
            let ops = keys.into_iter().map(|key| Op::Announce { key }).collect();
            out.push(Effect::Apply { batch: self.reconcile.side_batch(), ops });
        }
    }

    /// The running configuration is another one (or the first).
    fn configured(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let config = core::mem::take(&mut self.config);
        self.with_health(out, |h, o| h.configure(&config, now, o));
        self.config = config;
        let hostname =
            self.node().hostname.as_ref().map_or_else(|| "director".to_string(), ToString::to_string);
        out.push(Effect::Hostname(hostname));
        self.reconcile.desired_changed();
        self.reconcile.retry_now();
    }

    fn with_health(
        &mut self,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut Health, &mut Vec<health::Output>),
    ) {
        let mut outputs = Vec::new();
        act(&mut self.health, &mut outputs);
        let mut changed = false;
        for output in outputs {
            match output {
                health::Output::Probe { id, spec, deadline } => {
                    out.push(Effect::Probe { id, spec: Box::new(spec), deadline });
                }
                health::Output::Changed { pool, server, port: _, from, to, reason } => {
                    changed = true;
                    let (level, text) = view::transition(&pool, &server, from, to, &reason);
                    self.log(level, text, out);
                }
            }
        }
        if changed {
            self.reconcile.desired_changed();
            self.checkpoint(out);
        }
    }

    /// Keeps in `/run` what a restarted director needs.
    fn checkpoint(&self, out: &mut Vec<Effect>) {
        let trial =
            self.trial.as_ref().map(|t| SavedTrial { generation: t.generation, deadline: t.deadline });
        out.push(Effect::Checkpoint(Box::new(Checkpoint {
            health: self.health.checkpoint(),
            trial,
            overrides: self.overrides.clone(),
        })));
    }

    /// What the kernel should hold now.
    fn desired(&self, config: &Config, observed: &Observed) -> crate::plan::Desired {
        let node = node_of(config, self.start.identity);
        desired(
            config,
            node,
            self.active(),
            &Now { health: &self.health, observed, overrides: &self.overrides },
        )
    }

    /// Whether this node should hold the floating addresses. With two nodes configured it is the primary: taking over needs
    /// the heartbeat, which this version does not have.
    fn active(&self) -> bool {
        !self.stopping && (self.config.backup.is_none() || self.start.identity == Role::Primary)
    }

    fn node(&self) -> &crate::model::config::Node {
        node_of(&self.config, self.start.identity)
    }

    /// Moves dump, plan and apply forward as far as it goes without an answer.
    fn drive(&mut self, now: Mono, out: &mut Vec<Effect>) {
        for _ in 0..STEPS_MAX {
            match self.reconcile.step(!self.status_waiters.is_empty(), now) {
                Step::Wait => return,
                Step::Observe => {
                    out.push(Effect::Observe(self.sysctl_names()));
                    return;
                }
                Step::Plan => self.plan(now, out),
            }
        }
    }

    fn sysctl_names(&self) -> Vec<String> {
        self.desired(&self.config, &Observed::default()).sysctls.into_keys().collect()
    }

    fn plan(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let Some(observed) = self.reconcile.observed() else { return };
        let want = self.desired(&self.config, observed);
        let ops = plan(&want, observed).ops;
        self.announcer.keep(|key| want.floating_addresses.contains_key(key));
        for key in want.floating_addresses.keys().filter(|key| observed.addresses.contains_key(key)) {
            self.announcer.resumed(key.clone(), now);
        }
        for op in &ops {
            if let Op::Announce { key } = op {
                self.announcer.announced(key.clone(), now);
            }
        }
        let count = u32::try_from(ops.len()).unwrap_or(u32::MAX);
        match self.reconcile.planned(ops.clone(), now) {
            Some(batch) => {
                self.last_plan = count;
                out.push(Effect::Apply { batch, ops });
            }
            None => self.on_settled(now, out),
        }
    }

    fn on_observed(&mut self, result: Result<Box<Observed>, OpError>, now: Mono, out: &mut Vec<Effect>) {
        if let Err(error) = &result {
            self.log(Level::Error, format!("cannot read the kernel's state: {error}"), out);
            self.last_error = Some(format!("cannot read the kernel's state: {error}"));
        }
        let known = result.is_ok();
        self.reconcile.dumped(result.map(|o| *o), now);
        // A console is answered even when the dump failed: the alarm tells.
        if known || self.reconcile.observed().is_some() || !self.status_waiters.is_empty() {
            self.answer_status_waiters(now, out);
        }
    }

    fn on_applied(
        &mut self,
        batch: u64,
        results: Vec<Result<(), OpError>>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let Some(applied) = self.reconcile.applied(batch, results, now) else { return };
        let mut first_error = None;
        let mut done = 0_u32;
        for (op, result) in &applied.results {
            match result {
                Ok(()) => done = done.saturating_add(1),
                Err(error) => {
                    let text = format!("{}: {error}", describe(op));
                    self.log(Level::Error, format!("kernel refused to {text}"), out);
                    first_error.get_or_insert(text);
                }
            }
        }
        self.operations = self.operations.saturating_add(u64::from(done));
        self.last_error = first_error.as_ref().map(|text| format!("kernel refused to {text}"));
        if let Some(transaction) = &mut self.transaction
            && transaction.stage == Stage::Applying
        {
            transaction.operations = transaction.operations.saturating_add(done);
            if let Some(error) = first_error {
                self.take_back(&format!("the kernel refused to {error}"), now, out);
            }
        }
    }

    /// Kernel and desired state agree.
    fn on_settled(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.last_error = None;
        self.commit_settled(now, out);
        if self.stopping && !self.stopped {
            self.stopped = true;
            out.push(Effect::Stopped);
        }
    }

    fn log(&self, level: Level, text: impl Into<String>, out: &mut Vec<Effect>) {
        out.push(Effect::Log { level, text: text.into() });
    }
}

/// The node of the pair that `identity` names; a configuration without a backup node has one for both.
fn node_of(config: &Config, identity: Role) -> &crate::model::config::Node {
    match (identity, &config.backup) {
        (Role::Backup, Some(backup)) => backup,
        (Role::Primary, _) | (Role::Backup, None) => &config.primary,
    }
}
