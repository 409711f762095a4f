//! Upgrades of a box that was booted from its disk: bundles to offer it, and power cuts while it takes them.

use crate::director::{LVS1, SOON, system};
use anyhow::{Context as _, Result, bail};
use director_core::upgrade::bundle::{FRONT, Front};
use director_core::upgrade::trust::{BOARD, rules};
use director_image::bundle::{bundle, read_key};
use director_image::initramfs;
use director_image::slot::System;
use director_qemu::lab::Lab;
use director_qemu::run_folder::build_folder;
use director_sim::chaos::rng::Rng;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Version that the bundles name; what is in them is what `make image` built.
pub const NEXT: &str = "0.1.1";
/// Command line of the kernel, as on the box.
const CMDLINE: &str = include_str!("../../../board/x86_64/cmdline");
/// How long an upgrade may take: 6 MiB through emulated cards and disks.
const TAKES: Duration = Duration::from_secs(60);
/// Writes to the disk that an upgrade and its start do, about; power goes after so many at most.
const WRITES_MAX: u64 = 60;

fn built(name: &str) -> Result<Vec<u8>> {
    let path = build_folder().join(name);
    fs::read(&path).with_context(|| format!("read {}", path.display()))
}

/// A signed bundle of what was built.
///
/// # Errors
/// When nothing was built.
pub fn whole() -> Result<Vec<u8>> {
    signed(&whole_system(NEXT)?, BOARD)
}

/// The same as it lies in a slot.
///
/// # Errors
/// As [`whole`].
pub fn whole_system(version: &str) -> Result<System> {
    System::new(version, CMDLINE.trim(), &built("bzImage")?, &built("initramfs.cpio.zst")?)
}

/// A small one that no box could boot.
///
/// # Errors
/// Never, as far as anybody knows.
pub fn small(version: &str, board: &str) -> Result<Vec<u8>> {
    signed(&System::new(version, "quiet", &[1; 9000], &[2; 3000])?, board)
}

/// One whose director dies when it starts: its socket lies in a folder that does not exist. The rest is what was built.
///
/// # Errors
/// When nothing was built, or the program has no such name in it.
pub fn crashing() -> Result<Vec<u8>> {
    signed(&crashing_system()?, BOARD)
}

/// The same as it lies in a slot.
///
/// # Errors
/// As [`crashing`].
pub fn crashing_system() -> Result<System> {
    let (mut program, from, to) = (built("director")?, b"/run/director.sock", b"/gone/director.so");
    let at = program.windows(from.len()).position(|w| w == from).context("the socket's name")?;
    let place = program.get_mut(at..at + to.len()).context("the socket's name")?;
    place.copy_from_slice(to);
    let archive = initramfs::compress(&initramfs::pack(&program)?)?;
    System::new(NEXT, CMDLINE.trim(), &built("bzImage")?, &archive)
}

fn signed(system: &System, board: &str) -> Result<Vec<u8>> {
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../board/x86_64/development.key");
    bundle(system, board, "0.0.1", &read_key(&key)?)
}

/// The first bytes of a bundle, which are signed, with its trailer and signature.
///
/// # Errors
/// When it is shorter.
pub fn front(bundle: &[u8]) -> Result<&[u8]> {
    bundle.get(..FRONT).context("a bundle has a front")
}

/// Puts a file where the web server of rs1 shows it, and gives its address.
///
/// # Errors
/// When it cannot be written.
pub fn serve(lab: &Lab, name: &str, bytes: &[u8]) -> Result<String> {
    fs::write(lab.folder().node("rs1")?.join("pages").join(name), bytes).context("write the bundle")?;
    Ok(format!("http://192.168.1.3/{name}"))
}

/// `show upgrade`.
///
/// # Errors
/// When there is no answer.
pub fn shown(lab: &Lab) -> Result<Value> {
    lab.json(LVS1, "show upgrade")
}

/// Has the box fetch a bundle, and gives what came of it: `show upgrade` when it is over.
///
/// # Errors
/// When it does not begin, or does not end in time.
pub fn fetch(lab: &Lab, url: &str) -> Result<Value> {
    lab.tell(LVS1, &format!("upgrade from {url}"))?;
    lab.hub().eventually("an upgrade that came or was refused", lab.scaled(TAKES), || {
        let found = shown(lab).map_err(|error| format!("{error:#}"))?;
        if found["upgrade"] == "receiving" { Err(found.to_string()) } else { Ok(found) }
    })
}

/// Starts the system in the other slot, and waits until a prompt is there again, however often the box reboots for it.
///
/// # Errors
/// When none comes.
pub fn start_other(lab: &Lab, boots: u32) -> Result<()> {
    let console = lab.director(LVS1)?.console();
    let mark = console.mark();
    console.send(b"upgrade boot\ry\r")?;
    let limit = lab.scaled(SOON * 4 * (boots + 1));
    lab.hub().eventually("the boot loader's lines", limit, || {
        let seen =
            console.since(mark).matches("slot a: ").count() + console.since(mark).matches("slot b: ").count();
        if seen >= usize::try_from(boots).unwrap_or(usize::MAX) {
            Ok(())
        } else {
            Err(format!("{seen} boots"))
        }
    })?;
    let mark = console.mark();
    console.wait_prompt(mark, limit).map(|_| ())
}

