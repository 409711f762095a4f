//! From power-on to the first answered request: Director, and Debian with keepalived on the same machine in the same place.
//! Both kernels are handed over by QEMU, so that neither pays for a boot loader.

use crate::campaign::Options;
use crate::figure::Figure;
use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::{Guest, Lab};
use director_qemu::process::Process;
use director_qemu::run_folder::{RunFolder, build_folder};
use director_qemu::scenario::{self, BringUp};
use director_vm_tests::director::LVS1;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Starts of each; the median counts.
const RUNS: u64 = 3;
const WEB: &str = "1.2.3.1:80";
const PEER: &str = "debian";
/// Memory of Debian: it does not start with ours.
const PEER_MIB: u32 = 512;
/// As Debian starts, but for the names of the cards and the console.
const PEER_APPEND: &str = "root=/dev/vda rw quiet net.ifnames=0 console=ttyS0";
/// Longest start, in seconds.
const LIMIT_S: u32 = 300;
/// Design section 8.
const GOAL: f64 = 1.0 / 6.0;

/// The job.
///
/// # Errors
/// When the image of Debian cannot be made, or one of the two does not answer.
pub fn run(found: &mut Vec<Figure>, options: &Options, folder: RunFolder) -> Result<()> {
    let count = options.count.unwrap_or(RUNS);
    let image = build_folder().join("debian");
    let mut scenario = scenario::named("five-node").context("scenario")?;
    scenario.bring_up = BringUp::Preloaded;
    let mut lab = Lab::prepare(scenario, folder)?;
    // A neighbour that is not there yet is asked for every second: too coarse for what is measured.
    lab.ip("client", "ntable change name arp_cache dev eth0 retrans 20\n")?;
    lab.boot()?;
    let mut ours = Vec::new();
    for _ in 0..count {
        lab.power_off(LVS1)?;
        let client = lab.client_that_waits("client", WEB, LIMIT_S)?;
        lab.power_cycle(LVS1)?;
        ours.push(answered(&lab, client)?);
    }
    lab.power_off(LVS1)?;
    let mut theirs = Vec::new();
    for _ in 0..count {
        let disk = lab.folder().node(PEER)?.join("disk.img");
        copy(&image.join("disk.img"), &disk)?;
        let guest = Guest {
            kernel: image.join("vmlinuz"),
            initramfs: image.join("initrd.img"),
            append: PEER_APPEND.to_owned(),
            disk,
            memory_mib: PEER_MIB,
        };
        let client = lab.client_that_waits("client", WEB, LIMIT_S)?;
        lab.add_guest(PEER, &["public", "private"], &guest)?;
        theirs.push(answered(&lab, client)?);
        lab.power_off(PEER)?;
    }
    lab.hub().line("test", "figure", &format!("power-on: ours {ours:?} ms, Debian {theirs:?} ms"));
    let (our, their) = (median(&mut ours), median(&mut theirs));
    let figure = Figure::new("power-on.first-answer", our, "ms").beside(their);
    found.push(figure.goal("<= 1/6 of Debian with keepalived", our <= their * GOAL));
    Ok(())
}

/// Sparse, so that a copy takes no longer than what is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("--sparse=always").args([from, to]).status().context("cp")?;
    ensure!(status.success(), "{}: tests/bench/debian.sh makes it", from.display());
    Ok(())
}

fn answered(lab: &Lab, client: Process) -> Result<u64> {
    let ended = client.wait(lab.scaled(Duration::from_secs(u64::from(LIMIT_S) + 10)))?;
    ensure!(ended.status.success(), "the client: {}", ended.stderr.trim());
    let line = ended.stdout.lines().last().context("the client said nothing")?;
    line.split_whitespace().nth(3).context("no number")?.parse().with_context(|| line.to_owned())
}

fn median(all: &mut [u64]) -> f64 {
    all.sort_unstable();
    let middle = all.get(all.len() / 2).copied().unwrap_or_default();
    f64::from(u32::try_from(middle).unwrap_or(u32::MAX))
}
