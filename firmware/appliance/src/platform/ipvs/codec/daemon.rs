//! Sync daemons (`IPVS_DAEMON_ATTR_*`). The port is in the machine's byte order, unlike those of servers.

use super::super::super::netlink::{Attribute, Body, Malformed};
use super::DAEMON;
use director_core::model::Device;
use director_core::plan::{DaemonRole, DaemonSpec};
use std::net::IpAddr;

const STATE: u16 = 1;
const INTERFACE: u16 = 2;
const ID: u16 = 3;
const MAX_LENGTH: u16 = 4;
const GROUP: u16 = 5;
const GROUP6: u16 = 6;
const PORT: u16 = 7;
const TTL: u16 = 8;
/// `IP_VS_STATE_MASTER`, `IP_VS_STATE_BACKUP`.
const MASTER: u32 = 1;
const BACKUP: u32 = 2;

const fn state(role: DaemonRole) -> u32 {
    match role {
        DaemonRole::Master => MASTER,
        DaemonRole::Backup => BACKUP,
    }
}

pub(super) fn write_start(body: &mut Body<'_>, role: DaemonRole, spec: &DaemonSpec) {
    body.nest(DAEMON, |nest| {
        nest.u32(STATE, state(role));
        nest.text(INTERFACE, spec.device.as_str());
        nest.u32(ID, u32::from(spec.id));
        nest.u16(MAX_LENGTH, spec.max_length);
        match spec.group {
            IpAddr::V4(group) => nest.attr(GROUP, &group.octets()),
            IpAddr::V6(group) => nest.attr(GROUP6, &group.octets()),
        }
        nest.u16(PORT, spec.port);
        nest.u8(TTL, spec.ttl);
    });
}

pub(super) fn write_stop(body: &mut Body<'_>, role: DaemonRole) {
    body.nest(DAEMON, |nest| nest.u32(STATE, state(role)));
}

/// `None` for one that we could not have started.
pub(super) fn parse(nest: &Attribute<'_>) -> Result<Option<(DaemonRole, DaemonSpec)>, Malformed> {
    let (mut role, mut device, mut id, mut max_length) = (None, "", 0, 0);
    let (mut group, mut port, mut ttl) = (None, 0, 0);
    for attribute in nest.nested() {
        let attribute = attribute?;
        match attribute.kind {
            STATE => {
                role = match attribute.u32()? {
                    MASTER => Some(DaemonRole::Master),
                    BACKUP => Some(DaemonRole::Backup),
                    _ => None,
                };
            }
            INTERFACE => device = attribute.text()?,
            ID => id = attribute.u32()?,
            MAX_LENGTH => max_length = attribute.u16()?,
            GROUP => group = attribute.value.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
            GROUP6 => group = attribute.value.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
            PORT => port = attribute.u16()?,
            TTL => ttl = *attribute.value.first().ok_or(Malformed)?,
            _ => {}
        }
    }
    let (Some(role), Some(group), Ok(device), Ok(id)) =
        (role, group, device.parse::<Device>(), u8::try_from(id))
    else {
        return Ok(None);
    };
    Ok(Some((role, DaemonSpec { device, id, group, port, ttl, max_length })))
}
