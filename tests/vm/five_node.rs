//! The five-node cluster: from power-on to balanced traffic, and what must not break it.

use anyhow::{Context as _, Result, ensure};
use director_core::store::layout;
use director_core::store::record::Header;
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use director_vm_tests::director::{
    LVS1, SOON, Usable, commit, kernel_weight, number, rows, server, system, wait_usable,
};
use director_vm_tests::storm;
use director_vm_tests::suite::{self, Case, Suite};
use std::fs;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Duration;

const VIRTUAL: &str = "http://1.2.3.1/";
const SERVERS: [(&str, &str); 3] = [("rs1", "192.168.1.3"), ("rs2", "192.168.1.4"), ("rs3", "192.168.1.5")];
/// `pool web dead-time` of the scenario.
const DEAD_TIME: Duration = Duration::from_secs(10);
/// `pool web reentry` of the test's scenario.
const REENTRY: Duration = Duration::from_secs(4);
/// Default of `pool web interval`.
const INTERVAL: Duration = Duration::from_secs(2);
/// One look at the table over the serial console.
const LOOK: Duration = Duration::from_millis(500);

const CASES: &[Case] = &[
    ("forty_requests_are_balanced_by_weight", forty_requests_are_balanced_by_weight),
    ("real_servers_reach_out_under_an_address_of_the_director", real_servers_reach_out),
    ("nothing_is_forwarded_from_outside_to_inside", nothing_is_forwarded_inside),
    ("a_datagram_in_fragments_passes_the_virtual_address", a_datagram_in_fragments_passes),
    ("a_changed_weight_is_one_edit", a_changed_weight_is_one_edit),
    ("the_clock_is_set_by_a_time_server", the_clock_is_set),
    ("bad_input_names_the_value_and_changes_nothing", bad_input_changes_nothing),
    ("a_stopped_server_leaves_in_time_and_comes_back_after_reentry", a_stopped_server_leaves_and_comes_back),
    ("a_reentry_time_goes_on_over_a_control_plane_restart", a_reentry_time_goes_on),
    ("with_every_server_stopped_the_box_itself_says_sorry", every_server_stopped),
    ("a_killed_director_process_breaks_nothing", a_killed_director_process_breaks_nothing),
    ("the_reset_button_keeps_the_committed_configuration", the_reset_button_keeps_the_configuration),
    ("a_power_cut_keeps_the_committed_configuration", a_power_cut_keeps_the_configuration),
    ("power_cuts_in_a_commit_storm_leave_a_committed_configuration", power_cuts_in_a_commit_storm),
    ("a_broken_flash_comes_up_with_what_is_left_and_says_so", a_broken_flash_says_so),
];

fn main() -> ExitCode {
    suite::main(Suite { start, baseline, repair, cases: CASES })
}

fn start(folder: RunFolder) -> Result<Lab> {
    let mut lab = Lab::prepare(scenario::named("five-node-test").context("scenario")?, folder)?;
    lab.boot()?;
    let boot = lab.boot_time().context("the boot was not timed")?;
    lab.hub().line("test", "figure", &format!("first prompt {} ms after power-on", boot.as_millis()));
    Ok(lab)
}

/// Every server serves, and the console is in operational mode.
fn baseline(lab: &mut Lab) -> Result<()> {
    for (_, address) in SERVERS {
        wait_usable(lab, address, Usable::Yes, lab.scaled(REENTRY + DEAD_TIME + SOON))?;
    }
    Ok(())
}

/// Servers that a failed case stopped are started, and the director starts anew from its flash.
fn repair(lab: &mut Lab) -> Result<()> {
    for (name, _) in SERVERS {
        let web = lab.web(name)?;
        web.stop()?;
        web.start()?;
    }
    lab.ip("client", "route flush 192.168.1.0/24\n").ok();
    lab.power_cycle(LVS1)?;
    lab.wait_until_it_answers()
}

