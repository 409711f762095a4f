//! Takes a bundle as it comes and writes it into the slot that does not run.
//!
//! ```text
//! bytes -> front checked -> old trailer gone -> parts written -> read back -> trailer -> read back
//!                                                          ... later, on request: read again -> environment: trial
//! ```
//! A slot without a trailer is nothing to the boot loader, and the environment names the slot last. So after a power cut
//! anywhere the box starts what ran before, or the new system whole.

use super::bundle::{self, FRONT, Front, HEAD, Refused, Rules, SIGNED};
use super::environment::{self, Slot};
use super::layout::{SLOT_BYTES, TRAILER_AT};
use super::trailer::{self, Part, Trailer};
use crate::store::StoreError;
use crate::store::device::{self, Device};
use alloc::string::String;
use alloc::vec::Vec;
use sha2::{Digest as _, Sha256};

/// Bytes written at once: whole pages, so that no write reads first.
const PAGE: usize = 4096;

/// Where in a slot head and signature of its bundle are: behind the trailer, in the same page.
const LETTER_AT: u64 = TRAILER_AT + 1536;
/// Bytes of the head, and of the signature with what fills it.
const HEAD_BYTES: u64 = 512;
const _: () = assert!(trailer::BYTES == 1536 && HEAD == 512 && FRONT == SIGNED + HEAD, "as above");

/// An upgrade under way.
#[derive(Debug)]
pub struct Installer {
    rules: Rules,
    /// Bytes of the bundle that came.
    came: u64,
    front: Option<Front>,
    /// What lies behind the trailer, so that the slot can be sent to another box: head and signature of the bundle.
    letter: Vec<u8>,
    /// What came and is not written yet: the front, then less than a page.
    pending: Vec<u8>,
}

impl Installer {
    /// Nothing came yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, came: 0, front: None, letter: Vec::new(), pending: Vec::new() }
    }

    /// Bytes that came, and what it says of itself once that is known.
    #[must_use]
    pub fn progress(&self) -> (u64, Option<&Front>) {
        (self.came, self.front.as_ref())
    }

    /// Takes the next bytes. `slot` is the slot that does not run; it is not touched before the signature was right.
    pub fn feed<D: Device>(&mut self, slot: &mut D, mut bytes: &[u8]) -> Result<(), Refused> {
        if self.front.is_none() {
            let room = FRONT.saturating_sub(self.pending.len());
            let (head, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.pending.extend_from_slice(head);
            self.count(head.len());
            bytes = rest;
            if self.pending.len() < FRONT {
                return Ok(());
            }
            let front = Front::check(&self.pending, &self.rules)?;
            if device::size(slot)? != SLOT_BYTES {
                return Err(Refused::Store(StoreError::device("write", &"the slot has another size")));
            }
            device::write_at(slot, TRAILER_AT, &[0; PAGE])?;
            device::sync(slot)?;
            self.front = Some(front);
            self.pending.drain(HEAD..SIGNED);
            self.letter = core::mem::take(&mut self.pending);
        }
        let Some(front) = &self.front else { return Ok(()) };
        let parts = front.trailer.parts;
        let length = front.length();
        for chunk in bytes.chunks(PAGE) {
            if self.came.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX)) > length {
                return Err(Refused::TooLong);
            }
            self.pending.extend_from_slice(chunk);
            self.count(chunk.len());
            self.write(slot, parts, length)?;
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) {
        self.came = self.came.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Writes what is pending as far as it makes whole pages, and all of it at the end of a part.
    fn write<D: Device>(&mut self, slot: &mut D, parts: [Part; 2], length: u64) -> Result<(), Refused> {
        let front = u64::try_from(FRONT).unwrap_or(u64::MAX);
        let [kernel, initramfs] = parts;
        // Each turn writes something, and a feed brings no more than a page.
        while !self.pending.is_empty() {
            let pending = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
            let body = self.came.saturating_sub(front).saturating_sub(pending);
            let (part, within) = match body.checked_sub(kernel.bytes) {
                Some(within) => (initramfs, within),
                None => (kernel, body),
            };
            let left = part.bytes.saturating_sub(within);
            let take = self.pending.len().min(PAGE).min(usize::try_from(left).unwrap_or(usize::MAX));
            let last = u64::try_from(take).is_ok_and(|take| take == left) || self.came == length;
            if take < PAGE && !last {
                break;
            }
            let (now, rest) = self.pending.split_at_checked(take).unwrap_or((&[], &[]));
            device::write_at(slot, part.at.saturating_add(within), now)?;
            self.pending = rest.to_vec();
        }
        Ok(())
    }

    /// All came: reads it back and makes the slot whole. Nothing points to it yet.
    pub fn finish<D: Device>(self, slot: &mut D) -> Result<Front, Refused> {
        let of = self.front.as_ref().map_or_else(|| u64::try_from(FRONT).unwrap_or(u64::MAX), Front::length);
        let front = self.front.filter(|_| self.came == of);
        let front = front.ok_or(Refused::Truncated { have: self.came, of })?;
        device::sync(slot)?;
        if !holds(slot, &front.trailer)? {
            return Err(Refused::Checksum);
        }
        let trailer = front.trailer.encode().ok_or(Refused::Foreign)?;
        device::write_at(slot, TRAILER_AT, &[trailer.as_slice(), &self.letter].concat())?;
        device::sync(slot)?;
        if intact(slot)?.as_ref() != Some(&front.trailer) {
            return Err(Refused::Checksum);
        }
        Ok(front)
    }
}

