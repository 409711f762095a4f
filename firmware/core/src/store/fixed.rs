//! Fields of fixed-layout records, without indexing.

use core::ops::Range;

/// The bytes of a field. A range outside of `from` or of another length than `N` gives zeros; the ranges are
/// constants beside the layouts, and the round-trip tests would fail.
pub(super) fn bytes<const N: usize>(from: &[u8], at: Range<usize>) -> [u8; N] {
    from.get(at).and_then(|field| field.try_into().ok()).unwrap_or([0; N])
}

/// Sets a field; `value` has its length.
pub(super) fn put(into: &mut [u8], at: Range<usize>, value: &[u8]) {
    for (to, from) in into.get_mut(at).unwrap_or_default().iter_mut().zip(value) {
        *to = *from;
    }
}
