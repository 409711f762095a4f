//! The connection to the peer: TCP on a heartbeat path, sealed by [`director_core::sync::session`].
//!
//! The primary listens on the heartbeat port of each path, the backup connects, one path after the other, for as long as there
//! is no connection. What is not the peer's address is closed at once, and what does not prove itself in time is, too; so
//! the loop never hears of a stranger. Another configuration replaces who listens and who connects, but not a
//! connection that works: a commit may change the keys that it was made with.

use super::kmsg::Log;
use super::random;
use director_core::director::cluster::{HeartbeatPath, Listen};
use director_core::director::{Event, Level};
use director_core::store::identity::Role;
use director_core::sync::Message;
use director_core::sync::session::{Credentials, Session};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// Messages that wait for the socket. Chosen: more than any exchange has; a peer that takes none is lost.
const SEND_QUEUE: usize = 32;
/// How long a connection may take to be made, and then to prove itself.
const PROOF_MAX: Duration = Duration::from_secs(3);
/// Pause before the next try.
const RETRY: Duration = Duration::from_millis(500);
/// Connections that wait to be accepted. Chosen: the peer's, and some of strangers.
const BACKLOG: i32 = 4;
/// How long sent bytes may stay unacknowledged before the peer counts as lost.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);
/// How often an idle connection is tried.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Bytes that wait for the socket, beyond which no further message is sealed.
const PENDING_MAX: usize = 64 * 1024;
const READ: usize = 16 * 1024;

/// The connection that works.
#[derive(Debug)]
struct Current {
    peer: IpAddr,
    outgoing: mpsc::Sender<Message>,
    task: JoinHandle<()>,
}

/// What the tasks share.
#[derive(Debug)]
struct Shared {
    events: mpsc::Sender<Event>,
    log: Rc<Log>,
    current: RefCell<Option<Current>>,
}

/// The connection, and who looks for one.
#[derive(Debug)]
pub(crate) struct Peer {
    shared: Rc<Shared>,
    seekers: Vec<JoinHandle<()>>,
}

impl Peer {
    /// None yet; what the peer says goes to `events`.
    pub(crate) fn new(events: mpsc::Sender<Event>, log: Rc<Log>) -> Self {
        Self { shared: Rc::new(Shared { events, log, current: RefCell::new(None) }), seekers: Vec::new() }
    }

    /// Replaces where the peer is looked for. Must be called inside the loop's local task set.
    pub(crate) fn seek(&mut self, listen: Option<&Listen>) {
        for task in self.seekers.drain(..) {
            task.abort();
        }
        let wanted = listen.and_then(|l| Some((l, l.credentials.clone()?)));
        let kept = |peer| wanted.as_ref().is_some_and(|(l, _)| l.paths.iter().any(|p| p.peer == peer));
        let lost = self.shared.current.borrow_mut().take_if(|current| !kept(current.peer));
        if let Some(lost) = lost {
            // Its task says that it is gone.
            drop(lost.outgoing);
        }
        let Some((listen, credentials)) = wanted else { return };
        let port = listen.port;
        match credentials.own {
            Role::Primary => {
                for path in listen.paths.clone() {
                    let seek = accept(Rc::clone(&self.shared), path, port, credentials.clone());
                    self.seekers.push(tokio::task::spawn_local(seek));
                }
            }
            Role::Backup => {
                let seek = connect(Rc::clone(&self.shared), listen.paths.clone(), port, credentials);
                self.seekers.push(tokio::task::spawn_local(seek));
            }
        }
    }

    /// Says something, if the peer is there. One that takes nothing is lost.
    pub(crate) fn tell(&self, message: Message) {
        let full = {
            let current = self.shared.current.borrow();
            current.as_ref().is_some_and(|current| current.outgoing.try_send(message).is_err())
        };
        if full {
            drop(self.shared.current.borrow_mut().take());
        }
    }
}

impl Shared {
    fn connected(&self) -> bool {
        self.current.borrow().as_ref().is_some_and(|current| !current.task.is_finished())
    }

    fn complain(&self, said: &mut bool, path: &HeartbeatPath, what: &dyn std::fmt::Display) {
        if !std::mem::replace(said, true) {
            let HeartbeatPath { name, peer, .. } = path;
            self.log
                .write(Level::Warning, format_args!("connection to {peer} on {name}: {what}; trying again"));
        }
    }

    /// Proves a fresh connection and makes it the one that works.
    async fn install(
        self: &Rc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        credentials: Credentials,
    ) -> Result<(), String> {
        let nonce = random::bytes().map_err(|error| error.to_string())?;
        let mut pending = Vec::new();
        let mut session = Session::start(credentials, nonce, &mut pending);
        let mut messages = Vec::new();
        let until = Instant::now() + PROOF_MAX;
        while !session.proven() || !pending.is_empty() {
            let step = exchange(&stream, &mut session, &mut pending, &mut messages);
            timeout_at(until, step).await.map_err(|_| "it does not prove itself".to_string())??;
        }
        let (outgoing, queue) = mpsc::channel(SEND_QUEUE);
        let line = Line { stream, session, pending, queue, shared: Rc::downgrade(self) };
        let task = tokio::task::spawn_local(line.serve(self.events.clone(), messages));
        // What worked before does not any more, or the peer would not have connected again. Its end is not told: the
        // beginning of the new one says it.
        if let Some(before) = self.current.borrow_mut().replace(Current { peer, outgoing, task }) {
            before.task.abort();
        }
        Ok(())
    }
}

