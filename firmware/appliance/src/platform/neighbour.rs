//! Who has which address on a segment, asked by our own ARP and neighbour solicitations: the kernel's table tells one
//! answer, and there may be two.

use super::announce::packet_address;
use director_core::wire::ethernet::{self, TYPE_ARP, TYPE_IPV6};
use director_core::wire::{Mac, arp, ndp};
use nix::ifaddrs::getifaddrs;
use socket2::{Domain, SockFilter, Socket, Type};
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

/// How long one question waits before it is asked again, and how often it is asked. Chosen: a segment answers within a
/// millisecond; a host that wakes up needs longer.
const PATIENCE: Duration = Duration::from_millis(250);
const QUESTIONS: u32 = 4;
/// Longest frame taken; ARP and advertisements are shorter.
const FRAME_BYTES: usize = 128;

/// Classic BPF: IPv6 frames whose message is a neighbour advertisement.
const ADVERTISEMENTS: [SockFilter; 6] = [
    SockFilter::new(0x30, 0, 0, 20),  // A = next header
    SockFilter::new(0x15, 0, 3, 58),  // ICMPv6, or drop
    SockFilter::new(0x30, 0, 0, 54),  // A = type
    SockFilter::new(0x15, 0, 1, 136), // advertisement, or drop
    SockFilter::new(0x06, 0, 0, 0x4_0000),
    SockFilter::new(0x06, 0, 0, 0),
];

/// A device of ours, by an address of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Number of the device.
    pub(crate) index: u32,
    /// Its hardware address.
    pub(crate) mac: Mac,
    /// The address.
    pub(crate) own: IpAddr,
}

impl Place {
    /// The Ethernet device that holds `own`.
    pub(crate) fn of(own: IpAddr) -> io::Result<Self> {
        let all = || getifaddrs().map_err(io::Error::from);
        let holds = |address: &nix::sys::socket::SockaddrStorage| {
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            let v6 = address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip()));
            v4.or(v6) == Some(own)
        };
        let missing = || io::Error::new(io::ErrorKind::AddrNotAvailable, format!("no device holds {own}"));
        let holder = all()?.find(|entry| entry.address.as_ref().is_some_and(holds)).ok_or_else(missing)?;
        let device = holder.interface_name;
        let link = |entry: nix::ifaddrs::InterfaceAddress| {
            let link = entry.address?.as_link_addr().copied()?;
            let index = u32::try_from(link.ifindex()).ok()?;
            (entry.interface_name == device).then_some((index, link.addr()?))
        };
        let (index, mac) = all()?.find_map(link).ok_or_else(missing)?;
        Ok(Self { index, mac, own })
    }

    /// The device that packets for `target` leave by, and the address that they come from.
    pub(crate) fn towards(target: IpAddr) -> io::Result<Self> {
        let any: SocketAddr = match target {
            IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        // Connecting sends nothing; the kernel picks route and source.
        socket.connect(SocketAddr::new(target, 9))?;
        Self::of(socket.local_addr()?.ip())
    }

    /// The hardware address of `target`; `None` when nobody answers for it.
    pub(crate) async fn resolve(&self, target: IpAddr) -> io::Result<Option<Mac>> {
        let segment = Segment::open(self, target.is_ipv4())?;
        for _ in 0..QUESTIONS {
            segment.ask(Some(self.own), target)?;
            let answer = async {
                loop {
                    let (address, mac) = segment.heard().await?;
                    if address == target {
                        return Ok::<_, io::Error>(mac);
                    }
                }
            };
            if let Ok(mac) = timeout(PATIENCE, answer).await {
                return mac.map(Some);
            }
        }
        Ok(None)
    }
}

/// A packet socket on a segment that hears who claims which address.
#[derive(Debug)]
pub(crate) struct Segment {
    frames: AsyncFd<Socket>,
    index: u32,
    mac: Mac,
}

impl Segment {
    /// For IPv4 or IPv6. Needs a tokio runtime with I/O.
    pub(crate) fn open(place: &Place, ipv4: bool) -> io::Result<Self> {
        // Protocol 0 until the filter is there: nothing gets in before.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        if !ipv4 {
            socket.attach_filter(&ADVERTISEMENTS)?;
        }
        let protocol = if ipv4 { TYPE_ARP } else { TYPE_IPV6 };
        let bound = packet_address(place.index, protocol, [0; 6]);
        socket.bind(&bound.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?)?;
        Ok(Self { frames: watched(socket)?, index: place.index, mac: place.mac })
    }

    /// Asks who has `target`. Without a sender nobody's cache learns from it (IPv4 only).
    pub(crate) fn ask(&self, sender: Option<IpAddr>, target: IpAddr) -> io::Result<()> {
        let sent = match (target, sender) {
            (IpAddr::V4(target), Some(IpAddr::V4(sender))) => self.arp(sender, target),
            (IpAddr::V4(target), None | Some(IpAddr::V6(_))) => self.arp(Ipv4Addr::UNSPECIFIED, target),
            (IpAddr::V6(target), Some(IpAddr::V6(sender))) => {
                self.send(&ndp::solicitation(self.mac, sender, target))
            }
            (IpAddr::V6(_), None | Some(IpAddr::V4(_))) => Err(io::ErrorKind::InvalidInput.into()),
        };
        match sent {
            // What does not fit the device's queue is asked again.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    fn arp(&self, sender: Ipv4Addr, target: Ipv4Addr) -> io::Result<()> {
        self.send(&arp::Repr::question(self.mac, sender, target).frame(ethernet::BROADCAST))
    }

    fn send(&self, frame: &[u8]) -> io::Result<()> {
        let to = packet_address(self.index, 0, ethernet::BROADCAST);
        let to = to.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.frames.get_ref().send_to(frame, &to).map(drop)
    }

    /// The next claim: an address, and the hardware address that is said to have it. Cancelling loses nothing.
    pub(crate) async fn heard(&self) -> io::Result<(IpAddr, Mac)> {
        let mut buffer = [0_u8; FRAME_BYTES];
        loop {
            let mut ready = self.frames.readable().await?;
            let Ok(read) = ready.try_io(|frames| frames.get_ref().read(&mut buffer)) else { continue };
            let frame = buffer.get(..read?).unwrap_or_default();
            if let Some(claim) = claim(frame) {
                return Ok(claim);
            }
        }
    }
}

fn claim(frame: &[u8]) -> Option<(IpAddr, Mac)> {
    let (header, packet) = ethernet::Repr::parse(frame).ok()?;
    if header.ethertype == TYPE_ARP {
        let said = arp::Repr::parse(packet).ok().filter(|said| !said.sender.is_unspecified())?;
        return Some((said.sender.into(), said.sender_mac));
    }
    let (address, mac) = ndp::advertised(frame)?;
    Some((address.into(), mac))
}

/// A packet socket as tokio wants it.
pub(super) fn watched(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    #[expect(unsafe_code, reason = "tokio asks for the promise that the descriptor stays open")]
    // SAFETY: the socket owns its descriptor, is closed on drop only, and always returns the same one.
    let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
    registered.map_err(io::Error::from)
}
