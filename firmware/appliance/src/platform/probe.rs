//! Sockets of the health checks.
//!
//! [`Prober::start`] spawns one task for each run. The task owns its socket, ends at the run's deadline at the latest,
//! and sends exactly one outcome; when the queue of outcomes is full it waits there, so nothing is dropped. Tasks end
//! unanswered only with the runtime. The core keeps at most one run of each probe and [`IN_FLIGHT_MAX`] runs in all
//! under way; a run beyond that, or one for which the system lacks resources, is answered with [`Failure::NotAsked`].
//!
//! Sockets are closed with a reset (`SO_LINGER` 0). The side that closes first keeps a connection in TIME_WAIT for 60 s
//! (Linux `TCP_TIMEWAIT_LEN`), and that side is us: 10,000 checks a second would hold 600,000 of them and in the end
//! all local ports towards a server.
//!
//! What is said, and what an answer means, is the core's [`dialogue`]; here are only the ways to carry it: TCP, a
//! handshake alone ([`handshake`]), UDP, ICMP, TCP on a packet socket, and nothing at all. Runs that compute much (TLS, password hashes) are on a thread of their own ([`worker`]), so
//! that no signature holds up the loop.

mod direct;
mod echo;
mod handshake;
mod tls;
mod worker;

use super::clock;
use director_core::health::dialogue::{self, Dialogue, Opening, Step};
use director_core::health::schedule::IN_FLIGHT_MAX;
use director_core::health::{Failure, Learned, ProbeId, ProbeOutcome, ProbeSpec};
use director_core::model::{Millis, Mono};
use nix::errno::Errno;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};

/// Bytes read at a time. Chosen: a usual header comes in one piece.
const READ_BYTES: usize = 2048;
/// Largest datagram taken whole. Chosen: what DNS servers send at most by default over UDP.
const DATAGRAM_BYTES: usize = 4096;

/// Runs probes.
#[derive(Clone, Debug)]
pub(crate) struct Prober {
    results: mpsc::Sender<(ProbeId, ProbeOutcome)>,
    room: Arc<Semaphore>,
    direct: Arc<direct::Direct>,
    handshakes: Arc<handshake::Handshaker>,
    worker: worker::Worker,
}

/// How far a run came; says what was missing when its time is over.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Connecting,
    Asked,
    Answering,
}

impl Prober {
    /// Sends outcomes to `results`. `random` must not be guessed from outside.
    pub(crate) fn new(results: mpsc::Sender<(ProbeId, ProbeOutcome)>, random: u64) -> Self {
        let direct = Arc::new(direct::Direct::new(random));
        let room = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let handshakes = Arc::new(handshake::Handshaker::new(random.rotate_left(32)));
        Self { results, room, direct, handshakes, worker: worker::Worker::default() }
    }

    /// Starts a run. Does not wait. Must be called inside a tokio runtime with time and I/O.
    pub(crate) fn start(&self, id: ProbeId, spec: ProbeSpec, deadline: Mono) {
        let bare = spec.at.is_none() && dialogue::is_handshake(&spec);
        if bare && self.handshakes.start(id, &spec, deadline, &self.results) {
            return;
        }
        let permit = Arc::clone(&self.room).try_acquire_owned();
        let results = self.results.clone();
        let direct = Arc::clone(&self.direct);
        let much = dialogue::costs_much(&spec);
        let task = async move {
            let outcome = match &permit {
                Ok(_) => run(id, &spec, deadline, &direct).await,
                Err(_) => {
                    let words = format!("more than {IN_FLIGHT_MAX} checks under way");
                    not_asked(words)
                }
            };
            // The socket is closed; another may open while this outcome waits for its place in the queue.
            drop(permit);
            // The receiver is gone only when the director ends, and then nobody wants the outcome.
            drop(results.send((id, outcome)).await);
        };
        if !much {
            tokio::spawn(task);
            return;
        }
        if let Err(error) = self.worker.spawn(task) {
            let outcome = not_asked(format!("no thread for TLS: {error}"));
            let results = self.results.clone();
            tokio::spawn(async move { drop(results.send((id, outcome)).await) });
        }
    }
}

