//! Executes effects, and collects what comes back.

use super::boot::{self, CheckpointFile, RUN, save_access};
use super::dhcp::Dhcp;
use super::kernel_shell::{self, Job};
use super::rwho::Rwho;
use super::sorry::Sorry;
use super::syslog::Syslog;
use super::time;
use crate::init::report::Reporter;
use crate::init::request;
use crate::ipc;
use crate::platform::background;
use crate::platform::clock;
use crate::platform::doctor;
use crate::platform::fence;
use crate::platform::flash::{Flash, FlashWorker, Job as FlashJob};
use crate::platform::heartbeat::Heartbeats;
use crate::platform::kmsg::Log;
use crate::platform::peer::Peer;
use crate::platform::probe::Prober;
use crate::platform::sysctl;
use crate::platform::table;
use crate::platform::tap::Taps;
use crate::platform::upgrade::Upgrader;
use director_core::director::cluster::FenceOrders;
use director_core::director::protocol::{Maintenance, Recall, SessionId};
use director_core::director::upgrading::{News, Task};
use director_core::director::{Effect, Event, Level};
use director_core::doctor::Look;
use director_core::health::{ProbeId, ProbeOutcome};
use director_core::init::{Ask, Child};
use director_core::model::{Config, Mono};
use director_core::plan::OpError;
use director_core::store::{Comment, Commit, Generation, StoreError, blob};
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Answers of the kernel under way: one job at a time, and notifications that were not taken yet.
const KERNEL_QUEUE: usize = 16;
/// Heartbeats that passed the filter and were not taken yet: some of each path. More are dropped, newer ones follow.
const HEARTBEAT_QUEUE: usize = 64;
/// What the peer said and was not taken yet. Full: its socket is not read.
const PEER_QUEUE: usize = 16;
/// Jobs for the kernel: the machine has one under way; the rest are repeated announcements.
const KERNEL_JOBS: usize = 64;
/// Ended probes that were not taken yet. Full: the probes wait, the loop does not.
const PROBE_QUEUE: usize = 1024;
/// Answers of the flash: one commit at a time.
const FLASH_QUEUE: usize = 16;

/// DHCP messages and broadcasts of rwhod that were not taken yet. Full: more are dropped, as on any network.
const DHCP_QUEUE: usize = 16;

/// Answers of time servers: one question each at a time.
const TIME_QUEUE: usize = 8;

/// Where events come from.
#[derive(Debug)]
pub(super) struct Inputs {
    stop: Signal,
    heartbeats: mpsc::Receiver<Event>,
    peer: mpsc::Receiver<Event>,
    kernel: mpsc::Receiver<Event>,
    probes: mpsc::Receiver<(ProbeId, ProbeOutcome)>,
    flash: mpsc::Receiver<Event>,
    dhcp: mpsc::Receiver<Event>,
    time: mpsc::Receiver<Event>,
    doctor: mpsc::Receiver<Event>,
    consoles: ipc::Server,
}

impl Inputs {
    /// The next event, the more urgent source first. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Event {
        // Senders live as long as the shells, so no queue ever ends; an ended one would only be skipped.
        tokio::select! {
            biased;
            _ = self.stop.recv() => Event::Stop,
            Some(event) = self.heartbeats.recv() => event,
            Some(event) = self.peer.recv() => event,
            Some(event) = self.kernel.recv() => event,
            Some((id, outcome)) = self.probes.recv() => Event::Probed { id, outcome },
            Some(event) = self.flash.recv() => event,
            Some(event) = self.dhcp.recv() => event,
            Some(event) = self.time.recv() => event,
            Some(event) = self.doctor.recv() => event,
            Some((session, request)) = self.consoles.next() => Event::Request { session, request },
        }
    }

    /// An event that is there already. Consoles are not asked: they come last, after a look at the deadline.
    pub(super) fn waiting(&mut self) -> Option<Event> {
        if let Ok(event) = self.heartbeats.try_recv() {
            return Some(event);
        }
        if let Ok(event) = self.peer.try_recv() {
            return Some(event);
        }
        if let Ok(event) = self.kernel.try_recv() {
            return Some(event);
        }
        if let Ok((id, outcome)) = self.probes.try_recv() {
            return Some(Event::Probed { id, outcome });
        }
        if let Ok(event) = self.flash.try_recv() {
            return Some(event);
        }
        if let Ok(event) = self.dhcp.try_recv() {
            return Some(event);
        }
        self.time.try_recv().or_else(|_| self.doctor.try_recv()).ok()
    }
}

