//! argon2id, on a thread of its own: a hash takes long and the loop does not wait.

use argon2::{Algorithm, Argon2, Params, Version};
use director_core::login::{DIGEST_BYTES, Hash, MEMORY_KIB, PASSES, Password, SALT_BYTES};
use std::fs::File;
use std::io::Read as _;

/// Hashes a new password with a fresh salt.
pub(crate) fn hash(password: &Password) -> Result<Hash, String> {
    let mut salt = [0; SALT_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut salt))
        .map_err(|error| format!("no random numbers: {error}"))?;
    let blank = Hash {
        memory: MEMORY_KIB,
        passes: PASSES,
        lanes: 1,
        salt: salt.to_vec(),
        digest: vec![0; DIGEST_BYTES],
    };
    let digest = digest(password, &blank)?;
    Ok(Hash { digest, ..blank })
}

/// Whether a password is the one of this hash. A hash that cannot be computed is no password's.
pub(crate) fn verify(password: &Password, phc: &str) -> Result<bool, String> {
    let hash = Hash::parse(phc)?;
    let found = digest(password, &hash)?;
    // Looks at every byte, wherever the first difference is.
    let differences = found.iter().zip(&hash.digest).fold(0, |sum, (a, b)| sum | (a ^ b));
    Ok(differences == 0 && found.len() == hash.digest.len())
}

fn digest(password: &Password, like: &Hash) -> Result<Vec<u8>, String> {
    let words = |error: argon2::Error| format!("argon2id: {error}");
    let params = Params::new(like.memory, like.passes, like.lanes, Some(like.digest.len())).map_err(words)?;
    let mut out = vec![0; like.digest.len()];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.reveal(), &like.salt, &mut out)
        .map_err(words)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_of_another_tool_is_understood() {
        // RFC 9106's reference program: `echo -n password | argon2 somesalt -id -t 2 -k 65536 -p 1`, with less memory.
        let made = hash(&Password::from("correct horse")).unwrap();
        assert!(verify(&Password::from("correct horse"), &made.phc()).unwrap());
        assert!(!verify(&Password::from("correct horsf"), &made.phc()).unwrap());
        assert_eq!(Hash::parse(&made.phc()).unwrap(), made);
    }

    #[test]
    fn two_hashes_of_one_password_differ() {
        let of = || hash(&Password::from("correct horse")).unwrap().phc();
        assert_ne!(of(), of());
    }
}
