//! Who may type on the console: the password's hash, and how long a wrong answer costs.
//!
//! The director tells the console before anybody asks (a file in `/run`), so that a login works while the director is
//! wedged. The hash is computed by the console's shell, beside its loop; here is only what it means.

use crate::cli::transfer::base64;
use crate::model::text::Secret;
use crate::model::{Config, Millis};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Bytes of the shortest password. Chosen: NIST SP 800-63B section 3.1.1.2 for one that is not the only factor; whoever
/// types here stands before the box.
pub const PASSWORD_MIN: usize = 8;
/// Bytes of the longest.
pub const PASSWORD_MAX: usize = 128;
/// Memory of a new hash. Chosen: fits beside everything else in a box of 64 MiB.
pub const MEMORY_KIB: u32 = 8 * 1024;
/// Passes of a new hash.
pub const PASSES: u32 = 3;
/// Bytes of a new hash's salt.
pub const SALT_BYTES: usize = 16;
/// Bytes of a new hash's digest.
pub const DIGEST_BYTES: usize = 32;
/// Most memory of a hash made elsewhere: a login must not starve a small box.
const MEMORY_KIB_MAX: u32 = 16 * 1024;
/// Most passes of a hash made elsewhere.
const PASSES_MAX: u32 = 16;
/// Most lanes of a hash made elsewhere.
const LANES_MAX: u32 = 4;
/// The longest wait after a wrong password. Chosen: an hour gives 60 tries; who mistyped is not shut out.
pub const DELAY_MAX: Millis = Millis::from_secs(60);

/// What a console must know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Access {
    /// argon2id hash; without one nobody is asked.
    pub password: Option<Secret>,
    /// Silence that ends a session; 0 never.
    pub idle: Millis,
}

impl Access {
    /// As configured.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self { password: config.system.password.clone(), idle: config.system.idle_timeout }
    }
}

/// A password as typed. Nothing shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl Password {
    /// Takes what was typed.
    pub(crate) fn new(typed: Vec<u8>) -> Self {
        Self(typed)
    }

    /// For the one who hashes.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::model::text::REDACTED)
    }
}

/// How long the console is deaf after so many wrong passwords in a row: 1 s, doubled with each, up to [`DELAY_MAX`].
#[must_use]
pub fn delay(wrong: u32) -> Millis {
    let doubled = 1_u32.checked_shl(wrong.saturating_sub(1).min(16)).unwrap_or(u32::MAX);
    let seconds = if wrong == 0 { 0 } else { doubled };
    Millis::new(seconds.saturating_mul(1000)).min(DELAY_MAX)
}

/// An argon2id hash, version 19.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    /// KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// 8 to 48 bytes.
    pub salt: Vec<u8>,
    /// 16 to 64 bytes.
    pub digest: Vec<u8>,
}

impl Hash {
    /// Reads `$argon2id$v=19$m=8192,t=3,p=1$SALT$DIGEST`. The error is the rule that was broken, and repeats nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "must be $argon2id$v=19$m=8192,t=3,p=1$SALT$DIGEST";
        let mut parts = text.split('$');
        let mut next = || parts.next().ok_or(FORM);
        let ("", "argon2id", "v=19", costs, salt, digest) =
            (next()?, next()?, next()?, next()?, next()?, next()?)
        else {
            return Err(FORM.into());
        };
        let mut costs = costs.split(',');
        let mut cost = |key: &str, max: u32| {
            let value = costs.next().and_then(|c| c.strip_prefix(key)).and_then(|v| v.parse::<u32>().ok());
            match value {
                None => Err(String::from(FORM)),
                Some(value) if (1..=max).contains(&value) => Ok(value),
                Some(_) => Err(format!("{key} must be 1 to {max} on this box")),
            }
        };
        let hash = Self {
            memory: cost("m=", MEMORY_KIB_MAX)?,
            passes: cost("t=", PASSES_MAX)?,
            lanes: cost("p=", LANES_MAX)?,
            salt: bare(salt).ok_or(FORM)?,
            digest: bare(digest).ok_or(FORM)?,
        };
        let whole = costs.next().is_none() && parts.next().is_none();
        // RFC 9106 section 3.1.
        let sane = hash.memory >= hash.lanes.saturating_mul(8)
            && (8..=48).contains(&hash.salt.len())
            && (16..=64).contains(&hash.digest.len());
        if whole && sane { Ok(hash) } else { Err(FORM.into()) }
    }

    /// What [`Self::parse`] reads.
    #[must_use]
    pub fn phc(&self) -> String {
        let Self { memory, passes, lanes, salt, digest } = self;
        let text = |bytes: &[u8]| String::from(base64::encode(bytes).trim_end_matches('='));
        format!("$argon2id$v=19$m={memory},t={passes},p={lanes}${}${}", text(salt), text(digest))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::model::text::REDACTED)
    }
}

/// Base64 without padding.
fn bare(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || text.contains('=') {
        return None;
    }
    let pad = match text.len() % 4 {
        2 => "==",
        3 => "=",
        _ => "",
    };
    base64::decode(&format!("{text}{pad}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "$argon2id$v=19$m=8192,t=3,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG";

    #[test]
    fn a_hash_reads_and_prints_in_one_form() {
        assert_eq!(Hash::parse(GOOD).unwrap().phc(), GOOD);
    }

    #[test]
    fn hashes_that_no_login_could_check_are_refused_without_being_repeated() {
        for (from, to) in [
            ("m=8192", "m=1048576"),
            ("m=8192", "m=0"),
            ("t=3", "t=1000"),
            ("p=1", "p=9"),
            ("v=19", "v=16"),
            ("argon2id", "argon2d"),
            ("c29tZXNhbHQ", "c29t"),
            ("c29tZXNhbHQ", "c29tZXNhb*Q"),
            ("RdescudvJCsgt3ub+b4dWRWJTmaaJObG", "Rdes"),
            (",p=1", ""),
            (",p=1", ",p=1,x=1"),
        ] {
            let error = Hash::parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(!error.contains("c29tZX"), "{error}");
        }
        assert!(Hash::parse(&format!("{GOOD}$x")).is_err());
    }

    #[test]
    fn each_wrong_password_costs_twice_as_much_up_to_a_minute() {
        let seconds: Vec<u32> = (0..9).map(|wrong| delay(wrong).get() / 1000).collect();
        assert_eq!(seconds, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(delay(u32::MAX), DELAY_MAX);
    }
}
