//! The loopback device.
#![expect(unsafe_code, reason = "SIOCGIFFLAGS and SIOCSIFFLAGS have no safe wrapper")]

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::os::fd::AsRawFd;

nix::ioctl_readwrite_bad!(get_flags, libc::SIOCGIFFLAGS, libc::ifreq);
nix::ioctl_write_ptr_bad!(set_flags, libc::SIOCSIFFLAGS, libc::ifreq);

/// Brings `lo` up; it gets its addresses 127.0.0.1 and ::1 from the kernel.
pub(crate) fn up() -> nix::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: ifreq is plain data for which all zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = libc::c_char::try_from(*from).unwrap_or_default();
    }
    // SAFETY: the kernel reads the name and writes the flags of a live ifreq; the name ends with a NUL.
    unsafe { get_flags(socket.as_raw_fd(), &raw mut request) }?;
    let up = libc::c_short::try_from(libc::IFF_UP).unwrap_or_default();
    // SAFETY: SIOCGIFFLAGS filled this member of the union.
    unsafe { request.ifr_ifru.ifru_flags |= up };
    // SAFETY: the kernel reads name and flags of a live ifreq.
    unsafe { set_flags(socket.as_raw_fd(), &raw const request) }?;
    Ok(())
}
