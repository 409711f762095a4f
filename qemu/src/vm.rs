//! One director: QEMU, its serial lines, its monitor and its power.

use crate::accel::QEMU;
use crate::hub::Hub;
use crate::null_modem::{End, NullModem};
use crate::process::{Process, Program};
use crate::qmp::Qmp;
use crate::serial::{Mark, Serial};
use crate::shell::Shell;
use crate::switch::{SegmentId, Switch};
use anyhow::{Context as _, Result, bail};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long QEMU may take to end after it was told to.
const QUIT_LIMIT: Duration = Duration::from_secs(10);

/// How a machine starts, and what its disk and network cards are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hardware {
    /// What starts the system.
    pub firmware: Firmware,
    /// How the disk is attached.
    pub disk: DiskBus,
    /// Models of the network cards in order; the last one also for the rest.
    pub nics: &'static [&'static str],
    /// The cards sit in each other's slots: the last one comes first.
    pub swapped: bool,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Whether there is a hardware watchdog (Intel 6300ESB).
    pub watchdog: bool,
}

/// What starts the system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Firmware {
    /// QEMU is handed kernel and initramfs: seconds sooner.
    None,
    /// SeaBIOS and the boot loader on the disk.
    Bios,
    /// OVMF and the boot loader on the disk.
    Uefi,
}

/// How a disk is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskBus {
    /// virtio-blk.
    Virtio,
    /// SATA.
    Ahci,
    /// NVM Express.
    Nvme,
    /// A stick behind xHCI.
    Usb,
}

impl Hardware {
    /// What most of the lab runs on: the least and the fastest that serves the five-node cluster.
    pub const FAST: Self = Self {
        firmware: Firmware::None,
        disk: DiskBus::Virtio,
        nics: &["virtio-net-pci"],
        swapped: false,
        memory_mib: 64,
        watchdog: false,
    };
}

/// OVMF without a place for variables: each start is its first.
const OVMF: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";

/// What a VM is made of.
#[derive(Clone, Debug)]
pub struct VmSpec {
    /// Its name in the lab.
    pub name: String,
    /// Accelerator for QEMU.
    pub accel: String,
    /// Its parts.
    pub hardware: Hardware,
    /// Kernel image.
    pub kernel: PathBuf,
    /// Root file system archive.
    pub initramfs: PathBuf,
    /// Kernel command line.
    pub append: String,
    /// Image of the flash disk, a raw file.
    pub disk: PathBuf,
    /// The null modem on ttyS1, and which end of it.
    pub modem: Option<(Arc<NullModem>, End)>,
    /// Whether there is a shell on ttyS3 ([`crate::tools`]).
    pub shell: bool,
    /// Network cards in order: segment and hardware address.
    pub nics: Vec<(SegmentId, String)>,
    /// The node's folder, for sockets and logs. Relative, so that socket paths stay below the 108 bytes of `sun_path`.
    pub folder: PathBuf,
}

/// A virtual machine.
#[derive(Debug)]
pub struct Vm {
    spec: VmSpec,
    console: Serial,
    kernel_log: Serial,
    shell: Option<Shell>,
    power: Option<Power>,
    hub: Arc<Hub>,
}

/// A machine that is switched on.
#[derive(Debug)]
struct Power {
    qmp: Qmp,
    process: Process,
}

impl Vm {
    /// A machine that is switched off.
    ///
    /// # Errors
    /// When its logs or sockets cannot be made.
    pub fn new(spec: VmSpec, hub: &Arc<Hub>) -> Result<Self> {
        let console = Serial::new(&spec.name, "console", &spec.folder.join("console.log"), hub)?;
        let kernel_log = Serial::new(&spec.name, "kernel", &spec.folder.join("kernel.log"), hub)?;
        let shell = if spec.shell {
            let serial = Serial::new(&spec.name, "shell", &spec.folder.join("shell.log"), hub)?;
            Some(Shell::new(serial))
        } else {
            None
        };
        console.publish(&spec.folder.join("console"))?;
        Ok(Self { spec, console, kernel_log, shell, power: None, hub: Arc::clone(hub) })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The image of its flash disk. Only to be touched while the power is off.
    #[must_use]
    pub fn disk(&self) -> &Path {
        &self.spec.disk
    }

    /// ttyS0.
    #[must_use]
    pub fn console(&self) -> &Serial {
        &self.console
    }

    /// ttyS2.
    #[must_use]
    pub fn kernel_log(&self) -> &Serial {
        &self.kernel_log
    }

    /// The shell on ttyS3.
    ///
    /// # Errors
    /// When the machine has none.
    pub fn shell(&self) -> Result<&Shell> {
        self.shell.as_ref().with_context(|| format!("{} has no shell: it was given no tools", self.spec.name))
    }

    /// The present end of what the shell said.
    pub(crate) fn shell_mark(&self) -> Mark {
        self.shell.as_ref().map(|shell| shell.serial().mark()).unwrap_or_default()
    }

    /// Waits until the shell, when there is one, takes lines.
    pub(crate) fn wait_shell(&self, mark: Mark, limit: Duration) -> Result<()> {
        self.shell.as_ref().map_or(Ok(()), |shell| shell.wait_ready(mark, limit))
    }

    /// The monitor.
    ///
    /// # Errors
    /// When the machine is off.
    pub fn qmp(&self) -> Result<&Qmp> {
        self.power.as_ref().map(|power| &power.qmp).with_context(|| format!("{} is off", self.spec.name))
    }

    /// Whether QEMU runs.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.power.as_ref().is_some_and(|power| power.process.status().is_none())
    }

