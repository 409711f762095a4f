//! A running lab.

mod traffic;

use crate::clock;
use crate::helper;
use crate::hub::Hub;
use crate::inputs;
use crate::netns::Netns;
use crate::nginx::Nginx;
use crate::null_modem::{End, NullModem};
use crate::process::{Ended, Process, Program};
use crate::run_folder::RunFolder;
use crate::scenario::{BringUp, Director, Host, Scenario};
use crate::serial::Mark;
use crate::shell::Shell;
use crate::switch::{PortId, SegmentId, Switch};
use crate::tools::{Start, Tools};
use crate::vm::{Hardware, Vm, VmSpec};
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// From power-on to the prompt on the reference machine (2 cores, TCG). Deadlines scale with what is measured.
const BOOT_REFERENCE: Duration = Duration::from_secs(4);
/// A machine slower than this many times the reference is broken, not slow.
const SCALE_PERCENT_MAX: u32 = 800;
/// A boot that takes longer has failed.
const BOOT_LIMIT: Duration = Duration::from_secs(90);
/// From the prompt to the first answer of the virtual address, before scaling.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Longest time for one request of [`Lab::get`]; curl's own limit ends before.
const REQUEST_LIMIT: Duration = Duration::from_secs(15);
/// Memory of a helper machine: a web server with its libraries, unpacked.
const MACHINE_MIB: u32 = 128;
/// A helper machine has a disk because every machine has one; nothing is on it.
const MACHINE_DISK_BYTES: u64 = 1 << 20;
/// Words in an answer of the console that mean that a line was not taken.
const REFUSALS: [&str; 7] =
    ["error", "unknown", "invalid", "refused", "out of range", "ambiguous", "incomplete"];

/// Where datagrams are sent from: an address, and one port for all or one for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender<'a> {
    /// A fresh port each time.
    Fresh(&'a str),
    /// One port.
    Same(&'a str),
}

/// Another system.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its kernel, which QEMU is handed as it is ours.
    pub kernel: PathBuf,
    /// Its initial file system.
    pub initramfs: PathBuf,
    /// Its command line.
    pub append: String,
    /// Its disk, a raw file.
    pub disk: PathBuf,
    /// Memory in MiB.
    pub memory_mib: u32,
}

/// Segments, hosts and directors of one scenario.
#[derive(Debug)]
pub struct Lab {
    // In order of dropping: machines before the switch, the switch before the timeline.
    directors: BTreeMap<&'static str, Vm>,
    machines: BTreeMap<&'static str, Vm>,
    kept: Vec<Process>,
    hosts: BTreeMap<&'static str, HostState>,
    switch: Switch,
    scenario: Scenario,
    hardware: Hardware,
    tools: Option<Tools>,
    /// Between the second serial ports of two directors.
    modem: Arc<NullModem>,
    folder: RunFolder,
    scale_percent: u32,
    boot: Option<Duration>,
    hub: Arc<Hub>,
}

/// A host under way.
#[derive(Debug)]
struct HostState {
    netns: Netns,
    web: Option<Nginx>,
    _echo: Option<Process>,
    _dhcp: Option<Process>,
}

impl Lab {
    /// Makes segments and hosts and starts the hosts' servers. The directors are off.
    ///
    /// # Errors
    /// When a part cannot be made; the namespace takes care of the rest.
    pub fn prepare(scenario: Scenario, folder: RunFolder) -> Result<Self> {
        // Sockets are made under relative names: a unix socket's path has 108 bytes, a work tree's any length.
        env::set_current_dir(folder.path()).context("run folder")?;
        let hub = Arc::new(Hub::new(&folder.path().join("timeline.log"))?);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        hub.line("lab", "start", &format!("scenario={} load={}", scenario.name, load.trim()));
        let switch = Switch::start(Arc::clone(&hub))?;
        for segment in scenario.segments {
            switch.segment(segment, &folder.path().join(format!("{segment}.pcap")))?;
        }
        crate::process::feed(&["ip", "-batch", "-"], "link set lo up\n")?;
        let mut lab = Self {
            directors: BTreeMap::new(),
            machines: BTreeMap::new(),
            kept: Vec::new(),
            hosts: BTreeMap::new(),
            switch,
            scenario,
            hardware: Hardware::FAST,
            tools: None,
            modem: Arc::default(),
            folder,
            scale_percent: 100,
            boot: None,
            hub,
        };
        for (index, host) in lab.scenario.hosts.clone().iter().enumerate() {
            let state = lab.start_host(host, index).with_context(|| format!("host {}", host.name))?;
            lab.hosts.insert(host.name, state);
        }
        lab.hub.line("lab", "hosts", "all are up");
        Ok(lab)
    }

