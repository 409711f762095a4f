//! A DHCP server with one address.

use director_core::wire::dhcp::{Answer, Kind, emit_answer};
use std::net::Ipv4Addr;

/// Lends this address, and refuses every other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lender {
    /// The address.
    pub address: Ipv4Addr,
    /// Prefix length.
    pub prefix: u8,
    /// Router, and the server itself.
    pub router: Ipv4Addr,
    /// Seconds.
    pub lease_s: u32,
}

impl Lender {
    /// What it says to a message.
    ///
    /// # Panics
    /// When the message is none.
    #[must_use]
    pub fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        let four = |at: usize| <[u8; 4]>::try_from(&message[at..at + 4]).unwrap();
        let wanted = self.address.octets();
        let asks_for =
            four(12) == wanted || message[240..].windows(6).any(|w| w[..2] == [50, 4] && w[2..] == wanted);
        let kind = match message[242] {
            1 => Kind::Offer,
            3 if asks_for => Kind::Ack,
            3 => Kind::Nak,
            _ => return None,
        };
        Some(emit_answer(&Answer {
            kind,
            xid: u32::from_be_bytes(four(4)),
            mac: message[28..34].try_into().unwrap(),
            address: self.address,
            server: Some(self.router),
            prefix: Some(self.prefix),
            router: Some(self.router),
            lease_s: Some(self.lease_s),
            t1_s: None,
            t2_s: None,
        }))
    }
}
