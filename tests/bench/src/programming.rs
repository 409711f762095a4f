//! The whole table into the kernel: beside ipvsadm, which restores the same table in a guest with the same kernel.

use crate::campaign::Options;
use crate::figure::Figure;
use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario::{self, BringUp};
use director_qemu::tools::Tools;
use director_qemu::vm::Hardware;
use director_vm_tests::director::{LVS1, number, system};
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
/// The machine of ipvsadm.
const PEER: &str = "peer";
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
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut dumps, mut empty) = (Vec::new(), Vec::new());
    for round in 0..REPEATS {
        if round > 0 {
            lab.power_cycle(LVS1)?;
        }
        ours.push(programmed(&lab)?);
        whole(&lab, LVS1)?;
        let (dump, plan) = compared(&lab)?;
        dumps.extend(dump);
        empty.extend(plan);
        theirs.push(restored(&mut lab)?);
    }
    let (ours, theirs, dump, empty) = (median(ours)?, median(theirs)?, median(dumps)?, median(empty)?);
    found.push(
        Figure::new("program.1000x10", ours, "ms")
            .beside(theirs)
            .goal("at most 1/7 of ipvsadm -R", ours * FASTER <= theirs),
    );
    found.push(Figure::new("program.dump-and-answer", dump, "ms"));
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
    whole(&lab, LVS1)?;
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
fn whole(lab: &Lab, name: &str) -> Result<()> {
    let shell = lab.shell(name)?;
    lab.hub().until("the whole table", LIMIT, || {
        let lines = shell.ok("grep -c . /proc/net/ip_vs").map_err(|error| format!("{error:#}"))?;
        // Three lines are the title.
        if lines.trim().parse() == Ok(OPERATIONS + 3) { Ok(()) } else { Err(lines) }
    })
}

/// Milliseconds that `ipvsadm -R` takes, by the guest's clock: in a machine of its own with the same kernel, which has just
/// started. In a kernel that had servers before, each new one is looked for among those deleted within the last two minutes
/// (`ip_vs_trash_get_dest`), which costs both the same and hides what is measured.
fn restored(lab: &mut Lab) -> Result<f64> {
    let tools = Tools::new(["/sbin/ipvsadm"]).file("/rules", rules());
    lab.add_machine(PEER, &["public", "private"], &tools)?;
    let shell = lab.shell(PEER)?;
    let said = shell.ok("cut -d' ' -f1 /proc/uptime; ipvsadm -R </rules; cut -d' ' -f1 /proc/uptime")?;
    whole(lab, PEER)?;
    lab.power_off(PEER)?;
    let at: Vec<f64> = said.lines().filter_map(|line| line.trim().parse().ok()).collect();
    let (Some(start), Some(end)) = (at.first(), at.get(1)) else { anyhow::bail!("no times: {said}") };
    Ok((end - start) * 1000.0)
}

/// As `ipvsadm -Sn` says it.
fn rules() -> String {
    let mut text = String::new();
    for n in 0..SERVICES {
        let service = format!("1.2.3.1:{}", 1000 + n);
        // Writing to a String cannot fail.
        writeln!(text, "-A -t {service} -s wlc").ok();
        for m in 1..=SERVERS {
            writeln!(text, "-a -t {service} -r 10.7.1.{m}:80 -m -w 10").ok();
        }
    }
    text
}

/// Milliseconds that the director takes for the same after power-on, and for its addresses, packet rules and sysctls, from the
/// first operation to the kernel's last acknowledgement, as it says itself. A question meanwhile is answered after that.
fn programmed(lab: &Lab) -> Result<f64> {
    let now = lab.hub().eventually("the end of the plan", LIMIT, || {
        let now = system(lab).map_err(|error| format!("{error:#}"))?;
        let last = number(&now, "last_plan_operations").map_err(|error| format!("{error:#}"))?;
        if last >= OPERATIONS { Ok(now) } else { Err(format!("{last} operations")) }
    })?;
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "milliseconds of a minute")]
    let took = number(&now, "last_plan_ms")? as f64;
    Ok(took)
}

/// Milliseconds for a dump of the table and an answer on the console, and those that the plan without operations takes which
/// follows: a question that needs no dump waits for it, and later, when there is nothing to wait for, does not.
fn compared(lab: &Lab) -> Result<(Vec<f64>, Vec<f64>)> {
    let timed = |line: &str| -> Result<f64> {
        let start = lab.hub().elapsed();
        lab.ask(LVS1, line)?;
        Ok((lab.hub().elapsed() - start).as_secs_f64() * 1000.0)
    };
    let (mut dumps, mut plans) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        dumps.push(timed("show ipvs timeout")?);
        let waits = timed("configure")?;
        lab.ask(LVS1, "exit")?;
        plans.push(waits - timed("configure")?);
        lab.ask(LVS1, "exit")?;
    }
    Ok((dumps, plans))
}

fn median(mut all: Vec<f64>) -> Result<f64> {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().context("nothing was measured")
}
