//! Somebody attached to a serial line: what the line says waits in a bounded queue, so that one who reads slowly holds
//! up nobody, and one who does not read at all is hung up on, which he sees.

use anyhow::{Context as _, Result};
use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{SyncSender, sync_channel};

/// Pieces of output that may wait for one guest; QEMU's serial port often gives single characters.
const QUEUE_PIECES: usize = 1 << 14;

/// The way to one guest.
#[derive(Debug)]
pub(crate) struct Guest {
    stream: UnixStream,
    queue: SyncSender<Vec<u8>>,
}

impl Guest {
    /// Starts the thread that writes to `stream`.
    pub(crate) fn new(stream: &UnixStream) -> Result<Self> {
        let mut out = stream.try_clone().context("attach")?;
        let (queue, pieces) = sync_channel::<Vec<u8>>(QUEUE_PIECES);
        std::thread::spawn(move || {
            // Ends when the guest is gone or was hung up on.
            while let Ok(piece) = pieces.recv()
                && out.write_all(&piece).is_ok()
            {}
            out.shutdown(Shutdown::Both).ok();
        });
        Ok(Self { stream: stream.try_clone().context("attach")?, queue })
    }

    /// Never waits. False when the guest is gone or has not read for so long that he was hung up on.
    pub(crate) fn say(&self, bytes: &[u8]) -> bool {
        let kept = self.queue.try_send(bytes.to_vec()).is_ok();
        if !kept {
            self.stream.shutdown(Shutdown::Both).ok();
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_guest_who_reads_late_gets_every_character() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let guest = Guest::new(&near).unwrap();
        // More single characters than the socket itself takes: each costs it a whole buffer.
        for _ in 0..10_000 {
            assert!(guest.say(b"x"));
        }
        let mut read = vec![0; 10_000];
        far.read_exact(&mut read).unwrap();
        assert!(read.iter().all(|byte| *byte == b'x'));
    }

    #[test]
    fn a_guest_who_never_reads_is_hung_up_on() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let guest = Guest::new(&near).unwrap();
        let said = (0..4 * QUEUE_PIECES).take_while(|_| guest.say(b"x")).count();
        assert!(said < 4 * QUEUE_PIECES);
        drop((guest, near));
        let mut read = Vec::new();
        far.read_to_end(&mut read).unwrap();
        assert!(read.len() <= said);
    }
}
