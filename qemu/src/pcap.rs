//! Capture files (libpcap 2.4 format, nanoseconds, Ethernet).

use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

/// Nanosecond variant of the classic format, in the byte order of the machine.
const MAGIC: u32 = 0xa1b2_3c4d;
/// `LINKTYPE_ETHERNET`.
const ETHERNET: u32 = 1;
/// Up to this many bytes frames are written whole; a bulk transfer after that leaves headers only.
const WHOLE_UNTIL: u64 = 64 << 20;
/// Bytes of a frame written after that: Ethernet, IPv4 and TCP headers with options.
const HEADER_BYTES: usize = 128;
/// A capture ends here. Chosen: a disk filled by a soak run helps nobody.
const FILE_BYTES_MAX: u64 = 512 << 20;

/// One capture file.
#[derive(Debug)]
pub(crate) struct Pcap {
    out: BufWriter<File>,
    written: u64,
}

impl Pcap {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut out = BufWriter::with_capacity(1 << 18, file);
        for word in [MAGIC, 0x0004_0002, 0, 0, 0x4_0000, ETHERNET] {
            out.write_all(&u32::to_ne_bytes(word)).context("pcap header")?;
        }
        out.flush().context("pcap header")?;
        Ok(Self { out, written: 0 })
    }

    /// Appends a frame seen `at` after the start of the lab. A full disk ends the capture, not the lab.
    pub(crate) fn write(&mut self, at: Duration, frame: &[u8]) {
        if self.written >= FILE_BYTES_MAX {
            return;
        }
        let kept = if self.written < WHOLE_UNTIL { frame.len() } else { frame.len().min(HEADER_BYTES) };
        let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        for word in [seconds, at.subsec_nanos(), size(kept), size(frame.len())] {
            self.out.write_all(&word.to_ne_bytes()).ok();
        }
        self.out.write_all(frame.get(..kept).unwrap_or_default()).ok();
        self.written = self.written.saturating_add(16).saturating_add(u64::from(size(kept)));
    }

    pub(crate) fn flush(&mut self) {
        if !self.out.buffer().is_empty() {
            self.out.flush().ok();
        }
    }
}
