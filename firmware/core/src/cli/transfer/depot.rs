//! The box's end: keeps what came, and answers.

use super::line::Digest;
use super::{BLOCK_BYTES, Message, TEXT_MAX, VERSION};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use sha2::Digest as _;

/// What a laptop pushed so far. It outlives the laptop, so that a push can go on.
#[derive(Clone, Default, Debug)]
pub struct Depot {
    length: usize,
    sha256: Digest,
    bytes: Vec<u8>,
    /// The last one that was taken: its end may be asked for again, when the answer was lost.
    taken: Option<Digest>,
    /// What is being pulled, as it was when its first block was asked for.
    pulled: Option<(String, Digest)>,
}

impl Depot {
    /// Answers a line. `running` is the configuration to pull; `take` makes a text whose digest is right the candidate, or
    /// says why it cannot be. `None`: it was an answer, not a question.
    pub fn answer(
        &mut self,
        message: Message,
        running: impl FnOnce() -> String,
        take: impl FnOnce(&str) -> Result<(), String>,
    ) -> Option<Message> {
        Some(match message {
            Message::Hello => Message::Version(VERSION),
            Message::Push { length, .. } if length > TEXT_MAX => {
                Message::Refused(format!("{length} bytes are too many: at most {TEXT_MAX}"))
            }
            Message::Push { length, sha256 } => {
                if (self.length, self.sha256) != (length, sha256) {
                    *self = Self { length, sha256, ..Self::default() };
                }
                Message::Have(self.bytes.len())
            }
            Message::Data { offset, bytes } => {
                let room = self.length.saturating_sub(self.bytes.len());
                if offset == self.bytes.len() && bytes.len() <= BLOCK_BYTES && bytes.len() <= room {
                    self.bytes.extend_from_slice(&bytes);
                }
                Message::Have(self.bytes.len())
            }
            Message::End(sha256) => self.end(sha256, take),
            Message::Get(offset) => {
                if offset == 0 || self.pulled.is_none() {
                    let text = running();
                    let sha256 = digest(text.as_bytes());
                    self.pulled = Some((text, sha256));
                }
                let (text, sha256) = self.pulled.as_ref()?;
                block(text.as_bytes(), offset, *sha256)
            }
            Message::Quit => Message::Quit,
            // The console runs it, or hands it on; it is no matter of a store.
            Message::Run { .. }
            | Message::Offer { .. }
            | Message::Version(_)
            | Message::Have(_)
            | Message::Taken(_)
            | Message::Refused(_)
            | Message::Block { .. } => return None,
        })
    }

    fn end(&mut self, sha256: Digest, take: impl FnOnce(&str) -> Result<(), String>) -> Message {
        if self.taken == Some(sha256) {
            return Message::Taken(sha256);
        }
        if self.sha256 != sha256 {
            return Message::Refused("another configuration is being pushed: push again".to_string());
        }
        if self.bytes.len() < self.length {
            return Message::Have(self.bytes.len());
        }
        let bytes = core::mem::take(&mut self.bytes);
        if digest(&bytes) != sha256 {
            return Message::Refused("its SHA-256 is wrong, nothing was changed: push again".to_string());
        }
        let taken = match core::str::from_utf8(&bytes) {
            Ok(text) => take(text),
            Err(_) => Err("it is not text".to_string()),
        };
        match taken {
            Ok(()) => {
                *self = Self { taken: Some(sha256), ..Self::default() };
                Message::Taken(sha256)
            }
            Err(why) => {
                *self = Self::default();
                Message::Refused(why)
            }
        }
    }
}

/// A block of a whole; empty at its end and beyond.
fn block(whole: &[u8], offset: usize, sha256: Digest) -> Message {
    let rest = whole.get(offset..).unwrap_or_default();
    let bytes = rest.get(..BLOCK_BYTES).unwrap_or(rest).to_vec();
    Message::Block { offset, length: whole.len(), sha256, bytes }
}

/// What a command said, from an offset on.
pub(crate) fn said(output: &[u8], offset: usize) -> Message {
    block(output, offset, digest(output))
}

pub(super) fn digest(bytes: &[u8]) -> Digest {
    sha2::Sha256::digest(bytes).into()
}
