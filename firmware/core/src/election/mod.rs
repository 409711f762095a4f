//! Who is active: the heartbeat, witness and takeover machine. Sans-IO: frames and time in, frames and roles out.
//!
//! It decides when this node holds the floating addresses and why. It never touches an address: the director does,
//! and says [`Election::released`] when they are gone.
//!
//! ```text
//!            peer heard                       peer dead, left, gave its role, or is the worse one
//! Starting ─────────────> Standby ─────────────────────────────────────────────> Active
//!     │                     ^  │ stop                                              │
//!     │ nobody, start hold  │  └──────────> Left <─────────┐                       │ duel lost, peer serves better,
//!     └───────> Active      │                              │ addresses gone (stop)  │ claim, operator, stop
//!                           └────────────────────────── Releasing <────────────────┘
//!                                    addresses gone
//! ```
//!
//! A role is handed over by the one who has it: the better node *claims*, the active one releases its addresses and
//! then says that it *yielded*, and the other takes them. So a planned switchover never has two owners. Only silence
//! makes a node take what was not given.

mod decide;
mod peer;
mod reason;
#[cfg(test)]
mod tests;

pub use peer::{PATHS_MAX, Path, Peer, SERIAL_PATH, Worth};
pub use reason::Reason;

use crate::model::cluster::{Detection, Failback};
use crate::model::{Millis, Mono};
use crate::store::identity::Role as Node;
use crate::wire::heartbeat::{Frame, Marks, Running, State};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Frames sent in quick succession after a change of role: one may be lost on every path.
const BURST: u8 = 3;
/// Pause between them.
const BURST_PAUSE: Millis = Millis::new(10);
/// Questions to a late peer, at most, before it counts as dead. Chosen: asking a near peer takes 50 ms.
pub const ASKS: u8 = 5;
/// Shortest pause between two questions. Chosen: above the turn of a busy peer's main loop.
pub const ASK_PAUSE_MIN: Millis = Millis::new(10);
/// A heartbeat is a question this often, to know the round trip of each path.
const MEASURE_EVERY: Millis = Millis::from_secs(10);
/// First contact is answered at once, but not more often than this.
const GREETING_PAUSE: Millis = Millis::new(10);
/// Share of [`Settings::takeover_min`] that is kept for init to wake up and for the kernel to remove addresses.
const FENCE_SHARE: u32 = 10;
/// The least of it. Chosen: a timer of a millisecond, a busy processor, and a thousand addresses.
const FENCE_MARGIN_MIN: Millis = Millis::new(10);
/// The most of it.
const FENCE_MARGIN_MAX: Millis = Millis::new(100);
/// Decisions in one call, at most: Starting to Standby to Active.
const TURNS_MAX: usize = 4;

/// How well a node could serve, the higher the better. It travels in every frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Fitness {
    /// Every device that carries floating addresses has a link.
    pub links: bool,
    /// The witness answers, or there is none.
    pub witness: bool,
    /// Every virtual server has a usable server, or none is configured; and the checks that say so are no older than they
    /// should be.
    pub servers: bool,
}

impl Fitness {
    /// A node in full health.
    pub const FULL: Self = Self { links: true, witness: true, servers: true };

    /// From what travelled.
    #[must_use]
    pub const fn of(level: u8) -> Self {
        Self { links: level & 4 != 0, witness: level & 2 != 0, servers: level & 1 != 0 }
    }

    /// As it travels.
    #[must_use]
    pub fn level(self) -> u8 {
        u8::from(self.links) << 2 | u8::from(self.witness) << 1 | u8::from(self.servers)
    }
}

/// What the configuration says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Number of the pair.
    pub group: u8,
    /// Which node this is.
    pub own: Node,
    /// The higher one is active when both can.
    pub priority: u8,
    /// Time between heartbeats.
    pub interval: Millis,
    /// Silence that means dead.
    pub dead_time: Millis,
    /// Silence worth a warning.
    pub warn_time: Millis,
    /// How long a starting node waits for its peer.
    pub start_hold: Millis,
    /// What makes a silent peer dead.
    pub detection: Detection,
    /// When the better node takes over again.
    pub failback: Failback,
    /// Wait of [`Failback::Delayed`].
    pub failback_delay: Millis,
}

impl Settings {
    /// Silence after which a late peer is asked: a heartbeat and a half.
    #[must_use]
    pub fn late(&self) -> Millis {
        self.interval.plus(Millis::new(self.interval.get() / 2))
    }

    /// An active node that could not release its addresses within this time tells the peer all the same: the peer's
    /// announcements then do the rest. A peer that had heard nothing would have taken them by then, too.
    #[must_use]
    pub fn release_max(&self) -> Millis {
        self.takeover_min()
    }

