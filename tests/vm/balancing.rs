//! Forwarding methods, marks, schedulers and the sync daemon, with the packets that prove them.

use anyhow::{Context as _, Result, ensure};
use director_qemu::frame::{Frame, Mac};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use director_qemu::tools::Tools;
use director_qemu::vm::Hardware;
use director_vm_tests::ailments;
use director_vm_tests::director::{LVS1, SOON, Usable, commit, rows, server, wait_usable};
use director_vm_tests::suite::{self, Case, Suite};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

const VIRTUAL: &str = "http://1.2.3.1/";
const NEAR: &str = "http://1.2.3.7/";
const NEAR_ADDRESS: Ipv4Addr = Ipv4Addr::new(1, 2, 3, 7);
const OWN: Ipv4Addr = Ipv4Addr::new(1, 2, 3, 2);
const SHOP: &str = "1.2.3.8";
const CLIENT: &str = "1.2.3.100";
/// Servers of direct routing, with the hardware addresses that the lab gives them by their place in the scenario.
const DIRECT: [(&str, Mac); 2] =
    [("d1", Mac([0x52, 0x54, 0, 1, 0, 5])), ("d2", Mac([0x52, 0x54, 0, 1, 0, 6]))];
/// Room for ipvsadm beside the product.
const MEMORY_MIB: u32 = 96;
const COMMAND: Duration = Duration::from_secs(10);
/// eth0 of the director.
const DIRECTOR: Mac = Mac([0x52, 0x54, 0, 0, 1, 0]);
/// `ip_vs_sync.c` sends what it gathered after two seconds.
const SYNC_WAIT: Duration = Duration::from_secs(10);
/// `pool web reentry` of the scenario, and `dead-time`.
const RECOVERED: Duration = Duration::from_secs(14);

const CASES: &[Case] = &[
    ("direct_routing_answers_past_the_director", direct_routing),
    ("two_ports_of_one_mark_stay_with_one_server", two_ports_of_a_mark),
    ("a_client_beside_the_servers_is_answered_with_source_nat", hairpin),
    ("the_sync_daemon_talks_on_its_interface_alone", sync_daemon),
    ("an_active_box_forwards_although_both_sync_daemons_run", both_daemons),
    ("each_scheduler_shares_as_it_says", schedulers),
    ("a_server_without_the_virtual_address_goes_down_while_its_own_answers", asked_for_the_virtual_address),
    ("doctor_finds_nothing_in_a_healthy_lab_and_names_the_commonest_mistakes", doctor),
];

fn main() -> ExitCode {
    suite::main(Suite { start, baseline, repair, cases: CASES })
}

fn start(folder: RunFolder) -> Result<Lab> {
    let mut lab = Lab::prepare(scenario::named("balancing").context("scenario")?, folder)?;
    lab.set_hardware(Hardware { memory_mib: MEMORY_MIB, ..Hardware::FAST });
    lab.set_tools(Tools::new(["/sbin/ipvsadm"]));
    lab.boot()?;
    // The servers are set up with what the box prints for them.
    for service in ["near", "shop"] {
        let lines = lab.ask(LVS1, &format!("show realserver-setup {service} linux"))?;
        let script = lines.join("\n");
        ensure!(script.contains("arp_ignore=1"), "{script}");
        for (host, _) in DIRECT {
            lab.ip(host, "link set lo up\n")?;
            let ended = lab.run(host, ["sh", "-e", "-c", &script], COMMAND)?;
            ensure!(ended.status.success(), "{host}: {}\n{script}", ended.stderr);
        }
    }
    Ok(lab)
}

fn baseline(lab: &mut Lab) -> Result<()> {
    for address in ["192.168.1.3", "192.168.1.4", "192.168.1.5"] {
        wait_usable(lab, address, Usable::Yes, lab.scaled(RECOVERED + SOON))?;
    }
    lab.hub().eventually("the servers of direct routing", lab.scaled(RECOVERED + SOON), || {
        let all = rows(lab, "servers").map_err(|error| format!("{error:#}"))?;
        let up = |row: &&serde_json::Value| row["pool"] == "near" && row["state"] == "up";
        if all.iter().filter(up).count() == DIRECT.len() { Ok(()) } else { Err(format!("{all:?}")) }
    })
}

/// Starts anew from the flash.
fn repair(lab: &mut Lab) -> Result<()> {
    lab.power_cycle(LVS1)?;
    lab.wait_until_it_answers()
}