fn forty_requests_are_balanced_by_weight(lab: &mut Lab) -> Result<()> {
    let answers = lab.get_many("client", VIRTUAL, 40)?;
    let expected: [(&str, RangeInclusive<u32>); 3] = [("rs1", 16..=24), ("rs2", 7..=13), ("rs3", 7..=13)];
    for (name, range) in expected {
        let count = answers.get(name).copied().unwrap_or(0);
        ensure!(range.contains(&count), "{name} answered {count} of 40, not {range:?}: {answers:?}");
    }
    ensure!(answers.values().sum::<u32>() == 40, "{answers:?}");
    Ok(())
}

/// Also the proof of `ip_forward`: without it no packet of rs1 would leave the private network.
fn real_servers_reach_out(lab: &mut Lab) -> Result<()> {
    for (name, _) in SERVERS {
        let seen = lab.get(name, "http://1.2.3.100:8080/whoami")?;
        ensure!(["1.2.3.1", "1.2.3.2"].contains(&&*seen), "{name} was seen as {seen}");
    }
    Ok(())
}

fn nothing_is_forwarded_inside(lab: &mut Lab) -> Result<()> {
    let client = Ipv4Addr::new(1, 2, 3, 100);
    let inside = Ipv4Addr::new(192, 168, 1, 3);
    let tried = lab.switch().watch(lab.segment("public")?, move |frame| {
        frame.ipv4().is_some_and(|packet| packet.src == client && packet.dst == inside)
    });
    let passed = lab.switch().watch(lab.segment("private")?, move |frame| {
        frame.ipv4().is_some_and(|packet| packet.src == client && packet.ports.is_none_or(|(_, to)| to != 80))
    });
    // What the virtual server sends to rs1 also comes from the client; so the forbidden packets go to other ports.
    lab.ip("client", "route add 192.168.1.0/24 via 1.2.3.2\n")?;
    let direct = lab.get("client", "http://192.168.1.3:8081/");
    let echo = lab.udp_round_trip("client", "192.168.1.3:7", 100);
    lab.ip("client", "route del 192.168.1.0/24\n")?;
    ensure!(direct.is_err() && echo.is_err(), "{direct:?} {echo:?}");
    ensure!(tried.hits() >= 2, "the client did not try");
    ensure!(passed.hits() == 0, "{} frames got inside", passed.hits());
    // The way in that is meant stays open.
    lab.get("client", VIRTUAL).map(|_| ())
}

fn a_datagram_in_fragments_passes(lab: &mut Lab) -> Result<()> {
    let client = Ipv4Addr::new(1, 2, 3, 100);
    let fragments = lab.switch().watch(lab.segment("public")?, move |frame| {
        frame.ipv4().is_some_and(|packet| packet.src == client && packet.fragment_offset > 0)
    });
    // Three: one for each server of the round robin.
    for _ in SERVERS {
        lab.udp_round_trip("client", "1.2.3.1:7", 4000)?;
    }
    ensure!(fragments.hits() == 6, "{} later fragments for 3 datagrams of 4,000 bytes", fragments.hits());
    Ok(())
}

fn a_changed_weight_is_one_edit(lab: &mut Lab) -> Result<()> {
    for weight in [500, 1000] {
        let before = number(&system(lab)?, "operations")?;
        commit(lab, &[&format!("set pool web server rs2 weight {weight}")])?;
        ensure!(kernel_weight(lab, 80, "192.168.1.4")? == Some(weight));
        let after = system(lab)?;
        ensure!(number(&after, "operations")? == before + 1, "not one operation after {before}: {after}");
        ensure!(number(&after, "last_plan_operations")? == 1, "{after}");
    }
    Ok(())
}

fn the_clock_is_set(lab: &mut Lab) -> Result<()> {
    /// 2033-05-18, which no clock of this lab shows by itself.
    const THEN: u64 = 2_000_000_000;
    let _server = lab.time_server("rs1", THEN)?;
    commit(lab, &["set system time-server 192.168.1.3"])?;
    let shown = lab.hub().eventually("the clock to be set", lab.scaled(SOON), || {
        let time = lab.json(LVS1, "show time").map_err(|error| format!("{error:#}"))?;
        if time["set_by"] == "192.168.1.3" { Ok(time) } else { Err(time.to_string()) }
    })?;
    commit(lab, &["delete system time-server"])?;
    ensure!((THEN..THEN + 60).contains(&number(&shown, "unix_s")?), "{shown}");
    let newest = lab.ask(LVS1, "show commits")?.join("\n");
    ensure!(newest.contains("2033-05-18 03:3"), "{newest}");
    Ok(())
}

