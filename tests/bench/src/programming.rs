//! The whole table into the kernel: beside ipvsadm, which restores the same table in the same guest.

use crate::campaign::Options;
use crate::figure::Figure;
use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario::{self, BringUp};
use director_qemu::tools::Tools;
use director_qemu::vm::Hardware;
use director_vm_tests::director::LVS1;
use std::fmt::Write as _;
use std::time::Duration;

/// Services, and servers of each.
const SERVICES: u32 = 1000;
const SERVERS: u32 = 10;
/// Operations that make them.
const OPERATIONS: u64 = 11_000;
/// Repetitions, in turn; the median counts.
const REPEATS: usize = 5;
/// Design section 8: seven times faster than `ipvsadm -R`, and an empty plan within 200 ms.
const FASTER: f64 = 7.0;
const EMPTY_MS: f64 = 200.0;
/// Room for ipvsadm, its file and the table.
const MEMORY_MIB: u32 = 192;
/// A whole table may take so long to appear.
const LIMIT: Duration = Duration::from_secs(60);

/// The job.
///
/// # Errors
/// When the table is not what it should be, or the lab fails.
pub fn run(found: &mut Vec<Figure>, _: &Options, folder: RunFolder) -> Result<()> {
    let mut scenario = scenario::named("five-node").context("scenario")?;
    scenario.hosts.clear();
    scenario.config = services();
    scenario.bring_up = BringUp::Preloaded;
    scenario.answers = None;
    let mut lab = Lab::prepare(scenario, folder)?;
    lab.set_hardware(Hardware { memory_mib: MEMORY_MIB, ..Hardware::FAST });
    lab.set_tools(Tools::new(["/sbin/ipvsadm"]));
    lab.boot()?;
    whole(&lab)?;
    lab.shell(LVS1)?.ok("ipvsadm -Sn >/tmp/rules")?;
    let (mut ours, mut theirs, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        theirs.push(restored(&lab)?);
        whole(&lab)?;
        ours.push(programmed(&lab)?);
        empty.extend(compared(&lab)?);
    }
    let (ours, theirs, empty) = (median(ours)?, median(theirs)?, median(empty)?);
    found.push(
        Figure::new("program.1000x10", ours, "ms")
            .beside(theirs)
            .goal("at most 1/7 of ipvsadm -R", ours * FASTER <= theirs),
    );
    found.push(Figure::new("program.empty-plan", empty, "ms").goal("<= 200 ms", empty <= EMPTY_MS));
    Ok(())
}

/// From power-on to a whole table: 10,000 real servers, each its own, in a committed configuration. One that takes longer to start than
/// init grants would never serve.
///
/// # Errors
/// When the table does not appear, or the director was started more than once.
pub fn start(found: &mut Vec<Figure>, _: &Options, folder: RunFolder) -> Result<()> {
    let mut scenario = scenario::named("five-node").context("scenario")?;
    scenario.hosts.clear();
    scenario.config = machines();
    scenario.bring_up = BringUp::Preloaded;
    scenario.answers = None;
    let mut lab = Lab::prepare(scenario, folder)?;
    lab.set_hardware(Hardware { memory_mib: MEMORY_MIB, ..Hardware::FAST });
    lab.set_tools(Tools::new(["/sbin/ipvsadm"]));
    let on = lab.hub().elapsed();
    lab.boot()?;
    whole(&lab)?;
    let took = (lab.hub().elapsed() - on).as_secs_f64();
    let log = lab.shell(LVS1)?.ok("dmesg")?;
    ensure!(!log.contains("director does not report"), "init ended the director: {log}");
    found.push(Figure::new("start.1000x10", took, "s"));
    Ok(())
}

fn machines() -> String {
    let mut text = HEAD.to_owned();
    for n in 0..SERVICES {
        // Writing to a String cannot fail.
        writeln!(text, "set pool p{n} forward nat\nset pool p{n} check none").ok();
        for m in 1..=SERVERS {
            let at = n * SERVERS + m;
            writeln!(text, "set real-server s{at} address 10.7.{}.{}", 1 + at / 200, 1 + at % 200).ok();
            writeln!(text, "set pool p{n} server s{at} weight 10 port 80").ok();
        }
        writeln!(text, "set service w{n} address v protocol tcp port {}", 1000 + n).ok();
        writeln!(text, "set service w{n} pool p{n}").ok();
    }
    text
}

