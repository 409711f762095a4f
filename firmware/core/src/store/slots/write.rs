//! Writing records.
//!
//! The order of [`save`], with a sync after each step: the old header is zeroed; the payload is written and read
//! back; the header is written and read back. Until the last step is on the medium the slot is not a record, and
//! every other slot is as it was.

use super::{find, place, survey};
use crate::store::device::Device;
use crate::store::layout::{self, PAYLOAD_MAX};
use crate::store::record::{self, Header, SlotState};
use crate::store::{Generation, StoreError, blob};

/// Slots tried until one takes the record. Chosen: outlives a few bad spots; a device that refuses four times is
/// broken, and trying on would only cost history.
const ATTEMPTS: usize = 4;

/// Writes a record that no slot holds yet, and reads it back. A slot that does not take it is given up for
/// another. After an error the configuration that counts is the same as before. The schema is [`blob::SCHEMA`].
///
/// Errors: a good record of this or a higher generation exists; the payload is empty or too large; the device
/// refused or lied [`ATTEMPTS`] times.
pub fn save<D: Device>(
    dev: &mut D,
    generation: Generation,
    state: SlotState,
    payload: &[u8],
) -> Result<(), StoreError> {
    let too_large = |bytes| StoreError::TooLarge { bytes, max: PAYLOAD_MAX };
    let length = u32::try_from(payload.len()).map_err(|_| too_large(u32::MAX))?;
    if length > PAYLOAD_MAX {
        return Err(too_large(length));
    }
    if payload.is_empty() {
        return Err(StoreError::Empty);
    }
    let slots = survey(dev);
    let newest = slots.iter().filter_map(|s| s.good().map(|h| h.generation)).max().unwrap_or_default();
    if generation <= newest {
        return Err(StoreError::OldGeneration { wanted: generation, newest });
    }
    // An earlier try of the same generation must not come to light again when this one is marked.
    for old in slots.iter().filter(|s| s.header().is_some_and(|h| h.generation == generation)) {
        erase(dev, old.slot)?;
    }
    let header = Header { schema: blob::SCHEMA, length, generation, state, sha256: record::digest(payload) };
    let mut result = Err(StoreError::ReadBack);
    for slot in place::order(&slots, generation).into_iter().take(ATTEMPTS) {
        let blank = slots.iter().any(|s| s.slot == slot && s.content == super::Content::Empty);
        result = write(dev, slot, blank, &header, payload);
        if result.is_ok() {
            break;
        }
        // The record may be there although the device says no, and would count at the next boot. A device that
        // refuses this too has most likely refused the header.
        erase(dev, slot).unwrap_or_default();
    }
    result
}

/// Changes the state of a record. Before it becomes good its payload is read and checked. After an error other
/// than [`StoreError::NoSuchGeneration`] and [`StoreError::Damaged`] the state in flash is unknown: old, new, or no record at all.
pub fn mark<D: Device>(dev: &mut D, generation: Generation, state: SlotState) -> Result<(), StoreError> {
    let (slot, header, _) = find(dev, generation)?;
    if header.state == state {
        return Ok(());
    }
    record::write_header(dev, layout::header_at(slot), &Header { state, ..header })
}

fn write<D: Device>(
    dev: &mut D,
    slot: u8,
    blank: bool,
    header: &Header,
    payload: &[u8],
) -> Result<(), StoreError> {
    if !blank {
        erase(dev, slot)?;
    }
    record::write_payload(dev, layout::payload_at(slot), payload)?;
    record::write_header(dev, layout::header_at(slot), header)
}

fn erase<D: Device>(dev: &mut D, slot: u8) -> Result<(), StoreError> {
    record::erase(dev, layout::header_at(slot))
}
