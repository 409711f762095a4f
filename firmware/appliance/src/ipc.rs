//! Between the director and its consoles: a unix stream socket, messages in the frames of
//! [`director_core::director::frame`].
//!
//! ```text
//! console                                  director
//! Link --- /run/director.sock --- session task --(SessionId, Request)--> main loop
//!                                      ^----------- router <--(SessionId, Reply)--+
//! ```
//! One task accepts and routes, one per session moves bytes. The main loop never waits for a console: a session that
//! reads nothing for [`STALLED`] is closed, and so is one that sends garbage. Each request is answered at most once and a
//! session has at most [`REQUESTS_MAX`] unanswered, which bounds every queue here.

use director_core::director::frame::{self, Decoder, FrameError};
use director_core::director::protocol::{Reply, Request, SessionId};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Where the director listens.
pub(crate) const SOCKET: &str = "/run/director.sock";
/// Consoles at a time: the serial line, and room for a restarted one whose end is not noticed yet.
const SESSIONS_MAX: usize = 4;
/// Unanswered requests of one session; the console's session keeps as many.
const REQUESTS_MAX: usize = 8;
/// Sentences for a console that it has not taken yet; more are lost, they are in the log too.
const NOTICES_MAX: usize = 8;
/// Bytes not yet taken by the peer with which no further reply is encoded; so there are never more than these and one message.
const UNSENT_LOW: usize = 64 * 1024;
/// Bytes not yet taken by the peer: those, and the largest message with the headers of its frames.
const UNSENT_MAX: usize = UNSENT_LOW + frame::MESSAGE_MAX + frame::MESSAGE_MAX / 1024;
/// A console that takes no byte of an answer for so long is given up. Chosen: it moves bytes whatever its terminal does.
const STALLED: Duration = Duration::from_secs(10);
/// Bytes read at once. Chosen: a quarter of a frame; consoles ask little.
const READ_BYTES: usize = 16 * 1024;
/// A console that lost the director tries again this often.
const RECONNECT: Duration = Duration::from_millis(100);
/// Pause after a failed accept (no descriptors left), which would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One end of a connection. All waits may be dropped without loss.
#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    decoder: Decoder,
    received: Vec<u8>,
    unsent: Vec<u8>,
    /// The peer took something since this was last asked.
    moved: bool,
    /// Only sends: what the peer says waits in the socket.
    deaf: bool,
}

impl Connection {
    fn new(stream: UnixStream) -> Self {
        let (received, unsent) = (Vec::new(), Vec::new());
        Self { stream, decoder: Decoder::new(), received, unsent, moved: true, deaf: false }
    }

