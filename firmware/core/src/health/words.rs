//! Text that came from outside, made fit for a log line.

use alloc::string::String;
use core::fmt::Write as _;

/// Longest reason kept, in bytes. Chosen: with the name of a server it fills one wide terminal line.
pub(crate) const REASON_BYTES_MAX: usize = 160;
/// Bytes of a foreign answer that are quoted. Chosen: enough to recognise a protocol by its greeting.
pub(crate) const QUOTE_BYTES_MAX: usize = 32;

/// `text` without control characters, cut to [`REASON_BYTES_MAX`].
pub(crate) fn clip(text: &str) -> String {
    let mut clipped = String::new();
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if clipped.len() + c.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        clipped.push(c);
    }
    clipped
}

/// The first bytes of an answer between quotes, with escapes for what is not printable.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for byte in bytes.iter().take(QUOTE_BYTES_MAX) {
        // Writing to a String cannot fail.
        let _infallible = write!(quoted, "{}", core::ascii::escape_default(*byte));
    }
    quoted.push('"');
    if bytes.len() > QUOTE_BYTES_MAX {
        quoted.push_str("...");
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_no_control_characters_and_a_bounded_length() {
        assert_eq!(clip("a\r\n\u{1b}[31mb"), "a   [31mb");
        assert_eq!(clip(&"\u{e9}".repeat(200)).len(), REASON_BYTES_MAX);
    }

    #[test]
    fn a_quoted_answer_is_escaped_and_cut() {
        assert_eq!(quote(b"SSH-2.0\r\n"), r#""SSH-2.0\r\n""#);
        assert_eq!(quote(&[0xff]), r#""\xff""#);
        assert!(quote(&[b'x'; 100]).ends_with("x\"..."));
    }
}
