//! Raw sockets for checks that want a TCP handshake and nothing more: see [`director_core::health::handshake`].
//!
//! For each family there is one socket that sends whole packets and one that hears the answers, with one task for all runs: a run
//! is a line in a table, not a task with a socket of its own. The kernel routes what is sent and finds the neighbour; it knows
//! nothing of the connection, so it answers the server's SYN+ACK with the reset that ends it.
//!
//! Every TCP segment for the box itself passes the filter of the hearing socket, which lets through those to the ports of
//! [`FIRST_PORT`] and above that open or reset a connection. What clients send to virtual servers never comes so far.

use super::{Stage, failure, too_late};
use crate::platform::clock;
use director_core::health::client::FIRST_PORT;
use director_core::health::handshake::{Ended, Handshakes, How};
use director_core::health::schedule::IN_FLIGHT_MAX;
use director_core::health::{Failure, Learned, ProbeId, ProbeOutcome, ProbeSpec};
use director_core::model::{Millis, Mono};
use director_core::wire::tcp::Segment;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvfrom, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

/// How long the source address that the kernel chose is believed. Chosen: looking costs four system calls. A run that ends
/// badly looks again.
const BELIEVED: Millis = Millis::from_secs(30);
/// Servers whose source is remembered; then all are forgotten. Servers at most (`limits`), so this is never met.
const REMEMBERED: usize = 16_384;
/// Room for an answer of each run that can be under way: a small packet takes about 1 KiB of kernel memory.
const QUEUE_BYTES: usize = 2048 * IN_FLIGHT_MAX;
/// Longest packet that is looked at: headers with all options.
const PACKET_BYTES: usize = 120;
/// Packets between two looks at the rest of the world.
const BATCH: usize = 256;

type Results = mpsc::Sender<(ProbeId, ProbeOutcome)>;
/// Whose address, if one is wanted, and the server.
type Key = (Option<IpAddr>, IpAddr);

/// Runs handshakes. The runs under way when it goes away still end.
#[derive(Debug)]
pub(super) struct Handshaker {
    random: u64,
    ways: Mutex<Ways>,
}

/// One for each family; none when this process may not have raw sockets.
#[derive(Debug, Default)]
struct Ways {
    v4: Option<Option<Arc<Way>>>,
    v6: Option<Option<Arc<Way>>>,
}

#[derive(Debug)]
struct Way {
    runs: Mutex<Runs>,
    /// Sends whole packets and hears nothing (raw(7), `IPPROTO_RAW`).
    out: Socket,
    answers: AsyncFd<Socket>,
    /// Something is due earlier, or this is the end.
    woken: Notify,
    closing: AtomicBool,
}

#[derive(Debug)]
struct Runs {
    table: Handshakes<(ProbeId, Results, Key)>,
    /// When the task wakes by itself.
    armed: Mono,
    sources: BTreeMap<Key, (IpAddr, Mono)>,
}

/// A panic while it was held leaves whole entries: each is put in or taken out by one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Handshaker {
    fn drop(&mut self) {
        let Ways { v4, v6 } = std::mem::take(&mut *lock(&self.ways));
        for way in [v4, v6].into_iter().flatten().flatten() {
            way.closing.store(true, Ordering::Relaxed);
            way.woken.notify_one();
        }
    }
}

impl Handshaker {
    /// `random` must not be guessed from outside.
    pub(super) fn new(random: u64) -> Self {
        Self { random, ways: Mutex::default() }
    }

    /// Starts a run whose outcome goes to `results`; false when there are no raw sockets for it. Must be called inside a tokio
    /// runtime with time and I/O.
    pub(super) fn start(&self, id: ProbeId, spec: &ProbeSpec, deadline: Mono, results: &Results) -> bool {
        let Some(way) = self.way(spec.target.is_ipv4()) else { return false };
        if let Err(failure) = way.start((id, results.clone()), spec, deadline) {
            let results = results.clone();
            let outcome = outcome(Err(failure), 0);
            tokio::spawn(async move { drop(results.send((id, outcome)).await) });
        }
        true
    }

    fn way(&self, ipv4: bool) -> Option<Arc<Way>> {
        let mut ways = lock(&self.ways);
        let random = self.random ^ u64::from(ipv4);
        let place = if ipv4 { &mut ways.v4 } else { &mut ways.v6 };
        place.get_or_insert_with(|| Way::open(ipv4, random).ok()).clone()
    }
}

