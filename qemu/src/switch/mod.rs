//! The Ethernet switch: every frame of the lab goes through it.
//!
//! A segment is a broadcast domain. A port is one end of a cable: a unix datagram socket to the NIC of a VM, or a TAP
//! device in a network namespace. The switch learns addresses as hardware does. [`Rule`]s drop, delay and
//! duplicate frames on their way, and a [`Watch`] counts the frames that match a predicate.
//!
//! One thread moves frames. It takes the lock once for each batch, and never while it waits.

mod port;
mod rules;

pub use port::Counters;
pub use rules::{Action, Rule};

use crate::clock;
use crate::frame::{Frame, Mac};
use crate::hub::{Cause, Hub, lock};
use crate::pcap::Pcap;
use anyhow::{Context as _, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use port::{Port, Sent};
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Largest frame, with room for jumbo frames.
const FRAME_BYTES: usize = 9216 + 18;
/// Frames taken from one port before the others get a turn. Chosen: about a socket buffer full.
const BATCH: usize = 64;
/// Addresses a segment remembers.
const LEARNED_MAX: usize = 4096;
/// Frames held by delay rules at one time; more are dropped.
const DELAYED_MAX: usize = 65_536;

/// A port, for rules.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PortId(usize);

/// A segment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SegmentId(usize);

/// The switch. Dropping it ends its thread.
#[derive(Debug)]
pub struct Switch {
    shared: Arc<Shared>,
    waker: UnixStream,
    hub: Arc<Hub>,
}

struct Shared {
    state: Mutex<State>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    segments: Vec<Segment>,
    ports: Vec<Port>,
    rules: BTreeMap<u64, Rule>,
    watches: BTreeMap<u64, Watcher>,
    next_id: u64,
    delayed: BinaryHeap<Delayed>,
    delayed_order: u64,
    delayed_dropped: u64,
    ended: bool,
}

struct Segment {
    name: String,
    learned: BTreeMap<Mac, PortId>,
    pcap: Pcap,
    frames: u64,
}

struct Watcher {
    segment: SegmentId,
    matches: Box<dyn FnMut(Frame<'_>) -> bool + Send>,
    hits: Arc<AtomicU64>,
}

struct Delayed {
    due: Instant,
    order: u64,
    to: PortId,
    frame: Vec<u8>,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Delayed {}
impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Delayed {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.due, other.order).cmp(&(self.due, self.order))
    }
}

/// A rule in force. Dropping it takes the rule away.
#[derive(Debug)]
#[must_use = "a rule is in force only while this lives"]
pub struct RuleGuard {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for RuleGuard {
    fn drop(&mut self) {
        lock(&self.shared.state).rules.remove(&self.id);
    }
}

/// Counts frames. Dropping it ends the count.
#[derive(Debug)]
#[must_use = "frames are counted only while this lives"]
pub struct Watch {
    shared: Arc<Shared>,
    id: u64,
    hits: Arc<AtomicU64>,
}

impl Watch {
    /// Frames seen so far.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(SeqCst)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.shared.state).watches.remove(&self.id);
    }
}

impl Switch {
    /// Starts the switch with no segments.
    ///
    /// # Errors
    /// When the system has no more descriptors or threads.
    pub fn start(hub: Arc<Hub>) -> Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default() });
        let (waker, woken) = UnixStream::pair().context("socket pair")?;
        waker.set_nonblocking(true).context("socket pair")?;
        woken.set_nonblocking(true).context("socket pair")?;
        let (thread_shared, thread_hub) = (Arc::clone(&shared), Arc::clone(&hub));
        std::thread::Builder::new()
            .name("switch".into())
            .spawn(move || {
                if let Err(error) = run(&thread_shared, &thread_hub, woken) {
                    thread_hub.line("switch", "error", &format!("the switch ended: {error:#}"));
                }
            })
            .context("cannot start the thread of the switch")?;
        Ok(Self { shared, waker, hub })
    }

    /// Adds a segment that is captured in `pcap`.
    ///
    /// # Errors
    /// When the capture file cannot be made.
    pub fn segment(&self, name: &str, pcap: &Path) -> Result<SegmentId> {
        let pcap = Pcap::create(pcap)?;
        let mut state = lock(&self.shared.state);
        state.segments.push(Segment { name: name.to_owned(), learned: BTreeMap::new(), pcap, frames: 0 });
        Ok(SegmentId(state.segments.len() - 1))
    }

    /// Finds a segment by name.
    #[must_use]
    pub fn segment_named(&self, name: &str) -> Option<SegmentId> {
        lock(&self.shared.state).segments.iter().position(|segment| segment.name == name).map(SegmentId)
    }

    /// Plugs a cable in: `fd` gives and takes one frame per read and write. A port of the same name on the same
    /// segment gets the new cable and keeps its id, so that rules survive a power cycle.
    ///
    /// # Errors
    /// When the segment does not exist or the descriptor cannot be set not to block.
    pub fn plug(&self, segment: SegmentId, name: &str, fd: OwnedFd) -> Result<PortId> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let flags = OFlag::from_bits_retain(fcntl(fd.as_fd(), FcntlArg::F_GETFL).context("fcntl")?);
        fcntl(fd.as_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).context("fcntl")?;
        let mut state = lock(&self.shared.state);
        if state.segments.len() <= segment.0 {
            bail!("no such segment");
        }
        let known = state.ports.iter().position(|port| port.segment == segment && port.name == name);
        let id = if let Some(index) = known {
            if let Some(port) = state.ports.get_mut(index) {
                port.replug(fd);
            }
            PortId(index)
        } else {
            state.ports.push(Port::new(segment, name, fd));
            PortId(state.ports.len() - 1)
        };
        drop(state);
        self.poke();
        Ok(id)
    }

    /// Finds a port by the names of its segment and node.
    #[must_use]
    pub fn port_named(&self, segment: SegmentId, name: &str) -> Option<PortId> {
        let state = lock(&self.shared.state);
        state.ports.iter().position(|port| port.segment == segment && port.name == name).map(PortId)
    }

    /// What a port has seen.
    #[must_use]
    pub fn counters(&self, port: PortId) -> Counters {
        lock(&self.shared.state).ports.get(port.0).map(|port| port.counters).unwrap_or_default()
    }

    /// Frames that entered a segment.
    #[must_use]
    pub fn frames(&self, segment: SegmentId) -> u64 {
        lock(&self.shared.state).segments.get(segment.0).map_or(0, |segment| segment.frames)
    }

    /// Puts a rule in force.
    pub fn rule(&self, rule: Rule) -> RuleGuard {
        self.hub.line("switch", "rule", &format!("{rule:?}"));
        let mut state = lock(&self.shared.state);
        let id = state.new_id();
        state.rules.insert(id, rule);
        RuleGuard { shared: Arc::clone(&self.shared), id }
    }

    /// Counts the frames on a segment that match, from now on. `Hub::eventually` looks again after each frame.
    pub fn watch(
        &self,
        segment: SegmentId,
        matches: impl FnMut(Frame<'_>) -> bool + Send + 'static,
    ) -> Watch {
        let hits = Arc::new(AtomicU64::new(0));
        let mut state = lock(&self.shared.state);
        let id = state.new_id();
        state.watches.insert(id, Watcher { segment, matches: Box::new(matches), hits: Arc::clone(&hits) });
        Watch { shared: Arc::clone(&self.shared), id, hits }
    }

    fn poke(&self) {
        // A full pipe means the thread is about to wake up anyway.
        (&self.waker).write_all(&[0]).ok();
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        lock(&self.shared.state).ended = true;
        self.poke();
    }
}

