//! The active machine is killed: how long a client gets no answer, with Director and with a pair of Debian's keepalived on
//! the same kernel, in the same lab, with the same time between signs of life.

use crate::campaign::Options;
use crate::figure::Figure;
use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use director_qemu::tools::Tools;
use director_vm_tests::director::LVS1;
use director_vm_tests::outage::{self, Hurt, LVS2};
use std::time::Duration;

/// Kills of each pair; the median counts.
const RUNS: u64 = 5;
/// Heartbeat and advertisement, in milliseconds.
const INTERVAL_MS: u32 = 100;
/// Of Director; with the suspicion probe it is only the last resort.
const DEAD_MS: u32 = 300;
/// Design section 8: half of keepalived's median.
const RATIO: f64 = 0.5;
/// How long a pair of keepalived may take until it answers.
const UP: Duration = Duration::from_secs(40);
/// How long the client asks.
const ASKED_S: u32 = 8;
const KEEPALIVED: &str = "/usr/sbin/keepalived";
/// Name, number of the node, priority.
const PEERS: [(&str, u8, u8); 2] = [("ka1", 2, 100), ("ka2", 3, 90)];

/// The job.
///
/// # Errors
/// When a pair does not come up or does not take over.
pub fn run(found: &mut Vec<Figure>, options: &Options, folder: RunFolder) -> Result<()> {
    let count = options.count.unwrap_or(RUNS);
    let mut lab = Lab::prepare(scenario::named("five-node-pair").context("scenario")?, folder)?;
    lab.set_tools(outage::tools());
    lab.boot()?;
    let mut ours = Vec::new();
    for _ in 0..count {
        ours.push(outage::measure(&mut lab, Hurt::Kill, Duration::from_millis(u64::from(DEAD_MS)))?.ms);
    }
    for director in [LVS1, LVS2] {
        lab.power_off(director)?;
    }
    let mut theirs = Vec::new();
    for _ in 0..count {
        for peer in PEERS {
            start(&mut lab, peer)?;
        }
        theirs.push(kill(&mut lab)?);
        lab.power_off(PEERS[1].0)?;
    }
    let (our, their) = (median(&mut ours), median(&mut theirs));
    lab.hub().line("test", "figure", &format!("kill -9: ours {ours:?} ms, keepalived {theirs:?} ms"));
    let name = format!("takeover.kill-at-{INTERVAL_MS}-ms");
    let figure = Figure::new(name, our, "ms").beside(their);
    found.push(figure.goal("<= 0.5 of keepalived", our <= RATIO * their));
    Ok(())
}

fn median(all: &mut [u64]) -> f64 {
    all.sort_unstable();
    let middle = all.get(all.len() / 2).copied().unwrap_or_default();
    f64::from(u32::try_from(middle).unwrap_or(u32::MAX))
}

fn start(lab: &mut Lab, (name, node, priority): (&'static str, u8, u8)) -> Result<()> {
    let config = configuration(name, priority);
    let tools = Tools::new([KEEPALIVED]).file("/etc/keepalived/keepalived.conf", config);
    lab.add_machine(name, &["public", "private"], &tools)?;
    let shell = lab.shell(name)?;
    for (device, address) in
        [("eth0", format!("1.2.3.{node}/24")), ("eth1", format!("192.168.1.{}/24", node - 1))]
    {
        shell.ok(&format!("/lab/busybox ip addr add {address} dev {device}"))?;
        shell.ok(&format!("/lab/busybox ip link set {device} up"))?;
    }
    shell.ok("echo 1 >/proc/sys/net/ipv4/ip_forward")?;
    shell.ok(&format!("{KEEPALIVED} -n -l -f /etc/keepalived/keepalived.conf >/tmp/log 2>&1 &"))?;
    Ok(())
}

fn configuration(name: &str, priority: u8) -> String {
    let interval = f64::from(INTERVAL_MS) / 1000.0;
    let instance = |word: &str, device: &str, id: u8, address: &str| {
        format!(
            "vrrp_instance {word} {{\n  state BACKUP\n  interface {device}\n  virtual_router_id {id}\n  priority {priority}\n  \
             advert_int {interval}\n  version 3\n  virtual_ipaddress {{\n    {address} dev {device}\n  }}\n}}\n"
        )
    };
    let server = |last: u8| {
        format!(
            "  real_server 192.168.1.{last} 80 {{\n    weight 1\n    TCP_CHECK {{\n      connect_timeout 1\n    }}\n  }}\n"
        )
    };
    format!(
        "global_defs {{\n  router_id {name}\n}}\nvrrp_sync_group both {{\n  group {{\n    outside\n    inside\n  }}\n}}\n{}{}\
         virtual_server 1.2.3.1 80 {{\n  delay_loop 1\n  lvs_sched wlc\n  lvs_method NAT\n  protocol TCP\n{}{}{}}}\n",
        instance("outside", "eth0", 51, "1.2.3.1/24"),
        instance("inside", "eth1", 52, "192.168.1.254/24"),
        server(3),
        server(4),
        server(5)
    )
}

fn holds(lab: &Lab, name: &str) -> Result<bool> {
    Ok(lab.shell(name)?.ok("/lab/busybox ip addr show dev eth0")?.contains("1.2.3.1/"))
}

fn kill(lab: &mut Lab) -> Result<u64> {
    lab.hub().eventually("keepalived on the first machine serves", lab.scaled(UP), || {
        let active = holds(lab, PEERS[0].0).map_err(|error| format!("{error:#}"))?;
        if !active {
            let said = lab.shell(PEERS[0].0).and_then(|s| s.ok("/lab/busybox tail -n 5 /tmp/log"));
            return Err(said.unwrap_or_default());
        }
        lab.get("client", "http://1.2.3.1/").map(drop).map_err(|error| format!("{error:#}"))
    })?;
    let table = "/lab/busybox grep -c C0A801 /proc/net/ip_vs || true";
    lab.hub().eventually("keepalived on the second machine knows its servers", lab.scaled(UP), || {
        let lines = lab.shell(PEERS[1].0).and_then(|s| s.ok(table)).map_err(|error| format!("{error:#}"))?;
        if lines.trim().is_empty() || lines.trim() == "0" { Err(lines) } else { Ok(()) }
    })?;
    let client = lab.client_that_requests("client", "1.2.3.1:80", ASKED_S)?;
    lab.power_off(PEERS[0].0)?;
    let ms = outage::outage(lab, client)?;
    ensure!(ms > 0, "the client noticed nothing");
    Ok(ms)
}
