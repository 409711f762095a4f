//! A director whose outside address is lent by a real DHCP server (dnsmasq).

use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use director_vm_tests::director::{LVS1, SOON, commit, number, rows, system};
use director_vm_tests::suite::{self, Case, Suite};
use serde_json::Value;
use std::process::ExitCode;

const VIRTUAL: &str = "http://202.39.145.146/";

const CASES: &[Case] = &[
    ("the_outside_address_is_lent_and_the_service_answers", the_address_is_lent),
    ("a_renewal_is_a_unicast_that_changes_nothing", a_renewal_changes_nothing),
    ("a_restarted_control_plane_goes_on_with_its_lease", a_restart_goes_on),
    ("a_vlan_on_the_outside_card_comes_and_goes", a_vlan_comes_and_goes),
];

fn main() -> ExitCode {
    suite::main(Suite { start, baseline: |_| Ok(()), repair, cases: CASES })
}

fn start(folder: RunFolder) -> Result<Lab> {
    let mut lab = Lab::prepare(scenario::named("dhcp-outside").context("scenario")?, folder)?;
    lab.boot()?;
    Ok(lab)
}

fn repair(lab: &mut Lab) -> Result<()> {
    lab.power_cycle(LVS1)?;
    lab.wait_until_it_answers()
}

fn outside(lab: &Lab) -> Result<Value> {
    let all = rows(lab, "interfaces")?;
    all.iter().find(|row| row["device"] == "eth0").cloned().context("no eth0")
}

fn wait_bound(lab: &Lab) -> Result<Value> {
    lab.hub().eventually("a lease", lab.scaled(SOON), || {
        let row = outside(lab).map_err(|error| format!("{error:#}"))?;
        if row["dhcp"] == "bound" { Ok(row) } else { Err(row.to_string()) }
    })
}

fn the_address_is_lent(lab: &mut Lab) -> Result<()> {
    let row = wait_bound(lab)?;
    ensure!(row["dhcp_address"] == "202.39.145.156/26", "{row}");
    ensure!(row["dhcp_server"] == "202.39.145.129" && row["dhcp_router"] == "202.39.145.129", "{row}");
    let addresses = rows(lab, "addresses")?;
    let there = |row: &Value| row["address"] == "202.39.145.156/26" && row["present"] == true;
    ensure!(addresses.iter().any(there), "{addresses:?}");
    lab.get_many("client", VIRTUAL, 4)?;
    // Out of the inside under the lent address: masquerading and the lent default route work together.
    let seen = lab.get("rs1", "http://202.39.145.160:8080/whoami")?;
    ensure!(["202.39.145.156", "202.39.145.146"].contains(&&*seen), "rs1 was seen as {seen}");
    Ok(())
}

/// dnsmasq lends for 120 s and says that a lease is renewed after 15.
fn a_renewal_changes_nothing(lab: &mut Lab) -> Result<()> {
    let before = number(&system(lab)?, "operations")?;
    let left = number(&wait_bound(lab)?, "dhcp_left_ms")?;
    let renewed = lab.switch().watch(lab.segment("public")?, |frame| {
        frame.ipv4().is_some_and(|packet| packet.ports == Some((68, 67)) && !packet.dst.is_broadcast())
    });
    let limit = std::time::Duration::from_millis(left);
    lab.hub().eventually("a renewal by unicast", limit, || match renewed.hits() {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    })?;
    lab.hub().eventually("the lease to be longer", lab.scaled(SOON), || {
        let row = outside(lab).map_err(|error| format!("{error:#}"))?;
        let now = number(&row, "dhcp_left_ms").unwrap_or(0);
        if row["dhcp"] == "bound" && now > 100_000 { Ok(()) } else { Err(row.to_string()) }
    })?;
    ensure!(number(&system(lab)?, "operations")? == before, "a renewal cost operations");
    Ok(())
}

fn a_restart_goes_on(lab: &mut Lab) -> Result<()> {
    let started = system(lab)?["director_started_at_ms"].clone();
    let asked = lab.switch().watch(lab.segment("public")?, |frame| {
        frame.ipv4().is_some_and(|packet| packet.ports == Some((68, 67)) && packet.dst.is_broadcast())
    });
    lab.ask(LVS1, "restart control-plane")?;
    let after = lab.hub().eventually("another director process", lab.scaled(SOON), || {
        let now = system(lab).map_err(|error| format!("{error:#}"))?;
        let new = now["director_started_at_ms"] != started && !now["reconciled_ms"].is_null();
        if new { Ok(now) } else { Err(now.to_string()) }
    })?;
    ensure!(number(&after, "operations")? == 0, "the first plan was not empty: {after}");
    wait_bound(lab)?;
    ensure!(asked.hits() == 0, "the lease was asked for again");
    Ok(())
}

fn a_vlan_comes_and_goes(lab: &mut Lab) -> Result<()> {
    commit(
        lab,
        &[
            "set interface dmz device dmz",
            "set interface dmz vlan parent public id 7",
            "set node primary interface dmz address 10.7.0.1/24",
            "set node primary interface public mac 52:54:00:00:01:00",
            "set sysctl net.ipv4.vs.drop_entry value 1",
        ],
    )?;
    let has = |lab: &Lab| -> Result<bool> {
        Ok(rows(lab, "addresses")?.iter().any(|row| row["device"] == "dmz" && row["present"] == true))
    };
    ensure!(has(lab)?, "no address on the VLAN");
    commit(
        lab,
        &[
            "delete node primary interface dmz",
            "delete node primary interface public mac",
            "delete interface dmz",
            "delete sysctl net.ipv4.vs.drop_entry",
        ],
    )?;
    ensure!(!has(lab)?, "the address is still there");
    let all = rows(lab, "interfaces")?;
    ensure!(!all.iter().any(|row| row["device"] == "dmz"), "the VLAN is still there: {all:?}");
    lab.get_many("client", VIRTUAL, 4).map(|_| ())
}
