//! The disk image as it is flashed: from power-on through BIOS or UEFI and the boot loader to a box that serves, on the
//! disks and network cards of real machines.

use anyhow::{Context as _, Result, ensure};
use director_core::upgrade::environment::{Environment, Slot};
use director_core::upgrade::layout::{BOOT_AT, DATA_AT, ENVIRONMENT_AT, SLOT_BYTES, SLOTS_AT};
use director_image::slot::System;
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario::{self, BringUp};
use director_qemu::vm::{DiskBus, Firmware, Hardware};
use director_vm_tests::director::{LVS1, SOON, system};
use director_vm_tests::provision::{Provision, operational};
use director_vm_tests::suite::{self, Case, Suite};
use director_vm_tests::upgrades;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::ExitCode;

const SATA: Hardware = Hardware {
    firmware: Firmware::Bios,
    disk: DiskBus::Ahci,
    nics: &["e1000", "rtl8139"],
    swapped: false,
    memory_mib: 64,
    watchdog: false,
};
const NVME: Hardware = Hardware {
    firmware: Firmware::Uefi,
    disk: DiskBus::Nvme,
    nics: &["e1000e", "vmxnet3"],
    swapped: false,
    // Most of it is for OVMF, which does not start with 64.
    memory_mib: 192,
    watchdog: false,
};
const STICK: Hardware = Hardware {
    firmware: Firmware::Bios,
    disk: DiskBus::Usb,
    nics: &["virtio-net-pci"],
    swapped: false,
    memory_mib: 64,
    watchdog: false,
};
const VIRTIO: Hardware = Hardware { disk: DiskBus::Virtio, ..STICK };

const VIRTUAL: &str = "http://1.2.3.1/";
/// What fills an environment block that was lost.
const LOST: [u8; 1024] = [0xff; 1024];

const CASES: &[Case] = &[
    ("a_bios_boots_from_sata_and_serves_through_e1000_and_rtl8139", bios_and_sata),
    ("uefi_boots_from_nvme_and_serves_through_e1000e_and_vmxnet3", uefi_and_nvme),
    ("a_damaged_slot_falls_back_to_the_other_one_on_a_usb_stick", damaged_slot),
    ("a_box_whose_boot_environment_is_lost_boots_a_slot_that_is_whole", lost_environment),
    ("three_boots_that_prove_nothing_end_in_rescue_and_the_next_one_serves", rescue),
    ("a_trial_that_proves_itself_stays", trial),
    ("bundles_that_are_not_for_this_box_are_refused_and_nothing_changes", unfit_bundles),
    ("a_bundle_over_http_is_tried_and_stays", good_bundle),
    ("a_bundle_over_the_serial_line_is_taken_whole", serial_bundle),
    ("a_director_that_dies_at_its_start_gives_the_old_system_back", crashing_bundle),
    ("the_power_may_go_at_any_moment_of_an_upgrade", cut_upgrades),
    ("in_rescue_a_director_that_dies_leaves_a_console_that_starts_the_other_system", rescue_console),
    // The last one, because it leaves the box without a configuration.
    ("in_rescue_a_broken_configuration_partition_is_made_anew", broken_partition),
];

fn main() -> ExitCode {
    suite::main(Suite { start, baseline: |_| Ok(()), repair, cases: CASES })
}

fn start(folder: RunFolder) -> Result<Lab> {
    let mut scenario = scenario::named("five-node").context("scenario")?;
    scenario.bring_up = BringUp::Preloaded;
    let mut lab = Lab::prepare(scenario, folder)?;
    lab.set_hardware(SATA);
    lab.boot()?;
    Ok(lab)
}

fn repair(lab: &mut Lab) -> Result<()> {
    lab.refit(LVS1, VIRTIO, |disk| {
        lay(disk)?;
        write_environment(disk, Environment::settled(Slot::A))
    })
    .map(|_| ())
}

/// Writes what was built into both slots, whatever a case before left in them.
fn lay(disk: &Path) -> Result<()> {
    let system = upgrades::whole_system(env!("CARGO_PKG_VERSION"))?;
    SLOTS_AT.iter().try_for_each(|slot| lay_one(disk, *slot, &system))
}

fn lay_one(disk: &Path, slot: u64, system: &System) -> Result<()> {
    system.pieces.iter().try_for_each(|(at, bytes)| write(disk, slot + at, bytes))
}

/// The virtual address answers, and the boot loader was told so by the system in this slot.
fn serves(lab: &Lab, slot: &str) -> Result<()> {
    lab.hub().eventually("a page through the virtual address", lab.scaled(SOON * 4), || {
        lab.get("client", VIRTUAL).map_err(|error| format!("{error:#}"))
    })?;
    let found = lab.hub().eventually("a system that has proven itself", lab.scaled(SOON * 4), || {
        let found = system(lab).map_err(|error| format!("{error:#}"))?;
        if found["slot_proven"] == true { Ok(found) } else { Err(found.to_string()) }
    })?;
    ensure!(found["slot"] == slot, "{found}");
    Ok(())
}

