//! The kernel's table in the eyes of Debian's ipvsadm, which runs in the same guest as the product: what we programmed is
//! what it saves, what it restores is what we read, and what it changes behind our back is put right.

use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario::{self, BringUp};
use director_qemu::tools::Tools;
use director_qemu::vm::Hardware;
use director_vm_tests::director::{LVS1, number, system};
use director_vm_tests::services;
use director_vm_tests::suite::{self, Case, Suite};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

const IPVSADM: &str = "/sbin/ipvsadm";
/// Room for ipvsadm, busybox and their libraries.
const MEMORY_MIB: u32 = 96;
/// Drift is found within 10 s (`reconcile.rs`).
const DRIFT: Duration = Duration::from_secs(10);
/// What netlink tells of is found sooner than any dump that nobody asked for.
const AT_ONCE: Duration = Duration::from_secs(2);
/// A virtual server of [`services::all_kinds`].
const FIRST: &str = "1.2.3.1:2000";
/// How it is said.
const BLAMED: &str = "changed by something else";
const CASES: &[Case] = &[
    ("ipvsadm_saves_what_was_exported", saves_what_was_exported),
    ("a_thing_that_ipvsadm_changed_is_put_right_within_ten_seconds", drift),
    ("an_address_and_rules_that_go_are_put_right_at_once", at_once),
    // Not right after the start, when devices still tell of themselves: then the director would look meanwhile.
    ("what_ipvsadm_restores_is_read_as_if_it_were_ours", restores_what_is_read),
    ("an_operation_that_fails_is_shown_and_tried_again_until_it_works", refused),
];

fn main() -> ExitCode {
    suite::main(Suite { start, baseline, repair, cases: CASES })
}

fn start(folder: RunFolder) -> Result<Lab> {
    let mut scenario = scenario::named("five-node").context("scenario")?;
    scenario.hosts.clear();
    scenario.config = services::all_kinds();
    scenario.bring_up = BringUp::Preloaded;
    scenario.answers = None;
    let mut lab = Lab::prepare(scenario, folder)?;
    lab.set_hardware(Hardware { memory_mib: MEMORY_MIB, ..Hardware::FAST });
    lab.set_tools(Tools::new([IPVSADM]));
    lab.boot()?;
    Ok(lab)
}

fn baseline(lab: &mut Lab) -> Result<()> {
    settled(lab, DRIFT * 2)
}

/// Starts anew from the flash.
fn repair(lab: &mut Lab) -> Result<()> {
    lab.power_cycle(LVS1).map(|_| ())
}

/// Waits until no alarm is left and every service is in the table.
fn settled(lab: &Lab, limit: Duration) -> Result<()> {
    lab.hub().eventually("a settled table", lab.scaled(limit), || {
        let exported = export(lab).map_err(|error| format!("{error:#}"))?;
        let services = exported.iter().filter(|line| line.starts_with("-A")).count();
        if services == services::ALL_KINDS { Ok(()) } else { Err(format!("{services} services")) }
    })
}

fn export(lab: &Lab) -> Result<Vec<String>> {
    lab.ask(LVS1, "export ipvsadm")
}

/// Without remarks, each service with its servers in order.
fn comparable(lines: impl IntoIterator<Item = impl AsRef<str>>) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut service = String::new();
    for line in lines {
        let line = line.as_ref().trim_end().to_owned();
        if line.starts_with('#') {
            continue;
        }
        if line.starts_with("-A") {
            service.clone_from(&line);
            all.entry(line).or_default();
        } else if !line.is_empty() {
            let servers = all.entry(service.clone()).or_default();
            servers.push(line);
            servers.sort();
        }
    }
    all
}

fn saves_what_was_exported(lab: &mut Lab) -> Result<()> {
    let saved = lab.shell(LVS1)?.ok("ipvsadm -Sn")?;
    let (ours, theirs) = (comparable(export(lab)?), comparable(saved.lines()));
    ensure!(!theirs.is_empty(), "ipvsadm sees nothing");
    for (service, servers) in &ours {
        ensure!(
            theirs.get(service) == Some(servers),
            "{service} {servers:?}: ipvsadm says {:?}",
            theirs.get(service)
        );
    }
    ensure!(ours.len() == theirs.len(), "ipvsadm sees others: {:?}", theirs.keys());
    // Thresholds are in its list.
    let listed = lab.shell(LVS1)?.ok("ipvsadm -Ln --thresholds")?;
    ensure!(listed.lines().any(|line| line.split_whitespace().skip(2).take(2).eq(["100", "80"])), "{listed}");
    Ok(())
}

