//! Base64 of RFC 4648 section 4, with padding.

use alloc::string::String;
use alloc::vec::Vec;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4_usize {
            let shift = 18_usize.saturating_sub(i.saturating_mul(6));
            let index = usize::try_from(group >> shift & 63).unwrap_or(0);
            let digit = ALPHABET.get(index).map_or('=', |c| char::from(*c));
            out.push(if i > chunk.len() { '=' } else { digit });
        }
    }
    out
}

/// `None` for what [`encode`] does not make.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for chunk in text.as_bytes().chunks(4) {
        let digits = chunk.iter().position(|c| *c == b'=').unwrap_or(chunk.len());
        let mut group = 0_u32;
        for i in 0..4_usize {
            let digit = match chunk.get(i) {
                Some(c) if i < digits => u32::try_from(ALPHABET.iter().position(|a| a == c)?).ok()?,
                Some(_) | None => 0,
            };
            group = group << 6 | digit;
        }
        let [_, bytes @ ..] = group.to_be_bytes();
        out.extend_from_slice(bytes.get(..digits.checked_sub(1)?)?);
    }
    (encode(&out) == text).then_some(out)
}