/// Who executes effects.
#[derive(Debug)]
pub(super) struct Shells {
    kernel: mpsc::Sender<Job>,
    heartbeats: Heartbeats,
    peer: Peer,
    /// For those whose answers come with the peer's.
    peer_events: mpsc::Sender<Event>,
    prober: Prober,
    flash: Option<FlashWorker>,
    upgrader: Option<Upgrader>,
    sorry: Sorry,
    syslog: Syslog,
    dhcp: Dhcp,
    rwho: Rwho,
    time: mpsc::Sender<Event>,
    taps: Arc<Taps>,
    examined: mpsc::Sender<Event>,
    log: Rc<Log>,
    reporter: Option<Reporter>,
    /// Whether there is a peer.
    paired: Rc<Cell<bool>>,
    checkpoint: CheckpointFile,
    /// Answers known at once: a shell refused the work.
    refused: VecDeque<Event>,
}

impl Shells {
    /// Opens everything. Must run inside the loop's local task set.
    pub(super) fn open(
        log: &Rc<Log>,
        flash: Option<Flash>,
        reporter: Option<Reporter>,
    ) -> io::Result<(Self, Inputs)> {
        let (jobs, job_queue) = mpsc::channel(KERNEL_JOBS);
        let (kernel_events, kernel) = mpsc::channel(KERNEL_QUEUE);
        let (heartbeat_events, heartbeats) = mpsc::channel(HEARTBEAT_QUEUE);
        let (peer_events, peer) = mpsc::channel(PEER_QUEUE);
        let (probe_events, probes) = mpsc::channel(PROBE_QUEUE);
        let (dhcp_events, dhcp) = mpsc::channel(DHCP_QUEUE);
        let (time_events, time) = mpsc::channel(TIME_QUEUE);
        // One examination at a time, and one look at the box's own addresses.
        let (examined, doctor) = mpsc::channel(2);
        let paired = Rc::new(Cell::new(false));
        let (flash_events, flash_queue) = mpsc::channel(FLASH_QUEUE);
        tokio::task::spawn_local(kernel_shell::serve(job_queue, kernel_events.clone()));
        tokio::task::spawn_local(kernel_shell::watch(Rc::clone(log), Rc::clone(&paired), kernel_events));
        let data = flash.as_ref().map(|flash| flash.path().to_owned());
        let shells = Self {
            paired,
            upgrader: data.map(|data| Upgrader::new(data, flash_events.clone())),
            kernel: jobs,
            heartbeats: Heartbeats::new(heartbeat_events, Rc::clone(log)),
            peer: Peer::new(peer_events.clone(), Rc::clone(log)),
            peer_events,
            prober: Prober::new(probe_events, boot::nonce(&mut Vec::new())),
            flash: flash.map(|flash| FlashWorker::start(flash, flash_events)).transpose()?,
            sorry: Sorry::new(Rc::clone(log)),
            syslog: Syslog::default(),
            rwho: Rwho::new(Rc::clone(log), dhcp_events.clone()),
            dhcp: Dhcp::new(Rc::clone(log), dhcp_events),
            time: time_events,
            taps: Arc::new(Taps::new(boot::nonce(&mut Vec::new()))),
            examined,
            log: Rc::clone(log),
            reporter,
            checkpoint: CheckpointFile::default(),
            refused: VecDeque::new(),
        };
        let stop = signal(SignalKind::terminate())?;
        let consoles = ipc::Server::bind(Path::new(ipc::SOCKET))?;
        Ok((
            shells,
            Inputs {
                stop,
                heartbeats,
                peer,
                kernel,
                probes,
                flash: flash_queue,
                dhcp,
                time,
                doctor,
                consoles,
            },
        ))
    }

