//! A list of system calls as a classic BPF program (Linux `Documentation/userspace-api/seccomp_filter.rst`).

use std::io;

/// `AUDIT_ARCH_X86_64` of linux/audit.h: `EM_X86_64`, 64 bits, little endian.
const ARCH: u32 = 0xc000_003e;
/// Where `struct seccomp_data` has the number of the call, the architecture, and the low half of the first argument.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST: u32 = 16;
/// `CLONE_THREAD` of linux/sched.h.
const THREAD: u32 = 0x0001_0000;
/// Instructions: `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K`, `BPF_JMP | BPF_JSET | BPF_K`, `BPF_RET | BPF_K`.
const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
/// Most calls of a list: a jump reaches 255 instructions.
const CALLS_MAX: usize = 240;

const fn step(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// The program: these calls, and making threads (but no processes), are allowed; `otherwise` is what any other returns.
/// `None` when the list is too long.
pub(super) fn program(allowed: &[libc::c_long], otherwise: u32) -> Option<Vec<libc::sock_filter>> {
    if allowed.len() > CALLS_MAX {
        return None;
    }
    let count = u8::try_from(allowed.len()).ok()?;
    // After the list: clone?, its flags, a thread?, deny, allow.
    let mut program = vec![
        step(LOAD, ARCHITECTURE, 0, 0),
        step(EQUAL, ARCH, 1, 0),
        step(RETURN, libc::SECCOMP_RET_KILL_PROCESS, 0, 0),
        step(LOAD, NUMBER, 0, 0),
    ];
    for (place, call) in (0_u8..).zip(allowed) {
        // From the next instruction to the last.
        let to_allow = count.checked_sub(place)?.checked_add(3)?;
        program.push(step(EQUAL, u32::try_from(*call).ok()?, to_allow, 0));
    }
    program.extend([
        step(EQUAL, u32::try_from(libc::SYS_clone).ok()?, 0, 2),
        step(LOAD, FIRST, 0, 0),
        step(ANY_BIT, THREAD, 1, 0),
        step(RETURN, otherwise, 0, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ]);
    Some(program)
}

/// Installs a list for this thread and those that it starts. Needs `no_new_privs`.
pub(super) fn install(allowed: &[libc::c_long], otherwise: u32) -> io::Result<()> {
    let too_long = || io::Error::other("the list of system calls is too long");
    let mut steps = program(allowed, otherwise).ok_or_else(too_long)?;
    let len = u16::try_from(steps.len()).map_err(|_| too_long())?;
    let program = libc::sock_fprog { len, filter: steps.as_mut_ptr() };
    // SAFETY: the program lives during the call, and the kernel copies it.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
