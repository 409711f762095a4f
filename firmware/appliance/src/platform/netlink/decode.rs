//! Reads netlink messages. Takes any bytes; refuses, never panics.

use super::uapi;

/// A length that is too small for its header or goes beyond the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// One message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Message<'a> {
    /// Type.
    pub(crate) kind: u16,
    /// Flags.
    pub(crate) flags: u16,
    /// Number of the request that it answers.
    pub(crate) seq: u32,
    /// What follows the header.
    pub(crate) payload: &'a [u8],
}

/// One attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Attribute<'a> {
    /// Type, without the flags for nesting and byte order: the kernel is free to set them or not.
    pub(crate) kind: u16,
    /// Value.
    pub(crate) value: &'a [u8],
}

/// The messages of one datagram.
pub(crate) fn messages(bytes: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Malformed>> {
    split(bytes, |bytes| {
        let length = usize::try_from(u32_at(bytes, 0)?).map_err(|_| Malformed)?;
        let message = bytes.get(..length).ok_or(Malformed)?;
        let payload = message.get(uapi::HEADER_BYTES..).ok_or(Malformed)?;
        let (kind, flags, seq) = (u16_at(message, 4)?, u16_at(message, 6)?, u32_at(message, 8)?);
        Ok((Message { kind, flags, seq, payload }, length))
    })
}

/// The attributes of a payload or nest.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = Result<Attribute<'_>, Malformed>> {
    split(bytes, |bytes| {
        let length = usize::from(u16_at(bytes, 0)?);
        let value = bytes.get(..length).and_then(|a| a.get(uapi::ATTRIBUTE_BYTES..)).ok_or(Malformed)?;
        Ok((Attribute { kind: u16_at(bytes, 2)? & uapi::TYPE_MASK, value }, length))
    })
}

/// Splits `bytes` into parts that start on multiples of 4; ends at the first malformed one. The padding of the last may
/// be missing.
fn split<'a, T: 'a>(
    mut bytes: &'a [u8],
    first: impl Fn(&'a [u8]) -> Result<(T, usize), Malformed>,
) -> impl Iterator<Item = Result<T, Malformed>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let (part, rest) = match first(bytes) {
            Ok((part, length)) => (Ok(part), bytes.get(length.next_multiple_of(4)..).unwrap_or_default()),
            Err(malformed) => (Err(malformed), &[][..]),
        };
        bytes = rest;
        Some(part)
    })
}

/// The payload after a fixed header of `header` bytes.
pub(crate) fn after(payload: &[u8], header: usize) -> Result<&[u8], Malformed> {
    payload.get(header..).ok_or(Malformed)
}

/// The `N` bytes at `offset`.
pub(crate) fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], Malformed> {
    bytes.get(offset..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or(Malformed)
}

/// A u16 in the machine's byte order.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, Malformed> {
    bytes_at(bytes, offset).map(u16::from_ne_bytes)
}

/// A u32 in the machine's byte order.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, Malformed> {
    bytes_at(bytes, offset).map(u32::from_ne_bytes)
}

/// A u64 in the machine's byte order.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Result<u64, Malformed> {
    bytes_at(bytes, offset).map(u64::from_ne_bytes)
}

impl<'a> Attribute<'a> {
    /// The value as u16 in the machine's byte order.
    pub(crate) fn u16(&self) -> Result<u16, Malformed> {
        u16_at(self.value, 0)
    }

    /// The value as u16 in network byte order.
    pub(crate) fn be16(&self) -> Result<u16, Malformed> {
        bytes_at(self.value, 0).map(u16::from_be_bytes)
    }

    /// The value as u32 in the machine's byte order.
    pub(crate) fn u32(&self) -> Result<u32, Malformed> {
        u32_at(self.value, 0)
    }

    /// The value as text up to its NUL.
    pub(crate) fn text(&self) -> Result<&'a str, Malformed> {
        let text = self.value.split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(text).map_err(|_| Malformed)
    }

    /// The attributes inside.
    pub(crate) fn nested(&self) -> impl Iterator<Item = Result<Attribute<'a>, Malformed>> + use<'a> {
        attributes(self.value)
    }
}

