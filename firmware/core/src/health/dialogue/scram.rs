//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the client's half, without channel binding.

use crate::cli::transfer::base64;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::str;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Rounds that are computed at most. Chosen: a hundred times what servers ask for would take a second.
const ROUNDS_MAX: u32 = 100_000;
/// `n,,`: no channel binding, in base64.
const NO_BINDING: &str = "biws";

/// One login.
#[derive(Debug)]
pub(super) struct Scram {
    first: String,
    /// What the server must know in the end.
    signature: Vec<u8>,
}

impl Scram {
    /// Begins with a nonce: the login and the first message. The user is known to the server already.
    pub(super) fn new(nonce: u64) -> (Self, String) {
        let first = format!("n=,r=director{nonce:016x}");
        let message = format!("n,,{first}");
        (Self { first, signature: Vec::new() }, message)
    }

    /// The answer to the server's first message. `None`: it is not one.
    pub(super) fn answer(&mut self, message: &[u8], password: &str) -> Option<String> {
        let message = str::from_utf8(message).ok()?;
        let mut fields = message.split(',');
        let nonce = fields.next()?.strip_prefix("r=")?;
        let salt = base64::decode(fields.next()?.strip_prefix("s=")?)?;
        let rounds =
            fields.next()?.strip_prefix("i=")?.parse().ok().filter(|n| (1..=ROUNDS_MAX).contains(n))?;
        let (_, own) = self.first.split_once("r=")?;
        if !nonce.starts_with(own) || nonce.len() == own.len() {
            return None;
        }
        let salted = salted(password.as_bytes(), &salt, rounds)?;
        let last = format!("c={NO_BINDING},r={nonce}");
        let said = format!("{},{message},{last}", self.first);
        let client = mac(&salted, b"Client Key")?;
        let stored: [u8; 32] = Sha256::digest(client).into();
        let signature = mac(&stored, said.as_bytes())?;
        let proof: Vec<u8> = client.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        self.signature = mac(&mac(&salted, b"Server Key")?, said.as_bytes())?.to_vec();
        Some(format!("{last},p={}", base64::encode(&proof)))
    }

    /// Whether the server knows the password, too.
    pub(super) fn proven(&self, message: &[u8]) -> bool {
        let text = str::from_utf8(message).ok().and_then(|text| text.strip_prefix("v="));
        let theirs = text.and_then(base64::decode);
        theirs.is_some_and(|theirs| !theirs.is_empty() && theirs == self.signature)
    }
}

fn mac(key: &[u8], data: &[u8]) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(data);
    Some(mac.finalize().into_bytes().into())
}

/// PBKDF2 with HMAC-SHA-256, one block (RFC 8018 section 5.2).
fn salted(password: &[u8], salt: &[u8], rounds: u32) -> Option<[u8; 32]> {
    let keyed = Hmac::<Sha256>::new_from_slice(password).ok()?;
    let once = |data: &[&[u8]]| -> [u8; 32] {
        let mut mac = keyed.clone();
        data.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let mut block = once(&[salt, &[0, 0, 0, 1]]);
    let mut sum = block;
    for _ in 1..rounds {
        block = once(&[&block]);
        sum.iter_mut().zip(block).for_each(|(to, from)| *to ^= from);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_comes_out() {
        // RFC 7677 section 3, with the nonce and the user that stand there.
        let mut scram = Scram { first: "n=user,r=rOprNGfwEbeRWgbNEkqO".into(), signature: Vec::new() };
        let server =
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(
            scram.answer(server, "pencil").unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(scram.proven(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!scram.proven(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
    }

    #[test]
    fn a_foreign_nonce_and_endless_rounds_are_refused() {
        let (mut scram, first) = Scram::new(7);
        assert!(first.starts_with("n,,n=,r=director"));
        for bad in [
            &b"r=another,s=AAAA,i=4096"[..],
            b"r=director0000000000000007,s=AAAA,i=4096",
            b"r=director0000000000000007x,s=AAAA,i=4000000000",
            b"r=director0000000000000007x,s=A,i=4096",
            b"",
        ] {
            assert_eq!(scram.answer(bad, "x"), None);
        }
    }
}
