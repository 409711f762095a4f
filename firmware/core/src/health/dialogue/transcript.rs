//! What was said in a run, for the operator's eyes.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Bytes kept of each direction, before escaping. Chosen: a greeting, a question and the beginning of an answer.
const KEPT_BYTES_MAX: usize = 256;
/// Pieces kept, in both directions together: a server that answers byte by byte fills no memory.
const PIECES_MAX: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Us,
    Secret,
    Server,
    /// What happened beside the words.
    Remark,
}

/// Both directions in order, cut when either is full.
#[derive(Clone, Debug, Default)]
pub(super) struct Transcript {
    pieces: Vec<(Who, Vec<u8>)>,
    sent: usize,
    received: usize,
    cut: bool,
}

impl Transcript {
    pub(super) fn sent(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES_MAX.saturating_sub(self.sent);
        self.sent = self.sent.saturating_add(bytes.len());
        self.add(Who::Us, bytes, room);
    }

    /// Something was sent that nobody may read.
    pub(super) fn secret(&mut self) {
        self.add(Who::Secret, b"", KEPT_BYTES_MAX);
    }

    /// Something happened that changes what the words mean.
    pub(super) fn remark(&mut self, words: &str) {
        self.add(Who::Remark, words.as_bytes(), KEPT_BYTES_MAX);
    }

    pub(super) fn received(&mut self, bytes: &[u8]) {
        let room = KEPT_BYTES_MAX.saturating_sub(self.received);
        self.received = self.received.saturating_add(bytes.len());
        self.add(Who::Server, bytes, room);
    }

    fn add(&mut self, who: Who, bytes: &[u8], room: usize) {
        let kept = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.cut |= kept.len() < bytes.len();
        if kept.is_empty() && who != Who::Secret {
            return;
        }
        let room = self.pieces.len() < PIECES_MAX;
        match self.pieces.last_mut() {
            Some((last, piece)) if *last == who && matches!(who, Who::Us | Who::Server) => {
                piece.extend_from_slice(kept)
            }
            _ if room => self.pieces.push((who, kept.to_vec())),
            _ => self.cut = true,
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (who, bytes) in &self.pieces {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(match who {
                Who::Us => "> ",
                Who::Secret => "> (login, not shown)",
                Who::Server => "< ",
                Who::Remark => "- ",
            });
            for byte in bytes {
                // Writing to a String cannot fail.
                let _infallible = write!(text, "{}", core::ascii::escape_default(*byte));
            }
        }
        if self.cut {
            text.push_str("\n...");
        }
        text
    }
}
