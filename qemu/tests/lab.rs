//! The lab itself: switch rules, namespaces, captures, the accelerator probe, and that nothing stays behind.
//! No director is needed.

use anyhow::{Context as _, Result, bail, ensure};
use director_qemu::accel;
use director_qemu::hub::Hub;
use director_qemu::isolate::isolated;
use director_qemu::lab::Lab;
use director_qemu::nginx::BIG_BYTES;
use director_qemu::process::{Process, Program};
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use director_qemu::switch::{Action, Rule};
use libtest_mimic::{Arguments, Trial};
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);
const ECHO: &str = "10.0.0.2:7";

type Case = fn(&mut Lab) -> Result<()>;

const CASES: [(&str, Case); 14] = [
    ("a_page_comes_through_the_switch", a_page_comes_through_the_switch),
    ("a_datagram_in_fragments_comes_back_whole", a_datagram_in_fragments_comes_back_whole),
    ("a_one_way_cut_loses_one_direction_only", a_one_way_cut_loses_one_direction_only),
    ("a_rule_ends_with_its_guard", a_rule_ends_with_its_guard),
    ("a_delayed_frame_arrives_late", a_delayed_frame_arrives_late),
    ("a_duplicated_frame_arrives_twice", a_duplicated_frame_arrives_twice),
    ("unicast_is_not_flooded_once_learned", unicast_is_not_flooded_once_learned),
    ("a_capture_holds_what_was_sent", a_capture_holds_what_was_sent),
    ("a_bulk_download_loses_nothing", a_bulk_download_loses_nothing),
    (
        "a_stopped_web_server_refuses_and_a_started_one_answers",
        a_stopped_web_server_refuses_and_a_started_one_answers,
    ),
    ("a_wait_ends_although_something_always_happens", a_wait_ends_although_something_always_happens),
    ("a_wait_that_fails_says_what_it_saw", a_wait_that_fails_says_what_it_saw),
    (
        "an_accelerator_is_judged_by_a_guest_that_ends_itself",
        an_accelerator_is_judged_by_a_guest_that_ends_itself,
    ),
    ("nothing_stays_behind_however_the_lab_ends", nothing_stays_behind_however_the_lab_ends),
];

fn main() -> ExitCode {
    if let Some(code) = director_qemu::helper::run_if_asked() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // The cases share one lab.
    arguments.test_threads = Some(1);
    isolated(move |folder| suite(&arguments, folder))
}

fn suite(arguments: &Arguments, folder: RunFolder) -> ExitCode {
    let lab: Arc<Mutex<Option<Result<Lab, String>>>> = Arc::default();
    let trials = CASES.map(|(name, case)| {
        let (lab, folder) = (Arc::clone(&lab), folder.clone());
        Trial::test(name, move || {
            let mut slot = lab.lock().unwrap_or_else(PoisonError::into_inner);
            // Started once: what failed for the first case is not tried again for the next.
            let started = slot.get_or_insert_with(|| start(folder).map_err(|error| format!("{error:#}")));
            let lab = started.as_mut().map_err(|error| error.clone())?;
            lab.hub().line("test", "case", name);
            case(lab).map_err(|error| format!("{error:#}").into())
        })
    });
    libtest_mimic::run(arguments, trials.into()).exit_code()
}

fn start(folder: RunFolder) -> Result<Lab> {
    let mut lab = Lab::prepare(scenario::named("lan").context("scenario lan")?, folder)?;
    lab.boot()?;
    Ok(lab)
}

fn a_page_comes_through_the_switch(lab: &mut Lab) -> Result<()> {
    let before = lab.switch().frames(lab.segment("lan")?);
    ensure!(lab.get("a", "http://10.0.0.2/")? == "b");
    ensure!(lab.get("a", "http://10.0.0.2/whoami")? == "10.0.0.1");
    ensure!(lab.switch().frames(lab.segment("lan")?) > before);
    Ok(())
}

fn a_datagram_in_fragments_comes_back_whole(lab: &mut Lab) -> Result<()> {
    let fragments = lab.switch().watch(lab.segment("lan")?, |frame| {
        frame.ipv4().is_some_and(|packet| packet.protocol == 17 && packet.fragment_offset > 0)
    });
    lab.udp_round_trip("a", ECHO, 4000)?;
    // 4,008 bytes of UDP in 1,480-byte pieces: two later fragments each way.
    ensure!(fragments.hits() == 4, "{} fragments", fragments.hits());
    Ok(())
}

fn a_one_way_cut_loses_one_direction_only(lab: &mut Lab) -> Result<()> {
    let (a, b) = (lab.port("lan", "a")?, lab.port("lan", "b")?);
    lab.udp_round_trip("a", ECHO, 100)?;
    let answers = lab.switch().watch(lab.segment("lan")?, |frame| {
        frame.ipv4().and_then(|packet| packet.ports).is_some_and(|(from, _)| from == 7)
    });
    let _cut = lab.switch().rule(Rule::drop_from(b).to(a));
    ensure!(lab.udp_round_trip("a", ECHO, 100).is_err(), "an answer came through the cut");
    ensure!(answers.hits() == 1, "b was asked and answered, {} times", answers.hits());
    Ok(())
}