    /// Executes effects in order. False when the director is done.
    pub(super) fn execute(&mut self, inputs: &mut Inputs, effects: &mut Vec<Effect>) -> bool {
        let mut running = true;
        for effect in effects.drain(..) {
            match effect {
                Effect::Observe(sysctls) => self.ask_kernel(Job::Observe(sysctls)),
                Effect::Apply { batch, ops } => self.ask_kernel(Job::Apply { batch, ops }),
                Effect::Probe { id, spec, deadline } => self.prober.start(id, *spec, deadline),
                Effect::Save { generation, state, comment, config } => {
                    let commit = Commit { at_unix_s: clock::unix_s(), comment, config: *config };
                    let payload = blob::encode(&commit);
                    self.ask_flash(generation, FlashJob::Save { generation, state, payload });
                }
                Effect::Mark { generation, state } => {
                    self.ask_flash(generation, FlashJob::Mark { generation, state });
                }
                Effect::Prove(running) => self.unless_refused(FlashJob::Prove(running), Event::Proven),
                Effect::Order(order) => self.unless_refused(FlashJob::Order(order), Event::Ordered),
                Effect::Keep(list) => self.unless_refused(FlashJob::Keep(list), Event::Kept),
                Effect::Upgrade(task) => self.upgrade(task),
                Effect::Recall { session, what, running } => self.ask_recall(session, what, running),
                Effect::Maintain { session, what, rescue } => self.maintain(session, what, rescue),
                Effect::Access(access) => save_access(&self.log, Path::new(RUN), &access),
                Effect::Notify { but, text } => inputs.consoles.tell_all(but, &text),
                Effect::Reply { session, reply } => {
                    if !inputs.consoles.reply(session, *reply) {
                        self.log.write(Level::Warning, format_args!("a console's reply found no room"));
                    }
                }
                Effect::Checkpoint(checkpoint) => self.checkpoint.save(&self.log, &checkpoint),
                Effect::Log { level, text } => {
                    self.log.write(level, format_args!("{text}"));
                    self.syslog.send(level, &text);
                }
                Effect::Syslog(receiver) => {
                    let set = self.syslog.set(receiver);
                    self.complain("syslog", set);
                }
                Effect::RwhoListen(wanted) => self.rwho.listen(wanted),
                Effect::DhcpListen(devices) => self.dhcp.listen(&devices),
                Effect::DhcpSend { device, message, from, to } => {
                    self.dhcp.send(&device, &message, from, to);
                }
                Effect::Pages(pages) => self.sorry.show(&pages),
                Effect::AskTime { server, packet } => time::ask(server, packet, self.time.clone()),
                Effect::SetClock { unix_us, at } => time::set(&self.log, unix_us, at),
                Effect::Hostname(name) => self.set_hostname(&name),
                Effect::Examine { watch, looks } => self.examine(watch, looks),
                Effect::Beat(frame) => {
                    self.heartbeats.send(&frame);
                    if let Some(reporter) = &mut self.reporter {
                        reporter.beat(Mono::from_micros(frame.stamp.sequence));
                    }
                }
                Effect::Fence(orders) => self.order_fence(orders.map(|orders| *orders)),
                Effect::Listen(listen) => {
                    self.paired.set(listen.is_some());
                    self.peer.seek(listen.as_deref());
                    self.heartbeats.listen(listen.map(|l| *l));
                }
                Effect::Tell(message) => self.peer.tell(*message),
                Effect::SendTable { daemon, marks } => {
                    table::send(&self.log, &self.peer_events, daemon, marks);
                }
                Effect::Power(power) => {
                    let asked = request::ask(Ask::Power(power));
                    self.complain("init does not take requests", asked);
                }
                Effect::Stopped => running = false,
            }
        }
        running
    }

    /// The main loop completed a turn.
    pub(super) fn turned(&mut self, now: Mono, proven: bool) {
        if let Some(reporter) = &mut self.reporter {
            reporter.turned(now, proven);
        }
    }

    fn order_fence(&mut self, orders: Option<FenceOrders>) {
        let Some(reporter) = &mut self.reporter else { return };
        let (after, keys) = orders.map_or((None, Vec::new()), |o| (Some(o.after), o.keys));
        let ordered = reporter.order(after, &fence::removal(&keys));
        self.complain("init was not told which addresses to remove when the director stands still", ordered);
    }

    fn complain<E: Display>(&self, what: &str, result: Result<(), E>) {
        if let Err(error) = result {
            self.log.write(Level::Error, format_args!("{what}: {error}"));
        }
    }

