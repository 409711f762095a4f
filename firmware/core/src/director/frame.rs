//! Frames between the console and the director, on a stream socket:
//!
//! ```text
//! 0         4      5
//! +---------+------+----------------+
//! | length  | kind | payload        |    length: u32, little endian, bytes of the payload
//! +---------+------+----------------+    kind: 1 more frames follow, 2 the message ends here
//! ```
//! A message is one value in postcard; one longer than a frame is cut into several. The receiver refuses what
//! breaks a bound before it stores it, and never reserves memory because a length says so. After an error the
//! stream has no known boundary any more: close it.

use alloc::vec::Vec;
use core::fmt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes before the payload.
pub const HEADER: usize = 5;
/// Most bytes of payload in a frame. Chosen: a few socket buffers, so that neither end waits long in one write.
pub const PAYLOAD_MAX: usize = 64 * 1024;
/// Most bytes of a message. Chosen: twice the status of 1,000 services and 20,000 pool members.
pub const MESSAGE_MAX: usize = 8 * 1024 * 1024;

const MORE: u8 = 1;
const LAST: u8 = 2;

/// Why bytes are not frames, or a value cannot be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// A frame of more than [`PAYLOAD_MAX`] bytes, or a message of more than [`MESSAGE_MAX`].
    TooLong,
    /// A kind that does not exist.
    Kind(u8),
    /// An empty frame that promises more: a peer could send them for ever.
    Empty,
    /// The message is not a value of the expected type.
    Value,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("longer than a frame or message may be"),
            Self::Kind(kind) => write!(f, "unknown kind of frame {kind}"),
            Self::Empty => f.write_str("empty frame that promises more"),
            Self::Value => f.write_str("not a value of the expected type"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Appends a value as one message to `out`. On error `out` is unchanged.
pub fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let message = postcard::to_allocvec(value).map_err(|_| FrameError::Value)?;
    encode_message(&message, out)
}

/// Appends an encoded message to `out`. On error `out` is unchanged.
pub fn encode_message(message: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
    if message.len() > MESSAGE_MAX {
        return Err(FrameError::TooLong);
    }
    let mut rest = message;
    loop {
        let (chunk, tail) = rest.split_at_checked(PAYLOAD_MAX).unwrap_or((rest, &[]));
        let length = u32::try_from(chunk.len()).map_err(|_| FrameError::TooLong)?;
        out.extend_from_slice(&length.to_le_bytes());
        out.push(if tail.is_empty() { LAST } else { MORE });
        out.extend_from_slice(chunk);
        if tail.is_empty() {
            return Ok(());
        }
        rest = tail;
    }
}

/// The value of a complete message; bytes after it are refused.
pub fn decode<T: DeserializeOwned>(message: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(message) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(FrameError::Value),
    }
}

/// Where in a frame the decoder is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// So many bytes of the header are there.
    Header(usize),
    /// So many bytes of the payload are missing.
    Payload { missing: usize, last: bool },
    /// Nothing that follows can be understood.
    Broken(FrameError),
}