/// The thread: poll once, then serve every ready port for a batch.
fn run(shared: &Shared, hub: &Hub, mut woken: UnixStream) -> Result<()> {
    let mut buffer = vec![0_u8; FRAME_BYTES];
    let mut ready: Vec<(PortId, PollFlags)> = Vec::new();
    loop {
        let (cables, timeout) = {
            let state = lock(&shared.state);
            if state.ended {
                return Ok(());
            }
            (state.cables(), state.timeout())
        };
        let mut fds = vec![PollFd::new(woken.as_fd(), PollFlags::POLLIN)];
        fds.extend(cables.iter().map(|(_, fd, events)| PollFd::new(fd.as_fd(), *events)));
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("poll"),
        }
        ready.clear();
        for (fd, (port, _, _)) in fds.iter().skip(1).zip(&cables) {
            let events = fd.revents().unwrap_or(PollFlags::empty());
            if !events.is_empty() {
                ready.push((*port, events));
            }
        }
        while woken.read(&mut buffer).is_ok_and(|bytes| bytes == buffer.len()) {}
        let now = hub.elapsed();
        let mut state = lock(&shared.state);
        let mut moved = state.release_delayed();
        for (port, events) in &ready {
            moved |= state.serve(*port, *events, &mut buffer, now);
        }
        for segment in &mut state.segments {
            segment.pcap.flush();
        }
        drop(state);
        if moved {
            hub.wake(Cause::Lab);
        }
    }
}