    /// Switches on.
    ///
    /// # Errors
    /// When it is on, or QEMU does not start.
    pub fn power_on(&mut self, switch: &Switch) -> Result<()> {
        if self.is_on() {
            bail!("{} is on already", self.spec.name);
        }
        let mut inherit: Vec<OwnedFd> = Vec::new();
        let mut give = |fd: OwnedFd| {
            let number = fd.as_raw_fd();
            inherit.push(fd);
            number
        };
        let mut argv = self.fixed_arguments();
        let mut cards = Vec::new();
        for (index, (segment, mac)) in self.spec.nics.iter().enumerate() {
            // A connected pair has no limit of queued datagrams, only of bytes; named sockets would lose frames after
            // ten (net.unix.max_dgram_qlen).
            let (ours, theirs) = UnixDatagram::pair().context("socket pair")?;
            switch.plug(*segment, &self.spec.name, ours.into())?;
            let fd = give(theirs.into());
            argv.push("-netdev".into());
            argv.push(format!("dgram,id=net{index},local.type=fd,local.str={fd}"));
            let models = self.spec.hardware.nics;
            let model = models.get(index).or(models.last()).context("no model of a network card")?;
            cards.push(["-device".into(), format!("{model},netdev=net{index},mac={mac},romfile=")]);
        }
        // The order of the devices is that of their slots.
        if self.spec.hardware.swapped {
            cards.reverse();
        }
        argv.extend(cards.into_iter().flatten());
        let (console, theirs) = UnixStream::pair().context("socket pair")?;
        let console_fd = give(theirs.into());
        let (kernel, theirs) = UnixStream::pair().context("socket pair")?;
        let kernel_fd = give(theirs.into());
        let (monitor, theirs) = UnixStream::pair().context("socket pair")?;
        let monitor_fd = give(theirs.into());
        let mut second = "null,id=ttyS1".to_owned();
        if let Some((modem, end)) = &self.spec.modem {
            let (ours, theirs) = UnixStream::pair().context("socket pair")?;
            second = format!("socket,id=ttyS1,fd={}", give(theirs.into()));
            modem.plug(*end, ours)?;
        }
        // ttyS1 is for the heartbeat. The third port gets an interrupt of its own: by default it shares that of the
        // first, which the driver refuses for ISA ports.
        for (option, value) in [
            ("-chardev", format!("socket,id=ttyS0,fd={console_fd}")),
            ("-device", "isa-serial,chardev=ttyS0,index=0".to_owned()),
            ("-chardev", second),
            ("-device", "isa-serial,chardev=ttyS1,index=1".to_owned()),
            ("-chardev", format!("socket,id=ttyS2,fd={kernel_fd}")),
            ("-device", "isa-serial,chardev=ttyS2,index=2,irq=5".to_owned()),
            ("-chardev", format!("socket,id=monitor,fd={monitor_fd}")),
            ("-mon", "chardev=monitor,mode=control".to_owned()),
        ] {
            argv.push(option.into());
            argv.push(value);
        }
        let mut shell_end = None;
        if self.shell.is_some() {
            let (ours, theirs) = UnixStream::pair().context("socket pair")?;
            shell_end = Some(ours);
            let fd = give(theirs.into());
            argv.extend(["-chardev".into(), format!("socket,id=ttyS3,fd={fd}")]);
            argv.extend(["-device".into(), "isa-serial,chardev=ttyS3,index=3,irq=7".into()]);
        }
        self.note_command_line(&argv);
        let process = Program::new(&self.spec.name, argv).inherit(inherit).spawn(&self.hub)?;
        self.console.connect(console)?;
        self.kernel_log.connect(kernel)?;
        if let (Some(shell), Some(end)) = (&self.shell, shell_end) {
            shell.serial().connect(end)?;
        }
        let qmp = Qmp::start(&self.spec.name, monitor, &self.hub)
            .with_context(|| format!("QEMU says: {}", process.stderr().trim()))?;
        self.power = Some(Power { qmp, process });
        Ok(())
    }

