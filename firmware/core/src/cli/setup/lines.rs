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
        for answer in &self.answers {
            let text = &answer.text;
            match answer.step {
                Step::Hostname => lines.push(format!("set node primary hostname {text}")),
                Step::Public => lines.push(format!("set interface public device {text}")),
                Step::PublicAddress => {
                    lines.push(format!("set node primary interface public address {text}"));
                }
                Step::Gateway => lines.extend(gateway(text)),
                Step::Forward => lines.push(format!("set pool web forward {text}")),
                Step::Private => lines.push(format!("set interface private device {text}")),
                Step::PrivateAddress => lines.extend(self.private(text)),
                Step::NatRouter => {
                    lines.push(format!("set floating nat-router address {text} interface private"));
                }
                Step::Virtual => lines.push(format!("set floating vs1 address {text} interface public")),
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
                    }
                }
            }
        }
        lines
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
        let outside = if self.answer(Step::Forward) == Some("nat") {
            format!("On each real server: default route via {}.", address(Step::NatRouter))
        } else {
            format!(
                "On each real server: address {} on the device lo, and net.ipv4.conf.all.arp_ignore=1 and \
                 arp_announce=2, so that it takes packets for it and does not answer ARP. \
                 \"doctor\" finds the one that does otherwise.",
                address(Step::Virtual)
            )
        };
        let (protocol, port) = self.service();
        Vec::from([
            outside,
            "\"show realserver-setup web\" prints what to type there; with the word windows or freebsd for those."
                .to_string(),
            format!(
                "Clients use {} {protocol} port {port}. \"show services\" and \"show servers\" tell how it goes, \
                 \"show alarms\" what is wrong; \"configure\" changes it.",
                address(Step::Virtual)
            ),
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
