//! Small programs that the lab runs in its namespaces, built into every executable that uses the lab.
//!
//! `EXE --lab-helper udp-echo ADDRESS` answers each datagram with itself. `EXE --lab-helper time ADDRESS UNIX_S` is a time
//! server for which it is always that moment. `EXE --lab-helper udp-ask ADDRESS SIZE`
//! sends a datagram of that size and ends well when it came back unchanged. `EXE --lab-helper udp-gap ADDRESS SECONDS` asks
//! every 10 ms and says how many milliseconds the longest time without an answer was. `EXE --lab-helper http-gap ADDRESS
//! SECONDS LIMIT_MS` makes a new connection every 10 ms and says how long requests failed. `EXE --lab-helper udp-flood ADDRESS RATE
//! SECONDS [FILE]` sends what looks like heartbeats and is none, and what of FILE was one, whole and damaged.
//! `EXE --lab-helper http-first ADDRESS SECONDS` asks every 10 ms until it is answered, and says how long that took.
//! `EXE --lab-helper syn-flood ADDRESS RATE SECONDS` sends first segments of TCP from addresses that nobody has.
//! `EXE --lab-helper udp-name ADDRESS NAME` answers each datagram with that name and the address that it came from, and
//! `EXE --lab-helper udp-names FROM fresh|same ADDRESS COUNT TEXT` asks so often and prints the answers.

mod first;
mod syn;

use crate::clock::{self, Deadline};
use anyhow::{Context as _, Result, bail};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often `udp-gap` asks.
const TRY_EVERY: Duration = Duration::from_millis(10);

/// The first argument of a helper.
pub const FLAG: &str = "--lab-helper";
/// How long one request of `http-gap` may take in milliseconds when nothing else is said: below the second after which a lost SYN is repeated, so that a request that
/// met the outage counts as failed.
pub const TRY_LIMIT_MS: u32 = 900;
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
        ["udp-flood", address, rate, seconds] => udp_flood(address, rate, seconds, None),
        ["udp-flood", address, rate, seconds, recorded] => udp_flood(address, rate, seconds, Some(recorded)),
        ["http-first", address, seconds] => first::answer(address, seconds),
        ["syn-flood", address, rate, seconds] => syn::flood(address, rate, seconds),
        ["http-gap", address, seconds, limit] => http_gap(address, seconds, limit),
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

/// Frames with the head of a heartbeat and a wrong signature, cut ones, longer ones, and noise, in turn.
/// Most bytes of a heartbeat that somebody recorded.
const RECORDED_MAX: usize = 512;

/// Frames that look like heartbeats and are none, and such that were recorded: as they were, with a changed bit, cut, and with
/// something behind.
struct Flood {
    made: Vec<u8>,
    long: Vec<u8>,
    recorded: Vec<Vec<u8>>,
}

impl Flood {
    /// `recorded` is a file with a frame in each line, in hexadecimal digits.
    fn new(recorded: Option<&str>) -> Result<Self> {
        let mut made = vec![0x5a_u8; 160];
        for (byte, head) in made.iter_mut().zip(*b"DRHB\x01\x01\x01\x01\x00\xa0") {
            *byte = head;
        }
        let text = recorded.map(std::fs::read_to_string).transpose().context("recorded frames")?;
        let digits = |line: &str| {
            let pairs = (0..line.len().min(2 * RECORDED_MAX)).step_by(2);
            pairs.filter_map(|at| u8::from_str_radix(line.get(at..at + 2)?, 16).ok()).collect()
        };
        let recorded = text.unwrap_or_default().lines().map(digits).collect();
        Ok(Self { made, long: vec![0x44; 1400], recorded })
    }

    fn frame(&self, number: u32) -> Vec<u8> {
        let turn = usize::try_from(number).unwrap_or(0) / 8;
        let old = turn.checked_rem(self.recorded.len()).and_then(|at| self.recorded.get(at));
        let old = || old.unwrap_or(&self.made).clone();
        match number % 8 {
            0 => self.made.get(..97).unwrap_or_default().to_vec(),
            1 => self.long.clone(),
            2 => b"noise".to_vec(),
            3 => self.made.clone(),
            4 => old(),
            5 => {
                let mut changed = old();
                let at = turn.checked_rem(changed.len()).unwrap_or(0);
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= 1 << (turn % 7);
                }
                changed
            }
            6 => {
                let mut cut = old();
                cut.truncate(turn.checked_rem(cut.len()).unwrap_or(0));
                cut
            }
            _ => [old(), b"more".to_vec()].concat(),
        }
    }
}

