//! How the pair watches itself, beside port, interval and dead time.

use super::choice::choices;
use super::limits;
use super::name::{Device, Name};
use super::text::Secret;
use super::time::Millis;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

choices! {
    /// What makes a silent peer dead.
    Detection {
        DeadTime "dead-time" "Silence for the dead time",
        #[default]
        Probe "probe" "A late heartbeat starts urgent questions; none answered",
    }

    /// When the node with the higher priority takes over again.
    Failback {
        #[default]
        Automatic "automatic" "As soon as it is ready",
        Manual "manual" "Only on command",
        Delayed "delayed" "After failback-delay",
    }

    /// How heartbeats travel.
    Transport {
        #[default]
        Unicast "unicast" "To the peer's address",
        Broadcast "broadcast" "To everybody in the subnet",
        Multicast "multicast" "To a multicast group",
    }

    /// What counts as authentic.
    Authentication {
        #[default]
        Enforce "enforce" "Only signed frames; ours are signed",
        Permissive "permissive" "Unsigned frames count too, for a change of keys",
        ReceiveOnly "receive-only" "Signed frames are taken, ours are not signed",
    }

    /// Bits per second of a serial line.
    Speed {
        S9600 "9600" "9600 bit/s",
        S19200 "19200" "19200 bit/s",
        S38400 "38400" "38400 bit/s",
        S57600 "57600" "57600 bit/s",
        #[default]
        S115200 "115200" "115200 bit/s",
    }
}

impl Speed {
    /// Bits per second.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::S9600 => 9600,
            Self::S19200 => 19_200,
            Self::S38400 => 38_400,
            Self::S57600 => 57_600,
            Self::S115200 => 115_200,
        }
    }
}

/// Heartbeats over a null modem.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SerialLine {
    /// Device, such as `ttyS1`.
    pub device: Option<Device>,
    /// Speed.
    pub speed: Speed,
}

/// The rest of `cluster`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pairing {
    /// Group number, the same on both boxes and no other pair's.
    pub group: u8,
    /// What makes a silent peer dead.
    pub detection: Detection,
    /// Silence that is worth a warning. Absent: half the dead time.
    pub warn_time: Option<Millis>,
    /// How long a starting node waits for its peer.
    pub start_hold: Millis,
    /// How heartbeats travel.
    pub transport: Transport,
    /// Group of `transport multicast`.
    pub multicast: Option<IpAddr>,
    /// Interface roles that carry heartbeats. Empty: every one on which both nodes have an address.
    pub paths: heapless::Vec<Name, { limits::HEARTBEAT_PATHS }>,
    /// Heartbeats over a null modem.
    pub serial: Option<SerialLine>,
    /// When the better node takes over again.
    pub failback: Failback,
    /// Wait of `failback delayed`.
    pub failback_delay: Millis,
    /// Hosts that tell a node whether its own link works.
    pub witnesses: heapless::Vec<IpAddr, { limits::WITNESSES }>,
    /// What counts as authentic.
    pub authentication: Authentication,
    /// Shared secret that the signing key is made of.
    pub secret: Option<Secret>,
    /// Id of the key that signs.
    pub key: Option<u8>,
    /// Ids of keys that are accepted beside it.
    pub accepted_keys: heapless::Vec<u8, { limits::KEYS }>,
}

impl Default for Pairing {
    fn default() -> Self {
        Self {
            group: 1,
            detection: Detection::default(),
            warn_time: None,
            start_hold: Millis::from_secs(12),
            transport: Transport::default(),
            multicast: None,
            paths: heapless::Vec::new(),
            serial: None,
            failback: Failback::default(),
            failback_delay: Millis::from_secs(60),
            witnesses: heapless::Vec::new(),
            authentication: Authentication::default(),
            secret: None,
            key: None,
            accepted_keys: heapless::Vec::new(),
        }
    }
}