    /// How long after its last heartbeat an active node must have given its addresses up by itself. A peer that is not
    /// heard may hear us all the same; it has nothing to ask, and waits for the dead time.
    #[must_use]
    pub fn fence_after(&self, heard: bool) -> Millis {
        let limit = if heard { self.takeover_min() } else { self.dead_time };
        let margin = Millis::new(limit.get() / FENCE_SHARE).clamp(FENCE_MARGIN_MIN, FENCE_MARGIN_MAX);
        Millis::new(limit.get().saturating_sub(margin.get()).max(1))
    }

    /// The earliest moment after our last heartbeat at which the peer may hold our addresses (design section 2.6).
    #[must_use]
    pub fn takeover_min(&self) -> Millis {
        match self.detection {
            Detection::DeadTime => self.dead_time,
            Detection::Probe => {
                let asking = ASK_PAUSE_MIN.get().saturating_mul(u32::from(ASKS));
                self.late().plus(Millis::new(asking)).min(self.dead_time)
            }
        }
    }
}

/// What changes on this node by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Local {
    /// How well it could serve.
    pub fitness: Fitness,
    /// Whether any path to the peer has a link.
    pub connected: bool,
    /// Whether the kernel has floating addresses, or may have them.
    pub held: bool,
    /// What it runs.
    pub running: Running,
    /// Newest configuration schema that it reads.
    pub schema: u16,
    /// Firmware version.
    pub firmware: heapless::String<{ crate::wire::heartbeat::VERSION_BYTES }>,
    /// Usable servers.
    pub usable: u32,
    /// Connections in its table.
    pub connections: u32,
    /// Boots counted in flash.
    pub boots: u32,
    /// The peer's connections are here, as far as they can be: it may claim its role back.
    pub table: bool,
}

/// What this node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Listens for its peer.
    Starting {
        /// Nobody heard until then: it serves.
        until: Mono,
    },
    /// Ready to take over.
    Standby,
    /// Holds the floating addresses.
    Active,
    /// Gives them up.
    Releasing {
        /// It is over then at the latest.
        until: Mono,
        /// The peer was asked to take them.
        handover: bool,
    },
    /// Stops.
    Left,
}

/// What the director has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send this on every path.
    Send(Frame),
    /// The role changed; [`Election::active`] says whether the addresses are ours.
    Changed,
    /// The peer held the addresses too, and gives way: announce them again.
    Announce,
    /// Something an operator should know.
    Warn(Warning),
}

/// What an operator should know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Warning {
    /// No heartbeat for the warn time.
    Late {
        /// Silence.
        silence: Millis,
    },
    /// The peer sends, and does not hear us.
    OneWay,
    /// Both held the addresses.
    Duel,
    /// A second box with the peer's identity.
    Twin,
    /// The peer is heard again.
    Back,
}

/// Questions to a late peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Suspicion {
    asked: u8,
    next: Mono,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Election {
    settings: Settings,
    local: Local,
    role: Role,
    why: Reason,
    since: Mono,
    peer: Peer,
    /// Silence is counted from here when the peer was never heard, or we could not hear it.
    listening: Mono,
    next_beat: Mono,
    /// When time was looked at last.
    called: Mono,
    burst: u8,
    suspicion: Option<Suspicion>,
    /// We gave our role away; until then the peer has time to take it.
    yielded: Option<Mono>,
    /// An operator set this node aside.
    aside: bool,
    /// An operator wants it to be active.
    takeover: bool,
    /// Since when this node is the better one and could be active.
    better: Option<Mono>,
    /// Since when the peer serves better than we, who are active.
    worse: Option<Mono>,
    greeted: Mono,
    /// When a heartbeat was a question last.
    measured: Mono,
    warned: bool,
    warned_one_way: bool,
    duel: bool,
    /// The peer was not heard while this node was active: it may have announced the addresses.
    apart: bool,
    /// Until then it says nothing: a process before this one may have left addresses in the kernel, and the peer takes
    /// them when it hears that this node is not active.
    quiet: Option<Mono>,
    /// When the peer said last that it is active.
    peer_active: Mono,
    /// When this node became active last: what the peer gave it then, it does not give again.
    took: Mono,
}

/// Why an operator's wish is not granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Denied {
    /// It is so already.
    Already,
    /// Nobody would hold the addresses.
    NoPeer,
    /// The peer could serve worse than this node.
    PeerUnfit,
    /// This node could serve worse than the peer, who is active.
    Unfit,
    /// Not yet, or no longer.
    NotNow,
}

