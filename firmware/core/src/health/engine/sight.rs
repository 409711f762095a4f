//! What there is to see of the checks.

use super::Health;
use crate::health::schedule::{Probe, Trouble};
use crate::health::targets::SeatKey;
use crate::health::{CheckStatus, ProbeKind, Verdict};
use crate::model::choice::Chosen as _;
use crate::model::{Mono, Name};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

impl Health {
    /// Every check that runs, in order of address and port.
    #[must_use]
    pub fn checks(&self, now: Mono) -> Vec<CheckStatus> {
        let users = |no| self.users.get(&no).map_or(0, Vec::len);
        let mut all: Vec<CheckStatus> =
            self.schedule.iter().map(|(no, probe)| status(probe, users(no), false, now)).collect();
        all.sort_by(|a, b| (a.target, &a.question).cmp(&(b.target, &b.question)));
        all
    }

    /// The checks of a port of a server in a pool, with what was said last.
    #[must_use]
    pub fn checks_of(&self, pool: &Name, server: &Name, port: u16, now: Mono) -> Vec<CheckStatus> {
        let Some(seat) = self.seats.get(&self.seat_key(pool, server, port)) else { return Vec::new() };
        let asked = seat.members().filter_map(|no| self.members.get(&no)?.asked.as_ref());
        asked
            .filter_map(|asked| {
                let users = self.users.get(&asked.probe).map_or(0, Vec::len);
                Some(status(self.schedule.get(asked.probe)?, users, true, now))
            })
            .collect()
    }

    /// The verdict on one port of a server.
    #[must_use]
    pub fn verdict_on(&self, pool: &Name, server: &Name, port: u16) -> Option<Verdict> {
        self.seats.get(&self.seat_key(pool, server, port)).map(|seat| self.describe(seat))
    }

    pub(super) fn seat_key(&self, pool: &Name, server: &Name, port: u16) -> SeatKey {
        let port = self.check_ports.get(pool).copied().unwrap_or(port);
        SeatKey { pool: pool.clone(), server: server.clone(), port }
    }
}

fn status(probe: &Probe, users: usize, with_transcript: bool, now: Mono) -> CheckStatus {
    let key = probe.key();
    let mut question = match &key.spec.kind {
        ProbeKind::Tcp => String::from("tcp"),
        ProbeKind::Http(check) => format!("http {}", check.path),
        ProbeKind::Named(check) if check.tls.is_some() => format!("{} in TLS", check.question.word()),
        ProbeKind::Named(check) => check.question.word().to_string(),
        ProbeKind::Load(monitor) => format!("load, {}", monitor.source.word()),
    };
    if let Some(server) = key.spec.at {
        question.push_str(&format!(" at {server}"));
    }
    CheckStatus {
        target: key.spec.target,
        question,
        interval: key.interval,
        timeout: key.timeout,
        users: u32::try_from(users).unwrap_or(u32::MAX),
        finished: probe.finished,
        took_us: probe.took_us,
        failures: probe.failures,
        trouble: probe.trouble(now).map(words),
        certificate_left_s: probe.certificate_left_s(now),
        transcript: probe.transcript.as_deref().filter(|_| with_transcript).map(String::from),
    }
}

/// What is wrong with the checking itself.
pub(super) fn words(trouble: Trouble<'_>) -> String {
    match trouble {
        Trouble::Stale(Some(at)) => format!("has not finished since {at}"),
        Trouble::Stale(None) => String::from("has never finished"),
        Trouble::Lost => String::from("did not finish"),
        Trouble::NotAsked(words) => format!("could not be made: {words}"),
        Trouble::Certificate(left_s) if left_s < 0 => String::from("sees a certificate that has expired"),
        Trouble::Certificate(left_s) => {
            let left = Mono::from_millis(u64::try_from(left_s).unwrap_or(0).saturating_mul(1000));
            let left = crate::cli::show::words::span(left.micros());
            format!("sees a certificate that ends in {left}")
        }
    }
}
