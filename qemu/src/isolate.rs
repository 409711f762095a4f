//! Runs the harness inside its own user, network, mount and PID namespaces, so that everything it starts dies with it.
//!
//! Three processes of the same executable:
//!
//! ```text
//! outside   makes the namespaces, waits for signals and for the end, removes the sockets of the run folder
//!   init    PID 1 of the namespace: private mounts, fresh /proc and /run; reaps orphans; forwards SIGTERM
//!     harness   the program proper
//! ```
//!
//! The kernel kills every process of a PID namespace when its PID 1 ends, and PID 1 is killed when the outside process
//! ends (`PR_SET_PDEATHSIG`), whatever the reason. Nothing can be left behind.

use crate::run_folder::RunFolder;
use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getegid, geteuid, pipe};
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

const STAGE: &str = "LAB_STAGE";
const RUN: &str = "LAB_RUN_FOLDER";
const LIFELINE: &str = "LAB_LIFELINE";
/// How long the harness may take to end after a signal, in seconds. Chosen: it has nothing to save but a terminal mode.
const GRACE_S: u32 = 5;
/// Exit status when the lab itself could not be made.
const FAILED: u8 = 1;

/// Runs `inside` in fresh namespaces and gives its exit status. Call it first thing in `main`: it starts the
/// executable again with the same arguments. A helper of the lab is run here too, but a program that parses its arguments
/// first must call [`crate::helper::run_if_asked`] before.
pub fn isolated(inside: impl FnOnce(RunFolder) -> ExitCode) -> ExitCode {
    if let Some(code) = crate::helper::run_if_asked() {
        return code;
    }
    let stage = env::var(STAGE).unwrap_or_default();
    let result = match stage.as_str() {
        "" => outside(),
        "init" => init(),
        _ => unblock_signals().and_then(|()| folder_of_env()).map(inside),
    };
    result.unwrap_or_else(|error| {
        writeln!(io::stderr(), "lab: {error:#}").ok();
        ExitCode::from(FAILED)
    })
}

fn folder_of_env() -> Result<RunFolder> {
    Ok(RunFolder::open(env::var_os(RUN).context("the run folder is not named")?.into()))
}

fn watched_signals() -> SigSet {
    let mut set = SigSet::empty();
    for signal in
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGCHLD, Signal::SIGALRM]
    {
        set.add(signal);
    }
    set
}

fn unblock_signals() -> Result<()> {
    watched_signals().thread_unblock().context("sigprocmask")
}

fn outside() -> Result<ExitCode> {
    crate::netns::check_tun()?;
    let (uid, gid) = (geteuid(), getegid());
    let folder = RunFolder::create()?;
    let flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID;
    unshare(flags).map_err(|errno| namespace_advice("cannot make a user namespace", errno))?;
    // The kernel wants this before an unprivileged gid_map (user_namespaces(7)).
    fs::write("/proc/self/setgroups", "deny").context("/proc/self/setgroups")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).context("/proc/self/uid_map")?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).context("/proc/self/gid_map")?;

    let signals = watched_signals();
    signals.thread_block().context("sigprocmask")?;
    let terminal = tcgetattr(io::stdin()).ok();
    // The write end stays here and nowhere else: its end of file tells init that we are gone.
    let (lifeline, _held) = pipe().context("pipe")?;
    set_close_on_exec(&_held, true)?;
    let child = again("init")
        .env(RUN, folder.path())
        .env(LIFELINE, lifeline.as_raw_fd().to_string())
        .spawn()
        .context("cannot start the lab again inside its namespaces")?;
    drop(lifeline);
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    folder.write_entrance(pid)?;
    let code = supervise(pid, &signals, true);
    folder.remove_entrances();
    if let Some(mode) = terminal {
        tcsetattr(io::stdin(), SetArg::TCSANOW, &mode).ok();
    }
    code
}

