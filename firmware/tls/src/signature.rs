//! Signatures by the keys that certificates hold. Only what is public is computed with.

use crate::power::power;
use alloc::vec::Vec;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// Bytes of an RSA modulus: 2048 to 8192 bits. Less is not safe, more takes seconds.
const MODULUS_BYTES: core::ops::RangeInclusive<usize> = 256..=1024;

/// A public key of a certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    Rsa { modulus: &'a [u8], exponent: &'a [u8] },
    P256(&'a [u8]),
    P384(&'a [u8]),
    Ed25519(&'a [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

/// How something was signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Algorithm {
    Pkcs1(Digest),
    Pss(Digest),
    Ecdsa(Digest),
    Ed25519,
}

/// Numbers of what is offered (RFC 8446 section 4.2.3), best first.
pub(crate) const SCHEMES: [u16; 9] = [0x0403, 0x0503, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601];

impl Algorithm {
    /// By its number in TLS.
    pub(crate) const fn of_scheme(scheme: u16) -> Option<Self> {
        Some(match scheme {
            0x0403 => Self::Ecdsa(Digest::Sha256),
            0x0503 => Self::Ecdsa(Digest::Sha384),
            0x0807 => Self::Ed25519,
            0x0804 => Self::Pss(Digest::Sha256),
            0x0805 => Self::Pss(Digest::Sha384),
            0x0806 => Self::Pss(Digest::Sha512),
            0x0401 => Self::Pkcs1(Digest::Sha256),
            0x0501 => Self::Pkcs1(Digest::Sha384),
            0x0601 => Self::Pkcs1(Digest::Sha512),
            _ => return None,
        })
    }

    /// By its object identifier in a certificate.
    pub(crate) fn of_oid(oid: &[u8]) -> Option<Self> {
        const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
        const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
        let (last, front) = oid.split_last()?;
        match (front, last) {
            (RSA, 11) => Some(Self::Pkcs1(Digest::Sha256)),
            (RSA, 12) => Some(Self::Pkcs1(Digest::Sha384)),
            (RSA, 13) => Some(Self::Pkcs1(Digest::Sha512)),
            (ECDSA, 2) => Some(Self::Ecdsa(Digest::Sha256)),
            (ECDSA, 3) => Some(Self::Ecdsa(Digest::Sha384)),
            (ECDSA, 4) => Some(Self::Ecdsa(Digest::Sha512)),
            ([0x2b, 0x65], 112) => Some(Self::Ed25519),
            _ => None,
        }
    }
}

impl Digest {
    fn of(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha384 => Sha384::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    /// `DigestInfo` up to the hash (RFC 8017 section 9.2).
    const fn prefix(self) -> [u8; 19] {
        let (oid, bytes) = match self {
            Self::Sha256 => (1, 32),
            Self::Sha384 => (2, 48),
            Self::Sha512 => (3, 64),
        };
        [0x30, 17 + bytes, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, oid, 5, 0, 4, bytes]
    }
}

/// Whether `signature` under `message` is by `key`.
pub(crate) fn verify(key: Key<'_>, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    match (key, algorithm) {
        (Key::P256(point), Algorithm::Ecdsa(digest)) => {
            let Ok(key) = p256::ecdsa::VerifyingKey::from_sec1_bytes(point) else { return false };
            let Ok(signature) = p256::ecdsa::Signature::from_der(signature) else { return false };
            key.verify_prehash(&digest.of(message), &signature).is_ok()
        }
        (Key::P384(point), Algorithm::Ecdsa(digest)) => {
            let Ok(key) = p384::ecdsa::VerifyingKey::from_sec1_bytes(point) else { return false };
            let Ok(signature) = p384::ecdsa::Signature::from_der(signature) else { return false };
            key.verify_prehash(&digest.of(message), &signature).is_ok()
        }
        (Key::Ed25519(key), Algorithm::Ed25519) => {
            let Ok(key) = ed25519_compact::PublicKey::from_slice(key) else { return false };
            let Ok(signature) = ed25519_compact::Signature::from_slice(signature) else { return false };
            key.verify(message, &signature).is_ok()
        }
        (Key::Rsa { modulus, exponent }, Algorithm::Pkcs1(digest)) => {
            rsa(modulus, exponent, signature).is_some_and(|encoded| pkcs1(digest, message, &encoded))
        }
        (Key::Rsa { modulus, exponent }, Algorithm::Pss(digest)) => {
            let bits = bits(modulus);
            rsa(modulus, exponent, signature)
                .is_some_and(|encoded| pss(digest, message, &encoded, bits).is_some())
        }
        _ => false,
    }
}

/// `signature` to the power of the exponent, as long as the modulus.
fn rsa(modulus: &[u8], exponent: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    // Every exponent in use fits four bytes; longer ones only cost time.
    let sound = MODULUS_BYTES.contains(&modulus.len()) && (1..=4).contains(&exponent.len());
    if !sound || signature.len() != modulus.len() {
        return None;
    }
    let exponent = exponent.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
    power(signature, exponent, modulus)
}

/// EMSA-PKCS1-v1_5 (RFC 8017 section 9.2): what must have been signed, byte by byte.
fn pkcs1(digest: Digest, message: &[u8], encoded: &[u8]) -> bool {
    let hash = digest.of(message);
    let tail = [digest.prefix().as_slice(), &hash].concat();
    let Some(filling) = encoded.len().checked_sub(tail.len() + 3) else { return false };
    let mut wanted = Vec::from([0, 1]);
    wanted.resize(filling + 2, 0xff);
    wanted.push(0);
    wanted.extend(tail);
    filling >= 8 && wanted == encoded
}

/// EMSA-PSS (RFC 8017 section 9.1.2) with a salt as long as the hash, as TLS has it.
fn pss(digest: Digest, message: &[u8], encoded: &[u8], modulus_bits: usize) -> Option<()> {
    let hash = digest.of(message);
    // One bit less than the modulus; with a whole number of bytes left the first byte of the power is 0.
    let bits = modulus_bits.checked_sub(1)?;
    let length = bits.div_ceil(8);
    let encoded = match encoded.len().checked_sub(length)? {
        0 => encoded,
        1 => encoded.strip_prefix(&[0])?,
        _ => return None,
    };
    let front = encoded.strip_suffix(&[0xbc])?;
    let (masked, theirs) = front.split_at_checked(front.len().checked_sub(hash.len())?)?;
    let unused = u32::try_from(length * 8 - bits).ok()?;
    let keep = 0xff_u8.checked_shr(unused)?;
    if masked.first()? & !keep != 0 {
        return None;
    }
    let mut block: Vec<u8> =
        masked.iter().zip(mask(digest, theirs, masked.len())).map(|(a, b)| a ^ b).collect();
    *block.first_mut()? &= keep;
    let (filling, salt) = block.split_at_checked(block.len().checked_sub(hash.len())?)?;
    let (one, zeros) = filling.split_last()?;
    if *one != 1 || zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    let ours = digest.of(&[&[0; 8], hash.as_slice(), salt].concat());
    (ours == theirs).then_some(())
}

/// MGF1 (RFC 8017 appendix B.2.1).
fn mask(digest: Digest, seed: &[u8], length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut counter = 0_u32;
    // Each round adds a hash.
    while out.len() < length {
        out.extend(digest.of(&[seed, &counter.to_be_bytes()].concat()));
        counter += 1;
    }
    out.truncate(length);
    out
}

fn bits(modulus: &[u8]) -> usize {
    let first = modulus.first().copied().unwrap_or(0);
    let unused = usize::try_from(first.leading_zeros()).unwrap_or(0);
    (modulus.len() * 8).saturating_sub(unused)
}
