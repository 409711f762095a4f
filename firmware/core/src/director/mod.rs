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
mod applied;
mod by_hand;
pub mod cluster;
pub mod commit;
mod conflicts;
mod doctor;
mod ending;
pub mod event;
pub mod frame;
mod hardware;
pub mod impact;
pub mod insight;
mod leases;
mod maintain;
mod now;
mod pages;
pub mod pings;
pub mod protocol;
pub mod reconcile;
mod requests;
mod rollout;
mod servers;
pub mod status;
pub(crate) mod sync;
mod system;
mod time;
pub mod trial;
mod undo;
pub mod upgrading;
mod view;
mod wanted;

pub use event::{Effect, Event, Level};

use crate::dhcp::Lease;
use crate::health::{self, Health};
use crate::login::Access;
use crate::model::{Config, Device, Millis, Mono};
use crate::overrides::{Kept, Overrides};
use crate::plan::fallback::Pages;
use crate::plan::{AddressKey, Observed, Op, OpError, desired, plan};
use crate::sntp;
use crate::store::Generation;
use crate::store::identity::Role;
use crate::upgrade::rollout::Rollout;
use crate::upgrade::running::Running;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use announce::Announcer;
use commit::{Stage, Transaction};
use core::net::SocketAddr;
use insight::Done;
use leases::Leases;
use now::{Now, listens_to_rwhod, node_of};
use protocol::SessionId;
use reconcile::{Reconcile, Step};
use serde::{Deserialize, Serialize};
use servers::Keeping;
use system::System;
use trial::{SavedTrial, Trial};
use undo::Marks;
use wanted::Wanted;

/// Requests that wait for a fresh dump, at most. Consoles are few; more are answered from the last dump.
const STATUS_WAITERS_MAX: usize = 16;
/// Stored commits that are read at once for all consoles, so that a commit always finds room in the queue of the flash.
const READS_MAX: usize = 4;
/// Turns of plan and step in one call, at most: after a plan comes at most one more step.
const STEPS_MAX: usize = 4;
/// Shortest time between two plans and checkpoints for changed verdicts. Chosen: nobody notices it, and the largest
/// configuration spends a fifth of its time on them.
const VERDICT_SPACING: Millis = Millis::new(100);
/// Verdicts that change in one call and are logged; the rest is counted: a dead switch must not push all else out of the log.
const TRANSITIONS_LOGGED: usize = 32;
/// Refused operations that are kept, to tell new ones from old ones.
const FAILING_MAX: usize = 64;
/// Refused operations of one batch that are logged; the rest is counted.
const REFUSALS_LOGGED: usize = 8;

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
    /// Random: marks the heartbeats of this process.
    pub nonce: u64,
    /// Highest generation seen in flash, valid or not: new ones are higher.
    pub newest: Generation,
    /// Whether there is a flash to save to.
    pub flash: bool,
    /// Where the configuration came from, in words.
    pub source: String,
    /// What the operator should know about the flash: alarms until the next commit.
    pub notes: Vec<String>,
    /// What an earlier process left in `/run`.
    pub checkpoint: Option<Checkpoint>,
    /// What the boot loader started; `None` when it was not ours.
    pub running: Option<Running>,
    /// What the flash kept of what operators did to servers; the checkpoint knows better.
    pub kept: Vec<Kept>,
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
    /// Refused commits that may be good in flash all the same: not to be run, whatever the flash says.
    pub undo: Vec<Generation>,
    /// Kernel parameters as they were before the configuration set them.
    pub originals: BTreeMap<String, String>,
    /// The role in the pair.
    pub cluster: Option<crate::election::Saved>,
    /// What DHCP servers lent us, by device.
    pub leases: BTreeMap<Device, Lease>,
    /// The upgrade of both boxes.
    pub rollout: Option<Rollout>,
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
    notes: Vec<String>,
    health: Health,
    reconcile: Reconcile,
    /// Operations that put right what something else changed, until that is done.
    repairing: u32,
    /// What the last plan wanted.
    wanted: Option<Wanted>,
    announcer: Announcer,
    cluster: cluster::Cluster,
    transaction: Option<Transaction>,
    trial: Option<Trial>,
    overrides: Overrides,
    keeping: Keeping,
    marks: Marks,
    /// A commit was taken back without anybody asking; until the next one.
    fell_back: Option<String>,
    /// Stored commits being read.
    reads: usize,
    /// Who waits for the next dump, and whether with the servers.
    status_waiters: Vec<(SessionId, bool)>,
    stopping: bool,
    /// Its flash is being overwritten.
    resetting: bool,
    stopped: bool,
    /// Stopping, and the kernel holds nothing of ours that another could take.
    released: bool,
    operations: u64,
    last_plan: u32,
    last_error: Option<String>,
    /// What the kernel refused in the last batch.
    failing: Vec<Op>,
    /// Pages of the box itself that are being shown.
    pages: Pages,
    /// What was done to real servers in the kernel.
    done: Done,
    examination: doctor::Examination,
    conflicts: conflicts::Conflicts,
    /// Kernel parameters as they were before the configuration set them; at most one for each of [`Sysctl`](crate::model::system::Sysctl).
    originals: BTreeMap<String, String>,
    leases: Leases,
    time: sntp::Client,
    system: System,
    upgrading: upgrading::Upgrading,
    rolling: rollout::Rolling,
    sync: sync::Sync,
    /// Verdicts changed since the last checkpoint.
    unsaved: bool,
    /// When changed verdicts are acted on next.
    verdicts_due: Mono,
}

