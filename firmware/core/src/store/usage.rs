//! What the flash is used for, and how much it was written: for `show flash`.
//!
//! Nothing is counted for its own sake, which would wear the flash itself: every record carries the number of the write
//! that made it, and the highest of a kind is how often that kind was written since first use. Copies are written in
//! turn and slots in a ring, so the writes of a kind are spread over all its places.

use super::device::Device;
use super::layout::{self, BLOCK_BYTES, MIB};
use super::record::SlotState;
use super::slots::{Content, Payload, SlotInfo, history, load};
use super::{identity, kept, rescue};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One place where a record lies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// What for, in words: `identity A`, `slot 3`.
    pub name: String,
    /// Where in the partition.
    pub at: u64,
    /// Bytes that a record may have here.
    pub room: u64,
    /// Bytes of the record, without its header.
    pub used: Option<u64>,
    /// Number of the write that made it.
    pub number: Option<u64>,
    /// `empty`, `good`, `tentative`, `damaged` or `unreadable`.
    pub state: String,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// How often a kind of record was written since first use or the last factory reset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Writes {
    /// Which kind.
    pub kind: String,
    /// How often.
    pub writes: u64,
    /// Places that share them.
    pub places: u64,
}

/// All of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Usage {
    /// Boots counted.
    pub boots: u32,
    /// By kind.
    pub writes: Vec<Writes>,
    /// In the order in which they lie.
    pub places: Vec<Place>,
}

/// What a module that keeps two copies says of one.
pub(super) struct Found {
    pub(super) used: u64,
    pub(super) number: u64,
}

/// Reads every record. Never fails: what cannot be read is said of its place.
pub fn usage<D: Device>(dev: &mut D) -> Usage {
    let mut places = Vec::new();
    copies(&mut places, "identity", layout::IDENTITY_AT, layout::SECTOR_BYTES, |at| identity::found(dev, at));
    let room = u64::from(layout::PAYLOAD_MAX);
    copies(&mut places, "rescue", layout::RESCUE_AT, room, |at| rescue::found(dev, at));
    let kept_room = u64::try_from(kept::PAYLOAD_MAX).unwrap_or_default();
    copies(&mut places, "server actions", layout::KEPT_AT, kept_room, |at| kept::found(dev, at));
    let mut writes =
        Vec::from([total("identity", &places), total("rescue", &places), total("server actions", &places)]);
    let loaded = load(dev);
    let past = history(dev);
    for info in &loaded.slots {
        let mut place = slot(info);
        // Of the good ones only the newest was read to its end above.
        let read = past.iter().find(|p| Some(p.generation.0) == place.number && place.error.is_none());
        if let Some(why) = read.and_then(|p| p.damage.as_ref()) {
            (place.state, place.error) = ("damaged".to_string(), Some(why.clone()));
        }
        places.push(place);
    }
    writes.push(Writes {
        kind: "configuration".to_string(),
        writes: loaded.newest.0,
        places: u64::from(layout::SLOTS),
    });
    places.sort_by_key(|place| place.at);
    Usage { boots: identity::load(dev).identity.boots, writes, places }
}

fn copies(
    places: &mut Vec<Place>,
    kind: &str,
    at: [u64; 2],
    room: u64,
    mut look: impl FnMut(u64) -> Result<Option<Found>, String>,
) {
    for (copy, at) in ["A", "B"].into_iter().zip(at) {
        let (state, found, error) = match look(at) {
            Ok(Some(found)) => ("good", Some(found), None),
            Ok(None) => ("empty", None, None),
            Err(why) => ("damaged", None, Some(why)),
        };
        let (used, number) = found.map_or((None, None), |f| (Some(f.used), Some(f.number)));
        let name = format!("{kind} {copy}");
        places.push(Place { name, at, room, used, number, state: state.to_string(), error });
    }
}

fn total(kind: &str, places: &[Place]) -> Writes {
    let numbers = places.iter().filter(|p| p.name.starts_with(kind)).filter_map(|p| p.number);
    Writes { kind: kind.to_string(), writes: numbers.max().unwrap_or(0), places: 2 }
}

fn slot(info: &SlotInfo) -> Place {
    let (state, error) = match &info.content {
        Content::Empty => ("empty", None),
        Content::Torn => ("damaged", Some("its header is torn: a write was cut".to_string())),
        Content::Foreign(version) => {
            ("damaged", Some(format!("written by newer firmware (format {version})")))
        }
        Content::Unreadable(error) => ("unreadable", Some(error.to_string())),
        Content::Record(_, Payload::Damaged(error)) => ("damaged", Some(error.to_string())),
        Content::Record(_, Payload::Undecodable(error)) => ("damaged", Some(error.to_string())),
        Content::Record(header, Payload::Intact | Payload::Unread) => match header.state {
            SlotState::Good => ("good", None),
            SlotState::Tentative => ("tentative", None),
        },
    };
    Place {
        name: format!("slot {}", info.slot),
        at: layout::SLOTS_AT.saturating_add(u64::from(info.slot).saturating_mul(layout::SLOT_BYTES)),
        room: MIB - BLOCK_BYTES,
        used: info.header().map(|h| u64::from(h.length)),
        number: info.header().map(|h| h.generation.0),
        state: state.to_string(),
        error,
    }
}