    /// Makes it another machine with the same disk.
    ///
    /// # Errors
    /// When it is on.
    pub fn refit(&mut self, hardware: Hardware) -> Result<()> {
        if self.is_on() {
            bail!("{} is on", self.spec.name);
        }
        self.spec.hardware = hardware;
        Ok(())
    }

    /// The reset button.
    ///
    /// # Errors
    /// When the machine is off.
    pub fn reset(&self) -> Result<()> {
        self.qmp()?.execute("system_reset", &json!({})).map(|_| ())
    }

    /// Pulls the power cord: QEMU is killed, and what it had not written to the disk image is lost.
    ///
    /// # Errors
    /// When QEMU does not end.
    pub fn power_off(&mut self) -> Result<()> {
        let Some(power) = self.power.take() else { return Ok(()) };
        power.process.signal(nix::sys::signal::Signal::SIGKILL);
        power.process.wait(QUIT_LIMIT).map(|_| ())
    }

    /// Stops the processors, as a machine that hangs.
    ///
    /// # Errors
    /// When the machine is off.
    pub fn freeze(&self) -> Result<()> {
        self.qmp()?.execute("stop", &json!({})).map(|_| ())
    }

    /// Lets the processors go on.
    ///
    /// # Errors
    /// When the machine is off.
    pub fn thaw(&self) -> Result<()> {
        self.qmp()?.execute("cont", &json!({})).map(|_| ())
    }

    /// Pulls or plugs the cable of a network card, as the card sees it (carrier).
    ///
    /// # Errors
    /// When the machine is off or has no such card.
    pub fn set_carrier(&self, nic: usize, up: Carrier) -> Result<()> {
        let arguments = json!({ "name": format!("net{nic}"), "up": up == Carrier::Up });
        self.qmp()?.execute("set_link", &arguments).map(|_| ())
    }

    fn fixed_arguments(&self) -> Vec<String> {
        let spec = &self.spec;
        let drive = format!("file={},format=raw,if=none,id=flash,cache=writethrough", spec.disk.display());
        let start: Vec<String> = match spec.hardware.firmware {
            Firmware::None => [
                "-kernel",
                &*spec.kernel.to_string_lossy(),
                "-initrd",
                &*spec.initramfs.to_string_lossy(),
                "-append",
                &spec.append,
            ]
            .map(str::to_owned)
            .to_vec(),
            Firmware::Bios => Vec::new(),
            Firmware::Uefi => {
                vec!["-drive".to_owned(), format!("if=pflash,format=raw,readonly=on,file={OVMF}")]
            }
        };
        let bus: &[&str] = match spec.hardware.disk {
            DiskBus::Virtio => &["virtio-blk-pci,drive=flash,bootindex=1"],
            DiskBus::Ahci => &["ide-hd,drive=flash,bus=ide.0,bootindex=1"],
            DiskBus::Nvme => &["nvme,drive=flash,serial=flash,bootindex=1"],
            DiskBus::Usb => &["qemu-xhci", "usb-storage,drive=flash,bootindex=1"],
        };
        let watchdog = spec.hardware.watchdog.then_some("i6300esb");
        let devices =
            bus.iter().copied().chain(watchdog).flat_map(|device| ["-device".to_owned(), device.to_owned()]);
        let outside = format!("unix:{},server=on,wait=off", spec.folder.join("qmp").display());
        [
            QEMU,
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-machine",
            "q35",
            "-cpu",
            "max",
            "-accel",
            &spec.accel,
            "-name",
            &spec.name,
            "-m",
            &spec.hardware.memory_mib.to_string(),
            "-drive",
            &drive,
            "-device",
            "virtio-rng-pci",
            "-qmp",
            &outside,
        ]
        .map(str::to_owned)
        .into_iter()
        .chain(start)
        .chain(devices)
        .collect()
    }

    /// For people who want to start the same machine by hand. A missing note harms nothing.
    fn note_command_line(&self, argv: &[String]) {
        let path = self.spec.folder.join("qemu.command");
        if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
            writeln!(file, "{}", argv.join(" ")).ok();
        }
    }
}

/// State of a cable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// Plugged in.
    Up,
    /// Pulled.
    Down,
}
