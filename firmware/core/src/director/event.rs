//! Everything that goes into the director, and everything that comes out.

use super::Checkpoint;
use super::cluster::{FenceOrders, Listen, Refused};
use super::protocol::{Maintenance, Power, Recall, Recalled, Reply, Request, SessionId};
use super::upgrading::{News, Order, Task};
use crate::doctor::{Look, Seen};
use crate::health::{ProbeId, ProbeOutcome, ProbeSpec};
use crate::login::Access;
use crate::model::{Config, Device, Mono};
use crate::overrides::Kept;
use crate::plan::fallback::Pages;
use crate::plan::rules::MarkRule;
use crate::plan::{DaemonSpec, Observed, Op, OpError};
use crate::store::{Comment, Generation, StoreError, record::SlotState};
use crate::sync::Message;
use crate::upgrade::running::Running;
use crate::wire::heartbeat::Frame;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use serde::{Deserialize, Serialize};

/// One input.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Event {
    /// The deadline of [`super::Director::next_deadline`] passed.
    Deadline,
    /// Something in the kernel changed that we manage (netlink notification, or events were lost): dump again.
    KernelChanged,
    /// The answer to [`Effect::Observe`].
    Observed(Result<Box<Observed>, OpError>),
    /// The answer to [`Effect::Apply`]: one result for each operation that was tried, in order. Operations of one
    /// virtual server are independent of those of others, so a failure does not stop the batch; only what [`Op::needs`] a
    /// failed one is not tried, and has its error.
    Applied {
        /// Of which batch.
        batch: u64,
        /// Results in the order of the operations.
        results: Vec<Result<(), OpError>>,
    },
    /// A probe ended. Each [`Effect::Probe`] is answered exactly once, at its deadline at the latest.
    Probed {
        /// Which.
        id: ProbeId,
        /// How.
        outcome: ProbeOutcome,
    },
    /// The answer to [`Effect::Save`] or [`Effect::Mark`].
    Saved {
        /// Which generation was written.
        generation: Generation,
        /// Whether it was read back intact.
        result: Result<(), StoreError>,
    },
    /// What is wrong with values of a stored configuration, found beside the loop: alarms until the next commit.
    Judged {
        /// Of which generation.
        generation: Generation,
        /// Each names the value.
        notes: Vec<String>,
    },
    /// The peer's word, as far as the filter can tell.
    Heartbeat {
        /// Number of the path.
        path: u8,
        /// What it says.
        frame: Box<Frame>,
    },
    /// Something came over a heartbeat path that is not the peer's word. Comes at most once a second for each path.
    Refused(Box<Refused>),
    /// The connection to the peer is there and proven, or gone.
    Linked(bool),
    /// The peer says something over it.
    Told(Box<Message>),
    /// The answer to [`Effect::SendTable`]: so many connections were sent.
    TableSent(u32),
    /// A datagram came to the port of rwhod.
    Rwho {
        /// From whom.
        from: Ipv4Addr,
        /// At most [`crate::wire::rwho::DATAGRAM_MAX`] bytes.
        datagram: Vec<u8>,
    },
    /// A DHCP message came in on a device.
    Dhcp {
        /// Which.
        device: Device,
        /// The UDP payload, at most [`crate::wire::dhcp::MESSAGE_MAX`] bytes.
        message: Vec<u8>,
    },
    /// The answer to [`Effect::AskTime`], exactly one for each.
    TimeAnswered {
        /// Who was asked.
        server: IpAddr,
        /// When the question left.
        sent: Mono,
        /// When the answer came, or was waited for no longer.
        received: Mono,
        /// The datagram; `None` when none came within [`crate::sntp::ANSWER_WAIT`].
        datagram: Option<Vec<u8>>,
    },
    /// The answer to [`Effect::Keep`].
    Kept(Result<(), StoreError>),
    /// The answer to [`Effect::Recall`].
    Recalled {
        /// Who asked.
        session: SessionId,
        /// What was found.
        result: Result<Recalled, StoreError>,
    },
    /// The answer to [`Effect::Maintain`].
    Maintained {
        /// Who asked.
        session: SessionId,
        /// What.
        what: Maintenance,
        /// Whether it was done.
        result: Result<(), StoreError>,
    },
    /// The answer to [`Effect::Examine`], in [`crate::doctor::TIME`] at most.
    Examined {
        /// As in the effect.
        watch: bool,
        /// What was seen, in the order of the looks.
        seen: Vec<Seen>,
    },
    /// The answer to [`Effect::Prove`].
    Proven(Result<(), StoreError>),
    /// How an [`Effect::Upgrade`] goes.
    Upgrade(News),
    /// The answer to [`Effect::Order`].
    Ordered(Result<(), StoreError>),
    /// A console asks.
    Request {
        /// Who; the reply carries it back.
        session: SessionId,
        /// What.
        request: Box<Request>,
    },
    /// Init asks for an orderly end (the machine powers off or reboots).
    Stop,
}

