//! What goes to the terminal.

use super::Output;
use alloc::vec::Vec;

/// Bytes as they are.
pub(super) fn raw(out: &mut Vec<Output>, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if let Some(Output::Write(last)) = out.last_mut() {
        last.extend_from_slice(bytes);
    } else {
        out.push(Output::Write(bytes.to_vec()));
    }
}

/// A line. Text comes from logs, kernels and real servers: what is not printable ASCII is shown as `.`, so that
/// nothing can play with the terminal.
pub(super) fn line(out: &mut Vec<Output>, text: &str) {
    let printable = |c: char| if matches!(c, ' '..='~') { u8::try_from(c).unwrap_or(b'.') } else { b'.' };
    let mut bytes: Vec<u8> = text.chars().map(printable).collect();
    bytes.extend_from_slice(b"\r\n");
    raw(out, &bytes);
}
