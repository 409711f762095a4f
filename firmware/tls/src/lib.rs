//! A TLS client for health checks, without I/O, clock or randomness.
//!
//! It asks whether a server speaks TLS and who it says it is; it is no client for secrets of others. TLS 1.3 (RFC 8446)
//! and 1.2 (RFC 5246 with ECDHE, AEAD suites and RFC 7627), X25519, P-256 and P-384, AES-GCM and ChaCha20-Poly1305. No sessions are
//! resumed, no client certificate is shown, nothing is compressed. The primitives are those of the `RustCrypto` crates; here
//! are the record layer, the handshakes and the rules for certificates.
//!
//! Why it exists: rustls costs this firmware four times as many bytes (docs/measurements.md), and the program has a budget.
//!
//! ```text
//!             new()                 feed(bytes)                 send(bytes)
//! connected ---------> first flight ------------> more flights ------------> records
//!                                        |
//!                                        +--> plain bytes, or why not
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod alert;
pub mod certificate;
mod client;
mod der;
mod exchange;
mod hello;
mod kdf;
mod power;
mod reader;
mod record;
mod signature;
mod suite;
mod v12;
mod v13;

#[cfg(test)]
mod openssl_tests;
#[cfg(test)]
mod tests;

pub use certificate::{Policy, Seen};
pub use client::{Ask, Client};

/// Random bytes that one handshake takes: client random, session id, and a secret for each of two key exchanges.
pub const RANDOM_BYTES: usize = 32 + 32 + 2 * exchange::SECRET_BYTES;
/// Most bytes of one handshake message. Chosen: four times the longest chain of certificates seen.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Certificates of a chain that are looked at. Chosen: twice the longest of a public authority.
pub const CHAIN_MAX: usize = 8;
