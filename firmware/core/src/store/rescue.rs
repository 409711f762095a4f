//! The rescue configuration: one that the operator knows to work, kept until he says otherwise, whatever is committed
//! meanwhile. Two copies, written in turn, so that a power cut leaves the old one or the new one. A record is as a
//! slot's ([`super::record`]); its generation is the number of the write, and the higher intact copy counts.

use super::device::{Device, read_at};
use super::layout::{self, BLOCK_BYTES, MIB, PAYLOAD_MAX, SECTOR};
use super::record::{self, Header, HeaderError, SlotState};
use super::{Commit, Generation, StoreError, blob, reset};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Keeps an encoded [`Commit`] and reads it back. After an error the rescue configuration is the one before.
pub fn save<D: Device>(dev: &mut D, payload: &[u8]) -> Result<(), StoreError> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    if length > PAYLOAD_MAX {
        return Err(StoreError::TooLarge { bytes: length, max: PAYLOAD_MAX });
    }
    if length == 0 {
        return Err(StoreError::Empty);
    }
    // The copy that counts is the last to be overwritten, readable or not.
    let numbers = layout::RESCUE_AT.map(|at| header(dev, at).ok().flatten().map_or(0, |h| h.generation.0));
    let counts = copies(dev).into_iter().find(|(at, header)| payload_of(dev, *at, header).is_ok());
    let at = match counts {
        Some((at, _)) => layout::RESCUE_AT.into_iter().find(|other| *other != at).unwrap_or(at),
        None => first(),
    };
    let number = numbers.into_iter().max().unwrap_or(0).saturating_add(1);
    let header = Header {
        schema: blob::SCHEMA,
        length,
        generation: Generation(number),
        state: SlotState::Good,
        sha256: record::digest(payload),
    };
    record::erase(dev, at)?;
    record::write_payload(dev, at + BLOCK_BYTES, payload)?;
    record::write_header(dev, at, &header)
}

/// The rescue configuration, if one is kept. A damaged copy is passed over for the one before it.
pub fn load<D: Device>(dev: &mut D) -> Result<Commit, StoreError> {
    let mut error = StoreError::NoRescue;
    for (at, header) in copies(dev) {
        match payload_of(dev, at, &header) {
            Ok(commit) => return Ok(commit),
            Err(e) if error == StoreError::NoRescue => error = e,
            Err(_) => {}
        }
    }
    Err(error)
}

/// Overwrites it. After a power cut it is there as before, or gone: the copy that does not count goes first.
pub fn delete<D: Device>(dev: &mut D) -> Result<(), StoreError> {
    let newest = copies(dev).first().map(|(at, _)| *at);
    let mut places = layout::RESCUE_AT;
    places.sort_unstable_by_key(|at| Some(*at) == newest);
    for at in places {
        record::erase(dev, at)?;
        reset::wipe(dev, at, MIB)?;
    }
    Ok(())
}

/// The intact headers, the newest first.
fn copies<D: Device>(dev: &mut D) -> Vec<(u64, Header)> {
    let mut found: Vec<(u64, Header)> =
        layout::RESCUE_AT.into_iter().filter_map(|at| Some((at, header(dev, at).ok()??))).collect();
    found.sort_by_key(|(_, h)| Reverse(h.generation));
    found
}

/// A copy, for [`super::usage`].
pub(super) fn found<D: Device>(dev: &mut D, at: u64) -> Result<Option<super::usage::Found>, String> {
    let mut sector = [0; SECTOR];
    read_at(dev, at, &mut sector).map_err(|e| e.to_string())?;
    match Header::parse(&sector) {
        Ok(header) => {
            payload_of(dev, at, &header).map_err(|e| e.to_string())?;
            Ok(Some(super::usage::Found { used: u64::from(header.length), number: header.generation.0 }))
        }
        Err(HeaderError::Blank) => Ok(None),
        Err(HeaderError::Damaged) => Err("its header is torn: a write was cut".to_string()),
        Err(HeaderError::Version(version)) => Err(format!("written by newer firmware (format {version})")),
    }
}

fn header<D: Device>(dev: &mut D, at: u64) -> Result<Option<Header>, StoreError> {
    let mut sector = [0; SECTOR];
    read_at(dev, at, &mut sector)?;
    match Header::parse(&sector) {
        Ok(header) => Ok(Some(header)),
        Err(HeaderError::Blank | HeaderError::Damaged | HeaderError::Version(_)) => Ok(None),
    }
}

fn payload_of<D: Device>(dev: &mut D, at: u64, header: &Header) -> Result<Commit, StoreError> {
    let payload = record::read_payload(dev, at + BLOCK_BYTES, header)?;
    let undecodable = StoreError::Undecodable { generation: header.generation, schema: header.schema };
    blob::decode(header.schema, &payload).map_err(|_| undecodable)
}

fn first() -> u64 {
    let [first, _] = layout::RESCUE_AT;
    first
}
