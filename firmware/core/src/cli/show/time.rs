//! `show time`.

use super::table::{Align, Table, facts};
use super::words::{ago, span};
use crate::cli::json::Json;
use crate::director::status::Status;
use crate::model::date::Date;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// The clock in words.
pub(super) fn clock(status: &Status) -> String {
    let Date { year, month, day, hour, minute, second } = Date::of(status.unix_s);
    let now = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC");
    match (&status.time.set, status.time.servers.is_empty()) {
        (Some((by, at)), _) => format!("{now}, set by {by} {}", ago(status.at, *at)),
        (None, true) => format!("{now}, by the box's own clock"),
        (None, false) => format!("{now}, by the box's own clock: NO TIME SERVER TELLS THE TIME"),
    }
}

pub(super) fn lines(status: &Status, width: usize) -> Vec<String> {
    let mut list = Vec::from([("clock", clock(status))]);
    if let Some(next) = status.time.next {
        list.push(("asked again", format!("in {}", span(next.micros_since(status.at)))));
    }
    let mut out = facts(&list, width);
    if status.time.servers.is_empty() {
        out.push(String::from("No time server is configured: set system time-server."));
        return out;
    }
    let heads = &[
        ("SERVER", Align::Left),
        ("HEARD", Align::Right),
        ("STRATUM", Align::Right),
        ("DELAY", Align::Right),
    ];
    let mut table = Table::new(heads, "WHAT IS WRONG");
    for server in &status.time.servers {
        let dash = || "-".to_string();
        let cells = [
            server.address.to_string(),
            server.heard.map_or_else(|| "never".to_string(), |at| ago(status.at, at)),
            server.stratum.map_or_else(dash, |n| n.to_string()),
            server.delay_us.map_or_else(dash, |us| format!("{}.{:03}ms", us / 1000, us % 1000)),
        ];
        table.row(cells, server.trouble.clone().unwrap_or_default());
    }
    out.extend(table.lines(width));
    out
}

pub(super) fn json(status: &Status) -> String {
    let mut json = Json::new();
    json.object(|json| {
        json.count("unix_s", status.unix_s);
        json.maybe_text("set_by", status.time.set.as_ref().map(|(by, _)| by));
        json.maybe_count("set_ms", status.time.set.map(|(_, at)| status.at.micros_since(at) / 1000));
        json.key("servers");
        json.array(|json| {
            for server in &status.time.servers {
                json.object(|json| {
                    json.text("address", server.address);
                    json.maybe_count("heard_ms", server.heard.map(|at| status.at.micros_since(at) / 1000));
                    json.maybe_count("stratum", server.stratum);
                    json.maybe_count("delay_us", server.delay_us);
                    json.maybe_text("trouble", server.trouble.as_ref());
                });
            }
        });
    });
    json.finish()
}
