//! Hashes and key derivation: HKDF of TLS 1.3 (RFC 8446 section 7.1) and the PRF of TLS 1.2 (RFC 5246 section 5).

use alloc::vec::Vec;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256, Sha384};

/// The hash of a suite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hash {
    /// SHA-384 instead of SHA-256.
    pub(crate) sha384: bool,
}

impl Hash {
    pub(crate) const fn bytes(self) -> usize {
        if self.sha384 { 48 } else { 32 }
    }

    pub(crate) fn of(self, data: &[u8]) -> Vec<u8> {
        if self.sha384 { Sha384::digest(data).to_vec() } else { Sha256::digest(data).to_vec() }
    }

    pub(crate) fn mac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        // HMAC takes keys of any length; the empty result would only make the handshake fail.
        if self.sha384 {
            let Ok(mut mac) = Hmac::<Sha384>::new_from_slice(key) else { return Vec::new() };
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        } else {
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }
    }

    /// HKDF-Expand-Label. Everything that TLS asks for fits one block.
    pub(crate) fn expand(self, secret: &[u8], label: &[u8], context: &[u8], bytes: usize) -> Vec<u8> {
        let length = u16::try_from(bytes).unwrap_or(0).to_be_bytes();
        let short = |length: usize| [u8::try_from(length).unwrap_or(0)];
        let (label_length, context_length) = (short(label.len() + 6), short(context.len()));
        let mut block =
            self.mac(secret, &[&length, &label_length, b"tls13 ", label, &context_length, context, &[1]]);
        block.truncate(bytes);
        block
    }

    /// Derive-Secret, from the hash of the messages so far.
    pub(crate) fn derive(self, secret: &[u8], label: &[u8], transcript: &[u8]) -> Vec<u8> {
        self.expand(secret, label, transcript, self.bytes())
    }

    /// The PRF of TLS 1.2.
    pub(crate) fn prf(self, secret: &[u8], label: &[u8], seed: &[u8], bytes: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut a = self.mac(secret, &[label, seed]);
        // Each round adds a hash.
        while out.len() < bytes && !a.is_empty() {
            out.extend(self.mac(secret, &[&a, label, seed]));
            a = self.mac(secret, &[&a]);
        }
        out.truncate(bytes);
        out
    }
}
