//! Checks beside keepalived from Debian: two guests on one segment ask the same 200 servers at the same pace, at the same
//! time, and each tells what its processes took.

use crate::campaign::Options;
use crate::figure::Figure;
use anyhow::{Context as _, Result, bail, ensure};
use director_qemu::frame::Frame;
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario::{self, BringUp};
use director_qemu::shell::Shell;
use director_qemu::tools::Tools;
use director_vm_tests::director::{LVS1, rows};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

const SERVERS: u32 = 200;
/// How long both are measured; what it was is taken from the guests' own clocks.
const SPAN_S: &str = "60";
/// Until all servers are known to be up in both.
const SETTLE: Duration = Duration::from_secs(60);
const PEER: &str = "keepalived";
const OURS: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);
/// Design section 8.
const GOAL: f64 = 0.5;
/// How far the numbers of questions may lie apart for the work to be equal.
const EQUAL: f64 = 0.1;

fn address(server: u32) -> String {
    format!("10.7.1.{}", server + 1)
}

/// The job.
///
/// # Errors
/// When a guest does not come up, or the work was not equal.
pub fn run(found: &mut Vec<Figure>, _: &Options, folder: RunFolder) -> Result<()> {
    let mut scenario = scenario::named("five-node").context("scenario")?;
    scenario.config = config();
    scenario.bring_up = BringUp::Preloaded;
    scenario.answers = None;
    let mut lab = Lab::prepare(scenario, folder)?;
    let mut lines = String::new();
    for server in 0..SERVERS {
        // Writing to a String cannot fail.
        writeln!(lines, "address add {}/16 dev eth0", address(server)).ok();
    }
    lab.ip("rs1", &lines)?;
    lab.set_tools(Tools::new([]));
    lab.boot()?;
    let tools = Tools::new(["/usr/sbin/keepalived"]).file("/etc/keepalived/keepalived.conf", keepalived());
    lab.add_machine(PEER, &["private"], &tools)?;
    let peer = lab.shell(PEER)?;
    peer.ok("/lab/busybox ip address add 10.7.0.2/16 dev eth0; /lab/busybox ip link set eth0 up")?;
    peer.ok(
        "mkdir -p /var/run /run; keepalived -n -C -l -f /etc/keepalived/keepalived.conf >/tmp/log 2>&1 &",
    )?;
    lab.hub().eventually("all servers up in both", lab.scaled(SETTLE), || {
        let ours = rows(&lab, "servers").map_err(|error| format!("{error:#}"))?;
        let up = ours.iter().filter(|row| row["state"] == "up").count();
        let theirs =
            peer.run("/lab/busybox grep -c 'Masq' /proc/net/ip_vs").map_err(|error| format!("{error:#}"))?;
        let all = SERVERS.to_string();
        if up.to_string() == all && theirs.output.trim() == all {
            Ok(())
        } else {
            Err(format!("{up}, {}", theirs.output.trim()))
        }
    })?;
    measure(found, &lab)
}

fn measure(found: &mut Vec<Figure>, lab: &Lab) -> Result<()> {
    let segment = lab.segment("private")?;
    let asks = |from: Ipv4Addr| {
        lab.switch().watch(segment, move |frame| frame.ipv4().is_some_and(|p| p.src == from) && is_syn(frame))
    };
    let (ours, theirs) = (lab.shell(LVS1)?, lab.shell(PEER)?);
    let (asked, asked_theirs) = (asks(OURS), asks(THEIRS));
    let (begun, begun_theirs) = (Usage::of(ours, "/init")?, Usage::of(theirs, "keepalived")?);
    // Whoever looked at the guests meanwhile would be measured, too.
    lab.run("client", ["sleep", SPAN_S], Duration::from_secs(90))?;
    let (ended, ended_theirs) = (Usage::of(ours, "/init")?, Usage::of(theirs, "keepalived")?);
    let (count, count_theirs) = (asked.hits() as f64, asked_theirs.hits() as f64);
    ensure!(
        (count / count_theirs - 1.0).abs() < EQUAL,
        "not the same work: {count} and {count_theirs} questions"
    );
    let spent = |now: &Usage, then: &Usage| {
        let span = now.uptime_s - then.uptime_s;
        [now.user_s - then.user_s, now.system_s - then.system_s].map(|seconds| seconds / span * 1000.0)
    };
    let ([user, system], [their_user, their_system]) =
        (spent(&ended, &begun), spent(&ended_theirs, &begun_theirs));
    let (cpu, cpu_theirs) = (user + system, their_user + their_system);
    found.push(Figure::new("checks.peer.questions", count, "1").beside(count_theirs));
    found.push(Figure::new("checks.peer.user", user, "ms/s").beside(their_user));
    found.push(Figure::new("checks.peer.system", system, "ms/s").beside(their_system));
    let met = cpu <= cpu_theirs * GOAL;
    found.push(
        Figure::new("checks.peer.cpu", cpu, "ms/s").beside(cpu_theirs).goal("<= half of keepalived", met),
    );
    let (resident, resident_theirs) = (ended.director_mib, ended_theirs.all_mib);
    found.push(
        Figure::new("checks.peer.resident", resident, "MiB")
            .beside(resident_theirs)
            .goal("<= half of keepalived", resident <= resident_theirs * GOAL),
    );
    found.push(
        Figure::new("checks.peer.resident-with-init-and-console", ended.all_mib, "MiB")
            .beside(resident_theirs),
    );
    Ok(())
}

