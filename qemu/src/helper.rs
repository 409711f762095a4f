//! Small programs that the lab runs in its namespaces, built into every executable that uses the lab.
//!
//! `EXE --lab-helper udp-echo ADDRESS` answers each datagram with itself. `EXE --lab-helper udp-ask ADDRESS SIZE`
//! sends a datagram of that size and ends well when it came back unchanged. `EXE --lab-helper udp-gap ADDRESS SECONDS` asks
//! every 10 ms and says how many milliseconds the longest time without an answer was.
//! `EXE --lab-helper udp-name ADDRESS NAME` answers each datagram with that name and the address that it came from, and
//! `EXE --lab-helper udp-names FROM fresh|same ADDRESS COUNT TEXT` asks so often and prints the answers.

use crate::clock::{self, Deadline};
use anyhow::{Context as _, Result, bail};
use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::process::ExitCode;
use std::time::Duration;

/// How often `udp-gap` asks.
const TRY_EVERY: Duration = Duration::from_millis(10);

/// The first argument of a helper.
pub const FLAG: &str = "--lab-helper";
/// How long `udp-ask` waits. Chosen: many times what an emulated router takes, below every deadline of a test.
const ASK_LIMIT: Duration = Duration::from_secs(3);

/// `Some` when this process was started as a helper and has done its work. A program that parses its arguments calls
/// this before.
#[must_use]
pub fn run_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    if args.next()? != FLAG {
        return None;
    }
    let args: Vec<String> = args.collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["udp-echo", address] => udp_echo(address),
        ["udp-gap", address, seconds] => udp_gap(address, seconds),
        ["udp-ask", address, size] => udp_ask(address, size),
        ["udp-name", address, name] => udp_name(address, name),
        ["udp-names", from, fresh, address, count, text] => {
            udp_names(from, *fresh == "fresh", address, count, text)
        }
        _ => Err(anyhow::anyhow!("unknown helper {args:?}")),
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "{error:#}").ok();
            ExitCode::FAILURE
        }
    })
}

fn udp_echo(address: &str) -> Result<()> {
    let socket = UdpSocket::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    writeln!(io::stdout(), "listening on {address}")?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        // An ICMP error of an earlier answer comes back here; the next datagram is not affected by it.
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        socket.send_to(buffer.get(..length).unwrap_or_default(), from).ok();
    }
}

fn udp_name(address: &str, name: &str) -> Result<()> {
    let socket = UdpSocket::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    writeln!(io::stdout(), "listening on {address}")?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let Ok((_, from)) = socket.recv_from(&mut buffer) else { continue };
        socket.send_to(format!("{name} {}", from.ip().to_canonical()).as_bytes(), from).ok();
    }
}

fn udp_names(from: &str, fresh: bool, address: &str, count: &str, text: &str) -> Result<()> {
    let count: u32 = count.parse().context("COUNT is a number")?;
    let open = || -> Result<UdpSocket> {
        let source = if from.contains(':') { format!("[{from}]:0") } else { format!("{from}:0") };
        let socket = UdpSocket::bind(&source).with_context(|| format!("cannot send from {source}"))?;
        socket.connect(address).with_context(|| format!("cannot reach {address}"))?;
        socket.set_read_timeout(Some(ASK_LIMIT)).context("time limit")?;
        Ok(socket)
    };
    let mut socket = open()?;
    let mut buffer = [0; 256];
    for number in 0..count {
        if fresh && number > 0 {
            socket = open()?;
        }
        socket.send(text.as_bytes()).with_context(|| format!("cannot send to {address}"))?;
        let length = socket.recv(&mut buffer).with_context(|| format!("datagram {number}: no answer"))?;
        writeln!(
            io::stdout(),
            "{}",
            String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).trim()
        )?;
    }
    Ok(())
}

/// A client that tries every [`TRY_EVERY`].
fn udp_gap(address: &str, seconds: &str) -> Result<()> {
    let span = Duration::from_secs(seconds.parse().context("SECONDS is a number")?);
    let socket = UdpSocket::bind("0.0.0.0:0").context("cannot open a socket")?;
    socket.connect(address).with_context(|| format!("cannot reach {address}"))?;
    let mut buffer = [0; 64];
    let (mut longest, mut answers) = (Duration::ZERO, 0_u32);
    let end = Deadline::after(span);
    let mut last = clock::now();
    while end.left().is_some() {
        let again = Deadline::after(TRY_EVERY);
        // An ICMP error of an earlier question comes back here: no answer either.
        socket.send(b"there?").ok();
        while let Some(left) = again.left() {
            socket.set_read_timeout(Some(left)).context("time limit")?;
            if socket.recv(&mut buffer).is_ok() {
                longest = longest.max(clock::now().duration_since(last));
                last = clock::now();
                answers += 1;
                if answers == 1 {
                    longest = Duration::ZERO;
                    writeln!(io::stdout(), "it answers")?;
                }
            }
        }
    }
    longest = longest.max(clock::now().duration_since(last));
    writeln!(io::stdout(), "longest gap {} ms, {answers} answers", longest.as_millis())?;
    Ok(())
}

fn udp_ask(address: &str, size: &str) -> Result<()> {
    let size: u32 = size.parse().context("SIZE is a number of bytes")?;
    let question: Vec<u8> = (0..size).map(|n| n.to_le_bytes()).map(|[a, b, ..]| a ^ b).collect();
    let socket = UdpSocket::bind("0.0.0.0:0").context("cannot open a socket")?;
    socket.connect(address).with_context(|| format!("cannot reach {address}"))?;
    socket.set_read_timeout(Some(ASK_LIMIT)).context("time limit")?;
    socket.send(&question).with_context(|| format!("cannot send to {address}"))?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let length = socket.recv(&mut buffer).with_context(|| format!("no answer from {address}"))?;
    if buffer.get(..length) != Some(&question) {
        bail!("sent {size} bytes, got {length} others");
    }
    writeln!(io::stdout(), "{length} bytes came back")?;
    Ok(())
}
