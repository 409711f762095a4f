//! `show flash`.

use super::table::{Align, Table};
use crate::cli::json::Json;
use crate::store::usage::Usage;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

const KIB: u64 = 1024;

pub(crate) fn lines(usage: &Usage, width: usize) -> Vec<String> {
    let heads = &[
        ("PLACE", Align::Left),
        ("AT KIB", Align::Right),
        ("USED", Align::Right),
        ("OF BYTES", Align::Right),
        ("WRITE", Align::Right),
        ("STATE", Align::Left),
    ];
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_string(), |n| n.to_string());
    let mut table = Table::new(heads, "WHAT IS WRONG");
    for place in &usage.places {
        // What is wrong stands out, as in every view.
        let state =
            if place.error.is_some() { place.state.to_ascii_uppercase() } else { place.state.clone() };
        let row = [
            place.name.clone(),
            (place.at / KIB).to_string(),
            number(place.used),
            place.room.to_string(),
            number(place.number),
            state,
        ];
        table.row(row, place.error.clone().unwrap_or_default());
    }
    let mut lines = table.lines(width);
    lines.push(String::new());
    lines.push(format!("Boots: {}. Writes since first use or the last factory reset:", usage.boots));
    for kind in &usage.writes {
        lines.push(format!("  {:<15} {:>6}, in turn over {} places", kind.kind, kind.writes, kind.places));
    }
    lines
}

pub(crate) fn json(usage: &Usage) -> String {
    let mut json = Json::new();
    json.object(|json| {
        json.count("boots", u64::from(usage.boots));
        json.key("writes");
        json.array(|json| {
            for kind in &usage.writes {
                json.object(|json| {
                    json.text("kind", &kind.kind);
                    json.count("writes", kind.writes);
                    json.count("places", kind.places);
                });
            }
        });
        json.key("places");
        json.array(|json| {
            for place in &usage.places {
                json.object(|json| {
                    json.text("place", &place.name);
                    json.count("at_bytes", place.at);
                    json.count("room_bytes", place.room);
                    json.maybe_count("used_bytes", place.used);
                    json.maybe_count("write", place.number);
                    json.text("state", &place.state);
                    json.maybe_text("error", place.error.as_ref());
                });
            }
        });
    });
    json.finish()
}