impl Way {
    fn open(ipv4: bool, random: u64) -> io::Result<Arc<Self>> {
        let domain = if ipv4 { Domain::IPV4 } else { Domain::IPV6 };
        let out = Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
        let hears = Socket::new(domain, Type::RAW, Some(Protocol::TCP))?;
        for socket in [&out, &hears] {
            socket.set_nonblocking(true)?;
        }
        hears.attach_filter(&filter(ipv4))?;
        // Without the permission to exceed `net.core.rmem_max` it gets as much as that.
        setsockopt(&hears, sockopt::RcvBufForce, &QUEUE_BYTES)
            .or_else(|_| setsockopt(&hears, sockopt::RcvBuf, &QUEUE_BYTES))?;
        if ipv4 {
            setsockopt(&hears, sockopt::Ipv4RecvErr, &true)?;
        } else {
            setsockopt(&hears, sockopt::Ipv6RecvErr, &true)?;
        }
        #[expect(unsafe_code, reason = "tokio asks for the promise that the descriptor stays open")]
        // SAFETY: the socket owns its descriptor, is closed on drop only, and always returns the same one.
        let answers = unsafe { AsyncFd::register_with_interest(hears, Interest::READABLE | Interest::ERROR) };
        let runs = Runs { table: Handshakes::new(random), armed: Mono::ZERO, sources: BTreeMap::new() };
        let way = Arc::new(Self {
            runs: Mutex::new(runs),
            out,
            answers: answers?,
            woken: Notify::new(),
            closing: AtomicBool::new(false),
        });
        tokio::spawn(Arc::clone(&way).serve());
        Ok(way)
    }

    fn start(
        &self,
        (id, results): (ProbeId, Results),
        spec: &ProbeSpec,
        deadline: Mono,
    ) -> Result<(), Failure> {
        let (now, target) = (clock::now(), spec.target);
        let key = (spec.source, target.ip());
        let mut runs = lock(&self.runs);
        let own = runs.source(key, now).map_err(|error| failure(&error))?;
        let (port, packet) = runs
            .table
            .start((id, results, key), (own, target), now, deadline)
            .map_err(|_| Failure::NotAsked("no local address or port is free".to_owned()))?;
        if let Err(error) = self.send(target, &packet) {
            drop(runs.table.give_up(port));
            return Err(failure(&error));
        }
        if runs.table.next_deadline() < Some(runs.armed) {
            self.woken.notify_one();
        }
        Ok(())
    }

    fn send(&self, mut target: SocketAddr, packet: &[u8]) -> io::Result<()> {
        // The port of a raw socket is a protocol number.
        target.set_port(0);
        self.out.send_to(packet, &target.into()).map(drop)
    }

    /// Ends when nobody starts runs any more and the last one has ended.
    async fn serve(self: Arc<Self>) {
        let mut drained = false;
        loop {
            let ended = self.look(&mut drained);
            for (id, results, outcome) in ended {
                // Nobody wants it when the director ends.
                drop(results.send((id, outcome)).await);
            }
            if !drained {
                tokio::task::yield_now().await;
                continue;
            }
            let next = {
                let mut runs = lock(&self.runs);
                let next = runs.table.next_deadline();
                runs.armed = next.unwrap_or(Mono::from_micros(u64::MAX));
                next
            };
            if next.is_none() && self.closing.load(Ordering::Relaxed) {
                return;
            }
            let told = async {
                tokio::select! {
                    // What comes from now on is told again; what came before is read now.
                    ready = self.answers.ready(Interest::READABLE | Interest::ERROR) => {
                        ready.map(|mut guard| guard.clear_ready())
                    }
                    () = self.woken.notified() => Ok(()),
                }
            };
            let told = match next {
                None => told.await,
                Some(at) => {
                    let left = Duration::from_micros(at.micros_since(clock::now()));
                    timeout(left, told).await.unwrap_or(Ok(()))
                }
            };
            if told.is_err() {
                // The runtime ends.
                return;
            }
        }
    }

    /// Takes what was answered. Only when nothing is left of that a silent server is one: answers may have waited while this
    /// process stood still.
    fn look(&self, drained: &mut bool) -> Vec<(ProbeId, Results, ProbeOutcome)> {
        let mut runs = lock(&self.runs);
        let mut ended = Vec::new();
        *drained = self.hear(&mut runs, &mut ended);
        if *drained {
            let mut again = Vec::new();
            ended.extend(runs.table.due(clock::now(), IN_FLIGHT_MAX, &mut again));
            for (target, packet) in again {
                // As lost as on any network.
                drop(self.send(target, &packet));
            }
        }
        ended.into_iter().map(|ended| runs.judge(ended)).collect()
    }

    /// Whether nothing is left.
    fn hear(&self, runs: &mut Runs, ended: &mut Vec<Ended<(ProbeId, Results, Key)>>) -> bool {
        let mut buffer = [0_u8; PACKET_BYTES];
        for _ in 0..BATCH {
            let (count, from) = match recvfrom::<SockaddrStorage>(self.answers.as_raw_fd(), &mut buffer) {
                Ok(read) => read,
                Err(Errno::EAGAIN) => return true,
                // It says only that the error queue has something.
                Err(_) => {
                    self.errors(runs, ended);
                    continue;
                }
            };
            let packet = buffer.get(..count).unwrap_or_default();
            let Some(segment) = segment(packet, from) else { continue };
            ended.extend(runs.table.segment(
                (segment.source, segment.destination.port()),
                (segment.flags, segment.acknowledgement),
                clock::now(),
            ));
        }
        false
    }