fn disk_of(lab: &Lab) -> Result<File> {
    File::open(lab.director(LVS1)?.disk()).context("disk")
}

fn environment(lab: &Lab) -> Result<Environment> {
    environment_of(lab.director(LVS1)?.disk())
}

fn environment_of(disk: &Path) -> Result<Environment> {
    let mut block = [0; 1024];
    File::open(disk)?.read_exact_at(&mut block, BOOT_AT + ENVIRONMENT_AT[0])?;
    Environment::decode(&block).context("the environment cannot be read")
}

fn write(disk: &Path, at: u64, bytes: &[u8]) -> Result<()> {
    File::options().write(true).open(disk)?.write_all_at(bytes, at).context("write the disk")
}

fn write_environment(disk: &Path, environment: Environment) -> Result<()> {
    ENVIRONMENT_AT.into_iter().try_for_each(|at| write(disk, BOOT_AT + at, &environment.encode()))
}

fn copy_slot(disk: &Path, from: usize, to: usize) -> Result<()> {
    let mut bytes = vec![0; usize::try_from(SLOT_BYTES)?];
    File::open(disk)?.read_exact_at(&mut bytes, SLOTS_AT[from])?;
    write(disk, SLOTS_AT[to], &bytes)
}

fn said(lab: &Lab, mark: director_qemu::serial::Mark, text: &str) -> Result<()> {
    let said = lab.director(LVS1)?.console().since(mark);
    ensure!(said.contains(text), "no {text:?} in {said}");
    Ok(())
}

fn bios_and_sata(lab: &mut Lab) -> Result<()> {
    serves(lab, "a")?;
    ensure!(environment(lab)? == Environment::settled(Slot::A), "{:?}", environment(lab)?);
    Ok(())
}

fn uefi_and_nvme(lab: &mut Lab) -> Result<()> {
    lab.refit(LVS1, NVME, |disk| copy_slot(disk, 0, 1))?;
    serves(lab, "a")
}

fn damaged_slot(lab: &mut Lab) -> Result<()> {
    let mark = lab.refit(LVS1, STICK, |disk| write(disk, SLOTS_AT[0] + 1_000_000, b"one bad sector"))?;
    said(lab, mark, "slot a is damaged or empty")?;
    serves(lab, "b")
}

fn lost_environment(lab: &mut Lab) -> Result<()> {
    let mark = lab.refit(LVS1, VIRTIO, |disk| {
        ENVIRONMENT_AT.into_iter().try_for_each(|at| write(disk, BOOT_AT + at, &LOST))
    })?;
    // Slot a, which counts as good then, is still damaged.
    said(lab, mark, "slot a is damaged or empty")?;
    serves(lab, "b")?;
    ensure!(environment(lab)?.boots == 0, "the environment was not written again");
    Ok(())
}

fn rescue(lab: &mut Lab) -> Result<()> {
    let crashed = Environment { boots: 3, ..Environment::settled(Slot::B) };
    lab.refit(LVS1, VIRTIO, |disk| {
        lay(disk)?;
        write_environment(disk, crashed)
    })?;
    let found = system(lab)?;
    ensure!(found["rescue"] == true && found["generation"] == 0, "{found}");
    lab.power_cycle(LVS1)?;
    serves(lab, "b")
}

fn trial(lab: &mut Lab) -> Result<()> {
    let planned = Environment::settled(Slot::B).on_trial(Slot::A);
    let mark = lab.refit(LVS1, VIRTIO, |disk| {
        copy_slot(disk, 1, 0)?;
        write_environment(disk, planned)
    })?;
    said(lab, mark, "slot a: ")?;
    serves(lab, "a")?;
    ensure!(environment(lab)? == Environment::settled(Slot::A), "{:?}", environment(lab)?);
    Ok(())
}

/// What the disk holds of a slot.
fn slot(lab: &Lab, index: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(SLOT_BYTES)?];
    disk_of(lab)?.read_exact_at(&mut bytes, SLOTS_AT[index])?;
    Ok(bytes)
}

fn unfit_bundles(lab: &mut Lab) -> Result<()> {
    serves(lab, "a")?;
    let running = slot(lab, 0)?;
    let before = environment(lab)?;
    for (number, (why, bytes)) in upgrades::unfit()?.into_iter().enumerate() {
        let name = format!("unfit-{number}.upgrade");
        let url = if bytes.is_empty() {
            "http://192.168.1.3/none.upgrade".to_owned()
        } else {
            upgrades::serve(lab, &name, &bytes)?
        };
        let found = upgrades::fetch(lab, &url)?;
        let said = found["why"].as_str().unwrap_or_default();
        ensure!(found["upgrade"] == "failed" && said.contains(why), "{why}: {found}");
    }
    ensure!(environment(lab)? == before && slot(lab, 0)? == running, "something changed");
    serves(lab, "a")
}

