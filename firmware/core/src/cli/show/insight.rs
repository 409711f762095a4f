//! `show checks` and `why server`.

use super::table::{Align, Table};
use super::words::{ago, span, state, wrap};
use crate::cli::json::Json;
use crate::director::insight::{Why, WhyPort};
use crate::health::load::{LoadStatus, Wish};
use crate::health::{CheckStatus, State};
use crate::model::Mono;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

pub(crate) fn checks(at: Mono, checks: &[CheckStatus], loads: &[LoadStatus], width: usize) -> Vec<String> {
    let mut lines = if checks.is_empty() { Vec::new() } else { checks_table(at, checks, width) };
    if !loads.is_empty() {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(loads_table(at, loads, width));
    }
    lines
}

/// Load monitors: percentages are of the configured weight.
fn loads_table(at: Mono, loads: &[LoadStatus], width: usize) -> Vec<String> {
    let heads = &[
        ("SERVER", Align::Left),
        ("LOAD FROM", Align::Left),
        ("SAID", Align::Left),
        ("HEARD", Align::Right),
        ("WEIGHT", Align::Right),
        ("BOUNDS", Align::Right),
    ];
    let mut table = Table::new(heads, "STATE");
    for load in loads {
        let cells = [
            load.server.to_string(),
            load.source.clone(),
            load.reading.clone().unwrap_or_else(|| "-".to_string()),
            load.heard.map_or_else(|| "never".to_string(), |then| ago(at, then)),
            format!("{}%", load.percent),
            format!("{}-{}%", load.least, load.greatest),
        ];
        let mut state = match (load.silent, load.wish) {
            (true, _) => "silent, the configured weight holds".to_string(),
            (false, Wish::Drain) => "wants no new connections".to_string(),
            (false, Wish::Down) => "says that it is down".to_string(),
            (false, Wish::Up) if load.percent != load.target => format!("moves to {}%", load.target),
            (false, Wish::Up) => "steady".to_string(),
        };
        if let Some(most) = load.most {
            state.push_str(&format!(", at most {most} connections"));
        }
        table.row(cells, state);
    }
    table.lines(width)
}

fn checks_table(at: Mono, checks: &[CheckStatus], width: usize) -> Vec<String> {
    let heads = &[
        ("ASKED", Align::Left),
        ("QUESTION", Align::Left),
        ("EVERY", Align::Right),
        ("FOR", Align::Right),
        ("LAST", Align::Right),
        ("TOOK", Align::Right),
    ];
    let mut table = Table::new(heads, "RESULT");
    for check in checks {
        let cells = [
            check.target.to_string(),
            check.question.clone(),
            check.interval.to_string(),
            check.users.to_string(),
            check.finished.map_or_else(|| "never".to_string(), |then| ago(at, then)),
            took(check.took_us),
        ];
        table.row(cells, result(check));
    }
    table.lines(width)
}

fn took(us: Option<u32>) -> String {
    us.map_or_else(|| "-".to_string(), |us| format!("{}.{:03}ms", us / 1000, us % 1000))
}

fn result(check: &CheckStatus) -> String {
    match (&check.trouble, check.failures, check.finished) {
        (Some(trouble), _, _) => trouble.clone(),
        (None, 0, None) => "not asked yet".to_string(),
        (None, 0, Some(_)) => "good".to_string(),
        (None, 1, _) => "1 failure".to_string(),
        (None, n, _) => format!("{n} failures in a row"),
    }
}

pub(crate) fn why(why: &Why, width: usize) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |indent: usize, text: &str| {
        let room = width.saturating_sub(indent.saturating_add(1));
        out.extend(wrap(text, room, 2).into_iter().map(|line| format!("{:indent$}{line}", "")));
    };
    say(0, &format!("server {} of service {}, in pool {}", why.server, why.service, why.pool));
    say(0, &format!("rule: {}", why.rule));
    if let Some(decided) = &why.decided {
        say(0, &format!("decided: {decided}"));
    }
    for port in &why.ports {
        say(0, &verdict(why.at, port));
        for check in &port.checks {
            let last = check.finished.map_or_else(|| "never".to_string(), |then| ago(why.at, then));
            let every = format!("every {}, at most {}", check.interval, check.timeout);
            let text = format!(
                "check {} of {}: {every}; last {last}: {}",
                check.question,
                check.target,
                result(check)
            );
            say(2, &text);
            check.transcript.iter().flat_map(|text| text.lines()).for_each(|line| say(4, line));
        }
        for change in &port.transitions {
            let (from, to) = (state(change.from), state(change.to));
            say(2, &format!("{} {from} -> {to}: {}", ago(why.at, change.at), change.reason));
        }
        port.table.iter().for_each(|entry| say(2, &format!("kernel: {entry}")));
        port.done.iter().for_each(|(at, op)| say(2, &format!("{} done: {op}", ago(why.at, *at))));
    }
    out
}