const HEAD: &str = "set node primary interface public address 1.2.3.2/24\n\
     set node primary interface private address 10.7.0.1/16\n\
     set interface public device eth0\nset interface private device eth1\n\
     set floating v address 1.2.3.1/24 interface public\nset forwarding ipv4 on\n";

/// Services on ports of one address, all with the same servers: the table is what is measured, not the configuration.
fn services() -> String {
    let mut text = HEAD.to_owned() + "set pool p forward nat\nset pool p check none\n";
    // Writing to a String cannot fail.
    for n in 1..=SERVERS {
        writeln!(text, "set real-server s{n} address 10.7.1.{n}\nset pool p server s{n} weight 10 port 80")
            .ok();
    }
    for n in 0..SERVICES {
        writeln!(text, "set service w{n} address v protocol tcp port {}\nset service w{n} pool p", 1000 + n)
            .ok();
    }
    text
}

/// Waits until the table is whole.
fn whole(lab: &Lab) -> Result<()> {
    let shell = lab.shell(LVS1)?;
    lab.hub().until("the whole table", LIMIT, || {
        let lines = shell.ok("grep -c . /proc/net/ip_vs").map_err(|error| format!("{error:#}"))?;
        // Three lines are the title.
        if lines.trim().parse() == Ok(OPERATIONS + 3) { Ok(()) } else { Err(lines) }
    })
}

/// Milliseconds that `ipvsadm -R` takes, by the guest's clock. The director dumps every 8 s and did just now.
fn restored(lab: &Lab) -> Result<f64> {
    lab.ask(LVS1, "show ipvs timeout")?;
    let said = lab
        .shell(LVS1)?
        .ok("ipvsadm -C; cut -d' ' -f1 /proc/uptime; ipvsadm -R </tmp/rules; cut -d' ' -f1 /proc/uptime")?;
    let at: Vec<f64> = said.lines().filter_map(|line| line.trim().parse().ok()).collect();
    let (Some(start), Some(end)) = (at.first(), at.get(1)) else { anyhow::bail!("no times: {said}") };
    Ok((end - start) * 1000.0)
}

/// Milliseconds that the director takes for the same, from the first operation to the kernel's last acknowledgement, as it
/// says itself. Nothing is asked meanwhile: the guest has one processor.
fn programmed(lab: &Lab) -> Result<f64> {
    let log = lab.director(LVS1)?.kernel_log();
    let mark = log.mark();
    // Netlink tells it of the address, and it looks.
    lab.shell(LVS1)?.ok("ipvsadm -C; ip address add 9.9.9.9/32 dev lo; ip address del 9.9.9.9/32 dev lo")?;
    let done = format!("put right: {OPERATIONS} operations in ");
    log.wait_for(&done, mark, LIMIT)?;
    whole(lab)?;
    let said = log.since(mark);
    let took = said.split(&done).nth(1).and_then(|rest| rest.split_whitespace().next());
    took.and_then(milliseconds).with_context(|| format!("no time: {said}"))
}

/// As the director writes a time: `480ms`, `1s`.
fn milliseconds(text: &str) -> Option<f64> {
    match text.strip_suffix("ms") {
        Some(number) => number.parse().ok(),
        None => text.strip_suffix('s')?.parse::<f64>().ok().map(|seconds| seconds * 1000.0),
    }
}

/// Milliseconds for a dump of the table, a plan without operations and an answer on the console: one command after the
/// other, each of which waits for the plan of the one before.
fn compared(lab: &Lab) -> Result<Vec<f64>> {
    lab.ask(LVS1, "show ipvs timeout")?;
    let one = || {
        let start = lab.hub().elapsed();
        lab.ask(LVS1, "show ipvs timeout")?;
        Ok((lab.hub().elapsed() - start).as_secs_f64() * 1000.0)
    };
    (0..REPEATS).map(|_| one()).collect()
}

fn median(mut all: Vec<f64>) -> Result<f64> {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().context("nothing was measured")
}
