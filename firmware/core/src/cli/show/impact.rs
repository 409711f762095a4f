//! What a commit would cost, in plain words.

use super::ops::service;
use super::words::{endpoint, plural};
use crate::director::impact::{Impact, Lost};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A sentence for each kind of cost; none when it costs nothing.
pub(crate) fn lines(impact: &Impact) -> Vec<String> {
    let mut lines = Vec::new();
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    if impact.connections > 0 {
        lines.push(format!("{} would be lost:", plural(count(impact.connections), "connection")));
    }
    lines.extend(impact.lost.iter().filter(|lost| lost.active > 0 || lost.inactive > 0).map(lost));
    if impact.clients > 0 {
        let clients = plural(count(impact.clients), "client");
        lines.push(format!("{clients} would get another server than the one they stick to."));
    }
    if impact.leaving_count > 0 {
        let names = impact.leaving.iter().map(|(pool, server)| format!("{server} in {pool}")).collect();
        lines.push(format!("Healthy servers that would leave: {}.", list(names, impact.leaving_count)));
    }
    if impact.emptied_count > 0 {
        let names = impact.emptied.iter().map(ToString::to_string).collect();
        lines.push(format!("No usable server would be left for: {}.", list(names, impact.emptied_count)));
    }
    lines
}

fn lost(lost: &Lost) -> String {
    let service = service(&lost.service);
    let place = match lost.dest {
        Some(dest) => format!("at the server {} of {service}", endpoint(dest.address, dest.port)),
        None => format!("of the virtual service {service}"),
    };
    format!("  {} established and {} closing or of UDP {place}", lost.active, lost.inactive)
}

fn list(mut names: Vec<String>, all: u32) -> String {
    let more = usize::try_from(all).unwrap_or(usize::MAX).saturating_sub(names.len());
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}