impl State {
    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn cables(&self) -> Vec<(PortId, Arc<OwnedFd>, PollFlags)> {
        let with_cable = |(index, port): (usize, &Port)| {
            port.cable.as_ref().map(|fd| (PortId(index), Arc::clone(fd), port.wants()))
        };
        self.ports.iter().enumerate().filter_map(with_cable).collect()
    }

    fn timeout(&self) -> PollTimeout {
        let Some(first) = self.delayed.peek() else { return PollTimeout::NONE };
        let left = first.due.saturating_duration_since(clock::now());
        // Rounded up, or the thread would spin through the last millisecond.
        PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
    }

    /// Moves what is ready at one port. True when a frame came in.
    fn serve(&mut self, id: PortId, events: PollFlags, buffer: &mut [u8], now: Duration) -> bool {
        if events.contains(PollFlags::POLLOUT)
            && let Some(port) = self.ports.get_mut(id.0)
        {
            port.drain();
        }
        let mut moved = false;
        for _ in 0..BATCH {
            let Some(port) = self.ports.get_mut(id.0) else { break };
            let Some(length) = port.receive(buffer) else { break };
            moved = true;
            let Some(frame) = buffer.get(..length) else { break };
            self.forward(id, frame, now);
        }
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
        if !moved
            && events.intersects(gone)
            && let Some(port) = self.ports.get_mut(id.0)
        {
            port.unplug();
        }
        moved
    }

    fn forward(&mut self, from: PortId, bytes: &[u8], now: Duration) {
        let frame = Frame(bytes);
        let (Some(src), Some(dst)) = (frame.src(), frame.dst()) else { return };
        let Some(id) = self.ports.get(from.0).map(|port| port.segment) else { return };
        let Some(segment) = self.segments.get_mut(id.0) else { return };
        segment.frames += 1;
        segment.pcap.write(now, bytes);
        if !src.is_group() && (segment.learned.len() < LEARNED_MAX || segment.learned.contains_key(&src)) {
            segment.learned.insert(src, from);
        }
        let known = if dst.is_group() { None } else { segment.learned.get(&dst).copied() };
        for watcher in self.watches.values_mut().filter(|watcher| watcher.segment == id) {
            if (watcher.matches)(frame) {
                watcher.hits.fetch_add(1, SeqCst);
            }
        }
        if let Some(to) = known {
            if to != from {
                self.deliver(from, to, bytes);
            }
            return;
        }
        for index in 0..self.ports.len() {
            let to = PortId(index);
            if to != from && self.ports.get(index).is_some_and(|port| port.segment == id) {
                self.deliver(from, to, bytes);
            }
        }
    }

    fn deliver(&mut self, from: PortId, to: PortId, bytes: &[u8]) {
        let fate = rules::fate(self.rules.values_mut(), from, to, Frame(bytes));
        for _ in 0..fate.copies {
            if fate.delay.is_zero() {
                self.send(to, bytes);
            } else if self.delayed.len() < DELAYED_MAX {
                self.delayed_order += 1;
                let due = clock::now() + fate.delay;
                self.delayed.push(Delayed { due, order: self.delayed_order, to, frame: bytes.to_vec() });
            } else {
                self.delayed_dropped += 1;
            }
        }
        if fate.copies == 0
            && let Some(port) = self.ports.get_mut(to.0)
        {
            port.counters.ruled_out += 1;
        }
    }

    fn send(&mut self, to: PortId, bytes: &[u8]) {
        if let Some(port) = self.ports.get_mut(to.0) {
            match port.send(bytes) {
                Sent::Gone => port.unplug(),
                Sent::Yes | Sent::Queued | Sent::Dropped => {}
            }
        }
    }

    fn release_delayed(&mut self) -> bool {
        let now = clock::now();
        let mut released = false;
        while self.delayed.peek().is_some_and(|first| first.due <= now) {
            let Some(Delayed { to, frame, .. }) = self.delayed.pop() else { break };
            self.send(to, &frame);
            released = true;
        }
        released
    }
}