fn udp_flood(address: &str, rate: &str, seconds: &str, recorded: Option<&str>) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("cannot open a socket")?;
    socket.connect(address).with_context(|| format!("cannot reach {address}"))?;
    let flood = Flood::new(recorded)?;
    // A full queue loses the frame, as a switch would.
    at_rate(rate, seconds, |number| drop(socket.send(&flood.frame(number))))
}

/// Sends numbered frames at so many a second for so long; says how many.
fn at_rate(rate: &str, seconds: &str, mut send: impl FnMut(u32)) -> Result<()> {
    let rate: u32 = rate.parse().context("RATE is a number")?;
    let span = Duration::from_secs(seconds.parse().context("SECONDS is a number")?);
    let began = clock::now();
    let end = Deadline::after(span);
    let mut sent = 0_u32;
    while end.left().is_some() {
        let due = u128::from(rate) * clock::now().duration_since(began).as_micros() / 1_000_000;
        while u128::from(sent) < due {
            send(sent);
            sent += 1;
        }
        nix::poll::poll(&mut [], nix::poll::PollTimeout::from(1_u8)).ok();
    }
    writeln!(io::stdout(), "{sent} sent")?;
    Ok(())
}

/// One request of [`http_gap`].
#[derive(Clone, Copy)]
struct Try {
    began: Instant,
    ended: Instant,
    good: bool,
}

/// A client that makes a new connection every [`TRY_EVERY`], however the ones before fare, and asks for `/`. Says how long
/// it was from the first failed to the first good request, and the longest such time when there were several.
fn http_gap(address: &str, seconds: &str, limit: &str) -> Result<()> {
    let limit = Duration::from_millis(limit.parse().context("LIMIT_MS is a number")?);
    let span = Duration::from_secs(seconds.parse().context("SECONDS is a number")?);
    let address: SocketAddr = address.parse().context("ADDRESS is an address and a port")?;
    let (sender, tries) = std::sync::mpsc::channel();
    let end = Deadline::after(span);
    let mut first = true;
    while end.left().is_some() {
        let again = Deadline::after(TRY_EVERY);
        let sender = sender.clone();
        std::thread::spawn(move || {
            let began = clock::now();
            let good = http_try(address, limit).is_ok();
            sender.send(Try { began, ended: clock::now(), good }).ok();
        });
        if first {
            let one = tries.recv().context("no thread")?;
            if one.good {
                first = false;
                writeln!(io::stdout(), "it answers")?;
            }
        }
        if let Some(left) = again.left() {
            nix::poll::poll(
                &mut [],
                nix::poll::PollTimeout::try_from(left).unwrap_or(nix::poll::PollTimeout::ZERO),
            )
            .ok();
        }
    }
    drop(sender);
    let mut all: Vec<Try> = tries.iter().collect();
    all.sort_by_key(|t| t.began);
    let failed = all.iter().filter(|t| !t.good).count();
    let begin = all.first().map(|t| t.began);
    let when = |t: &Try| begin.map_or(0, |begin| t.began.duration_since(begin).as_millis());
    let mut bad = all.iter().filter(|t| !t.good).map(when);
    if let Some(from) = bad.next() {
        writeln!(io::stdout(), "failed from {from} ms to {} ms", bad.next_back().unwrap_or(from))?;
    }
    let slowest = all.iter().map(|t| t.ended.duration_since(t.began)).max().unwrap_or_default();
    let mut longest = Duration::ZERO;
    let mut since: Option<Instant> = None;
    for one in &all {
        match (one.good, since) {
            (false, None) => since = Some(one.began),
            (true, Some(from)) => {
                longest = longest.max(one.ended.duration_since(from));
                since = None;
            }
            (false, Some(_)) | (true, None) => {}
        }
    }
    if since.is_some() {
        bail!("no good request after the last failed one");
    }
    let (longest, slowest, count) = (longest.as_millis(), slowest.as_millis(), all.len());
    writeln!(
        io::stdout(),
        "outage {longest} ms, {count} requests, {failed} failed, the slowest took {slowest} ms"
    )?;
    Ok(())
}

fn http_try(address: SocketAddr, limit: Duration) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = [0; 64];
    let read = stream.read(&mut answer)?;
    if !answer.get(..read).is_some_and(|a| a.starts_with(b"HTTP/1.1 200") || a.starts_with(b"HTTP/1.0 200")) {
        bail!("no good answer");
    }
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
