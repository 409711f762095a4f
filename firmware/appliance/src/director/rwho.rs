//! Hears the broadcasts of rwhod.

use crate::platform::kmsg::Log;
use director_core::director::{Event, Level};
use director_core::wire::rwho::{DATAGRAM_MAX, PORT};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Errors in a row after which nobody listens any more until the next commit.
const ERRORS_MAX: u32 = 64;

/// The socket, when a load monitor wants it.
#[derive(Debug)]
pub(super) struct Rwho {
    reader: Option<AbortHandle>,
    events: mpsc::Sender<Event>,
    log: Rc<Log>,
}

impl Rwho {
    pub(super) fn new(log: Rc<Log>, events: mpsc::Sender<Event>) -> Self {
        Self { reader: None, events, log }
    }

    /// Listens, or not. Must run inside the loop's local task set.
    pub(super) fn listen(&mut self, wanted: bool) {
        let running = self.reader.as_ref().is_some_and(|reader| !reader.is_finished());
        if wanted == running {
            return;
        }
        if let Some(reader) = self.reader.take() {
            reader.abort();
        }
        if !wanted {
            return;
        }
        match open() {
            Ok(socket) => {
                let task = read(socket, self.events.clone());
                self.reader = Some(tokio::task::spawn_local(task).abort_handle());
            }
            Err(error) => self.log.write(Level::Error, format_args!("rwhod: port {PORT}: {error}")),
        }
    }
}

/// Must run inside a runtime.
pub(crate) fn open() -> std::io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Sends what comes until errors end it.
pub(crate) async fn read(socket: UdpSocket, events: mpsc::Sender<Event>) {
    let mut buffer = [0_u8; DATAGRAM_MAX];
    let mut errors = 0_u32;
    while errors < ERRORS_MAX {
        match socket.recv_from(&mut buffer).await {
            // A real one comes from the port that it goes to, which only root may take.
            Ok((count, SocketAddr::V4(from))) if from.port() == PORT => {
                errors = 0;
                let datagram = buffer.get(..count).unwrap_or_default().to_vec();
                // No room: lost, as on any network.
                drop(events.try_send(Event::Rwho { from: *from.ip(), datagram }));
            }
            Ok(_) => errors = 0,
            Err(_) => errors = errors.saturating_add(1),
        }
    }
}
