use super::*;
use director_core::cli::{Output, Session, parse_set_lines};
use director_core::director::protocol::{Reply, Request};
use director_core::store::Generation;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

const RUNNING: &str = "set pool old forward nat\n";

/// The product's console at the other end, behind a line that flips, loses or doubles one byte in `rate`.
fn console(rate: u64) -> Line {
    let (ours, mut box_end) = UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        let mut state = 0x5eed_u64;
        let mut noisy = move |bytes: &[u8]| -> Vec<u8> {
            let mut out = Vec::new();
            for byte in bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let draw = state >> 33;
                match (rate > 0 && draw.is_multiple_of(rate), draw / rate.max(1) % 3) {
                    (true, 0) => out.push(byte ^ 4),
                    (true, 1) => {}
                    (true, _) => out.extend([*byte, *byte]),
                    (false, _) => out.push(*byte),
                }
            }
            out
        };
        let mut session = Session::new(None);
        let mut buffer = [0; 512];
        while let Ok(count @ 1..) = box_end.read(&mut buffer) {
            let written = typed(&mut session, &noisy(&buffer[..count]));
            if box_end.write_all(&noisy(&written)).is_err() {
                return;
            }
        }
    });
    Line::of(ours).unwrap()
}

#[test]
fn a_clean_line_pushes_compares_and_pulls() {
    let mut line = console(0);
    push(&mut line, "set pool new forward nat\n").unwrap();
    let compared = run(&mut line, "compare").unwrap();
    assert!(compared.contains("+ set pool new") && compared.contains("- set pool old"), "{compared}");
    assert!(pull(&mut line).unwrap().contains("set pool old"));
}

#[test]
fn a_noisy_line_pushes_the_exact_text() {
    let mut line = console(700);
    let text: String = (1..=60).map(|i| format!("set real-server rs{i} address 192.168.1.{i}\n")).collect();
    push(&mut line, &text).unwrap();
    assert!(pull(&mut line).unwrap().contains("set pool old"));
}

/// A box behind a port that is cut after so many bytes and comes back, as a cable that is pulled and plugged in again.
fn cut_port(
    folder: &std::path::Path,
    cut_after: usize,
) -> (String, std::sync::Arc<std::sync::atomic::AtomicBool>) {
    use serialport::{SerialPort as _, TTYPort};
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    let path = folder.join("port");
    let (link, over) = (path.clone(), std::sync::Arc::new(AtomicBool::new(false)));
    let (ready, wait) = std::sync::mpsc::channel();
    let end = std::sync::Arc::clone(&over);
    std::thread::spawn(move || {
        let mut session = Session::new(None);
        for limit in [cut_after, usize::MAX] {
            let (mut master, slave) = TTYPort::pair().unwrap();
            drop(std::fs::remove_file(&link));
            std::os::unix::fs::symlink(slave.name().unwrap(), &link).unwrap();
            drop(slave);
            ready.send(()).unwrap_or(());
            let (mut buffer, mut heard) = ([0; 256], 0);
            while heard < limit && !end.load(SeqCst) {
                // Nobody has it open yet, or nothing came.
                let Ok(count) = master.read(&mut buffer) else { continue };
                heard += count;
                let written = typed(&mut session, &buffer[..count]);
                drop(master.write_all(&written));
            }
        }
    });
    wait.recv().unwrap();
    (path.to_str().unwrap().to_owned(), over)
}

/// What the box says to bytes, its director answering at once.
fn typed(session: &mut Session, bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut written) = (Vec::new(), Vec::new());
    session.input(bytes, &mut out);
    while !out.is_empty() {
        let mut next = Vec::new();
        for output in out {
            match output {
                Output::Write(bytes) => written.extend(bytes),
                Output::Request(request) if *request == Request::Config => {
                    let config = parse_set_lines(RUNNING).unwrap();
                    session.reply(Reply::Config { generation: Generation(1), config }, &mut next);
                }
                Output::Request(_)
                | Output::ShowConnections(_)
                | Output::ShowLog { .. }
                | Output::DirectPower(_)
                | Output::RestartDirector
                | Output::ShowHardware
                | Output::Salt
                | Output::Verify { .. }
                | Output::Hash(_)
                | Output::WrongPasswords(_)
                | Output::Logout => {}
            }
        }
        out = next;
    }
    written
}

#[test]
fn a_push_over_a_port_that_is_cut_in_the_middle_goes_on_and_is_exact() {
    let folder = std::env::temp_dir().join(format!("director-provision-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (port, over) = cut_port(&folder, 6000);
    let mut line = Line::serial(&port, 115_200).unwrap();
    let text: String = (1..=200).map(|i| format!("set real-server rs{i} address 192.168.1.{i}\n")).collect();
    push(&mut line, &text).unwrap();
    let compared = run(&mut line, "compare").unwrap();
    let wanted: String = text.lines().map(|line| format!("+ {line}\n")).collect();
    let added: std::collections::BTreeSet<&str> =
        compared.lines().filter(|line| line.starts_with('+')).collect();
    assert_eq!(added, wanted.lines().collect());
    assert!(compared.contains("- set pool old"));
    over.store(true, std::sync::atomic::Ordering::SeqCst);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_fast_line_is_asked_again_soon_and_a_slow_box_less_and_less_often() {
    let mut pace = Pace::default();
    assert_eq!(pace.limit(), ANSWER);
    pace.answered(Duration::from_millis(20));
    assert_eq!(pace.limit(), QUICK);
    pace.lost();
    assert_eq!(pace.limit(), QUICK * 2);
    (0..100).for_each(|_| pace.lost());
    assert_eq!(pace.limit(), ANSWER);
    // Asked so often, it says nothing about the line.
    pace.answered(Duration::from_millis(900));
    assert_eq!(pace.limit(), QUICK);
    pace.answered(Duration::from_millis(500));
    assert_eq!(pace.limit(), Duration::from_secs(2));
}
