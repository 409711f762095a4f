//! Heartbeats over UDP: one task for each network owns a socket that is bound to its device and address. Those over a
//! null modem are in [`serial`].
//!
//! What comes is judged by the pure filter of core before it enters the queue, so a flood of forged frames costs a hash
//! each and never delays the loop. Tasks end when the set of paths is replaced.

mod serial;

use super::kmsg::Log;
use director_core::director::cluster::{HeartbeatPath, Listen, Refused};
use director_core::director::{Event, Level};
use director_core::election::SERIAL_PATH;
use director_core::wire::heartbeat::{Bytes, Counters, FRAME_BYTES_MAX, Frame, Guard, Refusal};
use socket2::{Domain, Protocol, Socket, Type};
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// Frames waiting for one network. Chosen: an urgent question, an answer and a burst; older ones are worth nothing.
const SEND_QUEUE: usize = 8;
/// How long after a failed opening it is tried again: the device may appear later.
const RETRY: Duration = Duration::from_millis(500);
/// The same refusal of one network is logged again after this long.
const REFUSAL_SPACING: Duration = Duration::from_secs(60);
/// The director is told of refusals at most this often.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Kernel buffer for frames that were not read yet, in bytes: at 10,000 forged frames a second it lasts for 20 ms.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// All networks that carry heartbeats.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    events: mpsc::Sender<Event>,
    log: Rc<Log>,
    listen: Option<Listen>,
    guard: Option<Rc<RefCell<Guard>>>,
    paths: Vec<(mpsc::Sender<Bytes>, JoinHandle<()>)>,
}

impl Heartbeats {
    /// None yet; frames that pass go to `events`.
    pub(crate) fn new(events: mpsc::Sender<Event>, log: Rc<Log>) -> Self {
        Self { events, log, listen: None, guard: None, paths: Vec::new() }
    }

    /// Replaces all paths; when only keys or modes change, they stay open. Must be called inside the loop's local task set.
    pub(crate) fn listen(&mut self, listen: Option<Listen>) {
        if let (Some(old), Some(new), Some(guard)) = (&mut self.listen, &listen, &self.guard)
            && old.same_paths(new)
        {
            old.guard = new.guard.clone();
            guard.replace(new.guard.clone());
            return;
        }
        for (_, task) in self.paths.drain(..) {
            task.abort();
        }
        self.listen.clone_from(&listen);
        let Some(Listen { guard, port, paths, serial, .. }) = listen else {
            self.guard = None;
            return;
        };
        let guard = Rc::new(RefCell::new(guard));
        let judge = |number, name| Judge {
            number,
            name,
            guard: Rc::clone(&guard),
            events: self.events.clone(),
            log: Rc::clone(&self.log),
            counters: Counters::default(),
            complained: None,
            told: None,
        };
        for (number, path) in (0_u8..).zip(paths) {
            let (sender, outgoing) = mpsc::channel(SEND_QUEUE);
            let judge = judge(number, path.name.to_string());
            let network = Network { path, port, outgoing, judge };
            self.paths.push((sender, tokio::task::spawn_local(network.serve())));
        }
        if let Some(line) = serial {
            let (sender, outgoing) = mpsc::channel(SEND_QUEUE);
            let judge = judge(SERIAL_PATH, line.device.to_string());
            self.paths.push((sender, tokio::task::spawn_local(serial::serve(line, outgoing, judge))));
        }
        self.guard = Some(guard);
    }

    /// Sends on every path; a path that is stuck loses the frame.
    pub(crate) fn send(&self, frame: &Frame) {
        let Some(bytes) = self.guard.as_ref().and_then(|guard| guard.borrow().seal(frame)) else { return };
        for (path, _) in &self.paths {
            // The next heartbeat says the same and more.
            drop(path.try_send(bytes.clone()));
        }
    }
}

/// What comes over one path, judged.
struct Judge {
    number: u8,
    name: String,
    guard: Rc<RefCell<Guard>>,
    events: mpsc::Sender<Event>,
    log: Rc<Log>,
    counters: Counters,
    complained: Option<(Refusal, Instant)>,
    told: Option<Instant>,
}

impl Judge {
    /// Bytes came; `expected`: from where the peer is known to be. A serial line has no addresses.
    fn take(&mut self, bytes: &[u8], from: Option<IpAddr>, expected: bool) {
        let opened = self.guard.borrow().open(bytes, &mut self.counters);
        match opened {
            Ok(frame) if expected => {
                // A full queue holds newer frames than the loop can use.
                let event = Event::Heartbeat { path: self.number, frame: Box::new(frame) };
                drop(self.events.try_send(event));
            }
            Ok(_) => self.complain(Refusal::Foreign, from),
            Err(refusal) => self.complain(refusal, from),
        }
    }

