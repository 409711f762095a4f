//! Records (RFC 8446 section 5, RFC 5246 section 6.2, RFC 5288, RFC 7905).

use crate::kdf::Hash;
use crate::suite::{Cipher, Kind, NONCE_BYTES, Suite, TAG_BYTES};
use alloc::vec::Vec;

/// Types of content.
pub(crate) mod content {
    pub(crate) const CHANGE_CIPHER: u8 = 20;
    pub(crate) const ALERT: u8 = 21;
    pub(crate) const HANDSHAKE: u8 = 22;
    pub(crate) const DATA: u8 = 23;
}

/// Most bytes in a record (RFC 8446 section 5.1).
pub(crate) const PLAIN_BYTES_MAX: usize = 1 << 14;
/// Most bytes of a protected one: TLS 1.2 allows the larger overhead.
pub(crate) const RECORD_BYTES_MAX: usize = PLAIN_BYTES_MAX + 2048;
/// Type, version, length.
pub(crate) const HEADER_BYTES: usize = 5;
/// Part of a nonce that stands in the record, in TLS 1.2 with AES.
const EXPLICIT_BYTES: usize = 8;

/// A record that is not protected.
pub(crate) fn plain(kind: u8, body: &[u8]) -> Vec<u8> {
    // Our flights are far shorter than a record.
    let length = u16::try_from(body.len()).unwrap_or(0).to_be_bytes();
    [&[kind, 3, 3], &length[..], body].concat()
}

/// The records of one direction under one key.
#[derive(Debug)]
pub(crate) struct Direction {
    cipher: Cipher,
    iv: [u8; NONCE_BYTES],
    sequence: u64,
    v13: bool,
    explicit: bool,
}

impl Direction {
    /// Keys of TLS 1.3 from a traffic secret.
    pub(crate) fn v13(suite: Suite, secret: &[u8]) -> Option<Self> {
        let hash = Hash { sha384: suite.sha384 };
        let cipher = suite.cipher(&hash.expand(secret, b"key", &[], suite.key_bytes()))?;
        let iv = hash.expand(secret, b"iv", &[], NONCE_BYTES).try_into().ok()?;
        Some(Self { cipher, iv, sequence: 0, v13: true, explicit: false })
    }

    /// Keys of TLS 1.2.
    pub(crate) fn v12(suite: Suite, key: &[u8], fixed: &[u8]) -> Option<Self> {
        let cipher = suite.cipher(key)?;
        let mut iv = [0; NONCE_BYTES];
        iv.get_mut(..fixed.len())?.copy_from_slice(fixed);
        Some(Self { cipher, iv, sequence: 0, v13: false, explicit: suite.kind != Kind::ChaCha })
    }

    fn nonce(&self) -> [u8; NONCE_BYTES] {
        let mut nonce = self.iv;
        for (byte, count) in nonce.iter_mut().skip(NONCE_BYTES - 8).zip(self.sequence.to_be_bytes()) {
            *byte ^= count;
        }
        nonce
    }

    /// What is authenticated beside the content.
    fn beside(&self, kind: u8, plain: usize, whole: usize) -> Vec<u8> {
        let length = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes();
        if self.v13 {
            [&[content::DATA, 3, 3][..], &length(whole)].concat()
        } else {
            [&self.sequence.to_be_bytes()[..], &[kind, 3, 3], &length(plain)].concat()
        }
    }

    /// A whole record. `None`: more content than a record takes.
    pub(crate) fn seal(&mut self, kind: u8, plain: &[u8]) -> Option<Vec<u8>> {
        let nonce = self.nonce();
        let mut body = Vec::new();
        if self.explicit {
            body.extend_from_slice(nonce.get(NONCE_BYTES - EXPLICIT_BYTES..)?);
        }
        let head = body.len();
        body.extend_from_slice(plain);
        if self.v13 {
            body.push(kind);
        }
        let whole = body.len() + TAG_BYTES;
        let beside = self.beside(kind, plain.len(), whole);
        let tag = self.cipher.seal(&nonce, &beside, body.get_mut(head..)?)?;
        body.extend_from_slice(&tag);
        self.sequence += 1;
        let outer = if self.v13 { content::DATA } else { kind };
        let length = u16::try_from(body.len()).ok()?.to_be_bytes();
        Some([&[outer, 3, 3], &length[..], &body].concat())
    }

    /// Opens the body of a record: type and content. `None`: it is not what the other side sent.
    pub(crate) fn open(&mut self, kind: u8, body: &[u8]) -> Option<(u8, Vec<u8>)> {
        let head = if self.explicit { EXPLICIT_BYTES } else { 0 };
        let plain = body.len().checked_sub(TAG_BYTES + head)?;
        let (explicit, rest) = body.split_at_checked(head)?;
        let (data, tag) = rest.split_at_checked(plain)?;
        let mut nonce = if self.explicit { self.iv } else { self.nonce() };
        for (to, from) in nonce.iter_mut().skip(NONCE_BYTES - head).zip(explicit) {
            *to = *from;
        }
        let beside = self.beside(kind, plain, body.len());
        let mut data = data.to_vec();
        self.cipher.open(&nonce, &beside, &mut data, tag.try_into().ok()?)?;
        self.sequence += 1;
        if !self.v13 {
            return Some((kind, data));
        }
        // The type is the last byte that is not filling.
        let end = data.iter().rposition(|byte| *byte != 0)?;
        let kind = *data.get(end)?;
        data.truncate(end);
        Some((kind, data))
    }
}
