//! Whom to ask what.

use super::{Case, Finding, Kind, LOOKS_MAX, Look, Patient, Plan, Report};
use crate::health::beside;
use crate::model::config::{Config, Forward, Member, Node, Pool, Service};
use crate::model::ipvs::TunnelKind;
use crate::model::{Cidr, Name};
use crate::plan::Observed;
use crate::plan::desired::{asked_port, dest_port, device_of, keys};
use crate::plan::spec::ServiceKey;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// What the director knows about itself.
#[derive(Clone, Copy, Debug)]
pub struct Box<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// This node of it.
    pub node: &'a Node,
    /// The other node of the pair.
    pub peer: Option<&'a Node>,
    /// Whether this box holds the floating addresses.
    pub active: bool,
    /// The kernel's state.
    pub observed: &'a Observed,
}

/// The examination of one service, or of all and of the box's own addresses.
#[must_use]
pub fn plan(of: Box<'_>, only: Option<&Name>) -> Plan {
    let mut making =
        Making { of, plan: Plan::default(), looks: BTreeSet::new(), done: BTreeSet::new(), cut: 0 };
    making.plan.own = of.observed.links.values().map(|link| link.mac).filter(|mac| *mac != [0; 6]).collect();
    if only.is_none() {
        making.own_addresses();
    }
    for (name, service) in &of.config.services {
        if only.is_none_or(|only| only == name) {
            making.service(service);
        }
    }
    if making.cut > 0 {
        let text = format!("{} looks beyond the first {LOOKS_MAX} were left out: name a service", making.cut);
        making.plan.report.notes.push(text);
    }
    making.plan
}

struct Making<'a> {
    of: Box<'a>,
    plan: Plan,
    looks: BTreeSet<Look>,
    /// Servers and addresses that had their turn, in the words of the turn.
    done: BTreeSet<(&'static str, IpAddr, Option<IpAddr>)>,
    cut: usize,
}

impl<'a> Making<'a> {
    fn look(&mut self, look: &Look) {
        if self.looks.contains(look) {
            return;
        }
        if self.plan.looks.len() >= LOOKS_MAX {
            self.cut = self.cut.saturating_add(1);
            return;
        }
        self.looks.insert(look.clone());
        self.plan.looks.push(look.clone());
    }

    fn once(&mut self, what: &'static str, whom: IpAddr, about: Option<IpAddr>) -> bool {
        self.done.insert((what, whom, about))
    }

    fn note(&mut self, text: String) {
        let report: &mut Report = &mut self.plan.report;
        if !report.notes.contains(&text) {
            report.notes.push(text);
        }
    }

    fn own_addresses(&mut self) {
        let all: Vec<IpAddr> = self.of.node.addresses.values().flatten().map(|cidr| cidr.address()).collect();
        for address in all {
            self.ours(address, address, false);
        }
        let floating: Vec<IpAddr> =
            self.of.config.floating.values().filter_map(|f| Some(f.address?.address())).collect();
        for address in floating {
            self.floating(address);
        }
    }

    /// A floating address, which a standby box leaves to its peer.
    fn floating(&mut self, address: IpAddr) {
        let of = self.of;
        let held = of.config.floating.values().find(|f| f.address.is_some_and(|c| c.address() == address));
        let on = held.and_then(|f| f.interface.as_ref());
        let same = |cidr: &&Cidr| cidr.address().is_ipv4() == address.is_ipv4();
        let own = on.and_then(|role| of.node.addresses.get(role)?.iter().find(same));
        if let Some(own) = own {
            self.ours(own.address(), address, !of.active);
        }
    }

    fn ours(&mut self, own: IpAddr, address: IpAddr, peer_may: bool) {
        if !self.once("ours", address, None) {
            return;
        }
        let of = self.of;
        let near = |cidr: &&Cidr| cidr.network().contains(own);
        let peer = of.peer.and_then(|peer| peer.addresses.values().flatten().find(near));
        let peer = peer.map(|cidr| Look::Claims { own, address: cidr.address() });
        let look = Look::Claims { own, address };
        self.look(&look);
        if let Some(peer) = &peer {
            self.look(peer);
        }
        self.plan.cases.push(Case::Ours { look, address, peer, peer_may });
    }

    fn service(&mut self, service: &Service) {
        let of = self.of;
        let Some(pool) = service.pool.as_ref().and_then(|name| of.config.pools.get(name)) else { return };
        let mark = service.special.mark.as_ref().and_then(|name| of.config.kernel.marks.get(name));
        let names: &[Name] = mark.map_or(&service.addresses, |mark| &mark.addresses);
        let virtuals: Vec<IpAddr> =
            names.iter().filter_map(|name| Some(of.config.floating.get(name)?.address?.address())).collect();
        for address in &virtuals {
            self.floating(*address);
        }
        for key in keys(of.config, service) {
            for (name, member) in &pool.servers {
                let Some(address) = of.config.real_servers.get(name).and_then(|rs| rs.address) else {
                    continue;
                };
                let port = match dest_port(pool, member, &key) {
                    0 => asked_port(of.config, service, &key),
                    port => port,
                };
                self.server((name, address, port), (pool, member), &virtuals_of(&key, &virtuals));
            }
        }
    }

