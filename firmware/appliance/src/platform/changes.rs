//! Tells that something in the kernel changed, not what: the director dumps again.
//!
//! Separate sockets, so that a flood of notifications can never delay an answer. IPVS has no notifications.
//!
//! Links are looked at besides: the kernel tells of a lost one at once only when it told of no other link in the second before
//! (`net/core/link_watch.c`, `linkwatch_nextevent`), and a switch that dies takes both.

use super::netlink::channel::Socket;
use neli::consts::socket::NlFamily;
use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// `RTNLGRP_LINK`, `_IPV4_IFADDR`, `_IPV4_ROUTE`, `_IPV6_IFADDR`, `_IPV6_ROUTE` (`include/uapi/linux/rtnetlink.h`).
const ROUTE_GROUPS: [u32; 5] = [1, 5, 7, 9, 11];
/// `NFNLGRP_NFTABLES` (`include/uapi/linux/netfilter/nfnetlink.h`).
const NFTABLES_GROUP: u32 = 7;
/// How long after the first notification to wait for its companions: one action makes several (address, route,
/// link). Chosen: not felt by a takeover.
const SETTLE: Duration = Duration::from_millis(5);
/// Most datagrams that are thrown away at once; what is left tells of a change again.
const DRAIN_MAX: usize = 1024;
/// How often links are looked at when a peer waits to take over. Chosen: half of a short heartbeat interval.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often without one. Chosen: the kernel's own notification comes within a second.
const LOOK_ALONE_EVERY: Duration = Duration::from_millis(500);
/// Cards that are looked at, at most. Chosen: many more than a box has.
const DEVICES_MAX: usize = 64;

/// Notifications of links, addresses, routes and nf_tables.
#[derive(Debug)]
pub(crate) struct Changes {
    links: Vec<Link>,
    /// When they are looked at next.
    look: Instant,
    /// Whether there is a peer.
    paired: Rc<Cell<bool>>,
    route: Socket,
    /// `None` in a kernel without nf_tables.
    nftables: Option<Socket>,
    /// A notification was taken from a socket and not yet reported, should [`Self::next`] be cancelled.
    pending: bool,
}

impl Changes {
    /// Subscribes. Needs a running tokio reactor.
    pub(crate) fn open(paired: Rc<Cell<bool>>) -> io::Result<Self> {
        let route = Socket::open(NlFamily::Route, &ROUTE_GROUPS)?;
        let nftables = Socket::open(NlFamily::Netfilter, &[NFTABLES_GROUP]).ok();
        let look = Instant::now() + LOOK_EVERY;
        Ok(Self { links: cards(), look, paired, route, nftables, pending: false })
    }

    fn every(&self) -> Duration {
        if self.paired.get() { LOOK_EVERY } else { LOOK_ALONE_EVERY }
    }

    /// Waits for a change. One call reports all that happened until it returns; what happens later is reported by the
    /// next. Lost notifications (ENOBUFS) are a change. Safe to cancel.
    pub(crate) async fn next(&mut self) {
        while !self.pending {
            match timeout_at(self.look, self.readable()).await {
                // A socket that cannot be waited for is reported as a change: the dump that follows says what is wrong.
                Ok(ready) => self.pending = ready.is_err(),
                Err(_) => {
                    self.look = Instant::now() + self.every();
                    // The others are looked at anew before the change is reported.
                    self.pending = self.links.iter_mut().any(Link::look);
                }
            }
            self.drain();
        }
        // What comes in quick succession is one change.
        let settled = Instant::now() + SETTLE;
        while let Ok(Ok(())) = timeout_at(settled, self.readable()).await {
            self.drain();
        }
        self.pending = false;
        // A card may have come, gone, or been named anew: the kernel tells of that by a notification.
        self.links = cards();
    }

    async fn readable(&self) -> io::Result<()> {
        match &self.nftables {
            Some(nftables) => tokio::select! {
                biased; // both lead to the same; the order has no meaning
                ready = self.route.readable() => ready.map(drop),
                ready = nftables.readable() => ready.map(drop),
            },
            None => self.route.readable().await.map(drop),
        }
    }

    fn drain(&mut self) {
        // The content does not matter, so a datagram may be cut.
        let mut buffer = [0; 16];
        for socket in [Some(&self.route), self.nftables.as_ref()].into_iter().flatten() {
            for _ in 0..DRAIN_MAX {
                match socket.try_receive(&mut buffer) {
                    Ok(_) => self.pending = true,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => self.pending = true,
                }
            }
        }
    }
}

/// A card and what was read of it last.
#[derive(Debug)]
struct Link {
    /// Stays open: opening it anew for every look would cost more than all else that an idle director does.
    carrier: File,
    up: Option<bool>,
}

impl Link {
    /// Whether it changed.
    fn look(&mut self) -> bool {
        let before = self.up;
        let mut text = [0];
        // A card that is down has no link to ask for: EINVAL (net/core/net-sysfs.c, `carrier_show`).
        self.up = self.carrier.read_at(&mut text, 0).ok().map(|_| text == *b"1");
        self.up != before
    }
}

/// The cards. What is built on them (VLANs, tunnels) follows, and the kernel tells of it.
fn cards() -> Vec<Link> {
    let Ok(devices) = std::fs::read_dir(Path::new("/sys/class/net")) else { return Vec::new() };
    let card = |entry: io::Result<std::fs::DirEntry>| {
        let folder = entry.ok()?.path();
        let carrier = folder.join("device").exists().then(|| File::open(folder.join("carrier")).ok())??;
        let mut link = Link { carrier, up: None };
        link.look();
        Some(link)
    };
    devices.filter_map(card).take(DEVICES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::tests::{add_addresses, isolated};
    use nix::errno::Errno;
    use nix::sys::socket::{setsockopt, sockopt};

    /// More than fit what is left of the socket's room.
    const MANY: usize = 50;

    #[test]
    fn lost_notifications_are_a_change() {
        isolated("platform::changes::tests::lost_notifications_are_a_change", async |_| {
            let witness = Socket::open(NlFamily::Route, &ROUTE_GROUPS).unwrap();
            let mut changes = Changes::open(Rc::default()).unwrap();
            for socket in [&witness, &changes.route] {
                setsockopt(socket, sockopt::RcvBuf, &1).unwrap();
            }
            add_addresses(MANY);
            let mut buffer = [0; 16];
            let lost = (0..MANY).find_map(|_| witness.try_receive(&mut buffer).err());
            assert_eq!(
                lost.and_then(|error| error.raw_os_error()).map(Errno::from_raw),
                Some(Errno::ENOBUFS)
            );
            changes.next().await;
        });
    }
}
