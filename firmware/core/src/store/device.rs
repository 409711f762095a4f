//! The block device as the store sees it.

use super::StoreError;
use core::fmt::{self, Write as _};
use embedded_io::SeekFrom;

/// A block device: embedded-io's read, write and seek, and a barrier.
///
/// What the store relies on, and no more: bytes written before a `sync` that returned success are on the
/// medium; of bytes written after the last `sync`, any part may be there after a power cut, in any order, and a
/// sector that was being written may hold anything.
pub trait Device: embedded_io::Read + embedded_io::Write + embedded_io::Seek {
    /// Returns when everything written so far is on the medium, and makes later reads come from the medium.
    fn sync(&mut self) -> Result<(), Self::Error>;
}

/// Bytes of the device.
pub(crate) fn size<D: Device>(dev: &mut D) -> Result<u64, StoreError> {
    dev.seek(SeekFrom::End(0)).map_err(|e| refused("seek", &e))
}

/// Fills `buf` from byte `at` on.
pub(crate) fn read_at<D: Device>(dev: &mut D, at: u64, buf: &mut [u8]) -> Result<(), StoreError> {
    dev.seek(SeekFrom::Start(at)).map_err(|e| refused("seek", &e))?;
    dev.read_exact(buf).map_err(|e| match e {
        embedded_io::ReadExactError::UnexpectedEof => refused("read", &"the device ends here"),
        embedded_io::ReadExactError::Other(e) => refused("read", &e),
    })
}

/// Writes all of `bytes` from byte `at` on. Not durable before [`sync`].
pub(crate) fn write_at<D: Device>(dev: &mut D, at: u64, bytes: &[u8]) -> Result<(), StoreError> {
    dev.seek(SeekFrom::Start(at)).map_err(|e| refused("seek", &e))?;
    let mut rest = bytes;
    // Not write_all: embedded-io's panics on a device that takes nothing. Each turn takes at least one byte.
    while !rest.is_empty() {
        let taken = dev.write(rest).map_err(|e| refused("write", &e))?;
        rest = match rest.get(taken..) {
            Some(next) if taken > 0 => next,
            Some(_) | None => return Err(refused("write", &"the device is full")),
        };
    }
    dev.flush().map_err(|e| refused("write", &e))
}

/// [`Device::sync`] with the error in the store's words.
pub(crate) fn sync<D: Device>(dev: &mut D) -> Result<(), StoreError> {
    dev.sync().map_err(|e| refused("sync", &e))
}

fn refused(action: &str, words: &dyn fmt::Display) -> StoreError {
    StoreError::device(action, words)
}

impl StoreError {
    /// The device refused an `action` (`read`, `write`, `seek` or `sync`), and said why.
    pub fn device(action: &str, words: &dyn fmt::Display) -> Self {
        let mut message = Clipped(heapless::String::new());
        // Clipped never fails; what does not fit is left out.
        write!(message, "{words}").unwrap_or_default();
        Self::Device { action: heapless::String::try_from(action).unwrap_or_default(), message: message.0 }
    }
}

/// Takes as many characters as fit.
struct Clipped(heapless::String<72>);

impl fmt::Write for Clipped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.push(c).is_err() {
                break;
            }
        }
        Ok(())
    }
}