fn verdict(at: Mono, port: &WhyPort) -> String {
    let lasts = span(at.micros_since(port.since));
    match port.state {
        None => format!("port {}: nobody asks there", port.port),
        Some(now) => format!("port {}: {} for {lasts}: {}", port.port, state(now), port.reason),
    }
}

/// Checks, then load monitors; those have `load_from`.
pub(crate) fn checks_json(checks: &[CheckStatus], loads: &[LoadStatus]) -> String {
    let mut json = Json::new();
    json.array(|json| {
        checks.iter().for_each(|check| check_json(json, check));
        loads.iter().for_each(|load| load_json(json, load));
    });
    json.finish()
}

fn load_json(json: &mut Json, load: &LoadStatus) {
    json.object(|json| {
        json.text("server", &load.server);
        json.text("load_from", &load.source);
        json.maybe_text("said", load.reading.as_ref());
        json.text(
            "wish",
            match load.wish {
                Wish::Up => "up",
                Wish::Drain => "drain",
                Wish::Down => "down",
            },
        );
        json.maybe_count("heard_ms", load.heard.map(Mono::millis));
        json.text("silent", if load.silent { "yes" } else { "no" });
        json.count("percent", load.percent);
        json.count("target_percent", load.target);
        json.count("least_percent", load.least);
        json.count("greatest_percent", load.greatest);
        json.maybe_count("connections_max", load.most);
    });
}

fn check_json(json: &mut Json, check: &CheckStatus) {
    json.object(|json| {
        json.text("target", check.target);
        json.text("question", &check.question);
        json.count("interval_ms", check.interval.get());
        json.count("timeout_ms", check.timeout.get());
        json.count("users", check.users);
        json.maybe_count("finished_ms", check.finished.map(Mono::millis));
        json.maybe_count("took_us", check.took_us);
        json.count("failures", check.failures);
        json.maybe_text("trouble", check.trouble.as_ref());
        json.maybe_text("certificate_left_s", check.certificate_left_s.map(|left| left.to_string()).as_ref());
        json.maybe_text("transcript", check.transcript.as_ref());
    });
}

pub(crate) fn why_json(why: &Why) -> String {
    let mut json = Json::new();
    json.object(|json| {
        json.text("service", &why.service);
        json.text("pool", &why.pool);
        json.text("server", &why.server);
        json.text("rule", &why.rule);
        json.maybe_text("decided", why.decided.as_ref());
        json.key("ports");
        json.array(|json| why.ports.iter().for_each(|port| port_json(json, port)));
    });
    json.finish()
}

fn port_json(json: &mut Json, port: &WhyPort) {
    json.object(|json| {
        json.count("port", port.port);
        json.text("state", port.state.map_or("unchecked", |s: State| state(s)));
        json.count("since_ms", port.since.millis());
        json.text("reason", &port.reason);
        json.key("checks");
        json.array(|json| port.checks.iter().for_each(|check| check_json(json, check)));
        json.key("transitions");
        json.array(|json| {
            for change in &port.transitions {
                json.object(|json| {
                    json.count("at_ms", change.at.millis());
                    json.text("from", state(change.from));
                    json.text("to", state(change.to));
                    json.text("reason", &change.reason);
                });
            }
        });
        json.key("kernel");
        json.array(|json| port.table.iter().for_each(|entry| json.string(entry)));
        json.key("done");
        json.array(|json| {
            for (at, op) in &port.done {
                json.object(|json| {
                    json.count("at_ms", at.millis());
                    json.text("operation", op);
                });
            }
        });
    });
}
