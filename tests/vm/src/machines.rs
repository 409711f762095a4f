//! The disk image in machines of several makes: each disk and each network card that QEMU has, behind BIOS and UEFI.

use crate::director::{LVS1, SOON};
use crate::upgrades;
use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario::{self, BringUp};
use director_qemu::vm::{DiskBus, Firmware, Hardware};

/// Memory beside what UEFI takes, which does not start with it, in MiB.
const MEMORY_MIB: u32 = 64;
const UEFI_MIB: u32 = 128;

/// A machine, and the drivers that it must show for its cards.
pub type Machine = (&'static str, Hardware, &'static [&'static str]);

const fn machine(firmware: Firmware, disk: DiskBus, nics: &'static [&'static str]) -> Hardware {
    let more = match firmware {
        Firmware::Uefi => UEFI_MIB,
        Firmware::None | Firmware::Bios => 0,
    };
    Hardware { firmware, disk, nics, swapped: false, memory_mib: MEMORY_MIB + more, watchdog: false }
}

use DiskBus::{Ahci, Nvme, Usb, Virtio};
use Firmware::{Bios, Uefi};

/// Every disk and every card behind both firmwares; each card as the public and as the private one.
pub const ALL: &[Machine] = &[
    ("bios-virtio", machine(Bios, Virtio, &["virtio-net-pci", "e1000"]), &["virtio_net", "e1000"]),
    ("bios-ahci", machine(Bios, Ahci, &["e1000", "e1000e"]), &["e1000", "e1000e"]),
    ("bios-nvme", machine(Bios, Nvme, &["e1000e", "rtl8139"]), &["e1000e", "8139cp"]),
    ("bios-usb", machine(Bios, Usb, &["rtl8139", "vmxnet3"]), &["8139cp", "vmxnet3"]),
    ("uefi-virtio", machine(Uefi, Virtio, &["vmxnet3", "virtio-net-pci"]), &["vmxnet3", "virtio_net"]),
    ("uefi-ahci", machine(Uefi, Ahci, &["virtio-net-pci", "rtl8139"]), &["virtio_net", "8139cp"]),
    ("uefi-nvme", machine(Uefi, Nvme, &["rtl8139", "e1000"]), &["8139cp", "e1000"]),
    ("uefi-usb", machine(Uefi, Usb, &["e1000e", "vmxnet3"]), &["e1000e", "vmxnet3"]),
];

/// Two cards of one make, which the kernel names in the order of their slots.
const TWINS: Hardware = machine(Bios, Virtio, &["virtio-net-pci"]);

/// A box that was started from its disk, and whose roles are bound to their cards, as `setup` does it: cards of two makes are named in
/// the order of their drivers, and not of their slots.
///
/// # Errors
/// When it does not come up.
pub fn start(folder: RunFolder) -> Result<Lab> {
    let mut scenario = scenario::named("five-node").context("scenario")?;
    scenario.bring_up = BringUp::Preloaded;
    let mut lab = Lab::prepare(scenario, folder)?;
    lab.set_hardware(TWINS);
    lab.boot()?;
    upgrades::serves(&lab)?;
    let [public, private] = macs(&lab)?;
    let lines = format!(
        "set node primary interface public mac {public}\nset node primary interface private mac {private}\n"
    );
    lab.type_config(LVS1, &lines)?;
    Ok(lab)
}

/// Puts the disk into this machine: it must serve, and name its cards' drivers.
///
/// # Errors
/// When it does not.
pub fn serves_in(lab: &mut Lab, (_, hardware, drivers): &Machine) -> Result<()> {
    lab.refit(LVS1, *hardware, |_| Ok(()))?;
    upgrades::serves(lab)?;
    let shown = lab.ask(LVS1, "show hardware")?.join("\n");
    ensure!(drivers.iter().all(|driver| shown.contains(driver)), "not {drivers:?} in {shown}");
    Ok(())
}

/// The cards change places: roles stay where their cables are.
///
/// # Errors
/// When the box does not serve then.
pub fn swapped_cards(lab: &mut Lab) -> Result<()> {
    lab.refit(LVS1, TWINS, |_| Ok(()))?;
    upgrades::serves(lab)?;
    let [first, second] = macs(lab)?;
    lab.refit(LVS1, Hardware { swapped: true, ..TWINS }, |_| Ok(()))?;
    upgrades::serves(lab)?;
    let after = macs(lab)?;
    ensure!(after == [second, first], "the cards did not change places: {after:?}");
    lab.refit(LVS1, TWINS, |_| Ok(()))?;
    upgrades::serves(lab).map(|_| ())
}

/// Hardware addresses of eth0 and eth1.
fn macs(lab: &Lab) -> Result<[String; 2]> {
    let (first, second) = lab.hub().eventually("both cards", lab.scaled(SOON), || {
        let rows = lab.json(LVS1, "show interfaces").map_err(|error| format!("{error:#}"))?;
        let find = |device: &str| {
            let list = rows.as_array().or(rows["interfaces"].as_array())?;
            let row = list.iter().find(|row| row["device"] == device)?;
            row["mac"].as_str().map(str::to_owned)
        };
        find("eth0").zip(find("eth1")).ok_or(rows.to_string())
    })?;
    Ok([first, second])
}
