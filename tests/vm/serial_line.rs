//! A box that was never configured, and nothing but its serial line.

use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::pace::Paced;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario::{self, BringUp};
use director_qemu::serial::Serial;
use director_vm_tests::director::{LVS1, SOON, system};
use director_vm_tests::suite::{self, Case, Suite};
use serde_json::json;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// What is typed at each question, after the words it ends with.
const DIALOGUE: &[(&str, &str)] = &[
    ("Host name [lvs1]: ", ""),
    ("Device to the clients [eth0]: ", ""),
    ("Its address/prefix: ", "1.2.3.2/24"),
    ("Gateway [none]: ", ""),
    ("Forward by nat or direct [nat]: ", ""),
    ("Device to the servers [eth1]: ", ""),
    ("Its address/prefix: ", "192.168.1.1/24"),
    ("Servers' gateway [192.168.1.254]: ", ""),
    ("Virtual address: ", "1.2.3.1"),
    ("Protocol and port [tcp 80]: ", ""),
    ("Check [http]: ", ""),
    ("Server 1: ", "192.168.1.3"),
    ("Server 2 [end]: ", "192.168.1.4"),
    ("Server 3 [end]: ", "192.168.1.5"),
    ("Server 4 [end]: ", ""),
    ("Commit this? [y/n/edit] ", "y"),
];
const VIRTUAL: &str = "http://1.2.3.1/";
const LINES: usize = 10_000;
/// Enough to see whether the console keeps up.
const SOME: usize = 3000;
const XOFF: u8 = 0x13;
const XON: u8 = 0x11;
/// Faster than a console over TCG can read.
const FAST: u32 = 3_000_000;
/// How long the line may stand still.
const PATIENCE: Duration = Duration::from_secs(60);

const CASES: &[Case] = &[
    ("a_new_box_serves_after_the_dialogue", a_new_box_serves_after_the_dialogue),
    ("a_break_and_garbage_on_the_line_are_survived", a_break_and_garbage_are_survived),
    ("ten_thousand_lines_pasted_at_115200_baud_are_all_set", pasted_at_line_speed),
    ("a_paste_faster_than_the_console_loses_nothing", pasted_too_fast),
    ("a_console_that_cannot_write_stops_its_sender_and_loses_nothing", pasted_into_a_held_console),
];

fn main() -> ExitCode {
    suite::main(Suite { start, baseline: |_| Ok(()), repair, cases: CASES })
}

fn start(folder: RunFolder) -> Result<Lab> {
    let mut scenario = scenario::named("five-node").context("scenario")?;
    scenario.config = String::new();
    scenario.bring_up = BringUp::Typed;
    scenario.answers = None;
    let mut lab = Lab::prepare(scenario, folder)?;
    lab.boot()?;
    Ok(lab)
}

fn repair(lab: &mut Lab) -> Result<()> {
    lab.power_cycle(LVS1)
}

fn line(lab: &Lab) -> Result<&Serial> {
    Ok(lab.director(LVS1)?.console())
}

fn a_new_box_serves_after_the_dialogue(lab: &mut Lab) -> Result<()> {
    let console = line(lab)?;
    ensure!(
        console.since(director_qemu::serial::Mark::default()).contains("Type setup"),
        "nothing was offered"
    );
    let mut mark = console.mark();
    let mut typed = "setup";
    for (question, answer) in DIALOGUE {
        console.send(format!("{typed}\r").as_bytes())?;
        console.wait_for(question, mark, lab.scaled(SOON))?;
        mark = console.mark();
        typed = answer;
    }
    console.send(format!("{typed}\r").as_bytes())?;
    console.wait_for("Committed as generation 1", mark, lab.scaled(SOON))?;
    console.wait_prompt(mark, lab.scaled(SOON))?;
    lab.hub().eventually("a page through the virtual address", lab.scaled(SOON * 4), || {
        lab.get("client", VIRTUAL).map_err(|error| format!("{error:#}"))
    })?;
    let answers = lab.get_many("client", VIRTUAL, 12)?;
    ensure!(answers.len() == 3, "not all servers answer: {answers:?}");
    ensure!(system(lab)?["generation"] == 1, "{}", system(lab)?);
    Ok(())
}

