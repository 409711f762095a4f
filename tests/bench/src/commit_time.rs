//! From `commit` to applied, for configurations of growing size.

use crate::campaign::Options;
use crate::figure::Figure;
use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario::{self, BringUp};
use director_vm_tests::director::{LVS1, number, rows, system};
use std::fmt::Write as _;
use std::time::Duration;

/// Services of the configurations.
const SIZES: [u32; 3] = [10, 100, 1000];
/// Repetitions of the commit of one service; the median counts.
const REPEATS: u32 = 5;
/// Design section 8: 1,000 services within 1 s.
const GOAL_MS: f64 = 1000.0;
/// As fast as the emulated line takes it; XOFF holds it.
const BAUD: u32 = 3_000_000;
/// How long the line may stand still.
const PATIENCE: Duration = Duration::from_secs(60);
/// A commit that takes longer failed.
const LIMIT: Duration = Duration::from_secs(60);

/// The job.
///
/// # Errors
/// When a commit fails, or the lab.
pub fn run(found: &mut Vec<Figure>, _: &Options, folder: RunFolder) -> Result<()> {
    let mut scenario = scenario::named("five-node").context("scenario")?;
    scenario.config = String::new();
    scenario.bring_up = BringUp::ByHand;
    let mut lab = Lab::prepare(scenario, folder)?;
    lab.boot()?;
    // Without services, so that what is done once for the network is in none of the figures.
    paste(&lab, &services(0, 2))?;
    commit(&lab, 0)?;
    let mut all = Vec::new();
    for size in SIZES {
        paste(&lab, &services(size, 2))?;
        let took = commit(&lab, size)?;
        ensure!(rows(&lab, "ipvs")?.len() == usize::try_from(size)?, "the kernel holds another number");
        all.push(took);
        let figure = Figure::new(format!("commit.all-of-{size}"), millis(took), "ms");
        found.push(if size == 1000 { figure.goal("<= 1000 ms", millis(took) <= GOAL_MS) } else { figure });
        let one = one_service(&lab, size)?;
        found.push(Figure::new(format!("commit.one-of-{size}"), millis(one), "ms"));
        lab.tell(LVS1, "configure")?;
        for what in ["service", "pool", "real-server"] {
            lab.tell(LVS1, &format!("delete {what}"))?;
        }
        commit(&lab, 0)?;
    }
    // Ten times as much may take ten times as long and not more.
    let steps = all.windows(2).filter_map(|pair| Some(millis(*pair.get(1)?) / millis(*pair.first()?)));
    let growth = steps.fold(0.0, f64::max);
    found.push(
        Figure::new("commit.growth", growth, "times").goal("<= 10 for 10 times as much", growth <= 10.0),
    );
    Ok(())
}

/// Changes a weight, with all others in place; only one operation may result.
fn one_service(lab: &Lab, size: u32) -> Result<Duration> {
    let mut times = Vec::new();
    for repeat in 0..REPEATS {
        lab.tell(LVS1, "configure")?;
        lab.tell(LVS1, &format!("set pool p0 server s0 weight {}", 20 + repeat))?;
        times.push(commit(lab, size)?);
        let plan = number(&system(lab)?, "last_plan_operations")?;
        ensure!(plan <= 1, "a weight took {plan} operations");
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("no times")
}

/// The commit of the candidate, to the answer; leaves configuration mode.
fn commit(lab: &Lab, size: u32) -> Result<Duration> {
    let console = lab.director(LVS1)?.console();
    let (mark, start) = (console.mark(), lab.hub().elapsed());
    console.send(b"commit\r")?;
    console
        .wait_for("Committed as generation", mark, LIMIT)
        .with_context(|| format!("commit of {size} services: {}", console.since(mark)))?;
    let took = lab.hub().elapsed().saturating_sub(start);
    console.wait_prompt(mark, LIMIT)?;
    lab.ask(LVS1, "exit")?;
    Ok(took)
}

fn paste(lab: &Lab, text: &str) -> Result<()> {
    lab.tell(LVS1, "configure")?;
    let console = lab.director(LVS1)?.console();
    let mark = console.mark();
    let paced = console.send_paced(text.as_bytes(), BAUD, PATIENCE)?;
    ensure!(!paced.stuck, "the line was held and never let go: {paced:?}");
    console.wait_for("# the end\r\n", mark, LIMIT)?;
    console.wait_prompt(mark, LIMIT).map(|_| ())
}

/// Services on ports of one address, each with a pool of so many servers and no check: programming is measured, not
/// checking.
#[must_use]
pub fn services(count: u32, servers: u32) -> String {
    let mut text = String::from(
        "set node primary interface public address 1.2.3.2/24\r\
         set node primary interface private address 10.7.0.1/16\r\
         set interface public device eth0\rset interface private device eth1\r\
         set floating v address 1.2.3.1/24 interface public\rset forwarding ipv4 on\r",
    );
    for n in 0..count {
        // Writing to a String cannot fail.
        write!(text, "set pool p{n} forward nat\rset pool p{n} check none\r").ok();
        for server in servers * n..servers * (n + 1) {
            let address = format!("10.7.{}.{}", 1 + server / 200, 1 + server % 200);
            write!(text, "set real-server s{server} address {address}\r").ok();
            write!(text, "set pool p{n} server s{server} weight 10\r").ok();
        }
        write!(text, "set service w{n} address v protocol tcp port {}\r", 1000 + n).ok();
        write!(text, "set service w{n} pool p{n}\r").ok();
    }
    text.push_str("# the end\r");
    text
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
