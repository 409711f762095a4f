//! Writes netlink messages into one buffer.
//!
//! Lengths are filled in when a message or nest ends. A part that outgrows its length field makes the whole buffer
//! unusable, and [`Encoder::finish`] says so: nothing wrong is ever sent.

use super::uapi;

/// A buffer of messages.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
    too_long: bool,
}

/// A message or nest that is being written.
#[derive(Debug)]
pub(crate) struct Body<'a>(&'a mut Encoder);

/// A part does not fit its length field (64 KiB for an attribute, 4 GiB for a message).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooLong;

impl Encoder {
    /// Forgets all messages and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.too_long = false;
    }

    /// The messages, ready to be sent.
    pub(crate) fn finish(&self) -> Result<&[u8], TooLong> {
        if self.too_long { Err(TooLong) } else { Ok(&self.bytes) }
    }

    /// Appends one message of type `kind`; `NLM_F_REQUEST` is added to `flags`.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, seq: u32, write: impl FnOnce(&mut Body<'_>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | uapi::REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&seq.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut Body(self));
        match u32::try_from(self.bytes.len().saturating_sub(start)) {
            Ok(length) => self.patch(start, length.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
        self.align();
    }

    fn patch<const N: usize>(&mut self, offset: usize, field: [u8; N]) {
        match self.bytes.get_mut(offset..).and_then(|rest| rest.first_chunk_mut::<N>()) {
            Some(target) => *target = field,
            None => self.too_long = true,
        }
    }

    fn align(&mut self) {
        let aligned = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(aligned, 0);
    }
}

impl Body<'_> {
    /// Appends a fixed header, which keeps its own alignment.
    pub(crate) fn header(&mut self, bytes: &[u8]) {
        self.0.bytes.extend_from_slice(bytes);
        self.0.align();
    }

    /// Appends an attribute.
    pub(crate) fn attr(&mut self, kind: u16, value: &[u8]) {
        self.part(kind, |body| body.0.bytes.extend_from_slice(value));
    }

    /// Appends an attribute that holds attributes, marked `NLA_F_NESTED`.
    pub(crate) fn nest(&mut self, kind: u16, write: impl FnOnce(&mut Body<'_>)) {
        self.part(kind | uapi::NESTED, |body| write(body));
    }

    /// Appends a u8.
    pub(crate) fn u8(&mut self, kind: u16, value: u8) {
        self.attr(kind, &[value]);
    }

    /// Appends a u16 in the machine's byte order.
    pub(crate) fn u16(&mut self, kind: u16, value: u16) {
        self.attr(kind, &value.to_ne_bytes());
    }

    /// Appends a u16 in network byte order.
    pub(crate) fn be16(&mut self, kind: u16, value: u16) {
        self.attr(kind, &value.to_be_bytes());
    }

    /// Appends a u32 in the machine's byte order.
    pub(crate) fn u32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_ne_bytes());
    }

    /// Appends a u32 in network byte order.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_be_bytes());
    }

    /// Appends a text with its final NUL.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        self.part(kind, |body| {
            body.0.bytes.extend_from_slice(value.as_bytes());
            body.0.bytes.push(0);
        });
    }

    fn part(&mut self, kind: u16, write: impl FnOnce(&mut Body<'_>)) {
        let start = self.0.bytes.len();
        self.0.bytes.extend_from_slice(&[0; 2]);
        self.0.bytes.extend_from_slice(&kind.to_ne_bytes());
        write(&mut Body(self.0));
        match u16::try_from(self.0.bytes.len().saturating_sub(start)) {
            Ok(length) => self.0.patch(start, length.to_ne_bytes()),
            Err(_) => self.0.too_long = true,
        }
        self.0.align();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_exclude_the_padding_that_follows() {
        let mut encoder = Encoder::default();
        encoder.message(0x10, uapi::ACK, 7, |m| {
            m.nest(1, |n| n.text(2, "rr"));
            m.u8(3, 9);
        });
        #[rustfmt::skip]
        let golden = [
            36, 0, 0, 0, 0x10, 0, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0,
            12, 0, 1, 0x80, 7, 0, 2, 0, b'r', b'r', 0, 0,
            5, 0, 3, 0, 9, 0, 0, 0,
        ];
        assert_eq!(encoder.finish(), Ok(&golden[..]));
    }

    #[test]
    fn an_attribute_that_outgrows_its_length_spoils_the_buffer_until_it_is_cleared() {
        let mut encoder = Encoder::default();
        encoder.message(1, 0, 1, |m| m.attr(1, &[0; 65_532]));
        assert_eq!(encoder.finish(), Err(TooLong));
        encoder.clear();
        encoder.message(1, 0, 1, |m| m.attr(1, &[0; 65_531]));
        assert!(encoder.finish().is_ok());
    }
}
