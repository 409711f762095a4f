//! `doctor`.

use super::words::wrap;
use crate::cli::json::Json;
use crate::doctor::{Finding, Report};
use crate::wire::DisplayMac;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub(crate) fn report(report: &Report, width: usize) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |indent: usize, text: &str| {
        let room = width.saturating_sub(indent.saturating_add(1));
        out.extend(wrap(text, room, 2).into_iter().map(|line| format!("{:indent$}{line}", "")));
    };
    for (number, finding) in (1_u32..).zip(&report.findings) {
        say(0, &format!("{number}. {}: {}", finding.kind, finding.text));
        say(3, &format!("fix: {}", finding.fix));
    }
    for note in &report.notes {
        say(0, &format!("note: {note}"));
    }
    let looks = match report.looks {
        1 => String::from("1 look"),
        looks => format!("{looks} looks"),
    };
    match report.findings.len() {
        0 => say(0, &format!("Nothing is wrong, after {looks}.")),
        1 => say(0, &format!("1 finding, after {looks}.")),
        count => say(0, &format!("{count} findings, after {looks}.")),
    }
    out
}

pub(crate) fn json(report: &Report) -> String {
    let mut json = Json::new();
    json.object(|json| {
        json.count("looks", report.looks);
        json.key("findings");
        json.array(|json| report.findings.iter().for_each(|finding| finding_json(json, finding)));
        json.key("notes");
        json.array(|json| report.notes.iter().for_each(|note| json.string(note)));
    });
    json.finish()
}

fn finding_json(json: &mut Json, finding: &Finding) {
    json.object(|json| {
        json.text("kind", finding.kind);
        json.maybe_text("server", finding.server.as_ref());
        json.maybe_text("address", finding.address);
        json.maybe_text("mac", finding.mac.map(DisplayMac));
        json.text("text", &finding.text);
        json.text("fix", &finding.fix);
    });
}