    /// Queues a value; it leaves while this end waits.
    fn queue<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        // A peer that had nothing to take did not stall.
        self.moved |= self.unsent.is_empty();
        frame::encode(value, &mut self.unsent).map_err(invalid)?;
        if self.unsent.len() > UNSENT_MAX {
            return Err(io::Error::new(ErrorKind::WouldBlock, "the peer does not read"));
        }
        Ok(())
    }

    /// Whether the peer took nothing since this was last asked, although there was something.
    fn stalled(&mut self) -> bool {
        !std::mem::take(&mut self.moved) && !self.unsent.is_empty()
    }

    /// Waits for the next message, sending meanwhile. The end of the stream is an error.
    async fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if !self.deaf {
                let mut input = self.received.as_slice();
                let message = self.decoder.take(&mut input).map_err(invalid)?;
                let taken = self.received.len().saturating_sub(input.len());
                self.received.drain(..taken);
                if let Some(message) = message {
                    return Ok(message);
                }
            }
            let interest = match (self.deaf, self.unsent.is_empty()) {
                (false, true) => Interest::READABLE,
                (false, false) => Interest::READABLE | Interest::WRITABLE,
                (true, false) => Interest::WRITABLE,
                (true, true) => std::future::pending().await,
            };
            let ready = self.stream.ready(interest).await?;
            if ready.is_writable() {
                self.send()?;
            }
            if ready.is_readable() && !self.deaf {
                self.fill()?;
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let sent = unless_blocked(self.stream.try_write(&self.unsent))?;
        self.moved |= sent.is_some();
        self.unsent.drain(..sent.unwrap_or(0));
        if self.unsent.is_empty() {
            // A large answer is rare; its memory is not kept.
            self.unsent = Vec::new();
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; READ_BYTES];
        match unless_blocked(self.stream.try_read(&mut buffer))? {
            Some(0) => Err(ErrorKind::UnexpectedEof.into()),
            Some(read) => {
                self.received.extend_from_slice(buffer.get(..read).unwrap_or(&[]));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Ticks that are at least `pause` apart, however late the one before was taken.
fn every(pause: Duration) -> Interval {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}

fn invalid(error: FrameError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// Whom an answer is for.
#[derive(Clone, Copy, Debug)]
enum To {
    One(SessionId),
    AllBut(Option<SessionId>),
}

/// The director's end. Dropping it ends all sessions.
#[derive(Debug)]
pub(crate) struct Server {
    requests: mpsc::Receiver<(SessionId, Box<Request>)>,
    replies: mpsc::Sender<(To, Reply)>,
    _router: JoinSet<()>,
}

impl Server {
    /// Listens; a socket left by a process before is replaced. Needs a tokio runtime.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        let (requests_in, requests) = mpsc::channel(SESSIONS_MAX);
        let (replies, replies_out) =
            mpsc::channel(SESSIONS_MAX.saturating_mul(REQUESTS_MAX).saturating_add(NOTICES_MAX));
        let mut router = JoinSet::new();
        router.spawn(route(listener, requests_in, replies_out));
        Ok(Self { requests, replies, _router: router })
    }

    /// Waits for the next request. May be dropped without loss.
    pub(crate) async fn next(&mut self) -> Option<(SessionId, Box<Request>)> {
        self.requests.recv().await
    }

    /// Answers. A session that is gone loses its reply. Returns whether there was room, which only more answers
    /// than requests can fill.
    pub(crate) fn reply(&self, session: SessionId, reply: Reply) -> bool {
        self.replies.try_send((To::One(session), reply)).is_ok()
    }

    /// Shows a sentence on every console but one. Answers come first: without room for both, nobody is told.
    pub(crate) fn tell_all(&self, but: Option<SessionId>, text: &str) {
        if self.replies.capacity() > SESSIONS_MAX.saturating_mul(REQUESTS_MAX) {
            let _full = self.replies.try_send((To::AllBut(but), Reply::Notice(text.to_owned()))).is_err();
        }
    }
}

/// Accepts consoles and hands each reply to its session. Ends when the director's end is dropped.
async fn route(
    listener: UnixListener,
    requests: mpsc::Sender<(SessionId, Box<Request>)>,
    mut replies: mpsc::Receiver<(To, Reply)>,
) {
    let mut sessions: BTreeMap<SessionId, mpsc::Sender<Reply>> = BTreeMap::new();
    let mut tasks: JoinSet<SessionId> = JoinSet::new();
    let mut last = SessionId(0);
    let mut pause = every(ACCEPT_PAUSE);
    loop {
        // Replies first: they empty queues. Then ends of sessions, which make room for new ones.
        tokio::select! {
            biased;
            reply = replies.recv() => {
                match reply {
                    None => return,
                    Some((To::One(session), reply)) => {
                        if let Some(to) = sessions.get(&session) {
                            // Never full: the bound is that of unanswered requests.
                            let _gone = to.try_send(reply).is_err();
                        }
                    }
                    Some((To::AllBut(but), notice)) => {
                        let others = sessions.iter().filter(|(id, _)| Some(**id) != but);
                        // Room for the answers is kept.
                        for (_, to) in others.filter(|(_, to)| to.capacity() > REQUESTS_MAX) {
                            let _gone = to.try_send(notice.clone()).is_err();
                        }
                    }
                }
            }
            Some(ended) = tasks.join_next() => {
                if let Ok(session) = ended {
                    sessions.remove(&session);
                }
            }
            accepted = listener.accept(), if sessions.len() < SESSIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    last = SessionId(last.0.wrapping_add(1));
                    let (to, from) = mpsc::channel(REQUESTS_MAX + NOTICES_MAX);
                    sessions.insert(last, to);
                    tasks.spawn(serve(last, Connection::new(stream), requests.clone(), from));
                }
                Err(_) => {
                    pause.tick().await;
                }
            },
        }
    }
}

/// One session, until either end is closed or breaks the protocol.
async fn serve(
    id: SessionId,
    mut connection: Connection,
    requests: mpsc::Sender<(SessionId, Box<Request>)>,
    mut replies: mpsc::Receiver<Reply>,
) -> SessionId {
    let mut unanswered: usize = 0;
    let mut stalled = every(STALLED);
    loop {
        tokio::select! {
            biased;
            // The others wait in their queue, which has room for as many as there may be.
            reply = replies.recv(), if connection.unsent.len() <= UNSENT_LOW => {
                let Some(reply) = reply else { return id };
                if !matches!(reply, Reply::Notice(_)) {
                    unanswered = unanswered.saturating_sub(1);
                }
                if connection.queue(&reply).is_err() {
                    return id;
                }
            }
            message = connection.receive() => {
                let Ok(Ok(request)) = message.map(|m| frame::decode::<Request>(&m)) else { return id };
                if requests.send((id, Box::new(request))).await.is_err() {
                    return id;
                }
                unanswered = unanswered.saturating_add(1);
            }
            _ = stalled.tick() => {
                if connection.stalled() {
                    return id;
                }
            }
        }
        connection.deaf = unanswered >= REQUESTS_MAX;
    }
}

/// What a console learns of the director.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// It can be asked (again).
    Back,
    /// The connection broke; what was asked will not be answered.
    Lost,
    /// An answer.
    Reply(Box<Reply>),
}