fn a_break_and_garbage_are_survived(lab: &mut Lab) -> Result<()> {
    let before = system(lab)?;
    lab.director(LVS1)?.qmp()?.execute("chardev-send-break", &json!({ "id": "ttyS0" }))?;
    // Every byte but Enter and C-d, which are commands: bytes above ASCII, controls, half sequences.
    let garbage: Vec<u8> =
        (0..=255).rev().filter(|byte| !matches!(byte, b'\r' | b'\n' | 4 | 0x11 | 0x13)).collect();
    let console = line(lab)?;
    let mark = console.mark();
    console.send(&garbage)?;
    // What ends it: half a sequence, a key that gives up, and a line that does nothing.
    console.send(b"\x1b[99;\x07\x03# all read\r")?;
    console.wait_for("# all read\r\n", mark, lab.scaled(SOON))?;
    console.wait_prompt(mark, lab.scaled(SOON))?;
    // The director did not notice, and neither did the machine: Magic SysRq over serial is off.
    let after = system(lab)?;
    ensure!(after["boots"] == before["boots"], "{before} {after}");
    ensure!(after["director_started_at_ms"] == before["director_started_at_ms"], "{before} {after}");
    Ok(())
}

fn pasted_at_line_speed(lab: &mut Lab) -> Result<()> {
    paste(lab, LINES, 115_200, false).map(|_| ())
}

fn pasted_too_fast(lab: &mut Lab) -> Result<()> {
    // An emulated UART holds its sender by itself while its FIFO is full. So when the guest's kernel is what is slow, the
    // console keeps up with it, its buffers never fill, and there is no reason for XOFF.
    paste(lab, SOME, FAST, false).map(|_| ())
}

fn pasted_into_a_held_console(lab: &mut Lab) -> Result<()> {
    let holds = paste(lab, LINES, FAST, true)?;
    ensure!(holds > 0, "the line was never held");
    Ok(())
}

/// Types at a speed. With `held` the terminal stops the console's output first, as a slow one does, and lets it go
/// when the console in turn has stopped the terminal: its echo has filled every buffer there is.
fn type_paced(lab: &Lab, text: &str, baud: u32, held: bool) -> Result<Paced> {
    let console = line(lab)?;
    let send = || console.send_paced(text.as_bytes(), baud, lab.scaled(PATIENCE));
    if !held {
        return send();
    }
    let before = console.holds();
    console.send(&[XOFF])?;
    std::thread::scope(|scope| {
        let sender = scope.spawn(send);
        let stopped = lab.hub().until("XOFF of the console", lab.scaled(PATIENCE), || {
            let holds = console.holds();
            if holds > before { Ok(()) } else { Err(format!("{} bytes said", console.present_line().len())) }
        });
        console.send(&[XON])?;
        let paced = sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"))?;
        stopped?;
        paced
    })
}

/// Pastes lines into a candidate, counts what arrived, and throws it away; gives how often the line was held.
fn paste(lab: &Lab, lines: usize, baud: u32, held: bool) -> Result<usize> {
    let mut text = String::new();
    for n in 0..lines {
        // Writing to a String cannot fail.
        write!(text, "set real-server p{n} address 10.7.{}.{}\r", n / 250, n % 250 + 1).ok();
    }
    // The last line of a paste marks its end.
    text.push_str("# the end of the paste\r");
    lab.tell(LVS1, "configure")?;
    // So many fit, and no more.
    lab.tell(LVS1, "delete real-server").ok();
    let console = line(lab)?;
    let (mark, start) = (console.mark(), lab.hub().elapsed());
    let paced = type_paced(lab, &text, baud, held)?;
    ensure!(!paced.stuck, "the line was held and never let go: {paced:?}");
    console.wait_for("# the end of the paste\r\n", mark, lab.scaled(PATIENCE))?;
    console.wait_prompt(mark, lab.scaled(SOON))?;
    let took = lab.hub().elapsed().saturating_sub(start);
    lab.hub().line("test", "figure", &format!("{lines} lines at {baud} baud in {took:?}, {paced:?}"));
    let set = lab.ask(LVS1, "show real-server | match p | count")?;
    lab.ask(LVS1, "discard")?;
    lab.ask(LVS1, "exit")?;
    let lost = console.since(mark).contains("Input was lost");
    ensure!(!lost, "the console says that input was lost");
    ensure!(set.iter().any(|line| line.trim() == lines.to_string()), "{set:?} of {lines} lines were set");
    Ok(paced.holds)
}
