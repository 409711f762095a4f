//! Named network namespaces under `/run/netns` and TAP devices in them.

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// Says what to do when TAP devices cannot be used.
///
/// # Errors
/// When `/dev/net/tun` cannot be opened.
pub fn check_tun() -> Result<()> {
    match OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            bail!("/dev/net/tun: {error}; allow it with `sudo chmod 0666 /dev/net/tun`, or run with sudo")
        }
        Err(error) => bail!(
            "/dev/net/tun: {error}; load the driver with `sudo modprobe tun` (in a container: --device /dev/net/tun)"
        ),
    }
}

/// A network namespace. It lives as long as the mount namespace of the lab.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace, with its loopback up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn create(name: &str) -> Result<Self> {
        let netns = Self { name: name.to_owned() };
        let path = netns.path();
        File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
            let none: Option<&str> = None;
            mount(Some("/proc/thread-self/ns/net"), &path, none, MsFlags::MS_BIND, none)
                .with_context(|| format!("cannot bind {}", path.display()))
        })?;
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `/run/netns/NAME`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Runs lines of `ip -batch` in it.
    ///
    /// # Errors
    /// With what `ip` said.
    pub fn ip(&self, lines: &str) -> Result<()> {
        crate::process::feed(&["ip", "-n", &self.name, "-batch", "-"], lines)
    }

    /// A TAP device in this namespace; frames are read from and written to the descriptor, which does not block.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn tap(&self, device: &str) -> Result<OwnedFd> {
        let path = self.path();
        in_thread(|| {
            let netns = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
            setns(&netns, CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")?;
            // A TAP belongs to the namespace of the thread that opened it.
            open_tap(device)
        })
    }
}

fn open_tap(device: &str) -> Result<OwnedFd> {
    let tun = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .context("/dev/net/tun")?;
    // struct ifreq: 16 bytes of name, then the flags; 40 bytes in all on 64-bit (linux/if.h).
    let mut request = [0_u8; 40];
    let name = request.get_mut(..libc::IFNAMSIZ - 1).context("ifreq")?;
    for (to, from) in name.iter_mut().zip(device.bytes()) {
        *to = from;
    }
    let flags = libc::IFF_TAP | libc::IFF_NO_PI;
    for (to, from) in request.iter_mut().skip(libc::IFNAMSIZ).zip(flags.to_ne_bytes()) {
        *to = from;
    }
    #[expect(unsafe_code, reason = "TUNSETIFF has no safe wrapper")]
    // SAFETY: the ioctl reads and writes at most sizeof(struct ifreq) == 40 bytes, the size of `request`.
    let result = unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
    nix::errno::Errno::result(result).with_context(|| format!("cannot make TAP device {device}"))?;
    Ok(tun.into())
}

/// Namespaces are a property of threads: a fresh one takes the change and ends.
fn in_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|_| bail!("a thread of the lab panicked"))
    })
}
