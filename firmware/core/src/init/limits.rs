//! Every limit of PID 1, with its reason. When the floating addresses of a wedged director go is no constant: it derives
//! from the earliest moment at which the peer may take over ([`super::fence`]).

use crate::model::{Millis, limits::FLOATING};

/// A child that ran this long was started well: its next death starts the count of quick deaths anew.
/// Chosen: longer than a start with 1,000 services under emulation.
pub const RUN_MIN: Millis = Millis::from_secs(5);
/// Each quick death after the first delays the next start by this much more. The first restart is immediate, so
/// that a crash of the director stays invisible to clients and to the peer.
pub const BACKOFF_STEP: Millis = Millis::new(250);
/// The delay never grows beyond this: a box that recovers should not keep its operator waiting.
pub const BACKOFF_MAX: Millis = Millis::from_secs(5);
/// So many quick deaths in a row are a crash loop and are reported as one. Chosen: with the delays above, after
/// about 1.5 s plus the run times.
pub const CRASH_LOOP: u32 = 5;
/// A child that ends with this code asks not to be started again (what it needs does not exist on this box).
/// Chosen: outside the codes of panics (101, 134) and below those of shells (126 and up).
pub const EXIT_FINAL: u8 = 125;

/// The director reports a completed turn of its main loop at most this often, and turns at least this often. A heartbeat is
/// reported at once. Chosen: several reports in [`ABORT_AFTER`]; each wakes two processes.
pub const REPORT_EVERY: Millis = Millis::new(250);
/// A started director has this long until its first report: it dumps the kernel's tables before.
pub const START_GRACE: Millis = Millis::from_secs(10);
/// Without a report for this long the director is wedged: 8 reports are missing, and no turn takes more than
/// 5 ms (design section 3). It gets SIGABRT, so that it can leave a trace.
pub const ABORT_AFTER: Millis = Millis::from_secs(2);
/// This long after SIGABRT it gets SIGKILL.
pub const KILL_AFTER: Millis = Millis::from_secs(1);
/// This long after SIGKILL a director that still exists hangs in the kernel: the hardware watchdog is no longer fed.
pub const UNKILLABLE_AFTER: Millis = Millis::from_secs(1);
/// PID 1 looks at the age of the last report at least this often, and counts at most twice as much for one look:
/// when the whole box stood still (a paused VM, a busy host), the director did not get to run either.
pub const TICK: Millis = Millis::new(250);

/// Messages that remove all floating addresses: a netlink header, `struct ifaddrmsg` and two IPv6 addresses are 64 bytes.
pub const ORDERS_BYTES: usize = FLOATING * 64;

/// Time-out of the hardware watchdog in seconds while no peer waits for the addresses. Chosen: above what slow chips
/// accept as their least value (iTCO: 4 s), so that the request is granted everywhere.
pub const WATCHDOG_TIMEOUT_S: u32 = 10;
/// The least time-out asked for. Chosen: chips count in seconds, and one of a second would be a half at times.
pub const WATCHDOG_MIN_S: u32 = 2;
/// The hardware watchdog is fed this often: several times per time-out.
pub const WATCHDOG_FEED: Millis = Millis::new(500);

/// The time-out for a limit of [`super::fence`]: the box is reset before the peer may take over, as far as whole seconds
/// allow. Below [`WATCHDOG_MIN_S`] PID 1 alone guarantees it.
#[must_use]
pub const fn watchdog_timeout_s(fence: Option<Millis>) -> u32 {
    let Some(fence) = fence else { return WATCHDOG_TIMEOUT_S };
    let seconds = fence.get() / 1000;
    if seconds < WATCHDOG_MIN_S || seconds > WATCHDOG_TIMEOUT_S { WATCHDOG_TIMEOUT_S } else { seconds }
}

/// A system on trial that has not proven itself by then is left by a reboot. Chosen: a minute more than the director
/// itself takes to give it up, so that this is for one that is wedged.
pub const TRIAL_MAX: Millis = Millis::from_secs(660);
/// A director that is told to stop has this long to release its addresses.
pub const STOP_MAX: Millis = Millis::from_secs(5);
/// After SIGKILL to all, so long is waited until all are reaped.
pub const REAP_MAX: Millis = Millis::from_secs(1);
/// Writing back block device buffers may take this long; a dead disk must not keep the box from rebooting.
pub const SYNC_MAX: Millis = Millis::from_secs(3);

/// Longest datagram on the request socket of PID 1.
pub const ASK_BYTES: usize = 32;
/// Longest kernel command line read (`COMMAND_LINE_SIZE` of x86 is 2048).
pub const CMDLINE_BYTES: usize = 4096;
/// Longest line written to the kernel log: its `PRINTKRB_RECORD_MAX`/`LOG_LINE_MAX` is 1024 with the prefix.
pub const LOG_LINE_BYTES: usize = 960;
/// Longest record read from the kernel log: `CONSOLE_EXT_LOG_MAX` (printk.c).
pub const LOG_RECORD_BYTES: usize = 8192;
