//! Builds what is flashed: the kernel, the initramfs around the one program, and the disk.
//!
//! Everything here gives the same bytes for the same inputs: no clock, no user name, no folder of the build machine, no
//! order of a directory listing goes into a file. Nothing here decides what the firmware does; what is written to the
//! data partition is written through `director_core::store`, so that image and firmware cannot disagree.
//!
//! The library is for the lab and the tests, which make disks of their own; `director-image` is its command line.

pub mod bundle;
pub mod disk;
pub mod fat;
pub mod files;
pub mod flash;
pub mod grub;
pub mod initramfs;
pub mod kernel;
pub mod manifest;
pub mod report;
pub mod say;
pub mod seed;
pub mod slot;
#[cfg(test)]
mod testing;
