//! Cipher suites, and the protection of records.

use aes_gcm::{Aes128Gcm, Aes256Gcm};
use alloc::boxed::Box;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};

/// Bytes of an authentication tag, of all our suites.
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes of a nonce, of all our suites.
pub(crate) const NONCE_BYTES: usize = 12;

/// How records are protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Aes128,
    Aes256,
    ChaCha,
}

/// A suite that is offered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    pub(crate) id: u16,
    pub(crate) v13: bool,
    pub(crate) kind: Kind,
    /// SHA-384 instead of SHA-256.
    pub(crate) sha384: bool,
}

const fn suite(id: u16, v13: bool, kind: Kind, sha384: bool) -> Suite {
    Suite { id, v13, kind, sha384 }
}

/// Offered in this order: TLS 1.3, then ECDHE of 1.2 with ECDSA and RSA certificates.
pub(crate) const SUITES: [Suite; 9] = [
    suite(0x1301, true, Kind::Aes128, false),
    suite(0x1302, true, Kind::Aes256, true),
    suite(0x1303, true, Kind::ChaCha, false),
    suite(0xc02b, false, Kind::Aes128, false),
    suite(0xc02f, false, Kind::Aes128, false),
    suite(0xc02c, false, Kind::Aes256, true),
    suite(0xc030, false, Kind::Aes256, true),
    suite(0xcca9, false, Kind::ChaCha, false),
    suite(0xcca8, false, Kind::ChaCha, false),
];

impl Suite {
    /// The suite with this number, if it belongs to the version.
    pub(crate) fn find(id: u16, v13: bool) -> Option<Self> {
        SUITES.into_iter().find(|suite| suite.id == id && suite.v13 == v13)
    }

    /// Bytes of a key.
    pub(crate) const fn key_bytes(self) -> usize {
        match self.kind {
            Kind::Aes128 => 16,
            Kind::Aes256 | Kind::ChaCha => 32,
        }
    }

    /// Bytes of the nonce that come from the keys in TLS 1.2; the others are in the record.
    pub(crate) const fn fixed_nonce_bytes(self) -> usize {
        match self.kind {
            Kind::Aes128 | Kind::Aes256 => 4,
            Kind::ChaCha => NONCE_BYTES,
        }
    }

    /// A cipher with a key of [`Self::key_bytes`].
    pub(crate) fn cipher(self, key: &[u8]) -> Option<Cipher> {
        Some(match self.kind {
            Kind::Aes128 => Cipher::Aes128(Box::new(Aes128Gcm::new_from_slice(key).ok()?)),
            Kind::Aes256 => Cipher::Aes256(Box::new(Aes256Gcm::new_from_slice(key).ok()?)),
            Kind::ChaCha => Cipher::ChaCha(Box::new(ChaCha20Poly1305::new_from_slice(key).ok()?)),
        })
    }
}

/// Protects and opens records under one key.
pub(crate) enum Cipher {
    Aes128(Box<Aes128Gcm>),
    Aes256(Box<Aes256Gcm>),
    ChaCha(Box<ChaCha20Poly1305>),
}

impl core::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Cipher")
    }
}

impl Cipher {
    /// Protects `data` in place. `None`: it is longer than a key may protect, which no record is.
    pub(crate) fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        data: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]> {
        let nonce = nonce.into();
        let tag = match self {
            Self::Aes128(cipher) => cipher.encrypt_inout_detached(nonce, aad, data.into()),
            Self::Aes256(cipher) => cipher.encrypt_inout_detached(nonce, aad, data.into()),
            Self::ChaCha(cipher) => cipher.encrypt_inout_detached(nonce, aad, data.into()),
        };
        tag.ok().map(Into::into)
    }

    /// Opens `data` in place. `None`: it was changed on its way.
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Option<()> {
        let (nonce, tag) = (nonce.into(), tag.into());
        let opened = match self {
            Self::Aes128(cipher) => cipher.decrypt_inout_detached(nonce, aad, data.into(), tag),
            Self::Aes256(cipher) => cipher.decrypt_inout_detached(nonce, aad, data.into(), tag),
            Self::ChaCha(cipher) => cipher.decrypt_inout_detached(nonce, aad, data.into(), tag),
        };
        opened.ok()
    }
}