    /// What routers, and this box itself, report about packets that were sent.
    fn errors(&self, runs: &mut Runs, ended: &mut Vec<Ended<(ProbeId, Results, Key)>>) {
        let mut buffer = [0_u8; PACKET_BYTES];
        let mut control = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        for _ in 0..BATCH {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let fd = self.answers.as_raw_fd();
            let read = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), MsgFlags::MSG_ERRQUEUE);
            let Ok(message) = read else { return };
            let errno = message.cmsgs().ok().and_then(|mut all| all.find_map(errno));
            let (target, count) = (message.address.and_then(address), message.bytes);
            let quoted = buffer.get(..count).unwrap_or_default();
            let (Some(errno), Some(target)) = (errno, target) else { continue };
            let [a, b, c, d, e, f, g, h, ..] = *quoted else { continue };
            let (port, at) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let target = SocketAddr::new(target.ip(), at);
            let sequence = u32::from_be_bytes([e, f, g, h]);
            ended.extend(runs.table.reported((port, target), sequence, errno, clock::now()));
        }
    }
}

impl Runs {
    /// The address that a server is asked from.
    fn source(&mut self, key: Key, now: Mono) -> io::Result<IpAddr> {
        if let Some((own, at)) = self.sources.get(&key)
            && at.after(BELIEVED) > now
        {
            return Ok(*own);
        }
        let own = look(key)?;
        if self.sources.len() >= REMEMBERED {
            self.sources.clear();
        }
        self.sources.insert(key, (own, now));
        Ok(own)
    }

    fn judge(&mut self, ended: Ended<(ProbeId, Results, Key)>) -> (ProbeId, Results, ProbeOutcome) {
        let Ended { tag: (id, results, key), own, took_us, given_us, how, .. } = ended;
        if how != How::Listens {
            self.sources.remove(&key);
        }
        let result = match how {
            How::Listens => Ok(()),
            How::Refused => Err("connection refused".into()),
            How::Reported(errno) => {
                Err(failure(&io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(libc::EIO))))
            }
            How::Silent => Err(match look(key) {
                Ok(now) if now == own => Failure::Server(too_late(Stage::Connecting, given_us)),
                // A server is not to blame for answers that had nowhere to go.
                Ok(now) => Failure::NotAsked(format!("asked from {own}, where {now} is right by now")),
                Err(error) => failure(&error),
            }),
        };
        (id, results, outcome(result, took_us))
    }
}

fn outcome(result: Result<(), Failure>, took_us: u64) -> ProbeOutcome {
    let took_us = u32::try_from(took_us).unwrap_or(u32::MAX);
    ProbeOutcome { result, took_us, transcript: None, learned: Learned::default() }
}

/// Connecting sends nothing; the kernel picks route and source.
fn look((source, server): Key) -> io::Result<IpAddr> {
    let any = match server {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind(SocketAddr::new(source.unwrap_or(any), 0))?;
    socket.connect(SocketAddr::new(server, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// A raw socket gives the IP header with IPv4, and the sender beside the segment with IPv6 (raw(7), ipv6(7)).
fn segment(packet: &[u8], from: Option<SockaddrStorage>) -> Option<Segment> {
    match from.and_then(address)?.ip() {
        IpAddr::V4(_) => Segment::parse(packet).ok(),
        IpAddr::V6(from) => Segment::bare((from.into(), Ipv6Addr::UNSPECIFIED.into()), packet).ok(),
    }
}

fn address(from: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = from.as_sockaddr_in().map(|a| SocketAddr::new(a.ip().into(), a.port()));
    v4.or_else(|| from.as_sockaddr_in6().map(|a| SocketAddr::new(a.ip().into(), a.port())))
}

fn errno(message: ControlMessageOwned) -> Option<u32> {
    if let ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) = message {
        return Some(error.ee_errno);
    }
    None
}

/// Classic BPF (`include/uapi/linux/bpf_common.h`); the packet begins with its IP header (IPv4), or behind it (IPv6).
fn filter(ipv4: bool) -> Vec<SockFilter> {
    let x = if ipv4 {
        SockFilter::new(0xb1, 0, 0, 0) // X = bytes of the header
    } else {
        SockFilter::new(0x01, 0, 0, 0) // X = 0
    };
    vec![
        x,
        SockFilter::new(0x48, 0, 0, 2), // A = destination port
        SockFilter::new(0x35, 0, 5, u32::from(FIRST_PORT)), // ours, or drop
        SockFilter::new(0x50, 0, 0, 13), // A = flags
        SockFilter::new(0x45, 2, 0, 4), // reset: take
        SockFilter::new(0x54, 0, 0, 0x12), // A = SYN and ACK of them
        SockFilter::new(0x15, 0, 1, 0x12), // both: take, or drop
        SockFilter::new(0x06, 0, 0, 0x4_0000),
        SockFilter::new(0x06, 0, 0, 0),
    ]
}
