//! What `make run` and `make lab` do.

use crate::lab::Lab;
use crate::run_folder::RunFolder;
use crate::scenario::{BringUp, Scenario};
use anyhow::{Context as _, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;

/// Requests of the report.
const REQUESTS: u32 = 40;
/// Ctrl-], as in telnet.
const DETACH: u8 = 0x1d;

/// What happens after the cluster answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum After {
    /// Report who answered, attach the terminal when there is one, and end.
    Report,
    /// Stay until a signal.
    Stay,
}

/// Boots a scenario and shows it.
///
/// # Errors
/// With the reason and the folder of the logs when the cluster did not come up.
pub fn run(scenario: Scenario, folder: RunFolder, after: After) -> Result<()> {
    let path = folder.path().display().to_string();
    show(
        &run_inner(scenario, folder, after)
            .with_context(|| format!("the lab ended; its logs are in {path}"))?,
    )
}

fn run_inner(scenario: Scenario, folder: RunFolder, after: After) -> Result<String> {
    show(&format!("{}: {}\nlogs: {}", scenario.name, scenario.about, folder.path().display()))?;
    let mut lab = Lab::prepare(scenario, folder)?;
    show(&topology(&lab))?;
    let by_hand = lab.scenario().bring_up == BringUp::ByHand;
    let typed = lab.scenario().bring_up == BringUp::Typed;
    show(if typed { "booting, then typing the configuration over serial ..." } else { "booting ..." })?;
    lab.boot()?;
    if let Some(boot) = lab.boot_time() {
        show(&format!(
            "prompt after {} ms, {} {} ms after the lab started",
            boot.as_millis(),
            if by_hand { "ready" } else { "cluster up" },
            lab.hub().elapsed().as_millis()
        ))?;
    }
    if after == After::Stay {
        show(&entrances(&lab))?;
        show("running; end it with Ctrl-C")?;
        loop {
            // Ended by a signal, which the processes outside see to.
            std::thread::park();
        }
    }
    if !by_hand {
        report(&lab)?;
    }
    if io::stdin().is_terminal() {
        show(&entrances(&lab))?;
        let first = lab.scenario().directors.first().context("no director")?.name;
        show(&format!("attached to the console of {first}; leave with Ctrl-]"))?;
        attach(&lab, first)?;
    }
    Ok(format!("ended; logs: {}", lab.folder().path().display()))
}

/// The picture of who is where.
fn topology(lab: &Lab) -> String {
    let mut text = String::new();
    let scenario = lab.scenario();
    for segment in scenario.segments {
        // Writing to a String cannot fail.
        writeln!(text, "{segment}").ok();
        for director in scenario.directors.iter().filter(|director| director.nics.contains(segment)) {
            let addresses = addresses_of(&scenario.config, director.role, segment);
            let addresses =
                if addresses.is_empty() { "not configured".to_owned() } else { addresses.join(", ") };
            writeln!(text, "  {:<8} {addresses}", director.name).ok();
        }
        for host in scenario.hosts.iter().filter(|host| host.segment == *segment) {
            let route = host.gateway.map(|gateway| format!(", default route {gateway}")).unwrap_or_default();
            writeln!(text, "  {:<8} {}/{}{route}", host.name, host.address, host.prefix).ok();
        }
    }
    text.trim_end().to_owned()
}

/// Addresses of a director on a segment, read from the `set` lines; floating ones are shown with the primary.
fn addresses_of(config: &str, role: crate::scenario::Role, segment: &str) -> Vec<String> {
    use crate::scenario::Role;
    let node = match role {
        Role::Primary => "primary",
        Role::Backup => "backup",
    };
    let mut addresses = Vec::new();
    for line in config.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["set", "node", of, "interface", on, "address", address] if *of == node && *on == segment => {
                addresses.push((*address).to_owned());
            }
            ["set", "floating", name, "address", address, "interface", on, ..]
                if *on == segment && role == Role::Primary =>
            {
                addresses.push(format!("{address} ({name}, floating)"));
            }
            _ => {}
        }
    }
    addresses
}

fn entrances(lab: &Lab) -> String {
    let mut text = String::from("from another terminal:\n");
    for director in &lab.scenario().directors {
        writeln!(
            text,
            "  socat -,raw,echo=0,escape=0x1d UNIX-CONNECT:build/lab/current/{}/console",
            director.name
        )
        .ok();
    }
    if let Some((host, url)) = lab.scenario().answers {
        writeln!(text, "  build/lab/current/in {host} curl {url}").ok();
    }
    for segment in lab.scenario().segments {
        writeln!(text, "  tcpdump -nr build/lab/current/{segment}.pcap").ok();
    }
    text.trim_end().to_owned()
}

fn report(lab: &Lab) -> Result<()> {
    let Some((host, url)) = lab.scenario().answers else { return Ok(()) };
    let answers = lab.get_many(host, url, REQUESTS)?;
    let mut text = format!("{REQUESTS} requests from {host} to {url} were answered by\n");
    for (server, count) in &answers {
        writeln!(text, "  {server:<8} {count:>3}").ok();
    }
    show(text.trim_end())?;
    let silent: Vec<&str> = lab
        .scenario()
        .hosts
        .iter()
        .filter(|server| server.name != host && !server.web.is_empty() && !answers.contains_key(server.name))
        .map(|server| server.name)
        .collect();
    if !silent.is_empty() {
        bail!("no answer from {}", silent.join(", "));
    }
    Ok(())
}

/// Connects the terminal with a director's console until the detach key or the end of one of them.
fn attach(lab: &Lab, director: &str) -> Result<()> {
    let line = lab.director(director)?.console().attach()?;
    let _raw = RawTerminal::enter()?;
    let mut buffer = [0_u8; 4096];
    loop {
        let stdin = io::stdin();
        let mut fds =
            [PollFd::new(stdin.as_fd(), PollFlags::POLLIN), PollFd::new(line.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("poll"),
        }
        let [typed, said] = fds.map(|fd| fd.any().unwrap_or(false));
        if said {
            let length = (&line).read(&mut buffer).context("console")?;
            let Some(bytes @ [_, ..]) = buffer.get(..length) else { return Ok(()) };
            let mut out = io::stdout();
            out.write_all(bytes).and_then(|()| out.flush()).context("terminal")?;
        }
        if typed {
            // Past the buffer of std, or poll would not see what it holds.
            let length = nix::unistd::read(stdin.as_fd(), &mut buffer).context("terminal")?;
            let Some(bytes @ [_, ..]) = buffer.get(..length) else { return Ok(()) };
            let before = bytes.split(|byte| *byte == DETACH).next().unwrap_or_default();
            (&line).write_all(before).context("console")?;
            if before.len() < bytes.len() {
                return Ok(());
            }
        }
    }
}

/// The terminal passes every key until this is dropped.
struct RawTerminal(Termios);

impl RawTerminal {
    fn enter() -> Result<Self> {
        let before = tcgetattr(io::stdin()).context("terminal")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSANOW, &raw).context("terminal")?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // The process outside sets it again in any case.
        tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0).ok();
        writeln!(io::stdout()).ok();
    }
}

fn show(text: &str) -> Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("standard output")
}