/// What power cuts in upgrades met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Met {
    /// Cuts done.
    pub cuts: u32,
    /// After which the system ran that ran before.
    pub old: u32,
    /// After which the other one ran.
    pub new: u32,
}

/// Cuts the power `cuts` times, each in an upgrade or in the boot that it ends with; a seed gives the same moments, counted
/// in writes to the disk. After each, one of the two systems must boot and serve.
///
/// # Errors
/// When a box does not serve after a cut.
pub fn cut_in_upgrades(lab: &mut Lab, cuts: u32, seed: u64) -> Result<Met> {
    let mut rng = Rng::new(seed);
    let mut met = Met::default();
    let url = serve(lab, "cut.upgrade", &whole()?)?;
    for cut in 1..=cuts {
        let writes = rng.between(1, WRITES_MAX);
        let (before, after) =
            cut_once(lab, &url, writes).with_context(|| format!("cut {cut}, seed {seed}"))?;
        met.cuts += 1;
        if before == after {
            met.old += 1;
        } else {
            met.new += 1;
        }
        lab.hub().line("test", "upgrade", &format!("cut {cut} after {writes} writes: {before} -> {after}"));
    }
    Ok(met)
}

fn cut_once(lab: &mut Lab, url: &str, writes: u64) -> Result<(String, String)> {
    let before = serves(lab)?;
    let console = lab.director(LVS1)?.console();
    let start = writes_done(lab)?;
    let mark = console.mark();
    console.send(format!("upgrade from {url}\r").as_bytes())?;
    let deadline = lab.hub().elapsed() + lab.scaled(TAKES * 2);
    let mut asked = false;
    // Each look is a question to QEMU, so that this waits for the disk and not for a clock.
    while writes_done(lab)? < start + writes {
        let said = console.since(mark);
        if said.contains("refused") || said.contains("Refused") {
            bail!("an upgrade was refused: {said}");
        }
        if !asked && said.contains("upgrade boot starts it") {
            // From here on the boot loader's environment is written, by the box and by the boot loader itself.
            console.send(b"upgrade boot\ry\r")?;
            asked = true;
        }
        let booted = asked && said.matches("Director. r: rescue").count() >= 1 && said.contains("slot ");
        if booted || lab.hub().elapsed() > deadline {
            break;
        }
    }
    lab.power_cycle(LVS1)?;
    Ok((before, serves(lab)?))
}

/// The slot that runs, once it serves and has proven itself.
///
/// # Errors
/// When it does not.
pub fn serves(lab: &Lab) -> Result<String> {
    lab.wait_until_it_answers()?;
    let found = lab.hub().eventually("a system that has proven itself", lab.scaled(SOON * 4), || {
        let found = system(lab).map_err(|error| format!("{error:#}"))?;
        if found["slot_proven"] == true { Ok(found) } else { Err(found.to_string()) }
    })?;
    Ok(found["slot"].as_str().context("a slot")?.to_owned())
}

/// Writes that QEMU has done for the machine, over all its disks.
fn writes_done(lab: &Lab) -> Result<u64> {
    let disks = lab.director(LVS1)?.qmp()?.execute("query-blockstats", &json!({}))?;
    let count = |disk: &Value| disk.pointer("/stats/wr_operations").and_then(Value::as_u64);
    let disks = disks.as_array().context("query-blockstats gave no list")?;
    Ok(disks.iter().filter_map(count).sum())
}

/// A bundle that is not for this box, and a word of the reason for which it is refused.
///
/// # Errors
/// When it cannot be made.
pub fn unfit() -> Result<Vec<(&'static str, Vec<u8>)>> {
    let good = small(NEXT, BOARD)?;
    let mut flipped = good.clone();
    *flipped.last_mut().context("bytes")? ^= 0x10;
    let mut forged = good.clone();
    // In the version: the signature does not cover it any more.
    let at = forged.windows(8).position(|w| w == b"version=").context("a version")?;
    *forged.get_mut(at + 8).context("a version")? = b'9';
    let truncated = good.get(..good.len() - 2000).context("bytes")?.to_vec();
    let version = "0.1.0".parse().ok().context("a version")?;
    let checked = Front::check(front(&good)?, &rules(version));
    let mut large = checked.ok().context("a good bundle")?;
    if let Some(kernel) = large.trailer.parts.first_mut() {
        kernel.bytes = 12 << 20;
    }
    let key = read_key(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../board/x86_64/development.key"))?;
    let mut large = large.encode().context("encode")?;
    let signature = key.sk.sign(&large, None);
    large.extend_from_slice(&*signature);
    large.resize(FRONT, 0);
    Ok(vec![
        ("signature is wrong", forged),
        ("for board other", small(NEXT, "other")?),
        ("older than what runs", small("0.0.9", BOARD)?),
        ("larger than a system slot", large),
        ("it ended after", truncated),
        ("another checksum", flipped),
        ("404", Vec::new()),
    ])
}
