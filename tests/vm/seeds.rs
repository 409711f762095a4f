//! Clusters that documents describe, each with a boot of its own. Those with more to see have suites: `five_node`, `dhcp`.

use anyhow::{Result, ensure};
use director_qemu::frame::{Frame, Mac};
use director_qemu::lab::Lab;
use director_vm_tests::director::{LVS1, SOON, rows};
use director_vm_tests::suite::{self, Own};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

const CASES: &[Own] = &[
    ("direct_routing_by_ldirectord_has_one_server_at_a_time_and_then_a_page", "ldirectord", ldirectord),
    ("the_red_hat_guide_groups_ports_by_marks_in_both_methods", "rhel", rhel),
    ("eighteen_servers_behind_one_card_take_turns", "one-armed", one_armed),
];

/// eth0 of the director.
const DIRECTOR: Mac = Mac([0x52, 0x54, 0, 0, 1, 0]);
/// `pool web interval` and `timeout` of the scenario, and what a box of the lab takes to notice.
const FAILED: Duration = Duration::from_secs(4);
const COMMAND: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    suite::each(CASES)
}

fn wait_up(lab: &Lab, servers: usize) -> Result<()> {
    lab.hub().eventually("every server is up", lab.scaled(SOON), || {
        let all = rows(lab, "servers").map_err(|error| format!("{error:#}"))?;
        let up = all.iter().filter(|row| row["state"] == "up").count();
        if up == servers { Ok(()) } else { Err(format!("{up} of {servers}")) }
    })
}

/// The page, whatever its status.
fn page(lab: &Lab, url: &str) -> Result<String> {
    let argv = ["curl", "--silent", "--max-time", "3", url];
    Ok(lab.run("client", argv, COMMAND)?.stdout)
}

fn ldirectord(lab: &mut Lab) -> Result<()> {
    const URL: &str = "http://10.10.10.53/";
    wait_up(lab, 2)?;
    let answer = |frame: Frame<'_>| {
        frame.ipv4().is_some_and(|packet| packet.src == Ipv4Addr::new(10, 10, 10, 53) && packet.protocol == 6)
    };
    let through =
        lab.switch().watch(lab.segment("lan")?, move |frame| answer(frame) && frame.src() == Some(DIRECTOR));
    let seen = lab.get_many("client", URL, 4)?;
    ensure!(seen.len() == 1, "lblc with one client: {seen:?}");
    ensure!(lab.get("client", &format!("{URL}whoami"))? == "10.10.10.100", "the server saw another client");
    ensure!(through.hits() == 0, "answers came through the director");
    lab.ask(LVS1, "configure")?;
    let check = lab.ask(LVS1, "commit check")?.join(" ");
    lab.ask(LVS1, "exit")?;
    ensure!(check.contains("warning: service web scheduler lblc: picks by the destination"), "{check}");
    for server in ["http1", "http2"] {
        lab.web(server)?.stop()?;
    }
    lab.hub().eventually("the page of the box", lab.scaled(FAILED + SOON), || {
        let page = page(lab, URL).map_err(|error| format!("{error:#}"))?;
        if page.contains("Temporarily inaccessible") { Ok(()) } else { Err(page) }
    })?;
    lab.web("http2")?.start()?;
    lab.hub().eventually("a server again", lab.scaled(FAILED + SOON), || {
        let page = page(lab, URL).map_err(|error| format!("{error:#}"))?;
        if page.trim() == "http2" { Ok(()) } else { Err(page) }
    })
}

fn rhel(lab: &mut Lab) -> Result<()> {
    wait_up(lab, 4)?;
    for (address, ports, servers) in [
        ("192.168.26.10", [80, 443], ["rs1", "rs2"]),
        ("192.168.26.20", [80, 443], ["d1", "d2"]),
        ("192.168.26.20", [21, 10_000], ["d1", "d2"]),
    ] {
        let of = |port: u16| lab.get("client", &format!("http://{address}:{port}/"));
        let first = of(ports[0])?;
        ensure!(servers.contains(&&*first), "{address} was answered by {first}");
        ensure!(of(ports[1])? == first, "{address}: ports of one mark went to two servers");
    }
    let behind = lab.get("client", "http://192.168.26.10:21/")?;
    ensure!(["rs1", "rs2"].contains(&&*behind), "FTP was answered by {behind}");
    let seen = lab.get("rs1", "http://192.168.26.100:8080/whoami")?;
    ensure!(["192.168.26.9", "192.168.26.10", "192.168.26.20"].contains(&&*seen), "rs1 was seen as {seen}");
    Ok(())
}

fn one_armed(lab: &mut Lab) -> Result<()> {
    wait_up(lab, 18)?;
    let seen = lab.get_many("client", "http://10.10.0.70:22/", 18)?;
    ensure!(seen.len() == 18, "round robin over {seen:?}");
    Ok(())
}
