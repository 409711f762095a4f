//! Sockets of a DHCP client: packets before there is an address, and datagrams once there is one.

use super::announce::packet_address;
use director_core::model::Device;
use director_core::wire::dhcp::{CLIENT_PORT, MESSAGE_MAX, SERVER_PORT, broadcast, unwrap};
use nix::net::if_::if_nametoindex;
use socket2::{Domain, SockAddr, SockFilter, Socket, Type};
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `ETH_P_IP`.
const IPV4: u16 = 0x0800;
const EVERYBODY: [u8; 6] = [0xff; 6];

/// Classic BPF (`include/uapi/linux/bpf_common.h`): IPv4 UDP to port 68, no later fragment. Without it every packet of the
/// public network would be copied to us. The packet begins with its IPv4 header.
const FILTER: [SockFilter; 9] = [
    SockFilter::new(0x30, 0, 0, 9),      // A = protocol
    SockFilter::new(0x15, 0, 6, 17),     // UDP, or drop
    SockFilter::new(0x28, 0, 0, 6),      // A = fragment offset
    SockFilter::new(0x45, 4, 0, 0x1fff), // a later fragment: drop
    SockFilter::new(0xb1, 0, 0, 0),      // X = bytes of the header
    SockFilter::new(0x48, 0, 0, 2),      // A = destination port
    SockFilter::new(0x15, 0, 1, 68),     // the client's, or drop
    SockFilter::new(0x06, 0, 0, 0x4_0000),
    SockFilter::new(0x06, 0, 0, 0),
];

/// What one device hears and says.
#[derive(Debug)]
pub(crate) struct Port {
    packets: AsyncFd<Socket>,
    index: u32,
}

impl Port {
    /// Opens the packet socket. Needs a tokio runtime with I/O.
    pub(crate) fn open(device: &Device) -> io::Result<Self> {
        let index = if_nametoindex(device.as_str())?;
        // Protocol 0 until the filter is there: nothing gets in before.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        socket.attach_filter(&FILTER)?;
        socket.bind(&address(index)?)?;
        #[expect(unsafe_code, reason = "tokio asks for the promise that the descriptor stays open")]
        // SAFETY: the socket owns its descriptor, is closed on drop only, and always returns the same one.
        let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self { packets: registered.map_err(io::Error::from)?, index })
    }

    /// The next message of a server. Cancelling loses nothing.
    pub(crate) async fn next(&self) -> io::Result<Vec<u8>> {
        let mut buffer = [0_u8; MESSAGE_MAX];
        loop {
            let mut ready = self.packets.readable().await?;
            let Ok(read) = ready.try_io(|packets| packets.get_ref().read(&mut buffer)) else { continue };
            let packet = buffer.get(..read?).unwrap_or_default();
            if let Ok(message) = unwrap(packet) {
                return Ok(message.to_vec());
            }
        }
    }

    /// Sends to everybody on the segment.
    pub(crate) fn broadcast(&self, message: &[u8], from: Option<Ipv4Addr>) -> io::Result<()> {
        let sent = self.packets.get_ref().send_to(&broadcast(message, from), &address(self.index)?);
        sent.map(drop)
    }
}

fn address(index: u32) -> io::Result<SockAddr> {
    packet_address(index, IPV4, EVERYBODY).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

/// Sends to one server from our address. The socket takes the place of the port: as long as it is there, the kernel does not
/// tell the server that nobody listens. The answer is heard by the [`Port`].
pub(crate) fn unicast(device: &Device, message: &[u8], from: Ipv4Addr, to: Ipv4Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind_device(Some(device.as_str().as_bytes()))?;
    socket.bind(&SockAddr::from(SocketAddrV4::new(from, CLIENT_PORT)))?;
    socket.send_to(message, &SockAddr::from(SocketAddrV4::new(to, SERVER_PORT)))?;
    Ok(socket)
}