fn bad_input_changes_nothing(lab: &mut Lab) -> Result<()> {
    let before = lab.ask(LVS1, "show configuration")?;
    let table = rows(lab, "ipvs")?.len();
    // What is typed, and a word that the answer must have.
    let wrong = [
        ("set pool web server rs1 weight 70000", "weight"),
        ("set pool web colour red", "colour"),
        ("set real-server rs9 address 300.1.1.1", "300.1.1.1"),
        ("set pool web dead-time 10", "10"),
    ];
    lab.tell(LVS1, "configure")?;
    for (line, word) in wrong {
        let answer = lab.ask(LVS1, line)?.join("\n");
        ensure!(answer.contains(word), "`{line}` was answered with `{answer}`");
    }
    // Each line is right, together they are not; commit shows all errors at once.
    for line in ["set real-server twin address 192.168.1.3", "set service lonely protocol tcp port 81"] {
        lab.tell(LVS1, line)?;
    }
    let refused = lab.ask(LVS1, "commit")?.join("\n");
    lab.ask(LVS1, "discard")?;
    lab.ask(LVS1, "exit")?;
    ensure!(refused.contains("twin") && refused.contains("lonely"), "commit said `{refused}`");
    ensure!(lab.ask(LVS1, "show configuration")? == before, "the configuration changed");
    ensure!(rows(lab, "ipvs")?.len() == table, "the kernel's table changed");
    lab.get("client", VIRTUAL).map(|_| ())
}

fn a_stopped_server_leaves_and_comes_back(lab: &mut Lab) -> Result<()> {
    let stopped = lab.hub().elapsed();
    lab.web("rs2")?.stop()?;
    // The silence counts from the last good answer, which was before the stop; what is over is how often we look.
    let limit = DEAD_TIME + lab.scaled(LOOK);
    let gone = wait_usable(lab, "192.168.1.4", Usable::No, limit)?;
    lab.hub().line(
        "test",
        "figure",
        &format!("a stopped server left after {} ms", gone.saturating_sub(stopped).as_millis()),
    );
    let answers = lab.get_many("client", VIRTUAL, 20)?;
    ensure!(!answers.contains_key("rs2"), "{answers:?}");

    let started = lab.hub().elapsed();
    lab.web("rs2")?.start()?;
    let back = wait_usable(lab, "192.168.1.4", Usable::Yes, REENTRY + INTERVAL + lab.scaled(SOON))?;
    let took = back.saturating_sub(started);
    lab.hub().line("test", "figure", &format!("a started server came back after {} ms", took.as_millis()));
    ensure!(took >= REENTRY, "back after {took:?}, before the reentry time");
    let answers = lab.get_many("client", VIRTUAL, 20)?;
    ensure!(answers.contains_key("rs2"), "{answers:?}");
    Ok(())
}

fn every_server_stopped(lab: &mut Lab) -> Result<()> {
    const TEXT: &str = "Back soon";
    const OWN: &str = "127.0.0.1";
    commit(lab, &["set pool web sorry-page Back\\ssoon"])?;
    ensure!(kernel_weight(lab, 80, OWN)?.is_none(), "the page is there beside usable servers");
    for (name, _) in SERVERS {
        lab.web(name)?.stop()?;
    }
    wait_usable(lab, OWN, Usable::Yes, DEAD_TIME + lab.scaled(SOON))?;
    let argv = ["curl", "-sS", "-i", "--noproxy", "*", "--max-time", "5", VIRTUAL];
    let seen = lab.run("client", argv, SOON)?.stdout;
    ensure!(seen.starts_with("HTTP/1.1 503 ") && seen.contains("Retry-After: "), "{seen}");
    ensure!(seen.ends_with(TEXT), "{seen}");
    // A director that starts anew with all servers down shows the same page.
    lab.ask(LVS1, "restart control-plane")?;
    lab.hub().eventually("the page after a restart", lab.scaled(SOON), || {
        let seen = lab.run("client", argv, SOON).map_err(|error| format!("{error:#}"))?.stdout;
        if seen.ends_with(TEXT) { Ok(()) } else { Err(seen) }
    })?;
    for (name, _) in SERVERS {
        lab.web(name)?.start()?;
    }
    wait_usable(lab, OWN, Usable::No, REENTRY + INTERVAL + lab.scaled(SOON))?;
    lab.get_many("client", VIRTUAL, 10)?;
    commit(lab, &["delete pool web sorry-page"]).map(|_| ())
}

