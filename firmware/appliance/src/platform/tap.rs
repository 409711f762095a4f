//! TCP connections that the kernel knows nothing of: a packet socket for each device and family, shared by all
//! connections over it.
//!
//! Every packet of a device passes the filters of its packet sockets, so there is one socket, it is open only while a
//! connection needs it, and its filter lets through only what is ours: TCP to the ports of [`FIRST_PORT`] and above whose
//! acknowledgement begins with two random bytes that our own sequence numbers begin with, or that is a reset. Traffic for the
//! box's virtual servers never gets past it. What the kernel makes of those packets is settled by a rule of `nft/rules.rs`.

use super::announce::packet_address;
use super::neighbour::{Place, watched};
use director_core::health::client::FIRST_PORT;
use director_core::wire::Mac;
use director_core::wire::ethernet::TYPE_IPV6;
use director_core::wire::tcp::Segment;
use socket2::{Domain, SockAddr, SockFilter, Socket, Type};
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// `ETH_P_IP`.
const TYPE_IPV4: u16 = 0x0800;
/// Packets of one connection that wait. Chosen: a window of full segments; more are lost and sent again.
const QUEUE: usize = 64;
/// Longest packet taken: what an Ethernet with large frames carries.
const PACKET_BYTES: usize = 9216;

/// All of them.
#[derive(Debug)]
pub(crate) struct Taps {
    open: Mutex<BTreeMap<(u32, bool), Weak<Tap>>>,
    /// The two bytes.
    cookie: u16,
    /// The port taken last.
    last: Mutex<u16>,
}

#[derive(Debug)]
struct Tap {
    packets: Arc<AsyncFd<Socket>>,
    users: Arc<Users>,
    reader: AbortHandle,
}

type Users = Mutex<BTreeMap<u16, mpsc::Sender<Vec<u8>>>>;

impl Drop for Tap {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// A connection's way to a neighbour.
#[derive(Debug)]
pub(crate) struct Line {
    tap: Arc<Tap>,
    port: u16,
    to: SockAddr,
    packets: mpsc::Receiver<Vec<u8>>,
}

impl Drop for Line {
    fn drop(&mut self) {
        lock(&self.tap.users).remove(&self.port);
    }
}

/// A panic while it was held leaves whole entries: each is put in or taken out by one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Taps {
    /// None open; `random` must not be guessed from outside.
    pub(crate) fn new(random: u64) -> Self {
        let [a, b, c, d, ..] = random.to_le_bytes();
        // Never 0: that is what segments without acknowledgement hold.
        let cookie = u16::from_le_bytes([a, b]) | 1;
        let last = FIRST_PORT.saturating_add(u16::from_le_bytes([c, d]) % 4000);
        Self { open: Mutex::default(), cookie, last: Mutex::new(last) }
    }

    /// The first sequence number for a connection. `random` may be anything: it only keeps connections apart.
    pub(crate) fn first(&self, random: u64) -> u32 {
        let [a, b, ..] = random.to_le_bytes();
        // Half of the numbers behind the cookie are left for what is sent: more than any question has.
        (u32::from(self.cookie) << 16) | u32::from(u16::from_le_bytes([a, b]) & 0x7fff)
    }

    /// A line to a neighbour with a port of its own. Needs a tokio runtime with I/O.
    pub(crate) fn line(&self, place: &Place, to: Mac) -> io::Result<Line> {
        let ipv4 = place.own.is_ipv4();
        let tap = {
            let mut open = lock(&self.open);
            let key = (place.index, ipv4);
            match open.get(&key).and_then(Weak::upgrade) {
                Some(tap) => tap,
                None => {
                    let tap = Arc::new(Tap::open(place.index, ipv4, self.cookie)?);
                    open.retain(|_, tap| tap.strong_count() > 0);
                    open.insert(key, Arc::downgrade(&tap));
                    tap
                }
            }
        };
        let address = packet_address(place.index, protocol(ipv4), to);
        let to = address.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let (sender, packets) = mpsc::channel(QUEUE);
        let mut users = lock(&tap.users);
        let mut last = lock(&self.last);
        for _ in FIRST_PORT..=u16::MAX {
            *last = last.checked_add(1).unwrap_or(FIRST_PORT);
            if !users.contains_key(&last) {
                users.insert(*last, sender);
                let port = *last;
                drop((users, last));
                return Ok(Line { tap, port, to, packets });
            }
        }
        Err(io::ErrorKind::AddrNotAvailable.into())
    }
}