fn a_rule_ends_with_its_guard(lab: &mut Lab) -> Result<()> {
    let cut = lab.switch().rule(Rule::new(Action::Drop));
    ensure!(lab.udp_round_trip("a", ECHO, 100).is_err(), "an answer came through the cut");
    drop(cut);
    lab.udp_round_trip("a", ECHO, 100)
}

fn a_delayed_frame_arrives_late(lab: &mut Lab) -> Result<()> {
    let _rule = lab.switch().rule(Rule::new(Action::Delay(Duration::from_millis(150))));
    let before = lab.hub().elapsed();
    lab.udp_round_trip("a", ECHO, 100)?;
    let took = lab.hub().elapsed().saturating_sub(before);
    ensure!(took >= Duration::from_millis(300), "{took:?} for two delays of 150 ms");
    Ok(())
}

fn a_duplicated_frame_arrives_twice(lab: &mut Lab) -> Result<()> {
    let (a, b) = (lab.port("lan", "a")?, lab.port("lan", "b")?);
    let answers = lab.switch().watch(lab.segment("lan")?, |frame| {
        frame.ipv4().and_then(|packet| packet.ports).is_some_and(|(from, _)| from == 7)
    });
    let udp =
        |frame: director_qemu::frame::Frame<'_>| frame.ipv4().is_some_and(|packet| packet.protocol == 17);
    let _rule = lab.switch().rule(Rule::new(Action::Duplicate).from(a).to(b).when(udp));
    lab.udp_round_trip("a", ECHO, 100)?;
    lab.hub().eventually("two answers", LIMIT, || match answers.hits() {
        2 => Ok(()),
        other => Err(format!("{other} answers")),
    })
}

fn unicast_is_not_flooded_once_learned(lab: &mut Lab) -> Result<()> {
    // A third port that nobody listens at; its peer must stay open.
    let (ours, theirs) = std::os::unix::net::UnixDatagram::pair()?;
    let third = lab.switch().plug(lab.segment("lan")?, "third", ours.into())?;
    lab.get("a", "http://10.0.0.2/")?;
    let mut buffer = [0; 2048];
    theirs.set_nonblocking(true)?;
    while let Ok(length) = theirs.recv(&mut buffer) {
        let frame = director_qemu::frame::Frame(buffer.get(..length).unwrap_or_default());
        ensure!(frame.dst().is_some_and(director_qemu::frame::Mac::is_group), "flooded: {frame:?}");
    }
    drop(theirs);
    ensure!(lab.switch().counters(third).overflowed == 0);
    Ok(())
}

fn a_capture_holds_what_was_sent(lab: &mut Lab) -> Result<()> {
    lab.udp_round_trip("a", ECHO, 777)?;
    let capture = fs::read(lab.folder().path().join("lan.pcap"))?;
    // 24 bytes of file header; then for each frame seconds, nanoseconds, kept length, length, and the bytes kept.
    let mut rest = capture.get(24..).context("no header")?;
    let mut found = 0;
    while let Some((header, after)) = rest.split_first_chunk::<16>() {
        let [.., a, b, c, d, _, _, _, _] = *header;
        let kept = usize::try_from(u32::from_ne_bytes([a, b, c, d]))?;
        let (bytes, next) = after.split_at_checked(kept).context("the last frame is cut short")?;
        let packet = director_qemu::frame::Frame(bytes).ipv4();
        let asked = packet.and_then(|packet| packet.ports).is_some_and(|(_, to)| to == 7);
        // Ethernet 14, IPv4 20, UDP 8.
        found += u32::from(asked && bytes.len() == 14 + 20 + 8 + 777);
        rest = next;
    }
    ensure!(found == 1, "the datagram is {found} times in the capture");
    Ok(())
}

fn a_bulk_download_loses_nothing(lab: &mut Lab) -> Result<()> {
    let to = lab.port("lan", "a")?;
    let before = lab.hub().elapsed();
    let argv =
        ["curl", "-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{size_download}", "http://10.0.0.2/big"];
    let ended = lab.run("a", argv, LIMIT * 3)?;
    ensure!(ended.stdout == BIG_BYTES.to_string(), "{} of {BIG_BYTES} bytes: {}", ended.stdout, ended.stderr);
    let millis = lab.hub().elapsed().saturating_sub(before).as_millis();
    let rate = u128::from(BIG_BYTES) / 1000 / millis.max(1);
    lab.hub().line("test", "bulk", &format!("{BIG_BYTES} bytes in {millis} ms, {rate} MB/s"));
    ensure!(lab.switch().counters(to).overflowed == 0, "{:?}", lab.switch().counters(to));
    Ok(())
}