fn not_asked(words: String) -> ProbeOutcome {
    let result = Err(Failure::NotAsked(words));
    ProbeOutcome { result, took_us: 0, transcript: None, learned: Learned::default() }
}

async fn run(id: ProbeId, spec: &ProbeSpec, deadline: Mono, direct: &direct::Direct) -> ProbeOutcome {
    let started = clock::now();
    let left_us = deadline.micros_since(started);
    let mut stage = Stage::Connecting;
    let mut opening = dialogue::open(spec, id, &mut tls::channel);
    let asking = ask((id, spec), &mut opening, &mut stage, direct);
    let result = match tokio::time::timeout(Duration::from_micros(left_us), asking).await {
        Ok(result) => result,
        Err(_) => silent(&opening, stage).unwrap_or_else(|| Err(Failure::Server(too_late(stage, left_us)))),
    };
    let took_us = clock::now().micros_since(started);
    let transcript = match &opening {
        Opening::Stream(dialogue) | Opening::Datagram(dialogue) => Some(dialogue.transcript().into()),
        Opening::Decided(_) | Opening::Connect | Opening::Echo(_) => None,
    };
    let learned = match &opening {
        Opening::Stream(dialogue) | Opening::Datagram(dialogue) => Learned {
            certificate_left_s: dialogue.certificate_ends().and_then(tls::left_s),
            load: dialogue.said(),
        },
        Opening::Decided(_) | Opening::Connect | Opening::Echo(_) => Learned::default(),
    };
    ProbeOutcome { result, took_us: u32::try_from(took_us).unwrap_or(u32::MAX), transcript, learned }
}

/// What a dialogue makes of the end of its time.
fn silent(opening: &Opening, stage: Stage) -> Option<Result<(), Failure>> {
    match opening {
        Opening::Stream(dialogue) | Opening::Datagram(dialogue) if !matches!(stage, Stage::Connecting) => {
            Some(dialogue.silent()?.map_err(Failure::Server))
        }
        Opening::Stream(_)
        | Opening::Datagram(_)
        | Opening::Decided(_)
        | Opening::Connect
        | Opening::Echo(_) => None,
    }
}

async fn ask(
    (id, spec): (ProbeId, &ProbeSpec),
    opening: &mut Opening,
    stage: &mut Stage,
    direct: &direct::Direct,
) -> Result<(), Failure> {
    match (opening, spec.at) {
        (Opening::Connect, Some(server)) => direct.ask(id, (spec, server), None, stage).await,
        (Opening::Stream(dialogue), Some(server)) => {
            direct.ask(id, (spec, server), Some(dialogue), stage).await
        }
        (opening, _) => by_socket(spec, opening, stage).await,
    }
}

async fn by_socket(spec: &ProbeSpec, opening: &mut Opening, stage: &mut Stage) -> Result<(), Failure> {
    match opening {
        Opening::Decided(result) => result.clone().map_err(Failure::Server),
        Opening::Connect => connect(spec).await.map(drop).map_err(|e| failure(&e)),
        Opening::Stream(dialogue) => {
            let mut stream = connect(spec).await.map_err(|e| failure(&e))?;
            *stage = Stage::Asked;
            talk(&mut stream, dialogue, stage).await
        }
        Opening::Datagram(dialogue) => datagrams(spec, dialogue, stage).await,
        Opening::Echo(echo) => echo::ask(spec, echo).await.map_err(|e| failure(&e)),
    }
}

async fn connect(spec: &ProbeSpec) -> io::Result<TcpStream> {
    let target = spec.target;
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_zero_linger()?;
    if let Some(source) = spec.source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(target).await
}