impl Director {
    /// Begins: looks at the kernel, starts the checks.
    pub fn start(start: Start, now: Mono, out: &mut Vec<Effect>) -> Self {
        let mut health = Health::new(start.checkpoint.as_ref().map(|c| &c.health), now);
        health.identify(start.identity);
        let mut director = Self {
            started: now,
            config: Box::new(start.config.clone()),
            generation: start.generation,
            newest: start.newest.max(start.generation),
            source: start.source.clone(),
            notes: start.notes.clone(),
            health,
            reconcile: Reconcile::start(now),
            repairing: 0,
            wanted: None,
            announcer: Announcer::default(),
            cluster: cluster::Cluster::default(),
            transaction: None,
            trial: None,
            overrides: match &start.checkpoint {
                Some(checkpoint) => checkpoint.overrides.clone(),
                None => Overrides::from_kept(start.kept.clone(), now),
            },
            keeping: Keeping::default(),
            marks: Marks::default(),
            fell_back: None,
            reads: 0,
            status_waiters: Vec::new(),
            stopping: false,
            resetting: false,
            stopped: false,
            released: false,
            operations: 0,
            last_plan: 0,
            last_error: None,
            failing: Vec::new(),
            pages: Pages::new(),
            done: Done::default(),
            examination: None,
            conflicts: conflicts::Conflicts::default(),
            leases: Leases::resumed(start.checkpoint.as_ref().map(|c| c.leases.clone()).unwrap_or_default()),
            originals: start.checkpoint.as_ref().map(|c| c.originals.clone()).unwrap_or_default(),
            time: sntp::Client::new(start.nonce),
            system: System::new(start.running, now),
            upgrading: upgrading::Upgrading::default(),
            rolling: rollout::Rolling::resumed(
                start.checkpoint.as_ref().and_then(|c| c.rollout.clone()),
                now,
            ),
            sync: sync::Sync::default(),
            unsaved: false,
            verdicts_due: now,
            start,
        };
        director.log(Level::Notice, format!("director {}: {}", director.start.version, director.source), out);
        director.resume_trial(now, out);
        director.resume_undo(out);
        director.resume_keeping(now, out);
        director.configured(now, out);
        if director.start.checkpoint.as_ref().is_some_and(|c| c.trial.is_some()) {
            director.checkpoint(out);
        }
        director.drive(now, out);
        director.order_fence(now, out);
        director
    }

