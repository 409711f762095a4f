//! The boot partition: a FAT16 file system with three files, each at a fixed place.
//!
//! Made here rather than by a tool, because the director writes the environment files in place: their clusters are part of
//! the disk's layout, not the choice of an allocator. No time stamps, so the bytes are always the same.

use anyhow::{Context, Result, ensure};
use director_core::upgrade::layout::{BOOT_AT, BOOT_BYTES, ENVIRONMENT_AT, SECTOR};

const SECTOR_BYTES: usize = 512;
/// Sectors before the first table: the rest of a page, so that clusters begin at one.
const RESERVED: usize = 8;
/// Sectors of one table: two bytes for each cluster.
const TABLE: usize = 32;
/// Entries of the root directory.
const ROOT_ENTRIES: usize = 512;
/// Sectors of a cluster. Chosen: FAT16 needs more than 4 084 clusters.
const CLUSTER: usize = 4;
const CLUSTER_BYTES: usize = CLUSTER * SECTOR_BYTES;
/// First sector of the root directory, and of cluster 2.
const ROOT: usize = RESERVED + 2 * TABLE;
const DATA: usize = ROOT + ROOT_ENTRIES * 32 / SECTOR_BYTES;
/// Bytes of the whole.
const BYTES: usize = 16 << 20;
/// Where `EFI`, `EFI/BOOT` and the program are: after the first environment, before the second.
const EFI: usize = 16;
const EFI_BOOT: usize = 17;
const PROGRAM: usize = 18;
const DIRECTORY: u8 = 0x10;
const FILE: u8 = 0x20;

/// The file system with the UEFI program and both environments.
pub fn boot_partition(program: &[u8], environments: [&[u8]; 2]) -> Result<Vec<u8>> {
    let mut fat = Fat { bytes: vec![0; BYTES] };
    ensure!(u64::try_from(BYTES)? == BOOT_BYTES, "the boot partition's size differs from the disk's layout");
    fat.boot_sector()?;
    fat.mark(0, 0xfff8)?;
    fat.mark(1, 0xffff)?;
    let mut root = vec![entry(b"DIRECTOR   ", 0x08, 0, 0)?];
    for ((name, at), content) in
        [b"GRUBENV    ", b"GRUBENV2   "].into_iter().zip(ENVIRONMENT_AT).zip(environments)
    {
        let cluster = cluster_at(at).context("an environment does not begin with a cluster")?;
        fat.file(cluster, content)?;
        root.push(entry(name, FILE, cluster, content.len())?);
    }
    root.push(entry(b"EFI        ", DIRECTORY, EFI, 0)?);
    fat.put(ROOT * SECTOR_BYTES, &root.concat())?;
    let up = |own, parent| {
        Ok::<_, anyhow::Error>(
            [entry(b".          ", DIRECTORY, own, 0)?, entry(b"..         ", DIRECTORY, parent, 0)?]
                .concat(),
        )
    };
    let efi = [up(EFI, 0)?, entry(b"BOOT       ", DIRECTORY, EFI_BOOT, 0)?.to_vec()].concat();
    fat.file(EFI, &efi)?;
    let boot = [up(EFI_BOOT, EFI)?, entry(b"BOOTX64 EFI", FILE, PROGRAM, program.len())?.to_vec()].concat();
    fat.file(EFI_BOOT, &boot)?;
    let second = cluster_at(ENVIRONMENT_AT[1]).unwrap_or_default();
    ensure!(PROGRAM + program.len().div_ceil(CLUSTER_BYTES) <= second, "the UEFI program is too long");
    fat.file(PROGRAM, program)?;
    Ok(fat.bytes)
}

/// The cluster that begins at this byte of the partition.
fn cluster_at(at: u64) -> Option<usize> {
    let from_data = usize::try_from(at).ok()?.checked_sub(DATA * SECTOR_BYTES)?;
    (from_data % CLUSTER_BYTES == 0).then_some(2 + from_data / CLUSTER_BYTES)
}

fn entry(name: &[u8; 11], attributes: u8, cluster: usize, bytes: usize) -> Result<[u8; 32]> {
    let mut entry = [0; 32];
    for (to, from) in entry.iter_mut().zip(name.iter().copied().chain([attributes])) {
        *to = from;
    }
    let tail = [u16::try_from(cluster)?.to_le_bytes().to_vec(), u32::try_from(bytes)?.to_le_bytes().to_vec()]
        .concat();
    for (to, from) in entry.iter_mut().skip(26).zip(tail) {
        *to = from;
    }
    Ok(entry)
}

struct Fat {
    bytes: Vec<u8>,
}

impl Fat {
    fn put(&mut self, at: usize, content: &[u8]) -> Result<()> {
        let place = self.bytes.get_mut(at..at + content.len()).context("outside the boot partition")?;
        place.copy_from_slice(content);
        Ok(())
    }

    fn boot_sector(&mut self) -> Result<()> {
        let before = u32::try_from(BOOT_AT / SECTOR)?;
        let sectors = u32::try_from(BYTES / SECTOR_BYTES)?;
        let small = |n: usize| u16::try_from(n).map(u16::to_le_bytes);
        let sector = [
            b"\xeb\x3c\x90DIRECTOR".to_vec(),
            small(SECTOR_BYTES)?.to_vec(),
            vec![u8::try_from(CLUSTER)?],
            small(RESERVED)?.to_vec(),
            vec![2],
            small(ROOT_ENTRIES)?.to_vec(),
            // 16 MiB are 32 768 sectors, which the short field holds.
            u16::try_from(sectors)?.to_le_bytes().to_vec(),
            vec![0xf8],
            small(TABLE)?.to_vec(),
            small(63)?.to_vec(),
            small(255)?.to_vec(),
            before.to_le_bytes().to_vec(),
            vec![0; 4],
            vec![0x80, 0, 0x29],
            b"DRCT".to_vec(),
            b"DIRECTOR   FAT16   ".to_vec(),
        ]
        .concat();
        self.put(0, &sector)?;
        self.put(510, &[0x55, 0xaa])
    }

    /// An entry of both tables.
    fn mark(&mut self, cluster: usize, next: u16) -> Result<()> {
        [0, 1].into_iter().try_for_each(|table| {
            self.put((RESERVED + table * TABLE) * SECTOR_BYTES + 2 * cluster, &next.to_le_bytes())
        })
    }

    /// Content in one run of clusters from `first` on.
    fn file(&mut self, first: usize, content: &[u8]) -> Result<()> {
        self.put((DATA + (first - 2) * CLUSTER) * SECTOR_BYTES, content)?;
        let last = first + content.len().div_ceil(CLUSTER_BYTES).max(1) - 1;
        for cluster in first..last {
            self.mark(cluster, u16::try_from(cluster + 1)?)?;
        }
        self.mark(last, 0xffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use director_core::upgrade::environment::{BYTES as BLOCK, Environment, Slot};

    #[test]
    fn the_environments_are_where_the_director_writes_them() {
        let block = Environment::settled(Slot::A).encode();
        let bytes = boot_partition(&[1; 500_000], [&block, &block]).unwrap();
        for at in ENVIRONMENT_AT.map(|at| usize::try_from(at).unwrap()) {
            assert_eq!(bytes[at..at + BLOCK], block);
        }
    }

    #[test]
    fn a_program_that_would_reach_the_second_environment_is_refused() {
        assert!(boot_partition(&vec![1; 9 << 20], [&[], &[]]).is_err());
    }
}
