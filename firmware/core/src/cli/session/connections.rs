//! `show connections [service NAME] [server NAME] [client NETWORK] [state WORD] [limit N]`. The console reads the kernel's
//! table itself, so that it can be looked at while the director does not answer; only names need the director.

use super::super::grammar::Pipe;
use super::super::json::Json;
use super::super::words::quoted;
use super::{Job, Output, Session, print};
use crate::connections::{Filter, Listing, Place, SHOWN, SHOWN_MAX};
use crate::director::protocol::Request;
use crate::model::config::{Config, Protocol};
use crate::model::{Cidr, Name};
use crate::plan::desired::keys;
use crate::plan::{Family, ServiceKey};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What was typed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Ask {
    service: Option<Name>,
    server: Option<Name>,
    filter: Filter,
}

impl Session {
    pub(super) fn ask_connections(&mut self, words: &[String], pipes: Vec<Pipe>, out: &mut Vec<Output>) {
        let mut ask = match parse(words) {
            Ok(ask) => ask,
            Err(why) => return self.say(out, &why),
        };
        if let Some(Pipe::Match(text)) = pipes.first() {
            ask.filter.text = Some(text.clone());
        }
        if ask.service.is_none() && ask.server.is_none() {
            return self.read_connections(ask.filter, pipes, out);
        }
        self.ask(Job::Connections { ask: Box::new(ask), pipes }, Request::Config, out);
    }

    fn read_connections(&mut self, filter: Filter, pipes: Vec<Pipe>, out: &mut Vec<Output>) {
        self.reading = Some(pipes);
        out.push(Output::ShowConnections(Box::new(filter)));
    }

    /// The configuration came: names become addresses.
    pub(super) fn connections_of(
        &mut self,
        ask: Ask,
        config: &Config,
        pipes: Vec<Pipe>,
        out: &mut Vec<Output>,
    ) {
        match resolve(ask, config) {
            Ok(filter) => self.read_connections(filter, pipes, out),
            Err(why) => self.say(out, &why),
        }
    }

    /// The table for [`Output::ShowConnections`], or why it cannot be read.
    pub fn connections(&mut self, listing: Result<Listing, String>, out: &mut Vec<Output>) {
        let Some(pipes) = self.reading.take() else { return };
        self.capture(out, |session, out| match listing {
            Ok(listing) => session.show_connections(&listing, &pipes, out),
            Err(why) => session.say(out, &format!("The connections cannot be read: {why}.")),
        });
        if !self.waiting() {
            self.prompt(out);
        }
        self.resume(out);
    }

    fn show_connections(&mut self, listing: &Listing, pipes: &[Pipe], out: &mut Vec<Output>) {
        // The number that fit, not the number of lines that are shown of them.
        if pipes.iter().find(|pipe| !matches!(pipe, Pipe::Match(_))) == Some(&Pipe::Count) {
            return print::line(out, &listing.fitting.to_string());
        }
        if pipes.first() == Some(&Pipe::Json) {
            let lines: Vec<String> = json(listing).lines().map(String::from).collect();
            return self.filtered(&lines, pipes, "", out);
        }
        let mut lines = Vec::from([
            String::from("IPVS connection entries"),
            String::from("pro expire state       source             virtual            destination"),
        ]);
        lines.extend(listing.shown.iter().map(crate::connections::Connection::line));
        let shown = u64::try_from(listing.shown.len()).unwrap_or(u64::MAX);
        let more = if shown < listing.fitting { ": limit shows more" } else { "" };
        let rest = format!("{shown} shown of {} that fit, {} in all{more}.", listing.fitting, listing.all);
        // The heading is no line that was asked for.
        let plain: Vec<Pipe> = pipes.iter().filter(|p| !matches!(p, Pipe::Match(_))).cloned().collect();
        lines.push(rest);
        self.filtered(&lines, &plain, "", out);
    }
}