    /// What directors are built of that were not switched on yet.
    pub fn set_hardware(&mut self, hardware: Hardware) {
        self.hardware = hardware;
    }

    /// Programs and a shell that directors carry beside the product which were not switched on yet.
    pub fn set_tools(&mut self, tools: Tools) {
        self.tools = Some(tools);
    }

    /// The shell of a director with tools, or of a helper machine.
    ///
    /// # Errors
    /// When there is no such machine, or it has none.
    pub fn shell(&self, name: &str) -> Result<&Shell> {
        let vm = self.machines.get(name).or(self.directors.get(name));
        vm.with_context(|| format!("there is no machine {name}"))?.shell()
    }

    /// Switches a helper machine on: the product's kernel, these programs and a shell. For hosts that need what the kernel
    /// of the build machine may lack (tunnels, SCTP, IPVS). Its cards are plugged into `nics` in order and not configured.
    ///
    /// # Errors
    /// When it does not start.
    pub fn add_machine(&mut self, name: &'static str, nics: &[&str], tools: &Tools) -> Result<()> {
        let accel = crate::accel::choose(&self.hub, self.folder.path())?;
        let folder = self.folder.node(name)?;
        let initramfs = folder.join("initramfs");
        tools.write(&inputs::initramfs()?, &initramfs)?;
        let disk = folder.join("disk.img");
        File::create(&disk).and_then(|file| file.set_len(MACHINE_DISK_BYTES)).context("disk")?;
        let number = self.machines.len() + 1;
        let mut cards = Vec::new();
        for (nic, segment) in nics.iter().enumerate() {
            cards.push((self.segment(segment)?, format!("52:54:00:02:{number:02x}:{nic:02x}")));
        }
        let spec = VmSpec {
            name: name.to_owned(),
            accel,
            hardware: Hardware { memory_mib: MACHINE_MIB, ..Hardware::FAST },
            kernel: inputs::kernel()?,
            initramfs,
            append: format!("{} {}", inputs::append(), Start::World.append()),
            disk,
            shell: true,
            modem: None,
            nics: cards,
            folder: PathBuf::from(name),
        };
        let mut vm = Vm::new(spec, &self.hub)?;
        vm.power_on(&self.switch)?;
        vm.wait_shell(Mark::default(), BOOT_LIMIT)?;
        self.machines.insert(name, vm);
        Ok(())
    }

    /// Switches a machine on that is not ours: another system from a disk of its own. Waits for nothing.
    ///
    /// # Errors
    /// When QEMU does not start.
    pub fn add_guest(&mut self, name: &'static str, nics: &[&str], guest: &Guest) -> Result<()> {
        let accel = crate::accel::choose(&self.hub, self.folder.path())?;
        let number = self.machines.len() + 1;
        let mut cards = Vec::new();
        for (nic, segment) in nics.iter().enumerate() {
            cards.push((self.segment(segment)?, format!("52:54:00:03:{number:02x}:{nic:02x}")));
        }
        self.folder.node(name)?;
        let spec = VmSpec {
            name: name.to_owned(),
            accel,
            hardware: Hardware { memory_mib: guest.memory_mib, ..Hardware::FAST },
            kernel: guest.kernel.clone(),
            initramfs: guest.initramfs.clone(),
            append: guest.append.clone(),
            disk: guest.disk.clone(),
            shell: false,
            modem: None,
            nics: cards,
            folder: PathBuf::from(name),
        };
        let mut vm = Vm::new(spec, &self.hub)?;
        vm.power_on(&self.switch)?;
        self.machines.insert(name, vm);
        Ok(())
    }

