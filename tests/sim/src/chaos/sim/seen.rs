//! What happened, counted and in words.

use director_core::director::Event;
use director_core::director::protocol::Request;

/// How often something that matters happened: a simulation in which it never does proves nothing of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Commits that succeeded.
    pub commits: u32,
    /// Commits on trial that began.
    pub trials: u32,
    /// Those that were confirmed.
    pub confirmed: u32,
    /// Those that nobody confirmed in time.
    pub expired: u32,
    /// Those that went on in another process.
    pub resumed: u32,
    /// Those that ended with the process or the power.
    pub crashed: u32,
    /// Servers drained, disabled or weighed.
    pub by_hand: u32,
    /// What was done by hand and came back from flash after a power cut.
    pub kept: u32,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.commits += other.commits;
        self.trials += other.trials;
        self.confirmed += other.confirmed;
        self.expired += other.expired;
        self.resumed += other.resumed;
        self.crashed += other.crashed;
        self.by_hand += other.by_hand;
        self.kept += other.kept;
    }
}

pub(super) fn word(request: &Request) -> String {
    match request {
        Request::Status | Request::BoxStatus => "status".to_string(),
        Request::Config => "config".to_string(),
        Request::Check(_) => "check".to_string(),
        Request::Commit { base, .. } => format!("commit on {base}"),
        Request::Power(_) => "power".to_string(),
        Request::Confirm => "confirm".to_string(),
        Request::Server(_) => "server".to_string(),
        Request::Recall(_) => "recall".to_string(),
        Request::Maintain(_) => "maintain".to_string(),
        Request::Checks => "checks".to_string(),
        Request::Why { .. } => "why".to_string(),
        Request::Doctor { .. } => "doctor".to_string(),
        Request::Ping(address) => format!("ping {address}"),
        Request::Cluster(_) => "cluster".to_string(),
        Request::Upgrade(_) => "upgrade".to_string(),
    }
}

pub(super) fn event_word(event: &Event) -> String {
    match event {
        Event::Observed(Ok(_)) => "dumped".to_string(),
        Event::Applied { batch, results } => {
            format!("applied {batch}: {} of {}", results.iter().filter(|r| r.is_ok()).count(), results.len())
        }
        Event::KernelChanged => "notified".to_string(),
        other => format!("{other:?}").chars().take(100).collect(),
    }
}