    /// Hands a job to the flash; a refusal is its answer at once.
    fn unless_refused(&mut self, job: FlashJob, answer: fn(Result<(), StoreError>) -> Event) {
        if let Err(error) = self.submit(job) {
            self.refused.push_back(answer(Err(error)));
        }
    }

    fn set_hostname(&self, name: &str) {
        // Not by sethostname, which asks for a capability that this process gave up.
        if let Err(error) = sysctl::write("kernel.hostname", name) {
            self.log.write(Level::Warning, format_args!("host name {name}: {error}"));
        }
    }

    /// An answer that was known at once.
    pub(super) fn refused(&mut self) -> Option<Event> {
        self.refused.pop_front()
    }

    fn submit(&self, job: FlashJob) -> Result<(), StoreError> {
        let flash = self.flash.as_ref().ok_or(StoreError::NoDevice)?;
        flash.submit(job).map_err(|refused| StoreError::device("write", &refused))
    }

    fn examine(&self, watch: bool, looks: Vec<Look>) {
        let (taps, examined) = (Arc::clone(&self.taps), self.examined.clone());
        tokio::spawn(async move {
            let seen = doctor::examine(taps, looks).await;
            // The receiver is gone only when the director ends.
            drop(examined.send(Event::Examined { watch, seen }).await);
        });
    }

    /// Looks for values that this firmware refuses, on a thread that gives way to all else.
    pub(super) fn judge(&self, generation: Generation, config: Config) {
        let (log, events) = (Log::open(Child::Director.word()), self.examined.clone());
        let judge = move || {
            // The table comes first.
            background::give_way();
            let event = boot::judge(generation, &config);
            if let Event::Judged { notes, .. } = &event {
                notes.iter().for_each(|note| log.write(Level::Warning, format_args!("{note}")));
            }
            drop(events.blocking_send(event));
        };
        let judged = std::thread::Builder::new().name("values".to_owned()).spawn(judge);
        self.complain("the values of the configuration are not looked at", judged.map(drop));
    }

    fn ask_kernel(&mut self, job: Job) {
        let Err(error) = self.kernel.try_send(job) else { return };
        let why = OpError { errno: 0, message: "the kernel has not finished earlier work".to_owned() };
        self.refused.push_back(match error.into_inner() {
            Job::Observe(_) => Event::Observed(Err(why)),
            Job::Apply { batch, ops } => {
                Event::Applied { batch, results: ops.iter().map(|_| Err(why.clone())).collect() }
            }
        });
    }

    fn upgrade(&mut self, task: Task) {
        let none = || Some(News::Ended(Err(StoreError::NoDevice.to_string())));
        let news = self.upgrader.as_mut().map_or_else(none, |upgrader| upgrader.carry_out(task));
        self.refused.extend(news.map(Event::Upgrade));
    }

    fn ask_recall(&mut self, session: SessionId, what: Recall, running: Generation) {
        let refused = match &self.flash {
            Some(flash) => match flash.submit(FlashJob::Recall { session, what, running }) {
                Ok(()) => return,
                Err(refused) => StoreError::device("read", &refused),
            },
            None => StoreError::NoDevice,
        };
        self.refused.push_back(Event::Recalled { session, result: Err(refused) });
    }

    fn maintain(&mut self, session: SessionId, what: Maintenance, rescue: Option<(Comment, Box<Config>)>) {
        let encoded = rescue.map(|(comment, config)| {
            blob::encode(&Commit { at_unix_s: clock::unix_s(), comment, config: *config })
        });
        let job = FlashJob::Maintain { session, what, rescue: encoded.unwrap_or_default() };
        let error = match &self.flash {
            Some(flash) => match flash.submit(job) {
                Ok(()) => return,
                Err(refused) => StoreError::device("write", &refused),
            },
            None => StoreError::NoDevice,
        };
        self.refused.push_back(Event::Maintained { session, what, result: Err(error) });
    }

    fn ask_flash(&mut self, generation: Generation, job: FlashJob) {
        let result = match &self.flash {
            Some(flash) => flash.submit(job).map_err(|refused| StoreError::device("write", &refused)),
            None => Err(StoreError::NoDevice),
        };
        if result.is_err() {
            self.refused.push_back(Event::Saved { generation, result });
        }
    }
}