/// Reads or writes once, as the socket can.
async fn exchange(
    stream: &TcpStream,
    session: &mut Session,
    pending: &mut Vec<u8>,
    messages: &mut Vec<Message>,
) -> Result<(), String> {
    let lost = |error: io::Error| error.to_string();
    let blocks = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    tokio::select! {
        ready = stream.writable(), if !pending.is_empty() => {
            ready.map_err(lost)?;
            match stream.try_write(pending) {
                Ok(sent) => drop(pending.drain(..sent)),
                Err(error) if blocks(&error) => {}
                Err(error) => return Err(lost(error)),
            }
        }
        ready = stream.readable() => {
            ready.map_err(lost)?;
            let mut buffer = [0; READ];
            match stream.try_read(&mut buffer) {
                Ok(0) => return Err("closed by the other end".to_string()),
                Ok(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    session.receive(bytes, pending, messages).map_err(|broken| broken.to_string())?;
                }
                Err(error) if blocks(&error) => {}
                Err(error) => return Err(lost(error)),
            }
        }
    }
    Ok(())
}

/// A proven connection.
struct Line {
    stream: TcpStream,
    session: Session,
    /// Sealed and not sent yet.
    pending: Vec<u8>,
    queue: mpsc::Receiver<Message>,
    shared: std::rc::Weak<Shared>,
}

impl Line {
    async fn serve(mut self, events: mpsc::Sender<Event>, mut messages: Vec<Message>) {
        if events.send(Event::Linked(true)).await.is_err() {
            return;
        }
        let why = self.carry(&events, &mut messages).await;
        // One that was replaced is aborted and does not come here, so this is the one that the loop knows.
        if let (Some(why), Some(shared)) = (why, self.shared.upgrade()) {
            shared.log.write(Level::Info, format_args!("connection to the peer: {why}"));
        }
        drop(events.send(Event::Linked(false)).await);
    }

    /// Until it breaks: why, unless it is not wanted any more.
    async fn carry(&mut self, events: &mpsc::Sender<Event>, messages: &mut Vec<Message>) -> Option<String> {
        loop {
            for message in messages.drain(..) {
                events.send(Event::Told(Box::new(message))).await.ok()?;
            }
            tokio::select! {
                biased;
                message = self.queue.recv(), if self.pending.len() < PENDING_MAX => {
                    if let Err(broken) = self.session.send(&message?, &mut self.pending) {
                        return Some(broken.to_string());
                    }
                }
                step = exchange(&self.stream, &mut self.session, &mut self.pending, messages) => {
                    if let Err(why) = step {
                        return Some(why);
                    }
                }
            }
        }
    }
}

async fn accept(shared: Rc<Shared>, path: HeartbeatPath, port: u16, credentials: Credentials) {
    let mut said = false;
    loop {
        match listener(&path, port) {
            Ok(listener) => {
                said = false;
                while let Ok((stream, from)) = listener.accept().await {
                    if from.ip() != path.peer {
                        continue;
                    }
                    let result = match prepare(&stream) {
                        Ok(()) => shared.install(stream, path.peer, credentials.clone()).await,
                        Err(error) => Err(error.to_string()),
                    };
                    match result {
                        Ok(()) => said = false,
                        Err(why) => shared.complain(&mut said, &path, &why),
                    }
                }
            }
            Err(error) => shared.complain(&mut said, &path, &error),
        }
        pause().await;
    }
}

async fn connect(shared: Rc<Shared>, paths: Vec<HeartbeatPath>, port: u16, credentials: Credentials) {
    let mut said = vec![false; paths.len()];
    loop {
        for (path, said) in paths.iter().zip(&mut said) {
            if shared.connected() {
                break;
            }
            // Refused is what a peer without power or without a pair is: heartbeats say that better.
            if let Ok(Ok(stream)) = timeout(PROOF_MAX, dial(path, port)).await {
                match shared.install(stream, path.peer, credentials.clone()).await {
                    Ok(()) => *said = false,
                    Err(why) => shared.complain(said, path, &why),
                }
            }
        }
        pause().await;
    }
}

async fn pause() {
    // Nothing ends it but the time.
    drop(timeout(RETRY, std::future::pending::<()>()).await);
}

fn socket(path: &HeartbeatPath) -> io::Result<Socket> {
    let domain = if path.local.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind_device(Some(path.device.as_str().as_bytes()))?;
    if path.local.is_ipv4() {
        socket.set_freebind_v4(true)?
    } else {
        socket.set_freebind_v6(true)?
    }
    Ok(socket)
}

fn listener(path: &HeartbeatPath, port: u16) -> io::Result<TcpListener> {
    let socket = socket(path)?;
    socket.bind(&SocketAddr::new(path.local, port).into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn dial(path: &HeartbeatPath, port: u16) -> io::Result<TcpStream> {
    let socket = socket(path)?;
    socket.bind(&SocketAddr::new(path.local, 0).into())?;
    let stream = TcpSocket::from_std_stream(socket.into()).connect(SocketAddr::new(path.peer, port)).await?;
    prepare(&stream)?;
    Ok(stream)
}

/// A peer that is gone is noticed in seconds.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))
}

#[cfg(test)]
mod tests;
