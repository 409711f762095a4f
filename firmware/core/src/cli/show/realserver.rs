//! `show realserver-setup`: what to type on the real servers of a service, made of the running configuration. Servers
//! that need the same are shown together.
//!
//! - nat: the default route leads through the director, by an address that moves with the active box where there is one.
//! - direct: the server has the virtual address and never says so (`arp_ignore`, `arp_announce` of ip-sysctl; IPv6
//!   answers only for addresses of the interface that was asked).
//! - tunnel: the same, and the device that unwraps what comes.

use super::words::wrap;
use crate::cli::json::Json;
use crate::model::config::{Config, Forward, Service};
use crate::model::ipvs::{Checksum, Tunnel, TunnelKind};
use crate::model::{Cidr, Name};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

/// What runs on the real servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum System {
    Linux,
    Windows,
    FreeBsd,
}

impl System {
    /// All, as typed, with their help.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Linux, "linux", "A shell on Linux, as root"),
        (Self::Windows, "windows", "An elevated command prompt on Windows"),
        (Self::FreeBsd, "freebsd", "A shell on FreeBSD, as root"),
    ];
}

/// What some of the servers need.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    /// Names and addresses.
    pub(crate) servers: Vec<String>,
    /// Lines to type; `#` or `rem` begin a remark.
    pub(crate) lines: Vec<String>,
}

/// A server of the service, and what surrounds it.
struct Server<'a> {
    config: &'a Config,
    service: &'a Service,
    virtuals: &'a [IpAddr],
    address: IpAddr,
    forward: Forward,
    tunnel: Tunnel,
}

/// The parts of a service, or why there are none.
pub(crate) fn parts(config: &Config, name: &str, system: System) -> Result<Vec<Part>, String> {
    let found = config.services.iter().find(|(service, _)| service.as_str() == name);
    let (_, service) = found.ok_or_else(|| {
        let names: Vec<&str> = config.services.keys().map(Name::as_str).collect();
        super::absent("service", name, &names)
    })?;
    let pool = service.pool.as_ref().and_then(|pool| config.pools.get(pool));
    let pool = pool.ok_or_else(|| format!("service {name} has no pool"))?;
    let mark = service.special.mark.as_ref().and_then(|mark| config.kernel.marks.get(mark));
    let names = mark.map_or(&service.addresses, |mark| &mark.addresses);
    let address = |name: &Name| Some(config.floating.get(name)?.address?.address());
    let virtuals: Vec<IpAddr> = names.iter().filter_map(address).collect();
    let members = pool.servers.iter().map(|(server, m)| (server, pool.forward_of(m), pool.tunnel_of(m)));
    // It answers by the pool's method when no other does.
    let sorry = pool.shortage.sorry_server.iter().map(|server| (server, pool.forward, pool.tunnel));
    let mut parts: Vec<Part> = Vec::new();
    for (server, forward, tunnel) in members.chain(sorry) {
        let Some(address) = config.real_servers.get(server).and_then(|s| s.address) else { continue };
        let at = Server { config, service, virtuals: &virtuals, address, forward, tunnel };
        let lines = match system {
            _ if forward == Forward::Direct && at.virtuals_of().next().is_none() => {
                Vec::from([text("# Nothing: the service has no address of this family.")])
            }
            System::Linux => at.linux(),
            System::Windows => at.windows(),
            System::FreeBsd => at.freebsd(),
        };
        let title = format!("{server} {address}");
        match parts.iter_mut().find(|part| part.lines == lines) {
            Some(part) if part.servers.contains(&title) => {}
            Some(part) => part.servers.push(title),
            None => parts.push(Part { servers: Vec::from([title]), lines }),
        }
    }
    if parts.is_empty() { Err(format!("service {name} has no servers")) } else { Ok(parts) }
}

/// The parts as one text that can be pasted: what is for people stands in remarks.
pub(crate) fn lines(parts: &[Part], system: System, width: usize) -> Vec<String> {
    let remark = if system == System::Windows { "rem" } else { "#" };
    let mut out = Vec::new();
    for part in parts {
        if !out.is_empty() {
            out.push(String::new());
        }
        let room = width.saturating_sub(remark.len().saturating_add(2));
        let title = format!("On {}:", part.servers.join(", "));
        out.extend(wrap(&title, room, 2).into_iter().map(|line| format!("{remark} {line}")));
        for line in &part.lines {
            match line.strip_prefix("# ") {
                // A remark.
                Some(text) => {
                    out.extend(wrap(text, room, 0).into_iter().map(|line| format!("{remark} {line}")));
                }
                None => out.push(line.clone()),
            }
        }
    }
    out
}

