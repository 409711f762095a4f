//! The ring of configuration slots: which record counts, and how a new one is written.
//!
//! A commit is [`save`] as tentative, then, once it works, [`mark`] as good. The highest good generation whose
//! payload is intact and readable counts; a tentative one never does. All of this survives a power cut at any
//! byte, read errors of single sectors, and the loss of an erase block beside the one being written.

mod history;
mod place;
mod write;

pub use history::{Past, history, lineage, recall};
pub use write::{mark, save};

use super::blob::{self, DecodeError};
use super::device::{Device, read_at};
use super::layout::{self, SECTOR};
use super::record::{self, Header, HeaderError, SlotState};
use super::{Commit, Generation, StoreError};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// What a slot holds, as far as it was looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotInfo {
    /// Number of the slot, 0 to 15.
    pub slot: u8,
    /// What is in it.
    pub content: Content,
}

/// What is in a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Nothing.
    Empty,
    /// A record with an intact header.
    Record(Header, Payload),
    /// Something that is not a whole header, as a power cut during a commit leaves it.
    Torn,
    /// An intact header of a version that this firmware does not know.
    Foreign(u16),
    /// The header could not be read.
    Unreadable(StoreError),
}

/// What is known of a record's payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// Not read: a newer record was good.
    Unread,
    /// Digest and contents are right.
    Intact,
    /// It could not be read, or its digest is wrong.
    Damaged(StoreError),
    /// The digest is right, but this firmware cannot read it.
    Undecodable(DecodeError),
}

/// What [`load`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// The configuration that counts; `None`: use the factory configuration, `warnings` say why.
    pub best: Option<(Generation, Commit)>,
    /// At least the highest generation of any slot, so that the next commit is `newest` + 1 at least.
    pub newest: Generation,
    /// Sentences for the console.
    pub warnings: Vec<String>,
    /// All slots.
    pub slots: Vec<SlotInfo>,
}

/// Finds the configuration to run. Never fails: what cannot be read is reported and the rest is used.
pub fn load<D: Device>(dev: &mut D) -> Loaded {
    let mut slots = survey(dev);
    let mut good: Vec<(Reverse<Generation>, usize)> =
        slots.iter().enumerate().filter_map(|(i, s)| s.good().map(|h| (Reverse(h.generation), i))).collect();
    good.sort_unstable();
    let mut best = None;
    for (Reverse(generation), index) in good {
        let Some(SlotInfo { slot, content: Content::Record(header, payload) }) = slots.get_mut(index) else {
            continue;
        };
        *payload = match read_payload(dev, *slot, header) {
            Err(e) => Payload::Damaged(e),
            Ok(bytes) => match blob::decode(header.schema, &bytes) {
                Err(e) => Payload::Undecodable(e),
                Ok(commit) => {
                    best = Some((generation, commit));
                    Payload::Intact
                }
            },
        };
        if best.is_some() {
            break;
        }
    }
    let warnings = report(&slots, best.as_ref().map(|(g, _)| *g));
    Loaded { newest: newest(&slots), best, warnings, slots }
}

/// Reads one stored configuration, good or tentative.
pub fn read<D: Device>(dev: &mut D, generation: Generation) -> Result<Commit, StoreError> {
    let (_, header, payload) = find(dev, generation)?;
    blob::decode(header.schema, &payload)
        .map_err(|_| StoreError::Undecodable { generation, schema: header.schema })
}

/// The intact record of a generation. Should there be several, a good one comes first.
fn find<D: Device>(dev: &mut D, generation: Generation) -> Result<(u8, Header, Vec<u8>), StoreError> {
    let slots = survey(dev);
    let mut records: Vec<(u8, &Header)> = slots
        .iter()
        .filter_map(|s| s.header().map(|h| (s.slot, h)))
        .filter(|(_, h)| h.generation == generation)
        .collect();
    records.sort_by_key(|(_, h)| h.state == SlotState::Tentative);
    let mut error = StoreError::NoSuchGeneration(generation);
    for (slot, header) in records {
        match read_payload(dev, slot, header) {
            Ok(payload) => return Ok((slot, header.clone(), payload)),
            Err(e) => error = e,
        }
    }
    Err(error)
}

