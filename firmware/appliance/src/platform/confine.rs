//! What the director process may still do once it runs: few capabilities, no new ones, and the system calls of a list.
//!
//! Whoever finds a fault in a parser of the network has this process; it must not have the machine. A call that is not in
//! the list ends the process with a line in the log that names it, and PID 1 starts another. The user stays 0, because device
//! nodes and `/proc/sys` belong to it; without `CAP_DAC_OVERRIDE` that opens nothing else.
#![expect(unsafe_code, reason = "capset, prctl and a signal handler have no safe wrapper")]

mod calls;
mod filter;

use super::kmsg::Log;
use director_core::director::Level;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::IntoRawFd as _;
use std::sync::atomic::{AtomicI32, Ordering};

/// Capabilities that are kept (`linux/capability.h`): addresses, routes, IPVS, packet rules and `/proc/sys/net`; packet and
/// ICMP sockets and binding to a device; ports below 1024; the wall clock.
const KEPT: [u32; 4] = [CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_TIME];
const CAP_NET_BIND_SERVICE: u32 = 10;
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const CAP_SYS_TIME: u32 = 25;
/// Numbers of capabilities looked at; the kernel refuses those that it does not have.
const CAPABILITIES: u32 = 64;
/// `_LINUX_CAPABILITY_VERSION_3`.
const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// The out-of-memory killer takes others first; only PID 1, which it never takes, lives longer.
const OOM_SCORE: &str = "-900";
/// Code of a process that did what it may not: 128 and the number of SIGSYS, as shells count.
const EXIT_REFUSED: libc::c_int = 159;

/// Where the handler of a refused call writes.
static TRACE: AtomicI32 = AtomicI32::new(-1);

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// One step of [`director`].
type Step = fn() -> io::Result<()>;

/// Confines this process. What cannot be done is said; the box serves all the same. Must run before the first thread starts.
pub(crate) fn director(log: &Log) {
    let steps: [(&str, Step); 5] = [
        ("memory priority", prefer),
        ("capabilities", shed),
        ("no new privileges", no_new_privileges),
        ("refused calls", explain_refusals),
        ("system calls", || filter::install(calls::ALLOWED, libc::SECCOMP_RET_TRAP)),
    ];
    for (name, step) in steps {
        if let Err(error) = step() {
            log.write(Level::Error, format_args!("not confined: {name}: {error}"));
        }
    }
}

fn prefer() -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", OOM_SCORE)
}

fn checked(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives up all capabilities but [`KEPT`], for this process and whatever it might start.
fn shed() -> io::Result<()> {
    for capability in (0..CAPABILITIES).filter(|capability| !KEPT.contains(capability)) {
        // SAFETY: prctl takes plain integers here.
        let dropped = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        let unknown = io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL);
        if dropped != 0 && !unknown {
            return Err(io::Error::last_os_error());
        }
    }
    let bits = KEPT.iter().fold(0, |bits, capability| bits | 1_u32 << capability);
    let header = Header { version: CAPABILITY_VERSION, pid: 0 };
    let low = Sets { effective: bits, permitted: bits, inheritable: 0 };
    let sets = [low, Sets { effective: 0, permitted: 0, inheritable: 0 }];
    // SAFETY: both structures live during the call and have the layout of linux/capability.h.
    checked(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) })
}

fn no_new_privileges() -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs().map_err(io::Error::from)
}

/// A refused call raises SIGSYS; its number goes to the log before the process ends.
fn explain_refusals() -> io::Result<()> {
    let trace = OpenOptions::new().write(true).open("/dev/kmsg")?;
    TRACE.store(trace.into_raw_fd(), Ordering::Relaxed);
    let action = SigAction::new(SigHandler::SigAction(refused), SaFlags::SA_SIGINFO, SigSet::all());
    // SAFETY: the handler calls only write and _exit, which are safe in a handler, and allocates nothing.
    unsafe { sigaction(Signal::SIGSYS, &action) }.map(|_| ()).map_err(io::Error::from)
}

/// `struct siginfo` of SIGSYS (asm-generic/siginfo.h, `_sigsys`), 64 bits.
#[repr(C)]
struct Refused {
    signo: i32,
    errno: i32,
    code: i32,
    padding: i32,
    address: usize,
    call: i32,
    arch: u32,
}

extern "C" fn refused(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives a whole siginfo, which is larger, and for SIGSYS it is laid out as above.
    let call = unsafe { (*info.cast::<Refused>()).call };
    let mut line = *b"<3>director: the system call 000 is not in its list: it ends\n";
    let mut rest = call.unsigned_abs();
    for digit in line.iter_mut().skip(DIGITS).take(3).rev() {
        *digit = b'0'.wrapping_add(u8::try_from(rest % 10).unwrap_or(0));
        rest /= 10;
    }
    // SAFETY: the buffer lives, and a lost line is no reason to fail; _exit does not return.
    unsafe {
        libc::write(TRACE.load(Ordering::Relaxed), line.as_ptr().cast(), line.len());
        libc::_exit(EXIT_REFUSED);
    }
}

/// Where the number stands in the line of [`refused`].
const DIGITS: usize = 29;

#[cfg(test)]
mod tests;
