//! Looks at the network for `doctor`: what each means is [`director_core::doctor`]'s.

use super::clock;
use super::neighbour::{Place, Segment};
use super::tap::{Line, Taps};
use director_core::doctor::{ABREAST_MAX, CLAIMS_TIME, HANDSHAKE_TIME, Look, SMALL_BYTES, Seen, TIME};
use director_core::health::client::Client;
use director_core::model::Millis;
use director_core::wire::Mac;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// How often an address is asked for while claims are listened for.
const QUESTIONS: u32 = 3;
/// How long a ping is waited for, and how often one that is lost is repeated. Chosen: a segment answers within a
/// millisecond, and a tunnel's other end within this.
const PING_TIME: Duration = Duration::from_millis(400);
const PINGS: u32 = 2;
/// Headers of a ping: IPv4 or IPv6, and ICMP.
const HEADERS4: u16 = 28;
const HEADERS6: u16 = 48;

/// Takes all looks, some at a time; their answers in the same order.
pub(crate) async fn examine(taps: Arc<Taps>, looks: Vec<Look>) -> Vec<Seen> {
    let end = Instant::now() + span(TIME);
    let room = Arc::new(Semaphore::new(ABREAST_MAX));
    let mut running = JoinSet::new();
    let mut seen = vec![Seen::Failed("no time was left for it".to_owned()); looks.len()];
    for (number, look) in looks.into_iter().enumerate() {
        let (room, taps) = (Arc::clone(&room), Arc::clone(&taps));
        running.spawn(async move {
            // The semaphore is never closed.
            let _permit = room.acquire().await;
            let saw = take(&taps, number, &look).await.unwrap_or_else(|e| Seen::Failed(e.to_string()));
            (number, saw)
        });
    }
    while let Ok(Some(ended)) = timeout_at(end, running.join_next()).await {
        if let Ok((number, saw)) = ended
            && let Some(place) = seen.get_mut(number)
        {
            *place = saw;
        }
    }
    // What is left is aborted as the set is dropped.
    seen
}

const fn span(millis: Millis) -> Duration {
    // Lossless: no conversion of this width is const.
    Duration::new(0, 0).saturating_add(Duration::from_millis(1)).saturating_mul(millis.get())
}

async fn take(taps: &Taps, number: usize, look: &Look) -> io::Result<Seen> {
    match look {
        Look::Claims { own, address } => claims(*own, *address).await,
        Look::Handshake { own, at, source, target } => {
            let place = Place::of(*own)?;
            let Some(mac) = place.resolve(*at).await? else { return Ok(Seen::Absent) };
            handshake(taps, number, (&place, mac), (*source, *target)).await
        }
        Look::Size { target, most } => size(number, *target, *most).await,
    }
}

async fn claims(own: IpAddr, address: IpAddr) -> io::Result<Seen> {
    let place = Place::of(own)?;
    let segment = Segment::open(&place, address.is_ipv4())?;
    // IPv6 answers need somebody to answer to; nobody's cache learns anything wrong from our own address.
    let sender = own.is_ipv6().then_some(own);
    let mut all: BTreeSet<Mac> = BTreeSet::new();
    for _ in 0..QUESTIONS {
        segment.ask(sender, address)?;
        let end = Instant::now() + span(CLAIMS_TIME) / QUESTIONS;
        while let Ok(heard) = timeout_at(end, segment.heard()).await {
            let (claimed, mac) = heard?;
            if claimed == address {
                all.insert(mac);
            }
        }
    }
    Ok(Seen::Claims(all.into_iter().collect()))
}

async fn handshake(
    taps: &Taps,
    number: usize,
    (place, mac): (&Place, Mac),
    (source, target): (IpAddr, SocketAddr),
) -> io::Result<Seen> {
    let mut line = taps.line(place, mac)?;
    let first = taps.first(clock::now().micros() ^ u64::try_from(number).unwrap_or(0));
    let mut out = Vec::new();
    let ends = (SocketAddr::new(source, line.port()), target);
    let mut client = Client::open(ends, first, clock::now(), &mut out);
    let seen = timeout(span(HANDSHAKE_TIME), shake(&mut client, &mut line, &mut out)).await;
    out.extend(client.abort());
    // The server forgets a half by itself.
    drop(line.send(&mut out));
    seen.unwrap_or(Ok(Seen::Silent))
}

async fn shake(client: &mut Client, line: &mut Line, out: &mut Vec<Vec<u8>>) -> io::Result<Seen> {
    loop {
        line.send(out)?;
        // A client that opens always has something to send again.
        let at = client.next_deadline().unwrap_or(clock::now());
        let left = Duration::from_micros(at.micros_since(clock::now()));
        match timeout(left, line.next()).await {
            Err(_) => client.on_deadline(clock::now(), out),
            Ok(packet) => {
                let heard = client.segment(&packet?, clock::now(), out);
                if heard.connected {
                    return Ok(Seen::Connected);
                }
                if heard.reset {
                    return Ok(Seen::Refused);
                }
            }
        }
    }
}