/// One output. Effects are executed in order; none blocks the loop.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// Dump the kernel's state, with the values of these sysctls, and send [`Event::Observed`].
    Observe(Vec<String>),
    /// Execute operations and send [`Event::Applied`].
    Apply {
        /// Number of this batch, rising.
        batch: u64,
        /// Operations in order.
        ops: Vec<Op>,
    },
    /// Run one probe and send [`Event::Probed`].
    Probe {
        /// Which.
        id: ProbeId,
        /// What to ask whom.
        spec: Box<ProbeSpec>,
        /// When it is over without an answer.
        deadline: Mono,
    },
    /// Write an encoded configuration to the next flash slot, read it back, and send [`Event::Saved`].
    Save {
        /// Generation of the record.
        generation: Generation,
        /// Tentative until applied.
        state: SlotState,
        /// What the operator said about it.
        comment: Comment,
        /// The configuration; the platform adds the wall-clock time and encodes it as a [`crate::store::Commit`].
        config: Box<Config>,
    },
    /// Set the state of a written record and send [`Event::Saved`].
    Mark {
        /// Generation of the record.
        generation: Generation,
        /// New state.
        state: SlotState,
    },
    /// Write the list of persistent server actions ([`crate::store::kept`]) and send [`Event::Kept`].
    Keep(Vec<Kept>),
    /// Read from flash ([`crate::store::slots::history`], [`crate::store::slots::recall`]) and send [`Event::Recalled`].
    Recall {
        /// Who asked.
        session: SessionId,
        /// What.
        what: Recall,
        /// What runs.
        running: Generation,
    },
    /// Change the flash beside the commits ([`crate::store::rescue`], [`crate::store::reset`]) and send
    /// [`Event::Maintained`].
    Maintain {
        /// Who asked.
        session: SessionId,
        /// What.
        what: Maintenance,
        /// What is kept by [`Maintenance::RescueSave`], and where it came from.
        rescue: Option<(Comment, Box<Config>)>,
    },
    /// Tell the boot loader that this system works ([`crate::upgrade::environment::prove`]) and send [`Event::Proven`].
    Prove(Running),
    /// Take an upgrade ([`crate::upgrade::install`]) beside everything else and send [`Event::Upgrade`].
    Upgrade(Task),
    /// Tell the boot loader what to start next and send [`Event::Ordered`].
    Order(Order),
    /// Tell consoles, also future ones, who may type.
    Access(Access),
    /// Show a sentence on every console.
    Notify {
        /// Except this one, which knows.
        but: Option<SessionId>,
        /// The sentence.
        text: String,
    },
    /// Answer a console.
    Reply {
        /// Who asked.
        session: SessionId,
        /// The answer.
        reply: Box<Reply>,
    },
    /// Send this on every path of [`Effect::Listen`].
    Beat(Box<Frame>),
    /// Tell init which floating addresses to remove should this process stand still; `None`: it holds none.
    Fence(Option<Box<FenceOrders>>),
    /// Say this to the peer over the connection, if there is one.
    Tell(Box<Message>),
    /// Send the kernel's connections to the peer as sync messages, as the daemon
    /// sends them, and send [`Event::TableSent`].
    SendTable {
        /// Where to and how.
        daemon: DaemonSpec,
        /// The marks of services, which the kernel does not list.
        marks: Vec<MarkRule>,
    },
    /// Open these heartbeat paths in place of those before, or none.
    Listen(Option<Box<Listen>>),
    /// Ask init to stop the machine; init sends [`Event::Stop`] in turn.
    Power(Power),
    /// Keep these bytes in `/run`, so that a restarted director continues where this one was.
    Checkpoint(Box<Checkpoint>),
    /// Write a line to the log.
    Log {
        /// How bad.
        level: Level,
        /// One line, no control characters.
        text: String,
    },
    /// Listen to the broadcasts of rwhod, or not.
    RwhoListen(bool),
    /// Listen for DHCP messages on these devices, and on no others.
    DhcpListen(BTreeSet<Device>),
    /// Send a DHCP message.
    DhcpSend {
        /// By this device.
        device: Device,
        /// The UDP payload.
        message: Vec<u8>,
        /// From this address of ours; without one from 0.0.0.0.
        from: Option<Ipv4Addr>,
        /// To this server; without one to everybody.
        to: Option<Ipv4Addr>,
    },
    /// Show these pages of the box itself, and no others.
    Pages(Pages),
    /// Send log lines to this receiver too, under this name; `None`: to nobody.
    Syslog(Option<(SocketAddr, String)>),
    /// Ask a time server, and send [`Event::TimeAnswered`].
    AskTime {
        /// Whom, at [`crate::sntp::PORT`].
        server: IpAddr,
        /// The datagram.
        packet: Vec<u8>,
    },
    /// Set the wall clock.
    SetClock {
        /// Microseconds since 1970.
        unix_us: u64,
        /// At this moment.
        at: Mono,
    },
    /// Take looks at the network and send [`Event::Examined`].
    Examine {
        /// For the box itself, which watches its addresses; else for a console.
        watch: bool,
        /// What to look at.
        looks: Vec<Look>,
    },
    /// Set the kernel's host name.
    Hostname(String),
    /// Everything is released; init may stop the machine.
    Stopped,
}

/// Severity of a log line, with the numbers of syslog (RFC 5424 section 6.2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Level {
    /// 3: something does not work.
    Error,
    /// 4: something may stop working.
    Warning,
    /// 5: a change an operator cares about.
    Notice,
    /// 6: progress.
    Info,
}

impl Level {
    /// The syslog number.
    pub const fn syslog(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
        }
    }
}