fn answers(lab: &Lab, from: &str, url: &str, count: u32, expected: &[(&str, u32)]) -> Result<()> {
    let seen = lab.get_many(from, url, count)?;
    let expected: BTreeMap<String, u32> = expected.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    ensure!(seen == expected, "{url} was answered by {seen:?}, not {expected:?}");
    Ok(())
}

fn direct_routing(lab: &mut Lab) -> Result<()> {
    let public = lab.segment("public")?;
    let answer = |frame: Frame<'_>| frame.ipv4().is_some_and(|packet| packet.src == NEAR_ADDRESS);
    let past = lab.switch().watch(public, move |frame| answer(frame) && frame.src() != Some(DIRECTOR));
    let through = lab.switch().watch(public, move |frame| answer(frame) && frame.src() == Some(DIRECTOR));
    let betrayed = lab.switch().watch(public, |frame| {
        let own = frame.src() == Some(DIRECTOR);
        !own && frame.arp().is_some_and(|arp| arp.sender == NEAR_ADDRESS)
    });
    answers(lab, "client", NEAR, 6, &[("d1", 3), ("d2", 3)])?;
    let seen = lab.get("client", &format!("{NEAR}whoami"))?;
    ensure!(seen == CLIENT, "the server saw {seen}");
    ensure!(past.hits() > 0 && through.hits() == 0, "{} past, {} through", past.hits(), through.hits());
    ensure!(betrayed.hits() == 0, "a real server said by ARP that it has the virtual address");
    let client = lab.ask(LVS1, "show connections service near client 1.2.3.100 | count")?;
    ensure!(client.join("").trim().parse::<u32>()? >= 7, "show connections: {client:?}");
    let row = lab.ask(LVS1, "show connections service near server d1 | match 1.2.3.7:80")?.join("\n");
    ensure!(row.contains("1.2.3.11:80") && !row.contains("1.2.3.12:80"), "{row}");
    let stats = lab.ask(LVS1, "show ipvs stats")?.join("\n");
    ensure!(stats.contains("direct"), "a counter that cannot be known is shown as one: {stats}");
    Ok(())
}

fn two_ports_of_a_mark(lab: &mut Lab) -> Result<()> {
    let first = lab.get("client", &format!("http://{SHOP}/"))?;
    // Round robin would change with every connection.
    for _ in 0..3 {
        for port in [443, 80] {
            let now = lab.get("client", &format!("http://{SHOP}:{port}/"))?;
            ensure!(now == first, "port {port} was answered by {now}, before by {first}");
        }
    }
    let table = lab.ask(LVS1, "show ipvs")?.join("\n");
    ensure!(table.contains("FWM "), "{table}");
    Ok(())
}

fn hairpin(lab: &mut Lab) -> Result<()> {
    // The answer comes from an address that was not asked.
    ensure!(lab.get("rs3", VIRTUAL).is_err(), "it works without: this proves nothing");
    commit(lab, &["set service web source-nat hairpin", "set service web scheduler rr"])?;
    let result = answers(lab, "rs3", VIRTUAL, 6, &[("rs1", 2), ("rs2", 2), ("rs3", 2)]);
    // Who comes from elsewhere is still seen as who he is.
    let seen = lab.get("client", &format!("{VIRTUAL}whoami"));
    commit(lab, &["delete service web source-nat", "set service web scheduler wlc"])?;
    result?;
    ensure!(seen? == CLIENT, "the client was translated");
    Ok(())
}

fn sync_daemon(lab: &mut Lab) -> Result<()> {
    let sync = |frame: Frame<'_>| {
        frame
            .ipv4()
            .is_some_and(|packet| packet.protocol == 17 && packet.ports.is_some_and(|(_, to)| to == 8848))
    };
    let inside = lab.switch().watch(lab.segment("private")?, sync);
    let outside = lab.switch().watch(lab.segment("public")?, sync);
    commit(lab, &["set sync-daemon interface private"])?;
    let daemons = lab.ask(LVS1, "show ipvs daemon")?.join("\n");
    lab.get_many("client", VIRTUAL, 4)?;
    let sent = lab.hub().eventually("connections on their way to the peer", lab.scaled(SYNC_WAIT), || {
        if inside.hits() > 0 { Ok(()) } else { Err("no frame".to_owned()) }
    });
    commit(lab, &["delete sync-daemon"])?;
    sent?;
    ensure!(outside.hits() == 0, "{} frames of it outside", outside.hits());
    ensure!(daemons.contains("master"), "{daemons}");
    Ok(())
}