fn good_bundle(lab: &mut Lab) -> Result<()> {
    let url = upgrades::serve(lab, "good.upgrade", &upgrades::whole()?)?;
    let found = upgrades::fetch(lab, &url)?;
    ensure!(found["upgrade"] == "ready" && found["upgrade_version"] == upgrades::NEXT, "{found}");
    ensure!(environment(lab)? == Environment::settled(Slot::A), "{:?}", environment(lab)?);
    upgrades::start_other(lab, 1)?;
    serves(lab, "b")?;
    ensure!(environment(lab)? == Environment::settled(Slot::B), "{:?}", environment(lab)?);
    Ok(())
}

fn serial_bundle(lab: &mut Lab) -> Result<()> {
    let runs = upgrades::serves(lab)?;
    let file = lab.folder().node(LVS1)?.join("serial.upgrade");
    std::fs::write(&file, upgrades::small("0.3.0", "x86_64")?)?;
    let name = file.to_string_lossy().into_owned();
    Provision::new(lab, "tty", "")?.run_to_end(lab, &["upgrade", &name], SOON * 6)?;
    // The program leaves the console in configure mode.
    operational(lab)?;
    // What was to be said meanwhile may stand before the first answer.
    let found = lab.hub().eventually("the end of the transfer", lab.scaled(SOON), || {
        upgrades::shown(lab).map_err(|error| format!("{error:#}"))
    })?;
    ensure!(found["upgrade"] == "ready" && found["upgrade_version"] == "0.3.0", "{found}");
    let other = usize::from(runs == "a");
    ensure!(found["slots"][other]["version"] == "0.3.0", "{found}");
    serves(lab, &runs)
}

fn crashing_bundle(lab: &mut Lab) -> Result<()> {
    let runs = upgrades::serves(lab)?;
    let url = upgrades::serve(lab, "crashing.upgrade", &upgrades::crashing()?)?;
    let found = upgrades::fetch(lab, &url)?;
    ensure!(found["upgrade"] == "ready", "{found}");
    // Two tries of the new system, then the old one.
    upgrades::start_other(lab, 3)?;
    serves(lab, &runs)?;
    let old = Slot::from_letter(&runs).context("a slot")?;
    ensure!(environment(lab)? == Environment::settled(old), "{:?}", environment(lab)?);
    Ok(())
}

fn cut_upgrades(lab: &mut Lab) -> Result<()> {
    let met = upgrades::cut_in_upgrades(lab, 3, 1)?;
    lab.hub().line("test", "figure", &format!("power cuts in upgrades: {met:?}"));
    Ok(())
}

fn rescue_console(lab: &mut Lab) -> Result<()> {
    let crashing = upgrades::crashing_system()?;
    let crashed = Environment { boots: 3, ..Environment::settled(Slot::A) };
    lab.refit(LVS1, VIRTIO, |disk| {
        lay(disk)?;
        lay_one(disk, SLOTS_AT[0], &crashing)?;
        write_environment(disk, crashed)
    })?;
    let console = lab.director(LVS1)?.console();
    // The first key after PID 1 gave up shows it; until then the console says that the director is not there.
    lab.hub().eventually("the rescue console", lab.scaled(SOON * 6), || {
        lab.ask(LVS1, "show alarms").map_err(|error| format!("{error:#}")).and_then(|said| {
            let said = said.join("\n");
            if said.contains("RESCUE") { Ok(()) } else { Err(said) }
        })
    })?;
    let found = upgrades::shown(lab)?;
    ensure!(found["running"] == "a" && found["slots"][1]["whole"] == true, "{found}");
    // What was committed is there, and a commit is only written.
    ensure!(!lab.ask(LVS1, "show commits")?.is_empty());
    let mark = console.mark();
    console.send(b"upgrade boot\ry\r")?;
    console.wait_for("slot b: ", mark, lab.scaled(SOON * 6))?;
    let mark = console.mark();
    console.wait_prompt(mark, lab.scaled(SOON * 6))?;
    serves(lab, "b")
}

fn broken_partition(lab: &mut Lab) -> Result<()> {
    let size = std::fs::metadata(lab.director(LVS1)?.disk())?.len();
    lab.refit(LVS1, VIRTIO, |disk| {
        write(disk, DATA_AT, &[0x55; 4096])?;
        write(disk, size - 4096, &[0x55; 4096])?;
        let good = environment_of(disk)?.good;
        write_environment(disk, Environment { boots: 3, ..Environment::settled(good) })
    })?;
    let console = lab.director(LVS1)?.console();
    lab.hub().eventually("the rescue console", lab.scaled(SOON * 6), || {
        let said = lab.ask(LVS1, "show alarms").map_err(|error| format!("{error:#}"))?.join("\n");
        if said.contains("RESCUE") && said.contains("partition") { Ok(()) } else { Err(said) }
    })?;
    let mark = console.mark();
    console.send(b"factory-reset\rfactory-reset\r")?;
    console.wait_for("Director. r: rescue", mark, lab.scaled(SOON * 6))?;
    let mark = console.mark();
    console.wait_prompt(mark, lab.scaled(SOON * 6))?;
    let found = system(lab)?;
    ensure!(found["rescue"] == false && found["generation"] == 0, "{found}");
    ensure!(!lab.ask(LVS1, "show alarms")?.join(" ").contains("no flash"), "the partition is not used");
    Ok(())
}