impl Election {
    /// Begins to listen; `nonce` is random. A director that was restarted goes on in the role it had.
    pub fn start(settings: Settings, local: Local, nonce: u64, resumed: Option<Saved>, now: Mono) -> Self {
        let until = now.after(settings.start_hold);
        let (role, why) = match resumed {
            Some(Saved { active: true, .. }) => (Role::Active, Reason::Resumed),
            Some(_) => (Role::Standby, Reason::Resumed),
            None => (Role::Starting { until }, Reason::Started),
        };
        let quiet = (role != Role::Active && local.held).then(|| now.after(settings.release_max()));
        Self {
            peer: Peer::new(nonce, settings.dead_time),
            settings,
            local,
            role,
            why,
            since: now,
            listening: now,
            next_beat: now,
            called: now,
            burst: 0,
            suspicion: None,
            yielded: None,
            aside: resumed.is_some_and(|r| r.aside),
            takeover: false,
            better: None,
            worse: None,
            greeted: Mono::ZERO,
            measured: now,
            warned: false,
            warned_one_way: false,
            duel: false,
            apart: false,
            quiet,
            peer_active: Mono::ZERO,
            took: Mono::ZERO,
        }
    }

    /// Another configuration; the role stays.
    pub fn configure(&mut self, settings: Settings, now: Mono) {
        self.settings = settings;
        self.peer.set_dead_time(settings.dead_time);
        self.next_beat = self.next_beat.min(now.after(settings.interval));
    }

    /// What changed on this node. A heartbeat tells the peer at once when it matters.
    pub fn update(&mut self, local: Local, now: Mono, out: &mut Vec<Output>) {
        let (told, deaf) = (local.fitness != self.local.fitness, self.deaf());
        self.local = local;
        if deaf && !self.deaf() {
            self.listening = now;
        }
        let gone = !self.local.held && self.quiet.take().is_some();
        if told || gone {
            self.next_beat = now;
        }
        self.advance(now, out);
    }

    /// A frame that passed the guard came over a path.
    pub fn receive(&mut self, path: u8, frame: &Frame, now: Mono, out: &mut Vec<Output>) {
        // Before an answer to it is made.
        self.doubt(now, out);
        let known = self.peer.alive(now);
        // It may have taken the addresses, announced them, and given them up again by now.
        if self.role == Role::Active && now >= self.silent_since().after(self.settings.takeover_min()) {
            self.apart = true;
        }
        let worth = self.peer.take(path, frame, now);
        match worth {
            Worth::Old => return,
            Worth::Twin => {
                out.push(Output::Warn(Warning::Twin));
                return;
            }
            Worth::Unproven => {
                // It cannot prove anything before it has heard us.
                self.greet(now, out);
            }
            Worth::Proven => {
                if frame.state == State::Active {
                    self.peer_active = now;
                }
                if !known {
                    // Nor can we: our echo was not in time either.
                    self.greet(now, out);
                }
                self.suspicion = None;
                self.warned_one_way = false;
                if core::mem::take(&mut self.warned) {
                    out.push(Output::Warn(Warning::Back));
                }
            }
        }
        if frame.marks.ask {
            self.send(Marks::default(), now, out);
        }
        self.advance(now, out);
    }

    fn greet(&mut self, now: Mono, out: &mut Vec<Output>) {
        if now >= self.greeted.after(GREETING_PAUSE) {
            self.greeted = now;
            self.send(Marks::default(), now, out);
        }
    }

    /// Time passed. Call at [`Self::next_deadline`].
    pub fn on_deadline(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.advance(now, out);
    }

    /// The addresses are gone from the kernel.
    pub fn released(&mut self, now: Mono, out: &mut Vec<Output>) {
        if let Role::Releasing { handover, .. } = self.role {
            self.end_release(handover, now, out);
            self.advance(now, out);
        }
    }

    /// The node stops in an orderly way. The addresses go first, then the peer is told.
    pub fn leave(&mut self, now: Mono, out: &mut Vec<Output>) {
        match self.role {
            Role::Active => self.release(Reason::Stopping, false, now, out),
            Role::Starting { .. } | Role::Standby if self.quiet.is_some() => {
                self.release(Reason::Stopping, false, now, out);
            }
            Role::Starting { .. } | Role::Standby => {
                self.enter(Role::Left, Reason::Stopping, now, out);
            }
            Role::Releasing { .. } | Role::Left => self.why = Reason::Stopping,
        }
        self.advance(now, out);
    }