    fn server(
        &mut self,
        (name, address, port): (&Name, IpAddr, u16),
        (pool, member): (&Pool, &Member),
        virtuals: &[IpAddr],
    ) {
        let forward = pool.forward_of(member);
        self.size((name, address), pool, member);
        let Some(own) = beside(self.of.node, address) else {
            if forward != Forward::Tunnel {
                self.subnet(name, address, forward);
            }
            return;
        };
        let patient = Patient { name: name.clone(), address, port, own };
        if self.once("own", address, None) {
            self.look(&patient.claims());
            self.plan.cases.push(Case::Own(patient.clone()));
        }
        match forward {
            Forward::Nat => self.gateway(patient, virtuals),
            Forward::Direct => {
                for address in virtuals.iter().filter(|a| a.is_ipv4() == patient.address.is_ipv4()) {
                    self.virtual_address(&patient, *address);
                }
            }
            Forward::Tunnel => {}
        }
    }

    fn subnet(&mut self, name: &Name, address: IpAddr, forward: Forward) {
        if !self.once("subnet", address, None) {
            return;
        }
        // An interface that is lent its address may be in any network.
        if self.of.config.interfaces.values().any(|interface| interface.dhcp) {
            return self
                .note(format!("server {name} ({address}) is not looked at: it is in no configured network"));
        }
        let (text, fix) = match forward {
            Forward::Direct | Forward::Tunnel => (
                format!(
                    "server {name} ({address}) is in no network of this box: direct routing delivers by hardware address"
                ),
                String::from("give the server and this box addresses in one network, or use forward tunnel"),
            ),
            Forward::Nat => (
                format!(
                    "server {name} ({address}) is in no network of this box: its answers come back through it only \
                     when every router on the way sends them here"
                ),
                String::from(
                    "put the server into a network of this box with this box as its default gateway, or use forward tunnel",
                ),
            ),
        };
        let (server, address) = (Some(name.clone()), Some(address));
        self.plan.report.findings.push(Finding { kind: Kind::Subnet, server, address, mac: None, text, fix });
    }

    fn gateway(&mut self, patient: Patient, virtuals: &[IpAddr]) {
        if !self.once("gateway", patient.address, None) {
            return;
        }
        let of = self.of;
        if !of.active {
            return self.note(String::from(
                "default gateways of servers are looked at on the active box only: they point to it",
            ));
        }
        let network = of.node.addresses.values().flatten().find(|cidr| cidr.address() == patient.own);
        let Some(network) = network.map(|cidr| cidr.network()) else { return };
        let fits = |a: &IpAddr| a.is_ipv4() == patient.address.is_ipv4() && !network.contains(*a);
        let own = of.node.addresses.values().flatten().map(|cidr| cidr.address());
        let Some(source) = own.chain(virtuals.iter().copied()).find(fits) else {
            let text = "this box has no address outside its network to ask it from";
            return self
                .note(format!("the default gateway of server {} is not looked at: {text}", patient.name));
        };
        let floating = of.config.floating.values().filter_map(|f| Some(f.address?.address()));
        let gateway = floating.into_iter().find(|a| network.contains(*a)).unwrap_or(patient.own);
        let target = SocketAddr::new(patient.address, patient.port);
        let outside = Look::Handshake { own: patient.own, at: patient.address, source, target };
        self.look(&patient.alive());
        self.look(&outside);
        self.plan.cases.push(Case::Gateway { patient, outside, gateway });
    }

    fn virtual_address(&mut self, patient: &Patient, address: IpAddr) {
        if !self.once("virtual", patient.address, Some(address)) {
            return;
        }
        let target = SocketAddr::new(address, patient.port);
        let look = Look::Handshake { own: patient.own, at: patient.address, source: patient.own, target };
        self.look(&patient.alive());
        self.look(&look);
        self.plan.cases.push(Case::Virtual { patient: patient.clone(), look, address });
    }

    fn size(&mut self, (name, target): (&Name, IpAddr), pool: &Pool, member: &Member) {
        if !self.once("size", target, None) {
            return;
        }
        let of = self.of;
        let on = |(_, cidrs): &(&Name, &heapless::Vec<Cidr, { crate::model::limits::NODE_ADDRESSES }>)| {
            cidrs.iter().any(|cidr| cidr.network().contains(target))
        };
        let role = of.node.addresses.iter().find(on).map(|(role, _)| role);
        let near = role.and_then(|role| device_of(of.config, role));
        // Behind a router: the first device that has a route decides, and all are as large as the smallest is safe.
        let sizes = match near {
            Some(device) => of.observed.links.get(device).map(|link| link.mtu),
            None => of.observed.links.values().filter(|l| l.up && l.mac != [0; 6]).map(|l| l.mtu).min(),
        };
        let Some(most) = sizes.and_then(|mtu| u16::try_from(mtu).ok()) else { return };
        let over = match (pool.forward_of(member), pool.tunnel_of(member).kind) {
            (Forward::Tunnel, TunnelKind::Ipip) => 20,
            (Forward::Tunnel, TunnelKind::Gue) => 32,
            (Forward::Tunnel, TunnelKind::Gre) => 24,
            (Forward::Nat | Forward::Direct, _) => 0,
        };
        let look = Look::Size { target, most };
        self.look(&look);
        self.plan.cases.push(Case::Size { name: name.clone(), look, most, over });
    }
}

/// The virtual addresses that a key stands for.
fn virtuals_of(key: &ServiceKey, all: &[IpAddr]) -> Vec<IpAddr> {
    match key {
        ServiceKey::Address { address, .. } => Vec::from([*address]),
        ServiceKey::Mark { .. } => all.to_vec(),
    }
}
