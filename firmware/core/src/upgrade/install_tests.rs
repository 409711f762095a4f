//! Bundles that are taken and bundles that are not, and power cuts at every write of an upgrade.

use super::bundle::{FRONT, Front, Refused, Rules, SIGNED, Version};
use super::environment::{Environment, Slot, load, save};
use super::install::{Installer, intact, piece, plan};
use super::layout::{BOOT_BYTES, BOOT_NAME, INITRAMFS_AT, SLOT_BYTES};
use super::trailer::{Part, Trailer};
use crate::store::device::Device;
use crate::store::layout::MIB;
use crate::store::tests::model::{Fault, Medium, ModelFlash};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use ed25519_compact::{KeyPair, Seed};
use embedded_io::SeekFrom;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

const ERASE_BLOCKS: [u64; 2] = [4096, MIB];
const SLOT_AT: u64 = BOOT_BYTES;

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn keys() -> KeyPair {
    KeyPair::from_seed(Seed::new([7; 32]))
}

fn rules() -> Rules {
    Rules { key: *keys().pk, board: "x86_64".into(), running: version("1.2.3") }
}

fn front(kernel: &[u8], initramfs: &[u8]) -> Front {
    let part =
        |at, bytes: &[u8]| Part { at, bytes: bytes.len() as u64, digest: Sha256::digest(bytes).into() };
    let parts = [part(0, kernel), part(INITRAMFS_AT, initramfs)];
    let trailer = Trailer { version: "1.3.0".into(), cmdline: "quiet".into(), parts };
    Front { board: "x86_64".into(), version: version("1.3.0"), needs: version("1.0.0"), trailer }
}

fn signed(front: &Front) -> Vec<u8> {
    let mut bytes = front.encode().unwrap();
    let signature = keys().sk.sign(&bytes, None);
    bytes.extend(*signature);
    bytes.resize(FRONT, 0);
    bytes
}

const KERNEL: [u8; 5120] = [0x11; 5120];
const INITRAMFS: [u8; 1536] = [0x22; 1536];

fn bundle() -> Vec<u8> {
    [signed(&front(&KERNEL, &INITRAMFS)), KERNEL.to_vec(), INITRAMFS.to_vec()].concat()
}

/// A partition of a disk.
#[derive(Clone)]
struct Window {
    disk: Rc<RefCell<ModelFlash>>,
    at: u64,
    bytes: u64,
    position: u64,
}

impl embedded_io::ErrorType for Window {
    type Error = Fault;
}

impl embedded_io::Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Fault> {
        self.position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(back) => self.bytes.checked_add_signed(back).unwrap(),
            SeekFrom::Current(by) => self.position.checked_add_signed(by).unwrap(),
        };
        Ok(self.position)
    }
}