const fn protocol(ipv4: bool) -> u16 {
    if ipv4 { TYPE_IPV4 } else { TYPE_IPV6 }
}

impl Tap {
    fn open(index: u32, ipv4: bool, cookie: u16) -> io::Result<Self> {
        // Protocol 0 until the filter is there: nothing gets in before.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        socket.attach_filter(&filter(ipv4, cookie))?;
        let bound = packet_address(index, protocol(ipv4), [0; 6]);
        socket.bind(&bound.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?)?;
        let packets = Arc::new(watched(socket)?);
        let users: Arc<Users> = Arc::default();
        let reader = tokio::spawn(deliver(Arc::clone(&packets), Arc::clone(&users))).abort_handle();
        Ok(Self { packets, users, reader })
    }
}

impl Line {
    /// Our port.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Sends packets. One that finds no room is lost, as on any network.
    pub(crate) fn send(&self, packets: &mut Vec<Vec<u8>>) -> io::Result<()> {
        for packet in packets.drain(..) {
            match self.tap.packets.get_ref().send_to(&packet, &self.to) {
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Err(e),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The next packet for our port. Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<u8>> {
        // The tap, which this line holds, holds the other end.
        self.packets.recv().await.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

/// Gives packets to those whose ports they are for.
async fn deliver(packets: Arc<AsyncFd<Socket>>, users: Arc<Users>) -> io::Result<()> {
    let mut buffer = vec![0_u8; PACKET_BYTES];
    loop {
        let mut ready = packets.readable().await?;
        let Ok(read) = ready.try_io(|packets| packets.get_ref().read(&mut buffer)) else { continue };
        // An error is the device's, which may come back.
        let Ok(count) = read else { continue };
        let packet = buffer.get(..count).unwrap_or_default();
        let Ok(segment) = Segment::parse(packet) else { continue };
        if let Some(user) = lock(&users).get(&segment.destination.port()) {
            // A full queue loses the packet, and it is sent again.
            drop(user.try_send(packet.to_vec()));
        }
    }
}

/// Classic BPF (`include/uapi/linux/bpf_common.h`); the packet begins with its IP header.
fn filter(ipv4: bool, cookie: u16) -> Vec<SockFilter> {
    let first = u32::from(FIRST_PORT);
    let cookie = u32::from(cookie);
    let take = SockFilter::new(0x06, 0, 0, 0x4_0000);
    let refuse = SockFilter::new(0x06, 0, 0, 0);
    if ipv4 {
        vec![
            SockFilter::new(0x30, 0, 0, 9),      // A = protocol
            SockFilter::new(0x15, 0, 10, 6),     // TCP, or drop
            SockFilter::new(0x28, 0, 0, 6),      // A = fragment offset
            SockFilter::new(0x45, 8, 0, 0x1fff), // a later fragment: drop
            SockFilter::new(0xb1, 0, 0, 0),      // X = bytes of the header
            SockFilter::new(0x48, 0, 0, 2),      // A = destination port
            SockFilter::new(0x35, 0, 5, first),  // ours, or drop
            SockFilter::new(0x50, 0, 0, 13),     // A = flags
            SockFilter::new(0x45, 2, 0, 4),      // reset: take
            SockFilter::new(0x48, 0, 0, 8),      // A = upper half of the acknowledgement
            SockFilter::new(0x15, 0, 1, cookie), // the cookie, or drop
            take,
            refuse,
        ]
    } else {
        vec![
            SockFilter::new(0x30, 0, 0, 6),      // A = next header
            SockFilter::new(0x15, 0, 7, 6),      // TCP, or drop
            SockFilter::new(0x28, 0, 0, 42),     // A = destination port
            SockFilter::new(0x35, 0, 5, first),  // ours, or drop
            SockFilter::new(0x30, 0, 0, 53),     // A = flags
            SockFilter::new(0x45, 2, 0, 4),      // reset: take
            SockFilter::new(0x28, 0, 0, 48),     // A = upper half of the acknowledgement
            SockFilter::new(0x15, 0, 1, cookie), // the cookie, or drop
            take,
            refuse,
        ]
    }
}

/// Our end and the server's.
pub(crate) fn ends(own: IpAddr, line: &Line, target: SocketAddr) -> (SocketAddr, SocketAddr) {
    (SocketAddr::new(own, line.port()), target)
}
