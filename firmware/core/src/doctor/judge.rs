//! What the answers mean.

use super::{Case, Finding, Kind, Look, Patient, Plan, Report, SMALL_BYTES, Seen};
use crate::model::Name;
use crate::wire::{DisplayMac, Mac};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

/// The report on a plan whose looks saw this. Looks without an answer, and answers without a look, count for nothing.
#[must_use]
pub fn judge(plan: Plan, seen: Vec<Seen>) -> Report {
    let Plan { looks, cases, report, own } = plan;
    let taken = u32::try_from(seen.len().min(looks.len())).unwrap_or(u32::MAX);
    let seen: BTreeMap<Look, Seen> = looks.into_iter().zip(seen).collect();
    let mut judge = Judge { seen, own, machines: BTreeMap::new(), report: Report { looks: taken, ..report } };
    for case in &cases {
        if let Case::Own(patient) = case {
            judge.meet(patient);
        }
    }
    for case in &cases {
        judge.case(case);
    }
    judge.failures();
    let Judge { mut report, .. } = judge;
    report.findings.sort();
    report.findings.dedup();
    report
}

struct Judge {
    seen: BTreeMap<Look, Seen>,
    own: Vec<Mac>,
    /// Servers by hardware address.
    machines: BTreeMap<Mac, (Name, IpAddr)>,
    report: Report,
}

impl Judge {
    fn claims(&self, look: &Look) -> Vec<Mac> {
        match self.seen.get(look) {
            Some(Seen::Claims(all)) => all.iter().filter(|mac| !self.own.contains(mac)).copied().collect(),
            Some(_) | None => Vec::new(),
        }
    }

    fn meet(&mut self, patient: &Patient) {
        for mac in self.claims(&patient.claims()) {
            self.machines.insert(mac, (patient.name.clone(), patient.address));
        }
    }

    fn answers(&self, look: &Look) -> bool {
        matches!(self.seen.get(look), Some(Seen::Connected | Seen::Refused))
    }

    fn find(&mut self, kind: Kind, server: &Name, address: IpAddr, text: String, fix: String) {
        let (server, address) = (Some(server.clone()), Some(address));
        self.report.findings.push(Finding { kind, server, address, mac: None, text, fix });
    }

    fn case(&mut self, case: &Case) {
        match case {
            Case::Own(patient) => self.own_address(patient),
            Case::Gateway { patient, outside, gateway } => self.gateway(patient, outside, *gateway),
            Case::Virtual { patient, look, address } => self.virtual_address(patient, look, *address),
            Case::Ours { look, address, peer, peer_may } => {
                self.ours(look, *address, peer.as_ref(), *peer_may);
            }
            Case::Size { name, look, most, over } => self.size(name, look, *most, *over),
        }
    }

    fn own_address(&mut self, patient: &Patient) {
        let (name, address) = (&patient.name, patient.address);
        let claims = self.claims(&patient.claims());
        let [first, second, ..] = claims[..] else { return };
        let text = format!(
            "two machines have the address {address} of server {name}: {} and {}",
            DisplayMac(first),
            DisplayMac(second)
        );
        let fix =
            format!("find the one that is not {name} by its hardware address, and give it another address");
        let (server, address, mac) = (Some(name.clone()), Some(address), Some(second));
        self.report.findings.push(Finding { kind: Kind::Duplicate, server, address, mac, text, fix });
    }

    fn gateway(&mut self, patient: &Patient, outside: &Look, gateway: IpAddr) {
        let Look::Handshake { source, .. } = outside else { return };
        let Patient { name, address, own, .. } = patient;
        if !self.answers(&patient.alive()) {
            return self.unreachable(patient);
        }
        if self.seen.get(outside) != Some(&Seen::Silent) {
            return;
        }
        let text = format!(
            "server {name} ({address}) does not answer through this box: asked from {own} it answers, asked from \
             {source}, which is outside its network, nothing comes back"
        );
        let fix = format!(
            "make {gateway} the default gateway of {name} (on Linux: ip route replace default via {gateway}), and \
             take away other routes to clients"
        );
        self.find(Kind::Gateway, name, *address, text, fix);
    }