fn schedulers(lab: &mut Lab) -> Result<()> {
    let with = |lab: &Lab, scheduler: &str| {
        commit(lab, &[&format!("set service web scheduler {scheduler}")]).map(|_| ())
    };
    with(lab, "rr")?;
    answers(lab, "client", VIRTUAL, 6, &[("rs1", 2), ("rs2", 2), ("rs3", 2)])?;
    with(lab, "wrr")?;
    answers(lab, "client", VIRTUAL, 8, &[("rs1", 4), ("rs2", 2), ("rs3", 2)])?;
    with(lab, "sh")?;
    let seen = lab.get_many("client", VIRTUAL, 6)?;
    ensure!(seen.len() == 1, "one client, several servers: {seen:?}");
    with(lab, "wlc")
}

/// `on-failure` of the pool is to quiesce, so the server stays in the table without weight.
fn asked_for_the_virtual_address(lab: &mut Lab) -> Result<()> {
    commit(lab, &["set pool near check-virtual on", "set pool near interval 1s"])?;
    let state = |lab: &Lab, wanted: &str, words: &str| {
        lab.hub().eventually(&format!("d1 {wanted}"), lab.scaled(RECOVERED + SOON), || {
            let row = server(lab, "near", "d1").map_err(|error| format!("{error:#}"))?;
            let fits = row["state"] == wanted && row["reason"].as_str().is_some_and(|r| r.contains(words));
            if fits { Ok(()) } else { Err(row.to_string()) }
        })
    };
    // The kernel answers an unknown SYN+ACK with a bare reset; ours acknowledges too (flags in byte 13 of the header).
    let resets = lab.switch().watch(lab.segment("public")?, |frame| {
        let bare = frame.payload().get(33).is_some_and(|flags| flags & 0x14 == 4);
        bare && frame.ipv4().is_some_and(|packet| packet.src == OWN && packet.dst == NEAR_ADDRESS)
    });
    let result = state(lab, "up", "").and_then(|()| {
        lab.ip("d1", "address del 1.2.3.7/32 dev lo\n")?;
        let down = state(lab, "down", "asked for 1.2.3.7");
        // Its own address answers all the while.
        let own = lab.get("client", "http://1.2.3.11/");
        let others = answers(lab, "client", NEAR, 4, &[("d2", 4)]);
        lab.ip("d1", "address add 1.2.3.7/32 dev lo\n")?;
        down?;
        ensure!(own? == "d1", "its own address did not answer");
        others?;
        state(lab, "up", "")
    });
    let checks = lab.ask(LVS1, "show checks")?.join("\n");
    commit(lab, &["delete pool near check-virtual", "delete pool near interval"])?;
    result?;
    ensure!(checks.contains("tcp at 1.2.3.11"), "{checks}");
    ensure!(resets.hits() == 0, "the director's kernel reset {} connections of its own", resets.hits());
    Ok(())
}

fn doctor(lab: &mut Lab) -> Result<()> {
    ailments::healthy(lab)?;
    for ailment in ailments::ALL.iter().filter(|a| ["gateway", "answers-arp", "no-address"].contains(&a.kind))
    {
        ailments::suffer(lab, ailment)?;
    }
    ailments::healthy(lab)
}

/// A box that receives connections forwards nothing while `backup_only` is 1 (`ip_vs_core.c`), whatever it sends besides. The
/// director never wants it on an active box, and puts right who sets it there.
fn both_daemons(lab: &mut Lab) -> Result<()> {
    let shell = lab.shell(LVS1)?;
    let log = lab.director(LVS1)?.kernel_log();
    let mark = log.mark();
    // It looks every 8 s, and just did.
    lab.ask(LVS1, "show ipvs timeout")?;
    let start = |role: &str| format!("ipvsadm --start-daemon {role} --mcast-interface eth1");
    shell.ok(&format!("{} && {}", start("master"), start("backup")))?;
    let was = shell.ok("cat /proc/sys/net/ipv4/vs/backup_only")?;
    ensure!(was.trim() == "0", "backup_only is {was}");
    lab.get("client", VIRTUAL).context("with both daemons")?;
    shell.ok("echo 1 >/proc/sys/net/ipv4/vs/backup_only")?;
    let stopped = lab.get("client", VIRTUAL);
    ensure!(stopped.is_err(), "backup_only stops nothing: {stopped:?}");
    log.wait_for("put right: ", mark, lab.scaled(COMMAND))?;
    lab.hub().eventually("an answer again", lab.scaled(COMMAND), || {
        lab.get("client", VIRTUAL).map_err(|error| format!("{error:#}"))
    })?;
    let now = shell.ok("cat /proc/sys/net/ipv4/vs/backup_only; ipvsadm -L --daemon")?;
    ensure!(now.trim() == "0", "something is left: {now}");
    Ok(())
}
