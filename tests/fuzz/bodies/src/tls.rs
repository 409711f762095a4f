//! What TLS servers say, and the certificates that they show.

use crate::bytes::Bytes;
use director_tls::certificate::{fingerprint, judge};
use director_tls::{Ask, Client, Policy, RANDOM_BYTES};

/// What clients of the corpus used, so that whole handshakes of real servers can be said again.
const RANDOM: [u8; RANDOM_BYTES] = [7; RANDOM_BYTES];
/// Within the validity of the corpus' certificates: 2026-12-01.
const NOW: u64 = 1_796_083_200;

/// A server's side of a connection, or a certificate: words or a wish for more, no bytes from nothing, and a handshake
/// that was open stays open.
pub fn fuzz_tls(data: &[u8]) {
    let mut bytes = Bytes(data);
    let how = bytes.byte();
    let step = usize::from(bytes.byte()).max(1);
    if how & 3 == 0 {
        return certificates(bytes.0, step);
    }
    let policy = match how & 12 {
        0 => Policy::Any,
        4 => Policy::Pin([7; 32]),
        _ => Policy::Authority([7; 32]),
    };
    let name = (how & 16 != 0).then(|| "www.example.org".to_owned());
    let (mut client, first) = Client::new(Ask { name, policy, unix_s: Some(NOW), random: RANDOM });
    assert!(first.starts_with(&[22, 3, 3]) && client.send(b"early").is_empty());
    let mut plain = Vec::new();
    let mut was_open = false;
    for piece in bytes.0.chunks(step * 16) {
        let mut out = Vec::new();
        if let Err(words) = client.feed(piece, &mut plain, &mut out) {
            assert!(!words.is_empty() && words.len() < 512 && !words.contains(char::is_control), "{words:?}");
            return;
        }
        assert!(client.is_open() || !was_open);
        was_open = client.is_open();
        assert!(plain.len() <= bytes.0.len() && (plain.is_empty() || was_open));
        // With any certificate nobody was judged; with these two nobody can pass.
        assert!(!was_open || policy == Policy::Any);
    }
    assert_eq!(client.send(b"late").is_empty(), !was_open);
}

/// A chain cut from the bytes: nothing but the pinned certificate is good, and a chain that ends at itself is.
fn certificates(bytes: &[u8], step: usize) {
    let chain: Vec<Vec<u8>> = bytes.chunks(step * 8).map(<[u8]>::to_vec).collect();
    assert_eq!(judge(&chain, Policy::Any, None, Some(NOW)).is_ok(), !chain.is_empty());
    assert!(judge(&chain, Policy::Pin([7; 32]), None, Some(NOW)).is_err());
    assert!(judge(&chain, Policy::Authority([7; 32]), Some("a.b.c"), None).is_err());
    if let Some(first) = chain.first() {
        assert!(judge(&chain, Policy::Pin(fingerprint(first)), None, Some(NOW)).is_ok());
    }
    for certificate in &chain {
        drop(judge(&chain, Policy::Authority(fingerprint(certificate)), Some("www.example.org"), Some(NOW)));
    }
}