const USAGE: &str = "write: show connections, then perhaps: service NAME, server NAME, client ADDRESS[/PREFIX], state WORD, limit N";

fn parse(words: &[String]) -> Result<Ask, String> {
    let mut ask = Ask { filter: Filter { limit: SHOWN, ..Filter::default() }, ..Ask::default() };
    let named = |text: &str| text.parse::<Name>().map_err(|why| format!("{}: {why}", quoted(text)));
    for pair in words.chunks(2) {
        let [key, value] = pair else { return Err(USAGE.to_string()) };
        match key.as_str() {
            "service" => ask.service = Some(named(value)?),
            "server" => ask.server = Some(named(value)?),
            "client" => ask.filter.client = Some(network(value)?),
            "state" => ask.filter.state = Some(value.to_ascii_uppercase()),
            "limit" => {
                let limit = value.parse().ok().filter(|n| (1..=SHOWN_MAX).contains(n));
                ask.filter.limit = limit.ok_or_else(|| format!("limit: must be 1 to {SHOWN_MAX}"))?;
            }
            _ => return Err(USAGE.to_string()),
        }
    }
    Ok(ask)
}

fn network(text: &str) -> Result<Cidr, String> {
    let parsed = text.parse::<IpAddr>().map(Cidr::host).or_else(|_| text.parse::<Cidr>());
    parsed
        .map_err(|_| format!("client {}: write an address, or a network such as 192.0.2.0/24", quoted(text)))
}

fn resolve(ask: Ask, config: &Config) -> Result<Filter, String> {
    let mut filter = ask.filter;
    if let Some(name) = &ask.server {
        let found = config.real_servers.get(name).and_then(|server| server.address);
        filter.server = Some(found.ok_or_else(|| format!("no real-server is named {name}"))?);
    }
    if let Some(name) = &ask.service {
        let service = config.services.get(name).ok_or_else(|| format!("no service is named {name}"))?;
        let mut places: Vec<Place> = keys(config, service).iter().map(place).collect();
        let mark = service.special.mark.as_ref().and_then(|name| config.kernel.marks.get(name));
        if let Some(mark) = mark {
            let address = |name: &Name| Some(config.floating.get(name)?.address?.address());
            for address in mark.addresses.iter().filter_map(address) {
                let of = |(first, last): &(u16, u16)| Place {
                    protocol: word(mark.protocol),
                    address,
                    first: *first,
                    last: *last,
                };
                places.extend(mark.ports.iter().map(of));
            }
        }
        filter.places = Some(places);
    }
    Ok(filter)
}

const fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    }
}

/// A virtual server as it stands in the table; for a mark that of its templates (`ip_vs_core.c`, `ip_vs_sched_persist`).
fn place(key: &ServiceKey) -> Place {
    match *key {
        ServiceKey::Address { protocol, address, port } => {
            Place { protocol: word(protocol), address, first: port, last: port }
        }
        ServiceKey::Mark { family, mark } => {
            let address = match family {
                Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(mark)),
                Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(u128::from(mark))),
            };
            Place { protocol: "IP", address, first: 0, last: 0 }
        }
    }
}

fn json(listing: &Listing) -> String {
    let mut json = Json::new();
    json.object(|json| {
        json.count("all", listing.all);
        json.count("fitting", listing.fitting);
        json.key("connections");
        json.array(|json| {
            for c in &listing.shown {
                json.object(|json| {
                    json.text("protocol", &c.protocol);
                    json.text("state", &c.state);
                    json.count("expires_s", c.expires_s);
                    for (key, place) in
                        [("client", c.client), ("virtual", c.virtual_server), ("server", c.server)]
                    {
                        json.text(key, place.ip());
                        json.count(&format!("{key}_port"), place.port());
                    }
                    json.maybe_text("engine", c.engine.as_ref().map(|(name, _)| name));
                    json.maybe_text("engine_data", c.engine.as_ref().map(|(_, data)| data));
                });
            }
        });
    });
    json.finish()
}
