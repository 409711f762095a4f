//! Where boot partition, slots and what lies in them are. The boot loader's script (`board/x86_64/grub.cfg`) has the same
//! numbers in sectors; a test of the image tool compares them.
//!
//! ```text
//! disk   MiB   0  partition table, boot loader      slot   MiB   0  kernel
//!              1  p1  boot: FAT16, environment                  11  initramfs
//!             17  p2  slot A                            16 less 4 KiB  trailer
//!             33  p3  slot B
//!             49  p4  data, 32 MiB or what the disk has
//! ```

use crate::store::layout::MIB;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// Where the boot partition begins on the disk.
pub const BOOT_AT: u64 = MIB;
/// Bytes of the boot partition.
pub const BOOT_BYTES: u64 = 16 * MIB;
/// Bytes of one system slot.
pub const SLOT_BYTES: u64 = 16 * MIB;
/// Where the slots begin on the disk.
pub const SLOTS_AT: [u64; 2] = [BOOT_AT + BOOT_BYTES, BOOT_AT + BOOT_BYTES + SLOT_BYTES];
/// Where the data partition begins on the disk.
pub const DATA_AT: u64 = BOOT_AT + BOOT_BYTES + 2 * SLOT_BYTES;
/// Where in a slot the initramfs begins. Chosen: kernel and initramfs together are budgeted at 7 MiB, the kernel is the
/// larger part; both may double.
pub const INITRAMFS_AT: u64 = 11 * MIB;
/// Where in a slot the trailer begins.
pub const TRAILER_AT: u64 = SLOT_BYTES - 4096;
/// Where in the boot partition the two environments are: fixed, so that the director writes them in place and needs no file
/// system. They are far apart, because a power cut can damage a neighbour of what is written.
pub const ENVIRONMENT_AT: [u64; 2] = [53_248, 53_248 + 8 * MIB];
