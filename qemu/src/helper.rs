//! Small programs that the lab runs in its namespaces, built into every executable that uses the lab.
//!
//! `EXE --lab-helper udp-echo ADDRESS` answers each datagram with itself. `EXE --lab-helper time ADDRESS UNIX_S` is a time
//! server for which it is always that moment. `EXE --lab-helper udp-ask ADDRESS SIZE`
//! sends a datagram of that size and ends well when it came back unchanged. `EXE --lab-helper udp-gap ADDRESS SECONDS` asks
//! every 10 ms and says how many milliseconds the longest time without an answer was.

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
        ["time", address, unix_s] => time(address, unix_s),
        ["udp-gap", address, seconds] => udp_gap(address, seconds),
        ["udp-ask", address, size] => udp_ask(address, size),
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

/// A time server of stratum 1 (RFC 5905 section 7.3) whose clock stands still.
fn time(address: &str, unix_s: &str) -> Result<()> {
    let since_1900 = unix_s.parse::<u64>().context("UNIX_S is a number")? + 2_208_988_800;
    let stamp = (since_1900 << 32).to_be_bytes();
    let socket = UdpSocket::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    writeln!(io::stdout(), "listening on {address}")?;
    let mut question = [0; 48];
    loop {
        let Ok((48, from)) = socket.recv_from(&mut question) else { continue };
        // Server of version 4, stratum 1; the question's transmit time comes back, then ours twice.
        let mut answer = Vec::from([0x24, 1]);
        answer.resize(24, 0);
        answer.extend(question.iter().skip(40));
        answer.extend(stamp.iter().chain(&stamp));
        socket.send_to(&answer, from).ok();
    }
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