/// Puts messages together from bytes in pieces of any size. Holds at most one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoder {
    state: State,
    header: [u8; HEADER],
    message: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// At the start of a stream.
    pub const fn new() -> Self {
        Self { state: State::Header(0), header: [0; HEADER], message: Vec::new() }
    }

    /// Takes bytes from `input` up to the end of a message. `Ok(None)`: all of `input` is taken and more is needed.
    /// An error is final and is returned by every later call.
    pub fn take(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, FrameError> {
        loop {
            match self.state {
                State::Broken(error) => return Err(error),
                State::Header(have) => {
                    let (Some(slot), Some((byte, rest))) = (self.header.get_mut(have), input.split_first())
                    else {
                        return Ok(None);
                    };
                    *slot = *byte;
                    *input = rest;
                    let have = have.saturating_add(1);
                    self.state = if have < HEADER { State::Header(have) } else { self.open() };
                }
                State::Payload { missing: 0, last } => {
                    self.state = State::Header(0);
                    if last {
                        return Ok(Some(core::mem::take(&mut self.message)));
                    }
                }
                State::Payload { missing, last } => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let (chunk, rest) = input.split_at_checked(missing).unwrap_or((input, &[]));
                    self.message.extend_from_slice(chunk);
                    *input = rest;
                    self.state = State::Payload { missing: missing.saturating_sub(chunk.len()), last };
                }
            }
        }
    }

    /// The header is complete: what follows it.
    fn open(&mut self) -> State {
        let [a, b, c, d, kind] = self.header;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let error = match kind {
            MORE if length == 0 => Some(FrameError::Empty),
            MORE | LAST => None,
            other => Some(FrameError::Kind(other)),
        };
        let total = self.message.len().saturating_add(length);
        let error = error.or((length > PAYLOAD_MAX || total > MESSAGE_MAX).then_some(FrameError::TooLong));
        match error {
            None => State::Payload { missing: length, last: kind == LAST },
            Some(error) => {
                self.message = Vec::new();
                State::Broken(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec;
    use proptest::prelude::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_message(message, &mut out).unwrap();
        out
    }

    /// Feeds `bytes` in pieces of `step`; gives the messages and the error that ended it.
    fn feed(bytes: &[u8], step: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
        let (mut decoder, mut got) = (Decoder::new(), Vec::new());
        for mut piece in bytes.chunks(step) {
            loop {
                match decoder.take(&mut piece) {
                    Ok(Some(message)) => got.push(message),
                    Ok(None) => break,
                    Err(error) => return (got, Some(error)),
                }
            }
            assert!(piece.is_empty(), "all input is taken");
        }
        (got, None)
    }

    #[test]
    fn a_short_message_is_one_frame_as_documented() {
        assert_eq!(framed(b"abc"), [3, 0, 0, 0, 2, b'a', b'b', b'c']);
        assert_eq!(framed(b""), [0, 0, 0, 0, 2]);
    }

    #[test]
    fn messages_around_the_frame_size_survive() {
        for size in [0, 1, PAYLOAD_MAX - 1, PAYLOAD_MAX, PAYLOAD_MAX + 1, 3 * PAYLOAD_MAX] {
            let message = vec![7; size];
            let frames = framed(&message);
            assert_eq!(frames.len(), size + HEADER * size.div_ceil(PAYLOAD_MAX).max(1));
            assert_eq!(feed(&frames, 1000), (vec![message], None), "{size}");
        }
    }

    #[test]
    fn a_message_beyond_the_bound_is_neither_sent_nor_received() {
        let mut out = vec![9];
        assert_eq!(encode_message(&vec![0; MESSAGE_MAX + 1], &mut out), Err(FrameError::TooLong));
        assert_eq!(out, [9]);
        let mut frames = Vec::new();
        for _ in 0..=MESSAGE_MAX / PAYLOAD_MAX {
            frames.extend_from_slice(&[0, 0, 1, 0, MORE]);
            frames.extend(core::iter::repeat_n(0, PAYLOAD_MAX));
        }
        assert_eq!(feed(&frames, PAYLOAD_MAX), (vec![], Some(FrameError::TooLong)));
    }

    #[test]
    fn the_largest_message_passes() {
        let message = vec![1; MESSAGE_MAX];
        assert_eq!(feed(&framed(&message), 100_000), (vec![message], None));
    }

    #[test]
    fn bad_headers_are_refused_and_stay_refused() {
        let cases = [
            ([1, 0, 1, 0, LAST], FrameError::TooLong),
            ([255, 255, 255, 255, MORE], FrameError::TooLong),
            ([0, 0, 0, 0, MORE], FrameError::Empty),
            ([1, 0, 0, 0, 0], FrameError::Kind(0)),
            ([1, 0, 0, 0, 3], FrameError::Kind(3)),
        ];
        for (header, error) in cases {
            let mut decoder = Decoder::new();
            assert_eq!(decoder.take(&mut &header[..]), Err(error));
            assert_eq!(decoder.take(&mut &framed(b"x")[..]), Err(error));
        }
    }

    #[test]
    fn a_truncated_message_never_comes_out() {
        let frames = framed(&vec![5; PAYLOAD_MAX + 10]);
        for cut in [0, 4, 5, 6, PAYLOAD_MAX + HEADER, frames.len() - 1] {
            assert_eq!(feed(&frames[..cut], 777), (vec![], None), "{cut}");
        }
    }

    #[test]
    fn a_value_survives_and_a_value_with_a_tail_does_not() {
        let value = (7_u32, String::from("seven"));
        let mut out = Vec::new();
        encode(&value, &mut out).unwrap();
        let mut message = Decoder::new().take(&mut &out[..]).unwrap().unwrap();
        assert_eq!(decode::<(u32, String)>(&message), Ok(value));
        message.push(0);
        assert_eq!(decode::<(u32, String)>(&message), Err(FrameError::Value));
        assert_eq!(decode::<(u32, String)>(&message[..3]), Err(FrameError::Value));
    }

    proptest! {
        #[test]
        fn messages_survive_any_cut_into_pieces(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..5),
            step in 1_usize..50,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|m| framed(m)).collect();
            prop_assert_eq!(feed(&stream, step), (messages, None));
        }

        #[test]
        fn garbage_is_bounded_and_the_cut_does_not_matter(
            bytes in proptest::collection::vec(prop_oneof![3 => 0_u8..4, 1 => any::<u8>()], 0..400),
            step in 1_usize..50,
        ) {
            let whole = feed(&bytes, bytes.len().max(1));
            prop_assert!(whole.0.iter().all(|m| m.len() <= bytes.len()));
            prop_assert_eq!(feed(&bytes, step), whole);
        }

        #[test]
        fn garbage_is_no_request(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            // Whatever it decodes to, it does not panic and re-encodes within bounds.
            if let Ok(request) = decode::<crate::director::protocol::Request>(&bytes) {
                prop_assert!(encode(&request, &mut Vec::new()).is_ok());
            }
        }
    }
}