/// The console's end: connects again by itself when the director was restarted.
#[derive(Debug)]
pub(crate) struct Link {
    path: PathBuf,
    connection: Option<Connection>,
    /// The connection could not take a request.
    overfull: bool,
    retry: Interval,
}

impl Link {
    /// Tries to connect at once.
    pub(crate) async fn open(path: &Path) -> Self {
        let mut link =
            Self { path: path.to_path_buf(), connection: None, overfull: false, retry: every(RECONNECT) };
        link.connect().await;
        link
    }

    /// Whether the director can be asked.
    pub(crate) const fn connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Asks. Without a connection nothing is sent: [`LinkEvent::Lost`] was given. One that cannot take the request is
    /// given up, and the next event is [`LinkEvent::Lost`].
    pub(crate) fn ask(&mut self, request: &Request) {
        if let Some(connection) = &mut self.connection {
            self.overfull |= connection.queue(request).is_err();
        }
    }

    /// Waits for the next event. May be dropped without loss.
    pub(crate) async fn next(&mut self) -> LinkEvent {
        loop {
            if self.overfull {
                self.broken();
                return LinkEvent::Lost;
            }
            if let Some(connection) = &mut self.connection {
                let message = connection.receive().await;
                match message.map(|m| frame::decode::<Reply>(&m)) {
                    Ok(Ok(reply)) => return LinkEvent::Reply(Box::new(reply)),
                    Ok(Err(_)) | Err(_) => {
                        self.broken();
                        return LinkEvent::Lost;
                    }
                }
            }
            self.retry.tick().await;
            self.connect().await;
            if self.connected() {
                return LinkEvent::Back;
            }
        }
    }

    /// Gives the connection up for a new one: replies that are still to come are for nobody.
    pub(crate) async fn reopen(&mut self) {
        self.broken();
        self.connect().await;
    }

    async fn connect(&mut self) {
        self.connection = UnixStream::connect(&self.path).await.ok().map(Connection::new);
    }

    fn broken(&mut self) {
        self.connection = None;
        self.overfull = false;
        self.retry.reset();
    }
}

#[cfg(test)]
mod tests;
