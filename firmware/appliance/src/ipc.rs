//! The line between consoles and the director: a unix stream socket, bounded frames of postcard
//! ([`director_core::director::frame`]).
//!
//! Tasks of the server: one that accepts, and two for each console (one reads requests into the loop's queue, one writes
//! replies). They end with their connection; aborting them loses at most what that console was to get.

use director_core::director::frame::{self, Decoder};
use director_core::director::protocol::{Reply, Request, SessionId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::platform::kmsg;
use director_core::director::Level;

/// Where the director listens. In memory; only root can open it.
pub(crate) const SOCKET: &str = "/run/director.sock";
/// Consoles at once. Chosen: one on the serial line, and one more while it is being restarted, with room.
const CONSOLES_MAX: usize = 4;
/// Replies that a console has not taken. It asks one thing at a time; one that does not read is disconnected.
const REPLIES_MAX: usize = 8;
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

type Consoles = Rc<RefCell<BTreeMap<SessionId, mpsc::Sender<Reply>>>>;

/// The director's end.
#[derive(Debug)]
pub(crate) struct Server {
    consoles: Consoles,
}

impl Server {
    /// Listens. Requests go to `requests`; a full queue holds the consoles back. Must run inside a local task set.
    pub(crate) fn open(requests: mpsc::Sender<(SessionId, Request)>) -> io::Result<Self> {
        match std::fs::remove_file(SOCKET) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(SOCKET)?;
        let consoles = Consoles::default();
        tokio::task::spawn_local(accept(listener, Rc::clone(&consoles), requests));
        Ok(Self { consoles })
    }

    /// Answers a console. One that is gone gets nothing; one that does not read is disconnected.
    pub(crate) fn reply(&self, session: SessionId, reply: Reply) {
        let mut consoles = self.consoles.borrow_mut();
        let refused = consoles.get(&session).is_some_and(|replies| replies.try_send(reply).is_err());
        if refused {
            consoles.remove(&session);
        }
    }
}

async fn accept(listener: UnixListener, consoles: Consoles, requests: mpsc::Sender<(SessionId, Request)>) {
    let mut last = 0_u32;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors or memory: without consoles the director still does its work.
                kmsg::log(Level::Error, &format!("no more consoles: {error}"));
                return;
            }
        };
        if consoles.borrow().len() >= CONSOLES_MAX {
            continue;
        }
        last = last.wrapping_add(1);
        let session = SessionId(last);
        let (replies, queue) = mpsc::channel(REPLIES_MAX);
        consoles.borrow_mut().insert(session, replies);
        let (read, write) = stream.into_split();
        tokio::task::spawn_local(write_replies(write, queue));
        let (consoles, requests) = (Rc::clone(&consoles), requests.clone());
        tokio::task::spawn_local(async move {
            read_requests(read, session, requests).await;
            consoles.borrow_mut().remove(&session);
        });
    }
}

async fn read_requests(
    mut stream: OwnedReadHalf,
    session: SessionId,
    requests: mpsc::Sender<(SessionId, Request)>,
) {
    let mut decoder = Decoder::new();
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(count) = stream.read(&mut buffer).await {
        let mut rest = buffer.get(..count).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        // A console of the same binary makes no wrong frames; a wrong one ends the connection.
        while let Ok(Some(message)) = decoder.take(&mut rest) {
            let Ok(request) = frame::decode(&message) else { return };
            if requests.send((session, request)).await.is_err() {
                return;
            }
        }
        if !rest.is_empty() {
            return;
        }
    }
}

async fn write_replies(mut stream: OwnedWriteHalf, mut replies: mpsc::Receiver<Reply>) {
    while let Some(reply) = replies.recv().await {
        let mut bytes = Vec::new();
        if frame::encode(&reply, &mut bytes).is_err() || stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// A console's end.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    decoder: Decoder,
    /// Received and not yet decoded.
    input: Vec<u8>,
    /// To be sent.
    output: Vec<u8>,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect() -> io::Result<Self> {
        let stream = UnixStream::connect(SOCKET).await?;
        Ok(Self { stream, decoder: Decoder::new(), input: Vec::new(), output: Vec::new() })
    }

    /// Queues a request; [`Self::turn`] sends it. A session has at most a few outstanding.
    pub(crate) fn ask(&mut self, request: &Request) -> io::Result<()> {
        frame::encode(request, &mut self.output).map_err(|error| io::Error::other(error.to_string()))
    }

    /// Sends what is queued and gives the next reply. Safe to cancel: what was sent or received is remembered.
    pub(crate) async fn turn(&mut self) -> io::Result<Reply> {
        loop {
            let mut rest = self.input.as_slice();
            let message = self.decoder.take(&mut rest).map_err(|e| io::Error::other(e.to_string()))?;
            let taken = self.input.len().saturating_sub(rest.len());
            self.input.drain(..taken);
            if let Some(message) = message {
                return frame::decode(&message).map_err(|error| io::Error::other(error.to_string()));
            }
            tokio::select! {
                ready = self.stream.readable() => ready?,
                ready = self.stream.writable(), if !self.output.is_empty() => ready?,
            }
            self.send()?;
            self.receive()?;
        }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        match self.stream.try_write(&self.output) {
            Ok(count) => {
                self.output.drain(..count);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; READ_BYTES];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.input.extend_from_slice(buffer.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}