fn a_killed_director_process_breaks_nothing(lab: &mut Lab) -> Result<()> {
    // 8 MB at 2 MB a second: it is under way all the time.
    const RANGE: &str = "0-8388607";
    let since = |lab: &Lab| -> Result<Vec<serde_json::Value>> {
        SERVERS.iter().map(|(name, _)| Ok(server(lab, "web", name)?["changed_at_ms"].clone())).collect()
    };
    let (before, verdicts) = (system(lab)?, since(lab)?);
    let data = lab.switch().watch(lab.segment("public")?, |frame| {
        frame.ipv4().and_then(|packet| packet.ports).is_some_and(|(from, _)| from == 80)
    });
    let url = format!("{VIRTUAL}slow");
    let argv = [
        "curl",
        "-sS",
        "--noproxy",
        "*",
        "-o",
        "/dev/null",
        "-w",
        "%{size_download}",
        "--range",
        RANGE,
        &url,
    ];
    let download = lab.spawn("client", argv)?;
    lab.hub().eventually("a download under way", SOON, || match data.hits() {
        0..100 => Err(format!("{} frames", data.hits())),
        _ => Ok(()),
    })?;
    lab.ask(LVS1, "restart control-plane")?;
    let after = lab.hub().eventually("another director process", lab.scaled(SOON), || {
        let now = system(lab).map_err(|error| format!("{error:#}"))?;
        let started = "director_started_at_ms";
        let new = now[started] != before[started] && !now["reconciled_ms"].is_null();
        if new { Ok(now) } else { Err(now.to_string()) }
    })?;
    ensure!(download.status().is_none(), "the download ended before the kill: it proves nothing");
    ensure!(number(&after, "operations")? == 0, "the first plan was not empty: {after}");
    ensure!(since(lab)? == verdicts, "verdicts were formed anew");
    let ended = download.wait(Duration::from_secs(30))?;
    ensure!(ended.stdout == (8 << 20).to_string(), "{} bytes; {}", ended.stdout, ended.stderr);
    lab.get_many("client", VIRTUAL, 10).map(|_| ())
}

fn the_reset_button_keeps_the_configuration(lab: &mut Lab) -> Result<()> {
    comes_back_as_it_was(lab, "a reset", |lab| lab.reset(LVS1))
}

fn a_power_cut_keeps_the_configuration(lab: &mut Lab) -> Result<()> {
    comes_back_as_it_was(lab, "power-on", |lab| lab.power_cycle(LVS1))
}

fn comes_back_as_it_was(
    lab: &mut Lab,
    event: &str,
    restart: impl FnOnce(&mut Lab) -> Result<()>,
) -> Result<()> {
    let (config, before) = (lab.ask(LVS1, "show configuration")?, system(lab)?);
    let start = lab.hub().elapsed();
    restart(lab)?;
    lab.wait_until_it_answers()?;
    let took = lab.hub().elapsed().saturating_sub(start);
    lab.hub().line("test", "figure", &format!("first answer {} ms after {event}", took.as_millis()));
    ensure!(lab.ask(LVS1, "show configuration")? == config, "another configuration came up");
    let after = system(lab)?;
    ensure!(after["generation"] == before["generation"], "{before} {after}");
    ensure!(number(&after, "boots")? > number(&before, "boots")?, "{before} {after}");
    for (_, address) in SERVERS {
        wait_usable(lab, address, Usable::Yes, lab.scaled(DEAD_TIME))?;
    }
    Ok(())
}

