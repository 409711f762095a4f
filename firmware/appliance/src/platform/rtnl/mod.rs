//! Devices, addresses and routes over rtnetlink.

mod codec;

use super::netlink::{self, Channel, Encoder, Malformed, Message, refuse, unless};
use codec::Address;
pub(crate) use codec::LinkInfo;
use director_core::gather::Gather as _;
use director_core::model::{Cidr, Device};
use director_core::plan::observed::{Link, Observed};
use director_core::plan::{AddressKey, AddressSpec, OpError, RouteKey, RouteSpec, VlanSpec};
use neli::consts::socket::NlFamily;
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

/// An rtnetlink socket.
#[derive(Debug)]
pub(crate) struct Rtnl {
    channel: Channel,
}

/// Messages that delete addresses, one after the other, for a socket that does not wait for answers.
pub(crate) fn removal(addresses: impl Iterator<Item = (u32, Cidr)>) -> Vec<u8> {
    let mut encoder = Encoder::default();
    for (index, cidr) in addresses {
        encoder.message(codec::DELETE_ADDRESS, 0, 0, |body| codec::delete_address(body, index, cidr));
    }
    // No address is too long for its message.
    encoder.finish().map(<[u8]>::to_vec).unwrap_or_default()
}

impl Rtnl {
    /// Opens the socket.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { channel: Channel::open(NlFamily::Route)? })
    }

    /// Fills in devices, addresses and routes.
    pub(crate) async fn observe(&mut self, observed: &mut Observed) -> Result<(), OpError> {
        let links = self.links().await?;
        observed.addresses = self.addresses(&links).await?;
        observed.routes = self.routes().await?;
        observed.links = links;
        Ok(())
    }

    /// All devices whose names we can say.
    pub(crate) async fn links(&mut self) -> Result<BTreeMap<Device, Link>, OpError> {
        let mut found: Vec<LinkInfo> = Vec::new();
        let (kind, request) = (codec::GET_LINK, codec::dump_links);
        let take = |found: &mut Vec<LinkInfo>, message: &Message<'_>| {
            found.extend(codec::parse_link(message)?);
            Ok(())
        };
        self.channel.dump(kind, &mut found, request, take, Vec::clear).await?;
        let names: BTreeMap<u32, Device> =
            found.iter().map(|info| (info.link.index, info.device.clone())).gather();
        let named = found.into_iter().map(|mut info| {
            info.link.vlan =
                info.vlan.and_then(|(below, id)| Some(VlanSpec { parent: names.get(&below)?.clone(), id }));
            (info.device, info.link)
        });
        Ok(named.gather())
    }

    /// Permanent addresses of global scope on devices other than loopback, as [`Observed::addresses`] says. What the
    /// kernel made itself of router advertisements is not permanent, and not ours.
    async fn addresses(
        &mut self,
        links: &BTreeMap<Device, Link>,
    ) -> Result<BTreeMap<AddressKey, AddressSpec>, OpError> {
        let names: BTreeMap<u32, &Device> = links.iter().map(|(name, link)| (link.index, name)).gather();
        let mut found: Vec<Address> = Vec::new();
        let take = |found: &mut Vec<Address>, message: &Message<'_>| {
            found.extend(codec::parse_address(message)?);
            Ok(())
        };
        let (kind, request) = (codec::GET_ADDRESS, codec::dump_addresses);
        self.channel.dump(kind, &mut found, request, take, Vec::clear).await?;
        let named = found.into_iter().filter_map(|Address { index, cidr, label }| {
            let device = names.get(&index).filter(|device| device.as_str() != codec::LOOPBACK)?;
            let label = label.filter(|label| label.as_str() != device.as_str());
            Some((AddressKey { device: (*device).clone(), cidr }, AddressSpec { label }))
        });
        Ok(named.gather())
    }

    /// Routes of the main table with protocol `static` and one next hop.
    async fn routes(&mut self) -> Result<BTreeMap<RouteKey, RouteSpec>, OpError> {
        let mut routes = BTreeMap::new();
        for family in [codec::INET, codec::INET6] {
            let take = |routes: &mut BTreeMap<_, _>, message: &Message<'_>| -> Result<(), Malformed> {
                routes.extend(codec::parse_route(message)?);
                Ok(())
            };
            let dumped = self
                .channel
                .dump(
                    codec::GET_ROUTE,
                    &mut routes,
                    |body| codec::dump_routes(body, family),
                    take,
                    |routes| routes.retain(|key: &RouteKey, _| codec::family(key.to.address()) != family),
                )
                .await;
            // A family that the kernel does not have, or a table without any route yet.
            unless(dumped, &[Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT, Errno::ENOENT])?;
        }
        Ok(routes)
    }

    /// One device.
    pub(crate) async fn link(&mut self, device: &Device) -> Result<LinkInfo, OpError> {
        let index = index(device)?;
        let mut found = None;
        let write = |body: &mut netlink::Body<'_>| codec::get_link(body, index);
        let take = |message: &Message<'_>| codec::parse_link(message).map(|info| found = info);
        self.channel.get(codec::GET_LINK, write, take).await?;
        found.ok_or_else(|| refuse(Errno::ENODEV, format!("{device}: no such device")))
    }

    /// Sets a device administratively up.
    pub(crate) async fn set_up(&mut self, device: &Device) -> Result<(), OpError> {
        let index = index(device)?;
        self.channel.request(codec::SET_LINK, 0, |body| codec::link_up(body, index)).await
    }

    /// Sets the largest packet size, in bytes.
    pub(crate) async fn set_mtu(&mut self, device: &Device, mtu: u32) -> Result<(), OpError> {
        let index = index(device)?;
        self.channel.request(codec::SET_LINK, 0, |body| codec::link_mtu(body, index, mtu)).await
    }

    /// Makes a VLAN device; one that is there already is success, whatever it is.
    pub(crate) async fn add_vlan(&mut self, device: &Device, spec: &VlanSpec) -> Result<(), OpError> {
        let below = index(&spec.parent)?;
        let write = |body: &mut netlink::Body<'_>| codec::add_vlan(body, device, below, spec.id);
        let added = self.channel.request(codec::NEW_LINK, codec::CREATE_NEW, write).await;
        unless(added, &[Errno::EEXIST])
    }

    /// Removes a VLAN device; one that is gone is success.
    pub(crate) async fn delete_vlan(&mut self, device: &Device) -> Result<(), OpError> {
        let index = match index(device) {
            Ok(index) => index,
            Err(error) => return unless(Err(error), &[Errno::ENODEV]),
        };
        let deleted = self.channel.request(codec::DELETE_LINK, 0, |body| codec::get_link(body, index)).await;
        unless(deleted, &[Errno::ENODEV])
    }

    /// Adds an address; one that is there already is success, whatever its label.
    pub(crate) async fn add_address(&mut self, key: &AddressKey, spec: &AddressSpec) -> Result<(), OpError> {
        let index = index(&key.device)?;
        let write = |body: &mut netlink::Body<'_>| codec::add_address(body, index, key, spec);
        let added = self.channel.request(codec::NEW_ADDRESS, codec::CREATE_NEW, write).await;
        unless(added, &[Errno::EEXIST])
    }

    /// Deletes an address; one that is gone, or whose device is, is success.
    pub(crate) async fn delete_address(&mut self, key: &AddressKey) -> Result<(), OpError> {
        const GONE: [Errno; 4] = [Errno::EADDRNOTAVAIL, Errno::ENODEV, Errno::ENOENT, Errno::ESRCH];
        let index = match index(&key.device) {
            Ok(index) => index,
            Err(error) => return unless(Err(error), &GONE),
        };
        let write = |body: &mut netlink::Body<'_>| codec::delete_address(body, index, key.cidr);
        let deleted = self.channel.request(codec::DELETE_ADDRESS, 0, write).await;
        unless(deleted, &GONE)
    }

    /// Adds a route or replaces the next hop of the one with this key.
    pub(crate) async fn set_route(&mut self, key: &RouteKey, spec: &RouteSpec) -> Result<(), OpError> {
        let write = |body: &mut netlink::Body<'_>| codec::set_route(body, key, spec);
        self.channel.request(codec::NEW_ROUTE, codec::CREATE_OR_REPLACE, write).await
    }

    /// Deletes a route; one that is gone is success.
    pub(crate) async fn delete_route(&mut self, key: &RouteKey) -> Result<(), OpError> {
        // The kernel takes metric 0 of an IPv4 route as "any": without this look it could delete another route.
        let any = key.metric == 0 && matches!(key.to.address(), IpAddr::V4(_));
        if any && !self.routes().await?.contains_key(key) {
            return Ok(());
        }
        let write = |body: &mut netlink::Body<'_>| codec::delete_route(body, key);
        let deleted = self.channel.request(codec::DELETE_ROUTE, 0, write).await;
        unless(deleted, &[Errno::ESRCH, Errno::ENOENT, Errno::ENODEV])
    }
}

/// The kernel's number of a device.
fn index(device: &Device) -> Result<u32, OpError> {
    nix::net::if_::if_nametoindex(device.as_str())
        .map_err(|errno| refuse(errno, format!("{device}: {}", errno.desc())))
}
