//! How much of the processor a process gets.
#![expect(unsafe_code, reason = "nice(2) has no safe wrapper")]

/// Ends first when memory is short. Without effect when the kernel refuses.
pub(crate) fn expendable() {
    let _kept = std::fs::write("/proc/self/oom_score_adj", "500").is_err();
}

/// Gives way to every other process from here on (nice 19). Without effect when the kernel refuses.
pub(crate) fn lowest() {
    // SAFETY: nice takes and gives plain integers.
    let _now = unsafe { libc::nice(19) };
}
