//! Both boxes, the LAN between them, and what happens when.

use super::book::Book;
use super::checks::Checks;
use super::draw::{Draw, GATEWAY};
use super::lan::{Lan, Recorded};
use super::line::Line;
use super::node::{Node, Power};
use crate::chaos::rng::Rng;
use director_core::director::protocol::{Recall, Recalled, Request, SessionId};
use director_core::director::{Effect, Event, pings};
use director_core::health::{Failure, ProbeOutcome};
use director_core::model::{Config, Mono};
use director_core::plan::{Op, OpError};
use director_core::store::identity::Role;
use director_core::store::record::SlotState;
use director_core::store::{Generation, blob};
use director_core::wire::heartbeat::{Frame, Running};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// Lines kept of what happened.
const TIMELINE: usize = 80;
/// Events in one call of [`World::advance`], at most.
const EVENTS_MAX: usize = 400_000;
/// What waits for a box that stands still, at most: a socket's buffer.
const HELD_MAX: usize = 64;
/// Time of one character of the role lines.
const SAMPLE_US: u64 = 100_000;
/// Time that a frame takes at least.
const WIRE_US: u64 = 100;

/// One thing that happens later to a node.
#[derive(Debug)]
pub enum Item {
    /// To its director.
    Event(Event),
    /// Its kernel is read.
    Observe(Vec<String>),
    /// Its kernel is changed.
    Apply(u64, Vec<Op>),
    /// A frame comes.
    Frame {
        /// Over this network.
        network: usize,
        /// The bytes.
        bytes: Vec<u8>,
        /// When it was sent, when somebody recorded it.
        replayed: Option<u64>,
        /// It is not authentic.
        forged: bool,
    },
    /// Power comes.
    Boot,
    /// Init starts the director.
    Revive,
    /// It goes on; its clock stood still or not, since then.
    Resume(bool, u64),
    /// A fault ends.
    Mend(Mend),
    /// The flash has written this.
    Flash(Generation, SlotState, Option<Box<Config>>),
    /// The two connect.
    Connect,
    /// Bytes of the connection with this number come.
    Carry(u64),
    /// That connection is given up by this end.
    GiveUp(u64),
    /// This end hears that the connection is over.
    Lost(u64),
}

/// What ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mend {
    /// The cable is in again.
    Cable(usize),
    /// Heartbeats of the node pass again.
    Cut,
    /// As many frames are lost as before.
    Loss,
    /// It sees its servers.
    Servers,
    /// The gateway is back.
    Gateway,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// Random numbers.
    pub rng: Rng,
    /// What the seed is made of.
    pub draw: Draw,
    /// Time of the world in microseconds.
    pub now: u64,
    /// Primary and backup.
    pub nodes: [Node; 2],
    /// Between them.
    pub lan: Lan,
    /// What must hold.
    pub checks: Checks,
    /// The connection between them.
    pub line: Line,
    /// What was committed.
    pub book: Book,
    queue: BTreeMap<(u64, u64), (usize, u64, Item)>,
    next: u64,
    timeline: VecDeque<String>,
    roles: [String; 2],
}

