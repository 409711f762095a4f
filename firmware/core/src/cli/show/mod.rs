//! Renders the director's status, as tables for 80 columns and as JSON.

mod cluster;
pub(crate) mod commits;
mod data;
mod dhcp;
pub(crate) mod doctor;
pub(crate) mod flash;
pub(crate) mod impact;
pub(crate) mod insight;
pub(crate) mod ipvs;
pub mod ops;
pub(crate) mod realserver;
mod table;
mod tables;
mod time;
pub(crate) mod upgrade;
pub(crate) mod words;

use super::grammar::View;
use super::words::suggestion;
use crate::director::status::{ServerStatus, ServiceStatus, Status};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A view as lines of text; the error says why there is nothing to show.
pub(crate) fn lines(
    view: View,
    status: &Status,
    args: &[String],
    width: usize,
) -> Result<Vec<String>, String> {
    Ok(match view {
        View::Interfaces => tables::interfaces(status, width),
        View::Addresses => tables::addresses(status, width),
        View::Services => {
            let chosen = services(status, args)?;
            if args.is_empty() {
                tables::services(&chosen, width)
            } else {
                tables::service_details(&chosen, width)
            }
        }
        View::Servers => {
            let chosen = servers(status, args)?;
            match args {
                [_, _, ..] => tables::server_details(status.at, &chosen, width),
                [] | [_] => tables::servers(status.at, &chosen, width),
            }
        }
        View::Ipvs(columns) => ipvs::table(status, columns),
        View::IpvsTimeouts => ipvs::timeouts(status),
        View::IpvsDaemons => ipvs::daemons(status),
        View::IpvsSave => ipvs::save(status),
        View::Version => tables::version(status, width),
        View::Alarms => tables::alarms(status, width),
        View::Time => time::lines(status, width),
        View::Cluster => cluster::lines(status, width),
    })
}

/// A view as JSON.
pub(crate) fn json(view: View, status: &Status, args: &[String]) -> Result<String, String> {
    Ok(match view {
        View::Interfaces => data::interfaces(status),
        View::Addresses => data::addresses(status),
        View::Services => data::services(&services(status, args)?),
        View::Servers => data::servers(status.at, &servers(status, args)?),
        View::Ipvs(_) | View::IpvsSave => data::ipvs(status),
        View::IpvsTimeouts => data::timeouts(status),
        View::IpvsDaemons => data::daemons(status),
        View::Version => data::version(status),
        View::Alarms => data::alarms(status),
        View::Time => time::json(status),
        View::Cluster => cluster::json(status),
    })
}

fn services<'a>(status: &'a Status, args: &[String]) -> Result<Vec<&'a ServiceStatus>, String> {
    let Some(name) = args.first() else { return Ok(status.services.iter().collect()) };
    let found: Vec<_> = status.services.iter().filter(|s| s.name.as_str() == name).collect();
    if found.is_empty() {
        let mut names: Vec<&str> = status.services.iter().map(|s| s.name.as_str()).collect();
        names.dedup();
        return Err(absent("service", name, &names));
    }
    Ok(found)
}

fn servers<'a>(status: &'a Status, args: &[String]) -> Result<Vec<&'a ServerStatus>, String> {
    let mut found: Vec<&ServerStatus> = status.servers.iter().collect();
    if let Some(pool) = args.first() {
        let mut names: Vec<&str> = found.iter().map(|s| s.pool.as_str()).collect();
        names.dedup();
        if !names.contains(&pool.as_str()) {
            return Err(absent("pool with servers", pool, &names));
        }
        found.retain(|s| s.pool.as_str() == pool);
    }
    if let Some(name) = args.get(1) {
        let names: Vec<&str> = found.iter().map(|s| s.name.as_str()).collect();
        if !names.contains(&name.as_str()) {
            return Err(absent("server in this pool", name, &names));
        }
        found.retain(|s| s.name.as_str() == name);
    }
    Ok(found)
}

fn absent(what: &str, name: &str, names: &[&str]) -> String {
    if names.is_empty() {
        return format!("no {what} is running; \"show configuration\" shows what is configured");
    }
    format!("no {what} is named \"{name}\": {}", suggestion(name, names)).to_string()
}

#[cfg(test)]
mod tests;
