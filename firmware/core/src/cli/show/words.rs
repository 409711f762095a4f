//! Numbers and states in words.

use crate::director::status::ServerStatus;
use crate::health::State;
use crate::model::Mono;
use crate::model::config::{CheckKind, Forward, Protocol};
use crate::overrides::Forced;
use crate::plan::{Family, ServiceKey};
use crate::store::Generation;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

/// A span with its two largest units: `12s`, `5m10s`, `3d4h`.
pub(crate) fn span(micros: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let mut rest = micros / 1_000_000;
    let first = UNITS.iter().position(|(_, size)| rest >= *size).unwrap_or(UNITS.len().saturating_sub(1));
    let mut text = String::new();
    for (unit, size) in UNITS.iter().skip(first).take(2) {
        let count = rest / size;
        rest %= size;
        if count > 0 || text.is_empty() {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

/// How long ago: `12s ago`.
pub(crate) fn ago(now: Mono, then: Mono) -> String {
    format!("{} ago", span(now.micros_since(then)))
}

/// Bytes in at most five characters: `999`, `12.3K`, `4.0G`.
pub(crate) fn bytes(n: u64) -> String {
    let mut tenths = u128::from(n).saturating_mul(10);
    let mut unit = "";
    for next in ["K", "M", "G", "T", "P"] {
        if tenths < 10_000 {
            break;
        }
        tenths /= 1000;
        unit = next;
    }
    if unit.is_empty() { n.to_string() } else { format!("{}.{}{unit}", tenths / 10, tenths % 10) }
}

/// `1.2.3.1:80`, `[2001:db8::1]:80`.
pub(crate) fn endpoint(address: IpAddr, port: u16) -> String {
    core::net::SocketAddr::new(address, port).to_string()
}

/// `tcp 1.2.3.1:80`, `mark 7`, `mark 7 ipv6`.
pub(crate) fn service_key(key: &ServiceKey) -> String {
    match key {
        ServiceKey::Address { protocol: p, address, port } => {
            format!("{} {}", protocol(*p), endpoint(*address, *port))
        }
        ServiceKey::Mark { family: Family::V4, mark } => format!("mark {mark}"),
        ServiceKey::Mark { family: Family::V6, mark } => format!("mark {mark} ipv6"),
    }
}

pub(crate) fn protocol(p: Protocol) -> &'static str {
    match p {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

pub(crate) fn forward(f: Forward) -> &'static str {
    match f {
        Forward::Nat => "nat",
        Forward::Direct => "direct",
        Forward::Tunnel => "tunnel",
    }
}

pub(crate) fn check(c: CheckKind) -> &'static str {
    match c {
        CheckKind::Tcp => "tcp",
        CheckKind::Http => "http",
        CheckKind::None => "none",
    }
}

pub(crate) fn state(s: State) -> &'static str {
    match s {
        State::Unknown => "unknown",
        State::Up => "up",
        State::Down => "down",
        State::Reentering { .. } => "reentering",
    }
}

/// What an operator did to a server, as a state.
pub(crate) fn by_hand(forced: Forced) -> Option<&'static str> {
    match forced {
        Forced::Drain => Some("drained"),
        Forced::Disable => Some("disabled"),
        Forced::Weight(_) => Some("weighted"),
        Forced::Normal => None,
    }
}

/// What a server does: the verdict, or what an operator made of a good one.
pub(crate) fn server_state(server: &ServerStatus) -> &'static str {
    match (server.state, server.forced) {
        (State::Up, Forced::Drain | Forced::Disable) => by_hand(server.forced).unwrap_or_default(),
        (verdict, _) => state(verdict),
    }
}

/// Configured weight, with the one in effect when it is another.
pub(crate) fn weight(server: &ServerStatus) -> String {
    match server.effective {
        Some(effective) if effective == server.weight => server.weight.to_string(),
        Some(effective) if effective > server.weight => format!("{effective} not {}", server.weight),
        Some(effective) => format!("{effective} of {}", server.weight),
        None => format!("- of {}", server.weight),
    }
}

/// What [`changes`] has a sentence for.
const SAID: [&str; 3] = ["system password-hash", "cluster secret", "cluster key"];
/// Settings that [`changes`] names.
const NAMED: usize = 6;

/// What changed lines mean outside the kernel; false: worth saying only when nothing else is said.
pub(crate) fn changes(difference: &[String]) -> Vec<(bool, String)> {
    let path = |line: &str| {
        let line = line.get(2..).unwrap_or_default();
        let line = line.strip_prefix("# ").unwrap_or(line);
        line.strip_prefix("set ").unwrap_or(line).to_string()
    };
    let added = |what: &str| difference.iter().any(|l| l.starts_with('+') && path(l).starts_with(what));
    let touched = |what: &str| difference.iter().any(|l| path(l).starts_with(what));
    let mut all = Vec::new();
    if added("system password-hash") {
        all.push((true, String::from("Each new login on the console asks for the new password.")));
    } else if touched("system password-hash") {
        all.push((true, String::from("Nobody is asked for a password on the console any more.")));
    }
    if touched("cluster secret") || touched("cluster key") {
        let text = "Heartbeats are signed with another secret, as soon as both boxes have it.";
        all.push((true, String::from(text)));
    }
    let mut names: Vec<String> = Vec::new();
    for line in difference {
        let path = path(line);
        if SAID.iter().any(|said| path.starts_with(said)) {
            continue;
        }
        let mut words = path.split_whitespace();
        let first = words.next().unwrap_or_default();
        // What has a name is named with it.
        let more = if matches!(first, "system" | "cluster" | "forwarding" | "kernel") { 1 } else { 2 };
        let name = words.take(more).fold(String::from(first), |name, word| format!("{name} {word}"));
        let name = name.trim_end_matches(':').to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if !names.is_empty() {
        let rest = names.len().saturating_sub(NAMED);
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        names.truncate(NAMED);
        all.push((false, format!("It changes what the director itself does: {}{rest}.", names.join(", "))));
    }
    all
}

/// Generation and what it is.
pub(crate) fn generation(g: Generation) -> String {
    if g.0 == 0 { String::from("0 (factory configuration)") } else { g.to_string() }
}

/// Breaks text at blanks; continued lines are indented. A word longer than a line stays whole.
pub(crate) fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut out = Vec::new();
    let lead = text.len().saturating_sub(text.trim_start().len());
    let mut line: String = " ".repeat(lead);
    let mut fresh = true;
    for word in text.split_whitespace() {
        let after = line.len().saturating_add(word.len()).saturating_add(1);
        if !fresh && after > width {
            out.push(core::mem::replace(&mut line, " ".repeat(indent)));
            fresh = true;
        }
        if !fresh {
            line.push(' ');
        }
        line.push_str(word);
        fresh = false;
    }
    out.push(line);
    out
}

/// `1 operation`, `2 operations`.
pub(crate) fn plural(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_their_two_largest_units() {
        for (seconds, text) in [
            (0, "0s"),
            (12, "12s"),
            (60, "1m"),
            (310, "5m10s"),
            (3600, "1h"),
            (3661, "1h1m"),
            (273_600, "3d4h"),
            (86_400_000, "1000d"),
        ] {
            assert_eq!(span(seconds * 1_000_000), text);
        }
    }

    #[test]
    fn bytes_fit_six_characters() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1.0K"), (12_345, "12.3K"), (u64::MAX, "18446.7P")] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn text_is_broken_at_blanks() {
        assert_eq!(wrap("  one two three", 11, 4), ["  one two", "    three"]);
        assert_eq!(wrap("averyveryverylongword x", 10, 2), ["averyveryverylongword", "  x"]);
    }
}