    /// Takes one event.
    pub fn handle(&mut self, event: Event, now: Mono, out: &mut Vec<Effect>) {
        match event {
            Event::Deadline => self.on_deadline(now, out),
            Event::KernelChanged => self.reconcile.kernel_changed(),
            Event::Observed(result) => self.on_observed(result, now, out),
            Event::Applied { batch, results } => self.on_applied(batch, results, now, out),
            Event::Probed { id, outcome } if pings::ours(id) => self.on_pinged(id, &outcome, now, out),
            Event::Probed { id, outcome } => self.with_health(now, out, |h, o| h.probed(id, outcome, now, o)),
            Event::Heartbeat { path, frame } => self.on_heartbeat(path, &frame, now, out),
            Event::Rwho { from, datagram } => {
                self.with_health(now, out, |h, o| h.broadcast(from.into(), &datagram, now, o));
            }
            Event::Refused(refused) => self.on_refused(*refused, now),
            Event::TimeAnswered { server, sent, received, datagram } => {
                self.on_time(server, (sent, received), datagram.as_deref(), now, out);
            }
            Event::Dhcp { device, message } => self.on_dhcp(&device, &message, now, out),
            Event::Linked(up) => self.on_linked(up, now, out),
            Event::Told(message) => self.on_told(*message, now, out),
            Event::Judged { generation, notes } if generation == self.generation => self.notes.extend(notes),
            Event::Judged { .. } => {}
            Event::TableSent(connections) => self.table_sent(connections, now, out),
            Event::Recalled { session, result } => self.on_recalled(session, result, now, out),
            Event::Maintained { session, what, result } => {
                self.on_maintained(session, what, result, now, out)
            }
            Event::Proven(result) => self.on_proven(result, now, out),
            Event::Upgrade(news) => self.on_upgrade(news, now, out),
            Event::Ordered(result) => self.on_ordered(result, now, out),
            Event::Examined { watch: true, seen } => self.claims_seen(&seen, now, out),
            Event::Examined { watch: false, seen } => self.examined(seen, out),
            Event::Kept(result) => self.kept(result, now, out),
            Event::Saved { generation, result } => self.on_saved(generation, result, now, out),
            Event::Request { session, request } => self.on_request(session, *request, now, out),
            Event::Stop => self.stop_after_table(now, out),
        }
        self.drive(now, out);
        self.say_state(now, out);
        self.roll(now, out);
        sync::turn_answers(self.sync.proposal, out);
        self.forget_proposal();
        self.order_fence(now, out);
        // Last, because nothing may follow it.
        if self.reconcile.settled() {
            self.end(out);
        }
    }

    /// When [`Event::Deadline`] is due.
    pub fn next_deadline(&self) -> Mono {
        let mut next = self.reconcile.next_deadline();
        if self.unsaved {
            next = next.min(self.verdicts_due);
        }
        let others = [
            self.transaction.as_ref().and_then(Transaction::deadline),
            self.health.next_deadline(),
            self.announcer.next_deadline(),
            self.cluster.next_deadline(),
            self.trial_next(),
            self.overrides.next_deadline(),
            self.marks.next_deadline(),
            self.leases.next_deadline(),
            self.time.next_deadline(),
            self.keeping.again,
            self.system.next_deadline(),
            self.upgrading.next_deadline(),
            self.rolling.next_deadline(),
            self.sync.next_deadline(),
            self.conflicts.next_deadline(),
        ];
        for deadline in others.into_iter().flatten() {
            next = next.min(deadline);
        }
        next
    }

    fn on_deadline(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.transaction.as_ref().and_then(Transaction::deadline).is_some_and(|until| until <= now) {
            let asking = self.transaction.as_ref().is_some_and(|t| t.stage == Stage::Asking);
            let unsettled = if asking { sync::NO_ANSWER } else { "the kernel does not come to rest" };
            let why = self.last_error.clone().filter(|_| !asking).unwrap_or_else(|| unsettled.to_string());
            self.take_back(&why, now, out);
        }
        self.cluster_deadline(now, out);
        self.with_health(now, out, |h, o| h.on_deadline(now, o));
        if self.health.look(now) {
            self.update_cluster(now, out);
        }
        self.keep_verdicts(now, out);
        if self.overrides.next_deadline().is_some_and(|at| at <= now) {
            let before = self.overrides.clone();
            self.overrides.expire(now);
            self.log(Level::Notice, "the time of what was done to a server by hand is over", out);
            self.overridden(&before, now, out);
        }
        self.keep_again(now, out);
        self.trial_deadline(now, out);
        self.undo_again(now, out);
        self.leases_due(now, out);
        self.sync_deadline(now, out);
        self.ask_time(now, out);
        self.prove_late(now, out);
        self.upgrade_due(now, out);
        self.roll_due(now, out);
        self.watch_addresses(now, out);
        // What the kernel refused to add, or somebody took away, is not ours to announce.
        let held =
            |key: &AddressKey| self.reconcile.observed().is_some_and(|o| o.addresses.contains_key(key));
        let due = self.announcer.due(now);
        let ops: Vec<Op> = due.into_iter().filter(held).map(|key| Op::Announce { key }).collect();
        if !ops.is_empty() {
            out.push(Effect::Apply { batch: self.reconcile.side_batch(), ops });
        }
    }

