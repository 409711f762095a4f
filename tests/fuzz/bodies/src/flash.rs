//! Whatever lies in the flash: configuration slots, identity, superblock.

use crate::bytes::Bytes;
use crate::memory::Memory;
use director_core::overrides::{Forced, Kept};
use director_core::store::identity::{self, Identity, Role};
use director_core::store::layout::{
    BLOCK, BLOCK_BYTES, IDENTITY_AT, KEPT_AT, PARTITION_MIN, PAYLOAD_MAX, RESCUE_AT, RESET_AT, SECTOR,
    SLOT_BYTES, SLOTS, SLOTS_AT, SUPERBLOCK_AT,
};
use director_core::store::record::{Header, SlotState};
use director_core::store::{Commit, Generation, blob, kept, rescue, reset, slots, superblock};
use sha2::{Digest, Sha256};

/// Most bytes of a payload made here. Chosen: several sectors, and still fast.
const PAYLOAD: usize = 4096;

/// Two slots with anything in them, headers made right where the input asks for it: loading never panics, believes no
/// payload whose digest is wrong and no tentative record, and the next commit is stored and found.
pub fn fuzz_slots(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut dev = Memory::default();
    for _ in 0..2 {
        put_slot(&mut dev, &mut bytes);
    }
    let loaded = slots::load(&mut dev);
    assert_eq!(loaded.slots.len(), usize::from(SLOTS));
    let (best, commit) = match &loaded.best {
        Some((generation, commit)) => (*generation, Some(commit)),
        None => (Generation(0), None),
    };
    assert!(best <= loaded.newest);
    if let Some(commit) = commit {
        let stored = (0..SLOTS).filter_map(|slot| sound(&dev, slot)).any(|(header, payload)| {
            header.generation == best && blob::decode(header.schema, &payload).as_ref() == Ok(commit)
        });
        assert!(stored, "generation {best} is believed and no slot holds it");
    }
    let Some(next) = loaded.newest.0.checked_add(1).map(Generation) else { return };
    let commit = Commit { at_unix_s: 1, ..Commit::default() };
    slots::save(&mut dev, next, SlotState::Tentative, &blob::encode(&commit)).expect("the device works");
    assert_eq!(slots::load(&mut dev).best, loaded.best, "a tentative record changes nothing");
    slots::mark(&mut dev, next, SlotState::Good).expect("it was just written");
    assert_eq!(slots::load(&mut dev).best, Some((next, commit)));
}

fn slot_at(slot: u8) -> u64 {
    SLOTS_AT + u64::from(slot) * SLOT_BYTES
}

fn put_slot(dev: &mut Memory, bytes: &mut Bytes<'_>) {
    let at = slot_at(bytes.byte() % SLOTS);
    put_at(dev, at, bytes);
}

/// A header sector and a payload behind it.
fn put_at(dev: &mut Memory, at: u64, bytes: &mut Bytes<'_>) {
    let (flags, length) = (bytes.byte(), bytes.word());
    let payload = if flags & 1 == 0 {
        bytes.piece(usize::from(length) % PAYLOAD).to_vec()
    } else {
        blob::encode(&Commit { at_unix_s: u64::from(length), ..Commit::default() })
    };
    if flags & 2 == 0 {
        let header = Header {
            schema: if flags & 4 == 0 { blob::SCHEMA } else { bytes.word() },
            length: match flags & 8 {
                0 => u32::try_from(payload.len()).unwrap_or(0).max(1),
                _ => u32::from(bytes.word()) * 17 % PAYLOAD_MAX + 1,
            },
            generation: match flags & 16 {
                0 => Generation(u64::from(bytes.byte()) + 1),
                _ => Generation(u64::MAX - u64::from(bytes.byte())),
            },
            state: if flags & 32 == 0 { SlotState::Good } else { SlotState::Tentative },
            sha256: if flags & 64 == 0 { Sha256::digest(&payload).into() } else { [bytes.byte(); 32] },
        };
        dev.poke(at, &header.emit());
    } else {
        let mut sector = [0; SECTOR];
        let piece = bytes.piece(SECTOR);
        sector[..piece.len()].copy_from_slice(piece);
        if flags & 4 == 0 {
            sector[..10].copy_from_slice(b"DIRSLOT\0\x01\0");
            let sum = crc32fast::hash(&sector[..508]);
            sector[508..].copy_from_slice(&sum.to_le_bytes());
        }
        dev.poke(at, &sector);
    }
    dev.poke(at + BLOCK_BYTES, &payload);
}

/// A slot judged without the code under test's reading of payloads.
fn sound(dev: &Memory, slot: u8) -> Option<(Header, Vec<u8>)> {
    let sector: [u8; SECTOR] = dev.peek(slot_at(slot), SECTOR).try_into().ok()?;
    let header = Header::parse(&sector).ok()?;
    let payload = dev.peek(slot_at(slot) + BLOCK_BYTES, usize::try_from(header.length).ok()?);
    let right =
        header.state == SlotState::Good && <[u8; 32]>::from(Sha256::digest(&payload)) == header.sha256;
    right.then_some((header, payload))
}