/// What an `NLMSG_ERROR` says: errno (positive, 0 is an acknowledgement) and the kernel's own words.
pub(crate) fn error<'a>(message: &Message<'a>) -> Result<(i32, Option<&'a str>), Malformed> {
    let number = bytes_at(message.payload, 0).map(i32::from_ne_bytes)?.saturating_neg();
    if message.flags & uapi::ACK_TLVS == 0 {
        return Ok((number, None));
    }
    let request_length = if message.flags & uapi::CAPPED == 0 {
        usize::try_from(u32_at(message.payload, 4)?).map_err(|_| Malformed)?
    } else {
        uapi::HEADER_BYTES
    };
    let start = request_length.checked_next_multiple_of(4).and_then(|n| n.checked_add(4)).ok_or(Malformed)?;
    let mut words = None;
    for attribute in attributes(after(message.payload, start)?) {
        let attribute = attribute?;
        if attribute.kind == uapi::ERROR_TEXT {
            words = Some(attribute.text()?);
        }
    }
    Ok((number, words))
}

#[cfg(test)]
mod tests {
    use super::super::Encoder;
    use super::*;

    fn golden() -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.message(0x10, 0, 7, |m| {
            m.nest(1, |n| n.text(2, "wlc"));
            m.be16(3, 80);
        });
        encoder.message(0x11, 0, 8, |m| m.u32(4, 5));
        encoder.finish().unwrap().to_vec()
    }

    #[test]
    fn what_was_written_reads_back() {
        let bytes = golden();
        let all: Vec<_> = messages(&bytes).map(Result::unwrap).collect();
        assert_eq!(all.iter().map(|m| (m.kind, m.seq)).collect::<Vec<_>>(), [(0x10, 7), (0x11, 8)]);
        let parts: Vec<_> = attributes(all[0].payload).map(Result::unwrap).collect();
        assert_eq!(parts[0].kind, 1, "the flag for nesting is not part of the type");
        assert_eq!(parts[0].nested().next().unwrap().unwrap().text(), Ok("wlc"));
        assert_eq!(parts[1].be16(), Ok(80));
    }

    #[test]
    fn every_truncation_is_refused_or_ends_on_a_boundary() {
        let bytes = golden();
        let first = usize::try_from(u32_at(&bytes, 0).unwrap()).unwrap();
        for end in 1..bytes.len() {
            let refused = messages(&bytes[..end]).any(|m| m.is_err());
            // The padding after the last attribute counts into the length of a message.
            assert_eq!(refused, end != first, "{end} bytes");
        }
    }

    #[test]
    fn lengths_below_the_header_end_the_walk() {
        assert_eq!(attributes(&[3, 0, 1, 0]).collect::<Vec<_>>(), [Err(Malformed)]);
        assert_eq!(attributes(&[0; 8]).collect::<Vec<_>>(), [Err(Malformed)]);
        assert_eq!(messages(&[0; 32]).collect::<Vec<_>>(), [Err(Malformed)]);
    }

    #[test]
    fn the_kernels_words_are_found_behind_the_repeated_request() {
        for (flags, request) in [(uapi::ACK_TLVS, 20_u32), (uapi::ACK_TLVS | uapi::CAPPED, 999)] {
            let mut payload = (-17_i32).to_ne_bytes().to_vec();
            payload.extend(request.to_ne_bytes());
            payload.extend([0; 12]);
            if flags & uapi::CAPPED == 0 {
                payload.extend([0; 4]);
            }
            payload.extend([7, 0, 1, 0, b'n', b'o', 0, 0]);
            let message = Message { kind: uapi::ERROR, flags, seq: 1, payload: &payload };
            assert_eq!(error(&message), Ok((17, Some("no"))));
        }
        let short = Message { kind: uapi::ERROR, flags: uapi::ACK_TLVS, seq: 1, payload: &[0; 8] };
        assert_eq!(error(&short), Err(Malformed));
    }
}