impl embedded_io::Read for Window {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        let mut disk = self.disk.borrow_mut();
        let left = usize::try_from(self.bytes - self.position).unwrap();
        let take = buf.len().min(left);
        embedded_io::Seek::seek(&mut *disk, SeekFrom::Start(self.at + self.position))?;
        let count = embedded_io::Read::read(&mut *disk, &mut buf[..take])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl embedded_io::Write for Window {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Fault> {
        assert!(self.position + buf.len() as u64 <= self.bytes, "outside its partition");
        let mut disk = self.disk.borrow_mut();
        embedded_io::Seek::seek(&mut *disk, SeekFrom::Start(self.at + self.position))?;
        let count = embedded_io::Write::write(&mut *disk, buf)?;
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

impl Device for Window {
    fn sync(&mut self) -> Result<(), Fault> {
        self.disk.borrow_mut().sync()
    }
}

/// Boot partition and the slot that does not run, on one disk.
fn disk(medium: Medium) -> (Rc<RefCell<ModelFlash>>, Window, Window) {
    let mut flash = ModelFlash::on(medium);
    flash.size = BOOT_BYTES + SLOT_BYTES;
    let disk = Rc::new(RefCell::new(flash));
    let window = |at, bytes| Window { disk: Rc::clone(&disk), at, bytes, position: 0 };
    let (boot, slot) = (window(0, BOOT_BYTES), window(SLOT_AT, SLOT_BYTES));
    (disk, boot, slot)
}

/// A box that runs slot A; slot B is empty.
fn fresh() -> Medium {
    let (disk, mut boot, _) = disk(Medium::default());
    let mut first = [0; 512];
    first[3..11].copy_from_slice(BOOT_NAME);
    disk.borrow_mut().medium.set(0, first);
    save(&mut boot, &Environment { boots: 1, ..Environment::settled(Slot::A) }).unwrap();
    disk.borrow().medium.clone()
}

fn install(medium: Medium, bytes: &[u8], chunk: usize) -> (Rc<RefCell<ModelFlash>>, Result<Front, Refused>) {
    let (disk, mut boot, mut slot) = disk(medium);
    let mut installer = Installer::new(rules());
    for chunk in bytes.chunks(chunk) {
        if let Err(refused) = installer.feed(&mut slot, chunk) {
            return (disk, Err(refused));
        }
    }
    let result = installer.finish(&mut slot);
    if result.is_ok() {
        assert_eq!(plan(&mut slot, &mut boot, Slot::B).unwrap(), "1.3.0");
    }
    (disk, result)
}

fn state(medium: Medium) -> (Environment, Option<Trailer>) {
    let (_, mut boot, mut slot) = disk(medium);
    (load(&mut boot).unwrap(), intact(&mut slot).unwrap())
}

#[test]
fn an_upgrade_is_installed_and_gets_a_trial() {
    for chunk in [1, 7, 240, 4096, 1 << 20] {
        let (disk, result) = install(fresh(), &bundle(), chunk);
        assert_eq!(result, Ok(front(&KERNEL, &INITRAMFS)));
        let (environment, trailer) = state(disk.borrow().medium.clone());
        assert_eq!(environment, Environment::settled(Slot::A).on_trial(Slot::B));
        assert_eq!(trailer, Some(front(&KERNEL, &INITRAMFS).trailer));
    }
}

#[test]
fn a_cut_at_any_write_leaves_the_old_system_or_a_whole_new_one_on_trial() {
    let first = install(fresh(), &bundle(), 4096).0.borrow().medium.clone();
    // Onto an empty slot, and onto one that holds a whole system.
    for medium in [fresh(), first] {
        let (disk, result) = install(medium, &bundle(), 4096);
        result.unwrap();
        let disk = disk.borrow();
        for (medium, done) in disk.cuts(disk.steps(), &ERASE_BLOCKS) {
            let (environment, trailer) = state(medium);
            assert_eq!(environment.good, Slot::A);
            assert!(trailer.is_some() || !done);
            assert!(environment.trial == Some(Slot::B) || !done);
        }
    }
}

#[test]
fn what_is_not_for_this_box_is_refused_before_anything_is_written() {
    let whole = front(&KERNEL, &INITRAMFS);
    let large = Part { bytes: INITRAMFS_AT + 512, ..whole.trailer.parts[0] };
    let larger = Trailer { parts: [large, whole.trailer.parts[1]], ..whole.trailer.clone() };
    let cases = [
        (Front { board: "arm".into(), ..whole.clone() }, Refused::Board("arm".into())),
        (Front { version: version("1.2.2"), ..whole.clone() }, Refused::Older(version("1.2.2"))),
        (Front { needs: version("1.2.4"), ..whole.clone() }, Refused::TooOld { needs: version("1.2.4") }),
        (Front { trailer: larger, ..whole }, Refused::TooLarge),
    ];
    for (front, why) in cases {
        let (disk, result) = install(fresh(), &signed(&front), 512);
        assert_eq!((result, disk.borrow().steps()), (Err(why), 0));
    }
    let mut other = bundle();
    other[..SIGNED].rotate_left(1);
    assert_eq!(install(fresh(), &other, 512).1, Err(Refused::Foreign));
    let foreign = KeyPair::from_seed(Seed::new([8; 32])).sk.sign(&bundle()[..SIGNED], None);
    let mut forged = bundle();
    forged[SIGNED..SIGNED + 64].copy_from_slice(&*foreign);
    assert_eq!(install(fresh(), &forged, 512).1, Err(Refused::Signature));
}

#[test]
fn one_that_ends_early_or_goes_on_is_refused_and_never_tried() {
    for length in [0, 100, FRONT, FRONT + 4096, bundle().len() - 1] {
        let (disk, result) = install(fresh(), &bundle()[..length], 4096);
        assert!(matches!(result, Err(Refused::Truncated { .. })), "{result:?}");
        assert_eq!(state(disk.borrow().medium.clone()).0.trial, None);
    }
    let (disk, result) = install(fresh(), &[bundle(), Vec::from([0])].concat(), 4096);
    assert_eq!(result, Err(Refused::TooLong));
    assert_eq!(state(disk.borrow().medium.clone()).0.trial, None);
}

#[test]
fn a_disk_that_forgets_a_sector_is_noticed() {
    let (disk, mut boot, mut slot) = disk(fresh());
    disk.borrow_mut().forgetful.insert((SLOT_AT + 1024) / 512);
    let mut installer = Installer::new(rules());
    installer.feed(&mut slot, &bundle()).unwrap();
    assert_eq!(installer.finish(&mut slot), Err(Refused::Checksum));
    plan(&mut slot, &mut boot, Slot::B).unwrap_err();
    assert_eq!(load(&mut boot).unwrap().trial, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn one_flipped_bit_anywhere_is_refused(at in 0..bundle().len(), bit in 0..8) {
        let mut bytes = bundle();
        bytes[at] ^= 1_u8 << bit;
        let (disk, result) = install(fresh(), &bytes, 4096);
        // The zeros after the signature mean nothing.
        if (SIGNED + 64..FRONT).contains(&at) {
            prop_assert!(result.is_ok());
        } else {
            prop_assert!(result.is_err());
            prop_assert_eq!(state(disk.borrow().medium.clone()).0.trial, None);
        }
    }
}

#[test]
fn versions_are_compared_by_number() {
    assert!(version("1.10.0") > version("1.9.9"));
    for bad in ["1.2", "1.2.3.4", "1.2.x", "", "1..3", "+1.2.3", "1.2.99999999999"] {
        assert!(bad.parse::<Version>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn a_slot_gives_back_the_bundle_that_it_was_written_from(most in 1..5000_usize) {
        let (disk, result) = install(fresh(), &bundle(), 4096);
        result.unwrap();
        let mut slot = Window { disk, at: SLOT_AT, bytes: SLOT_BYTES, position: 0 };
        let mut all = Vec::new();
        loop {
            let (bytes, of) = piece(&mut slot, all.len() as u64, most).unwrap();
            prop_assert_eq!(of, bundle().len() as u64);
            if bytes.is_empty() {
                break;
            }
            all.extend(bytes);
        }
        prop_assert_eq!(all, bundle());
    }
}

#[test]
fn a_slot_that_holds_no_bundle_gives_none() {
    let (_, _, mut slot) = disk(fresh());
    assert!(piece(&mut slot, 0, 100).is_err());
}
