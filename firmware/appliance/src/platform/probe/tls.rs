//! What checks inside TLS need of the world: random numbers and the time.

use crate::platform::clock;
use director_core::health::dialogue::Channel;
use director_core::model::check::{Certificate, Tls};
use director_tls::{Ask, Client, Policy, RANDOM_BYTES};
use std::fs::File;
use std::io::Read as _;

/// A clock before this was never set: 2026-01-01. Boxes without a battery start in 1970 or at the date of their firmware.
const CLOCK_SET_S: u64 = 1_767_225_600;

/// A connection that has not begun; then one that has.
#[derive(Debug)]
enum Connection {
    Waiting(Box<Ask>),
    Begun(Box<Client>),
}

/// The TLS connection of a check. `None`: there are no random numbers.
pub(super) fn channel(tls: &Tls) -> Option<Box<dyn Channel>> {
    let mut random = [0; RANDOM_BYTES];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).ok()?;
    let fingerprint = tls.fingerprint.as_ref().and_then(|text| digits(text.as_str()));
    let policy = match (tls.certificate, fingerprint) {
        (Certificate::Any, _) => Policy::Any,
        (Certificate::Pin, Some(fingerprint)) => Policy::Pin(fingerprint),
        (Certificate::Ca, Some(fingerprint)) => Policy::Authority(fingerprint),
        // Refused by validation; nothing has this fingerprint.
        (Certificate::Pin | Certificate::Ca, None) => Policy::Pin([0; 32]),
    };
    let name = tls.sni.as_ref().map(|name| name.as_str().to_owned());
    Some(Box::new(Connection::Waiting(Box::new(Ask { name, policy, unix_s: now_s(), random }))))
}

/// Seconds until a time; `None` while the clock is not set.
pub(super) fn left_s(unix_s: u64) -> Option<i64> {
    i64::try_from(unix_s).ok()?.checked_sub(i64::try_from(now_s()?).ok()?)
}

fn now_s() -> Option<u64> {
    Some(clock::unix_s()).filter(|now| *now >= CLOCK_SET_S)
}

fn digits(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let mut pairs = text.as_bytes().chunks_exact(2);
    for byte in &mut bytes {
        let pair = std::str::from_utf8(pairs.next()?).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

impl Channel for Connection {
    fn begin(&mut self) -> Vec<u8> {
        match self {
            Self::Waiting(ask) => {
                let (client, first) = Client::new(Ask::clone(ask));
                *self = Self::Begun(Box::new(client));
                first
            }
            Self::Begun(_) => Vec::new(),
        }
    }

    fn feed(&mut self, bytes: &[u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Waiting(_) => Ok(()),
            Self::Begun(client) => client.feed(bytes, plain, out),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Begun(client) if client.is_open())
    }

    fn ended(&self) -> bool {
        matches!(self, Self::Begun(client) if client.ended())
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Waiting(_) => Vec::new(),
            Self::Begun(client) => client.send(bytes),
        }
    }

    fn certificate_ends(&self) -> Option<u64> {
        match self {
            Self::Waiting(_) => None,
            Self::Begun(client) => client.certificate().map(|seen| seen.ends_unix_s),
        }
    }
}
