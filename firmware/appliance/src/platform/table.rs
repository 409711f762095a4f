//! Sends the kernel's connections to the peer as its sync daemon would ([`director_core::wire::ipvs_sync`]).
//!
//! On a thread of its own: the list of a busy box has a hundred thousand lines, and its messages are sent at a pace that a
//! receiver's socket buffer keeps up with.

use super::kmsg::Log;
use director_core::director::{Event, Level};
use director_core::plan::DaemonSpec;
use director_core::plan::rules::MarkRule;
use director_core::wire::ipvs_sync::{Message, listed};
use socket2::{Domain, Protocol, Socket, Type};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

const LIST: &str = "/proc/net/ip_vs_conn";
/// Connections sent at most. Chosen: eight times what the smallest box can hold.
const CONNECTIONS_MAX: u32 = 1 << 20;
/// Messages sent at once. Chosen: 24 KiB, a tenth of a receiver's buffer.
const BURST: u32 = 16;
/// Pause after them: about 250,000 connections in a second.
const PAUSE: Duration = Duration::from_millis(2);

/// Sends what the list holds now, then says how many they were.
pub(crate) fn send(log: &Rc<Log>, events: &Sender<Event>, daemon: DaemonSpec, marks: Vec<MarkRule>) {
    let events_there = events.clone();
    let work = move || {
        let sent = run(&daemon, &marks);
        // The loop waits for an answer, whatever it is.
        drop(events_there.blocking_send(Event::TableSent(sent.unwrap_or(0))));
    };
    if let Err(error) = thread::Builder::new().name("table".to_string()).spawn(work) {
        log.write(Level::Error, format_args!("the connection table is not sent: {error}"));
        drop(events.try_send(Event::TableSent(0)));
    }
}

fn run(daemon: &DaemonSpec, marks: &[MarkRule]) -> io::Result<u32> {
    let socket = open(daemon)?;
    let mut pace = Pace::new()?;
    let mut message = Message::new(daemon.id, daemon.max_length);
    let mut sent = 0_u32;
    for line in BufReader::with_capacity(64 * 1024, File::open(LIST)?).lines() {
        let Some(connection) = listed(&line?, marks) else { continue };
        if sent >= CONNECTIONS_MAX {
            break;
        }
        if !message.push(&connection) {
            let full = std::mem::replace(&mut message, Message::new(daemon.id, daemon.max_length));
            socket.send(&full.finish())?;
            pace.next();
            if !message.push(&connection) {
                continue;
            }
        }
        sent = sent.saturating_add(1);
    }
    if message.count() > 0 {
        socket.send(&message.finish())?;
    }
    Ok(sent)
}

/// As the kernel's daemon opens its own (`make_send_sock`).
fn open(daemon: &DaemonSpec) -> io::Result<Socket> {
    let to = SocketAddr::new(daemon.group, daemon.port);
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(daemon.device.as_str().as_bytes()))?;
    if daemon.group.is_ipv4() {
        socket.set_multicast_loop_v4(false)?;
        socket.set_multicast_ttl_v4(u32::from(daemon.ttl))?;
    } else {
        socket.set_multicast_loop_v6(false)?;
        socket.set_multicast_hops_v6(u32::from(daemon.ttl))?;
    }
    socket.connect(&to.into())?;
    Ok(socket)
}

/// Waits after each burst, on a socket that nobody writes to.
struct Pace {
    quiet: UnixStream,
    _other: UnixStream,
    messages: u32,
}

impl Pace {
    fn new() -> io::Result<Self> {
        let (other, quiet) = UnixStream::pair()?;
        quiet.set_read_timeout(Some(PAUSE))?;
        Ok(Self { quiet, _other: other, messages: 0 })
    }

    fn next(&mut self) {
        self.messages = self.messages.saturating_add(1);
        if self.messages.is_multiple_of(BURST) {
            // It ends with its time.
            drop(self.quiet.read(&mut [0]));
        }
    }
}