/// A piece of the bundle that a slot was written from, as it came, and the bytes of the whole; fewer than `most` at its end.
pub fn piece<D: Device>(slot: &mut D, at: u64, most: usize) -> Result<(Vec<u8>, u64), StoreError> {
    let mut page = [0; trailer::BYTES + HEAD];
    device::read_at(slot, TRAILER_AT, &mut page)?;
    let found = Trailer::decode(&page).filter(|_| page.get(trailer::BYTES..).is_some_and(bundle::is_head));
    let [kernel, initramfs] =
        found.ok_or_else(|| StoreError::device("read", &"the slot was not written by an upgrade"))?.parts;
    let pieces = [
        (LETTER_AT, HEAD_BYTES),
        (TRAILER_AT, LETTER_AT - TRAILER_AT),
        (LETTER_AT + HEAD_BYTES, HEAD_BYTES),
        (kernel.at, kernel.bytes),
        (initramfs.at, initramfs.bytes),
    ];
    let mut bytes = Vec::new();
    let mut begin = 0_u64;
    for (place, length) in pieces {
        let end = begin.saturating_add(length);
        let from = at.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if (begin..end).contains(&from) && bytes.len() < most {
            let room = u64::try_from(most.saturating_sub(bytes.len())).unwrap_or(0);
            let take = usize::try_from(end.saturating_sub(from).min(room)).unwrap_or(0);
            let old = bytes.len();
            bytes.resize(old.saturating_add(take), 0);
            let into = bytes.get_mut(old..).unwrap_or_default();
            device::read_at(slot, place.saturating_add(from.saturating_sub(begin)), into)?;
        }
        begin = end;
    }
    Ok((bytes, begin))
}

/// Gives the system in a slot a trial; the other slot, which runs, is the good one from here on. Refused when the slot is
/// not whole. Gives its version.
pub fn plan<D: Device>(slot: &mut D, boot: &mut D, name: Slot) -> Result<String, StoreError> {
    let Some(trailer) = intact(slot)? else {
        return Err(StoreError::device("read", &"the other slot holds no whole system: upgrade first"));
    };
    environment::check(boot)?;
    let now = environment::load(boot)?;
    environment::save(boot, &environment::Environment { good: name.other(), ..now }.on_trial(name))?;
    Ok(trailer.version)
}

/// Whether the parts of a slot are what this trailer says.
fn holds<D: Device>(slot: &mut D, trailer: &Trailer) -> Result<bool, StoreError> {
    for part in trailer.parts {
        let mut hash = Sha256::new();
        let mut at = 0;
        let mut page = [0; PAGE];
        while at < part.bytes {
            let left = usize::try_from(part.bytes.saturating_sub(at)).unwrap_or(PAGE).min(PAGE);
            let Some(piece) = page.get_mut(..left) else { return Ok(false) };
            device::read_at(slot, part.at.saturating_add(at), piece)?;
            hash.update(&*piece);
            at = at.saturating_add(u64::try_from(left).unwrap_or(u64::MAX));
        }
        let digest: [u8; 32] = hash.finalize().into();
        if digest != part.digest {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a slot holds, when all its checksums hold: as the boot loader sees it.
pub fn intact<D: Device>(slot: &mut D) -> Result<Option<Trailer>, StoreError> {
    let mut bytes = [0; trailer::BYTES];
    device::read_at(slot, TRAILER_AT, &mut bytes)?;
    let Some(found) = Trailer::decode(&bytes) else { return Ok(None) };
    Ok(holds(slot, &found)?.then_some(found))
}
