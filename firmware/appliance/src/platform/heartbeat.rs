//! Heartbeats over UDP: one task for each network owns a socket that is bound to its device and address.
//!
//! What comes is judged by the pure filter of core before it enters the queue, so a flood of forged frames costs a hash
//! each and never delays the loop. Tasks end when the set of paths is replaced.

use super::kmsg::Log;
use director_core::director::cluster::{HeartbeatPath, Listen};
use director_core::director::{Event, Level};
use director_core::wire::heartbeat::{Bytes, Counters, FRAME_BYTES_MAX, Frame, Guard, Refusal};
use socket2::{Domain, Protocol, Socket, Type};
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
/// Kernel buffer for frames that were not read yet, in bytes: at 10,000 forged frames a second it lasts for 20 ms.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// All networks that carry heartbeats.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    events: mpsc::Sender<Event>,
    log: Rc<Log>,
    guard: Option<Rc<Guard>>,
    paths: Vec<(mpsc::Sender<Bytes>, JoinHandle<()>)>,
}

impl Heartbeats {
    /// None yet; frames that pass go to `events`.
    pub(crate) fn new(events: mpsc::Sender<Event>, log: Rc<Log>) -> Self {
        Self { events, log, guard: None, paths: Vec::new() }
    }

    /// Replaces all paths. Must be called inside the loop's local task set.
    pub(crate) fn listen(&mut self, listen: Option<Listen>) {
        for (_, task) in self.paths.drain(..) {
            task.abort();
        }
        let Some(Listen { guard, port, paths, .. }) = listen else {
            self.guard = None;
            return;
        };
        let guard = Rc::new(guard);
        for (number, path) in (0_u8..).zip(paths) {
            let (sender, outgoing) = mpsc::channel(SEND_QUEUE);
            let network = Network {
                number,
                path,
                port,
                guard: Rc::clone(&guard),
                events: self.events.clone(),
                log: Rc::clone(&self.log),
                outgoing,
                counters: Counters::default(),
                complained: None,
            };
            self.paths.push((sender, tokio::task::spawn_local(network.serve())));
        }
        self.guard = Some(guard);
    }

    /// Sends on every path; a path that is stuck loses the frame.
    pub(crate) fn send(&self, frame: &Frame) {
        let Some(bytes) = self.guard.as_ref().and_then(|guard| guard.seal(frame)) else { return };
        for (path, _) in &self.paths {
            // The next heartbeat says the same and more.
            drop(path.try_send(bytes.clone()));
        }
    }
}

/// One network.
struct Network {
    number: u8,
    path: HeartbeatPath,
    port: u16,
    guard: Rc<Guard>,
    events: mpsc::Sender<Event>,
    log: Rc<Log>,
    outgoing: mpsc::Receiver<Bytes>,
    counters: Counters,
    complained: Option<(Refusal, Instant)>,
}

impl Network {
    async fn serve(mut self) {
        let mut said = false;
        loop {
            match open(&self.path, self.port) {
                Ok(socket) => {
                    said = false;
                    if self.exchange(&socket).await.is_none() {
                        return;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut said, true) {
                        let HeartbeatPath { name, device, .. } = &self.path;
                        self.log.write(
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

    /// Sends and receives until the socket breaks; `None` when nobody wants it any more.
    async fn exchange(&mut self, socket: &UdpSocket) -> Option<()> {
        let peer = SocketAddr::new(self.path.peer, self.port);
        // One byte more than the largest frame, so that a longer one is seen to be longer.
        let mut buffer = [0; FRAME_BYTES_MAX + 1];
        loop {
            tokio::select! {
                biased; // our own sign of life first: a flood must not keep it back
                frame = self.outgoing.recv() => {
                    // A link that is down or an address that is not there yet: the next one follows soon.
                    drop(timeout(RETRY, socket.send_to(&frame?, peer)).await);
                }
                received = socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        self.take(bytes, from.ip());
                    }
                    // An ICMP error of an earlier frame: the peer's port is closed.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(_) => return Some(()),
                },
            }
        }
    }

    fn take(&mut self, bytes: &[u8], from: IpAddr) {
        match self.guard.open(bytes, &mut self.counters) {
            Ok(frame) if from == self.path.peer => {
                // A full queue holds newer frames than the loop can use.
                let event = Event::Heartbeat { path: self.number, frame: Box::new(frame) };
                drop(self.events.try_send(event));
            }
            Ok(_) => self.complain(Refusal::Foreign, from),
            Err(refusal) => self.complain(refusal, from),
        }
    }

    fn complain(&mut self, refusal: Refusal, from: IpAddr) {
        let now = Instant::now();
        let recent = self.complained.is_some_and(|(last, at)| last == refusal && now < at + REFUSAL_SPACING);
        let quick = self.complained.is_some_and(|(_, at)| now < at + Duration::from_secs(1));
        if recent || quick {
            return;
        }
        self.complained = Some((refusal, now));
        let (name, forged) = (&self.path.name, self.counters.forged);
        self.log.write(
            Level::Warning,
            format_args!(
                "heartbeat on {name} from {from} refused: {refusal} ({forged} not authentic so far)"
            ),
        );
    }
}

/// A socket that sees this network and no other. The address may be added to the device later.
fn open(path: &HeartbeatPath, port: u16) -> io::Result<UdpSocket> {
    let domain = if path.local.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind_device(Some(path.device.as_str().as_bytes()))?;
    if path.local.is_ipv4() {
        socket.set_freebind_v4(true)?
    } else {
        socket.set_freebind_v6(true)?
    }
    socket.bind(&SocketAddr::new(path.local, port).into())?;
    UdpSocket::from_std(socket.into())
}