    /// The running configuration is another one (or the first).
    fn configured(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.health.activate(self.active(&self.config));
        self.configure_health(now, out);
        let hostname =
            self.node().hostname.as_ref().map_or_else(|| "director".to_string(), ToString::to_string);
        let receiver =
            self.config.system.syslog.as_ref().and_then(|s| Some(SocketAddr::new(s.server?, s.port)));
        out.push(Effect::Syslog(receiver.map(|receiver| (receiver, hostname.clone()))));
        out.push(Effect::Hostname(hostname));
        self.configure_time(now);
        self.configure_cluster(now, out);
        out.push(Effect::Access(Access::of(&self.config)));
        out.push(Effect::RwhoListen(listens_to_rwhod(&self.config)));
        self.reconcile.desired_changed();
        self.reconcile.retry_now();
    }

    fn configure_health(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let config = core::mem::take(&mut self.config);
        self.with_health(now, out, |h, o| h.configure(&config, now, o));
        self.config = config;
    }

    fn with_health(
        &mut self,
        now: Mono,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut Health, &mut Vec<health::Output>),
    ) {
        let mut outputs = Vec::new();
        act(&mut self.health, &mut outputs);
        let (mut changed, mut stepped) = (0_usize, false);
        for output in outputs {
            match output {
                health::Output::Probe { id, spec, deadline } => {
                    out.push(Effect::Probe { id, spec: Box::new(spec), deadline });
                }
                health::Output::Changed { pool, server, port: _, from, to, reason } => {
                    changed = changed.saturating_add(1);
                    if changed <= TRANSITIONS_LOGGED {
                        let (level, text) = view::transition(&pool, &server, from, to, &reason);
                        self.log(level, text, out);
                    }
                }
                health::Output::Noted { text, bad } => {
                    stepped = true;
                    if !text.is_empty() {
                        self.log(if bad { Level::Warning } else { Level::Notice }, text, out);
                    }
                }
            }
        }
        if changed > TRANSITIONS_LOGGED {
            let more = changed.saturating_sub(TRANSITIONS_LOGGED);
            self.log(Level::Warning, format!("{more} more servers changed at once: show servers"), out);
        }
        if changed > 0 || stepped {
            self.unsaved = true;
            self.keep_verdicts(now, out);
        }
    }

    /// Acts on changed verdicts: at once, but then not again before [`VERDICT_SPACING`] has passed, because each time
    /// costs a checkpoint of all servers and a plan, and ten thousand may change one after the other.
    fn keep_verdicts(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.unsaved && now >= self.verdicts_due {
            self.verdicts_due = now.after(VERDICT_SPACING);
            self.reconcile.desired_changed();
            self.checkpoint(out);
        }
    }

    /// Keeps in `/run` what a restarted director needs.
    fn checkpoint(&mut self, out: &mut Vec<Effect>) {
        if core::mem::take(&mut self.unsaved) {
            // Whoever asked: what a restarted director would act on is acted on now.
            self.reconcile.desired_changed();
        }
        // One that the peer decides about is over when this process ends, as it is when the connection does.
        let own = self.trial.as_ref().filter(|t| t.with != trial::With::ForPeer);
        let trial = own.map(|t| SavedTrial { generation: t.generation, deadline: t.deadline });
        out.push(Effect::Checkpoint(Box::new(Checkpoint {
            health: self.health.checkpoint(),
            trial,
            overrides: self.overrides.clone(),
            undo: self.marks.undoing(),
            originals: self.originals.clone(),
            cluster: self.cluster.saved(),
            leases: self.leases.all(),
            rollout: self.rolling.saved(),
        })));
    }

    /// What the kernel should hold now.
    fn desired(&self, config: &Config, observed: &Observed) -> crate::plan::Desired {
        let config = &*self.bound(config, observed);
        let node = node_of(config, self.start.identity);
        let now = Now { health: &self.health, observed, overrides: &self.overrides, leases: &self.leases };
        let mut want = desired(config, node, self.active(config), &now);
        self.restore_parameters(&mut want);
        want
    }

    fn node(&self) -> &crate::model::config::Node {
        node_of(&self.config, self.start.identity)
    }

    /// Moves dump, plan and apply forward as far as it goes without an answer.
    fn drive(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if !self.stopping && self.health.activate(self.active(&self.config)) {
            self.configure_health(now, out);
        }
        for _ in 0..STEPS_MAX {
            match self.reconcile.step(!self.status_waiters.is_empty(), now) {
                Step::Wait if self.reconcile.pausing() => return self.answer_status_waiters(now, out),
                Step::Wait => return,
                Step::Observe => {
                    out.push(Effect::Observe(self.parameters()));
                    return;
                }
                Step::Plan => self.plan(now, out),
            }
        }
    }

    fn plan(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.lend(now, out);
        // Verdicts that changed are acted on here, whoever asked for this plan.
        let drifted = self.reconcile.drifted() && !self.unsaved;
        // A restart must not know less than the kernel shows.
        let remembered = self.remember_parameters();
        if remembered || self.unsaved {
            self.checkpoint(out);
        }
        let changed = remembered || self.reconcile.changed();
        let known = self.wanted.take().filter(|_| !changed);
        let Some(observed) = self.reconcile.observed() else { return };
        let active = self.active(&self.config);
        let wanted = match known {
            Some(wanted) if wanted.fits(active, observed) => wanted,
            _ => Wanted::new(self.desired(&self.config, observed), active, observed),
        };
        let want = &wanted.desired;
        let mut ops = plan(want, observed).ops;
        self.addresses_first(&want.released, &mut ops);
        self.announcer.keep(|key| want.floating_addresses.contains_key(key));
        for key in want.floating_addresses.keys().filter(|key| observed.addresses.contains_key(key)) {
            self.announcer.resumed(key.clone(), self.cluster.elects(), now);
        }
        for op in &ops {
            if let Op::Announce { key } = op {
                self.announcer.announced(key.clone(), now);
            }
        }
        self.cluster_planned(want.floating_addresses.keys());
        let count = u32::try_from(ops.len()).unwrap_or(u32::MAX);
        if drifted {
            self.blame(&ops, out);
        }
        let pages = want.pages.clone();
        self.wanted = Some(wanted);
        match self.reconcile.planned(ops.clone(), now) {
            Some(batch) => {
                self.show_pages_before(&pages, out);
                self.last_plan = count;
                out.push(Effect::Apply { batch, ops });
            }
            None => {
                self.show_pages(pages, out);
                self.on_settled(now, out);
            }
        }
    }

    fn on_observed(&mut self, result: Result<Box<Observed>, OpError>, now: Mono, out: &mut Vec<Effect>) {
        if let Err(error) = &result {
            self.complain(format!("cannot read the kernel's state: {error}"), out);
        }
        let known = result.is_ok();
        self.reconcile.dumped(result.map(|o| *o), now);
        self.update_cluster(now, out);
        // A console is answered even when the dump failed: the alarm tells.
        if known || self.reconcile.observed().is_some() || !self.status_waiters.is_empty() {
            self.answer_status_waiters(now, out);
        }
    }

    /// Kernel and desired state agree.
    fn on_settled(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.repaired(out);
        self.last_error = None;
        self.failing.clear();
        self.commit_settled(now, out);
        self.prove_settled(now, out);
        self.cluster_settled(now, out);
        self.want_table(now, out);
        self.conflicts_settled(now);
        self.released = self.stopping;
    }

    fn log(&self, level: Level, text: impl Into<String>, out: &mut Vec<Effect>) {
        out.push(Effect::Log { level, text: text.into() });
    }
}