/// Identity and superblock with anything in their copies: nothing panics, and what is written over it is found.
pub fn fuzz_records(data: &[u8]) {
    let mut bytes = Bytes(data);
    let flags = bytes.byte();
    let mut dev = Memory::default();
    for (copy, at) in IDENTITY_AT.into_iter().enumerate() {
        let mut sector = [0; SECTOR];
        let piece = bytes.piece(64);
        sector[..piece.len()].copy_from_slice(piece);
        if flags >> copy & 1 == 0 {
            sector[..10].copy_from_slice(b"DIRIDENT\x01\0");
            // Sequences count boots; one that reached the end of its 64 bits cannot be exceeded and does not occur.
            sector[23] &= 0x7f;
            let sum = Sha256::digest(&sector[..480]);
            sector[480..].copy_from_slice(&sum);
        }
        dev.poke(at, &sector);
    }
    for (copy, at) in [SUPERBLOCK_AT, PARTITION_MIN - BLOCK_BYTES].into_iter().enumerate() {
        let mut block = [0; BLOCK];
        let piece = bytes.piece(24);
        block[..piece.len()].copy_from_slice(piece);
        if flags >> (copy + 2) & 1 == 0 {
            block[..8].copy_from_slice(b"DIRFLASH");
            let sum = Sha256::digest(&block[..4064]);
            block[4064..].copy_from_slice(&sum);
        }
        dev.poke(at, &block);
    }
    let found = identity::load(&mut dev);
    assert!(found.found || found.identity == Identity::default());
    let boots = found.identity.boots.wrapping_add(1);
    let role = if flags & 16 == 0 { Role::Primary } else { Role::Backup };
    let identity = Identity { role, boots, ..found.identity };
    identity::save(&mut dev, &identity).expect("the device works");
    assert_eq!(identity::load(&mut dev).identity, identity, "what was saved last counts");
    // Whatever it says, it says it without a panic.
    drop(superblock::check(&mut dev));
    superblock::write(&mut dev).expect("the device works");
    assert_eq!(superblock::check(&mut dev), Ok(superblock::Found { first: true, last: true }));
}

/// The list of persistent server actions, the rescue configuration and the order to reset with anything in their copies:
/// nothing panics, what is saved over it is found, and an order is obeyed only when it is whole.
pub fn fuzz_kept(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut dev = Memory::default();
    for at in KEPT_AT {
        put_kept(&mut dev, at, &mut bytes);
    }
    for at in RESCUE_AT {
        put_at(&mut dev, at, &mut bytes);
    }
    // Numbers count writes; one that reached the end of its 64 bits cannot be exceeded and does not occur.
    let last = |at: &u64| {
        let sector: Option<[u8; SECTOR]> = dev.peek(*at, SECTOR).try_into().ok();
        sector.is_some_and(|s| Header::parse(&s).is_ok_and(|h| h.generation == Generation(u64::MAX)))
    };
    if RESCUE_AT.iter().any(last) {
        return;
    }
    let mut order = [0; SECTOR];
    let piece = bytes.piece(16);
    order[..piece.len()].copy_from_slice(piece);
    dev.poke(RESET_AT, &order);
    assert!(!reset::pending(&mut dev), "an order of 16 bytes");

    drop(kept::load(&mut dev));
    let drain =
        Kept { server: "rs1".parse().expect("a name"), pool: None, forced: Forced::Drain, left: None };
    match kept::save(&mut dev, std::slice::from_ref(&drain)) {
        Ok(()) => assert_eq!(kept::load(&mut dev).0, [drain], "what was saved last counts"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    drop(rescue::load(&mut dev));
    let commit = Commit { at_unix_s: 1, ..Commit::default() };
    rescue::save(&mut dev, &blob::encode(&commit)).expect("the device works");
    assert_eq!(rescue::load(&mut dev), Ok(commit));
}

/// One copy of the list, with a header that is right where the input asks for it.
fn put_kept(dev: &mut Memory, at: u64, bytes: &mut Bytes<'_>) {
    let (flags, length) = (bytes.byte(), usize::from(bytes.byte()));
    let payload = bytes.piece(length);
    let mut header = [0; SECTOR];
    if flags & 1 == 0 {
        header[..10].copy_from_slice(b"DIRKEPT\0\x01\0");
        let claimed = if flags & 2 == 0 { payload.len() } else { usize::from(bytes.word()) * 4 };
        header[12..16].copy_from_slice(&u32::try_from(claimed).unwrap_or(0).to_le_bytes());
        header[16] = bytes.byte();
        header[24..56].copy_from_slice(&Sha256::digest(payload));
    } else {
        let piece = bytes.piece(64);
        header[..piece.len()].copy_from_slice(piece);
    }
    if flags & 4 == 0 {
        let sum = Sha256::digest(&header[..480]);
        header[480..].copy_from_slice(&sum);
    }
    dev.poke(at, &header);
    dev.poke(at + BLOCK_BYTES, payload);
}
