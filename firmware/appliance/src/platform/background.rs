//! Work that may wait.
#![expect(unsafe_code, reason = "setpriority has no safe wrapper")]

/// The least of priorities (setpriority(2)).
const LAST: libc::c_int = 19;

/// Lets every other thread of the box go before the calling one; in Linux the priority is the thread's own.
pub(crate) fn give_way() {
    // SAFETY: three integers. It fails only for a process that does not exist, and 0 is the caller.
    let _given: libc::c_int = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LAST) };
}