    fn complain(&mut self, refusal: Refusal, from: Option<IpAddr>) {
        let now = Instant::now();
        if self.told.is_none_or(|at| now >= at + TELL_EVERY) {
            self.told = Some(now);
            let refused = Refused { path: self.number, from, refusal, counters: self.counters };
            drop(self.events.try_send(Event::Refused(Box::new(refused))));
        }
        let recent = self.complained.is_some_and(|(last, at)| last == refusal && now < at + REFUSAL_SPACING);
        let quick = self.complained.is_some_and(|(_, at)| now < at + Duration::from_secs(1));
        if recent || quick {
            return;
        }
        self.complained = Some((refusal, now));
        let (name, forged) = (&self.name, self.counters.forged);
        let whom = from.map_or_else(String::new, |from| format!(" from {from}"));
        self.log.write(
            Level::Warning,
            format_args!("heartbeat on {name}{whom} refused: {refusal} ({forged} not authentic so far)"),
        );
    }
}

/// One network.
struct Network {
    path: HeartbeatPath,
    port: u16,
    outgoing: mpsc::Receiver<Bytes>,
    judge: Judge,
}

impl Network {
    async fn serve(mut self) {
        let mut said = false;
        loop {
            match open(&self.path, self.port) {
                Ok((socket, ears)) => {
                    said = false;
                    if self.exchange(&socket, ears.as_ref()).await.is_none() {
                        return;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut said, true) {
                        let HeartbeatPath { name, device, .. } = &self.path;
                        self.judge.log.write(
                            Level::Warning,
                            format_args!("heartbeat on {name} ({device}): {error}; trying again"),
                        );
                    }
                }
            }
            // What was to be sent meanwhile is thrown away.
            let again = Instant::now() + RETRY;
            while let Ok(frame) = timeout_at(again, self.outgoing.recv()).await {
                if frame.is_none() {
                    return;
                }
            }
        }
    }

    /// Sends and receives until a socket breaks; `None` when nobody wants it any more.
    async fn exchange(&mut self, socket: &UdpSocket, ears: Option<&UdpSocket>) -> Option<()> {
        let to = SocketAddr::new(self.path.to.unwrap_or(self.path.peer), self.port);
        // One byte more than the largest frame, so that a longer one is seen to be longer.
        let mut buffer = [0; FRAME_BYTES_MAX + 1];
        let mut group = [0; FRAME_BYTES_MAX + 1];
        loop {
            tokio::select! {
                biased; // our own sign of life first: a flood must not keep it back
                frame = self.outgoing.recv() => {
                    // A link that is down or an address that is not there yet: the next one follows soon.
                    drop(timeout(RETRY, socket.send_to(&frame?, to)).await);
                }
                received = socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => self.take(buffer.get(..length), from.ip()),
                    // An ICMP error of an earlier frame: the peer's port is closed, or it does not answer ARP.
                    Err(error) if transient(&error) => {}
                    Err(_) => return Some(()),
                },
                received = hear(ears, &mut group) => match received {
                    Ok((length, from)) => self.take(group.get(..length), from.ip()),
                    Err(error) if transient(&error) => {}
                    Err(_) => return Some(()),
                },
            }
        }
    }

    fn take(&mut self, bytes: Option<&[u8]>, from: IpAddr) {
        // What is sent to everybody comes back to its sender.
        if from != self.path.local {
            self.judge.take(bytes.unwrap_or_default(), Some(from), from == self.path.peer);
        }
    }
}

/// Errors of a socket that are about one frame and end nothing.
fn transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
    )
}

async fn hear(ears: Option<&UdpSocket>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    match ears {
        Some(ears) => ears.recv_from(buffer).await,
        None => std::future::pending().await,
    }
}

/// A socket that sees this network and no other, and one for what is sent to everybody. The address may be added to the
/// device later.
fn open(path: &HeartbeatPath, port: u16) -> io::Result<(UdpSocket, Option<UdpSocket>)> {
    let socket = bound(path, SocketAddr::new(path.local, port))?;
    let Some(group) = path.to else { return Ok((UdpSocket::from_std(socket.into())?, None)) };
    let ears = bound(path, SocketAddr::new(group, port))?;
    let index = nix::net::if_::if_nametoindex(path.device.as_str())?;
    match group {
        IpAddr::V4(group) if group.is_multicast() => {
            let on = socket2::InterfaceIndexOrAddress::Index(index);
            ears.join_multicast_v4_n(&group, &on)?;
            socket.set_multicast_loop_v4(false)?;
            socket.set_multicast_ttl_v4(1)?;
        }
        IpAddr::V4(_) => socket.set_broadcast(true)?,
        IpAddr::V6(group) => {
            ears.join_multicast_v6(&group, index)?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_multicast_hops_v6(1)?;
        }
    }
    Ok((UdpSocket::from_std(socket.into())?, Some(UdpSocket::from_std(ears.into())?)))
}

fn bound(path: &HeartbeatPath, address: SocketAddr) -> io::Result<Socket> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind_device(Some(path.device.as_str().as_bytes()))?;
    if address.is_ipv4() {
        socket.set_freebind_v4(true)?
    } else {
        socket.set_freebind_v6(true)?
    }
    socket.bind(&address.into())?;
    Ok(socket)
}
