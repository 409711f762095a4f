//! ICMP echo (RFC 792, RFC 4443 section 4).

use super::reader::Reader;
use crate::health::ProbeId;
use crate::model::check::Ping;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Bytes of data that tell our answer from others: the number of the run, and a number made of it.
const TOKEN_BYTES: usize = 16;

/// One echo.
#[derive(Clone, Debug)]
pub struct Echo {
    ipv4: bool,
    number: u64,
    size: usize,
}

impl Echo {
    pub(super) fn new(details: Option<&Ping>, target: IpAddr, id: ProbeId) -> Self {
        let size = usize::from(details.cloned().unwrap_or_default().size);
        Self { ipv4: target.is_ipv4(), number: id.0, size }
    }

    /// The message, without IP header. For IPv4 with its checksum; for IPv6 the kernel fills it in.
    #[must_use]
    pub fn request(&self) -> Vec<u8> {
        let [.., a, b, c, d] = self.number.to_be_bytes();
        let kind = if self.ipv4 { 8 } else { 128 };
        let mut message = Vec::from([kind, 0, 0, 0, a, b, c, d]);
        message.extend_from_slice(&self.data());
        if self.ipv4 {
            let sum = checksum(&message).to_be_bytes();
            for (byte, sum) in message.iter_mut().skip(2).zip(sum) {
                *byte = sum;
            }
        }
        message
    }

    fn data(&self) -> Vec<u8> {
        let mut data = self.number.to_be_bytes().to_vec();
        data.extend_from_slice(&super::radius::mix(self.number).to_be_bytes());
        debug_assert!(data.len() == TOKEN_BYTES, "the token has its size");
        data.resize(self.size, 0x55);
        data
    }

    /// Whether a message, without IP header, is the answer. The identifier may be the kernel's.
    #[must_use]
    pub fn answers(&self, message: &[u8]) -> bool {
        let mut reader = Reader(message);
        let reply = if self.ipv4 { 0 } else { 129 };
        let [.., c, d] = self.number.to_be_bytes();
        let head = reader.u8() == Some(reply) && reader.u8() == Some(0) && reader.take(4).is_some();
        head && reader.array() == Some([c, d]) && reader.0 == self.data()
    }
}

/// RFC 1071.
fn checksum(message: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in message.chunks(2) {
        let word = match pair {
            [a, b] => u16::from_be_bytes([*a, *b]),
            [a] => u16::from_be_bytes([*a, 0]),
            _ => 0,
        };
        sum = sum.wrapping_add(u32::from(word));
        sum = (sum & 0xffff).wrapping_add(sum >> 16);
    }
    !u16::try_from(sum & 0xffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_by_type_sequence_and_data() {
        for target in ["10.0.0.1", "2001:db8::1"] {
            for size in [0, 8, 16, 56] {
                let echo = Echo::new(Some(&Ping { size }), target.parse().unwrap(), ProbeId(77));
                let mut answer = echo.request();
                assert_eq!(answer.len(), 8 + usize::from(size));
                assert!(!echo.answers(&answer), "the question itself");
                answer[0] = if echo.ipv4 { 0 } else { 129 };
                answer[4] = 9;
                assert!(echo.answers(&answer));
                answer[7] ^= 1;
                assert!(!echo.answers(&answer));
                assert!(!echo.answers(&[]));
            }
        }
    }

    #[test]
    fn the_checksum_of_a_message_with_its_checksum_is_zero() {
        let echo = Echo::new(None, "10.0.0.1".parse().unwrap(), ProbeId(0x1234_5678));
        assert_eq!(checksum(&echo.request()), 0);
    }
}
