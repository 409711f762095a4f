//! The page that the box itself answers with when a pool has no usable server: HTTP 503 (RFC 9110 section 15.6.4).

use alloc::format;
use alloc::vec::Vec;

/// Bytes of a request's head, at most. Chosen: what nginx takes by default (`large_client_header_buffers`).
pub const HEAD_BYTES: usize = 8 * 1024;
/// What Retry-After says, in seconds. Chosen: a few intervals of a usual check.
pub const RETRY_AFTER_S: u32 = 10;

/// Reads the head of one request. Keeps a few bytes of it, whatever its length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    read: usize,
    kept: usize,
    first: [u8; 5],
    /// Line feeds in a row at the end, carriage returns between them not counted.
    ends: u8,
}

/// What to do after some bytes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Read on.
    More,
    /// The head is complete.
    Whole {
        /// The method is HEAD: no body is wanted.
        head_only: bool,
    },
    /// Longer than [`HEAD_BYTES`].
    TooLong,
}

impl Request {
    /// Takes what was read.
    pub fn feed(&mut self, bytes: &[u8]) -> Heard {
        for byte in bytes {
            self.read = self.read.saturating_add(1);
            if self.read > HEAD_BYTES {
                return Heard::TooLong;
            }
            // Empty lines before a request are skipped (RFC 9112 section 2.2).
            if self.kept == 0 && matches!(byte, b'\r' | b'\n') {
                continue;
            }
            if let Some(place) = self.first.get_mut(self.kept) {
                *place = *byte;
                self.kept = self.kept.saturating_add(1);
            }
            match byte {
                b'\n' => self.ends = self.ends.saturating_add(1),
                b'\r' => {}
                _ => self.ends = 0,
            }
            if self.ends >= 2 {
                return Heard::Whole { head_only: &self.first == b"HEAD " };
            }
        }
        Heard::More
    }
}

/// The whole answer. `text` that begins with `<` is HTML.
#[must_use]
pub fn answer(text: &[u8], head_only: bool) -> Vec<u8> {
    let kind = if text.first() == Some(&b'<') { "text/html" } else { "text/plain" };
    let mut answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {RETRY_AFTER_S}\r\nContent-Type: {kind}; charset=utf-8\r\n\
         Content-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        text.len()
    )
    .into_bytes();
    if !head_only {
        answer.extend_from_slice(text);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_answer_is_a_503_with_the_text_and_its_length() {
        let text = alloc::string::String::from_utf8(answer(b"<p>back soon", false)).unwrap();
        assert!(text.starts_with("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\n"), "{text}");
        assert!(text.contains("Content-Type: text/html;") && text.contains("Content-Length: 12\r\n"));
        assert!(text.ends_with("\r\n\r\n<p>back soon"));
        assert!(answer(b"back soon", true).ends_with(b"\r\n\r\n"));
    }

    proptest! {
        #[test]
        fn a_request_is_whole_at_its_empty_line_however_it_is_cut(cuts in proptest::collection::vec(1..20_usize, 40)) {
            let request = b"\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
            let (mut reader, mut rest) = (Request::default(), &request[..]);
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                let heard = reader.feed(now);
                rest = later;
                if rest.is_empty() {
                    prop_assert_eq!(heard, Heard::Whole { head_only: true });
                    break;
                }
                // The last bytes are the end of the head; nothing shorter is whole.
                prop_assert_eq!(heard, Heard::More);
            }
        }

        #[test]
        fn no_input_is_read_beyond_the_bound(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
            let mut reader = Request::default();
            let mut all = 0;
            while reader.feed(&bytes) == Heard::More {
                all += bytes.len();
                prop_assert!(all <= HEAD_BYTES);
            }
        }
    }
}
