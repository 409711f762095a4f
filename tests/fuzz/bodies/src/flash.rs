//! Whatever lies in the flash: configuration slots, identity, superblock.

use crate::bytes::Bytes;
use crate::memory::Memory;
use director_core::store::identity::{self, Identity, Role};
use director_core::store::layout::{
    BLOCK, BLOCK_BYTES, IDENTITY_AT, PARTITION_MIN, PAYLOAD_MAX, SECTOR, SLOT_BYTES, SLOTS, SLOTS_AT,
    SUPERBLOCK_AT,
};
use director_core::store::record::{Header, SlotState};
use director_core::store::{Commit, Generation, blob, slots, superblock};
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
    let (slot, flags, length) = (bytes.byte() % SLOTS, bytes.byte(), bytes.word());
    let at = slot_at(slot);
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