    /// Switches the directors on, gives them their configuration and waits until the cluster answers.
    ///
    /// # Errors
    /// When a director does not come to its prompt, does not take its configuration, or nothing answers in time.
    pub fn boot(&mut self) -> Result<()> {
        if self.scenario.directors.is_empty() {
            return self.wait_until_it_answers();
        }
        let accel = crate::accel::choose(&self.hub, self.folder.path())?;
        self.hub.line("lab", "accel", &accel);
        for (index, director) in self.scenario.directors.clone().into_iter().enumerate() {
            let vm = self.make_director(&director, index, &accel)?;
            self.directors.insert(director.name, vm);
        }
        let started = clock::now();
        for vm in self.directors.values_mut() {
            vm.power_on(&self.switch)?;
        }
        for vm in self.directors.values() {
            vm.console().wait_prompt(Mark::default(), BOOT_LIMIT)?;
            vm.wait_shell(Mark::default(), BOOT_LIMIT)?;
        }
        self.calibrate(clock::now().duration_since(started));
        match (self.scenario.bring_up, self.scenario.directors.first()) {
            (BringUp::ByHand, _) => return Ok(()),
            (BringUp::Typed, Some(first)) => self.type_config(first.name, &self.scenario.config)?,
            (BringUp::Typed | BringUp::Preloaded, _) => {}
        }
        self.wait_until_it_answers()
    }