impl World {
    /// Two boxes without power.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let draw = Draw::new(&mut rng);
        let [first, second] = draw.drift_ppm;
        let config = draw.config();
        Self {
            rng,
            now: 0,
            nodes: [Node::new(Role::Primary, &config, first), Node::new(Role::Backup, &config, second)],
            lan: Lan::default(),
            checks: Checks::default(),
            line: Line::default(),
            book: Book::default(),
            queue: BTreeMap::new(),
            next: 0,
            timeline: VecDeque::new(),
            roles: [String::new(), String::new()],
            draw,
        }
    }

    /// Adds a line to what is printed when the run fails.
    pub fn note(&mut self, text: impl AsRef<str>) {
        if self.timeline.len() == TIMELINE {
            self.timeline.pop_front();
        }
        let ms = self.now / 1000;
        self.timeline.push_back(format!("{:>6}.{:03} s {}", ms / 1000, ms % 1000, text.as_ref()));
    }

    /// What happened, and the roles.
    pub fn timeline(&self) -> String {
        let mut text = self.timeline.iter().fold(String::new(), |all, line| all + line + "\n");
        text += "one character is 100 ms; a capital letter holds the address\n";
        let chars = self.roles[0].len();
        for begin in (0..chars).step_by(100) {
            let end = chars.min(begin + 100);
            text += &format!("{:>4} s lvs1 {}\n", begin / 10, &self.roles[0][begin..end]);
            text += &format!("       lvs2 {}\n", &self.roles[1][begin..end]);
        }
        text
    }

    /// Something happens to a node later.
    pub fn post(&mut self, node: usize, after_us: u64, item: Item) {
        self.next += 1;
        let process = self.nodes[node].process;
        self.queue.insert((self.now.saturating_add(after_us), self.next), (node, process, item));
    }

    /// Runs for so long.
    pub fn advance(&mut self, us: u64) {
        let end = self.now + us;
        for _ in 0..EVENTS_MAX {
            let deadline = |node: &Node| {
                let at = node.director.as_ref().filter(|_| node.power == Power::Up)?.next_deadline();
                Some(node.world_time(at, self.now))
            };
            let due = [0, 1].map(|n| deadline(&self.nodes[n]).unwrap_or(u64::MAX));
            let queued = self.queue.keys().next().map_or(u64::MAX, |(at, _)| *at);
            let init = [0, 1].map(|n| {
                let at = self.nodes[n].init_deadline();
                at.map_or(u64::MAX, |at| self.nodes[n].world_time(at, self.now))
            });
            let at = due[0].min(due[1]).min(queued).min(init[0]).min(init[1]);
            self.sample(at.min(end));
            if at > end {
                self.now = end;
                self.check();
                return;
            }
            self.now = at;
            if let Some(n) = [0, 1].into_iter().find(|n| init[*n] <= at) {
                self.init(n);
            } else if due[0] <= at {
                self.handle(0, Event::Deadline);
            } else if due[1] <= at {
                self.handle(1, Event::Deadline);
            } else if let Some((_, (node, process, item))) = self.queue.pop_first() {
                self.happen(node, process, item);
            }
            self.check();
        }
        panic!("the simulation does not end");
    }

    /// PID 1 of a box looks.
    fn init(&mut self, n: usize) {
        if self.nodes[n].init(self.now) {
            self.note(format!("lvs{}: init removes the addresses", n + 1));
            self.post(n, 100, Item::Event(Event::KernelChanged));
        }
    }

    fn sample(&mut self, until: u64) {
        let [first, second] = &mut self.roles;
        while u64::try_from(first.len()).unwrap() * SAMPLE_US < until {
            first.push(self.nodes[0].letter());
            second.push(self.nodes[1].letter());
        }
    }

    fn check(&mut self) {
        self.checks.look(self.now, &self.draw, &self.nodes, &self.lan);
        self.tend();
    }

    fn happen(&mut self, n: usize, process: u64, item: Item) {
        let node = &mut self.nodes[n];
        // What is the world's and not the box's; a connection is only made between two that run.
        let resumes = matches!(item, Item::Resume(..) | Item::Boot | Item::Mend(_) | Item::Connect);
        if matches!(node.power, Power::Paused | Power::Wedged) && !resumes {
            if node.held.len() < HELD_MAX || !matches!(item, Item::Frame { .. }) {
                node.held.push_back(item);
            }
            return;
        }
        let current = process == node.process;
        match item {
            Item::Frame { network, bytes, replayed, forged } => {
                self.frame(n, network, &bytes, replayed, forged)
            }
            Item::Boot if node.power == Power::Off => {
                let carrier = [0, 1].map(|network| !self.lan.pulled[n][network]);
                self.nodes[n].boot(self.now, carrier);
                self.note(format!("lvs{} boots", n + 1));
                self.start(n);
            }
            Item::Revive if node.power == Power::Headless => self.start(n),
            Item::Mend(mend) => self.mend(n, mend),
            Item::Resume(frozen, since) if matches!(node.power, Power::Paused | Power::Wedged) => {
                self.resume(n, frozen, since);
            }
            Item::Event(event) if current => self.handle(n, event),
            Item::Observe(names) if current => {
                let state = &mut node.kernel.state;
                for name in names {
                    state.sysctls.entry(name).or_insert_with(|| "unset".to_string());
                }
                let seen = Box::new(state.clone());
                self.handle(n, Event::Observed(Ok(seen)));
            }
            Item::Apply(batch, ops) if current => {
                let results = ops.iter().map(|op| self.operate(n, op)).collect();
                self.handle(n, Event::Applied { batch, results });
            }
            Item::Flash(generation, state, config) if current => {
                self.written(n, generation, state, config.map(|c| *c));
            }
            Item::Connect => self.connect(),
            Item::Carry(number) => self.carry(n, number),
            Item::GiveUp(number) => self.give_up(n, number),
            Item::Lost(number) if current => self.lost(n, number),
            Item::Lost(_) => {}
            Item::Boot | Item::Revive | Item::Resume(..) | Item::Flash(..) => {}
            Item::Event(_) | Item::Observe(_) | Item::Apply(..) => {}
        }
    }

    fn operate(&mut self, n: usize, op: &Op) -> Result<(), OpError> {
        assert!(!matches!(op, Op::ServiceDelete { .. }), "a change of role deletes no service");
        self.checks.operated(n, op, self.now);
        if let Op::Announce { key } = op
            && !self.lan.pulled[n][Lan::number(key.device.as_str())]
        {
            self.lan.belief.insert(key.cidr.address(), n);
        }
        let done = self.nodes[n].kernel.apply(op);
        // What the kernel lost meanwhile is an answer too.
        done.map_err(|message| OpError { errno: 3, message })
    }

    /// A director starts.
    pub fn start(&mut self, n: usize) {
        let nonce = self.rng.bits();
        let effects = self.nodes[n].start(nonce, self.now);
        self.execute(n, effects);
    }

    /// An event for a director.
    pub fn handle(&mut self, n: usize, event: Event) {
        let node = &mut self.nodes[n];
        let clock = node.clock(self.now);
        let Some(director) = &mut node.director else { return };
        let mut effects = Vec::new();
        director.handle(event, clock, &mut effects);
        self.execute(n, effects);
    }

    fn execute(&mut self, n: usize, effects: Vec<Effect>) {
        let beats = effects.iter().filter(|e| matches!(e, Effect::Beat(_))).count();
        assert!(beats <= 6, "{beats} heartbeats at once");
        for effect in effects {
            let kernel = self.rng.between(50, self.draw.kernel_us);
            match effect {
                Effect::Observe(names) => self.post(n, kernel, Item::Observe(names)),
                Effect::Apply { batch, ops } => self.post(n, kernel, Item::Apply(batch, ops)),
                Effect::Probe { id, spec, deadline } => {
                    let node = &mut self.nodes[n];
                    let check = !pings::ours(id);
                    node.asked += u64::from(check);
                    let unasked = check && !node.asks;
                    let node = &self.nodes[n];
                    let sees = if check {
                        node.servers && !self.lan.pulled[n][1]
                    } else if spec.target.ip() == GATEWAY {
                        !self.lan.pulled[n][0] && !self.lan.no_gateway && self.arrives(n, spec.source)
                    } else {
                        !self.lan.pulled[n][1] && self.arrives(n, spec.source)
                    };
                    let late = node.world_time(deadline, self.now) - self.now;
                    let (result, took) = match (unasked, sees) {
                        (true, _) => (Err(Failure::NotAsked("out of file descriptors".to_owned())), 1000),
                        (false, true) => (Ok(()), 1000),
                        (false, false) => (Err(Failure::from("no answer")), late),
                    };
                    let outcome = ProbeOutcome {
                        result,
                        took_us: u32::try_from(took).unwrap(),
                        transcript: Default::default(),
                        learned: Default::default(),
                    };
                    self.post(n, took, Item::Event(Event::Probed { id, outcome }));
                }
                Effect::Checkpoint(checkpoint) => {
                    self.nodes[n].aside = checkpoint.cluster.is_some_and(|c| c.aside);
                    self.nodes[n].checkpoint = Some(*checkpoint);
                }
                Effect::Listen(listen) => self.nodes[n].listen = listen.map(|l| *l),
                Effect::Beat(frame) => {
                    let node = &mut self.nodes[n];
                    let clock = node.clock(self.now);
                    node.fence.beat(Mono::from_micros(frame.stamp.sequence), clock);
                    self.send(n, &frame);
                }
                Effect::Fence(orders) => {
                    let node = &mut self.nodes[n];
                    let clock = node.clock(self.now);
                    node.fence.order(orders.as_ref().map(|o| o.after), clock);
                    node.orders = orders.map(|o| o.keys).unwrap_or_default();
                }
                Effect::Log { text, .. } => self.logged(n, &text),
                Effect::Reply { session, reply } => self.replied(n, session, *reply),
                Effect::Save { generation, state, config, .. } => {
                    self.flash(n, generation, state, Some(*config));
                }
                Effect::Mark { generation, state } => self.flash(n, generation, state, None),
                Effect::Recall { session, what: Recall::Lineage, .. } => {
                    let good = self.nodes[n].flash.iter().filter(|(_, (state, _))| *state == SlotState::Good);
                    let running = |(generation, (_, config)): (&Generation, &(SlotState, Config))| Running {
                        generation: generation.0,
                        hash: blob::hash(config),
                    };
                    let result = Ok(Recalled::Lineage(good.map(running).collect()));
                    self.post(n, 5000, Item::Event(Event::Recalled { session, result }));
                }
                Effect::Tell(message) => self.tell(n, &message),
                Effect::SendTable { .. } => {
                    let late = if self.rng.chance(10) { 5_000_000 } else { 20_000 };
                    let took = self.rng.between(1000, late);
                    self.post(n, took, Item::Event(Event::TableSent(3)));
                }
                Effect::Keep(_) => self.post(n, 1000, Item::Event(Event::Kept(Ok(())))),
                Effect::Notify { text, .. } => self.notified(n, &text),
                Effect::Prove(_) | Effect::Order(_) | Effect::Upgrade(_) | Effect::Power(_) => {
                    self.disk_effect(n, effect);
                }
                Effect::Stopped => {
                    let node = &mut self.nodes[n];
                    assert!(!node.holds(), "stopped and holds the address");
                    node.behead();
                    node.power = Power::Off;
                    self.note(format!("lvs{} stopped", n + 1));
                    let later = self.rng.between(100_000, 5_000_000);
                    self.post(n, later, Item::Boot);
                    return;
                }
                Effect::Examine { .. } | Effect::RwhoListen(_) => {}
                Effect::Hostname(_) | Effect::Access(_) | Effect::Syslog(_) | Effect::Pages(_) => {}
                other => panic!("nobody asked for it: {other:?}"),
            }
        }
    }

    /// Whether an answer to an address comes to a node; without one it goes to an address of its own.
    fn arrives(&self, n: usize, address: Option<IpAddr>) -> bool {
        address.is_none_or(|address| self.lan.belief.get(&address) == Some(&n))
    }

    fn logged(&mut self, n: usize, text: &str) {
        let Some(rest) = text.strip_prefix("cluster: ") else { return };
        let role =
            ["starting", "standby", "active", "releasing", "stopped"].iter().find(|r| rest.starts_with(**r));
        if let Some(role) = role.filter(|r| rest[r.len()..].starts_with([':', ' '])) {
            self.nodes[n].role = match *role {
                "standby" => 'b',
                "stopped" => 'l',
                other => other.chars().next().expect("a word"),
            };
            self.checks.changed(n, *role == "active", self.now, &self.draw, &self.nodes, &self.lan);
        }
        self.note(format!("lvs{} {rest}", n + 1));
    }

    fn send(&mut self, n: usize, frame: &Frame) {
        let Some(listen) = &self.nodes[n].listen else { return };
        let bytes = listen.guard.seal(frame).expect("it is signed").to_vec();
        let open: Vec<_> =
            listen.paths.iter().filter(|p| self.nodes[n].has(p.local)).map(Lan::network).collect();
        self.lan.sent += 1;
        if self.draw.attacks {
            let place = usize::try_from(self.rng.below(256)).unwrap();
            let copy = Recorded { at: self.now, to: 1 - n, bytes: bytes.clone() };
            self.lan.record(copy, place);
        }
        for network in open {
            if !self.lan.passes(n, network) || self.rng.chance(self.draw.loss.max(self.lan.loss)) {
                continue;
            }
            let copies = if self.rng.chance(self.draw.doubled) { 2 } else { 1 };
            for _ in 0..copies {
                let took = self.rng.between(WIRE_US, self.draw.delay_us);
                let frame = Item::Frame { network, bytes: bytes.clone(), replayed: None, forged: false };
                self.post(1 - n, took, frame);
            }
        }
    }

    fn frame(&mut self, n: usize, network: usize, bytes: &[u8], replayed: Option<u64>, forged: bool) {
        let node = &mut self.nodes[n];
        let Some(listen) = node.listen.as_ref().filter(|_| node.power == Power::Up) else { return };
        let number = listen.paths.iter().position(|path| Lan::network(path) == network);
        let Some(number) = number.filter(|i| node.has(listen.paths[*i].local)) else { return };
        let opened = listen.guard.open(bytes, &mut node.counters);
        assert!(!(forged && opened.is_ok()), "S3: a forged frame passed the filter");
        let Ok(frame) = opened else { return };
        let role = node.role;
        let path = u8::try_from(number).unwrap();
        self.handle(n, Event::Heartbeat { path, frame: Box::new(frame) });
        let old = replayed.is_some_and(|at| self.nodes[n].age(at, self.now) > 2 * self.draw.dead_us());
        assert!(!old || self.nodes[n].role == role, "S3: a recorded frame changed the role");
    }

    fn flash(&mut self, n: usize, generation: Generation, state: SlotState, config: Option<Config>) {
        let took = self.rng.between(2000, 80_000);
        self.post(n, took, Item::Flash(generation, state, config.map(Box::new)));
    }

    /// The process ends while the flash is at work: the first write is done, or is not.
    fn flash_in_part(&mut self, n: usize) {
        let process = self.nodes[n].process;
        let first = self.queue.iter().find_map(|(key, (owner, of, item))| {
            (*owner == n && *of == process && matches!(item, Item::Flash(..))).then_some(*key)
        });
        if let Some(key) = first.filter(|_| self.rng.chance(50))
            && let Some((_, _, Item::Flash(generation, state, config))) = self.queue.remove(&key)
        {
            let _answer = self.write(n, generation, state, config.map(|c| *c));
        }
    }

    fn written(&mut self, n: usize, generation: Generation, state: SlotState, config: Option<Config>) {
        let result = self.write(n, generation, state, config);
        self.handle(n, Event::Saved { generation, result });
    }

    /// A console asks.
    pub fn ask(&mut self, n: usize, request: Request) {
        self.ask_as(n, SessionId(1), request);
    }

    /// A console asks.
    pub fn ask_as(&mut self, n: usize, session: SessionId, request: Request) {
        self.post(n, 0, Item::Event(Event::Request { session, request: Box::new(request) }));
    }

    fn mend(&mut self, n: usize, mend: Mend) {
        match mend {
            Mend::Cable(network) => self.cable(n, network, false),
            Mend::Cut => self.lan.cut[n] = [false; 2],
            Mend::Loss => self.lan.loss = 0,
            Mend::Servers => self.nodes[n].servers = true,
            Mend::Gateway => self.lan.no_gateway = false,
        }
        self.note(format!("lvs{}: {mend:?} is over", n + 1));
    }

    /// A cable is pulled or put in again.
    pub fn cable(&mut self, n: usize, network: usize, pulled: bool) {
        self.lan.pulled[n][network] = pulled;
        if self.nodes[n].power != Power::Off {
            let device = super::lan::PATHS[network].parse().unwrap();
            self.nodes[n].kernel.state.links.get_mut(&device).expect("made").carrier = !pulled;
            self.post(n, 100, Item::Event(Event::KernelChanged));
        }
    }

    /// The power goes.
    pub fn power_cut(&mut self, n: usize) {
        self.flash_in_part(n);
        let node = &mut self.nodes[n];
        node.power = Power::Off;
        node.behead();
        node.held.clear();
        self.note(format!("lvs{}: power cut", n + 1));
    }

    /// The director dies; what the kernel was to do is done in part.
    pub fn kill(&mut self, n: usize, forget: bool) {
        if self.nodes[n].power != Power::Up {
            return;
        }
        let process = self.nodes[n].process;
        self.flash_in_part(n);
        let mut part = Vec::new();
        for (owner, of, item) in self.queue.values() {
            if let (true, true, Item::Apply(_, ops)) = (*owner == n, *of == process, item) {
                part.extend(ops.iter().cloned());
            }
        }
        part.truncate(usize::try_from(self.rng.below(u64::try_from(part.len()).unwrap() + 1)).unwrap());
        for op in part {
            let _result = self.operate(n, &op);
        }
        self.nodes[n].behead();
        self.checks.disturb(self.now);
        if forget {
            self.nodes[n].checkpoint = None;
        }
        self.note(format!("lvs{}: director killed, /run {}", n + 1, if forget { "lost" } else { "kept" }));
    }

    fn resume(&mut self, n: usize, frozen: bool, since: u64) {
        let node = &mut self.nodes[n];
        node.power = Power::Up;
        if frozen {
            node.stood_still(since, self.now);
        }
        let held = std::mem::take(&mut node.held);
        self.note(format!("lvs{} goes on", n + 1));
        for item in held {
            self.post(n, 0, item);
        }
    }
}