/// A TCP segment that opens a connection; IPv4 without options, as both send it.
fn is_syn(frame: Frame<'_>) -> bool {
    let packet = frame.payload();
    packet.get(9) == Some(&6) && packet.get(33).is_some_and(|flags| flags & 0x12 == 2)
}

/// What the processes of a program have used.
#[derive(Debug)]
struct Usage {
    uptime_s: f64,
    /// In programs.
    user_s: f64,
    /// In the kernel.
    system_s: f64,
    /// The largest process alone.
    director_mib: f64,
    all_mib: f64,
}

impl Usage {
    /// Processes whose command line begins with `program`: user and system time in hundredths of a second (`USER_HZ`), pages.
    fn of(shell: &Shell, program: &str) -> Result<Self> {
        let script = "/lab/busybox cat /proc/uptime; for p in /proc/[0-9]*; do \
                      /lab/busybox tr '\\0' ' ' <$p/cmdline; echo; /lab/busybox cat $p/stat; done 2>/dev/null";
        let text = shell.ok(script)?;
        let mut lines = text.lines();
        let uptime = lines.next().and_then(|line| line.split(' ').next()).context("no uptime")?;
        let mut usage =
            Self { uptime_s: uptime.parse()?, user_s: 0.0, system_s: 0.0, director_mib: 0.0, all_mib: 0.0 };
        while let (Some(command), Some(stat)) = (lines.next(), lines.next()) {
            if !command.starts_with(program) {
                continue;
            }
            // Fields behind the name, which may hold blanks: state is the first, utime the 12th, rss the 22nd (proc(5)).
            let Some((_, fields)) = stat.rsplit_once(") ") else { bail!("{stat}") };
            let fields: Vec<&str> = fields.split(' ').collect();
            let number = |at: usize| -> Result<f64> { Ok(fields.get(at).context("short stat")?.parse()?) };
            usage.user_s += number(11)? / 100.0;
            usage.system_s += number(12)? / 100.0;
            let mib = number(21)? * 4096.0 / f64::from(1 << 20);
            usage.director_mib = usage.director_mib.max(mib);
            usage.all_mib += mib;
        }
        ensure!(usage.all_mib > 0.0, "no process {program} in {text}");
        Ok(usage)
    }
}

fn config() -> String {
    let mut text = String::from(
        "set node primary interface public address 1.2.3.2/24\n\
         set node primary interface private address 10.7.0.1/16\n\
         set interface public device eth0\nset interface private device eth1\n\
         set floating v address 1.2.3.1/24 interface public\nset forwarding ipv4 on\n\
         set pool web forward nat\nset pool web check tcp\nset pool web interval 1s\nset pool web timeout 1s\n\
         set service web address v protocol tcp port 80\nset service web scheduler wlc\nset service web pool web\n",
    );
    for server in 0..SERVERS {
        // Writing to a String cannot fail.
        writeln!(text, "set real-server s{server} address {}", address(server)).ok();
        writeln!(text, "set pool web server s{server} weight 10").ok();
    }
    text
}

fn keepalived() -> String {
    let mut text = String::from(
        "virtual_server 1.2.3.1 80 {\n  delay_loop 1\n  lb_algo wlc\n  lb_kind NAT\n  protocol TCP\n",
    );
    for server in 0..SERVERS {
        let server = address(server);
        // Writing to a String cannot fail.
        writeln!(text, "  real_server {server} 80 {{\n    weight 10\n    TCP_CHECK {{\n      connect_timeout 1\n    }}\n  }}").ok();
    }
    text.push_str("}\n");
    text
}