pub(crate) fn json(parts: &[Part]) -> String {
    let mut json = Json::new();
    json.array(|json| {
        for part in parts {
            json.object(|json| {
                for (key, list) in [("servers", &part.servers), ("lines", &part.lines)] {
                    json.key(key);
                    json.array(|json| list.iter().for_each(|text| json.string(text)));
                }
            });
        }
    });
    json.finish()
}

/// The destination of a default route.
fn everything(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "0.0.0.0/0" } else { "::/0" }
}

fn text(line: &str) -> String {
    line.to_string()
}

impl Server<'_> {
    /// Own addresses of both boxes in the server's network.
    fn directors(&self) -> impl Iterator<Item = Cidr> + '_ {
        let nodes = [Some(&self.config.primary), self.config.backup.as_ref()];
        let addresses = nodes.into_iter().flatten().flat_map(|node| node.addresses.values().flatten());
        addresses.copied().filter(|cidr| cidr.contains(self.address))
    }

    /// The address of the director that leads to the clients, and whether it moves with the active box.
    fn gateway(&self) -> Option<(IpAddr, bool)> {
        let floating = self.config.floating.values().filter_map(|f| f.address);
        let near = floating.filter(|c| c.contains(self.address)).map(Cidr::address);
        // One of its own rather than one that clients use.
        let best = near.min_by_key(|address| self.virtuals.contains(address));
        best.map(|address| (address, true)).or_else(|| Some((self.directors().next()?.address(), false)))
    }

    /// Lines of nat, given how a default route is written.
    fn nat(&self, route: impl Fn(IpAddr) -> String) -> Vec<String> {
        if self.service.special.source_nat == crate::model::ipvs::SourceNat::All {
            return Vec::from([text("# Nothing: source-nat all makes the answers come back by themselves.")]);
        }
        let Some((gateway, moves)) = self.gateway() else {
            return Vec::from([format!(
                "# Its default route must lead through the director, which has no address in the network of {}.",
                self.address
            )]);
        };
        let mut out = Vec::new();
        if !moves {
            out.push(format!(
                "# {gateway} stays with one box: when it fails nobody answers. A floating address would move."
            ));
        }
        out.push(route(gateway));
        let beside = |cidr: Cidr| self.virtuals.iter().any(|virtual_address| cidr.contains(*virtual_address));
        if self.directors().any(beside) {
            out.push(text(
                "# Clients and servers share a network here: an answer that does not need the gateway goes past the \
                 director. Give the servers no route to the clients but this one, or set source-nat hairpin.",
            ));
        }
        out
    }

    /// The virtual addresses that reach the server: only tunnels join two families.
    fn virtuals_of(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let any = self.forward == Forward::Tunnel;
        self.virtuals.iter().copied().filter(move |a| any || a.is_ipv4() == self.address.is_ipv4())
    }

    fn linux(&self) -> Vec<String> {
        let mut out = match self.forward {
            Forward::Nat => {
                return self.nat(|gateway| format!("ip route replace {} via {gateway}", everything(gateway)));
            }
            Forward::Direct => Vec::new(),
            Forward::Tunnel => self.linux_tunnel(),
        };
        if self.virtuals_of().any(|address| address.is_ipv4()) {
            out.push(text("sysctl -w net.ipv4.conf.all.arp_ignore=1"));
            out.push(text("sysctl -w net.ipv4.conf.all.arp_announce=2"));
        }
        for address in self.virtuals_of() {
            out.push(match address {
                IpAddr::V4(_) => format!("ip address add {address}/32 dev lo"),
                // Deprecated at once, so that nothing the server begins comes from it.
                IpAddr::V6(_) => format!("ip address add {address}/128 dev lo preferred_lft 0"),
            });
        }
        out.push(text(KEEP_LINUX));
        out
    }

    fn linux_tunnel(&self) -> Vec<String> {
        let mut out = Vec::new();
        let outer6 = self.address.is_ipv6();
        let six = if outer6 { "6" } else { "" };
        let mut devices: Vec<&str> = Vec::new();
        if self.tunnel.kind == TunnelKind::Gre {
            out.push(text(if outer6 { "modprobe ip6_gre" } else { "modprobe ip_gre" }));
            let checksum = if self.tunnel.checksum == Checksum::Off { "" } else { " icsum" };
            let address = self.address;
            let kind = if outer6 { "ip6gre" } else { "gre" };
            out.push(format!("ip link add name director type {kind} local {address}{checksum}"));
            devices.push("director");
        } else {
            for inner in self.virtuals_of() {
                let (module, device) = match (outer6, inner.is_ipv6()) {
                    (true, _) => ("ip6_tunnel", "ip6tnl0"),
                    (false, true) => ("sit", "sit0"),
                    (false, false) => ("ipip", "tunl0"),
                };
                if !devices.contains(&device) {
                    out.push(format!("modprobe {module}"));
                    devices.push(device);
                }
            }
        }
        if let (TunnelKind::Gue, Some(port)) = (self.tunnel.kind, self.tunnel.port) {
            out.push(format!("modprobe fou{six}"));
            let family = if outer6 { "-6 " } else { "" };
            out.push(format!("ip {family}fou add port {port} gue"));
        }
        for device in devices {
            out.push(format!("ip link set {device} up"));
            // What is unwrapped comes from clients, whose route is another device.
            out.push(format!("sysctl -w net.ipv4.conf.{device}.rp_filter=2"));
        }
        out
    }

    fn windows(&self) -> Vec<String> {
        match self.forward {
            Forward::Nat => self.nat(|gateway| match gateway {
                IpAddr::V4(_) => format!("route -p add 0.0.0.0 mask 0.0.0.0 {gateway}"),
                IpAddr::V6(_) => format!("netsh interface ipv6 add route ::/0 \"net\" {gateway}"),
            }),
            Forward::Tunnel => Vec::from([text(
                "# Windows does not unwrap these tunnels: use direct or nat for this server.",
            )]),
            Forward::Direct => {
                let mut out = Vec::from([text(
                    "# First add the Microsoft KM-TEST Loopback Adapter (hdwwiz) and name it loopback; name the network \
                     card net.",
                )]);
                for address in self.virtuals_of() {
                    let (family, add) = match address {
                        IpAddr::V4(_) => ("ipv4", format!("{address} 255.255.255.255")),
                        IpAddr::V6(_) => ("ipv6", format!("{address}/128")),
                    };
                    out.push(format!("netsh interface {family} add address \"loopback\" {add}"));
                    for (adapter, weak) in [("net", "receive"), ("loopback", "receive"), ("loopback", "send")]
                    {
                        let line = format!(
                            "netsh interface {family} set interface \"{adapter}\" weakhost{weak}=enabled"
                        );
                        if !out.contains(&line) {
                            out.push(line);
                        }
                    }
                }
                out
            }
        }
    }

    fn freebsd(&self) -> Vec<String> {
        let mut out = match (self.forward, self.tunnel.kind) {
            (Forward::Nat, _) => {
                return self.nat(|gateway| {
                    let (family, variable) = match gateway {
                        IpAddr::V4(_) => ("-inet", "defaultrouter"),
                        IpAddr::V6(_) => ("-inet6", "ipv6_defaultrouter"),
                    };
                    format!("sysrc {variable}={gateway}; route {family} change default {gateway} || route {family} add default {gateway}")
                });
            }
            (Forward::Direct, _) => Vec::new(),
            (Forward::Tunnel, TunnelKind::Gue) => {
                return Vec::from([text(
                    "# FreeBSD does not unwrap gue: use tunnel type ipip or gre, direct, or nat for this server.",
                )]);
            }
            (Forward::Tunnel, kind) => self.freebsd_tunnels(kind),
        };
        for (n, address) in self.virtuals_of().enumerate() {
            let line = match address {
                IpAddr::V4(_) => format!("inet {address} netmask 255.255.255.255"),
                IpAddr::V6(_) => format!("inet6 {address} prefixlen 128"),
            };
            out.push(format!("sysrc ifconfig_lo0_alias{n}=\"{line}\"; ifconfig lo0 {line} alias"));
        }
        out
    }

    /// One device for each box: FreeBSD's tunnels know their other end.
    fn freebsd_tunnels(&self, kind: TunnelKind) -> Vec<String> {
        let device = if kind == TunnelKind::Gre { "gre" } else { "gif" };
        let family = if self.address.is_ipv6() { "inet6 " } else { "" };
        let mut out: Vec<String> = self
            .directors()
            .enumerate()
            .map(|(n, director)| {
                let (own, far) = (self.address, director.address());
                format!("ifconfig {device}{n} create; ifconfig {device}{n} {family}tunnel {own} {far} up")
            })
            .collect();
        if out.is_empty() {
            out.push(format!(
                "# The director has no address in the network of {}: make a {device} device to the one that it sends from.",
                self.address
            ));
        }
        out
    }
}

/// What follows the lines that change Linux only until it is started again.
const KEEP_LINUX: &str = "# Until the next boot: /etc/sysctl.d and the network configuration keep it.";

#[cfg(test)]
mod tests;