/// rs2 is in the middle of its reentry time when the process that counts it dies.
fn a_reentry_time_goes_on(lab: &mut Lab) -> Result<()> {
    lab.web("rs2")?.stop()?;
    wait_usable(lab, "192.168.1.4", Usable::No, DEAD_TIME + lab.scaled(LOOK))?;
    lab.web("rs2")?.start()?;
    let began = lab.hub().eventually("rs2 to reenter", INTERVAL + lab.scaled(SOON), || {
        let row = server(lab, "web", "rs2").map_err(|error| format!("{error:#}"))?;
        if row["state"] == "reentering" { Ok(row["changed_at_ms"].clone()) } else { Err(row.to_string()) }
    })?;
    let before = lab.hub().elapsed();
    lab.ask(LVS1, "restart control-plane")?;
    let back = wait_usable(lab, "192.168.1.4", Usable::Yes, REENTRY + INTERVAL + lab.scaled(SOON))?;
    let up_at = number(&server(lab, "web", "rs2")?, "changed_at_ms")?;
    let took = up_at.saturating_sub(began.as_u64().context("no time")?);
    lab.hub().line("test", "figure", &format!("reentry of 4 s over a restart took {took} ms"));
    let reentry = u64::try_from(REENTRY.as_millis())?;
    // Not shorter, and not started over: that would be longer by the time that had passed before the restart.
    ensure!(
        (reentry..reentry + 1500).contains(&took),
        "{took} ms, back {:?} after the restart",
        back - before
    );
    Ok(())
}

/// `make soak` does the same many times more.
fn power_cuts_in_a_commit_storm(lab: &mut Lab) -> Result<()> {
    let met = storm::cut_in_storms(lab, 3, 1)?;
    lab.hub().line("test", "figure", &format!("power cuts in commit storms: {met:?}"));
    let weights = ["set pool web server rs1 weight 2000", "set pool web server rs2 weight 1000"];
    commit(lab, &weights).map(|_| ())
}

/// First the newest record loses a bit, then all of them are garbage; the disk is put back afterwards.
fn a_broken_flash_says_so(lab: &mut Lab) -> Result<()> {
    let before = number(&system(lab)?, "generation")?;
    let mut saved = Vec::new();
    let mark = lab.power_cycle_with(LVS1, |disk| {
        saved = fs::read(disk)?;
        let mut broken = saved.clone();
        let newest = newest_record(&mut broken)?;
        newest[layout::BLOCK] ^= 1;
        Ok(fs::write(disk, broken)?)
    })?;
    let after = system(lab)?;
    ensure!(number(&after, "generation")? < before, "a damaged record was used: {after}");
    let said = lab.director(LVS1)?.console().since(mark);
    ensure!(said.contains("! ") && said.contains("damaged"), "nothing was said of the damage: {said}");

    let mark = lab.power_cycle_with(LVS1, |disk| {
        let mut broken = saved.clone();
        slots(&mut broken)?.fill(0xa5);
        Ok(fs::write(disk, broken)?)
    })?;
    ensure!(number(&system(lab)?, "generation")? == 0, "{}", system(lab)?);
    let said = lab.director(LVS1)?.console().since(mark);
    ensure!(said.contains("! no usable configuration in flash: of 16 slots"), "{said}");

    lab.power_cycle_with(LVS1, |disk| Ok(fs::write(disk, &saved)?))?;
    lab.wait_until_it_answers()?;
    ensure!(number(&system(lab)?, "generation")? == before);
    Ok(())
}

const MIB: usize = 1 << 20;

/// The 16 configuration slots of a disk image: 16 MiB from 4 MiB on in its fourth partition (docs/disk.md).
fn slots(disk: &mut [u8]) -> Result<&mut [u8]> {
    let lba = disk.get(446 + 3 * 16 + 8..446 + 3 * 16 + 12).context("no partition table")?;
    let start = usize::try_from(u32::from_le_bytes(lba.try_into()?))? * 512 + 4 * MIB;
    disk.get_mut(start..start + 16 * MIB).context("the disk is too short")
}

/// The slot with the highest generation.
fn newest_record(disk: &mut [u8]) -> Result<&mut [u8]> {
    let generation = |slot: &[u8]| Header::parse(slot[..512].try_into().ok()?).ok().map(|h| h.generation);
    slots(disk)?.chunks_mut(MIB).max_by_key(|slot| generation(slot)).context("no slots")
}