    /// Waits until the virtual address answers a request.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_until_it_answers(&self) -> Result<()> {
        let Some((host, url)) = self.scenario.answers else { return Ok(()) };
        let body =
            self.hub.eventually("an answer of the virtual address", self.scaled(ANSWER_LIMIT), || {
                self.get(host, url).map_err(|error| format!("{error:#}"))
            })?;
        self.hub.line("lab", "answers", &body);
        Ok(())
    }

    /// Types a configuration over the serial console and commits it.
    ///
    /// # Errors
    /// With the first line that was not taken.
    pub fn type_config(&self, director: &str, config: &str) -> Result<()> {
        let lines = config.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in ["configure"].into_iter().chain(lines).chain(["commit", "exit"]) {
            self.tell(director, line)?;
        }
        Ok(())
    }

    /// Types one line and gives the answer; an answer that says no is an error.
    ///
    /// # Errors
    /// When the director refuses the line or does not answer.
    pub fn tell(&self, director: &str, line: &str) -> Result<Vec<String>> {
        let answer = self.ask(director, line)?;
        let said = answer.join("\n");
        let lower = said.to_lowercase();
        if REFUSALS.iter().any(|word| lower.contains(word)) {
            bail!("{director}: `{line}`: {said}");
        }
        Ok(answer)
    }

    /// Types one line and gives the lines of the answer.
    ///
    /// # Errors
    /// When the director does not answer.
    pub fn ask(&self, director: &str, line: &str) -> Result<Vec<String>> {
        self.director(director)?.console().command(line)
    }

    /// Types `COMMAND | json` and gives what came.
    ///
    /// # Errors
    /// When the answer is no JSON.
    pub fn json(&self, director: &str, command: &str) -> Result<serde_json::Value> {
        let text = self.ask(director, &format!("{command} | json"))?.join("\n");
        serde_json::from_str(&text).with_context(|| format!("{director}: `{command} | json`: {text}"))
    }

    /// A deadline for this machine: as given on the reference machine, longer on a slower one.
    #[must_use]
    pub fn scaled(&self, span: Duration) -> Duration {
        span.saturating_mul(self.scale_percent) / 100
    }

    /// From power-on to the prompt, as measured at the first boot.
    #[must_use]
    pub fn boot_time(&self) -> Option<Duration> {
        self.boot
    }

    /// A director.
    ///
    /// # Errors
    /// When the scenario has none of that name, or it was not switched on yet.
    pub fn director(&self, name: &str) -> Result<&Vm> {
        self.directors.get(name).with_context(|| format!("there is no director {name}"))
    }

    /// Cuts the power of a helper machine, which is gone then, or of a director; [`Lab::power_cycle`] switches it on again.
    ///
    /// # Errors
    /// When QEMU does not end.
    pub fn power_off(&mut self, name: &str) -> Result<()> {
        if let Some(mut machine) = self.machines.remove(name) {
            return machine.power_off();
        }
        self.directors.get_mut(name).with_context(|| format!("there is no director {name}"))?.power_off()
    }

    /// Cuts the power of a director and switches it on again; waits for its prompt.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn power_cycle(&mut self, name: &str) -> Result<()> {
        self.power_cycle_with(name, |_| Ok(())).map(|_| ())
    }

    /// Cuts the power of a director, lets `meanwhile` have the image of its disk, and switches it on again; waits for its
    /// prompt. Gives the place in its transcript where the new boot begins.
    ///
    /// # Errors
    /// When it does not come back, or `meanwhile` fails.
    pub fn power_cycle_with(
        &mut self,
        name: &str,
        meanwhile: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Mark> {
        self.power_cycle_vm(name, |vm| meanwhile(vm.disk()))
    }

    /// Puts the disk of a director into another machine and switches that on; `meanwhile` may have the image first. Waits
    /// for the prompt, and gives the place in its transcript where the new boot begins.
    ///
    /// # Errors
    /// When it does not come up, or `meanwhile` fails.
    pub fn refit(
        &mut self,
        name: &str,
        hardware: Hardware,
        meanwhile: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Mark> {
        self.power_cycle_vm(name, |vm| {
            vm.refit(hardware)?;
            meanwhile(vm.disk())
        })
    }

    fn power_cycle_vm(&mut self, name: &str, meanwhile: impl FnOnce(&mut Vm) -> Result<()>) -> Result<Mark> {
        let limit = self.scaled(BOOT_LIMIT);
        let vm = self.directors.get_mut(name).with_context(|| format!("there is no director {name}"))?;
        vm.power_off()?;
        meanwhile(vm)?;
        let (mark, shell) = (vm.console().mark(), vm.shell_mark());
        vm.power_on(&self.switch)?;
        vm.console().wait_prompt(mark, limit)?;
        vm.wait_shell(shell, limit)?;
        Ok(mark)
    }

    /// Presses the reset button of a director; waits for its prompt.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn reset(&self, name: &str) -> Result<()> {
        let vm = self.director(name)?;
        let mark = vm.console().mark();
        vm.reset()?;
        vm.console().wait_prompt(mark, self.scaled(BOOT_LIMIT)).map(|_| ())
    }

    /// The web server of a host.
    ///
    /// # Errors
    /// When it has none.
    pub fn web(&mut self, host: &str) -> Result<&mut Nginx> {
        let state = self.hosts.get_mut(host).with_context(|| format!("there is no host {host}"))?;
        state.web.as_mut().with_context(|| format!("{host} has no web server"))
    }

    /// Runs lines of `ip -batch` in a host's namespace.
    ///
    /// # Errors
    /// With what `ip` said.
    pub fn ip(&self, host: &str, lines: &str) -> Result<()> {
        self.host(host)?.netns.ip(lines)
    }

    /// The switch.
    #[must_use]
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// A segment by name.
    ///
    /// # Errors
    /// When the scenario has none of that name.
    pub fn segment(&self, name: &str) -> Result<SegmentId> {
        self.switch.segment_named(name).with_context(|| format!("there is no segment {name}"))
    }

    /// A node's port on a segment.
    ///
    /// # Errors
    /// When the node is not on the segment.
    pub fn port(&self, segment: &str, node: &str) -> Result<PortId> {
        let id = self.segment(segment)?;
        self.switch.port_named(id, node).with_context(|| format!("{node} is not on {segment}"))
    }

    /// Timeline and waits.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// What is being run.
    #[must_use]
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Logs, captures and entrances.
    #[must_use]
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    fn host(&self, name: &str) -> Result<&HostState> {
        self.hosts.get(name).with_context(|| format!("there is no host {name}"))
    }

    fn start_host(&self, host: &Host, index: usize) -> Result<HostState> {
        let netns = Netns::create(host.name)?;
        let tap = netns.tap("eth0")?;
        let mut lines = format!(
            "link set eth0 address 52:54:00:01:00:{:02x} up\naddress add {}/{} dev eth0\n",
            index + 1,
            host.address,
            host.prefix
        );
        if let Some(gateway) = host.gateway {
            lines.push_str(&format!("route add default via {gateway}\n"));
        }
        for network in host.beside {
            lines.push_str(&format!("route add {network} dev eth0\n"));
        }
        if !host.silent.is_empty() {
            // ip-sysctl: takes packets for an address of lo, answers ARP for its own addresses only.
            let quiet = ["net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2"];
            let argv = ["sysctl", "-q", "-w"].into_iter().chain(quiet);
            let ended =
                Program::new(host.name, argv).netns(host.name).spawn(&self.hub)?.wait(REQUEST_LIMIT)?;
            if !ended.status.success() {
                bail!("sysctl: {}", ended.stderr.trim());
            }
            lines.push_str("link set lo up\n");
        }
        for address in host.silent {
            lines.push_str(&format!("address add {address}/32 dev lo\n"));
        }
        netns.ip(&lines)?;
        self.switch.plug(self.segment(host.segment)?, host.name, tap)?;
        let folder = self.folder.node(host.name)?;
        let leases = folder.clone();
        let web = if host.web.is_empty() {
            None
        } else {
            let mut web = Nginx::prepare(host.name, host.web, folder, &self.hub)?;
            web.start()?;
            Some(web)
        };
        let echo = match host.udp_echo {
            Some(port) => Some(self.start_echo(&netns, port)?),
            None => None,
        };
        let lends = host.dhcp.map(|lends| crate::dnsmasq::start(host.name, lends, &leases, &self.hub));
        Ok(HostState { netns, web, _echo: echo, _dhcp: lends.transpose()? })
    }

    fn start_echo(&self, netns: &Netns, port: u16) -> Result<Process> {
        let exe = own_executable()?;
        let address = format!("0.0.0.0:{port}");
        let argv = [&*exe, helper::FLAG, "udp-echo", &address];
        let echo = Program::new(netns.name(), argv).netns(netns.name()).spawn(&self.hub)?;
        self.hub.until("the echo service", REQUEST_LIMIT, || {
            if echo.stdout().contains("listening") { Ok(()) } else { Err(echo.stderr()) }
        })?;
        Ok(echo)
    }

    fn make_director(&self, director: &Director, index: usize, accel: &str) -> Result<Vm> {
        let folder = self.folder.node(director.name)?;
        let scenario = &self.scenario;
        let disk = inputs::disk(
            &self.hub,
            &folder,
            self.hardware.firmware,
            (director.role, &scenario.config, scenario.bring_up),
        )?;
        let mut nics = Vec::new();
        for (nic, segment) in director.nics.iter().enumerate() {
            nics.push((self.segment(segment)?, format!("52:54:00:00:{:02x}:{nic:02x}", index + 1)));
        }
        let (mut initramfs, mut append) = (inputs::initramfs()?, inputs::append());
        if let Some(tools) = &self.tools {
            let with = folder.join("initramfs");
            tools.write(&initramfs, &with)?;
            (initramfs, append) = (with, format!("{append} {}", Start::Director.append()));
        }
        let end = match (self.scenario.directors.len(), index) {
            (2, 0) => Some(End::First),
            (2, 1) => Some(End::Second),
            _ => None,
        };
        let spec = VmSpec {
            name: director.name.to_owned(),
            accel: accel.to_owned(),
            hardware: self.hardware,
            kernel: inputs::kernel()?,
            initramfs,
            append,
            disk,
            shell: self.tools.is_some(),
            modem: end.map(|end| (Arc::clone(&self.modem), end)),
            nics,
            folder: PathBuf::from(director.name),
        };
        let vm = Vm::new(spec, &self.hub)?;
        crate::tty::publish(
            vm.console(),
            &self.folder.path().join(director.name).join("tty"),
            director.line,
        )?;
        Ok(vm)
    }

    fn calibrate(&mut self, boot: Duration) {
        let percent = boot.as_millis().saturating_mul(100) / BOOT_REFERENCE.as_millis();
        self.scale_percent = u32::try_from(percent).unwrap_or(u32::MAX).clamp(100, SCALE_PERCENT_MAX);
        self.boot = Some(boot);
        let scale = self.scale_percent;
        self.hub.line(
            "lab",
            "boot",
            &format!("prompt after {} ms, deadlines at {scale} %", boot.as_millis()),
        );
    }
}

/// Path of this executable, for helpers.
fn own_executable() -> Result<String> {
    Ok(env::current_exe().context("own executable")?.to_string_lossy().into_owned())
}
