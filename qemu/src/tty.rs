//! A serial line as a program outside sees it: a terminal of its own (a pty), which may be noisy and may be cut.
//!
//! Two threads: one takes what is typed to the machine, the other what the machine says to the terminal. What nobody
//! reads is lost, as on a cable with nothing at its end.

use crate::hub::lock;
use crate::serial::Serial;
use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{read, write};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often is looked whether somebody opened the terminal; nothing tells.
const LOOK: Duration = Duration::from_millis(20);
/// How long a terminal that nobody empties is waited for, in milliseconds.
const FULL_MS: u16 = 2000;
/// Multiplier and increment of the generator (Knuth's MMIX).
const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
const INCREMENT: u64 = 1_442_695_040_888_963_407;

/// What is wrong with a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// One byte in so many has a bit flipped or is lost, in either direction; 0: none.
    pub one_in: u64,
    /// Which ones.
    pub seed: u64,
    /// After so many bytes to the machine the cable is pulled and, at once, plugged in again; 0: never.
    pub cut_after: usize,
}

/// Damages bytes, the same ones for the same seed.
#[derive(Clone, Copy, Debug)]
struct Noise {
    one_in: u64,
    state: u64,
}

impl Noise {
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes.iter().filter_map(|byte| self.byte(*byte)).collect()
    }

    fn byte(&mut self, byte: u8) -> Option<u8> {
        self.state = self.state.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        let draw = self.state >> 33;
        if self.one_in == 0 || !draw.is_multiple_of(self.one_in) {
            return Some(byte);
        }
        let kind = draw / self.one_in;
        // Seven bits and a lost byte, all as likely.
        (!kind.is_multiple_of(8)).then(|| byte ^ (1 << (kind % 8 - 1)))
    }
}

/// Makes a terminal for a line, and `path` a symbolic link to it. It is there until this process ends; another call
/// with the same path takes its place.
///
/// # Errors
/// When the system gives no terminal.
pub fn publish(serial: &Serial, path: &Path, faults: Faults) -> Result<()> {
    let near = serial.attach()?;
    let far = near.try_clone().context("line")?;
    let current = Arc::new(Mutex::new(Arc::new(open(path)?)));
    let (to, from) = (Arc::clone(&current), current);
    let noise = |salt| Noise { one_in: faults.one_in, state: faults.seed ^ salt };
    let (up, down) = (noise(0x5eed), noise(0xd0));
    let path = path.to_owned();
    std::thread::spawn(move || typed(near, &from, &path, up, faults.cut_after));
    std::thread::spawn(move || said(far, &to, down));
    Ok(())
}

/// A raw terminal under a name; not echoing before somebody opens it, or the machine would hear itself.
fn open(path: &Path) -> Result<PtyMaster> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .context("no terminal: is /dev/ptmx there?")?;
    grantpt(&master).and_then(|()| unlockpt(&master)).context("terminal")?;
    let mut settings = tcgetattr(&master).context("terminal")?;
    cfmakeraw(&mut settings);
    tcsetattr(&master, SetArg::TCSANOW, &settings).context("terminal")?;
    let name = PathBuf::from(ptsname_r(&master).context("terminal")?);
    // Whoever looks sees the old terminal or this one.
    let fresh = path.with_extension("fresh");
    std::fs::remove_file(&fresh).ok();
    symlink(name, &fresh)
        .and_then(|()| std::fs::rename(&fresh, path))
        .context("symbolic link of a terminal")?;
    Ok(master)
}

fn typed(
    mut machine: UnixStream,
    current: &Mutex<Arc<PtyMaster>>,
    path: &Path,
    mut noise: Noise,
    cut_after: usize,
) {
    let (mut buffer, mut all) = ([0; 1024], 0);
    loop {
        let master = Arc::clone(&lock(current));
        match wait(&master, PollFlags::POLLIN, PollTimeout::NONE) {
            Some(flags) if flags.contains(PollFlags::POLLIN) => {}
            // Nobody has it open.
            _ => {
                std::thread::park_timeout(LOOK);
                continue;
            }
        }
        let Ok(count) = read(master.as_fd(), &mut buffer) else { continue };
        let bytes = buffer.get(..count).unwrap_or_default();
        if machine.write_all(&noise.pass(bytes)).is_err() {
            return;
        }
        let before = all;
        all += count;
        if before < cut_after && all >= cut_after {
            // Gone when the last of both threads lets it go.
            let Ok(next) = open(path) else { return };
            *lock(current) = Arc::new(next);
        }
    }
}

fn said(mut machine: UnixStream, current: &Mutex<Arc<PtyMaster>>, mut noise: Noise) {
    let (mut buffer, mut patience) = ([0; 1024], FULL_MS);
    while let Ok(count @ 1..) = machine.read(&mut buffer) {
        let bytes = noise.pass(buffer.get(..count).unwrap_or_default());
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let master = Arc::clone(&lock(current));
            match write(master.as_fd(), rest) {
                Ok(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    patience = FULL_MS;
                }
                Err(Errno::EAGAIN) => match wait(&master, PollFlags::POLLOUT, PollTimeout::from(patience)) {
                    Some(flags)
                        if flags.contains(PollFlags::POLLOUT) && !flags.contains(PollFlags::POLLHUP) => {}
                    _ => {
                        // Until somebody reads again, nothing waits for him.
                        patience = 0;
                        break;
                    }
                },
                Err(_) => break,
            }
        }
    }
}

/// What a terminal is ready for; nothing when the time is over.
fn wait(master: &PtyMaster, flags: PollFlags, limit: PollTimeout) -> Option<PollFlags> {
    let mut one = [PollFd::new(master.as_fd(), flags)];
    poll(&mut one, limit).ok()?;
    one[0].revents().filter(|flags| !flags.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_the_same_for_the_same_seed_and_damages_about_one_byte_in_so_many() {
        let sent: Vec<u8> = (0..50_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let pass = |seed| Noise { one_in: 500, state: seed }.pass(&sent);
        assert_eq!(pass(1), pass(1));
        assert_ne!(pass(1), pass(2));
        let lost = sent.len() - pass(1).len();
        assert!((2..40).contains(&lost), "{lost} bytes lost");
        assert_eq!(Noise { one_in: 0, state: 1 }.pass(&sent), sent);
    }
}