    /// `cluster standby`: the peer is to be active.
    pub fn stand_by(&mut self, now: Mono, out: &mut Vec<Output>) -> Result<(), Denied> {
        match self.role {
            Role::Active => {
                let word = self.peer.word().filter(|w| self.peer.alive(now) && w.state == State::Standby);
                let Some(word) = word else { return Err(Denied::NoPeer) };
                if word.fitness < self.local.fitness.level() {
                    return Err(Denied::PeerUnfit);
                }
                self.aside = true;
                self.release(Reason::Operator, true, now, out);
                Ok(())
            }
            Role::Standby if self.aside => Err(Denied::Already),
            Role::Standby => {
                (self.aside, self.takeover) = (true, false);
                self.next_beat = now;
                self.advance(now, out);
                Ok(())
            }
            Role::Starting { .. } | Role::Releasing { .. } | Role::Left => Err(Denied::NotNow),
        }
    }

    /// `cluster takeover`: this node is to be active.
    pub fn take_over(&mut self, now: Mono, out: &mut Vec<Output>) -> Result<(), Denied> {
        match self.role {
            Role::Active => Err(Denied::Already),
            Role::Starting { .. } | Role::Standby => {
                let word = self.peer.word().filter(|w| self.peer.alive(now) && w.state == State::Active);
                if word.is_some_and(|w| w.fitness > self.local.fitness.level()) {
                    return Err(Denied::Unfit);
                }
                (self.aside, self.takeover) = (false, true);
                self.next_beat = now;
                if !self.peer.alive(now) && !self.peer.one_way(now) {
                    self.enter(Role::Active, Reason::Operator, now, out);
                }
                self.advance(now, out);
                Ok(())
            }
            Role::Releasing { .. } | Role::Left => Err(Denied::NotNow),
        }
    }

    /// Whether this node should hold the floating addresses.
    pub fn active(&self) -> bool {
        self.role == Role::Active
    }

    /// How long after its last heartbeat this node must have given its addresses up by itself.
    pub fn fence_after(&self, now: Mono) -> Millis {
        self.settings.fence_after(self.peer.heard(now))
    }

    /// What this node is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Why, and since when.
    pub fn why(&self) -> (Reason, Mono) {
        (self.why, self.since)
    }

    /// The other one.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What the configuration says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How well this node could serve.
    pub fn fitness(&self) -> Fitness {
        self.local.fitness
    }

    /// Connections in its table.
    pub fn connections(&self) -> u32 {
        self.local.connections
    }

    /// Whether it gives the addresses to the peer, who waits for them.
    pub fn hands_over(&self) -> bool {
        let stopping = self.why == Reason::Stopping;
        matches!(self.role, Role::Releasing { handover, .. } if handover || stopping)
    }

    /// Whether an operator set this node aside.
    pub fn is_aside(&self) -> bool {
        self.aside
    }

    /// Whether it stopped and the peer was told often enough.
    pub fn done(&self) -> bool {
        self.role == Role::Left && self.burst == 0
    }

    /// For the checkpoint.
    pub fn saved(&self) -> Saved {
        Saved { active: matches!(self.role, Role::Active), aside: self.aside }
    }

    /// Whether it has no link at all: silence then says nothing of the peer. A heartbeat cable that is dark because the
    /// peer is off does not count, as long as clients can be served.
    fn deaf(&self) -> bool {
        !self.local.connected && !self.local.fitness.links
    }

    fn state(&self) -> State {
        match self.role {
            Role::Starting { .. } => State::Starting,
            Role::Standby => State::Standby,
            // It still holds them: the peer must not take them yet.
            Role::Active | Role::Releasing { .. } => State::Active,
            Role::Left => State::Leaving,
        }
    }

    fn send(&mut self, extra: Marks, now: Mono, out: &mut Vec<Output>) {
        if self.quiet.is_some_and(|until| now < until) {
            return;
        }
        let Settings { group, own, priority, .. } = self.settings;
        let stamp = self.peer.stamp(now);
        if extra.ask {
            self.peer.asking();
        }
        let marks = Marks {
            claim: self.claims(now),
            takeover: self.takeover,
            aside: self.aside,
            yielded: self.yielded.is_some(),
            ..extra
        };
        let local = &self.local;
        out.push(Output::Send(Frame {
            fitness: local.fitness.level(),
            priority,
            marks,
            echo: self.peer.echo(),
            running: Some(local.running),
            schema: local.schema,
            firmware: local.firmware.clone(),
            usable: local.usable,
            connections: local.connections,
            boots: local.boots,
            ..Frame::new(group, own, self.state(), stamp)
        }));
    }
}

/// What a restarted director continues from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// Whether the node was active.
    pub active: bool,
    /// Whether an operator set it aside.
    pub aside: bool,
}
