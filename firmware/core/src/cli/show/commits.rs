//! `show commits`.

use super::table::{Align, Table};
use crate::cli::json::Json;
use crate::model::date::Date;
use crate::store::Generation;
use crate::store::record::SlotState;
use crate::store::slots::Past;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// `2026-11-21 06:42 UTC`, or that nobody knows.
pub(crate) fn when(unix_s: u64) -> String {
    if unix_s == 0 {
        return "an unknown time".to_string();
    }
    let Date { year, month, day, hour, minute, .. } = Date::of(unix_s);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// What `rollback` takes for each, and what it is.
fn numbered(
    running: Generation,
    past: &[Past],
) -> impl Iterator<Item = (Option<usize>, &Past, &'static str)> {
    let mut back = 0_usize;
    past.iter().map(move |p| {
        let good = p.state == SlotState::Good;
        match p.generation {
            g if g == running && good => (Some(0), p, "running"),
            g if g == running => (Some(0), p, "on trial"),
            g if g < running && good => {
                back = back.saturating_add(1);
                (Some(back), p, "")
            }
            _ => (None, p, "taken back"),
        }
    })
}

/// What `rollback` takes, with what it is.
pub(crate) fn choices(running: Generation, past: &[Past]) -> Vec<(String, String)> {
    let usable = numbered(running, past).filter(|(_, p, _)| p.damage.is_none());
    let choice = |(back, p, state): (Option<usize>, &Past, &str)| {
        let what = if state.is_empty() { String::new() } else { format!(", {state}") };
        let comment =
            if p.comment.to_string().is_empty() { String::new() } else { format!(": {}", p.comment) };
        Some((back?.to_string(), format!("{}{what}{comment}", when(p.at_unix_s))))
    };
    usable.filter_map(choice).collect()
}

pub(crate) fn lines(running: Generation, past: &[Past], width: usize) -> Vec<String> {
    if past.is_empty() {
        return Vec::new();
    }
    let heads = &[
        ("ROLLBACK", Align::Right),
        ("GENERATION", Align::Right),
        ("COMMITTED", Align::Left),
        ("STATE", Align::Left),
    ];
    let mut table = Table::new(heads, "COMMENT");
    for (back, p, state) in numbered(running, past) {
        let back = back.map_or_else(|| "-".to_string(), |n| n.to_string());
        let at = if p.at_unix_s == 0 { "clock not set".to_string() } else { when(p.at_unix_s) };
        let state = if p.damage.is_some() { "DAMAGED" } else { state };
        let remark = p.damage.clone().unwrap_or_else(|| p.comment.to_string());
        table.row([back, p.generation.to_string(), at, state.to_string()], remark);
    }
    table.lines(width)
}

pub(crate) fn json(running: Generation, past: &[Past]) -> String {
    let mut json = Json::new();
    json.array(|json| {
        for (back, p, state) in numbered(running, past) {
            json.object(|json| {
                json.maybe_count("rollback", back.and_then(|n| u64::try_from(n).ok()));
                json.count("generation", p.generation.0);
                json.count("committed_unix_s", p.at_unix_s);
                json.text("state", if state.is_empty() { "good" } else { state });
                json.text("comment", &p.comment);
                json.maybe_text("damage", p.damage.as_ref());
            });
        }
    });
    json.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_utc_to_the_minute() {
        for (unix_s, text) in [
            (0, "an unknown time"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_790_000_000, "2026-09-21 14:13 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(when(unix_s), text);
        }
    }
}
