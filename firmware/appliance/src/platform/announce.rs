//! Tells a segment who has an address now.

use super::netlink::{from_io, refuse};
use super::rtnl::LinkInfo;
use super::sysctl;
use director_core::plan::OpError;
use director_core::wire::{arp, ethernet, ndp};
use nix::errno::Errno;
use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A packet socket that sends and never receives.
#[derive(Debug)]
pub(crate) struct Announcer {
    socket: Socket,
}

impl Announcer {
    /// Opens the socket.
    pub(crate) fn open() -> io::Result<Self> {
        // Protocol 0: nothing is delivered to it.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Sends one round: for IPv4 an ARP request and an ARP reply, for IPv6 an unsolicited neighbour advertisement. How
    /// often it is repeated is the caller's decision.
    pub(crate) fn announce(&self, link: &LinkInfo, address: IpAddr) -> Result<(), OpError> {
        if !link.ethernet {
            return Err(refuse(Errno::EOPNOTSUPP, format!("{}: not an Ethernet device", link.device)));
        }
        match address {
            IpAddr::V4(address) => self.announce4(link, address),
            IpAddr::V6(address) => self.announce6(link, address),
        }
    }

    fn announce4(&self, link: &LinkInfo, address: Ipv4Addr) -> Result<(), OpError> {
        let mac = link.link.mac;
        for packet in [arp::Repr::announcement(mac, address), arp::Repr::unasked_reply(mac, address)] {
            self.send(link, ethernet::BROADCAST, &packet.frame(ethernet::BROADCAST))?;
        }
        Ok(())
    }

    fn announce6(&self, link: &LinkInfo, target: Ipv6Addr) -> Result<(), OpError> {
        let device = link.device.as_str().replace('.', "/");
        let router =
            sysctl::read(&format!("net.ipv6.conf.{device}.forwarding")).is_some_and(|value| value != "0");
        let frame = ndp::Repr { mac: link.link.mac, target, router }.frame();
        self.send(link, ndp::ALL_NODES_MAC, &frame)
    }

    fn send(&self, link: &LinkInfo, to: [u8; 6], frame: &[u8]) -> Result<(), OpError> {
        let address = packet_address(link.link.index, 0, to)
            .ok_or_else(|| refuse(Errno::ENODEV, format!("{}: bad device number", link.device)))?;
        let sent = self.socket.send_to(frame, &address);
        sent.map(drop).map_err(|error| from_io(&format!("announcement on {}", link.device), &error))
    }
}

/// `struct sockaddr_ll` (`include/uapi/linux/if_packet.h`): a device, and a neighbour on it. `protocol` is an `ETH_P_*`.
pub(super) fn packet_address(index: u32, protocol: u16, to: [u8; 6]) -> Option<SockAddr> {
    let [a, b, c, d, e, f] = to;
    let link = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).ok()?,
        sll_protocol: protocol.to_be(),
        sll_ifindex: i32::try_from(index).ok()?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [a, b, c, d, e, f, 0, 0],
    };
    let mut storage = SockAddrStorage::zeroed();
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).ok()?;
    #[expect(unsafe_code, reason = "neither nix nor socket2 can make a packet address")]
    // SAFETY: the storage is at least as large and as aligned as any socket address, and `length` bytes are initialised.
    unsafe {
        *storage.view_as::<libc::sockaddr_ll>() = link;
        Some(SockAddr::new(storage, length))
    }
}