fn a_stopped_web_server_refuses_and_a_started_one_answers(lab: &mut Lab) -> Result<()> {
    lab.web("b")?.stop()?;
    ensure!(lab.get("a", "http://10.0.0.2/").is_err(), "a stopped server answered");
    lab.web("b")?.start()?;
    ensure!(lab.get("a", "http://10.0.0.2/")? == "b");
    Ok(())
}

fn a_wait_that_fails_says_what_it_saw(lab: &mut Lab) -> Result<()> {
    lab.hub().line("test", "note", "a line to be found in the report");
    let result: Result<()> =
        lab.hub().eventually("the impossible", Duration::from_millis(50), || Err("blue".into()));
    let text = result.err().context("the impossible happened")?.to_string();
    ensure!(text.contains("the impossible") && text.contains("last: blue"), "{text}");
    ensure!(text.contains("a line to be found in the report"), "{text}");
    Ok(())
}

fn a_wait_ends_although_something_always_happens(lab: &mut Lab) -> Result<()> {
    let hub = Arc::clone(lab.hub());
    let result: Result<()> = lab.hub().eventually("the impossible", Duration::from_millis(50), || {
        // Each look is itself an event, as a request that is refused at once.
        hub.wake(director_qemu::hub::Cause::Lab);
        Err("still not".into())
    });
    ensure!(result.is_err());
    Ok(())
}

/// Under TCG and under a name that QEMU does not know. The other accelerators are the business of `accel::choose`,
/// which a machine runs once: a broken one hangs for the whole limit.
fn an_accelerator_is_judged_by_a_guest_that_ends_itself(lab: &mut Lab) -> Result<()> {
    let image = lab.folder().path().join("sector.img");
    fs::write(&image, accel::boot_sector())?;
    accel::probe(lab.hub(), &image, "tcg")?;
    ensure!(accel::probe(lab.hub(), &image, "no-such-accelerator").is_err());
    // cli; hlt: a guest that never ends.
    let mut stuck = accel::boot_sector();
    for (to, from) in stuck.iter_mut().zip([0xfa, 0xf4]) {
        *to = from;
    }
    fs::write(&image, stuck)?;
    let error = accel::probe(lab.hub(), &image, "tcg").err().context("a guest that hangs passed")?;
    ensure!(error.to_string().contains("it still runs"), "{error:#}");
    Ok(())
}

/// Waits for the end of a process that is not a child of this one.
fn wait_for_end(process: &OwnedFd) -> Result<bool> {
    let mut ended = [PollFd::new(process, PollFlags::IN)];
    let limit = Timespec { tv_sec: LIMIT.as_secs().try_into()?, tv_nsec: 0 };
    Ok(poll(&mut ended, Some(&limit))? > 0)
}

fn nothing_stays_behind_however_the_lab_ends(lab: &mut Lab) -> Result<()> {
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT] {
        let build = lab.folder().path().join(format!("nested-{signal}"));
        let nested = nested_lab(lab.hub(), &build)?;
        let script = build.join("lab/current/in");
        let said = in_nested(lab.hub(), &script, &["a", "curl", "-sS", "http://10.0.0.2/"])?;
        ensure!(said.trim() == "b", "`in a curl` said {said}");
        let init: i32 = fs::read_to_string(build.join("lab/current/init.pid"))?.trim().parse()?;
        let init = pidfd_open(Pid::from_raw(init).context("PID 1")?, PidfdFlags::empty())?;
        // A process in a namespace of the lab that no one of the lab started: what an operator runs through `in`.
        let guest = Program::new("guest", [&*script.to_string_lossy(), "b", "tail", "-f", "/dev/null"])
            .spawn(lab.hub())?;
        nested.signal(signal);
        // wait() ends with the last process that holds the output: this proves that all are gone.
        nested.wait(LIMIT).with_context(|| format!("after {signal}"))?;
        guest.wait(LIMIT).with_context(|| format!("the guest after {signal}"))?;
        ensure!(wait_for_end(&init)?, "PID 1 is still there after {signal}");
    }
    Ok(())
}

fn nested_lab(hub: &Arc<Hub>, build: &std::path::Path) -> Result<Process> {
    let build = format!("LAB_BUILD={}", build.display());
    let argv =
        ["env", "-u", "LAB_STAGE", "-u", "LAB_RUN_FOLDER", &build, env!("CARGO_BIN_EXE_lab"), "up", "lan"];
    let nested = Program::new("nested", argv).spawn(hub)?;
    hub.until("the nested lab", LIMIT, || {
        if nested.stdout().contains("running;") { Ok(()) } else { Err(nested.stderr()) }
    })?;
    Ok(nested)
}

fn in_nested(hub: &Arc<Hub>, script: &std::path::Path, argv: &[&str]) -> Result<String> {
    let path = script.to_string_lossy();
    let argv = [&*path].into_iter().chain(argv.iter().copied()).map(str::to_owned);
    let ended = Program::new("in", argv).spawn(hub)?.wait(LIMIT)?;
    if !ended.status.success() {
        bail!("{}: {}", script.display(), ended.stderr);
    }
    Ok(ended.stdout)
}
