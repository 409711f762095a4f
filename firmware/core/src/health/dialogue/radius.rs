//! RADIUS Access-Request (RFC 2865 section 4) with Message-Authenticator (RFC 3579 section 3.2).

use super::reader::Reader;
use super::{Machine, Step};
use crate::health::ProbeId;
use crate::model::check::{self, Login};
use crate::model::text::Secret;
use alloc::string::String;
use alloc::vec::Vec;
use md5::{Digest, Md5};

const ACCEPT: u8 = 2;
const REJECT: u8 = 3;
const CHALLENGE: u8 = 11;
/// Code, identifier, length, authenticator.
const HEADER_BYTES: usize = 20;
/// Longest password: eight blocks (RFC 2865 section 5.2).
const PASSWORD_BYTES_MAX: usize = 128;

/// Spreads the number of a run over 64 bits (splitmix64), so that neighbours look different.
pub(crate) const fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One request.
#[derive(Debug)]
pub(super) struct Radius {
    request: Vec<u8>,
    number: u8,
    authenticator: [u8; 16],
    secret: Vec<u8>,
    reject_is_good: bool,
}

impl Radius {
    pub(super) fn new(details: &check::Radius, login: &Login, id: ProbeId) -> Self {
        let secret = details.secret.as_ref().map_or("", Secret::reveal).as_bytes().to_vec();
        let [number, ..] = mix(id.0).to_be_bytes();
        // Unpredictable for who does not know the secret, and another one in each run (RFC 2865 section 3).
        let authenticator: [u8; 16] =
            Md5::new().chain_update(&secret).chain_update(id.0.to_be_bytes()).finalize().into();
        let user = login.user.as_ref().map_or("director", |user| user.as_str());
        let password = login.password.as_ref().map_or("", Secret::reveal);
        let mut attributes = Vec::new();
        attribute(&mut attributes, 1, user.as_bytes());
        attribute(&mut attributes, 2, &hide(password.as_bytes(), &secret, &authenticator));
        attribute(&mut attributes, 32, b"director");
        attribute(&mut attributes, 80, &[0; 16]);
        let mut request = packet(1, number, &authenticator, &attributes);
        let signature = hmac_md5(&secret, &request);
        request.truncate(request.len().saturating_sub(signature.len()));
        request.extend_from_slice(&signature);
        Self { request, number, authenticator, secret, reject_is_good: details.reject_is_good }
    }

    /// `None`: not an answer to this request, or forged.
    fn judge(&self, bytes: &[u8]) -> Option<Result<(), String>> {
        let mut reader = Reader(bytes);
        let (code, number, length) = (reader.u8()?, reader.u8()?, usize::from(reader.be16()?));
        let authenticator = reader.array::<16>()?;
        let attributes = bytes.get(HEADER_BYTES..length)?;
        if number != self.number {
            return None;
        }
        let header = bytes.get(..4)?;
        let expected: [u8; 16] = Md5::new()
            .chain_update(header)
            .chain_update(self.authenticator)
            .chain_update(attributes)
            .chain_update(&self.secret)
            .finalize()
            .into();
        if expected != authenticator {
            return Some(Err(String::from("the answer is signed with another secret")));
        }
        Some(match code {
            ACCEPT => Ok(()),
            REJECT | CHALLENGE if self.reject_is_good => Ok(()),
            REJECT => Err(String::from("rejects the login")),
            CHALLENGE => Err(String::from("wants a second factor")),
            _ => Err(String::from("not an answer to an Access-Request")),
        })
    }
}

fn attribute(attributes: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let value = value.get(..value.len().min(253)).unwrap_or_default();
    attributes.push(kind);
    attributes.push(u8::try_from(value.len().saturating_add(2)).unwrap_or(u8::MAX));
    attributes.extend_from_slice(value);
}

fn packet(code: u8, number: u8, authenticator: &[u8; 16], attributes: &[u8]) -> Vec<u8> {
    let length = attributes.len().saturating_add(HEADER_BYTES);
    let mut packet = Vec::from([code, number]);
    packet.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    packet.extend_from_slice(authenticator);
    packet.extend_from_slice(attributes);
    packet
}

/// RFC 2865 section 5.2.
fn hide(password: &[u8], secret: &[u8], authenticator: &[u8; 16]) -> Vec<u8> {
    let mut padded = password.get(..password.len().min(PASSWORD_BYTES_MAX)).unwrap_or_default().to_vec();
    padded.resize(padded.len().next_multiple_of(16).max(16), 0);
    let mut hidden = Vec::new();
    let mut before = *authenticator;
    for block in padded.chunks_exact(16) {
        let key: [u8; 16] = Md5::new().chain_update(secret).chain_update(before).finalize().into();
        for ((out, clear), key) in before.iter_mut().zip(block).zip(key) {
            *out = clear ^ key;
        }
        hidden.extend_from_slice(&before);
    }
    hidden
}

/// RFC 2104.
fn hmac_md5(key: &[u8], message: &[u8]) -> [u8; 16] {
    let mut block = [0_u8; 64];
    let hashed: [u8; 16];
    let short = if key.len() > block.len() {
        hashed = Md5::digest(key).into();
        hashed.as_slice()
    } else {
        key
    };
    for (out, byte) in block.iter_mut().zip(short) {
        *out = *byte;
    }
    let inner = Md5::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(message).finalize();
    Md5::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().into()
}

impl Machine for Radius {
    fn open(&mut self) -> Step {
        Step::SendSecret(self.request.clone())
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        self.judge(bytes).map_or(Step::Wait, Step::Done)
    }

    fn closed(&mut self) -> Result<(), String> {
        Err(String::from("connection closed without an answer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyed_digest_is_that_of_rfc_2202() {
        let digest = hmac_md5(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            digest,
            [0x75, 0x0c, 0x78, 0x3e, 0x6a, 0xb0, 0xb5, 0x03, 0xea, 0xa8, 0x6e, 0x31, 0x0a, 0x5d, 0xb7, 0x38]
        );
    }

    #[test]
    fn the_password_is_hidden_as_in_rfc_2865_section_7_1() {
        let authenticator =
            [0x0f, 0x40, 0x3f, 0x94, 0x73, 0x97, 0x80, 0x57, 0xbd, 0x83, 0xd5, 0xcb, 0x98, 0xf4, 0x22, 0x7a];
        assert_eq!(
            hide(b"arctangent", b"xyzzy5461", &authenticator),
            [0x0d, 0xbe, 0x70, 0x8d, 0x93, 0xd4, 0x13, 0xce, 0x31, 0x96, 0xe4, 0x3f, 0x78, 0x2a, 0x0a, 0xee]
        );
    }
}
