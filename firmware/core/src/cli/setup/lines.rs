//! From answers to `set` lines, and what is left to do outside the box.

use super::Setup;
use super::questions::{NONE, Step};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

impl Setup {
    /// The answers so far as lines; an answer that needs a later one gives its line with that one.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let network = self.network();
        for answer in &self.answers {
            let text = &answer.text;
            match answer.step {
                Step::Hostname => lines.push(format!("set node primary hostname {text}")),
                Step::Public => lines.push(format!("set interface {network} device {text}")),
                Step::PublicAddress => {
                    lines.push(format!("set node primary interface {network} address {text}"));
                }
                Step::Gateway => lines.extend(gateway(text)),
                Step::Forward => lines.push(format!("set pool web forward {text}")),
                Step::Private => lines.push(format!("set interface private device {text}")),
                Step::PrivateAddress => lines.extend(self.private(text)),
                Step::NatRouter => {
                    lines.push(format!("set floating nat-router address {text} interface private"));
                }
                Step::Virtual => lines.push(format!("set floating vs1 address {text} interface {network}")),
                Step::Service => {
                    let (protocol, port) = text.split_once(' ').unwrap_or(("tcp", text));
                    lines.push(format!("set service web address vs1 protocol {protocol} port {port}"));
                    lines.push("set service web pool web".to_string());
                }
                Step::Check => lines.push(format!("set pool web check {text}")),
                Step::Server(n) => {
                    if let Some((address, weight)) = text.split_once(' ') {
                        lines.push(format!("set real-server rs{n} address {address}"));
                        lines.push(format!("set pool web server rs{n} weight {weight}"));
                        lines.extend(self.virtually(n).map(ToString::to_string));
                    }
                }
            }
        }
        lines
    }

    /// Asks servers of direct routing for the virtual address: else one that lacks it would pass its check and lose its
    /// clients.
    fn virtually(&self, server: usize) -> Option<&'static str> {
        let asked = self.service().0 == "tcp" && self.answer(Step::Check) != Some(NONE);
        (server == 1 && self.direct() && asked).then_some("set pool web check-virtual on")
    }

    fn direct(&self) -> bool {
        self.answer(Step::Forward) == Some("direct")
    }

    /// The name of the clients' network, which is the only one of direct routing.
    fn network(&self) -> &'static str {
        if self.direct() { "lan" } else { "public" }
    }

    /// What the names in the lines stand for.
    pub(crate) fn names(&self) -> &'static str {
        if self.direct() {
            "lan is the network, vs1 the virtual address, rs1 and so on are the real servers, and web is their pool \
             and the service. Any other names would do."
        } else {
            "public and private are the two networks, vs1 is the virtual address, nat-router the servers' gateway, \
             rs1 and so on are the real servers, and web is their pool and the service; masquerade lets the servers \
             reach the clients' side. Any other names would do."
        }
    }

    fn private(&self, address: &str) -> Vec<String> {
        let Some(cidr) = self.cidr(Step::PrivateAddress) else { return Vec::new() };
        let family = if cidr.address().is_ipv4() { "ipv4" } else { "ipv6" };
        Vec::from([
            format!("set node primary interface private address {address}"),
            format!("set forwarding {family} on"),
            format!("set masquerade private source {} out public", cidr.network()),
        ])
    }

    /// What to do and to look at after the commit.
    pub(crate) fn afterwards(&self) -> Vec<String> {
        let address = |step| self.cidr(step).map(|cidr| cidr.address().to_string()).unwrap_or_default();
        let outside = if self.direct() {
            format!(
                "On each real server, in this order: net.ipv4.conf.all.arp_ignore=1 and arp_announce=2, so that it does \
                 not answer ARP for the virtual address, then {} on the device lo. Without it the server is down.",
                address(Step::Virtual)
            )
        } else {
            format!("On each real server: default route via {}.", address(Step::NatRouter))
        };
        let (protocol, port) = self.service();
        Vec::from([
            outside,
            "\"show realserver-setup web\" prints what to type there; with the word windows or freebsd for those. \
             \"doctor\" finds what is still wrong there."
                .to_string(),
            format!(
                "Clients use {} {protocol} port {port}. \"show services\" and \"show servers\" tell how it goes, \
                 \"show alarms\" what is wrong; \"configure\" changes it.",
                address(Step::Virtual)
            ),
            "For a second box that takes over when this one fails: \"help pair\".".to_string(),
        ])
    }
}

fn gateway(text: &str) -> Option<String> {
    if text == NONE {
        return None;
    }
    let all = if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) { "::/0" } else { "0.0.0.0/0" };
    Some(format!("set route {all} via {text}"))
}
