//! What a server must not say, made from recorded handshakes of `openssl s_server`.

use crate::record::HEADER_BYTES;
use crate::{Ask, Client, Policy, RANDOM_BYTES};
use alloc::string::String;
use alloc::vec::Vec;

const V13: &[u8] = include_bytes!("../../../tests/fuzz/corpus/tls/v13-aes");
const V12: &[u8] = include_bytes!("../../../tests/fuzz/corpus/tls/v12-aes");
/// Two bytes before the recording say how the fuzz target plays it.
const RECORDING: usize = 2;

/// A client that used the same random bytes hears this.
fn hear(bytes: &[u8]) -> Result<bool, String> {
    let ask = Ask { name: None, policy: Policy::Any, unix_s: None, random: [7; RANDOM_BYTES] };
    let (mut client, _) = Client::new(ask);
    client.feed(bytes, &mut Vec::new(), &mut Vec::new())?;
    Ok(client.is_open())
}

/// The recording, with bytes added to the record that ends before `end`, which began at `start`.
fn with_more(recording: &[u8], start: usize, more: &[u8]) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes([recording[start + 3], recording[start + 4]]));
    let end = start + HEADER_BYTES + length;
    let mut bytes = recording[..end].to_vec();
    bytes.extend_from_slice(more);
    let length = u16::try_from(length + more.len()).unwrap();
    bytes[start + 3..start + 5].copy_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&recording[end..]);
    bytes
}

/// Where each record begins that is a handshake in clear.
fn clear_handshakes(recording: &[u8]) -> Vec<usize> {
    let mut at = 0;
    let mut found = Vec::new();
    while recording.get(at) == Some(&22) {
        found.push(at);
        at += HEADER_BYTES + usize::from(u16::from_be_bytes([recording[at + 3], recording[at + 4]]));
    }
    found
}

#[test]
fn a_recorded_handshake_is_heard_to_its_end() {
    assert_eq!(hear(&V13[RECORDING..]), Ok(true));
    assert_eq!(hear(&V12[RECORDING..]), Ok(true));
}

#[test]
fn a_message_that_begins_in_clear_is_not_ended_under_keys() {
    let recording = &V13[RECORDING..];
    for more in [&[8, 0][..], &[8, 0, 0, 2], &[8, 0, 0, 2, 0]] {
        let why = hear(&with_more(recording, 0, more)).unwrap_err();
        assert_eq!(why, "the server's TLS messages go on across a change of keys");
    }
}

#[test]
fn a_message_of_tls_1_2_does_not_go_on_behind_the_change_of_ciphers() {
    let recording = &V12[RECORDING..];
    let last = *clear_handshakes(recording).last().unwrap();
    for more in [&[20, 0][..], &[20, 0, 0, 12]] {
        let why = hear(&with_more(recording, last, more)).unwrap_err();
        assert_eq!(why, "a damaged message in the TLS handshake");
    }
}
