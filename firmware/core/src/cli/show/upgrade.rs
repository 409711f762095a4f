//! `show upgrade`.

use super::table::facts;
use crate::cli::json::Json;
use crate::director::protocol::SystemsNow;
use crate::director::upgrading::Progress;
use crate::upgrade::environment::{Environment, Slot};
use crate::upgrade::systems::{Held, Systems};
use crate::upgrade::trust;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub(crate) fn lines(systems: &Systems, now: &SystemsNow, width: usize) -> Vec<String> {
    let environment = systems.environment.as_ref().ok();
    let mut list = Vec::from([
        ("slot a", slot(Slot::A, systems, now, environment)),
        ("slot b", slot(Slot::B, systems, now, environment)),
        (
            "boot loader",
            match &systems.environment {
                Ok(environment) => loader(environment),
                Err(error) => error.to_string(),
            },
        ),
    ]);
    if let Some(waits) = &now.waits {
        list.push(("waits for", waits.clone()));
    }
    list.push(("upgrade", progress(&now.progress)));
    if let Some((_, words)) = &now.cluster {
        list.push(("both boxes", words.clone()));
    }
    list.push(("trusts", trusts().to_string()));
    facts(&list, width)
}

fn trusts() -> &'static str {
    if trust::published() {
        "the development key, which is public: anybody can sign for this box"
    } else {
        "the key that this firmware was built with"
    }
}

fn slot(slot: Slot, systems: &Systems, now: &SystemsNow, environment: Option<&Environment>) -> String {
    let held = match systems.of(slot) {
        Held::System(version) => format!("version {version}, whole"),
        Held::Nothing => "empty or damaged".to_string(),
        Held::Unreadable(why) => format!("cannot be read: {why}"),
    };
    let runs = match now.running {
        Some(running) if running.running.slot == slot => match (running.running.trial, running.proven) {
            (true, false) => ", runs ON TRIAL",
            (false, false) => ", runs, not proven yet",
            (_, true) => ", runs, proven",
        },
        Some(_) | None => "",
    };
    let next = if environment.is_some_and(|e| e.trial == Some(slot) && e.tries > 0) && runs.is_empty() {
        ", is tried at the next boot"
    } else {
        ""
    };
    format!("{held}{runs}{next}")
}

fn loader(environment: &Environment) -> String {
    format!("slot {} is the good one", environment.good.letter())
}

fn progress(progress: &Progress) -> String {
    match progress {
        Progress::Idle => "none since the director started".to_string(),
        Progress::Receiving { from, have, of: None } => format!("from {from}: {have} bytes"),
        Progress::Receiving { from, have, of: Some((of, version)) } => {
            let percent = have.saturating_mul(100).checked_div(*of).unwrap_or(0);
            format!("version {version} from {from}: {have} of {of} bytes, {percent} %")
        }
        Progress::Ready { version } => {
            format!("version {version} came whole; upgrade boot starts it")
        }
        Progress::Failed { why } => format!("refused: {why}"),
    }
}

pub(crate) fn json(systems: &Systems, now: &SystemsNow) -> String {
    let mut json = Json::new();
    json.object(|json| {
        json.key("slots");
        json.array(|json| {
            for slot in [Slot::A, Slot::B] {
                json.object(|json| {
                    json.text("slot", slot.letter());
                    let (version, error) = match systems.of(slot) {
                        Held::System(version) => (Some(version), None),
                        Held::Nothing => (None, None),
                        Held::Unreadable(why) => (None, Some(why)),
                    };
                    json.flag("whole", version.is_some());
                    json.maybe_text("version", version);
                    json.maybe_text("error", error);
                });
            }
        });
        let environment = systems.environment.as_ref().ok();
        json.maybe_text("good", environment.map(|e| e.good.letter()));
        json.maybe_text("trial", environment.and_then(|e| e.trial).map(Slot::letter));
        json.maybe_text("running", now.running.map(|r| r.running.slot.letter()));
        json.flag("on_trial", now.running.is_some_and(|r| r.running.trial));
        json.flag("proven", now.running.is_some_and(|r| r.proven));
        json.maybe_text("waits", now.waits.as_ref());
        let (state, have, of, version, why) = match &now.progress {
            Progress::Idle => ("idle", None, None, None, None),
            Progress::Receiving { have, of, .. } => {
                let (of, version) = of.as_ref().map(|(of, version)| (*of, version)).unzip();
                ("receiving", Some(*have), of, version, None)
            }
            Progress::Ready { version } => ("ready", None, None, Some(version), None),
            Progress::Failed { why } => ("failed", None, None, None, Some(why)),
        };
        json.text("upgrade", state);
        json.maybe_count("have_bytes", have);
        json.maybe_count("of_bytes", of);
        json.maybe_text("upgrade_version", version);
        json.maybe_text("why", why);
        let (state, words) = now.cluster.as_ref().map(|(state, words)| (state, words)).unzip();
        json.maybe_text("cluster", state);
        json.maybe_text("cluster_words", words);
        json.flag("development_key", trust::published());
    });
    json.finish()
}