fn init() -> Result<ExitCode> {
    watched_signals().thread_block().context("sigprocmask")?;
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("PR_SET_PDEATHSIG")?;
    if lifeline_is_cut()? {
        bail!("the process that started the lab is gone");
    }
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|errno| namespace_advice("cannot make mounts private", errno))?;
    if let Err(errno) = mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none) {
        // Containers mask parts of /proc, and then the kernel refuses a fresh one. The old one shows foreign process
        // ids, which nothing here depends on.
        writeln!(io::stderr(), "lab: no fresh /proc ({errno}), going on with the one of the system").ok();
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), flags, Some("mode=755")).context("tmpfs on /run")?;
    fs::create_dir("/run/netns").context("/run/netns")?;
    let harness = again("harness").env_remove(LIFELINE).spawn().context("cannot start the harness")?;
    supervise(Pid::from_raw(i32::try_from(harness.id())?), &watched_signals(), false)
}

/// This executable with the same arguments, in another stage. `/proc/self/exe` is still the one of the caller.
fn again(stage: &str) -> Command {
    let exe = env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let mut command = Command::new(exe);
    command.args(env::args_os().skip(1)).env(STAGE, stage);
    command
}

/// Waits for `main` and gives its status; reaps everything else. A signal is passed on as SIGTERM; with `insist`, what
/// has not ended after [`GRACE_S`] is killed.
fn supervise(main: Pid, signals: &SigSet, insist: bool) -> Result<ExitCode> {
    loop {
        let signal = signals.wait().context("sigwait")?;
        if signal == Signal::SIGALRM {
            kill(main, Signal::SIGKILL).ok();
        } else if signal != Signal::SIGCHLD {
            kill(main, Signal::SIGTERM).ok();
            if insist {
                nix::unistd::alarm::set(GRACE_S);
            }
        }
        // Bounded by the number of children that have ended.
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == main => {
                    return Ok(ExitCode::from(u8::try_from(code).unwrap_or(FAILED)));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                    let number = u8::try_from(i32::from(SignalNumber(signal))).unwrap_or(0);
                    return Ok(ExitCode::from(128_u8.saturating_add(number)));
                }
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).context("waitpid"),
            }
        }
    }
}

struct SignalNumber(Signal);

impl From<SignalNumber> for i32 {
    #[expect(clippy::as_conversions, reason = "a C-like enum of nix has no other way to its number")]
    fn from(signal: SignalNumber) -> Self {
        signal.0 as Self
    }
}

fn lifeline_is_cut() -> Result<bool> {
    let number: i32 = env::var(LIFELINE).context("no lifeline")?.parse().context("no lifeline")?;
    #[expect(unsafe_code, reason = "the descriptor comes by number through the environment")]
    // SAFETY: the outside process leaves this descriptor open for us, and nothing here closes it.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).context("poll")?;
    let cut = fds.iter().any(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC)).context("fcntl")?;
    Ok(cut)
}

/// Whether `fd` is closed in programs that are started from now on.
pub(crate) fn set_close_on_exec(fd: &OwnedFd, close: bool) -> Result<()> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    let flag = if close { FdFlag::FD_CLOEXEC } else { FdFlag::empty() };
    fcntl(fd.as_fd(), FcntlArg::F_SETFD(flag)).context("fcntl")?;
    Ok(())
}

/// What an operator can do when the system forbids namespaces to ordinary users.
fn namespace_advice(what: &str, errno: Errno) -> anyhow::Error {
    let value = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let advice = if value("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        "this system restricts them by AppArmor: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
    } else if value("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        "this system turns them off for ordinary users: `sudo sysctl kernel.unprivileged_userns_clone=1`"
    } else if value("/proc/sys/user/max_user_namespaces") == "0" {
        "this system allows none: `sudo sysctl user.max_user_namespaces=15000`"
    } else {
        "in a container, allow unshare and mount (for Docker: --privileged)"
    };
    anyhow::anyhow!("{what}: {errno}; {advice}, or run it with sudo")
}