/// Halves the range between a packet that arrives and one that does not.
async fn size(number: usize, target: IpAddr, most: u16) -> io::Result<Seen> {
    let pinger = Pinger::open(target, number)?;
    if !pinger.arrives(SMALL_BYTES.min(most)).await? {
        return Ok(Seen::Fits(None));
    }
    if pinger.arrives(most).await? {
        return Ok(Seen::Fits(Some(most)));
    }
    let (mut fits, mut beyond) = (SMALL_BYTES.min(most), most);
    // Each round halves the range, which has 65,535 sizes at most.
    while beyond.saturating_sub(fits) > 1 {
        let middle = fits.midpoint(beyond);
        if pinger.arrives(middle).await? { fits = middle } else { beyond = middle }
    }
    Ok(Seen::Fits(Some(fits)))
}

/// Pings that must not be fragmented. Raw, because only such a socket leaves the identifier to us; the director has the right.
struct Pinger {
    socket: AsyncFd<Socket>,
    ipv4: bool,
    ident: [u8; 2],
}

impl Pinger {
    fn open(target: IpAddr, number: usize) -> io::Result<Self> {
        let (domain, protocol) = match target {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        never_fragment(&socket, target.is_ipv4())?;
        socket.connect(&SockAddr::from(SocketAddr::new(target, 0)))?;
        #[expect(unsafe_code, reason = "tokio asks for the promise that the descriptor stays open")]
        // SAFETY: the socket owns its descriptor, is closed on drop only, and always returns the same one.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        let [a, b, ..] = number.to_le_bytes();
        Ok(Self { socket: socket.map_err(io::Error::from)?, ipv4: target.is_ipv4(), ident: [b | 0x80, a] })
    }

    /// Whether a packet of so many bytes is answered.
    async fn arrives(&self, bytes: u16) -> io::Result<bool> {
        for _ in 0..PINGS {
            match self.socket.get_ref().send(&self.request(bytes)) {
                // Larger than the device, or a router has said that it is too large.
                Err(e) if e.raw_os_error() == Some(libc::EMSGSIZE) => return Ok(false),
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Err(e),
                Ok(_) | Err(_) => {}
            }
            if let Ok(answered) = timeout(PING_TIME, self.answer(bytes)).await {
                answered?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The message; its sequence number is the size, so that a late answer counts for what it answers.
    fn request(&self, bytes: u16) -> Vec<u8> {
        let headers = if self.ipv4 { HEADERS4 } else { HEADERS6 };
        let [a, b] = self.ident;
        let [c, d] = bytes.to_be_bytes();
        let mut message = vec![if self.ipv4 { 8 } else { 128 }, 0, 0, 0, a, b, c, d];
        message.resize(message.len().saturating_add(usize::from(bytes.saturating_sub(headers))), 0);
        if self.ipv4 {
            // The rest is zero. IPv6's is filled in by the kernel.
            let sum =
                [0x0800, u32::from(u16::from_be_bytes(self.ident)), u32::from(bytes)].iter().sum::<u32>();
            let folded = u16::try_from((sum & 0xffff).saturating_add(sum >> 16)).unwrap_or(u16::MAX);
            for (byte, sum) in message.iter_mut().skip(2).zip((!folded).to_be_bytes()) {
                *byte = sum;
            }
        }
        message
    }

    async fn answer(&self, bytes: u16) -> io::Result<()> {
        loop {
            let mut ready = self.socket.readable().await?;
            let mut buffer = [MaybeUninit::uninit(); 128];
            let Ok(read) = ready.try_io(|socket| socket.get_ref().recv(&mut buffer)) else { continue };
            let message = bytes_of(&buffer, read?);
            // A raw IPv4 socket gives the IP header too (raw(7)).
            let skip =
                if self.ipv4 { usize::from(message.first().copied().unwrap_or(0) & 15) * 4 } else { 0 };
            let reply = if self.ipv4 { 0 } else { 129 };
            let [a, b] = self.ident;
            let [c, d] = bytes.to_be_bytes();
            if let Some([kind, _, _, _, rest @ ..]) = message.get(skip..)
                && *kind == reply
                && rest.starts_with(&[a, b, c, d])
            {
                return Ok(());
            }
        }
    }
}

/// The bytes that the kernel wrote.
#[expect(unsafe_code, reason = "socket2 reads into uninitialised memory")]
fn bytes_of(buffer: &[MaybeUninit<u8>], count: usize) -> Vec<u8> {
    let written = buffer.get(..count).unwrap_or_default();
    // SAFETY: `Socket::recv` returned `count`, so the kernel wrote that many bytes at the start of `buffer`.
    written.iter().map(|byte| unsafe { byte.assume_init() }).collect()
}

/// Sets the don't-fragment bit and ignores what the kernel believes of the path (`IP_PMTUDISC_PROBE`, ip(7)).
fn never_fragment(socket: &Socket, ipv4: bool) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let (level, option) = if ipv4 {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER)
    };
    let value: libc::c_int = libc::IP_PMTUDISC_PROBE;
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    #[expect(unsafe_code, reason = "neither nix nor socket2 has this option")]
    // SAFETY: `value` lives over the call and has the length that is passed.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(&value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
