//! ICMP echo over a ping socket where the kernel lets this process have one, else over a raw one.

use director_core::health::ProbeSpec;
use director_core::health::dialogue::Echo;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Largest message taken: the longest IP header (60 bytes), the ICMP header and the largest echo that is configured
/// (1,472 bytes).
const MESSAGE_BYTES: usize = 2048;
/// Shortest IPv4 header.
const IPV4_HEADER_BYTES: usize = 20;

/// Sends the echo and waits for its answer, for ever.
pub(super) async fn ask(spec: &ProbeSpec, echo: &Echo) -> io::Result<()> {
    let (socket, raw) = open(spec)?;
    let socket = watched(socket)?;
    let request = echo.request();
    socket.async_io(Interest::WRITABLE, |socket| socket.send(&request)).await?;
    loop {
        let mut buffer = [MaybeUninit::uninit(); MESSAGE_BYTES];
        let message = socket
            .async_io(Interest::READABLE, |socket| {
                let count = socket.recv(&mut buffer)?;
                Ok(initialised(&buffer, count))
            })
            .await?;
        let body = if raw && spec.target.is_ipv4() { without_header(&message) } else { &message };
        // Everything that is not ours is others' business: our own question on loopback, other pings, errors.
        if echo.answers(body) {
            return Ok(());
        }
    }
}

#[expect(unsafe_code, reason = "tokio trusts the descriptor to stay the same")]
fn watched(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    let interest = Interest::READABLE.add(Interest::WRITABLE);
    // SAFETY: a `Socket` owns its descriptor, names the same one each time, and closes it only when it is dropped, which
    // the `AsyncFd` that owns it does after it has given up watching.
    Ok(unsafe { AsyncFd::register_with_interest(socket, interest) }?)
}

fn open(spec: &ProbeSpec) -> io::Result<(Socket, bool)> {
    let (domain, protocol) = match spec.target {
        SocketAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        SocketAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let (socket, raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => (socket, false),
        // `net.ipv4.ping_group_range` is empty by default; who may open raw sockets needs no such permission.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            (Socket::new(domain, Type::RAW, Some(protocol))?, true)
        }
        Err(e) => return Err(e),
    };
    socket.set_nonblocking(true)?;
    if let Some(source) = spec.source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.connect(&SocketAddr::new(spec.target.ip(), 0).into())?;
    Ok((socket, raw))
}

/// The bytes that the kernel wrote.
#[expect(unsafe_code, reason = "socket2 reads into uninitialised memory")]
fn initialised(buffer: &[MaybeUninit<u8>], count: usize) -> Vec<u8> {
    let written = buffer.get(..count).unwrap_or_default();
    // SAFETY: `Socket::recv` returned `count`, so the kernel wrote that many bytes at the start of `buffer`.
    written.iter().map(|byte| unsafe { byte.assume_init() }).collect()
}

/// A raw IPv4 socket gives the IP header too (raw(7)).
fn without_header(packet: &[u8]) -> &[u8] {
    let words = usize::from(packet.first().copied().unwrap_or(0) & 15);
    packet.get(words.saturating_mul(4).max(IPV4_HEADER_BYTES)..).unwrap_or_default()
}