fn restores_what_is_read(lab: &mut Lab) -> Result<()> {
    let before = export(lab)?;
    let shell = lab.shell(LVS1)?;
    shell.ok("rm -f /tmp/rules")?;
    // What `-S` leaves out stands in remarks, as lines that `-R` takes.
    let words = |line: &String| {
        line.strip_prefix("# ").filter(|rest| rest.starts_with('-')).unwrap_or(line).to_owned()
    };
    let rules: Vec<String> = before.iter().map(words).filter(|line| !line.starts_with('#')).collect();
    for lines in rules.chunks(20) {
        shell.ok(&format!("echo '{}' >>/tmp/rules", lines.join("\\n")).replace("echo ", "printf '%b\\n' "))?;
    }
    let shown = lab.ask(LVS1, "show ipvs thresholds")?;
    let plan = number(&system(lab)?, "operations")?;
    // The director dumps every 8 s and just did: between the two it sees nothing of this.
    let emptied = shell.ok("ipvsadm -C && ipvsadm -Ln | wc -l && ipvsadm -R </tmp/rules")?;
    ensure!(emptied.trim() == "3", "the title alone: {emptied}");
    let (after, shown_after) = (export(lab)?, lab.ask(LVS1, "show ipvs thresholds")?);
    ensure!(after == before, "{:?}", before.iter().zip(&after).find(|(a, b)| a != b));
    ensure!(shown_after == shown, "{shown:?}\n{shown_after:?}");
    // Nor does our plan find anything to do.
    lab.hub().eventually("another comparison", lab.scaled(DRIFT * 2), || {
        let now = system(lab).map_err(|error| format!("{error:#}"))?;
        let ago = number(&now, "reconciled_ms").map_err(|error| format!("{error:#}"))?;
        if ago < 1000 { Ok(()) } else { Err(format!("{ago} ms ago")) }
    })?;
    let done = number(&system(lab)?, "operations")?;
    ensure!(done == plan, "{} operations put right what ipvsadm had restored", done - plan);
    Ok(())
}

/// Does something in the guest, and waits until `found` says that it was put right.
fn put_right(
    lab: &Lab,
    doing: &str,
    limit: Duration,
    found: impl Fn(&str) -> bool,
    look: &str,
) -> Result<()> {
    let shell = lab.shell(LVS1)?;
    let before = shell.ok(look)?;
    ensure!(found(&before), "`{look}` does not show it beforehand: {before}");
    let mark = lab.director(LVS1)?.kernel_log().mark();
    let start = lab.hub().elapsed();
    shell.ok(doing)?;
    lab.director(LVS1)?.kernel_log().wait_for(BLAMED, mark, lab.scaled(limit))?;
    lab.hub().until("the repair", lab.scaled(AT_ONCE), || {
        let now = shell.ok(look).map_err(|error| format!("{error:#}"))?;
        if found(&now) { Ok(()) } else { Err(now) }
    })?;
    let took = (lab.hub().elapsed() - start).as_millis();
    lab.hub().line("test", "figure", &format!("`{doing}` was put right after {took} ms"));
    Ok(())
}

fn drift(lab: &mut Lab) -> Result<()> {
    let first = FIRST;
    let has =
        |text: &str| text.contains("-A -t 1.2.3.1:2000 -s rr") && text.contains("192.168.1.12:2000 -m -w 1");
    for doing in [
        format!("ipvsadm -D -t {first}"),
        format!("ipvsadm -e -t {first} -r 192.168.1.12:2000 -m -w 9"),
        format!("ipvsadm -d -t {first} -r 192.168.1.12:2000"),
        format!("ipvsadm -E -t {first} -s wlc"),
    ] {
        put_right(lab, &doing, DRIFT, has, &format!("ipvsadm -Sn | grep {first}; true"))?;
    }
    let alone = |text: &str| !text.contains("9.9.9.9:99");
    put_right(lab, "ipvsadm -A -t 9.9.9.9:99 -s rr", DRIFT, alone, "ipvsadm -Sn")?;
    let timeouts = |text: &str| text.contains("900 120 300");
    put_right(lab, "ipvsadm --set 60 60 60", DRIFT, timeouts, "ipvsadm -L --timeout")?;
    let log = lab.ask(LVS1, "show log | match else")?.join("\n");
    ensure!(log.contains(BLAMED), "the log does not tell: {log}");
    Ok(())
}

fn at_once(lab: &mut Lab) -> Result<()> {
    let held = |text: &str| text.contains("1.2.3.1/24");
    put_right(lab, "ip address del 1.2.3.1/24 dev eth0", AT_ONCE, held, "ip address show dev eth0")?;
    let six = |text: &str| text.contains("2001:db8:1::1/64");
    put_right(lab, "ip address del 2001:db8:1::1/64 dev eth0", AT_ONCE, six, "ip address show dev eth0")?;
    let up = |text: &str| text.contains(",UP");
    put_right(lab, "ip link set eth1 down", AT_ONCE, up, "ip link show dev eth1")
}

fn refused(lab: &mut Lab) -> Result<()> {
    const ADDRESS: &str = "2001:db8:1::1/64";
    let shell = lab.shell(LVS1)?;
    // It takes the addresses away, and the kernel refuses new ones.
    shell.ok("echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6")?;
    let alarm = lab.hub().eventually("an alarm", lab.scaled(DRIFT), || {
        let alarms = lab.ask(LVS1, "show alarms").map_err(|error| format!("{error:#}"))?.join("\n");
        if alarms.contains("refused") { Ok(alarms) } else { Err(alarms) }
    });
    shell.ok("echo 0 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6")?;
    let alarm = alarm?;
    ensure!(alarm.contains(ADDRESS) || alarm.contains("2001:db8:1::2"), "it does not say what: {alarm}");
    lab.hub().until("the address", lab.scaled(DRIFT), || {
        let now = shell.ok("ip address show dev eth0").map_err(|error| format!("{error:#}"))?;
        if now.contains(ADDRESS) { Ok(()) } else { Err(now) }
    })?;
    lab.hub().eventually("the end of the alarm", lab.scaled(DRIFT), || {
        let alarms = lab.ask(LVS1, "show alarms").map_err(|error| format!("{error:#}"))?.join("\n");
        if alarms.contains("refused") { Err(alarms) } else { Ok(()) }
    })
}
