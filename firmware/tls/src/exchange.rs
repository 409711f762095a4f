//! The key exchanges: X25519, and ECDHE over P-256 and P-384.

use alloc::vec::Vec;
use ed25519_compact::x25519;
use p256::elliptic_curve::ecdh::diffie_hellman;
use p256::elliptic_curve::sec1::ToSec1Point as _;

/// Number of X25519 among the groups.
pub(crate) const X25519: u16 = 29;
/// Number of P-256.
pub(crate) const P256: u16 = 23;
/// Number of P-384. TLS 1.2 shows certificates with a key of this curve only to those who know it.
pub(crate) const P384: u16 = 24;
/// Bytes of the longest secret.
pub(crate) const SECRET_BYTES: usize = 48;

/// A secret that waits for the server's half.
pub(crate) enum Exchange {
    X25519(x25519::SecretKey),
    P256(p256::SecretKey),
    P384(p384::SecretKey),
}

impl core::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Exchange")
    }
}

impl Exchange {
    /// Begins. `None` for another group, and for the few numbers that are no key of a curve.
    pub(crate) fn new(group: u16, random: [u8; SECRET_BYTES]) -> Option<Self> {
        let short = *random.first_chunk()?;
        match group {
            X25519 => Some(Self::X25519(x25519::SecretKey::new(short))),
            P256 => p256::SecretKey::from_slice(&short).ok().map(Self::P256),
            P384 => p384::SecretKey::from_slice(&random).ok().map(Self::P384),
            _ => None,
        }
    }

    pub(crate) const fn group(&self) -> u16 {
        match self {
            Self::X25519(_) => X25519,
            Self::P256(_) => P256,
            Self::P384(_) => P384,
        }
    }

    /// Our half.
    pub(crate) fn public(&self) -> Option<Vec<u8>> {
        match self {
            Self::X25519(secret) => secret.recover_public_key().ok().map(|public| public.to_vec()),
            Self::P256(secret) => Some(secret.public_key().to_sec1_point(false).as_bytes().to_vec()),
            Self::P384(secret) => Some(secret.public_key().to_sec1_point(false).as_bytes().to_vec()),
        }
    }

    /// The shared secret. `None`: the server's half is no point of the group.
    pub(crate) fn complete(&self, theirs: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::X25519(secret) => {
                let public = x25519::PublicKey::from_slice(theirs).ok()?;
                public.dh(secret).ok().map(|shared| shared.to_vec())
            }
            Self::P256(secret) => {
                // Compressed points are not negotiated.
                let public = p256::PublicKey::from_sec1_bytes(theirs).ok().filter(|_| theirs.len() == 65)?;
                let shared = diffie_hellman(secret.to_nonzero_scalar(), public.as_affine());
                Some(shared.raw_secret_bytes().to_vec())
            }
            Self::P384(secret) => {
                let public = p384::PublicKey::from_sec1_bytes(theirs).ok().filter(|_| theirs.len() == 97)?;
                let shared = diffie_hellman(secret.to_nonzero_scalar(), public.as_affine());
                Some(shared.raw_secret_bytes().to_vec())
            }
        }
    }
}