impl SlotInfo {
    /// The header, when it is intact.
    pub fn header(&self) -> Option<&Header> {
        match &self.content {
            Content::Record(header, _) => Some(header),
            Content::Empty | Content::Torn | Content::Foreign(_) | Content::Unreadable(_) => None,
        }
    }

    /// The header, when it is intact and says good.
    fn good(&self) -> Option<&Header> {
        self.header().filter(|h| h.state == SlotState::Good)
    }
}

/// The headers of all slots.
fn survey<D: Device>(dev: &mut D) -> Vec<SlotInfo> {
    (0..layout::SLOTS).map(|slot| SlotInfo { slot, content: look(dev, slot) }).collect()
}

fn look<D: Device>(dev: &mut D, slot: u8) -> Content {
    let mut sector = [0; SECTOR];
    if let Err(e) = read_at(dev, layout::header_at(slot), &mut sector) {
        return Content::Unreadable(e);
    }
    match Header::parse(&sector) {
        Ok(header) => Content::Record(header, Payload::Unread),
        Err(HeaderError::Blank) => Content::Empty,
        Err(HeaderError::Damaged) => Content::Torn,
        Err(HeaderError::Version(version)) => Content::Foreign(version),
    }
}

/// The payload, when its digest is right.
fn read_payload<D: Device>(dev: &mut D, slot: u8, header: &Header) -> Result<Vec<u8>, StoreError> {
    record::read_payload(dev, layout::payload_at(slot), header)
}

/// The number that new generations must exceed. A slot whose header cannot be read, now, may be readable again at
/// the next boot; its generation can be one above those seen, so each such slot counts as one.
fn newest(slots: &[SlotInfo]) -> Generation {
    let seen = slots.iter().filter_map(SlotInfo::header).map(|h| h.generation.0).max().unwrap_or(0);
    let hidden = slots
        .iter()
        .filter(|s| matches!(s.content, Content::Unreadable(_) | Content::Foreign(_)))
        .map(|_| 1_u64)
        .sum();
    Generation(seen.saturating_add(hidden))
}

fn report(slots: &[SlotInfo], best: Option<Generation>) -> Vec<String> {
    let mut warnings: Vec<String> = slots.iter().filter_map(|s| s.warning(best)).collect();
    let count = |of: fn(&Content) -> bool| slots.iter().filter(|s| of(&s.content)).count();
    let (all, empty) = (slots.len(), count(|c| matches!(c, Content::Empty)));
    // A flash that never had one is no fault.
    if best.is_none() && empty < all {
        // First: who has room for a few reads this one.
        let summary = format!(
            "no usable configuration in flash: of {all} slots {empty} are empty, {} torn, {} unreadable, {} \
             hold damaged or unknown records and {} commits that were never confirmed; the factory \
             configuration runs",
            count(|c| matches!(c, Content::Torn)),
            count(|c| matches!(c, Content::Unreadable(_))),
            count(|c| match c {
                Content::Foreign(_) => true,
                Content::Record(h, _) => h.state == SlotState::Good,
                Content::Empty | Content::Torn | Content::Unreadable(_) => false,
            }),
            count(|c| matches!(c, Content::Record(h, _) if h.state == SlotState::Tentative)),
        );
        warnings.insert(0, summary);
    }
    warnings
}

impl SlotInfo {
    /// What an operator should know of this slot.
    fn warning(&self, best: Option<Generation>) -> Option<String> {
        let slot = self.slot;
        let what = match &self.content {
            Content::Empty => return None,
            Content::Torn => {
                "holds a torn header, as a power cut during a commit leaves it; it will be used again"
                    .to_string()
            }
            Content::Foreign(version) => {
                format!("has header version {version}, which this firmware does not know")
            }
            Content::Unreadable(e) => format!("could not be read ({e})"),
            Content::Record(h, Payload::Damaged(e)) => {
                format!("holds generation {}, which cannot be used: {e}", h.generation)
            }
            Content::Record(h, Payload::Undecodable(e)) => {
                format!("holds generation {}, which cannot be used: {e}", h.generation)
            }
            Content::Record(h, Payload::Unread | Payload::Intact) => {
                let interrupted = h.state == SlotState::Tentative && best.is_none_or(|b| h.generation > b);
                if !interrupted {
                    return None;
                }
                format!("holds generation {}, a commit that was never confirmed; it is ignored", h.generation)
            }
        };
        Some(format!("flash slot {slot} {what}"))
    }
}
