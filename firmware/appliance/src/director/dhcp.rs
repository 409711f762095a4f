//! Carries DHCP messages between the devices and the core.

use crate::platform::dhcp::{Port, unicast};
use crate::platform::kmsg::Log;
use director_core::director::{Event, Level};
use director_core::model::Device;
use socket2::Socket;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::rc::Rc;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Errors in a row after which a device is given up until its interface changes. One comes each time a link goes down.
const ERRORS_MAX: u32 = 64;

#[derive(Debug)]
struct Open {
    port: Rc<Port>,
    reader: AbortHandle,
    /// Keeps the client's port taken after a unicast.
    datagrams: Option<Socket>,
}

/// The devices that are listened on.
#[derive(Debug)]
pub(super) struct Dhcp {
    open: BTreeMap<Device, Open>,
    events: mpsc::Sender<Event>,
    log: Rc<Log>,
}

impl Dhcp {
    pub(super) fn new(log: Rc<Log>, events: mpsc::Sender<Event>) -> Self {
        Self { open: BTreeMap::new(), events, log }
    }

    /// Listens on these and no others. Must run inside the loop's local task set.
    pub(super) fn listen(&mut self, devices: &BTreeSet<Device>) {
        self.open.retain(|device, open| {
            let stays = devices.contains(device);
            if !stays {
                open.reader.abort();
            }
            stays
        });
        for device in devices {
            if self.open.contains_key(device) {
                continue;
            }
            match Port::open(device) {
                Ok(port) => {
                    let port = Rc::new(port);
                    let task = read(device.clone(), Rc::clone(&port), self.events.clone());
                    let reader = tokio::task::spawn_local(task).abort_handle();
                    self.open.insert(device.clone(), Open { port, reader, datagrams: None });
                }
                Err(error) => self.log.write(Level::Error, format_args!("DHCP on {device}: {error}")),
            }
        }
    }

    /// Sends a message. One that cannot be sent is lost, and the core asks again.
    pub(super) fn send(
        &mut self,
        device: &Device,
        message: &[u8],
        from: Option<Ipv4Addr>,
        to: Option<Ipv4Addr>,
    ) {
        let Some(open) = self.open.get_mut(device) else { return };
        let sent = match (from, to) {
            (Some(from), Some(to)) => {
                unicast(device, message, from, to).map(|socket| open.datagrams = Some(socket))
            }
            (from, _) => open.port.broadcast(message, from),
        };
        if let Err(error) = sent {
            self.log.write(Level::Info, format_args!("DHCP on {device}: not sent: {error}"));
        }
    }
}

async fn read(device: Device, port: Rc<Port>, events: mpsc::Sender<Event>) {
    let mut errors = 0_u32;
    while errors < ERRORS_MAX {
        match port.next().await {
            Ok(message) => {
                errors = 0;
                // No room: lost, as on any network.
                drop(events.try_send(Event::Dhcp { device: device.clone(), message }));
            }
            Err(_) => errors = errors.saturating_add(1),
        }
    }
}
