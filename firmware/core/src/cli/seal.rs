//! Secrets of an exported text, sealed with a passphrase.
//!
//! ```text
//! sealed:BASE64( salt 16 | number 4, little endian | ciphertext | tag 16 )
//! key   = argon2id(passphrase, salt; 8 MiB, 3 passes, 1 lane), 32 bytes
//! nonce = number | 8 zeros         each secret of an export has its number
//! ```
//! ChaCha20-Poly1305 (RFC 8439) with the secret's path as associated data, so a sealed secret opens only where it was.
//! The salt is fresh for each export, so no pair of key and nonce comes twice.

use super::transfer::base64;
use super::value::SEALED;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use core::fmt;

/// Random bytes of one export.
pub const SALT_BYTES: usize = 16;
/// Shortest passphrase. Chosen: what RFC 9106 parameters this small still make costly to guess.
pub const PASSPHRASE_MIN: usize = 8;
/// Longest.
pub const PASSPHRASE_MAX: usize = 128;
/// Exports whose secrets may be mixed in one text; each costs a tenth of a second.
const KEYS_MAX: usize = 4;
/// Memory in KiB and passes of argon2id. Chosen: RFC 9106 section 4 asks for more memory than a box of 64 MiB can spare.
const MEMORY_KIB: u32 = 8 * 1024;
const PASSES: u32 = 3;

/// Why a sealed secret stays closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenError {
    /// It is not in the form above.
    Damaged,
    /// Another passphrase, another place, or changed bytes: they look the same.
    Refused,
    /// More than a few exports are mixed.
    TooMany,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "the sealed secret is damaged: export it again",
            Self::Refused => "the passphrase does not open it, or it was sealed for another place",
            Self::TooMany => "secrets of more than 4 exports are mixed: load them one export at a time",
        })
    }
}

fn derive(passphrase: &str, salt: &[u8]) -> Option<Key> {
    let mut key = Key::default();
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(key.len())).ok()?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into(passphrase.as_bytes(), salt, &mut key).ok()?;
    Some(key)
}

fn nonce(number: [u8; 4]) -> Nonce {
    let mut nonce = Nonce::default();
    nonce.iter_mut().zip(number).for_each(|(to, from)| *to = from);
    nonce
}

/// Seals the secrets of one export.
pub struct Sealer {
    salt: [u8; SALT_BYTES],
    cipher: ChaCha20Poly1305,
    next: u32,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    /// With a salt that was never used before. Takes about a tenth of a second and 8 MiB; `None`: there is no memory.
    #[must_use]
    pub fn new(passphrase: &str, salt: [u8; SALT_BYTES]) -> Option<Self> {
        let key = derive(passphrase, &salt)?;
        Some(Self { salt, cipher: ChaCha20Poly1305::new(&key), next: 0 })
    }

    /// The secret as it stands in the text.
    pub fn seal(&mut self, path: &str, secret: &str) -> Option<String> {
        let number = self.next.to_le_bytes();
        self.next = self.next.checked_add(1)?;
        let payload = Payload { msg: secret.as_bytes(), aad: path.as_bytes() };
        let sealed = self.cipher.encrypt(&nonce(number), payload).ok()?;
        let mut bytes = Vec::from(self.salt);
        bytes.extend_from_slice(&number);
        bytes.extend_from_slice(&sealed);
        Some(format!("{SEALED}{}", base64::encode(&bytes)))
    }
}

/// Opens sealed secrets.
pub struct Opener {
    passphrase: String,
    keys: Vec<([u8; SALT_BYTES], ChaCha20Poly1305)>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

impl Opener {
    /// With what was typed.
    #[must_use]
    pub fn new(passphrase: String) -> Self {
        Self { passphrase, keys: Vec::new() }
    }

    /// The secret that was sealed at this path.
    pub fn open(&mut self, path: &str, sealed: &str) -> Result<String, OpenError> {
        let text = sealed.strip_prefix(SEALED).ok_or(OpenError::Damaged)?;
        let bytes = base64::decode(text).ok_or(OpenError::Damaged)?;
        let (salt, rest) = bytes.split_first_chunk::<SALT_BYTES>().ok_or(OpenError::Damaged)?;
        let (number, sealed) = rest.split_first_chunk::<4>().ok_or(OpenError::Damaged)?;
        let payload = Payload { msg: sealed, aad: path.as_bytes() };
        let opened = self.key(*salt)?.decrypt(&nonce(*number), payload).map_err(|_| OpenError::Refused)?;
        String::from_utf8(opened).map_err(|_| OpenError::Refused)
    }

    fn key(&mut self, salt: [u8; SALT_BYTES]) -> Result<&ChaCha20Poly1305, OpenError> {
        let at = match self.keys.iter().position(|(known, _)| *known == salt) {
            Some(at) => at,
            None if self.keys.len() >= KEYS_MAX => return Err(OpenError::TooMany),
            None => {
                let key = derive(&self.passphrase, &salt).ok_or(OpenError::Refused)?;
                self.keys.push((salt, ChaCha20Poly1305::new(&key)));
                self.keys.len().saturating_sub(1)
            }
        };
        self.keys.get(at).map(|(_, key)| key).ok_or(OpenError::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_with_its_passphrase_at_its_place_only() {
        let mut sealer = Sealer::new("correct horse", [7; SALT_BYTES]).unwrap();
        let one = sealer.seal("check a", "hunter2").unwrap();
        let two = sealer.seal("check b", "hunter2").unwrap();
        assert_ne!(one, two);
        let mut opener = Opener::new(String::from("correct horse"));
        assert_eq!(opener.open("check a", &one).as_deref(), Ok("hunter2"));
        assert_eq!(opener.open("check b", &two).as_deref(), Ok("hunter2"));
        assert_eq!(opener.open("check a", &two), Err(OpenError::Refused));
        assert_eq!(Opener::new(String::from("wrong")).open("check a", &one), Err(OpenError::Refused));
    }

    #[test]
    fn every_changed_character_is_found() {
        let sealed = Sealer::new("correct horse", [7; SALT_BYTES]).unwrap().seal("p", "s").unwrap();
        // Past the salt, which decides the key and would cost a derivation each.
        let start = SEALED.len() + SALT_BYTES.div_ceil(3) * 4;
        let mut opener = Opener::new(String::from("correct horse"));
        for at in start..sealed.len() {
            let mut bad = sealed.clone().into_bytes();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            assert!(opener.open("p", core::str::from_utf8(&bad).unwrap()).is_err(), "{at}");
        }
        for cut in 0..sealed.len() {
            assert!(opener.open("p", &sealed[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_text_cannot_make_the_box_derive_keys_without_end() {
        let mut opener = Opener::new(String::from("x"));
        for salt in 0..4 {
            let text = format!("{SEALED}{}", base64::encode(&[salt; 40]));
            assert_eq!(opener.open("p", &text), Err(OpenError::Refused));
        }
        let text = format!("{SEALED}{}", base64::encode(&[9; 40]));
        assert_eq!(opener.open("p", &text), Err(OpenError::TooMany));
    }
}
