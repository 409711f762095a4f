//! DHCP clients of the interfaces that ask for an address: one for each, made and dropped with the configuration and the card.

use super::Director;
use super::event::{Effect, Level};
use crate::dhcp::{Client, Lease, Output, State};
use crate::gather::Gather as _;
use crate::model::{Device, Mono};
use crate::plan::bind::bound;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

/// All clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases {
    clients: BTreeMap<Device, Client>,
    /// Leases of an earlier process whose interface was not seen yet.
    resumed: BTreeMap<Device, Lease>,
}

impl Leases {
    pub(super) fn resumed(leases: BTreeMap<Device, Lease>) -> Self {
        Self { clients: BTreeMap::new(), resumed: leases }
    }

    /// What a device was lent.
    pub(super) fn lease(&self, device: &Device) -> Option<Lease> {
        self.clients.get(device).and_then(Client::lease).copied()
    }

    /// What the client of a device is doing.
    pub(super) fn state(&self, device: &Device) -> Option<State> {
        self.clients.get(device).map(Client::state)
    }

    /// For the checkpoint.
    pub(super) fn all(&self) -> BTreeMap<Device, Lease> {
        let held = self.clients.iter().filter_map(|(d, c)| Some((d.clone(), *c.lease()?)));
        self.resumed.clone().into_iter().chain(held).gather()
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.clients.values().filter_map(Client::next_deadline).min()
    }
}

impl Director {
    /// Makes the clients what configuration and cards ask for, and tells them of their links. Before every plan.
    pub(super) fn lend(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let Some(observed) = self.reconcile.observed() else { return };
        let config = bound(&self.config, self.node(), &observed.links);
        let wanted: BTreeMap<Device, (crate::wire::Mac, bool)> = config
            .interfaces
            .values()
            .filter(|interface| interface.dhcp)
            .filter_map(|interface| {
                let device = interface.device.as_ref()?;
                let link = observed.links.get(device).filter(|link| link.mac != [0; 6])?;
                Some((device.clone(), (link.mac, link.up && link.carrier)))
            })
            .gather();
        let hostname = self.node().hostname.as_ref().map(ToString::to_string);
        let devices: BTreeSet<Device> = wanted.keys().cloned().gather();
        let before: BTreeSet<Device> = self.leases.clients.keys().cloned().gather();
        if devices != before {
            out.push(Effect::DhcpListen(devices));
        }
        let clients = &mut self.leases.clients;
        clients.retain(|device, client| wanted.get(device).is_some_and(|(mac, _)| *mac == client.mac()));
        for (device, (mac, up)) in wanted {
            let mut outputs = Vec::new();
            let resumed = &mut self.leases.resumed;
            let boots = u64::from(self.start.boots);
            let client = self.leases.clients.entry(device.clone()).or_insert_with(|| {
                let [a, b, c, d, e, f] = mac;
                let seed = u64::from_be_bytes([a, b, c, d, e, f, 0, 0]) ^ boots ^ now.micros();
                let lease = resumed.remove(&device);
                let mut client = Client::new(mac, hostname.clone(), seed, lease, now);
                if up && client.lease().is_some() {
                    client.resume(now, &mut outputs);
                }
                client
            });
            client.link(up, now, &mut outputs);
            self.lent(&device, outputs, false, out);
        }
    }

    /// A server said something.
    pub(super) fn on_dhcp(&mut self, device: &Device, message: &[u8], now: Mono, out: &mut Vec<Effect>) {
        let mut outputs = Vec::new();
        if let Some(client) = self.leases.clients.get_mut(device) {
            client.heard(message, now, &mut outputs);
        }
        self.lent(device, outputs, true, out);
    }

    pub(super) fn leases_due(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let devices: Vec<Device> = self.leases.clients.keys().cloned().collect();
        for device in devices {
            let mut outputs = Vec::new();
            if let Some(client) = self.leases.clients.get_mut(&device) {
                client.on_deadline(now, &mut outputs);
            }
            self.lent(&device, outputs, true, out);
        }
    }

    fn lent(&mut self, device: &Device, outputs: Vec<Output>, replan: bool, out: &mut Vec<Effect>) {
        let mut changed = false;
        for output in outputs {
            match output {
                Output::Send { message, from, to } => {
                    out.push(Effect::DhcpSend { device: device.clone(), message, from, to });
                }
                Output::Changed { words, address } => {
                    changed = true;
                    if address {
                        self.log(Level::Notice, format!("DHCP on {device}: {words}"), out);
                        if replan {
                            self.reconcile.desired_changed();
                        }
                    }
                }
            }
        }
        if changed {
            self.checkpoint(out);
        }
    }
}