    fn virtual_address(&mut self, patient: &Patient, look: &Look, address: IpAddr) {
        let Patient { name, address: server, port, .. } = patient;
        if self.seen.get(&patient.alive()) != Some(&Seen::Connected) {
            return self.unreachable(patient);
        }
        match self.seen.get(look) {
            Some(Seen::Silent) => {
                let text = format!(
                    "server {name} ({server}) does not take packets for the virtual address {address}: on port {port} \
                     its own address answers, the virtual one does not"
                );
                let length = if address.is_ipv4() { 32 } else { 128 };
                let fix = format!(
                    "on {name}, first keep ARP quiet (on Linux: sysctl -w net.ipv4.conf.all.arp_ignore=1 \
                     net.ipv4.conf.all.arp_announce=2), then give it the address on its loopback device (ip address \
                     add {address}/{length} dev lo); show realserver-setup has it whole"
                );
                self.find(Kind::NoAddress, name, address, text, fix);
            }
            Some(Seen::Refused) => {
                let text = format!(
                    "server {name} ({server}) refuses connections for the virtual address {address} on port {port}: \
                     its own address takes them"
                );
                let fix = format!("let the service on {name} listen on {address} too, or on all addresses");
                self.find(Kind::NotListening, name, address, text, fix);
            }
            Some(_) | None => {}
        }
    }

    /// Checks tell what is wrong with a server that does not answer; here nothing can be learned from it.
    fn unreachable(&mut self, patient: &Patient) {
        let text = format!(
            "server {} ({}) does not answer on port {}: it cannot be looked at",
            patient.name, patient.address, patient.port
        );
        if !self.report.notes.contains(&text) {
            self.report.notes.push(text);
        }
    }

    fn ours(&mut self, look: &Look, address: IpAddr, peer: Option<&Look>, peer_may: bool) {
        let peers = peer.map(|look| self.claims(look)).unwrap_or_default();
        for mac in self.claims(look) {
            let shown = DisplayMac(mac);
            let mac = Some(mac);
            let finding = if let Some((name, server)) = mac.and_then(|mac| self.machines.get(&mac)) {
                Finding {
                    kind: Kind::AnswersArp,
                    server: Some(name.clone()),
                    address: Some(address),
                    mac,
                    text: format!(
                        "server {name} ({server}) answers ARP for the virtual address {address} with {shown}: clients \
                         reach it past the director"
                    ),
                    fix: format!(
                        "on {name}, keep the address on the loopback device and say nothing of it (on Linux: sysctl -w \
                         net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2); who learned its address keeps it \
                         for some minutes"
                    ),
                }
            } else if mac.is_some_and(|mac| peers.contains(&mac)) {
                if peer_may {
                    continue;
                }
                Finding {
                    kind: Kind::Duplicate,
                    server: None,
                    address: Some(address),
                    mac,
                    text: format!("the other box of the pair ({shown}) has the address {address} too"),
                    fix: String::from("see show cluster on both: they do not hear each other"),
                }
            } else if peer_may && peers.is_empty() {
                // Perhaps the peer, whose own address does not answer.
                continue;
            } else {
                Finding {
                    kind: Kind::Duplicate,
                    server: None,
                    address: Some(address),
                    mac,
                    text: format!("another machine has the address {address} of this box: {shown}"),
                    fix: String::from("find it by its hardware address, and give it another address"),
                }
            };
            self.report.findings.push(finding);
        }
    }

    fn size(&mut self, name: &Name, look: &Look, most: u16, over: u16) {
        let (Look::Size { target, .. }, Some(Seen::Fits(fits))) = (look, self.seen.get(look)) else { return };
        let Some(fits) = *fits else {
            let text =
                format!("server {name} ({target}) answers no ping: the size of its packets is not looked at");
            return self.report.notes.push(text);
        };
        if fits >= most {
            return;
        }
        let tunnel = match over {
            0 => String::new(),
            over => format!(", of which its tunnel takes {over}"),
        };
        let text = format!(
            "packets of {most} bytes do not reach server {name} ({target}), and this box sends them; those of {fits} \
             bytes do{tunnel}"
        );
        let fix = if fits <= SMALL_BYTES {
            String::from("look for a link or a firewall on the way that drops large packets")
        } else {
            format!(
                "let the network on the way carry {most} bytes, or set the mtu of the interface to {fits}"
            )
        };
        let target = *target;
        self.find(Kind::Mtu, name, target, text, fix);
    }

    /// Says once what kept us from looking.
    fn failures(&mut self) {
        let failed = self.seen.values().filter_map(|seen| match seen {
            Seen::Failed(why) => Some(why.clone()),
            Seen::Claims(_)
            | Seen::Connected
            | Seen::Refused
            | Seen::Silent
            | Seen::Absent
            | Seen::Fits(_) => None,
        });
        let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
        for why in failed {
            let count = reasons.entry(why).or_default();
            *count = count.saturating_add(1);
        }
        let notes = reasons.into_iter().map(|(why, count)| match count {
            1 => format!("a look was not possible: {why}"),
            count => format!("{count} looks were not possible: {why}"),
        });
        self.report.notes.extend(notes);
    }
}