/// The core's dialogue bounds the bytes, the caller the time.
async fn talk(stream: &mut TcpStream, dialogue: &mut Dialogue, stage: &mut Stage) -> Result<(), Failure> {
    let mut step = dialogue.open();
    let mut buffer = [0_u8; READ_BYTES];
    loop {
        match step {
            Step::Wait => {}
            Step::Send(bytes) | Step::SendSecret(bytes) => {
                stream.write_all(&bytes).await.map_err(|e| failure(&e))?;
            }
            Step::Done(result) => {
                let last = dialogue.farewell();
                if result.is_ok() && !last.is_empty() {
                    // Politeness: what does not fit the socket's buffer is not worth waiting for.
                    drop(stream.try_write(&last));
                }
                return result.map_err(Failure::Server);
            }
        }
        let count = match stream.read(&mut buffer).await {
            Ok(count) => count,
            // A server that closes with our request unread resets the connection; what it said before tells more.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset && dialogue.answered() => 0,
            Err(e) => return Err(failure(&e)),
        };
        if count == 0 {
            return dialogue.closed().map_err(Failure::Server);
        }
        *stage = Stage::Answering;
        step = dialogue.feed(buffer.get(..count).unwrap_or_default());
    }
}

/// A connected socket takes datagrams of this server only, and the ICMP errors about ours.
async fn datagrams(spec: &ProbeSpec, dialogue: &mut Dialogue, stage: &mut Stage) -> Result<(), Failure> {
    let any = if spec.target.is_ipv4() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    let own = SocketAddr::new(spec.source.unwrap_or(any), 0);
    let socket = UdpSocket::bind(own).await.map_err(|e| failure(&e))?;
    socket.connect(spec.target).await.map_err(|e| failure(&e))?;
    *stage = Stage::Asked;
    let mut step = dialogue.open();
    let mut buffer = [0_u8; DATAGRAM_BYTES];
    loop {
        match step {
            Step::Wait => {}
            Step::Send(bytes) | Step::SendSecret(bytes) => {
                socket.send(&bytes).await.map_err(|e| unreachable(&e))?;
            }
            Step::Done(result) => return result.map_err(Failure::Server),
        }
        let count = socket.recv(&mut buffer).await.map_err(|e| unreachable(&e))?;
        *stage = Stage::Answering;
        step = dialogue.feed(buffer.get(..count).unwrap_or_default());
        if let Some(port) = dialogue.elsewhere() {
            socket.connect(SocketAddr::new(spec.target.ip(), port)).await.map_err(|e| failure(&e))?;
        }
    }
}

/// An error that came by ICMP.
fn unreachable(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return "port unreachable (nothing listens there)".into();
    }
    failure(error)
}

fn too_late(stage: Stage, left_us: u64) -> String {
    let span = Millis::new(u32::try_from(left_us.div_ceil(1000)).unwrap_or(u32::MAX));
    match stage {
        Stage::Connecting => format!("no answer within {span}"),
        Stage::Asked => format!("connected, but no answer within {span}"),
        Stage::Answering => format!("the answer was not complete within {span}"),
    }
}

/// Words for an error of a socket call. What we ran out of ourselves says nothing about the server.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "errno has 130 values; those without words of ours keep the system's"
)]
fn failure(error: &io::Error) -> Failure {
    let Some(errno) = error.raw_os_error().map(Errno::from_raw) else {
        return Failure::Server(error.to_string());
    };
    let not_asked = |words: &str| Failure::NotAsked(words.to_owned());
    match errno {
        Errno::ECONNREFUSED => "connection refused".into(),
        Errno::ECONNRESET => "connection reset by the server".into(),
        Errno::EPIPE => "connection closed before the question".into(),
        Errno::ETIMEDOUT => "no answer".into(),
        Errno::EHOSTUNREACH => "host unreachable (nobody answers for its address)".into(),
        Errno::ENETUNREACH => "no route to its network".into(),
        Errno::EMFILE | Errno::ENFILE => not_asked("out of file descriptors"),
        Errno::ENOMEM | Errno::ENOBUFS => not_asked("out of memory for sockets"),
        Errno::EADDRNOTAVAIL | Errno::EAGAIN => not_asked("no local address or port is free"),
        Errno::EPERM | Errno::EACCES => not_asked("refused by a rule on this box"),
        other => Failure::Server(other.desc().to_lowercase()),
    }
}

#[cfg(test)]
#[expect(
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    reason = "a measurement; its numbers are small"
)]
mod bench_tests;
#[cfg(test)]
mod heavy_tests;
#[cfg(test)]
mod real;
#[cfg(test)]
mod real_tests;
#[cfg(test)]
mod tests;
